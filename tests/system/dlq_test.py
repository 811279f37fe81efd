#!/usr/bin/python3
"""Dead letters end to end, on DynamoDB Local and a SQLite copy that refuses in
earnest: a trigger of the operator's own. Listed, shown, replayed, dropped, through crashes.
"""
import json
import os
import sqlite3
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import services  # noqa: E402
import support  # noqa: E402

TRIGGER = ("CREATE TRIGGER no_%s BEFORE INSERT ON items WHEN new.total >= 1000 "
           "BEGIN SELECT RAISE(ABORT, 'total is too large'); END")


class DlqCase(unittest.TestCase):
    def setUp(self):
        self.dynamodb = services.shared(services.DynamoDB)
        self.client = self.dynamodb.client()
        self.addCleanup(self.client.close)
        self.work = support.Workspace("dlq")
        self.addCleanup(self.work.close)
        self.table = services.unique("dlq")
        self.client.create_table(self.table)
        self.copy = self.work("copy.db")
        self.admin = support.server_port()
        self.daemon = None
        self.sink = {"type": "sqlite", "from": ["orders"], "path": self.copy, "table": "items",
                     "columns": {"total": "numeric", "note": "text"}}
        self.configure()

    def configure(self, **more):
        self.config = support.config(
            self.work.path, self.dynamodb.endpoint,
            {"orders": {"table": self.table, "poll": {"idle": "250ms"}}},
            {"local": dict(self.sink, **more)}, admin={"listen": "127.0.0.1:%d" % self.admin},
            checkpoint={"type": "sqlite", "path": self.work("state.db"), "interval": "100ms"})

    def start(self):
        self.daemon = support.run_daemon(self.config)
        self.addCleanup(self.daemon.close)
        support.wait_until("the daemon to be ready", lambda: self.status() is not None)

    def status(self):
        if not self.daemon.running():
            self.fail("the daemon ended: " + self.daemon.stderr()[-2000:])
        code, out, _ = support.slipring("status", "--json", "-c", self.config)
        return json.loads(out) if code == 0 else None

    def letters_status(self):
        return self.status()["sinks"][0]["dead_letters"]

    def put(self, pk, total, note="x"):
        self.client.call("PutItem", TableName=self.table, Item={
            "pk": {"S": pk}, "total": {"N": str(total)}, "note": {"S": note}})

    def copied(self):
        db = sqlite3.connect("file:%s?mode=ro" % self.copy, uri=True)
        try:
            return dict((pk, (total, note)) for pk, total, note in
                        db.execute("SELECT pk, total, note FROM items"))
        except sqlite3.OperationalError:
            return {}
        finally:
            db.close()

    def target(self, statement):
        db = sqlite3.connect(self.copy, timeout=30)
        try:
            db.execute(statement)
            db.commit()
        finally:
            db.close()

    def refuse_large(self):
        """The copy exists, and refuses every total of a thousand or more."""
        self.put("first", 1)
        support.wait_until("the copy", lambda: "first" in self.copied())
        self.target(TRIGGER % "large")

    def accept_large(self):
        self.target("DROP TRIGGER no_large")

    def dlq(self, *argv, code=0):
        got, out, err = support.slipring("dlq", *argv, "-c", self.config)
        self.assertEqual(got, code, out + err)
        return out + err

    def letters(self, *argv):
        code, out, err = support.slipring("dlq", "list", "--json", *argv, "-c", self.config)
        self.assertEqual(code, 0, out + err)
        return json.loads(out)

    def wait_letters(self, n):
        return support.wait_until("%d dead letters" % n, lambda: (
            lambda found: found if len(found) == n else None)(self.letters()))


