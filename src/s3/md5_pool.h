/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Gathers the MD5 work of a thread's fibers, so that several uploads are hashed side by side in
 * SIMD lanes (base/md5.h) rather than one after the other. What has to go through SHA-256 as well
 * goes through it two by two.
 *
 * A fiber puts its block in and yields, with a long block several times. Whichever fiber has
 * yielded enough first hashes all blocks that have come together by then; the others find theirs
 * done. A full set of lanes is hashed at once. Alone on its thread a fiber loses no more than the
 * yields.
 *
 * One pool a loop thread; never used from another.
 */

#include "base/hash.h"
#include "base/md5.h"

struct md5_pool;

/* `count` pools, to be indexed by rt_thread_index() with md5_pool_at; NULL: out of memory. */
struct md5_pool *md5_pools_new(unsigned count);
void md5_pools_free(struct md5_pool *pools);
struct md5_pool *md5_pool_at(struct md5_pool *pools, unsigned thread);

/* As md5_update, and hash_stream_update unless `sha256` is NULL. `data` is read until it returns.
 */
void FIBER md5_pool_update(struct md5_pool *p, struct md5 *md5, struct hash_stream *sha256,
                           struct str data);
