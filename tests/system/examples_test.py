#!/usr/bin/env python3
"""The configurations of conf/examples/ as they stand there, against DynamoDB Local: only
paths, the port and where DynamoDB is are put in their place. What arrives in each sink is
what the example's own words promise."""
import hashlib
import hmac
import json
import os
import re
import sqlite3
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import services  # noqa: E402
import support  # noqa: E402

EXAMPLES = os.path.join(support.ROOT, "conf/examples")
KEY = bytes(range(32))


def s(text):
    return {"S": text}


def n(number):
    return {"N": str(number)}


class Example(unittest.TestCase):
    def setUp(self):
        self.work = support.Workspace("examples")
        self.addCleanup(self.work.close)
        for folder in ("var/lib/slipring", "var/log/slipring", "etc/slipring"):
            os.makedirs(self.work(folder))
        with open(self.work("etc/slipring/pii.key"), "wb") as f:
            os.chmod(f.fileno(), 0o600)
            f.write(KEY.hex().encode() + b"\n")
        self.dynamodb = services.shared(services.DynamoDB)
        self.client = self.dynamodb.client()
        self.addCleanup(self.client.close)

    def take(self, name, table, **create):
        """The example's file, and a table of its own for what it calls `table`."""
        self.table = services.unique(table)
        self.arn = self.client.create_table(self.table, **create)
        with open(os.path.join(EXAMPLES, name), encoding="utf-8") as f:
            text = f.read()
        self.port = support.server_port()
        for pattern, becomes in (
                (r"/(var|etc)/", self.work("") + r"\1/"),
                (r"127\.0\.0\.1:9464", "127.0.0.1:%d" % self.port),
                # The stream's, not a sink's of the same name.
                (r"(?m)\A((?:.*\n)*?    table: )%s$" % table, r"\1" + self.table),
                (r"(?m)^    region: eu-west-1$", "    region: us-east-1\n    endpoint: " +
                 self.dynamodb.endpoint + "\n    poll.idle: 250ms")):
            text, count = re.subn(pattern, becomes, text)
            self.assertGreaterEqual(count, 1, pattern)
        self.text, self.config = text, self.work(name)
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(text)
        code, out, err = support.slipring("check", "-c", self.config, "--connect")
        self.assertEqual(code, 0, out + err)

    def put(self, pk, **attributes):
        self.client.call("PutItem", TableName=self.table, Item=dict(attributes, pk=s(pk)))

    def delete(self, pk):
        self.client.call("DeleteItem", TableName=self.table, Key={"pk": s(pk)})

    def source(self):
        return [json.loads(r) for shard in self.client.read_stream(self.arn).values() for r in shard]

    def run_through(self):
        """Runs it until every sink has had every change; no dead letters."""
        count = len(self.source())
        daemon = support.run_daemon(self.config)
        self.addCleanup(daemon.close)

        def through():
            self.assertTrue(daemon.running(), daemon.stderr()[-2000:])
            code, out, _ = support.slipring("status", "--json", "-c", self.config)
            self.sinks = {x["name"]: x for x in json.loads(out)["sinks"]} if code == 0 else {}
            return self.sinks and all(x["acked"] + x["filtered"] >= count
                                      for x in self.sinks.values())
        support.wait_until("every change to arrive", through, patience=120, step=0.2)
        self.assertEqual(daemon.stop(), 0, daemon.stderr())
        self.assertEqual([x["dead_letters"]["count"] for x in self.sinks.values()],
                         [0] * len(self.sinks))

    def rows(self, file, statement):
        db = sqlite3.connect("file:%s?mode=ro" % self.work("var/lib/slipring", file), uri=True)
        try:
            return db.execute(statement).fetchall()
        finally:
            db.close()

    def trail(self, name):
        return [json.loads(line) for line in
                support.trail_lines(self.work("var/log/slipring", name))]


