#!/usr/bin/env python3
"""What a target refuses, and what people do about it: on-reject halt and skip, the
brake, slipring resume. The target is a SQLite copy with a trigger that refuses; to
mend it the trigger is dropped.

Builds on support.py; the emulator is build/tests/emulator/emulator ($EMULATOR).
"""
import json
import os
import re
import sqlite3
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402
from operator_test import Emulator  # noqa: E402


class Refused(unittest.TestCase):
    def setUp(self):
        self.work = support.Workspace("refuse")
        self.addCleanup(self.work.close)
        self.emulator = Emulator("--records", 0)
        self.addCleanup(self.emulator.close)
        self.target = self.work("copy.db")

    def begin(self, **sink):
        """A daemon whose copy exists, and refuses items whose key begins with "bad"."""
        sink = dict({"type": "sqlite", "from": ["orders"], "path": self.target}, **sink)
        self.path = support.config(self.work(), self.emulator.endpoint, {"orders": {"table": "orders"}},
                                   {"copy": sink})
        self.daemon = support.run_daemon(self.path)
        self.addCleanup(self.daemon.close)
        self.put("first")
        support.wait_until("the first row", lambda: self.rows() == {"first"})
        self.sql("CREATE TRIGGER refuse BEFORE INSERT ON orders WHEN NEW.pk LIKE 'bad%' "
                 "BEGIN SELECT RAISE(ABORT, 'not here'); END")
        port = re.search(r"address=127.0.0.1 port=(\d+)", self.daemon.stderr()).group(1)
        self.admin = "127.0.0.1:" + port

    def put(self, *keys):
        for key in keys:
            self.emulator.control("put", table="orders", item={"pk": {"S": key}, "sk": {"N": "1"}})

    def sql(self, text):
        db = sqlite3.connect(self.target, timeout=support.PATIENCE)
        try:
            with db:
                return db.execute(text).fetchall()
        finally:
            db.close()

    def rows(self):
        try:
            return {row[0] for row in self.sql("SELECT pk FROM orders")}
        except sqlite3.OperationalError:
            return set()

    def sink(self):
        code, out, err = support.slipring("status", "--json", "--admin", self.admin)
        self.assertEqual(code, 0, err)
        return json.loads(out)["sinks"][0]

    def resume(self):
        return support.slipring("resume", "copy", "-c", self.path, "--admin", self.admin)

    def wait_for_halt(self):
        support.wait_until("the sink to halt", lambda: self.sink()["state"] == "halted")

    def stopped(self):
        return [line for line in self.daemon.stderr().splitlines() if "stopped: " in line]

    def dead_letters(self):
        db = sqlite3.connect("file:%s?mode=ro" % self.work("state.db"), uri=True)
        try:
            return db.execute("SELECT count(*) FROM dead_letters").fetchone()[0]
        finally:
            db.close()

    def end(self):
        self.assertEqual(self.daemon.stop(), 0, self.daemon.stderr())

    def test_halts_before_the_record(self):
        self.begin(**{"on-reject": "halt"})
        self.put("a", "bad", "b")
        self.wait_for_halt()
        line, = self.stopped()
        self.assertRegex(line, r"level=error module=lane object=copy .*stream=orders "
                               r"shard=shardId-\S+ sequence=\d+; .*slipring resume copy; .*not here")
        self.assertIn("a record was refused", self.sink()["why"])
        self.assertEqual(self.resume(), (0, "copy is resumed: it tries one record, and goes on "
                                            "if that is taken\n", ""))
        self.wait_for_halt()
        self.assertNotIn("bad", self.rows())
        self.sql("DROP TRIGGER refuse")
        self.assertEqual(self.resume()[0], 0)
        support.wait_until("all rows", lambda: self.rows() == {"first", "a", "bad", "b"})
        self.assertEqual(self.sink()["state"], "running")
        self.assertEqual(self.dead_letters(), 0)
        self.end()

    def test_leaves_the_record_out(self):
        self.begin(**{"on-reject": "skip"})
        self.put("a", "bad", "b")
        support.wait_until("the others", lambda: self.rows() == {"first", "a", "b"})
        support.wait_until("the line", lambda: re.search(
            r"level=warn module=lane object=copy .*left out \(on-reject: skip\) stream=orders "
            r"shard=\S+ sequence=\d+ .*not here", self.daemon.stderr()))
        self.assertEqual(self.dead_letters(), 0)
        self.end()
        again = support.run_daemon(self.path)  # its position is behind all of them
        self.addCleanup(again.close)
        self.put("c")
        support.wait_until("the next", lambda: "c" in self.rows())
        self.assertNotIn("on-reject", again.stderr())
        self.assertEqual(again.stop(), 0, again.stderr())

    def test_the_brake(self):
        self.begin(**{"dead-letters": {"brake": 5}})
        bad = ["bad-%d" % i for i in range(12)]
        self.put(*bad)
        self.wait_for_halt()
        line, = self.stopped()
        self.assertIn("5 records in a row were refused (dead-letters.brake), they are dead letters; when "
                      "that is mended: slipring resume copy, then slipring dlq replay --sink copy", line)
        self.assertEqual(self.dead_letters(), 5)
        self.assertTrue(self.daemon.running(), "it waits for people, though nothing else runs")
        self.sql("DROP TRIGGER refuse")
        self.assertEqual(self.resume()[0], 0)
        support.wait_until("the other seven", lambda: len(self.rows()) == 8)
        self.assertEqual(self.dead_letters(), 5)
        self.assertEqual(self.sink()["state"], "running")
        self.end()

    def test_nothing_to_resume(self):
        self.begin()
        self.assertEqual(self.resume(),
                         (0, "copy is not halted, it is running; nothing was changed\n", ""))
        code, _, err = support.slipring("resume", "cpoy", "-c", self.path, "--admin", self.admin)
        self.assertEqual((code, err), (1, 'slipring: no sink is named "cpoy"; did you mean "copy"?\n'))
        code, _, err = support.slipring("resume", "copy", "-c", self.path)
        self.assertEqual(code, 1)
        self.assertIn("name it with --admin", err)
        self.end()
        code, _, err = self.resume()
        self.assertEqual(code, 1)
        self.assertIn("the daemon is not running", err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
