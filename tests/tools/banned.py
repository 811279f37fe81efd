#!/usr/bin/python3
"""Refuses calls of functions that tests/banned.txt names; the format is said there.

usage: banned.py [TREE]

Looks at C with comments and strings taken out, so that only code counts: a call
is the name, not a member of something, before a parenthesis; at the start of a
line it is a definition, as in a test that stands in for libc. A mark that excuses
nothing is an error too. Plants calls before it says that there are none.
"""
import os
import re
import sys

ROOMS = ("base", "record", "streams", "filters", "sinks", "checkpoint", "pipeline", "daemon",
         "tests", "bench")
TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
MARK = re.compile(r"banned-ok:\s*(\w+):\s*[^*\s]")


def read_list(text):
    rules = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            head, _, why = line.partition(":")
            name, *allowed = head.split()
            if not why.strip():
                sys.exit("banned.txt: %s has no reason" % name)
            rules[name] = (tuple(allowed), why.strip())
    return rules


def strip(text):
    """Comments and literals become blanks; lines stay where they are."""
    return TOKEN.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)


def look(path, text, rules):
    call = re.compile(r"(?<=[^\w.>])(%s)\s*\(" % "|".join(map(re.escape, rules)))
    marks = {}
    for n, line in enumerate(text.splitlines(), 1):
        for m in MARK.finditer(line):
            marks[(n, m.group(1))] = False
    for n, line in enumerate(strip(text).splitlines(), 1):
        for m in call.finditer(line):
            name = m.group(1)
            allowed, why = rules[name]
            if any(path == a or (a.endswith("/") and path.startswith(a)) for a in allowed):
                continue
            at = next((k for k in ((n, name), (n - 1, name)) if k in marks), None)
            if at is not None:
                marks[at] = True
            else:
                yield "%s:%d: %s(): %s" % (path, n, name, why)
    for (n, name), used in marks.items():
        if not used:
            yield "%s:%d: nothing here needs the mark for %s" % (path, n, name)


PLANTED = [
    ("x = time(NULL);", True),
    ("int\ngetaddrinfo(\n    const char *node)", False),
    ("\tsystem (cmd);", True),
    ("x = a ? sprintf(b, c) : 0;", True),
    ("p->time(x); q.random(); my_time(2); timeout(3); random_below(4);", False),
    ("/* time(NULL) */ \"system(\\\"\" // rand()\n", False),
    ("\tsleep(1); /* banned-ok: sleep: shown here */", False),
    ("/* banned-ok: sleep: shown here */\n\tsleep(1);", False),
    ("/* banned-ok: sleep: */\n\tsleep(1);", True),
    ("/* banned-ok: usleep: wrong name */\n\tsleep(1);", True),
    ("/* banned-ok: sleep: of no use */\nx = 1;", True),
]


def self_test(rules):
    for code, bad in PLANTED:
        if bool(list(look("base/planted.c", code, rules))) != bad:
            sys.exit("banned: blind: %r should be %s" % (code, "refused" if bad else "allowed"))


def main():
    tree = sys.argv[1] if len(sys.argv) > 1 else "."
    with open(os.path.join(tree, "tests/banned.txt"), encoding="utf-8") as f:
        rules = read_list(f.read())
    self_test(rules)
    found, count = [], 0
    for room in ROOMS:
        for folder, _, files in os.walk(os.path.join(tree, room)):
            for name in sorted(files):
                if name.endswith((".c", ".h")):
                    path = os.path.relpath(os.path.join(folder, name), tree)
                    count += 1
                    with open(os.path.join(tree, path), encoding="utf-8") as f:
                        found += look(path, f.read(), rules)
    for line in found:
        print(line)
    print("banned: %d files, %d rules, %d violations" % (count, len(rules), len(found)))
    return 1 if found or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
