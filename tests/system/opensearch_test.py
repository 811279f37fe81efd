#!/usr/bin/python3
"""The OpenSearch sink against real nodes: every verdict, both modes under replays,
what cuts and hangs do, TLS, and the daemon over a restart of the node.

Most of it drives the sink by itself (tests/tools/sink_cli.c), so that a test says what
comes in which order. Only what the operator sees of an answer that a node without
security never gives (401), and what a signature is made of, comes from a server here.
"""
import base64
import hashlib
import http.server
import json
import os
import random
import re
import socket
import ssl
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import proxy  # noqa: E402
import services  # noqa: E402
import support  # noqa: E402

BUILD = os.path.dirname(support.SLIPRING)
SINK_CLI = os.environ.get("SINK_CLI", os.path.join(BUILD, "tests/tools/sink_cli"))
LABEL = "2026-11-21T07:29:37.000"
LATER = "2026-11-22T07:29:37.000"
WIDE = "12345678901234567890123456789012345678"

node = None


def setUpModule():
    global node
    node = services.shared(services.OpenSearch)


def change(seq, key, new=None, **attributes):
    """A record. new None: REMOVE. Attributes are DynamoDB JSON values."""
    keys = key if isinstance(key, dict) else {"pk": {"S": key}}
    dynamodb = {"ApproximateCreationDateTime": 1795246177, "Keys": keys,
                "SequenceNumber": "%021d" % seq, "SizeBytes": 10,
                "StreamViewType": "NEW_AND_OLD_IMAGES"}
    if new is not None or attributes:
        dynamodb["NewImage"] = {**keys, **(new or {}), **attributes}
    return {"eventID": "%032x" % seq, "eventVersion": "1.1", "awsRegion": "eu-west-1",
            "eventName": "MODIFY" if "NewImage" in dynamodb else "REMOVE", "dynamodb": dynamodb}


def n(value):
    return {"N": str(value)}


class Sink:
    """The sink in a process of its own; batches go in, verdicts come out."""

    def __init__(self, test, conf, env=None):
        conf = {"url": node.url, **conf}
        self.log = support.tempfile.TemporaryFile()
        self.child = subprocess.Popen([SINK_CLI, "opensearch", json.dumps(conf)], text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                                      env={**support.CLEAN_ENV, **(env or {})})
        self.test = test
        test.addCleanup(self.close)

    def submit(self, *records, stream="orders", table="Orders", label=LABEL, raw=None):
        """[(verdict, why)] of each."""
        body = raw or json.dumps({"Records": records})
        self.child.stdin.write("%s %s %s %s\n" % (stream, table, label, body))
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        if not line:
            raise AssertionError("the sink ended: " + self.said())
        return [tuple(v) for v in json.loads(line)]

    def verdicts(self, *records, **kwargs):
        return [v for v, _ in self.submit(*records, **kwargs)]

    def said(self):
        return os.pread(self.log.fileno(), 1 << 20, 0).decode()

    def close(self):
        self.child.stdin.close()
        try:
            self.child.wait(30)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child.stdout.close()
        said = self.said()
        self.log.close()
        self.test.assertEqual(self.child.returncode, 0, said)


def probe(conf, stream="orders", table="Orders"):
    done = subprocess.run([SINK_CLI, "--probe", "opensearch", json.dumps(conf), stream, table],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          env=support.CLEAN_ENV, check=False)
    return done.returncode, done.stdout + done.stderr


class Case(unittest.TestCase):
    def setUp(self):
        self.index = services.unique("os").lower()
        self.addCleanup(node.call, "DELETE", "/" + self.index)

    def sink(self, env=None, **conf):
        return Sink(self, {"index": self.index, **{k.replace("_", "-"): v for k, v in conf.items()}},
                    env)

    def make(self, **properties):
        status, answer = node.call("PUT", "/" + self.index, {"mappings": {"properties": properties}})
        self.assertEqual(status, 200, answer)

    def source(self, key):
        """The document's text as it is kept, or None."""
        status, answer = node.call("GET", "/%s/_source/%s" % (
            self.index, support_quote(json.dumps([key], separators=(",", ":")))))
        return answer if status == 200 else None

    def documents(self):
        return node.documents(self.index)


def support_quote(text):
    return "".join("%%%02x" % b for b in text.encode())


