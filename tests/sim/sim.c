/* tests/sim/sim.c - the simulator's command line.
 *
 *   sim --seeds A..B [--jobs N] [-v]   runs seeds; 1 if any failed. -v: hash, and a trace of
 *                                      what failed; -vv: trace of everything.
 *                                      --stop: no more after the first failure
 *   sim --idle N [--minutes M]         N idle shards: calls and memory
 *   sim --outage HOURS                 three of four sinks down: memory, and the fourth's delay
 *   sim --self-test                    the simulator's own parts
 *
 * Seeds are dealt out to child processes; a child that dies (an assertion of
 * the core) costs its seed, not the run. Each child's totals and the seed it is
 * at are in memory shared with the parent.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/sim/idle.h"
#include "tests/sim/life.h"
#include "tests/sim/outage.h"
#include "tests/sim/selftest.h"

#define JOBS_MAX 64u
#define FAILURES_MAX 200u

struct job {
	pid_t pid;
	uint64_t at; /* seed it works on */
	uint64_t failures;
	bool done;
	struct totals totals;
};

struct options {
	uint64_t first, last;
	unsigned jobs;
	unsigned minutes;
	unsigned idle, outage;
	enum trace_level level;
	bool self_test, seeds, stop_at_first;
};

static struct job *
jobs_new(unsigned n)
{
	void *p = mmap(NULL, n * sizeof(struct job), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("sim: mmap");
		exit(1);
	}
	return p;
}

static void
run_verbose(struct job *j, uint64_t seed, enum trace_level level)
{
	uint64_t first, second;
	struct totals scratch = {.n = {0}};
	bool ok = life_seed(seed, level, &j->totals, &first);

	if (!ok)
		return;
	(void)life_seed(seed, TRACE_HASH, &scratch, &second);
	(void)printf("seed %" PRIu64 ": ok, trace %016" PRIx64 "%s, %" PRIu64 " steps\n", seed,
	    first, first == second ? "" : " DIFFERS when run again", scratch.n[T_STEPS]);
	if (first != second)
		j->totals.n[T_OTHER]++;
}

static bool
enough(const struct job *jobs, const struct options *op)
{
	uint64_t failures = 0;

	for (unsigned i = 0; i < op->jobs; i++)
		failures += jobs[i].failures;
	return failures >= (op->stop_at_first ? 1 : FAILURES_MAX);
}

static void
work(struct job *jobs, struct job *j, const struct options *op)
{
	for (; j->at <= op->last && !enough(jobs, op); j->at += op->jobs) {
		uint64_t before = j->totals.n[T_LOST] + j->totals.n[T_REORDERED] +
		    j->totals.n[T_EARLY] + j->totals.n[T_OTHER];

		if (op->level != TRACE_HASH)
			run_verbose(j, j->at, op->level);
		else
			(void)life_seed(j->at, TRACE_HASH, &j->totals, NULL);
		j->failures += j->totals.n[T_LOST] + j->totals.n[T_REORDERED] +
			j->totals.n[T_EARLY] + j->totals.n[T_OTHER] !=
		    before;
		(void)fflush(stdout);
	}
	j->done = true;
}

static void
start(struct job *jobs, struct job *j, const struct options *op)
{
	pid_t pid;

	(void)fflush(stdout);
	pid = fork();
	if (pid < 0) {
		perror("sim: fork");
		exit(1);
	}
	if (pid != 0) {
		j->pid = pid;
		return;
	}
	work(jobs, j, op);
	exit(0);
}

/* A child that died takes its seed with it; another goes on behind it. */
static void
supervise(struct job *jobs, const struct options *op)
{
	unsigned running = op->jobs;

	while (running > 0) {
		int status;
		pid_t pid = waitpid(-1, &status, 0);

		for (unsigned i = 0; i < op->jobs && pid > 0; i++) {
			struct job *j = &jobs[i];

			if (j->pid != pid)
				continue;
			if (j->done) {
				running--;
				break;
			}
			(void)printf("seed %" PRIu64 ": died, %s %d\n  replay: build/tests/sim/sim "
				     "--seeds %" PRIu64 "..%" PRIu64 " -v\n",
			    j->at, WIFSIGNALED(status) ? "signal" : "exit code",
			    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), j->at,
			    j->at);
			j->totals.n[T_OTHER]++;
			j->failures++;
			j->at += op->jobs;
			start(jobs, j, op);
			break;
		}
	}
}

