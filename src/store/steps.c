/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "store/steps.h"
#include "store/internal.h"

#define FLAG_MARKER 1
#define FLAG_NULL   2

/* The items that are not refused, as the kind of step wants them; `of` says whose they are. */
struct run {
    struct store_step *step;
    struct store_deletion *deletions; /* one of the two */
    struct change_item *changes;
    size_t *of;
    size_t count;
};

/* ---- the row -------------------------------------------------------------------------------- */

static char *result_name(int result)
{
    return result ? (char *)(uintptr_t)err_info(result)->name : (char *)(uintptr_t) "";
}

static int step_row_put(struct meta_tx *tx, const struct store_step *step)
{
    struct arena *a = meta_arena(tx);
    struct key_buf k;
    Cairn__Step pb = CAIRN__STEP__INIT;
    pb.number = step->number;
    pb.n_result = pb.n_seq = pb.flags.len = step->count;
    pb.result = arena_array(a, char *, step->count);
    pb.seq = arena_array(a, uint64_t, step->count);
    pb.flags.data = arena_alloc(a, step->count);
    if (!pb.result || !pb.seq || !pb.flags.data)
        return -ENOMEM;
    for (size_t i = 0; i < step->count; i++) {
        const struct store_step_item *item = &step->items[i];
        pb.result[i] = result_name(item->result);
        pb.seq[i] = item->seq;
        pb.flags.data[i] = (item->marker ? FLAG_MARKER : 0) | (item->null_version ? FLAG_NULL : 0);
    }
    size_t len = cairn__step__get_packed_size(&pb);
    uint8_t *bytes = arena_alloc(a, len);
    if (!bytes)
        return -ENOMEM;
    cairn__step__pack(&pb, bytes);
    return meta_put(tx, key_number(&k, KEY_STEPS, step->work), str_make(bytes, len));
}

/* A name that is none of ours was written by a version that had more of them. */
static int result_of(const char *name)
{
    int code = *name ? err_find(name) : 0;
    return *name && !code ? -ERR_INTERNAL : -code;
}

static int take_row(const Cairn__Step *pb, struct store_step *step)
{
    if (pb->n_result != step->count || pb->n_seq != step->count || pb->flags.len != step->count)
        return -ERR_CORRUPT;
    for (size_t i = 0; i < step->count; i++) {
        struct store_step_item *item = &step->items[i];
        item->result = result_of(pb->result[i]);
        item->seq = pb->seq[i];
        item->marker = pb->flags.data[i] & FLAG_MARKER;
        item->null_version = pb->flags.data[i] & FLAG_NULL;
    }
    return 0;
}

/* 1: the step was done before. */
static int find_row(struct meta_tx *tx, struct store_step *step)
{
    struct key_buf k;
    struct str value;
    int r = meta_get(tx, key_number(&k, KEY_STEPS, step->work), &value);
    step->again = false;
    if (r < 0)
        return r == -ERR_NOT_FOUND ? 0 : r;
    const Cairn__Step *pb = pb_unpack(&cairn__step__descriptor, meta_arena(tx), value, &r);
    if (!pb)
        return r;
    if (pb->number < step->number)
        return 0;
    r = pb->number == step->number ? take_row(pb, step) : -ERR_CORRUPT;
    step->again = r == 0;
    return r < 0 ? r : 1;
}

/* ---- the transaction ------------------------------------------------------------------------ */

static int before_step(struct meta_tx *tx, void *arg)
{
    struct run *run = arg;
    int r = config_row_test(tx);
    return r < 0 ? r : find_row(tx, run->step);
}

static void take_results(struct run *run)
{
    for (size_t i = 0; i < run->count; i++) {
        struct store_step_item *item = &run->step->items[run->of[i]];
        if (run->changes) {
            item->result = run->changes[i].result;
            item->null_version = run->changes[i].null_version;
            item->seq = run->changes[i].seq;
            continue;
        }
        const struct store_deletion *d = &run->deletions[i];
        item->result = d->result;
        item->marker = d->marker;
        item->null_version = d->null_version;
        item->seq = d->seq;
    }
}

static int after_step(struct meta_tx *tx, void *arg)
{
    struct run *run = arg;
    for (size_t i = 0; i < run->step->count; i++) {
        struct store_step_item *item = &run->step->items[i];
        item->result = item->refused;
        item->marker = item->null_version = false;
        item->seq = 0;
    }
    take_results(run);
    return step_row_put(tx, run->step);
}

static void fill(struct run *run)
{
    for (size_t i = 0; i < run->step->count; i++) {
        const struct store_step_item *item = &run->step->items[i];
        if (item->refused < 0)
            continue;
        if (run->changes)
            run->changes[run->count] =
                (struct change_item){.key = item->key, .version = item->version};
        else
            run->deletions[run->count] = (struct store_deletion){.key = item->key,
                                                                 .version = item->version,
                                                                 .bypass = item->bypass,
                                                                 .owner = run->step->owner};
        run->of[run->count++] = i;
    }
}

static int run_new(struct run *run, struct arena *a)
{
    size_t count = run->step->count;
    run->of = arena_array(a, size_t, count);
    if (run->step->change)
        run->changes = arena_array(a, struct change_item, count);
    else
        run->deletions = arena_array(a, struct store_deletion, count);
    if (!run->of || (!run->changes && !run->deletions))
        return -ENOMEM;
    fill(run);
    return 0;
}

int FIBER store_step_run(struct store *s, struct bucket_id b, struct store_step *step)
{
    _cleanup_(arena_release) struct arena a;
    struct run run = {.step = step};
    const struct tx_hooks hooks = {before_step, after_step, &run};
    CHECK(step->count > 0 && step->count <= STORE_STEP_MAX);
    arena_init(&a, 0);
    int r = run_new(&run, &a);
    if (r < 0)
        return r;
    if (step->change)
        return change_many_with(s, b, run.changes, run.count, step->change, step->arg, step->notice,
                                &hooks);
    return delete_many_with(s, b, run.deletions, run.count, step->notice, &hooks);
}

/* ---- the end -------------------------------------------------------------------------------- */

static int forget_tx(struct meta_tx *tx, void *arg)
{
    const uint64_t *work = arg;
    struct key_buf k;
    meta_use_reserve(tx);
    return meta_del(tx, key_number(&k, KEY_STEPS, *work));
}

int FIBER store_step_forget(struct store *s, struct bucket_id b, uint64_t work)
{
    return meta_write(s->meta, b, forget_tx, &work);
}
