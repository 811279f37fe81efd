#!/usr/bin/python3
"""Plants known faults, one at a time; each must be found.

usage: mutants.py [NAME ...]       (all of tests/mutants/ without a name)

A mutant is tests/mutants/NAME.patch, a patch with lines before it:

  Fault: what is wrong now, in one sentence
  Test: unit NAME_test            or    Test: sim 1..1000

They are planted in a copy of the tree, so that nothing is left behind in ours.
A test that is red without any fault proves nothing: that is looked at first.
"""
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

ROOMS = ("base", "record", "streams", "filters", "sinks", "checkpoint", "pipeline", "daemon",
         "tests", "Makefile")
TIMEOUT = {"unit": 120, "sim": 900}


class Mutant:
    def __init__(self, path):
        self.path = os.path.abspath(path)
        self.name = os.path.basename(path)[:-len(".patch")]
        with open(path, encoding="utf-8") as f:
            head = f.read().split("\n--- ", 1)[0]
        fault = re.search(r"^Fault: (.+)$", head, re.M)
        test = re.search(r"^Test: (unit|sim) (\S+)$", head, re.M)
        if not fault or not test:
            sys.exit("mutants: %s lacks a Fault or Test line" % path)
        self.fault, self.kind, self.what = fault.group(1), test.group(1), test.group(2)

    def goal(self):
        return "build/tests/sim/sim" if self.kind == "sim" else "build/tests/unit/" + self.what

    def command(self):
        if self.kind == "sim":
            return [self.goal(), "--seeds", self.what, "--jobs", str(os.cpu_count() or 1)]
        return [self.goal()]


def build(tree, mutant):
    done = subprocess.run(["make", "-j%d" % (os.cpu_count() or 1), "CFLAGS=-O1", mutant.goal()],
                          cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit("mutants: %s does not build:\n%s" % (mutant.name, done.stderr[-3000:]))


def is_red(tree, mutant):
    """And in what: the first words that say so."""
    tmp = tempfile.mkdtemp(prefix="slipring.")
    out = open(os.path.join(tmp, "output"), "w+b")
    child = subprocess.Popen(mutant.command(), cwd=tree, stdin=subprocess.DEVNULL, stdout=out,
                             stderr=out, env=dict(os.environ, TMPDIR=tmp),
                             start_new_session=True)
    try:
        code = child.wait(TIMEOUT[mutant.kind])
    except subprocess.TimeoutExpired:
        code = -1
    finally:
        try:
            os.killpg(child.pid, 9)
        except ProcessLookupError:
            pass
        child.wait()
    out.seek(0)
    text = out.read().decode("utf-8", "replace")
    out.close()
    shutil.rmtree(tmp, ignore_errors=True)
    m = re.search(r"^(?:\[  FAILED  \] (?!\d)|seed \d+: ).*$|Assertion.*", text, re.M)
    return code != 0, m.group(0) if m else "exit status %d" % code


def patch(tree, mutant, *options):
    done = subprocess.run(["patch", "-p1", "-s", "--no-backup-if-mismatch", "-i", mutant.path,
                           *options], cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit("mutants: %s no longer fits the code it breaks; mend the patch:\n%s"
                 % (mutant.name, done.stdout + done.stderr))


def copy_tree(to):
    for room in ROOMS:
        if os.path.isdir(room):
            shutil.copytree(room, os.path.join(to, room))
        elif os.path.exists(room):
            shutil.copy2(room, to)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` ends the child
    paths = ["tests/mutants/%s.patch" % n for n in sys.argv[1:]]
    mutants = [Mutant(p) for p in paths or sorted(glob.glob("tests/mutants/*.patch"))]
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="slipring-mutants.") as tree:
        copy_tree(tree)
        for mutant in {m.goal() + m.what: m for m in mutants}.values():
            build(tree, mutant)
            red, why = is_red(tree, mutant)
            if red:
                sys.exit("mutants: %s %s is red without any fault: %s"
                         % (mutant.kind, mutant.what, why))
        for mutant in mutants:
            patch(tree, mutant)
            build(tree, mutant)
            red, why = is_red(tree, mutant)
            patch(tree, mutant, "-R")
            passed, failed = passed + red, failed + (not red)
            print("  %-9s %s: %s\n            %s %s: %s" % (
                "found" if red else "NOT FOUND", mutant.name, mutant.fault, mutant.kind,
                mutant.what, why if red else "green"), flush=True)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
    sys.exit(main())