static void
print_totals(const struct totals *t, double seconds)
{
	static const char *const names[] = {
#define X(name, text) text,
	    TOTALS(X)
#undef X
	};
	unsigned column = 0;

	for (unsigned i = 0; i < T_LOST; i++) {
		int n = t->n[i] != 0
		    ? printf("%s%" PRIu64 " %s", column != 0 ? ", " : "", t->n[i], names[i])
		    : 0;

		column += (unsigned)n;
		if (column > 90) {
			(void)printf(",\n");
			column = 0;
		}
	}
	(void)printf("%s%.1f s, %.1f ms a seed\n", column != 0 ? "\n" : "", seconds,
	    t->n[T_SEEDS] != 0 ? seconds * 1000 / (double)t->n[T_SEEDS] : 0);
	(void)printf("%" PRIu64 " lost, %" PRIu64 " reordered, %" PRIu64 " acked early",
	    t->n[T_LOST], t->n[T_REORDERED], t->n[T_EARLY]);
	if (t->n[T_OTHER] != 0)
		(void)printf(", %" PRIu64 " other violations", t->n[T_OTHER]);
	(void)printf("\n");
}

static int
run_seeds(const struct options *op)
{
	struct job *jobs = jobs_new(op->jobs);
	struct totals all = {.n = {0}};
	struct timespec a, b;

	(void)clock_gettime(CLOCK_MONOTONIC, &a);
	for (unsigned i = 0; i < op->jobs; i++) {
		jobs[i].at = op->first + i;
		if (op->jobs > 1)
			start(jobs, &jobs[i], op);
	}
	if (op->jobs > 1)
		supervise(jobs, op);
	else
		work(jobs, &jobs[0], op);
	(void)clock_gettime(CLOCK_MONOTONIC, &b);
	for (unsigned i = 0; i < op->jobs; i++)
		for (unsigned k = 0; k < T_COUNT; k++)
			all.n[k] += jobs[i].totals.n[k];
	print_totals(&all, (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9);
	return all.n[T_LOST] + all.n[T_REORDERED] + all.n[T_EARLY] + all.n[T_OTHER] != 0;
}

static int
usage(void)
{
	(void)fprintf(stderr,
	    "usage: sim --seeds A..B [--jobs N] [--stop] [-v | -vv]\n       sim --idle SHARDS "
	    "[--minutes "
	    "M]\n"
	    "       sim --outage HOURS\n"
	    "       sim --self-test\n");
	return 64;
}

static bool
parse_number(const char *text, uint64_t max, uint64_t *out, char **end)
{
	errno = 0;
	*out = strtoull(text, end, 10);
	return errno == 0 && *end != text && *out <= max && text[0] != '-';
}

static bool
parse(int argc, char **argv, struct options *op)
{
	uint64_t n;
	char *end;

	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (strcmp(argv[i], "-v") == 0 || strcmp(argv[i], "-vv") == 0) {
			op->level = argv[i][2] == 'v' ? TRACE_ALL : TRACE_RING;
			continue;
		}
		if (strcmp(argv[i], "--stop") == 0) {
			op->stop_at_first = true;
			continue;
		}
		if (strcmp(argv[i], "--self-test") == 0) {
			op->self_test = true;
			continue;
		}
		if (!parse_number(value, UINT64_MAX - JOBS_MAX, &n, &end))
			return false;
		i++;
		if (strcmp(argv[i - 1], "--seeds") == 0) {
			op->seeds = true;
			op->first = op->last = n;
			if (strncmp(end, "..", 2) == 0 &&
			    !parse_number(end + 2, UINT64_MAX - JOBS_MAX, &op->last, &end))
				return false;
		} else if (strcmp(argv[i - 1], "--jobs") == 0 && n >= 1 && n <= JOBS_MAX) {
			op->jobs = (unsigned)n;
		} else if (strcmp(argv[i - 1], "--idle") == 0 && n >= 1 && n <= 1000000) {
			op->idle = (unsigned)n;
		} else if (strcmp(argv[i - 1], "--outage") == 0 && n >= 1 && n <= 20) {
			op->outage = (unsigned)n;
		} else if (strcmp(argv[i - 1], "--minutes") == 0 && n >= 1 && n <= 100000) {
			op->minutes = (unsigned)n;
		} else {
			return false;
		}
		if (*end != '\0')
			return false;
	}
	return op->self_test || op->idle != 0 || op->outage != 0 ||
	    (op->seeds && op->first <= op->last);
}

int
main(int argc, char **argv)
{
	struct options op = {.jobs = 1, .minutes = 60};

	if (!parse(argc, argv, &op))
		return usage();
	if (op.self_test)
		return selftest();
	if (op.idle != 0)
		return idle(op.idle, op.minutes);
	if (op.outage != 0)
		return outage(op.outage);
	return run_seeds(&op);
}
