#!/usr/bin/env python3
"""The SQLite copy end to end, on DynamoDB Local: it equals a scan after kills, other
programs read and lock it meanwhile, and what an operator sees when it cannot work.
"""
import base64
import contextlib
import decimal
import json
import os
import random
import sqlite3
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import services  # noqa: E402
import support  # noqa: E402

COLUMNS = {"total": "numeric", "count": "bigint n", "placed": "timestamptz", "blob": "bytea",
           "city": "text ship.city", "item": "jsonb ."}


def exact(text):
    """JSON with every digit of its numbers."""
    return json.loads(text, parse_float=decimal.Decimal, parse_int=decimal.Decimal)


def plain(value):
    """An attribute value as the plain form has it."""
    (tag, v), = value.items()
    if tag == "N":
        return decimal.Decimal(v)
    if tag == "M":
        return {k: plain(x) for k, x in v.items()}
    if tag == "L":
        return [plain(x) for x in v]
    if tag == "NULL":
        return None
    return v


class SqliteCase(unittest.TestCase):
    def setUp(self):
        self.dynamodb = services.shared(services.DynamoDB)
        self.client = self.dynamodb.client()
        self.addCleanup(self.client.close)
        self.work = support.Workspace("sqlite")
        self.addCleanup(self.work.close)
        self.table = services.unique("copied")
        self.copy = self.work("copy.db")
        self.daemon = None

    def configure(self, sinks, directory=None):
        directory = directory or self.work.path
        return support.config(
            directory, self.dynamodb.endpoint,
            {"orders": {"table": self.table, "poll": {"idle": "250ms"}}},
            {n: dict({"type": "sqlite", "from": ["orders"], "retry": {"base": "50ms"}}, **s)
             for n, s in sinks.items()},
            admin={"listen": "127.0.0.1:%d" % support.server_port()},
            checkpoint={"type": "sqlite", "path": os.path.join(directory, "state.db"), "interval": "100ms"})

    def start(self, path):
        self.daemon = support.run_daemon(path)
        self.addCleanup(self.daemon.close)

    def put(self, pk, sk, **attributes):
        self.client.call("PutItem", TableName=self.table,
                         Item=dict(attributes, pk={"S": pk}, sk={"N": str(sk)}))

    def ask(self, sql, path=None):
        """Read-only, as any other program; None while there is no such table yet."""
        with contextlib.closing(sqlite3.connect("file:%s?mode=ro" % (path or self.copy), uri=True,
                                                timeout=30)) as db:
            try:
                return db.execute(sql).fetchall()
            except sqlite3.OperationalError as e:
                if "no such table" in str(e):
                    return None
                raise

    def wait_for(self, what, condition, patience=support.PATIENCE):
        def look():
            if not self.daemon.running():
                self.fail("the daemon ended: " + self.daemon.stderr()[-2000:])
            return os.path.exists(self.copy) and condition()
        return support.wait_until(what, look, patience=patience, step=0.05)

    def wait_log(self, text):
        return self.wait_for("the log to say " + text, lambda: text in self.daemon.stderr())


