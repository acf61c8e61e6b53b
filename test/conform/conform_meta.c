/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * conform_meta mem|rocks|mirrored [CASE]: runs the cases over meta/local on that store; "mirrored"
 * is one of each, the same metadata in both.
 */

#include <stdio.h>
#include <unistd.h>
#include "kv/mem.h"
#include "kv/rocks_internal.h"
#include "test/conform/conform.h"

/* A store that outlives its handles. */
struct store {
    struct kv_mem *mem;
    struct kv_rocks_shared *shared;
    char dir[64], path[80];
};

static struct kv *open_mem(void *arg)
{
    struct store *s = arg;
    struct kv *kv;
    CHECK(kv_mem_open(&kv, s->mem) == 0);
    return kv;
}

static struct kv *open_rocks(void *arg)
{
    struct store *s = arg;
    struct kv *kv;
    CHECK(kv_rocks_open(&kv, s->shared, s->path, true) == 0);
    return kv;
}

static void set_cold(struct conform *c, bool cold)
{
    struct store *s = c->store;
    if (s->mem)
        kv_mem_set_cold(s->mem, cold);
    else
        rocks_set_cold(cold);
}

static void store_make(struct store *s, bool mem, bool rocks)
{
    *s = (struct store){0};
    if (mem)
        CHECK(kv_mem_new(&s->mem, true) == 0);
    if (!rocks)
        return;
    struct kv_rocks_config config = {.block_cache_bytes = 8 * MIB, .write_buffer_bytes = 32 * MIB};
    CHECK(kv_rocks_shared_new(&s->shared, &config) == 0);
    const char *tmp = getenv("TMPDIR");
    snprintf(s->dir, sizeof(s->dir), "%s/cairn-conform-XXXXXX", tmp ? tmp : "/tmp");
    CHECK(mkdtemp(s->dir));
    snprintf(s->path, sizeof(s->path), "%s/store", s->dir);
}

static void store_remove(struct store *s)
{
    kv_mem_free(s->mem);
    if (!s->shared)
        return;
    kv_rocks_shared_free(s->shared);
    CHECK(kv_rocks_destroy(s->path) == 0);
    CHECK(rmdir(s->dir) == 0);
}

struct opening {
    struct conform *c;
    struct kv *kv, *second;
};

static int open_blocking(void *arg)
{
    struct opening *o = arg;
    o->kv = o->c->open(o->c->store);
    if (o->c->mirrored)
        o->second = open_rocks(o->c->store);
    return 0;
}

static void FIBER open_mirrored(struct conform *c, const struct opening *o)
{
    struct meta_mirror mirrors[2] = {{.id = {1}, .kv = o->kv}, {.id = {2}, .kv = o->second}};
    struct meta_mirrors_config config = {.mirrors = mirrors, .count = 2, .deadline_ms = 60000};
    struct meta_mirror_stats stats[META_MIRRORS_MAX];
    CHECK(meta_mirrors_open(&c->meta, &config, NULL) == 0);
    CHECK(meta_mirror_stats(c->meta, stats) == 2);
    for (unsigned i = 0; i < 2; i++)
        CHECK(stats[i].state == META_MIRROR_IN);
}

void FIBER conform_reopen(struct conform *c)
{
    struct opening o = {.c = c};
    meta_close(c->meta);
    rt_offload(open_blocking, &o);
    if (c->mirrored)
        open_mirrored(c, &o);
    else
        CHECK(meta_local_open(&c->meta, o.kv, 0) == 0);
}

struct run {
    struct conform c;
    int (*fn)(struct conform *c);
};

static int run_case(void *arg)
{
    struct run *r = arg;
    r->c.meta = NULL;
    conform_reopen(&r->c);
    int result = r->fn(&r->c);
    meta_close(r->c.meta);
    return result;
}

static const struct {
    const char *name;
    int (*fn)(struct conform *c);
} cases[] = {
#define X(name) {#name, case_##name},
    CONFORM_CASES(X)
#undef X
};

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    bool mirrored = strcmp(argv[1], "mirrored") == 0;
    bool rocks = mirrored || strcmp(argv[1], "rocks") == 0;
    bool mem = mirrored || !rocks;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (argc > 2 && strcmp(argv[2], cases[i].name) != 0)
            continue;
        struct store store;
        store_make(&store, mem, rocks);
        struct run run = {.c = {.store = &store,
                                .open = mem ? open_mem : open_rocks,
                                .set_cold = set_cold,
                                .mirrored = mirrored},
                          .fn = cases[i].fn};
        struct rt_config config = {.threads = 2};
        printf("%s: %s\n", argv[1], cases[i].name);
        fflush(stdout);
        CHECK(rt_run(&config, run_case, &run) == 0);
        store_remove(&store);
    }
    return 0;
}
