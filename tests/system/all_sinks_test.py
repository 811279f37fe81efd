#!/usr/bin/python3
"""One daemon, every sink, tens of thousands of changes, the daemon killed ten times and
each target restarted in mid-stream: then every target holds exactly what the source says."""
import os
import random
import re
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import oracle  # noqa: E402
import services  # noqa: E402
import support  # noqa: E402
from targets import Targets  # noqa: E402

WRITES = int(os.environ.get("WRITES", "50000"))
KEYS = int(os.environ.get("KEYS", "2000"))
KILLS = 10
SEED = int(os.environ.get("SEED", "20261121"))
PATIENCE = 300


def note(text, begun=time.monotonic()):
    print("%6.1f s  %s" % (time.monotonic() - begun, text), flush=True)


class AllSinks(unittest.TestCase):
    def setUp(self):
        self.work = support.Workspace("all-sinks")
        self.addCleanup(self.work.close)
        private = [services.Kafka(), services.Postgres(), services.OpenSearch()]
        for service in private:
            self.addCleanup(service.close)
        services.side_by_side(private)
        self.kafka, self.postgres, self.search = private
        self.source = services.own(services.DynamoDB)
        self.client = self.source.client()
        self.addCleanup(self.client.close)

    def writers(self, table):
        """Two, each with half of the keys and of the changes; None is waited for."""
        made = []
        for half in (0, 1):
            client = self.source.client()
            self.addCleanup(client.close)
            made.append(oracle.Writer(client, table, SEED + half, KEYS // 2, "item%d" % half))
        return made

    def faults(self):
        """What happens at which number of changes, in order. None: the daemon is killed."""
        rng = random.Random(SEED)
        restarts = [self.kafka, self.postgres, self.search]
        at = sorted(rng.randrange(WRITES // 50, WRITES) for _ in range(KILLS + len(restarts)))
        what = [None] * KILLS + restarts
        rng.shuffle(what)
        return list(zip(at, what))

    def live_through(self, path, writers, work):
        """All faults, the last daemon is left running. A target comes back in its own time:
        meanwhile the daemon may be killed again."""
        coming = []
        self.start(path)
        for at, service in self.faults():
            self.until("%d changes" % at, lambda: sum(w.written for w in writers) >= at
                       or not all(w.is_alive() for w in work))
            note("%d changes: %s" % (at, "%s is killed" % (service.name if service else "daemon")))
            if service is not None:
                service.kill()
                coming.append(support.Background(service.restart))
                continue
            before = self.trail_size()
            self.until("the trail to grow", lambda: self.trail_size() > before
                       or not any(w.is_alive() for w in work))
            self.daemon.kill()
            self.daemon.close()
            self.start(path)
        for restart in coming + work:
            restart.finish()

    def start(self, path):
        self.daemon = support.run_daemon(path)

    def until(self, what, condition):
        support.wait_until(what, lambda: condition() or not self.daemon.running(), PATIENCE)
        self.assertTrue(self.daemon.running(), self.daemon.stderr())

    def trail_size(self):
        folder = self.work("trail")
        return sum(e.stat().st_size for e in os.scandir(folder)) if os.path.isdir(folder) else 0

    def last_sequence(self, arn):
        return {shard: int(records[-1]) for shard, records in (
            (s, [re.search(r'"SequenceNumber":"(\d+)"', r).group(1) for r in rs[-1:]])
            for s, rs in self.client.read_stream(arn).items()) if records}

    def arrived(self, path, last, sinks):
        """True when every sink's saved position is at the end of every shard."""
        self.assertTrue(self.daemon.running(), self.daemon.stderr())
        at = {(p["sink"], p["shard"]): int(p["sequence"] or 0) for p in oracle.positions(path)}
        return all(at.get((sink, shard), 0) >= n for sink in sinks for shard, n in last.items())

    def test_all_hold_the_same_after_kills_and_restarts(self):
        begun = time.monotonic()
        table = services.unique("all")
        arn = oracle.create_table(self.client, table)
        targets = Targets(self.work.path, arn, table, self.kafka, self.postgres, self.search)
        sinks = targets.sinks("orders", **{"breaker.open": "1s"})
        path = support.config(self.work.path, self.source.endpoint,
                              {"orders": {"table": table, "poll.idle": "250ms"}}, sinks)
        writers = self.writers(table)
        work = [support.Background(lambda w=w: w.run(WRITES // 2)) for w in writers]
        self.addCleanup(lambda: self.daemon.close())
        self.live_through(path, writers, work)
        note("all written")
        written = time.monotonic()
        last = self.last_sequence(arn)
        support.wait_until("every sink to arrive", lambda: self.arrived(path, last, sinks),
                           PATIENCE, 0.5)
        note("all arrived")
        arrived = time.monotonic()
        self.assertEqual(self.daemon.stop(), 0, self.daemon.stderr())
        wrong = targets.compare(self.client)
        self.assertEqual(wrong, {}, "\n".join("%s: %s" % w for w in wrong.items()))
        self.assertEqual(targets.counts["events"], 2 * (WRITES // 2))
        print("all sinks: %d events, %d items, %d Kafka messages (%d of them repeats), %d kills,"
              " 3 restarts; written in %.0f s, arrived %.0f s later, compared in %.0f s" % (
                  targets.counts["events"], targets.counts["items"], targets.counts["messages"],
                  targets.counts["messages"] - targets.counts["events"], KILLS, written - begun,
                  arrived - written, time.monotonic() - arrived))


if __name__ == "__main__":
    unittest.main()
