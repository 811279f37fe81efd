/* sinks/audit_resume.h - takes a trail up where it stands: at start, and again
 * when its file can no longer be trusted. Part of audit_file.
 */
#ifndef SINKS_AUDIT_RESUME_H
#define SINKS_AUDIT_RESUME_H

#include "sinks/audit_file.h"

/* Opens the directory, made if only its last part is missing, and locks it. */
int audit_dir_open(struct audit_file *f, struct err *e) MUST_CHECK;
/* At start: verifies the newest file, cuts a torn tail, loads the marks, or
 * begins a trail. May be called again when it failed. */
int audit_resume(struct audit_file *f, int64_t now_us, struct err *e) MUST_CHECK;
/* Later: cuts to what was durable, and verifies that it is there. */
int audit_resume_again(struct audit_file *f, int64_t now_us, struct err *e) MUST_CHECK;
/* Could a start work? Changes nothing. */
int audit_resume_probe(const struct audit_conf *conf, struct err *e) MUST_CHECK;

#endif
