/* daemon/service.c - see service.h. */
#include "daemon/service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/mem.h"

#define STATUS_US (10 * USEC_SEC)

struct service {
	struct loop *lp;
	void (*status)(void *arg, struct buf *out);
	void *arg;
	struct loop_timer *status_timer;
	struct loop_timer *watchdog;
	int64_t watchdog_us; /* half of what the manager asked for; 0: it did not */
	uint64_t passes;     /* at the last WATCHDOG=1 */
};

bool
service_notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t n = path != NULL ? strlen(path) : 0;
	bool sent;
	int fd;

	/* '@' stands for the NUL of an abstract name. */
	if (n < 2 || n >= sizeof to.sun_path || (path[0] != '/' && path[0] != '@'))
		return false;
	memcpy(to.sun_path, path, n);
	if (path[0] == '@')
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	sent = sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&to,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) >= 0;
	(void)close(fd);
	return sent;
}

/* Microseconds between two WATCHDOG=1; 0 if none are expected of us. */
static int64_t
watchdog_interval(void)
{
	const char *usec = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");
	int64_t v;

	if (usec == NULL || conf_parse_int(usec, 1, INT64_MAX, &v, NULL) != 0)
		return 0;
	if (pid != NULL && strtol(pid, NULL, 10) != (long)getpid())
		return 0;
	return v / 2 > 0 ? v / 2 : 1;
}

static void
on_watchdog(void *arg)
{
	struct service *s = arg;
	uint64_t now = loop_passes(s->lp);

	if (now != s->passes)
		(void)service_notify("WATCHDOG=1");
	s->passes = now;
	loop_timer_arm(s->watchdog, s->watchdog_us);
}

static void
send_status(struct service *s, const char *head)
{
	struct buf b = BUF_INIT(1024);

	buf_addf(&b, "%sSTATUS=", head);
	s->status(s->arg, &b);
	(void)service_notify(buf_cstr(&b));
	buf_close(&b);
}

static void
on_status(void *arg)
{
	struct service *s = arg;

	send_status(s, "");
	loop_timer_arm(s->status_timer, STATUS_US);
}

struct service *
service_new(struct loop *lp, void (*status)(void *arg, struct buf *out), void *arg)
{
	struct service *s = mem_new(sizeof *s);

	s->lp = lp;
	s->status = status;
	s->arg = arg;
	s->status_timer = loop_timer_new(lp, on_status, s);
	s->watchdog = loop_timer_new(lp, on_watchdog, s);
	s->watchdog_us = watchdog_interval();
	s->passes = UINT64_MAX;
	return s;
}

void
service_close(struct service *s)
{
	if (s == NULL)
		return;
	loop_timer_close(s->status_timer);
	loop_timer_close(s->watchdog);
	free(s);
}

void
service_ready(struct service *s)
{
	if (getenv("NOTIFY_SOCKET") == NULL)
		return;
	send_status(s, "READY=1\n");
	loop_timer_arm(s->status_timer, STATUS_US);
	if (s->watchdog_us != 0)
		loop_timer_arm(s->watchdog, s->watchdog_us);
}

void
service_stopping(struct service *s, int64_t timeout_us)
{
	char text[128];

	loop_timer_disarm(s->status_timer);
	(void)snprintf(text, sizeof text,
	    "STOPPING=1\nEXTEND_TIMEOUT_USEC=%lld\nSTATUS=Delivering what is in flight.",
	    (long long)(timeout_us + 5 * USEC_SEC));
	(void)service_notify(text);
}