class Copies(SqliteCase):
    def scan(self):
        items, start = {}, {}
        while True:
            answer = self.client.call("Scan", TableName=self.table, **start)
            for i in answer["Items"]:
                items[i["pk"]["S"], decimal.Decimal(i["sk"]["N"])] = i
            if "LastEvaluatedKey" not in answer:
                return items
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    @staticmethod
    def row_of(item):
        def number(name):
            return decimal.Decimal(item[name]["N"]) if name in item else None
        return (number("total"), number("n"),
                item["placed"]["S"] if "placed" in item else None,
                base64.b64decode(item["blob"]["B"]) if "blob" in item else None,
                item["ship"]["M"]["city"]["S"] if "ship" in item else None,
                {k: plain(v) for k, v in item.items()})

    def copied(self):
        def number(v):
            return None if v is None else decimal.Decimal(str(v))
        rows = self.ask("SELECT pk, sk, total, count, placed, blob, city, item FROM \"%s\"" %
                        self.table)
        return {(pk, number(sk)): (number(total), number(count), placed, blob, city, exact(item))
                for pk, sk, total, count, placed, blob, city, item in rows or []}

    def change(self, rng, n):
        pk, sk = "customer-%d" % rng.randrange(40), rng.choice([1, 2.5, 10 ** 20 + 1, -7])
        if n % 9 == 0:
            self.client.call("DeleteItem", TableName=self.table,
                             Key={"pk": {"S": pk}, "sk": {"N": str(sk)}})
            return
        more = {"total": {"N": rng.choice(["%d.%02d" % (n, n % 100), "1234567890123456789.%018d1" % n,
                                           "-%dE-100" % (n + 1), str(n)])},
                "n": {"N": str(rng.randrange(-2 ** 63, 2 ** 63))},
                "placed": {"S": "2026-11-21T07:%02d:%02d.%06dZ" % (n // 60 % 60, n % 60, n)},
                "blob": {"B": base64.b64encode(rng.randbytes(n % 20)).decode()},
                "ship": {"M": {"city": {"S": "K\u00f6ln \U0001f600 \"%d\"" % n}}},
                "none": {"NULL": True}, "deep": {"L": [{"M": {"x": {"N": "0.1"}}}]}}
        self.put(pk, sk, **{k: v for k, v in more.items() if rng.random() < 0.8})

    def test_equals_a_scan_after_kills(self):
        self.client.create_table(self.table, sort_key="N")
        log = self.work("log.db")
        path = self.configure({"copy": {"path": self.copy, "columns": COLUMNS},
                               "log": {"path": log, "mode": "log", "table": "changes"}})
        self.start(path)
        rng = random.Random(3)
        for n in range(1500):
            self.change(rng, n)
            if n % 250 == 249:
                self.daemon.kill()
                self.start(path)
        expected = {k: self.row_of(v) for k, v in self.scan().items()}
        self.wait_for("the copy to equal the scan", lambda: self.copied() == expected)
        arn = self.client.call("DescribeTable", TableName=self.table)["Table"]["LatestStreamArn"]
        events = [dict(support.members(r)) for shard in self.client.read_stream(arn).values()
                  for r in shard]
        ids = sorted(json.loads(e["eventID"]) for e in events)
        self.wait_for("every event in the log", lambda: sorted(
            r[0] for r in self.ask("SELECT event_id FROM changes", log) or []) == ids)
        for file in (self.copy, log):
            self.assertEqual(self.ask("PRAGMA integrity_check", file), [("ok",)])
        self.assertEqual(self.daemon.stop(), 0, self.daemon.stderr())
        print("sqlite: %d events, %d items, 6 kills" % (len(ids), len(expected)))

    def test_others_read_and_lock_it(self):
        self.client.create_table(self.table, sort_key="N")
        path = self.configure({"copy": {"path": self.copy, "busy-timeout": "100ms",
                                        "table": "orders"}})
        self.start(path)
        self.put("a", 1)
        self.wait_for("the first row", lambda: self.ask("SELECT * FROM orders"))
        # The shell, as a user has it.
        out = subprocess.run(["sqlite3", "-readonly", self.copy,
                              "SELECT document ->> '$.pk', sk FROM orders"],
                             capture_output=True, text=True, check=True).stdout
        self.assertEqual(out, "a|1\n")
        with contextlib.closing(sqlite3.connect(self.copy, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            self.put("b", 2)
            self.wait_log("another program holds its write lock")
            self.assertEqual(len(self.ask("SELECT * FROM orders")), 1)
            db.execute("ROLLBACK")
        self.wait_for("the second row", lambda: len(self.ask("SELECT * FROM orders")) == 2)
        self.wait_log("writes again")
        self.assertEqual(self.daemon.stop(), 0, self.daemon.stderr())


class Refusals(SqliteCase):
    def test_a_table_that_does_not_fit_halts_until_it_does(self):
        self.client.create_table(self.table, sort_key="N")
        with contextlib.closing(sqlite3.connect(self.copy)) as db:
            db.execute("CREATE TABLE orders (pk TEXT, sk REAL, total REAL, slipring_version TEXT,"
                       " PRIMARY KEY (pk, sk))")
        # With another sink, which goes on.
        path = self.configure({"copy": {"path": self.copy, "table": "orders",
                                        "columns": {"total": "numeric"}},
                               "log": {"path": self.work("log.db"), "mode": "log"}})
        code, out, err = support.slipring("check", "--connect", "-c", path)
        self.assertEqual(code, 1, out + err)
        self.assertIn('column "sk" is REAL, which cannot hold numeric; column "total" is REAL', out + err)
        self.start(path)
        self.put("a", 1, total={"N": "12.5"})
        self.wait_log('is REAL, which cannot hold numeric; when that is mended: slipring resume copy')
        with contextlib.closing(sqlite3.connect(self.copy)) as db:
            db.execute("DROP TABLE orders")
        code, out, err = support.slipring("resume", "copy", "-c", path)
        self.assertEqual(code, 0, out + err)
        self.wait_for("the row", lambda: self.ask("SELECT pk, total FROM orders") == [("a", 12.5)])
        self.assertEqual(self.daemon.stop(), 0, self.daemon.stderr())

    def test_check_prints_the_statements(self):
        self.client.create_table(self.table, sort_key="N")
        path = self.configure({"copy": {"path": self.copy, "columns": COLUMNS}})
        code, out, err = support.slipring("check", "--connect", "-c", path)
        self.assertEqual(code, 0, out + err)
        text = out + err
        self.assertIn('CREATE TABLE IF NOT EXISTS "%s" (' % self.table, text)
        self.assertIn('PRIMARY KEY ("pk", "sk")', text)
        self.assertFalse(os.path.exists(self.copy))

    def refused(self, path, code, text):
        daemon = support.run_daemon(path)
        self.addCleanup(daemon.close)
        self.assertEqual(daemon.wait(), code, daemon.stderr())
        self.assertIn(text, daemon.stderr())
        self.assertEqual(len([s for s in daemon.stderr().splitlines() if text in s]), 1)

    def test_what_the_daemon_does_not_start_with(self):
        self.client.create_table(self.table)
        with open(self.copy, "w", encoding="utf-8") as f:
            f.write("not a database\n" * 1000)
        path = self.configure({"copy": {"path": self.copy}})
        self.refused(path, 1, "file is not a database; set another path")
        os.unlink(self.copy)
        # Another daemon writes it.
        self.start(self.configure({"copy": {"path": self.copy}}))
        self.wait_for("the copy", lambda: True)
        os.mkdir(self.work("second"))
        path = self.configure({"copy": {"path": self.copy}}, self.work("second"))
        self.refused(path, 1, "copy.db.lock is held by process %d; one file, one sink" %
                     self.daemon.child.pid)
        self.assertEqual(self.daemon.stop(), 0, self.daemon.stderr())
        path = self.configure({"copy": {"path": self.work("none", "copy.db")}})
        self.refused(path, 1, "the directory must exist and be writable")

    def test_as_a_user_who_may_not_write(self):
        self.client.create_table(self.table)
        path = self.configure({"copy": {"path": self.copy}})
        with contextlib.closing(sqlite3.connect(self.copy)) as db:
            db.execute("CREATE TABLE t (a)")
        if os.geteuid() != 0:
            os.chmod(self.copy, 0o444)
            self.refused(path, 1, "cannot be written")
            return
        # The directory is nobody's, the file is root's.
        os.chmod(self.copy, 0o644)
        os.chown(self.work.path, 65534, 65534)
        os.chmod(path, 0o644)
        daemon = support.Process([support.SLIPRING, "run", "-c", path], user=65534, group=65534,
                                 extra_groups=[])
        self.addCleanup(daemon.close)
        self.assertEqual(daemon.wait(), 1, daemon.stderr())
        self.assertIn("copy.db cannot be written; slipring must be able to write the file and its"
                      " directory", daemon.stderr())


if __name__ == "__main__":
    unittest.main(verbosity=2)
