#!/usr/bin/env python3
"""The operator's commands against the emulator: credentials that are refused, a
region that is wrong, positions moved to numbers that exist and that do not, gaps
accepted in the store and by the running daemon, tail on a terminal and in a pipe.

Builds on support.py; the emulator is build/tests/emulator/emulator ($EMULATOR).
"""
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402

EMULATOR = os.environ.get("EMULATOR", os.path.join(support.ROOT, "build/tests/emulator/emulator"))
KEYS = dict(support.CLEAN_ENV, AWS_ACCESS_KEY_ID="AKTEST", AWS_SECRET_ACCESS_KEY="SECRETTEST")
SIGNED = ["--access-key", "AKTEST", "--secret", "SECRETTEST", "--region", "us-east-1"]


class Emulator:
    def __init__(self, *options):
        self.process = subprocess.Popen([EMULATOR, "--port", "0", "--stdin-guard",
                                         *map(str, options)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])
        self.endpoint = "http://127.0.0.1:%d" % self.port

    def control(self, name, **body):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=support.PATIENCE)
        try:
            c.request("POST", "/control/" + name, json.dumps(body))
            answer = c.getresponse()
            text = answer.read()
            assert answer.status == 200, text
            return json.loads(text)
        finally:
            c.close()

    def close(self):
        self.process.stdin.close()  # the guard ends it
        self.process.wait(support.PATIENCE)
        self.process.stdout.close()


class Case(unittest.TestCase):
    def emulator(self, *options):
        e = Emulator(*options)
        self.addCleanup(e.close)
        return e

    def setUp(self):
        self.work = support.Workspace("operator")
        self.addCleanup(self.work.close)

    def fails(self, result, code, *parts):
        self.assertEqual(result[0], code, result)
        self.assertEqual(result[2].count("\n"), 1, result[2])
        for part in parts:
            self.assertIn(part, result[2])

    def config(self, endpoint, streams=("orders",)):
        sinks = {"trail-" + s: {"type": "audit", "from": [s], "directory": self.work("trail-" + s)}
                 for s in streams}
        return support.config(self.work.path, endpoint, {s: {"table": s, "poll.idle": "250ms"}
                                                         for s in streams}, sinks)

    def daemon(self, path):
        d = support.Process([support.SLIPRING, "run", "-c", path], env=KEYS)
        self.addCleanup(d.close)
        return d

    def entries(self, stream="orders"):
        trail = self.work("trail-" + stream)
        return len(support.trail_lines(trail)) if os.path.isdir(trail) else 0

    def read_once(self, path, count):
        d = self.daemon(path)
        support.wait_until("%d entries" % count, lambda: self.entries() >= count or not d.running())
        self.assertEqual(d.stop(), 0, d.stderr())

    def positions(self, path):
        code, out, err = support.slipring("positions", "list", "--json", "-c", path)
        self.assertEqual(code, 0, err)
        return json.loads(out)


class Credentials(Case):
    def tail(self, emulator, env, region="us-east-1"):
        return support.slipring("tail", "orders", "--endpoint", emulator.endpoint, "--region", region,
                                "--until-idle", env=env)

    def test_refusals_are_one_line(self):
        e = self.emulator("--records", 10, *SIGNED)
        code, out, err = self.tail(e, KEYS)
        self.assertEqual((code, len(out.splitlines()), err), (0, 10, ""))
        self.fails(self.tail(e, dict(KEYS, AWS_SECRET_ACCESS_KEY="wrong")), 1,
                   "InvalidSignatureException", "check the keys")
        self.fails(self.tail(e, dict(KEYS, AWS_ACCESS_KEY_ID="wrong")), 1,
                   "UnrecognizedClientException", "check the keys")
        self.fails(self.tail(e, KEYS, "eu-west-1"), 1, "eu-west-1", "the region")
        self.fails(self.tail(e, support.CLEAN_ENV), 1, "credentials: none")
        e.control("credentials", expired=True)
        self.fails(self.tail(e, KEYS), 1, "ExpiredTokenException", "check the keys")

    def test_no_such_table_and_no_stream(self):
        e = self.emulator("--no-table", *SIGNED)
        self.fails(self.tail(e, KEYS), 78, 'there is no table "orders"', "us-east-1", e.endpoint)


