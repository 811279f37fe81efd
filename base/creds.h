/* base/creds.h - where the keys for signing come from.
 *
 * Asynchronous, because later providers (STS, IMDS, containers) must ask
 * somebody; the ones here answer in the next loop pass. A set of keys may
 * expire: creds_get() hands out what is valid and refreshes in time.
 *
 * Order: `none` when asked for (local endpoints), environment, then the
 * profile of the shared credentials and config files; a profile named in the
 * configuration goes before the environment. The first source that has
 * something to say decides, also when that is an error. Which one was used is
 * logged once, without keys.
 */
#ifndef BASE_CREDS_H
#define BASE_CREDS_H

#include "base/loop.h"
#include "base/sigv4.h"

struct creds;
struct creds_call;

enum creds_source { CREDS_AUTO, CREDS_ENVIRONMENT, CREDS_PROFILE, CREDS_NONE };

struct creds_conf {
	enum creds_source source; /* AUTO on a loopback endpoint without any keys falls
	                           * to NONE: allow_none */
	bool allow_none;	  /* not when a profile is named */
	const char *profile;	  /* NULL: AWS_PROFILE, then "default" */
	const char *(*getenv)(const char *name); /* NULL: the process's */
};

/* Reads nothing yet. */
struct creds *creds_new(struct loop *lp, const struct creds_conf *conf);
void creds_close(struct creds *c);

/* fn: keys are valid during the callback; keys == NULL with e == NULL means
 * "no real signature is needed" (CREDS_NONE); e: why there are none (ERR_AUTH, says every place that
 * was looked at). */
struct creds_call *creds_get(struct creds *c,
    void (*fn)(void *arg, const struct sigv4_keys *keys, const struct err *e), void *arg);
void creds_cancel(struct creds_call *call);
/* The service refused them: the next get reads the source again. At most once
 * per 10 s does work, so that a refusal cannot become a loop. */
void creds_refresh(struct creds *c);
/* "environment", "profile default", "none"; for the log and status. */
const char *creds_describe(const struct creds *c);
/* region by AWS_REGION, AWS_DEFAULT_REGION, then the profile's; NULL if none. Owned by c. */
const char *creds_region(struct creds *c);

#endif
