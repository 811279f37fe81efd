/* bench/opensearch_bench.c - the OpenSearch sink beside bare libcurl.
 *
 * The same documents, in bodies of the same size, with as many requests under way, into
 * fresh indices of the same node, in turns. Bare: the bodies are made in advance, and
 * libcurl posts them and throws the answers away. The sink: pages are parsed,
 * ordered, encoded, posted, and every item's status is read.
 *
 * usage: opensearch_bench [URL]; without one SLIPRING_TEST_OPENSEARCH names the node.
 */
#include "bench/drive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "base/mem.h"
#include "sinks/opensearch_priv.h"

enum { RECORDS = 40000, BATCH = 500, WORKERS = 2, ROUNDS = 5 };

static const char *node;

static NORETURN void
die(const char *what)
{
	(void)fprintf(stderr, "bench: %s\n", what);
	exit(1);
}

static size_t
drop(char *p, size_t size, size_t n, void *arg)
{
	(void)p;
	(void)arg;
	return size * n;
}

/* ---- bare ---- */

static CURL *
post_new(const char *url, struct curl_slist *headers)
{
	CURL *c = curl_easy_init();

	(void)curl_easy_setopt(c, CURLOPT_URL, url);
	(void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, drop);
	(void)curl_easy_setopt(c, CURLOPT_POST, 1L);
	return c;
}

static void
post_next(CURLM *multi, CURL *c, const struct buf *body)
{
	(void)curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->n);
	(void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, body->p);
	if (curl_multi_add_handle(multi, c) != CURLM_OK)
		die("libcurl");
}

static void
check_done(const CURLMsg *m)
{
	long status = 0;

	(void)curl_easy_getinfo(m->easy_handle, CURLINFO_RESPONSE_CODE, &status);
	if (m->data.result != CURLE_OK || status != 200)
		die("a prepared body was refused");
}

static void
post_all(CURLM *multi, CURL **posts, const struct buf *bodies, size_t n)
{
	size_t next = 0, left = n;

	while (next < WORKERS && next < n) {
		post_next(multi, posts[next], &bodies[next]);
		next++;
	}
	while (left > 0) {
		int running, queued;
		CURLMsg *m;

		(void)curl_multi_perform(multi, &running);
		while ((m = curl_multi_info_read(multi, &queued)) != NULL) {
			CURL *c = m->easy_handle;

			check_done(m);
			(void)curl_multi_remove_handle(multi, c);
			left--;
			if (next < n)
				post_next(multi, c, &bodies[next++]);
		}
		if (left > 0)
			(void)curl_multi_poll(multi, NULL, 0, 1000, NULL);
	}
}

/* bodies[0] is the warm-up's, as the sink has one page to itself before the clock starts. */
static double
run_bare(const struct buf *bodies, size_t n)
{
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/x-ndjson");
	struct buf url = BUF_INIT(1000);
	CURLM *multi = curl_multi_init();
	CURL *posts[WORKERS];
	double begun;

	headers = curl_slist_append(headers, "Expect:");
	buf_addf(
	    &url, "%s/_bulk?filter_path=errors%%2Citems.%%2A.status%%2Citems.%%2A.error", node);
	for (int i = 0; i < WORKERS; i++)
		posts[i] = post_new(buf_cstr(&url), headers);
	post_all(multi, posts, bodies, 1);
	begun = drive_now();
	post_all(multi, posts, bodies + 1, n - 1);
	begun = drive_now() - begun;
	for (int i = 0; i < WORKERS; i++)
		curl_easy_cleanup(posts[i]);
	(void)curl_multi_cleanup(multi);
	curl_slist_free_all(headers);
	buf_close(&url);
	return begun;
}

static struct buf *
make_bodies(const struct os_conf *conf, size_t *n, double *bytes)
{
	struct buf *bodies;
	struct os_bulk bulk;
	struct os_target *t;
	struct err e;

	*n = RECORDS / BATCH + 1;
	*bytes = 0;
	bodies = mem_array(*n, sizeof *bodies);
	os_bulk_init(&bulk, conf);
	t = os_target_of(&bulk, &drive_origin, SLICE_NONE, &e);
	for (size_t i = 0; i < *n; i++) {
		struct buf raw = BUF_INIT(LIMIT_PAGE_BODY);
		struct page *page;

		drive_body(&raw, (unsigned)(i * BATCH), BATCH, RECORDS);
		if (t == NULL || page_parse(&page, &raw, &e) != 0)
			die(e.text);
		bodies[i] = BUF_INIT(64u << 20);
		for (size_t k = 0; k < page->count; k++)
			if (os_bulk_add(&bulk, &page->records[k], &drive_origin, t, 0, &bodies[i],
				&e) != SINK_ACK)
				die(e.text);
		if (i > 0)
			*bytes += (double)bodies[i].n;
		page_unref(page);
	}
	os_bulk_close(&bulk);
	return bodies;
}