class Overwrite(Case):
    def test_writes_and_deletes_and_a_replay_converges(self):
        s = self.sink()
        batch = [change(1, "a", v=n(1)), change(2, "b", v=n(2)), change(3, "c", v=n(3)),
                 change(4, "never-there")]
        for _ in range(2):
            self.assertEqual(s.verdicts(*batch), ["ack"] * 4)
        self.assertEqual(s.verdicts(change(5, "a"), change(6, "b", v=n(20))), ["ack"] * 2)
        expected = {'["b"]': {"pk": "b", "v": 20}, '["c"]': {"pk": "c", "v": 3}}
        self.assertEqual(self.documents(), expected)
        # The whole of it again, as after a crash: back, and then forward to the same.
        self.assertEqual(s.verdicts(*batch), ["ack"] * 4)
        self.assertEqual(s.verdicts(change(5, "a"), change(6, "b", v=n(20))), ["ack"] * 2)
        self.assertEqual(self.documents(), expected)

    def test_a_mapping_conflict_is_refused_alone_and_quotes_nothing(self):
        self.make(v={"type": "long"})
        s = self.sink()
        reports = s.submit(*[change(i, "k%d" % i, v={"S": "private words"} if i == 50 else n(i))
                             for i in range(100)])
        self.assertEqual([i for i, (v, _) in enumerate(reports) if v != "ack"], [50])
        self.assertEqual(reports[50], ("reject", "opensearch: status 400 mapper_parsing_exception: "
                                       "failed to parse field [v] of type [long]: For input string"))
        self.assertEqual(len(self.documents()), 99)

    def test_a_large_batch_becomes_several_requests(self):
        s = self.sink(**{"bulk.size": "10KiB"})
        records = [change(i, "k%d" % i, text={"S": "x" * 1000}) for i in range(100)]
        records[40] = change(40, "k40", text={"S": "y" * 50000})
        self.assertEqual(s.verdicts(*records), ["ack"] * 100)
        self.assertEqual(len(self.documents()), 100)

    def test_what_a_block_or_a_closed_index_means(self):
        s = self.sink()
        self.assertEqual(s.verdicts(change(1, "a", v=n(1))), ["ack"])
        for block, status in (("write", 403), ("read_only_allow_delete", 429)):
            node.call("PUT", "/%s/_settings" % self.index, {"index.blocks." + block: True})
            (verdict, why), = s.submit(change(2, "a", v=n(2)))
            self.assertEqual(verdict, "retry", why)
            self.assertIn("status %d cluster_block_exception" % status, why)
            node.call("PUT", "/%s/_settings" % self.index, {"index.blocks." + block: None})
            self.assertEqual(s.verdicts(change(2, "a", v=n(2))), ["ack"])
        node.call("POST", "/%s/_close" % self.index)
        (verdict, why), = s.submit(change(3, "a", v=n(3)))
        self.assertEqual(verdict, "halt")
        self.assertIn("index %s is closed: open it, then: slipring resume trail" % self.index, why)
        node.call("POST", "/%s/_open" % self.index)

    def test_what_takes_no_document_at_all_halts(self):
        """No document is at fault, so none becomes a dead letter."""
        alias, stream = self.index + "-alias", self.index + "-stream"
        for i in ("-1", "-2"):
            node.call("PUT", "/%s%s" % (self.index, i), {"aliases": {alias: {}}})
            self.addCleanup(node.call, "DELETE", "/%s%s" % (self.index, i))
        node.call("PUT", "/_index_template/" + stream, {"index_patterns": [stream],
                                                        "data_stream": {}})
        self.addCleanup(node.call, "DELETE", "/_index_template/" + stream)
        node.call("PUT", "/_data_stream/" + stream)
        self.addCleanup(node.call, "DELETE", "/_data_stream/" + stream)
        for index, says in ((alias, "alias %s does not say to which index" % alias),
                            (stream, "data stream %s takes no changes" % stream)):
            for mode in ("overwrite", "guarded"):
                s = Sink(self, {"index": index, "mode": mode})
                for verdict, why in s.submit(change(1, "a", v=n(1)), change(2, "b")):
                    self.assertEqual(verdict, "halt", why)
                    self.assertIn(says, why)
        node.call("POST", "/_aliases", {"actions": [{"add": {
            "index": self.index + "-2", "alias": alias, "is_write_index": True}}]})
        self.assertEqual(Sink(self, {"index": alias}).verdicts(change(1, "a", v=n(1))), ["ack"])

    def test_a_removal_before_the_first_document(self):
        s = self.sink()
        self.assertEqual(s.verdicts(change(1, "a")), ["ack"])
        self.assertEqual(s.verdicts(change(2, "a", v=n(1))), ["ack"])
        node.call("DELETE", "/" + self.index)
        (verdict, why), = s.submit(change(3, "a"))
        self.assertEqual(verdict, "halt")
        self.assertIn("there is no index " + self.index, why)

    def test_envelope(self):
        s = self.sink(documents="envelope")
        self.assertEqual(s.verdicts(change(1, "a", v=n(1))), ["ack"])
        document = self.documents()['["a"]']
        self.assertEqual((document["event"], document["new"]["v"], document["table"]),
                         ("MODIFY", 1, "Orders"))