class Commands(DlqCase):
    def test_listed_shown_replayed(self):
        self.start()
        self.refuse_large()
        for i in range(20):
            self.put("k%d" % i, 5000 if i == 7 else i, "x\u009b2J")
        letter = self.wait_letters(1)[0]
        support.wait_until("the rest", lambda: len(self.copied()) == 20)
        code, out, err = support.slipring("status", "-c", self.config)
        self.assertEqual(code, 0, err)
        self.assertRegex(out, r"(?m)^ok +orders +local .*\b1 dead letter$")
        self.assertIn("total is too large", letter["reason"])
        self.assertEqual(letter["sink"], "local")
        self.assertNotIn("key", letter)
        # What records hold is for show alone.
        for text in (self.dlq("list"), json.dumps(letter), self.daemon.stderr()):
            self.assertNotIn("k7", text)
            self.assertNotIn("5000", text)
        self.assertIn('["k7"]', self.dlq("list", "--keys"))
        shown = json.loads(self.dlq("show", letter["id"], "--json"))
        self.assertEqual(shown["record"]["dynamodb"]["NewImage"]["total"], {"N": "5000"})
        self.assertIn('"total":{"N":"5000"}', self.dlq("show", letter["id"]).replace(" ", ""))
        self.assertIn("there is no dead letter", self.dlq("show", letter["id"] + 1, code=1))
        self.assertNotIn("\u009b", self.dlq("show", letter["id"]))  # as "\033[", to a terminal

        # Refused again: it stays, with what was said now.
        self.target("DROP TRIGGER no_large")
        self.target((TRIGGER % "large").replace("total is too large", "still too large"))
        self.assertIn("0 delivered, 1 refused again",
                      self.dlq("replay", "--sink", "local", code=1))
        again = self.letters()[0]
        self.assertIn("still too large", again["reason"])
        self.assertEqual((again["id"], again["attempts"], again["first"]),
                         (letter["id"], letter["attempts"] + 1, letter["first"]))

        self.accept_large()
        self.assertIn("1 dead letter would be replayed", self.dlq("replay", "--all", "--dry-run"))
        self.assertEqual(len(self.letters()), 1)
        self.assertIn("local: 1 delivered, 0 refused again", self.dlq("replay", "--all"))
        self.assertEqual(self.copied()["k7"], (5000, "x\u009b2J"))
        self.assertEqual(self.letters(), [])
        self.assertEqual(self.letters_status()["count"], 0)
        self.assertIn("no dead letters", self.dlq("replay", "--all"))

    def test_selectors(self):
        self.start()
        self.refuse_large()
        for i in range(6):
            self.put("k%d" % i, 1000 + i)
        ids = [l["id"] for l in self.wait_letters(6)]

        def selected(*argv):
            return [l["id"] for l in self.letters(*argv)]

        self.assertEqual(selected("--key", '["k3"]'), ids[3:4])
        self.assertEqual(selected("--key", '{"pk":{"S":"k3"}}'), ids[3:4])
        self.assertEqual(selected("--key", ' ["k3" ]'.strip()), ids[3:4])
        self.assertEqual(selected("--id", "%d,%d-%d" % (ids[0], ids[2], ids[4])),
                         [ids[0], *ids[2:5]])
        self.assertEqual(selected("--reason", "too large", "--limit", "2"), ids[:2])
        self.assertEqual(selected("--reason", "no such"), [])
        self.assertEqual(selected("--sink", "other"), [])
        for command in ("list", "replay", "drop"):
            dry = ["--dry-run"] if command != "list" else []
            self.assertIn('there is no sink "other" in the configuration',
                          self.dlq(command, "--sink", "other", *dry))
        self.assertEqual(json.loads(self.dlq("replay", "--id", ids[0], "--dry-run", "--json")),
                         {"would_replay": 1, "superseded": 0})
        self.assertEqual(selected("--older-than", "1h"), [])
        self.assertEqual(selected("--younger-than", "1h"), ids)
        self.assertIn("which ones?", self.dlq("drop", code=64))
        self.assertIn("--older-than", self.dlq("drop", "--older-than", "soon", code=64))
        self.assertIn("--key", self.dlq("list", "--key", "k3", code=64))
        # By the daemon, then by the store itself.
        self.assertIn("local: 1 dropped", self.dlq("drop", "--key", '["k3"]'))
        self.assertEqual(selected(), ids[:3] + ids[4:])
        self.assertEqual(self.letters_status()["count"], 5)
        self.assertEqual(self.daemon.stop(), 0)
        self.assertIn("1 dead letter dropped", self.dlq("drop", "--id", ids[0]))
        self.assertEqual(json.loads(self.dlq("drop", "--id", ids[1], "--json")), {"dropped": 1})
        self.assertEqual(selected(), [ids[2], *ids[4:]])
        self.assertIn("start it first", self.dlq("replay", "--all", code=1))
        self.start()
        self.accept_large()
        self.dlq("replay", "--id", ids[5])
        self.assertEqual(selected(), [ids[2], ids[4]])
        self.assertEqual(sorted(self.copied()), ["first", "k5"])

    def test_rate(self):
        self.start()
        self.refuse_large()
        for i in range(30):
            self.put("k%d" % i, 1000 + i)
        self.wait_letters(30)
        self.accept_large()
        begun = time.monotonic()
        self.dlq("replay", "--all", "--rate", "20")
        took = time.monotonic() - begun
        self.assertGreater(took, 1.2)
        self.assertEqual(len(self.copied()), 31)


