/* sinks/kafka_producer.c - one librdkafka producer: born, fed, and in the end
 * given to the reaper. After a fatal error, and after anything that could have
 * left a hole in the order of a key, it is not mended but replaced.
 *
 * No callback of librdkafka is registered, so no code of ours runs on its threads.
 * It writes to `fd` when its main queue stops being empty; kafka_settle.c reads
 * the descriptor first and the queue second, since in the other order a wake-up
 * can be lost.
 *
 * Keys and values stay in the parcel's buffer, which librdkafka reads from when it
 * builds a request (no RD_KAFKA_MSG_F_COPY): the parcel lives until its last report.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "sinks/kafka_priv.h"

/* One of the two is ours to free, whichever way rd_kafka_new() goes. */
static int
make_rk(rd_kafka_t **out, const rd_kafka_conf_t *conf, struct err *e)
{
	rd_kafka_conf_t *copy = rd_kafka_conf_dup(conf);
	char why[256];

	*out = rd_kafka_new(RD_KAFKA_PRODUCER, copy, why, sizeof why);
	if (*out != NULL)
		return 0;
	rd_kafka_conf_destroy(copy);
	return err_set(e, ERR_CONFIG, "kafka: %s", why);
}

int
kafka_producer_new(struct kafka_producer **out, const rd_kafka_conf_t *conf, struct err *e)
{
	static const uint64_t one = 1;
	struct kafka_producer *p = mem_new(sizeof *p);
	int errnum = 0;

	p->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (p->fd < 0)
		errnum = errno;
	if (errnum != 0 || make_rk(&p->rk, conf, e) != 0) {
		if (p->fd >= 0)
			(void)close(p->fd);
		free(p);
		return errnum == 0 ? -1 : err_errno(e, errnum, "kafka: cannot make an eventfd");
	}
	/* Log lines come as events, too. */
	(void)rd_kafka_set_log_queue(p->rk, NULL);
	/* Refused where there is nothing to refresh, which is nearly everywhere. */
	rd_kafka_error_destroy(rd_kafka_sasl_background_callbacks_enable(p->rk));
	p->queue = rd_kafka_queue_get_main(p->rk);
	rd_kafka_queue_io_event_enable(p->queue, p->fd, &one, sizeof one);
	*out = p;
	return 0;
}

void
kafka_parcel_free(struct kafka_parcel *pc)
{
	if (pc == NULL)
		return;
	buf_close(&pc->bytes);
	free(pc->items);
	free(pc);
}

void
kafka_producer_destroy(struct kafka_producer *p)
{
	struct kafka_parcel *pc;

	rd_kafka_queue_io_event_enable(p->queue, -1, NULL, 0);
	if (p->event != NULL)
		rd_kafka_event_destroy(p->event);
	(void)rd_kafka_purge(p->rk,
	    RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
	for (size_t i = 0; i < p->topic_count; i++) {
		rd_kafka_topic_destroy(p->topics[i]->rkt);
		free(p->topics[i]->name);
		free(p->topics[i]);
	}
	free(p->topics);
	rd_kafka_queue_destroy(p->queue);
	rd_kafka_destroy(p->rk);
	(void)close(p->fd);
	while ((pc = p->first) != NULL) {
		p->first = pc->next;
		kafka_parcel_free(pc);
	}
	free(p->spoiled);
	free(p);
}

struct kafka_topic *
kafka_producer_topic(struct kafka_producer *p, const char *name, rd_kafka_resp_err_t *code)
{
	struct kafka_topic *t;

	/* A handful: a name a table, or three with {event}. */
	for (size_t i = 0; i < p->topic_count; i++)
		if (strcmp(p->topics[i]->name, name) == 0)
			return p->topics[i];
	t = mem_new(sizeof *t);
	t->rkt = rd_kafka_topic_new(p->rk, name, NULL);
	if (t->rkt == NULL) {
		*code = rd_kafka_last_error();
		free(t);
		return NULL;
	}
	t->name = mem_strdup(name);
	p->topics = mem_grow(p->topics, p->topic_count + 1, sizeof(struct kafka_topic *));
	p->topics[p->topic_count++] = t;
	return t;
}

rd_kafka_resp_err_t
kafka_producer_send(struct kafka_producer *p, struct kafka_item *it, unsigned message, bool headers)
{
	bool null = message == KAFKA_TOMBSTONE;
	rd_kafka_vu_t v[6] = {
	    {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = it->topic->rkt},
	    {.vtype = RD_KAFKA_VTYPE_KEY},
	    {.vtype = RD_KAFKA_VTYPE_VALUE},
	    {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = it},
	    {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = 0},
	    {.vtype = RD_KAFKA_VTYPE_HEADERS},
	};
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
	rd_kafka_error_t *error;

	v[1].u.mem.ptr = it->parcel->bytes.p + it->key.at;
	v[1].u.mem.size = it->key.n;
	v[2].u.mem.ptr = null ? NULL : it->parcel->bytes.p + it->value.at;
	v[2].u.mem.size = null ? 0 : it->value.n;
	if (headers)
		v[5].u.headers = kafka_headers(it->d);
	error = rd_kafka_produceva(p->rk, v, headers ? 6 : 5);
	if (error == NULL) {
		it->out++;
		p->out++;
		return code;
	}
	code = rd_kafka_error_code(error);
	rd_kafka_error_destroy(error);
	if (headers)
		rd_kafka_headers_destroy(v[5].u.headers);
	return code;
}

void
kafka_producer_add(struct kafka_producer *p, struct kafka_parcel *pc)
{
	pc->next = NULL;
	pc->prev = p->last;
	if (p->last != NULL)
		p->last->next = pc;
	else
		p->first = pc;
	p->last = pc;
}

void
kafka_producer_remove(struct kafka_producer *p, struct kafka_parcel *pc)
{
	if (pc->prev != NULL)
		pc->prev->next = pc->next;
	else
		p->first = pc->next;
	if (pc->next != NULL)
		pc->next->prev = pc->prev;
	else
		p->last = pc->prev;
	pc->next = pc->prev = NULL;
}

bool
kafka_producer_spoiled(
    const struct kafka_producer *p, const rd_kafka_topic_t *rkt, int32_t partition)
{
	for (size_t i = 0; i < p->spoiled_count; i++)
		if (p->spoiled[i].rkt == rkt &&
		    (p->spoiled[i].partition == partition ||
			p->spoiled[i].partition == RD_KAFKA_PARTITION_UA))
			return true;
	return false;
}

void
kafka_producer_spoil(struct kafka_producer *p, rd_kafka_topic_t *rkt, int32_t partition)
{
	if (kafka_producer_spoiled(p, rkt, partition))
		return;
	p->spoiled = mem_grow(p->spoiled, p->spoiled_count + 1, sizeof *p->spoiled);
	p->spoiled[p->spoiled_count++] = (struct kafka_place){rkt, partition};
}
