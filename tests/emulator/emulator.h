/* tests/emulator/emulator.h - the server's one object, and a call on its way.
 *
 * main.c builds it, dispatch.c takes a request through fault, signature and
 * operation to the wire; the operations are in streams_ops.c, table_ops.c and
 * control_ops.c and only see a struct call.
 *
 * Two clocks: service time (iterator ages, creation times; moved by the
 * control call `clock`), and what the service shows and checks signatures by
 * (the same plus the skew). Rates are measured in real, monotonic time.
 */
#ifndef EMULATOR_EMULATOR_H
#define EMULATOR_EMULATOR_H

#include <event2/event.h>
#include <jansson.h>

#include "tests/emulator/answer.h"
#include "tests/emulator/fault.h"
#include "tests/emulator/model.h"
#include "tests/emulator/options.h"
#include "tests/emulator/tls.h"
#include "tests/emulator/token.h"
#include "tests/emulator/verify.h"
#include "tests/emulator/wire.h"

struct emulator;

struct call {
	struct emulator *em;
	json_t *in; /* borrowed; an object */
	struct answer *out;
	bool again; /* GetRecords: the next iterator leads to this page again */
};

struct operation {
	const char *name; /* target without its prefix */
	void (*run)(struct call *c);
};
extern const struct operation streams_ops[], table_ops[], control_ops[]; /* name NULL ends */

struct op_stats {
	const char *name; /* borrowed from the operation */
	uint64_t calls, errors;
};

struct emulator {
	struct event_base *base;
	struct options o;
	struct wire *wire;
	struct tls *tls; /* NULL: plain HTTP */
	struct model model;
	struct faults faults;
	struct verify_conf verify;
	struct token_key token_key;
	struct rng rng; /* faults, request ids */
	int64_t skew_s, advance_ms;
	struct op_stats ops[32];
	json_t *error_counts; /* owned; code -> number */
	struct window describe_asked, describe_admitted;
};

int64_t emulator_now_ms(const struct emulator *em);
int64_t emulator_mono_us(void);

/* The handler of the wire. */
void dispatch(void *arg, struct wire_conn *wc, const struct wire_request *rq);

/* Members of a call's body; SLICE_NONE if absent or no text. */
struct slice call_text(const struct call *c, const char *name);
/* False, and the answer is an error, if absent members would make no sense. */
bool call_number(struct call *c, const char *name, int64_t def, int64_t *out);
/* NULL, and the answer is an error, if there is no such table. */
struct table *call_table(struct call *c);
/* Hit a window; false, and the answer is a throttle, when over the limit. */
bool call_admit(struct call *c, struct window *asked, struct window *admitted, uint64_t limit);
void call_empty(struct call *c); /* answers {} */
/* Each false with the refusal as the answer. */
bool call_put(struct call *c, struct table *t, const json_t *item);
bool call_delete(struct call *c, struct table *t, const json_t *key, bool ttl);
bool call_view(struct call *c, const char *word, enum view *out);

#endif
