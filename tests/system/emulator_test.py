#!/usr/bin/python3
"""The emulator's own test: does it serve, refuse and misbehave as it says?

Boots build/tests/emulator/emulator (EMULATOR=path for another build) on a free
port for each case. Standard library only; botocore, if this Python has it,
signs the requests of the signature cases.
"""
import base64
import contextlib
import gzip
import http.client
import json
import os
import signal
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import unittest
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("EMULATOR", os.path.join(ROOT, "build/tests/emulator/emulator"))
STREAMS = "DynamoDBStreams_20120810."
TABLES = "DynamoDB_20120810."
STREAM_CALLS = ("GetRecords", "GetShardIterator", "DescribeStream", "ListStreams")
PATIENCE = 10

try:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
except ImportError:
    SigV4Auth = None


class Refused(Exception):
    def __init__(self, status, code, message):
        super().__init__("%d %s: %s" % (status, code, message))
        self.status, self.code, self.message = status, code, message


class Answer:
    def __init__(self, response, body):
        self.status, self.headers, self.body = response.status, response.headers, body


class Emulator:
    def __init__(self, *options, tls=None):
        self.tls = tls
        self.process = subprocess.Popen(
            [BINARY, "--port", "0", "--stdin-guard", *map(str, options)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("port "):
            self.close()
            raise RuntimeError("the emulator did not start: %r" % line)
        self.port = int(line.split()[1])
        self.connection = None

    def close(self):
        """SIGTERM must be enough; a sanitizer's finding is an exit code."""
        if getattr(self, "connection", None) is not None:
            self.connection.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.process.stdin.close()
            self.process.stdout.close()
        return code

    def raw(self, path, body, headers, timeout=PATIENCE):
        if self.connection is None:
            self.connection = http.client.HTTPConnection(
                "127.0.0.1", self.port, timeout=timeout) if self.tls is None else \
                http.client.HTTPSConnection(
                    "127.0.0.1", self.port, timeout=timeout, context=self.tls)
        self.connection.timeout = timeout
        if self.connection.sock is not None:
            self.connection.sock.settimeout(timeout)
        try:
            self.connection.request("POST", path, body, headers)
            response = self.connection.getresponse()
            return Answer(response, response.read())
        except Exception:
            self.connection.close()
            self.connection = None
            raise

    def control(self, name, **members):
        answer = self.raw("/control/" + name, json.dumps(members).encode(), {})
        if answer.status != 200:
            raise Refused(answer.status, name, answer.body.decode())
        return json.loads(answer.body)

    def plain(self, operation, members, headers=None):
        """One call, its answer as it came."""
        prefix = STREAMS if operation in STREAM_CALLS else TABLES
        fields = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": prefix + operation}
        fields.update(headers or {})
        return self.raw("/", json.dumps(members).encode(), fields)

    def call(self, operation, **members):
        """One call, checked as a careful client would."""
        answer = self.plain(operation, members)
        if int(answer.headers["x-amz-crc32"]) != zlib.crc32(answer.body):
            raise AssertionError("%s: wrong crc32" % operation)
        out = json.loads(answer.body)
        if answer.status != 200:
            raise Refused(answer.status, out["__type"].split("#")[-1],
                          out.get("message", out.get("Message")))
        return out

    def arn(self):
        return self.call("DescribeTable", TableName="orders")["Table"]["LatestStreamArn"]

    def shards(self, **members):
        """All pages of the listing."""
        found, cursor, arn = [], {}, self.arn()
        for _ in range(2000):
            page = self.call("DescribeStream", StreamArn=arn, **cursor, **members)
            page = page["StreamDescription"]
            found += page["Shards"]
            if not page.get("LastEvaluatedShardId"):
                return found
            cursor = {"ExclusiveStartShardId": page["LastEvaluatedShardId"]}
        raise AssertionError("the listing does not end")

    def iterator(self, shard, kind="TRIM_HORIZON", number=None, arn=None):
        more = {} if number is None else {"SequenceNumber": number}
        return self.call("GetShardIterator", StreamArn=arn or self.arn(), ShardId=shard,
                         ShardIteratorType=kind, **more)["ShardIterator"]

    def read(self, iterator, limit=1000, pages=100000):
        """Records up to the end of the shard, or to the first empty page of an open one."""
        records = []
        for _ in range(pages):
            page = self.call("GetRecords", ShardIterator=iterator, Limit=limit)
            records += page["Records"]
            iterator = page.get("NextShardIterator")
            if not iterator or not page["Records"]:
                return records
        raise AssertionError("the shard does not end")


class Case(unittest.TestCase):
    def boot(self, *options, **how):
        emulator = Emulator(*options, **how)
        self.addCleanup(lambda: self.assertEqual(emulator.close(), 0))
        return emulator

    def refused(self, code, fn, *args, **kw):
        with self.assertRaises(Refused) as caught:
            fn(*args, **kw)
        self.assertEqual(caught.exception.code, code)
        return caught.exception


def sequence(record):
    return int(record["dynamodb"]["SequenceNumber"])


def lineage_order(shards):
    """Parents first; a parent that is not listed makes a root."""
    by_id = {s["ShardId"]: s for s in shards}
    done, order = set(), []

    def visit(s):
        if s["ShardId"] in done:
            return
        parent = s.get("ParentShardId")
        if parent in by_id:
            visit(by_id[parent])
        done.add(s["ShardId"])
        order.append(s)

    for s in shards:
        visit(s)
    return order


class History(Case):
    OPTIONS = ("--seed", 7, "--shards", 3, "--records", 4000, "--items", 60,
               "--split-every", 300, "--rotate-every", 170)

    def check_chain(self, records):
        """Per item: each old image is the new image before it."""
        current, kinds = {}, set()
        for r in records:
            d, name = r["dynamodb"], r["eventName"]
            key = json.dumps(d["Keys"], sort_keys=True)
            kinds.add(name)
            self.assertEqual(d.get("OldImage"), current.get(key), key)
            self.assertEqual(name, "REMOVE" if "NewImage" not in d
                             else "MODIFY" if "OldImage" in d else "INSERT")
            if name == "MODIFY":
                self.assertNotEqual(d["OldImage"], d["NewImage"])
            current[key] = d.get("NewImage")
        return kinds

    def walk(self, emulator, **listing):
        records = []
        for s in lineage_order(emulator.shards(**listing)):
            own = emulator.read(emulator.iterator(s["ShardId"]), limit=137)
            numbers = [sequence(r) for r in own]
            self.assertEqual(numbers, sorted(set(numbers)))
            span = s["SequenceNumberRange"]
            for n in numbers:
                self.assertGreaterEqual(n, int(span["StartingSequenceNumber"]))
                self.assertLessEqual(n, int(span.get("EndingSequenceNumber", n)))
            records += own
        return records

    def test_walk_from_root_to_leaf(self):
        e = self.boot(*self.OPTIONS, "--page-shards", 4)
        records = self.walk(e)
        self.assertEqual(len(records), 4000)
        self.assertEqual(self.check_chain(records), {"INSERT", "MODIFY", "REMOVE"})
        self.assertEqual(len({r["eventID"] for r in records}), 4000)
        tags = set()
        for r in records:
            for image in (r["dynamodb"].get("NewImage") or {}).values():
                tags |= set(image)
        self.assertEqual(tags, {"S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS"})
        ttl = [r for r in records if "userIdentity" in r]
        self.assertTrue(ttl)
        for r in ttl:
            self.assertEqual(r["eventName"], "REMOVE")
            self.assertEqual(r["userIdentity"],
                             {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"})

    def test_graph(self):
        e = self.boot(*self.OPTIONS)
        shards = e.shards()
        by_id = {s["ShardId"]: s for s in shards}
        children = {}
        for s in shards:
            self.assertRegex(s["ShardId"], r"^shardId-\d{20}-[0-9a-f]{8}$")
            if "ParentShardId" in s:
                parent = by_id[s["ParentShardId"]]["SequenceNumberRange"]
                self.assertGreater(int(s["SequenceNumberRange"]["StartingSequenceNumber"]),
                                   int(parent["EndingSequenceNumber"]))
                children.setdefault(s["ParentShardId"], []).append(s["ShardId"])
        self.assertEqual({len(c) for c in children.values()}, {1, 2})
        for s in shards:
            closed = "EndingSequenceNumber" in s["SequenceNumberRange"]
            self.assertEqual(closed, s["ShardId"] in children)
        self.assertEqual(len([s for s in shards if s["ShardId"] not in children]), 3 + 13)

    def test_same_seed_same_bytes(self):
        one, two = (self.boot(*self.OPTIONS).raw("/control/dump", b"", {}).body for _ in "ab")
        self.assertEqual(one, two)
        other = self.boot(*self.OPTIONS[2:], "--seed", 8).raw("/control/dump", b"", {}).body
        self.assertNotEqual(one, other)

    def test_dump_is_what_readers_see(self):
        e = self.boot(*self.OPTIONS)
        for s in e.control("dump")["streams"][0]["shards"]:
            self.assertEqual(s["events"], e.read(e.iterator(s["id"])))

    def test_unordered_listing(self):
        e = self.boot(*self.OPTIONS, "--page-shards", 3, "--shard-order", "shuffled")
        seen, early = set(), 0
        for s in e.shards():
            early += s.get("ParentShardId", s["ShardId"]) not in seen | {s["ShardId"]}
            seen.add(s["ShardId"])
        self.assertGreater(early, 0)
        self.check_chain(self.walk(e))

    def test_ended_stream(self):
        e = self.boot(*self.OPTIONS, "--ended", "--end-form", "null")
        self.assertTrue(all("EndingSequenceNumber" in s["SequenceNumberRange"]
                            for s in e.shards()))
        page = e.call("DescribeStream", StreamArn=e.arn())["StreamDescription"]
        self.assertEqual(page["StreamStatus"], "DISABLED")
        self.check_chain(self.walk(e))

    def test_views(self):
        for view, old, new in (("KEYS_ONLY", False, False), ("NEW_IMAGE", False, True),
                               ("OLD_IMAGE", True, False)):
            e = self.boot("--records", 50, "--items", 5, "--view", view, "--sort-key")
            for r in e.read(e.iterator(e.shards()[0]["ShardId"])):
                d = r["dynamodb"]
                self.assertEqual(d["StreamViewType"], view)
                self.assertEqual(set(d["Keys"]), {"pk", "sk"})
                self.assertEqual("OldImage" in d, old and r["eventName"] != "INSERT")
                self.assertEqual("NewImage" in d, new and r["eventName"] != "REMOVE")


class Listing(Case):
    def test_child_shards(self):
        e = self.boot()
        root = e.shards()[0]["ShardId"]
        children = e.control("split")["children"]
        asked = {"ShardFilter": {"Type": "CHILD_SHARDS", "ShardId": root}}
        self.assertEqual([s["ShardId"] for s in e.shards(**asked)], children)
        asked["ShardFilter"]["ShardId"] = children[0]
        self.assertEqual(e.shards(**asked), [])
        asked["ShardFilter"]["Type"] = "SIBLINGS"
        self.refused("ValidationException", e.shards, **asked)

    def test_child_shards_refused_and_ignored(self):
        for word in ("refuse", "ignore"):
            e = self.boot("--shard-filter", word)
            root = e.shards()[0]["ShardId"]
            e.control("rotate")
            asked = {"ShardFilter": {"Type": "CHILD_SHARDS", "ShardId": root}}
            if word == "refuse":
                self.refused("ValidationException", e.shards, **asked)
            else:
                self.assertEqual(len(e.shards(**asked)), 2)

    def test_cursor_forms(self):
        e = self.boot("--shards", 4, "--page-shards", 2, "--last-cursor", "extra-page")
        pages, cursor = [], {}
        while cursor is not None:
            page = e.call("DescribeStream", StreamArn=e.arn(), **cursor)["StreamDescription"]
            pages.append(len(page["Shards"]))
            last = page.get("LastEvaluatedShardId")
            cursor = {"ExclusiveStartShardId": last} if last else None
        self.assertEqual(pages, [2, 2, 0])
        e = self.boot("--last-cursor", "empty")
        page = e.call("DescribeStream", StreamArn=e.arn())["StreamDescription"]
        self.assertEqual(page["LastEvaluatedShardId"], "")
        self.refused("ValidationException", e.call, "DescribeStream", StreamArn=e.arn(),
                     ExclusiveStartShardId="shardId-00000000000000000000-00000000")

    def test_ten_thousand_shards(self):
        e = self.boot("--shards", 10000)
        self.assertEqual(len({s["ShardId"] for s in e.shards()}), 10000)
        self.assertEqual(e.control("stats")["operations"]["DescribeStream"]["calls"], 100)

    def test_late_listing(self):
        e = self.boot("--listing-lag-ms", 60000)
        root = e.shards()[0]["ShardId"]
        e.control("split")
        before = e.shards()
        self.assertEqual([s["ShardId"] for s in before], [root])
        self.assertNotIn("EndingSequenceNumber", before[0]["SequenceNumberRange"])
        e.control("clock", advance=61)
        self.assertEqual(len(e.shards()), 3)

    def test_list_streams(self):
        e = self.boot()
        arns = [e.arn()]
        for _ in range(2):
            e.control("disable")
            arns.append(e.control("enable", view="NEW_IMAGE")["stream"])
        self.assertEqual(len(set(arns)), 3)
        one = e.call("ListStreams", TableName="orders", Limit=2)
        self.assertEqual([s["StreamArn"] for s in one["Streams"]], arns[:2])
        two = e.call("ListStreams", TableName="orders",
                     ExclusiveStartStreamArn=one["LastEvaluatedStreamArn"])
        self.assertEqual([s["StreamArn"] for s in two["Streams"]], arns[2:])
        self.assertNotIn("LastEvaluatedStreamArn", two)
        self.assertEqual(e.call("ListStreams", TableName="none")["Streams"], [])

    def test_not_found(self):
        e = self.boot()
        self.refused("ResourceNotFoundException", e.call, "DescribeTable", TableName="none")
        self.refused("ResourceNotFoundException", e.call, "DescribeStream",
                     StreamArn=e.arn()[:-1] + "x")
        self.refused("UnknownOperationException", e.call, "Frobnicate")
        self.assertEqual(e.raw("/other", b"", {}).status, 404)
        answer = e.raw("/", b"[", {"X-Amz-Target": STREAMS + "ListStreams"})
        self.assertIn(b"SerializationException", answer.body)


class Reading(Case):
    def test_positions(self):
        e = self.boot("--records", 40, "--items", 4)
        shard = e.shards()[0]
        sid = shard["ShardId"]
        every = e.read(e.iterator(sid))
        number = every[10]["dynamodb"]["SequenceNumber"]
        between = str(int(number) + 1)
        self.assertEqual(e.read(e.iterator(sid, "AT_SEQUENCE_NUMBER", number)), every[10:])
        self.assertEqual(e.read(e.iterator(sid, "AFTER_SEQUENCE_NUMBER", number)), every[11:])
        self.assertEqual(e.read(e.iterator(sid, "AT_SEQUENCE_NUMBER", between)), every[11:])
        self.assertEqual(e.read(e.iterator(sid, "LATEST")), [])
        start = shard["SequenceNumberRange"]["StartingSequenceNumber"]
        self.assertEqual(e.read(e.iterator(sid, "AT_SEQUENCE_NUMBER", start)), every)
        latest = e.iterator(sid, "LATEST")
        e.control("put", item={"pk": {"S": "new"}})
        self.assertEqual([r["eventName"] for r in e.read(latest)], ["INSERT"])

    def test_refused_positions(self):
        e = self.boot("--records", 5)
        shard = e.shards()[0]
        sid = shard["ShardId"]
        start = int(shard["SequenceNumberRange"]["StartingSequenceNumber"])
        for number in ("12", "x" * 25, str(start - 1).zfill(21), "9" * 40, "9" * 41):
            self.refused("ValidationException", e.iterator, sid, "AT_SEQUENCE_NUMBER", number)
        self.refused("ValidationException", e.iterator, sid, "AT_SEQUENCE_NUMBER")
        self.refused("ValidationException", e.iterator, sid, "LATEST", str(start))
        self.refused("ValidationException", e.iterator, sid, "SOMEWHERE")
        self.refused("ResourceNotFoundException", e.iterator, sid[:-1] + "x")
        for limit, code in ((0, "ValidationException"), (1001, "LimitExceededException")):
            self.refused(code, e.call, "GetRecords", ShardIterator=e.iterator(sid), Limit=limit)

    def test_forged_iterators(self):
        e = self.boot("--records", 5)
        token = e.iterator(e.shards()[0]["ShardId"])
        head, _, tail = token.rpartition("|")
        for k in range(0, 48, 5):
            forged = bytearray(base64.b64decode(tail))
            forged[k] ^= 1
            self.refused("ValidationException", e.call, "GetRecords",
                         ShardIterator=head + "|" + base64.b64encode(bytes(forged)).decode())
        for bad in ("x", head, token[:-1], token[1:], "a" * 2000):
            self.refused("ValidationException", e.call, "GetRecords", ShardIterator=bad)

    def test_last_page_has_records_and_no_iterator(self):
        for form in ("absent", "null", "empty"):
            e = self.boot("--records", 8, "--items", 2, "--end-form", form)
            sid = e.shards()[0]["ShardId"]
            e.control("rotate")
            page = e.call("GetRecords", ShardIterator=e.iterator(sid), Limit=8)
            self.assertEqual(len(page["Records"]), 8)
            self.assertEqual(page.get("NextShardIterator", "absent"),
                             {"absent": "absent", "null": None, "empty": ""}[form])

    def test_page_is_cut_at_a_megabyte(self):
        e = self.boot("--records", 200, "--items", 200, "--pad", 30000)
        page = e.call("GetRecords", ShardIterator=e.iterator(e.shards()[0]["ShardId"]))
        total = sum(r["dynamodb"]["SizeBytes"] for r in page["Records"])
        self.assertLessEqual(total, 1 << 20)
        self.assertGreater(total, (1 << 20) - 31000 * 2)
        self.assertEqual(len(e.read(e.iterator(e.shards()[0]["ShardId"]))), 200)

    def test_empty_pages(self):
        e = self.boot("--records", 30, "--items", 3, "--empty-pages", 3)
        iterator = e.iterator(e.shards()[0]["ShardId"])
        sizes = []
        for _ in range(8):
            page = e.call("GetRecords", ShardIterator=iterator, Limit=15)
            sizes.append(len(page["Records"]))
            iterator = page["NextShardIterator"]
        self.assertEqual(sizes, [0, 0, 0, 15, 0, 0, 0, 15])

    def test_iterators_expire(self):
        e = self.boot("--records", 5)
        sid = e.shards()[0]["ShardId"]
        old = e.iterator(sid)
        e.control("clock", advance=899)
        following = e.call("GetRecords", ShardIterator=old, Limit=1)["NextShardIterator"]
        e.control("clock", advance=2)
        self.refused("ExpiredIteratorException", e.call, "GetRecords", ShardIterator=old)
        self.assertEqual(len(e.call("GetRecords", ShardIterator=following)["Records"]), 4)
        e = self.boot("--records", 5, "--iterator-life", 30)
        old = e.iterator(e.shards()[0]["ShardId"])
        e.control("clock", advance=31)
        self.refused("ExpiredIteratorException", e.call, "GetRecords", ShardIterator=old)

    def test_trim(self):
        e = self.boot("--records", 20)
        shard = e.shards()[0]
        sid, start = shard["ShardId"], shard["SequenceNumberRange"]["StartingSequenceNumber"]
        every = e.read(e.iterator(sid))
        held = e.iterator(sid)
        self.assertEqual(e.control("trim", count=6), {"trimmed": 6, "left": 14})
        self.refused("TrimmedDataAccessException", e.call, "GetRecords", ShardIterator=held)
        for n in (start, every[5]["dynamodb"]["SequenceNumber"]):
            self.refused("TrimmedDataAccessException", e.iterator, sid, "AT_SEQUENCE_NUMBER", n)
        self.assertEqual(e.read(e.iterator(sid)), every[6:])
        kept = every[6]["dynamodb"]["SequenceNumber"]
        self.assertEqual(e.read(e.iterator(sid, "AT_SEQUENCE_NUMBER", kept)), every[6:])
        e.control("trim", shard=sid)
        self.assertEqual(e.read(e.iterator(sid)), [])

    def test_forget(self):
        e = self.boot("--shards", 2, "--records", 20)
        one, two = (s["ShardId"] for s in e.shards())
        held = e.iterator(one)
        e.control("forget", shard=one)
        self.assertEqual([s["ShardId"] for s in e.shards()], [two])
        self.refused("ResourceNotFoundException", e.iterator, one)
        self.refused("ResourceNotFoundException", e.call, "GetRecords", ShardIterator=held)
        e.control("forget", shard=two, listed=True)
        self.assertEqual([s["ShardId"] for s in e.shards()], [two])
        self.refused("ResourceNotFoundException", e.iterator, two)


class Live(Case):
    def test_control_writes(self):
        e = self.boot("--shards", 2)
        for i in range(40):
            e.control("put", item={"pk": {"S": "k%d" % (i % 7)}, "n": {"N": str(i)}})
        e.control("put", item={"pk": {"S": "k0"}, "n": {"N": "35"}})  # changes nothing
        e.control("put", item={"n": {"N": "35"}, "pk": {"S": "k0"}})  # nor does this
        e.control("delete", key={"pk": {"S": "k1"}})
        e.control("ttl-delete", key={"pk": {"S": "k2"}})
        e.control("delete", key={"pk": {"S": "k1"}})  # is not there any more
        records = []
        for s in e.shards():
            records += e.read(e.iterator(s["ShardId"]))
        self.assertEqual(len(records), 42)
        self.assertEqual([r["eventName"] for r in records].count("REMOVE"), 2)
        self.assertEqual(len([r for r in records if "userIdentity" in r]), 1)
        History.check_chain(self, records)

    def test_items_follow_their_lineage(self):
        e = self.boot("--shards", 2)
        for n in range(300):
            e.control("put", item={"pk": {"S": "k%d" % (n % 11)}, "n": {"N": str(n)}})
            if n % 20 == 19:
                leaves = [s["ShardId"] for s in e.shards()
                          if "EndingSequenceNumber" not in s["SequenceNumberRange"]]
                e.control("split" if n % 40 == 19 else "rotate", shard=leaves[n % len(leaves)])
        shards = e.shards()
        by_id = {s["ShardId"]: s for s in shards}
        where = {}
        for s in lineage_order(shards):
            for r in e.read(e.iterator(s["ShardId"])):
                where.setdefault(r["dynamodb"]["Keys"]["pk"]["S"], []).append(
                    (s["ShardId"], int(r["dynamodb"]["NewImage"]["n"]["N"])))
        self.assertEqual(sum(map(len, where.values())), 300)
        for steps in where.values():
            self.assertEqual([n for _, n in steps], sorted(n for _, n in steps))
            for (before, _), (after, _) in zip(steps, steps[1:]):
                while after != before:
                    after = by_id[after]["ParentShardId"]

    def test_stream_is_replaced(self):
        e = self.boot()
        e.control("put", item={"pk": {"S": "a"}})
        first, sid = e.arn(), e.shards()[0]["ShardId"]
        e.control("disable")
        self.assertNotIn("StreamSpecification",
                         e.call("DescribeTable", TableName="orders")["Table"])
        e.control("put", item={"pk": {"S": "between"}})
        second = e.control("enable")["stream"]
        e.control("put", item={"pk": {"S": "a"}, "n": {"N": "1"}})
        self.assertNotEqual(first, second)
        self.assertEqual(e.arn(), second)
        self.assertEqual(len(e.read(e.iterator(sid, arn=first))), 1)
        new = e.read(e.iterator(e.shards()[0]["ShardId"]))
        self.assertEqual([r["eventName"] for r in new], ["MODIFY"])

    def test_table_api(self):
        e = self.boot("--no-table")
        create = {"TableName": "users",
                  "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"},
                                {"AttributeName": "at", "KeyType": "RANGE"}],
                  "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"},
                                           {"AttributeName": "at", "AttributeType": "N"}],
                  "BillingMode": "PAY_PER_REQUEST",
                  "StreamSpecification": {"StreamEnabled": True,
                                          "StreamViewType": "NEW_AND_OLD_IMAGES"}}
        table = e.call("CreateTable", **create)["TableDescription"]
        self.refused("ResourceInUseException", e.call, "CreateTable", **create)
        key = {"id": {"S": "u\u0000\U0001f600"}, "at": {"N": "7"}}
        e.call("PutItem", TableName="users", Item={**key, "a": {"L": [{"NULL": True}]}})
        e.call("UpdateItem", TableName="users", Key=key,
               UpdateExpression="SET #b = :b, c = :c REMOVE a",
               ExpressionAttributeNames={"#b": "b"},
               ExpressionAttributeValues={":b": {"S": ""}, ":c": {"BS": ["AA=="]}})
        self.assertEqual(e.call("GetItem", TableName="users", Key=key)["Item"],
                         {**key, "b": {"S": ""}, "c": {"BS": ["AA=="]}})
        e.call("DeleteItem", TableName="users", Key=key)
        sid = e.call("DescribeStream", StreamArn=table["LatestStreamArn"])
        sid = sid["StreamDescription"]["Shards"][0]["ShardId"]
        records = e.read(e.iterator(sid, arn=table["LatestStreamArn"]))
        self.assertEqual([r["eventName"] for r in records], ["INSERT", "MODIFY", "REMOVE"])
        self.assertEqual(records[0]["dynamodb"]["Keys"], key)
        History.check_chain(self, records)
        for bad in ({"id": {"S": "x"}}, {"id": {"N": "1"}, "at": {"N": "1"}}, {**key, "a": {}},
                    {**key, "a": {"S": 1}}, {**key, "a": {"SS": []}}, {**key, "a": {"Q": "1"}}):
            self.refused("ValidationException", e.call, "PutItem", TableName="users", Item=bad)
        self.refused("ValidationException", e.call, "UpdateItem", TableName="users", Key=key,
                     UpdateExpression="ADD n :n")

    def test_rates(self):
        e = self.boot("--shard-rate", 3, "--describe-rate", 50)
        token = e.iterator(e.shards()[0]["ShardId"])
        codes = []
        for _ in range(5):
            try:
                e.call("GetRecords", ShardIterator=token)
                codes.append("ok")
            except Refused as r:
                codes.append(r.code)
        self.assertEqual(codes, ["ok"] * 3 + ["ThrottlingException"] * 2)
        stats = e.control("stats")
        self.assertEqual(stats["operations"]["GetRecords"], {"calls": 5, "errors": 2})
        self.assertEqual(stats["errors"], {"ThrottlingException": 2})
        self.assertEqual(stats["max_calls_per_second"]["GetRecords"], 5)
        self.assertEqual(stats["max_calls_per_second"]["DescribeStream"], 1)
        self.assertEqual(stats["connections"], 1)
        until = time.monotonic() + PATIENCE
        while e.plain("GetRecords", {"ShardIterator": token}).status != 200:
            self.assertLess(time.monotonic(), until, "the window does not move on")
            time.sleep(0.05)


