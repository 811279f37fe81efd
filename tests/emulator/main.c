/* tests/emulator/main.c - a DynamoDB Streams server for tests: starts it, says
 * where it listens, and ends it.
 *
 * It is an independent second opinion on the program: of the project's code
 * only slices, buffers, errors, allocation and random numbers are used.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/emulator/emulator.h"
#include "tests/emulator/history.h"

static void
build_history(struct emulator *em)
{
	const struct options *o = &em->o;
	struct history_conf hc = {.seed = o->seed,
	    .records = o->records,
	    .items = o->items,
	    .split_every = o->split_every,
	    .rotate_every = o->rotate_every,
	    .span_ms = (int64_t)o->span_s * 1000,
	    .pad = (uint32_t)o->pad,
	    .no_nul = o->no_nul};
	int64_t start_ms = (int64_t)o->epoch * 1000, end_ms;
	struct table *t = model_new_table(
	    &em->model, o->table, "pk", 'S', o->sort_key ? "sk" : NULL, 'N', start_ms);

	model_enable(&em->model, t, (enum view)o->view, o->shards, start_ms);
	end_ms = history_play(&em->model, t, &hc, start_ms);
	if (o->ended)
		model_disable(&em->model, t, end_ms);
}

static void
setup(struct emulator *em)
{
	const struct options *o = &em->o;

	rng_seed(&em->rng, o->seed ^ 0x6661756c74u);
	token_key_init(&em->token_key, o->seed);
	em->error_counts = json_object();
	em->skew_s = o->clock_offset_s;
	em->verify.access_key = mem_strdup(o->access_key);
	em->verify.secret = mem_strdup(o->secret);
	em->verify.token = mem_strdup(o->session_token);
	em->verify.region = o->region;
	model_open(&em->model, o->seed, o->region, o->account);
	em->model.lower_case_identity = o->lower_case_identity;
	if (!o->no_table)
		build_history(em);
}

static void
teardown(struct emulator *em)
{
	wire_close(em->wire);
	tls_close(em->tls);
	model_close(&em->model);
	faults_close(&em->faults);
	window_close(&em->describe_asked);
	window_close(&em->describe_admitted);
	json_decref(em->error_counts);
	free(em->verify.access_key);
	free(em->verify.secret);
	free(em->verify.token);
}

static void
on_signal(evutil_socket_t sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	event_base_loopbreak(arg);
}

static void
on_stdin(evutil_socket_t fd, short what, void *arg)
{
	char bytes[256];

	(void)what;
	if (read(fd, bytes, sizeof bytes) <= 0)
		event_base_loopbreak(arg);
}

static int
listen_on(struct emulator *em, struct err *e)
{
	const struct options *o = &em->o;
	struct wire_layer layer = {0};

	if (o->tls_cert != NULL) {
		if (tls_open(&em->tls, o->tls_cert, o->tls_key, e) != 0)
			return -1;
		layer = tls_layer(em->tls);
	}
	return wire_open(
	    &em->wire, em->base, o->listen, (uint16_t)o->port, &layer, dispatch, em, e);
}

static int
serve(struct emulator *em, struct err *e)
{
	struct event *term = evsignal_new(em->base, SIGTERM, on_signal, em->base);
	struct event *intr = evsignal_new(em->base, SIGINT, on_signal, em->base);
	struct event *guard =
	    event_new(em->base, STDIN_FILENO, EV_READ | EV_PERSIST, on_stdin, em->base);
	int r = listen_on(em, e);

	evsignal_add(term, NULL);
	evsignal_add(intr, NULL);
	if (r == 0 && em->o.stdin_guard && event_add(guard, NULL) != 0)
		r = err_set(e, ERR_USAGE, "--stdin-guard: standard input must be a pipe");
	if (r == 0) {
		(void)printf("port %u\n", wire_port(em->wire));
		(void)fflush(stdout);
		event_base_dispatch(em->base);
	}
	event_free(guard);
	event_free(intr);
	event_free(term);
	return r;
}

int
main(int argc, char **argv)
{
	struct emulator em = {0};
	struct err e;
	int r = options_parse(&em.o, argc, argv, &e);

	if (r == 0 && em.o.help) {
		options_help();
		return 0;
	}
	if (r == 0) {
		(void)signal(SIGPIPE, SIG_IGN);
		em.base = event_base_new();
		setup(&em);
		r = serve(&em, &e);
		teardown(&em);
		event_base_free(em.base);
	}
	if (r != 0)
		(void)fprintf(stderr, "emulator: %s\n", e.text);
	return r == 0 ? 0 : err_exit_code(&e);
}
