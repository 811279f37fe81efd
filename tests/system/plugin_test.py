#!/usr/bin/env python3
"""Plug-ins in a running daemon, built where nothing of this tree is but the header that
`make install` installs: what passes, what is dropped, what becomes a dead letter, and
each thing that keeps the daemon from starting, in one line."""
import json
import os
import shutil
import stat
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402
from operator_test import KEYS, SIGNED, Emulator  # noqa: E402

ATTRIBUTE = "address.street"  # the emulator makes it a text, a map or nothing
SHOW = 2


class Plugins(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.built = support.Workspace("plugin-built")
        os.mkdir(cls.built("slipring"))
        shutil.copy(os.path.join(support.ROOT, "filters/plugin.h"), cls.built("slipring"))
        for name in ("mask", "bad_record"):
            cls.compile(name)

    @classmethod
    def tearDownClass(cls):
        cls.built.close()

    @classmethod
    def compile(cls, name, *flags, to=None):
        source = cls.built(name + ".c")
        shutil.copy(os.path.join(support.ROOT, "tests/plugin", name + ".c"), source)
        out = cls.built((to or name) + ".so")
        subprocess.run(["gcc", "-std=c99", "-O2", "-fPIC", "-shared", *flags, "-I", cls.built.path,
                        "-o", out, source], check=True, cwd=cls.built.path)
        os.chmod(out, 0o755)
        return out

    def setUp(self):
        self.work = support.Workspace("plugin")
        self.addCleanup(self.work.close)
        self.emulator = Emulator(*SIGNED, "--seed", 11, "--shards", 2, "--records", 1500, "--items",
                                 100, "--table", "orders")
        self.addCleanup(self.emulator.close)

    def events(self):
        return {r["eventID"]: r for stream in self.emulator.control("dump")["streams"]
                for shard in stream["shards"] for r in shard["events"]}

    def write(self, path, more_sinks=None, **options):
        sinks = {"trail": {"type": "audit", "from": ["orders"], "directory": self.work("trail"),
                           "filters": ["mine"]}}
        sinks.update(more_sinks or {})
        return support.config(
            self.work.path, self.emulator.endpoint,
            {"orders": {"table": "orders", "poll.idle": "250ms", "poll.calls": 50}}, sinks,
            filters={"mine": {"type": "plugin", "path": path, "options": options}},
            admin={"listen": "127.0.0.1:%d" % support.free_port()})

    def start(self, path):
        daemon = support.Process([support.SLIPRING, "run", "-c", path], env=KEYS)
        self.addCleanup(daemon.close)
        return daemon

    def sink(self, path):
        code, out, _ = support.slipring("status", "-c", path, "--json")
        return json.loads(out)["sinks"][0] if code == 0 else None

    # ---- what passes ----

    @staticmethod
    def masked(event):
        """The event as the sample is to leave it; None: refused."""
        event = json.loads(json.dumps(event))
        for which in ("NewImage", "OldImage"):
            value = event["dynamodb"].get(which, {}).get(ATTRIBUTE)
            if value is None:
                continue
            if "S" not in value and "N" not in value and "B" not in value:
                return None
            (kind, text), = value.items()
            value[kind] = text if len(text) <= SHOW else "stars"
        return event

    def same(self, entry, event):
        """Is the entry of a trail that event, stars aside?"""
        for name, which in (("new", "NewImage"), ("old", "OldImage")):
            want, have = event["dynamodb"].get(which), entry.get(name)
            if want is None:
                self.assertIsNone(have)
                continue
            have = dict(have)
            (kind, text), = want.get(ATTRIBUTE, {"S": ""}).items()
            if text == "stars":
                (_, shown), = have.pop(ATTRIBUTE).items()
                self.assertRegex(shown, r"(?s)^\*+.{0,%d}$" % SHOW)
                want = {k: v for k, v in want.items() if k != ATTRIBUTE}
            self.assertEqual(have, want)
        self.assertEqual(entry["keys"], event["dynamodb"]["Keys"])

    def test_the_sample(self):
        events = self.events()
        want = {i: self.masked(e) for i, e in events.items()}
        kept = {i: e for i, e in want.items() if e is not None}
        refused = sorted(i for i, e in want.items() if e is None)
        self.assertTrue(refused and kept)
        path = self.write(self.built("mask.so"), attribute=ATTRIBUTE, show=str(SHOW))
        daemon = self.start(path)

        def through():
            s = self.sink(path)
            return s and s["acked"] == len(kept) and s["dead_letters"]["count"] == len(refused)
        support.wait_until("every change to pass", through, patience=120, step=0.2)
        code, out, err = support.slipring("dlq", "list", "-c", path, "--json")
        self.assertEqual(code, 0, err)
        letters = json.loads(out)
        self.assertEqual({x["reason"].split(": ", 1)[-1] for x in letters},
                         {"the attribute to mask is no text"})
        # As they came, before any filter.
        for letter in letters[:3]:
            code, out, err = support.slipring("dlq", "show", str(letter["id"]), "-c", path)
            self.assertEqual(code, 0, err)
            self.assertIn(ATTRIBUTE, out)
        self.assertEqual(daemon.stop(), 0, daemon.stderr())
        log = daemon.stderr()
        self.assertRegex(log, r'module=plugin object=mine msg="ready to mask"')
        self.assertRegex(log, r'module=plugin object=mine msg="mask 1.0 from /')
        found = {}
        for line in support.trail_lines(self.work("trail")):
            entry = json.loads(line)
            found[entry["eventID"]] = entry
        self.assertEqual(sorted(found), sorted(kept))
        stars = 0
        for i, entry in found.items():
            self.same(entry, kept[i])
            stars += "stars" in json.dumps(kept[i])
        self.assertGreater(stars, 50)
        code, _, err = support.slipring("audit", "verify", self.work("trail"))
        self.assertEqual(code, 0, err)

    def test_nonsense_costs_the_record(self):
        for what, reason in (("nonsense", "answered 42, which is no verdict"),
                             ("large", "is none: 5242880 bytes")):
            with self.subTest(what):
                path = self.write(self.built("bad_record.so"), do=what)
                daemon = self.start(path)
                # A thousand in a row are more than the records' fault: the sink is stopped.
                support.wait_until("dead letters", lambda: (self.sink(path) or {
                    "dead_letters": {"count": 0}})["dead_letters"]["count"] > 100,
                    patience=120, step=0.2)
                code, out, err = support.slipring("dlq", "list", "-c", path, "--json")
                self.assertEqual(code, 0, err)
                reasons = {x["reason"] for x in json.loads(out)}
                self.assertTrue(any(reason in r for r in reasons), reasons)
                # A REMOVE has no new image to be replaced.
                self.assertTrue(all(reason in r or "does not have" in r for r in reasons), reasons)
                self.assertTrue(daemon.running())
                self.assertEqual(daemon.stop(), 0, daemon.stderr()[-2000:])
                self.assertEqual(support.trail_lines(self.work("trail")), [])
                shutil.rmtree(self.work("trail"))
                os.unlink(self.work("state.db"))

    # ---- what does not start ----

    def refuses(self, path, *parts, **options):
        config = self.write(path, **options)
        daemon = self.start(config)
        self.assertEqual(daemon.wait(), 78, daemon.stderr())
        lines = [s for s in daemon.stderr().splitlines() if "level=info" not in s]
        self.assertEqual(len(lines), 1, lines)
        for part in ("sink trail: filter mine: ",) + parts:
            self.assertIn(part, lines[0])

    def test_what_is_no_plugin_keeps_it_from_starting(self):
        self.refuses(self.work("none.so"), "none.so: No such file or directory")
        self.refuses(self.work.path, "is no regular file")
        text = self.work("text.so")
        with open(text, "w", encoding="ascii") as f:
            f.write("no shared object\n" * 20)
        os.chmod(text, 0o644)
        self.refuses(text, "text.so: invalid ELF header")
        self.refuses(self.compile("bad_symbol", "-DABI=2", to="abi2"),
                     "was built for ABI 2, this program has ABI 1: build it anew")
        self.refuses(self.compile("bad_symbol", "-DNO_SYMBOL", to="no-symbol"),
                     "has no symbol slipring_plugin")
        self.refuses(self.compile("bad_symbol", "-DNO_APPLY", to="no-apply"), "apply is NULL")
        self.refuses(self.built("mask.so"), "does not open: option \\\"attribute\\\" is missing")
        loose = self.work("loose.so")
        shutil.copy(self.built("mask.so"), loose)
        os.chmod(loose, 0o777)
        self.refuses(loose, "may be written by others than its owner", "chmod go-w")

    def test_check_finds_what_needs_no_loading(self):
        config = self.write("lib/mask.so", attribute="a")
        code, out, err = support.slipring("check", "-c", config)
        self.assertEqual((code, out), (78, ""))
        self.assertRegex(err, r'slipring\.yaml:\d+:\d+: filter "mine": path "lib/mask.so" must be '
                              r'absolute')
        config = self.write(self.built("mask.so"), attribute="a", **{"api-token": "hush"})
        code, out, err = support.slipring("config", "--dump", "-c", config)
        self.assertEqual(code, 0, err)
        self.assertIn("****", out)
        self.assertNotIn("hush", out)

    # ---- the header ----

    def test_the_header_stands_alone(self):
        header = self.built("slipring/plugin.h")
        self.assertFalse(os.stat(header).st_mode & stat.S_IXUSR)
        for cc, std in (("gcc", "c99"), ("gcc", "c17"), ("clang-14", "c11")):
            subprocess.run([cc, "-std=" + std, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-x", "c",
                            "-fsyntax-only", header], check=True)

    def test_the_example_of_the_manual_builds(self):
        with open(os.path.join(support.ROOT, "docs/plugin.md"), encoding="utf-8") as f:
            text = f.read().split("```c\n")[1].split("```")[0]
        with open(self.work("tenant.c"), "w", encoding="utf-8") as f:
            f.write(text)
        so = self.work("tenant.so")
        subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", "-O2", "-fPIC", "-shared", "-I",
                        self.built.path, "-o", so, self.work("tenant.c")], check=True)
        os.chmod(so, 0o755)
        path = self.write(so)
        daemon = self.start(path)
        count = len(self.events())
        support.wait_until("every change to pass", lambda: (self.sink(path) or {}).get(
            "acked") == count, patience=120, step=0.2)
        self.assertEqual(daemon.stop(), 0, daemon.stderr())

    def test_the_filter_of_the_manual_compiles_inside_the_tree(self):
        with open(os.path.join(support.ROOT, "docs/plugin.md"), encoding="utf-8") as f:
            text = f.read().split("```c\n")[2].split("```")[0]
        source = "extern const struct filter_ops filter_newest;\n"
        head, body = text.split('#include "filters/filter.h"\n')
        subprocess.run(["gcc", "-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wpedantic",
                        "-Werror", "-I", support.ROOT, "-fsyntax-only", "-x", "c", "-"], check=True,
                       input=(head + '#include "filters/filter.h"\n' + source + body).encode())


if __name__ == "__main__":
    unittest.main(verbosity=2)
