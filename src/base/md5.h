/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * MD5 (RFC 1321), the ETag of a single PUT and the largest cost of one.
 *
 * One stream runs at under 1 GB/s whatever the core, for its steps depend on each other; two to
 * four of them in turn at 1.9 to 2.5, and as many as there are SIMD lanes at up to 7. So updates
 * are offered in groups: md5_update_many() takes any number of independent streams. Who gathers
 * them (the fibers of one thread) is not this file's concern.
 */

#include "base/hash.h"

struct md5 {
    uint32_t state[4];
    uint64_t len_bytes;
    uint8_t tail[64]; /* the last len_bytes % 64 bytes */
};

struct md5_job {
    struct md5 *md5;
    const void *data;
    size_t len;
};

void md5_init(struct md5 *m);
void md5_update(struct md5 *m, const void *data, size_t len);
void md5_finish(struct md5 *m, uint8_t ret[HASH_MD5_LEN]);
void md5_of(struct str data, uint8_t ret[HASH_MD5_LEN]);

/* Streams that go side by side: 16 (AVX-512), 8 (AVX2) or 4. */
unsigned md5_lanes(void);
/* As md5_update on each job; the streams are distinct. Fastest with md5_lanes() equal lengths. */
void md5_update_many(struct md5_job *jobs, size_t count);
