/* tests/emulator/tls.c - see tls.h. */
#include "tests/emulator/tls.h"

#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#include "base/mem.h"

struct tls {
	SSL_CTX *ctx; /* owned */
};

static int
fail(struct err *e, const char *what, const char *file)
{
	char why[256];

	ERR_error_string_n(ERR_peek_last_error(), why, sizeof why);
	return err_set(e, ERR_USAGE, "tls: %s %s: %s", what, file, why);
}

int
tls_open(struct tls **out, const char *cert_file, const char *key_file, struct err *e)
{
	struct tls *t = mem_new(sizeof *t);

	*out = t;
	t->ctx = SSL_CTX_new(TLS_server_method());
	assert(t->ctx != NULL);
	SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
	if (SSL_CTX_use_certificate_chain_file(t->ctx, cert_file) != 1)
		return fail(e, "cannot use the certificate", cert_file);
	if (SSL_CTX_use_PrivateKey_file(t->ctx, key_file, SSL_FILETYPE_PEM) != 1)
		return fail(e, "cannot use the key", key_file);
	return 0;
}

static struct bufferevent *
wrap(void *arg, struct event_base *base, evutil_socket_t fd)
{
	struct tls *t = arg;
	SSL *ssl = SSL_new(t->ctx); /* the bufferevent's from here on */
	struct bufferevent *bev;

	assert(ssl != NULL);
	bev = bufferevent_openssl_socket_new(
	    base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
	/* Clients that just close are none of our business. */
	if (bev != NULL)
		bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
	return bev;
}

static void
goodbye(struct bufferevent *bev)
{
	(void)SSL_shutdown(bufferevent_openssl_get_ssl(bev));
	ERR_clear_error();
}

struct wire_layer
tls_layer(struct tls *t)
{
	return (struct wire_layer){.wrap = wrap, .goodbye = goodbye, .arg = t};
}

void
tls_close(struct tls *t)
{
	if (t == NULL)
		return;
	SSL_CTX_free(t->ctx);
	free(t);
}
