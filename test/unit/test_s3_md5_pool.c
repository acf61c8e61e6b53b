/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "unit.h"

#include "rt/rt.h"
#include "s3/md5_pool.h"

#define FIBERS 40
#define BLOCKS 7

/* Every fiber's stream has its own content and block lengths. */
struct stream {
    struct md5_pool *pool;
    unsigned index;
    struct md5 md5;
    struct hash_stream *sha256; /* of every third fiber NULL */
    uint8_t data[BLOCKS][2048];
};

static size_t block_len(const struct stream *s, unsigned block)
{
    return (s->index * 131 + block * 977) % sizeof(s->data[0]);
}

static void hash_stream_alone(const struct stream *s, uint8_t ret[HASH_MD5_LEN])
{
    struct md5 m;
    md5_init(&m);
    for (unsigned b = 0; b < BLOCKS; b++)
        md5_update(&m, s->data[b], block_len(s, b));
    md5_finish(&m, ret);
}

static void expect_sha256(struct stream *s)
{
    struct hash_stream *h;
    uint8_t want[HASH_SHA256_LEN], got[HASH_SHA256_LEN];
    if (!s->sha256)
        return;
    CHECK(hash_stream_new(&h, HASH_SHA256) == 0);
    for (unsigned b = 0; b < BLOCKS; b++)
        hash_stream_update(h, s->data[b], block_len(s, b));
    hash_stream_finish(h, want);
    hash_stream_finish(s->sha256, got);
    CHECK(memcmp(want, got, sizeof(want)) == 0);
}

static int FIBER hash_stream_in_pool(void *arg)
{
    struct stream *s = arg;
    md5_init(&s->md5);
    for (unsigned b = 0; b < BLOCKS; b++)
        md5_pool_update(s->pool, &s->md5, s->sha256,
                        str_make((const char *)s->data[b], block_len(s, b)));
    return 0;
}

static int FIBER many_fibers(void *arg)
{
    struct rt_fiber *fibers[FIBERS];
    struct stream *streams = calloc(FIBERS, sizeof(*streams));
    struct md5_pool *pools = md5_pools_new(1);
    CHECK(streams && pools);
    for (unsigned i = 0; i < FIBERS; i++) {
        streams[i].pool = md5_pool_at(pools, 0);
        streams[i].index = i;
        if (i % 3)
            CHECK(hash_stream_new(&streams[i].sha256, HASH_SHA256) == 0);
        memset(streams[i].data, (int)i + 1, sizeof(streams[i].data));
        CHECK(rt_spawn(&fibers[i], "hash", hash_stream_in_pool, &streams[i]) == 0);
    }
    for (unsigned i = 0; i < FIBERS; i++) {
        uint8_t want[HASH_MD5_LEN], got[HASH_MD5_LEN];
        CHECK(rt_join(fibers[i]) == 0);
        hash_stream_alone(&streams[i], want);
        md5_finish(&streams[i].md5, got);
        CHECK(memcmp(want, got, sizeof(want)) == 0);
        expect_sha256(&streams[i]);
    }
    md5_pools_free(pools);
    free(streams);
    return 0;
}

static void fibers_together_hash_as_alone(void **state)
{
    struct rt_config config = {.threads = 1};
    assert_int_equal(rt_run(&config, many_fibers, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fibers_together_hash_as_alone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
