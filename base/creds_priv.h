/* base/creds_priv.h - a profile as the shared files tell it; for creds.c
 * and creds_file.c only.
 */
#ifndef BASE_CREDS_PRIV_H
#define BASE_CREDS_PRIV_H

#include "base/err.h"
#include "base/sigv4.h"

/* Ways to keys that a profile can name and that we cannot go. In the order in
 * which AWS's own tools would take them. */
enum creds_missing {
	CREDS_MISSING_NONE,
	CREDS_MISSING_WEB_IDENTITY,
	CREDS_MISSING_ROLE,
	CREDS_MISSING_SSO,
	CREDS_MISSING_LOGIN,
	CREDS_MISSING_PROCESS, /* after keys of the credentials file, before the config file's */
	CREDS_MISSING_LAST = CREDS_MISSING_PROCESS,
};

struct creds_file {    /* one of the two files */
	char *path;    /* owned; NULL: there is no place to look, see why */
	char why[128]; /* "" if the profile is in it; else what was found instead */
	bool has_profile;
	struct sigv4_keys keys;
};

struct creds_profile {
	struct creds_file credentials, config;
	bool names[CREDS_MISSING_LAST + 1]; /* which settings were seen */
	char *region;			    /* owned; NULL if none */
};

/* Reads both files for one profile. Missing files and sections are no error
 * (they are in `why`); unreadable or malformed files are ERR_AUTH. The result
 * must be cleared in either case. */
int creds_profile_read(struct creds_profile *p, const char *name,
    const char *(*env)(const char *name), struct err *e) MUST_CHECK;
void creds_profile_clear(struct creds_profile *p);
/* Long or unprintable values would break a header: ERR_AUTH naming `what`. */
int creds_value_check(struct slice value, const char *what, struct err *e) MUST_CHECK;
void creds_keys_clear(struct sigv4_keys *k);

#endif
