#!/usr/bin/python3
"""The Kafka sink against a real broker: what it writes, in which order, and what the
operator sees when topic, broker, network, credentials or a record are not as they should be.

Events come from the emulator (build/tests/emulator/emulator, $EMULATOR), whose dump says what
there was.
"""
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import services  # noqa: E402
import support  # noqa: E402

EMULATOR = os.environ.get("EMULATOR", os.path.join(support.ROOT, "build/tests/emulator/emulator"))
MISSING = "slipring-no-such-topic"


class Emulator:
    def __init__(self, *options):
        self.process = subprocess.Popen([EMULATOR, "--port", "0", "--stdin-guard",
                                         *map(str, options)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])
        self.endpoint = "http://127.0.0.1:%d" % self.port

    def control(self, name, **body):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=support.PATIENCE)
        try:
            c.request("POST", "/control/" + name, json.dumps(body))
            answer = c.getresponse()
            text = answer.read()
            assert answer.status == 200, text
            return json.loads(text)
        finally:
            c.close()

    def put(self, numbers, pad=10):
        self.control("put", items=[{"pk": {"S": "p-%d" % (n % 50)}, "n": {"N": str(n)},
                                    "pad": {"S": "x" * pad}} for n in numbers])

    def shards(self):
        return [s for stream in self.control("dump")["streams"] for s in stream["shards"]]

    def events(self):
        """{(shard, sequence number): event}"""
        return {(s["id"], e["dynamodb"]["SequenceNumber"]): e
                for s in self.shards() for e in s["events"]}

    def close(self):
        self.process.stdin.close()
        self.process.wait(support.PATIENCE)
        self.process.stdout.close()


def headers(m):
    return {k: v.decode() for k, v in (m.headers() or [])}


def place(m):
    h = headers(m)
    return h["slipring-shard"], h["slipring-sequence"]


def murmur2(data):
    """As in org.apache.kafka.common.utils.Utils: the partition of a key is
    (murmur2 & 0x7fffffff) % partitions."""
    mask, m = 0xffffffff, 0x5bd1e995
    h = 0x9747b28c ^ len(data)
    whole = len(data) // 4 * 4
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i:i + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    rest = data[whole:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)


def without_repeats(messages, per=lambda h, m: (h["slipring-stream"], m.key())):
    """What a consumer of one partition keeps that does as docs/kafka.md says."""
    highest = {}
    for m in messages:
        h = headers(m)
        of, number = per(h, m), int(h["slipring-sequence"])
        tombstone = m.value() is None and number == highest.get(of)
        if number > highest.get(of, -1) or tombstone or "slipring-replayed" in h:
            highest[of] = max(number, highest.get(of, -1))
            yield m


class Case(unittest.TestCase):
    def setUp(self):
        self.work = support.Workspace("kafka")
        self.addCleanup(self.work.close)

    def emulator(self, *options):
        e = Emulator(*options)
        self.addCleanup(e.close)
        return e

    def config(self, emulator, sinks, **extra):
        for sink in sinks.values():
            sink.setdefault("type", "kafka")
            sink.setdefault("from", ["orders"])
        return support.config(self.work.path, emulator.endpoint,
                              {"orders": {"table": "orders", "poll.idle": "250ms"}}, sinks, **extra)

    def daemon(self, path):
        d = support.Process([support.SLIPRING, "run", "-c", path])
        self.addCleanup(d.close)
        return d

    def admin(self, d):
        found = support.wait_until("the admin port", lambda: re.search(
            r"address=127.0.0.1 port=(\d+)", d.stderr()) or not d.running())
        self.assertTrue(d.running(), d.stderr())
        return "127.0.0.1:" + found.group(1)

    def sink(self, d, name="events"):
        code, out, err = support.slipring("status", "--json", "--admin", self.admin(d))
        self.assertEqual(code, 0, err)
        return next(s for s in json.loads(out)["sinks"] if s["name"] == name)

    def wait_sink(self, d, what, condition, name="events", patience=support.PATIENCE):
        return support.wait_until(
            what, lambda: condition(self.sink(d, name)), patience, step=0.1)

    def wait_acked(self, d, count, name="events", patience=120):
        try:
            return self.wait_sink(d, "%d records acked" % count,
                                  lambda s: s["acked"] >= count, name, patience)
        except TimeoutError as e:
            raise AssertionError("%s: %s\n%s" % (e, self.sink(d, name), d.stderr()[-4000:]))

    def stop(self, d):
        self.assertEqual(d.stop(), 0, d.stderr()[-4000:])

    def in_order(self, found, emulator, but=()):
        """Every event is there, and per key in source order once repeats, known by their
        headers, are left out. Returns the number of repeats."""
        events = emulator.events()
        seen, per_key, repeats = set(), {}, 0
        for partition in found.values():
            for m in partition:
                at = place(m)
                self.assertIn(at, events)
                if at in seen:
                    repeats += 1
                    continue
                seen.add(at)
                # One lineage holds an item's records, and numbers rise along it.
                self.assertGreater(int(at[1]), per_key.get(m.key(), -1), m.key())
                per_key[m.key()] = int(at[1])
        self.assertEqual(set(events) - seen, set(but))
        kept = [place(m) for partition in found.values() for m in without_repeats(partition)
                if m.value() is not None]
        self.assertEqual(len(kept), len(set(kept)))
        self.assertEqual(set(kept), {place(m) for partition in found.values() for m in partition
                                     if m.value() is not None})
        return repeats


