#!/usr/bin/env python3
"""The program as an operator meets it, where no service is needed: help, exit
codes, every kind of bad input in one line, the admin port, the service manager.

Reads the program from $SLIPRING, else build/slipring. Endpoints are ports of
this machine where nobody listens. Every wait is for a condition and has a bound.
"""
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("SLIPRING", os.path.join(ROOT, "build", "slipring"))
LIMIT = 20.0
COMMANDS = ["run", "check", "tail", "status", "positions list", "positions set",
            "positions reset", "gaps list", "gaps accept", "dlq list", "dlq show", "dlq replay",
            "dlq drop", "resume", "audit verify", "config", "explain", "decrypt"]
ENV = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
ENV.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test",
           AWS_SHARED_CREDENTIALS_FILE="/nonexistent", AWS_CONFIG_FILE="/nonexistent")


def slipring(*args, env=None, stdin=None):
    return subprocess.run([PROGRAM, *args], env=env or ENV, text=True, capture_output=True,
                          timeout=LIMIT, input=stdin)


def until(condition, what):
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)  # between two looks; the wait is for the condition
    raise AssertionError("waited %g s in vain for %s" % (LIMIT, what))


def unused_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Daemon:
    """slipring run, with its log read as it comes."""

    def __init__(self, config, env=None):
        self.lines = []
        self.process = subprocess.Popen([PROGRAM, "run", "-c", config], env=env or ENV, text=True,
                                        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line)

    def line(self, pattern):
        def look():
            for line in list(self.lines):
                found = re.search(pattern, line)
                if found:
                    return found
            if self.process.poll() is not None and not self.reader.is_alive():
                raise AssertionError("ended with %s before saying %r:\n%s" %
                                     (self.process.returncode, pattern, "".join(self.lines)))
            return None
        return until(look, pattern)

    def port(self):
        return int(self.line(r"module=admin .*port=(\d+)").group(1))

    def stop(self, signo=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(signo)
        try:
            code = self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.reader.join(LIMIT)
            self.process.stderr.close()
        return code


class Case(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="slipring-cli-")
        self.addCleanup(self.scratch.cleanup)
        self.dir = self.scratch.name

    def file(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def config(self, name="slipring.yaml", store="state.db", admin="127.0.0.1:0", sinks=None,
               endpoint=None):
        endpoint = endpoint or "http://127.0.0.1:%d" % unused_port()
        sinks = sinks or "  trail: {type: audit, from: [a], directory: %s/trail}" % self.dir
        return self.file(name, "streams:\n  a: {table: t, endpoint: '%s', region: us-east-1}\n"
                               "sinks:\n%s\ncheckpoint: {path: '%s'}\nadmin: {listen: '%s'}\n"
                         % (endpoint, sinks, os.path.join(self.dir, store), admin))

    @contextlib.contextmanager
    def daemon(self, config, env=None):
        d = Daemon(config, env)
        try:
            d.line(r"module=daemon msg=running")
            yield d
        finally:
            d.stop()

    def fails(self, result, code, *parts):
        """One line on stderr that begins with the program's name and has the parts."""
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertTrue(result.stderr.startswith("slipring: "), result.stderr)
        for part in parts:
            self.assertIn(part, result.stderr)

    def run_fails(self, config, code, *parts):
        """The daemon's own refusal to start: a log line."""
        result = slipring("run", "-c", config)
        self.assertEqual(result.returncode, code, result.stderr)
        errors = [x for x in result.stderr.splitlines() if "level=error" in x]
        self.assertEqual(len(errors), 1, result.stderr)
        for part in parts:
            self.assertIn(part, errors[0])


class CommandLine(Case):
    def test_help_of_every_command(self):
        overview = slipring("--help")
        self.assertEqual(overview.returncode, 0)
        for command in COMMANDS:
            self.assertIn("\n  %s" % command, overview.stdout)
            result = slipring(*command.split(), "--help")
            self.assertEqual(result.returncode, 0, command)
            self.assertTrue(result.stdout.startswith("usage: slipring " + command), command)
            self.assertIn("exit codes:", result.stdout)
            self.assertEqual(result.stderr, "")
            self.assertEqual(slipring("help", *command.split()).stdout, result.stdout)
            for line in result.stdout.splitlines():
                self.assertLess(len(line), 100, line)

    def test_version(self):
        self.assertRegex(slipring("--version").stdout, r"^slipring \d+\.\d+\.\d+\n$")

    def test_usage_errors(self):
        self.fails(slipring(), 64, "a command is missing")
        self.fails(slipring("statsu"), 64, 'did you mean "status"?')
        self.fails(slipring("status", "--jsno"), 64, "did you mean --json?")
        self.fails(slipring("positions", "sett"), 64, 'did you mean "positions set"?')
        self.fails(slipring("positions"), 64, "positions --help")
        self.fails(slipring("tail"), 64, "tail wants TABLE|ARN")
        self.fails(slipring("tail", "t", "--from", "latset"), 64, "did you mean latest?")
        self.fails(slipring("gaps", "accept", "three"), 64, "not a whole number")
        for where in ("here", "127.0.0.1", "off", "127.0.0.1:0", "192.0.2.1:9464"):
            self.fails(slipring("status", "--admin", where), 64, "--admin: ", where)
        self.fails(slipring("resume", "trail", "--admin", "here"), 64, "--admin: ")
        self.fails(slipring("config"), 64, "--reference, --schema and --dump")
        self.fails(slipring("positions", "set", "a", "s", "k", "12x", "-c", self.config()), 64,
                   "no sequence number")

    def test_text_of_strangers_cannot_drive_the_terminal(self):
        result = slipring("\033[2J\nx")
        self.fails(result, 64, "\\u001b[2J\\nx")
        self.assertNotIn("\033", result.stderr)

    def test_a_reader_that_goes_away_is_no_failure(self):
        with subprocess.Popen([PROGRAM, "config", "--reference"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=ENV) as p:
            p.stdout.close()
            self.assertEqual(p.stderr.read(), b"")
            self.assertEqual(p.wait(LIMIT), 0)

    def test_a_full_disk_is_one(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            result = subprocess.run([PROGRAM, "config", "--reference"], stdout=full, text=True,
                                    stderr=subprocess.PIPE, timeout=LIMIT, env=ENV, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("No space left", result.stderr)


class Input(Case):
    """explain and decrypt, which read lines."""

    def setUp(self):
        super().setUp()
        key = self.file("key", "a" * 64)
        os.chmod(key, 0o600)
        self.commands = (["explain", "--pattern", '{"a": ["x"]}'], ["decrypt", "--key-file", key])

    def test_what_cannot_be_read_was_not_judged(self):
        directory = os.open("/", os.O_RDONLY)
        self.addCleanup(os.close, directory)
        for command in self.commands:
            done = subprocess.run([PROGRAM, *command], env=ENV, text=True, stdin=directory,
                                  capture_output=True, timeout=LIMIT, check=False)
            self.fails(done, 1, "standard input", "Is a directory")

    def test_without_a_reader_it_ends(self):
        for command in self.commands:
            with subprocess.Popen(["yes", '{"a": "x"}'], stdout=subprocess.PIPE) as endless, \
                    subprocess.Popen([PROGRAM, *command], env=ENV, stdin=endless.stdout,
                                     stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as p:
                try:
                    p.stdout.readline()
                    p.stdout.close()
                    self.assertIn(p.wait(LIMIT), (0, 1))
                finally:
                    p.kill()
                    endless.kill()

    def test_a_full_disk_is_said_once(self):
        for command in self.commands:
            with open("/dev/full", "w", encoding="utf-8") as full:
                done = subprocess.run([PROGRAM, *command], env=ENV, text=True, stdout=full,
                                      stderr=subprocess.PIPE, timeout=LIMIT, check=False,
                                      input='{"a": "x"}\n')
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr.count("standard output"), 1, done.stderr)
            self.assertIn("No space left", done.stderr)


class Configuration(Case):
    def bad(self, text, *parts):
        path = self.file("bad.yaml", text)
        self.fails(slipring("check", "-c", path), 78, *parts)
        self.run_bad = slipring("run", "-c", path)
        self.assertEqual(self.run_bad.returncode, 78)

    def test_the_sample_is_accepted(self):
        result = slipring("check", "-c", os.path.join(ROOT, "conf", "slipring.yaml"))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("ok, 1 stream, 1 sink", result.stdout)

    def test_what_the_sample_has_commented_out(self):
        """Each block by itself, and all of them."""
        with open(os.path.join(ROOT, "conf", "slipring.yaml"), encoding="utf-8") as f:
            lines = f.read().split("\n")
        comment = re.compile(r"^( *)# ( *[a-z.-]+:( |$).*)")
        blocks, last = [], None
        for i, line in enumerate(lines):
            found = comment.match(line)
            if found and last == (i - 1, found.group(1)):
                blocks[-1].append(i)
            elif found:
                blocks.append([i])
            last = found and (i, found.group(1))
        self.assertGreater(len(blocks), 10)
        for chosen in [*blocks, sum(blocks, [])]:
            text = "\n".join(comment.sub(r"\1\2", line) if i in chosen else line
                             for i, line in enumerate(lines))
            result = slipring("check", "-c", self.file("sample.yaml", text))
            self.assertEqual(result.returncode, 0, "line %d: %s" % (chosen[0] + 1, result.stderr))
        self.assertIn("5 sinks", result.stdout)

    def test_unreadable(self):
        self.fails(slipring("check", "-c", "/nonexistent/x.yaml"), 78, "/nonexistent/x.yaml",
                   "No such file or directory")
        self.fails(slipring("check", "-c", self.dir), 78, "Is a directory")

    def test_bad_yaml(self):
        self.bad("streams:\n\ta: 1\n", "bad.yaml:2:1: ", "indent with spaces")
        self.bad("streams: [\n", "bad.yaml:2:1: ")
        self.bad("streams: &x {}\n", "bad.yaml:1:10: anchors")

    def test_unknown_and_duplicate_keys(self):
        good = "sinks: {s: {type: stdout, from: [a]}}\n"
        self.bad("streams:\n  a:\n    tabel: t\n" + good,
                 'bad.yaml:3:5: unknown key "tabel"; did you mean "table"?')
        self.bad("streams:\n  a: {table: t}\n  a: {table: u}\n" + good,
                 'bad.yaml:3:3: duplicate key "a", first on line 2')

    def test_bad_values(self):
        good = "sinks: {s: {type: stdout, from: [a]}}\n"
        self.bad("streams: {a: {arn: 'arn:aws:sns:eu-west-1:1:x'}}\n" + good, "bad.yaml:1:20: ")
        self.bad("streams: {a: {table: t, endpoint: 'localhost:8000'}}\n" + good, "is no URL")
        self.bad("streams: {a: {table: t}}\nsinks: {s: {type: stdout, from: [b]}}\n",
                 'there is no stream "b"')
        self.bad("streams: {a: {table: t}}\nsinks: {s: {type: stdout, from: [a], filters: [f]}}\n",
                 'there is no filter "f"; define it under "filters"')
        self.bad("streams: {a: {table: t}}\n" + good + "admin.listen: 0.0.0.0:1\n",
                 "bad.yaml:3:15: ", "not on this machine")
        self.bad("streams: {a: {table: t}}\n" + good + "log: {level: loud}\n",
                 "error, warn, info or debug")

    def test_dump_reads_back(self):
        first = slipring("config", "--dump", "-c", os.path.join(ROOT, "conf", "slipring.yaml"))
        self.assertEqual(first.returncode, 0, first.stderr)
        second = slipring("config", "--dump", "-c", self.file("dump.yaml", first.stdout))
        self.assertEqual(second.stdout, first.stdout)

    def test_schema_and_reference_know_every_key_of_the_sample(self):
        schema = json.loads(slipring("config", "--schema").stdout)
        reference = slipring("config", "--reference").stdout
        dump = slipring("config", "--dump", "-c", os.path.join(ROOT, "conf", "slipring.yaml"))
        self.assertEqual(schema["required"], ["streams", "sinks"])
        # Editors take what is not quoted for what it looks like: percent: 0.5, tombstones: true.
        sample, kafka = (next(t for t in schema["properties"][kind]["additionalProperties"]["oneOf"]
                              if t["properties"]["type"]["const"] == name)["properties"]
                         for kind, name in (("filters", "sample"), ("sinks", "kafka")))
        self.assertIn("number", sample["percent"]["type"])
        self.assertIn(True, kafka["tombstones"]["enum"])
        for key in re.findall(r"^ +([a-z.-]+): \S", dump.stdout, re.M):
            self.assertIn("    %s (" % key, reference)


class Store(Case):
    def create(self):
        config = self.config()
        with self.daemon(config):
            pass
        return config, os.path.join(self.dir, "state.db")

    def test_no_store_yet(self):
        config = self.config()
        self.fails(slipring("positions", "list", "-c", config), 1, "state.db", "does not exist")
        self.fails(slipring("gaps", "list", "-c", config), 1, "does not exist")
        self.assertFalse(os.path.exists(os.path.join(self.dir, "state.db")))

    def test_empty_lists(self):
        config, _ = self.create()
        self.assertEqual(slipring("positions", "list", "-c", config).stdout, "no positions yet\n")
        self.assertEqual(json.loads(slipring("positions", "list", "--json", "-c", config).stdout), [])
        self.assertEqual(slipring("gaps", "list", "-c", config).stdout, "no gaps\n")
        self.assertEqual(json.loads(slipring("gaps", "list", "--json", "-c", config).stdout), [])

    def test_newer_version(self):
        config, path = self.create()
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA user_version = 999")
            db.commit()
        for command in (["positions", "list"], ["gaps", "list"], ["gaps", "accept", "1"]):
            self.fails(slipring(*command, "-c", config), 1, "state.db")
        self.run_fails(config, 1, "state.db")
        with contextlib.closing(sqlite3.connect(path)) as db:
            self.assertEqual(db.execute("PRAGMA user_version").fetchone(), (999,))

    def test_foreign_files(self):
        config = self.config(store="foreign.db")
        path = os.path.join(self.dir, "foreign.db")
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE mine (x)")
            db.commit()
        self.run_fails(config, 1, "foreign.db")
        config = self.config(store="text.db")
        text = self.file("text.db", "this is no database, but somebody's notes\n" * 50)
        self.run_fails(config, 1, "text.db")
        with open(text, encoding="utf-8") as f:
            self.assertTrue(f.read().startswith("this is no database"))

    def test_locked_by_a_daemon(self):
        config = self.config()
        with self.daemon(config) as d:
            pid = str(d.process.pid)
            self.run_fails(self.config("other.yaml"), 1, pid)
            self.fails(slipring("positions", "reset", "a", "-c", config), 1, pid)
            self.assertEqual(slipring("positions", "list", "-c", config).returncode, 0)
            # The ledger is the daemon's now, whose port 0 only its log knows.
            self.fails(slipring("gaps", "accept", "1", "-c", config), 1, "--admin")
            self.fails(slipring("gaps", "accept", "1", "-c", config, "--admin",
                                "127.0.0.1:%d" % d.port()), 1, "no gap 1")

    def test_unwritable_places(self):
        self.file("plain", "a file, not a directory")
        config = self.config(store="plain/state.db")
        self.run_fails(config, 1, "plain/state.db")
        self.assertEqual(slipring("check", "--connect", "-c", config).returncode, 1)
        config = self.config(
            sinks="  trail: {type: audit, from: [a], directory: %s/plain/trail}" % self.dir)
        self.run_fails(config, 78, "plain/trail", "not a directory")
        config = self.config(sinks="  trail: {type: audit, from: [a], directory: /proc/trail}")
        self.run_fails(config, 1, "/proc/trail")
        self.assertEqual(slipring("check", "--connect", "-c", config).returncode, 1)

    def test_surgery_on_what_is_not_there(self):
        config, _ = self.create()
        self.fails(slipring("positions", "set", "b", "s", "trail", "1", "-c", config), 64,
                   'no stream "b"')
        self.fails(slipring("positions", "set", "a", "s", "zz", "1", "-c", config), 64, 'no sink "zz"')
        self.fails(slipring("positions", "set", "a", "s", "trail", "1", "-c", config), 1, 'no shard "s"')
        self.fails(slipring("gaps", "accept", "7", "-c", config), 1, "no gap 7")
        self.assertIn("nothing to reset", slipring("positions", "reset", "a", "-c", config).stdout)


class Running(Case):
    def get(self, port, method, path, headers):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)) as c:
            c.request(method, path, headers=headers)
            answer = c.getresponse()
            return answer.status, json.loads(answer.read())

    def test_status(self):
        config = self.config()
        with self.daemon(config) as d:
            port = d.port()
            address = "127.0.0.1:%d" % port
            text = slipring("status", "--admin", address)
            self.assertEqual(text.returncode, 0, text.stderr)
            self.assertIn("pid %d" % d.process.pid, text.stdout)
            self.assertRegex(text.stdout, r"(?m)^a +t ")
            doc = json.loads(slipring("status", "--json", "--admin", address).stdout)
            self.assertEqual(doc["process"]["pid"], d.process.pid)
            self.assertEqual(doc["streams"][0]["name"], "a")
            self.assertEqual(doc["sinks"][0]["name"], "trail")
            self.assertEqual(doc["store"]["path"], os.path.join(self.dir, "state.db"))
            self.fails(slipring("status", "-c", config), 1, "port 0")
            self.assertEqual(self.get(port, "GET", "/healthz", {})[0], 200)

    def test_status_without_a_daemon(self):
        port = unused_port()
        self.fails(slipring("status", "-c", self.config(admin="127.0.0.1:%d" % port)), 1,
                   "not running", str(port))
        self.fails(slipring("status", "-c", self.config(admin="off")), 1, "is off")

    def test_web_pages_stay_out(self):
        with self.daemon(self.config()) as d:
            port = d.port()
            mine = {"X-Slipring": "1"}
            self.assertEqual(self.get(port, "POST", "/gaps/accept?id=1", {})[0], 403)
            self.assertEqual(self.get(port, "POST", "/gaps/accept?id=1", mine)[0], 404)
            self.assertEqual(self.get(port, "POST", "/gaps/accept?id=x", mine)[0], 400)
            self.assertEqual(self.get(port, "POST", "/gaps/accept", mine)[0], 400)
            self.assertEqual(self.get(port, "GET", "/gaps/accept?id=1", mine)[0], 405)
            self.assertEqual(self.get(port, "POST", "/status", mine)[0], 405)
            self.assertEqual(self.get(port, "GET", "/else", {})[0], 404)
            evil = {"Host": "evil.example:%d" % port}
            self.assertEqual(self.get(port, "GET", "/status", evil)[0], 403)
            self.assertEqual(self.get(port, "POST", "/gaps/accept?id=1", {**evil, **mine})[0], 403)

    def test_port_in_use(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            self.run_fails(self.config(admin="127.0.0.1:%d" % s.getsockname()[1]), 1,
                           "cannot listen on 127.0.0.1", "Address already in use")

    def test_something_else_answers(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()

            def serve():
                c, _ = s.accept()
                with c:
                    c.recv(4096)
                    c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")

            t = threading.Thread(target=serve)
            t.start()
            self.fails(slipring("status", "--admin", "127.0.0.1:%d" % s.getsockname()[1]), 1,
                       "is no slipring")
            t.join(LIMIT)

    def test_signals_drain(self):
        for signo in (signal.SIGTERM, signal.SIGINT):
            d = Daemon(self.config())
            d.line(r"module=daemon msg=running")
            self.assertEqual(d.stop(signo), 0)
            self.assertIn("drained", "".join(d.lines))

    def test_service_manager(self):
        path = os.path.join(self.dir, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.bind(path)
            s.settimeout(LIMIT)
            with self.daemon(self.config(), {**ENV, "NOTIFY_SOCKET": path,
                                             "WATCHDOG_USEC": "200000"}):
                self.assertTrue(s.recv(4096).startswith(b"READY=1\nSTATUS=1 streams, 1 sinks"))
                self.assertEqual(s.recv(4096), b"WATCHDOG=1")
                self.assertEqual(s.recv(4096), b"WATCHDOG=1")
            seen = b""
            while b"STOPPING=1" not in seen:
                seen = s.recv(4096)

    def test_closed_descriptors_are_not_given_to_files(self):
        config = self.config()
        with subprocess.Popen([PROGRAM, "run", "-c", config], env=ENV,
                              preexec_fn=lambda: os.closerange(0, 3)) as p:
            try:
                until(lambda: os.path.exists(os.path.join(self.dir, "trail")), "the trail")
                self.assertEqual([os.readlink("/proc/%d/fd/%d" % (p.pid, n)) for n in range(3)],
                                 ["/dev/null"] * 3)
            finally:
                p.kill()

    def test_the_unit_lets_the_group_read_trails(self):
        with open(os.path.join(ROOT, "systemd", "slipring.service"), encoding="utf-8") as f:
            mask = int(re.search(r"^UMask=(\d+)$", f.read(), re.M).group(1), 8)
        before = os.umask(mask)
        try:
            with self.daemon(self.config()):
                pass
        finally:
            os.umask(before)
        trail = os.path.join(self.dir, "trail")
        modes = {name: os.stat(os.path.join(trail, name)).st_mode & 0o777
                 for name in os.listdir(trail)}
        self.assertEqual(os.stat(trail).st_mode & 0o777, 0o750)
        self.assertEqual(set(modes.values()), {0o640}, modes)  # as docs/audit.md says
        self.assertEqual(os.stat(os.path.join(self.dir, "state.db")).st_mode & 0o777, 0o600)

    def test_json_log(self):
        config = self.config()
        with open(config, "a", encoding="utf-8") as f:
            f.write("log: {format: json}\n")
        d = Daemon(config)
        until(lambda: any('"msg":"running"' in x for x in d.lines), "running")
        self.assertEqual(d.stop(), 0)
        for line in d.lines:
            self.assertEqual(set(json.loads(line)) & {"time", "level", "module", "msg"},
                             {"time", "level", "module", "msg"})


class Tail(Case):
    def test_bad_input(self):
        nobody = "http://127.0.0.1:%d" % unused_port()
        self.fails(slipring("tail", "t", "--endpoint", "127.0.0.1:8000"), 78, "is no URL")
        self.fails(slipring("tail", "arn:aws:s3:::x", "--endpoint", nobody), 78)
        self.fails(slipring("tail", "t"), 78, "no region is known", "--region")
        self.fails(slipring("tail", "t", "--endpoint", nobody), 1, "cannot reach " + nobody)

    def test_missing_credentials(self):
        env = {k: v for k, v in ENV.items() if not k.startswith("AWS_ACC") and
               not k.startswith("AWS_SEC")}
        self.fails(slipring("tail", "t", "--region", "eu-west-1", env=env), 1, "/nonexistent")


class Audit(Case):
    def test_nothing_there(self):
        self.fails(slipring("audit", "verify", "/nonexistent"), 1, "/nonexistent",
                   "No such file or directory")


if __name__ == "__main__":
    unittest.main(verbosity=2)
