/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Master keys: listed, made, rotated; what they wrapped, wrapped anew. No key is ever told.
 */

#include "admin/internal.h"
#include "crypt/seal.h"
#include "kms/kms.h"
#include "wire/json.h"

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
    admin_respond_error(
        x, r,
        r == -ERR_EXISTS          ? "a key of this name exists already: rotate it"
        : r == -ERR_KMS_NOT_FOUND ? "there is no key of this name"
        : r == -ERR_KEY_LOST ? "the key file is missing: put it back and start the server again"
        : r == -EINVAL       ? "a key needs an action (create, rotate, rewrap) and a name of "
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

/* ---- wrapping anew --------------------------------------------------------------------------- */

#define PROGRESS_EVERY (1 * RT_S)

/* A chunked answer of one JSON object a line; the last says {"done": true}. */
struct rewrap {
    struct admin *a;
    struct http_exchange *x;
    struct store_reseal_result result;
    uint64_t told_ns;
};

/* The data key stays wrapped by the middle key as it is; that one is wrapped by the newest version.
 */
static int FIBER rewrap_one(struct bucket_id b, struct str key, struct str seal, struct arena *a,
                            struct str *ret, void *arg)
{
    const struct rewrap *run = arg;
    _cleanup_buf_ struct buf packed;
    struct seal s;
    buf_init(&packed, 0);
    *ret = seal;
    int r = seal_parse(seal, &s);
    if (r < 0 || s.kind == SEAL_C)
        return r;
    struct kms_use use = {.name = s.name, .context = s.context, .bucket = b};
    struct str middle;
    r = kms_rewrap_key(run->a->config.kms, &use, a, s.middle, &middle);
    if (r < 0 || str_eq(middle, s.middle))
        return r;
    s.middle = middle;
    seal_pack(&s, &packed);
    *ret = arena_dup(a, buf_str(&packed));
    return buf_error(&packed) || !ret->ptr ? -ENOMEM : 0;
}

static int FIBER tell(struct rewrap *run, const char *state, bool done)
{
    struct str line = arena_printf(
        http_arena(run->x), "{\"%s\":%s,\"seen\":%llu,\"rewrapped\":%llu,\"failed\":%llu}\n", state,
        done ? "true" : "false", (unsigned long long)run->result.seen,
        (unsigned long long)run->result.changed, (unsigned long long)run->result.failed);
    run->told_ns = rt_now();
    return line.ptr ? http_write(run->x, line.ptr, line.len) : -ENOMEM;
}

static int FIBER pace(void *arg)
{
    struct rewrap *run = arg;
    return rt_now() - run->told_ns < PROGRESS_EVERY ? 0 : tell(run, "done", false);
}

static void FIBER rewrap_all(struct admin *a, struct http_exchange *x)
{
    struct rewrap run = {.a = a, .x = x, .told_ns = rt_now()};
    http_set_header(x, "Content-Type", STR("application/x-ndjson"));
    if (http_begin(x, 200, UINT64_MAX) < 0)
        return;
    int r = store_reseal(a->config.store, rewrap_one, pace, &run, &run.result);
    if (tell(&run, "done", r == 0) == 0)
        http_end(x);
}

void FIBER admin_key_change(struct admin *a, struct http_exchange *x, struct str body)
{
    json_t *o = json_read(body);
    struct str action = str_from(json_string_value(json_object_get(o, "action")));
    struct str name = str_from(json_string_value(json_object_get(o, "name")));
    int r = -EINVAL;
    if (str_eq(action, STR("rewrap"))) {
        json_decref(o);
        rewrap_all(a, x);
        return;
    }
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
