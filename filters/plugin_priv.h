/* filters/plugin_priv.h - what the loader of plug-ins (filter_plugin.c) and what they may
 * call (plugin_host.c) share.
 *
 * Threading: loop thread.
 */
#ifndef FILTERS_PLUGIN_PRIV_H
#define FILTERS_PLUGIN_PRIV_H

#include "filters/plugin.h"
#include "filters/verify.h"
#include "record/record.h"

/* An item is 400 KB at most (a quota of the service), and its JSON six times that at
 * worst: \u0000 for every byte. */
#define PLUGIN_IMAGE_MAX (4u << 20)

struct slipring_record {
	struct slipring_filter *f; /* borrowed */
	struct record *r;	   /* borrowed; NULL outside of apply() */
	const struct origin *o;	   /* borrowed */
	bool replaced;
	bool refused; /* by reject(), or an image that is none: why says it */
	struct err why;
};

struct slipring_filter {
	char *name;		       /* owned; in the configuration */
	struct slipring_record record; /* the one at hand; a plug-in that keeps it past
					* apply() finds it empty */
	struct buf spare, new_image, old_image;
	struct verify verify;
};

/* Longest text of a plug-in's in a message; struct err holds it and what we add. */
#define PLUGIN_LINE 384u

extern const struct slipring_host plugin_host;

void plugin_host_open(struct slipring_filter *f, const char *name);
void plugin_host_close(struct slipring_filter *f);
/* Text of a plug-in's (NULL: none), cut, and fit to be shown in one line. Returns out. */
const char *plugin_line(const char *text, char *out, size_t room);

#endif
