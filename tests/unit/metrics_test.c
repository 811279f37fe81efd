/* tests/unit/metrics_test.c - histograms, and the page in both of its forms. */
#include "base/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
assert_page(const struct metrics *m, enum metrics_form form, const char *want)
{
	struct buf b = BUF_INIT(1 << 20);

	metrics_write(m, form, &b);
	assert_false(b.failed);
	assert_string_equal(buf_cstr(&b), want);
	buf_close(&b);
}

static void
a_value_falls_into_the_range_it_ends(void **state)
{
	struct histogram h = {.shape = &histogram_count};

	(void)state;
	histogram_add(&h, 0);
	histogram_add(&h, 1);
	histogram_add(&h, 2);
	histogram_add(&h, 3);
	histogram_add(&h, 10000);
	histogram_add(&h, 10001);
	assert_int_equal(h.buckets[0], 2);
	assert_int_equal(h.buckets[1], 1);
	assert_int_equal(h.buckets[2], 1);
	assert_int_equal(h.buckets[histogram_count.n - 1], 1);
	assert_int_equal(h.buckets[histogram_count.n], 1);
	assert_int_equal(h.count, 6);
	assert_int_equal(h.sum, 20007);
}

static void
bounds_rise(void **state)
{
	const struct histogram_shape *shapes[] = {&histogram_latency, &histogram_count};

	(void)state;
	for (size_t k = 0; k < 2; k++)
		for (size_t i = 1; i < shapes[k]->n; i++)
			assert_true(shapes[k]->bounds[i - 1] < shapes[k]->bounds[i]);
}

static void
an_empty_page_has_an_end(void **state)
{
	struct metrics *m = metrics_new();

	(void)state;
	assert_page(m, METRICS_OPEN, "# EOF\n");
	assert_page(m, METRICS_TEXT, "");
	metrics_close(m);
	metrics_close(NULL);
}

/* Rooms add in any order; the format wants a family in one piece. */
static void
families_are_put_together(void **state)
{
	struct metrics *m = metrics_new();

	(void)state;
	metrics_counter(m, "slipring_reads", "Reads.", 3, "stream", "a", NULL);
	metrics_gauge(m, "slipring_up", "Up.", 1, NULL);
	metrics_counter(m, "slipring_reads", "Not shown.", 4, "stream", "b", "sink", NULL, NULL);
	assert_page(m, METRICS_OPEN,
	    "# HELP slipring_reads Reads.\n# TYPE slipring_reads counter\n"
	    "slipring_reads_total{stream=\"a\"} 3\n"
	    "slipring_reads_total{stream=\"b\",sink=\"\"} 4\n"
	    "# HELP slipring_up Up.\n# TYPE slipring_up gauge\nslipring_up 1\n# EOF\n");
	assert_page(m, METRICS_TEXT,
	    "# HELP slipring_reads_total Reads.\n# TYPE slipring_reads_total counter\n"
	    "slipring_reads_total{stream=\"a\"} 3\n"
	    "slipring_reads_total{stream=\"b\",sink=\"\"} 4\n"
	    "# HELP slipring_up Up.\n# TYPE slipring_up gauge\nslipring_up 1\n");
	metrics_close(m);
}

static void
labels_are_escaped(void **state)
{
	struct metrics *m = metrics_new();

	(void)state;
	metrics_gauge(m, "slipring_x", "A \"b\\c\nd.", 0.25, "v", "a\"b\\c\nd}", NULL);
	assert_page(m, METRICS_TEXT,
	    "# HELP slipring_x A 'b'c'd.\n# TYPE slipring_x gauge\n"
	    "slipring_x{v=\"a\\\"b\\\\c\\nd}\"} 0.25\n");
	metrics_close(m);
}

static void
numbers_stay_whole(void **state)
{
	struct metrics *m = metrics_new();

	(void)state;
	metrics_gauge(m, "a", "A.", 1234567890123.0, NULL);
	metrics_gauge(m, "b", "B.", -3, NULL);
	metrics_gauge(m, "c", "C.", 0.1, NULL);
	assert_page(m, METRICS_TEXT,
	    "# HELP a A.\n# TYPE a gauge\na 1234567890123\n"
	    "# HELP b B.\n# TYPE b gauge\nb -3\n"
	    "# HELP c C.\n# TYPE c gauge\nc 0.10000000000000001\n");
	metrics_close(m);
}

static void
histograms_are_cumulative_and_in_their_unit(void **state)
{
	static const struct histogram_shape shape = {
	    .n = 3, .bounds = {500, 1000000, 60000000}, .unit = 1e-6};
	struct histogram h = {.shape = &shape}, none = {0};
	struct metrics *m = metrics_new();

	(void)state;
	histogram_add(&h, 400);
	histogram_add(&h, 500000);
	histogram_add(&h, 99000000);
	metrics_histogram(m, "slipring_t_seconds", "T.", &h, "sink", "s", NULL);
	metrics_histogram(m, "slipring_none", "None.", &none, NULL);
	h.count = 99; /* a copy was taken */
	assert_page(m, METRICS_OPEN,
	    "# HELP slipring_t_seconds T.\n# TYPE slipring_t_seconds histogram\n"
	    "slipring_t_seconds_bucket{sink=\"s\",le=\"0.0005\"} 1\n"
	    "slipring_t_seconds_bucket{sink=\"s\",le=\"1.0\"} 2\n"
	    "slipring_t_seconds_bucket{sink=\"s\",le=\"60.0\"} 2\n"
	    "slipring_t_seconds_bucket{sink=\"s\",le=\"+Inf\"} 3\n"
	    "slipring_t_seconds_sum{sink=\"s\"} 99.500399999999999\n"
	    "slipring_t_seconds_count{sink=\"s\"} 3\n# EOF\n");
	metrics_close(m);
}

static void
what_does_not_fit_is_told(void **state)
{
	struct metrics *m = metrics_new();
	struct buf small = BUF_INIT(10), b = BUF_INIT(1 << 20);
	char *label = malloc(10001);

	(void)state;
	metrics_gauge(m, "slipring_x", "X.", 1, NULL);
	metrics_write(m, METRICS_TEXT, &small);
	assert_true(small.failed);
	memset(label, 'x', 10000);
	label[10000] = '\0';
	metrics_gauge(m, "slipring_x", "X.", 1, "v", label, NULL);
	metrics_write(m, METRICS_TEXT, &b);
	assert_true(b.failed);
	free(label);
	buf_close(&small);
	buf_close(&b);
	metrics_close(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_value_falls_into_the_range_it_ends),
	    cmocka_unit_test(bounds_rise),
	    cmocka_unit_test(an_empty_page_has_an_end),
	    cmocka_unit_test(families_are_put_together),
	    cmocka_unit_test(labels_are_escaped),
	    cmocka_unit_test(numbers_stay_whole),
	    cmocka_unit_test(histograms_are_cumulative_and_in_their_unit),
	    cmocka_unit_test(what_does_not_fit_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
