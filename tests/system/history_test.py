#!/usr/bin/env python3
"""A history with splits, rotations and strange values, read over HTTP from a
service that misbehaves, by a daemon that is killed: the trail holds every event once, each
item in order, byte for byte. And the same over TLS, with and without trust."""
import json
import os
import random
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402
from operator_test import KEYS, SIGNED, Emulator  # noqa: E402

RECORDS = int(os.environ.get("RECORDS", "12000"))
FAULTS = ["throttle", "limit-exceeded", "server-error", "unavailable", "html-200", "empty-200",
          "reset-before", "reset-after", "truncate", "wrong-crc32", "gzip-cut", "expired-iterator"]


class History(unittest.TestCase):
    def setUp(self):
        self.work = support.Workspace("history")
        self.addCleanup(self.work.close)

    def emulator(self, *options):
        e = Emulator(*options)
        self.addCleanup(e.close)
        return e

    @staticmethod
    def events(emulator):
        """Sequence numbers by shard, from the emulator's own memory."""
        return {shard["id"]: [r["dynamodb"]["SequenceNumber"] for r in shard["events"]]
                for stream in emulator.control("dump")["streams"] for shard in stream["shards"]}

    def run_through(self, path, trail, count, kills):
        rng = random.Random(1)
        daemon = support.Process([support.SLIPRING, "run", "-c", path], env=KEYS)
        self.addCleanup(lambda: daemon.close())
        for _ in range(kills):
            have = self.size(trail)
            step = rng.randrange(1, count // (kills + 2))
            support.wait_until("progress", lambda: self.size(trail) > have + step or
                               self.size(trail) >= count or not daemon.running(), step=0.05)
            self.assertTrue(daemon.running(), daemon.stderr())
            daemon.kill()
            daemon.close()
            daemon = support.Process([support.SLIPRING, "run", "-c", path], env=KEYS)
        support.wait_until("%d entries" % count, lambda: self.size(trail) >= count or
                           not daemon.running(), patience=180, step=0.2)
        # The last kill may have come when all was there, and SIGTERM has its default meaning
        # until the daemon runs.
        support.wait_until("the start", lambda: "msg=running" in daemon.stderr() or
                           not daemon.running())
        code = daemon.stop()
        self.assertEqual(code, 0, daemon.stderr())

    @staticmethod
    def size(trail):
        return len(support.trail_lines(trail)) if os.path.isdir(trail) else 0

    def test_nothing_is_lost_or_out_of_order(self):
        e = self.emulator(*SIGNED, "--seed", 5, "--shards", 3, "--records", RECORDS, "--items", 200,
                          "--split-every", RECORDS // 8, "--rotate-every", RECORDS // 10,
                          "--page-records", 200, "--shard-order", "shuffled", "--gzip", "--chunked",
                          "--listing-lag-ms", 300, "--table", "orders")
        for kind in FAULTS:
            e.control("fault", kind=kind, probability=0.02)
        trail = self.work("trail")
        path = support.config(self.work.path, e.endpoint, {"orders": {
            "table": "orders", "gzip": True, "poll.idle": "250ms", "poll.calls": 50,
            "discovery.interval": "1s"}},
            {"trail": {"type": "audit", "from": ["orders"], "directory": trail}})
        expected = self.events(e)
        count = sum(map(len, expected.values()))
        self.assertGreaterEqual(count, RECORDS)
        self.run_through(path, trail, count, kills=4)

        by_shard, by_key = {}, {}
        for line in support.trail_lines(trail):
            entry = dict(support.members(line))
            number = json.loads(entry["sequence"])
            by_shard.setdefault(json.loads(entry["shard"]), []).append(number)
            by_key.setdefault(entry["keys"], []).append(
                (int(number), entry.get("old"), entry.get("new")))
        self.assertEqual(by_shard, {k: v for k, v in expected.items() if v})
        for key, changes in by_key.items():
            self.assertEqual([c[0] for c in changes], sorted(c[0] for c in changes), key)
            for before, after in zip(changes, changes[1:]):
                self.assertEqual(after[1], before[2], "an image of %s does not follow the one before" % key)
        self.assertEqual(support.slipring("audit", "verify", trail)[0], 0)
        stats = e.control("stats")
        print("history: %d events in %d shards, 4 kills; the service met %s" % (
            count, len(expected), json.dumps(stats["errors"])))

    def test_tls_is_trusted_by_ca_file_only(self):
        key, cert = self.work("key.pem"), self.work("cert.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
                        "-subj", "/CN=slipring-test", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", key, "-out", cert], check=True, capture_output=True)
        e = self.emulator(*SIGNED, "--records", 20, "--table", "orders", "--tls-cert", cert,
                          "--tls-key", key)
        argv = ["tail", "orders", "--endpoint", "https://127.0.0.1:%d" % e.port, "--region",
                "us-east-1", "--until-idle"]
        code, out, err = support.slipring(*argv, "--ca-file", cert, env=KEYS)
        self.assertEqual(code, 0, err)
        self.assertEqual(len(out.splitlines()), 20)
        code, out, err = support.slipring(*argv, env=KEYS)
        self.assertEqual((code, out), (1, ""), err)
        self.assertIn("certificate", err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
