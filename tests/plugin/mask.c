/* mask.c - a sample plug-in for Slipring: stars in the place of a text's characters.
 *
 *     cc -std=c99 -O2 -fPIC -shared -o mask.so mask.c
 *
 *     filters:
 *       no-mail:
 *         type: plugin
 *         path: /usr/local/lib/slipring/mask.so
 *         options: {attribute: mail, show: 4, unless: internal}
 *
 * In both images, all but the last `show` bytes of the attribute become stars. A change
 * whose item has the attribute `unless` is dropped; one whose attribute is no text is
 * rejected.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <slipring/plugin.h>

struct mask {
	const struct slipring_host *host;
	char *attribute, *unless; /* owned; unless: or NULL */
	size_t show;
	char *out; /* owned; kept from one record to the next */
	size_t room;
};

static char *
copy(const char *s)
{
	size_t n = strlen(s) + 1;
	char *p = malloc(n);

	if (p != NULL)
		memcpy(p, s, n);
	return p;
}

static void
mask_close(void *state)
{
	struct mask *m = state;

	free(m->attribute);
	free(m->unless);
	free(m->out);
	free(m);
}

static int
set_option(struct mask *m, const char *name, const char *value)
{
	if (strcmp(name, "attribute") == 0)
		return (m->attribute = copy(value)) == NULL;
	if (strcmp(name, "unless") == 0)
		return (m->unless = copy(value)) == NULL;
	if (strcmp(name, "show") != 0)
		return -1;
	m->show = strtoul(value, NULL, 10);
	return 0;
}

static int
mask_open(const struct slipring_setup *s, void **state)
{
	struct mask *m = calloc(1, sizeof *m);

	if (m == NULL)
		return -1;
	m->host = s->host;
	for (size_t i = 0; i < s->option_count; i++)
		if (set_option(m, s->option_names[i], s->option_values[i]) != 0) {
			snprintf(
			    s->why, s->why_room, "option \"%s\" is not known", s->option_names[i]);
			mask_close(m);
			return -1;
		}
	if (m->attribute == NULL) {
		snprintf(s->why, s->why_room, "option \"attribute\" is missing");
		mask_close(m);
		return -1;
	}
	m->host->log(s->filter, SLIPRING_INFO, "ready to mask");
	*state = m;
	return 0;
}

/* Room for n bytes in out; 0 or -1. */
static int
make_room(struct mask *m, size_t n)
{
	char *p;

	if (n <= m->room)
		return 0;
	p = realloc(m->out, n);
	if (p == NULL)
		return -1;
	m->out = p;
	m->room = n;
	return 0;
}

/* {"S":"text"} with stars, as long as it was. What is shown is counted in bytes as they
 * stand there, and begins with a whole character. */
static void
mask_value(char *value, size_t n, size_t show)
{
	char *from = memchr(value, ':', n), *end = value + n;

	while (*--end != '"')
		continue;
	from = memchr(from, '"', (size_t)(end - from));
	if (from == NULL || (size_t)(end - from) <= show)
		return;
	/* Neither half a character nor half an escape is left over. */
	if (memchr(from, '\\', (size_t)(end - from)) != NULL)
		show = 0;
	for (from++; from + show < end || ((unsigned char)*from & 0xc0) == 0x80; from++)
		*from = '*';
}

static int
mask_image(struct mask *m, struct slipring_record *r, uint32_t which)
{
	struct slipring_text image = m->host->image(r, which);
	struct slipring_text value = m->host->attribute(r, which, m->attribute);

	if (value.p == NULL)
		return 0;
	if (make_room(m, image.n) != 0)
		return -1;
	memcpy(m->out, image.p, image.n);
	mask_value(m->out + (value.p - image.p), value.n, m->show);
	image.p = m->out;
	return m->host->replace(r, which, image);
}

static uint32_t
mask_apply(void *state, struct slipring_record *r)
{
	static const uint32_t images[2] = {SLIPRING_NEW, SLIPRING_OLD};
	struct mask *m = state;
	struct slipring_text value;

	for (int i = 0; i < 2; i++) {
		if (m->unless != NULL && m->host->attribute(r, images[i], m->unless).p != NULL)
			return SLIPRING_DROP;
		value = m->host->attribute(r, images[i], m->attribute);
		if (value.p != NULL && m->host->string(value, NULL, 0) < 0)
			return m->host->reject(r, "the attribute to mask is no text");
		if (mask_image(m, r, images[i]) != 0)
			return m->host->reject(r, "out of memory");
	}
	return SLIPRING_KEEP;
}

const struct slipring_plugin slipring_plugin = {
    SLIPRING_PLUGIN_ABI,
    sizeof(struct slipring_plugin),
    "mask 1.0",
    mask_open,
    mask_apply,
    mask_close,
};
