/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "cli/admin/client.h"
#include "base/buf.h"
#include "wire/uri.h"
#include <stdio.h>

static struct {
    const char *access_key, *secret_key, *id, *email, *display_name, *account;
} spec;

/* For `user add`, --access-key and --secret-key are the new user's; root's come from the
 * environment, or from --root-access-key and --root-secret-key. */
static const struct cli_option add_options[] = {
    {"access-key", CLI_TEXT, &spec.access_key, "KEY", "the user's access key (needed)"},
    {"secret-key", CLI_TEXT, &spec.secret_key, "SECRET", "the user's secret key (needed)"},
    {"id", CLI_TEXT, &spec.id, "ID", "canonical id; made up if not given"},
    {"email", CLI_TEXT, &spec.email, "E", "mail address"},
    {"display-name", CLI_TEXT, &spec.display_name, "D", "shown as owner; NAME if not given"},
    {"account", CLI_TEXT, &spec.account, "ID",
     "make it a member of this account: root, or the id of a user; its own if not given"},
    {"endpoint", CLI_TEXT, &admin_options.endpoint, "URL",
     "the server; $CAIRN_ENDPOINT, or http://127.0.0.1:9000"},
    {"root-access-key", CLI_TEXT, &admin_options.access_key, "KEY",
     "root access key; $CAIRN_ROOT_USER if not given"},
    {"root-secret-key", CLI_TEXT, &admin_options.secret_key, "SECRET",
     "root secret key; $CAIRN_ROOT_PASSWORD if not given"},
    {"ca", CLI_TEXT, &admin_options.ca, "FILE", "certificates to trust (PEM)"},
    {"insecure", CLI_FLAG, &admin_options.insecure, NULL, "do not verify the server's certificate"},
    {"json", CLI_FLAG, &admin_options.json, NULL, "print JSON"},
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static const struct cli_option common_options[] = {
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

/* jansson refuses text that is no UTF-8 by giving NULL, which json_object_set_new passes on. */
static int set_text(json_t *o, const char *name, const char *value)
{
    return value ? json_object_set_new(o, name, json_string(value)) : 0;
}

static int add(char **operands, unsigned count)
{
    if (!spec.access_key || !spec.secret_key)
        return cli_fail("a user needs --access-key and --secret-key");
    json_t *body = json_object(), *user = NULL;
    if (set_text(body, "name", operands[0]) < 0 ||
        set_text(body, "access_key", spec.access_key) < 0 ||
        set_text(body, "secret_key", spec.secret_key) < 0 || set_text(body, "id", spec.id) < 0 ||
        set_text(body, "email", spec.email) < 0 ||
        set_text(body, "display_name", spec.display_name) < 0 ||
        set_text(body, "account", spec.account) < 0) {
        json_decref(body);
        return cli_fail("names and keys are UTF-8 text");
    }
    int r = admin_call(&(struct admin_call){"POST", "/-/admin/v1/users", body, NULL, NULL}, &user);
    json_decref(body);
    if (r != 0)
        return r;
    if (admin_options.json)
        return admin_print_json(user);
    printf("user %s added: access key %s, id %s\n", admin_text_of(user, "name"),
           admin_text_of(user, "access_key"), admin_text_of(user, "id"));
    json_decref(user);
    return 0;
}

static int list(char **operands, unsigned count)
{
    json_t *answer = NULL, *user;
    size_t i;
    int r = admin_call(&(struct admin_call){.method = "GET", .path = "/-/admin/v1/users"}, &answer);
    if (r != 0)
        return r;
    if (admin_options.json)
        return admin_print_json(answer);
    printf("%-20s %-24s %-64s %-64s %s\n", "NAME", "ACCESS KEY", "ID", "ACCOUNT", "EMAIL");
    json_array_foreach(json_object_get(answer, "users"), i, user)
        printf("%-20s %-24s %-64s %-64s %s\n", admin_text_of(user, "name"),
               admin_text_of(user, "access_key"), admin_text_of(user, "id"),
               admin_text_of(user, "account"), admin_text_of(user, "email"));
    json_decref(answer);
    return 0;
}

static struct {
    uint64_t rate;
    const char *bytes, *objects;
} limits = {.rate = UINT64_MAX};

static const struct cli_option limit_options[] = {
    {"requests-per-second", CLI_NUMBER, &limits.rate, "N", "up to 1000000; 0: no limit"},
    {"bytes", CLI_TEXT, &limits.bytes, "SIZE",
     "all buckets of the user together, as in 10GiB or 500G; 0: no limit"},
    {"objects", CLI_TEXT, &limits.objects, "N", "likewise, older versions with them; 0: no limit"},
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

/* Those that are given; without any, all limits go. */
static int limits_json(json_t *body)
{
    bool none = limits.rate == UINT64_MAX && !limits.bytes && !limits.objects;
    if (none || limits.rate != UINT64_MAX)
        json_object_set_new(body, "requests_per_second",
                            json_integer(none ? 0 : (json_int_t)limits.rate));
    if (admin_set_number(body, "bytes", none ? "0" : limits.bytes, true) < 0 ||
        admin_set_number(body, "objects", none ? "0" : limits.objects, false) < 0)
        return cli_fail("--bytes is a size, as in 10GiB or 500G, --objects a number");
    return 0;
}

static void print_limits(const json_t *user)
{
    char text[32];
    uint64_t rate = admin_number_of(user, "requests_per_second"),
             bytes = admin_number_of(user, "bytes"), objects = admin_number_of(user, "objects");
    printf("user %s: %s", admin_text_of(user, "name"), rate || bytes || objects ? "" : "no limit");
    if (rate)
        printf("%llu requests a second%s", (unsigned long long)rate, bytes || objects ? ", " : "");
    if (bytes)
        printf("%s%s", admin_format_bytes(bytes, text), objects ? ", " : "");
    if (objects)
        printf("%llu objects", (unsigned long long)objects);
    putchar('\n');
}

static int limit(char **operands, unsigned count)
{
    struct buf path;
    json_t *user = NULL, *body = json_object();
    buf_init(&path, 8192);
    buf_put_cstr(&path, "/-/admin/v1/users/");
    uri_encode(&path, str_from(operands[0]), false);
    struct admin_call call = {.method = "POST", .path = path.data, .body = body};
    int r = buf_error(&path) < 0 ? cli_fail("the name is too long") : limits_json(body);
    if (r == 0)
        r = admin_call(&call, &user);
    json_decref(body);
    buf_release(&path);
    if (r != 0)
        return r;
    if (admin_options.json)
        return admin_print_json(user);
    print_limits(user);
    json_decref(user);
    return 0;
}

static int rm(char **operands, unsigned count)
{
    struct buf path;
    buf_init(&path, 8192);
    buf_put_cstr(&path, "/-/admin/v1/users/");
    uri_encode(&path, str_from(operands[0]), false);
    int r = buf_error(&path) < 0
                ? cli_fail("the name is too long")
                : admin_call(&(struct admin_call){.method = "DELETE", .path = path.data}, NULL);
    buf_release(&path);
    if (r == 0 && admin_options.json)
        return admin_print_json(json_pack("{s:s}", "removed", operands[0]));
    if (r == 0)
        printf("user %s removed\n", operands[0]);
    return r;
}

const struct cli_command cli_admin_user_add = {
    .name = "admin user add",
    .operands = "NAME",
    .summary = "add a user with an access key",
    .description =
        "Adds a user. It is an account of its own, which owns the buckets it creates, and sees no\n"
        "others; or, with --account, a member of another, with the rights that policies give it.",
    .options = add_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = add,
};

const struct cli_command cli_admin_user_list = {
    .name = "admin user list",
    .operands = "",
    .summary = "list the users",
    .description = "Lists the users in name order, without their secrets.",
    .options = common_options,
    .run = list,
};

const struct cli_command cli_admin_user_limit = {
    .name = "admin user limit",
    .operands = "NAME",
    .summary = "limit how often a user may ask, and how much it may hold",
    .description =
        "Limits the requests a second of a user, with all its keys. What comes too soon is "
        "answered\n"
        "with SlowDown, which clients wait for and repeat. After a second of silence a second's\n"
        "requests may come at once.\n"
        "Limits the bytes and objects that all buckets of a user hold together, which must be an\n"
        "account of its own; a write beyond them is refused with QuotaExceeded. Limits that are\n"
        "not given stay; without any option all of them go.",
    .options = limit_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = limit,
};

const struct cli_command cli_admin_user_rm = {
    .name = "admin user rm",
    .operands = "NAME",
    .summary = "remove a user",
    .description = "Removes a user and its access key. Refused while the user owns a bucket.",
    .options = common_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = rm,
};
