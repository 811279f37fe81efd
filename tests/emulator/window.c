/* tests/emulator/window.c - see window.h. */
#include "tests/emulator/window.h"

#include <stdlib.h>

#include "base/mem.h"

size_t
window_count(struct window *w, int64_t now_us)
{
	while (w->n != 0 && w->at[w->head] <= now_us - 1000000) {
		w->head = (w->head + 1) % w->cap;
		w->n--;
	}
	return w->n;
}

static void
grow(struct window *w)
{
	size_t cap = w->cap == 0 ? 8 : w->cap * 2;
	int64_t *at = mem_array(cap, sizeof *at);

	for (size_t i = 0; i < w->n; i++)
		at[i] = w->at[(w->head + i) % w->cap];
	free(w->at);
	w->at = at;
	w->cap = cap;
	w->head = 0;
}

void
window_hit(struct window *w, int64_t now_us)
{
	(void)window_count(w, now_us);
	if (w->n == w->cap)
		grow(w);
	w->at[(w->head + w->n) % w->cap] = now_us;
	w->n++;
	if (w->n > w->max)
		w->max = w->n;
}

void
window_close(struct window *w)
{
	free(w->at);
	*w = (struct window){0};
}
