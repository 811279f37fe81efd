/* tests/emulator/token.c - see token.h. */
#include "tests/emulator/token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum { MAC_BYTES = 16 };

struct wire_token {
	struct token tk;
	unsigned char mac[MAC_BYTES];
};

/* Base64 without padding or slack: a text has one reading only. */
static_assert(sizeof(struct wire_token) % 3 == 0, "the token fills its base64");
enum { TEXT_BYTES = sizeof(struct wire_token) / 3 * 4 };

void
token_key_init(struct token_key *k, uint64_t seed)
{
	struct rng r;

	rng_seed(&r, seed ^ 0x746f6b656eu);
	for (size_t i = 0; i < sizeof k->bytes; i++)
		k->bytes[i] = (unsigned char)rng_next(&r);
}

static void
mac_of(const struct token_key *k, const struct token *tk, unsigned char mac[MAC_BYTES])
{
	unsigned char full[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	HMAC(EVP_sha256(), k->bytes, sizeof k->bytes, (const unsigned char *)tk, sizeof *tk, full,
	    &n);
	memcpy(mac, full, MAC_BYTES);
}

void
token_write(
    const struct token_key *k, const struct model *m, const struct token *tk, struct buf *out)
{
	struct wire_token wt;

	memset(&wt, 0, sizeof wt); /* padding is part of the HMAC */
	wt.tk.stream = tk->stream;
	wt.tk.shard = tk->shard;
	wt.tk.position = tk->position;
	wt.tk.issued_ms = tk->issued_ms;
	wt.tk.empty_left = tk->empty_left;
	mac_of(k, &wt.tk, wt.mac);
	buf_add_str(out, m->streams[tk->stream]->arn);
	buf_add_str(out, "|1|");
	buf_add_base64(out, &wt, sizeof wt);
}

bool
token_read(const struct token_key *k, const struct model *m, struct slice text, struct token *out)
{
	unsigned char bytes[TEXT_BYTES + 1], mac[MAC_BYTES];
	struct wire_token wt;
	struct slice arn;

	if (text.n < TEXT_BYTES + 3)
		return false;
	arn = (struct slice){text.p, text.n - TEXT_BYTES - 3};
	if (memcmp(arn.p + arn.n, "|1|", 3) != 0 ||
	    EVP_DecodeBlock(bytes, (const unsigned char *)text.p + text.n - TEXT_BYTES,
		TEXT_BYTES) != (int)sizeof wt)
		return false;
	memcpy(&wt, bytes, sizeof wt);
	mac_of(k, &wt.tk, mac);
	if (CRYPTO_memcmp(mac, wt.mac, MAC_BYTES) != 0 || wt.tk.stream >= m->stream_count ||
	    !slice_is(arn, m->streams[wt.tk.stream]->arn))
		return false;
	*out = wt.tk;
	return true;
}
