/* tests/unit/config_test.c - the daemon's configuration: what is accepted,
 * and each mistake with its place and mending step.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "daemon/config.h"
#include "streams/api_http.h"

#define ARN "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"
#define STREAM_ARN ARN "/stream/2026-01-01T00:00:00.000"
#define SINKS "sinks: {s: {type: stdout, from: [a]}}\n"

static struct err e;

static struct config *
accepted(const char *yaml)
{
	struct config *c;

	if (config_parse(&c, slice_of(yaml), "t", &e) != 0)
		fail_msg("%s", e.text);
	return c;
}

static void
refused(const char *yaml, const char *message)
{
	struct config *c;

	assert_int_equal(config_parse(&c, slice_of(yaml), "t", &e), -1);
	assert_null(c);
	assert_int_equal(e.code, ERR_CONFIG);
	assert_string_equal(e.text, message);
}

/* The place is exact, the rest is another room's wording. */
static void
refused_at(const char *yaml, const char *place)
{
	struct config *c;

	assert_int_equal(config_parse(&c, slice_of(yaml), "t", &e), -1);
	assert_int_equal(e.code, ERR_CONFIG);
	if (strncmp(e.text, place, strlen(place)) != 0)
		fail_msg("\"%s\" does not begin with \"%s\"", e.text, place);
}

static void
fills_everything(void **state)
{
	struct config *c =
	    accepted("streams:\n"
		     "  a: {arn: '" STREAM_ARN "', start: latest, poll: {idle: 2s}}\n"
		     "  b:\n    table: t\n    endpoint: http://127.0.0.1:8000\n"
		     "    credentials: none\n    region: eu-west-1\n    on-gap: continue\n"
		     "sinks:\n"
		     "  s: {type: stdout, from: [a, b], format: plain, batch.count: 7}\n"
		     "  t: {type: audit, from: b, directory: /tmp/x, rotate: {size: 1MiB}}\n"
		     "checkpoint: {path: /tmp/db, interval: 100ms}\n"
		     "admin: {listen: '[::1]:0'}\nmemory.budget: 64MiB\n"
		     "log: {level: debug, format: json}\nshutdown: {timeout: 1s}\n");

	(void)state;
	assert_int_equal(c->stream_count, 2);
	assert_string_equal(c->streams[0].feed.arn, STREAM_ARN);
	assert_int_equal(c->streams[0].feed.start, FEED_LATEST);
	assert_int_equal(c->streams[0].feed.idle_us, 2000000);
	assert_string_equal(c->streams[1].endpoint, "http://127.0.0.1:8000");
	assert_int_equal(c->streams[1].credentials, CREDS_NONE);
	assert_int_equal(c->streams[1].feed.on_gap, FEED_CONTINUE);
	assert_int_equal(c->sink_count, 2);
	assert_int_equal(c->sinks[0].lane.batch_count, 7);
	assert_int_equal(c->sinks[1].lane.batch_count, 500);
	assert_ptr_equal(c->sinks[1].ops, &sink_audit);
	assert_string_equal(c->store_path, "/tmp/db");
	assert_int_equal(c->store_interval_us, 100000);
	assert_string_equal(c->admin.host, "::1");
	assert_int_equal(c->admin.port, 0);
	assert_int_equal(c->shutdown_timeout_us, 1000000);
	assert_ptr_equal(config_stream(c, "b"), &c->streams[1]);
	assert_null(config_stream(c, "zz"));
	assert_ptr_equal(config_sink(c, "t"), &c->sinks[1]);
	config_close(c);
}

static void
small_and_default(void **state)
{
	struct config *c = accepted("streams: {a: {table: t}}\n" SINKS);

	(void)state;
	assert_string_equal(c->store_path, "/var/lib/slipring/slipring.db");
	assert_string_equal(c->admin.host, "127.0.0.1");
	assert_int_equal(c->admin.port, 9464);
	assert_int_equal(c->shutdown_timeout_us, 20000000);
	assert_int_equal(c->streams[0].credentials, CREDS_AUTO);
	config_close(c);
	config_close(NULL);
}

