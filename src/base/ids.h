/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Ids that must not be swapped with one another or with plain numbers.
 */

#include "base/defs.h"

/* One chunk of an object: never reused. `session` is the server start that made it. */
struct chunk_id {
    uint64_t session;
    uint64_t counter;
};

/* A bucket for the life of the store (names may be reused, ids are not). 0 is the system space. */
struct bucket_id {
    uint64_t n;
};
#define BUCKET_SYSTEM ((struct bucket_id){0})

static inline bool chunk_id_eq(struct chunk_id a, struct chunk_id b)
{
    return a.session == b.session && a.counter == b.counter;
}
