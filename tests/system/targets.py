"""All sinks at once, as the tests of the whole need them: their configuration over one
table, and what each target should hold at the end, compared with the source.

    targets.sinks("orders")     the `sinks:` of a configuration
    targets.compare(client)     one text per sink that holds something else: {} is good
"""
import json
import os
import sqlite3
from decimal import Decimal

import oracle
import services
import support
from oracle import differences, exact, plain_image

COLUMNS = {"amount": "numeric", "count": "bigint", "exact": "numeric", "note": "text",
           "blob": "bytea", "ok": "boolean", "city": "text ship.city", "item": "jsonb ."}
NAMES = ("events", "rows", "log", "local", "overwrite", "guarded", "trail")
# The cluster's own guess at a type would refuse whole numbers beyond 64 bits.
MAPPING = {"settings": {"number_of_shards": 1, "number_of_replicas": 0},
           "mappings": {"dynamic": False, "properties": {"note": {"type": "keyword"}}}}


class Targets:
    """The services are borrowed; what is made in them has names of its own."""

    def __init__(self, directory, arn, table, kafka, postgres, search):
        self.directory, self.arn, self.table = directory, arn, table
        self.kafka, self.postgres, self.search = kafka, postgres, search
        # SINKS="rows local" looks at those alone.
        self.names = os.environ.get("SINKS", " ".join(NAMES)).split()
        self.counts = {}
        self.topic = kafka.topic(table)
        self.dbname = postgres.database(table)
        self.indices = {m: services.unique(table + "_" + m) for m in ("overwrite", "guarded")}
        for index in self.indices.values():
            status, answer = search.call("PUT", "/" + index, MAPPING)
            assert status == 200, answer
        self.trail = os.path.join(directory, "trail")
        self.copy = os.path.join(directory, "copy.db")

    def sinks(self, stream, postgres_port=None, search_port=None, brokers=None, **more):
        """more: keys for every sink."""
        conninfo = self.postgres.conninfo(self.dbname, port=postgres_port)
        url = "http://127.0.0.1:%d" % (search_port or self.search.port)
        return {name: {"from": [stream], **more, **keys} for name, keys in {
            "events": {"type": "kafka", "brokers": [brokers or self.kafka.bootstrap],
                       "topic": self.topic},
            "rows": {"type": "postgres", "conninfo": conninfo, "table": "items", "create": True,
                     "columns": COLUMNS},
            "log": {"type": "postgres", "conninfo": conninfo, "table": "events", "mode": "log",
                    "create": True},
            "local": {"type": "sqlite", "path": self.copy, "table": "items", "columns": COLUMNS},
            "overwrite": {"type": "opensearch", "url": [url],
                          "index": self.indices["overwrite"]},
            "guarded": {"type": "opensearch", "url": [url], "mode": "guarded",
                        "index": self.indices["guarded"]},
            "trail": {"type": "audit", "directory": self.trail},
        }.items() if name in self.names}

    def compare(self, client, scan=True):
        """sink -> how it differs from the source; only those that do. Counts in self.counts.
        scan=False: the items are told from the events (the emulator cannot scan)."""
        source = oracle.events(client, self.arn)
        items = oracle.scan(client, self.table) if scan else oracle.left(source)
        self.counts.update(events=len(source), items=len(items), messages=len(source))
        checks = {
            "events": lambda: self._messages(source),
            "rows": lambda: differences(self._rows(), typed(items)),
            "log": lambda: self._log(source),
            "local": lambda: differences(self._copy(), typed(items)),
            "overwrite": lambda: self._documents("overwrite", items),
            "guarded": lambda: self._documents("guarded", items),
            "trail": lambda: self._trail(source),
        }
        found = {name: checks[name]() for name in self.names}
        return {sink: text for sink, text in found.items() if text}

    # Kafka

    def _messages(self, source):
        """Every event is there with its values, and, repeats dropped, in source order per key;
        a key has one partition."""
        seen, order, partition, total = {}, {}, {}, 0
        for number, messages in self.kafka.messages(self.topic).items():
            for m in messages:
                total += 1
                headers = {k: v.decode() for k, v in m.headers()}
                position = headers["slipring-shard"], int(headers["slipring-sequence"])
                if partition.setdefault(m.key(), number) != number:
                    return "key %r is in two partitions" % m.key()
                if position not in seen:
                    seen[position] = exact(m.value())
                    order.setdefault(m.key(), []).append(position)
        self.counts["messages"] = total
        expected = {p: (e.id, e.name, plain_image(e.new), plain_image(e.old))
                    for p, e in source.items()}
        got = {p: (v["id"], v["event"], v["new"], v["old"]) for p, v in seen.items()}
        text = differences(got, expected)
        if text:
            return text
        # The message's key is our canonical text: told by the first event that has it.
        named = {source[positions[0]].key: positions for positions in order.values()}
        return differences(named, oracle.per_key(source))

    # PostgreSQL and SQLite

    def _rows(self):
        names = ["pk", "sk"] + list(COLUMNS)
        columns = ", ".join('"%s"' % n + ("::text" if n == "item" else "") for n in names)
        rows = self.postgres.sql("SELECT %s FROM items" % columns, dbname=self.dbname)
        return {(r[0], r[1]): row_of(r[2:], bytes) for r in rows}

    def _copy(self):
        names = ["pk", "sk"] + list(COLUMNS)
        db = sqlite3.connect("file:%s?mode=ro" % self.copy, uri=True)
        try:
            rows = db.execute("SELECT %s FROM items" % ", ".join('"%s"' % n for n in names))
            return {(r[0], as_decimal(r[1])): row_of(r[2:], bytes) for r in rows}
        finally:
            db.close()

    def _log(self, source):
        rows = self.postgres.sql(
            'SELECT shard, sequence, event_id, event, "new"::text, "old"::text FROM events',
            dbname=self.dbname)
        got = {(r[0], int(r[1])): (r[2], r[3], loaded(r[4]), loaded(r[5])) for r in rows}
        if len(got) != len(rows):
            return "%d rows, but only %d events" % (len(rows), len(got))
        return differences(got, {p: (e.id, e.name, plain_image(e.new), plain_image(e.old))
                                 for p, e in source.items()})

    # OpenSearch

    def _documents(self, mode, items):
        documents = self.search.documents(self.indices[mode], loads=exact)
        if mode == "guarded":
            for d in documents.values():
                d.pop("slipring_version")
            documents = {i: d for i, d in documents.items() if not d.get("slipring_deleted")}
        got = {}
        for identity, document in documents.items():
            key = tuple(exact(identity))
            # A script would round a long fraction: it is kept as text (docs/opensearch.md).
            got[key] = numbers_as(document, items.get(key)) if mode == "guarded" else document
        return differences(got, items)

    # The audit trail

    def _trail(self, source):
        code, _, err = support.slipring("audit", "verify", self.trail)
        if code != 0:
            return "audit verify: " + err
        got = {}
        for line in support.trail_lines(self.trail):
            entry = json.loads(line)
            position = entry["shard"], int(entry["sequence"])
            if position in got:
                return "%s %d is there twice" % position
            got[position] = (entry["eventID"], entry["eventName"], entry.get("new"),
                             entry.get("old"))
        text = differences(got, {p: (e.id, e.name, e.new, e.old) for p, e in source.items()})
        return text or ("" if list(got) == list(source) else "the entries are in another order")


