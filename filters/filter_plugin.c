/* filters/filter_plugin.c - `type: plugin`: a filter in a shared object of the operator's.
 *
 *   path --look at the file--> dlopen --> slipring_plugin: is it what plugin.h says?
 *        --> open(options) --> apply(record) ... --> close, dlclose
 *
 * What can be found wrong before any function of it runs is found then, with a line that
 * says what to do. (Its constructors run in dlopen(); that is what shared objects are.)
 * What it answers for a record is looked at like bytes from outside: nonsense costs that
 * record, never the daemon. A crash in it is ours, though: docs/plugin.md.
 */
#include "filters/filter.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/mem.h"
#include "filters/plugin_priv.h"

#define SYMBOL "slipring_plugin"

struct plugin_conf {
	char *path;
	struct conf_map options;
};

struct filter {
	void *object;			      /* of dlopen(), owned */
	const struct slipring_plugin *plugin; /* in the object */
	void *state;			      /* the plug-in's */
	bool open;			      /* state is to be closed */
	struct slipring_filter host;
};

#define CONF(member) .ofs = offsetof(struct plugin_conf, member)
static const struct conf_key keys[] = {
    {.name = "path",
	.type = CONF_STR,
	.flags = CONF_REQUIRED,
	CONF(path),
	.doc = "The shared object, an absolute path; only its owner may be able to write it."},
    {.name = "options",
	.type = CONF_MAP,
	.flags = CONF_HIDE,
	CONF(options),
	.doc = "What is handed to the plug-in: names and texts of its own."},
    {.name = NULL},
};

static int
check(const void *conf, struct err *e)
{
	const struct plugin_conf *c = conf;

	if (c->path[0] != '/')
		return err_set(e, ERR_CONFIG, "path \"%.200s\" must be absolute", c->path);
	/* $ORIGIN and $LIB: another file would be loaded than the one we looked at. */
	if (strchr(c->path, '$') != NULL)
		return err_set(e, ERR_CONFIG,
		    "path \"%.200s\" holds a $, which the loader would replace", c->path);
	return 0;
}

/* ---- loading ---- */

