/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Reed-Solomon erasure codes over GF(2^8), by ISA-L: k cells of data, m of parity, any k of the
 * k + m give the others back. Pure: bytes in, bytes out; nothing suspends, nothing blocks.
 *
 * The code is systematic, its parity rows are ISA-L's Cauchy matrix (gf_gen_cauchy1_matrix): parity
 * i of data j is 1 / ((k + i) ^ j). Every square part of a Cauchy matrix is invertible, which is
 * what "any k of k + m" needs; the Vandermonde matrix of the same library does not always give it.
 * The bytes of a parity are thereby a format: docs/FORMATS.md.
 *
 * Shards are numbered 0 .. k - 1 (data) and k .. k + m - 1 (parity). A cell is `len` bytes of one
 * shard; the cells of one call are of one length (what a chunk's end does about that:
 * ec/stripe.h). There is no alignment that a cell must have; 64 bytes are fastest.
 *
 * Verified before it is given: ec_encode and ec_decode check what they made before they return 0.
 * The check is one sum over all cells read and written, sum(w[i] * cell[i]), which is zero for the
 * right bytes: the weights are a random-looking combination of the code's own equations (Freivalds'
 * check of a matrix product). It has tables of its own, made and proved apart from those that
 * encode, runs in another kernel of the library, and reads the cells again, after the parity was
 * stored. So a flipped bit in a table, in a matrix or in a buffer, or a wrong result of a vector
 * unit, shows: a wrong byte in one shard always, in several shards at the same place all but once
 * in 255 a place. It costs one multiplication a byte where encoding costs m and decoding back would
 * cost k, and runs block by block while the bytes are in the cache.
 *
 * Invariants
 *  1. Every table in use belongs to a matrix that was proved, in arithmetic of our own, to map the
 *     sources' rows of the code to the targets' rows.
 *  2. At most EC_PLANS_MAX ways to decode are kept, whatever the erasures seen.
 *
 * A `struct ec` may be used by any number of threads at once; a lock is held only to look up a way
 * to decode.
 */

#include "base/defs.h"

#define EC_K_MAX      16
#define EC_M_MAX      8
#define EC_SHARDS_MAX (EC_K_MAX + EC_M_MAX)
#define EC_LEN_MAX    (64 * MIB) /* of a cell */
#define EC_PLANS_MAX  64         /* ways to decode kept, at most 5 KiB each */

struct ec;

/* A set of shards: bit i is shard i. */
typedef uint32_t ec_set;
#define EC_SHARD(i) ((ec_set)1 << (i))

/*
 * 2 <= k <= EC_K_MAX, 1 <= m <= EC_M_MAX; else -EINVAL (copies, k = 1, need no code). -ENOMEM.
 * -ERR_CORRUPT: the matrix did not prove right, so the machine cannot be trusted with data.
 */
int ec_new(struct ec **ret, unsigned k, unsigned m);
/* Accepts NULL and returns NULL. */
struct ec *ec_free(struct ec *ec);
static inline void ec_freep(struct ec **ec)
{
    ec_free(*ec);
}
#define _cleanup_ec_ _cleanup_(ec_freep)

unsigned ec_k(const struct ec *ec);
unsigned ec_m(const struct ec *ec);

/*
 * Fills parity[0 .. m - 1] from data[0 .. k - 1], each of `len` bytes (1 to EC_LEN_MAX, else
 * -EINVAL), none overlapping a parity. A data pointer may be NULL: it counts as `len` zeros.
 * -ERR_CORRUPT: the check failed, the parity is not to be used, and nor is the machine.
 */
int ec_encode(const struct ec *ec, const void *const *data, void *const *parity, size_t len);

/*
 * Whether the k + m cells (NULL: zeros) are those of one encoding: 0, -ERR_CORRUPT, or -EINVAL for
 * `len`. What a scrub may ask of a whole stripe; it sees what the check above sees, and does not
 * say in which shard.
 */
int ec_verify(const struct ec *ec, const void *const *shards, size_t len);

/*
 * Computes the cells of the shards in `want` (data or parity) from any k of those in `have`, the
 * lowest first. shards[0 .. k + m - 1]: those of the k used are read, those of `want` written, the
 * others not looked at. The two sets share no shard and lie below k + m, `have` has at least k, or
 * it is -EINVAL. An empty `want` is 0. -ENOMEM; -ERR_CORRUPT: the check of the result failed.
 *
 * The check shows that the result follows from the cells read. Whether those were the right ones is
 * for their own digests to say.
 */
int ec_decode(struct ec *ec, void *const *shards, ec_set have, ec_set want, size_t len);

/* Which k of `have` ec_decode would read: what a reader needs to fetch. 0 when there are fewer. */
ec_set ec_sources(const struct ec *ec, ec_set have);
