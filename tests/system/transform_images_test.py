#!/usr/bin/env python3
"""Transforms in a running daemon: what arrives is what they say of each record, keys and
order untouched; a sample is the same for two sinks and for `explain`; a rename of the key
goes to the dead letters whole."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402
from operator_test import KEYS, SIGNED, Emulator  # noqa: E402

FILTERS = {
    "public": {"type": "project", "exclude": ["note", "s*"]},
    "mark": {"type": "set", "attributes": {"source": {"S": "orders"}}},
    "flat": {"type": "flatten", "separator": "__"},
    "some": {"type": "sample", "percent": "20.5"},
    "quiet": {"type": "dedupe-unchanged"},
    "bad": {"type": "rename", "attributes": {"pk": "id"}},
}


def flattened(image):
    out = {}

    def lift(prefix, members):
        for name, value in members.items():
            if value.get("M"):
                lift(prefix + name + "__", value["M"])
            else:
                out[prefix + name] = value
    lift("", image)
    return out


def transformed(image):
    image = {n: v for n, v in image.items() if n != "note" and not n.startswith("s")}
    image["source"] = {"S": "orders"}
    return flattened(image)


class Transforms(unittest.TestCase):
    def setUp(self):
        self.work = support.Workspace("timages")
        self.addCleanup(self.work.close)
        self.emulator = Emulator(*SIGNED, "--seed", 11, "--shards", 2, "--records", 2000, "--items",
                                 200, "--split-every", 700, "--table", "orders")
        self.addCleanup(self.emulator.close)
        self.events = [r for stream in self.emulator.control("dump")["streams"]
                       for shard in stream["shards"] for r in shard["events"]]

    def trail(self, name, filters, **more):
        return dict({"type": "audit", "from": ["orders"], "directory": self.work(name),
                     "filters": filters}, **more)

    def run_until(self, sinks, done):
        path = support.config(
            self.work.path, self.emulator.endpoint, {"orders": {
                "table": "orders", "poll.idle": "250ms", "poll.calls": 50,
                "discovery.interval": "1s"}},
            sinks, filters=FILTERS, admin={"listen": "127.0.0.1:%d" % support.free_port()})
        daemon = support.Process([support.SLIPRING, "run", "-c", path], env=KEYS)
        self.addCleanup(daemon.close)

        def all_done():
            code, out, _ = support.slipring("status", "-c", path, "--json")
            return code == 0 and all(done(s) for s in json.loads(out)["sinks"])
        support.wait_until("everything to pass", all_done, patience=120, step=0.2)
        self.assertEqual(daemon.stop(), 0, daemon.stderr())
        return path

    def lines(self, name):
        return [dict(support.members(line)) for line in support.trail_lines(self.work(name))]

    def test_what_arrives_is_what_they_say(self):
        self.run_until(
            {"changed": self.trail("changed", ["public", "mark", "flat"]),
             "first": self.trail("first", ["some"]),
             "second": self.trail("second", ["public", "some"])},
            lambda s: s["acked"] + s["filtered"] == len(self.events))
        by_id = {e["eventID"]: e["dynamodb"] for e in self.events}
        lines = self.lines("changed")
        self.assertEqual(sorted(json.loads(x["eventID"]) for x in lines), sorted(by_id))
        images = 0
        for x in lines:
            was = by_id[json.loads(x["eventID"])]
            self.assertEqual(json.loads(x["keys"]), was["Keys"])
            for member, image in (("new", "NewImage"), ("old", "OldImage")):
                have = json.loads(x.get(member, "null"))
                self.assertEqual(have, transformed(was[image]) if image in was else None)
                images += image in was
        self.assertGreater(images, len(lines))
        self.assertTrue(any("address.street__" in x.get("new", "") for x in lines))
        self.assertTrue(any("note" in e.get("NewImage", {}) for e in by_id.values()))
        first, second = ([json.loads(x["eventID"]) for x in self.lines(n)] for n in ("first", "second"))
        self.assertEqual(sorted(first), sorted(second))
        # By item: whole lives, and about a fifth of them.
        keys = {json.dumps(by_id[i]["Keys"]) for i in first}
        self.assertEqual(sorted(first), sorted(
            i for i, e in by_id.items() if json.dumps(e["Keys"]) in keys))
        self.assertTrue(10 < len(keys) < 80, len(keys))
        # Someone else, without the schema, answers the same.
        path = os.path.join(self.work.path, "slipring.yaml")
        told = subprocess.run(
            [support.SLIPRING, "explain", "--filters", "some", "-c", path],
            input="".join(json.dumps(e) + "\n" for e in self.events).encode(),
            capture_output=True, timeout=60, check=False).stdout.decode().splitlines()
        self.assertEqual([t.startswith("kept") for t in told],
                         [e["eventID"] in first for e in self.events])

    def test_a_key_that_would_be_renamed_is_a_dead_letter(self):
        path = self.run_until({"never": self.trail("never", ["bad", "quiet"])},
                              lambda s: s["rejected"] >= 500)
        self.assertEqual(self.lines("never"), [])
        code, out, err = support.slipring("dlq", "list", "-c", path, "--json")
        self.assertEqual(code, 0, err)
        letters = json.loads(out)
        letters = letters if isinstance(letters, list) else letters["letters"]
        self.assertTrue(letters)
        for letter in letters:
            self.assertIn("filter bad: pk is a key attribute, which cannot be renamed",
                          letter["reason"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
