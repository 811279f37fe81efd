/* bad_symbol.c - what the loader must refuse before it calls anything. Built once for
 * each of -DNO_SYMBOL, -DA_FUNCTION, -DSMALL, -DABI=n, -DSIZE=n, -DUNDEFINED, and
 * -DNO_OPEN, -DNO_APPLY, -DNO_CLOSE. Its functions end the process.
 */
#include <stdlib.h>

#include <slipring/plugin.h>

#ifndef ABI
#define ABI SLIPRING_PLUGIN_ABI
#endif
#ifndef SIZE
#define SIZE sizeof(struct slipring_plugin)
#endif

int slipring_no_such_function(void);

static int
never_open(const struct slipring_setup *setup, void **state)
{
	(void)setup;
	*state = NULL;
	abort();
}

static uint32_t
never_apply(void *state, struct slipring_record *r)
{
	(void)state;
	(void)r;
#ifdef UNDEFINED
	return (uint32_t)slipring_no_such_function();
#else
	abort();
#endif
}

static void
never_close(void *state)
{
	(void)state;
	abort();
}

#if defined(NO_OPEN)
#define OPEN NULL
#else
#define OPEN never_open
#endif
#if defined(NO_APPLY)
#define APPLY NULL
#else
#define APPLY never_apply
#endif
#if defined(NO_CLOSE)
#define CLOSE NULL
#else
#define CLOSE never_close
#endif

static const struct slipring_plugin the_plugin = {ABI, SIZE, "bad", OPEN, APPLY, CLOSE};

#if defined(NO_SYMBOL)
const struct slipring_plugin *another_symbol = &the_plugin;
#elif defined(A_FUNCTION)
/* Under the name that the symbol has. */
uint32_t bad_symbol(void) __asm__("slipring_plugin") __attribute__((visibility("default")));
uint32_t
bad_symbol(void)
{
	volatile uint32_t large[4] = {1, 2, 3, 4}; /* as many bytes as a struct has */

	for (unsigned i = 0; i < 4; i++)
		large[i] += the_plugin.abi;
	return large[0] + large[1] + large[2] + large[3];
}
#elif defined(SMALL)
extern const uint32_t bad_symbol __asm__("slipring_plugin") __attribute__((visibility("default")));
const uint32_t bad_symbol = ABI;
const struct slipring_plugin *another_symbol = &the_plugin;
#else
const struct slipring_plugin slipring_plugin = {ABI, SIZE, "bad", OPEN, APPLY, CLOSE};
const struct slipring_plugin *another_symbol = &the_plugin;
#endif
