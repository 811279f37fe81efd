/* tests/sim/lag_check.h - are the figures of lag honest?
 *
 * For each stream and sink the history knows the oldest record that is owed; the
 * figure may say more than its age (early), never less. Looks at what the pipeline says of
 * itself, so it is no part of the oracle.
 */
#ifndef SIM_LAG_CHECK_H
#define SIM_LAG_CHECK_H

#include "tests/sim/process.h"

void lag_check(struct life *l);

#endif
