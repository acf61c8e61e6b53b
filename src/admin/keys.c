/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Master keys: listed, made, rotated. No key is ever told.
 */

#include "admin/internal.h"
#include "kms/kms.h"

static json_t *key_json(const struct kms_key *k)
{
    json_t *o = json_object();
    json_object_set_new(o, "name", admin_json_str(k->name));
    json_object_set_new(o, "version", json_integer(k->newest));
    json_object_set_new(o, "created_ms", json_integer((json_int_t)k->created_ms));
    json_object_set_new(o, "rotated_ms", json_integer((json_int_t)k->rotated_ms));
    return o;
}

static void respond_fault(struct http_exchange *x, int r)
{
    admin_respond_error(x, r,
                        r == -ERR_EXISTS          ? "a key of this name exists already: rotate it"
                        : r == -ERR_KMS_NOT_FOUND ? "there is no key of this name"
                        : r == -ERR_KEY_LOST
                            ? "the key file is missing: put it back and start the server again"
                        : r == -EINVAL ? "a key needs an action (create or rotate) and a name of "
                                         "up to 128 printable characters without spaces and slashes"
                                       : NULL);
}

void FIBER admin_key_list(struct admin *a, struct http_exchange *x, struct str body)
{
    struct kms_key *keys;
    size_t count;
    int r = kms_list(a->config.kms, http_arena(x), &keys, &count);
    if (r < 0) {
        respond_fault(x, r);
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, key_json(&keys[i]));
    admin_respond_json(x, 200,
                       json_pack("{s:s, s:o}", "source", kms_source(a->config.kms), "keys", list));
}

void FIBER admin_key_change(struct admin *a, struct http_exchange *x, struct str body)
{
    json_t *o = json_loadb(body.ptr ? body.ptr : "", body.len, JSON_REJECT_DUPLICATES, NULL);
    struct str action = str_from(json_string_value(json_object_get(o, "action")));
    struct str name = str_from(json_string_value(json_object_get(o, "name")));
    int r = -EINVAL;
    if (str_eq(action, STR("create")) && name.len)
        r = kms_create(a->config.kms, name);
    else if (str_eq(action, STR("rotate")) && name.len)
        r = kms_rotate(a->config.kms, name);
    if (r < 0)
        respond_fault(x, r);
    else
        admin_respond_json(x, 200, json_pack("{s:s}", "name", name.ptr));
    json_decref(o);
}
