/* bad_record.c - opens, or not, and then does the wrong thing with each record, by its
 * option `do`; `do: print` logs what the host says of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <slipring/plugin.h>

#define LARGE (5u << 20)

struct bad {
	const struct slipring_host *host;
	struct slipring_filter *filter;
	struct slipring_record *kept;
	char what[64], json[4096];
};

static int
fail(const struct slipring_setup *s, const char *what)
{
	if (strcmp(what, "fail") == 0)
		snprintf(
		    s->why, s->why_room, "no licence for \"%s\"\nsecond\x1b[31m line", s->name);
	else if (strcmp(what, "fail-unterminated") == 0)
		memset(s->why, 'x', s->why_room);
	else if (strcmp(what, "fail-silently") != 0)
		return 0;
	return 1;
}

static int
bad_open(const struct slipring_setup *s, void **state)
{
	struct bad *b = calloc(1, sizeof *b);

	if (b == NULL)
		return -1;
	b->host = s->host;
	b->filter = s->filter;
	for (size_t i = 0; i < s->option_count; i++) {
		if (strcmp(s->option_names[i], "do") == 0)
			snprintf(b->what, sizeof b->what, "%s", s->option_values[i]);
		if (strcmp(s->option_names[i], "json") == 0)
			snprintf(b->json, sizeof b->json, "%s", s->option_values[i]);
	}
	if (fail(s, b->what) != 0) {
		free(b);
		return -1;
	}
	*state = b;
	return 0;
}

/* ---- what the host says ---- */

static void
say(const struct bad *b, const char *what, struct slipring_text t)
{
	char line[512];

	if (t.p == NULL)
		snprintf(line, sizeof line, "%s: absent", what);
	else
		snprintf(line, sizeof line, "%s: %.*s", what, (int)t.n, t.p);
	b->host->log(b->filter, SLIPRING_INFO, line);
}

static void
say_string(const struct bad *b, const char *what, struct slipring_text value, size_t room)
{
	char text[64], line[128];
	int64_t n = b->host->string(value, text, room);
	int shown = n > 0 && (size_t)n <= room ? (int)n : 0;

	snprintf(line, sizeof line, "%s: %d %.*s", what, (int)n, shown, text);
	b->host->log(b->filter, SLIPRING_INFO, line);
}

static void
print_record(const struct bad *b, const struct slipring_record *r)
{
	const struct slipring_host *h = b->host;
	char line[128];

	snprintf(line, sizeof line, "event %u, time %lld, expired %d", (unsigned)h->event(r),
	    (long long)h->time_us(r), h->expired(r));
	h->log(b->filter, SLIPRING_WARN, line);
	say(b, "sequence", h->sequence(r));
	say(b, "stream", h->stream(r));
	say(b, "table", h->table(r));
	say(b, "keys", h->image(r, SLIPRING_KEYS));
	say(b, "new", h->image(r, SLIPRING_NEW));
	say(b, "old", h->image(r, SLIPRING_OLD));
	say(b, "part 7", h->image(r, 7));
	say(b, "pk", h->attribute(r, SLIPRING_KEYS, "pk"));
	say(b, "a.b", h->attribute(r, SLIPRING_NEW, "a.b"));
	say(b, "old pk", h->attribute(r, SLIPRING_OLD, "pk"));
}

static void
print_values(const struct bad *b, const struct slipring_record *r)
{
	static const struct slipring_text absent = {NULL, 0}, text = {"{\"S\":\"x\"}", 9};
	const struct slipring_host *h = b->host;
	struct slipring_text m = h->attribute(r, SLIPRING_NEW, "m");

	say(b, "m.l[1]", h->element(h->member(m, "l"), 1));
	say(b, "m.l[2]", h->element(h->member(m, "l"), 2));
	say(b, "m.x", h->member(m, "x"));
	say(b, "of nothing", h->member(absent, "x"));
	say(b, "of no map", h->member(text, "x"));
	say(b, "of no list", h->element(text, 0));
	say_string(b, "s", h->member(m, "s"), 64);
	say_string(b, "s in 2", h->member(m, "s"), 2);
	say_string(b, "n", h->member(m, "n"), 64);
	say_string(b, "l", h->member(m, "l"), 64);
	say_string(b, "nothing", absent, 64);
	h->log(b->filter, SLIPRING_INFO, NULL);
	h->log(b->filter, 99, SLIPRING_HAS(h, log) ? "level 99" : "no log");
}

