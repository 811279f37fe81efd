#!/usr/bin/env python3
"""The program against DynamoDB Local: nothing lost, nothing twice, nothing out
of order, while it is killed; and what it says when something is wrong."""
import json
import os
import random
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402

WRITES = int(os.environ.get("WRITES", "20000"))
KILLS = 10
SEED = int(os.environ.get("SEED", "20261121"))

local = None


def setUpModule():
    global local
    local = support.DynamoDBLocal()


def tearDownModule():
    local.close()


def audit(directory, table, **keys):
    return {"type": "audit", "from": [table], "directory": directory, **keys}


class Writer:
    """Puts, updates and deletes over a few hundred keys, from a seed, with every attribute type."""

    def __init__(self, table, seed):
        self.table, self.rng, self.written = table, random.Random(seed), 0

    def item(self, key):
        r = self.rng
        return {
            "pk": {"S": key}, "n": {"N": str(r.randrange(10 ** 37))},
            "text": {"S": r.choice(["plain", "quote \" slash \\ tab \t", "Zürich 東京 \U0001f98e", ""])},
            "bin": {"B": "AAECAwT/"}, "ok": {"BOOL": r.random() < 0.5}, "none": {"NULL": True},
            "tags": {"SS": sorted({r.choice("abcdef") for _ in range(3)})},
            "list": {"L": [{"N": "1"}, {"M": {"deep": {"S": "x" * r.randrange(40)}}}]},
            "stamp": {"N": str(r.randrange(10 ** 6))},
        }

    def run(self, client, count):
        for _ in range(count):
            key = "item-%d" % self.rng.randrange(300)
            dice = self.rng.random()
            if dice < 0.55:
                client.call("PutItem", TableName=self.table, Item=self.item(key))
            elif dice < 0.85:
                client.call("UpdateItem", TableName=self.table, Key={"pk": {"S": key}},
                            UpdateExpression="SET stamp = :s ADD hits :one",
                            ExpressionAttributeValues={
                                ":s": {"N": str(self.rng.randrange(10 ** 9))}, ":one": {"N": "1"}})
            else:
                client.call("DeleteItem", TableName=self.table, Key={"pk": {"S": key}})
            self.written += 1


