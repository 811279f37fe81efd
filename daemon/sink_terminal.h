/* daemon/sink_terminal.h - changes for the eye: one line each, as wide as the
 * terminal.
 *
 *   12:00:01 MODIFY ["o-1"] status: "new" -> "paid", total: 10 -> 12
 *
 * Values are unmarshalled; whatever could drive the terminal is escaped. With a
 * format, lines are that format's JSON, escaped the same way, which does not
 * change its meaning.
 * A line is acked when the terminal has taken it; a terminal that is
 * stopped (^S) stops the reading, too.
 */
#ifndef DAEMON_SINK_TERMINAL_H
#define DAEMON_SINK_TERMINAL_H

#include "sinks/sink.h"

struct terminal_conf {
	int fd;
	bool color;
	bool fit;   /* cut lines at the terminal's width */
	int format; /* enum format, or -1: for the eye */
};

extern const struct sink_ops sink_terminal;

/* One record for the eye, without newline; columns 0: not cut. */
void terminal_write(
    const struct record *r, const struct origin *o, bool color, size_t columns, struct buf *out);

#endif
