#!/usr/bin/python3
"""A target that is dead for a while under steady load (Kafka for a minute, the others for a
third of it) costs the other sinks nothing, and misses nothing once it is back. The source is the emulator: its creation times are good
to the second, DynamoDB Local's to the minute."""
import http.client
import os
import random
import re
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import oracle  # noqa: E402
import services  # noqa: E402
import support  # noqa: E402
from proxy import Proxy  # noqa: E402
from targets import Targets  # noqa: E402

EMULATOR = os.environ.get("EMULATOR", os.path.join(support.ROOT, "build/tests/emulator/emulator"))
OUTAGE = int(os.environ.get("OUTAGE", "60"))
BEFORE = max(OUTAGE // 3, 10)
RATE = 200
# What a loaded machine may add to an age that is known to the second.
SLACK = 4
RESIDENT_MAX = 256 << 20


class Load(oracle.Writer):
    """RATE changes a second, each with the time at which it was made."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.stopped = threading.Event()

    def item(self, key):
        return {**super().item(key), "sent": {"N": "%.6f" % time.time()}}

    def run_steadily(self):
        begun = time.monotonic()
        while not self.stopped.wait(max(0, begun + self.written / RATE - time.monotonic())):
            if self.there and self.rng.random() < 0.15:
                self.delete()
            else:
                self.put()


class Watch:
    """The daemon's own figures, sink by sink, while a block runs."""

    def __init__(self, port):
        self.port, self.resident = port, 0
        self.ages, self.states = {}, {}

    def read(self):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=support.PATIENCE)
        try:
            c.request("GET", "/metrics")
            text = c.getresponse().read().decode()
        finally:
            c.close()
        return {m.group(1): float(m.group(2))
                for m in re.finditer(r"^(\w+(?:\{.*\})?) (\S+)$", text, re.M)}

    def age(self, figures, sink):
        return figures['slipring_delivery_age_seconds{stream="orders",sink="%s"}' % sink]

    def during(self, seconds, sinks):
        """Samples for that long; the worst and the mean delivery age of each sink."""
        ages, end, resident = {s: [] for s in sinks}, time.monotonic() + seconds, 0
        done = threading.Event()
        while time.monotonic() < end:
            figures = self.read()
            for s in sinks:
                ages[s].append(self.age(figures, s))
            resident = max(resident, figures["slipring_resident_memory_bytes"])
            done.wait(0.25)
        self.resident = resident
        return {s: (max(a), sum(a) / len(a)) for s, a in ages.items()}


