/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * How often a login may fail: TRIES_OF_NAME times of one name from one address and then every half
 * minute, TRIES_OF_ADDRESS times from one address and then every second (CVE-2026-33419: passwords
 * of a directory were guessed through a server that let everybody try). A name alone has no limit:
 * whoever knows it could shut its user out.
 *
 * A try is taken before it is known how it ends, and given back when it ends well; so many at once
 * are no way around it. An IPv6 address counts by its first 64 bits, which one customer has.
 *
 * Two tables of fixed size, whose slots are chosen by a hash that nobody can foresee: two that
 * share a slot share its limit. Pure but for the salt: the clock is the caller's.
 */

#include "base/str.h"
#include "rt/rt.h"

#define TRIES_SLOTS      4096
#define TRIES_OF_NAME    10
#define TRIES_OF_ADDRESS 100

struct tries {
    struct rt_lock lock; /* guards: */
    uint64_t salt;
    uint64_t by_name[TRIES_SLOTS], by_address[TRIES_SLOTS]; /* when the next is on time */
};

void tries_init(struct tries *t);
/* False: not now. `address` as text, without a port. */
bool tries_take(struct tries *t, struct str name, struct str address, uint64_t now_ns);
void tries_give_back(struct tries *t, struct str name, struct str address);