class Keys(Case):
    def test_long_and_binary_and_number_keys(self):
        s = self.sink()
        long = "k" * 600
        records = [change(1, long, v=n(1)), change(2, "l" * 600, v=n(2)),
                   change(3, {"pk": {"B": "AAECAwT/"}}, v=n(3)),
                   change(4, {"pk": {"N": "1.50"}, "sk": {"S": "ü\"\\"}}, v=n(4))]
        self.assertEqual(s.verdicts(*records), ["ack"] * 4)
        # Another spelling of the same number is the same item.
        self.assertEqual(s.verdicts(change(5, {"pk": {"N": "15E-1"}, "sk": {"S": "ü\"\\"}}, v=n(5)),
                                    change(6, "l" * 600)), ["ack"] * 2)
        digest = hashlib.sha256(('["%s"]' % long).encode()).hexdigest()
        self.assertEqual({k: d["v"] for k, d in self.documents().items()},
                         {"sha256:" + digest: 1, '["AAECAwT/"]': 3, '[1.5,"ü\\"\\\\"]': 5})

    def test_two_tables_in_one_index(self):
        s = self.sink()
        self.assertEqual(s.verdicts(change(1, "a", v=n(1))), ["ack"])
        (verdict, why), = s.submit(change(2, "a", v=n(2)), stream="users", table="Users")
        self.assertEqual(verdict, "halt")
        self.assertIn("streams orders and users both go to index", why)
        self.assertEqual(self.source("a"), {"pk": "a", "v": 1})
        node.call("DELETE", "/" + self.index)
        s = self.sink(id="stream-key")
        for stream in ("orders", "users"):
            self.assertEqual(s.verdicts(change(1, "a", v=n(1)), stream=stream), ["ack"])
        self.assertEqual(sorted(self.documents()), ['orders["a"]', 'users["a"]'])

    def test_placeholders(self):
        s = Sink(self, {"index": self.index + "-{table}-{stream}"})
        self.addCleanup(node.call, "DELETE", "/%s-*" % self.index)
        self.assertEqual(s.verdicts(change(1, "a", v=n(1))), ["ack"])
        self.assertEqual(list(node.documents(self.index + "-orders-orders")), ['["a"]'])


class Values(Case):
    """Each odd value has one outcome, in both modes; nothing else of the batch is harmed."""

    def check(self, mode):
        s = self.sink(mode=mode)
        deep = {"S": "x"}
        for _ in range(25):
            deep = {"M": {"a": deep}}
        records = [
            change(1, "nul", text={"S": "a\0b"}),
            change(2, "empty-name", {"": n(1)}),
            change(3, "dot", {".": n(1)}),
            change(4, "metadata", {"_id": {"S": "x"}}),
            change(5, "deep", deep=deep),
            change(6, "binary", b={"B": "AAECAwT/"}, bs={"BS": ["AA==", "AQ=="]}),
            change(7, "fraction", f=n("0." + WIDE), s={"SS": ["b", "a"]}),
            change(8, "integer", i=n("9007199254740993")),
            change(9, "too-wide", w=n(WIDE)),
            change(10, "dotted", {"m.x": n(1)}),
            change(11, "object", {"m": n(1)}),
        ]
        verdicts = dict(zip([r["dynamodb"]["Keys"]["pk"]["S"] for r in records],
                            s.verdicts(*records)))
        refused = {"empty-name", "dot", "metadata", "deep", "too-wide", "object"}
        self.assertEqual({k for k, v in verdicts.items() if v == "reject"}, refused)
        self.assertEqual({v for k, v in verdicts.items() if k not in refused}, {"ack"})
        self.assertEqual(self.source("nul")["text"], "a\0b")
        self.assertEqual(self.source("binary")["bs"], ["AA==", "AQ=="])
        self.assertEqual(self.source("integer")["i"], 9007199254740993)
        # A lone surrogate, which only raw JSON can say.
        raw = json.dumps({"Records": [change(20, "half", text={"S": "HALF"}),
                                      change(21, "whole", text={"S": "x"})]})
        self.assertEqual(s.verdicts(raw=raw.replace("HALF", "a\\ud800b")), ["ack", "ack"])
        return s

    def raw_source(self, key):
        import http.client
        c = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
        c.request("GET", "/%s/_source/%s" % (self.index, support_quote('["%s"]' % key)))
        text = c.getresponse().read().decode("utf-8", "surrogatepass")
        c.close()
        return text

    def test_overwrite(self):
        self.check("overwrite")
        self.assertIn('"f":0.' + WIDE, self.raw_source("fraction"))
        self.assertIn('a\\ud800b', self.raw_source("half"))

    def test_guarded(self):
        self.check("guarded")
        # As text, since a script's numbers are doubles; the field is a number all the same.
        self.assertIn('"f":"0.%s"' % WIDE, self.raw_source("fraction"))

    def test_wide_numbers_where_the_mapping_takes_them(self):
        self.make(w={"type": "double"}, f={"type": "double"})
        for mode in ("overwrite", "guarded"):
            s = self.sink(mode=mode)
            self.assertEqual(s.verdicts(change(1, mode, w=n(WIDE), f=n("0." + WIDE))), ["ack"])
            self.assertIn('"w":' + WIDE, self.raw_source(mode))
        node.call("POST", "/%s/_refresh" % self.index)
        status, found = node.call("POST", "/%s/_search" % self.index, {
            "query": {"range": {"f": {"gt": 0.1, "lt": 0.13}}}})
        self.assertEqual((status, found["hits"]["total"]["value"]), (200, 2))


