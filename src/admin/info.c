/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "admin/internal.h"

struct totals {
    json_int_t buckets, objects, bytes, versions, uploads;
};

static int FIBER add_bucket_usage(struct admin *a, const struct store_bucket *b, struct totals *t)
{
    struct store_usage u;
    int r = store_usage(a->config.store, b->id, &u);
    if (r < 0)
        return r;
    t->buckets++;
    t->objects += u.objects;
    t->bytes += u.bytes;
    t->versions += u.versions;
    t->uploads += u.uploads;
    return 0;
}

/* One page of buckets at a time in an arena of its own, so that memory stays bounded. */
static int FIBER sum_usage(struct admin *a, struct totals *t)
{
    char after[256] = "";
    struct str next = STR("");
    do {
        struct arena arena;
        struct store_bucket_page page;
        arena_init(&arena, 0);
        int r = store_bucket_list(a->config.store, &arena, STR(""), STR(""), next, 1000, &page);
        for (size_t i = 0; r == 0 && i < page.count; i++)
            r = add_bucket_usage(a, &page.buckets[i], t);
        next = STR("");
        if (r == 0 && page.next.len > 0 && page.next.len < sizeof(after)) {
            memcpy(after, page.next.ptr, page.next.len);
            next = str_make(after, page.next.len);
        }
        arena_release(&arena);
        if (r < 0)
            return r;
    } while (next.len > 0);
    return 0;
}

void FIBER admin_info(struct admin *a, struct http_exchange *x, struct str body)
{
    struct totals t = {0};
    int r = sum_usage(a, &t);
    if (r < 0) {
        admin_respond_error(x, r, NULL);
        return;
    }
    json_t *disks = admin_disks_json(a, false);
    json_t *usage =
        json_pack("{s:I, s:I, s:I, s:I, s:I}", "buckets", t.buckets, "objects", t.objects, "bytes",
                  t.bytes, "versions", t.versions, "uploads", t.uploads);
    uint64_t uptime_s = (rt_now() - a->started_ns) / RT_S;
    admin_respond_json(x, 200,
                       json_pack("{s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "version",
                                 CAIRN_VERSION, "uptime_s", (json_int_t)uptime_s, "threads",
                                 (json_int_t)rt_thread_count(), "usage", usage, "redundancy",
                                 admin_redundancy_json(a), "disks", disks, "jobs",
                                 admin_jobs_json(a), "scrub", admin_scrub_json(a)));
}