class Survival(unittest.TestCase):
    def setUp(self):
        self.work = support.Workspace("survival")
        self.addCleanup(self.work.close)
        self.client = local.client()
        self.addCleanup(self.client.close)

    def compare(self, source, lines):
        """source: raw records by shard; lines: raw trail entries. Every event once,
        in order per key, byte for byte."""
        seen, per_key = {}, {}
        for line in lines:
            entry = dict(support.members(line))
            number = json.loads(entry["sequence"])
            self.assertNotIn(number, seen, "an event is in the trail twice")
            seen[number] = entry
            per_key.setdefault(entry["keys"], []).append(number)
        expected = {}
        for records in source.values():
            for raw in records:
                record = dict(support.members(raw))
                body = dict(support.members(record["dynamodb"]))
                number = json.loads(body["SequenceNumber"])
                expected.setdefault(body["Keys"], []).append(number)
                self.assertIn(number, seen, "an event is missing in the trail")
                entry = seen.pop(number)
                for mine, theirs in (("keys", body.get("Keys")), ("old", body.get("OldImage")),
                                     ("new", body.get("NewImage")),
                                     ("userIdentity", record.get("userIdentity")),
                                     ("eventName", record["eventName"]),
                                     ("eventID", record["eventID"])):
                    self.assertEqual(entry.get(mine), theirs, "%s of %s" % (mine, number))
        self.assertEqual(seen, {}, "the trail holds events that the stream does not")
        self.assertEqual(per_key, expected, "the order per key differs")

    def kill_often(self, path, trail, done):
        """Kills and restarts the daemon at KILLS random points of the trail's growth."""
        rng = random.Random(SEED)
        daemon = support.run_daemon(path)
        killed = 0
        try:
            while killed < KILLS:
                size = self.trail_size(trail)
                more = rng.randrange(1, 300000)
                support.wait_until("the trail to grow", lambda: done() or not daemon.running() or
                                   self.trail_size(trail) > size + more, patience=120)
                self.assertTrue(daemon.running(), daemon.stderr())
                daemon.kill()
                daemon.close()
                killed += 1
                daemon = support.run_daemon(path)
            return daemon
        except BaseException:
            daemon.close()
            raise

    @staticmethod
    def trail_size(trail):
        if not os.path.isdir(trail):
            return 0
        return sum(os.path.getsize(os.path.join(trail, n)) for n in os.listdir(trail)
                   if n.startswith("audit-"))

    def test_every_event_once_through_ten_kills(self):
        table = "survival"
        arn = self.client.create_table(table)
        self.client.call("UpdateTimeToLive", TableName=table, TimeToLiveSpecification={
            "Enabled": True, "AttributeName": "expires"})
        for i in range(20):
            self.client.call("PutItem", TableName=table, Item={
                "pk": {"S": "expired-%d" % i}, "expires": {"N": "1700000000"}})
        trail = self.work("trail")
        path = support.config(self.work.path, local.endpoint,
                              {"orders": {"table": table, "poll.idle": "250ms"}},
                              {"trail": audit(trail, "orders", **{"rotate.size": "2MiB"})})
        writer = Writer(table, SEED)
        other = local.client()
        self.addCleanup(other.close)
        work = support.Background(lambda: writer.run(other, WRITES))
        daemon = self.kill_often(path, trail, lambda: not work.is_alive())
        self.addCleanup(daemon.close)
        work.finish()

        def expired():
            gone = [r for rs in self.client.read_stream(arn).values() for r in rs
                    if '"Service"' in r]
            return len(gone) >= 20

        support.wait_until("the TTL deletes", expired, patience=150, step=1)
        source = self.client.read_stream(arn)
        count = sum(map(len, source.values()))
        support.wait_until("%d entries" % count,
                           lambda: len(support.trail_lines(trail)) >= count, step=0.2)
        self.assertEqual(daemon.stop(), 0, daemon.stderr())
        lines = support.trail_lines(trail)
        self.compare(source, lines)
        code, out, err = support.slipring("audit", "verify", trail)
        self.assertEqual(code, 0, err)
        print("survival: %d events, %d kills, %d entries, all once; %s" % (
            count, KILLS, len(lines), out.strip().split("\n")[0]))
        self.tampering(trail)

    def tampering(self, trail):
        """One flipped byte, one removed line, two swapped lines: each named by file and line."""
        name = sorted(n for n in os.listdir(trail) if n.startswith("audit-"))[1]
        path = os.path.join(trail, name)
        with open(path, "rb") as f:
            good = f.read()
        lines = good.split(b"\n")
        at = len(lines) // 2
        flipped = bytearray(lines[at])
        flipped[len(flipped) // 2] ^= 1
        cases = {
            "flipped byte": (lines[:at] + [bytes(flipped)] + lines[at + 1:], at + 1),
            "removed line": (lines[:at] + lines[at + 1:], at + 1),
            "swapped lines": (lines[:at] + [lines[at + 1], lines[at]] + lines[at + 2:], at + 1),
        }
        for what, (bad, line) in cases.items():
            with self.subTest(what):
                with open(path, "wb") as f:
                    f.write(b"\n".join(bad))
                code, _, err = support.slipring("audit", "verify", trail)
                self.assertEqual(code, 1, err)
                self.assertIn("%s: line %d:" % (name, line), err)
        with open(path, "wb") as f:
            f.write(good)
        self.assertEqual(support.slipring("audit", "verify", trail)[0], 0)


class Operator(unittest.TestCase):
    """What is said, and the exit code, when something is wrong."""

    def setUp(self):
        self.work = support.Workspace("operator")
        self.addCleanup(self.work.close)
        self.client = local.client()
        self.addCleanup(self.client.close)

    def one_line(self, text):
        lines = [line for line in text.split("\n") if line]
        self.assertEqual(len(lines), 1, text)
        return lines[0]

    def tail(self, *argv):
        return support.slipring("tail", *argv, "--endpoint", local.endpoint, "--region", "us-east-1",
                                "--until-idle", patience=30)

    def test_no_such_table(self):
        code, _, err = self.tail("nowhere")
        self.assertEqual(code, 78, err)
        line = self.one_line(err)
        self.assertIn("nowhere", line)
        self.assertIn("us-east-1", line)

    def test_table_without_a_stream(self):
        self.client.create_table("silent", stream=False)
        code, _, err = self.tail("silent")
        self.assertEqual(code, 78, err)
        self.assertIn("--stream-specification", self.one_line(err))

    def test_view_type_without_images_works_and_warns(self):
        self.client.create_table("keysonly", view="KEYS_ONLY")
        self.client.call("PutItem", TableName="keysonly", Item={"pk": {"S": "a"}})
        code, out, err = self.tail("keysonly", "--format", "dynamodb")
        self.assertEqual(code, 0, err)
        self.assertEqual(json.loads(out)["dynamodb"]["Keys"], {"pk": {"S": "a"}})
        self.assertIn("KEYS_ONLY", err)

    def test_connection_refused(self):
        port = support.free_port()
        code, _, err = support.slipring("tail", "orders", "--endpoint", "http://127.0.0.1:%d" % port,
                                        "--region", "us-east-1", "--until-idle", patience=30)
        self.assertEqual(code, 1, err)
        line = self.one_line(err)
        self.assertIn("127.0.0.1:%d" % port, line)

    def test_bad_arn(self):
        code, _, err = self.tail("arn:aws:sqs:us-east-1:000000000000:queue")
        self.assertEqual(code, 78, err)
        self.assertIn("arn:", self.one_line(err))

    def test_no_credentials_for_the_real_service(self):
        code, _, err = support.slipring("tail", "orders", "--region", "us-east-1",
                                        "--endpoint", "http://localhost.invalid:1",
                                        "--until-idle", patience=30)
        self.assertEqual(code, 1, err)
        self.assertIn("AWS_ACCESS_KEY_ID", self.one_line(err))

    def test_daemon_refuses_a_table_that_is_not_there(self):
        path = support.config(self.work.path, local.endpoint, {"orders": {"table": "nowhere"}},
                              {"trail": audit(self.work("trail"), "orders")})
        daemon = support.run_daemon(path)
        self.addCleanup(daemon.close)
        self.assertEqual(daemon.wait(30), 78, daemon.stderr())
        self.assertIn("nowhere", daemon.stderr())

    def test_daemon_waits_for_a_service_that_is_down(self):
        path = support.config(self.work.path, "http://127.0.0.1:%d" % support.free_port(),
                              {"orders": {"table": "orders"}},
                              {"trail": audit(self.work("trail"), "orders")})
        daemon = support.run_daemon(path)
        self.addCleanup(daemon.close)
        support.wait_until("a complaint", lambda: "refused" in daemon.stderr().lower(), patience=30)
        self.assertTrue(daemon.running())
        self.assertEqual(daemon.stop(), 0, daemon.stderr())

    def prepared(self, table, count=5):
        """A table with some changes, read once to its end by a daemon that was stopped."""
        arn = self.client.create_table(table)
        for i in range(count):
            self.client.call("PutItem", TableName=table, Item={"pk": {"S": str(i)}})
        trail = self.work("trail")
        path = support.config(self.work.path, local.endpoint, {"orders": {"table": table}},
                              {"trail": audit(trail, "orders")})
        daemon = support.run_daemon(path)
        self.addCleanup(daemon.close)
        support.wait_until("the trail", lambda: os.path.isdir(trail) and
                           len(support.trail_lines(trail)) >= count)
        return arn, path, daemon

    def test_positions_are_listed_set_and_refused(self):
        arn, path, daemon = self.prepared("positions")
        shard = self.client.call("DescribeStream", StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
        source = self.client.read_stream(arn)[shard]
        numbers = [json.loads(r)["dynamodb"]["SequenceNumber"] for r in source]

        code, _, err = support.slipring("positions", "set", "orders", shard, "trail", numbers[0], "-c", path)
        self.assertEqual(code, 1, err)
        self.assertIn("stop", self.one_line(err))
        self.assertEqual(daemon.stop(), 0, daemon.stderr())

        code, out, err = support.slipring("positions", "list", "--json", "-c", path)
        self.assertEqual(code, 0, err)
        self.assertIn(numbers[-1], out)
        code, _, err = support.slipring("positions", "set", "orders", shard, "trail",
                                        "999999999999999999999", "-c", path)
        self.assertEqual(code, 1, err)
        self.assertIn("999999999999999999999", self.one_line(err))
        code, out, err = support.slipring("positions", "set", "orders", shard, "trail", numbers[1], "-c", path)
        self.assertEqual(code, 0, err)
        code, out, _ = support.slipring("positions", "list", "--json", "-c", path)
        self.assertIn(numbers[1], out)
        code, _, err = support.slipring("positions", "reset", "orders", "-c", path)
        self.assertEqual(code, 0, err)

    def test_a_replaced_stream_is_a_gap_that_stops_until_accepted(self):
        arn, path, daemon = self.prepared("replaced")
        self.assertEqual(daemon.stop(), 0, daemon.stderr())
        self.client.call("UpdateTable", TableName="replaced",
                         StreamSpecification={"StreamEnabled": False})
        support.wait_until("the stream to close", lambda: self.client.call(
            "DescribeStream", StreamArn=arn)["StreamDescription"]["StreamStatus"] == "DISABLED")
        self.client.call("PutItem", TableName="replaced", Item={"pk": {"S": "in neither"}})
        self.client.call("UpdateTable", TableName="replaced", StreamSpecification={
            "StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"})
        self.client.call("PutItem", TableName="replaced", Item={"pk": {"S": "in the new"}})

        with open(path) as f:
            whole = json.load(f)
        whole["streams"]["orders"]["discovery.settle"] = "1s"
        with open(path, "w") as f:
            json.dump(whole, f)
        daemon = support.run_daemon(path)
        self.addCleanup(daemon.close)
        self.assertEqual(daemon.wait(60), 3, daemon.stderr())
        code, out, err = support.slipring("gaps", "list", "--json", "-c", path)
        self.assertEqual(code, 0, err)
        gaps = [json.loads(line) for line in out.splitlines()] if out[:1] == "{" else json.loads(out)
        self.assertEqual([g["reason"] for g in gaps], ["stream-replaced"])
        code, _, err = support.slipring("gaps", "accept", gaps[0]["id"], "-c", path)
        self.assertEqual(code, 0, err)
        daemon = support.run_daemon(path)
        self.addCleanup(daemon.close)
        support.wait_until("the new stream's record", lambda: any(
            "in the new" in line for line in support.trail_lines(self.work("trail"))))
        self.assertEqual(daemon.stop(), 0, daemon.stderr())

    @unittest.skipUnless(os.geteuid() == 0, "a small file system can be mounted by root only")
    def test_a_full_disk_loses_nothing(self):
        table, disk = "fulldisk", self.work("disk")
        arn = self.client.create_table(table)
        os.mkdir(disk)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "slipring-test", disk], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=True)
        ballast = os.path.join(disk, "ballast")
        with open(ballast, "wb") as f:
            f.write(b"x" * (400 << 10))
        trail = os.path.join(disk, "trail")
        path = support.config(self.work.path, local.endpoint, {"orders": {"table": table}},
                              {"trail": audit(trail, "orders", **{"breaker.open": "1s"})})
        daemon = support.run_daemon(path)
        self.addCleanup(daemon.close)
        for i in range(400):
            self.client.call("PutItem", TableName=table, Item={
                "pk": {"S": str(i)}, "text": {"S": "y" * 500}})
        support.wait_until("the alarm", lambda: "No space left" in daemon.stderr(), patience=30)
        self.assertTrue(daemon.running())
        source = self.client.read_stream(arn)
        before = len(support.trail_lines(trail))
        self.assertLess(before, 400)
        subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
        os.unlink(ballast)
        support.wait_until("the rest", lambda: len(support.trail_lines(trail)) >= 400)
        self.assertEqual(daemon.stop(), 0, daemon.stderr())
        Survival.compare(self, source, support.trail_lines(trail))
        self.assertEqual(support.slipring("audit", "verify", trail)[0], 0)

    def test_two_daemons_cannot_share_a_store(self):
        _, path, daemon = self.prepared("shared")
        second = support.run_daemon(path)
        self.addCleanup(second.close)
        self.assertEqual(second.wait(30), 1, second.stderr())
        self.assertIn(str(daemon.child.pid), second.stderr())
        self.assertEqual(daemon.stop(), 0, daemon.stderr())

    def test_second_signal_ends_at_once(self):
        _, _, daemon = self.prepared("signals")
        daemon.signal(signal.SIGINT)
        self.assertEqual(daemon.wait(30), 0, daemon.stderr())


if __name__ == "__main__":
    unittest.main(verbosity=2)
