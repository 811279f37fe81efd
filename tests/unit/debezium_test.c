/* tests/unit/debezium_test.c - the shape that Debezium's readers expect. docs/formats.md
 * shows the same record. */
#include "tests/unit/record_support.h"

#include <jansson.h>

#include "record/format.h"

static const struct origin origin = {
    .stream = "orders",
    .table = "Orders",
    .arn = "arn:aws:dynamodb:eu-west-1:111122223333:table/Orders/stream/x",
    .label = "x",
    .shard = "shardId-00000001414562045508-2bac9cd2",
};

#define IMAGE(total) "{\"id\":{\"S\":\"o-1\"},\"total\":{\"N\":\"" total "\"}}"

static struct page *
page_of_event(const char *event, const char *images)
{
	struct buf b = BUF_INIT(1u << 16);
	struct page *p;

	buf_addf(&b,
	    "{\"Records\":[{\"eventID\":\"e2fd9c34\",\"eventName\":\"%s\",\"dynamodb\":{"
	    "\"ApproximateCreationDateTime\":1795246177.5,\"Keys\":{\"id\":{\"S\":\"o-1\"}},%s"
	    "\"SequenceNumber\":\"300000000000000499659\"}}]}",
	    event, images);
	p = page_of(buf_cstr(&b));
	p->read_us = INT64_C(1795246178123456);
	buf_close(&b);
	return p;
}

static struct buf
written(struct page *p, const struct origin *o)
{
	struct buf out = BUF_INIT(1u << 16);
	struct err e;

	if (format_write(FORMAT_DEBEZIUM, p->records, o, &out, &e) != 0)
		fail_msg("%s", e.text);
	return out;
}

static const char manual[] =
    "{\"before\":{\"id\":\"o-1\",\"total\":12.5},\"after\":{\"id\":\"o-1\",\"total\":12.50},"
    "\"source\":{\"version\":\"" SLIPRING_VERSION "\",\"connector\":\"slipring\","
    "\"name\":\"orders\",\"ts_ms\":1795246177500,\"snapshot\":\"false\",\"db\":\"dynamodb\","
    "\"sequence\":\"300000000000000499659\",\"table\":\"Orders\","
    "\"shard\":\"shardId-00000001414562045508-2bac9cd2\",\"event_id\":\"e2fd9c34\",\"ttl\":false},"
    "\"op\":\"u\",\"ts_ms\":1795246178123,\"transaction\":null}";

static void
the_record_of_the_manual(void **state)
{
	struct page *p = page_of_event(
	    "MODIFY", "\"OldImage\":" IMAGE("12.5") ",\"NewImage\":" IMAGE("12.50") ",");
	struct buf out = written(p, &origin), page = BUF_INIT(1u << 20);
	FILE *f = fopen("docs/formats.md", "rb");
	char chunk[4096];
	size_t n;

	(void)state;
	assert_string_equal(buf_cstr(&out), manual);
	if (f == NULL) {
		print_message(
		    "not started from the top of the tree: the manual is not looked at\n");
	} else {
		while ((n = fread(chunk, 1, sizeof chunk, f)) != 0)
			buf_add(&page, chunk, n);
		(void)fclose(f);
		assert_non_null(strstr(buf_cstr(&page), manual));
	}
	buf_close(&page);
	buf_close(&out);
	page_unref(p);
}

static void
expect(const char *event, const char *images, const char *op, bool before, bool after)
{
	struct page *p = page_of_event(event, images);
	struct buf out = written(p, &origin);
	json_t *root = json_loadb(out.p, out.n, JSON_REJECT_DUPLICATES, NULL);

	assert_non_null(root);
	assert_string_equal(json_string_value(json_object_get(root, "op")), op);
	assert_int_equal(json_is_object(json_object_get(root, "before")), before);
	assert_int_equal(json_is_object(json_object_get(root, "after")), after);
	assert_int_equal(json_is_null(json_object_get(root, "before")), !before);
	assert_int_equal(json_is_null(json_object_get(root, "after")), !after);
	json_decref(root);
	buf_close(&out);
	page_unref(p);
}

static void
operations(void **state)
{
	(void)state;
	expect("INSERT", "\"NewImage\":" IMAGE("1") ",", "c", false, true);
	expect("MODIFY", "\"NewImage\":" IMAGE("1") ",", "u", false, true);
	expect("REMOVE", "\"OldImage\":" IMAGE("1") ",", "d", true, false);
	expect("REMOVE", "", "d", false, false);
	/* An event that the service may come to send: by its images. */
	expect("RENAME", "\"OldImage\":" IMAGE("1") ",", "d", true, false);
	expect(
	    "RENAME", "\"OldImage\":" IMAGE("1") ",\"NewImage\":" IMAGE("2") ",", "u", true, true);
	expect("RENAME", "", "u", false, false);
}

static void
what_is_absent_is_null(void **state)
{
	struct page *p = page_of("{\"Records\":[{\"dynamodb\":{\"Keys\":{\"a\":{\"N\":\"1\"}},"
				 "\"SequenceNumber\":\"7\"}}]}");
	struct buf out = written(p, NULL);

	(void)state;
	assert_string_equal(buf_cstr(&out),
	    "{\"before\":null,\"after\":null,\"source\":{\"version\":\"" SLIPRING_VERSION
	    "\",\"connector\":\"slipring\",\"name\":null,\"ts_ms\":null,\"snapshot\":\"false\","
	    "\"db\":\"dynamodb\",\"sequence\":\"7\",\"table\":null,\"shard\":null,"
	    "\"event_id\":null,\"ttl\":false},\"op\":\"u\",\"ts_ms\":null,\"transaction\":null}");
	buf_close(&out);
	page_unref(p);
}

static void
what_is_no_dynamodb_json(void **state)
{
	struct page *p = page_of_event("INSERT", "\"NewImage\":{\"id\":{\"N\":\"abc\"}},");
	struct buf out = BUF_INIT(1u << 16);
	struct err e;

	(void)state;
	assert_int_equal(format_write(FORMAT_DEBEZIUM, p->records, &origin, &out, &e), -1);
	assert_int_equal(e.code, ERR_PROTOCOL);
	assert_int_equal(out.n, 0);
	buf_close(&out);
	page_unref(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_record_of_the_manual),
	    cmocka_unit_test(operations),
	    cmocka_unit_test(what_is_absent_is_null),
	    cmocka_unit_test(what_is_no_dynamodb_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
