/* sinks/opensearch_conf.c - what can be configured of the OpenSearch sink, and what of
 * it does not go together. Pure.
 */
#include "sinks/opensearch_priv.h"

#include <string.h>

#include "sinks/template.h"

#define OFS(member) offsetof(struct os_conf, member)

const char *const os_mode_words[] = {"overwrite", "guarded", NULL};
static const char *const document_words[] = {"plain", "envelope", NULL};
static const char *const id_words[] = {"key", "stream-key", NULL};
static const char *const auth_words[] = {"none", "basic", "sigv4", NULL};
static const char *const service_words[] = {"es", "aoss", NULL};

const struct conf_key os_keys[] = {
    {.name = "url",
	.type = CONF_LIST,
	.flags = CONF_REQUIRED,
	.ofs = OFS(urls),
	.doc = "The cluster, such as https://search:9200; of several, the next is used when one "
	       "does not answer."},
    {.name = "index",
	.type = CONF_STR,
	.flags = CONF_REQUIRED,
	.ofs = OFS(index),
	.doc = "The index, or alias, that documents go to; {table} and {stream} stand for the "
	       "record's, in lower case."},
    {.name = "mode",
	.type = CONF_ENUM,
	.ofs = OFS(mode),
	.def = "overwrite",
	.words = os_mode_words,
	.doc = "overwrite: the last write wins. guarded: a script in the cluster refuses what is "
	       "not newer, and deleted items leave a marker."},
    {.name = "documents",
	.type = CONF_ENUM,
	.ofs = OFS(documents),
	.def = "plain",
	.words = document_words,
	.doc = "What a document is: the item's attributes as fields (plain), or the whole change "
	       "(envelope)."},
    {.name = "id",
	.type = CONF_ENUM,
	.ofs = OFS(id),
	.def = "key",
	.words = id_words,
	.doc = "What _id is made of: the item's key, or our name of the stream and the key, for "
	       "several tables in one index."},
    {.name = "bulk.size",
	.type = CONF_SIZE,
	.ofs = OFS(bulk_bytes),
	.def = "5MiB",
	.min = 1024,
	.max = 64 << 20,
	.doc = "A request is full at this many bytes of body; how many records: batch.count."},
    {.name = "workers",
	.type = CONF_INT,
	.ofs = OFS(workers),
	.def = "2",
	.min = 1,
	.max = 64,
	.doc = "Requests under way at the same time."},
    {.name = "timeout",
	.type = CONF_DURATION,
	.ofs = OFS(timeout_us),
	.def = "60s",
	.min = 100 * USEC_MS,
	.max = 3600 * USEC_SEC,
	.doc = "A request without a complete answer by then is tried again."},
    {.name = "gzip",
	.type = CONF_BOOL,
	.ofs = OFS(gzip),
	.def = "false",
	.doc = "Compress requests: for a network that is slower than a core."},
    {.name = "auth",
	.type = CONF_ENUM,
	.ofs = OFS(auth),
	.def = "none",
	.words = auth_words,
	.doc = "How requests prove who we are: not at all or by client certificate (none), by user "
	       "and password (basic), by AWS keys (sigv4)."},
    {.name = "user", .type = CONF_STR, .ofs = OFS(user), .doc = "For auth: basic."},
    {.name = "password", .type = CONF_SECRET, .ofs = OFS(password), .doc = "For auth: basic."},
    {.name = "service",
	.type = CONF_ENUM,
	.ofs = OFS(service),
	.def = "es",
	.words = service_words,
	.doc = "For auth: sigv4: Amazon OpenSearch Service (es), or its serverless form (aoss)."},
    {.name = "region",
	.type = CONF_STR,
	.ofs = OFS(region),
	.doc = "For auth: sigv4; without it AWS_REGION, then the profile's."},
    {.name = "profile",
	.type = CONF_STR,
	.ofs = OFS(profile),
	.doc = "For auth: sigv4: the profile of the shared AWS files; without it the environment."},
    {.name = "ca-file",
	.type = CONF_STR,
	.ofs = OFS(ca_file),
	.doc = "PEM file of the authorities to trust instead of the system's."},
    {.name = "client-certificate",
	.type = CONF_STR,
	.ofs = OFS(cert_file),
	.doc = "PEM file of a certificate that we show to the cluster."},
    {.name = "client-key",
	.type = CONF_STR,
	.ofs = OFS(key_file),
	.doc = "PEM file of its key, if that is not in the same file."},
    {.name = "client-key-passphrase",
	.type = CONF_SECRET,
	.ofs = OFS(key_passphrase),
	.doc = "Of an encrypted client-key."},
    {.name = NULL},
};

/* ---- configuration ---- */

static int
check_index(const struct os_conf *c, struct err *e)
{
	static const struct key_schema schema;
	const struct origin o = {.stream = "s", .table = "t", .schema = &schema};
	struct buf name = BUF_INIT(64u << 10);
	int r;

	if (template_check(c->index, e) != 0)
		return err_prefix(e, "opensearch: index");
	if (template_varies(c->index))
		return err_set(e, ERR_CONFIG,
		    "opensearch: index may not have {event}: an item's document stays in one "
		    "index");
	template_write(c->index, NULL, &o, &name);
	r = os_index_check(buf_slice(&name), e);
	buf_close(&name);
	return r;
}

static int
check_auth(const struct os_conf *c, struct err *e)
{
	bool user = c->user != NULL || c->password.n != 0;

	if (c->auth == OS_AUTH_BASIC && (c->user == NULL || c->password.n == 0))
		return err_set(
		    e, ERR_CONFIG, "opensearch: auth: basic needs both user and password");
	if (c->auth != OS_AUTH_BASIC && user)
		return err_set(
		    e, ERR_CONFIG, "opensearch: user and password are only used with auth: basic");
	if (c->auth == OS_AUTH_BASIC && strchr(c->user, ':') != NULL)
		return err_set(e, ERR_CONFIG, "opensearch: a user's name cannot have a colon");
	if (c->auth != OS_AUTH_SIGV4 && (c->region != NULL || c->profile != NULL))
		return err_set(
		    e, ERR_CONFIG, "opensearch: region and profile are only used with auth: sigv4");
	if (c->cert_file == NULL && (c->key_file != NULL || c->key_passphrase.n != 0))
		return err_set(e, ERR_CONFIG, "opensearch: client-key needs client-certificate");
	return 0;
}

int
os_check(const void *conf, struct err *e)
{
	const struct os_conf *c = conf;

	if (c->urls.n == 0)
		return err_set(e, ERR_CONFIG, "opensearch: url is an empty list");
	for (size_t i = 0; i < c->urls.n; i++)
		if (os_url_check(c->urls.v[i], e) != 0)
			return -1;
	if (check_index(c, e) != 0)
		return -1;
	return check_auth(c, e);
}
