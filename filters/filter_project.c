/* filters/filter_project.c - `type: project`: some attributes and not the others. */
#include "filters/filter.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/mem.h"
#include "filters/image.h"

struct project_conf {
	struct conf_list include, exclude;
};

struct filter {
	struct image *include; /* owned; NULL: everything */
	struct image *exclude; /* owned; NULL: nothing */
};

#define CONF(member) .ofs = offsetof(struct project_conf, member)
static const struct conf_key keys[] = {
    {.name = "include",
	.type = CONF_LIST,
	CONF(include),
	.doc = "Paths of what stays; by default everything. Key attributes always do."},
    {.name = "exclude",
	.type = CONF_LIST,
	CONF(exclude),
	.doc = "Paths of what is left out, of what include leaves."},
    {.name = NULL},
};

static void
close_filter(struct filter *f)
{
	if (f == NULL)
		return;
	image_close(f->include);
	image_close(f->exclude);
	free(f);
}

static int
open_list(struct image **out, enum image_mode mode, const char *key, const struct conf_list *paths,
    struct err *e)
{
	if (paths->n == 0)
		return 0;
	*out = image_new(mode);
	return image_add_list(*out, key, paths, e);
}

static int
open_filter(struct filter **out, const char *name, const void *conf, struct err *e)
{
	const struct project_conf *c = conf;
	struct filter *f = mem_new(sizeof *f);

	(void)name;
	if (open_list(&f->include, IMAGE_PICK, "include", &c->include, e) != 0 ||
	    open_list(&f->exclude, IMAGE_EDIT, "exclude", &c->exclude, e) != 0) {
		close_filter(f);
		return -1;
	}
	*out = f;
	return 0;
}

static int
check(const void *conf, struct err *e)
{
	const struct project_conf *c = conf;
	struct filter *f;

	if (c->include.n == 0 && c->exclude.n == 0)
		return err_set(
		    e, ERR_CONFIG, "a project filter needs \"include\", \"exclude\" or both");
	if (open_filter(&f, "", conf, e) != 0)
		return -1;
	close_filter(f);
	return 0;
}

static enum image_act
leave_out(void *arg, struct image_at *at)
{
	(void)arg;
	(void)at;
	return IMAGE_DROP;
}

static enum filter_verdict
apply(struct filter *f, struct record *r, const struct origin *o, struct err *why)
{
	enum filter_verdict first = FILTER_KEEP, second = FILTER_KEEP;

	(void)o;
	if (f->include != NULL)
		first = image_filter(f->include, r, NULL, NULL, why);
	if (f->exclude != NULL && first != FILTER_REJECT)
		second = image_filter(f->exclude, r, leave_out, NULL, why);
	return second != FILTER_KEEP ? second : first;
}

const struct filter_ops filter_project = {
    .api = FILTER_API,
    .type = "project",
    .help = "Leaves attributes out of both images, or all but some.",
    .conf_size = sizeof(struct project_conf),
    .keys = keys,
    .check = check,
    .open = open_filter,
    .apply = apply,
    .close = close_filter,
};
