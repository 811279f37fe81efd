#!/usr/bin/env python3
"""What the daemon says of itself: the metrics page read by promtool and by a real
Prometheus, its names beside those of docs/metrics.md, /readyz, and the three
figures of lag in staged situations: idle, lagging, a reader of standard output that
stands still, and a sink whose breaker is open.

The history is the emulator's, an hour of it that began two hours ago, so ages are known.
"""
import glob
import http.client
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402
from operator_test import Emulator, KEYS  # noqa: E402

DOCS = os.path.join(support.ROOT, "docs/metrics.md")
SINKS = ("kafka", "opensearch", "postgres", "sqlite")  # those with metrics of their own
HOUR = 3600
RETENTION = 24 * HOUR
OPEN_METRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
SAMPLE = re.compile(r"^([a-z_0-9]+)(?:\{(.*)\})? (\S+)$")


def get(port, path, accept=None):
    """(status, content type, text)"""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=support.PATIENCE)
    try:
        c.request("GET", path, headers={"Accept": accept} if accept else {})
        answer = c.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read().decode()
    finally:
        c.close()


class Page:
    def __init__(self, text):
        self.text = text
        self.families = set(re.findall(r"^# TYPE (\S+) ", text, re.M))
        self.samples = []
        for line in text.splitlines():
            if not line.startswith("#"):
                name, labels, value = SAMPLE.match(line).groups()
                self.samples.append((name, dict(re.findall(r'(\w+)="([^"]*)"', labels or "")),
                                     float(value)))

    def all(self, name, **labels):
        return [(found, value) for n, found, value in self.samples
                if n == name and all(found.get(k) == v for k, v in labels.items())]

    def one(self, name, **labels):
        found = self.all(name, **labels)
        assert len(found) == 1, (name, labels, found)
        return found[0][1]

    def lag(self, sink):
        """(iterator age, delivery age, until the trim); () while that is not known"""
        if not self.all("slipring_iterator_age_seconds", sink=sink):
            return ()
        return tuple(self.one("slipring_%s_seconds" % n, sink=sink)
                     for n in ("iterator_age", "delivery_age", "until_trim"))


class Daemon(support.Process):
    """Its standard output is a pipe that is read when the test wants it."""

    def __init__(self, path):
        super().__init__([support.SLIPRING, "version"])
        self.wait()
        self.child = subprocess.Popen([support.SLIPRING, "run", "-c", path], env=KEYS,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=self.err)
        try:
            support.wait_until("the admin port", lambda: self._port() or not self.running())
            self.port = int(self._port().group(1))
        except Exception:
            self.close()
            raise

    def _port(self):
        return re.search(r"listening address=127.0.0.1 port=(\d+)", self.stderr())

    def page(self):
        status, _, text = get(self.port, "/metrics")
        assert status == 200, text
        return Page(text)

    def close(self):
        super().close()
        self.child.stdout.close()


class Case(unittest.TestCase):
    def setUp(self):
        self.work = support.Workspace("metrics")
        self.addCleanup(self.work.close)

    def emulator(self, *options):
        e = Emulator("--epoch", int(time.time()) - 2 * HOUR, "--span", HOUR, *options)
        self.addCleanup(e.close)
        return e

    def trail(self, **more):
        return {"trail": dict({"type": "audit", "from": ["orders"], "directory": self.work("trail")},
                              **more)}

    def daemon(self, endpoint, sinks=None, **extra):
        path = support.config(self.work.path, endpoint,
                              {"orders": {"table": "orders", "poll.idle": "250ms"}},
                              sinks or self.trail(), **extra)
        d = Daemon(path)
        self.addCleanup(d.close)
        return d

    def until(self, d, what, condition):
        """The first page of which condition() is true."""
        page = None

        def holds():
            nonlocal page
            page = d.page()
            return condition(page)

        support.wait_until(what, holds)
        return page

    def near(self, value, want, slack):
        self.assertLessEqual(abs(value - want), slack, "%s is not about %s" % (value, want))

    def check_text(self, tool, text):
        done = subprocess.run(tool, input=text, capture_output=True, text=True,
                              timeout=support.PATIENCE)
        self.assertEqual((done.returncode, done.stdout if tool[-1] == "metrics" else "", done.stderr),
                         (0, "", ""), tool)


def created(e):
    """When the events of the emulator's only shard were created, in order."""
    (stream,) = e.control("dump")["streams"]
    (shard,) = stream["shards"]
    return [event["dynamodb"]["ApproximateCreationDateTime"] for event in shard["events"]]


