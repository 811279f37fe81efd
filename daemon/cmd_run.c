/* daemon/cmd_run.c - `slipring run`: the daemon.
 *
 *   open everything -> READY -> loop -> SIGTERM: drain -> DRAINED -> close
 *                                   '-> the pipeline ended by itself: 1, 3 or 78
 *
 * After the first SIGTERM or SIGINT both have their default meaning again, so
 * that the second one ends the process at once, even if the loop is stuck;
 * what was not acked is then read again next time, as after any crash.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "daemon/admin.h"
#include "daemon/command.h"
#include "daemon/service.h"
#include "daemon/wiring.h"

struct daemon {
	struct config *conf;
	struct wiring w;
	struct admin *admin;
	struct service *service;
	struct loop_signal *sigterm, *sigint;
	struct loop_timer *deadline;
	bool draining;
	int code;
};

/* Which streams cannot be, by the names people know them by. */
static void
log_failed_streams(struct daemon *d)
{
	json_t *doc = pipeline_status(d->w.pipeline), *o;
	size_t i;

	json_array_foreach(json_object_get(doc, "streams"), i, o)
	{
		const char *state = json_string_value(json_object_get(o, "state"));
		const char *name = json_string_value(json_object_get(o, "name"));
		const struct stream_config *s = config_stream(d->conf, name);

		if (strcmp(state, "failed") == 0 && s != NULL)
			log_error("daemon", name, "%s %s cannot be read: %s",
			    s->feed.table != NULL ? "table" : "stream",
			    s->feed.table != NULL ? s->feed.table : s->feed.arn,
			    json_string_value(json_object_get(o, "trouble")));
	}
	json_decref(doc);
}

static void
on_ended(void *ctx, enum pipeline_end how, const struct err *why)
{
	struct daemon *d = ctx;

	switch (how) {
	case PIPELINE_DRAINED:
		log_info("daemon", "", "drained, positions are saved");
		break;
	case PIPELINE_GAP:
		log_error("daemon", "",
		    "every stream is stopped by a gap; see slipring gaps list, then "
		    "slipring gaps accept ID");
		break;
	case PIPELINE_HALTED:
		log_error("daemon", "", "%s", why != NULL ? why->text : "nothing is left running");
		break;
	case PIPELINE_CONFIG:
		log_failed_streams(d);
		break;
	}
	loop_stop(d->w.loop);
}

/* Whoever began it, a sink that does not answer must not keep us for ever. */
static void
on_draining(void *ctx, enum pipeline_end how)
{
	struct daemon *d = ctx;
	static const int codes[] = {
	    [PIPELINE_DRAINED] = EXIT_DONE,
	    [PIPELINE_GAP] = EXIT_GAP,
	    [PIPELINE_HALTED] = EXIT_FAILED,
	    [PIPELINE_CONFIG] = EXIT_CONFIG,
	};

	d->code = codes[how];
	loop_timer_arm(d->deadline, d->conf->shutdown_timeout_us);
}

static void
on_deadline(void *arg)
{
	struct daemon *d = arg;
	int64_t held = pipeline_bytes(d->w.pipeline, NULL);

	log_warn("daemon", "",
	    "not everything was acked in time; it is delivered again after the next "
	    "start held-bytes=%lld",
	    (long long)held);
	loop_stop(d->w.loop);
}

static void
on_signal(void *arg, int signo)
{
	struct daemon *d = arg;

	if (d->draining)
		return;
	d->draining = true;
	loop_signal_close(d->sigterm);
	loop_signal_close(d->sigint);
	d->sigterm = d->sigint = NULL;
	(void)signal(SIGTERM, SIG_DFL);
	(void)signal(SIGINT, SIG_DFL);
	log_info("daemon", "", "stopping; another signal ends at once signal=%s",
	    signo == SIGINT ? "SIGINT" : "SIGTERM");
	service_stopping(d->service, d->conf->shutdown_timeout_us);
	pipeline_drain(d->w.pipeline);
}

/* One line for systemctl status. */
static void
write_status(void *arg, struct buf *out)
{
	struct daemon *d = arg;
	json_t *doc = pipeline_status(d->w.pipeline), *o;
	json_int_t gaps = 0;
	size_t i, active = 0;
	double oldest = 0;

	json_array_foreach(json_object_get(doc, "streams"), i, o)
	{
		json_t *sub;
		size_t j;

		gaps += json_integer_value(json_object_get(o, "open_gaps"));
		json_array_foreach(json_object_get(o, "sinks"), j, sub)
		{
			double age =
			    json_number_value(json_object_get(sub, "delivery_age_seconds"));

			oldest = age > oldest ? age : oldest;
		}
		active++;
	}
	buf_addf(out, "%zu streams, %zu sinks, oldest unacked %.0f s, %lld open gaps", active,
	    json_array_size(json_object_get(doc, "sinks")), oldest, (long long)gaps);
	json_decref(doc);
}

static int
start(struct daemon *d, struct err *e)
{
	const struct pipeline_host host = {.ctx = d, .ended = on_ended, .draining = on_draining};

	if (wiring_open(&d->w, e) != 0 || wiring_add_sources(&d->w, d->conf, e) != 0 ||
	    wiring_open_store(&d->w, d->conf, e) != 0 ||
	    wiring_add_pipeline(&d->w, d->conf, &host, e) != 0)
		return -1;
	if (admin_new(&d->admin, &d->w, d->conf, e) != 0)
		return -1;
	d->deadline = loop_timer_new(d->w.loop, on_deadline, d);
	d->service = service_new(d->w.loop, write_status, d);
	d->sigterm = loop_signal_new(d->w.loop, SIGTERM, on_signal, d);
	d->sigint = loop_signal_new(d->w.loop, SIGINT, on_signal, d);
	return pipeline_start(d->w.pipeline, e);
}

static void
finish(struct daemon *d)
{
	loop_signal_close(d->sigterm);
	loop_signal_close(d->sigint);
	service_close(d->service);
	loop_timer_close(d->deadline);
	admin_close(d->admin);
	wiring_close(&d->w);
}

static int
run(const struct args *a)
{
	struct daemon d = {.code = EXIT_FAILED};
	struct err e;

	if (config_load(&d.conf, args_get(a, "config"), &e) != 0)
		return command_fail(&e);
	log_set((enum log_level)d.conf->log_level, (enum log_format)d.conf->log_format);
	log_info("daemon", "", "starting version=%s streams=%zu sinks=%zu", SLIPRING_VERSION,
	    d.conf->stream_count, d.conf->sink_count);
	if (start(&d, &e) != 0) {
		log_error("daemon", "", "cannot start: %s", e.text);
		d.code = err_exit_code(&e);
	} else {
		log_info("daemon", "", "running");
		service_ready(d.service);
		if (loop_run(d.w.loop, &e) != 0)
			log_error("daemon", "", "%s", e.text);
	}
	finish(&d);
	log_info("daemon", "", "ended code=%d", d.code);
	config_close(d.conf);
	return d.code;
}

static const struct option_def options[] = {OPTION_CONFIG, {.name = NULL}};

const struct command cmd_run = {
    .name = "run",
    .operands = "",
    .summary = "the daemon, in the foreground",
    .help = "Reads every configured stream and delivers to the sinks until SIGTERM or SIGINT,\n"
	    "which delivers what is in flight first; a second signal ends at once. Under systemd\n"
	    "it says when it is ready (Type=notify) and keeps the watchdog.",
    .options = options,
    .run = run,
};
