/* sinks/rows_cells.c - a record as the cells of a layout: one walk over its keys,
 * one over its image.
 */
#include "sinks/rows_priv.h"

#include "record/value.h"
#include "record/version.h"

struct row { /* what one call works on */
	const struct rows_layout *l;
	const struct record *r;
	const struct origin *o;
	struct buf *arena;
	struct rows_cell *cells;
	struct err *e;
};

static int
set_value(struct row *w, size_t i, struct slice value)
{
	const struct rows_column *c = &w->l->columns[i];

	if ((c->key ? rows_key_value : rows_value)(
		value, c->type, w->l->flags, w->arena, &w->cells[i], w->e) == 0)
		return 0;
	if (w->e->code == ERR_LIMIT)
		return -1;
	return err_prefix(w->e, "column \"%.60s\", path %.100s", c->name, c->path->text);
}

static int
set_key(struct row *w, struct slice raw, struct slice value, size_t *found)
{
	const struct rows_layout *l = w->l;

	for (size_t i = 0; i < l->key_count; i++) {
		if (!path_name_is(raw, slice_of(l->columns[i].path->steps[0].name)))
			continue;
		if (set_value(w, i, value) != 0)
			return -1;
		(*found)++;
		return 0;
	}
	return err_set(w->e, ERR_REFUSED,
	    "the record's key attributes are not those of the first record of its table");
}

static int
set_keys(struct row *w)
{
	struct json_iter it = json_iter(w->r->keys);
	struct slice raw, value;
	size_t found = 0;

	while (json_next(&it, &raw, &value))
		if (set_key(w, raw, value, &found) != 0)
			return -1;
	if (found != w->l->key_count)
		return err_set(w->e, ERR_REFUSED,
		    "the record lacks a key attribute that the first record of its table has");
	return 0;
}

static int
set_root(struct row *w, const struct rows_root *root, struct slice value)
{
	for (size_t i = root->first; i != SIZE_MAX; i = w->l->columns[i].next) {
		struct slice v = path_walk(w->l->columns[i].path, value);

		if (v.p != NULL && w->cells[i].null && set_value(w, i, v) != 0)
			return -1;
	}
	return 0;
}

/* Images list their attributes in much the same order every time: the root behind the
 * one that was found last is looked at first. */
static int
set_mapped(struct row *w, struct slice image)
{
	const struct rows_layout *l = w->l;
	struct json_iter it = json_iter(image);
	struct slice raw, value;
	size_t guess = 0;

	while (l->root_count != 0 && json_next(&it, &raw, &value))
		for (size_t n = 0, i = guess; n < l->root_count; n++) {
			if (path_name_is(raw, l->roots[i].name)) {
				if (set_root(w, &l->roots[i], value) != 0)
					return -1;
				guess = i + 1 < l->root_count ? i + 1 : 0;
				break;
			}
			i = i + 1 < l->root_count ? i + 1 : 0;
		}
	return 0;
}

static int
set_json(struct row *w, size_t i, struct slice image)
{
	if (image.p == NULL)
		return 0;
	if (rows_json(image, w->l->flags, w->arena, &w->cells[i], w->e) == 0)
		return 0;
	if (w->e->code == ERR_LIMIT)
		return -1;
	return err_prefix(w->e, "column \"%.60s\"", w->l->columns[i].name);
}

static int
set_raw(struct row *w, size_t i, struct slice raw)
{
	if (raw.p == NULL)
		return 0;
	if (rows_text(raw, w->l->flags, w->arena, &w->cells[i], w->e) == 0)
		return 0;
	return err_prefix(w->e, "column \"%.60s\"", w->l->columns[i].name);
}

static void
set_text(struct rows_cell *c, const char *text)
{
	if (text == NULL)
		return;
	*c = (struct rows_cell){.p = text, .n = strlen(text)};
}

static void
set_version(struct row *w, struct rows_cell *c)
{
	size_t at = w->arena->n;

	version_write(w->r, w->o, w->arena);
	*c = (struct rows_cell){.at = at, .n = w->arena->n - at};
}

/* Everything that is neither a key attribute nor mapped. */
static int
set_other(struct row *w, size_t i, struct slice image)
{
	struct rows_cell *c = &w->cells[i];
	const struct record *r = w->r;

	switch ((enum rows_source)w->l->columns[i].source) {
	case FROM_PATH:
	case FROM_KEY:
		return 0;
	case FROM_IMAGE:
		return set_json(w, i, image);
	case FROM_VERSION:
		set_version(w, c);
		return 0;
	case FROM_STREAM:
		set_text(c, w->o->arn != NULL ? w->o->arn : w->o->label);
		return 0;
	case FROM_SHARD:
		set_text(c, w->o->shard);
		return 0;
	case FROM_SEQUENCE:
		*c = (struct rows_cell){.p = r->seq.digits, .n = sizeof r->seq.digits};
		return 0;
	case FROM_EVENT_ID:
		return set_raw(w, i, r->event_id);
	case FROM_EVENT:
		return set_raw(w, i, r->event_name);
	case FROM_CREATED:
		c->null = (r->flags & RECORD_NO_TIME) != 0;
		c->number = r->created_us;
		return 0;
	case FROM_KEYS:
		return set_json(w, i, r->keys);
	case FROM_NEW:
		return set_json(w, i, r->new_image);
	case FROM_OLD:
		return set_json(w, i, r->old_image);
	}
	return 0;
}

static int
set_all(struct row *w, struct slice image)
{
	if (w->l->mode == ROWS_TABLE && set_keys(w) != 0)
		return -1;
	if (image.p != NULL && set_mapped(w, image) != 0)
		return -1;
	for (size_t i = 0; i < w->l->count; i++)
		if (set_other(w, i, image) != 0)
			return -1;
	return w->arena->failed
	    ? err_set(
		  w->e, ERR_LIMIT, "the values of the record do not fit into the memory for them")
	    : 0;
}

/* The image whose values the row has; SLICE_NONE: none. */
static int
choose(const struct rows_layout *l, const struct record *r, enum rows_op *op, struct slice *image,
    struct err *e)
{
	*op = ROWS_UPSERT;
	*image = r->new_image;
	if (l->mode == ROWS_LOG) {
		if (image->p == NULL)
			*image = r->old_image;
		return 0;
	}
	if (r->event == RECORD_REMOVE) {
		*op = ROWS_DELETE;
		*image = SLICE_NONE;
		return 0;
	}
	if (r->new_image.p != NULL)
		return 0;
	if (r->event == RECORD_UNKNOWN)
		return err_set(e, ERR_REFUSED,
		    "the record's event is unknown and it has no new image: it is no row");
	return err_set(e, ERR_CONFIG,
	    "the stream's records carry no new image, so there are no rows to write: its view type "
	    "must be"
	    " NEW_IMAGE or NEW_AND_OLD_IMAGES; or use mode: log");
}

int
rows_cells(const struct rows_layout *l, const struct record *r, const struct origin *o,
    enum rows_op *op, struct buf *arena, struct rows_cell *cells, struct err *e)
{
	struct row w = {l, r, o, arena, cells, e};
	size_t start = arena->n;
	struct slice image;

	for (size_t i = 0; i < l->count; i++)
		cells[i] = (struct rows_cell){.null = true};
	if (choose(l, r, op, &image, e) != 0)
		return -1;
	if (set_all(&w, image) == 0)
		return 0;
	arena->n = start;
	arena->failed = false;
	return -1;
}