class Shared(Case):
    @classmethod
    def setUpClass(cls):
        cls.broker = services.shared(services.Kafka)


class Messages(Shared):
    def test_formats_keys_headers_and_tombstones(self):
        e = self.emulator("--shards", 3, "--records", 3000, "--items", 200, "--split-every", 700)
        formats = ("dynamodb", "plain", "envelope", "debezium")
        topics = {f: self.broker.topic("formats_" + f) for f in formats}
        d = self.daemon(self.config(e, {f: {"brokers": self.broker.bootstrap, "topic": topics[f],
                                            "format": f} for f in formats}))
        for f in formats:
            self.wait_acked(d, 3000, f)
        self.stop(d)
        events = e.events()
        found = {f: self.broker.messages(topics[f]) for f in formats}
        for f in ("dynamodb", "plain", "envelope"):
            self.assertEqual(self.in_order(found[f], e), 0)
        self.keys_and_headers(found["dynamodb"], events)
        self.values(found, events)

    def keys_and_headers(self, found, events):
        stream = None
        for number, partition in found.items():
            for m in partition:
                event = events[place(m)]
                h = headers(m)
                self.assertEqual(json.loads(m.key()), [event["dynamodb"]["Keys"]["pk"]["S"]])
                self.assertEqual((murmur2(m.key()) & 0x7fffffff) % len(found), number)
                self.assertEqual(h["slipring-event-id"], event["eventID"])
                self.assertEqual(h["slipring-time"][10], "T")
                self.assertNotIn("slipring-replayed", h)
                stream = h["slipring-stream"]
        self.assertTrue(stream.startswith("arn:aws:dynamodb:"), stream)

    def values(self, found, events):
        def each(f):
            for partition in found[f].values():
                for m in partition:
                    event = events[place(m)]
                    yield m, event, event["dynamodb"]

        for m, event, _ in each("dynamodb"):
            self.assertEqual(json.loads(m.value()), event)
        for m, event, change in each("envelope"):
            value = json.loads(m.value())
            self.assertEqual(value["event"], event["eventName"])
            self.assertEqual(value["new"] is None, "NewImage" not in change)
        removed = 0
        for m, event, change in each("plain"):
            gone = event["eventName"] == "REMOVE"
            removed += gone
            self.assertEqual(m.value() is None, gone)
            if not gone:
                self.assertEqual(json.loads(m.value())["new"]["pk"],
                                 change["NewImage"]["pk"]["S"])
        self.assertGreater(removed, 100)
        self.debezium(found["debezium"], events, removed)

    def debezium(self, found, events, removed):
        """A delete is its event and then, next of its key, a tombstone."""
        tombstones = 0
        for partition in found.values():
            last = {}
            for m in partition:
                event = events[place(m)]
                if m.value() is None:
                    tombstones += 1
                    self.assertEqual(last[m.key()], (place(m), "d"))
                    continue
                value = json.loads(m.value())
                op = {"INSERT": "c", "MODIFY": "u", "REMOVE": "d"}[event["eventName"]]
                self.assertEqual((value["op"], value["source"]["sequence"]), (op, place(m)[1]))
                last[m.key()] = (place(m), op)
        self.assertEqual(tombstones, removed)

    def test_topics_by_event_and_without_headers(self):
        e = self.emulator("--records", 300)
        stem = services.unique("split")
        names = {}
        from confluent_kafka.admin import NewTopic
        admin = self.broker.admin()
        for event in ("insert", "modify", "remove"):
            names[event] = "%s.orders.%s" % (stem, event)
        for done in admin.create_topics([NewTopic(n, 2, 1) for n in names.values()]).values():
            done.result(support.PATIENCE)
        d = self.daemon(self.config(e, {"events": {
            "brokers": [self.broker.bootstrap], "topic": stem + ".{table}.{event}",
            "headers": False, "properties": {"compression.type": "lz4"}}}))
        self.wait_acked(d, 300)
        self.stop(d)
        total = 0
        for event, topic in names.items():
            for partition in self.broker.messages(topic).values():
                for m in partition:
                    self.assertIsNone(m.headers())
                    self.assertEqual(json.loads(m.value())["event"], event.upper())
                    total += 1
        self.assertEqual(total, 300)


