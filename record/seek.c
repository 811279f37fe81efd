/* record/seek.c - see seek.h.
 *
 * The last two bytes of the name and the quote behind it are looked for together:
 * names of one table begin alike more often than they end alike. A name that begins
 * with a letter, digit, '_' or a byte beyond ASCII cannot be mistaken for what is between
 * a closing quote and the next opening one.
 */
#include "record/seek.h"

#include "record/lex.h"

#if defined(__SSE2__) && !defined(LEX_PORTABLE)
#include <immintrin.h>
#define SEEK_SSE2 1
#else
#define SEEK_SSE2 0
#endif

bool
seek_suits(struct slice name)
{
	char c;

	if (name.n < 2 || slice_is(name, "SS") || slice_is(name, "NS") || slice_is(name, "BS") ||
	    slice_is(name, "BOOL") || slice_is(name, "NULL"))
		return false;
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] < 0x20 || name.p[i] == '"' || name.p[i] == '\\')
			return false;
	c = name.p[0];
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	    c == '_' || (unsigned char)c >= 0x80;
}

bool
seek_may(const struct record *r, struct slice image)
{
	return r->seek && (uintptr_t)image.p > (uintptr_t)r->raw.p &&
	    (uintptr_t)image.p < (uintptr_t)r->raw.p + r->raw.n;
}

/* p: at the byte before the last of the name, if this is it. */
static bool
take(struct slice image, struct slice name, const char *p, struct attribute *out)
{
	const char *quote = p - (name.n - 1), *end = image.p + image.n;
	struct slice text;
	struct lex l;

	if (p < image.p + name.n - 1 || *quote != '"' || memcmp(quote + 1, name.p, name.n) != 0)
		return false;
	l = lex_of((struct slice){p + 3, (size_t)(end - p) - 3});
	if (!lex_take(&l, ':') || lex_peek(&l) == -1)
		return false;
	p = l.p;
	out->type = lex_typed(&l, &text);
	if (out->type == '\0')
		return lex_value(&l, 1, &out->value);
	out->value = (struct slice){p, (size_t)(l.p - p)};
	out->text = (struct slice){text.p - 1, text.n + 2};
	return true;
}

#if SEEK_SSE2

#define SEEK_STEP 32
#define SEEK_STEP_NEEDS (SEEK_STEP + 2) /* and two for the name's end */

/* Of the sixteen bytes at p, those where the end of the name may be. */
static inline __m128i
ends_at(const char *p, __m128i a, __m128i b, __m128i quote)
{
	__m128i u = _mm_loadu_si128((const __m128i *)(const void *)p);
	__m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + 1));
	__m128i w = _mm_loadu_si128((const __m128i *)(const void *)(p + 2));

	return _mm_and_si128(
	    _mm_and_si128(_mm_cmpeq_epi8(u, a), _mm_cmpeq_epi8(v, b)), _mm_cmpeq_epi8(w, quote));
}

/* From p to `last`: the first step at whose bytes the name may end, as bits; 0: none.
 * The last step goes over some bytes again. */
static unsigned
find_sse2(const char **p, const char *last, struct slice name)
{
	const __m128i a = _mm_set1_epi8(name.p[name.n - 2]);
	const __m128i b = _mm_set1_epi8(name.p[name.n - 1]);
	const __m128i quote = _mm_set1_epi8('"');
	const char *at = *p;

	for (;; at = last - at < SEEK_STEP ? last : at + SEEK_STEP) {
		unsigned low = (unsigned)_mm_movemask_epi8(ends_at(at, a, b, quote));
		unsigned high = (unsigned)_mm_movemask_epi8(ends_at(at + 16, a, b, quote));

		if (UNLIKELY((low | high) != 0) || at == last) {
			*p = at;
			return low | high << 16;
		}
	}
}

__attribute__((target("avx2"))) static unsigned
find_avx2(const char **p, const char *last, struct slice name)
{
	const __m256i a = _mm256_set1_epi8(name.p[name.n - 2]);
	const __m256i b = _mm256_set1_epi8(name.p[name.n - 1]);
	const __m256i quote = _mm256_set1_epi8('"');
	const char *at = *p;

	for (;; at = last - at < SEEK_STEP ? last : at + SEEK_STEP) {
		__m256i u = _mm256_loadu_si256((const __m256i *)(const void *)at);
		__m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(at + 1));
		__m256i w = _mm256_loadu_si256((const __m256i *)(const void *)(at + 2));
		__m256i both = _mm256_and_si256(_mm256_cmpeq_epi8(u, a), _mm256_cmpeq_epi8(v, b));
		unsigned mask = (unsigned)_mm256_movemask_epi8(
		    _mm256_and_si256(both, _mm256_cmpeq_epi8(w, quote)));

		if (UNLIKELY(mask != 0) || at == last) {
			*p = at;
			return mask;
		}
	}
}

/* Of SEEK_STEP_NEEDS bytes and more. */
static void
seek_fast(struct slice image, struct slice name, struct attribute *out)
{
	const char *p = image.p, *last = image.p + image.n - SEEK_STEP_NEEDS;
	bool wide = __builtin_cpu_supports("avx2") != 0;

	for (;;) {
		unsigned mask = wide ? find_avx2(&p, last, name) : find_sse2(&p, last, name);

		for (; mask != 0; mask &= mask - 1)
			if (take(image, name, p + __builtin_ctz(mask), out))
				return;
		if (p == last)
			return;
		p = last - p < SEEK_STEP ? last : p + SEEK_STEP;
	}
}

#endif

struct attribute
seek_attribute(struct slice image, struct slice name)
{
	struct attribute out = {.type = '\0'};
	const char *p = image.p, *end = image.p + image.n;

#if SEEK_SSE2
	if (image.n >= SEEK_STEP_NEEDS) {
		seek_fast(image, name, &out);
		return out;
	}
#endif
	for (; end - p >= 3; p++)
		if (p[0] == name.p[name.n - 2] && p[1] == name.p[name.n - 1] && p[2] == '"' &&
		    take(image, name, p, &out))
			return out;
	return (struct attribute){.type = '\0'};
}
