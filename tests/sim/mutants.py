#!/usr/bin/python3
"""Breaks the core in the ways it must never break; the simulator must see each.

usage: mutants.py [NAME ...]       (all without a name)

A mutant is one or more exact texts of a file, each there exactly once, and what
stands there instead: an edit that no longer fits is an error, not a pass. All of it
happens in a copy of the tree, which is built once; after that only the
touched file is built again. Without any edit the simulator must be green, or
being red proves nothing.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

SEEDS = "1..1000"
JOBS = str(os.cpu_count() or 1)
SIM = "build/tests/sim/sim"
TREE = ("base", "record", "streams", "sinks", "checkpoint", "pipeline", "daemon", "filters",
        "tests/sim", "Makefile")

MUTANTS = {
    "stale-replay": [("pipeline/submit.c", """\
	if (en->d.replayed && ln->host.stale != NULL && ln->host.stale(ln->host.ctx, &en->d)) {
""", """\
	if (en->attempts >= 1000000) {
""")],
    "refused-unburied": [("pipeline/submit.c", """\
	lane_refuse(ln, en, en->refusal);
""", """\
	lane_done(ln, en);
""")],
    "replay-past-the-filters": [("pipeline/replay.c", """\
.unfiltered = p->d->unfiltered};
""", """\
.unfiltered = false};
""")],
    "nonsense-is-dropped": [("pipeline/sieve.c", """\
		refuse(s, e.text);
	}
	return left;
""", """\
		s->fate = FATE_DROPPED;
	}
	return left;
""")],
    "any-ack-supersedes": [("pipeline/dead_letter.c", """\
		if (order < 0)
""", """\
		if (order != 0)
""")],
    "dropped-replay-forgotten": [("pipeline/replay.c", """\
	lane_drop_window(&jb->window);
""", """\
	for (size_t i = 0; i < jb->count; i++) {
		struct letter *lt = letters_find(&sl->letters, jb->pieces[i].d);

		if (lt != NULL && jb->pieces[i].state == PIECE_FED)
			slot_drop_letter(sl, lt);
	}
	lane_drop_window(&jb->window);
""")],
    "children-at-latest": [("pipeline/feed.c", """\
	struct run *rn = run_new(fd, sh);
	struct pos at = {.kind = POS_AT_START};
""", """\
	struct run *rn = run_new(fd, sh);
	struct pos at = {.kind = POS_LATEST};
""")],
    "child-before-last-ack": [("pipeline/attach.c", """\
		track_set_state(t, TRACK_DRAINING, "null iterator");
""", """\
		track_set_state(t, TRACK_DRAINING, "null iterator");
		for (struct shard *c = rn->shard->children; c != NULL; c = c->sibling) {
			struct run *child = c->user;

			if (child->tracks[t - rn->tracks].state == TRACK_WAITING)
				track_make_ready(&child->tracks[t - rn->tracks], "too early");
		}
""")],
    "frontier-maximum": [("checkpoint/frontier.c", """\
	if (ticket != f->head)
		return false;
""", """\
	if (ticket != f->head) {
		f->acked = slot_of(f, ticket)->seq;
		return true;
	}
""")],
    "saved-before-acked": [("pipeline/track.c", """\
	const struct seq *acked = &t->window.frontier.acked;
	struct pos settled;
""", """\
	const struct seq *acked = &t->last;
	struct pos settled;
""")],
    "jump-without-gap": [("pipeline/gaps.c", """\
	case READER_TRIMMED:
	case READER_REFUSED:
		if (!covered(t))
""", """\
	case READER_TRIMMED:
	case READER_REFUSED:
		frontier_close(&t->window.frontier);
		frontier_init(&t->window.frontier);
		t->last.n = 0;
		t->base = (struct pos){.kind = POS_TRIM_HORIZON};
		track_make_ready(t, "as if nothing had been lost");
		if (t->loss != READER_TRIMMED)
""")],
    "expired-at-horizon": [("streams/reader.c", """\
	bool young = loop_now(rd->loop) - rd->iterator_at < ITERATOR_YOUNG;

	spend_iterator(rd);
""", """\
	bool young = loop_now(rd->loop) - rd->iterator_at < ITERATOR_YOUNG;

	spend_iterator(rd);
	rd->after.n = 0;
	rd->from = POS_TRIM_HORIZON;
	rd->horizon = true;
""")],
    "batch-acked-whole": [("pipeline/report.c", """\
	if (v != SINK_ACK || ln->closing)
		key_order_back(&ln->keys, &en->key);
""", """\
	if (v == SINK_RETRY && b->acked != 0)
		v = SINK_ACK;
	if (v != SINK_ACK || ln->closing)
		key_order_back(&ln->keys, &en->key);
""")],
    "split-blames-one": [("pipeline/report.c", """\
		if (b->count == 1)
			v = SINK_REJECT; /* refused alone */
""", """\
		if (b->left == 0)
			v = SINK_REJECT; /* refused alone */
""")],
    "bisect-loses-half": [("pipeline/refuse.c", """\
		if (key_order_may(&ln->keys, &en->key))
			lane_make_ready(ln, en);