class Refusals(Shared):
    def test_missing_topic_halts_and_goes_on_when_it_is_there(self):
        e = self.emulator("--records", 20)
        topic = services.unique("later")
        d = self.daemon(self.config(e, {
            "events": {"brokers": self.broker.bootstrap, "topic": topic, "timeout": "4s"},
            "other": {"type": "audit", "directory": self.work("trail")}}))
        s = self.wait_sink(d, "a halt", lambda s: s["state"] == "halted" and s)
        for part in (topic, "Unknown topic", "create it"):
            self.assertIn(part, s["why"])
        self.assertEqual(s["acked"], 0)
        from confluent_kafka.admin import NewTopic
        admin = self.broker.admin()
        admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(support.PATIENCE)
        code, _, err = support.slipring("resume", "events", "--admin", self.admin(d))
        self.assertEqual(code, 0, err)
        self.wait_acked(d, 20)
        self.stop(d)
        self.in_order(self.broker.messages(topic), e)

    def test_topic_deleted_while_running(self):
        """Not believed at once: a broker that has just started says so, too."""
        e = self.emulator("--records", 20)
        topic = self.broker.topic("deleted")
        d = self.daemon(self.config(e, {"events": {
            "brokers": self.broker.bootstrap, "topic": topic, "timeout": "4s",
            "properties": {"topic.metadata.refresh.interval.ms": 500}},
            "other": {"type": "audit", "directory": self.work("trail")}}))
        self.wait_acked(d, 20)
        admin = self.broker.admin()
        admin.delete_topics([topic])[topic].result(support.PATIENCE)
        e.put(range(10))
        s = self.wait_sink(d, "a halt", lambda s: s["state"] == "halted" and s)
        self.assertIn(topic, s["why"])
        self.assertIn("create it", s["why"])
        # The second opinion is another producer's, before the halt.
        log = d.stderr()
        self.assertIn("a new producer is made", log)
        self.assertLess(log.index("a new producer is made"), log.index("stopped: kafka"), log)
        d.stop()

    def test_too_large_for_us_is_a_dead_letter_alone(self):
        e = self.emulator("--records", 0)
        topic = self.broker.topic("large")
        e.put(range(100))
        e.put([100], pad=300000)  # three times in an envelope's two images: put twice
        e.put([150], pad=300000)
        e.put(range(151, 251))
        d = self.daemon(self.config(e, {"events": {
            "brokers": self.broker.bootstrap, "topic": topic,
            "properties": {"message.max.bytes": 400000}}}))
        self.wait_acked(d, 201)
        s = self.wait_sink(d, "the dead letter", lambda s: s["rejected"] == 1 and s)
        self.assertIn("message.max.bytes", d.stderr())
        self.stop(d)
        large = {at for at, x in e.events().items()
                 if len(json.dumps(x["dynamodb"])) > 500000}
        self.assertEqual(len(large), 1)
        self.assertEqual(self.in_order(self.broker.messages(topic), e, large), 0)

    def test_too_large_for_the_broker_is_found_by_halving(self):
        """The topic takes less than librdkafka puts into a request: the broker refuses
        requests as a whole, records that have done nothing wrong among them."""
        e = self.emulator("--records", 0)
        topic = self.broker.topic("halved", partitions=2, max__message__bytes=30000)
        for n in range(0, 3000, 100):
            e.put(range(n, n + 100))
            if n == 1500:
                e.put([1600], pad=40000)
        d = self.daemon(self.config(e, {"events": {
            "brokers": self.broker.bootstrap, "topic": topic, "format": "plain"}}))
        # The next version of that item carries the large one as its old image.
        self.wait_sink(d, "2999 records acked, two refused", lambda s: s["rejected"] == 2
                       and s["acked"] == 2999)
        self.stop(d)
        large = {at for at, x in e.events().items()
                 if len(json.dumps(x["dynamodb"])) > 35000}
        self.assertEqual(len(large), 2)
        self.in_order(self.broker.messages(topic), e, large)

    def test_a_clock_that_is_wrong_is_no_records_fault(self):
        """The time in a message is that of sending: the same record passes once the clocks agree."""
        from confluent_kafka.admin import ConfigResource
        e = self.emulator("--records", 5)
        topic = self.broker.topic("early", partitions=1, message__timestamp__difference__max__ms=0)
        d = self.daemon(self.config(e, {"events": {
            "brokers": self.broker.bootstrap, "topic": topic,
            "breaker": {"failures": 1000}}}))
        s = self.wait_sink(d, "refusals", lambda s: s["retried"] >= 20 and s or s["rejected"] and s)
        self.assertEqual(s["rejected"], 0, s)
        admin = self.broker.admin()
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic,
                                  {"message.timestamp.difference.max.ms": "3600000"})
        admin.alter_configs([resource])[resource].result(support.PATIENCE)
        self.wait_acked(d, 5)
        self.stop(d)
        self.assertIn("its clock or ours is wrong", s["why"])
        self.in_order(self.broker.messages(topic), e)

    def test_order_behind_a_refused_request(self):
        """Small requests, one after the other on the way: when one of them is refused, those
        behind it hold later changes of the same items, and must not stay delivered."""
        e = self.emulator("--records", 0)
        topic = self.broker.topic("behind", partitions=1, max__message__bytes=30000)
        for n in range(0, 4000, 100):
            e.put(range(n, n + 100))
            if n % 1000 == 500:
                e.put([n + 100], pad=40000)
        d = self.daemon(self.config(e, {"events": {
            "brokers": self.broker.bootstrap, "topic": topic, "format": "plain",
            "properties": {"batch.num.messages": 20, "linger.ms": 0}}}))
        self.wait_sink(d, "all but eight", lambda s: s["rejected"] == 8
                       and s["acked"] == 3996, patience=60)
        self.stop(d)
        large = {at for at, x in e.events().items()
                 if len(json.dumps(x["dynamodb"])) > 35000}
        self.assertEqual(len(large), 8)
        print("refused requests: %d repeats" % self.in_order(self.broker.messages(topic), e, large))

    def test_credentials(self):
        e = self.emulator("--records", 50)
        topic = self.broker.topic("sasl")
        sasl = {"security.protocol": "sasl_plaintext", "sasl.mechanism": "PLAIN",
                "sasl.username": self.broker.SASL_USER}
        wrong = dict(sasl, **{"sasl.password": "wrong-secret"})
        right = dict(sasl, **{"sasl.password": self.broker.SASL_PASSWORD})
        d = self.daemon(self.config(e, {
            "events": {"brokers": self.broker.sasl, "topic": topic, "timeout": "3s",
                       "properties": wrong},
            "good": {"brokers": self.broker.sasl, "topic": topic, "properties": right}}))
        self.wait_acked(d, 50, "good")
        s = self.wait_sink(d, "a halt", lambda s: s["state"] == "halted" and s)
        self.assertIn("the brokers refuse our credentials", s["why"])
        self.assertIn("Authentication failed", s["why"])
        self.assertNotIn("wrong-secret", d.stderr())
        d.stop()


