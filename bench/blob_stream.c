/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * One stream of blobs with the MD5 that a PUT has to take: MD5 alone, the blob alone, and both, in
 * turn, ROUNDS times. If writing overlaps with hashing, both together cost little more than the
 * dearer of the two.
 *
 *   bench_blob_stream DIR [MIB [BLOBS [ROUNDS]]]
 */

#include <stdio.h>
#include "base/md5.h"
#include "blob/blob.h"
#include "kv/mem.h"

#define PIECE (64 * KIB) /* as a connection hands them on */

struct bench {
    const char *dir;
    uint64_t len;
    unsigned blobs, rounds;
    struct blob *blob;
    uint8_t piece[PIECE];
};

static int FIBER one(struct bench *b, bool hash, bool store)
{
    struct arena a;
    arena_init(&a, 0);
    struct blob_layout layout;
    struct blob_writer *w = NULL;
    struct md5 m;
    uint8_t digest[HASH_MD5_LEN];
    int err = store ? blob_begin(b->blob, BLOB_STANDARD, b->len, &w) : 0;
    md5_init(&m);
    for (uint64_t off = 0; err == 0 && off < b->len; off += PIECE) {
        if (hash)
            md5_update(&m, b->piece, PIECE);
        if (store)
            err = blob_write(w, b->piece, PIECE);
        rt_yield(); /* a connection would wait for more here */
    }
    md5_finish(&m, digest);
    if (err == 0 && store)
        err = blob_finish(TAKE_PTR(w), &a, &layout);
    blob_abort(w);
    if (err == 0 && store)
        err = blob_delete_layout(b->blob, &layout);
    arena_release(&a);
    return err;
}

static int FIBER timed(struct bench *b, bool hash, bool store, double *ret)
{
    uint64_t start = rt_now();
    int err = 0;
    for (unsigned i = 0; err == 0 && i < b->blobs; i++)
        err = one(b, hash, store);
    *ret = (double)(b->len * b->blobs) / ((double)(rt_now() - start) / 1e9) / (double)MIB;
    return err;
}

static int FIBER rounds(struct bench *b)
{
    int err = 0;
    for (unsigned i = 0; err == 0 && i < b->rounds; i++) {
        double md5 = 0, store = 0, both = 0;
        err = timed(b, true, false, &md5);
        if (err == 0)
            err = timed(b, false, true, &store);
        if (err == 0)
            err = timed(b, true, true, &both);
        printf("md5 %6.0f  blob %6.0f  both %6.0f MiB/s  (%.2f of md5)\n", md5, store, both,
               both / md5);
    }
    return err;
}

static int FIBER bench_run(void *arg)
{
    struct bench *b = arg;
    struct kv_mem *mem;
    struct disk_config c = {.path = b->dir};
    struct disk *d;
    int err = kv_mem_new(&mem, false);
    if (err == 0)
        err = kv_mem_open(&c.index, mem);
    if (err == 0)
        err = disk_open(&d, &c);
    if (err)
        return err;
    struct nodes nodes = {0};
    err = nodes_wrap(&nodes, 0, b->dir, d);
    if (err == 0)
        err = blob_open(&b->blob, &(struct blob_config){&nodes, rt_wall_ms()});
    if (err == 0) {
        err = rounds(b);
        blob_close(b->blob);
    }
    nodes_release(&nodes);
    disk_close(d);
    kv_mem_free(mem);
    return err;
}

int main(int argc, char **argv)
{
    static struct bench b;
    if (argc < 2) {
        fprintf(stderr, "usage: %s DIR [MIB [BLOBS [ROUNDS]]]\n", argv[0]);
        return 2;
    }
    b.dir = argv[1];
    b.len = (argc > 2 ? strtoull(argv[2], NULL, 10) : 64) * MIB;
    b.blobs = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 4;
    b.rounds = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 5;
    struct rt_config c = {.threads = 1};
    int err = rt_run(&c, bench_run, &b);
    if (err)
        fprintf(stderr, "%s\n", err_text(err));
    return err ? 1 : 0;
}