class Positions(Case):
    def setUp(self):
        super().setUp()
        self.e = self.emulator("--shards", 1, "--records", 200, "--split-every", 150, *SIGNED)
        self.path = self.config(self.e.endpoint)
        self.read_once(self.path, 200)
        self.before = self.positions(self.path)
        self.open = next(p for p in self.before if p["position"] == "after")
        self.done = next(p for p in self.before if p["position"] == "complete")

    def set(self, shard, number, *options):
        return support.slipring("positions", "set", "orders", shard, "trail-orders", number, "-c",
                                self.path, *options, env=KEYS)

    def test_only_numbers_of_records_are_taken(self):
        shard, last = self.open["shard"], int(self.open["sequence"])
        self.fails(self.set(shard, last - 1), 1, str(last - 1), "first one behind it is %d" % last)
        self.fails(self.set(shard, last + 1), 1, str(last + 1), "does not have that number")
        self.fails(self.set(shard, "9" * 40), 1, "does not have that number")
        self.fails(self.set(shard, 5), 1, "it begins at")
        self.fails(self.set(self.done["shard"], last), 1, "it ends at")
        self.fails(self.set("shardId-nowhere", last), 1, 'no shard "shardId-nowhere"')
        self.assertEqual(self.positions(self.path), self.before)
        code, out, err = self.set(shard, last)
        self.assertEqual((code, err), (0, ""), out)
        self.e.control("trim", shard=shard)
        self.fails(self.set(shard, last), 1, "not held any more")

    def test_what_was_set_back_is_delivered_again(self):
        shard, last = self.open["shard"], self.open["sequence"]
        lines = [dict(support.members(x)) for x in support.trail_lines(self.work("trail-orders"))]
        of_shard = [json.loads(x["sequence"]) for x in lines if json.loads(x["shard"]) == shard]
        self.assertEqual(of_shard[-1], last)
        code, out, err = self.set(shard, of_shard[-4])
        self.assertEqual((code, err), (0, ""), out)
        now = next(p for p in self.positions(self.path) if p["shard"] == shard)
        self.assertEqual((now["position"], now["sequence"]), ("after", of_shard[-4]))

    def test_offline_says_that_nothing_was_checked(self):
        code, _, err = self.set(self.open["shard"], "123456789012345678901", "--offline")
        self.assertEqual(code, 0)
        self.assertIn("not checked", err)

    def test_reset(self):
        reset = lambda *a: support.slipring("positions", "reset", "orders", *a, "-c", self.path)
        code, out, err = reset(self.open["shard"], "--to", "latest")
        self.assertEqual((code, err), (0, ""), err)
        kinds = {p["shard"]: p["position"] for p in self.positions(self.path)}
        self.assertEqual(kinds[self.open["shard"]], "at-start")
        self.assertEqual(kinds[self.done["shard"]], "complete")
        self.assertEqual(reset("-", "trail-orders")[0], 0)
        self.assertEqual(self.positions(self.path), [])
        self.fails(reset("nowhere"), 1, 'no shard "nowhere"')


class Stopping(Case):
    """A sink whose reader does not read: what was given to it cannot be acked."""

    def stuck(self, timeout):
        e = self.emulator("--records", 2000, "--pad", 1000)
        path = support.config(self.work.path, e.endpoint, {"orders": {"table": "orders"}},
                              {"screen": {"type": "stdout", "from": ["orders"]}},
                              shutdown={"timeout": timeout})
        err = open(self.work("stderr"), "w+", encoding="utf-8")
        self.addCleanup(err.close)
        d = subprocess.Popen([support.SLIPRING, "run", "-c", path], stdout=subprocess.PIPE, stderr=err,
                             stdin=subprocess.DEVNULL, env=KEYS)
        self.addCleanup(d.stdout.close)
        self.addCleanup(d.wait, support.PATIENCE)
        self.addCleanup(d.kill)

        def log():
            return os.pread(err.fileno(), 1 << 20, 0).decode()

        admin = support.wait_until("the admin port", lambda: re.search(
            r"address=127.0.0.1 port=(\d+)", log())).group(1)

        def held():
            code, out, _ = support.slipring("status", "--json", "--admin", "127.0.0.1:" + admin)
            return code == 0 and json.loads(out)["sinks"][0]["in_flight"] > 0

        support.wait_until("records in flight", held)
        return d, log

    def test_the_drain_has_an_end(self):
        d, log = self.stuck("300ms")
        d.terminate()
        self.assertEqual(d.wait(support.PATIENCE), 0, log())
        self.assertIn("not everything was acked in time", log())

    def test_a_second_signal_ends_at_once(self):
        d, log = self.stuck("1h")
        d.terminate()
        support.wait_until("the drain", lambda: "another signal ends at once" in log())
        self.assertIsNone(d.poll())
        d.terminate()
        self.assertEqual(d.wait(support.PATIENCE), -signal.SIGTERM)


