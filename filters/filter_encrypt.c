/* filters/filter_encrypt.c - `type: encrypt`: attributes that only holders of a key read.
 *
 *   value {"S":"x"} --crypt_seal(table, key, path)--> {"S":"slipring:1:KEYID:..."}
 *
 * Any value, maps and lists as a whole. `slipring decrypt` is the way back. What
 * cannot be sealed refuses its record; it never passes as it is.
 */
#include "filters/filter.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "filters/crypt.h"
#include "filters/crypt_path.h"
#include "filters/image.h"
#include "filters/key_file.h"
#include "record/key.h"
#include "record/value.h"

struct encrypt_conf {
	struct conf_list attributes;
	char *key_file;
};

struct filter {
	const struct encrypt_conf *conf; /* borrowed */
	struct image *image;		 /* owned */
	struct crypt *crypt;		 /* owned */
	struct buf key, path, sealed;
	const struct record *rec; /* that is passing */
	struct slice table;
	bool keyed;  /* key is that of rec */
	bool failed; /* something could not be sealed */
};

#define CONF(member) .ofs = offsetof(struct encrypt_conf, member)
static const struct conf_key keys[] = {
    {.name = "attributes",
	.type = CONF_LIST,
	.flags = CONF_REQUIRED,
	CONF(attributes),
	.doc = "Paths of what is encrypted, whatever its type; a name's star only at the end."},
    {.name = "key-file",
	.type = CONF_STR,
	.flags = CONF_REQUIRED,
	CONF(key_file),
	.doc = "A file with a key of 32 bytes, or 64 hexadecimal digits, that others cannot read."},
    {.name = NULL},
};

/* ---- one value ---- */

static void
write_path(struct filter *f, const struct image_at *at)
{
	const struct path *p = image_path(f->image, at->rule);
	size_t last = p->count - 1;
	struct buf name;

	buf_reset(&f->path);
	if (p->steps[last].kind != PATH_LIKE) {
		crypt_path_steps(&f->path, p, p->count);
		return;
	}
	crypt_path_steps(&f->path, p, last);
	name = BUF_INIT(LIMIT_PAGE_BODY);
	json_unescape(at->name, &name);
	crypt_path_name(&f->path, buf_slice(&name));
	f->path.failed |= name.failed;
	buf_close(&name);
}

static enum image_act
seal(void *arg, struct image_at *at)
{
	struct filter *f = arg;
	struct crypt_place place;

	if (at->key)
		return IMAGE_KEEP;
	if (!f->keyed) {
		buf_reset(&f->key);
		key_write(f->rec, NULL, &f->key);
		f->keyed = true;
	}
	write_path(f, at);
	place = (struct crypt_place){
	    .table = f->table, .key = buf_slice(&f->key), .path = buf_slice(&f->path)};
	buf_reset(&f->sealed);
	buf_add_str(&f->sealed, "{\"S\":\"");
	if (f->key.failed || f->path.failed || !crypt_seal(f->crypt, &place, at->value, &f->sealed))
		f->failed = true;
	buf_add_str(&f->sealed, "\"}");
	if (f->failed || f->sealed.failed) {
		f->failed = true;
		return IMAGE_DROP;
	}
	at->with = buf_slice(&f->sealed);
	return IMAGE_REPLACE;
}

/* ---- the filter ---- */

static enum filter_verdict
apply(struct filter *f, struct record *r, const struct origin *o, struct err *why)
{
	enum image_result result;

	f->rec = r;
	f->table = slice_of(o->table);
	f->keyed = f->failed = false;
	result = image_record(f->image, r, seal, f);
	if (f->failed || result == IMAGE_TOO_LARGE) {
		(void)err_set(why, ERR_REFUSED,
		    "its attributes could not be encrypted: too large, or out of memory");
		return FILTER_REJECT;
	}
	return result == IMAGE_CHANGED ? FILTER_REWRITE : FILTER_KEEP;
}

static void
close_filter(struct filter *f)
{
	if (f == NULL)
		return;
	image_close(f->image);
	crypt_close(f->crypt);
	buf_close(&f->key);
	buf_close(&f->path);
	buf_close(&f->sealed);
	free(f);
}

/* Which member it was would not be known when it is opened. */
static int
check_stars(const struct image *im, struct err *e)
{
	for (size_t i = 0; i < image_count(im); i++) {
		const struct path *p = image_path(im, i);

		for (size_t k = 0; k + 1 < p->count; k++)
			if (p->steps[k].kind == PATH_LIKE)
				return err_set(e, ERR_CONFIG,
				    "attributes: %.120s: a name with a star can only be the last",
				    p->text);
	}
	return 0;
}

static int
make(struct filter *f, const struct encrypt_conf *conf, struct err *e)
{
	f->conf = conf;
	f->key = BUF_INIT(LIMIT_PAGE_BODY);
	f->path = BUF_INIT(LIMIT_PAGE_BODY);
	f->sealed = BUF_INIT(LIMIT_PAGE_BODY);
	f->image = image_new(IMAGE_EDIT);
	if (image_add_list(f->image, "attributes", &conf->attributes, e) != 0)
		return -1;
	return check_stars(f->image, e);
}

static int
check(const void *conf, struct err *e)
{
	struct filter *f = mem_new(sizeof *f);
	int r = make(f, conf, e);

	close_filter(f);
	return r;
}

static int
suits(const void *conf, const struct filter_stream *s, struct err *e)
{
	struct filter *f = mem_new(sizeof *f);
	const struct path *key = NULL;
	int r = make(f, conf, e);

	if (r == 0)
		key = image_key_path(f->image, &s->schema);
	if (key != NULL)
		r = err_set(e, ERR_CONFIG,
		    "%.120s is a key attribute, which is never encrypted; hash it with a redact "
		    "that has keys: true, or leave it out of attributes",
		    key->text);
	close_filter(f);
	return r;
}

static int
open_filter(struct filter **out, const char *name, const void *conf, struct err *e)
{
	struct filter *f = mem_new(sizeof *f);
	struct secret key = {.bytes = NULL};
	int r;

	(void)name;
	r = make(f, conf, e);
	if (r == 0)
		r = key_file_read(f->conf->key_file, &key, e);
	if (r == 0)
		r = crypt_new(&f->crypt, &key, e);
	secret_clear(&key);
	if (r != 0) {
		close_filter(f);
		return -1;
	}
	*out = f;
	return 0;
}

const struct filter_ops filter_encrypt = {
    .api = FILTER_API,
    .type = "encrypt",
    .help = "Encrypts attributes, so that only who has the key file reads them.",
    .conf_size = sizeof(struct encrypt_conf),
    .keys = keys,
    .check = check,
    .suits = suits,
    .open = open_filter,
    .apply = apply,
    .close = close_filter,
};
