/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/md5.h"
#include "base/md5_block.h"
#include <endian.h>
#include <openssl/md5.h>

#define BLOCK     64
#define LANES_MAX 16

/* One group of streams that advance together. A lane without a stream repeats lane 0. */
struct group {
    struct md5 *md5[LANES_MAX];
    const uint8_t *at[LANES_MAX];
    size_t blocks[LANES_MAX]; /* still to hash */
    unsigned count;
};

/* ---- one stream ----------------------------------------------------------------------------- */

/* OpenSSL's assembly is the fastest single stream there is; only its block function is used. */
static void hash_blocks(struct md5 *m, const uint8_t *p, size_t blocks)
{
    MD5_CTX c = {.A = m->state[0], .B = m->state[1], .C = m->state[2], .D = m->state[3]};
    MD5_Update(&c, p, blocks * BLOCK);
    m->state[0] = c.A;
    m->state[1] = c.B;
    m->state[2] = c.C;
    m->state[3] = c.D;
}

void md5_init(struct md5 *m)
{
    *m = (struct md5){.state = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476}};
}

/* Completes a block begun earlier. Returns how many bytes of the data that took. */
static size_t fill_tail(struct md5 *m, const uint8_t *p, size_t len)
{
    size_t held = m->len_bytes % BLOCK;
    if (held == 0)
        return 0;
    size_t taken = MIN(BLOCK - held, len);
    memcpy(m->tail + held, p, taken);
    m->len_bytes += taken;
    if (held + taken == BLOCK)
        hash_blocks(m, m->tail, 1);
    return taken;
}

static void keep_tail(struct md5 *m, const uint8_t *p, size_t len)
{
    if (len)
        memcpy(m->tail, p, len);
    m->len_bytes += len;
}

void md5_update(struct md5 *m, const void *data, size_t len)
{
    if (len == 0)
        return;
    const uint8_t *p = data;
    size_t taken = fill_tail(m, p, len);
    p += taken;
    len -= taken;
    size_t blocks = len / BLOCK;
    if (blocks) {
        hash_blocks(m, p, blocks);
        m->len_bytes += blocks * BLOCK;
    }
    keep_tail(m, p + blocks * BLOCK, len % BLOCK);
}

void md5_finish(struct md5 *m, uint8_t ret[HASH_MD5_LEN])
{
    uint8_t end[2 * BLOCK] = {0};
    size_t held = m->len_bytes % BLOCK;
    size_t blocks = held < BLOCK - 8 ? 1 : 2;
    uint64_t bits = m->len_bytes * 8; /* little-endian at the very end */
    memcpy(end, m->tail, held);
    end[held] = 0x80;
    for (size_t i = 0; i < 8; i++)
        end[blocks * BLOCK - 8 + i] = (uint8_t)(bits >> 8 * i);
    hash_blocks(m, end, blocks);
    for (size_t i = 0; i < HASH_MD5_LEN; i++)
        ret[i] = (uint8_t)(m->state[i / 4] >> 8 * (i % 4));
}

void md5_of(struct str data, uint8_t ret[HASH_MD5_LEN])
{
    struct md5 m;
    md5_init(&m);
    md5_update(&m, data.ptr, data.len);
    md5_finish(&m, ret);
}

/* ---- a few streams --------------------------------------------------------------------------- */

/*
 * Their steps in turn, so that each fills the time in which the others wait for their own last: two
 * run twice as fast as one, three 2.8 times. A fifth would find no register.
 */
#define FEW_MAX 4

static inline uint32_t word_of(const uint8_t *block, unsigned number)
{
    uint32_t word;
    memcpy(&word, block + 4 * number, sizeof(word));
    return le32toh(word);
}

#define STREAM_LOAD(i)                                                                           \
    uint32_t a##i = g->md5[i]->state[0], b##i = g->md5[i]->state[1], c##i = g->md5[i]->state[2], \
             d##i = g->md5[i]->state[3];                                                         \
    const uint8_t *at##i = g->at[i];