class Gaps(Case):
    def lose(self, *streams):
        """The first stream's next records are trimmed while nobody reads."""
        e = self.emulator("--shards", 1, "--records", 50)
        for other in streams[1:]:
            client = support.Dynamo(e.port)
            client.create_table(other)
            client.close()
        path = self.config(e.endpoint, streams)
        self.read_once(path, 50)
        at = next(p for p in self.positions(path) if p["stream"] == streams[0])
        code, _, err = support.slipring("positions", "set", streams[0], at["shard"],
                                        "trail-" + streams[0],
                                        str(int(at["sequence"]) - 10 ** 20), "--offline", "-c", path)
        self.assertEqual(code, 0, err)
        e.control("trim", table=streams[0], shard=at["shard"])
        return e, path

    def gaps(self, path):
        return json.loads(support.slipring("gaps", "list", "--json", "-c", path)[1])

    def test_accepted_in_the_store(self):
        e, path = self.lose("orders")
        d = self.daemon(path)
        self.assertEqual(d.wait(), 3, d.stderr())
        self.assertEqual([(g["reason"], g["state"], g["stream"]) for g in self.gaps(path)],
                         [("trimmed", "open", "orders")])
        number = self.gaps(path)[0]["id"]
        again = self.daemon(path)
        self.assertEqual(again.wait(), 3, again.stderr())
        self.assertEqual(len(self.gaps(path)), 1)
        self.assertEqual(support.slipring("gaps", "accept", number, "-c", path)[0], 0)
        self.fails(support.slipring("gaps", "accept", number, "-c", path), 1, "is not open")
        self.fails(support.slipring("gaps", "accept", "99", "-c", path), 1, "no gap 99")
        e.control("put", item={"pk": {"S": "after"}, "sk": {"N": "1"}})
        before = self.entries()
        d = self.daemon(path)
        support.wait_until("the record behind the gap", lambda: self.entries() > before)
        self.assertEqual(d.stop(), 0, d.stderr())

    def test_accepted_by_the_running_daemon(self):
        e, path = self.lose("orders", "other")
        d = self.daemon(path)
        support.wait_until("the gap", lambda: "gap=1" in d.stderr())
        admin = "127.0.0.1:" + re.search(r"address=127.0.0.1 port=(\d+)", d.stderr()).group(1)

        def state():
            out = support.slipring("status", "--json", "--admin", admin)[1]
            return {s["name"]: s["state"] for s in json.loads(out)["streams"]}

        support.wait_until("one stream to stop and one to go on",
                           lambda: state() == {"orders": "gap", "other": "running"})
        before = self.entries()
        e.control("put", table="orders", item={"pk": {"S": "after"}, "sk": {"N": "1"}})
        code, out, err = support.slipring("gaps", "accept", 1, "-c", path, "--admin", admin)
        self.assertEqual((code, err), (0, ""), out)
        support.wait_until("the record behind the gap", lambda: self.entries() > before)
        self.assertEqual(state(), {"orders": "running", "other": "running"})
        self.fails(support.slipring("gaps", "accept", 1, "-c", path, "--admin", admin), 1, "gap 1")
        self.assertEqual(d.stop(), 0, d.stderr())
        self.assertEqual([g["state"] for g in self.gaps(path)], ["accepted"])


class Tail(Case):
    def test_a_terminal_gets_lines_and_colors(self):
        e = self.emulator("--records", 20, *SIGNED)
        env = {k: v for k, v in KEYS.items() if k != "NO_COLOR"}
        code, text = support.on_terminal("tail", "orders", "--endpoint", e.endpoint, "--region",
                                         "us-east-1", "--until-idle", env=dict(env, TERM="xterm"))
        self.assertEqual(code, 0, text)
        lines = text.splitlines()
        self.assertEqual(len(lines), 20)
        for line in lines:
            self.assertRegex(line, r"\x1b\[3[123]m(INSERT|MODIFY|REMOVE)\x1b\[0m")
            rest = re.sub(r"\x1b\[[0-9]+m", "", line)
            self.assertFalse([c for c in rest if ord(c) < 32 or 127 <= ord(c) < 160], rest)

    def test_a_reader_that_goes_away_ends_it_quietly(self):
        e = self.emulator("--records", 20, *SIGNED)
        with subprocess.Popen([support.SLIPRING, "tail", "orders", "--endpoint", e.endpoint, "--region",
                               "us-east-1", "--from", "trim-horizon"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=KEYS) as p:
            p.stdout.readline()
            p.stdout.close()
            self.assertEqual(p.wait(support.PATIENCE), 0)
            self.assertEqual(p.stderr.read(), b"")


if __name__ == "__main__":
    unittest.main(verbosity=2)
