/* tests/sim/oracle_replay.c - dead letters that are delivered again.
 *
 * A replay comes out of order by its nature. What must hold: it has a letter; it
 * runs beside no other change of its item where the sink keeps no order; it never
 * goes over a newer change that this life knows of; and a letter goes only when the sink
 * has acked its record.
 */
#include "tests/sim/oracle.h"

static unsigned *
flying(struct oracle *o, unsigned sink, const struct h_event *ev)
{
	return &o->key_flying[(size_t)sink * o->w->hist->keys + ev->key];
}

/* A newer change of the item that the sink has acked: in this life, or below a
 * position that was saved, unless it is below it for the letter that it is by now, or
 * because a gap went over it: then nobody knows any more that the sink has it. */
static const struct h_event *
newer(const struct oracle *o, unsigned sink, const struct h_event *ev, bool known)
{
	const struct history *h = o->w->hist;

	for (unsigned i = o->key_first[ev->key] + ev->key_index + 1; i < o->key_first[ev->key + 1];
	     i++) {
		const struct h_event *e = &h->event[o->key_event[i]];
		const struct mark *m = mark_of(o, sink, e);

		if (m->acked &&
		    (!known || m->acked_at >= o->life_at ||
			(e->index < place_of(o, sink, e->shard)->saved && !m->dead &&
			    !oracle_excused(o, sink, e))))
			return e;
	}
	return NULL;
}

void
oracle_replay(struct oracle *o, unsigned sink, struct h_event *ev)
{
	struct mark *m = mark_of(o, sink, ev);
	const struct h_event *e = newer(o, sink, ev, true);

	count(o->w, T_REPLAYS);
	if (!m->dead)
		oracle_fail(o, T_OTHER,
		    "s%u was given event %u from the dead letters, where it is "
		    "not",
		    sink, ev->id);
	if (!o->w->sc.sink[sink].key_order && *flying(o, sink, ev) != 0)
		oracle_fail(o, T_REORDERED,
		    "s%u keeps no order and was given a replay of event %u while another of key %u "
		    "is in flight",
		    sink, ev->id, ev->key);
	if (!o->w->sc.sink[sink].key_order && e != NULL)
		oracle_fail(o, T_REORDERED, "a replay of event %u goes over event %u at s%u",
		    ev->id, e->id, sink);
	m->in_flight++;
	(*flying(o, sink, ev))++;
}

void
oracle_replayed(struct oracle *o, unsigned sink, struct h_event *ev, enum sink_verdict v)
{
	struct mark *m = mark_of(o, sink, ev);
	unsigned front = place_of(o, sink, ev->shard)->front;

	oracle_report(o, sink, ev, v);
	/* Its shard's reader knows nothing of it. */
	place_of(o, sink, ev->shard)->front = front;
	if (v == SINK_ACK)
		m->durable = true;
}

void
oracle_letter_gone(struct oracle *o, unsigned sink, struct h_event *ev)
{
	struct mark *m = mark_of(o, sink, ev);

	if (!m->acked && !m->left)
		oracle_fail(o, T_LOST,
		    "the dead letter of event %u is gone, and s%u has not acked "
		    "it",
		    ev->id, sink);
	m->dead = false;
}

void
oracle_superseded(struct oracle *o, unsigned sink, const struct h_event *ev)
{
	if (newer(o, sink, ev, false) == NULL)
		oracle_fail(o, T_OTHER,
		    "the dead letter of event %u is marked as superseded, and s%u has acked "
		    "nothing "
		    "newer",
		    ev->id, sink);
}