class TtlSessions(Example):
    def test_only_what_ran_out(self):
        self.take("ttl-sessions.yaml", "sessions")
        self.client.call("UpdateTimeToLive", TableName=self.table, TimeToLiveSpecification={
            "Enabled": True, "AttributeName": "expires"})
        for i in range(5):
            self.put("out-%d" % i, user=s("u%d" % i), started=n(1700000000 + i), expires=n(1700003600))
            self.put("logout-%d" % i, user=s("u%d" % i), expires=n(4000000000))
            self.delete("logout-%d" % i)
            self.put("alive-%d" % i, user=s("u%d" % i), expires=n(4000000000))

        def expired():
            return sum(r.get("userIdentity") is not None for r in self.source()) == 5
        support.wait_until("the sessions to run out", expired, patience=180, step=1)
        self.run_through()
        self.assertEqual(
            sorted(self.rows("expired.db", "SELECT session, user, started, event FROM expired")),
            [("out-%d" % i, "u%d" % i, "2023-11-14T22:13:2%d.000000Z" % i, "REMOVE")
             for i in range(5)])
        self.assertEqual(len(self.trail("sessions")), 25)
        self.assertEqual(self.sinks["expired"]["filtered"], 20)


class LowStock(Example):
    def test_an_alert_when_it_crosses_ten(self):
        self.take("low-stock.yaml", "products")

        def stock(pk, *levels):
            for level in levels:
                self.put(pk, stock=n(level), supplier=s("acme"))
        stock("a", 12, 11, 9, 8, 7)    # once, at 9
        stock("b", 10, "9.999", 20, 3)  # twice
        stock("c", 5, 4)               # begins low
        stock("d", 100, 10)            # ten is not below ten
        stock("e", 9, 50, 10)          # begins low, then more
        # A double would not see this.
        stock("f", "10.0000000000000000000000000000000000", "9.9999999999999999999999999999999999999")
        stock("g", 50)
        self.delete("g")
        self.run_through()
        self.assertEqual(
            sorted(self.rows("alerts.db", "SELECT product, CAST(stock AS TEXT), supplier "
                                          "FROM low_stock")),
            sorted([("a", "9", "acme"), ("b", "9.999", "acme"), ("b", "3", "acme"),
                    ("c", "5", "acme"), ("e", "9", "acme"),
                    ("f", "9.9999999999999999999999999999999999999", "acme")]))
        self.assertEqual(
            sorted(self.rows("products.db", "SELECT pk, CAST(stock AS TEXT) FROM products")),
            [("a", "7"), ("b", "3"), ("c", "4"), ("d", "10"), ("e", "10"),
             ("f", "9.9999999999999999999999999999999999999")])


class Tenants(Example):
    def test_a_table_for_each(self):
        self.take("tenants.yaml", "app")
        items = {"acme": ["TENANT#acme#order#1", "TENANT#acme#order#2"],
                 "tenant_7": ["TENANT#7#order#1", "TENANT#7#user"],
                 "tenant_8": ["TENANT#8#order#1"],
                 "users": ["USER#joe", "USER#jane"],
                 "other": ["config", "TENANTS"]}
        for keys in items.values():
            for pk in keys:
                self.put(pk, v=n(1))
                self.put(pk, v=n(2))
        self.put("TENANT#8#gone", v=n(1))
        self.delete("TENANT#8#gone")  # found where it was put
        self.run_through()
        for table, keys in items.items():
            got = dict(self.rows("tenants.db", 'SELECT pk, item FROM "%s"' % table))
            self.assertEqual({k: json.loads(v) for k, v in got.items()},
                             {pk: {"pk": pk, "v": 2} for pk in keys}, table)
        names = {r[0] for r in self.rows("tenants.db", "SELECT name FROM sqlite_schema "
                                                       "WHERE type = 'table'")}
        self.assertEqual({x for x in names if "slipring" not in x}, set(items))


