/* streams/endpoint.c - hosts from regions, and ARNs taken apart
 * (streams/api_http.h). Pure.
 *
 * A region comes from the operator and becomes part of a host name that gets
 * signed requests, so it is checked by its form before it is used.
 */
#include "streams/api_http.h"

#include <string.h>

/* The first prefix that fits; streams.md 1.1, botocore's partitions. */
static const struct {
	const char *prefix;
	const char *suffix;
} partitions[] = {
    {"cn-", "amazonaws.com.cn"}, {"us-isob-", "sc2s.sgov.gov"}, {"us-isof-", "csp.hci.ic.gov"},
    {"us-iso-", "c2s.ic.gov"}, {"eu-isoe-", "cloud.adc-e.uk"}, {"eusc-", "amazonaws.eu"},
    {"", "amazonaws.com"}, /* also GovCloud */
};

static bool
is_region_text(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') ||
			(s.p[i] == '-' && i != 0 && i + 1 != s.n)))
			return false;
	return s.n != 0 && s.n < 40;
}

int
api_endpoint(const char *region, bool table_api, struct buf *out, struct err *e)
{
	struct slice s = slice_of(region);
	size_t i = 0;

	/* "eu-west-1": it has hyphens and ends in a number */
	if (!is_region_text(s) || memchr(s.p, '-', s.n) == NULL || s.p[s.n - 1] < '0' ||
	    s.p[s.n - 1] > '9')
		return err_set(e, ERR_CONFIG,
		    "api: '%.60s' is no AWS region (such as eu-west-1); for a local service give "
		    "its "
		    "endpoint URL",
		    region);
	while (strncmp(region, partitions[i].prefix, strlen(partitions[i].prefix)) != 0)
		i++;
	buf_addf(out, "https://%sdynamodb.%s.%s", table_api ? "" : "streams.", region,
	    partitions[i].suffix);
	return out->failed ? err_set(e, ERR_LIMIT, "api: the endpoint is too long") : 0;
}

static int
bad_arn(struct err *e, const char *arn, const char *why)
{
	return err_set(e, ERR_CONFIG,
	    "api: bad ARN '%.200s': %s; the form is "
	    "arn:aws:dynamodb:REGION:ACCOUNT:table/NAME/stream/LABEL",
	    arn, why);
}

/* Up to the next ':', which is stepped over. */
static bool
next_part(struct slice *rest, struct slice *part)
{
	const char *colon = memchr(rest->p, ':', rest->n);

	if (colon == NULL)
		return false;
	*part = (struct slice){rest->p, (size_t)(colon - rest->p)};
	*rest = (struct slice){colon + 1, rest->n - part->n - 1};
	return true;
}

static bool
only_digits(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n != 0;
}

static bool
is_table_name(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			c == '_' || c == '-' || c == '.'))
			return false;
	}
	return s.n >= 3 && s.n <= 255;
}

static bool
is_label(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == '/')
			return false;
	return s.n != 0 && s.n < 128;
}

/* NAME or NAME/stream/LABEL */
static int
parse_resource(const char *arn, struct slice rest, struct arn_parts *out, struct err *e)
{
	static const char word[] = "/stream/";
	const char *slash = memchr(rest.p, '/', rest.n);

	out->table = (struct slice){rest.p, slash != NULL ? (size_t)(slash - rest.p) : rest.n};
	if (!is_table_name(out->table))
		return bad_arn(e, arn, "the table name must be 3 to 255 of a-z A-Z 0-9 _ - .");
	rest = (struct slice){rest.p + out->table.n, rest.n - out->table.n};
	if (rest.n == 0) {
		out->label = (struct slice){rest.p, 0};
		return 0;
	}
	if (rest.n < sizeof word - 1 || memcmp(rest.p, word, sizeof word - 1) != 0)
		return bad_arn(e, arn, "what follows the table name is not /stream/LABEL");
	out->label = (struct slice){rest.p + sizeof word - 1, rest.n - (sizeof word - 1)};
	if (!is_label(out->label))
		return bad_arn(e, arn, "the stream label is missing or malformed");
	return 0;
}

int
api_arn_parse(const char *arn, struct arn_parts *out, struct err *e)
{
	static const char word[] = "table/";
	struct slice rest = slice_of(arn);
	struct slice first = SLICE_NONE, service = SLICE_NONE;

	if (rest.n > LIMIT_STREAM_ARN)
		return bad_arn(e, arn, "it is too long");
	if (!next_part(&rest, &first) || !slice_is(first, "arn"))
		return bad_arn(e, arn, "it does not begin with arn:");
	if (!next_part(&rest, &out->partition) || !is_region_text(out->partition))
		return bad_arn(e, arn, "the partition is missing");
	if (!next_part(&rest, &service) || !slice_is(service, "dynamodb"))
		return bad_arn(e, arn, "the service is not dynamodb");
	if (!next_part(&rest, &out->region) || !is_region_text(out->region))
		return bad_arn(e, arn, "the region is missing or malformed");
	if (!next_part(&rest, &out->account) || !only_digits(out->account))
		return bad_arn(e, arn, "the account is not a number");
	if (rest.n < sizeof word - 1 || memcmp(rest.p, word, sizeof word - 1) != 0)
		return bad_arn(e, arn, "it names no table");
	return parse_resource(
	    arn, (struct slice){rest.p + sizeof word - 1, rest.n - (sizeof word - 1)}, out, e);
}
