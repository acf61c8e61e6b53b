/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * What must hold after every open, and what must be left when all garbage is gone.
 */

#include <stdio.h>
#include "sim/store_model.h"
#include "store/upkeep/tiers.h"

static int check_event(const struct store_check_event *e, void *arg)
{
    struct sm *m = arg;
    bool degraded = m->deaths && e->err && strstr(e->text, "suffice");
    degraded |= m->deaths && e->err && strstr(e->text, "degraded");
    EXPECT(m->h, e->err == 0 || m->damage || degraded, "check: %s (%.*s/%.*s)", e->text,
           STR_FMT(e->bucket), STR_FMT(e->key));
    return 0;
}

static void FIBER check_usage(struct sm *m)
{
    struct store_usage u;
    int64_t objects = 0, bytes = 0;
    EXPECT_OK(m->h, store_usage(m->store, m->bucket, &u), "usage");
    for (unsigned c = 0; c < SM_CLIENTS; c++)
        for (unsigned k = 0; k < SM_KEYS; k++) {
            const struct sm_object *o = &m->objects[c][k];
            objects += o->now.tag != 0;
            bytes += (int64_t)o->now.len_bytes;
        }
    EXPECT(m->h, u.objects == objects && (u.bytes == bytes || (m->versioned && u.bytes > bytes)),
           "usage says %lld objects and %lld bytes, there are %lld and %lld", (long long)u.objects,
           (long long)u.bytes, (long long)objects, (long long)bytes);
}

static enum sm_upload_state *upload_state(struct sm *m, struct str id)
{
    for (unsigned i = 0; i < m->upload_count; i++)
        if (str_eq(id, str_from(m->uploads[i].id)))
            return &m->uploads[i].state;
    return NULL;
}

/* Uploads that were completed or aborted are not listed. One whose creation was cut off by a crash
 * may be, under an id nobody was told. With `abort` the others end. */
static void FIBER check_uploads(struct sm *m, bool abort)
{
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    struct store_upload_query q = {.max = STORE_LIST_MAX};
    struct store_upload_page page;
    EXPECT_OK(m->h, store_upload_list(m->store, &a, m->bucket, &q, &page), "list uploads");
    EXPECT(m->h, !page.truncated, "more uploads than were made");
    for (size_t i = 0; i < page.count; i++) {
        const struct store_upload *u = &page.entries[i].upload;
        enum sm_upload_state *state = upload_state(m, u->upload);
        EXPECT(m->h, !state || *state != SM_UPLOAD_GONE, "an upload that ended is listed");
        if (!abort)
            continue;
        EXPECT_OK(m->h, store_upload_abort(m->store, m->bucket, u->key, u->upload), "abort");
        if (state)
            *state = SM_UPLOAD_GONE;
    }
}

void FIBER sm_check(struct sm *m)
{
    for (unsigned c = 0; c < SM_CLIENTS; c++) {
        for (unsigned k = 0; k < SM_KEYS; k++)
            sm_excused(m, sm_read_object(m, c, k, 0, UINT64_MAX), "read", k);
        sm_excused(m, sm_list_client(m, c, SM_KEYS), "list", c);
    }
    if (m->faults)
        return;
    check_usage(m);
    check_uploads(m, false);
    EXPECT_OK(m->h, store_check(m->store, true, check_event, m), "check");
}

/* Whether one of the page was removed: those that are not current, and the markers once nothing is
 * behind them. */
static bool FIBER remove_older(struct sm *m, const struct store_versions_page *page)
{
    bool any = false;
    for (size_t i = 0; i < page->count; i++) {
        const struct store_version_entry *e = &page->entries[i];
        bool alone = i + 1 == page->count || !str_eq(e[1].object.key, e->object.key);
        if (e->is_latest && (!e->object.delete_marker || !alone))
            continue;
        struct store_deletion d = {
            .key = e->object.key,
            .version = {.kind = STORE_VERSION_SEQ, .seq = e->object.seq},
        };
        EXPECT_OK(m->h, store_delete_many(m->store, m->bucket, &d, 1, NULL), "delete a version");
        EXPECT(m->h, d.result == 0 && d.existed, "a version that was listed is not there");
        any = true;
    }
    return any;
}

/* Every version but the current objects goes: then the bucket is what it would be without any. */
static void FIBER forget_versions(struct sm *m)
{
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    struct store_versions_query q = {.max = STORE_LIST_MAX};
    struct store_versions_page page;
    struct store_usage u;
    do {
        arena_reset(&a);
        EXPECT_OK(m->h, store_list_versions(m->store, &a, m->bucket, &q, &page), "list versions");
        EXPECT(m->h, !page.truncated, "more versions than operations");
    } while (remove_older(m, &page));
    EXPECT_OK(m->h, store_usage(m->store, m->bucket, &u), "usage");
    EXPECT(m->h, u.versions == 0, "%lld versions are left", (long long)u.versions);
}

/* What a crash left between two classes goes on from there. */
static void FIBER to_one_class(struct sm *m)
{
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    struct store_list_query q = {.max = STORE_LIST_MAX};
    struct store_list_page page;
    EXPECT_OK(m->h, store_list(m->store, &a, m->bucket, &q, &page), "list");
    for (size_t i = 0; i < page.count; i++) {
        const struct store_object *o = &page.entries[i].object;
        struct store_transition t = {
            .key = o->key, .version = STORE_CURRENT, .seq = o->seq, .class = STR("STANDARD_IA")};
        EXPECT_OK(m->h, store_transition(m->store, m->bucket, &t, NULL, NULL), "transition");
    }
}

static int count_needles(unsigned disk, const struct needle_entry *e, void *arg)
{
    (void)disk;
    (void)e;
    ++*(uint64_t *)arg;
    return 0;
}

static unsigned shards_of(const struct sm *m, uint64_t len_bytes)
{
    struct blob_code code = blob_code_for(BLOB_STANDARD, m->disk_count ? m->width : 1, len_bytes);
    return code.k + code.m;
}

/* Aborts all uploads, collects until nothing is due, and sweeps if a crash or a failed write left
 * anything (else the collection alone must do): then each object too long for a row has its one
 * needle and there is no other. */
void FIBER sm_check_no_garbage(struct sm *m)
{
    struct store_sweep_result swept;
    uint64_t collected, needles = 0, expected = 0;
    check_uploads(m, true);
    if (m->versioned)
        forget_versions(m);
    if (m->tiers)
        to_one_class(m);
    for (unsigned round = 0; round < 10; round++) {
        rt_sleep_until(rt_now() + RT_S);
        EXPECT_OK(m->h, store_gc(m->store, 1000, &collected), "gc");
    }
    EXPECT(m->h, collected == 0, "garbage without an end");
    struct sim_disk_counts counts;
    sim_disk_counts(m->sim_disk, &counts);
    if (m->leftovers || counts.faults)
        EXPECT_OK(m->h, store_sweep(m->store, m->session, NULL, NULL, &swept), "sweep");
    for (unsigned c = 0; c < SM_CLIENTS; c++)
        for (unsigned k = 0; k < SM_KEYS; k++) {
            struct sm_value v = m->objects[c][k].now;
            if (v.tag && (v.multipart ? v.len_bytes > 0 : v.len_bytes > SM_BESIDE_MAX))
                expected += shards_of(m, v.len_bytes);
        }
    EXPECT_OK(m->h, blob_each(m->blob, count_needles, &needles), "needles");
    EXPECT(m->h, needles == expected, "%llu needles are left, the objects have %llu",
           (unsigned long long)needles, (unsigned long long)expected);
    sm_check(m);
}
