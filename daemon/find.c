/* daemon/find.c - see find.h. */
#include "daemon/find.h"

#include <stdio.h>
#include <string.h>

#include "daemon/ask.h"

const char *
view_word(enum stream_view v)
{
	switch (v) {
	case VIEW_KEYS_ONLY:
		return "KEYS_ONLY";
	case VIEW_NEW_IMAGE:
		return "NEW_IMAGE";
	case VIEW_OLD_IMAGE:
		return "OLD_IMAGE";
	case VIEW_NEW_AND_OLD:
		return "NEW_AND_OLD_IMAGES";
	case VIEW_UNKNOWN:
		break;
	}
	return "unknown";
}

const char *
view_remark(enum stream_view v)
{
	switch (v) {
	case VIEW_KEYS_ONLY:
		return "the stream's view is KEYS_ONLY: keys are all there is, no values";
	case VIEW_NEW_IMAGE:
		return "the stream's view is NEW_IMAGE: old values and what changed are missing";
	case VIEW_OLD_IMAGE:
		return "the stream's view is OLD_IMAGE: new values and what changed are missing";
	case VIEW_NEW_AND_OLD:
	case VIEW_UNKNOWN:
		break;
	}
	return NULL;
}

int
find_explain(const struct source *s, const struct api_result *rs, struct err *e)
{
	switch (rs->code) {
	case API_TRANSPORT:
		return err_set(e, ERR_NETWORK,
		    "cannot reach %s: %.250s; is it running there, and is the endpoint right?",
		    s->endpoint, rs->err.text);
	case API_AUTH:
		return err_set(e, ERR_AUTH,
		    "%.440s; check the keys, what they may do, and the region", rs->err.text);
	case API_THROTTLED:
	case API_LIMIT_EXCEEDED:
		return err_set(e, ERR_REFUSED, "%.350s; try again in a moment", rs->err.text);
	case API_OK:
	case API_EXPIRED_ITERATOR:
	case API_TRIMMED:
	case API_NOT_FOUND:
	case API_VALIDATION:
	case API_SERVER:
	case API_MALFORMED:
	case API_OTHER:
		break;
	}
	*e = rs->err;
	return -1;
}

/* False if the answer does not say that a permission is missing. */
static bool
find_missing_right(const struct source *s, const struct api_result *rs, enum api_op op,
    const char *arn, const char *table, char *out, size_t room)
{
	struct slice partition = SLICE_LIT("aws"), account = SLICE_LIT("*");
	struct slice name = slice_of(table);
	struct arn_parts p;
	struct err ignored;

	if (rs->code != API_AUTH || strncmp(rs->name, "AccessDenied", 12) != 0)
		return false;
	if (arn != NULL && api_arn_parse(arn, &p, &ignored) == 0) {
		partition = p.partition;
		account = p.account;
		name = p.table;
	}
	(void)snprintf(out, room, "dynamodb:%s on arn:%.*s:dynamodb:%s:%.*s:table/%.*s%s",
	    api_op_name(op), (int)partition.n, partition.p, s->region, (int)account.n, account.p,
	    (int)name.n, name.p, op == API_DESCRIBE_TABLE ? "" : "/stream/*");
	return true;
}

int
find_denied(const struct source *s, const struct api_result *rs, enum api_op op, const char *arn,
    const char *table, struct err *e)
{
	char right[256];

	if (!find_missing_right(s, rs, op, arn, table, right, sizeof right))
		return find_explain(s, rs, e);
	return err_set(e, ERR_AUTH, "access is denied: allow %s to the credentials in use (%s)",
	    right, creds_describe(s->creds));
}

void
find_key_types(struct wiring *w, const struct source *s, struct found *f)
{
	struct api_table t;
	struct api_result rs;

	if (f->key.hash_type == 0 && ask_table(w->loop, s->api, f->table, &t, &rs) == 0 &&
	    strcmp(t.key.hash, f->key.hash) == 0)
		f->key = t.key;
}

static int
find_by_table(
    struct wiring *w, const struct source *s, const char *table, struct found *out, struct err *e)
{
	struct api_table t;
	struct api_result rs;

	if (ask_table(w->loop, s->api, table, &t, &rs) != 0) {
		if (rs.code == API_NOT_FOUND)
			return err_set(e, ERR_CONFIG,
			    "there is no table \"%.100s\" at %s in region %s; check the name, the "
			    "region and "
			    "the endpoint",
			    table, s->endpoint, s->region);
		if (rs.code == API_VALIDATION)
			return err_set(e, ERR_CONFIG, "\"%.100s\" is no name of a table: %.250s",
			    table, rs.err.text);
		return find_denied(s, &rs, API_DESCRIBE_TABLE, NULL, table, e);
	}
	if (t.latest_stream[0] == '\0')
		return err_set(e, ERR_CONFIG,
		    "table \"%.100s\" has no stream; enable one with: aws dynamodb update-table "
		    "--table-name %.100s --stream-specification "
		    "StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES",
		    table, table);
	memcpy(out->arn, t.latest_stream, sizeof out->arn);
	memcpy(out->table, t.table, sizeof out->table);
	out->key = t.key;
	out->enabled = t.stream_enabled;
	out->view = t.view;
	return 0;
}

static int
find_by_arn(
    struct wiring *w, const struct source *s, const char *arn, struct found *out, struct err *e)
{
	struct api_stream info;
	struct api_result rs;

	if (ask_stream(w->loop, s->api, arn, &info, NULL, NULL, &rs) != 0) {
		if (rs.code == API_NOT_FOUND || rs.code == API_VALIDATION)
			return err_set(e, ERR_CONFIG,
			    "there is no stream %.200s at %s; streams vanish 24 hours after they "
			    "were "
			    "disabled, so name the table instead",
			    arn, s->endpoint);
		return find_denied(s, &rs, API_DESCRIBE_STREAM, arn, "*", e);
	}
	(void)snprintf(out->arn, sizeof out->arn, "%s", arn);
	memcpy(out->table, info.table, sizeof out->table);
	out->key = info.key;
	out->enabled = info.status == STREAM_ENABLED || info.status == STREAM_ENABLING;
	out->view = info.view;
	return 0;
}

int
find_stream(struct wiring *w, const struct source *s, const char *table, const char *arn,
    struct found *out, struct err *e)
{
	memset(out, 0, sizeof *out);
	if (arn != NULL)
		return find_by_arn(w, s, arn, out, e);
	return find_by_table(w, s, table, out, e);
}
