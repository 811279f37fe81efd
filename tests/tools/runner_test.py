#!/usr/bin/python3
"""The runner itself: a runner that counts wrong makes every other test useless."""
import io
import os
import sys
import tempfile
import time
import unittest
from contextlib import redirect_stdout

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from runner import Item, Runner, count_command, count_tap, count_unittest  # noqa: E402


def numbers(r):
    return (r.passed, r.failed, r.skipped)


class Counting(unittest.TestCase):
    def test_tap(self):
        for text, code, want in [
                ("1..2\nok 1 - a\nok 2 - b\n", 0, (2, 0, 0)),
                ("1..2\nok 1 - a\nnot ok 2 - b\n", 1, (1, 1, 0)),
                ("1..2\nok 1 - a\nok 2 # SKIP\n", 0, (1, 0, 1)),
                ("1..2\nok 1 - a\nnot ok 2 # SKIP b\n", 0, (1, 0, 1)),
                ("1..3\nok 1 - a\nSegmentation fault\n", -11, (1, 2, 0)),
                ("1..1\nok 1 - a\n1..1\nok 1 - b\n", 0, (2, 0, 0)),
                ("1..1\nok 1 - a\n", 1, (1, 1, 0)),  # a leak reported at exit
                ("1..0\n", 0, (0, 1, 0)),
                ("", 0, (0, 1, 0))]:
            self.assertEqual(numbers(count_tap(text, code)), want, text)

    def test_unittest(self):
        for text, code, want in [
                ("Ran 3 tests in 0.1s\n\nOK\n", 0, (3, 0, 0)),
                ("Ran 3 tests in 0.1s\n\nOK (skipped=1)\n", 0, (2, 0, 1)),
                ("Ran 4 tests in 0.1s\n\nFAILED (failures=1, errors=1, skipped=1)\n", 1,
                 (1, 2, 1)),
                ("Ran 0 tests in 0.0s\n\nOK\n", 0, (0, 1, 0)),
                ("Ran 3 tests in 0.1s\n\nOK\n", 1, (3, 1, 0)),
                ("Traceback\n", 1, (0, 1, 0))]:
            self.assertEqual(numbers(count_unittest(text, code)), want, text)

    def test_command(self):
        self.assertEqual([numbers(count_command("", c)) for c in (0, 1, 77, -9)],
                         [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 0)])


class Running(unittest.TestCase):
    def run_items(self, *items):
        runner, out = Runner(2), io.StringIO()
        with redirect_stdout(out):
            runner.run("t", items)
        return runner, out.getvalue()

    def test_adds_up_and_shows_only_what_failed(self):
        runner, out = self.run_items(
            Item("good", ["sh", "-c", "echo fine; printf '1..1\\nok 1 - x\\n'"], "tap"),
            Item("bad", ["sh", "-c", "echo the reason; exit 3"], "command"),
            Item("none", ["/nonexistent/program"], "tap"),
            Item("skip", ["sh", "-c", "exit 77"], "command"))
        self.assertEqual(runner.line(), "1 passed, 2 failed, 1 skipped")
        self.assertEqual(runner.promised, ["skip"])
        self.assertIn("the reason", out)
        self.assertNotIn("fine", out)

    def test_ends_what_takes_too_long_with_all_it_started(self):
        with tempfile.TemporaryDirectory() as folder:
            note = os.path.join(folder, "pid")
            begun = time.monotonic()
            runner, out = self.run_items(
                Item("slow", ["sh", "-c", "sleep 60 & echo $! >%s; wait" % note], "command",
                     timeout=1))
            self.assertLess(time.monotonic() - begun, 30)
            self.assertEqual(runner.line(), "0 passed, 1 failed")
            self.assertIn("no result within 1 s", out)
            with open(note, encoding="ascii") as f:
                self.gone(int(f.read()))

    def gone(self, pid):
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                with open("/proc/%d/stat" % pid, encoding="ascii") as f:
                    if f.read().rsplit(")", 1)[1].split()[0] == "Z":
                        return
            except FileNotFoundError:
                return
        self.fail("process %d outlived its test" % pid)

    def test_each_has_a_directory_of_its_own_that_goes(self):
        with tempfile.TemporaryDirectory() as folder:
            note = os.path.join(folder, "n")
            runner, _ = self.run_items(
                Item("tmp", ["sh", "-c", 'touch "$TMPDIR/x"; echo "$TMPDIR" >%s' % note],
                     "command"))
            self.assertEqual(runner.line(), "1 passed, 0 failed")
            with open(note, encoding="utf-8") as f:
                self.assertFalse(os.path.exists(f.read().strip()))


if __name__ == "__main__":
    unittest.main()