class Guard(DlqCase):
    def test_a_stale_one_does_not_overwrite(self):
        self.start()
        self.refuse_large()
        self.put("a", 5000, "old")
        self.wait_letters(1)
        self.put("a", 7, "new")
        support.wait_until("the newer", lambda: self.copied().get("a") == (7, "new"))
        support.wait_until("the mark", lambda: self.letters()[0]["superseded"])
        self.assertEqual(self.letters_status()["superseded"], 1)
        self.accept_large()
        # This target compares versions itself: the record is submitted, and is no news.
        self.assertIn("1 delivered", self.dlq("replay", "--all"))
        self.assertEqual(self.copied()["a"], (7, "new"))
        self.assertEqual(self.letters(), [])


class Crashes(DlqCase):
    def test_letters_survive_and_are_delivered(self):
        self.start()
        self.refuse_large()
        for i in range(200):
            self.put("k%d" % i, 1000 + i)
        self.wait_letters(200)
        self.accept_large()
        for _ in range(4):
            self.dlq("replay", "--all", "--rate", "150", "--no-wait")
            time_over = time.monotonic() + 0.3
            support.wait_until("some of them", lambda: time.monotonic() > time_over)
            self.daemon.kill()
            left = {l["id"] for l in self.letters()}
            there = set(self.copied())
            # None is lost: what left the letters is in the copy.
            self.assertGreaterEqual(len(there) - 1 + len(left), 200)
            self.start()
            self.assertEqual(self.letters_status()["count"], len(left))
        self.dlq("replay", "--all")
        self.assertEqual(self.letters(), [])
        self.assertEqual(len(self.copied()), 201)


class Cap(DlqCase):
    def test_full_dead_letters_halt(self):
        self.configure(**{"dead-letters": {"max-count": 3}})
        self.start()
        self.refuse_large()
        for i in range(5):
            self.put("k%d" % i, 1000 + i)

        def state():
            return self.status()["sinks"][0]["state"]

        support.wait_until("the halt", lambda: state() == "halted")
        self.assertEqual(len(self.letters()), 3)
        self.assertTrue(self.letters_status()["full"])
        lines = [l for l in self.daemon.stderr().split("\n") if "level=error" in l]
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("dead-letters.max-count", lines[0])
        # In this order: a halted sink takes no replay.
        self.assertRegex(lines[0], "slipring resume local and replay")
        self.assertIn("is halted", self.dlq("replay", "--all", code=1))
        self.accept_large()
        self.assertEqual(support.slipring("resume", "local", "-c", self.config)[0], 0)
        support.wait_until("the rest", lambda: {"k3", "k4"} <= set(self.copied()))
        self.assertIn("3 delivered", self.dlq("replay", "--all"))
        self.assertEqual(len(self.copied()), 6)

    def test_old_letters_are_an_alarm(self):
        self.configure(**{"dead-letters": {"max-age": "1s"}})
        self.start()
        self.refuse_large()
        self.put("a", 5000)
        self.wait_letters(1)
        support.wait_until("the alarm", lambda: self.letters_status()["old"])
        self.daemon.stop()
        self.start()
        support.wait_until("the line", lambda: "dead-letters.max-age" in self.daemon.stderr())
        self.assertEqual(len(self.letters()), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
