/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Access keys and service accounts. */

#include <stdio.h>
#include <time.h>
#include "base/buf.h"
#include "cli/admin/client.h"
#include "iam/policy.h"
#include "wire/uri.h"

#define KEYS "/-/admin/v1/accesskeys"

static struct {
    const char *key, *secret, *policy, *name, *description;
    uint64_t days;
} spec;

static const struct cli_option common_options[] = {
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

/* --access-key is root's here as everywhere: a key of one's own choice has other words. */
static const struct cli_option key_options[] = {
    {"key", CLI_TEXT, &spec.key, "KEY", "the access key; made up if not given"},
    {"secret", CLI_TEXT, &spec.secret, "SECRET", "its secret, with --key; made up if not given"},
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static const struct cli_option service_options[] = {
    {"key", CLI_TEXT, &spec.key, "KEY", "the access key; made up if not given"},
    {"secret", CLI_TEXT, &spec.secret, "SECRET", "its secret, with --key; made up if not given"},
    {"policy", CLI_TEXT, &spec.policy, "FILE",
     "a policy that must allow as well; all that its user may do if not given"},
    {"name", CLI_TEXT, &spec.name, "NAME", "what it is called"},
    {"description", CLI_TEXT, &spec.description, "TEXT", "what it is for"},
    {"expires", CLI_NUMBER, &spec.days, "DAYS", "it ends after so many days"},
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static int call_on(const char *method, const char *name, json_t *body, json_t **ret)
{
    _cleanup_buf_ struct buf path;
    buf_init(&path, 8192);
    buf_put_cstr(&path, KEYS "/");
    uri_encode(&path, str_from(name), false);
    if (buf_error(&path) < 0)
        return cli_fail("the name is too long");
    return admin_call(&(struct admin_call){.method = method, .path = path.data, .body = body}, ret);
}

static const char *or_empty(const char *s)
{
    return s ? s : "";
}

static int add(const char *user, bool service)
{
    _cleanup_buf_ struct buf policy;
    json_t *made = NULL;
    struct timespec now;
    buf_init(&policy, 2 * POLICY_DOCUMENT_MAX);
    if (!spec.key != !spec.secret)
        return cli_fail("--key and --secret go together");
    if (spec.policy && admin_read_policy(spec.policy, &policy) != 0)
        return 1;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    json_int_t expires =
        spec.days ? (json_int_t)(now.tv_sec + (time_t)(spec.days * 86400)) * 1000 : 0;
    json_t *body =
        json_pack("{s:s, s:b, s:s, s:s, s:s%, s:s, s:s, s:I}", "user", user, "service", service,
                  "access_key", or_empty(spec.key), "secret_key", or_empty(spec.secret), "policy",
                  policy.data ? policy.data : "", policy.len, "name", or_empty(spec.name),
                  "description", or_empty(spec.description), "expires_ms", expires);
    if (!body)
        return cli_fail("names and keys are UTF-8 text");
    int r = admin_call(&(struct admin_call){"POST", KEYS, body, NULL, NULL}, &made);
    json_decref(body);
    if (r != 0)
        return r;
    if (admin_options.json)
        return admin_print_json(made);
    printf("access key %s\nsecret key %s\nThe secret is not shown again.\n",
           admin_text_of(made, "access_key"), admin_text_of(made, "secret_key"));
    json_decref(made);
    return 0;
}

/* "until 2026-11-23 17:25 UTC", or "" for a key without an end; `ret` holds 32 bytes. */
static const char *format_end(const json_t *key, char ret[32])
{
    time_t s = (time_t)(admin_number_of(key, "expires_ms") / 1000);
    struct tm tm;
    *ret = 0;
    if (s && gmtime_r(&s, &tm))
        strftime(ret, 32, "until %Y-%m-%d %H:%M UTC", &tm);
    return ret;
}

static void print_key(const json_t *key)
{
    char end[32];
    const char *more[] = {format_end(key, end), admin_text_of(key, "name"),
                          admin_text_of(key, "description")};
    printf("%-24s %s", admin_text_of(key, "access_key"),
           json_is_true(json_object_get(key, "active")) ? "active" : "inactive");
    for (size_t i = 0; i < ARRAY_LEN(more); i++)
        printf("%s%s", *more[i] ? "  " : "", more[i]);
    putchar('\n');
}

static int list(const char *user, bool service)
{
    json_t *answer = NULL, *key, *kept = json_array();
    size_t i;
    int r = call_on("GET", user, NULL, &answer);
    json_array_foreach(json_object_get(answer, "keys"), i, key)
    {
        if (json_is_true(json_object_get(key, "service")) == service)
            json_array_append(kept, key);
    }
    json_decref(answer);
    if (r == 0 && admin_options.json)
        return admin_print_json(json_pack("{s:o}", "keys", kept));
    json_array_foreach(kept, i, key) print_key(key);
    json_decref(kept);
    return r;
}

static int set_active(const char *id, bool active)
{
    json_t *body = json_pack("{s:b}", "active", active);
    int r = call_on("POST", id, body, NULL);
    json_decref(body);
    return admin_say_done(r, "accesskey", id, active ? "enabled" : "disabled");
}

/* ---- commands ------------------------------------------------------------------------------- */

static int key_add(char **operands, unsigned count)
{
    return add(operands[0], false);
}

static int key_list(char **operands, unsigned count)
{
    return list(operands[0], false);
}

static int key_enable(char **operands, unsigned count)
{
    return set_active(operands[0], true);
}

static int key_disable(char **operands, unsigned count)
{
    return set_active(operands[0], false);
}

static int key_rm(char **operands, unsigned count)
{
    return admin_say_done(call_on("DELETE", operands[0], NULL, NULL), "accesskey", operands[0],
                          "removed");
}

static int service_add(char **operands, unsigned count)
{
    return add(operands[0], true);
}

static int service_list(char **operands, unsigned count)
{
    return list(operands[0], true);
}

static int service_rm(char **operands, unsigned count)
{
    return admin_say_done(call_on("DELETE", operands[0], NULL, NULL), "serviceaccount", operands[0],
                          "removed");
}

const struct cli_command cli_admin_accesskey_add = {
    .name = "admin accesskey add",
    .operands = "USER",
    .summary = "give a user another access key",
    .description = "Adds an access key to a user and prints its secret, which is not shown again.",
    .options = key_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = key_add,
};
const struct cli_command cli_admin_accesskey_list = {
    .name = "admin accesskey list",
    .operands = "USER",
    .summary = "list a user's access keys",
    .description = "Lists a user's access keys, without their secrets.",
    .options = common_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = key_list,
};
const struct cli_command cli_admin_accesskey_enable = {
    .name = "admin accesskey enable",
    .operands = "KEY",
    .summary = "take requests signed with a key again",
    .description = "Makes an access key or service account active.",
    .options = common_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = key_enable,
};
const struct cli_command cli_admin_accesskey_disable = {
    .name = "admin accesskey disable",
    .operands = "KEY",
    .summary = "refuse requests signed with a key",
    .description = "Makes an access key or service account inactive. Sessions that were asked for "
                   "with it end.",
    .options = common_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = key_disable,
};
const struct cli_command cli_admin_accesskey_rm = {
    .name = "admin accesskey rm",
    .operands = "KEY",
    .summary = "remove an access key",
    .description = "Removes an access key; sessions that were asked for with it end.",
    .options = common_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = key_rm,
};
const struct cli_command cli_admin_serviceaccount_add = {
    .name = "admin serviceaccount add",
    .operands = "USER",
    .summary = "give a user a key for a program",
    .description =
        "Adds a service account: an access key that may do what its user may, and with --policy "
        "only\nwhat that policy allows as well. Prints its secret, which is not shown again.",
    .options = service_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = service_add,
};
const struct cli_command cli_admin_serviceaccount_list = {
    .name = "admin serviceaccount list",
    .operands = "USER",
    .summary = "list a user's service accounts",
    .description = "Lists a user's service accounts, without their secrets.",
    .options = common_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = service_list,
};
const struct cli_command cli_admin_serviceaccount_rm = {
    .name = "admin serviceaccount rm",
    .operands = "KEY",
    .summary = "remove a service account",
    .description = "Removes a service account by its access key.",
    .options = common_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = service_rm,
};
