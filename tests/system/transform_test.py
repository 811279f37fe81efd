#!/usr/bin/python3
"""Transforms in a running daemon: items of one table routed to tables of a SQLite copy,
attributes encrypted and hashed on the way; dead letters come back where they were meant to
go; `slipring decrypt` reads what the sinks wrote."""
import base64
import hashlib
import hmac
import json
import os
import sqlite3
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import services  # noqa: E402
import support  # noqa: E402
from operator_test import KEYS, Emulator  # noqa: E402

KEY = bytes(range(32))
OLD_KEY = b"old key, old key, old key, old k"
SSN = "123-45-6789"
PHONE = "+49 228 12345"


class TransformCase(unittest.TestCase):
    def setUp(self):
        self.work = support.Workspace("transform")
        self.addCleanup(self.work.close)
        self.emulator = Emulator("--records", 0, "--table", "unused")
        self.addCleanup(self.emulator.close)
        self.client = support.Dynamo(self.emulator.port)
        self.addCleanup(self.client.close)
        self.admin = support.server_port()
        self.copy = self.work("copy.db")
        self.key_file = self.write("pii.key", KEY.hex().encode() + b"\n")

    def write(self, name, text):
        path = self.work(name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
            f.write(text)
        return path

    def configure(self, route, **sinks):
        return support.config(
            self.work.path, self.emulator.endpoint, {"app": {
                "table": "app", "start": "trim-horizon", "poll": {"idle": "250ms"}}},
            {name: dict(sink, **{"from": ["app"]}) for name, sink in sinks.items()},
            filters={"by-kind": dict(route, type="route"),
                     "seal": {"type": "encrypt", "attributes": ["ssn", "card", "l[*].note"],
                              "key-file": self.key_file},
                     "hash": {"type": "redact", "attributes": ["phone"], "with": "hmac-sha256",
                              "key-file": self.key_file}},
            admin={"listen": "127.0.0.1:%d" % self.admin},
            checkpoint={"type": "sqlite", "path": self.work("state.db"), "interval": "100ms"})

    def start(self, path):
        daemon = support.Process([support.SLIPRING, "run", "-c", path], env=KEYS)
        self.addCleanup(daemon.close)
        self.path = path
        return daemon

    def put(self, pk, **attributes):
        self.client.call("PutItem", TableName="app", Item=dict(attributes, pk={"S": pk}))

    def ask(self, sql):
        if not os.path.exists(self.copy):
            return None
        db = sqlite3.connect("file:%s?mode=ro" % self.copy, uri=True, timeout=30)
        try:
            return db.execute(sql).fetchall()
        except sqlite3.OperationalError as e:
            if "no such table" in str(e):
                return None
            raise
        finally:
            db.close()

    def run_sql(self, sql):
        db = sqlite3.connect(self.copy, timeout=30)
        try:
            db.execute(sql)
            db.commit()
        finally:
            db.close()

    def wait_for(self, daemon, what, condition):
        def look():
            if not daemon.running():
                self.fail("the daemon ended: " + daemon.stderr()[-2000:])
            return condition()
        return support.wait_until(what, look, step=0.05)

    def keys_of(self, table):
        return sorted(r[0] for r in self.ask('SELECT pk FROM "%s"' % table) or [])

    def dlq(self, *argv, code=0):
        got, out, err = support.slipring("dlq", *argv, "-c", self.path)
        self.assertEqual(got, code, out + err)
        return out

    def letters(self):
        return json.loads(self.dlq("list", "--json"))

    def decrypt(self, text, *options, code=0):
        done = subprocess.run([support.SLIPRING, "decrypt", *options], input=text.encode(),
                              capture_output=True, timeout=60, check=False)
        self.assertEqual(done.returncode, code, done.stderr.decode())
        return done.stdout.decode(), done.stderr.decode()


class Transforms(TransformCase):
    RULES = {"rules": {"TENANT#acme": "acme", "TENANT#": "tenant_{keys.pk#2}"}}

    def test_single_table_design(self):
        self.client.create_table("app")
        sqlite = {"type": "sqlite", "path": self.copy, "table": "items",
                  "filters": ["by-kind", "seal"]}
        daemon = self.start(self.configure(self.RULES, copy=sqlite))
        self.put("TENANT#acme#1", ssn={"S": SSN})
        self.put("TENANT#globex#1", ssn={"S": SSN})
        self.put("TENANT#slipring_position", ssn={"S": SSN})
        self.put("USER#1", ssn={"S": SSN})
        self.put("TENANT#globex#2", ssn={"S": SSN})
        self.wait_for(daemon, "the copies", lambda: (
            self.keys_of("acme"), self.keys_of("tenant_globex")) == (
                ["TENANT#acme#1"], ["TENANT#globex#1", "TENANT#globex#2"]))
        self.wait_for(daemon, "the daemon", lambda: support.slipring(
            "status", "-c", self.path)[0] == 0)
        letters = self.wait_for(daemon, "two letters", lambda: (
            lambda v: v if len(v) == 2 else None)(self.letters()))
        self.assertEqual(sorted(v["reason"] for v in letters), [
            "filter by-kind: no rule fits the record's key, and there is no default",
            "sqlite: the route of this record is a name with slipring_ in it, as our own tables "
            "are called"])
        # Of a table that does not take it, the others know nothing.
        self.run_sql("CREATE TRIGGER no_more BEFORE INSERT ON acme "
                     "BEGIN SELECT RAISE(ABORT, 'closed'); END")
        self.put("TENANT#acme#2", ssn={"S": SSN})
        self.put("TENANT#globex#3", ssn={"S": SSN})
        self.wait_for(daemon, "a third letter", lambda: len(self.letters()) == 3)
        self.wait_for(daemon, "the other table", lambda: len(self.keys_of("tenant_globex")) == 3)
        letter = next(v for v in self.letters() if "closed" in v["reason"])
        record = json.loads(self.dlq("show", letter["id"], "--json"))["record"]
        self.assertEqual(record["slipringRoute"], "acme")
        self.assertEqual(daemon.stop(), 0)
        for text in (SSN, KEY.hex(), "TENANT#acme#2"):
            self.assertNotIn(text, daemon.stderr())
        # Other rules by now: the letter goes where it was meant to go; one that had no
        # place gets one.
        again = self.start(self.configure({"to": "elsewhere"}, copy=sqlite))
        self.run_sql("DROP TRIGGER no_more")
        self.wait_for(again, "the daemon", lambda: support.slipring(
            "status", "-c", self.path)[0] == 0)
        self.assertIn("2 delivered, 1 refused again", self.dlq("replay", "--sink", "copy", code=1))
        self.wait_for(again, "the replay", lambda: len(self.letters()) == 1)
        self.assertEqual(self.keys_of("acme"), ["TENANT#acme#1", "TENANT#acme#2"])
        self.assertEqual(self.keys_of("elsewhere"), ["USER#1"])
        self.client.call("DeleteItem", TableName="app", Key={"pk": {"S": "TENANT#globex#1"}})
        self.put("TENANT#globex#9")
        self.wait_for(again, "the new rules", lambda: "TENANT#globex#9" in
                      self.keys_of("elsewhere"))
        self.assertEqual(again.stop(), 0, again.stderr())

    def test_deletes_go_where_the_item_was(self):
        self.client.create_table("app")
        daemon = self.start(self.configure({"to": "t_{new.tenant}"}, copy={
            "type": "sqlite", "path": self.copy, "table": "items", "filters": ["by-kind"]}))
        for i in range(4):
            self.put("k%d" % i, tenant={"S": "ab"[i % 2]})
        self.wait_for(daemon, "the copies", lambda: (self.keys_of("t_a"), self.keys_of("t_b")) == (
            ["k0", "k2"], ["k1", "k3"]))
        for i in range(3):
            self.client.call("DeleteItem", TableName="app", Key={"pk": {"S": "k%d" % i}})
        self.wait_for(daemon, "the deletes", lambda: (self.keys_of("t_a"), self.keys_of("t_b")) == (
            [], ["k3"]))
        self.assertIsNone(self.ask("SELECT * FROM items"))
        self.assertEqual(daemon.stop(), 0, daemon.stderr())

    ITEM = {"ssn": {"S": SSN}, "phone": {"S": PHONE}, "open": {"N": "1.50"},
            "card": {"M": {"no": {"N": "4111"}, "tags": {"SS": ["a", "b"]}}},
            "l": {"L": [{"M": {"note": {"S": "n0"}}}, {"M": {"note": {"S": "n1"}, "x": {"N": "1"}}}]}}

    def test_sealed_hashed_and_opened(self):
        self.client.create_table("app")
        chain = {"filters": ["by-kind", "seal", "hash"]}
        daemon = self.start(self.configure(
            {"to": "ignored"}, trail=dict(chain, type="audit", directory=self.work("trail")),
            out=dict(chain, type="stdout", format="envelope")))
        for i in range(3):
            self.put("k%d" % i, **self.ITEM)
        self.put("k0", **dict(self.ITEM, open={"N": "2"}))
        lines = self.wait_for(daemon, "the lines", lambda: (
            lambda v: v if len(v) == 4 else None)(daemon.stdout().splitlines()))
        self.wait_for(daemon, "the trail", lambda: len(support.trail_lines(self.work("trail"))) == 4)
        self.assertEqual(daemon.stop(), 0, daemon.stderr())
        trail = support.trail_lines(self.work("trail"))
        events = [json.loads(line) for line in lines]
        digest = hmac.new(KEY, PHONE.encode(), hashlib.sha256).hexdigest()
        for e in events:
            self.assertEqual(e["new"]["phone"], digest)
            for text in (e["new"]["ssn"], e["new"]["card"], e["new"]["l"][1]["note"]):
                head, version, key_id, body = text.split(":")
                self.assertEqual((head, version), ("slipring", "1"))
                self.assertEqual(key_id, hmac.new(b"slipring key id 1", KEY,
                                                  hashlib.sha256).hexdigest()[:16])
                self.assertGreater(len(base64.b64decode(body)), 28)
        # What did not change does not look changed; two items show nothing of each other.
        update = next(e for e in events if e["event"] == "MODIFY")
        self.assertEqual(update["changed"], ["open"])
        self.assertEqual(len({e["new"]["ssn"] for e in events}), 3)
        for text in (SSN, "4111", PHONE, "n0"):
            for where in ("\n".join(lines), "\n".join(trail), daemon.stderr()):
                self.assertNotIn(text, where)
        old = self.write("old.key", OLD_KEY)
        opened, said = self.decrypt("\n".join(lines) + "\n", "--key-file", old, "--key-file",
                                    self.key_file)
        self.assertEqual(said, "")
        for line in opened.splitlines():
            new = json.loads(line)["new"]
            self.assertEqual((new["ssn"], new["card"]["no"], new["l"][1]["note"]),
                             (SSN, 4111, "n1"))
        opened, said = self.decrypt("\n".join(trail), "--key-file", self.key_file)
        for line in opened.splitlines():
            entry = json.loads(line)
            self.assertEqual({k: entry["new"][k] for k in ("ssn", "card", "l")},
                             {k: self.ITEM[k] for k in ("ssn", "card", "l")})
        # The wrong key; a changed one; one that was carried to another item.
        out, said = self.decrypt(lines[0], "--key-file", old, code=1)
        self.assertEqual(out, lines[0] + "\n")
        self.assertIn("slipring: line 1: card: it was encrypted with key ", said)
        self.assertIn(", which is not given (and 3 more)", said)
        self.assertEqual(said.count("\n"), 1)
        other = json.loads(lines[1])
        other["new"]["ssn"] = events[0]["new"]["ssn"]
        _, said = self.decrypt("\n" + json.dumps(other), "--key-file", self.key_file, code=1)
        self.assertIn("line 2: ssn: it was changed, or is not of this table, item and attribute",
                      said)
        _, said = self.decrypt("{}\n{]\n", "--key-file", self.key_file, code=1)
        self.assertEqual(said, "slipring: line 1: nothing in it is encrypted\n"
                               "slipring: line 2: it is not JSON\n")

    def test_keys_that_are_none(self):
        self.client.create_table("app")
        sink = {"type": "audit", "directory": self.work("trail"), "filters": ["seal"]}
        for name, text, mode, why in (
                ("short", KEY[:31], 0o600, "31 bytes; it must be 32 bytes"),
                ("open", KEY, 0o604, "others may read it (mode 604): chmod 600"),
                (None, None, 0, "cannot open it: No such file")):
            self.key_file = self.work("none.key")
            if name is not None:
                self.key_file = self.write(name, text)
                os.chmod(self.key_file, mode)
            daemon = self.start(self.configure({"to": "x"}, trail=sink))
            self.assertEqual(daemon.wait(), 78, daemon.stderr())
            self.assertIn("filter seal: key file %s: " % self.key_file, daemon.stderr())
            self.assertIn(why, daemon.stderr())
            done = subprocess.run([support.SLIPRING, "decrypt", "--key-file", self.key_file],
                                  stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                                  check=False)
            self.assertEqual(done.returncode, 78)
            self.assertIn(why, done.stderr.decode())


class RoutedToServices(TransformCase):
    """A place that is not there, or is no place, costs its own records and nobody else's."""

    def routed(self, sink, tenants, bad):
        """Five items to each tenant, in turns; the reasons for what `bad` ones became."""
        self.client.create_table("app")
        daemon = self.start(self.configure({"to": "{new.tenant}"}, there=dict(
            sink, filters=["by-kind"])))
        for i in range(5 * len(tenants)):
            self.put("k%d" % i, tenant={"S": tenants[i % len(tenants)]})
        self.wait_for(daemon, "the daemon", lambda: support.slipring(
            "status", "-c", self.path)[0] == 0)
        letters = self.wait_for(daemon, "the letters", lambda: (
            lambda v: v if len(v) == 5 * bad else None)(self.letters()))
        self.wait_for(daemon, "the others", lambda: json.loads(support.slipring(
            "status", "-c", self.path, "--json")[1])["sinks"][0]["acked"] ==
            5 * (len(tenants) - bad))
        self.assertEqual(daemon.stop(), 0, daemon.stderr())
        return sorted({v["reason"] for v in letters})

    def keys_to(self, tenants, tenant):
        return sorted("k%d" % i for i in range(5 * len(tenants))
                      if tenants[i % len(tenants)] == tenant)

    def test_postgres(self):
        server = services.shared(services.Postgres)
        db = server.database("route")
        server.sql("CREATE TABLE misfit (x integer)", dbname=db)
        tenants = ["acme", "misfit", "Globex '1'", "slipring_writer", "x" * 64]
        reasons = self.routed({"type": "postgres", "conninfo": server.conninfo(db), "table": "t",
                               "create": True}, tenants, 3)
        self.assertEqual(len(reasons), 3, reasons)
        self.assertIn("misfit", reasons[0])
        for t in (0, 2):
            rows = server.sql('SELECT pk FROM "%s" ORDER BY pk' % tenants[t], dbname=db)
            self.assertEqual([r[0] for r in rows], self.keys_to(tenants, tenants[t]))

    def test_kafka(self):
        broker = services.shared(services.Kafka)
        tenants = [broker.topic("route-a"), services.unique("route-none"), "a b", broker.topic("route-b")]
        reasons = self.routed({"type": "kafka", "brokers": broker.bootstrap, "topic": "unused",
                               "timeout": "4s"}, tenants, 2)
        self.assertEqual(len(reasons), 2, reasons)
        self.assertIn("there is no such topic", reasons[1])
        for t in (0, 3):
            got = {json.loads(m.key())[0] for part in
                   broker.messages(tenants[t]).values() for m in part}
            self.assertEqual(sorted(got), self.keys_to(tenants, tenants[t]))

    def test_opensearch(self):
        cluster = services.shared(services.OpenSearch)
        tenants = [services.unique("Route-A").capitalize(), services.unique("route-closed"), "_x"]
        cluster.call("PUT", "/" + tenants[1])
        cluster.call("POST", "/%s/_close" % tenants[1])
        reasons = self.routed({"type": "opensearch", "url": cluster.url, "index": "unused"},
                              tenants, 2)
        self.assertEqual(len(reasons), 2, reasons)
        found = cluster.documents(tenants[0].lower())
        self.assertEqual(len(found), 5)


if __name__ == "__main__":
    unittest.main(verbosity=2)
