"""What the system tests and the demo share: services, a small DynamoDB client,
a plain reader of a stream, the daemon as a process.

Standard library only. Every process is started here and ended here by its pid;
every server is bound to a free port of the loopback interface.
"""
import http.client
import json
import os
import pty
import random
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SLIPRING = os.environ.get("SLIPRING", os.path.join(ROOT, "build/slipring"))
CACHE = os.environ.get("SLIPRING_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "slipring")
DYNAMODB_LOCAL = os.path.join(CACHE, "dynamodb-local-2.5.4")
# Long enough for a JVM on a machine that is busy with other tests.
PATIENCE = 60

# Nothing of the person who runs the tests may sign a request of theirs.
CLEAN_ENV = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
CLEAN_ENV.update({"AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
                  "AWS_CONFIG_FILE": "/nonexistent", "NO_COLOR": "1"})


def wait_until(what, condition, patience=PATIENCE, step=0.02):
    """Polls condition() until it is true; its value. TimeoutError names what."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError("waited %d s for %s" % (patience, what))
        time.sleep(step)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def server_port():
    """A free port below those the kernel hands out. For servers that go away and come
    back: meanwhile a client that tries again could be given their port as its own."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
        ephemeral = int(f.read().split()[0])
    while True:
        port = random.randrange(10000, max(ephemeral, 11000))
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Process:
    """A child whose output is kept; ended by its own pid."""

    def __init__(self, argv, **kwargs):
        self.argv = argv
        self.out = tempfile.TemporaryFile()
        self.err = tempfile.TemporaryFile()
        kwargs.setdefault("env", CLEAN_ENV)
        self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.out,
                                      stderr=self.err, **kwargs)

    def stdout(self):
        return self._read(self.out)

    def stderr(self):
        return self._read(self.err)

    @staticmethod
    def _read(f):
        # A duplicate would share the child's offset: read by position.
        return os.pread(f.fileno(), 1 << 26, 0).decode("utf-8", "replace")

    def running(self):
        return self.child.poll() is None

    def signal(self, signo):
        if self.running():
            self.child.send_signal(signo)

    def wait(self, patience=PATIENCE):
        return self.child.wait(timeout=patience)

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.wait()

    def stop(self, patience=PATIENCE):
        """SIGTERM, then its exit code; SIGKILL when it does not obey."""
        self.signal(signal.SIGTERM)
        try:
            return self.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def close(self):
        if self.running():
            self.kill()
        self.out.close()
        self.err.close()


class Refused(Exception):
    def __init__(self, status, code, message):
        super().__init__("%d %s: %s" % (status, code, message))
        self.status, self.code = status, code


