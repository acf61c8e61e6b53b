/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* The first byte chooses one of the XML bodies that the S3 door reads; limits hold whatever comes.
 */

#include "s3/bodies.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_deletions(struct arena *a, struct str body)
{
    struct s3_deletions d;
    if (s3_body_deletions(a, body, &d))
        return;
    CHECK(d.count >= 1 && d.count <= S3_DELETE_KEYS_MAX);
    for (size_t i = 0; i < d.count; i++)
        CHECK(d.items[i].key.len > 0 && (d.items[i].err || d.items[i].key.len <= STORE_KEY_MAX));
}

static void check_completion(struct arena *a, struct str body, enum store_checksum_kind kind)
{
    struct s3_completion c;
    if (s3_body_completion(a, body, &kind, &c))
        return;
    CHECK(c.count >= 1 && c.count <= STORE_PARTS_MAX);
    for (size_t i = 0; i < c.count; i++) {
        CHECK(c.parts[i].number >= 1 && c.parts[i].number <= STORE_PARTS_MAX);
        CHECK(!c.parts[i].checksum.present || c.parts[i].checksum.kind == kind);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct str location;
    if (size == 0)
        return 0;
    struct str body = str_make(data + 1, size - 1);
    arena_init(&a, 0);
    if (data[0] == 'L')
        (void)s3_body_location(&a, body, &location);
    else if (data[0] == 'D')
        check_deletions(&a, body);
    else
        check_completion(&a, body, data[0] % STORE_CHECKSUM_KINDS);
    arena_release(&a);
    return 0;
}
