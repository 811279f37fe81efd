/* pipeline/letters.c - see letters.h. */
#include "pipeline/letters.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "checkpoint/letters.h"
#include "record/key.h"

#define FIRST_CAP 64u

void
letters_init(struct letters *ls)
{
	*ls = (struct letters){.cap = FIRST_CAP};
	ls->table = mem_array(ls->cap, sizeof *ls->table);
}

/* ---- sources ---- */

static struct letter_source *
source_get(struct letters *ls, const char *arn, const char *shard)
{
	uint64_t hash = key_hash(slice_of(shard));
	struct letter_source **at = &ls->sources[hash % ARRAY_LEN(ls->sources)], *so;

	for (so = *at; so != NULL; so = so->chain)
		if (so->hash == hash && strcmp(so->shard, shard) == 0 && strcmp(so->arn, arn) == 0)
			break;
	if (so == NULL) {
		so = mem_new(sizeof *so);
		*so = (struct letter_source){
		    .chain = *at, .hash = hash, .arn = mem_strdup(arn), .shard = mem_strdup(shard)};
		*at = so;
	}
	so->refs++;
	return so;
}

static void
source_put(struct letters *ls, struct letter_source *so)
{
	struct letter_source **at = &ls->sources[so->hash % ARRAY_LEN(ls->sources)];

	if (--so->refs != 0)
		return;
	while (*at != so)
		at = &(*at)->chain;
	*at = so->chain;
	free(so->arn);
	free(so->shard);
	free(so);
}

/* ---- the table ---- */

static struct letter **
bucket_of(const struct letters *ls, uint64_t hash)
{
	return &ls->table[(size_t)(hash >> 20) & (ls->cap - 1)];
}

static void
grow(struct letters *ls)
{
	free(ls->table);
	ls->cap *= 2;
	ls->table = mem_array(ls->cap, sizeof *ls->table);
	for (struct letter *lt = ls->first; lt != NULL; lt = lt->next) {
		struct letter **at = bucket_of(ls, lt->key_hash);

		lt->chain = *at;
		*at = lt;
	}
}

static struct letter *
same_key(struct letter *lt, uint64_t hash)
{
	while (lt != NULL && lt->key_hash != hash)
		lt = lt->chain;
	return lt;
}

struct letter *
letters_of_key(const struct letters *ls, uint64_t key_hash)
{
	return ls->count != 0 ? same_key(*bucket_of(ls, key_hash), key_hash) : NULL;
}

struct letter *
letters_next_of_key(const struct letter *lt)
{
	return same_key(lt->chain, lt->key_hash);
}

struct letter *
letters_find(const struct letters *ls, const struct dead_letter *d)
{
	struct letter *lt = letters_of_key(ls, d->key_hash);

	for (; lt != NULL; lt = letters_next_of_key(lt))
		if (seq_cmp(&lt->seq, &d->seq) == 0 && strcmp(lt->source->shard, d->shard) == 0 &&
		    strcmp(lt->source->arn, d->arn) == 0)
			return lt;
	return NULL;
}

struct letter *
letters_add(struct letters *ls, const struct dead_letter *d, bool *known)
{
	struct letter *lt = letters_find(ls, d), **at;

	*known = lt != NULL;
	if (lt != NULL)
		return lt;
	if (ls->count >= ls->cap)
		grow(ls);
	at = bucket_of(ls, d->key_hash);
	lt = mem_new(sizeof *lt);
	*lt = (struct letter){.chain = *at,
	    .prev = ls->last,
	    .source = source_get(ls, d->arn, d->shard),
	    .id = d->id,
	    .key_hash = d->key_hash,
	    .first_us = d->first_us,
	    .seq = d->seq};
	*at = lt;
	if (ls->last != NULL)
		ls->last->next = lt;
	else
		ls->first = lt;
	ls->last = lt;
	ls->count++;
	if (d->superseded != NULL && d->superseded[0] != '\0')
		letters_supersede(ls, lt);
	return lt;
}

void
letters_supersede(struct letters *ls, struct letter *lt)
{
	ls->superseded += !lt->superseded;
	lt->superseded = true;
}

void
letters_remove(struct letters *ls, struct letter *lt)
{
	struct letter **at = bucket_of(ls, lt->key_hash);

	while (*at != lt)
		at = &(*at)->chain;
	*at = lt->chain;
	if (lt->prev != NULL)
		lt->prev->next = lt->next;
	else
		ls->first = lt->next;
	if (lt->next != NULL)
		lt->next->prev = lt->prev;
	else
		ls->last = lt->prev;
	ls->count--;
	ls->superseded -= lt->superseded;
	source_put(ls, lt->source);
	free(lt);
}

void
letters_close(struct letters *ls)
{
	while (ls->first != NULL)
		letters_remove(ls, ls->first);
	free(ls->table);
	ls->table = NULL;
}

bool
letter_same_item(
    const struct letter *lt, const struct record *r, const struct origin *o, int *order)
{
	const char *arn = lt->source->arn;

	if (strcmp(arn, o->arn) == 0) {
		*order = seq_cmp(&lt->seq, &r->seq);
		return true;
	}
	if (!slice_eq(arn_table_part(arn), arn_table_part(o->arn)))
		return false;
	*order = strcmp(arn_label(arn), arn_label(o->arn));
	return true;
}
