#!/usr/bin/env python3
"""A script before a sink: what it refuses is a dead letter as it came, without its contents in
the log; mended, a replay passes the filters again. A wrong script is named with its line."""
import json
import os
import sqlite3
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402
from operator_test import KEYS, SIGNED, Emulator  # noqa: E402

BROKEN = """
function change(record)
  if record.event == "REMOVE" then error("secret " .. tostring(record.keys)) end
  if record.event == "INSERT" then return nil end
  record.new.from_script = record.event:lower()
  return record
end
"""
MENDED = BROKEN.replace('error("secret " .. tostring(record.keys))', "return record")


class Scripts(unittest.TestCase):
    def setUp(self):
        self.work = support.Workspace("script")
        self.addCleanup(self.work.close)
        self.emulator = Emulator(*SIGNED, "--seed", 7, "--shards", 2, "--records", 600, "--items",
                                 100, "--table", "orders")
        self.addCleanup(self.emulator.close)
        self.script = self.work("change.lua")
        self.path = support.config(
            self.work.path, self.emulator.endpoint, {"orders": {
                "table": "orders", "poll.idle": "250ms", "poll.calls": 50}},
            {"log": {"type": "sqlite", "from": ["orders"], "path": self.work("log.db"),
                     "mode": "log", "table": "changes", "filters": ["script"]}},
            filters={"script": {"type": "script", "file": self.script}},
            admin={"listen": "127.0.0.1:%d" % support.free_port()})

    def write(self, text):
        with open(self.script, "w", encoding="utf-8") as f:
            f.write(text)

    def run_daemon(self):
        daemon = support.Process([support.SLIPRING, "run", "-c", self.path], env=KEYS)
        self.addCleanup(daemon.close)
        return daemon

    def sink(self):
        code, out, _ = support.slipring("status", "-c", self.path, "--json")
        return json.loads(out)["sinks"][0] if code == 0 else None

    def rows(self):
        db = sqlite3.connect("file:%s?mode=ro" % self.work("log.db"), uri=True)
        try:
            return db.execute("SELECT * FROM changes").fetchall()
        finally:
            db.close()

    def test_refused_mended_replayed(self):
        events = [r["eventName"] for stream in self.emulator.control("dump")["streams"]
                  for shard in stream["shards"] for r in shard["events"]]
        modified, removed = events.count("MODIFY"), events.count("REMOVE")
        self.assertTrue(modified and removed and events.count("INSERT"))
        self.write(BROKEN)
        daemon = self.run_daemon()

        def sorted_out():
            s = self.sink()
            return s and s["acked"] == modified and s["dead_letters"]["count"] == removed
        support.wait_until("all to be sorted out", sorted_out, patience=60, step=0.2)
        self.assertEqual(self.sink()["filtered"], events.count("INSERT"))
        self.assertEqual(daemon.stop(), 0, daemon.stderr())
        self.assertIn("change.lua:3: error() with a text that is not shown", daemon.stderr())
        self.assertNotIn("secret", daemon.stderr())
        listed = json.loads(support.slipring("dlq", "list", "-c", self.path, "--json")[1])
        self.assertTrue(all(d["unfiltered"] and d["attempts"] == 0 for d in listed))
        self.assertEqual(len(listed), removed)
        self.write(MENDED)
        daemon = self.run_daemon()
        support.wait_until("the second life", self.sink, patience=60)
        code, out, err = support.slipring("dlq", "replay", "-c", self.path, "--all")
        self.assertEqual((code, err), (0, ""), out)
        self.assertIn("log: %d delivered, 0 refused again" % removed, out)
        self.assertEqual(self.sink()["dead_letters"]["count"], 0)
        self.assertEqual(daemon.stop(), 0, daemon.stderr())
        rows = self.rows()
        self.assertEqual(len(rows), modified + removed)
        self.assertEqual(sum("from_script" in str(r) for r in rows), modified)

    def test_left_out_in_a_replay(self):
        self.write(BROKEN)
        daemon = self.run_daemon()
        support.wait_until("letters", lambda: (self.sink() or {}).get("dead_letters", {}).get("count"),
                           patience=60, step=0.2)
        self.assertEqual(daemon.stop(), 0, daemon.stderr())
        self.write("function change(record) return nil end")
        daemon = self.run_daemon()
        support.wait_until("the second life", self.sink, patience=60)
        code, out, _ = support.slipring("dlq", "replay", "-c", self.path, "--all")
        self.assertEqual(code, 0, out)
        self.assertRegex(out, r"log: 0 delivered, 0 refused again, \d+ left out by filters")
        self.assertEqual(self.sink()["dead_letters"]["count"], 0)
        self.assertEqual(daemon.stop(), 0, daemon.stderr())

    def test_a_wrong_script(self):
        self.write("function change(record)\n  return record +\nend\n")
        for command in ("check", "run"):
            code, _, err = support.slipring(command, "-c", self.path)
            self.assertEqual(code, 78, err)
            self.assertIn("change.lua:3: unexpected symbol near 'end'", err)
        os.unlink(self.script)
        code, _, err = support.slipring("check", "-c", self.path)
        self.assertEqual(code, 78)
        self.assertIn("cannot open the script", err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
