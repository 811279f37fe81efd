/* tests/emulator/dispatch.c - a request's way: which call, which fault, is it
 * signed, what does it answer, and how is the answer spoiled.
 */
#include <string.h>
#include <time.h>

#include "tests/emulator/emulator.h"

#define HTML                                                                                       \
	"<html><head><title>Service Unavailable</title></head>\n"                                  \
	"<body><h1>Service Unavailable</h1><p>The server is busy.</p></body></html>\n"
#define BOMB_BYTES (256u << 20)

int64_t
emulator_now_ms(const struct emulator *em)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000 + em->advance_ms;
}

int64_t
emulator_mono_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int64_t
shown_s(const struct emulator *em)
{
	return emulator_now_ms(em) / 1000 + em->skew_s;
}

struct slice
call_text(const struct call *c, const char *name)
{
	const json_t *j = json_object_get(c->in, name);

	return json_is_string(j) ? (struct slice){json_string_value(j), json_string_length(j)}
				 : SLICE_NONE;
}

bool
call_number(struct call *c, const char *name, int64_t def, int64_t *out)
{
	const json_t *j = json_object_get(c->in, name);

	*out = j == NULL ? def : json_integer_value(j);
	if (j == NULL || json_is_integer(j))
		return true;
	answer_error(c->out, "SerializationException", "%s is no integer", name);
	return false;
}

bool
call_admit(struct call *c, struct window *asked, struct window *admitted, uint64_t limit)
{
	int64_t now = emulator_mono_us();

	window_hit(asked, now);
	if (limit == 0)
		return true;
	if (window_count(admitted, now) >= limit) {
		answer_error(c->out, "ThrottlingException", "Rate exceeded");
		return false;
	}
	window_hit(admitted, now);
	return true;
}

void
call_empty(struct call *c)
{
	answer_json(c->out, json_object());
}

static const struct operation *
find(const struct operation *ops, struct slice name)
{
	for (; ops->name != NULL; ops++)
		if (slice_is(name, ops->name))
			return ops;
	return NULL;
}

static const struct operation *
find_target(struct slice target)
{
	static const struct slice prefixes[] = {
	    {"DynamoDBStreams_20120810.", 25}, {"DynamoDB_20120810.", 18}};
	const struct operation *const lists[] = {streams_ops, table_ops};

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		struct slice p = prefixes[i];

		if (target.n > p.n && memcmp(target.p, p.p, p.n) == 0)
			return find(lists[i], (struct slice){target.p + p.n, target.n - p.n});
	}
	return NULL;
}

static void
count(struct emulator *em, const struct operation *op, const struct answer *an)
{
	struct op_stats *st = em->ops;

	while (st->name != NULL && st->name != op->name)
		st++;
	st->name = op->name;
	st->calls++;
	if (an->error == NULL)
		return;
	st->errors++;
	json_object_set_new(em->error_counts, an->error,
	    json_integer(json_integer_value(json_object_get(em->error_counts, an->error)) + 1));
}

/* The faults that are answers. True: the operation is not run. */
static bool
answer_fault(const struct fault *f, struct answer *an)
{
	switch (f->kind) {
	case FAULT_THROTTLE:
		answer_error(an, "ThrottlingException", "Rate exceeded");
		return true;
	case FAULT_LIMIT_EXCEEDED:
		answer_error(an, "LimitExceededException",
		    "Subscriber limit exceeded: too many simultaneous readers of the shard");
		return true;
	case FAULT_SERVER_ERROR:
		answer_error(an, "InternalServerError",
		    "The request processing has failed because of an unknown error");
		return true;
	case FAULT_EXPIRED_ITERATOR:
		answer_error(an, "ExpiredIteratorException", "The shard iterator is expired.");
		return true;
	case FAULT_ACCESS_DENIED:
		answer_error(an, "AccessDeniedException",
		    "User: arn:aws:iam::123456789012:user/reader is not authorized");
		return true;
	case FAULT_ERROR_200:
		answer_error(an, "InternalServerError", "an error that says it is none");
		an->status = 200;
		return true;
	case FAULT_UNAVAILABLE:
		answer_text(an, 503, "text/html", HTML);
		return true;
	case FAULT_HTML_200:
		answer_text(an, 200, "text/html", HTML);
		return true;
	case FAULT_EMPTY_200:
		answer_text(an, 200, "application/x-amz-json-1.0", "");
		return true;
	case FAULT_GZIP_BOMB:
		answer_gzip_bomb(an, f->bytes != 0 ? f->bytes : BOMB_BYTES);
		return true;
	case FAULT_NONE:
	case FAULT_DUPLICATE_PAGE:
	case FAULT_GZIP_CUT:
	case FAULT_WRONG_CRC:
	case FAULT_RESET_BEFORE:
	case FAULT_RESET_AFTER:
	case FAULT_TRUNCATE:
	case FAULT_DELAY:
	case FAULT_HANG:
	case FAULT_SLOW:
		return false;
	}
	return false;
}

