/* daemon/pattern_arg.h - --pattern and --plain-pattern of a command line.
 *
 * The value is the pattern itself or @FILE.
 */
#ifndef DAEMON_PATTERN_ARG_H
#define DAEMON_PATTERN_ARG_H

#include "daemon/command.h"
#include "filters/chain.h"
#include "filters/pattern.h"

#define OPTION_PATTERN                                                                             \
	{                                                                                          \
		.name = "pattern", .value = "JSON|@FILE",                                          \
		.doc = "a Lambda event filter or EventBridge pattern",                             \
	}
#define OPTION_PLAIN_PATTERN                                                                       \
	{                                                                                          \
		.name = "plain-pattern", .value = "JSON|@FILE",                                    \
		.doc = "one that names attributes without their types",                            \
	}

/* *out is NULL if neither was given. ERR_USAGE: both were. ERR_CONFIG. What the pattern's
 * author should know is said on standard error. */
int pattern_arg_compile(const struct args *a, struct pattern **out, struct err *e) MUST_CHECK;

/* The same as a chain of one filter. conf outlives the chain. */
struct pattern_arg {
	struct chain *chain; /* owned until somebody takes it; NULL: neither was given */
	void *conf;	     /* owned */
};
int pattern_arg_open(struct pattern_arg *p, const struct args *a, struct err *e) MUST_CHECK;
void pattern_arg_close(struct pattern_arg *p);

#endif
