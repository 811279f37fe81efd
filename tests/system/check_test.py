#!/usr/bin/env python3
"""`slipring check --connect` against the emulator: a line for everything that is
looked at, all that is wrong in one run, the missing permission by its name.
"""
import json
import os
import re
import socket
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402
from operator_test import Emulator, KEYS  # noqa: E402

LINE = re.compile(r"^(ok  |note|bad )  ([^:]+): (.+)$")


class Case(unittest.TestCase):
    def setUp(self):
        self.work = support.Workspace("check")
        self.addCleanup(self.work.close)

    def emulator(self, *options):
        e = Emulator(*options)
        self.addCleanup(e.close)
        return e

    def config(self, endpoint, streams=("orders",), **extra):
        return support.config(
            self.work.path, endpoint, {s: {"table": s} for s in streams},
            {"trail-" + s: {"type": "audit", "from": [s], "directory": self.work("trail-" + s)}
             for s in streams}, **extra)

    def check(self, path):
        """(exit code, [(kind, about, text)])"""
        code, out, err = support.slipring("check", "--connect", "-c", path, env=KEYS)
        self.assertEqual(err, "")
        lines = out.splitlines()
        if code == 0:
            self.assertRegex(lines.pop(), r": ok, \d+ streams?, \d+ sinks?$")
        found = [LINE.match(line) for line in lines]
        self.assertTrue(all(found), out)
        found = [(m.group(1).strip(), m.group(2), m.group(3)) for m in found]
        self.assertEqual(code != 0, "bad" in [kind for kind, _, _ in found], out)
        return code, found

    def bad(self, found):
        return [(about, text) for kind, about, text in found if kind == "bad"]


class Check(Case):
    def test_all_is_well(self):
        e = self.emulator("--records", 10, "--shards", 2)
        code, found = self.check(self.config(e.endpoint))
        self.assertEqual((code, [(k, a) for k, a, _ in found]),
                         (0, [("ok", "stream orders"), ("ok", "stream orders"),
                              ("ok", "sink trail-orders"), ("ok", "store"), ("ok", "admin port")]))
        self.assertIn("credentials environment, region us-east-1, " + e.endpoint, found[0][2])
        self.assertEqual("table orders, view NEW_AND_OLD_IMAGES, 2 shards", found[1][2])

    def test_filters_that_do_not_suit_a_stream(self):
        e = self.emulator("--view", "NEW_IMAGE")
        filters = {"quiet": {"type": "dedupe-unchanged"},
                   "names": {"type": "rename", "attributes": {"total": "sum", "pk": "key"}},
                   "mark": {"type": "set", "attributes": {"pk": {"S": "x"}}},
                   "well": {"type": "set", "attributes": {"total": {"S": "x"}}}}
        path = support.config(
            self.work.path, e.endpoint, {"orders": {"table": "orders"}},
            {"trail": {"type": "audit", "from": ["orders"], "directory": self.work("trail"),
                       "filters": list(filters)}}, filters=filters)
        code, found = self.check(path)
        self.assertEqual(code, 78)
        key = "is a key attribute, which cannot be %s: it says which item this is"
        self.assertEqual(self.bad(found), [
            ("sink trail", "filter quiet, stream orders: it compares both images, and a stream of "
             "view type NEW_IMAGE does not have them; it must be NEW_AND_OLD_IMAGES"),
            ("sink trail", "filter names, stream orders: pk " + key % "renamed"),
            ("sink trail", "filter mark, stream orders: pk " + key % "set")])

    def test_views_that_leave_something_out(self):
        for view in ("KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE"):
            e = self.emulator("--view", view)
            code, found = self.check(self.config(e.endpoint))
            self.assertEqual(code, 0)
            self.assertTrue(any(k == "note" and view in text for k, _, text in found), found)

    def test_a_missing_permission_is_named(self):
        stream = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/*"
        for call, arn in (("DescribeTable", "arn:aws:dynamodb:us-east-1:*:table/orders "),
                          ("ListStreams", stream), ("DescribeStream", stream),
                          ("GetShardIterator", stream), ("GetRecords", stream)):
            with self.subTest(call):
                e = self.emulator("--records", 10)
                e.control("fault", kind="access-denied", target=call)
                code, found = self.check(self.config(e.endpoint))
                ((about, text),) = self.bad(found)
                self.assertEqual((code, about), (1, "stream orders"))
                self.assertIn("allow dynamodb:%s on %s" % (call, arn), text)

    def test_a_passing_trouble_is_no_verdict(self):
        e = self.emulator("--records", 10)
        e.control("fault", kind="throttle", target="GetRecords")
        code, found = self.check(self.config(e.endpoint))
        self.assertEqual(code, 0)
        self.assertIn(("note", "GetRecords could not be tried"),
                      [(k, text.split(":")[0]) for k, _, text in found])

    def test_all_that_is_wrong_is_said(self):
        e = self.emulator("--records", 10)
        with open(self.work("plain"), "w", encoding="ascii") as f:
            f.write("a file, not a directory")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            port = s.getsockname()[1]
            path = self.config(e.endpoint, ("orders", "missing"),
                               admin={"listen": "127.0.0.1:%d" % port},
                               checkpoint={"path": self.work("plain", "state.db")})
            with open(path, encoding="utf-8") as f:
                whole = json.load(f)
            whole["sinks"]["trail-orders"]["directory"] = self.work("plain", "trail")
            with open(path, "w", encoding="utf-8") as f:
                json.dump(whole, f)
            hangs_up = support.Background(lambda: s.accept()[0].close())
            code, found = self.check(path)
            hangs_up.finish()
        bad = dict(self.bad(found))
        self.assertEqual((code, list(bad)),
                         (78, ["stream missing", "sink trail-orders", "store", "admin port"]))
        self.assertIn('no table "missing"', bad["stream missing"])
        self.assertIn("plain/trail", bad["sink trail-orders"])
        self.assertIn("plain", bad["store"])
        self.assertIn("port %d: Address already in use" % port, bad["admin port"])

    def test_a_running_daemon_may_have_the_port(self):
        e = self.emulator("--records", 10)
        port = support.free_port()
        path = self.config(e.endpoint, admin={"listen": "127.0.0.1:%d" % port})
        d = support.Process([support.SLIPRING, "run", "-c", path], env=KEYS)
        self.addCleanup(d.close)
        support.wait_until("the daemon", lambda: "listening" in d.stderr())
        code, found = self.check(path)
        self.assertEqual(code, 0, found)
        self.assertIn(("note", "admin port", "127.0.0.1 port %d: a slipring runs there, pid %d"
                       % (port, d.child.pid)), found)
        self.assertEqual(d.stop(), 0)

    def test_colours_on_a_terminal_only(self):
        e = self.emulator("--view", "KEYS_ONLY")
        argv = ["check", "--connect", "-c", self.config(e.endpoint)]
        plain = {k: v for k, v in KEYS.items() if k != "NO_COLOR"}
        for env, coloured in ((dict(plain, TERM="xterm"), True), (dict(plain, TERM="dumb"), False),
                              (dict(KEYS, TERM="xterm"), False)):
            code, out = support.on_terminal(*argv, env=env)
            self.assertEqual(code, 0, out)
            self.assertEqual("\033[32mok  \033[0m" in out, coloured, out)
            self.assertEqual("\033[33mnote\033[0m" in out, coloured, out)
            self.assertEqual("\033" in out, coloured, out)


if __name__ == "__main__":
    unittest.main()
