/* tests/unit/kafka_reaper_test.c - the thread that ends producers, with an end of our own:
 * rd_kafka_destroy() cannot be made to hang, and ThreadSanitizer of gcc 12 does not know
 * the threads that librdkafka starts.
 */
#include "tests/unit/audit_support.h"

#include <pthread.h>

#include "sinks/kafka_reaper.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned destroyed;
static bool held;

/* Instead of kafka_producer.c's, which the linker then leaves out. */
void
kafka_producer_destroy(struct kafka_producer *p)
{
	(void)pthread_mutex_lock(&lock);
	while (held)
		(void)pthread_cond_wait(&changed, &lock);
	destroyed++;
	(void)pthread_cond_broadcast(&changed);
	(void)pthread_mutex_unlock(&lock);
	free(p);
}

static void
hold(bool on)
{
	(void)pthread_mutex_lock(&lock);
	held = on;
	(void)pthread_cond_broadcast(&changed);
	(void)pthread_mutex_unlock(&lock);
}

static unsigned
count(void)
{
	unsigned n;

	(void)pthread_mutex_lock(&lock);
	n = destroyed;
	(void)pthread_mutex_unlock(&lock);
	return n;
}

static void
on_done(void *arg)
{
	struct host *h = arg;

	h->readies++;
	loop_stop(h->loop);
}

static struct kafka_reaper *
reaper_start(struct host *h)
{
	struct kafka_reaper *r;
	struct err e;

	destroyed = 0;
	host_open(h);
	assert_int_equal(kafka_reaper_open(&r, h->loop, on_done, h, &e), 0);
	return r;
}

static void
ends_what_it_is_given(void **state)
{
	struct kafka_reaper *r;
	struct host h;

	(void)state;
	r = reaper_start(&h);
	hold(true);
	for (int i = 0; i < 3; i++)
		kafka_reaper_give(r, mem_new(sizeof(struct kafka_producer)));
	assert_int_equal(kafka_reaper_busy(r), 3);
	hold(false);
	do {
		host_run_for(&h, 20 * USEC_SEC);
		assert_false(h.late);
	} while (kafka_reaper_busy(r) > 0);
	assert_int_equal(count(), 3);
	assert_true(h.readies >= 1);
	kafka_reaper_close(r, 20 * USEC_SEC);
	host_close(&h);
}

static void
closing_waits_for_the_rest(void **state)
{
	struct kafka_reaper *r;
	struct host h;

	(void)state;
	r = reaper_start(&h);
	for (int i = 0; i < 5; i++)
		kafka_reaper_give(r, mem_new(sizeof(struct kafka_producer)));
	kafka_reaper_close(r, 20 * USEC_SEC);
	assert_int_equal(count(), 5);
	host_close(&h);
}

/* One that does not end is left to the thread, which cleans up behind itself. */
static void
closing_does_not_wait_for_ever(void **state)
{
	struct kafka_reaper *r;
	struct host h;

	(void)state;
	r = reaper_start(&h);
	hold(true);
	kafka_reaper_give(r, mem_new(sizeof(struct kafka_producer)));
	kafka_reaper_close(r, 20 * USEC_MS);
	host_close(&h);
	assert_int_equal(count(), 0);
	hold(false);
	(void)pthread_mutex_lock(&lock);
	while (destroyed < 1)
		(void)pthread_cond_wait(&changed, &lock);
	(void)pthread_mutex_unlock(&lock);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ends_what_it_is_given),
	    cmocka_unit_test(closing_waits_for_the_rest),
	    cmocka_unit_test(closing_does_not_wait_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
