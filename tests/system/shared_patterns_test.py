#!/usr/bin/env python3
"""Many sinks of one stream, each behind a pattern of its own: asked together or, when a
sink is new and reads alone what the others have, one by one, each gets what its
pattern says."""
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402
from operator_test import KEYS, SIGNED, Emulator  # noqa: E402

RECORDS = 3000


class Wanted:
    """A sink: its filters, and whether it is to get an event."""

    def __init__(self, pattern, test, filters=(), **more):
        self.pattern, self.test, self.filters, self.more = pattern, test, list(filters), more


def key(e):
    return e["dynamodb"]["Keys"]["pk"]["S"]


def image(e):
    return e["dynamodb"].get("NewImage")


def of_keys(*keys):
    return Wanted({"dynamodb": {"Keys": {"pk": {"S": list(keys)}}}}, lambda e: key(e) in keys)


def of_versions(low, high, name):
    pattern = {"eventName": [name], "dynamodb": {"NewImage": {"v": {"N": [
        {"numeric": [">", low, "<=", high]}]}}}}
    return Wanted(pattern, lambda e: e["eventName"] == name and image(e) is not None
                  and low < int(image(e)["v"]["N"]) <= high)


SINKS = {
    "k-1": of_keys("o-1", "o-11"),
    "k-2": of_keys("o-2"),
    "k-3": of_keys("o-3", "o-2"),
    "v-1": of_versions(0, 900, "MODIFY"),
    "v-2": of_versions(500, 2000, "MODIFY"),
    "v-3": of_versions(1999, 9999, "INSERT"),
    "either": Wanted({"$or": [{"eventName": ["REMOVE"]}, {"dynamodb": {"Keys": {"pk": {"S": [
        {"suffix": "7"}]}}}}]}, lambda e: e["eventName"] == "REMOVE" or key(e).endswith("7")),
    "twice": Wanted({"dynamodb": {"Keys": {"pk": {"S": [{"prefix": "o-1"}]}}}},
                    lambda e: key(e).startswith("o-1") and "userIdentity" not in e, ["by-hand"]),
    "plain": Wanted({"keys": {"pk": ["o-5"]}}, lambda e: key(e) == "o-5", plain=True),
}
# New in the second life.
LATE = {
    "l-1": of_keys("o-4"),
    "l-2": of_versions(100, 300, "INSERT"),
    "l-3": Wanted({"dynamodb": {"OldImage": {"pk": {"S": [{"exists": False}]}}}},
                  lambda e: "OldImage" not in e["dynamodb"]),
    "all": Wanted(None, lambda e: True),
}


class SharedPatterns(unittest.TestCase):
    def setUp(self):
        self.work = support.Workspace("shared")
        self.addCleanup(self.work.close)
        self.emulator = Emulator(*SIGNED, "--seed", 11, "--shards", 2, "--records", RECORDS,
                                 "--items", 30, "--split-every", 900, "--table", "orders")
        self.addCleanup(self.emulator.close)

    def write(self, sinks):
        filters = {"by-hand": {"type": "pattern", "ttl": "never"}}
        given = {}
        for name, s in sinks.items():
            given[name] = {"type": "audit", "from": ["orders"], "directory": self.work(name)}
            if s.pattern is not None:
                filters[name] = dict({"type": "pattern", "pattern": s.pattern}, **s.more)
                given[name]["filters"] = [name] + s.filters
        return support.config(self.work.path, self.emulator.endpoint, {"orders": {
            "table": "orders", "poll.idle": "250ms", "poll.calls": 50, "discovery.interval": "1s"}},
            given, filters=filters, admin={"listen": "127.0.0.1:%d" % support.free_port()})

    def life(self, path, want, events):
        daemon = support.Process([support.SLIPRING, "run", "-c", path], env=KEYS)
        self.addCleanup(daemon.close)

        def through():
            code, out, _ = support.slipring("status", "-c", path, "--json")
            sinks = {s["name"]: s for s in json.loads(out)["sinks"]} if code == 0 else {}
            return sinks and all(sinks[n]["acked"] == len(w) and
                                 sinks[n]["filtered"] == len(events) - len(w)
                                 for n, w in want.items())
        support.wait_until("everything to pass", through, patience=120, step=0.2)
        self.assertEqual(daemon.stop(), 0, daemon.stderr())

    def test_each_gets_what_its_pattern_says(self):
        events = [r for stream in self.emulator.control("dump")["streams"]
                  for shard in stream["shards"] for r in shard["events"]]

        def wanted(sinks):
            want = {n: [e["eventID"] for e in events if s.test(e)] for n, s in sinks.items()}
            self.assertTrue(all(0 < len(w) < len(events) for n, w in want.items() if n != "all"),
                            {n: len(w) for n, w in want.items()})
            return want
        self.life(self.write(SINKS), wanted(SINKS), events)
        self.life(self.write(dict(SINKS, **LATE)), wanted(LATE), events)
        for name, ids in wanted(dict(SINKS, **LATE)).items():
            got = [json.loads(dict(support.members(line))["eventID"])
                   for line in support.trail_lines(self.work(name))]
            self.assertEqual(sorted(got), sorted(ids), name)


if __name__ == "__main__":
    unittest.main()