class Outage(unittest.TestCase):
    def setUp(self):
        self.work = support.Workspace("outage")
        self.addCleanup(self.work.close)
        self.emulator = subprocess.Popen([EMULATOR, "--port", "0", "--stdin-guard"],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.end_emulator)
        self.source = support.Dynamo(int(self.emulator.stdout.readline().split()[1]))
        self.addCleanup(self.source.close)

    def end_emulator(self):
        self.emulator.stdin.close()
        self.emulator.wait(support.PATIENCE)
        self.emulator.stdout.close()

    def proxy(self, port):
        made = Proxy("127.0.0.1", port)
        self.addCleanup(made.close)
        return made

    def begin(self, kafka=None, **through):
        """The daemon with all sinks, and the load; through: as Targets.sinks() has it."""
        table = services.unique("outage")
        arn = oracle.create_table(self.source, table)
        self.targets = Targets(self.work.path, arn, table,
                               kafka or services.shared(services.Kafka),
                               services.shared(services.Postgres),
                               services.shared(services.OpenSearch))
        self.sinks = self.targets.sinks("orders", **through, **{"breaker.open": "5s"})
        path = support.config(self.work.path, "http://127.0.0.1:%d" % self.source.port,
                              {"orders": {"table": table, "poll.idle": "250ms"}}, self.sinks)
        self.daemon = support.run_daemon(path)
        self.addCleanup(self.daemon.close)
        found = support.wait_until("the admin port", lambda: re.search(
            r"address=127.0.0.1 port=(\d+)", self.daemon.stderr()))
        self.watch = Watch(int(found.group(1)))
        client = support.Dynamo(self.source.port)
        self.addCleanup(client.close)
        self.load = Load(client, table, random.randrange(1 << 30), 2000)
        self.work_load = support.Background(self.load.run_steadily)
        self.addCleanup(self.load.stopped.set)
        # A cold JVM is slow: what comes before is not "without the fault".
        support.wait_until("all to keep up", lambda: min(self.acked(s) for s in self.sinks) > 0 and
                           max(self.watch.during(3, self.sinks).values())[0] <= 2, 180)

    def acked(self, sink):
        return self.watch.read().get('slipring_sink_acked_total{sink="%s"}' % sink, 0)

    def caught_up(self, sink):
        return self.watch.age(self.watch.read(), sink) <= 2

    def outage(self, dead, proxy, seconds):
        others = [s for s in self.sinks if s not in dead]
        before = self.watch.during(min(BEFORE, seconds), others)
        calm = self.watch.resident
        proxy.refuse()
        begun = time.monotonic()
        during = self.watch.during(seconds, others)
        held = {s: self.acked(s) for s in dead}
        figures = self.watch.read()
        for s in dead:
            self.assertGreater(self.watch.age(figures, s), seconds / 2, s)
        proxy.pass_on()
        back = time.monotonic()
        for s in dead:
            support.wait_until("%s to catch up" % s, lambda: self.caught_up(s), 180, 0.25)
            self.assertGreater(self.acked(s), held[s])
        self.say(dead, before, during, back - begun, time.monotonic() - back, calm)
        for s in others:
            self.assertLessEqual(during[s][0], before[s][0] + SLACK, s)
            self.assertEqual(figures['slipring_sink_drops_total{sink="%s"}' % s], 0, s)
        self.assertLess(self.watch.resident, RESIDENT_MAX)
        self.finish()

    def say(self, dead, before, during, lasted, later, calm):
        print("outage: %s dead for %.0f s at %d changes a second, caught up %.1f s later; resident"
              " memory %.0f MiB before, %.0f MiB at most during" % (
                  " and ".join(dead), lasted, RATE, later, calm / 2**20,
                  self.watch.resident / 2**20))
        for s, (worst, mean) in sorted(during.items()):
            print("  delivery age of %-10s without the fault %.2f s (worst %.1f), during %.2f s"
                  " (worst %.1f)" % (s, before[s][1], before[s][0], mean, worst))

    def finish(self):
        """Nothing is missing anywhere."""
        self.load.stopped.set()
        self.work_load.finish()
        path = self.work("slipring.yaml")
        last = {s: int(re.search(r'"SequenceNumber":"(\d+)"', r[-1]).group(1))
                for s, r in self.source.read_stream(self.targets.arn).items() if r}

        def arrived():
            at = {(p["sink"], p["shard"]): int(p["sequence"] or 0) for p in oracle.positions(path)}
            return all(at.get((k, s), 0) >= n for k in self.sinks for s, n in last.items())

        support.wait_until("every sink to arrive", arrived, 180, 0.25)
        self.assertEqual(self.daemon.stop(), 0, self.daemon.stderr())
        wrong = self.targets.compare(self.source, scan=False)
        self.assertEqual(wrong, {}, "\n".join("%s: %s" % w for w in wrong.items()))
        self.assertEqual(self.targets.counts["events"], self.load.written)

    def test_postgres(self):
        proxy = self.proxy(services.shared(services.Postgres).port)
        self.begin(postgres_port=proxy.port)
        self.outage(["rows", "log"], proxy, OUTAGE // 3)

    def test_kafka(self):
        kafka = services.Kafka(proxied=True)
        self.addCleanup(kafka.close)
        kafka.start()
        self.begin(kafka, brokers=kafka.proxied)
        self.outage(["events"], kafka.proxy, OUTAGE)

    def test_opensearch(self):
        proxy = self.proxy(services.shared(services.OpenSearch).port)
        self.begin(search_port=proxy.port)
        self.outage(["overwrite", "guarded"], proxy, OUTAGE // 3)


if __name__ == "__main__":
    unittest.main()
