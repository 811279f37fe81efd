#!/usr/bin/python3
"""The real services that the system tests run against: Kafka, PostgreSQL and
OpenSearch beside DynamoDB Local (support.py).

    broker = services.shared(services.Kafka)   the one that serves the whole run, or one
                                               of this process's own; keep apart by
                                               topic, database, index: unique()
    broker = services.Kafka(); broker.start()  a private one, for tests that stop, restart
    broker.kill(); broker.restart()            or fill it: same port, same data
    broker.close()                             ends it and removes its data

By hand: `make services`, or services.py [--leash] NAME..., starts them, prints their
addresses for a shell, and stops them on ^C; on a leash when its standard input ends,
so that they end with whoever holds the other end, however that one ends.

Every server listens on the loopback only and ends with the process that started it.
"""
import atexit
import concurrent.futures
import glob
import http.client
import json
import os
import pwd
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402
from proxy import Proxy  # noqa: E402

KAFKA = os.path.join(support.CACHE, "kafka-3.9.1")
OPENSEARCH = os.path.join(support.CACHE, "opensearch-2.19.1")
OPENSEARCH_MAIN = os.path.join(support.ROOT, "tests/tools/opensearch/Run.java")
STOP_PATIENCE = 30


def unique(prefix):
    """A name that nobody else uses, good for topics, databases, schemas and indices."""
    return "%s_%s" % (prefix, uuid.uuid4().hex[:12])


class Service:
    """What the services have in common. Not started by its constructor."""

    name = None      # as in "services: Kafka 3.9.1"
    variable = None  # the environment variable that hands a shared one on
    stop_signal = signal.SIGTERM

    def __init__(self):
        self.folder = self.process = None
        self.port = None
        self.host = "127.0.0.1"
        self.attached = False

    # What each service says about itself.

    def _prepare(self):
        """Whatever has to be in the folder before the first start."""

    def _ports(self):
        self.port = support.server_port()

    def _spawn(self):
        raise NotImplementedError

    def _answers(self):
        """True when it serves; OSError and HTTPException mean not yet."""
        raise NotImplementedError

    def address(self):
        raise NotImplementedError

    def attach(self, address):
        """Makes this the handle of one that somebody else runs."""
        self.attached = True
        self._attach(address)
        return self

    def _attach(self, address):
        raise NotImplementedError

    # The life of a service.

    def start(self):
        """Returns when it answers. Another port if the first is taken meanwhile."""
        assert not self.attached and self.process is None
        _end_on_signals()
        for attempt in range(5):
            self.folder = support.Workspace(type(self).__name__.lower())
            _started.add(self)
            self._ports()
            self._prepare()
            if self._up():
                return self
            said = self.said()
            self.close()
        raise RuntimeError("%s did not start: %s" % (self.name, said))

    def _up(self):
        self.process = self._spawn()

        def answers():
            if not self.process.running():
                return True
            try:
                return self._answers()
            except (OSError, http.client.HTTPException):
                return False

        support.wait_until("%s to answer (%s)" % (self.name, self.folder.path), answers,
                           patience=120, step=0.05)
        return self.process.running()

    def said(self):
        """The end of what it printed."""
        if self.process is None:
            return ""
        return (self.process.stdout() + self.process.stderr())[-2000:].strip()

    def running(self):
        return self.process is not None and self.process.running()

    def stop(self):
        """As an administrator would; what it was sent is on disk."""
        assert not self.attached
        if self.running():
            self.process.signal(self.stop_signal)
            try:
                self.process.wait(STOP_PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()

    def kill(self):
        """SIGKILL."""
        assert not self.attached
        if self.running():
            self.process.kill()

    def restart(self):
        """Starts it again where it was, stopped by SIGTERM if it still runs."""
        self.stop()
        begun = time.monotonic()
        while True:
            self.process.close()
            if self._up():
                return self
            # The children of a killed one may hold on to its port or lock for a moment.
            if time.monotonic() - begun > STOP_PATIENCE:
                raise RuntimeError("%s did not start again: %s" % (self.name, self.said()))

    def freeze(self):
        """It takes connections (the kernel does) and answers nothing, until thaw()."""
        self.process.signal(signal.SIGSTOP)

    def thaw(self):
        self.process.signal(signal.SIGCONT)

    def _end(self):
        self.kill()

    def close(self):
        if self.attached:
            return
        if self.process is not None:
            self.thaw()
            self._end()
            self.process.close()
            self.process = None
        if self.folder is not None:
            self.folder.close()
            self.folder = None
        _started.discard(self)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()


_started = set()


def _close_all():
    for service in list(_started):
        service.close()


atexit.register(_close_all)


def _end_on_signals():
    """A test that is ended from outside must not leave servers behind."""
    if threading.current_thread() is not threading.main_thread():
        return
    for signo in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signo) == signal.SIG_DFL:
            signal.signal(signo, lambda n, _frame: sys.exit(128 + n))


