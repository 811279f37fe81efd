#!/usr/bin/env python3
"""`make bench`: every bench in turn, those of the sinks against real services.

usage: run.py BUILD [NAME...]     record pattern transform script audit sqlite kafka postgres
                                opensearch all-sinks

Compare ratios within one run; these figures mean nothing on a busy machine.
"""
import json
import os
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests/system"))

RECORDS = int(os.environ.get("RECORDS", "300000"))


def program(name, *argv):
    subprocess.run([os.path.join(sys.argv[1], "bench", name + "_bench")] + list(argv), check=True)


def record():
    program("record")


def script():
    program("script")


def pattern():
    program("pattern")


def audit():
    program("audit")


def transform():
    program("transform")


def sqlite():
    program("sqlite")


def kafka():
    import services
    with services.Kafka() as broker:
        program("kafka", broker.bootstrap)


def postgres():
    import services
    with services.Postgres() as server:
        program("postgres", server.conninfo(server.database("bench")))


def opensearch():
    import services
    with services.OpenSearch() as node:
        program("opensearch", node.url)


def resident(pid):
    """Now and at most, in MiB."""
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        fields = dict(line.split(":", 1) for line in f)
    return [int(fields[k].split()[0]) / 1024 for k in ("VmRSS", "VmHWM")]


def all_sinks():
    """The daemon itself, from an emulated service into everything at once, at full rate."""
    import operator_test
    import services
    import support
    work = support.Workspace("bench")
    emulator = operator_test.Emulator("--shards", 4, "--records", RECORDS, "--items", RECORDS // 10,
                                      "--pad", 300, "--no-nul", "--table", "orders")
    with services.Kafka() as broker, services.Postgres() as server, services.OpenSearch() as node:
        conninfo = server.conninfo(server.database("bench"))
        common = {"from": ["orders"]}
        sinks = {
            "events": dict(common, type="kafka", brokers=broker.bootstrap,
                           topic=broker.topic("bench")),
            "copy": dict(common, type="postgres", conninfo=conninfo, table="orders", create=True),
            "log": dict(common, type="postgres", conninfo=conninfo, mode="log", table="changes",
                        create=True),
            "local": dict(common, type="sqlite", path=work("copy.db"), table="orders"),
            "search": dict(common, type="opensearch", url=node.url, index="bench"),
            "trail": dict(common, type="audit", directory=work("trail")),
        }
        path = support.config(work.path, emulator.endpoint, {"orders": {
            "table": "orders", "region": "us-east-1", "poll.idle": "250ms", "poll.calls": 1000}}, sinks,
            admin={"listen": "127.0.0.1:%d" % support.free_port()})
        # The emulator's images hold every type under every name.
        node.call("PUT", "/bench", {"mappings": {"dynamic": False}})
        begun = time.monotonic()
        daemon = support.Process([support.SLIPRING, "run", "-c", path], env=operator_test.KEYS)
        done, refused, worst = {}, {}, 0
        while len(done) < len(sinks):
            time.sleep(0.5)
            if not daemon.running():
                sys.exit(daemon.stderr())
            worst = max(worst, resident(daemon.child.pid)[0])
            code, out, _ = support.slipring("status", "-c", path, "--json")
            for s in json.loads(out)["sinks"] if code == 0 else []:
                if s["state"] == "halted":
                    sys.exit("%s: %s" % (s["name"], s["why"]))
                refused[s["name"]] = s["rejected"]
                if s["acked"] + s["rejected"] >= RECORDS:
                    done.setdefault(s["name"], time.monotonic() - begun)
        high = resident(daemon.child.pid)[1]
        daemon.stop()
        print("all sinks at once: %d records from 4 shards over HTTP" % RECORDS)
        for name, seconds in sorted(done.items(), key=lambda d: d[1]):
            print("  %-8s %8.0f records/s, %d refused" % (name, RECORDS / seconds, refused[name]))
        print("  resident: %.0f MiB at most" % max(worst, high))
    emulator.close()
    work.close()


BENCHES = {"record": record, "pattern": pattern, "transform": transform, "script": script,
           "audit": audit, "sqlite": sqlite, "kafka": kafka, "postgres": postgres,
           "opensearch": opensearch, "all-sinks": all_sinks}


def main():
    os.environ.setdefault("SLIPRING", os.path.join(os.path.abspath(sys.argv[1]), "slipring"))
    os.environ.setdefault("EMULATOR", os.path.join(os.path.abspath(sys.argv[1]),
                                                   "tests/emulator/emulator"))
    for name in sys.argv[2:] or BENCHES:
        print("== %s" % name, flush=True)
        BENCHES[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
