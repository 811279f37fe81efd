#!/usr/bin/python3
"""Proves that rooms include only downwards (docs/architecture.md).

usage: layers.py [TREE]

A room is a folder with a floor. A file may include its own room and rooms of
lower floors; two rooms of one floor do not know each other. Includes name the
room ("room/file.h"), private headers (x_priv.h) stay inside it, and the program
knows nothing of tests/ and bench/, which may know everything. Plants violations
in a copy of its own before it says that there are none.
"""
import os
import re
import sys
import tempfile

FLOORS = {"base": 0, "record": 1, "streams": 2, "filters": 2, "sinks": 2, "checkpoint": 2,
          "pipeline": 3, "daemon": 4}
OUTSIDE = ("tests", "bench")
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')


def sources(tree):
    for room in sorted(FLOORS) + list(OUTSIDE):
        for folder, _, files in os.walk(os.path.join(tree, room)):
            for name in sorted(files):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(folder, name), tree)


def verdict(path, target):
    """Why path may not include target; None if it may."""
    room, to = path.split("/")[0], target.split("/")[0]
    if "/" not in target:
        return "say which room it is in"
    if room in OUTSIDE:
        return None
    if to in OUTSIDE:
        return "the program does not know its tests"
    if to not in FLOORS:
        return "there is no room %s" % to
    if room == to:
        return None
    if target.endswith("_priv.h"):
        return "private to %s" % to
    if FLOORS[to] == FLOORS[room]:
        return "rooms of floor %d do not know each other" % FLOORS[room]
    if FLOORS[to] > FLOORS[room]:
        return "floor %d is above floor %d" % (FLOORS[to], FLOORS[room])
    return None


def check(tree):
    found, count = [], 0
    for path in sources(tree):
        count += 1
        with open(os.path.join(tree, path), encoding="utf-8") as f:
            for n, line in enumerate(f, 1):
                m = INCLUDE.match(line)
                if not m:
                    continue
                why = verdict(path, m.group(1))
                if why is None and not os.path.exists(os.path.join(tree, m.group(1))):
                    why = "no such file"
                if why is not None:
                    found.append("%s:%d: includes %s: %s" % (path, n, m.group(1), why))
    return found, count


PLANTED = [
    # (file, include, is it a violation?)
    ("base/a.c", "record/x.h", True),
    ("record/a.c", "base/x.h", False),
    ("record/a.c", "sinks/x.h", True),
    ("sinks/a.c", "streams/x.h", True),
    ("checkpoint/a.c", "filters/x.h", True),
    ("checkpoint/a.c", "checkpoint/x_priv.h", False),
    ("pipeline/a.c", "checkpoint/x_priv.h", True),
    ("pipeline/a.c", "sinks/x.h", False),
    ("pipeline/a.c", "daemon/x.h", True),
    ("daemon/a.c", "pipeline/x.h", False),
    ("daemon/a.c", "tests/x.h", True),
    ("daemon/a.c", "x.h", True),
    ("daemon/a.c", "attic/x.h", True),
    ("daemon/a.c", "base/none.h", True),
    ("tests/unit/a.c", "daemon/x.h", False),
]


def self_test():
    for path, target, bad in PLANTED:
        with tempfile.TemporaryDirectory() as tree:
            for name in (path, target):
                if name == "base/none.h":
                    continue
                os.makedirs(os.path.join(tree, os.path.dirname(name)), exist_ok=True)
                with open(os.path.join(tree, name), "w", encoding="utf-8") as f:
                    f.write('#include "%s"\n' % target if name == path else "")
            if bool(check(tree)[0]) != bad:
                sys.exit("layers: blind: %s including %s should be %s"
                         % (path, target, "refused" if bad else "allowed"))


def main():
    tree = sys.argv[1] if len(sys.argv) > 1 else "."
    self_test()
    found, count = check(tree)
    for line in found:
        print(line)
    if count == 0:
        sys.exit("layers: no sources in %s" % tree)
    print("layers: %d files, %d violations" % (count, len(found)))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
