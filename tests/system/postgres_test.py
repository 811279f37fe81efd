#!/usr/bin/python3
"""The PostgreSQL sink against a real server.

First the sink by itself (tests/tools/postgres_drive.c), where the verdicts can be seen;
then the daemon, where the lane does with them what it does.
"""
import decimal
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import services  # noqa: E402
import support  # noqa: E402
from proxy import Proxy, TO_CLIENT, TO_TARGET  # noqa: E402

DRIVE = os.path.join(os.path.dirname(support.SLIPRING), "tests/tools/postgres_drive")
LABEL = "2026-11-21T07:29:37.000"


def record(seq, key, new=None, old=None, event=None, raw=None):
    """new: an image without its key, None: removed; raw: its bytes instead."""
    keys = {"pk": key if isinstance(key, dict) else {"S": key}}
    change = {"Keys": keys, "SequenceNumber": "%021d" % seq, "SizeBytes": 1,
              "ApproximateCreationDateTime": 1795246177, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    if new is not None:
        change["NewImage"] = {**keys, **new}
    if old is not None:
        change["OldImage"] = {**keys, **old}
    whole = {"eventID": "e-%d" % seq, "eventVersion": "1.1", "awsRegion": "eu-west-1",
             "eventSource": "aws:dynamodb", "dynamodb": change,
             "eventName": event or ("REMOVE" if new is None else "MODIFY")}
    text = json.dumps(whole)
    return text.replace('"RAW"', raw) if raw is not None else text


def body(records):
    return '{"Records":[%s]}' % ",".join(records)


def version(seq):
    return "%s/%040d" % (LABEL, seq)


class Drive:
    """A sink without a lane; every call is one line of its script."""

    def __init__(self, conninfo, name="copy", **conf):
        conf = {"conninfo": conninfo, "table": "items", "create": True, **conf}
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [DRIVE, json.dumps(conf), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.log, env=support.CLEAN_ENV, text=True)

    def send(self, *records, table="t", shard="shardId-1"):
        print("+ %s %s %s" % (table, shard, body(records)), file=self.process.stdin, flush=True)

    def ask(self, line):
        print(line, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        assert answer, "postgres_drive ended: %s" % self.process.wait()
        return json.loads(answer)

    def submit(self, *records, table="t", shard="shardId-1"):
        """The verdicts, one word if they are all the same, and the reason."""
        answer = self.ask("%s %s %s" % (table, shard, body(records)))
        kinds = set(answer["verdicts"])
        return kinds.pop() if len(kinds) == 1 else answer["verdicts"], answer["why"]

    def until_ack(self, *records, **more):
        """As a lane would: again while it says RETRY."""
        return support.wait_until(
            "an ACK", lambda: self.submit(*records, **more)[0] == "ACK", step=0.1)

    def probe(self, table="t", key="S"):
        return self.ask("probe %s %s" % (table, key))

    def status(self):
        return self.ask("status")

    def said(self):
        return os.pread(self.log.fileno(), 1 << 24, 0).decode()

    def close(self):
        if self.log.closed:
            return
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
        said = self.said()
        self.process.stdin.close()
        self.process.stdout.close()
        self.log.close()
        assert self.process.returncode == 0, said[-4000:]


class SinkTest(unittest.TestCase):
    """One server for all; each test has a database of its own."""

    @classmethod
    def setUpClass(cls):
        cls.server = services.shared(services.Postgres)

    def setUp(self):
        self.db = self.server.database("pg")
        self.conninfo = self.server.conninfo(self.db)

    def sql(self, statement, *values):
        return self.server.sql(statement, *values, dbname=self.db)

    def drive(self, conninfo=None, **conf):
        d = Drive(conninfo or self.conninfo, **conf)
        self.addCleanup(d.close)
        return d

    def proxy(self, server=None):
        p = Proxy("127.0.0.1", (server or self.server).port)
        self.addCleanup(p.close)
        return p, (server or self.server).conninfo(self.db, port=p.port)

    def rows(self, table="items"):
        return dict(self.sql("SELECT pk, document FROM %s" % table))

    def assertAll(self, verdict, answer):
        self.assertEqual(answer[0], verdict, answer[1])


class TableMode(SinkTest):
    def test_rows_are_as_the_items_are(self):
        d = self.drive()
        self.assertAll("ACK", d.submit(record(1, "a", {"n": {"N": "1"}}), record(2, "b", {}),
                                       record(3, "a", {"n": {"N": "2"}}), record(4, "b")))
        self.assertEqual(self.rows(), {"a": {"pk": "a", "n": 2}})
        self.assertEqual(self.sql("SELECT slipring_version FROM items"), [(version(3),)])
        self.assertEqual(self.sql("SELECT pk, slipring_version FROM items_slipring_deleted"),
                         [("b", version(4))])

    def test_replays_change_nothing(self):
        d = self.drive()
        batch = [record(1, "a", {"n": {"N": "1"}}), record(2, "b", {}), record(3, "b"),
                 record(4, "c", {})]
        self.assertAll("ACK", d.submit(*batch))
        before = self.sql("SELECT pk, slipring_version, xmin::text FROM items ORDER BY 1")
        tombs = self.sql("SELECT pk, slipring_version, xmin::text FROM items_slipring_deleted")
        self.assertAll("ACK", d.submit(*batch))
        # Not even written again.
        self.assertEqual(
            self.sql("SELECT pk, slipring_version, xmin::text FROM items ORDER BY 1"), before)
        self.assertEqual(
            self.sql("SELECT pk, slipring_version, xmin::text FROM items_slipring_deleted"), tombs)

    def test_older_after_newer(self):
        d = self.drive()
        d.submit(record(10, "a", {"n": {"N": "10"}}))
        for r in (record(9, "a", {"n": {"N": "9"}}), record(8, "a")):
            self.assertAll("ACK", d.submit(r))
            self.assertEqual(self.rows(), {"a": {"pk": "a", "n": 10}})
        self.assertEqual(self.sql("SELECT count(*) FROM items_slipring_deleted"), [(0,)])

    def test_older_upsert_after_a_delete(self):
        d = self.drive()
        d.submit(record(1, "a", {}))
        d.submit(record(5, "a"))
        self.assertAll("ACK", d.submit(record(4, "a", {"n": {"N": "4"}})))
        self.assertEqual(self.rows(), {})
        # A delete of what was never there is remembered just so.
        d.submit(record(6, "never"))
        self.assertAll("ACK", d.submit(record(5, "never", {})))
        self.assertEqual(self.rows(), {})
        # Born again.
        self.assertAll("ACK", d.submit(record(7, "a", {"n": {"N": "7"}})))
        self.assertEqual(self.rows(), {"a": {"pk": "a", "n": 7}})
        self.assertEqual(self.sql("SELECT pk FROM items_slipring_deleted"), [("never",)])
        # An older deletion neither removes the row nor leaves a tombstone beside it.
        self.assertAll("ACK", d.submit(record(6, "a")))
        self.assertEqual(self.rows(), {"a": {"pk": "a", "n": 7}})
        self.assertEqual(self.sql("SELECT pk FROM items_slipring_deleted"), [("never",)])

    def test_versions_are_compared_as_bytes(self):
        self.sql('CREATE TABLE items (pk text PRIMARY KEY, document jsonb, slipring_version text)')
        d = self.drive()
        d.submit(record(99, "a", {"n": {"N": "99"}}))
        self.assertAll("ACK", d.submit(record(100, "a", {"n": {"N": "100"}})))
        self.assertEqual(self.rows()["a"]["n"], 100)

    def test_rows_that_were_loaded_are_older_than_any_change(self):
        self.sql("CREATE TABLE items (pk text PRIMARY KEY, document jsonb, slipring_version text)")
        self.sql("INSERT INTO items VALUES ('a', '{}'), ('b', '{}'), ('c', '{}')")
        d = self.drive()
        self.assertAll("ACK", d.submit(record(1, "a", {"n": {"N": "1"}}), record(2, "b")))
        self.assertEqual(self.rows(), {"a": {"pk": "a", "n": 1}, "c": {}})

    def test_numbers_binaries_and_long_keys(self):
        big = "-12345678901234567890123456789012345678"
        small = "1.2345678901234567890123456789012345678E-100"
        d = self.drive(columns={"big": "numeric", "small": "numeric", "flag": "boolean",
                                "blob": "bytea", "at": "timestamptz", "n": "bigint",
                                "city": "text ship.city", "all": "jsonb ."})
        new = {"big": {"N": big}, "small": {"N": small}, "flag": {"BOOL": True},
               "blob": {"B": "AP8="}, "at": {"S": "2026-11-21T07:29:37.5Z"},
               "n": {"N": "9223372036854775807"}, "ship": {"M": {"city": {"S": "Köln"}}}}
        self.assertAll("ACK", d.submit(record(1, "a", new), record(2, "b", {})))
        row = self.sql("SELECT big::text, small, flag, blob, at, n, city, \"all\"->'small' "
                       "FROM items WHERE pk = 'a'")[0]
        self.assertEqual(row[0], big)
        self.assertEqual(row[1], decimal.Decimal(small))
        self.assertEqual((row[2], bytes(row[3]), row[5], row[6]),
                         (True, b"\x00\xff", 9223372036854775807, "Köln"))
        self.assertEqual(row[4].timestamp(), 1795246177.5)
        self.assertEqual(self.sql("SELECT big, flag, blob FROM items WHERE pk = 'b'"),
                         [(None, None, None)])
        self.assertEqual(self.sql(
            "SELECT (\"all\"->>'small')::numeric = small FROM items WHERE pk = 'a'"), [(True,)])

    def test_numeric_and_binary_keys(self):
        d = self.drive()
        self.assertAll("ACK", d.submit(record(1, {"N": "1.0"}, {}), record(2, {"N": "1"}, {}),
                                       record(3, {"N": "-0.5"}, {}), table="numbers"))
        self.assertEqual(sorted(str(r[0]) for r in self.sql("SELECT pk FROM items")), ["-0.5", "1"])
        d = self.drive(table="blobs", name="blobs")
        self.assertAll("ACK", d.submit(record(1, {"B": "AAE="}, {}), record(2, {"B": "/w=="}, {}),
                                       table="blobs"))
        self.assertEqual(sorted(bytes(r[0]) for r in self.sql("SELECT pk FROM blobs")),
                         [b"\x00\x01", b"\xff"])
        self.assertAll("ACK", d.submit(record(3, {"B": "AAE="}), table="blobs"))
        self.assertEqual([bytes(r[0]) for r in self.sql("SELECT pk FROM blobs")], [b"\xff"])

    def test_long_keys(self):
        d = self.drive(connections=1)
        # As random as text gets, or the index would compress it.
        noise = os.urandom(4096).hex()
        for n in (513, 1024, 2048):
            self.assertAll("ACK", d.submit(record(n, noise[:n], {})))
        verdict, why = d.submit(record(9000, noise[:6000], {}))
        self.assertEqual(verdict, "REJECT")
        self.assertIn("index row", why)
        self.assertNotIn(noise[:100], why)
        self.assertAll("REJECT", d.submit(record(9001, noise[:6000])))
        self.assertAll("SPLIT", d.submit(record(9002, noise[:6000], {}), record(9003, "x", {})))

    def test_poison_is_found_and_never_shown(self):
        d = self.drive(connections=1, columns={"n": "bigint", "doc": "jsonb ."})
        verdict, why = d.submit(record(1, "a", {}), record(2, "b", {"s": "RAW"},
                                raw='{"S":"se\\u0000cret"}'),
                                record(3, "c", {"s": "RAW"}, raw='{"S":"se\\ud800cret"}'),
                                record(4, "d", {"n": {"N": "9223372036854775808"}}),
                                record(5, "e", {"n": {"S": "secret"}}), record(6, "f", {}))
        self.assertEqual(verdict, ["ACK", "REJECT", "REJECT", "REJECT", "REJECT", "ACK"])
        self.assertIn("column", why)
        self.assertNotIn("secret", why)
        self.assertEqual([r[0] for r in self.sql("SELECT pk FROM items ORDER BY 1")], ["a", "f"])

    def test_an_earlier_write_takes_the_place_of_a_refused_one(self):
        d = self.drive(columns={"n": "bigint"})
        verdict, _ = d.submit(record(1, "a", {"n": {"N": "1"}}), record(2, "a", {"n": {"N": "2"}}),
                              record(3, "a", {"n": {"S": "x"}}))
        self.assertEqual(verdict, ["ACK", "ACK", "REJECT"])
        self.assertEqual(self.sql("SELECT n FROM items"), [(2,)])

    def test_a_constraint_splits_what_is_many_and_rejects_what_is_one(self):
        self.sql("CREATE TABLE items (pk text PRIMARY KEY, n bigint CHECK (n < 10), "
                 "slipring_version text)")
        d = self.drive(connections=1, columns={"n": "bigint"})
        bad = record(2, "b", {"n": {"N": "77"}})
        self.assertAll("SPLIT", d.submit(record(1, "a", {"n": {"N": "1"}}), bad))
        self.assertAll("ACK", d.submit(record(1, "a", {"n": {"N": "1"}})))
        verdict, why = d.submit(bad)
        self.assertEqual(verdict, "REJECT")
        self.assertIn("items_n_check", why)
        self.assertNotIn("77", why)
        self.assertAll("ACK", d.submit(record(3, "b", {"n": {"N": "3"}})))

    def test_words_of_a_trigger_are_not_shown(self):
        self.sql("CREATE TABLE items (pk text PRIMARY KEY, document jsonb, slipring_version text)")
        self.sql("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS "
                 "$$BEGIN RAISE EXCEPTION 'not %', NEW.pk; END$$")
        self.sql("CREATE TRIGGER no BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION no()")
        verdict, why = self.drive().submit(record(1, "secret", {}))
        self.assertEqual(verdict, "REJECT")
        self.assertIn("P0001", why)
        self.assertNotIn("secret", why)

    def test_words_of_a_function_are_not_shown_whatever_its_code(self):
        self.sql("CREATE TABLE items (pk text PRIMARY KEY, document jsonb, slipring_version text)")
        self.sql("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
                 "RAISE EXCEPTION 'not %', NEW.pk USING ERRCODE = NEW.document->>'code'; END$$")
        self.sql("CREATE TRIGGER no BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION no()")
        d = self.drive(connections=1)
        # A check that a function makes, and a code of the function's own.
        for seq, code in ((1, "23514"), (2, "SR001")):
            verdict, why = d.submit(record(seq, "secret", {"code": {"S": code}}))
            self.assertEqual(verdict, "REJECT", why)
            self.assertIn(code, why)
            self.assertNotIn("secret", why)

    def test_two_tables_through_one_sink(self):
        d = self.drive(table="{table}")
        d.send(record(1, "same", {"n": {"N": "1"}}), table="one")
        self.assertAll("ACK", d.submit(record(2, "same", {"n": {"N": "2"}}), table="two"))
        self.assertEqual(self.rows("one"), {"same": {"pk": "same", "n": 1}})
        self.assertEqual(self.rows("two"), {"same": {"pk": "same", "n": 2}})

    def test_dead_letters_of_one_shard_are_one_request(self):
        d = self.drive(connections=1)
        self.assertAll("ACK", d.submit(record(1, "a", {}), record(3, "b", {}), record(2, "c", {}),
                                       shard="replayed"))
        self.assertEqual(self.sql("SELECT sequence::text FROM slipring_position"), [("3",)])

    def test_two_streams_into_one_table(self):
        d = self.drive(connections=1)
        self.assertAll("ACK", d.submit(record(1, "same", {"n": {"N": "1"}}), table="one"))
        verdict, why = d.submit(record(2, "same", {"n": {"N": "2"}}), table="two")
        self.assertEqual(verdict, "HALT")
        self.assertRegex(why, "items of arn:.*/one and of arn:.*/two both go to table items")
        self.assertEqual(self.rows(), {"same": {"pk": "same", "n": 1}})
        log = self.drive(table="changes", mode="log")
        for table in ("one", "two"):
            self.assertAll("ACK", log.submit(record(1, "same", {}), table=table))

    def test_in_a_schema(self):
        self.sql("CREATE SCHEMA \"ware.house\"")
        self.sql("CREATE SCHEMA w")
        d = self.drive(table="w.{table}")
        self.assertAll("ACK", d.submit(record(1, "a", {}), table="a.dotted-name"))
        self.assertEqual(self.sql('SELECT pk FROM w."a.dotted-name"'), [("a",)])
        self.assertEqual(self.sql("SELECT sink FROM w.slipring_writer"), [("copy",)])

    def test_tombstones_go_when_they_are_old(self):
        d = self.drive(**{"tombstones.keep": "24s"})
        d.submit(record(1, "young"), record(2, "old"))
        self.sql("UPDATE items_slipring_deleted SET slipring_deleted_at = now() - interval '1 hour' "
                 "WHERE pk = 'old'")
        self.sql("INSERT INTO items_slipring_deleted SELECT 'k' || i, '', now() - interval '1 h' "
                 "FROM generate_series(1, 2500) i")
        support.wait_until(
            "the purge", lambda: d.submit(record(3, "x", {}))[0] == "ACK" and
            self.sql("SELECT pk FROM items_slipring_deleted") == [("young",)], step=0.3)

    def test_large_batches(self):
        d = self.drive()
        items = [record(i + 1, "k%d" % (i % 700), {"s": {"S": "x" * 2000}}) for i in range(2000)]
        d.send(*items[:900])
        d.send(*items[900:1500], shard="shardId-2")
        self.assertAll("ACK", d.submit(*items[1500:]))
        self.assertEqual(self.sql("SELECT count(*) FROM items"), [(700,)])
        self.assertEqual(self.sql("SELECT max(slipring_version) FROM items"), [(version(2000),)])
        # What was written is noted with it, the highest number of each shard.
        self.assertEqual(self.sql("SELECT shard, max(sequence) FROM slipring_position "
                                  "WHERE sink = 'copy' GROUP BY 1 ORDER BY 1"),
                         [("shardId-1", 2000), ("shardId-2", 1500)])


class LogMode(SinkTest):
    def test_every_change_once(self):
        d = self.drive(mode="log", columns={"n": "bigint"})
        batch = [record(1, "a", {"n": {"N": "1"}}, event="INSERT"),
                 record(2, "a", {"n": {"N": "2"}}, {"n": {"N": "1"}}),
                 record(3, "a", None, {"n": {"N": "2"}})]
        for _ in range(2):
            self.assertAll("ACK", d.submit(*batch))
        rows = self.sql("SELECT sequence, event, event_id, keys->>'pk', new->'n', old->'n', n, "
                        "stream, shard FROM items ORDER BY sequence")
        self.assertEqual([(r[1], r[2], r[3], r[4], r[5], r[6]) for r in rows],
                         [("INSERT", "e-1", "a", 1, None, 1), ("MODIFY", "e-2", "a", 2, 1, 2),
                          ("REMOVE", "e-3", "a", None, 2, 2)])
        self.assertEqual(rows[0][0], "%040d" % 1)
        self.assertEqual(rows[0][8], "shardId-1")


class Faults(SinkTest):
    """Of a server of its own, which is stopped, frozen, filled."""

    @classmethod
    def setUpClass(cls):
        cls.server = services.Postgres(fsync="off").start()

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    def test_refused(self):
        proxy, conninfo = self.proxy()
        d = self.drive(conninfo)
        proxy.refuse()
        verdict, why = d.submit(record(1, "a", {}))
        self.assertEqual(verdict, "RETRY")
        self.assertRegex(why, "^postgres: cannot connect: .*refused")
        proxy.pass_on()
        self.assertAll("ACK", d.submit(record(1, "a", {})))

    def test_wrong_password(self):
        user, password = self.server.PASSWORD_USER, "wr0ng secret"
        d = self.drive(self.server.conninfo(self.db, user=user, password=password))
        verdict, why = d.submit(record(1, "a", {}))
        self.assertEqual(verdict, "HALT")
        self.assertIn("password authentication failed", why)
        self.assertIn("28P01", why)
        for text in (why, d.said(), json.dumps(d.status()), json.dumps(d.probe())):
            self.assertNotIn(password, text)
        self.assertIn("28P01", d.probe()[0][1])

    def test_no_such_database(self):
        verdict, why = self.drive(self.server.conninfo("nowhere")).submit(record(1, "a", {}))
        self.assertEqual(verdict, "HALT")
        self.assertIn('database "nowhere" does not exist', why)

    def test_missing_tables_and_ddl_from_the_probe(self):
        d = self.drive(create=False)
        verdict, why = d.submit(record(1, "a", {}))
        self.assertEqual(verdict, "HALT")
        self.assertIn("slipring_writer", why)
        for grade, text in d.probe():
            if grade == "bad":
                for statement in text.partition("\n")[2].split(";"):
                    if statement.strip():
                        self.sql(statement)
        self.assertEqual({grade for grade, _ in d.probe()}, {"ok"}, d.probe())
        self.assertAll("ACK", d.submit(record(1, "a", {}), record(2, "b")))
        self.sql("DROP TABLE items")
        verdict, why = d.submit(record(3, "a", {}))
        self.assertEqual(verdict, "HALT")
        self.assertIn("items", why)
        # Mended and resumed: the same sink goes on.
        self.sql(next(t.partition("\n")[2] for g, t in d.probe() if g == "bad"))
        self.assertAll("ACK", d.submit(record(3, "a", {})))

    def test_the_manual_shows_what_is_created(self):
        d = self.drive(create=False, table="{table}")
        with open(os.path.join(support.ROOT, "docs/postgres.md"), encoding="utf-8") as f:
            manual = f.read()
        ddl = [text.partition("\n")[2] for grade, text in d.probe("orders") if grade == "bad"]
        self.assertEqual(len(ddl), 2)
        for text in ddl:
            self.assertIn("```sql\n%s\n```" % text, manual)

    def test_misfits_are_named(self):
        self.sql("CREATE TABLE items (pk varchar(100) PRIMARY KEY, n integer, d numeric(10,2), "
                 "tenant text NOT NULL, slipring_version text)")
        d = self.drive(columns={"n": "bigint", "d": "numeric", "more": "jsonb ."})
        verdict, why = d.submit(record(1, "a", {"n": {"N": "1"}}))
        self.assertEqual(verdict, "HALT")
        for part in ('"n" is integer and must be bigint', '"d" is numeric(10,2) and must be numeric',
                     '"more" is missing (jsonb)', '"tenant" is NOT NULL, and nothing fills it'):
            self.assertIn(part, why)
        self.assertIn(["bad", why], d.probe())
        self.sql("ALTER TABLE items ALTER n TYPE bigint, ALTER d TYPE numeric, ADD more jsonb, "
                 "ALTER tenant DROP NOT NULL")
        self.assertAll("ACK", d.submit(record(1, "a", {"n": {"N": "1"}})))

    def test_a_domain_that_rounds_is_a_misfit(self):
        self.sql("CREATE DOMAIN price AS numeric(10,2)")
        self.sql("CREATE TABLE items (pk text PRIMARY KEY, d price, slipring_version text)")
        verdict, why = self.drive(columns={"d": "numeric"}).submit(record(1, "a", {"d": {"N": "1.005"}}))
        self.assertEqual(verdict, "HALT", self.sql("SELECT d FROM items"))
        self.assertIn('"d" is price and must be numeric', why)

    def test_permission_to_create_comes_later(self):
        user = self.server.PASSWORD_USER
        d = self.drive(self.server.conninfo(self.db, user=user, password=self.server.PASSWORD))
        verdict, why = d.submit(record(1, "a", {}))
        self.assertEqual(verdict, "HALT")
        self.assertIn("permission denied", why)
        # Granted and resumed: nobody has to start it anew.
        self.sql("GRANT CREATE ON SCHEMA public TO %s" % user)
        self.assertAll("ACK", d.submit(record(1, "a", {})))
        self.sql("DROP TABLE items")
        self.assertEqual(d.submit(record(2, "a", {}))[0], "HALT")
        self.assertAll("ACK", d.submit(record(2, "a", {})))

    def test_no_unique_index_and_no_permission(self):
        self.sql("CREATE TABLE items (pk text, document jsonb, slipring_version text)")
        d = self.drive()
        verdict, why = d.submit(record(1, "a", {}))
        self.assertEqual(verdict, "HALT")
        self.assertIn("42P10", why)
        self.assertIn("42P10", json.dumps(d.probe()))
        self.sql("ALTER TABLE items ADD PRIMARY KEY (pk)")
        self.assertAll("ACK", d.submit(record(1, "a", {})))
        self.sql("GRANT ALL ON slipring_writer, slipring_position, items_slipring_deleted TO %s"
                 % self.server.PASSWORD_USER)
        e = self.drive(self.server.conninfo(self.db, user=self.server.PASSWORD_USER,
                                            password=self.server.PASSWORD), name="other")
        verdict, why = e.submit(record(1, "a", {}))
        self.assertEqual(verdict, "HALT")
        self.assertIn("permission denied for table items", why)
        self.assertIn("permission denied for table items", json.dumps(e.probe()))

    def test_read_only(self):
        self.sql("CREATE TABLE before (a int)")
        self.sql("ALTER DATABASE %s SET default_transaction_read_only = on" % self.db)
        d = self.drive()
        verdict, why = d.submit(record(1, "a", {}))
        self.assertEqual(verdict, "RETRY")
        self.assertIn("session is read-only", why)
        # Became read-only while connected, or target_session_attrs=any.
        e = self.drive(self.conninfo + " target_session_attrs=any")
        verdict, why = e.submit(record(1, "a", {}))
        self.assertEqual(verdict, "RETRY")
        self.assertIn("25006", why)
        self.assertIn("read-only", json.dumps(e.probe()))
        self.server.sql("ALTER DATABASE %s RESET default_transaction_read_only" % self.db)
        self.assertAll("ACK", d.submit(record(1, "a", {})))
        self.assertAll("ACK", e.submit(record(1, "a", {})))

    def test_several_hosts(self):
        """A dead one first, then one that takes connections and says nothing."""
        silent, _ = self.proxy()
        silent.stall()
        conninfo = ("host=127.0.0.1,127.0.0.1,127.0.0.1 port=%d,%d,%d dbname=%s user=%s "
                    "connect_timeout=2" % (support.free_port(), silent.port, self.server.port,
                                           self.db, self.server.USER))
        self.assertAll("ACK", self.drive(conninfo, connections=1).submit(record(1, "a", {})))

    def test_cut_while_idle(self):
        proxy, conninfo = self.proxy()
        d = self.drive(conninfo)
        d.submit(record(1, "a", {}), record(2, "b", {}))
        proxy.cut()
        verdict = d.until_ack(record(3, "a", {"n": {"N": "3"}}))
        self.assertTrue(verdict)
        self.assertEqual(self.rows()["a"]["n"], 3)

    def test_cut_after_commit_was_sent(self):
        for mode in ("table", "log"):
            proxy, conninfo = self.proxy()
            table = "in_" + mode
            d = self.drive(conninfo, name=mode, table=table, mode=mode, connections=1)
            self.assertAll("ACK", d.submit(record(1, "a", {})))
            # The last the server is sent is "execute the statement called commit".
            proxy.cut_when(b"commit\0", TO_TARGET)
            batch = [record(2, "a", {"n": {"N": "2"}}), record(3, "b", {})]
            verdict, why = d.submit(*batch)
            self.assertEqual(verdict, "RETRY", why)
            d.until_ack(*batch)
            self.assertEqual(self.sql("SELECT count(*) FROM " + table),
                             [(2 if mode == "table" else 3,)])

    def test_a_commit_that_comes_late_brings_nothing_back(self):
        """The connection is lost while the server commits an insert, which nobody else sees yet.
        What comes next on a new connection is that item's removal."""
        proxy, conninfo = self.proxy()
        d = self.drive(conninfo, connections=1)
        self.assertAll("ACK", d.submit(record(1, "z", {})))
        self.sql("CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS "
                 "'BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END'")
        self.sql("CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON items "
                 "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (new.pk = 'a') "
                 "EXECUTE FUNCTION hold()")
        disk = self.server.connect(self.db)
        self.addCleanup(disk.close)
        disk.cursor().execute("SELECT pg_advisory_lock(4711)")
        proxy.cut_when(b"commit\0", TO_TARGET)
        verdict, why = d.submit(record(2, "a", {}))
        self.assertEqual(verdict, "RETRY", why)
        d.until_ack(record(1, "x", {}), shard="shardId-2")
        # As the lane may send them: of an item that is twice in a batch the last is written.
        d.send(record(2, "a", {}), record(3, "a"))
        support.wait_until("the first transaction to be waited for", lambda: self.sql(
            "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock' "
            "AND query LIKE '%%slipring_position%%'", self.db))
        disk.cursor().execute("SELECT pg_advisory_unlock(4711)")
        self.assertAll("ACK", d.submit(record(4, "y", {})))
        self.assertEqual(set(self.rows()), {"x", "y", "z"})

    def test_cut_when_commit_was_answered(self):
        proxy, conninfo = self.proxy()
        d = self.drive(conninfo, connections=1)
        d.submit(record(1, "a", {}))
        proxy.cut_when(b"COMMIT\0", TO_CLIENT, passing=False)
        verdict, _ = d.submit(record(2, "a", {"n": {"N": "2"}}))
        self.assertEqual(verdict, "RETRY")
        # It was committed; doing it again changes nothing.
        self.assertEqual(self.rows()["a"]["n"], 2)
        d.until_ack(record(2, "a", {"n": {"N": "2"}}))

    def test_what_is_queued_behind_a_failure_goes_back_with_it(self):
        proxy, conninfo = self.proxy()
        d = self.drive(conninfo, connections=1)
        d.submit(record(1, "a", {}))
        lock = self.server.connect(self.db)
        self.addCleanup(lock.close)
        lock.autocommit = False
        lock.cursor().execute("UPDATE items SET document = '{}' WHERE pk = 'a'")
        d.send(record(2, "a", {"n": {"N": "2"}}))
        d.send(record(3, "a", {"n": {"N": "3"}}))
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
        support.wait_until("a lock to be waited for",
                           lambda: self.sql(waiting, self.db) == [(1,)])
        self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s "
                 "AND wait_event_type = 'Lock'", self.db)
        answer = d.ask("t shardId-1 " + body([record(4, "b", {})]))
        self.assertEqual(answer["verdicts"][:2], ["RETRY", "RETRY"])
        self.assertIn("57P01", answer["why"])
        lock.rollback()
        d.until_ack(record(2, "a", {"n": {"N": "2"}}), record(3, "a", {"n": {"N": "3"}}))
        self.assertEqual(self.rows()["a"]["n"], 3)

    def test_restarted_in_mid_transaction(self):
        d = self.drive(connections=1)
        d.submit(record(1, "a", {}))
        lock = self.server.connect(self.db)
        lock.autocommit = False
        lock.cursor().execute("LOCK TABLE items")
        d.send(record(2, "a", {"n": {"N": "2"}}))
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
        support.wait_until("a lock to be waited for",
                           lambda: self.sql(waiting, self.db) == [(1,)])
        self.server.stop()
        verdict, why = d.submit(record(3, "b", {}))
        self.assertEqual(verdict, "RETRY", why)
        self.server.restart()
        d.until_ack(record(2, "a", {"n": {"N": "2"}}), record(3, "b", {}))
        self.assertEqual({k: v.get("n") for k, v in self.rows().items()}, {"a": 2, "b": None})

    def test_hangs_without_answering(self):
        proxy, conninfo = self.proxy()
        d = self.drive(conninfo, **{"statement-timeout": "1s", "connections": 1})
        d.submit(record(1, "a", {}))
        proxy.stall()
        verdict, why = d.submit(record(2, "a", {"n": {"N": "2"}}))
        self.assertEqual(verdict, "RETRY")
        self.assertIn("no answer within 2 s", why)
        proxy.pass_on()
        d.until_ack(record(2, "a", {"n": {"N": "2"}}))

    def test_statement_timeout(self):
        d = self.drive(**{"statement-timeout": "1s", "connections": 1})
        d.submit(record(1, "a", {}))
        lock = self.server.connect(self.db)
        self.addCleanup(lock.close)
        lock.autocommit = False
        lock.cursor().execute("LOCK TABLE items")
        verdict, why = d.submit(record(2, "a", {}))
        self.assertEqual(verdict, "RETRY")
        self.assertIn("57014", why)
        lock.rollback()
        self.assertAll("ACK", d.submit(record(2, "a", {})))

    def test_a_second_writer_fences_the_first(self):
        first = self.drive()
        self.assertAll("ACK", first.submit(record(1, "a", {}), record(2, "b", {})))
        second = self.drive()
        self.assertAll("ACK", second.submit(record(3, "a", {"n": {"N": "3"}})))
        verdict, why = first.submit(record(4, "a", {"n": {"N": "4"}}), record(5, "b"))
        self.assertEqual(verdict, "HALT")
        self.assertIn('another slipring writes as sink "copy"', why)
        self.assertEqual(self.rows()["a"]["n"], 3)
        self.assertIn("b", self.rows())
        # Other names, other writers.
        third = self.drive(name="third")
        self.assertAll("ACK", third.submit(record(6, "c", {})))
        self.assertAll("ACK", second.submit(record(7, "d", {})))
        # `slipring resume` of the first: now it is the one.
        self.assertAll("ACK", first.submit(record(8, "a", {"n": {"N": "8"}})))
        self.assertEqual(second.submit(record(9, "a", {}))[0], "HALT")

    def test_tables_that_were_dropped_are_made_again(self):
        """Nobody else writes there: the epoch was dropped with the table that it was in."""
        d = self.drive(connections=2)
        self.assertAll("ACK", d.submit(record(1, "a", {}), record(2, "b", {})))
        self.sql("DROP TABLE slipring_writer, slipring_position, items, items_slipring_deleted")
        many = [record(10 + i, "k%d" % i, {}) for i in range(16)]
        # One connection finds out, the other may not have been made yet.
        verdict, why = d.submit(*many)
        self.assertNotEqual(verdict, "ACK")
        self.assertIn("a table is missing", why)
        # `slipring resume`
        self.assertAll("ACK", d.submit(*many))
        self.assertEqual(self.sql("SELECT count(*) FROM items"), [(16,)])

    def test_no_connection_takes_back_what_another_was_fenced_from(self):
        first = self.drive(connections=2)
        # One of its two connections is not needed yet.
        self.assertAll("ACK", first.submit(record(1, "a", {})))
        second = self.drive()
        self.assertAll("ACK", second.submit(record(2, "a", {})))
        many = [record(10 + i, "k%d" % i, {}) for i in range(16)]
        self.assertAll("HALT", first.submit(*many, record(9, "a", {})))
        self.assertAll("ACK", second.submit(record(3, "a", {})))
        self.assertEqual(self.sql("SELECT epoch FROM slipring_writer"), [(2,)])
        self.assertAll("ACK", first.submit(*many))

    def test_disk_full(self):
        """A tablespace on a small tmpfs: the table and its index are there."""
        if os.getuid() != 0:
            self.skipTest("only root mounts a tmpfs")
        place = self.server.folder("small")
        os.mkdir(place)
        owner = os.stat(self.server.folder("data"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700,uid=%d,gid=%d" %
                        (owner.st_uid, owner.st_gid), "none", place], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", place], check=False)
        self.server.sql("CREATE TABLESPACE small LOCATION '%s'" % place)
        self.addCleanup(self.server.sql, "DROP TABLESPACE small")
        self.addCleanup(self.server.sql, "DROP DATABASE %s WITH (FORCE)" % self.db)
        self.sql("CREATE TABLE items (pk text PRIMARY KEY USING INDEX TABLESPACE small, "
                 "document jsonb, slipring_version text) TABLESPACE small")
        d = self.drive(connections=1)
        self.assertAll("ACK", d.submit(record(1, "a", {})))
        with open(os.path.join(place, "filler"), "wb", buffering=0) as f:
            try:
                while True:
                    f.write(bytes(4096))
            except OSError:
                pass
        big = [record(i, "k%d" % i, {"s": {"S": os.urandom(500).hex()}}) for i in range(2, 200)]
        verdict, why = d.submit(*big)
        self.assertEqual(verdict, "RETRY", why)
        self.assertIn("53100", why)
        os.truncate(os.path.join(place, "filler"), 0)
        self.assertAll("ACK", d.submit(*big))
        self.assertEqual(self.sql("SELECT count(*) FROM items"), [(199,)])

    def test_closed_with_work_in_hand(self):
        """Reports come from close(), and the process ends."""
        proxy, conninfo = self.proxy()
        proxy.stall()
        d = self.drive(conninfo)
        d.send(record(1, "a", {}))
        d.close()
        self.assertEqual(d.process.returncode, 0)


def plain(value):
    """An attribute as the plain form has it, numbers exact."""
    (tag, inner), = value.items()
    if tag == "N":
        return decimal.Decimal(inner)
    if tag == "M":
        return {k: plain(v) for k, v in inner.items()}
    if tag == "L":
        return [plain(v) for v in inner]
    if tag == "NS":
        return sorted(decimal.Decimal(n) for n in inner)
    return sorted(inner) if tag in ("SS", "BS") else None if tag == "NULL" else inner


class Daemon(SinkTest):
    """The program, a table in DynamoDB Local, and both modes at once."""

    ITEMS, WRITES, KILLS = 150, int(os.environ.get("WRITES", "3000")), 3

    @classmethod
    def setUpClass(cls):
        cls.server = services.Postgres(fsync="off").start()
        cls.source = support.DynamoDBLocal()

    @classmethod
    def tearDownClass(cls):
        cls.source.close()
        cls.server.close()

    def setUp(self):
        super().setUp()
        self.work = support.Workspace("postgres")
        self.addCleanup(self.work.close)
        self.client = self.source.client()
        self.addCleanup(self.client.close)
        self.table = services.unique("t")
        self.client.create_table(self.table)

    def config(self, **sinks):
        for sink in sinks.values():
            sink.setdefault("conninfo", self.conninfo)
            sink.update(type="postgres", **{"from": ["s"]}, breaker={"open": "1s"})
        return support.config(self.work.path, self.source.endpoint,
                              {"s": {"table": self.table, "poll": {"idle": "250ms"}}}, sinks)

    def start(self, path):
        d = support.run_daemon(path)
        self.addCleanup(d.close)
        return d

    def write(self, rng):
        key = "item-%d" % rng.randrange(self.ITEMS)
        if rng.random() < 0.2:
            self.client.call("DeleteItem", TableName=self.table, Key={"pk": {"S": key}})
            return
        self.client.call("PutItem", TableName=self.table, Item={
            "pk": {"S": key}, "n": {"N": str(rng.randrange(10 ** 38))}, "b": {"B": "AP8="},
            "small": {"N": "%de-120" % rng.randrange(1, 10 ** 20)}, "ok": {"BOOL": True},
            "tags": {"SS": sorted({rng.choice("abcdef") for _ in range(3)})},
            "deep": {"M": {"list": {"L": [{"NULL": True}, {"S": "Zürich \U0001f98e"}]}}}})

    def scan(self):
        items, start = {}, {}
        while True:
            page = self.client.call("Scan", TableName=self.table, **start)
            for item in page["Items"]:
                items[item["pk"]["S"]] = {k: plain(v) for k, v in item.items()}
            if not page.get("LastEvaluatedKey"):
                return items
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def copy(self):
        return {pk: json.loads(text, parse_int=decimal.Decimal, parse_float=decimal.Decimal)
                for pk, text in self.sql("SELECT pk, document::text FROM items")}

    def test_equal_to_a_scan_after_kills(self):
        path = self.config(copy={"table": "items", "create": True},
                           history={"table": "history", "mode": "log", "create": True})
        daemon, rng = self.start(path), random.Random(20261121)
        part = self.WRITES // (self.KILLS + 2)
        for _ in range(self.KILLS):
            for _ in range(part):
                self.write(rng)
            daemon.kill()
            daemon = self.start(path)
        self.server.kill()
        for _ in range(part):
            self.write(rng)
        self.server.restart()
        for _ in range(part):
            self.write(rng)
        arn = self.client.call("DescribeTable", TableName=self.table)["Table"]["LatestStreamArn"]
        events = [r for shard in self.client.read_stream(arn).values() for r in shard]
        want = sorted("%040d" % int(json.loads(r)["dynamodb"]["SequenceNumber"]) for r in events)
        support.wait_until("the whole history", lambda: self.sql(
            "SELECT count(*) FROM history") == [(len(want),)], patience=120, step=0.2)
        support.wait_until("the copy", lambda: self.copy() == self.scan(), step=0.5)
        self.assertEqual([r[0] for r in self.sql("SELECT sequence FROM history ORDER BY 1")], want)
        self.assertEqual(daemon.stop(), 0)

    def test_poison_among_good_records(self):
        self.sql("CREATE TABLE items (pk text PRIMARY KEY, n bigint CHECK (n <> 13), "
                 "slipring_version text)")
        path = self.config(copy={"table": "items", "create": True, "connections": 1,
                                 "columns": {"n": "bigint"}})
        for i in range(600):
            self.client.call("PutItem", TableName=self.table, Item={
                "pk": {"S": "k%d" % i}, "n": {"S": "no"} if i == 100 else
                {"N": "13" if i == 300 else str(1000 + i)}})
        daemon = self.start(path)
        support.wait_until("all but two", lambda: self.sql(
            "SELECT count(*) FROM items") == [(598,)])
        self.assertEqual(self.sql("SELECT count(*) FROM items WHERE pk IN ('k100', 'k300')"),
                         [(0,)])

        def letters():
            code, out, err = support.slipring("dlq", "list", "--json", "-c", path)
            self.assertEqual(code, 0, err)
            return sorted(json.dumps(row) for row in json.loads(out))

        support.wait_until("two dead letters", lambda: len(letters()) == 2)
        one, two = sorted(letters(), key=lambda row: "items_n_check" in row)
        self.assertIn("column", one)
        self.assertIn("items_n_check", two)
        self.assertEqual(daemon.stop(), 0)

    def test_check_connect(self):
        path = self.config(copy={"table": "items"})
        code, out, err = support.slipring("check", "--connect", "-c", path)
        self.assertEqual(code, 1, out + err)
        self.assertIn('CREATE TABLE IF NOT EXISTS "items"', out + err)
        self.assertIn('"pk" text NOT NULL', out + err)
        path = self.config(copy={"table": "items", "create": True})
        code, out, err = support.slipring("check", "--connect", "-c", path)
        self.assertEqual(code, 0, out + err)
        self.assertIn("PostgreSQL 1", out)
        self.assertEqual(self.sql("SELECT to_regclass('items')"), [(None,)])

    def statements(self, out):
        """What check prints to be run: the lines that are set off."""
        return "\n".join(line for line in out.splitlines() if line.startswith("        "))

    def test_what_check_prints_can_be_run(self):
        path = self.config(copy={"table": "items"})
        code, out, err = support.slipring("check", "--connect", "-c", path)
        self.assertEqual(code, 1, out + err)
        self.sql(self.statements(out))
        code, out, err = support.slipring("check", "--connect", "-c", path)
        self.assertEqual(code, 0, out + err)

    def test_check_looks_at_the_schema(self):
        path = self.config(copy={"table": "replica.items", "create": True})
        code, out, err = support.slipring("check", "--connect", "-c", path)
        self.assertEqual(code, 1, out + err)
        self.assertIn("schema replica does not exist", out)
        self.sql('CREATE SCHEMA "replica"')
        self.assertEqual(support.slipring("check", "--connect", "-c", path)[0], 0)
        # Who is no owner of the database may use public, and create nothing there.
        role = services.unique("ordinary")
        self.sql("CREATE ROLE %s LOGIN" % role)
        conninfo = self.server.conninfo(self.db, user=role)
        path = self.config(copy={"table": "items", "create": True, "conninfo": conninfo})
        code, out, err = support.slipring("check", "--connect", "-c", path)
        self.assertEqual(code, 1, out + err)
        self.assertIn("%s may not create tables in schema public" % role, out)
        self.sql(re.search("GRANT .*;", out).group(0))
        self.assertEqual(support.slipring("check", "--connect", "-c", path)[0], 0)


if __name__ == "__main__":
    unittest.main()