class Guarded(Case):
    def setUp(self):
        super().setUp()
        self.s = self.sink(mode="guarded")

    def apply(self, *records, **kwargs):
        self.assertEqual(self.s.verdicts(*records, **kwargs), ["ack"] * len(records))

    def test_what_is_older_changes_nothing(self):
        self.apply(change(5, "a", v=n(5)))
        self.apply(change(4, "a", v=n(4)))
        self.apply(change(5, "a", v=n(55)))
        version = "%s/%040d" % (LABEL, 5)
        self.assertEqual(self.source("a"), {"pk": "a", "v": 5, "slipring_version": version})
        self.apply(change(6, "a", w=n(6)))
        self.assertEqual(self.source("a"), {"pk": "a", "w": 6, "slipring_version": "%s/%040d" % (LABEL, 6)})
        # A replaced stream counts from its own beginning, and is newer all the same.
        self.apply(change(1, "a", v=n(1)), label=LATER)
        self.apply(change(900, "a", v=n(900)))
        self.assertEqual(self.source("a")["v"], 1)

    def test_a_deleted_item_stays_deleted(self):
        self.apply(change(5, "a", v=n(5)))
        self.apply(change(7, "a"))
        marker = {"slipring_deleted": True, "slipring_deleted_at": "2026-11-21T07:29:37Z",
                  "slipring_version": "%s/%040d" % (LABEL, 7)}
        self.assertEqual(self.source("a"), marker)
        self.apply(change(6, "a", v=n(6)), change(5, "b"))
        self.assertEqual(self.source("a"), marker)
        self.apply(change(4, "b", v=n(4)))
        self.assertTrue(self.source("b")["slipring_deleted"])
        self.apply(change(8, "a", v=n(8)))
        self.assertEqual(self.source("a")["v"], 8)
        self.assertNotIn("slipring_deleted", self.source("a"))

    def test_any_order_converges(self):
        rng, expected, records = random.Random(7), {}, []
        for seq in range(1, 301):
            key = "k%d" % rng.randrange(20)
            gone = rng.random() < 0.2
            records.append(change(seq, key, None if gone else {"v": n(seq)}))
            expected[key] = None if gone else seq
        for _ in range(3):
            rng.shuffle(records)
            for at in range(0, len(records), 50):
                self.apply(*records[at:at + 50])
        found = {k: d.get("v") for k, d in self.documents().items()}
        self.assertEqual(found, {json.dumps([k]): v for k, v in expected.items()})

    def test_old_markers_are_purged_as_the_manual_says(self):
        with open(os.path.join(support.ROOT, "docs/opensearch.md"), encoding="utf-8") as f:
            query = re.search(r"_delete_by_query[^{]*(\{.*?\})\s*'", f.read(), re.S).group(1)
        self.apply(change(5, "a", v=n(5)), change(6, "old"), change(7, "b", v=n(5)))
        node.call("POST", "/%s/_refresh" % self.index)
        for before, left in (("2026-11-01", 3), ("2026-12-31", 2)):
            self.assertIn("now-30d", query)
            status, answer = node.call(
                "POST", "/%s/_delete_by_query?conflicts=proceed&refresh=true" % self.index,
                json.loads(query.replace("now-30d", before)))
            self.assertEqual(status, 200, answer)
            self.assertEqual(len(self.documents()), left)

    def test_documents_that_were_there_before_are_taken_over(self):
        plain = self.sink()
        self.assertEqual(plain.verdicts(change(5, "a", v=n(5))), ["ack"])
        self.apply(change(1, "a", v=n(1)))
        self.assertEqual(self.source("a")["v"], 1)


# ---- the way there ----


