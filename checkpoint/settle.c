/* checkpoint/settle.c - what a settled gap means for its sink's position.
 *
 * Apart from the transaction builder because the daemon (accepting while it
 * runs) and `slipring gaps accept` (on a stopped one) must do exactly the same.
 */
#include "checkpoint/store.h"

bool
gap_position(const struct gap *g, struct pos *out)
{
	*out = (struct pos){.kind = POS_NONE};
	if (g->state == GAP_OPEN || g->shard[0] == '\0')
		return false;
	switch (g->reason) {
	case GAP_TRIMMED:
	case GAP_REFUSED:
		out->kind = POS_TRIM_HORIZON;
		return true;
	case GAP_SHARD_GONE:
		out->kind = POS_COMPLETE;
		return true;
	case GAP_ORPHAN: /* the shard that is gone was never known */
	case GAP_STREAM_REPLACED:
		return false;
	}
	return false;
}

void
txn_gap_settle(struct txn *t, const struct gap *g, int64_t now_us)
{
	struct position_row row = {
	    .arn = g->arn, .shard = g->shard, .sink = g->sink, .updated_us = now_us};

	txn_gap(t, g);
	if (gap_position(g, &row.pos))
		txn_position(t, &row);
}