static int
check_file(const char *path, struct err *e)
{
	struct stat st;

	if (stat(path, &st) == -1)
		return err_set(e, ERR_CONFIG, "plug-in %.200s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_CONFIG, "plug-in %.200s is no regular file", path);
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return err_set(e, ERR_CONFIG,
		    "plug-in %.200s may be written by others than its owner (mode %04o), who could "
		    "then run what they like here: chmod go-w",
		    path, (unsigned)st.st_mode & 07777u);
	return 0;
}

/* The struct itself, or NULL: the symbol is not there, is a function, or is too small
 * to hold what it says it holds. */
static const struct slipring_plugin *
find_symbol(void *object, const char *path, struct err *e)
{
	const uint32_t *p = dlsym(object, SYMBOL);
	const ElfW(Sym) *symbol = NULL;
	void *found = NULL;
	Dl_info info;

	if (p == NULL) {
		(void)err_set(e, ERR_CONFIG,
		    "plug-in %.200s has no symbol " SYMBOL ": is it built with slipring/plugin.h, "
		    "and is the symbol exported?",
		    path);
		return NULL;
	}
	if (dladdr1(p, &info, &found, RTLD_DL_SYMENT) != 0)
		symbol = found;
	if (symbol == NULL || ELF64_ST_TYPE(symbol->st_info) != STT_OBJECT ||
	    symbol->st_size < 2 * sizeof *p) {
		(void)err_set(e, ERR_CONFIG,
		    "plug-in %.200s: " SYMBOL " is not a struct slipring_plugin", path);
		return NULL;
	}
	if (p[0] != SLIPRING_PLUGIN_ABI) {
		(void)err_set(e, ERR_CONFIG,
		    "plug-in %.200s was built for ABI %u, this program has ABI %u: build it anew "
		    "with this program's plugin.h",
		    path, p[0], SLIPRING_PLUGIN_ABI);
		return NULL;
	}
	if (p[1] < sizeof(struct slipring_plugin) || symbol->st_size < p[1]) {
		(void)err_set(e, ERR_CONFIG,
		    "plug-in %.200s: " SYMBOL ".size is %u, at least %zu were expected and %zu "
		    "are there",
		    path, p[1], sizeof(struct slipring_plugin), (size_t)symbol->st_size);
		return NULL;
	}
	return (const struct slipring_plugin *)(const void *)p;
}

static int
check_functions(const struct slipring_plugin *p, const char *path, struct err *e)
{
	const char *missing = NULL;

	if (p->open == NULL)
		missing = "open";
	else if (p->apply == NULL)
		missing = "apply";
	else if (p->close == NULL)
		missing = "close";
	if (missing == NULL)
		return 0;
	return err_set(e, ERR_CONFIG, "plug-in %.200s: %s is NULL", path, missing);
}

static int
load(struct filter *f, const char *path, struct err *e)
{
	if (check_file(path, e) != 0)
		return -1;
	f->object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (f->object == NULL) {
		const char *why = dlerror();

		return err_set(
		    e, ERR_CONFIG, "plug-in cannot be loaded: %.300s", why != NULL ? why : path);
	}
	f->plugin = find_symbol(f->object, path, e);
	return f->plugin != NULL ? check_functions(f->plugin, path, e) : -1;
}

static int
open_plugin(struct filter *f, const struct plugin_conf *c, struct err *e)
{
	char why[PLUGIN_LINE] = "", shown[PLUGIN_LINE];
	const struct slipring_setup setup = {.size = sizeof setup,
	    .host = &plugin_host,
	    .filter = &f->host,
	    .name = f->host.name,
	    .option_count = c->options.n,
	    .option_names = (const char *const *)c->options.names,
	    .option_values = (const char *const *)c->options.values,
	    .why = why,
	    .why_room = sizeof why};

	/* Terminated or not: plugin_line() stops at PLUGIN_LINE. */
	if (f->plugin->open(&setup, &f->state) != 0)
		return err_set(e, ERR_CONFIG, "plug-in %.100s does not open: %s", c->path,
		    why[0] != '\0' ? plugin_line(why, shown, sizeof shown) : "it does not say why");
	f->open = true;
	return 0;
}

static void
close_filter(struct filter *f)
{
	if (f == NULL)
		return;
	if (f->open)
		f->plugin->close(f->state);
	if (f->object != NULL)
		(void)dlclose(f->object);
	plugin_host_close(&f->host);
	free(f);
}

static int
open_filter(struct filter **out, const char *name, const void *conf, struct err *e)
{
	const struct plugin_conf *c = conf;
	struct filter *f = mem_new(sizeof *f);
	char release[64];

	plugin_host_open(&f->host, name);
	if (load(f, c->path, e) != 0 || open_plugin(f, c, e) != 0) {
		close_filter(f);
		return -1;
	}
	if (f->plugin->release != NULL)
		log_info("plugin", name, "%s from %s is loaded",
		    plugin_line(f->plugin->release, release, sizeof release), c->path);
	*out = f;
	return 0;
}

/* ---- records ---- */

static enum filter_verdict
reject(struct slipring_record *handle, struct err *why)
{
	if (handle->why.text[0] == '\0')
		(void)err_set(
		    &handle->why, ERR_REFUSED, "the plug-in rejects it and does not say why");
	*why = handle->why;
	return FILTER_REJECT;
}

static enum filter_verdict
apply(struct filter *f, struct record *r, const struct origin *o, struct err *why)
{
	struct slipring_record *handle = &f->host.record;
	uint32_t answer;

	handle->r = r;
	handle->o = o;
	handle->replaced = handle->refused = false;
	handle->why.text[0] = '\0';
	answer = f->plugin->apply(f->state, handle);
	handle->r = NULL;
	handle->o = NULL;
	if (handle->refused || answer == SLIPRING_REJECT)
		return reject(handle, why);
	if (answer == SLIPRING_DROP)
		return FILTER_DROP;
	if (answer == SLIPRING_KEEP)
		return handle->replaced ? FILTER_REWRITE : FILTER_KEEP;
	(void)err_set(
	    &handle->why, ERR_PROTOCOL, "the plug-in answered %u, which is no verdict", answer);
	return reject(handle, why);
}

const struct filter_ops filter_plugin = {
    .api = FILTER_API,
    .type = "plugin",
    .help = "A filter in a shared object of your own (docs/plugin.md).",
    .conf_size = sizeof(struct plugin_conf),
    .keys = keys,
    .check = check,
    .open = open_filter,
    .apply = apply,
    .close = close_filter,
};