class Way(Case):
    def setUp(self):
        super().setUp()
        self.proxy = proxy.Proxy("127.0.0.1", node.port)
        self.addCleanup(self.proxy.close)
        self.url = "http://127.0.0.1:%d" % self.proxy.port

    def test_cut_after_the_bulk_was_sent(self):
        for mode in ("overwrite", "guarded"):
            s = self.sink(url=self.url, mode=mode)
            records = [change(i, "%s%d" % (mode, i), v=n(i)) for i in range(20)]
            self.proxy.cut_when(b"HTTP/1.1 200", proxy.TO_CLIENT, passing=False)
            reports = s.submit(*records)
            self.assertTrue(self.proxy.struck.wait(support.PATIENCE))
            self.assertEqual({v for v, _ in reports}, {"retry"}, reports[0])
            # It was done all the same; doing it again changes nothing.
            before = self.documents()
            self.assertEqual(len([k for k in before if mode in k]), 20)
            self.proxy.pass_on()
            self.assertEqual(s.verdicts(*records), ["ack"] * 20)
            self.assertEqual(self.documents(), before)

    def test_cut_in_the_middle_of_the_bulk(self):
        s = self.sink(url=self.url)
        records = [change(i, "k%d" % i, text={"S": "x" * 1000}) for i in range(200)]
        self.proxy.cut_after(50000, proxy.TO_TARGET)
        self.assertEqual(set(s.verdicts(*records)), {"retry"})
        self.proxy.pass_on()
        self.assertEqual(set(s.verdicts(*records)), {"ack"})
        self.assertEqual(len(self.documents()), 200)

    def test_a_node_that_does_not_answer(self):
        s = self.sink(url=self.url, timeout="500ms")
        self.proxy.stall(proxy.TO_CLIENT)
        (verdict, why), = s.submit(change(1, "a", v=n(1)))
        self.assertEqual(verdict, "retry")
        self.assertIn("no complete answer of http://127.0.0.1:%d within 500 ms" % self.proxy.port, why)
        self.proxy.pass_on()
        support.wait_until("an answer", lambda: s.verdicts(change(1, "a", v=n(1))) == ["ack"])

    def carried_out_late(self, mode):
        """A request that was given up on lies somewhere on the way, while it is sent again
        elsewhere and overtaken by a newer write; then it gets there after all."""
        self.assertEqual(self.sink(mode=mode).verdicts(change(1, "a", v=n(1))), ["ack"])
        self.proxy.delay(600, proxy.TO_TARGET)
        s = self.sink(url=self.url, mode=mode, timeout="500ms")
        self.assertEqual(s.verdicts(change(2, "a", v=n(2))), ["retry"])
        s = self.sink(mode=mode)
        self.assertEqual(s.verdicts(change(2, "a", v=n(2))), ["ack"])
        self.assertEqual(s.verdicts(change(3, "a", v=n(3))), ["ack"])

        def done():
            _, stats = node.call("GET", "/%s/_stats/indexing" % self.index)
            total = stats["_all"]["primaries"]["indexing"]
            return total["index_total"] + total["noop_update_total"]
        before = done()
        self.proxy.pass_on()
        support.wait_until("the late request", lambda: done() > before)
        return self.source("a")["v"]

    def test_guarded_a_request_that_comes_late_changes_nothing(self):
        self.assertEqual(self.carried_out_late("guarded"), 3)

    def test_overwrite_a_request_that_comes_late_overwrites_as_the_manual_says(self):
        self.assertEqual(self.carried_out_late("overwrite"), 2)

    def test_the_next_address_is_used(self):
        s = self.sink(url=[self.url, node.url])
        self.assertEqual(s.verdicts(change(1, "a", v=n(1))), ["ack"])
        self.proxy.refuse()
        (verdict, why), = s.submit(change(2, "a", v=n(2)))
        self.assertEqual(verdict, "retry", why)
        self.assertEqual(s.verdicts(change(2, "a", v=n(2))), ["ack"])
        self.assertEqual(self.source("a")["v"], 2)

    def test_gzip(self):
        s = self.sink(url=self.url, gzip=True)
        self.proxy.cut_after(20000, proxy.TO_TARGET)  # of 200,000 bytes uncompressed
        self.assertEqual(set(s.verdicts(*[change(i, "k%d" % i, text={"S": "x" * 1000})
                                          for i in range(200)])), {"ack"})
        self.assertFalse(self.proxy.struck.is_set())
        self.assertEqual(len(self.documents()), 200)


