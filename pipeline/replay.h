/* pipeline/replay.h - dead letters delivered again, or dropped, while the
 * daemon runs.
 *
 *   job_start() -> fetch some -> page -> lane -> ACK: the letter goes
 *                    ^    |                  '-> REJECT: it stays, with its new reason
 *                    '----' until none is left
 *
 * One job a sink at a time. A replay goes through its sink's lane as any other
 * record does: order per key with the live ones, memory, batches, retry, breaker, brake.
 * It touches no position. A broken lane is waited for, a halt ends the job. A letter
 * whose record would overwrite a newer one is not submitted (SINK_CAP_OVERWRITES).
 * At least once: after a crash between the target's word and the letter's removal it is
 * still there.
 *
 * Threading: loop thread.
 */
#ifndef PIPELINE_REPLAY_H
#define PIPELINE_REPLAY_H

#include "checkpoint/letters.h"
#include "pipeline/pipeline_priv.h"

enum job_kind { JOB_REPLAY, JOB_DROP };

struct job;

/* For the query's sink, which is set. rate: letters a second; 0: as fast as it goes.
 * ERR_REFUSED: the sink is halted, has a job already, or cannot replay. */
int job_start(struct slot *sl, enum job_kind kind, const struct letter_query *q, int64_t rate,
    struct err *e) MUST_CHECK;
/* The sink's last job, for `slipring dlq` and status; NULL: it never had one. New reference. */
json_t *job_json(const struct slot *sl);
bool job_running(const struct slot *sl);
/* Does it leave superseded letters where they are, whatever the sink is? */
bool job_wants_fresh(const struct slot *sl);

void replay_poke(struct slot *sl);    /* its lane has room, or letters are gone for good */
void replay_dropped(struct slot *sl); /* its lane lets go of everything */
void replay_halted(struct slot *sl);
/* One of a replay's records is done. */
void replay_done(struct slot *sl, struct window *w, uint64_t ticket, enum lane_fate fate);
void job_close(struct slot *sl); /* lane's sink is closed, lane is not */

#endif
