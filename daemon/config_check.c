/* daemon/config_check.c - what one key alone cannot show to be wrong:
 * references, exclusions, addresses, and two things that would share a file.
 * Pure: nothing is opened, looked up or connected to.
 */
#include "daemon/config_priv.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "streams/api_http.h"

#define WORDS_MAX 128

/* The place of a key if it was written, else of the mapping. */
static const struct conf_node *
place_of(const struct conf_node *map, const char *key)
{
	const struct conf_node *n = conf_get(map, key);

	return n != NULL ? n : map;
}

/* The place of "section.key", however it was written. */
static const struct conf_node *
place_of_own(const struct config *c, const char *section, const char *key)
{
	const struct conf_node *root = conf_root(c->doc);
	const struct conf_node *map = conf_get(root, section);
	char dotted[64];

	if (map != NULL)
		return place_of(map, key);
	(void)snprintf(dotted, sizeof dotted, "%s.%s", section, key);
	return place_of(root, dotted);
}

/* The host of a URL, without port and brackets; empty if there is none. */
static struct slice
url_host(const char *url)
{
	const char *p = strstr(url, "://");
	struct slice host;

	if (p == NULL)
		return SLICE_NONE;
	host.p = p + 3;
	host.n = strcspn(host.p, "/?#");
	if (host.n != 0 && host.p[0] == '[') {
		host.p++;
		host.n = strcspn(host.p, "]/");
	} else {
		const char *colon = memchr(host.p, ':', host.n);

		if (colon != NULL)
			host.n = (size_t)(colon - host.p);
	}
	return host;
}