static void
what_is_missing_or_unknown(void **state)
{
	(void)state;
	refused("",
	    "t:1:1: there are no streams; write for example  streams: {orders: {table: orders}}");
	refused("streams: {a: {table: t}}\n",
	    "t:1:1: there are no sinks; write for example  sinks: "
	    "{screen: {type: stdout, from: [orders]}}");
	refused("streams: {}\n",
	    "t:1:10: \"streams\" names at least one; write for example  streams: "
	    "{orders: {table: orders}}");
	refused("streams:\n",
	    "t:1:9: \"streams\" names at least one; write for example  streams: "
	    "{orders: {table: orders}}");
	refused("streams: {a: {table: t}}\n" SINKS "zzzz: {}\n",
	    "t:3:1: unknown key \"zzzz\"; known here: checkpoint.type, checkpoint.path, "
	    "checkpoint.interval, admin.listen, admin.shards, memory.budget, log.level, "
	    "log.format, "
	    "shutdown.timeout, streams, filters or sinks");
	refused("streams: {a: {tabel: t}}\n" SINKS,
	    "t:1:15: unknown key \"tabel\"; did you mean \"table\"?");
	refused("streams: {a: {table: t, regoin: x}}\n" SINKS,
	    "t:1:25: unknown key \"regoin\"; did you mean \"region\"?");
	refused("streams: {a: {table: t}}\nsinks:\n  s: {type: stdout, from: [a], fromat: plain}\n",
	    "t:3:32: unknown key \"fromat\"; did you mean \"format\"?");
	refused(
	    "streams: {a: {table: t}}\nsinks:\n  s: {type: stdout, from: [a], retry: {bse: 1s}}\n",
	    "t:3:40: unknown key \"bse\"; did you mean \"base\"?");
	refused("streams: {a: {table: t}}\n" SINKS "admin: {lisen: off}\n",
	    "t:3:9: unknown key \"lisen\"; did you mean \"listen\"?");
	refused("streams: {a: {table: t}}\nsinks:\n  s: {type: stdou, from: [a]}\n",
	    "t:3:13: unknown sink type \"stdou\"; did you mean \"stdout\"?");
	refused("streams: {a: {table: t}}\nsinks:\n  s: {from: [a]}\n",
	    "t:3:6: \"type\" is missing; it names the kind of sink, such as audit");
	refused("streams: {a: {table: t}}\nsinks:\n  s: {type: stdout}\n",
	    "t:3:6: \"from\" is missing; it must be a list, such as [a, b]");
	refused("streams: {a: {table: t}}\nsinks: {s: x}\n",
	    "t:2:12: expected keys and values here, indented below the name");
	refused("streams: {a b: {table: t}}\n" SINKS,
	    "t:1:11: a name is 1 to 64 letters, digits, dots, dashes and underscores");
}

static void
streams_are_checked(void **state)
{
	(void)state;
	refused("streams: {a: {start: latest}}\n" SINKS,
	    "t:1:14: stream \"a\" has neither table nor arn; write  table: NAME");
	refused("streams: {a: {table: t, arn: '" STREAM_ARN "'}}\n" SINKS,
	    "t:1:30: stream \"a\" has both table and arn; keep one of them");
	refused("streams: {a: {arn: '" ARN "'}}\n" SINKS,
	    "t:1:20: this is the ARN of a table; write  table: orders");
	refused_at("streams: {a: {arn: 'arn:aws:s3:::bucket'}}\n" SINKS, "t:1:20: ");
	refused("streams: {a: {arn: '" STREAM_ARN "', region: us-east-1}}\n" SINKS,
	    "t:1:115: region \"us-east-1\" is not that of the ARN, eu-west-1; leave it out");
	refused("streams: {a: {table: t, endpoint: '127.0.0.1:8000'}}\n" SINKS,
	    "t:1:35: endpoint \"127.0.0.1:8000\" is no URL; write for example "
	    "http://127.0.0.1:8000");
	refused("streams: {a: {table: t, endpoint: 'http:///x'}}\n" SINKS,
	    "t:1:35: endpoint \"http:///x\" names no host; write for example "
	    "http://127.0.0.1:8000");
	refused("streams: {a: {table: t, endpoint: 'http://u:p@h'}}\n" SINKS,
	    "t:1:35: endpoint holds a user name; keys belong into the environment or a profile");
	refused("streams: {a: {table: t, region: EU}}\n" SINKS,
	    "t:1:33: \"EU\" is no region; write for example eu-west-1");
	refused("streams: {a: {table: t, credentials: none}}\n" SINKS,
	    "t:1:38: \"credentials: none\" is for an endpoint on this machine; the service refuses "
	    "calls that are not signed");
	refused("streams:\n  a: {table: t}\n  b: {table: t}\nsinks: {s: {type: stdout, from: [a, "
		"b]}}\n",
	    "t:3:6: stream \"b\" is the same as \"a\" on line 2; let sinks take from one of them");
	refused("streams:\n  a: {table: t}\n  b: {table: u}\n" SINKS,
	    "t:3:6: no sink takes from stream \"b\"; name it in a sink's \"from\"");
}

static void
sinks_are_checked(void **state)
{
	(void)state;
	refused("streams: {orders: {table: t}}\nsinks: {s: {type: stdout, from: [ordres]}}\n",
	    "t:2:34: there is no stream \"ordres\"; did you mean \"orders\"?");
	refused("streams: {orders: {table: t}}\nsinks: {s: {type: stdout, from: zzz}}\n",
	    "t:2:33: there is no stream \"zzz\"; define it under \"streams\"");
	refused("streams: {a: {table: t}}\nsinks: {s: {type: stdout, from: [a, a]}}\n",
	    "t:2:37: stream \"a\" is named twice");
	refused("streams: {a: {table: t}}\nsinks:\n  s: {type: audit, from: a, directory: /x/y}\n"
		"  u: {type: audit, from: a, directory: //x/y/}\n",
	    "t:4:40: sink \"s\" on line 3 writes there already; give each sink a directory of its "
	    "own");
	refused("streams: {a: {table: t}}\nsinks: {s: {type: audit, from: a, directory: /x}}\n"
		"checkpoint: {path: /x/}\n",
	    "t:2:46: the checkpoint has this path already; choose another");
	refused_at("streams: {a: {table: t}}\nsinks:\n  s: {type: audit, from: a, directory: ''}\n",
	    "t:3:40: ");
}