def typed(items):
    """The rows that COLUMNS makes of items."""
    rows = {}
    for key, item in items.items():
        get = item.get
        rows[key] = (get("amount"), get("count"), get("exact"), get("note"), get("blob"), get("ok"),
                     item["ship"]["city"] if "ship" in item else None, item)
    return rows


def row_of(cells, to_bytes):
    """A row as typed() makes them; numbers compare by value."""
    amount, count, number, note, blob, ok, city, item = cells
    return (as_decimal(amount), count, as_decimal(number), note,
            None if blob is None else oracle.encoded(to_bytes(blob)),
            None if ok is None else bool(ok), city, exact(item))


def as_decimal(value):
    """SQLite gives doubles where fifteen digits are enough: the shortest text that reads
    back as the same double (docs/sqlite.md)."""
    if isinstance(value, float):
        return Decimal(repr(value))
    return None if value is None else Decimal(value)


def loaded(text):
    return None if text is None else exact(text)


def numbers_as(value, wanted):
    """value with texts made numbers where numbers are wanted."""
    if isinstance(wanted, Decimal) and isinstance(value, str):
        return Decimal(value)
    if isinstance(wanted, dict) and isinstance(value, dict):
        return {k: numbers_as(v, wanted.get(k)) for k, v in value.items()}
    if isinstance(wanted, list) and isinstance(value, list) and len(wanted) == len(value):
        return [numbers_as(v, w) for v, w in zip(value, wanted)]
    return value