class Dynamo:
    """A client for DynamoDB Local and the emulator: unsigned in earnest, signed
    in looks. Not for more than one thread."""

    def __init__(self, port, host="127.0.0.1"):
        self.host, self.port = host, port
        self.connection = None

    def raw(self, target, body):
        service = "DynamoDBStreams_20120810." if target in (
            "GetRecords", "GetShardIterator", "DescribeStream", "ListStreams") else "DynamoDB_20120810."
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": service + target,
            "X-Amz-Date": "20260101T000000Z",
            "Authorization": "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/"
                             "aws4_request, SignedHeaders=host, Signature=0",
        }
        for attempt in (1, 2):
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
            try:
                self.connection.request("POST", "/", json.dumps(body), headers)
                answer = self.connection.getresponse()
                return answer.status, answer.read()
            except (http.client.HTTPException, OSError):
                self.close()
                if attempt == 2:
                    raise
        return None

    def call(self, target, **body):
        status, answer = self.raw(target, body)
        value = json.loads(answer) if answer else {}
        if status != 200:
            raise Refused(status, value.get("__type", "").rpartition("#")[2],
                          value.get("message", value.get("Message", "")))
        return value

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def create_table(self, name, view="NEW_AND_OLD_IMAGES", sort_key=None, stream=True):
        keys = [{"AttributeName": "pk", "KeyType": "HASH"}]
        attributes = [{"AttributeName": "pk", "AttributeType": "S"}]
        if sort_key:
            keys.append({"AttributeName": "sk", "KeyType": "RANGE"})
            attributes.append({"AttributeName": "sk", "AttributeType": sort_key})
        body = dict(TableName=name, KeySchema=keys, AttributeDefinitions=attributes,
                    BillingMode="PAY_PER_REQUEST")
        if stream:
            body["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": view}
        return self.call("CreateTable", **body)["TableDescription"].get("LatestStreamArn")

    def read_stream(self, arn):
        """Every record of every shard, raw bytes as they came, by shard: what a plain
        reader sees."""
        shards, start = {}, None
        while True:
            body = {"StreamArn": arn}
            if start:
                body["ExclusiveStartShardId"] = start
            info = self.call("DescribeStream", **body)["StreamDescription"]
            for shard in info["Shards"]:
                shards[shard["ShardId"]] = self._read_shard(arn, shard["ShardId"])
            start = info.get("LastEvaluatedShardId")
            if not start:
                return shards

    def _read_shard(self, arn, shard):
        records = []
        iterator = self.call("GetShardIterator", StreamArn=arn, ShardId=shard,
                             ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        while iterator:
            status, body = self.raw("GetRecords", {"ShardIterator": iterator})
            assert status == 200, body
            answer = dict(members(body.decode()))
            got = list(elements(answer["Records"]))
            records += got
            iterator = json.loads(answer.get("NextShardIterator", "null"))
            if not got:
                break
        return records


def _skip(text, i):
    while i < len(text) and text[i] in " \t\r\n":
        i += 1
    return i


_decoder = json.JSONDecoder()


def members(text):
    """(name, raw text of the value) of a JSON object, without re-writing it."""
    i = _skip(text, _skip(text, 0) + 1)
    while text[i] != "}":
        name, i = _decoder.raw_decode(text, i)
        i = _skip(text, _skip(text, i) + 1)
        _, end = _decoder.raw_decode(text, i)
        yield name, text[i:end]
        i = _skip(text, end)
        if text[i] == ",":
            i = _skip(text, i + 1)


def elements(text):
    i = _skip(text, _skip(text, 0) + 1)
    while text[i] != "]":
        _, end = _decoder.raw_decode(text, i)
        yield text[i:end]
        i = _skip(text, end)
        if text[i] == ",":
            i = _skip(text, i + 1)


class DynamoDBLocal:
    """The real thing, in memory, on a free port."""

    def __init__(self):
        libs = DYNAMODB_LOCAL
        if not os.path.isdir(libs):
            raise RuntimeError("DynamoDB Local is not in %s; run tests/tools/setup.sh check" % libs)
        # It writes a file of its own into the folder it is started in.
        self.folder = Workspace("dynamodb-local")
        for attempt in range(5):
            self.port = free_port()
            self.process = Process(
                ["java", "-Xmx512m", "-Djava.library.path=" + libs, "-cp", os.path.join(libs, "*"),
                 "com.amazonaws.services.dynamodbv2.local.main.ServerRunner",
                 "-port", str(self.port), "-inMemory", "-sharedDb"], cwd=self.folder.path)
            if self._up():
                return
            self.process.close()
        raise RuntimeError("DynamoDB Local did not start")

    def _up(self):
        client = Dynamo(self.port)

        def answers():
            if not self.process.running():
                return True
            try:
                client.call("ListTables")
                return True
            except OSError:
                return False
            finally:
                client.close()

        wait_until("DynamoDB Local to answer", answers)
        return self.process.running()

    @property
    def endpoint(self):
        return "http://127.0.0.1:%d" % self.port

    def client(self):
        return Dynamo(self.port)

    def close(self):
        self.process.close()
        self.folder.close()


def config(directory, endpoint, streams, sinks, **extra):
    """A configuration in `directory`; streams and sinks: name -> dict. JSON is YAML."""
    for stream in streams.values():
        stream.setdefault("endpoint", endpoint)
        stream.setdefault("region", "us-east-1")
    whole = {"streams": streams, "sinks": sinks,
             "checkpoint": {"type": "sqlite", "path": os.path.join(directory, "state.db")},
             "admin": {"listen": "127.0.0.1:0"}}
    whole.update(extra)
    path = os.path.join(directory, "slipring.yaml")
    with open(path, "w") as f:
        json.dump(whole, f, indent=1)
    return path


def run_daemon(path, *options):
    return Process([SLIPRING, "run", "-c", path, *options])


def slipring(*argv, patience=PATIENCE, env=None):
    """Runs a command to its end: (exit code, stdout, stderr)."""
    done = subprocess.run([SLIPRING, *map(str, argv)], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=patience, env=env or CLEAN_ENV)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def on_terminal(*argv, env):
    """Runs a command with its output and its errors on a terminal: (exit code, what it shows)."""
    master, slave = pty.openpty()
    deadline = time.monotonic() + PATIENCE
    out = b""
    with subprocess.Popen([SLIPRING, *map(str, argv)], stdin=subprocess.DEVNULL, stdout=slave,
                          stderr=slave, env=env) as p:
        os.close(slave)
        try:
            while select.select([master], [], [], max(0, deadline - time.monotonic()))[0]:
                out += os.read(master, 1 << 16)
            p.kill()
        except OSError:
            pass  # nobody has the other end any more
        os.close(master)
    return p.returncode, out.decode("utf-8", "replace")


def trail_lines(directory):
    """The entries of an audit trail, oldest first, raw; header lines left out."""
    lines = []
    for name in sorted(os.listdir(directory)):
        if name.startswith("audit-") and name.endswith(".ndjson"):
            with open(os.path.join(directory, name), encoding="utf-8") as f:
                lines += [line for line in f.read().split("\n") if line.startswith('{"entry":')]
    return lines


class Workspace:
    """A temporary directory that goes away, readable by everybody in a test."""

    def __init__(self, name):
        self.path = tempfile.mkdtemp(prefix="slipring-%s-" % name)

    def __call__(self, *parts):
        return os.path.join(self.path, *parts)

    def close(self):
        shutil.rmtree(self.path, ignore_errors=True)


class Background(threading.Thread):
    """Runs fn(); join() hands on what it raised."""

    def __init__(self, fn):
        super().__init__(daemon=True)
        self.fn, self.error = fn, None
        self.start()

    def run(self):
        try:
            self.fn()
        except Exception as e:  # handed on by finish()
            self.error = e

    def finish(self, patience=600):
        self.join(patience)
        if self.is_alive():
            raise TimeoutError("background work did not end in %d s" % patience)
        if self.error is not None:
            raise self.error
