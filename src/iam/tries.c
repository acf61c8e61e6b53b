/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* The generic cell rate algorithm, as in rate.c, with a longer credit. */

#include "iam/tries.h"
#include <arpa/inet.h>
#include "base/buf.h"
#include "base/hash.h"

static const struct limit {
    uint64_t credit, step_ns;
} of_name = {TRIES_OF_NAME, 30 * RT_S}, of_address = {TRIES_OF_ADDRESS, RT_S};

void tries_init(struct tries *t)
{
    *t = (struct tries){.salt = 0};
    rt_lock_init(&t->lock);
    rt_random(&t->salt, sizeof(t->salt));
}

/* An address's bytes, of IPv6 half of them; what is none is itself. */
static struct str network_of(struct str address, char ret[sizeof(struct in6_addr)])
{
    char text[INET6_ADDRSTRLEN];
    if (address.len >= sizeof(text))
        return address;
    memcpy(text, address.ptr, address.len);
    text[address.len] = 0;
    return inet_pton(AF_INET6, text, ret) == 1 ? str_make(ret, 8) : address;
}

struct slots {
    uint64_t *name, *address;
};

static struct slots slots_of(struct tries *t, struct str name, struct str address)
{
    char bytes[sizeof(struct in6_addr)];
    struct str network = network_of(address, bytes);
    uint64_t key[3] = {t->salt, hash_xxh3(network.ptr, network.len), 0};
    uint64_t at = hash_xxh3(key, sizeof(key)) % TRIES_SLOTS;
    key[2] = hash_xxh3(name.ptr, name.len);
    return (struct slots){&t->by_name[hash_xxh3(key, sizeof(key)) % TRIES_SLOTS],
                          &t->by_address[at]};
}

static bool has_credit(const struct limit *l, uint64_t next_ns, uint64_t now_ns)
{
    return MAX(next_ns, now_ns) + l->step_ns <= now_ns + l->credit * l->step_ns;
}

static void take(const struct limit *l, uint64_t *next_ns, uint64_t now_ns)
{
    *next_ns = MAX(*next_ns, now_ns) + l->step_ns;
}

bool tries_take(struct tries *t, struct str name, struct str address, uint64_t now_ns)
{
    struct slots s = slots_of(t, name, address);
    rt_lock(&t->lock);
    bool may = has_credit(&of_name, *s.name, now_ns) && has_credit(&of_address, *s.address, now_ns);
    if (may) {
        take(&of_name, s.name, now_ns);
        take(&of_address, s.address, now_ns);
    }
    rt_unlock(&t->lock);
    return may;
}

void tries_give_back(struct tries *t, struct str name, struct str address)
{
    struct slots s = slots_of(t, name, address);
    rt_lock(&t->lock);
    *s.name -= MIN(*s.name, of_name.step_ns);
    *s.address -= MIN(*s.address, of_address.step_ns);
    rt_unlock(&t->lock);
}
