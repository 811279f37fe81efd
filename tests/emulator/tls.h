/* tests/emulator/tls.h - the wire's layer for https, on OpenSSL.
 *
 * One certificate for every client, no client certificates. A connection that
 * ends in good order says so (close_notify); one that is cut does not.
 */
#ifndef EMULATOR_TLS_H
#define EMULATOR_TLS_H

#include "base/err.h"
#include "tests/emulator/wire.h"

struct tls;

int
tls_open(struct tls **out, const char *cert_file, const char *key_file, struct err *e) MUST_CHECK;
struct wire_layer tls_layer(struct tls *t); /* valid until tls_close() */
void tls_close(struct tls *t);		    /* NULL allowed; after the wire */

#endif