/* ---- the wrong things ---- */

static int
replace(struct bad *b, struct slipring_record *r, uint32_t which)
{
	struct slipring_text t;

	t.p = b->json;
	t.n = strlen(b->json);
	return b->host->replace(r, which, t);
}

static int
replace_large(struct bad *b, struct slipring_record *r)
{
	struct slipring_text t = {NULL, LARGE};
	char *p = malloc(LARGE);
	int result;

	if (p == NULL)
		abort();
	memset(p, ' ', LARGE);
	t.p = p;
	result = b->host->replace(r, SLIPRING_NEW, t);
	free(p);
	return result;
}

/* The second and third from what the one before has put there. */
static int
replace_thrice(struct bad *b, struct slipring_record *r)
{
	return replace(b, r, SLIPRING_NEW) != 0 ||
	    b->host->replace(r, SLIPRING_NEW, b->host->image(r, SLIPRING_NEW)) != 0 ||
	    b->host->replace(r, SLIPRING_NEW, b->host->image(r, SLIPRING_NEW)) != 0;
}

/* Not 0 when the host said no. */
static int
try_to_replace(struct bad *b, struct slipring_record *r)
{
	static const struct slipring_text none = {NULL, 0};

	if (strcmp(b->what, "keys") == 0)
		return replace(b, r, SLIPRING_KEYS);
	if (strcmp(b->what, "new") == 0)
		return replace(b, r, SLIPRING_NEW);
	if (strcmp(b->what, "old") == 0)
		return replace(b, r, SLIPRING_OLD);
	if (strcmp(b->what, "both") == 0)
		return replace(b, r, SLIPRING_NEW) | replace(b, r, SLIPRING_OLD);
	if (strcmp(b->what, "thrice") == 0)
		return replace_thrice(b, r);
	if (strcmp(b->what, "large") == 0)
		return replace_large(b, r);
	if (strcmp(b->what, "none") == 0)
		return b->host->replace(r, SLIPRING_NEW, none);
	return 0;
}

static uint32_t
bad_apply(void *state, struct slipring_record *r)
{
	struct bad *b = state;

	if (strcmp(b->what, "print") == 0) {
		print_record(b, r);
		print_values(b, r);
		b->kept = r;
	}
	if (strcmp(b->what, "nonsense") == 0)
		return 42;
	if (strcmp(b->what, "zero") == 0)
		return 0;
	if (strcmp(b->what, "drop") == 0)
		return SLIPRING_DROP;
	if (strcmp(b->what, "reject") == 0)
		return SLIPRING_REJECT;
	if (strcmp(b->what, "reject-null") == 0)
		return b->host->reject(r, NULL);
	if (strcmp(b->what, "reject-and-keep") == 0) {
		(void)b->host->reject(r, "first\nreason");
		(void)b->host->reject(r, "second");
	}
	/* Dropped, so that only the host can have rejected it. */
	return try_to_replace(b, r) != 0 ? SLIPRING_DROP : SLIPRING_KEEP;
}

static void
bad_close(void *state)
{
	struct bad *b = state;

	/* A handle that was kept is empty by now, and not to be replaced anything in. */
	if (b->kept != NULL) {
		print_record(b, b->kept);
		say(b, "kept", b->host->attribute(b->kept, SLIPRING_NEW, "pk"));
		(void)replace(b, b->kept, SLIPRING_NEW);
		(void)b->host->reject(b->kept, "too late");
	}
	free(b);
}

const struct slipring_plugin slipring_plugin = {
    SLIPRING_PLUGIN_ABI,
    sizeof(struct slipring_plugin),
    "bad record 0.1",
    bad_open,
    bad_apply,
    bad_close,
};
