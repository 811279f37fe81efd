#!/usr/bin/env python3
"""Filters before sinks: each sink gets what its chain lets through, in order; positions
move past what is dropped; mistakes are named with their place; explain answers as the
daemon decides."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402
from operator_test import KEYS, SIGNED, Emulator  # noqa: E402

REMOVED = {"eventName": ["REMOVE"]}


class Filters(unittest.TestCase):
    def setUp(self):
        self.work = support.Workspace("filter")
        self.addCleanup(self.work.close)
        self.emulator = Emulator(*SIGNED, "--seed", 7, "--shards", 2, "--records", 3000, "--items",
                                 100, "--split-every", 900, "--table", "orders")
        self.addCleanup(self.emulator.close)

    def events(self):
        return [r for stream in self.emulator.control("dump")["streams"]
                for shard in stream["shards"] for r in shard["events"]]

    def write(self, filters, sinks):
        return support.config(self.work.path, self.emulator.endpoint, {"orders": {
            "table": "orders", "poll.idle": "250ms", "poll.calls": 50, "discovery.interval": "1s"}},
            sinks, filters=filters, admin={"listen": "127.0.0.1:%d" % support.free_port()})

    def trail(self, name, **more):
        return dict({"type": "audit", "from": ["orders"], "directory": self.work(name)}, **more)

    def ids(self, name):
        return [json.loads(dict(support.members(line))["eventID"])
                for line in support.trail_lines(self.work(name))]

    def test_each_sink_gets_its_own(self):
        path = self.write(
            {"removed": {"type": "pattern", "pattern": REMOVED},
             "ttl": {"type": "pattern", "ttl": "only"},
             "users": {"type": "pattern", "ttl": "never"}},
            {"all": self.trail("all"),
             "removals": self.trail("removals", filters=["removed"]),
             "expiries": self.trail("expiries", filters=["removed", "ttl"]),
             "by-hand": self.trail("by-hand", filters=["users"])})
        events = self.events()
        ttl = [e["eventID"] for e in events if "userIdentity" in e]
        want = {"all": [e["eventID"] for e in events],
                "removals": [e["eventID"] for e in events if e["eventName"] == "REMOVE"],
                "expiries": ttl,
                "by-hand": [e["eventID"] for e in events if "userIdentity" not in e]}
        self.assertTrue(ttl and len(ttl) < len(want["removals"]) < len(events))
        daemon = support.Process([support.SLIPRING, "run", "-c", path], env=KEYS)
        self.addCleanup(daemon.close)

        def status():
            code, out, _ = support.slipring("status", "-c", path, "--json")
            return {s["name"]: s for s in json.loads(out)["sinks"]} if code == 0 else {}

        def through():
            sinks = status()
            return sinks and all(s["acked"] == len(want[n]) for n, s in sinks.items()) and \
                all(s["filtered"] == len(events) - len(want[n]) for n, s in sinks.items())
        support.wait_until("everything to pass", through, patience=120, step=0.2)
        self.assertEqual(daemon.stop(), 0, daemon.stderr())
        for name in want:
            self.assertEqual(sorted(self.ids(name)), sorted(want[name]), name)
        # Behind what was dropped, too: a second life reads nothing again.
        again = support.Process([support.SLIPRING, "run", "-c", path], env=KEYS)
        self.addCleanup(again.close)
        support.wait_until("the second life", lambda: status(), patience=60)
        support.wait_until("all caught up", lambda: all(
            s["caught_up"] for s in json.loads(support.slipring(
                "status", "-c", path, "--json")[1])["streams"][0]["sinks"]), patience=60, step=0.2)
        self.assertEqual([s["taken"] + s["filtered"] for s in status().values()], [0] * 4)
        self.assertEqual(again.stop(), 0, again.stderr())

    def test_mistakes_are_named_with_their_place(self):
        path = self.write({"removed": {"type": "pattern", "pattern": {"eventName": "REMOVE"}}},
                          {"all": self.trail("all", filters=["removed"])})
        code, out, err = support.slipring("check", "-c", path)
        self.assertEqual((code, out), (78, ""))
        self.assertRegex(err, r'slipring\.yaml:\d+:\d+: filter "removed": pattern: eventName: '
                              r'a list must be here, as in \["REMOVE"\]')
        path = self.write({"removed": {"type": "pattern", "pattern": REMOVED}},
                          {"all": self.trail("all", filters=["remove"])})
        code, _, err = support.slipring("check", "-c", path)
        self.assertEqual(code, 78)
        self.assertIn('there is no filter "remove"; did you mean "removed"?', err)

    def test_explain_decides_as_the_daemon(self):
        events = self.events()
        done = subprocess.run([support.SLIPRING, "explain", "--pattern", json.dumps(REMOVED)],
                              input="".join(json.dumps(e) + "\n" for e in events).encode(),
                              capture_output=True, timeout=60, check=False)
        answers = done.stdout.decode().splitlines()
        self.assertEqual(done.returncode, 1)
        self.assertEqual([a == "match" for a in answers],
                         [e["eventName"] == "REMOVE" for e in events])
        self.assertIn("no match: eventName: \"INSERT\" does not match", answers)


if __name__ == "__main__":
    unittest.main(verbosity=2)
