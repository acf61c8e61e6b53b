/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "base/buf.h"
#include "cli/admin/client.h"
#include "wire/uri.h"
#include <stdio.h>
#include <time.h>

static const struct cli_option common_options[] = {
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

/* "2024-05-17 10:04", or "-". `ret` holds 32 bytes. */
static const char *format_time(uint64_t ms, char ret[32])
{
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    if (ms == 0 || !gmtime_r(&s, &tm) || strftime(ret, 32, "%Y-%m-%d %H:%M", &tm) == 0)
        return "-";
    return ret;
}

static int list(char **operands, unsigned count)
{
    json_t *answer = NULL, *key;
    char created[32], rotated[32];
    size_t i;
    int r = admin_call(&(struct admin_call){.method = "GET", .path = "/-/admin/v1/keys"}, &answer);
    if (r != 0)
        return r;
    if (admin_options.json)
        return admin_print_json(answer);
    printf("master keys of %s\n%-32s %8s  %-18s %s\n", admin_text_of(answer, "source"), "NAME",
           "VERSION", "MADE (UTC)", "ROTATED (UTC)");
    json_array_foreach(json_object_get(answer, "keys"), i, key)
        printf("%-32s %8llu  %-18s %s\n", admin_text_of(key, "name"),
               (unsigned long long)admin_number_of(key, "version"),
               format_time(admin_number_of(key, "created_ms"), created),
               format_time(admin_number_of(key, "rotated_ms"), rotated));
    json_decref(answer);
    return 0;
}

static int change(const char *action, const char *name, const char *done)
{
    json_t *body = json_pack("{s:s, s:s}", "action", action, "name", name), *answer = NULL;
    if (!body)
        return cli_fail("the name is UTF-8 text");
    int r = admin_call(
        &(struct admin_call){.method = "POST", .path = "/-/admin/v1/keys", .body = body}, &answer);
    json_decref(body);
    if (r != 0)
        return r;
    if (admin_options.json)
        return admin_print_json(answer);
    printf("key %s %s\n", name, done);
    json_decref(answer);
    return 0;
}

/* ---- wrapping anew -------------------------------------------------------------------------- */

struct rewrapped {
    uint64_t seen, rewrapped, failed;
    bool done;
};

static void on_line(json_t *line, void *arg)
{
    struct rewrapped *w = arg;
    w->seen = admin_number_of(line, "seen");
    w->rewrapped = admin_number_of(line, "rewrapped");
    w->failed = admin_number_of(line, "failed");
    w->done = json_is_true(json_object_get(line, "done"));
}

static int report(const struct rewrapped *w)
{
    if (admin_options.json)
        admin_print_json(json_pack("{s:I, s:I, s:I, s:b}", "seen", (json_int_t)w->seen, "rewrapped",
                                   (json_int_t)w->rewrapped, "failed", (json_int_t)w->failed,
                                   "done", w->done));
    else
        printf("%llu objects, versions and uploads seen, %llu wrapped anew, %llu could not be\n",
               (unsigned long long)w->seen, (unsigned long long)w->rewrapped,
               (unsigned long long)w->failed);
    if (!w->done)
        return cli_fail("it did not reach its end: ask again");
    return w->failed ? cli_fail("some keys could not be opened: see the server's log") : 0;
}

static int rewrap(char **operands, unsigned count)
{
    struct rewrapped w = {0};
    json_t *body = json_pack("{s:s}", "action", "rewrap");
    int r = admin_call(&(struct admin_call){"POST", "/-/admin/v1/keys", body, on_line, &w}, NULL);
    json_decref(body);
    return r ? r : report(&w);
}

static int create(char **operands, unsigned count)
{
    return change("create", operands[0], "made");
}

static int rotate(char **operands, unsigned count)
{
    return change("rotate", operands[0],
                  "has a new version; what it wrapped before stays readable");
}

const struct cli_command cli_admin_key_list = {
    .name = "admin key list",
    .operands = "",
    .summary = "list the master keys of encryption",
    .description = "Lists the master keys by name, with their newest version. The keys themselves\n"
                   "are never shown.",
    .options = common_options,
    .run = list,
};

const struct cli_command cli_admin_key_create = {
    .name = "admin key create",
    .operands = "NAME",
    .summary = "make a master key for SSE-KMS",
    .description =
        "Makes a key that requests may name (x-amz-server-side-encryption-aws-kms-key-id).",
    .options = common_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = create,
};

const struct cli_command cli_admin_key_rotate = {
    .name = "admin key rotate",
    .operands = "NAME",
    .summary = "give a master key a new version",
    .description =
        "New objects take the new version. Those that are there stay readable by the old one,\n"
        "which is kept; no object is written anew. cairn-s3 is the server's own key, cairn-kms\n"
        "the one of SSE-KMS without a name.",
    .options = common_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = rotate,
};

const struct cli_command cli_admin_key_rewrap = {
    .name = "admin key rewrap",
    .operands = "",
    .summary = "wrap all objects' keys by the newest master keys",
    .description =
        "Has every object's key that an older version of a master key wrapped wrapped by the "
        "newest.\n"
        "No object's bytes are read or written. Keys of customers (SSE-C) are not the server's to\n"
        "wrap: those objects stay as they are.",
    .options = common_options,
    .run = rewrap,
};
