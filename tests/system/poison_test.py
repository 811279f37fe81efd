#!/usr/bin/python3
"""Records that a target will never take, among ten thousand good ones, for every sink
at once and against the real services: only they are dead letters, the others arrive in order; mended
and replayed they arrive too, and none of them overwrites what is newer. And a
mapping that refuses everything: the brake.
"""
import json
import os
import sqlite3
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import services  # noqa: E402
import support  # noqa: E402

GOOD = 10000
KEYS = 2000
# More than the topic takes, less than the producer does.
TOPIC_MAX = 100000
LARGE = 150000


class PoisonCase(unittest.TestCase):
    def setUp(self):
        self.dynamodb = services.own(services.DynamoDB)
        self.client = self.dynamodb.client()
        self.addCleanup(self.client.close)
        self.work = support.Workspace("poison")
        self.addCleanup(self.work.close)
        self.table = services.unique("poison")
        self.client.create_table(self.table)

    def start(self, sinks, **extra):
        self.config = support.config(
            self.work.path, self.dynamodb.endpoint,
            {"orders": {"table": self.table, "poll": {"idle": "250ms"}}}, sinks,
            admin={"listen": "127.0.0.1:%d" % support.server_port()}, **extra)
        self.daemon = support.run_daemon(self.config)
        self.addCleanup(self.daemon.close)
        support.wait_until("the daemon to answer", lambda: self.status() is not None)

    def status(self):
        if not self.daemon.running():
            self.fail("the daemon ended: " + self.daemon.stderr()[-2000:])
        code, out, _ = support.slipring("status", "--json", "-c", self.config)
        return json.loads(out) if code == 0 else None

    def sink_status(self, name):
        return next(s for s in self.status()["sinks"] if s["name"] == name)

    def put(self, items):
        """In order; no key twice in 25 of them."""
        for i in range(0, len(items), 25):
            left = {self.table: [{"PutRequest": {"Item": item}} for item in items[i:i + 25]]}
            while left:
                left = self.client.call("BatchWriteItem", RequestItems=left).get("UnprocessedItems")

    def dlq(self, *argv, code=0):
        got, out, err = support.slipring("dlq", *argv, "-c", self.config, patience=300)
        self.assertEqual(got, code, out + err + self.daemon.stderr()[-2000:])
        return out + err

    def letters(self):
        """{sink: [keys]}"""
        found = {}
        for letter in json.loads(self.dlq("list", "--json", "--keys")):
            found.setdefault(letter["sink"], []).append(json.loads(letter["key"])[0])
        return {sink: sorted(keys) for sink, keys in found.items()}


def item(pk, version, note="x", **more):
    return {"pk": {"S": pk}, "v": {"N": str(version)}, "note": {"S": note}, **more}


