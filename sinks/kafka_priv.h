/* sinks/kafka_priv.h - what the files of the Kafka sink share.
 *
 *   kafka.c           the sink: submit, life, status
 *   kafka_settle.c    reports, what a failure spoils, silence
 *   kafka_producer.c  one librdkafka producer from birth to being let go
 *   kafka_reaper.c    ends producers on a thread of its own: rd_kafka_destroy() blocks
 *   kafka_conf.c      properties, and those that are ours to set
 *   kafka_encode.c    keys, values, headers as bytes
 *   kafka_verdict.c   what an error of librdkafka or a broker means
 *   kafka_stats.c     librdkafka's statistics into metrics and status
 *   kafka_probe.c     `slipring check --connect`
 *
 * Threading: everything on the loop thread, except what kafka_reaper.h says.
 */
#ifndef SINKS_KAFKA_PRIV_H
#define SINKS_KAFKA_PRIV_H

#include <librdkafka/rdkafka.h>

#include "base/buf.h"
#include "sinks/sink.h"

enum kafka_tombstones { TOMBSTONES_AUTO, TOMBSTONES_TRUE, TOMBSTONES_FALSE };

struct kafka_conf {
	struct conf_list brokers;
	char *topic;
	int format;	/* enum format */
	int tombstones; /* enum kafka_tombstones */
	bool headers;
	int64_t timeout_us;
	int64_t statistics_us;
	struct conf_map properties;
};

/* ---- kafka_conf.c ---- */

extern const struct conf_key kafka_keys[];
int kafka_check(const void *conf, struct err *e) MUST_CHECK;
/* All properties, checked by librdkafka. The caller destroys it, or rd_kafka_new() takes it. */
int kafka_conf_make(const struct kafka_conf *c, rd_kafka_conf_t **out, struct err *e) MUST_CHECK;

/* ---- kafka_verdict.c ---- */

enum sink_verdict kafka_verdict_of(rd_kafka_resp_err_t code);
/* The topic, or the partition that it had, is not there. */
bool kafka_is_unknown(rd_kafka_resp_err_t code);
/* Fills why for that code: "kafka: topic T: <librdkafka's or the broker's words>". topic may be NULL. */
void kafka_why(struct err *why, rd_kafka_resp_err_t code, const char *topic);

/* ---- kafka_encode.c ---- */

enum { KAFKA_EVENT = 1u << 0, KAFKA_TOMBSTONE = 1u << 1 }; /* messages of one record */

struct kafka_text {
	size_t at, n; /* in the parcel's bytes */
};

bool kafka_tombstones(const struct kafka_conf *c); /* "auto" decided */
/* Which messages a record becomes: the change, a null for compaction, or both. */
unsigned kafka_messages_of(const struct kafka_conf *c, const struct record *r);
/* Appends key and value (an empty one if there is only a tombstone). -1: ERR_LIMIT,
 * ERR_NOMEM, ERR_PROTOCOL; bytes is then as long as before. */
int kafka_encode(const struct kafka_conf *c, const struct delivery *d, struct buf *bytes,
    struct kafka_text *key, struct kafka_text *value, struct err *e) MUST_CHECK;
/* The caller owns it until a produce call has taken it. */
rd_kafka_headers_t *kafka_headers(const struct delivery *d);

/* ---- kafka_stats.c ---- */

#define KAFKA_STATS_BROKERS 32 /* shown one by one; more would be too many time series */

struct kafka_broker_stats {
	char name[280]; /* HOST:PORT/NUMBER, of a host's 253 bytes at most */
	bool up;
	int64_t rtt_avg_us, rtt_p99_us;
	int64_t waiting; /* requests sent and not answered */
	int64_t errors, retries, timeouts;
};

struct kafka_stats {
	bool known;
	int64_t messages, bytes; /* in librdkafka's queues */
	size_t broker_count;
	struct kafka_broker_stats brokers[KAFKA_STATS_BROKERS];
};

/* False: not understood, out is as it was. */
bool kafka_stats_parse(const char *json, size_t n, struct kafka_stats *out);

/* ---- kafka_probe.c ---- */

int kafka_probe(const void *conf, const struct sink_probe *p, struct err *e) MUST_CHECK;

/* ---- kafka_producer.c ---- */

struct kafka_topic {
	char *name; /* owned */
	rd_kafka_topic_t *rkt;
	bool seen; /* it has acked something: it exists */
};

struct kafka_parcel;

struct kafka_item {	    /* one record */
	struct delivery *d; /* NULL: reported */
	struct kafka_parcel *parcel;
	struct kafka_topic *topic;
	struct kafka_text key, value;
	rd_kafka_resp_err_t err; /* of the first of its messages that failed */
	uint8_t unsent;		 /* messages that librdkafka has not been given yet */
	uint8_t out;		 /* messages that it holds */
	bool here;		 /* librdkafka refused it, no broker has seen it */
};

