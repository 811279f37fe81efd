/* record/members.c - see members.h. */
#include "record/members.h"

#include <stdlib.h>

#include "record/text.h"

/* Equal names keep the order in which they came. */
static int
cmp_member(const struct member *x, const struct member *y)
{
	int r = text_cmp(x->name, y->name);

	if (r != 0)
		return r;
	return x->name.p < y->name.p ? -1 : x->name.p > y->name.p;
}

static int
cmp_entry(const void *a, const void *b)
{
	return cmp_member(a, b);
}

static int
cmp_pointer(const void *a, const void *b)
{
	return cmp_member(*(struct member *const *)a, *(struct member *const *)b);
}

static void
grow(struct members *m, size_t room)
{
	bool was_small = m->v == m->small;
	struct member *v = reallocarray(was_small ? NULL : m->v, room, sizeof *v);

	if (v == NULL && !was_small)
		free(m->v);
	if (v != NULL && was_small)
		memcpy(v, m->small, sizeof m->small);
	m->v = v;
}

struct json_iter
members_iter(struct slice object)
{
	struct json_iter it = json_iter(object);

	if (!it.object)
		it.p = it.end;
	return it;
}

void
members_open(struct members *m, struct slice object)
{
	struct json_iter it = members_iter(object);
	size_t room = MEMBERS_SMALL;
	struct member mb;

	m->object = object;
	m->n = m->next = 0;
	m->v = m->small;
	m->by_name = NULL;
	while (json_next(&it, &mb.name, &mb.value)) {
		if (m->v != NULL && m->n == room)
			grow(m, room *= 2);
		if (m->v != NULL)
			m->v[m->n] = mb;
		m->n++;
	}
}

void
members_close(struct members *m)
{
	if (m->v != m->small)
		free(m->v);
	free(m->by_name);
}

static bool
find_by_walk(struct slice object, struct slice raw_name, struct slice *value)
{
	struct json_iter it = members_iter(object);
	struct slice name;

	while (json_next(&it, &name, value))
		if (json_string_eq(name, raw_name))
			return true;
	return false;
}

static bool
make_index(struct members *m)
{
	if (m->by_name != NULL)
		return true;
	m->by_name = reallocarray(NULL, m->n, sizeof(struct member *));
	if (m->by_name == NULL)
		return false;
	for (size_t i = 0; i < m->n; i++)
		m->by_name[i] = &m->v[i];
	qsort(m->by_name, m->n, sizeof(struct member *), cmp_pointer);
	return true;
}

/* The first in the index that is not below the name. */
static struct member *
search_index(struct members *m, struct slice raw_name)
{
	size_t low = 0, high = m->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (text_cmp(m->by_name[mid]->name, raw_name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == m->n || !json_string_eq(m->by_name[low]->name, raw_name))
		return NULL;
	return m->by_name[low];
}

static struct member *
search_small(struct members *m, struct slice raw_name)
{
	for (size_t i = 0; i < m->n; i++)
		if (json_string_eq(m->v[i].name, raw_name))
			return &m->v[i];
	return NULL;
}

bool
members_find(struct members *m, struct slice raw_name, struct slice *value)
{
	struct member *mb;

	if (m->v == NULL)
		return find_by_walk(m->object, raw_name, value);
	if (m->next < m->n && slice_eq(m->v[m->next].name, raw_name))
		mb = &m->v[m->next];
	else if (m->n <= MEMBERS_SMALL)
		mb = search_small(m, raw_name);
	else if (make_index(m))
		mb = search_index(m, raw_name);
	else
		return find_by_walk(m->object, raw_name, value);
	if (mb == NULL)
		return false;
	m->next = (size_t)(mb - m->v) + 1;
	*value = mb->value;
	return true;
}

bool
members_sort(struct members *m)
{
	if (m->v == NULL)
		return false;
	qsort(m->v, m->n, sizeof *m->v, cmp_entry);
	return true;
}