class EverySink(PoisonCase):
    def setUp(self):
        super().setUp()
        self.kafka = services.shared(services.Kafka)
        self.postgres = services.shared(services.Postgres)
        self.search = services.shared(services.OpenSearch)
        self.topic = self.kafka.topic("poison", partitions=2, max__message__bytes=TOPIC_MAX)
        self.db = self.postgres.database("poison")
        self.index = services.unique("poison").lower()
        self.search.call("PUT", "/" + self.index,
                         {"mappings": {"properties": {"word": {"type": "integer"}}}})
        self.addCleanup(self.search.call, "DELETE", "/" + self.index)
        self.copy = self.work("copy.db")
        columns = {"v": "numeric", "note": "text"}
        common = {"from": ["orders"]}
        self.start({
            "events": dict(common, type="kafka", brokers=self.kafka.bootstrap, topic=self.topic,
                           properties={"batch.size": "50000"}),
            "rows": dict(common, type="postgres", conninfo=self.postgres.conninfo(self.db),
                         table="items", create=True, columns=columns),
            "local": dict(common, type="sqlite", path=self.copy, table="items", columns=columns),
            "search": dict(common, type="opensearch", url=self.search.url, index=self.index)})

    def sql(self, statement):
        return self.postgres.sql(statement, dbname=self.db)

    def local(self, statement):
        db = sqlite3.connect(self.copy, timeout=30)
        try:
            rows = db.execute(statement).fetchall()
            db.commit()
            return rows
        finally:
            db.close()

    def in_postgres(self):
        try:
            return {pk: (int(v), note) for pk, v, note in
                    self.sql("SELECT pk, v, note FROM items")}
        except Exception as e:  # psycopg2 is no business of this module
            if "does not exist" in str(e):
                return {}
            raise

    def in_sqlite(self):
        try:
            return {pk: (v, note) for pk, v, note in
                    self.local("SELECT pk, v, note FROM items")}
        except sqlite3.OperationalError:
            return {}

    def in_search(self):
        return {json.loads(key)[0]: (doc["v"], doc["note"]) for key, doc in
                self.search.documents(self.index).items()}

    def in_kafka(self):
        """{key: [(version, replayed)] in order}"""
        found = {}
        for messages in self.kafka.messages(self.topic).values():
            for m in messages:
                names = dict(m.headers())
                image = json.loads(m.value())
                image = image.get("new") or image.get("after") or image
                found.setdefault(json.loads(m.key())[0], []).append(
                    (json.dumps(image), names.get("slipring-replayed") == b"true",
                     int(names["slipring-sequence"])))
        return found

    def spoil(self):
        """From here on rows of a thousand or more are refused."""
        self.put([item("first", 1)])
        support.wait_until("the first row", lambda: "first" in self.in_postgres() and
                           "first" in self.in_sqlite())
        self.sql("ALTER TABLE items ADD CONSTRAINT small CHECK (v < 1000)")
        self.local("CREATE TRIGGER small BEFORE INSERT ON items WHEN new.v >= 1000 "
                   "BEGIN SELECT RAISE(ABORT, 'v is too large'); END")

    def mend(self):
        from confluent_kafka.admin import RESOURCE_TOPIC, ConfigResource
        resource = ConfigResource(RESOURCE_TOPIC, self.topic,
                                  set_config={"max.message.bytes": "1000000"})
        admin = self.kafka.admin()  # held: its end would end the request
        admin.alter_configs([resource])[resource].result(support.PATIENCE)
        self.sql("ALTER TABLE items DROP CONSTRAINT small")
        self.local("DROP TRIGGER small")
        status, answer = self.search.call(
            "PUT", "/%s/_mapping" % self.index,
            {"properties": {"word": {"type": "integer", "ignore_malformed": True}}})
        self.assertEqual(status, 200, answer)

    def test_only_the_poison_is_left_behind(self):
        self.spoil()
        good = [item("k%d" % (n % KEYS), n // KEYS) for n in range(GOOD)]
        poison = [item("big1", 1, "x" * LARGE), item("large1", 5000),
                  item("wordy1", 1, word={"S": "many"}), item("big2", 1, "x" * LARGE),
                  item("large2", 5000), item("wordy2", 1, word={"S": "many"})]
        half = GOOD // 2
        self.put(good[:half])
        for bad in poison:
            self.put([bad])
        self.put(good[half:])
        self.put([item("last", 9)])
        expected = {"events": ["big1", "big2"], "rows": ["large1", "large2"],
                    "local": ["large1", "large2"], "search": ["wordy1", "wordy2"]}
        support.wait_until("the last one everywhere", lambda: (
            "last" in self.in_postgres() and "last" in self.in_sqlite() and
            "last" in self.in_search() and
            all(s["dead_letters"]["count"] == 2 and s["acked"] >= GOOD + 6
                for s in self.status()["sinks"])), patience=240, step=0.5)
        self.assertEqual(self.letters(), expected)

        # The rest arrived: the last version of each key, and in Kafka all in order.
        last = {"k%d" % k: (GOOD // KEYS - 1, "x") for k in range(KEYS)}
        last.update({"first": (1, "x"), "last": (9, "x")})
        large, big, wordy = (5000, "x"), (1, "x" * LARGE), (1, "x")

        def equal(found, *, big1=None, large1=None, wordy1=None):
            found = dict(found)
            for name, want in (("big1", big1), ("large1", large1), ("wordy1", wordy1)):
                self.assertEqual(found.pop(name, None), want, name)
            for name in ("big2", "large2", "wordy2"):
                found.pop(name, None)
            self.assertEqual(found, last)

        equal(self.in_postgres(), big1=big, wordy1=wordy)
        equal(self.in_sqlite(), big1=big, wordy1=wordy)
        equal(self.in_search(), big1=big, large1=large)
        kafka = self.in_kafka()
        self.assertNotIn("big1", kafka)
        self.assertIn("large1", kafka)
        for k in range(KEYS):
            numbers = [n for _, _, n in kafka["k%d" % k]]
            # Repeats are allowed, a step back to something new is not.
            first_seen = list(dict.fromkeys(numbers))
            self.assertEqual(first_seen, sorted(first_seen))
            self.assertEqual(len(first_seen), GOOD // KEYS)

        # Newer changes of half of them, then the cause is mended. The first newer one of big2 is
        # too large for Kafka as well, since it has the old image in it.
        self.put([item("big2", 2), item("large2", 7), item("wordy2", 2)])
        self.put([item("big2", 3)])
        newer = {"big2": (3, "x"), "large2": (7, "x"), "wordy2": (2, "x")}

        def has_newer(found):
            return all(found.get(k) == v for k, v in newer.items())

        support.wait_until("the newer ones", lambda: (
            has_newer(self.in_postgres()) and has_newer(self.in_sqlite()) and
            has_newer(self.in_search())), step=0.3)
        support.wait_until("the marks", lambda: [
            s["dead_letters"]["superseded"] for s in self.status()["sinks"]] == [2, 1, 1, 1],
                           step=0.3)
        self.mend()
        said = self.dlq("replay", "--all")
        self.assertIn("events: 3 delivered, 0 refused again", said)
        self.assertIn("rows: 2 delivered, 0 refused again", said)
        self.assertIn("local: 2 delivered, 0 refused again", said)
        self.assertIn("search: 1 delivered, 0 refused again, 1 superseded, left (drop them with: "
                      "slipring dlq drop --superseded --sink search)", said)
        self.assertEqual(self.letters(), {"search": ["wordy2"]})
        for found in (self.in_postgres(), self.in_sqlite(), self.in_search()):
            equal(found, big1=big, large1=large, wordy1=wordy)
            self.assertTrue(has_newer(found))
        # The header says which; a live one may have come twice.
        replayed = {key: [r for r, _ in dict.fromkeys((r, n) for _, r, n in v)]
                    for key, v in self.in_kafka().items() if any(r for _, r, _ in v)}
        self.assertEqual(replayed, {"big1": [True], "big2": [False, True, True]})
        self.dlq("drop", "--superseded", "--sink", "search")
        self.assertEqual(self.letters(), {})
        self.assertEqual(self.daemon.stop(), 0)


class Brake(PoisonCase):
    def test_a_mapping_that_refuses_everything(self):
        search = services.shared(services.OpenSearch)
        index = services.unique("brake").lower()
        self.addCleanup(search.call, "DELETE", "/" + index)
        search.call("PUT", "/" + index, {"mappings": {"dynamic": "strict"}})
        self.start({"search": {"type": "opensearch", "from": ["orders"], "url": search.url,
                               "index": index}})
        self.put([item("k%d" % n, n) for n in range(3000)])
        support.wait_until("the brake", lambda: self.sink_status("search")["state"] == "halted",
                           patience=120, step=0.2)
        self.assertEqual(self.sink_status("search")["dead_letters"]["count"], 1000)
        errors = [l for l in self.daemon.stderr().split("\n") if "level=error" in l]
        self.assertEqual(len(errors), 1, errors)
        self.assertIn("1000 records in a row were refused (dead-letters.brake)", errors[0])
        self.assertIn("slipring resume search", errors[0])
        self.assertEqual(search.documents(index), {})

        status, answer = search.call("PUT", "/%s/_mapping" % index, {"dynamic": True})
        self.assertEqual(status, 200, answer)
        self.assertEqual(support.slipring("resume", "search", "-c", self.config)[0], 0)
        support.wait_until("the other two thousand", lambda: len(search.documents(index)) == 2000,
                           patience=120, step=0.5)
        self.assertIn("search: 1000 delivered, 0 refused again", self.dlq("replay", "--all"))
        self.assertEqual({json.loads(key)[0]: doc["v"] for key, doc in
                          search.documents(index).items()},
                         {"k%d" % n: n for n in range(3000)})
        self.assertEqual(self.letters(), {})
        self.assertEqual(self.daemon.stop(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