/* The last half is missing, but for HTTP everything is in order. */
static void
cut_gzip(struct answer *an)
{
	struct evbuffer *half = evbuffer_new();

	answer_gzip(an);
	evbuffer_remove_buffer(an->body, half, evbuffer_get_length(an->body) / 2);
	evbuffer_free(an->body);
	an->body = half;
	an->crc_known = false;
}

/* The faults that are in the bytes or in the time. */
static struct wire_plan
plan_for(const struct fault *f, struct evbuffer *bytes, size_t body_n)
{
	struct wire_plan plan = {.bytes = bytes, .cut = SIZE_MAX, .end = WIRE_KEEP};
	size_t head_n = evbuffer_get_length(bytes) - body_n;

	if (f->kind == FAULT_RESET_BEFORE) {
		plan.cut = 0;
		plan.end = WIRE_RESET;
	} else if (f->kind == FAULT_RESET_AFTER) {
		plan.cut = head_n + f->bytes;
		plan.end = WIRE_RESET;
	} else if (f->kind == FAULT_TRUNCATE) {
		plan.cut = head_n + f->bytes;
		plan.end = WIRE_CUT;
	} else if (f->kind == FAULT_HANG) {
		plan.hang = true;
	} else if (f->kind == FAULT_DELAY) {
		plan.delay_ms = (unsigned)f->ms;
	} else if (f->kind == FAULT_SLOW) {
		plan.slow_bytes = f->bytes != 0 ? f->bytes : 1;
		plan.slow_ms = (unsigned)f->ms;
	}
	return plan;
}

static bool
has_token(struct slice list, const char *word)
{
	return list.p != NULL && memmem(list.p, list.n, word, strlen(word)) != NULL;
}

static void
finish(struct emulator *em, struct wire_conn *wc, const struct wire_request *rq, struct answer *an,
    const struct fault *f)
{
	size_t chunk = em->o.chunked ? em->o.chunk_bytes : 0;
	size_t body_n = evbuffer_get_length(an->body);
	struct wire_plan plan;
	struct evbuffer *bytes;

	if (f->kind == FAULT_GZIP_CUT)
		cut_gzip(an);
	else if (em->o.gzip && an->encoding == NULL && body_n != 0 &&
	    has_token(wire_header(rq, "accept-encoding"), "gzip"))
		answer_gzip(an);
	if (f->kind == FAULT_WRONG_CRC)
		an->crc = answer_crc(an) ^ 1;
	an->no_crc = em->o.no_crc;
	an->closing = has_token(wire_header(rq, "connection"), "close");
	body_n = evbuffer_get_length(an->body);
	bytes = answer_bytes(an, &em->rng, shown_s(em), chunk);
	plan = plan_for(f, bytes, body_n);
	if (an->closing && plan.end == WIRE_KEEP)
		plan.end = WIRE_CLOSE;
	wire_send(wc, &plan);
}

static void
run(struct emulator *em, const struct operation *op, struct slice body, struct answer *an,
    bool again)
{
	struct call c = {.em = em, .out = an, .again = again};
	json_error_t why;

	c.in = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
	if (json_is_object(c.in))
		op->run(&c);
	else
		answer_error(an, "SerializationException",
		    "Start of structure or map found where "
		    "not expected.");
	json_decref(c.in);
}

static struct fault
serve_service(struct emulator *em, const struct wire_request *rq, struct answer *an)
{
	struct fault f = {.kind = FAULT_NONE};
	const struct operation *op = find_target(wire_header(rq, "x-amz-target"));
	struct refusal why;

	if (op == NULL) {
		answer_error(an, "UnknownOperationException", "%s", "");
		return f;
	}
	f = faults_pick(&em->faults, op->name, &em->rng);
	if (em->verify.access_key != NULL && !verify_request(&em->verify, rq, shown_s(em), &why))
		answer_error(an, why.code, "%s", why.text);
	else if (!answer_fault(&f, an))
		run(em, op, rq->body, an, f.kind == FAULT_DUPLICATE_PAGE);
	count(em, op, an);
	return f;
}

static void
serve_control(struct emulator *em, const struct wire_request *rq, struct answer *an)
{
	struct slice name = {rq->path.p + strlen("/control/"), rq->path.n - strlen("/control/")};
	const struct operation *op = find(control_ops, name);

	if (op == NULL)
		answer_text(an, 404, "text/plain", "no such control call\n");
	else
		run(em, op, rq->body.n != 0 ? rq->body : SLICE_LIT("{}"), an, false);
}

void
dispatch(void *arg, struct wire_conn *wc, const struct wire_request *rq)
{
	struct emulator *em = arg;
	struct fault f = {.kind = FAULT_NONE};
	bool post = slice_is(rq->method, "POST");
	struct answer an;

	answer_init(&an);
	if (post && rq->path.n > 9 && memcmp(rq->path.p, "/control/", 9) == 0)
		serve_control(em, rq, &an);
	else if (post && slice_is(rq->path, "/"))
		f = serve_service(em, rq, &an);
	else if (slice_is(rq->method, "GET") && slice_is(rq->path, "/"))
		answer_text(&an, 200, "text/plain", "healthy: the emulator\n");
	else
		answer_text(&an, 404, "text/plain", "not found\n");
	finish(em, wc, rq, &an, &f);
	answer_close(&an);
}