static bool
is_loopback(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (strcmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return (ntohl(v4.s_addr) >> 24) == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

bool
endpoint_is_loopback(const char *url)
{
	struct slice host = url_host(url);
	char text[64];

	if (host.n == 0 || host.n >= sizeof text)
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	return is_loopback(text);
}

int
endpoint_check(const char *url, struct err *e)
{
	if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
		return err_set(e, ERR_CONFIG,
		    "endpoint \"%.100s\" is no URL; write for example http://127.0.0.1:8000", url);
	if (url_host(url).n == 0)
		return err_set(e, ERR_CONFIG,
		    "endpoint \"%.100s\" names no host; write for example http://127.0.0.1:8000",
		    url);
	if (strchr(strstr(url, "://") + 3, '@') != NULL)
		return err_set(e, ERR_CONFIG,
		    "endpoint holds a user name; keys belong into the environment or a profile");
	if (strpbrk(url, " \t\r\n\"?#") != NULL)
		return err_set(e, ERR_CONFIG,
		    "endpoint \"%.100s\" holds a character that does not belong there", url);
	return 0;
}

static int
split_port(const char *text, struct listen_address *out, struct err *e)
{
	const char *colon = strrchr(text, ':');
	struct slice host = {text, colon != NULL ? (size_t)(colon - text) : 0};
	int64_t port;
	struct err why;

	if (colon == NULL || host.n == 0)
		return err_set(e, ERR_CONFIG,
		    "\"%.60s\" is no address with a port; write for example "
		    "127.0.0.1:9464, or off",
		    text);
	if (conf_parse_int(colon + 1, 0, 65535, &port, &why) != 0)
		return err_set(e, ERR_CONFIG, "port of \"%.60s\": %s", text, why.text);
	if (host.p[0] == '[' && host.p[host.n - 1] == ']') {
		host.p++;
		host.n -= 2;
	}
	if (host.n >= sizeof out->host)
		return err_set(e, ERR_CONFIG, "\"%.60s\" is too long for an address", text);
	memcpy(out->host, host.p, host.n);
	out->host[host.n] = '\0';
	out->port = (uint16_t)port;
	return 0;
}

int
listen_parse(const char *text, struct listen_address *out, struct err *e)
{
	memset(out, 0, sizeof *out);
	/* Unquoted, YAML readers that know better would read "off" as false. */
	if (strcmp(text, "off") == 0 || strcmp(text, "false") == 0 || strcmp(text, "no") == 0) {
		out->off = true;
		return 0;
	}
	if (split_port(text, out, e) != 0)
		return -1;
	if (!is_loopback(out->host))
		return err_set(e, ERR_CONFIG,
		    "\"%.60s\" is not on this machine itself; the admin port has no password, so "
		    "it "
		    "listens on 127.0.0.1 or [::1] only",
		    text);
	if (strcmp(out->host, "localhost") == 0)
		(void)snprintf(out->host, sizeof out->host, "127.0.0.1");
	return 0;
}

static int
check_arn(const struct stream_config *s, struct err *e)
{
	const struct conf_node *at = place_of(s->at, "arn");
	struct arn_parts p;
	struct err why;

	if (api_arn_parse(s->feed.arn, &p, &why) != 0)
		return conf_err(e, at, "%s", why.text);
	if (p.label.n == 0)
		return conf_err(e, at, "this is the ARN of a table; write  table: %.*s",
		    (int)p.table.n, p.table.p);
	/* DynamoDB Local calls its region "ddblocal", whatever it was signed for. */
	if (s->region != NULL && !slice_is(p.region, s->region) &&
	    (s->endpoint == NULL || !endpoint_is_loopback(s->endpoint)))
		return conf_err(e, place_of(s->at, "region"),
		    "region \"%.40s\" is not that of the ARN, %.*s; leave it out", s->region,
		    (int)p.region.n, p.region.p);
	return 0;
}

static int
check_stream(const struct stream_config *s, struct err *e)
{
	struct err why;

	if (s->feed.table == NULL && s->feed.arn == NULL)
		return conf_err(e, s->at,
		    "stream \"%s\" has neither table nor arn; write  table: NAME", s->name);
	if (s->feed.table != NULL && s->feed.arn != NULL)
		return conf_err(e, place_of(s->at, "arn"),
		    "stream \"%s\" has both table and arn; keep one of them", s->name);
	if (s->feed.table != NULL &&
	    (s->feed.table[0] == '\0' || strlen(s->feed.table) > LIMIT_TABLE_NAME))
		return conf_err(e, place_of(s->at, "table"), "\"table\" is no name of a table");
	if (s->feed.arn != NULL && check_arn(s, e) != 0)
		return -1;
	if (s->endpoint != NULL && endpoint_check(s->endpoint, &why) != 0)
		return conf_err(e, place_of(s->at, "endpoint"), "%s", why.text);
	if (s->region != NULL &&
	    strspn(s->region, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(s->region))
		return conf_err(e, place_of(s->at, "region"),
		    "\"%.40s\" is no region; write for example eu-west-1", s->region);
	if (s->credentials == CREDS_NONE &&
	    (s->endpoint == NULL || !endpoint_is_loopback(s->endpoint)))
		return conf_err(e, place_of(s->at, "credentials"),
		    "\"credentials: none\" is for an endpoint on this machine; the service refuses "
		    "calls that are not signed");
	return 0;
}

static bool
same_text(const char *a, const char *b)
{
	return (a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0);
}

/* Two readers of one stream would take the service's two readers a shard. */
static int
check_stream_twice(const struct config *c, size_t i, struct err *e)
{
	const struct stream_config *s = &c->streams[i];

	for (size_t j = 0; j < i; j++) {
		const struct stream_config *o = &c->streams[j];

		if (same_text(s->feed.table, o->feed.table) &&
		    same_text(s->feed.arn, o->feed.arn) && same_text(s->endpoint, o->endpoint) &&
		    same_text(s->region, o->region) && same_text(s->profile, o->profile))
			return conf_err(e, s->at,
			    "stream \"%s\" is the same as \"%s\" on line %u; let sinks take from "
			    "one of them",
			    s->name, o->name, o->at->line);
	}
	return 0;
}

static int
check_stream_used(const struct config *c, const struct stream_config *s, struct err *e)
{
	for (size_t i = 0; i < c->sink_count; i++)
		for (size_t j = 0; j < c->sinks[i].from.n; j++)
			if (strcmp(c->sinks[i].from.v[j], s->name) == 0)
				return 0;
	return conf_err(
	    e, s->at, "no sink takes from stream \"%s\"; name it in a sink's \"from\"", s->name);
}

static int
fail_unknown_stream(
    const struct config *c, const struct conf_node *at, const char *name, struct err *e)
{
	const char *words[WORDS_MAX + 1];
	const char *near;
	size_t n = 0;

	for (; n < c->stream_count && n < WORDS_MAX; n++)
		words[n] = c->streams[n].name;
	words[n] = NULL;
	near = conf_nearest(name, words);
	return conf_err(e, at, "there is no stream \"%.64s\"; %s%s%s", name,
	    near != NULL ? "did you mean \"" : "define it under \"streams\"",
	    near != NULL ? near : "", near != NULL ? "\"?" : "");
}

static int
check_filters(const struct config *c, const struct sink_config *s, struct err *e)
{
	const char *names[WORDS_MAX + 1] = {NULL};
	const char *near;

	for (size_t i = 0; i < c->filter_count && i < WORDS_MAX; i++)
		names[i] = c->filters[i].name;
	for (size_t i = 0; i < s->filters.n; i++) {
		if (config_filter(c, s->filters.v[i]) != NULL)
			continue;
		near = conf_nearest(s->filters.v[i], names);
		return conf_err(e, place_of(s->at, "filters"),
		    "there is no filter \"%.60s\"; %s%s%s", s->filters.v[i],
		    near != NULL ? "did you mean \"" : "define it under \"filters\"",
		    near != NULL ? near : "", near != NULL ? "\"?" : "");
	}
	return 0;
}

static int
check_from(const struct config *c, const struct sink_config *s, struct err *e)
{
	const struct conf_node *from = place_of(s->at, "from");

	for (size_t i = 0; i < s->from.n; i++) {
		const struct conf_node *at = from->kind == CONF_SEQUENCE ? from->values[i] : from;

		if (config_stream(c, s->from.v[i]) == NULL)
			return fail_unknown_stream(c, at, s->from.v[i], e);
		for (size_t j = 0; j < i; j++)
			if (strcmp(s->from.v[i], s->from.v[j]) == 0)
				return conf_err(
				    e, at, "stream \"%s\" is named twice", s->from.v[i]);
	}
	return 0;
}

/* "/a//b/" and "/a/b" are one place. Links are not followed: nothing is opened here. */
static bool
same_path(const char *a, const char *b)
{
	for (;;) {
		while (a[0] == '/' && (a[1] == '/' || a[1] == '\0'))
			a++;
		while (b[0] == '/' && (b[1] == '/' || b[1] == '\0'))
			b++;
		if (*a != *b)
			return false;
		if (*a == '\0')
			return true;
		a++;
		b++;
	}
}

static int
check_places(const struct config *c, size_t i, struct err *e)
{
	static const char *const place_keys[] = {"directory", "path", NULL};
	const struct sink_config *s = &c->sinks[i];

	for (size_t k = 0; place_keys[k] != NULL; k++) {
		const struct conf_node *mine = conf_get(s->at, place_keys[k]);

		if (mine == NULL || mine->kind != CONF_SCALAR)
			continue;
		if (same_path(mine->text, c->store_path))
			return conf_err(
			    e, mine, "the checkpoint has this path already; choose another");
		for (size_t j = 0; j < i; j++) {
			const struct conf_node *other = conf_get(c->sinks[j].at, place_keys[k]);

			if (other != NULL && other->kind == CONF_SCALAR &&
			    same_path(mine->text, other->text))
				return conf_err(e, mine,
				    "sink \"%s\" on line %u writes there already; give each sink a "
				    "%s "
				    "of its own",
				    c->sinks[j].name, c->sinks[j].at->line, place_keys[k]);
		}
	}
	return 0;
}

int
config_check(struct config *c, struct err *e)
{
	struct err why;

	if (listen_parse(c->admin_listen, &c->admin, &why) != 0)
		return conf_err(e, place_of_own(c, "admin", "listen"), "%s", why.text);
	if (c->store_path[0] == '\0')
		return conf_err(
		    e, place_of_own(c, "checkpoint", "path"), "\"path\" must not be empty");
	for (size_t i = 0; i < c->stream_count; i++)
		if (check_stream(&c->streams[i], e) != 0 || check_stream_twice(c, i, e) != 0)
			return -1;
	for (size_t i = 0; i < c->sink_count; i++)
		if (check_from(c, &c->sinks[i], e) != 0 || check_filters(c, &c->sinks[i], e) != 0 ||
		    check_places(c, i, e) != 0)
			return -1;
	for (size_t i = 0; i < c->stream_count; i++)
		if (check_stream_used(c, &c->streams[i], e) != 0)
			return -1;
	return 0;
}
