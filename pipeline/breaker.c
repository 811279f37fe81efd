/* pipeline/breaker.c - see breaker.h. */
#include "pipeline/breaker.h"

const char *
breaker_state_name(enum breaker_state s)
{
	static const char *const names[] = {"closed", "open", "probing"};

	return names[s];
}

void
breaker_init(struct breaker *br, int64_t limit, int64_t open_us)
{
	*br = (struct breaker){.state = BREAKER_CLOSED, .limit = limit, .open_us = open_us};
}

bool
breaker_failed(struct breaker *br, int64_t now)
{
	br->failures++;
	if (br->state == BREAKER_OPEN)
		return false;
	if (br->state == BREAKER_CLOSED && br->failures < br->limit)
		return false;
	br->state = BREAKER_OPEN;
	br->until = now + br->open_us;
	return true;
}

bool
breaker_succeeded(struct breaker *br)
{
	bool closed = br->state != BREAKER_CLOSED;

	br->state = BREAKER_CLOSED;
	br->failures = 0;
	return closed;
}

bool
breaker_due(struct breaker *br, int64_t now)
{
	if (br->state != BREAKER_OPEN || now < br->until)
		return false;
	br->state = BREAKER_PROBING;
	return true;
}

void
breaker_probe(struct breaker *br)
{
	br->state = BREAKER_PROBING;
}
