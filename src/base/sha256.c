/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The rounds go as FIPS 180-4 has them, four at a time, in the form that Intel's instructions ask
 * for: the state in two vectors, A B E F and C D G H, and the last sixteen words of the schedule in
 * four. Everything is written for one stream and run for two in turn, step by step.
 */

#include "base/sha256.h"

#if defined(__x86_64__)
#    include <cpuid.h>
#    include <immintrin.h>

#    define SHA    __attribute__((target("sha,sse4.1,ssse3")))
#    define INLINE SHA __attribute__((always_inline)) static inline

static const uint32_t constants[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

struct stream {
    __m128i abef, cdgh;
    __m128i words[4]; /* of the schedule, the newest sixteen */
};

INLINE struct stream load(const uint32_t state[8])
{
    __m128i abcd = _mm_loadu_si128((const __m128i *)state);
    __m128i efgh = _mm_loadu_si128((const __m128i *)(state + 4));
    __m128i cdab = _mm_shuffle_epi32(abcd, 0xB1), hgfe = _mm_shuffle_epi32(efgh, 0x1B);
    return (struct stream){.abef = _mm_alignr_epi8(cdab, hgfe, 8),
                           .cdgh = _mm_blend_epi16(hgfe, cdab, 0xF0)};
}

INLINE void store(const struct stream *s, uint32_t state[8])
{
    __m128i feba = _mm_shuffle_epi32(s->abef, 0x1B), dchg = _mm_shuffle_epi32(s->cdgh, 0xB1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

INLINE void load_block(struct stream *s, const uint8_t *p)
{
    const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    for (unsigned i = 0; i < 4; i++)
        s->words[i] =
            _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p + (size_t)16 * i)), order);
}

/* Four rounds, and of the schedule what they make possible. */
INLINE void four_rounds(struct stream *s, unsigned n)
{
    __m128i *w = s->words, now = w[n % 4];
    __m128i added = _mm_add_epi32(now, _mm_load_si128((const __m128i *)constants + n));
    s->cdgh = _mm_sha256rnds2_epu32(s->cdgh, s->abef, added);
    if (n >= 3 && n <= 14) {
        __m128i *next = &w[(n + 1) % 4];
        *next = _mm_add_epi32(*next, _mm_alignr_epi8(now, w[(n + 3) % 4], 4));
        *next = _mm_sha256msg2_epu32(*next, now);
    }
    s->abef = _mm_sha256rnds2_epu32(s->abef, s->cdgh, _mm_shuffle_epi32(added, 0x0E));
    if (n >= 1 && n <= 12)
        w[(n + 3) % 4] = _mm_sha256msg1_epu32(w[(n + 3) % 4], now);
}

INLINE void add_block(struct stream *a, struct stream *b)
{
    struct stream was_a = *a, was_b = *b;
#    pragma GCC unroll 16
    for (unsigned n = 0; n < 16; n++) {
        four_rounds(a, n);
        four_rounds(b, n);
    }
    a->abef = _mm_add_epi32(a->abef, was_a.abef);
    a->cdgh = _mm_add_epi32(a->cdgh, was_a.cdgh);
    b->abef = _mm_add_epi32(b->abef, was_b.abef);
    b->cdgh = _mm_add_epi32(b->cdgh, was_b.cdgh);
}

SHA void sha256_two(uint32_t a[8], const void *from_a, uint32_t b[8], const void *from_b,
                    size_t blocks)
{
    const uint8_t *at_a = from_a, *at_b = from_b;
    struct stream sa = load(a), sb = load(b);
    for (size_t i = 0; i < blocks; i++) {
        load_block(&sa, at_a + SHA256_BLOCK * i);
        load_block(&sb, at_b + SHA256_BLOCK * i);
        add_block(&sa, &sb);
    }
    store(&sa, a);
    store(&sb, b);
}

/* Not among the names that __builtin_cpu_supports() knows everywhere. */
bool sha256_two_available(void)
{
    static _Atomic int known; /* 1: no, 2: yes */
    unsigned a, b = 0, c, d;
    if (known == 0)
        known = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA) &&
                        __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3")
                    ? 2
                    : 1;
    return known == 2;
}
#else
bool sha256_two_available(void)
{
    return false;
}

void sha256_two(uint32_t a[8], const void *from_a, uint32_t b[8], const void *from_b, size_t blocks)
{
    CHECK(!"not available");
}
#endif