class Tls(Case):
    """A front with TLS, as a node with security has: it wants our certificate."""

    def openssl(self, *argv):
        subprocess.run(["openssl", *argv], check=True, stdin=subprocess.DEVNULL, capture_output=True)

    def certificate(self, name, *options):
        cert, key = self.work(name + ".pem"), self.work(name + ".key")
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                     "-days", "2", "-subj", "/CN=" + name, "-addext",
                     "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert,
                     *(options or ("-nodes",)))
        return cert, key

    def setUp(self):
        super().setUp()
        self.work = support.Workspace("opensearch-tls")
        self.addCleanup(self.work.close)
        self.server, key = self.certificate("server")
        self.mine, self.my_key = self.certificate("slipring", "-passout", "pass:open sesame")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server, key)
        context.load_verify_locations(self.mine)
        context.verify_mode = ssl.CERT_REQUIRED
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.listener.close)
        self.url = "https://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, args=(context,), daemon=True).start()

    def accept(self, context):
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(context, plain), daemon=True).start()

    @staticmethod
    def serve(context, plain):
        """Request by request: an SSL socket is not for two threads."""
        try:
            with context.wrap_socket(plain, server_side=True) as client, \
                    socket.create_connection(("127.0.0.1", node.port)) as target:
                while True:
                    data = client.recv(65536)
                    if not data:
                        return
                    target.sendall(data)
                    head, _, body = data.partition(b"\r\n\r\n")
                    length = re.search(rb"(?i)content-length: (\d+)", head)
                    left = int(length.group(1)) - len(body) if length else 0
                    while left > 0:
                        data = client.recv(65536)
                        target.sendall(data)
                        left -= len(data)
                    client.sendall(target.recv(1 << 20))
        except OSError:
            plain.close()

    def one(self, **conf):
        (report,) = self.sink(url=self.url, **conf).submit(change(1, "a", v=n(1)))
        return report

    def test_certificates(self):
        verdict, why = self.one()
        self.assertEqual(verdict, "retry")
        self.assertIn("is not trusted", why)
        verdict, why = self.one(ca_file=self.server)
        self.assertEqual(verdict, "retry", why)
        whole = {"ca_file": self.server, "client_certificate": self.mine, "client_key": self.my_key}
        verdict, why = self.one(**whole, client_key_passphrase="wrong")
        self.assertEqual(verdict, "halt")
        self.assertIn("client certificate", why)
        self.assertEqual(self.one(**whole)[0], "halt")  # and nobody is asked at a terminal
        self.assertEqual(self.one(**whole, client_key_passphrase="open sesame"), ("ack", ""))
        self.assertEqual(self.source("a"), {"pk": "a", "v": 1})


# ---- what a request looks like ----