class Faults(Case):
    """Each kind once: that it shows, and that the next call is well again."""

    def boot(self, *options):
        e = super().boot("--records", 60, "--items", 6, *options)
        self.token = e.iterator(e.shards()[0]["ShardId"])
        return e

    def get(self, e, headers=None, timeout=PATIENCE):
        fields = {"X-Amz-Target": STREAMS + "GetRecords"}
        fields.update(headers or {})
        return e.raw("/", json.dumps({"ShardIterator": self.token}).encode(), fields, timeout)

    def well(self, e):
        self.assertEqual(len(e.call("GetRecords", ShardIterator=self.token)["Records"]), 60)

    def test_refusals(self):
        e = self.boot()
        for kind, status, code in (
                ("throttle", 400, "ThrottlingException"),
                ("limit-exceeded", 400, "LimitExceededException"),
                ("server-error", 500, "InternalServerError"),
                ("expired-iterator", 400, "ExpiredIteratorException"),
                ("access-denied", 400, "AccessDeniedException")):
            e.control("fault", kind=kind, count=1, target="GetRecords")
            e.shards()  # another target: nothing happens
            r = self.refused(code, e.call, "GetRecords", ShardIterator=self.token)
            self.assertEqual(r.status, status)
            self.well(e)

    def test_bodies_that_are_none(self):
        e = self.boot()
        for kind, status, test in (
                ("unavailable", 503, lambda b: b.startswith(b"<html>")),
                ("html-200", 200, lambda b: b.startswith(b"<html>")),
                ("empty-200", 200, lambda b: b == b""),
                ("error-200", 200, lambda b: "__type" in json.loads(b))):
            e.control("fault", kind=kind, count=1)
            answer = self.get(e)
            self.assertEqual(answer.status, status)
            self.assertTrue(test(answer.body), kind)
            self.well(e)

    def until_reset(self, e):
        """What comes before the RST; an orderly close is a failure."""
        body = json.dumps({"ShardIterator": self.token}).encode()
        got = b""
        with socket.create_connection(("127.0.0.1", e.port), PATIENCE) as s:
            s.sendall(b"POST / HTTP/1.1\r\nX-Amz-Target: %sGetRecords\r\nContent-Length: %d"
                      b"\r\n\r\n%s" % (STREAMS.encode(), len(body), body))
            with self.assertRaises(ConnectionResetError):
                while piece := s.recv(65536):
                    got += piece
        return got

    def test_resets(self):
        e = self.boot()
        e.control("fault", kind="reset-before", count=1)
        self.assertEqual(self.until_reset(e), b"")
        self.well(e)
        e.control("fault", kind="reset-after", count=1, bytes=100)
        head, _, body = self.until_reset(e).partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 200 OK"))
        self.assertEqual(len(body), 100)
        self.well(e)

    def test_truncated_at_every_kind_of_place(self):
        e = self.boot()
        for n in (0, 1, 500):
            e.control("fault", kind="truncate", count=1, bytes=n)
            with self.assertRaises(http.client.IncompleteRead) as caught:
                self.get(e)
            self.assertEqual(len(caught.exception.partial), n)
            self.well(e)

    def test_time(self):
        e = self.boot()
        e.control("fault", kind="delay", count=1, ms=300)
        before = time.monotonic()
        self.assertEqual(self.get(e).status, 200)
        self.assertGreaterEqual(time.monotonic() - before, 0.29)
        e.control("fault", kind="slow", count=1, ms=1, bytes=1000)
        before = time.monotonic()
        n = len(self.get(e).body)
        self.assertGreaterEqual(time.monotonic() - before, n / 1000 * 0.001)
        e.control("fault", kind="hang", count=1)
        with self.assertRaises(socket.timeout):
            self.get(e, timeout=0.3)
        self.well(e)

    def test_wrong_crc(self):
        e = self.boot()
        e.control("fault", kind="wrong-crc32", count=1)
        answer = self.get(e)
        self.assertNotEqual(int(answer.headers["x-amz-crc32"]), zlib.crc32(answer.body))
        self.assertEqual(len(json.loads(answer.body)["Records"]), 60)
        self.well(e)

    def test_gzip_faults(self):
        e = self.boot()
        e.control("fault", kind="gzip-cut", count=1)
        answer = self.get(e)
        self.assertEqual(answer.headers["Content-Encoding"], "gzip")
        self.assertEqual(int(answer.headers["x-amz-crc32"]), zlib.crc32(answer.body))
        with self.assertRaises(EOFError):
            gzip.decompress(answer.body)
        e.control("fault", kind="gzip-bomb", count=1, bytes=64 << 20)
        answer = self.get(e)
        self.assertLess(len(answer.body), 200000)
        self.assertEqual(len(gzip.decompress(answer.body)), 64 << 20)
        self.well(e)

    def test_duplicate_page(self):
        e = self.boot()
        e.control("fault", kind="duplicate-page", count=1)
        one = e.call("GetRecords", ShardIterator=self.token, Limit=10)
        two = e.call("GetRecords", ShardIterator=one["NextShardIterator"], Limit=10)
        three = e.call("GetRecords", ShardIterator=two["NextShardIterator"], Limit=10)
        self.assertEqual(one["Records"], two["Records"])
        self.assertGreater(sequence(three["Records"][0]), sequence(two["Records"][-1]))

    def test_probability_and_clearing(self):
        e = self.boot()
        e.control("fault", kind="throttle", probability=0.3)
        bad = 0
        for _ in range(300):
            bad += self.get(e).status == 400
        self.assertTrue(50 < bad < 130, bad)
        e.control("fault", kind="none")
        self.well(e)
        for bad in ({"kind": "nonsense"}, {}, {"kind": "hang", "probability": 1.5},
                    {"kind": "hang", "count": -1}, {"kind": "hang", "count": "many"}):
            self.assertRaises(Refused, e.control, "fault", **bad)


