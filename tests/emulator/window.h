/* tests/emulator/window.h - how many calls came in any one second.
 *
 * Keeps the times of the last second, so `max` is exact for a sliding window
 * and not for seconds of the clock.
 */
#ifndef EMULATOR_WINDOW_H
#define EMULATOR_WINDOW_H

#include <stddef.h>
#include <stdint.h>

struct window {
	int64_t *at; /* owned; a ring, microseconds, monotonic */
	size_t head, n, cap;
	size_t max;
};

/* Calls in the second that ends now, this one not counted. */
size_t window_count(struct window *w, int64_t now_us);
void window_hit(struct window *w, int64_t now_us);
void window_close(struct window *w);

#endif
