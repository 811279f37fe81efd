/* tests/emulator/wire.h - an HTTP/1.1 server that can misbehave in bytes.
 *
 * Of our own on bufferevents, since no library cuts a body short, resets in
 * the middle or trickles on request. Requests of a connection are answered
 * one after the other. The handler gets a whole request and calls wire_send()
 * once before it returns; the plan says what goes out and how it ends.
 *
 *     READING --request--> handler --plan--> DELAYED -> TRICKLING -> READING
 *        ^                                     `-> HUNG        `---> ENDING
 *        `------ keep-alive ---------------------'
 *
 * Threading: loop thread. Not for hostile clients: it binds to loopback.
 */
#ifndef EMULATOR_WIRE_H
#define EMULATOR_WIRE_H

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "base/err.h"
#include "base/slice.h"

enum { WIRE_FIELDS = 64 };

struct wire_field {
	struct slice name, value;
};

struct wire_request { /* valid during the handler */
	struct slice method, path, body;
	struct wire_field headers[WIRE_FIELDS];
	size_t header_count;
};

enum wire_end {
	WIRE_KEEP,
	WIRE_CLOSE, /* in good order, the layer's goodbye first */
	WIRE_CUT,   /* FIN without a goodbye */
	WIRE_RESET, /* RST */
};

struct wire_plan {
	struct evbuffer *bytes; /* owned, taken over: head and body */
	size_t cut;		/* send no more than that; SIZE_MAX: all */
	enum wire_end end;	/* after the last byte */
	bool hang;		/* send nothing, ever */
	unsigned delay_ms;	/* before the first byte */
	size_t slow_bytes;	/* at a time; 0: as fast as it goes */
	unsigned slow_ms;	/* between the times */
};

struct wire_stats {
	uint64_t accepted, requests, bytes_in, bytes_out;
};

struct wire_conn;
struct wire;

/* TLS, or nothing: how a descriptor becomes a bufferevent, and what is said
 * before it is closed in good order. */
struct wire_layer {
	struct bufferevent *(*wrap)(void *arg, struct event_base *base, evutil_socket_t fd);
	void (*goodbye)(struct bufferevent *bev);
	void *arg;
};

int wire_open(struct wire **out, struct event_base *base, const char *address, uint16_t port,
    const struct wire_layer *layer,
    void (*handle)(void *arg, struct wire_conn *wc, const struct wire_request *rq), void *arg,
    struct err *e) MUST_CHECK;
uint16_t wire_port(const struct wire *w);
const struct wire_stats *wire_get_stats(const struct wire *w);
void wire_send(struct wire_conn *wc, const struct wire_plan *plan);
void wire_close(struct wire *w);

/* First header of that name; SLICE_NONE if none. */
struct slice wire_header(const struct wire_request *rq, const char *name);

#endif
