/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include <stdio.h>
#include "admin/internal.h"
#include "wire/json.h"

static const char *shard_state(const struct heal_chunk *c, unsigned shard)
{
    if (c->chunk->shards[shard].disk == BLOB_DISK_NONE)
        return "nowhere";
    switch (c->errors[shard]) {
    case 0:
        return "good";
    case -ERR_NOT_FOUND:
        return "missing";
    case -ERR_CORRUPT:
        return "damaged";
    case -ERR_DISK_GONE:
        return "disk gone";
    default:
        return "unreadable";
    }
}

static json_t *shard_json(const struct heal_chunk *c, unsigned shard)
{
    uint32_t disk = c->chunk->shards[shard].disk;
    json_t *o = json_pack("{s:i, s:s}", "shard", (int)shard, "state", shard_state(c, shard));
    if (disk != BLOB_DISK_NONE)
        json_object_set_new(o, "disk", json_integer(disk));
    return o;
}

static int add_chunk(const struct heal_chunk *c, void *arg)
{
    char id[40];
    snprintf(id, sizeof(id), "%016llx-%016llx", (unsigned long long)c->chunk->id.session,
             (unsigned long long)c->chunk->id.counter);
    json_t *shards = json_array();
    for (unsigned i = 0; i < c->chunk->shard_count; i++)
        json_array_append_new(shards, shard_json(c, i));
    json_t *o = json_pack("{s:s, s:I, s:i, s:i, s:b, s:o}", "chunk", id, "len_bytes",
                          (json_int_t)c->chunk->len_bytes, "k", (int)c->chunk->code_k, "m",
                          (int)c->chunk->code_m, "sound", c->sound, "shards", shards);
    return json_array_append_new(arg, o) < 0 ? -ENOMEM : 0;
}

static bool all_sound(const json_t *chunks)
{
    json_t *c;
    size_t i;
    json_array_foreach(chunks, i, c) if (!json_is_true(json_object_get(c, "sound"))) return false;
    return true;
}

/* As it was; and, when something was to be repaired, as it is now. */
static int FIBER heal(struct admin *a, struct bucket_id b, struct str key, bool repair, json_t *out)
{
    json_t *before = json_array(), *after = json_array();
    json_object_set_new(out, "before", before);
    json_object_set_new(out, "after", after);
    int r = jobs_heal(a->config.jobs, b, key, repair, add_chunk, before);
    if (r == 0 && repair && !all_sound(before))
        r = jobs_heal(a->config.jobs, b, key, false, add_chunk, after);
    bool sound = all_sound(before) || (repair && json_array_size(after) && all_sound(after));
    json_object_set_new(out, "sound", json_boolean(sound));
    return r;
}

void FIBER admin_heal(struct admin *a, struct http_exchange *x, struct str body)
{
    json_t *in = json_read(body);
    const json_t *bucket = json_object_get(in, "bucket"), *key = json_object_get(in, "key");
    json_t *out = json_object();
    struct store_bucket b;
    int r = json_is_string(bucket) && json_is_string(key) ? 0 : -ERR_INVALID_ARGUMENT;
    if (r == 0)
        r = store_bucket_get(a->config.store, http_arena(x), str_from(json_string_value(bucket)),
                             &b);
    if (r == 0) {
        bool repair = json_is_true(json_object_get(in, "repair"));
        r = heal(a, b.id, str_make(json_string_value(key), json_string_length(key)), repair, out);
        store_bucket_release(&b);
    }
    json_decref(in);
    if (r == 0) {
        admin_respond_json(x, 200, out);
        return;
    }
    json_decref(out);
    admin_respond_error(
        x, r, r == -ERR_INVALID_ARGUMENT ? "the body must name a bucket and a key" : NULL);
}