""", """\
		if (most-- != 0 && key_order_may(&ln->keys, &en->key))
			lane_make_ready(ln, en);
""")],
    "bisect-never-alone": [("pipeline/refuse.c", """\
	size_t most = (b->split + 1) / 2;
""", """\
	size_t most = b->split;
""")],
    "brake-forgets-refusals": [("pipeline/refuse.c", """\
	ln->stats.rejected_in_row++;
""", """\
	ln->stats.rejected_in_row = 1;
""")],
    "buried-behind-the-brake": [("pipeline/refuse.c", """\
	if (ln->halt != LANE_HALT_NONE && !written_behind(ln, en)) {
""", """\
	if (false && ln->halt != LANE_HALT_NONE && !written_behind(ln, en)) {
""")],
    "halt-passes-the-record": [("pipeline/refuse.c", """\
	if (written_behind(ln, en))
		bury(ln, en, why);
	else
		leave_undone(en);
	lane_halt""", """\
	lane_done(ln, en);
	lane_halt""")],
    "skip-without-frontier": [("pipeline/refuse.c", """\
	    en->d.origin->stream, en->d.origin->shard, (int)seq.n, seq.p, why);
	lane_done(ln, en);
""", """\
	    en->d.origin->stream, en->d.origin->shard, (int)seq.n, seq.p, why);
	leave_undone(en);
""")],
    "resume-without-a-probe": [("pipeline/lane.c", """\
	lane_set_state(ln, LANE_PROBING, "resumed");
	lane_ask_room(ln);
""", """\
	lane_set_state(ln, LANE_PROBING, "resumed");
""")],
    "resume-forgets-a-track": [("pipeline/track.c", """\
	case TRACK_DRAINING:
		t->had_backlog = held;
""", """\
	case TRACK_DRAINING:
		if (lane_state_get(t->sub->slot->lane) == LANE_HALTED)
			break;
		t->had_backlog = held;
""")],
    "shard-order-by-key": [("pipeline/lane.c", """\
	ln->by_shard = (ops->caps & SINK_CAP_SHARD_ORDER) != 0;
""", """\
	ln->by_shard = false;
""")],
    "gives-up-at-once": [("pipeline/refuse.c", """\
	return now - since >= ln->conf.give_up_us;
""", """\
	return now - since >= ln->conf.give_up_us / 2;
""")],
    "finished-read-again": [("pipeline/feed.c", """\
	    .complete = complete_for_all(kn->fd, r->shard),
""", """\
	    .complete = complete_for_all(kn->fd, r->shard) && false,
"""), ("pipeline/feed.c", """\
			if (row != NULL)
				at = row->pos;
""", """\
			if (row != NULL && row->pos.kind != POS_COMPLETE)
				at = row->pos;
""")],
}


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def copy_tree(to):
    for part in TREE:
        if os.path.isdir(part):
            shutil.copytree(part, os.path.join(to, part), dirs_exist_ok=True)
        elif os.path.exists(part):
            shutil.copy2(part, to)


def build(tree):
    done = subprocess.run(["make", "-j" + JOBS, "CFLAGS=-O1", SIM], cwd=tree,
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit("mutants: cannot build:\n" + done.stderr[-3000:])


def run(tree):
    """The first line that tells of a failure; None if all is well."""
    done = subprocess.run([SIM, "--seeds", SEEDS, "--jobs", JOBS, "--stop"], cwd=tree,
                          capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    red = re.findall(r"^seed \d+: .*$", done.stdout, re.M)
    return min(red, key=lambda r: int(r.split()[1][:-1])) if red else "no seed named"


def plant(tree, edits):
    """Returns what is to be written back."""
    before = {}
    for path, old, new in edits:
        path = os.path.join(tree, path)
        text = read(path)
        before.setdefault(path, text)
        if text.count(old) != 1:
            sys.exit("mutants: the text to change is %d times in %s:\n%s"
                     % (text.count(old), path, old))
        write(path, text.replace(old, new))
    return before


def main():
    names = sys.argv[1:] or list(MUTANTS)
    for name in names:
        if name not in MUTANTS:
            sys.exit("mutants: no mutant %s; there are: %s" % (name, ", ".join(MUTANTS)))
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
    missed = 0
    with tempfile.TemporaryDirectory(prefix="slipring.") as tree:
        copy_tree(tree)
        build(tree)
        red = run(tree)
        if red is not None:
            sys.exit("mutants: red without a mutant: " + red)
        print("%-24s green in seeds %s" % ("(none)", SEEDS), flush=True)
        for name in names:
            begun = time.monotonic()
            before = plant(tree, MUTANTS[name])
            build(tree)
            red = run(tree)
            missed += red is None
            print("%-24s %s (%.0f s)" % (name, "NOT SEEN in seeds " + SEEDS if red is None
                                         else "red at " + red, time.monotonic() - begun),
                  flush=True)
            for path, text in before.items():
                write(path, text)
    print("%d of %d mutants seen" % (len(names) - missed, len(names)))
    sys.exit(1 if missed else 0)


main()
