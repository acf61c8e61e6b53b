/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "cli/admin/client.h"
#include "wire/uri.h"
#include <stdio.h>

static const char *bytes, *objects;

static const struct cli_option set_options[] = {
    {"bytes", CLI_TEXT, &bytes, "SIZE", "as in 10GiB or 500G; 0: no limit"},
    {"objects", CLI_TEXT, &objects, "N", "objects, and older versions with them; 0: no limit"},
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static const struct cli_option show_options[] = {
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static void print_share(const char *what, const char *used, const char *limit)
{
    printf("  %-8s %s of %s\n", what, used, limit);
}

static int print_quota(json_t *answer)
{
    char used[32], limit[32];
    if (admin_options.json)
        return admin_print_json(answer);
    uint64_t most_bytes = admin_number_of(answer, "bytes");
    uint64_t most_objects = admin_number_of(answer, "objects");
    printf("%s\n", admin_text_of(answer, "bucket"));
    admin_format_bytes(admin_number_of(answer, "used_bytes"), used);
    print_share("bytes", used, most_bytes ? admin_format_bytes(most_bytes, limit) : "no limit");
    snprintf(used, sizeof(used), "%llu",
             (unsigned long long)admin_number_of(answer, "used_objects"));
    snprintf(limit, sizeof(limit), "%llu", (unsigned long long)most_objects);
    print_share("objects", used, most_objects ? limit : "no limit");
    json_decref(answer);
    return 0;
}

static int call(const char *method, const char *bucket, json_t *body)
{
    struct buf path;
    json_t *answer = NULL;
    buf_init(&path, 8192);
    buf_put_cstr(&path, "/-/admin/v1/quotas/");
    uri_encode(&path, str_from(bucket), false);
    int r =
        buf_error(&path) < 0
            ? cli_fail("the name is too long")
            : admin_call(&(struct admin_call){.method = method, .path = path.data, .body = body},
                         &answer);
    buf_release(&path);
    return r != 0 ? r : print_quota(answer);
}

static int set(char **operands, unsigned count)
{
    if (!bytes && !objects)
        return cli_fail("say --bytes SIZE, --objects N, or both");
    json_t *body = json_object();
    int r = admin_set_number(body, "bytes", bytes, true);
    if (r == 0)
        r = admin_set_number(body, "objects", objects, false);
    r = r < 0 ? cli_fail("--bytes is a size, --objects a number") : call("POST", operands[0], body);
    json_decref(body);
    return r;
}

static int show(char **operands, unsigned count)
{
    return call("GET", operands[0], NULL);
}

const struct cli_command cli_admin_quota_set = {
    .name = "admin quota set",
    .operands = "BUCKET",
    .summary = "limit how much a bucket may hold",
    .description =
        "Limits the bytes and the objects of a bucket. A write that would pass the "
        "limit is refused\n"
        "with QuotaExceeded; what is there stays, and may be deleted. Parts of an "
        "upload count\n"
        "from their own end on. A limit that is not named stays as it is; 0 takes it away.",
    .options = set_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = set,
};

const struct cli_command cli_admin_quota_show = {
    .name = "admin quota show",
    .operands = "BUCKET",
    .summary = "tell a bucket's limits, and what it holds",
    .description = "Tells the limits of a bucket, and how much it holds now.",
    .options = show_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = show,
};
