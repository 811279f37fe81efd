"""Runs tests side by side and counts them. Used by check.py; no test framework
of its own, only an understanding of what the tests print:

  a program        cmocka, told to speak TAP; a test that the plan names and that
                   did not report (a crash) counts as failed
  FILE_test.py     unittest's summary; other Python and shell scripts count as one
                   test: exit 0 passed, 77 skipped, else failed

Each item has a process group and a temporary directory (TMPDIR) of its own and a
time limit; what outlives its limit or its parent is ended through that group.
"""
import concurrent.futures
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

SKIPPED = 77


class Item:
    def __init__(self, name, argv, kind, timeout=120, env=None):
        self.name, self.argv, self.kind = name, argv, kind
        self.timeout, self.env = timeout, env or {}
        self.may_skip = None  # words of an output whose skips are none of our business


class Result:
    def __init__(self, passed=0, failed=0, skipped=0, note=""):
        self.passed, self.failed, self.skipped, self.note = passed, failed, skipped, note


def count_tap(output, code):
    planned = sum(int(n) for n in re.findall(r"^1\.\.(\d+)", output, re.M))
    lines = re.findall(r"^(?:not )?ok \d+.*$", output, re.M)
    skipped = sum(1 for s in lines if re.search(r"# SKIP", s, re.I))  # cmocka: "not ok"
    passed = sum(1 for s in lines if s.startswith("ok") and not re.search(r"# SKIP", s, re.I))
    bad = len(lines) - passed - skipped
    # What was planned and never reported died on the way.
    failed = bad + max(planned - len(lines), 0)
    if failed == 0 and (code != 0 or planned == 0):
        failed = 1
    return Result(passed, failed, skipped)


def count_unittest(output, code):
    ran = re.findall(r"^Ran (\d+) tests? in", output, re.M)
    if not ran:
        return Result(0, 0, 1) if code == SKIPPED else Result(0, 1, 0)
    end = re.findall(r"^(?:OK|FAILED)(?: \((.*)\))?$", output, re.M)
    n = {k: int(v) for k, v in re.findall(r"(\w[\w ]*)=(\d+)", end[-1] if end else "")}
    failed = n.get("failures", 0) + n.get("errors", 0) + n.get("unexpected successes", 0)
    skipped = n.get("skipped", 0)
    passed = max(int(ran[-1]) - failed - skipped, 0)
    if failed == 0 and (code != 0 or not end or passed + skipped == 0):
        failed = 1
    return Result(passed, failed, skipped)


def count_command(_output, code):
    return Result(int(code == 0), int(code not in (0, SKIPPED)), int(code == SKIPPED))


COUNT = {"tap": count_tap, "unittest": count_unittest, "command": count_command}


def of_path(path, **more):
    """The item for a test file, by what it is."""
    name = path
    if path.endswith("_test.py"):
        return Item(name, ["/usr/bin/python3", path, "-v"], "unittest", **more)
    if path.endswith(".py"):
        return Item(name, ["/usr/bin/python3", path], "command", **more)
    if path.endswith(".sh"):
        return Item(name, ["sh", path], "command", **more)
    return Item(name, [path], "tap", **more)


class Runner:
    def __init__(self, jobs=None):
        self.jobs = jobs or os.cpu_count() or 1
        self.lock = threading.Lock()
        self.children = set()
        self.stopping = False
        self.passed = self.failed = self.skipped = 0
        self.done = []  # (title, passed, failed, skipped, seconds)
        self.services = ""  # a line on the real services that ran
        self.promised = []  # names of items that skipped and may not

    def stop(self):
        """Ends what we started, and lets nothing new start."""
        with self.lock:
            self.stopping = True
            for child in self.children:
                self._end_group(child.pid)

    @staticmethod
    def _end_group(group):
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def _start(self, item, out, tmp):
        env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP", TMPDIR=tmp, **item.env)
        with self.lock:
            if self.stopping:
                raise OSError("stopped")
            child = subprocess.Popen(item.argv, stdin=subprocess.DEVNULL, stdout=out,
                                     stderr=subprocess.STDOUT, env=env, start_new_session=True)
            self.children.add(child)
        return child

    def _run(self, item):
        begun = time.monotonic()
        tmp = tempfile.mkdtemp(prefix="slipring.")
        os.chmod(tmp, 0o711)  # PostgreSQL runs as somebody else below it
        why = ""
        with tempfile.TemporaryFile() as out:
            try:
                child = self._start(item, out, tmp)
            except OSError as e:
                shutil.rmtree(tmp, ignore_errors=True)
                return item, Result(0, 1), "cannot run %s: %s\n" % (item.argv[0], e), 0.0
            try:
                code = child.wait(item.timeout)
            except subprocess.TimeoutExpired:
                why = "\n(ended: no result within %d s)\n" % item.timeout
                code = -1
            self._end_group(child.pid)
            child.wait()
            with self.lock:
                self.children.discard(child)
            out.seek(0)
            text = out.read().decode("utf-8", "replace") + why
        shutil.rmtree(tmp, ignore_errors=True)
        result = COUNT[item.kind](text, code)
        if why and result.failed == 0:
            result.failed = 1
        if code not in (0, SKIPPED):
            text += "\n(exit status %d)\n" % code
        return item, result, text, time.monotonic() - begun

    def run(self, title, items, jobs=None, show=False):
        """All items, `jobs` at a time; True if none failed. show: output in full."""
        begun = time.monotonic()
        total = [0, 0, 0]
        print("== %s" % title, flush=True)
        with concurrent.futures.ThreadPoolExecutor(jobs or self.jobs) as pool:
            for future in concurrent.futures.as_completed(
                    [pool.submit(self._run, i) for i in items]):
                item, r, text, seconds = future.result()
                self._say(item, r, text, seconds, show)
                if r.skipped and not (item.may_skip and item.may_skip in text):
                    self.promised.append(item.name)
                total = [total[0] + r.passed, total[1] + r.failed, total[2] + r.skipped]
        self.add(title, *total, time.monotonic() - begun)
        return total[1] == 0

    @staticmethod
    def _say(item, r, text, seconds, show):
        word = "FAIL" if r.failed else "skip" if r.skipped and not r.passed else "ok"
        n = r.passed + r.failed + r.skipped
        print("  %-4s %s (%d test%s, %.1f s)" % (word, item.name, n, "" if n == 1 else "s",
                                                 seconds))
        if r.failed or r.skipped or show:
            lines = text.rstrip().splitlines()
            if r.failed and len(lines) > 200:
                lines = lines[:60] + ["(... %d lines ...)" % (len(lines) - 200)] + lines[-140:]
            if r.skipped and not r.failed:
                lines = [line for line in lines if "skip" in line.lower()][:10]
            for line in lines:
                print("       " + line)
        sys.stdout.flush()

    def add(self, title, passed, failed, skipped=0, seconds=0.0):
        self.done.append((title, passed, failed, skipped, seconds))
        self.passed += passed
        self.failed += failed
        self.skipped += skipped

    def summary(self):
        print("== what ran")
        for title, passed, failed, skipped, seconds in self.done:
            print("  %-34s %5d passed %3d failed %3d skipped %7.1f s"
                  % (title, passed, failed, skipped, seconds))

    def line(self):
        text = "%d passed, %d failed" % (self.passed, self.failed)
        return text + (", %d skipped" % self.skipped if self.skipped else "")
