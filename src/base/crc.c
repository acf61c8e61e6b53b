/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The three CRCs. CRC-32 and CRC-32C come from ISA-L; CRC-64/NVME is ours: folding by carry-less
 * multiplication where the processor has it, a table elsewhere.
 *
 * All are "reflected": bit i of a register of width w is the coefficient of x^(w-1-i). Folding
 * follows Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ" (Intel,
 * 2009), in its reflected form.
 */

#include "base/hash.h"
#include <isa-l/crc.h>
#include <pthread.h>

#define POLY_CRC32     0xEDB88320ULL
#define POLY_CRC32C    0x82F63B78ULL
#define POLY_CRC64NVME 0x9A6C9329AC4BC9B5ULL

uint32_t hash_crc32(uint32_t crc, const void *data, size_t len)
{
    return crc32_gzip_refl(crc, data, len);
}

uint32_t hash_crc32c(uint32_t crc, const void *data, size_t len)
{
    /* ISA-L takes the length as an int and leaves the inversions to the caller. */
    const uint8_t *p = data;
    crc = ~crc;
    while (len > 0) {
        size_t step = MIN(len, (size_t)1 << 30);
        crc = crc32_iscsi((unsigned char *)(uintptr_t)p, (int)step, crc);
        p += step;
        len -= step;
    }
    return ~crc;
}

/* a * b mod P, all reflected and of the given width. */
static uint64_t multiply_mod(uint64_t a, uint64_t b, uint64_t poly, unsigned width)
{
    uint64_t product = 0;
    for (uint64_t bit = 1ULL << (width - 1); bit && a; bit >>= 1) {
        if (a & bit) {
            product ^= b;
            a ^= bit;
        }
        b = b & 1 ? b >> 1 ^ poly : b >> 1;
    }
    return product;
}

/* x^n mod P. */
static uint64_t power_mod(uint64_t n, uint64_t poly, unsigned width)
{
    uint64_t result = 1ULL << (width - 1), square = 1ULL << (width - 2);
    for (; n; n >>= 1) {
        if (n & 1)
            result = multiply_mod(result, square, poly, width);
        square = multiply_mod(square, square, poly, width);
    }
    return result;
}

/* What a run of bytes multiplies by: mostly it is as long as the last one. */
static uint64_t power_of_len(uint64_t len, uint64_t poly, unsigned width)
{
    static _Thread_local struct {
        uint64_t len, poly, power;
    } last;
    if (last.len != len || last.poly != poly) {
        last.power = power_mod(8 * len, poly, width);
        last.len = len;
        last.poly = poly;
    }
    return last.power;
}

static uint64_t combine(uint64_t a, uint64_t b, uint64_t len_b, uint64_t poly, unsigned width)
{
    return multiply_mod(power_of_len(len_b, poly, width), a, poly, width) ^ b;
}

uint32_t hash_crc32_combine(uint32_t a, uint32_t b, uint64_t len_b)
{
    return (uint32_t)combine(a, b, len_b, POLY_CRC32, 32);
}

uint32_t hash_crc32c_combine(uint32_t a, uint32_t b, uint64_t len_b)
{
    return (uint32_t)combine(a, b, len_b, POLY_CRC32C, 32);
}

uint64_t hash_crc64nvme_combine(uint64_t a, uint64_t b, uint64_t len_b)
{
    return combine(a, b, len_b, POLY_CRC64NVME, 64);
}

/* ---- CRC-64/NVME ---------------------------------------------------------------------------- */

static uint64_t table64[8][256]; /* [k][b]: byte b followed by k zero bytes */
static uint64_t fold_512[2], fold_128[2];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_constants(void)
{
    for (unsigned b = 0; b < 256; b++) {
        uint64_t v = b;
        for (unsigned bit = 0; bit < 8; bit++)
            v = v & 1 ? v >> 1 ^ POLY_CRC64NVME : v >> 1;
        table64[0][b] = v;
    }
    for (unsigned k = 1; k < 8; k++)
        for (unsigned b = 0; b < 256; b++)
            table64[k][b] = table64[k - 1][b] >> 8 ^ table64[0][table64[k - 1][b] & 0xFF];
    /* A product of reflected 64-bit values stands one bit too high, hence the - 1. */
    fold_512[0] = power_mod(512 + 64 - 1, POLY_CRC64NVME, 64);
    fold_512[1] = power_mod(512 - 1, POLY_CRC64NVME, 64);
    fold_128[0] = power_mod(128 + 64 - 1, POLY_CRC64NVME, 64);
    fold_128[1] = power_mod(128 - 1, POLY_CRC64NVME, 64);
}

static uint64_t by_table(uint64_t state, const uint8_t *p, size_t len)
{
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        word ^= state;
        state = 0;
        for (unsigned i = 0; i < 8; i++)
            state ^= table64[7 - i][word >> 8 * i & 0xFF];
    }
    for (; len > 0; p++, len--)
        state = state >> 8 ^ table64[0][(state ^ *p) & 0xFF];
    return state;
}

#if defined(__x86_64__)
#    include <immintrin.h>

#    define CLMUL __attribute__((target("pclmul,sse4.1")))

CLMUL static inline __m128i fold(__m128i r, __m128i k, __m128i next)
{
    __m128i high = _mm_clmulepi64_si128(r, k, 0x00);
    __m128i low = _mm_clmulepi64_si128(r, k, 0x11);
    return _mm_xor_si128(_mm_xor_si128(high, low), next);
}

/* `len` is at least 64. */
CLMUL static uint64_t by_folding(uint64_t state, const uint8_t *p, size_t len)
{
    const __m128i *in = (const __m128i *)(const void *)p;
    __m128i k512 = _mm_set_epi64x((long long)fold_512[1], (long long)fold_512[0]);
    __m128i k128 = _mm_set_epi64x((long long)fold_128[1], (long long)fold_128[0]);
    __m128i r0 = _mm_xor_si128(_mm_loadu_si128(in), _mm_set_epi64x(0, (long long)state));
    __m128i r1 = _mm_loadu_si128(in + 1), r2 = _mm_loadu_si128(in + 2),
            r3 = _mm_loadu_si128(in + 3);
    in += 4;
    for (len -= 64; len >= 64; len -= 64, in += 4) {
        r0 = fold(r0, k512, _mm_loadu_si128(in));
        r1 = fold(r1, k512, _mm_loadu_si128(in + 1));
        r2 = fold(r2, k512, _mm_loadu_si128(in + 2));
        r3 = fold(r3, k512, _mm_loadu_si128(in + 3));
    }
    r1 = fold(r0, k128, r1);
    r2 = fold(r1, k128, r2);
    r3 = fold(r2, k128, r3);
    uint8_t rest[16];
    _mm_storeu_si128((__m128i *)(void *)rest, r3);
    return by_table(by_table(0, rest, sizeof(rest)), (const uint8_t *)in, len);
}

static bool can_fold(void)
{
    return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}
#else
static uint64_t by_folding(uint64_t state, const uint8_t *p, size_t len)
{
    return by_table(state, p, len);
}

static bool can_fold(void)
{
    return false;
}
#endif

uint64_t hash_crc64nvme(uint64_t crc, const void *data, size_t len)
{
    pthread_once(&once, init_constants);
    return ~(len >= 64 && can_fold() ? by_folding(~crc, data, len) : by_table(~crc, data, len));
}