class Java(Service):
    def java(self, jars, heap, *argv, **kwargs):
        if not os.path.isdir(jars):
            raise RuntimeError("%s is not in %s; run tests/tools/setup.sh check"
                               % (self.name, jars))
        # Small and plain: several JVMs share a small machine. C2 stays, or Kafka would be
        # slow where its speed is compared.
        return support.Process(
            ["java", "-Xms64m", "-Xmx%dm" % heap, "-XX:+UseSerialGC", "-XX:-UsePerfData",
             "-Djava.io.tmpdir=" + self.folder.path, "-cp", os.path.join(jars, "*"), *argv],
            cwd=self.folder.path, **kwargs)


class Kafka(Java):
    """A broker that is its own controller.

    bootstrap   plaintext
    sasl        SASL_PLAINTEXT, mechanism PLAIN, user and password below
    proxied     plaintext through self.proxy, which clients are also told to come back
                through: for cuts and hangs (only with proxied=True)

    Topics are not created on sight unless settings say so.
    """

    name, variable, version = "Kafka", "SLIPRING_TEST_KAFKA", "3.9.1"
    SASL_USER, SASL_PASSWORD = "slipring", "right password"

    def __init__(self, proxied=False, heap=256, **settings):
        """settings: broker properties, dots as __ (auto__create__topics__enable="true")."""
        super().__init__()
        self.heap, self.with_proxy, self.proxy = heap, proxied, None
        self.settings = {k.replace("__", "."): str(v) for k, v in settings.items()}

    def _ports(self):
        super()._ports()
        self.sasl_port, self.controller_port = support.server_port(), support.server_port()
        self.bootstrap = "127.0.0.1:%d" % self.port
        self.sasl = "127.0.0.1:%d" % self.sasl_port
        if self.with_proxy:
            self.behind_port = support.server_port()
            self.proxy = Proxy("127.0.0.1", self.behind_port)
            self.proxied = "127.0.0.1:%d" % self.proxy.port

    def _properties(self):
        listen = {"PLAINTEXT": self.port, "SASL": self.sasl_port}
        told = dict(listen)
        if self.with_proxy:
            listen["PROXIED"], told["PROXIED"] = self.behind_port, self.proxy.port
        at = "%s://127.0.0.1:%d"
        return {
            "process.roles": "broker,controller", "node.id": "1",
            "controller.quorum.voters": "1@127.0.0.1:%d" % self.controller_port,
            "controller.listener.names": "CONTROLLER",
            "listeners": ",".join([at % x for x in listen.items()]
                                  + [at % ("CONTROLLER", self.controller_port)]),
            "advertised.listeners": ",".join(at % x for x in told.items()),
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,"
                                              "CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT",
            "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl.plain.sasl.jaas.config":
                "org.apache.kafka.common.security.plain.PlainLoginModule required "
                'user_%s="%s";' % (self.SASL_USER, self.SASL_PASSWORD),
            "log.dirs": self.folder("data"),
            "auto.create.topics.enable": "false",
            # A killed broker may register again only when its session has run out.
            "broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "500",
            "offsets.topic.replication.factor": "1", "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            "group.initial.rebalance.delay.ms": "0",
            **self.settings,
        }

    def _prepare(self):
        with open(self.folder("broker.properties"), "w", encoding="ascii") as f:
            f.writelines("%s=%s\n" % p for p in self._properties().items())
        cluster = "slipring-test-cluster0"  # 22 characters, as a UUID in base64
        done = self.java(KAFKA, self.heap, "kafka.tools.StorageTool", "format", "-t", cluster,
                         "-c", self.folder("broker.properties"))
        try:
            if done.wait() != 0:
                raise RuntimeError("Kafka: cannot format: " + done.stderr()[-2000:])
        finally:
            done.close()

    def _spawn(self):
        return self.java(KAFKA, self.heap, "kafka.Kafka", self.folder("broker.properties"))

    def _answers(self):
        # Metadata, version 1, of no topics: a broker lists itself when it takes requests.
        client = b"slipring-test"
        request = struct.pack("!hhih", 3, 1, 1, len(client)) + client + struct.pack("!i", 0)
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as s:
            s.sendall(struct.pack("!i", len(request)) + request)
            answer = s.makefile("rb").read(12)
        return len(answer) == 12 and struct.unpack("!iii", answer)[2] > 0

    def address(self):
        return "%s,%s" % (self.bootstrap, self.sasl)

    def _attach(self, address):
        self.bootstrap, self.sasl = address.split(",")
        self.port = int(self.bootstrap.rpartition(":")[2])

    def admin(self):
        from confluent_kafka.admin import AdminClient
        return AdminClient({"bootstrap.servers": self.bootstrap})

    def topic(self, prefix, partitions=4, **properties):
        """A new topic, there when this returns; its name. Properties: dots as __."""
        from confluent_kafka.admin import NewTopic
        name = unique(prefix)
        config = {k.replace("__", "."): str(v) for k, v in properties.items()}
        admin = self.admin()  # held: its end would end the request
        made = admin.create_topics([NewTopic(name, partitions, 1, config=config)])
        made[name].result(support.PATIENCE)
        return name

    def messages(self, topic):
        """Everything in the topic at this moment, per partition in order: lists of
        confluent_kafka.Message."""
        from confluent_kafka import Consumer, TopicPartition
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": unique("reader"),
                             "enable.auto.commit": False, "auto.offset.reset": "earliest"})
        try:
            known = consumer.list_topics(topic, timeout=support.PATIENCE).topics[topic]
            parts = sorted(known.partitions)
            ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p),
                                                      timeout=support.PATIENCE) for p in parts}
            found = {p: [] for p in parts}
            left = {p for p, (low, high) in ends.items() if low < high}
            consumer.assign([TopicPartition(topic, p, ends[p][0]) for p in left])
            end = time.monotonic() + 10 * support.PATIENCE
            while left:
                for m in consumer.consume(10000, timeout=1):
                    if m.error():
                        raise RuntimeError(str(m.error()))
                    if m.offset() < ends[m.partition()][1]:
                        found[m.partition()].append(m)
                for p in list(left):
                    at = consumer.position([TopicPartition(topic, p)])[0].offset
                    if at >= ends[p][1]:
                        left.discard(p)
                if time.monotonic() > end:
                    raise TimeoutError("topic %s was not read to its end" % topic)
            return found
        finally:
            consumer.close()

    def close(self):
        super().close()
        if self.proxy is not None:
            self.proxy.close()
            self.proxy = None