/* ---- both ---- */

static void
remove_index(const char *name)
{
	CURL *c = curl_easy_init();
	struct buf url = BUF_INIT(1000);

	buf_addf(&url, "%s/%s", node, name);
	(void)curl_easy_setopt(c, CURLOPT_URL, buf_cstr(&url));
	(void)curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, "DELETE");
	(void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, drop);
	/* banned-ok: curl_easy_perform: nothing else runs here */
	(void)curl_easy_perform(c);
	curl_easy_cleanup(c);
	buf_close(&url);
}

static struct os_conf *
make_conf(const char *mode, const char *index)
{
	struct buf yaml = BUF_INIT(2000);
	struct os_conf *conf;

	buf_addf(&yaml, "url: %s\nindex: %s\nmode: %s\nworkers: %d\n", node, index, mode, WORKERS);
	conf = drive_conf(&sink_opensearch, buf_cstr(&yaml));
	buf_close(&yaml);
	return conf;
}

static double
run_sink(const struct os_conf *conf, unsigned keys, struct drive_result *r)
{
	struct drive d = {.ops = &sink_opensearch,
	    .conf = conf,
	    .records = keys == 1 ? 500 : RECORDS,
	    .keys = keys};

	drive_run(&d, 0, r);
	return r->seconds;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double
median(double *v)
{
	qsort(v, ROUNDS, sizeof *v, compare);
	return v[ROUNDS / 2];
}

static void
bench_mode(const char *mode)
{
	double bare[ROUNDS], sink[ROUNDS], bytes, a, b;
	struct os_conf *conf = make_conf(mode, "slipring-bench");
	struct drive_result r = {0};
	size_t n;
	struct buf *bodies = make_bodies(conf, &n, &bytes);

	/* Whoever comes second finds a node that is warmer: they take turns at that, too. */
	for (int i = 0; i < 2 * ROUNDS; i++) {
		remove_index("slipring-bench");
		if ((i + i / 2) % 2 == 0)
			bare[i / 2] = run_bare(bodies, n);
		else
			sink[i / 2] = run_sink(conf, RECORDS + BATCH, &r);
	}
	a = median(bare);
	b = median(sink);
	(void)printf("  %-9s  prepared bodies by libcurl   %8.0f documents/s  %6.1f MB/s\n", mode,
	    RECORDS / a, bytes / a / 1e6);
	(void)printf("             the sink                     %8.0f documents/s  %6.1f MB/s, "
		     "%.1f us of CPU each, %llu batches\n",
	    RECORDS / b, bytes / b / 1e6, r.cpu_seconds / RECORDS * 1e6,
	    (unsigned long long)r.batches);
	(void)printf("             sink / libcurl               %8.2f\n", a / b);
	for (size_t i = 0; i < n; i++)
		buf_close(&bodies[i]);
	free(bodies);
	conf_wipe(sink_opensearch.keys, conf);
	free(conf);
}

/* One item only: a change waits for the answer to the one before. */
static void
bench_hot_key(void)
{
	struct os_conf *conf = make_conf("overwrite", "slipring-bench");
	struct drive_result r = {0};

	remove_index("slipring-bench");
	(void)printf(
	    "  one item's changes alone        %8.0f changes/s\n", 500 / run_sink(conf, 1, &r));
	remove_index("slipring-bench");
	conf_wipe(sink_opensearch.keys, conf);
	free(conf);
}

int
main(int argc, char **argv)
{
	node = argc > 1 ? argv[1] : getenv("SLIPRING_TEST_OPENSEARCH");
	if (node == NULL) {
		(void)printf("opensearch: left out, SLIPRING_TEST_OPENSEARCH names no node\n");
		return 0;
	}
	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
	(void)printf("opensearch: %d records, %d a request, %d requests under way, median of %d\n",
	    RECORDS, BATCH, WORKERS, ROUNDS);
	bench_mode("overwrite");
	bench_mode("guarded");
	bench_hot_key();
	(void)printf("  peak resident memory %.0f MiB (prepared bodies among it)\n",
	    (double)drive_peak_resident() / 1048576);
	return 0;
}
