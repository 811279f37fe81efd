/* base/conf_priv.h - what the files of conf share and nobody else needs. */
#ifndef BASE_CONF_PRIV_H
#define BASE_CONF_PRIV_H

#include "base/conf.h"

/* Operator's text as a message may show it: control characters escaped, cut
 * after some 60 bytes. */
struct conf_shown {
	char s[96];
};
struct conf_shown conf_show(const char *text);

/* A member of obj by its table entry. */
static inline void *
conf_field(const struct conf_key *k, void *obj)
{
	return (char *)obj + k->ofs;
}
static inline const void *
conf_field_const(const struct conf_key *k, const void *obj)
{
	return (const char *)obj + k->ofs;
}

/* Plain "", "~" and "null" are YAML's ways to say nothing. */
bool conf_is_null(const struct conf_node *v);
bool conf_parse_bool(const char *text, bool *out);

/* As the parsers read it back. */
void conf_write_duration(struct buf *out, int64_t us);
void conf_write_size(struct buf *out, int64_t bytes);
/* INT, DURATION or SIZE in the spelling of its type. */
void conf_write_number(struct buf *out, enum conf_type type, int64_t v);
/* "a, b or c" */
void conf_write_words(struct buf *out, const char *const *words);

#endif
