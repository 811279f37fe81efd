#!/usr/bin/python3
"""What the check targets of the Makefile run, and the count at the end.

usage: check.py fast|unit|sim|system|asan|tsan|all [--build DIR] [--seeds A..B]

all, asan and tsan build trees of their own below DIR, with -Werror; the others
use what make has built in DIR. The last line is
"N passed, N failed[, N skipped]", also left in build/check.summary. What was
promised and is missing or skipped is a failure, unless SKIP_SERVICES=1 says that
the real services are not to be had.
"""
import argparse
import glob
import os
import re
import signal
import subprocess
import sys
import time

from runner import Item, Runner, of_path

SEEDS_FAST = "1..300"
SEEDS_ASAN = "1..100"
SEEDS_ALL = "1..4000"
# With threads of their own; the rest has nothing for ThreadSanitizer to find.
THREADED = ("store_test", "store_damage_test", "audit*_test", "sqlite*_test", "kafka_reaper_test",
            "log_test", "loop_test")
# A system test that names one of these (tests/system/support.py and services.py) needs
# a real service.
SERVICES = ("DynamoDBLocal", "services.DynamoDB", "services.Kafka", "services.Postgres",
            "services.OpenSearch")
SKIP_SERVICES = os.environ.get("SKIP_SERVICES") == "1"
# Test vectors that are not ours to hand on lie beside some trees, not in them; what
# does not find them says this word. Whoever sets it promises that they are there.
SHARED = "SLIPRING_SHARED"


def make(runner, title, build, *arguments, **variables):
    """A build with our own flags, whatever those of the make around us."""
    env = {k: v for k, v in os.environ.items()
           if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "CFLAGS", "CC", "O")}
    command = ["make", "--no-print-directory", "-j%d" % runner.jobs, "O=" + build, "WERROR=1"]
    command += ["%s=%s" % v for v in variables.items()] + list(arguments)
    print("== build: %s" % title, flush=True)
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    if done.returncode != 0:
        lines = [s for s in done.stdout.splitlines() if not re.match(r"  (CC|LD|AR)  ", s)]
        print("\n".join(lines[-80:]))
    runner.add("build: " + title, int(done.returncode == 0), int(done.returncode != 0))
    return done.returncode == 0


def run(runner, title, items, **more):
    """Nothing to run is a failure: a test that went missing must not look green."""
    if items:
        runner.run(title, items, **more)
    else:
        print("== %s\n  FAIL nothing to run" % title)
        runner.add(title, 0, 1)


def style(runner, _build=None):
    files = sorted(f for room in ("base", "record", "streams", "filters", "sinks", "checkpoint",
                                  "pipeline", "daemon", "tests", "bench")
                   for f in glob.glob(room + "/**/*.[ch]", recursive=True))
    format_all = ["clang-format-14", "--dry-run", "-Werror"] + files
    run(runner, "style", [
        Item("format (make format mends it)", format_all, "command"),
        Item("layers", ["/usr/bin/python3", "tests/tools/layers.py"], "command"),
        Item("banned words", ["/usr/bin/python3", "tests/tools/banned.py"], "command"),
        Item("runner", ["/usr/bin/python3", "tests/tools/runner_test.py"], "unittest"),
    ])


def unit_sources(names):
    """A program left over from a removed test does not count; one not built does."""
    return sorted({s for n in names for s in glob.glob("tests/unit/%s.c" % n)})


def unit(runner, build, title="unit", names=("*_test",)):
    items = [of_path(os.path.join(build, s[:-2]), timeout=300) for s in unit_sources(names)]
    for item in items:
        item.may_skip = None if SHARED in os.environ else SHARED
    run(runner, title, items)


def sim_item(build, seeds, jobs, timeout=1500):
    m = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", seeds)
    if not m:
        sys.exit("check: SEEDS is A..B, not %r" % seeds)
    want = int(m.group(2) or m.group(1)) - int(m.group(1)) + 1
    # The shell part refuses a simulator that ran fewer than it was asked to.
    script = ('"$0" --seeds %s --jobs %d >"$TMPDIR/out" 2>&1; rc=$?; cat "$TMPDIR/out";'
              ' [ $rc -eq 0 ] && grep -Eq "(^|[^0-9])%d seeds" "$TMPDIR/out"'
              % (seeds, jobs, want))
    return Item("seeds " + seeds, ["sh", "-c", script, os.path.join(build, "tests/sim/sim")],
                "command", timeout=timeout)


def sim(runner, build, seeds, title="simulator"):
    program = os.path.join(build, "tests/sim/sim")
    run(runner, title, [Item("self-test", [program, "--self-test"], "command")])
    run(runner, title + " " + seeds, [sim_item(build, seeds, runner.jobs)], show=True)


def idle(runner, build):
    program = os.path.join(build, "tests/sim/sim")
    argv = [program, "--idle", "10000", "--minutes", "10"]
    run(runner, "10,000 idle shards", [Item("idle", argv, "command", timeout=300)], show=True)
    argv = [program, "--outage", "12"]
    run(runner, "12 hours of outage", [Item("outage", argv, "command", timeout=300)], show=True)


def environment(build):
    return {"SLIPRING": os.path.abspath(os.path.join(build, "slipring")),
            "EMULATOR": os.path.abspath(os.path.join(build, "tests/emulator/emulator")),
            "SLIPRING_BUILD": os.path.abspath(build)}


def emulator(runner, build, title="emulator"):
    run(runner, title, [of_path("tests/system/emulator_test.py", timeout=300,
                                env=environment(build))])


def signer(runner, build):
    run(runner, "signer against botocore", [
        Item("1,000 random requests", ["/usr/bin/python3", "tests/tools/sigv4_botocore.py",
                                       os.path.join(build, "tests/tools/sign_cli")], "command")])