#define STREAM_KEEP(i) const uint32_t a0##i = a##i, b0##i = b##i, c0##i = c##i, d0##i = d##i;
#define STREAM_ADD(i)  a##i += a0##i, b##i += b0##i, c##i += c0##i, d##i += d0##i, at##i += BLOCK;
#define STREAM_STORE(i) \
    memcpy(g->md5[i]->state, (const uint32_t[]){a##i, b##i, c##i, d##i}, 4 * sizeof(uint32_t));
#define STREAM_STEP(i, f, a, b, c, d, word, k, s) \
    MD5_STEP(f, a##i, b##i, c##i, d##i, word_of(at##i, word), k, s);

#define EACH_2(X, ...) X(0, ##__VA_ARGS__) X(1, ##__VA_ARGS__)
#define EACH_3(X, ...) EACH_2(X, ##__VA_ARGS__) X(2, ##__VA_ARGS__)
#define EACH_4(X, ...) EACH_3(X, ##__VA_ARGS__) X(3, ##__VA_ARGS__)
#define STEP_OF_2(...) EACH_2(STREAM_STEP, __VA_ARGS__)
#define STEP_OF_3(...) EACH_3(STREAM_STEP, __VA_ARGS__)
#define STEP_OF_4(...) EACH_4(STREAM_STEP, __VA_ARGS__)

#define DEFINE_HASH_FEW(count)                                     \
    static void hash_##count(const struct group *g, size_t blocks) \
    {                                                              \
        EACH_##count(STREAM_LOAD);                                 \
        for (size_t n = 0; n < blocks; n++) {                      \
            EACH_##count(STREAM_KEEP);                             \
            MD5_ALL_STEPS(STEP_OF_##count);                        \
            EACH_##count(STREAM_ADD);                              \
        }                                                          \
        EACH_##count(STREAM_STORE);                                \
    }

DEFINE_HASH_FEW(2)
DEFINE_HASH_FEW(3)
DEFINE_HASH_FEW(4)

static void hash_few(struct group *g, size_t blocks)
{
    switch (g->count) {
    case 1:
        hash_blocks(g->md5[0], g->at[0], blocks);
        break;
    case 2:
        hash_2(g, blocks);
        break;
    case 3:
        hash_3(g, blocks);
        break;
    default:
        hash_4(g, blocks);
    }
}

/* ---- many streams --------------------------------------------------------------------------- */

#if defined(__x86_64__)
#    include <immintrin.h>

#    define AVX2 __attribute__((target("avx2")))
/* Ordered as Zen likes it, a seventh faster there. */
#    define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,tune=znver3")))

typedef uint32_t vec8 __attribute__((vector_size(32)));
typedef uint32_t vec16 __attribute__((vector_size(64)));

/* Eight rows of eight words become eight columns. */
AVX2 static inline void turn8(__m256i r[8])
{
    __m256i t[8];
    for (unsigned i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (unsigned i = 0; i < 8; i += 4) {
        r[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (unsigned i = 0; i < 4; i++) {
        t[i] = _mm256_permute2x128_si256(r[i], r[i + 4], 0x20);
        t[i + 4] = _mm256_permute2x128_si256(r[i], r[i + 4], 0x31);
    }
    memcpy(r, t, sizeof(t));
}

AVX2 static inline void load_words8(const uint8_t *const at[8], vec8 w[16])
{
    for (unsigned half = 0; half < 2; half++) {
        __m256i r[8];
        for (unsigned lane = 0; lane < 8; lane++)
            r[lane] = _mm256_loadu_si256((const __m256i *)(const void *)(at[lane] + 32 * half));
        turn8(r);
        memcpy(&w[8 * half], r, sizeof(r));
    }
}

/* Sixteen rows of sixteen words, exchanged in blocks of 8, 4, 2, 1 (Eklundh). */
AVX512 static inline void load_words16(const uint8_t *const at[16], vec16 w[16])
{
    __m512i r[16];
    for (unsigned lane = 0; lane < 16; lane++)
        r[lane] = _mm512_loadu_si512(at[lane]);
#    pragma GCC unroll 4
    for (unsigned step = 8; step > 0; step /= 2) {
        uint32_t low[16], high[16]; /* which word of the pair goes where */
        for (unsigned j = 0; j < 16; j++) {
            low[j] = j & step ? 16 + j - step : j;
            high[j] = j & step ? 16 + j : j + step;
        }
        __m512i take_low = _mm512_loadu_si512(low), take_high = _mm512_loadu_si512(high);
#    pragma GCC unroll 16
        for (unsigned i = 0; i < 16; i++) {
            if (i & step)
                continue;
            __m512i a = r[i], b = r[i + step];
            r[i] = _mm512_permutex2var_epi32(a, take_low, b);
            r[i + step] = _mm512_permutex2var_epi32(a, take_high, b);
        }
    }
    memcpy(w, r, sizeof(r));
}

#    define LANES_STEP(f, a, b, c, d, word, k, s) MD5_STEP(f, a, b, c, d, w[word], k, s)

/* Advances every lane of the group by `blocks`: the same text for both widths. */
#    define DEFINE_HASH_LANES(width, attribute)                                 \
        attribute static void hash_lanes##width(struct group *g, size_t blocks) \
        {                                                                       \
            vec##width a, b, c, d, w[16];                                       \
            const uint8_t *at[width];                                           \
            for (unsigned i = 0; i < width; i++) {                              \
                unsigned lane = i < g->count ? i : 0;                           \
                at[i] = g->at[lane];                                            \
                a[i] = g->md5[lane]->state[0];                                  \
                b[i] = g->md5[lane]->state[1];                                  \
                c[i] = g->md5[lane]->state[2];                                  \
                d[i] = g->md5[lane]->state[3];                                  \
            }                                                                   \
            for (size_t n = 0; n < blocks; n++) {                               \
                vec##width a0 = a, b0 = b, c0 = c, d0 = d;                      \
                load_words##width(at, w);                                       \
                MD5_ALL_STEPS(LANES_STEP);                                      \
                a += a0;                                                        \
                b += b0;                                                        \
                c += c0;                                                        \
                d += d0;                                                        \
                for (unsigned i = 0; i < width; i++)                            \
                    at[i] += BLOCK;                                             \
            }                                                                   \
            for (unsigned i = 0; i < g->count; i++) {                           \
                uint32_t state[4] = {a[i], b[i], c[i], d[i]};                   \
                memcpy(g->md5[i]->state, state, sizeof(state));                 \
            }                                                                   \
        }

DEFINE_HASH_LANES(8, AVX2)
DEFINE_HASH_LANES(16, AVX512)

unsigned md5_lanes(void)
{
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        return 16;
    return __builtin_cpu_supports("avx2") ? 8 : FEW_MAX;
}

/* Half-empty AVX-512 lanes still beat full AVX2 ones: rotation is one instruction there. */
static void hash_lanes(struct group *g, size_t blocks)
{
    if (md5_lanes() == 16)
        hash_lanes16(g, blocks);
    else
        hash_lanes8(g, blocks);
}
#else
unsigned md5_lanes(void)
{
    return FEW_MAX;
}

static void hash_lanes(struct group *g, size_t blocks)
{
    CHECK(false); /* a group is FEW_MAX at most */
}
#endif

/* Hashes as many blocks as the shortest stream has; streams that are done leave the group. */
static void advance(struct group *g)
{
    size_t blocks = g->blocks[0];
    for (unsigned i = 1; i < g->count; i++)
        blocks = MIN(blocks, g->blocks[i]);
    if (g->count > FEW_MAX)
        hash_lanes(g, blocks);
    else
        hash_few(g, blocks);
    unsigned kept = 0;
    for (unsigned i = 0; i < g->count; i++) {
        g->md5[i]->len_bytes += blocks * BLOCK;
        if (g->blocks[i] == blocks)
            continue;
        g->md5[kept] = g->md5[i];
        g->at[kept] = g->at[i] + blocks * BLOCK;
        g->blocks[kept++] = g->blocks[i] - blocks;
    }
    g->count = kept;
}

/* Takes a job's whole blocks into the group, if it has any; the odd ends are hashed or kept here.
 * A tail may be kept before the blocks are hashed: they do not touch it. */
static void admit(struct group *g, const struct md5_job *j)
{
    const uint8_t *p = j->data;
    size_t taken = j->len ? fill_tail(j->md5, p, j->len) : 0;
    size_t blocks = (j->len - taken) / BLOCK;
    keep_tail(j->md5, p + taken + blocks * BLOCK, j->len - taken - blocks * BLOCK);
    if (blocks == 0)
        return;
    g->md5[g->count] = j->md5;
    g->at[g->count] = p + taken;
    g->blocks[g->count++] = blocks;
}

void md5_update_many(struct md5_job *jobs, size_t count)
{
    unsigned lanes = md5_lanes();
    struct group g = {.count = 0};
    size_t next = 0;
    while (next < count || g.count > 0) {
        while (next < count && g.count < lanes)
            admit(&g, &jobs[next++]);
        if (g.count > 0)
            advance(&g);
    }
}
