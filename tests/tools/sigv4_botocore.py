#!/usr/bin/python3
"""Our signer against botocore's, on random requests.

usage: sigv4_botocore.py SIGN_CLI [COUNT [SEED]]

SIGN_CLI is build/tests/tools/sign_cli. Needs Debian's python3-botocore; exits
with 77 (skipped) where it is missing, 1 on the first disagreement.
"""
import datetime
import hashlib
import json
import random
import subprocess
import sys
from urllib.parse import quote

try:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
except ImportError:
    print("skipped: python3-botocore is not installed")
    sys.exit(77)

WORDS = ["a", "b-c", "index", "_bulk", "_doc", "x.y", "~t", "orders", "..", ".", "", "A:b@c", "%41",
         "a b", "\u1234", "100%25", "q+r", "(1)", "*"]
HEADER_NAMES = ["Content-Type", "X-Amz-Target", "x-amz-meta-test", "x-amz-meta-test-two", "My-Header1",
                "MY-HEADER1", "Accept", "Range", "Zeta", "a", "Accept-Encoding", "X-Amzn-Thing"]
# What SigV4 never signs, by botocore's own list, is not given to either side.
BLANKS = [" ", "  ", "\t", " \t  "]


def word(rng):
    return rng.choice(WORDS)


def path(rng):
    parts = [word(rng) for _ in range(rng.randrange(5))]
    p = "/" + "/".join(parts) + rng.choice(["", "/", "//"])
    if rng.random() < 0.5:
        p = quote(p, safe="/~%:@")
    return p.replace("?", "").replace("#", "")


def query(rng):
    enc = lambda s: quote(s, safe="-_.~")
    pairs = []
    for _ in range(rng.choice([0, 0, 1, 2, 5, 12])):
        name = enc(rng.choice(WORDS) + str(rng.randrange(4)))
        value = enc("".join(rng.choice("abZ09 +/=&%-_.~\u00e9\u1234") for _ in range(rng.randrange(6))))
        pairs.append(name if rng.random() < 0.15 else name + "=" + value)
    return "&".join(pairs)


def value(rng):
    text = "".join(rng.choice("abc\"XYZ019=/;,.-+:") if rng.random() < 0.8 else rng.choice(BLANKS)
                   for _ in range(rng.randrange(20)))
    return rng.choice(["", " ", "   "]) + text + rng.choice(["", " ", "\t"])


def make(rng):
    body = bytes(rng.randrange(256) for _ in range(rng.choice([0, 1, 13, 300, 5000])))
    host = rng.choice(["streams.dynamodb.eu-west-1.amazonaws.com", "127.0.0.1:8000", "localhost:9200",
                       "[::1]:4566", "search-x.us-east-1.es.amazonaws.com"])
    return {
        "method": rng.choice(["GET", "POST", "PUT", "DELETE", "HEAD"]),
        "path": path(rng),
        "query": query(rng),
        "headers": [["Host", host]] + [[rng.choice(HEADER_NAMES), value(rng)]
                                       for _ in range(rng.randrange(8))],
        "body": body.hex(),
        "region": rng.choice(["us-east-1", "eu-west-1", "cn-north-1", "us-gov-west-1"]),
        "service": rng.choice(["dynamodb", "es", "aoss", "sts"]),
        "time": rng.randrange(1_300_000_000, 4_000_000_000),
        "access_key": "AKID%08d" % rng.randrange(10**8),
        "secret_key": "".join(rng.choice("abcXYZ019+/") for _ in range(rng.choice([40, 40, 1, 90]))),
        "token": rng.choice(["", "", "IQoJb3JpZ2luX2VjE==", "t/" * 300]),
        "normalize": True,
        "sign_body": rng.random() < 0.3,
    }


def theirs(r):
    url = "http://" + r["headers"][0][1] + r["path"] + ("?" + r["query"] if r["query"] else "")
    body = bytes.fromhex(r["body"])
    rq = AWSRequest(method=r["method"], url=url, data=body)
    for name, val in r["headers"]:
        rq.headers.add_header(name, val)
    if r["sign_body"]:
        rq.headers.add_header("X-Amz-Content-SHA256", hashlib.sha256(body).hexdigest())
    when = datetime.datetime.fromtimestamp(r["time"], datetime.timezone.utc)
    rq.context["timestamp"] = when.strftime("%Y%m%dT%H%M%SZ")
    auth = SigV4Auth(Credentials(r["access_key"], r["secret_key"], r["token"] or None), r["service"],
                     r["region"])
    auth._modify_request_before_signing(rq)
    canonical = auth.canonical_request(rq)
    return auth.signature(auth.string_to_sign(rq, canonical), rq), canonical


def main():
    cli = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    rng = random.Random(seed)
    requests = [make(rng) for _ in range(count)]
    done = subprocess.run([cli], input="".join(json.dumps(r) + "\n" for r in requests),
                          stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if len(answers) != count:
        print("%d requests, %d answers" % (count, len(answers)))
        return 1
    for i, (r, ours) in enumerate(zip(requests, answers)):
        signature, canonical = theirs(r)
        if ours.get("signature") != signature:
            print("request %d of seed %d disagrees: %s" % (i, seed, json.dumps(r)))
            print("botocore:\n%s\nours:\n%s" % (canonical, ours.get("canonical_request", ours)))
            return 1
    print("%d random requests (seed %d): same signature as botocore" % (count, seed))
    return 0


sys.exit(main())
