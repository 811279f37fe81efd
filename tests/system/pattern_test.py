#!/usr/bin/env python3
"""Patterns beyond Lambda's: in a daemon, in tail and in explain, against what Python says of the same
records; and what check has to say about a pattern that is valid and hardly meant."""
import decimal
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402
from operator_test import KEYS, SIGNED, Emulator  # noqa: E402

LEAF = '{"OldImage": {"pk": {"S": [{"exists": false}]}}}'


def attribute(event, image, name):
    return event["dynamodb"].get(image, {}).get(name)


def number(event, image, name):
    value = attribute(event, image, name)
    return None if value is None or "N" not in value else decimal.Decimal(value["N"])


class Patterns(unittest.TestCase):
    def setUp(self):
        self.work = support.Workspace("pattern")
        self.addCleanup(self.work.close)

    def write(self, endpoint, filters, sinks):
        return support.config(self.work.path, endpoint, {"orders": {
            "table": "orders", "poll.idle": "250ms", "poll.calls": 50, "discovery.interval": "1s"}},
            sinks, filters=filters, admin={"listen": "127.0.0.1:%d" % support.free_port()})

    def explain(self, lines, *argv):
        done = subprocess.run([support.SLIPRING, "explain", *argv], input="\n".join(lines).encode(),
                              capture_output=True, timeout=60, check=False)
        return done.returncode, done.stdout.decode().splitlines(), done.stderr.decode()

    def trail(self, name, **more):
        return dict({"type": "audit", "from": ["orders"], "directory": self.work(name)}, **more)

    def ids(self, name):
        return sorted(json.loads(dict(support.members(line))["eventID"])
                      for line in support.trail_lines(self.work(name)))

    def stream(self):
        """A stream, its records, and the number attribute that its updates change."""
        e = Emulator(*SIGNED, "--seed", 11, "--shards", 2, "--records", 2000, "--items", 80,
                     "--split-every", 700, "--table", "orders")
        self.addCleanup(e.close)
        events = [r for stream in e.control("dump")["streams"]
                  for shard in stream["shards"] for r in shard["events"]]
        names = {n for r in events for n, v in r["dynamodb"].get("NewImage", {}).items() if "N" in v}
        moves = {n: sum(1 for r in events if None not in (number(r, "NewImage", n), number(r, "OldImage", n))
                        and number(r, "NewImage", n) > number(r, "OldImage", n)) for n in names}
        name = max(sorted(moves), key=moves.get)
        self.assertGreater(moves[name], 20, moves)
        return e, events, name

    def rising(self, event, name):
        new, old = number(event, "NewImage", name), number(event, "OldImage", name)
        return None not in (new, old) and new > old

    def test_daemon_tail_and_explain_agree(self):
        emulator, events, name = self.stream()
        values = sorted(v for r in events if (v := number(r, "NewImage", name)) is not None)
        level = int(values[len(values) // 2])

        def crossed(r):
            new, old = number(r, "NewImage", name), number(r, "OldImage", name)
            return None not in (new, old) and new >= level > old

        plain = {"event": ["MODIFY"], "new": {name: [{"numeric": [">", {"old": True}]}]}}
        typed = {"dynamodb": {"NewImage": {name: {"N": [{"crossed": [">=", level]}]}}}}
        want = {"rising": sorted(r["eventID"] for r in events if self.rising(r, name)),
                "crossing": sorted(r["eventID"] for r in events if crossed(r))}
        self.assertTrue(want["crossing"])
        path = self.write(
            emulator.endpoint,
            {"up": {"type": "pattern", "plain": True, "pattern": plain},
             "over": {"type": "pattern", "pattern": typed}},
            {"rising": self.trail("rising", filters=["up"]),
             "crossing": self.trail("crossing", filters=["over"])})
        daemon = support.Process([support.SLIPRING, "run", "-c", path], env=KEYS)
        self.addCleanup(daemon.close)

        def through():
            code, out, _ = support.slipring("status", "-c", path, "--json")
            sinks = json.loads(out)["sinks"] if code == 0 else []
            return sinks and all(s["acked"] + s["filtered"] == len(events) for s in sinks)
        support.wait_until("everything to pass", through, patience=120, step=0.2)
        self.assertEqual(daemon.stop(), 0, daemon.stderr())
        for sink, ids in want.items():
            self.assertEqual(self.ids(sink), ids, sink)

        at = ["tail", "orders", "--endpoint", emulator.endpoint, "--region", "us-east-1",
              "--until-idle", "--format", "envelope"]
        code, out, err = support.slipring(*at, "--plain-pattern", json.dumps(plain), env=KEYS)
        self.assertEqual((code, sorted(json.loads(x)["id"] for x in out.splitlines())),
                         (0, want["rising"]), err)
        file = self.work("pattern.json")
        with open(file, "w", encoding="utf-8") as f:
            json.dump(typed, f)
        code, out, err = support.slipring(*at, "--pattern", "@" + file, env=KEYS)
        self.assertEqual((code, sorted(json.loads(x)["id"] for x in out.splitlines())),
                         (0, want["crossing"]), err)

        code, lines, err = self.explain([json.dumps(r) for r in events], "--plain-pattern", json.dumps(plain))
        self.assertEqual((code, err), (1, ""))
        self.assertEqual([a == "match" for a in lines], [self.rising(r, name) for r in events])
        code, lines, err = self.explain([json.dumps(r) for r in events], "--filters", "up,over", "-c", path)
        self.assertEqual((code, err), (1, ""))
        self.assertEqual([a[:15] for a in lines],
                         ["dropped by up" if not self.rising(r, name) else "dropped by over"
                          if not crossed(r) else "kept: " + json.dumps(r)[:9] for r in events])

    def test_a_chain_explained(self):
        path = self.write("http://127.0.0.1:1", {
            "paid": {"type": "pattern", "plain": True, "pattern": {"new": {"status": ["paid"]}}},
            "users": {"type": "pattern", "ttl": "never"}}, {"all": self.trail("all")})

        def record(status, **more):
            return json.dumps(dict({"eventName": "INSERT", "dynamodb": {
                "Keys": {"pk": {"S": "a"}}, "NewImage": {"pk": {"S": "a"}, "status": {"S": status}},
                "SequenceNumber": "1"}}, **more))
        ttl = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
        code, out, err = self.explain(
            [record("paid"), "", record("open"), record("paid", userIdentity=ttl), "{}", "x"],
            "--filters", "paid,users", "-c", path)
        self.assertEqual(out, ["kept: " + record("paid"), "dropped by paid", "dropped by users",
                               "not a record", "not a record"])
        self.assertEqual(code, 1)
        self.assertIn("line 5 is not a record: ", err)
        self.assertIn("line 6 is not a record: not JSON", err)
        self.assertEqual(self.explain([record("paid")], "--filters", "users", "-c", path)[0], 0)
        code, out, err = self.explain([], "--filters", "paid,nobody", "-c", path)
        self.assertEqual((code, out), (78, []))
        self.assertIn('there is no filter "nobody"', err)
        for argv in ([], ["--filters", "paid", "--pattern", '{"a": [1]}', "-c", path],
                     ["--pattern", '{"a": [1]}', "--plain-pattern", '{"event": ["x"]}']):
            self.assertEqual(self.explain([], *argv)[0], 64, argv)

    def test_routes_explained(self):
        arn = "arn:aws:dynamodb:us-east-1:111122223333:table/prod-orders/stream/2026-01-01T00:00:00.000"
        record = json.dumps({"eventName": "INSERT", "dynamodb": {
            "Keys": {"sk": {"S": "b"}, "pk": {"S": "TENANT#1"}}, "SequenceNumber": "1"}})
        for stream in ({"table": "prod-orders"}, {"arn": arn}, {"table": arn.split("/stream")[0]}):
            path = support.config(
                self.work.path, "http://127.0.0.1:1", {"app": stream},
                {"all": dict(self.trail("all"), **{"from": ["app"]})}, filters={
                    "named": {"type": "route", "to": "{table}.{stream}"},
                    "ruled": {"type": "route", "rules": {"TENANT#": "tenants"}, "default": "rest"},
                    "keyed": {"type": "route", "rules": {"TENANT#": "tenants"}, "key": "pk"}})
            for name, want in (("named", '"slipringRoute":"prod-orders.app"'),
                               ("keyed", '"slipringRoute":"tenants"'),
                               ("ruled", "rejected: filter ruled: it has two key attributes")):
                code, out, err = self.explain([record], "--filters", name, "-c", path)
                self.assertEqual((code, len(out)), (1 if name == "ruled" else 0, 1), err)
                self.assertIn(want, out[0])

    def test_check_remarks_on_what_is_hardly_meant(self):
        path = self.write("http://127.0.0.1:1", {
            "created": {"type": "pattern", "pattern": {"dynamodb": {"OldImage": [{"exists": False}]}}},
            "untyped": {"type": "pattern", "pattern": {"dynamodb": {"NewImage": {"status": ["paid"]}}}},
            "meant": {"type": "pattern", "pattern": {"dynamodb": {"OldImage": {
                "pk": {"S": [{"exists": False}]}}, "NewImage": {"n": [{"changed": True}]}}}}},
            {"all": self.trail("all", filters=["created", "untyped"])})
        code, out, err = support.slipring("check", "-c", path)
        self.assertEqual(code, 0)
        self.assertIn("ok, 1 stream, 1 sink", out)
        self.assertEqual(err.count("\n"), 2, err)
        self.assertRegex(err, r'slipring\.yaml:\d+:\d+: filter "created": dynamodb.OldImage: this '
                              r'list always matches')
        self.assertIn(LEAF, err)
        self.assertIn('filter "untyped": dynamodb.NewImage.status: this list never matches', err)
        self.assertIn('{"status": {"S": [...]}}', err)

    def test_mistakes_have_path_and_line(self):
        text = ("streams: {orders: {table: orders, region: eu-west-1}}\n"
                "filters:\n  low:\n    type: pattern\n    plain: yes\n    pattern: %s\n"
                "sinks: {out: {type: stdout, from: [orders], filters: [low]}}\n"
                "checkpoint: {path: %s}\n")
        path = self.work("low.yaml")
        for pattern, why in [
                ('{"new": {"stock": [{"crossed": [10, "<"]}]}}', 'new.stock: "crossed" wants'),
                ('{"old": {"stock": [{"changed": true}]}}', 'old.stock: "changed" compares'),
                ('{"nwe": {"stock": [1]}}', 'nwe: a change has no such member'),
                ('{"new": {"stock": [{"szie": 1}]}}', 'there is no operator "szie"; did you mean "size"?')]:
            with open(path, "w", encoding="utf-8") as f:
                f.write(text % (pattern, self.work("state.db")))
            code, out, err = support.slipring("check", "-c", path)
            self.assertEqual((code, out), (78, ""), err)
            self.assertRegex(err, r'low\.yaml:[34]:\d+: filter "low": pattern: ')
            self.assertIn(why, err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