class Transport(Case):
    def test_gzip_and_chunks(self):
        for options, zipped in ((("--gzip",), True), (("--chunked",), False),
                                (("--gzip", "--chunked", "--chunk-bytes", 7), True)):
            e = self.boot("--records", 300, "--items", 9, *options)
            token = e.iterator(e.shards()[0]["ShardId"])
            plain = e.plain("GetRecords", {"ShardIterator": token})
            packed = e.plain("GetRecords", {"ShardIterator": token}, {"Accept-Encoding": "gzip"})
            self.assertEqual(packed.headers.get("Content-Encoding"), "gzip" if zipped else None)
            self.assertIsNone(plain.headers.get("Content-Encoding"))
            for a in (plain, packed):
                self.assertEqual(int(a.headers["x-amz-crc32"]), zlib.crc32(a.body))
                self.assertEqual(a.headers.get("Transfer-Encoding"),
                                 "chunked" if "--chunked" in options else None)
            text = gzip.decompress(packed.body) if zipped else packed.body
            self.assertEqual(json.loads(text)["Records"], json.loads(plain.body)["Records"])

    def test_requests_in_pieces_and_in_a_row(self):
        e = self.boot()
        body = b'{"TableName":"orders"}'
        request = (b"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: %sDescribeTable\r\n"
                   b"Content-Length: %d\r\n\r\n%s" % (TABLES.encode(), len(body), body))
        with socket.create_connection(("127.0.0.1", e.port), PATIENCE) as s:
            for i in range(len(request)):
                s.sendall(request[i:i + 1])
            s.sendall(request * 3)
            got = b""
            while got.count(b"HTTP/1.1 200 OK") < 4 or not got.endswith(b"}"):
                piece = s.recv(65536)
                self.assertTrue(piece)
                got += piece
        self.assertEqual(e.control("stats")["operations"]["DescribeTable"]["calls"], 4)

    def test_malformed_requests(self):
        e = self.boot()
        for text, status in ((b"nonsense\r\n\r\n", b"400"),
                             (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
                             (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
                             (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"501"),
                             (b"POST / HTTP/1.1\r\nX: " + b"y" * 70000 + b"\r\n\r\n", b"431")):
            with socket.create_connection(("127.0.0.1", e.port), PATIENCE) as s:
                s.sendall(text)
                self.assertEqual(s.recv(100).split()[1], status)
        self.assertTrue(e.shards())

    def test_headers(self):
        e = self.boot("--no-crc32")
        self.assertNotIn("x-amz-crc32", e.plain("ListStreams", {}).headers)
        e = self.boot("--clock-offset", 7200)
        answer = e.plain("ListStreams", {})
        self.assertEqual(answer.headers["Connection"], "keep-alive")
        self.assertRegex(answer.headers["x-amzn-RequestId"], r"^[A-Z0-9]{52}$")
        shown = time.mktime(time.strptime(answer.headers["Date"], "%a, %d %b %Y %H:%M:%S GMT"))
        self.assertAlmostEqual(shown - time.mktime(time.gmtime()), 7200, delta=5)

    def test_connection_close(self):
        e = self.boot()
        with socket.create_connection(("127.0.0.1", e.port), PATIENCE) as s:
            s.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
            got = b""
            while piece := s.recv(65536):
                got += piece
        self.assertIn(b"\r\nConnection: close\r\n", got)
        self.assertTrue(got.endswith(b"healthy: the emulator\n"))

    def test_ends_with_its_parent(self):
        e = Emulator()
        self.addCleanup(e.close)
        e.process.stdin.close()
        self.assertEqual(e.process.wait(PATIENCE), 0)

    def test_command_line(self):
        for words, code in ((["--help"], 0), (["--nonsense"], 64), (["--port", "x"], 64),
                            (["--port", "70000"], 64), (["--view"], 64), (["--view", "X"], 64),
                            (["--access-key", "a"], 64), (["--tls-cert", "a"], 64)):
            done = subprocess.run([BINARY, *words], stdin=subprocess.DEVNULL, timeout=PATIENCE,
                                  capture_output=True, check=False)
            self.assertEqual(done.returncode, code, words)
            self.assertEqual(bool(done.stderr), code != 0)


@unittest.skipIf(shutil.which("openssl") is None, "no openssl command to make a certificate")
class Tls(Case):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.cert, cls.key = (os.path.join(directory.name, n) for n in ("cert.pem", "key.pem"))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=emulator", "-addext",
             "subjectAltName=IP:127.0.0.1", "-keyout", cls.key, "-out", cls.cert],
            check=True, capture_output=True, timeout=60)

    def secure(self, *options):
        return self.boot("--tls-cert", self.cert, "--tls-key", self.key, *options,
                         tls=ssl.create_default_context(cafile=self.cert))

    def test_pages(self):
        e = self.secure("--records", 3000, "--items", 50)
        sid = e.shards()[0]["ShardId"]
        self.assertEqual(e.read(e.iterator(sid)), e.control("dump")["streams"][0]["shards"][0][
            "events"])
        self.assertEqual(e.control("stats")["connections"], 1)

    def test_untrusted(self):
        e = self.secure()
        with self.assertRaises(ssl.SSLCertVerificationError):
            with ssl.create_default_context().wrap_socket(
                    socket.create_connection(("127.0.0.1", e.port), PATIENCE),
                    server_hostname="127.0.0.1"):
                pass
        with socket.create_connection(("127.0.0.1", e.port), PATIENCE) as s:
            s.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                self.assertNotIn(b"HTTP/1.1", s.recv(1000))
        self.assertTrue(e.shards())

    def raw_end(self, e, request):
        """The answer's bytes, and how the connection ended.

        Through memory: Python's TLS sockets do not tell a reset from an end of file.
        """
        inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = e.tls.wrap_bio(inward, outward, server_hostname="127.0.0.1")
        got, steps = b"", [tls.do_handshake, lambda: tls.write(request)]
        with socket.create_connection(("127.0.0.1", e.port), PATIENCE) as s:
            while True:
                try:
                    while steps:
                        steps[0]()
                        del steps[0]
                    while piece := tls.read(65536):
                        got += piece
                    return got, "in order"
                except ssl.SSLWantReadError:
                    if outward.pending:
                        s.sendall(outward.read())
                try:
                    piece = s.recv(65536)
                except ConnectionResetError:
                    return got, "reset"
                if not piece:
                    return got, "cut"
                inward.write(piece)

    def test_ends(self):
        e = self.secure()
        request = (b"POST / HTTP/1.1\r\nConnection: close\r\nX-Amz-Target: %sListStreams\r\n"
                   b"Content-Length: 2\r\n\r\n{}" % STREAMS.encode())
        got, end = self.raw_end(e, request)
        self.assertEqual(end, "in order")
        for kind, end in (("truncate", "cut"), ("reset-after", "reset")):
            e.control("fault", kind=kind, count=1, bytes=10)
            short, how = self.raw_end(e, request)
            self.assertEqual((how, len(short.partition(b"\r\n\r\n")[2])), (end, 10))
        self.assertEqual(self.raw_end(e, request)[0][-50:], got[-50:])

    def test_bad_files(self):
        for cert, key in ((self.key, self.key), (self.cert, self.cert), ("/none", self.key)):
            done = subprocess.run([BINARY, "--tls-cert", cert, "--tls-key", key], check=False,
                                  stdin=subprocess.DEVNULL, timeout=PATIENCE, capture_output=True)
            self.assertEqual(done.returncode, 64)
            self.assertTrue(done.stderr.startswith(b"emulator: tls: "), done.stderr)


