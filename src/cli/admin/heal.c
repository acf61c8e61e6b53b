/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "cli/admin/client.h"
#include <stdio.h>

static bool only_look;

static const struct cli_option options[] = {
    {"dry-run", CLI_FLAG, &only_look, NULL, "only look, repair nothing"},
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static void print_shard(const json_t *s)
{
    printf("    shard %lld", (long long)json_integer_value(json_object_get(s, "shard")));
    if (json_object_get(s, "disk"))
        printf(" on disk %lld", (long long)json_integer_value(json_object_get(s, "disk")));
    printf(": %s\n", admin_text_of(s, "state"));
}

static void print_chunks(const json_t *chunks)
{
    json_t *c, *s;
    size_t i, j;
    char bytes[32];
    json_array_foreach(chunks, i, c)
    {
        printf("  chunk %s, %s, %lld+%lld\n", admin_text_of(c, "chunk"),
               admin_format_bytes((uint64_t)json_integer_value(json_object_get(c, "len_bytes")),
                                  bytes),
               (long long)json_integer_value(json_object_get(c, "k")),
               (long long)json_integer_value(json_object_get(c, "m")));
        json_array_foreach(json_object_get(c, "shards"), j, s) print_shard(s);
    }
}

static void print_answer(const json_t *answer)
{
    const json_t *before = json_object_get(answer, "before");
    const json_t *after = json_object_get(answer, "after");
    if (json_array_size(before) == 0)
        puts("the object's bytes are in the metadata: it has no shards");
    print_chunks(before);
    if (json_array_size(after)) {
        puts("after the repair");
        print_chunks(after);
    }
    puts(json_is_true(json_object_get(answer, "sound")) ? "sound" : "NOT sound");
}

static int run(char **operands, unsigned count)
{
    struct str key = str_from(operands[0]), bucket;
    str_cut(&key, '/', &bucket);
    if (bucket.len == 0 || key.len == 0)
        return cli_fail("the object is given as BUCKET/KEY");
    json_t *answer = NULL;
    json_t *body = json_pack("{s:s%, s:s%, s:b}", "bucket", bucket.ptr, bucket.len, "key", key.ptr,
                             key.len, "repair", !only_look);
    if (!body)
        return cli_fail("bucket and key are UTF-8 text");
    struct admin_call call = {.method = "POST", .path = "/-/admin/v1/heal", .body = body};
    int r = admin_call(&call, &answer);
    json_decref(body);
    if (r != 0)
        return r;
    r = !json_is_true(json_object_get(answer, "sound"));
    if (admin_options.json) {
        admin_print_json(answer);
    } else {
        print_answer(answer);
        json_decref(answer);
    }
    return r;
}

const struct cli_command cli_admin_heal = {
    .name = "admin heal",
    .operands = "BUCKET/KEY",
    .summary = "show where an object's shards lie, and repair them",
    .description = "Reads every shard of the object, tells where each lies and its state, and "
                   "makes whole what "
                   "is\nnot. The exit status is 0 when the object is sound in the end.",
    .options = options,
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
