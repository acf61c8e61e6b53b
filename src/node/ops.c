/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The operations: each goes in, does what volume.h does, and is judged.
 */

#include "node/internal.h"

/* ---- whole needles -------------------------------------------------------------------------- */

int FIBER node_append(struct node *n, uint64_t epoch, struct needle_key key,
                      const struct needle_info *info, const struct iovec *iov, unsigned count,
                      struct needle_hint *ret_hint, struct hash128 *ret_digest)
{
    struct op o;
    int err = epoch < node_epoch(n) ? -ERR_STALE_EPOCH : op_begin(&o, n);
    return err ? err
               : op_end(&o, OP_WRITE,
                        disk_append(n->disk, key, info, iov, count, ret_hint, ret_digest));
}

int FIBER node_append_placed(struct node *n, uint64_t epoch, struct needle_key key,
                             const struct needle_info *info, void *base,
                             struct needle_hint *ret_hint, struct hash128 *ret_digest)
{
    struct op o;
    int err = epoch < node_epoch(n) ? -ERR_STALE_EPOCH : op_begin(&o, n);
    return err ? err
               : op_end(&o, OP_WRITE,
                        disk_append_placed(n->disk, key, info, base, ret_hint, ret_digest));
}

int FIBER node_read(struct node *n, struct needle_key key, const struct needle_hint *hint,
                    void *buf, size_t cap, const void **ret_payload, struct needle_info *ret_info,
                    struct hash128 *ret_digest)
{
    struct op o;
    int err = op_begin(&o, n);
    return err ? err
               : op_end(&o, OP_READ,
                        disk_read(n->disk, key, hint, buf, cap, ret_payload, ret_info, ret_digest));
}

int FIBER node_read_now(struct node *n, struct needle_key key, const struct needle_hint *hint,
                        void *buf, size_t cap, const void **ret_payload,
                        struct needle_info *ret_info, struct hash128 *ret_digest)
{
    struct op o;
    int err = op_begin(&o, n);
    return err ? err
               : op_end(&o, OP_OTHER,
                        disk_read_now(n->disk, key, hint, buf, cap, ret_payload, ret_info,
                                      ret_digest));
}

int FIBER node_room(struct node *n, uint64_t len)
{
    struct op o;
    int err = op_begin(&o, n);
    return err ? err : op_end(&o, OP_OTHER, disk_room(n->disk, len));
}

int FIBER node_delete(struct node *n, const struct needle_key *keys, size_t count)
{
    struct op o;
    int err = op_begin(&o, n);
    return err ? err : op_end(&o, OP_WRITE, disk_delete(n->disk, keys, count));
}

/* ---- streams -------------------------------------------------------------------------------- */

struct node_writer {
    struct node *node;
    struct needle_writer *w;
};

int FIBER node_begin(struct node *n, uint64_t epoch, struct needle_key key,
                     const struct needle_info *info, struct node_writer **ret)
{
    if (epoch < node_epoch(n))
        return -ERR_STALE_EPOCH;
    struct node_writer *w = malloc(sizeof(*w));
    if (!w)
        return -ENOMEM;
    w->node = n;
    struct op o;
    int err = node_hold(n);
    if (err) {
        free(w);
        return err;
    }
    err = op_begin(&o, n);
    if (err == 0)
        err = op_end(&o, OP_WRITE, needle_begin(n->disk, key, info, &w->w));
    if (err) {
        node_unhold(n);
        free(w);
        return err;
    }
    *ret = w;
    return 0;
}

int FIBER node_write(struct node_writer *w, const struct iovec *iov, unsigned count)
{
    struct op o;
    int err = op_begin(&o, w->node);
    return err ? err : op_end(&o, OP_WRITE, needle_write(w->w, iov, count));
}

int FIBER node_write_first(struct node_writer *w, void *data, size_t len)
{
    struct op o;
    int err = op_begin(&o, w->node);
    return err ? err : op_end(&o, OP_WRITE, needle_write_first(w->w, data, len));
}

int FIBER node_flush(struct node_writer *w)
{
    struct op o;
    int err = op_begin(&o, w->node);
    return err ? err : op_end(&o, OP_WRITE, needle_flush(w->w));
}

static void writer_end(struct node_writer *w)
{
    node_unhold(w->node);
    free(w);
}

int FIBER node_commit(struct node_writer *w, struct needle_hint *ret_hint,
                      struct hash128 *ret_digest)
{
    struct op o;
    int err = op_begin(&o, w->node);
    if (err) {
        node_abort(w);
        return err;
    }
    err = op_end(&o, OP_WRITE, needle_commit(w->w, ret_hint, ret_digest));
    writer_end(w);
    return err;
}

/* Touches the disk's memory only, so it needs no disk that answers. */
void FIBER node_abort(struct node_writer *w)
{
    if (!w)
        return;
    needle_abort(w->w);
    writer_end(w);
}

/* ---- reading -------------------------------------------------------------------------------- */