struct kafka_parcel { /* one submit(); lives until its last report */
	struct kafka_parcel *next, *prev;
	struct kafka_item *items; /* owned */
	size_t count, cap;
	size_t open;	  /* items not reported */
	size_t sent;	  /* items before this one are with librdkafka */
	bool alone;	  /* nothing else can be in its request: one record, nothing beside it */
	bool refused;	  /* something of it was refused by the broker */
	struct buf bytes; /* owned; keys and values */
};

struct kafka_place { /* of a failure; partition -1: the whole topic */
	rd_kafka_topic_t *rkt;
	int32_t partition;
};

struct kafka_producer {
	struct kafka_producer *next; /* the reaper's */
	rd_kafka_t *rk;		     /* owned */
	rd_kafka_queue_t *queue;     /* owned */
	int fd;			     /* owned; non-blocking eventfd that librdkafka writes to */
	struct kafka_topic **topics; /* owned, each owned */
	size_t topic_count;
	struct kafka_parcel *first, *last; /* owned; not settled, oldest first */
	rd_kafka_event_t *event;	   /* owned; worked through over several passes */
	size_t out;			   /* messages that librdkafka holds */
	struct kafka_place *spoiled;	   /* owned; where something failed */
	size_t spoiled_count;
	bool broken;	   /* takes nothing more: something failed, or a fatal error */
	bool retiring;	   /* broken, and what is in flight is waited for */
	bool halt;	   /* and what it holds is reported HALT */
	bool down;	   /* librdkafka reaches no broker */
	bool refused;	   /* credentials are refused */
	struct err why;	   /* broken: of what it holds */
	char trouble[256]; /* what librdkafka complained about last, since the last delivery */
};

/* conf is copied. ERR_CONFIG: librdkafka refuses it. */
int kafka_producer_new(
    struct kafka_producer **out, const rd_kafka_conf_t *conf, struct err *e) MUST_CHECK;
/* Blocks, for as long as librdkafka's threads need: the reaper's thread only. */
void kafka_producer_destroy(struct kafka_producer *p);
/* Made at first use. NULL with *code: librdkafka refuses the name. */
struct kafka_topic *
kafka_producer_topic(struct kafka_producer *p, const char *name, rd_kafka_resp_err_t *code);
/* Hands over one message of an item: KAFKA_EVENT or KAFKA_TOMBSTONE. */
rd_kafka_resp_err_t kafka_producer_send(
    struct kafka_producer *p, struct kafka_item *it, unsigned message, bool headers);
void kafka_producer_add(struct kafka_producer *p, struct kafka_parcel *pc);
void kafka_producer_remove(struct kafka_producer *p, struct kafka_parcel *pc);
void kafka_producer_spoil(struct kafka_producer *p, rd_kafka_topic_t *rkt, int32_t partition);
bool kafka_producer_spoiled(
    const struct kafka_producer *p, const rd_kafka_topic_t *rkt, int32_t partition);
void kafka_parcel_free(struct kafka_parcel *pc);

/* ---- kafka.c, kafka_settle.c ---- */

struct kafka_reaper;

struct kafka_counts {
	uint64_t acked, refused, rebuilt, given_up, tombstones;
};

struct sink {
	struct sink_env env;
	const struct kafka_conf *conf; /* borrowed */
	rd_kafka_conf_t *rk_conf;      /* owned; each producer gets a copy */
	struct kafka_producer *p;      /* owned; NULL: none, made by the next submit */
	struct kafka_reaper *reaper;   /* owned */
	struct loop_io *io;	       /* owned; on p->fd */
	struct loop_timer *more;       /* owned; events are left for the next pass */
	struct loop_timer *watch;      /* owned; silence, and the end of waiting */
	struct kafka_parcel *pending;  /* of p: its rest waits for room in librdkafka */
	struct kafka_parcel *spare;    /* owned; to be used again */
	struct buf name;	       /* a topic's, rendered */
	bool full;		       /* said SINK_FULL; owes ready() */
	unsigned narrow;	       /* so many submits go one at a time */
	unsigned silent;	       /* gave up that often since the last ack */
	int64_t progress;	       /* monotonic: last delivery, or when waiting began */
	int64_t let_go;		       /* monotonic: a producer was broken or given to the reaper */
	struct kafka_stats stats;
	struct kafka_counts counts;
};

/* kafka_settle.c */
void kafka_on_wake(void *arg, int fd, unsigned events);
void kafka_on_more(void *arg);
void kafka_on_watch(void *arg);
void kafka_settle(struct sink *s, struct kafka_item *it);
/* It takes nothing more; the first reason stays. A fatal error tells more than code. */
void kafka_break(struct sink *s, rd_kafka_resp_err_t code, const char *topic);
/* Something failed: nothing more is sent, what is in flight is waited for, then
 * the producer goes. */
void kafka_retire(struct sink *s);
/* Everything that is not reported goes back at once, then the producer goes. */
void kafka_abandon(struct sink *s, enum sink_verdict v, const struct err *why);
void kafka_maybe_ready(struct sink *s);
void kafka_arm_watch(struct sink *s);
/* kafka.c */
bool kafka_may_submit(const struct sink *s);
void kafka_send_pending(struct sink *s);

#endif