class Postgres(Service):
    """A cluster of its own, run as user postgres where we are root (it refuses to run as
    root). Everybody is trusted on the loopback, except user with_password."""

    name, variable = "PostgreSQL", "SLIPRING_TEST_POSTGRES"
    stop_signal = signal.SIGINT  # "fast": does not wait for clients to leave
    USER = "slipring"
    PASSWORD_USER, PASSWORD = "with_password", "right password"

    def __init__(self, **settings):
        """settings: server parameters, dots as __."""
        super().__init__()
        self.settings = {k.replace("__", "."): str(v) for k, v in settings.items()}

    @property
    def version(self):
        said = subprocess.run([self._binary("postgres"), "--version"], capture_output=True,
                              text=True, check=True).stdout
        return said.split()[2]

    @staticmethod
    def _binary(name):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/" + name),
                       key=lambda p: int(p.split("/")[4]) if p.split("/")[4].isdigit() else 0)
        if not found:
            raise RuntimeError("PostgreSQL is not installed; run tests/tools/setup.sh check")
        return found[-1]

    def _as_server(self):
        if os.getuid() != 0:
            return {}
        return {"user": "postgres", "group": "postgres", "extra_groups": []}

    def _prepare(self):
        if os.getuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder.path, owner.pw_uid, owner.pw_gid)
        done = support.Process(
            [self._binary("initdb"), "-D", self.folder("data"), "-U", self.USER, "-A", "trust",
             "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
            cwd=self.folder.path, **self._as_server())
        try:
            if done.wait() != 0:
                raise RuntimeError("PostgreSQL: initdb: " + done.stderr()[-2000:])
        finally:
            done.close()
        with open(self.folder("data", "pg_hba.conf"), "w", encoding="ascii") as f:
            f.write("host all %s 127.0.0.1/32 scram-sha-256\n" % self.PASSWORD_USER)
            f.write("host all all 127.0.0.1/32 trust\n")
            f.write("host replication all 127.0.0.1/32 trust\n")

    def _spawn(self):
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "shared_buffers": "64MB",
                    "unix_socket_directories": "", "max_connections": 200, **self.settings}
        argv = [self._binary("postgres"), "-D", self.folder("data")]
        for k, v in settings.items():
            argv += ["-c", "%s=%s" % (k, v)]
        return support.Process(argv, cwd=self.folder.path, **self._as_server())

    def _answers(self):
        # The process takes connections before it lets anybody in; pg_isready knows.
        done = subprocess.run([self._binary("pg_isready"), "-q", "-h", "127.0.0.1", "-p",
                               str(self.port)], check=False)
        return done.returncode == 0

    def start(self):
        super().start()
        self.sql("CREATE ROLE %s LOGIN PASSWORD '%s'" % (self.PASSWORD_USER, self.PASSWORD))
        return self

    def _end(self):
        # "Immediate": a crash as far as the data goes, but no shared memory stays behind.
        self.process.signal(signal.SIGQUIT)
        try:
            self.process.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def address(self):
        return str(self.port)

    def _attach(self, address):
        self.port = int(address)

    def conninfo(self, dbname="postgres", user=USER, password=None, port=None):
        text = "host=127.0.0.1 port=%d dbname=%s user=%s" % (port or self.port, dbname, user)
        return text + (" password='%s'" % password if password else "")

    def connect(self, dbname="postgres", **more):
        """A psycopg2 connection in autocommit; the caller closes it."""
        import psycopg2
        connection = psycopg2.connect(self.conninfo(dbname, **more))
        connection.autocommit = True
        return connection

    def sql(self, statement, *values, dbname="postgres", **more):
        """Runs one statement; its rows, or None where it has none."""
        connection = self.connect(dbname, **more)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def database(self, prefix):
        """A new, empty database; its name."""
        name = unique(prefix)
        self.sql("CREATE DATABASE " + name)
        return name