struct node_reader {
    struct node *node;
    struct needle_reader *r;
};

/* By needle_open or needle_open_now. */
typedef int open_fn(struct disk *d, struct needle_key key, const struct needle_hint *hint,
                    struct needle_reader **ret);

static int FIBER reader_open(struct node *n, enum op_kind kind, open_fn *open,
                             struct needle_key key, const struct needle_hint *hint,
                             struct node_reader **ret)
{
    struct node_reader *r = malloc(sizeof(*r));
    if (!r)
        return -ENOMEM;
    r->node = n;
    struct op o;
    int err = node_hold(n);
    if (err) {
        free(r);
        return err;
    }
    err = op_begin(&o, n);
    if (err == 0)
        err = op_end(&o, kind, open(n->disk, key, hint, &r->r));
    if (err) {
        node_unhold(n);
        free(r);
        return err;
    }
    *ret = r;
    return 0;
}

int FIBER node_reader_open(struct node *n, struct needle_key key, const struct needle_hint *hint,
                           struct node_reader **ret)
{
    return reader_open(n, OP_READ, needle_open, key, hint, ret);
}

int FIBER node_reader_open_now(struct node *n, struct needle_key key,
                               const struct needle_hint *hint, struct node_reader **ret)
{
    return reader_open(n, OP_OTHER, needle_open_now, key, hint, ret);
}

const struct needle_info *node_reader_info(const struct node_reader *r)
{
    return needle_reader_info(r->r);
}

struct hash128 node_reader_digest(const struct node_reader *r)
{
    return needle_reader_digest(r->r);
}

int FIBER node_reader_read(struct node_reader *r, uint64_t off, void *buf, size_t len)
{
    struct op o;
    int err = op_begin(&o, r->node);
    return err ? err : op_end(&o, OP_READ, needle_read(r->r, off, buf, len));
}

int node_reader_read_now(struct node_reader *r, uint64_t off, void *buf, size_t len)
{
    struct op o;
    int err = op_begin(&o, r->node);
    return err ? err : op_end(&o, OP_OTHER, needle_read_now(r->r, off, buf, len));
}

void FIBER node_reader_close(struct node_reader *r)
{
    if (!r)
        return;
    needle_reader_close(r->r);
    node_unhold(r->node);
    free(r);
}

/* ---- upkeep --------------------------------------------------------------------------------- */

/* These may take long, so they hold the disk and do not count as hanging. */

int FIBER node_compact(struct node *n, uint64_t *ret_freed_bytes)
{
    int err = node_hold(n);
    if (err)
        return err;
    err = disk_compact(n->disk, ret_freed_bytes);
    node_unhold(n);
    return err;
}

uint32_t FIBER node_newest(struct node *n)
{
    if (node_hold(n))
        return 0;
    uint32_t newest = disk_newest(n->disk);
    node_unhold(n);
    return newest;
}

int FIBER node_erase(struct node *n, uint32_t upto, struct disk_erased *ret)
{
    int err = node_hold(n);
    if (err)
        return err;
    err = disk_erase(n->disk, upto, ret);
    node_unhold(n);
    return err;
}

int FIBER node_checkpoint(struct node *n)
{
    int err = node_hold(n);
    if (err)
        return err;
    err = disk_checkpoint(n->disk);
    node_unhold(n);
    return err;
}

int FIBER node_each(struct node *n, int (*fn)(const struct needle_entry *e, void *arg), void *arg)
{
    int err = node_hold(n);
    if (err)
        return err;
    err = disk_each(n->disk, fn, arg);
    node_unhold(n);
    return err;
}

int FIBER node_verify(struct node *n, int (*fn)(const struct disk_verify_event *e, void *arg),
                      void *arg)
{
    int err = node_hold(n);
    if (err)
        return err;
    err = disk_verify(n->disk, fn, arg);
    node_unhold(n);
    return err;
}

int FIBER node_scrub(struct node *n, struct disk_scrub_place *place, uint64_t bytes,
                     int (*fn)(const struct disk_verify_event *e, void *arg), void *arg)
{
    int err = node_hold(n);
    if (err)
        return err;
    err = disk_scrub(n->disk, place, bytes, fn, arg);
    node_unhold(n);
    return err;
}

void FIBER node_stats(struct node *n, struct node_stats *ret)
{
    *ret = (struct node_stats){
        .faults = __atomic_load_n(&n->faults, __ATOMIC_RELAXED),
        .faults_in_a_row = __atomic_load_n(&n->read_faults, __ATOMIC_RELAXED) +
                           __atomic_load_n(&n->write_faults, __ATOMIC_RELAXED),
        .returns = __atomic_load_n(&n->returns, __ATOMIC_RELAXED),
        .read_p95_ns = node_read_p95_ns(n),
    };
    if (node_hold(n) == 0) {
        disk_stats(n->disk, &ret->disk);
        node_unhold(n);
    }
    ret->state = node_state(n);
}