class Manual(unittest.TestCase):
    def test_what_single_types_of_sinks_add_is_in_it(self):
        for kind in SINKS:
            served, said = set(), set()
            for path in glob.glob(os.path.join(support.ROOT, "sinks", kind + "*.c")):
                with open(path, encoding="utf-8") as f:
                    served.update(name + ("_total" if form == "counter" else "")
                                  for form, name in re.findall(
                        r'metrics_(counter|gauge|histogram)\(\s*\w+,\s*"(slipring_\w+)"', f.read()))
            for page in (DOCS, os.path.join(support.ROOT, "docs", kind + ".md")):
                with open(page, encoding="utf-8") as f:
                    said.update(re.findall(r"`(slipring_%s_\w+)`" % kind, f.read()))
            self.assertNotEqual(served, set())
            self.assertEqual(said, served, kind)


class ThePage(Case):
    def setUp(self):
        super().setUp()
        self.e = self.emulator("--shards", 8, "--records", 400)
        screen = {"screen": {"type": "stdout", "from": ["orders"]}}
        self.d = self.daemon(self.e.endpoint, dict(self.trail(), **screen),
                             **{"admin": {"listen": "127.0.0.1:0", "shards": 3}})
        self.page = self.until(self.d, "everything delivered", lambda p: p.one(
            "slipring_sink_acked_total", sink="trail") == 400 and p.lag("trail") == (0, 0, RETENTION))

    def test_promtool_has_nothing_to_say(self):
        status, kind, text = get(self.d.port, "/metrics")
        self.assertEqual((status, kind), (200, "text/plain; version=0.0.4; charset=utf-8"))
        self.check_text(["promtool", "check", "metrics"], text)

    def test_both_forms_say_the_same(self):
        status, kind, text = get(self.d.port, "/metrics", OPEN_METRICS)
        self.assertEqual((status, kind),
                         (200, "application/openmetrics-text; version=1.0.0; charset=utf-8"))
        self.assertTrue(text.endswith("\n# EOF\n"))
        names = {(n, tuple(sorted(labels.items()))) for n, labels, _ in Page(text).samples}
        plain = {(n, tuple(sorted(labels.items()))) for n, labels, _ in self.page.samples}
        self.assertEqual(names, plain)

    def test_every_metric_is_in_the_manual_and_only_those(self):
        with open(DOCS, encoding="utf-8") as f:
            known = set(re.findall(r"^\| `(slipring_(?!%s)[a-z_]+)` \|" % "|".join(
                t + "_" for t in SINKS), f.read(), re.M))
        self.assertEqual(self.page.families - known, set(), "served, and not in docs/metrics.md")
        self.assertEqual(known - self.page.families, set(), "in docs/metrics.md, and not served")

    def test_the_alerts_of_the_manual_are_rules(self):
        with open(DOCS, encoding="utf-8") as f:
            block = re.search(r"^    groups:\n(?:    .*\n)+", f.read(), re.M).group(0)
        path = self.work("rules.yml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(re.sub(r"^    ", "", block, flags=re.M))
        self.check_text(["promtool", "check", "rules", path], "")
        for name in set(re.findall(r"slipring_[a-z_]+", block)):
            self.assertIn(name, self.page.families)

    def test_shards_are_bounded(self):
        for figure in ("iterator_age", "delivery_age", "until_trim"):
            name = "slipring_shard_%s_seconds" % figure
            self.assertEqual(len(self.page.all(name)), 3)
        self.assertEqual(self.page.one("slipring_shards", state="reading"), 8)
        self.assertEqual(self.page.one("slipring_sink_shards", sink="trail", state="fed"), 8)

    def test_what_is_counted(self):
        p = self.page
        self.assertEqual(p.one("slipring_stream_records_total"), 400)
        self.assertEqual(p.one("slipring_sink_taken_total", sink="trail"), 400)
        self.assertGreater(p.one("slipring_sink_acked_bytes_total", sink="trail"), 400 * 100)
        self.assertEqual(p.one("slipring_sink_delivery_seconds_count", sink="trail"), 400)
        self.assertEqual(p.one("slipring_sink_batch_records_sum", sink="trail"), 400)
        self.assertGreater(p.one("slipring_api_requests_total", call="GetRecords"), 8)
        self.assertEqual(p.one("slipring_api_errors_total", call="GetRecords", code="throttled"), 0)
        self.assertGreater(p.one("slipring_store_commit_seconds_count"), 0)
        self.assertGreater(p.one("slipring_resident_memory_bytes"), 1 << 20)
        self.e.control("fault", kind="throttle", target="GetRecords", count=5)
        self.until(self.d, "the throttling", lambda q: q.one(
            "slipring_api_errors_total", call="GetRecords", code="throttled") == 5)

    def test_a_stalled_loop_shows(self):
        buckets = [b for b in self.page.all("slipring_loop_lag_seconds_bucket")]
        late = sum(v for labels, v in buckets if labels["le"] == "+Inf") - \
            sum(v for labels, v in buckets if labels["le"] == "0.5")
        self.d.signal(signal.SIGSTOP)
        support.wait_until("it stands still", lambda: self.stat() == "T")
        began = time.monotonic()
        support.wait_until("a second", lambda: time.monotonic() - began > 1)
        self.d.signal(signal.SIGCONT)
        self.until(self.d, "the late timer", lambda p: p.one(
            "slipring_loop_lag_seconds_count") - p.one(
                "slipring_loop_lag_seconds_bucket", le="0.5") > late)

    def stat(self):
        with open("/proc/%d/stat" % self.d.child.pid, encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0]


class RealPrometheus(Case):
    def query(self, expression):
        from urllib.parse import quote
        status, _, text = get(self.port, "/api/v1/query?query=" + quote(expression))
        self.assertEqual(status, 200, text)
        return {r["metric"].get("sink", ""): float(r["value"][1])
                for r in json.loads(text)["data"]["result"]}

    def answers(self):
        try:
            return get(self.port, "/-/ready")[0] == 200
        except OSError:
            return False

    def test_it_is_scraped(self):
        e = self.emulator("--records", 50)
        d = self.daemon(e.endpoint)
        self.until(d, "everything delivered", lambda p: p.one("slipring_sink_acked_total") == 50)
        with open(self.work("prometheus.yml"), "w", encoding="utf-8") as f:
            json.dump({"global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
                       "scrape_configs": [{"job_name": "slipring", "static_configs": [
                           {"targets": ["127.0.0.1:%d" % d.port]}]}]}, f)
        self.port = support.free_port()
        p = support.Process(["prometheus", "--config.file=" + self.work("prometheus.yml"),
                             "--storage.tsdb.path=" + self.work("tsdb"),
                             "--web.listen-address=127.0.0.1:%d" % self.port],
                            env=dict(support.CLEAN_ENV, GOMAXPROCS="1"))
        self.addCleanup(p.close)
        support.wait_until("Prometheus", lambda: self.answers() or not p.running())
        self.assertTrue(p.running(), p.stderr())
        support.wait_until("a scrape", lambda: self.query("slipring_ready"))
        self.assertEqual(self.query("up"), {"": 1})
        self.assertEqual(self.query("slipring_sink_acked_total"), {"trail": 50})
        self.assertEqual(self.query("slipring_until_trim_seconds"), {"trail": RETENTION})
        self.assertEqual(self.query("slipring_sink_delivery_seconds_count"), {"trail": 50})
        self.assertEqual(p.stop(), 0, p.stderr())


class Ready(Case):
    def readyz(self, d):
        status, _, text = get(d.port, "/readyz")
        return status, json.loads(text)["reasons"]

    def test_yes(self):
        e = self.emulator("--records", 5)
        d = self.daemon(e.endpoint)
        support.wait_until("ready", lambda: self.readyz(d) == (200, []))
        self.assertEqual(d.page().one("slipring_ready"), 1)

    def test_no_answer_from_the_service(self):
        d = self.daemon("http://127.0.0.1:%d" % support.free_port())
        support.wait_until("the reason", lambda: "refused" in str(self.readyz(d)[1]).lower())
        status, (why,) = self.readyz(d)
        self.assertEqual(status, 503)
        self.assertIn("stream orders: its table has not been described yet: ", why)
        self.assertEqual(get(d.port, "/healthz")[0], 200)
        self.assertEqual(d.page().one("slipring_ready"), 0)
        self.assertEqual(d.page().one("slipring_stream_trouble"), 1)


class Lag(Case):
    def test_idle(self):
        """Old records, all delivered: no lag, however old they are and however long it lasts."""
        e = self.emulator("--records", 300)
        d = self.daemon(e.endpoint)
        self.until(d, "everything delivered", lambda p: p.one("slipring_sink_acked_total") == 300)
        polls = self.until(d, "the end", lambda p: p.lag("trail") == (0, 0, RETENTION)).one(
            "slipring_stream_pages_total")
        while polls + 5 > (p := d.page()).one("slipring_stream_pages_total"):
            self.assertEqual(p.lag("trail"), (0, 0, RETENTION))

    def test_lagging(self):
        """Pages come slowly: the ages are those of the records that are delivered and not."""
        e = self.emulator("--records", 200, "--page-records", 5)
        times = created(e)
        e.control("fault", kind="delay", ms=100, target="GetRecords")
        d = self.daemon(e.endpoint)
        seen = 0
        while True:
            before = d.page()
            now = time.time()
            after = d.page()
            low, high = (int(p.one("slipring_sink_acked_total")) for p in (before, after))
            if low == 200:
                break
            if low == 0 or low != high:
                continue
            iterator, delivery, trim = after.lag("trail")
            self.near(iterator, now - times[high - 1], 3)
            self.assertTrue(delivery == 0 or abs(delivery - (now - times[high])) < 3, delivery)
            # Between two pages nothing is known to be owed: early, by the record before.
            self.assertTrue(now - times[high] - 3 <= RETENTION - trim <= iterator + 1)
            self.near(after.one("slipring_shard_until_trim_seconds"), trim, 0.1)
            seen += 1
        self.assertGreater(seen, 10)
        self.until(d, "the end", lambda p: p.lag("trail") == (0, 0, RETENTION))

    def test_no_answer_is_not_idle(self):
        """The tip was reached, and then the service is silent: nobody knows what is there."""
        e = self.emulator("--records", 20)
        d = self.daemon(e.endpoint)
        self.until(d, "the end", lambda p: p.lag("trail") == (0, 0, RETENTION))
        quiet = time.time()
        e.control("fault", kind="unavailable")
        page = self.until(d, "doubt", lambda p: p.lag("trail")[0] != 0)
        iterator, delivery, trim = page.lag("trail")
        self.near(iterator, time.time() - quiet, 5)
        self.assertEqual(delivery, 0)
        self.near(trim, RETENTION - iterator, 1)

    def test_a_shard_that_ended_is_no_end(self):
        """Its child is not listed yet: what was written since is owed, and not known."""
        e = self.emulator("--records", 20, "--listing-lag-ms", 4000)
        d = self.daemon(e.endpoint)
        self.until(d, "the end", lambda p: p.lag("trail") == (0, 0, RETENTION))
        e.control("rotate")
        ended = time.time()
        e.control("put", item={"pk": {"S": "in the child"}, "sk": {"N": "1"}})
        page = self.until(d, "the end of the parent",
                          lambda p: p.one("slipring_shards", state="complete") == 1)
        iterator, _, trim = page.lag("trail")
        self.assertTrue(0 < iterator < time.time() - ended + 3, iterator)
        self.near(trim, RETENTION - iterator, 0.01)
        page = self.until(d, "the child", lambda p: p.lag("trail") == (0, 0, RETENTION))
        self.assertEqual(page.one("slipring_sink_acked_total"), 21)

    def test_blocked(self):
        """One sink takes no more, the other goes on: each has its own figures."""
        e = self.emulator("--records", 600)
        times = created(e)
        screen = {"screen": {"type": "stdout", "from": ["orders"], "format": "dynamodb"}}
        d = self.daemon(e.endpoint, dict(self.trail(), **screen))
        self.until(d, "the trail", lambda p: p.lag("trail") == (0, 0, RETENTION))
        acked = -1

        def stands(p):
            nonlocal acked
            was, acked = acked, int(p.one("slipring_sink_acked_total", sink="screen"))
            return acked == was

        page = self.until(d, "the pipe to be full", stands)
        self.assertLess(acked, 600)
        for _ in range(2):
            now = time.time()
            iterator, delivery, trim = page.lag("screen")
            self.near(delivery, now - times[acked], 3)
            self.near(trim, RETENTION - delivery, 0.01)
            self.assertGreaterEqual(iterator, delivery)
            self.assertEqual(page.lag("trail"), (0, 0, RETENTION))
            page = self.until(d, "two seconds more",
                              lambda p: p.lag("screen")[1] >= delivery + 2)
        reader = support.Background(lambda: d.child.stdout.read())
        self.until(d, "both", lambda p: p.lag("screen") == p.lag("trail") == (0, 0, RETENTION))
        self.assertEqual(d.stop(), 0, d.stderr())
        reader.finish()

    def locked(self):
        """Somebody else's write lock on the copy."""
        db = sqlite3.connect(self.work("copy.db"), isolation_level=None)
        self.addCleanup(db.close)
        db.execute("BEGIN IMMEDIATE")
        return db

    def broken(self, e, **more):
        """A daemon whose sink `copy` cannot write, and whose `trail` can."""
        copy = {"copy": dict({"type": "sqlite", "from": ["orders"], "path": self.work("copy.db"),
                              "busy-timeout": "50ms", "retry.cap": "100ms", "breaker.open": "2s"},
                             **more)}
        return self.daemon(e.endpoint, dict(self.trail(), **copy))

    def status(self, d, *options, env=None):
        return support.slipring("status", "--admin", "127.0.0.1:%d" % d.port, *options, env=env)

    def test_broken(self):
        """The breaker is open, nothing is held and nothing read: the figures go on."""
        e = self.emulator("--records", 300)
        times = created(e)
        d = self.broken(e)
        done = (0, 0, RETENTION)
        self.until(d, "everything delivered", lambda p: p.lag("copy") == p.lag("trail") == done)
        other = self.locked()
        e.control("put", items=[{"pk": {"S": "new %d" % i}} for i in range(20)])
        put = created(e)[len(times)]
        ages = []
        for _ in range(3):
            page = self.until(d, "the breaker", lambda p: p.one(
                "slipring_sink_state", sink="copy", state="broken") == 1 and p.lag(
                    "trail") == done and (not ages or p.lag("copy")[1] > ages[-1] + 1))
            iterator, delivery, trim = page.lag("copy")
            self.assertEqual(page.one("slipring_sink_held_bytes", sink="copy"), 0)
            self.near(delivery, time.time() - put, 3)
            self.assertGreaterEqual(iterator + 3, delivery)
            self.near(trim, RETENTION - delivery, 0.01)
            ages.append(delivery)
        text = self.status(d)[1]
        self.assertRegex(text, r"(?m)^down +orders +copy .* breaker open, next try in \ds$")
        # Wrapped where the path of the copy says.
        self.assertRegex(text, r"(?m)^copy: sqlite: [^\n]*(\n    [^\n]*)?\blocked")
        other.execute("ROLLBACK")
        page = self.until(d, "the copy", lambda p: p.lag("copy") == p.lag("trail") == done)
        self.assertEqual(page.one("slipring_sink_acked_total", sink="trail"), 320)
        self.assertEqual(other.execute(
            "SELECT count(*) FROM orders WHERE pk LIKE 'new %'").fetchone(), (20,))

    def test_status_for_people(self):
        """The worst first, with the reason, in a hundred columns; colours on a terminal only."""
        e = self.emulator("--records", 300, "--shards", 4)
        e.control("fault", kind="unavailable", target="GetRecords")
        d = self.broken(e, **{"breaker.open": "60s"})
        self.locked()
        e.control("fault", kind="none")
        self.until(d, "the breaker", lambda p: p.one(
            "slipring_sink_state", sink="copy", state="broken") == 1)
        self.until(d, "the trail", lambda p: p.lag("trail") == (0, 0, RETENTION))
        code, text, err = self.status(d, env=dict(support.CLEAN_ENV, NO_COLOR=""))
        self.assertEqual((code, err), (0, ""))
        self.assertNotIn("\033", text)
        self.assertLessEqual(max(map(len, text.splitlines())), 100, text)
        lag = re.search(r"^LAG .*\n((?:.+\n)+?)\n", text, re.M).group(1).splitlines()
        self.assertRegex(lag[0], r"^down +orders +copy +[12]h \d+m +[12]h \d+m +2[23]h \d+m +0 +"
                                 r"breaker open, next try in (1m 0s|\d+s)$")
        self.assertRegex(lag[1], r"^ok +orders +trail +0s +0s +1d 0h +0 +-$")
        self.assertEqual(len(re.findall(r"(?m)^shardId-.* copy .* sink-down$", text)), 4, text)
        doc = json.loads(self.status(d, "--json")[1])
        self.assertEqual([w["sink"] for w in doc["worst"]], ["copy"] * 4)
        self.assertIn("locked", doc["sinks"][1]["why"])
        env = {k: v for k, v in KEYS.items() if k != "NO_COLOR"}
        code, text = support.on_terminal("status", "--admin", "127.0.0.1:%d" % d.port,
                                         env=dict(env, TERM="xterm"))
        self.assertEqual(code, 0, text)
        self.assertIn("\033[31mdown\033[0m", text)


if __name__ == "__main__":
    unittest.main()