static void
the_admin_port_is_local(void **state)
{
	struct listen_address l;
	struct config *c;

	(void)state;
	refused("streams: {a: {table: t}}\n" SINKS "admin: {listen: '0.0.0.0:9464'}\n",
	    "t:3:17: \"0.0.0.0:9464\" is not on this machine itself; the admin port has no "
	    "password, "
	    "so it listens on 127.0.0.1 or [::1] only");
	refused("streams: {a: {table: t}}\n" SINKS "admin.listen: 127.0.0.1\n",
	    "t:3:15: \"127.0.0.1\" is no address with a port; write for example 127.0.0.1:9464, or "
	    "off");
	c = accepted("streams: {a: {table: t}}\n" SINKS "admin.listen: off\n");
	assert_true(c->admin.off);
	config_close(c);
	assert_int_equal(listen_parse("localhost:1", &l, &e), 0);
	assert_string_equal(l.host, "127.0.0.1");
	assert_int_equal(listen_parse("127.0.0.1:65536", &l, &e), -1);
	assert_int_equal(listen_parse("127.0.0.1:", &l, &e), -1);
	assert_int_equal(listen_parse(":9464", &l, &e), -1);
	assert_int_equal(listen_parse("[::]:9464", &l, &e), -1);
	assert_int_equal(listen_parse("127.0.0.1.evil.example:80", &l, &e), -1);
}

static void
loopback_endpoints(void **state)
{
	(void)state;
	assert_true(endpoint_is_loopback("http://127.0.0.1:8000"));
	assert_true(endpoint_is_loopback("http://127.9.9.9"));
	assert_true(endpoint_is_loopback("https://localhost/x"));
	assert_true(endpoint_is_loopback("http://[::1]:8000/"));
	assert_false(endpoint_is_loopback("http://127.0.0.1.example:8000"));
	assert_false(endpoint_is_loopback("http://example/127.0.0.1"));
	assert_false(endpoint_is_loopback("127.0.0.1"));
	assert_false(endpoint_is_loopback("http://"));
}

/* Dump, read, dump: the second says what the first said. */
static void
a_dump_is_a_configuration(void **state)
{
	struct config *c = accepted("streams: {a: {table: t, poll.idle: 5s}}\n"
				    "sinks: {s: {type: stdout, from: [a], batch: {linger: 1s}}}\n"
				    "admin.listen: '[::1]:1'\n");
	struct buf first = BUF_INIT(1 << 16), second = BUF_INIT(1 << 16);

	(void)state;
	config_dump(c, &first);
	config_close(c);
	assert_non_null(strstr(buf_cstr(&first), "    poll.idle: 5s\n"));
	assert_non_null(strstr(buf_cstr(&first), "    batch.linger: 1s\n"));
	c = accepted(buf_cstr(&first));
	config_dump(c, &second);
	config_close(c);
	assert_string_equal(buf_cstr(&first), buf_cstr(&second));
	buf_close(&first);
	buf_close(&second);
}

static void
the_schema_is_json_and_the_reference_complete(void **state)
{
	struct buf out = BUF_INIT(1 << 18);
	json_t *j, *streams;

	(void)state;
	config_schema(&out);
	j = json_loadb(out.p, out.n, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(j);
	streams = json_object_get(json_object_get(j, "properties"), "streams");
	assert_non_null(json_object_get(
	    json_object_get(json_object_get(streams, "additionalProperties"), "properties"),
	    "table"));
	json_decref(j);
	buf_reset(&out);
	config_reference(&out);
	assert_non_null(strstr(buf_cstr(&out), "admin.listen (text, default 127.0.0.1:9464)"));
	assert_non_null(strstr(buf_cstr(&out), "ca-file (text)"));
	assert_non_null(strstr(buf_cstr(&out), "type: audit"));
	assert_non_null(strstr(buf_cstr(&out), "retry.cap ("));
	buf_close(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fills_everything),
	    cmocka_unit_test(small_and_default),
	    cmocka_unit_test(what_is_missing_or_unknown),
	    cmocka_unit_test(streams_are_checked),
	    cmocka_unit_test(sinks_are_checked),
	    cmocka_unit_test(the_admin_port_is_local),
	    cmocka_unit_test(loopback_endpoints),
	    cmocka_unit_test(a_dump_is_a_configuration),
	    cmocka_unit_test(the_schema_is_json_and_the_reference_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
