"""What a sink should hold, told from the source alone: a plain read of the stream and a
scan of the table. Shares no code with the program.

Also a writer of changes that knows, without looking, how many events it caused.
"""
import base64
import json
import random
from decimal import Decimal

import support


def exact(text):
    """JSON whose numbers keep all their digits; numbers compare by value."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def plain(value):
    """An attribute value in the plain form (docs/formats.md)."""
    (kind, v), = value.items()
    if kind == "N":
        return Decimal(v)
    if kind == "NULL":
        return None
    if kind == "M":
        return {k: plain(x) for k, x in v.items()}
    if kind == "L":
        return [plain(x) for x in v]
    if kind == "SS":
        return sorted(v, key=lambda s: s.encode())
    if kind == "NS":
        return sorted(map(Decimal, v))
    if kind == "BS":
        return sorted(v, key=base64.b64decode)
    return v  # S, B, BOOL


def plain_image(image):
    return None if image is None else {k: plain(v) for k, v in image.items()}


def key_of(keys):
    """One comparable value per item of a table with pk (S) and sk (N)."""
    return keys["pk"]["S"], Decimal(keys["sk"]["N"])


class Event:
    __slots__ = ("shard", "sequence", "id", "name", "key", "new", "old", "raw")

    def __init__(self, shard, raw):
        record = json.loads(raw)
        body = record["dynamodb"]
        self.shard, self.sequence = shard, body["SequenceNumber"]
        self.id, self.name, self.raw = record["eventID"], record["eventName"], raw
        self.key = key_of(body["Keys"])
        self.new, self.old = body.get("NewImage"), body.get("OldImage")


def events(client, arn):
    """Every event of the stream by (shard, sequence), in the order of its shards."""
    found = {}
    for shard, records in client.read_stream(arn).items():
        for raw in records:
            event = Event(shard, raw)
            found[shard, int(event.sequence)] = event
    return found


def per_key(found):
    """key -> its (shard, sequence) in source order."""
    order = {}
    for position, event in found.items():
        order.setdefault(event.key, []).append(position)
    return order


def left(found):
    """key -> item in the plain form, as the events leave it."""
    last = {event.key: event.new for event in found.values()}
    return {key: plain_image(new) for key, new in last.items() if new is not None}


def scan(client, table):
    """key -> item in the plain form."""
    items, start = {}, None
    while True:
        more = {"ExclusiveStartKey": start} if start else {}
        page = client.call("Scan", TableName=table, ConsistentRead=True, **more)
        for item in page["Items"]:
            items[key_of(item)] = plain_image(item)
        start = page.get("LastEvaluatedKey")
        if not start:
            return items


NUMBERS = ("0", "-1", "12.50", "99999999999999999999999999999999999999", "1E-130",
           "-9.9999999999999999999999999999999999999E+125", "0.1", "123456789012345.678901234567890",
           "9007199254740993")
# A sort key in every shape that a number has.
SORT_KEYS = ("0", "-1.5", "12345678901234567890123456789012345678", "1E-120", "7", "1000000", "-3E+100",
             "0.000000000000000000000000000000001", "42", "2.50")
TEXTS = ("plain", "quote \" slash \\ tab \t line \n", "Zürich 東京 \U0001f98e", "", "</script>", "'; --")


class Writer:
    """Puts, updates and deletes from a seed. Each causes exactly one event: what is put
    always differs, and what is deleted is there."""

    def __init__(self, client, table, seed, keys, stem="item"):
        """keys: how many different items; a multiple of ten."""
        self.client, self.table, self.rng = client, table, random.Random(seed)
        self.keys = [("%s-%d" % (stem, i), n) for i in range(keys // len(SORT_KEYS))
                     for n in SORT_KEYS]
        self.there, self.written = set(), 0

    def item(self, key):
        r = self.rng
        return {
            **key_item(key),
            "amount": {"N": r.choice(NUMBERS)}, "count": {"N": str(r.randrange(10 ** 6))},
            "exact": {"N": str(r.randrange(10 ** 37, 10 ** 38))},
            "note": {"S": r.choice(TEXTS)}, "blob": {"B": encoded(r.randbytes(r.randrange(24)))},
            "ok": {"BOOL": r.random() < 0.5}, "none": {"NULL": True},
            "tags": {"SS": sorted({r.choice("aäbcde\U0001f98e") for _ in range(3)})},
            "sizes": {"NS": sorted({str(r.randrange(100)) for _ in range(3)})},
            "parts": {"BS": sorted({encoded(r.randbytes(3)) for _ in range(3)})},
            "list": {"L": [{"N": "1"}, {"M": {"deep": {"S": "x" * r.randrange(40)}}}, {"L": []}]},
            "ship": {"M": {"city": {"S": r.choice(TEXTS)}, "a.b": {"N": "1.0"}}},
            "stamp": {"N": "%d" % self.written},  # makes each put differ
        }

    def run(self, count, each=lambda: None):
        """each() is called between the changes; it may wait."""
        while self.written < count:
            dice = self.rng.random()
            if dice < 0.5:
                self.batch(min(25, count - self.written))
            elif dice < 0.8:
                self.update()
            elif self.there and dice < 0.95:
                self.delete()
            else:
                self.put()
            each()

    def pick(self):
        return self.rng.choice(self.keys)

    def put(self):
        key = self.pick()
        self.client.call("PutItem", TableName=self.table, Item=self.item(key))
        self.there.add(key)
        self.written += 1

    def update(self):
        key = self.pick()
        self.client.call(
            "UpdateItem", TableName=self.table, Key=key_item(key),
            UpdateExpression="SET stamp = :s, #l = :l ADD hits :one REMOVE #n",
            ExpressionAttributeNames={"#l": "list", "#n": "none"},
            ExpressionAttributeValues={":s": {"N": "%d" % self.written}, ":one": {"N": "1"},
                                       ":l": {"L": [{"S": "updated"}]}})
        self.there.add(key)
        self.written += 1

    def delete(self):
        key = self.rng.choice(sorted(self.there))
        self.client.call("DeleteItem", TableName=self.table, Key=key_item(key))
        self.there.discard(key)
        self.written += 1

    def batch(self, count):
        requests = []
        for key in self.rng.sample(self.keys, count):
            if key in self.there and self.rng.random() < 0.3:
                requests.append({"DeleteRequest": {"Key": key_item(key)}})
                self.there.discard(key)
            else:
                requests.append({"PutRequest": {"Item": self.item(key)}})
                self.there.add(key)
            self.written += 1
        answer = self.client.call("BatchWriteItem", RequestItems={self.table: requests})
        assert not answer["UnprocessedItems"], "the source did not take it all"


def key_item(key):
    return {"pk": {"S": key[0]}, "sk": {"N": key[1]}}


def encoded(data):
    return base64.b64encode(data).decode()


def create_table(client, table):
    """pk (S), sk (N), with a stream; its ARN."""
    return client.create_table(table, sort_key="N")


def positions(path):
    """(sink, shard) -> the saved position's sequence number, as the command line tells it."""
    code, out, err = support.slipring("positions", "list", "-c", path, "--json")
    assert code == 0, err
    return json.loads(out)


def differences(mine, theirs, name=str):
    """A short text on how two dictionaries differ; "" if they do not. Failing with the
    whole of both would be megabytes."""
    missing = [k for k in theirs if k not in mine]
    surplus = [k for k in mine if k not in theirs]
    other = [k for k in theirs if k in mine and mine[k] != theirs[k]]
    if not (missing or surplus or other):
        return ""
    text = "%d missing, %d too many, %d different" % (len(missing), len(surplus), len(other))
    for what, keys in (("missing", missing), ("too many", surplus)):
        text += "".join("\n%s: %s" % (what, name(k)) for k in keys[:3])
    return text + "".join("\ndifferent: %s\n  is        %.400r\n  should be %.400r" % (
        name(k), mine[k], theirs[k]) for k in other[:3])
