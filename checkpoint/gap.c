/* checkpoint/gap.c - the words for gaps: in the store, in `gaps list`, in the log. */
#include "checkpoint/store.h"

const char *
gap_reason_name(enum gap_reason r)
{
	switch (r) {
	case GAP_TRIMMED:
		return "trimmed";
	case GAP_SHARD_GONE:
		return "shard-gone";
	case GAP_ORPHAN:
		return "orphan";
	case GAP_STREAM_REPLACED:
		return "stream-replaced";
	case GAP_REFUSED:
		return "refused";
	}
	return "unknown";
}

const char *
gap_state_name(enum gap_state s)
{
	switch (s) {
	case GAP_OPEN:
		return "open";
	case GAP_CONTINUED:
		return "continued";
	case GAP_ACCEPTED:
		return "accepted";
	}
	return "unknown";
}
