/* base/metrics.h - what is counted, as a page for Prometheus.
 *
 *   new -> metrics_counter(...), metrics_gauge(...) from wherever -> metrics_write() -> close
 *
 * A page is gathered when somebody asks: every room adds samples from the
 * numbers it has anyway, in any order; metrics_write() puts the samples of one family
 * together, as the format wants it. Nothing is registered and nothing global.
 *
 * Two forms of the same page: OpenMetrics, and the text form 0.0.4 that older
 * Prometheus and promtool read. They differ in what a counter's family is called, and in the end.
 *
 * Names: slipring_..., a counter without its "_total" (the writer adds it), seconds
 * and bytes as the unit at the end. Labels: name, value, ... and NULL at the
 * end; values may hold anything, they are escaped.
 * Errors: out of memory drops samples and metrics_write() fails.
 * Threading: loop thread.
 */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include "base/buf.h"
#include "base/histogram.h"

enum metrics_form { METRICS_OPEN, METRICS_TEXT };
#define METRICS_OPEN_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define METRICS_TEXT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct metrics;

struct metrics *metrics_new(void);
void metrics_close(struct metrics *m);

/* help: one sentence; the first one given for a family is shown. name and help are borrowed. */
void metrics_counter(
    struct metrics *m, const char *name, const char *help, double value, ...) NULL_ENDED;
void
metrics_gauge(struct metrics *m, const char *name, const char *help, double value, ...) NULL_ENDED;
/* h without a shape is left out. */
void metrics_histogram(struct metrics *m, const char *name, const char *help,
    const struct histogram *h, ...) NULL_ENDED;

/* The whole page. out->failed tells of its maximum and of memory. */
void metrics_write(const struct metrics *m, enum metrics_form form, struct buf *out);

#endif