class OpenSearch(Java):
    """One node without security: no TLS, no passwords."""

    name, variable, version = "OpenSearch", "SLIPRING_TEST_OPENSEARCH", "2.19.1"

    def __init__(self, heap=512, **settings):
        """settings: node settings, dots as __ (http__max_content_length="1mb")."""
        super().__init__()
        self.heap = heap
        self.settings = {k.replace("__", "."): str(v) for k, v in settings.items()}

    def _ports(self):
        super()._ports()
        self.transport_port = support.server_port()

    def _spawn(self):
        settings = {"http.port": self.port, "transport.port": self.transport_port, **self.settings}
        return self.java(OPENSEARCH, self.heap, OPENSEARCH_MAIN, self.folder.path,
                         *["%s=%s" % s for s in settings.items()])

    def _answers(self):
        return self.call("GET", "/_cluster/health?wait_for_status=yellow&timeout=1s")[0] == 200

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.port

    def address(self):
        return self.url

    def _attach(self, address):
        self.port = int(address.rpartition(":")[2])

    def call(self, method, path, body=None, loads=json.loads):
        """(status, decoded JSON). body: a value, or bytes as they are (NDJSON)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=support.PATIENCE)
        try:
            headers = {}
            if isinstance(body, bytes):
                headers["Content-Type"] = "application/x-ndjson"
            elif body is not None:
                body = json.dumps(body)
                headers["Content-Type"] = "application/json"
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, loads(text) if text.startswith((b"{", b"[")) else text
        finally:
            connection.close()

    def documents(self, index, loads=json.loads):
        """Every document: _id -> _source, refreshed first."""
        self.call("POST", "/%s/_refresh" % index)
        status, page = self.call("POST", "/%s/_search?scroll=1m&size=1000" % index,
                                 {"sort": ["_doc"]}, loads)
        found = {}
        while status == 200 and page["hits"]["hits"]:
            found.update((h["_id"], h["_source"]) for h in page["hits"]["hits"])
            status, page = self.call("POST", "/_search/scroll",
                                     {"scroll": "1m", "scroll_id": page["_scroll_id"]},
                                     loads)
        if status != 200:
            raise RuntimeError("OpenSearch: %d: %s" % (status, page))
        return found


class DynamoDB(Service):
    """DynamoDB Local as one of them. support.DynamoDBLocal is a private one."""

    name, variable, version = "DynamoDB Local", "SLIPRING_TEST_DYNAMODB", "2.5.4"

    def start(self):
        _end_on_signals()
        self.local = support.DynamoDBLocal()
        _started.add(self)
        self.process, self.port = self.local.process, self.local.port
        return self

    def address(self):
        return self.endpoint

    def _attach(self, address):
        self.port = int(address.rpartition(":")[2])

    @property
    def endpoint(self):
        return "http://127.0.0.1:%d" % self.port

    def client(self):
        return support.Dynamo(self.port)

    def close(self):
        if not self.attached:
            self.local.close()
            _started.discard(self)


ALL = {"dynamodb": DynamoDB, "kafka": Kafka, "postgres": Postgres, "opensearch": OpenSearch}
_shared = {}


def shared(cls):
    """The instance of the whole run if there is one, else one of this process, ended with it."""
    address = os.environ.get(cls.variable)
    if address and cls not in _shared:
        _shared[cls] = cls().attach(address)
    return own(cls)


def own(cls):
    """One of this process, ended with it. For who writes tens of thousands of changes to
    DynamoDB Local: it keeps them all, and is slow for everybody from then on."""
    if cls not in _shared:
        _shared[cls] = cls().start()
    return _shared[cls]


def side_by_side(chosen):
    """Starts them all at once: a JVM that loads leaves the disk to the others."""
    _end_on_signals()
    with concurrent.futures.ThreadPoolExecutor(len(chosen)) as pool:
        list(pool.map(lambda s: s.start(), chosen))


def main(argv):
    leash = "--leash" in argv
    names = [a for a in argv if a != "--leash"] or list(ALL)
    unknown = [n for n in names if n not in ALL]
    if unknown:
        print("services: no %s; there are: %s" % (unknown[0], " ".join(ALL)), file=sys.stderr)
        return 64
    try:
        chosen = [ALL[n]() for n in names]
        side_by_side(chosen)
        for service in chosen:
            print("export %s='%s'  # %s %s" % (service.variable, service.address(), service.name,
                                             service.version), flush=True)
        print("# ready" + ("" if leash else "; ^C stops them"), flush=True)
        if leash:
            sys.stdin.read()
        else:
            signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        _close_all()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