@unittest.skipIf(SigV4Auth is None, "this Python has no botocore")
class Signatures(Case):
    KEYS = ("--access-key", "AKIDEXAMPLE", "--secret", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")

    def sign(self, e, key="AKIDEXAMPLE", secret=KEYS[3], token=None, region="us-east-1",
             service="dynamodb", body=b"{}", extra=()):
        request = AWSRequest(
            "POST", "http://127.0.0.1:%d/" % e.port, data=body,
            headers={"Content-Type": "application/x-amz-json-1.0",
                     "X-Amz-Target": STREAMS + "ListStreams", **dict(extra)})
        SigV4Auth(Credentials(key, secret, token), service, region).add_auth(request)
        return dict(request.headers)

    def outcome(self, e, headers, body=b"{}"):
        answer = e.raw("/", body, {**headers, "Host": "127.0.0.1:%d" % e.port})
        if answer.status == 200:
            return "ok"
        out = json.loads(answer.body)
        self.assertEqual(answer.status, 400)
        self.message = out["message"]
        return out["__type"].split("#")[1]

    def test_right_ones(self):
        e = self.boot(*self.KEYS)
        self.assertEqual(self.outcome(e, self.sign(e)), "ok")
        body = b'{"TableName":"\xc3\xbc or\\u0000ders"}'
        self.assertEqual(self.outcome(e, self.sign(e, body=body), body), "ok")
        odd = {"X-Amz-Meta-A": "  two   blanks  ", "X-Amz-Meta-A-b": "x"}
        self.assertEqual(self.outcome(e, self.sign(e, extra=odd.items())), "ok")

    def test_repeated_headers_are_one(self):
        e = self.boot(*self.KEYS)
        headers = self.sign(e, extra={"X-Amz-Meta-A": "one,two"}.items())
        del headers["X-Amz-Meta-A"]
        c = http.client.HTTPConnection("127.0.0.1", e.port, timeout=PATIENCE)
        self.addCleanup(c.close)
        c.putrequest("POST", "/", skip_accept_encoding=True)
        for name, value in (*headers.items(), ("x-amz-meta-a", "one"), ("X-AMZ-META-A", "two")):
            c.putheader(name, value)
        c.putheader("Content-Length", "2")
        c.endheaders(b"{}")
        self.assertEqual(c.getresponse().status, 200)

    def test_wrong_ones(self):
        e = self.boot(*self.KEYS)
        bad, unknown = "InvalidSignatureException", "UnrecognizedClientException"
        for headers, code in (
                (self.sign(e, secret="x"), bad), (self.sign(e, key="AKIDOTHER"), unknown),
                (self.sign(e, token="t"), unknown), (self.sign(e, region="eu-west-1"), bad),
                (self.sign(e, service="s3"), bad),
                ({**self.sign(e), "X-Amz-Target": STREAMS + "GetRecords"}, bad),
                ({**self.sign(e), "X-Amz-Extra": "unsigned"}, bad),
                ({"X-Amz-Target": STREAMS + "ListStreams"}, "MissingAuthenticationTokenException"),
                ({**self.sign(e), "Authorization": "Bearer x"}, "IncompleteSignatureException"),
                ({**self.sign(e), "Authorization": "AWS4-HMAC-SHA256 Credential=a/b"},
                 "IncompleteSignatureException")):
            self.assertEqual(self.outcome(e, headers), code, headers)
        self.assertEqual(self.outcome(e, self.sign(e), b"{ }"), bad)
        flipped = self.sign(e)
        last = flipped["Authorization"][-1]
        flipped["Authorization"] = flipped["Authorization"][:-1] + ("0" if last != "0" else "1")
        self.assertEqual(self.outcome(e, flipped), bad)
        self.assertEqual(e.control("stats")["operations"]["ListStreams"]["errors"], 11)

    def test_session_tokens(self):
        e = self.boot(*self.KEYS, "--session-token", "tok/en==")
        self.assertEqual(self.outcome(e, self.sign(e, token="tok/en==")), "ok")
        self.assertEqual(self.outcome(e, self.sign(e)), "UnrecognizedClientException")
        e.control("credentials", expired=True)
        self.assertEqual(self.outcome(e, self.sign(e, token="tok/en==")), "ExpiredTokenException")
        e.control("credentials", expired=False, **{"session-token": "next"})
        self.assertEqual(self.outcome(e, self.sign(e, token="next")), "ok")

    def test_clock(self):
        e = self.boot(*self.KEYS)
        for offset, code, text in ((290, "ok", ""), (310, None, "Signature expired: "),
                                   (-290, "ok", ""), (-310, None, "Signature not yet current: ")):
            e.control("clock", offset=offset)
            self.assertEqual(self.outcome(e, self.sign(e)), code or "InvalidSignatureException")
            if text:
                self.assertTrue(self.message.startswith(text), self.message)


if __name__ == "__main__":
    unittest.main()