class Check(Shared):
    def check(self, sink):
        e = self.emulator("--records", 1)
        path = self.config(e, {"events": sink})
        return support.slipring("check", "--connect", "-c", path)

    def test_what_is_found(self):
        topic = self.broker.topic("check", cleanup__policy="compact", max__message__bytes=5000)
        code, out, err = self.check({"brokers": self.broker.bootstrap, "topic": topic})
        self.assertEqual(code, 0, out + err)
        self.assertIn("topic %s: 4 partitions" % topic, out)
        self.assertIn("compacted and tombstones are off", out)
        self.assertIn("takes requests of 5000 bytes at most", out)

    def test_what_is_missing(self):
        code, out, err = self.check({"brokers": self.broker.bootstrap, "topic": MISSING})
        self.assertEqual(code, 1, out + err)
        self.assertIn("topic %s does not exist" % MISSING, out + err)
        code, out, err = self.check({"brokers": self.broker.bootstrap, "topic": "x.{table}"})
        self.assertEqual(code, 1, out + err)
        self.assertIn("topic x.orders does not exist", out + err)

    def test_nobody_there(self):
        code, out, err = self.check({"brokers": "127.0.0.1:1", "topic": MISSING})
        self.assertEqual(code, 1, out + err)
        self.assertIn("Connection refused", out + err)

    def test_properties(self):
        code, out, err = self.check({"brokers": "b:1", "topic": "t", "properties": {"acks": 1}})
        self.assertEqual(code, 78, out + err)
        self.assertIn("acks cannot be set", err)


