/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "cli/admin/client.h"
#include "wire/uri.h"
#include <stdio.h>

#define PATH "/-/admin/v1/retention"

static uint64_t min_days, max_days;
static const char *mode;

static const struct cli_option set_options[] = {
    {"min-days", CLI_NUMBER, &min_days, "N", "locked for so many days from the write on"},
    {"mode", CLI_TEXT, &mode, "GOVERNANCE|COMPLIANCE", "of that lock; GOVERNANCE if not given"},
    {"max-days", CLI_NUMBER, &max_days, "N", "removed after so many days, unless locked"},
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static const struct cli_option options[] = {
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static void print_rules(const json_t *bucket)
{
    json_t *rule;
    size_t i;
    json_array_foreach(json_object_get(bucket, "rules"), i, rule)
    {
        unsigned long long least = admin_number_of(rule, "min_days");
        unsigned long long most = admin_number_of(rule, "max_days");
        printf("%-30s %-12s", admin_text_of(bucket, "bucket"), admin_text_of(rule, "class"));
        if (least)
            printf("  locked %llu days (%s)", least, admin_text_of(rule, "mode"));
        if (most)
            printf("  removed after %llu days", most);
        putchar('\n');
    }
}

static int change(const char *bucket, json_t *body)
{
    struct buf path;
    json_t *answer = NULL;
    buf_init(&path, 8192);
    buf_put_cstr(&path, PATH "/");
    uri_encode(&path, str_from(bucket), false);
    struct admin_call call = {.method = "POST", .path = path.data, .body = body};
    int r = buf_error(&path) < 0 ? cli_fail("the name is too long") : admin_call(&call, &answer);
    buf_release(&path);
    if (r != 0)
        return r;
    if (admin_options.json)
        return admin_print_json(answer);
    print_rules(answer);
    json_decref(answer);
    return 0;
}

static int set(char **operands, unsigned count)
{
    if (!min_days && !max_days)
        return cli_fail("say --min-days N, --max-days N, or both");
    json_t *body = json_pack("{s:s, s:I, s:I}", "class", operands[1], "min_days",
                             (json_int_t)min_days, "max_days", (json_int_t)max_days);
    if (mode)
        json_object_set_new(body, "mode", json_string(mode));
    int r = change(operands[0], body);
    json_decref(body);
    return r;
}

static int rm(char **operands, unsigned count)
{
    json_t *body = json_pack("{s:s}", "class", operands[1]);
    int r = change(operands[0], body);
    json_decref(body);
    return r;
}

static int list(char **operands, unsigned count)
{
    return admin_print_list(PATH, "buckets", print_rules);
}

const struct cli_command cli_admin_retention_set = {
    .name = "admin retention set",
    .operands = "BUCKET CLASS",
    .summary = "say how long a class of data is kept, at least and at most",
    .description =
        "Of the objects in the bucket whose tag data-class is CLASS (public, internal, "
        "confidential or\nrestricted): --min-days locks each version from its write on, in a "
        "bucket with object lock; a lock\nthat a request or the bucket's default brings is "
        "strengthened, never weakened. --max-days removes them,\nall versions, once they have been "
        "there for so long and no lock holds them. Replaces what was said of\nthe class. The lock "
        "is for what is written or tagged from now on, the removal for what is there, too.",
    .options = set_options,
    .operands_min = 2,
    .operands_max = 2,
    .run = set,
};

const struct cli_command cli_admin_retention_list = {
    .name = "admin retention list",
    .operands = "",
    .summary = "list how long buckets keep each class of data",
    .description = "Lists what every bucket says of each class of data.",
    .options = options,
    .run = list,
};

const struct cli_command cli_admin_retention_rm = {
    .name = "admin retention rm",
    .operands = "BUCKET CLASS",
    .summary = "say nothing of a class of data any more",
    .description = "Takes the rule of a class away. Locks that it made stay until they end.",
    .options = options,
    .operands_min = 2,
    .operands_max = 2,
    .run = rm,
};
