/* tests/emulator/fault.c - see fault.h. */
#include "tests/emulator/fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

const char *const fault_words[] = {
    [FAULT_NONE] = "none",
    [FAULT_THROTTLE] = "throttle",
    [FAULT_LIMIT_EXCEEDED] = "limit-exceeded",
    [FAULT_SERVER_ERROR] = "server-error",
    [FAULT_UNAVAILABLE] = "unavailable",
    [FAULT_EXPIRED_ITERATOR] = "expired-iterator",
    [FAULT_ACCESS_DENIED] = "access-denied",
    [FAULT_ERROR_200] = "error-200",
    [FAULT_HTML_200] = "html-200",
    [FAULT_EMPTY_200] = "empty-200",
    [FAULT_GZIP_BOMB] = "gzip-bomb",
    [FAULT_DUPLICATE_PAGE] = "duplicate-page",
    [FAULT_GZIP_CUT] = "gzip-cut",
    [FAULT_WRONG_CRC] = "wrong-crc32",
    [FAULT_RESET_BEFORE] = "reset-before",
    [FAULT_RESET_AFTER] = "reset-after",
    [FAULT_TRUNCATE] = "truncate",
    [FAULT_DELAY] = "delay",
    [FAULT_HANG] = "hang",
    [FAULT_SLOW] = "slow",
    [FAULT_SLOW + 1] = NULL,
};

static int
parse(struct fault *f, const json_t *spec, struct err *e)
{
	const char *kind = json_string_value(json_object_get(spec, "kind"));
	const char *target = json_string_value(json_object_get(spec, "target"));
	const json_t *count = json_object_get(spec, "count");
	const json_t *p = json_object_get(spec, "probability");
	size_t i = 0;

	while (kind != NULL && fault_words[i] != NULL && strcmp(fault_words[i], kind) != 0)
		i++;
	if (kind == NULL || fault_words[i] == NULL)
		return err_set(e, ERR_USAGE, "fault: no kind named %s", kind ? kind : "(none)");
	*f = (struct fault){.kind = (enum fault_kind)i, .probability = 1};
	(void)snprintf(f->target, sizeof f->target, "%s", target != NULL ? target : "");
	f->counted = count != NULL;
	f->left = (uint64_t)json_integer_value(count);
	if (p != NULL)
		f->probability = json_number_value(p);
	if (!(f->probability >= 0 && f->probability <= 1) || json_integer_value(count) < 0 ||
	    (count != NULL && !json_is_integer(count)))
		return err_set(
		    e, ERR_USAGE, "fault: probability is 0..1, count a number from 0 on");
	f->bytes = (uint64_t)json_integer_value(json_object_get(spec, "bytes"));
	f->ms = (uint64_t)json_integer_value(json_object_get(spec, "ms"));
	return 0;
}

int
faults_add(struct faults *fs, const json_t *spec, struct err *e)
{
	struct fault f;

	if (parse(&f, spec, e) != 0)
		return -1;
	if (f.kind == FAULT_NONE) {
		faults_close(fs);
		return 0;
	}
	fs->v = mem_grow(fs->v, fs->n + 1, sizeof *fs->v);
	fs->v[fs->n++] = f;
	return 0;
}

struct fault
faults_pick(struct faults *fs, const char *target, struct rng *r)
{
	for (size_t i = 0; i < fs->n; i++) {
		struct fault *f = &fs->v[i];

		if ((f->counted && f->left == 0) ||
		    (f->target[0] != '\0' && strcmp(f->target, target) != 0))
			continue;
		if (f->probability < 1 &&
		    (double)rng_below(r, 1u << 30) >= f->probability * (double)(1u << 30))
			continue;
		f->left -= f->counted;
		f->met++;
		return *f;
	}
	return (struct fault){.kind = FAULT_NONE};
}

void
faults_close(struct faults *fs)
{
	free(fs->v);
	*fs = (struct faults){0};
}