class Outages(Case):
    """A broker of its own, behind a proxy, that makes topics on sight."""

    @classmethod
    def setUpClass(cls):
        cls.broker = services.Kafka(proxied=True, auto__create__topics__enable="true",
                                    num__partitions=4)
        cls.broker.start()

    @classmethod
    def tearDownClass(cls):
        cls.broker.close()

    def test_topic_made_on_sight(self):
        e = self.emulator("--records", 100)
        topic = services.unique("sight")
        d = self.daemon(self.config(e, {"events": {"brokers": self.broker.bootstrap,
                                                   "topic": topic, "timeout": "20s"}}))
        self.wait_acked(d, 100)
        self.stop(d)
        self.assertEqual(self.in_order(self.broker.messages(topic), e), 0)

    def test_broker_killed_in_the_middle(self):
        e = self.emulator("--shards", 2, "--records", 30000, "--items", 500)
        topic = self.broker.topic("killed")
        d = self.daemon(self.config(e, {"events": {
            "brokers": self.broker.bootstrap, "topic": topic, "timeout": "6s",
            "in-flight": 500, "batch.count": 50, "breaker.open": "2s"}}))
        self.wait_acked(d, 3000)
        self.broker.kill()
        s = self.wait_sink(d, "an open breaker", lambda s: s["state"] == "broken" and s)
        self.assertIn("no broker can be reached", s["why"])
        self.assertIn("Connection refused", s["why"])
        self.assertLess(s["acked"], 30000)
        self.broker.restart()
        self.wait_acked(d, 30000)
        self.stop(d)
        print("broker killed: %d repeats" % self.in_order(self.broker.messages(topic), e))

    def test_connections_cut(self):
        e = self.emulator("--shards", 2, "--records", 20000, "--items", 500)
        topic = self.broker.topic("cut")
        d = self.daemon(self.config(e, {"events": {
            "brokers": self.broker.proxied, "topic": topic, "in-flight": 500,
            "batch.count": 50}}))
        for n in range(1, 7):
            self.wait_acked(d, n * 2000)
            self.broker.proxy.cut()
        self.wait_acked(d, 20000)
        self.assertNotIn("trouble", self.sink(d)["sink"])
        self.stop(d)
        # Idempotence: a request that was cut off is not appended a second time.
        self.assertEqual(self.in_order(self.broker.messages(topic), e), 0)

    def test_a_broker_that_hangs(self):
        e = self.emulator("--shards", 2, "--records", 20000, "--items", 500)
        topic = self.broker.topic("hung")
        d = self.daemon(self.config(e, {"events": {
            "brokers": self.broker.proxied, "topic": topic, "timeout": "2s", "in-flight": 500,
            "batch.count": 50, "breaker.open": "1s"}}))
        self.wait_acked(d, 2000)
        self.broker.proxy.stall()
        try:
            s = self.wait_sink(d, "an open breaker", lambda s: s["state"] == "broken" and s)
        finally:
            self.broker.proxy.pass_on()
        self.assertIn("the brokers have not answered for", s["why"])
        self.wait_acked(d, 20000)
        self.stop(d)
        print("broker hung: %d repeats" % self.in_order(self.broker.messages(topic), e))

    def test_daemon_killed(self):
        e = self.emulator("--shards", 2, "--records", 20000, "--items", 500)
        topic = self.broker.topic("daemon")
        path = self.config(e, {"events": {"brokers": self.broker.bootstrap, "topic": topic,
                                          "in-flight": 500, "batch.count": 50}})
        d = self.daemon(path)
        self.wait_acked(d, 5000)
        d.signal(signal.SIGKILL)
        d.wait()
        d = self.daemon(path)
        self.wait_sink(d, "the end", lambda s: s["acked"] > 0 and s["in_flight"] == 0
                       and self.all_there(topic, e), patience=120)
        self.stop(d)
        print("daemon killed: %d repeats" % self.in_order(self.broker.messages(topic), e))

    def all_there(self, topic, e):
        return sum(map(len, self.broker.messages(topic).values())) >= len(e.events())


if __name__ == "__main__":
    unittest.main(verbosity=2)
