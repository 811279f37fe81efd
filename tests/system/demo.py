#!/usr/bin/env python3
"""`make demo`: a table's changes on the terminal, then in an audit trail that
survives kill -9. Starts what it needs on free loopback ports, cleans up after itself."""
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402

TAIL_CHANGES = 12
EMULATOR = os.path.join(support.ROOT, "build/tests/emulator/emulator")


def say(text=""):
    print(text, flush=True)


def step(number, text):
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    say("\n%s%d. %s%s" % (bold, number, text, plain))


class Emulator:
    """The stand-in when there is no Java: the tests' own DynamoDB Streams server."""

    def __init__(self):
        self.child = subprocess.Popen([EMULATOR, "--port", "0", "--stdin-guard", "--no-table"],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.child.stdout.readline().split()[1])
        self.endpoint = "http://127.0.0.1:%d" % self.port

    def client(self):
        return support.Dynamo(self.port)

    def close(self):
        self.child.stdin.close()
        self.child.terminate()
        self.child.wait(timeout=support.PATIENCE)
        self.child.stdout.close()


def start_source():
    if shutil.which("java") and os.path.isdir(support.DYNAMODB_LOCAL):
        return support.DynamoDBLocal()
    say("Java or DynamoDB Local cannot be had here: the demo runs on the tests' own emulator.")
    return Emulator()


class Shop(threading.Thread):
    """Orders that are placed, paid, shipped and sometimes cancelled."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.client, self.over, self.changes = client, threading.Event(), 0
        self.rng, self.orders, self.next = random.Random(7), {}, 1000

    def run(self):
        while not self.over.is_set():
            self.change()
            self.changes += 1
            self.over.wait(0.12)

    def change(self):
        dice = self.rng.random()
        if dice < 0.4 or not self.orders:
            self.next += 1
            key = "o-%d" % self.next
            self.orders[key] = {"pk": {"S": key}, "status": {"S": "new"},
                                "customer": {"S": self.rng.choice(["Ada", "Grace", "Edsger", "Barbara"])},
                                "total": {"N": "%d.%02d" % (self.rng.randrange(5, 200), self.rng.randrange(100))}}
        else:
            key = self.rng.choice(sorted(self.orders))
            if dice > 0.92:
                del self.orders[key]
                self.client.call("DeleteItem", TableName="orders", Key={"pk": {"S": key}})
                return
            self.orders[key]["status"] = {"S": self.rng.choice(["paid", "packed", "shipped"])}
        self.client.call("PutItem", TableName="orders", Item=self.orders[key])

    def finish(self):
        self.over.set()
        self.join(support.PATIENCE)


def show_tail(source):
    """`tail` as a person would see it; ended after a dozen changes."""
    argv = [support.SLIPRING, "tail", "orders", "--endpoint", source.endpoint, "--region", "us-east-1"]
    say("   $ slipring tail orders --endpoint %s\n" % source.endpoint)
    argv += ["--color", "always"]  # else a pipe gets JSON
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             text=True, env=support.CLEAN_ENV)
    for _ in range(TAIL_CHANGES):
        line = child.stdout.readline()
        if not line:
            break
        line = line.rstrip("\n")
        say("   " + (line if sys.stdout.isatty() else re.sub("\033\\[[0-9;]*m", "", line)))
    child.send_signal(signal.SIGTERM)
    child.stdout.close()
    child.wait(timeout=support.PATIENCE)


def grown(trail, count):
    return lambda: os.path.isdir(trail) and len(support.trail_lines(trail)) >= count


def run_and_kill(work, source, shop):
    trail = work("trail")
    path = support.config(work.path, source.endpoint, {"orders": {"table": "orders", "poll.idle": "250ms"}},
                          {"trail": {"type": "audit", "from": ["orders"], "directory": trail}})
    say("   $ slipring run -c slipring.yaml")
    daemon = support.run_daemon(path)
    try:
        support.wait_until("the first entries of the trail", grown(trail, 30))
        say("   %d entries in the trail; now: kill -9" % len(support.trail_lines(trail)))
        daemon.kill()
        daemon.close()
        missed = shop.changes
        time.sleep(1)  # demo-pace: the shop goes on while nobody listens
        say("   ... %d changes were written while it was down; starting it again" % (shop.changes - missed))
        daemon = support.run_daemon(path)
        shop.finish()
        client = source.client()
        arn = client.call("DescribeTable", TableName="orders")["Table"]["LatestStreamArn"]
        count = sum(len(r) for r in client.read_stream(arn).values())
        client.close()
        support.wait_until("all %d changes in the trail" % count, grown(trail, count))
        code = daemon.stop()
    finally:
        daemon.close()
    entries = len(support.trail_lines(trail))
    say("   the table's stream holds %d changes, the trail %d entries; the daemon ended with %d" % (
        count, entries, code))
    return trail, count == entries and code == 0


def verify(trail):
    name = sorted(n for n in os.listdir(trail) if n.startswith("audit-"))[0]
    say("   $ slipring audit verify trail")
    code, out, err = support.slipring("audit", "verify", trail)
    say("   " + (out or err).strip().replace("\n", "\n   "))
    path = os.path.join(trail, name)
    with open(path, "rb") as f:
        good = f.read()
    at = good.index(b'"status"', len(good) // 2)
    with open(path, "wb") as f:
        f.write(good[:at + 1] + b"S" + good[at + 2:])
    say("\n   one letter of the trail changed:")
    bad, _, err = support.slipring("audit", "verify", trail)
    say("   " + err.strip().replace(support.tempfile.gettempdir(), "/tmp"))
    return code == 0 and bad == 1


def main():
    work = support.Workspace("demo")
    source = shop = None
    good = False
    try:
        step(1, "A table, and a shop that writes to it")
        source = start_source()
        client = source.client()
        client.create_table("orders")
        say("   table orders, stream NEW_AND_OLD_IMAGES, at %s" % source.endpoint)
        shop = Shop(client)
        shop.start()
        step(2, "Its changes on your terminal")
        show_tail(source)
        step(3, "Into an audit trail, through a kill -9")
        trail, complete = run_and_kill(work, source, shop)
        step(4, "Proof that nothing was touched, and that touching it shows")
        good = verify(trail) and complete
    finally:
        if shop is not None:
            shop.finish()
            shop.client.close()
        if source is not None:
            source.close()
        work.close()
    if not good:
        say("\nThe demo did not end as it should have.")
        return 1
    say("""
What to try next, on a table of your own:
   build/slipring tail TABLE                        follow it (region and credentials as the AWS tools take them)
   build/slipring tail TABLE --from trim-horizon --until-idle | jq .new
   build/slipring check -c conf/slipring.yaml       the commented sample configuration
   build/slipring run -c FILE                       the daemon; build/slipring status shows how it is""")
    return 0


if __name__ == "__main__":
    sys.exit(main())
