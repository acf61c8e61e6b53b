/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Quotas of buckets: told beside what is used, set and taken away.
 */

#include "admin/internal.h"
#include "wire/json.h"

static void FIBER respond_quota(struct admin *a, struct http_exchange *x,
                                const struct store_bucket *b, const struct store_quota *quota)
{
    struct store_usage usage;
    int r = store_usage(a->config.store, b->id, &usage);
    if (r < 0) {
        admin_respond_error(x, r, NULL);
        return;
    }
    admin_respond_json(
        x, 200,
        json_pack("{s:o, s:I, s:I, s:I, s:I}", "bucket", admin_json_str(b->name), "bytes",
                  (json_int_t)quota->bytes, "objects", (json_int_t)quota->objects, "used_bytes",
                  (json_int_t)usage.bytes + (json_int_t)usage.part_bytes, "used_objects",
                  (json_int_t)usage.objects + (json_int_t)usage.versions));
}

/* A member that is a whole number from 0, or absent: then `otherwise`. */
static int read_number(const json_t *in, const char *name, uint64_t otherwise, uint64_t *ret)
{
    const json_t *v = json_object_get(in, name);
    *ret = v ? (uint64_t)json_integer_value(v) : otherwise;
    return !v || (json_is_integer(v) && json_integer_value(v) >= 0) ? 0 : -ERR_INVALID_ARGUMENT;
}

static int read_quota(struct str body, struct store_quota *quota)
{
    json_t *in = json_read(body);
    int r = json_is_object(in) ? 0 : -ERR_INVALID_ARGUMENT;
    if (r == 0)
        r = read_number(in, "bytes", quota->bytes, &quota->bytes);
    if (r == 0)
        r = read_number(in, "objects", quota->objects, &quota->objects);
    json_decref(in);
    return r;
}

static int FIBER change(struct admin *a, struct store_bucket *b, struct str body,
                        struct store_quota *quota)
{
    int r = read_quota(body, quota);
    return r < 0 ? r : store_quota_put(a->config.store, b->id, quota);
}

static void FIBER handle(struct admin *a, struct http_exchange *x, const struct str *body)
{
    struct store_bucket b;
    struct store_quota quota;
    int r = store_bucket_get(a->config.store, http_arena(x), admin_path_name(x), &b);
    if (r < 0) {
        admin_respond_error(x, r, NULL);
        return;
    }
    store_quota_of(b.settings, &quota);
    if (body)
        r = change(a, &b, *body, &quota);
    if (r < 0)
        admin_respond_error(
            x, r, r == -ERR_INVALID_ARGUMENT ? "bytes and objects are whole numbers" : NULL);
    else
        respond_quota(a, x, &b, &quota);
    store_bucket_release(&b);
}

void FIBER admin_quota_get(struct admin *a, struct http_exchange *x, struct str body)
{
    handle(a, x, NULL);
}

void FIBER admin_quota_set(struct admin *a, struct http_exchange *x, struct str body)
{
    handle(a, x, &body);
}