class Capture(http.server.ThreadingHTTPServer):
    """Keeps the requests; answers status and body as told."""

    def __init__(self, test, status=200, body=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.body, self.seen, self.date = status, body, [], None
        self.url = "http://127.0.0.1:%d" % self.server_port
        thread = threading.Thread(target=self.serve_forever, daemon=True)
        thread.start()
        test.addCleanup(self.server_close)
        test.addCleanup(self.shutdown)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, dict(self.headers.items()), body))
        items = [{"index": {"status": 200}}] * (body.count(b"\n") // 2)
        answer = self.server.body
        if answer is None:
            answer = json.dumps({"errors": False, "items": items})
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        try:
            self.wfile.write(answer.encode())
        except OSError:
            pass  # it did not want to hear all of that

    def date_time_string(self, timestamp=None):
        return self.server.date or super().date_time_string(timestamp)

    def log_message(self, *_):
        pass


class Requests(Case):
    KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret/key",
            "AWS_SESSION_TOKEN": "token=="}

    def botocore_signature(self, request, service, url, path):
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
        import datetime
        from unittest import mock
        _, headers, body = request
        stamp = datetime.datetime.strptime(headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ")
        signed = {"Content-Type": headers["Content-Type"]}
        if service == "aoss":
            signed["X-Amz-Content-SHA256"] = hashlib.sha256(body).hexdigest()
        again = AWSRequest(method="POST", url=url + path, data=body, headers=signed)
        credentials = Credentials("AKIDEXAMPLE", "secret/key", "token==")
        with mock.patch("botocore.auth.datetime") as clock:
            clock.datetime.utcnow.return_value = stamp
            SigV4Auth(credentials, service, "eu-west-1").add_auth(again)
        return again.headers["Authorization"]

    def test_signatures_are_those_of_botocore(self):
        for service in ("es", "aoss"):
            for prefix in ("", "/some/path"):
                server = Capture(self)
                s = self.sink(url=server.url + prefix, auth="sigv4", service=service,
                              region="eu-west-1", env=self.KEYS)
                self.assertEqual(s.submit(change(1, "ä", v=n(1)), change(2, "b", v=n(2))),
                                 [("ack", "")] * 2)
                request = server.seen[0]
                self.assertEqual(request[1]["X-Amz-Security-Token"], "token==")
                self.assertEqual(request[1]["Authorization"], self.botocore_signature(
                    request, service, server.url, request[0]))
                if service == "aoss":
                    self.assertEqual(request[1]["x-amz-content-sha256"],
                                     hashlib.sha256(request[2]).hexdigest())

    def test_refused_keys_are_read_again_before_it_stops(self):
        server = Capture(self, 403, '{"message":"The security token included in the request is expired"}')
        s = self.sink(url=server.url, auth="sigv4", region="eu-west-1", env=self.KEYS)
        reports = [s.submit(change(1, "a", v=n(1)))[0] for _ in range(3)]
        self.assertEqual([v for v, _ in reports], ["retry", "retry", "halt"])
        self.assertIn("token included in the request is expired", reports[0][1])
        self.assertNotIn("secret", str(reports))

    def test_a_wrong_clock_is_corrected(self):
        server = Capture(self, 403, '{"message":"Signature expired"}')
        server.date = "Sat, 21 Nov 2026 03:29:37 GMT"
        s = self.sink(url=server.url, auth="sigv4", region="eu-west-1", env=self.KEYS)
        self.assertEqual(s.verdicts(change(1, "a", v=n(1))), ["retry"])
        server.status, server.body = 200, None
        self.assertEqual(s.verdicts(change(1, "a", v=n(1))), ["ack"])
        self.assertTrue(server.seen[1][1]["X-Amz-Date"].startswith("20261121T0329"), server.seen[1][1])

    def test_basic(self):
        server = Capture(self)
        s = self.sink(url=server.url, auth="basic", user="me", password="pass:ü word")
        self.assertEqual(s.verdicts(change(1, "a", v=n(1))), ["ack"])
        header = server.seen[0][1]["Authorization"]
        self.assertEqual(base64.b64decode(header.split()[1]).decode(), "me:pass:ü word")

    def test_what_the_operator_sees_of_a_wrong_password(self):
        server = Capture(self, 401, "Unauthorized")
        s = self.sink(url=server.url, auth="basic", user="me", password="hush")
        self.assertEqual(s.submit(change(1, "a", v=n(1))),
                         [("halt", "opensearch: the cluster refuses us: status 401")])
        code, said = probe({"url": server.url, "index": "x", "auth": "basic", "user": "me",
                            "password": "hush"})
        self.assertEqual(code, 1)
        self.assertNotIn("hush", said + s.said())

    def test_answers_that_are_none(self):
        for body in ("<html>hello</html>", "{}", '{"items":[]}', ""):
            server = Capture(self, 200, body)
            self.assertEqual(self.sink(url=server.url).verdicts(change(1, "a", v=n(1))), ["retry"])

    def test_an_answer_that_is_too_long_is_asked_for_in_halves(self):
        server = Capture(self, 200, " " * (33 << 20))
        self.assertEqual(self.sink(url=server.url).verdicts(change(1, "a", v=n(1))), ["split"])


# ---- a node with narrow limits ----


class Narrow(Case):
    @classmethod
    def setUpClass(cls):
        cls.node = services.OpenSearch(http__max_content_length="200kb", script__allowed_types="none",
                                       action__auto_create_index="false")
        cls.node.start()

    @classmethod
    def tearDownClass(cls):
        cls.node.close()

    def setUp(self):
        super().setUp()
        self.addCleanup(self.node.call, "DELETE", "/" + self.index)

    def test_too_large_a_request_is_halved(self):
        self.node.call("PUT", "/" + self.index)
        s = self.sink(url=self.node.url)
        records = [change(i, "k%d" % i, text={"S": "x" * 1000}) for i in range(250)]
        reports = s.submit(*records)
        self.assertEqual({v for v, _ in reports}, {"split"}, reports[0])
        self.assertIn("http.max_content_length", reports[0][1])
        for half in (records[:125], records[125:]):
            self.assertEqual(set(s.verdicts(*half)), {"ack"})
        # Requests that stay below the limit are never refused.
        s = self.sink(url=self.node.url, **{"bulk.size": "150KiB"})
        self.assertEqual(set(s.verdicts(*records)), {"ack"})
        self.assertEqual(len(self.node.documents(self.index)), 250)

    def test_no_index_and_none_is_made(self):
        s = self.sink(url=self.node.url)
        reports = s.submit(change(1, "a", v=n(1)), change(2, "b", v=n(2)))
        why = ("opensearch: there is no index %s, and the cluster does not create it "
               "(action.auto_create_index): create it, then: slipring resume trail" % self.index)
        self.assertEqual(reports, [("halt", why)] * 2)
        code, said = probe({"url": self.node.url, "index": self.index})
        self.assertEqual(code, 0)
        self.assertIn("bad: index %s does not exist and the cluster does not create it" % self.index, said)
        self.assertEqual(self.node.call("GET", "/" + self.index)[0], 404)

    def test_no_scripts(self):
        self.node.call("PUT", "/" + self.index)
        s = self.sink(url=self.node.url, mode="guarded")
        (verdict, why), = s.submit(change(1, "a", v=n(1)))
        self.assertEqual(verdict, "halt")
        self.assertIn("runs no inline scripts", why)
        _, said = probe({"url": self.node.url, "index": self.index, "mode": "guarded"})
        self.assertIn("bad: the cluster runs no inline scripts", said)


class Probe(Case):
    def test_all_is_well(self):
        self.make(v={"type": "long"})
        code, said = probe({"url": node.url, "index": self.index, "mode": "guarded"})
        self.assertEqual((code, said), (0, (
            "ok: %s answers: opensearch 2.19.1\nok: index %s is there, its mapping can be read\n"
            "ok: the cluster runs inline scripts, as mode: guarded needs\n" % (node.url, self.index))))

    def test_nobody_there(self):
        gone = "http://127.0.0.1:%d" % support.free_port()
        code, said = probe({"url": gone, "index": "x"})
        self.assertEqual(code, 1)
        self.assertIn("refused the connection", said)
        # One of two is enough to work, and both are spoken of.
        code, said = probe({"url": [gone, node.url], "index": self.index})
        self.assertEqual(code, 0, said)
        self.assertIn("refused the connection", said)
        self.assertIn("will be made by the first document", said)
        self.assertEqual(node.call("GET", "/" + self.index)[0], 404)


# ---- the daemon ----


class Daemon(unittest.TestCase):
    def setUp(self):
        self.work = support.Workspace("opensearch")
        self.addCleanup(self.work.close)
        self.dynamo = services.shared(services.DynamoDB)
        self.client = self.dynamo.client()
        self.addCleanup(self.client.close)
        self.table = services.unique("Orders")
        self.client.create_table(self.table)

    def run_daemon(self, **sink):
        sink = {"type": "opensearch", "from": ["orders"], "index": "{table}", "breaker.open": "1s",
                "retry.cap": "500ms", **sink}
        path = support.config(self.work.path, self.dynamo.endpoint, {"orders": {"table": self.table}},
                              {"search": sink})
        daemon = support.run_daemon(path)
        self.addCleanup(daemon.close)
        return daemon

    def write(self, rng, count, expected):
        for _ in range(count):
            key = "k%d" % rng.randrange(100)
            if rng.random() < 0.2:
                self.client.call("DeleteItem", TableName=self.table, Key={"pk": {"S": key}})
                expected.pop(key, None)
            else:
                v = rng.randrange(10 ** 6)
                self.client.call("PutItem", TableName=self.table,
                                 Item={"pk": {"S": key}, "v": n(v)})
                expected[key] = v

    def test_a_document_that_is_too_large_is_found_among_good_ones(self):
        private = services.OpenSearch(http__max_content_length="200kb")
        self.addCleanup(private.close)
        private.start()
        daemon = self.run_daemon(url=private.url)
        for i in range(300):
            self.client.call("PutItem", TableName=self.table, Item={
                "pk": {"S": "k%d" % i}, "text": {"S": "x" * (250000 if i == 150 else 1000)}})
        index = self.table.lower()
        support.wait_until("all but one", lambda: private.call("GET", "/" + index)[0] == 200 and
                           len(private.documents(index)) == 299, step=0.2)
        support.wait_until("the dead letter", lambda: "record refused" in daemon.stderr())
        self.assertNotIn('["k150"]', private.documents(index))
        self.assertEqual(daemon.stop(), 0, daemon.stderr())
        self.assertEqual(daemon.stderr().count("record refused"), 1)
        self.assertIn("http.max_content_length", daemon.stderr())

    def restart_in_mid_stream(self, mode):
        private = services.OpenSearch()
        self.addCleanup(private.close)
        private.start()
        rng, expected, index = random.Random(11), {}, self.table.lower()
        daemon = self.run_daemon(url=private.url, mode=mode)
        self.write(rng, 500, expected)
        support.wait_until("documents", lambda: private.documents(index) if private.call(
            "GET", "/" + index)[0] == 200 else {})
        self.write(rng, 500, expected)
        private.kill()
        self.write(rng, 500, expected)
        private.restart()
        self.write(rng, 100, expected)

        def same():
            found = {k: d["v"] for k, d in private.documents(index).items()
                     if not d.get("slipring_deleted")}
            return found == {'["%s"]' % k: v for k, v in expected.items()}
        support.wait_until("the documents to be the table's items", same, step=0.2)
        self.assertEqual(daemon.stop(), 0, daemon.stderr())

    def test_restart_of_the_node_overwrite(self):
        self.restart_in_mid_stream("overwrite")

    def test_restart_of_the_node_guarded(self):
        self.restart_in_mid_stream("guarded")

    def test_check_connect(self):
        path = support.config(self.work.path, self.dynamo.endpoint, {"orders": {"table": self.table}},
                              {"search": {"type": "opensearch", "from": ["orders"], "url": node.url,
                                          "index": "{table}"}})
        code, out, err = support.slipring("check", "--connect", "-c", path)
        self.assertEqual(code, 0, out + err)
        self.assertIn("answers: opensearch 2.19.1", out)


if __name__ == "__main__":
    unittest.main()
