/* daemon/metrics.c - GET /metrics: the pipeline's numbers and the process's own.
 *
 * Whoever asks for OpenMetrics gets it (Prometheus does); anybody else gets the
 * text form, which curl and `promtool check metrics` read.
 */
#include "daemon/admin_priv.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <event2/buffer.h>

/* Some 100 bytes a sample; a thousand streams and sinks have about 100,000. */
#define PAGE_MAX (16u << 20)

int64_t
process_resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long long total, resident = 0;

	if (f == NULL)
		return 0;
	if (fscanf(f, "%lld %lld", &total, &resident) != 2)
		resident = 0;
	(void)fclose(f);
	return resident * sysconf(_SC_PAGESIZE);
}

static double
seconds(const struct timeval *t)
{
	return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

static void
add_process(const struct admin *a, struct metrics *m)
{
	struct loop *lp = a->w->loop;
	struct rusage use = {0};

	(void)getrusage(RUSAGE_SELF, &use);
	metrics_gauge(m, "slipring_build_info", "1; the version is in the label.", 1, "version",
	    SLIPRING_VERSION, NULL);
	metrics_gauge(m, "slipring_uptime_seconds", "Since the start.",
	    (double)(loop_now(lp) - a->started_us) / 1e6, NULL);
	metrics_gauge(m, "slipring_resident_memory_bytes", "Memory of the process.",
	    (double)process_resident_bytes(), NULL);
	metrics_counter(m, "slipring_cpu_seconds", "Processor time, user and system.",
	    seconds(&use.ru_utime) + seconds(&use.ru_stime), NULL);
	metrics_counter(
	    m, "slipring_loop_passes", "Turns of the loop.", (double)loop_passes(lp), NULL);
	metrics_histogram(m, "slipring_loop_lag_seconds",
	    "How late a timer fired, measured four times a second.", loop_lag_get(a->lag), NULL);
}

static bool
ready(const struct admin *a)
{
	json_t *why = pipeline_unready(a->w->pipeline);
	bool yes = json_array_size(why) == 0;

	json_decref(why);
	return yes;
}

static enum metrics_form
wanted_form(struct evhttp_request *rq)
{
	const char *accept = evhttp_find_header(evhttp_request_get_input_headers(rq), "Accept");

	return accept != NULL && strstr(accept, "application/openmetrics-text") != NULL
	    ? METRICS_OPEN
	    : METRICS_TEXT;
}

static void
send_page(struct evhttp_request *rq, enum metrics_form form, const struct buf *page)
{
	struct evkeyvalq *head = evhttp_request_get_output_headers(rq);

	evhttp_add_header(
	    head, "Content-Type", form == METRICS_OPEN ? METRICS_OPEN_TYPE : METRICS_TEXT_TYPE);
	evhttp_add_header(head, "Cache-Control", "no-store");
	evbuffer_add(evhttp_request_get_output_buffer(rq), page->p, page->n);
	evhttp_send_reply(rq, HTTP_OK, NULL, NULL);
}

void
admin_get_metrics(struct admin *a, struct evhttp_request *rq)
{
	enum metrics_form form = wanted_form(rq);
	struct metrics *m = metrics_new();
	struct buf page = BUF_INIT(PAGE_MAX);

	add_process(a, m);
	metrics_gauge(m, "slipring_ready", "What /readyz says: 1 for 200.", ready(a), NULL);
	pipeline_metrics(a->w->pipeline, m, (size_t)a->conf->admin_shards);
	metrics_write(m, form, &page);
	if (page.failed)
		admin_refuse(
		    rq, HTTP_INTERNAL, "the page is larger than it may be, or memory is short");
	else
		send_page(rq, form, &page);
	buf_close(&page);
	metrics_close(m);
}
