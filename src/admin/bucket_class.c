/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* The storage class that a bucket's new objects get when their request names none. */

#include "admin/internal.h"
#include "wire/json.h"

static struct str class_of(const struct store_bucket *b)
{
    const struct store_setting *s = store_setting_of(b->settings, STORE_SETTING_STORAGE_CLASS);
    return s ? s->text : STR("STANDARD");
}

static int FIBER set_class(struct admin *a, struct bucket_id id, struct str name)
{
    struct blob_class code;
    struct store *store = a->config.store;
    int r = name.len ? store_class_find(store, name, &code) : -ERR_INVALID_STORAGE_CLASS;
    if (r == 0 && str_eq(name, STR("STANDARD")))
        return store_setting_delete(store, id, STORE_SETTING_STORAGE_CLASS);
    return r < 0 ? r : store_setting_put(store, id, STORE_SETTING_STORAGE_CLASS, name);
}

static int FIBER bucket_class(struct admin *a, struct http_exchange *x, const json_t *in,
                              json_t **ret)
{
    const json_t *bucket = json_object_get(in, "bucket"), *class = json_object_get(in, "class");
    struct store_bucket b;
    if (!json_is_string(bucket) || (class && !json_is_string(class)))
        return -ERR_INVALID_ARGUMENT;
    struct str name = str_make(json_string_value(bucket), json_string_length(bucket));
    int r = store_bucket_get(a->config.store, http_arena(x), name, &b);
    if (r < 0)
        return r;
    struct str now =
        class ? str_make(json_string_value(class), json_string_length(class)) : class_of(&b);
    if (class)
        r = set_class(a, b.id, now);
    if (r == 0)
        *ret =
            json_pack("{s:o, s:o}", "bucket", admin_json_str(name), "class", admin_json_str(now));
    store_bucket_release(&b);
    return r;
}

void FIBER admin_bucket_class(struct admin *a, struct http_exchange *x, struct str body)
{
    json_t *in = json_read(body);
    json_t *out = NULL;
    int r = bucket_class(a, x, in, &out);
    json_decref(in);
    if (r < 0)
        admin_respond_error(
            x, r,
            r == -ERR_INVALID_ARGUMENT ? "the body must name a bucket, and may a class" : NULL);
    else
        admin_respond_json(x, 200, out);
}