class Services:
    """The real ones, started together by a process of their own that stops them when our
    end of its standard input closes: even if we are killed."""

    def __init__(self):
        self.child = None
        self.environment, self.names = {}, []

    def start(self):
        self.child = subprocess.Popen(
            ["/usr/bin/python3", "tests/system/services.py", "--leash"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, start_new_session=True)
        for line in self.child.stdout:
            m = re.match(r"export (\w+)='(.*)'  # (.*)", line)
            if m:
                self.environment[m.group(1)] = m.group(2)
                self.names.append(m.group(3))
            elif line.startswith("# ready"):
                return True
        return False  # it has said why on standard error

    def stop(self):
        if self.child is not None:
            self.child.stdin.close()
            self.child.wait()
            self.child.stdout.close()
            self.child = None


def needs_service(path):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    return any(re.search(r"\b%s\b" % re.escape(name), text) for name in SERVICES)


def with_services(runner, paths, build):
    begun = time.monotonic()
    services = Services()
    print("== services", flush=True)
    try:
        up = services.start()
        runner.add("services", int(up), int(not up), 0, time.monotonic() - begun)
        if up:
            runner.services = "services: " + ", ".join(services.names)
            env = dict(environment(build), **services.environment)
            run(runner, "system", [of_path(p, timeout=1200, env=env) for p in paths])
    finally:
        services.stop()


def system(runner, build):
    paths = [p for p in sorted(glob.glob("tests/system/*_test.py"))
             if not p.endswith("/emulator_test.py")]
    if not SKIP_SERVICES:
        return with_services(runner, paths, build)
    left_out = [p for p in paths if needs_service(p)]
    for p in left_out:
        print("  skip %s: needs a real service, and SKIP_SERVICES=1" % p)
    runner.add("system, real services", 0, 0, len(left_out))
    runner.services = "services: none (SKIP_SERVICES=1); left out: " + ", ".join(left_out)
    return run(runner, "system", [of_path(p, timeout=1200, env=environment(build))
                                  for p in paths if p not in left_out])


def install(runner, build):
    run(runner, "install", [Item("install, keep, uninstall",
                                 ["sh", "tests/tools/install_test.sh", build], "command")])


def asan(runner, root):
    build = os.path.join(root, "asan")
    if make(runner, "ASan and UBSan", build, "all", "tests", CC="gcc", SAN="address,undefined"):
        # The sanitizers look at the way, which a fifth of the pages takes too.
        pages = os.environ.get("PAGES")
        os.environ["PAGES"] = pages or "20000"
        unit(runner, build, "unit, ASan and UBSan")
        if pages is None:
            del os.environ["PAGES"]
        emulator(runner, build, "emulator, ASan and UBSan")
        sim(runner, build, SEEDS_ASAN, "simulator, ASan and UBSan")


def tsan(runner, root):
    build = os.path.join(root, "tsan")
    goals = [os.path.join(build, s[:-2]) for s in unit_sources(THREADED)]
    if make(runner, "TSan", build, *goals, CC="gcc", SAN="thread"):
        unit(runner, build, "threads, TSan", THREADED)


def everything(runner, root, seeds):
    gcc, clang = os.path.join(root, "gcc"), os.path.join(root, "clang")
    style(runner)
    built = make(runner, "gcc", gcc, "all", "tests", "benches", CC="gcc")
    if built:
        unit(runner, gcc)
        signer(runner, gcc)
        emulator(runner, gcc)
        install(runner, gcc)
    if make(runner, "clang", clang, "all", "tests", "benches", CC="clang-14"):
        unit(runner, clang, "unit, clang")
    asan(runner, root)
    tsan(runner, root)
    if built:
        idle(runner, gcc)
        sim(runner, gcc, seeds)
        system(runner, gcc)


def main():
    os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "strict_string_checks=1")
    os.environ["UBSAN_OPTIONS"] = os.environ.get("UBSAN_OPTIONS", "print_stacktrace=1")
    p = argparse.ArgumentParser()
    p.add_argument("what", choices=["fast", "unit", "sim", "system", "asan", "tsan", "all"])
    p.add_argument("--build", default="build")
    p.add_argument("--seeds")
    a = p.parse_args()
    runner = Runner()

    def interrupted(signo, _frame):
        runner.stop()
        sys.exit(128 + signo)
    for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signo, interrupted)

    if a.what == "fast":
        # A fifth of the scanner's differential test: it alone would take half of the minute.
        os.environ.setdefault("PAGES", "20000")
        style(runner)
        unit(runner, a.build)
        sim(runner, a.build, a.seeds or SEEDS_FAST)
    elif a.what == "unit":
        unit(runner, a.build)
    elif a.what == "sim":
        sim(runner, a.build, a.seeds or SEEDS_ALL)
    elif a.what == "system":
        signer(runner, a.build)
        emulator(runner, a.build)
        system(runner, a.build)
    elif a.what == "asan":
        asan(runner, a.build)
    elif a.what == "tsan":
        tsan(runner, a.build)
    else:
        everything(runner, a.build, a.seeds or SEEDS_ALL)
    return finish(runner)


def finish(runner):
    runner.summary()
    bad = runner.failed != 0 or runner.passed == 0
    if runner.promised and not SKIP_SERVICES:
        print("   skipped, but promised: %s (tests/tools/setup.sh check installs what they need)"
              % ", ".join(runner.promised))
        bad = True
    if runner.services:
        print(runner.services)
    os.makedirs("build", exist_ok=True)
    with open("build/check.summary", "w", encoding="utf-8") as f:
        f.write(runner.line() + "\n")
    print(runner.line(), flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
    sys.exit(main())
