/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Manifests of batch jobs. The first byte chooses: an inventory's manifest.json, or CSV, which must
 * give the same lines whether it comes whole or in two pieces.
 */

#include "fuzz.h"

#include "jobs/batch/manifest.h"
#include "store/store.h"

#define HASH_START 14695981039346656037ULL

static uint64_t mix(uint64_t sum, struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        sum = (sum ^ (uint8_t)s.ptr[i]) * 1099511628211ULL;
    return (sum ^ s.len) * 1099511628211ULL;
}

static void check_line(const struct manifest_line *l)
{
    if (!l->bucket.len)
        return;
    CHECK(l->key.len > 0 && l->key.len <= STORE_KEY_MAX && str_is_utf8(l->key));
    CHECK(l->bucket.len >= 3 && l->bucket.len <= 63 && l->version.len <= MANIFEST_VERSION_MAX);
}

/* All lines; the first `cut` bytes are all there is at first. */
static uint64_t read_all(struct str in, size_t cut)
{
    struct manifest_columns c = {.count = 0};
    struct manifest_line line;
    struct arena a;
    const char *why = NULL;
    uint64_t sum = HASH_START;
    size_t at = 0, used = 0;
    arena_init(&a, 0);
    for (int r = 0; r == 0 && at < in.len;) {
        struct str exact = fuzz_exact_prefix(str_from_offset(in, at), MAX(cut, at) - at);
        r = manifest_next(&c, &a, exact, cut == in.len, &line, &used, &why);
        if (r == 0) {
            CHECK(used > 0 && used <= exact.len);
            check_line(&line);
            sum = mix(mix(mix(sum, line.bucket), line.key), line.version);
            at += used;
        }
        if (r == -EAGAIN) {
            CHECK(cut < in.len);
            cut = in.len;
            r = 0;
        } else if (r < 0) {
            CHECK(why && (r == -ERR_PARSE || r == -ERR_TOO_LARGE));
            sum = mix(sum, str_from(why));
        }
        free((void *)(uintptr_t)exact.ptr);
        arena_reset(&a);
    }
    arena_release(&a);
    return sum;
}

static void read_inventory(struct str in)
{
    struct manifest_inventory m;
    struct arena a;
    const char *why = NULL;
    arena_init(&a, 0);
    int r = manifest_inventory_parse(&a, in, &m, &why);
    if (r == 0)
        CHECK(m.columns.count >= 2 && m.columns.bucket < m.columns.count &&
              m.columns.key < m.columns.count && m.bucket.len >= 3);
    else
        CHECK(why || r == -ENOMEM);
    arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    struct str in = str_make(data + 1, len - 1);
    if (data[0] == '{')
        read_inventory(in);
    else
        CHECK(read_all(in, in.len) == read_all(in, fuzz_split(in)));
    return 0;
}