class EncryptedColumn(Example):
    SECRETS = ("078-05-1120", "4111111111111111")

    def decrypt(self, text, *options):
        done = subprocess.run([support.SLIPRING, "decrypt", "--key-file",
                               self.work("etc/slipring/pii.key"), *options], input=text.encode(),
                              capture_output=True, timeout=support.PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_sealed_in_every_file_and_opened_with_the_key(self):
        self.take("encrypted-column.yaml", "customers")
        ssn, number = self.SECRETS
        self.put("joe", name=s("Joe"), ssn=s(ssn), card={"M": {"number": n(number), "brand": s("x")}})
        self.put("joe", name=s("Joey"), ssn=s(ssn), card={"M": {"number": n(number), "brand": s("x")}})
        self.put("jane", name=s("Jane"))
        self.run_through()
        rows = {pk: (name, sealed, card) for pk, name, sealed, card in
                self.rows("customers.db", "SELECT pk, name, ssn, card FROM customers")}
        self.assertEqual(rows["jane"], ("Jane", None, None))
        self.assertEqual(rows["joe"][0], "Joey")
        self.assertTrue(rows["joe"][1].startswith("slipring:1:"))
        self.assertEqual(json.loads(rows["joe"][2])["brand"], "x")
        # Nowhere in clear: not in the copy, not in the trail, not beside them.
        for folder, _, files in os.walk(self.work("var")):
            for name in files:
                with open(os.path.join(folder, name), "rb") as f:
                    data = f.read()
                for secret in self.SECRETS:
                    self.assertNotIn(secret.encode(), data, name)
        # An attribute that did not change does not look changed.
        entries = self.trail("customers")
        second = next(e for e in entries if e["eventName"] == "MODIFY")
        self.assertEqual([c["path"] for c in second["changed"]], ["name"])
        lines = support.trail_lines(self.work("var/log/slipring/customers"))
        opened = [e["new"] for e in self.decrypt("".join(x + "\n" for x in lines if "joe" in x))]
        self.assertEqual([x["ssn"] for x in opened], [s(ssn)] * 2)
        self.assertEqual([x["card"]["M"]["number"] for x in opened], [n(number)] * 2)
        # As the example says it.
        (select,) = re.findall(r'"(SELECT .*?)"', self.text)
        lines = "".join(r[0] + "\n" for r in self.rows("customers.db", select))
        opened = self.decrypt(lines, "--table", self.table, "--keys", "pk")
        self.assertEqual(sorted(opened, key=lambda x: x["pk"]),
                         [{"pk": "jane", "ssn": None}, {"pk": "joe", "ssn": ssn}])


class RedactedPii(Example):
    def test_hashed_cut_and_gone(self):
        self.take("redacted-pii.yaml", "people")

        def hashed(text):
            return hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()
        self.put("1", mail=s("joe@example.org"), phone=s("+49 30 1234567"), note=s("likes tea"),
                 contacts={"L": [{"M": {"mail": s("jane@example.org"), "kind": s("wife")}}]})
        self.put("2", mail=s("jane@example.org"), age=n(40))
        self.run_through()
        rows = {pk: (mail, phone, json.loads(item)) for pk, mail, phone, item in
                self.rows("people.db", "SELECT pk, mail, phone, item FROM people")}
        joe, jane = hashed("joe@example.org"), hashed("jane@example.org")
        self.assertEqual(rows["1"], (joe, "****4567", {
            "pk": "1", "mail": joe, "phone": "****4567",
            "contacts": [{"mail": jane, "kind": "wife"}]}))
        self.assertEqual(rows["2"], (jane, None, {"pk": "2", "mail": jane, "age": 40}))
        # To be joined by what nobody can read.
        self.assertEqual(self.rows(
            "people.db", "SELECT a.pk, b.pk FROM people a, people b WHERE b.mail = "
                         "a.item ->> '$.contacts[0].mail'"), [("1", "2")])


class Complete(unittest.TestCase):
    def test_every_example_is_run_here(self):
        with open(__file__, encoding="utf-8") as f:
            taken = set(re.findall(r'self\.take\("([^"]+)"', f.read()))
        self.assertEqual(taken, set(os.listdir(EXAMPLES)))


if __name__ == "__main__":
    unittest.main(verbosity=2)
