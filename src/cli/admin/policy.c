/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Policies and groups: the administrator's side of who may do what.
 */

#include "cli/admin/client.h"
#include "base/buf.h"
#include "iam/policy.h"
#include "wire/uri.h"
#include <stdio.h>

#define POLICIES "/-/admin/v1/policies"
#define GROUPS   "/-/admin/v1/groups"

static struct {
    const char *user, *group, *role;
} whom;
static struct cli_texts values;

static const struct cli_option common_options[] = {
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static const struct cli_option attach_options[] = {
    {"user", CLI_TEXT, &whom.user, "USER", "the user it is attached to"},
    {"group", CLI_TEXT, &whom.group, "GROUP", "or the group"},
    {"role", CLI_TEXT, &whom.role, "ROLE", "or the role"},
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static const struct cli_option explain_options[] = {
    {"value", CLI_TEXTS, &values, "KEY=VALUE",
     "a condition key's value in the request; several times for several"},
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

/* Path of one thing among others; to be released. */
static int call_on(const char *method, const char *where, const char *name, json_t **ret)
{
    _cleanup_buf_ struct buf path;
    buf_init(&path, 8192);
    buf_put_cstr(&path, where);
    buf_put_char(&path, '/');
    uri_encode(&path, str_from(name), false);
    if (buf_error(&path) < 0)
        return cli_fail("the name is too long");
    return admin_call(&(struct admin_call){.method = method, .path = path.data}, ret);
}

/* Takes the body over. */
static int post(const char *path, json_t *body, json_t **ret)
{
    if (!body)
        return cli_fail("names are UTF-8 text");
    int r = admin_call(&(struct admin_call){"POST", path, body, NULL, NULL}, ret);
    json_decref(body);
    return r;
}

/* ---- policies ------------------------------------------------------------------------------- */

static int add(char **operands, unsigned count)
{
    _cleanup_buf_ struct buf document;
    buf_init(&document, 2 * POLICY_DOCUMENT_MAX);
    int r = admin_read_policy(operands[1], &document);
    if (r != 0)
        return r;
    r = post(POLICIES,
             json_pack("{s:s, s:s%}", "name", operands[0], "document",
                       document.data ? document.data : "", document.len),
             NULL);
    return admin_say_done(r, "policy", operands[0], "added");
}

static int list(char **operands, unsigned count)
{
    json_t *answer = NULL, *policy;
    size_t i;
    int r = admin_call(&(struct admin_call){.method = "GET", .path = POLICIES}, &answer);
    if (r != 0)
        return r;
    if (admin_options.json)
        return admin_print_json(answer);
    json_array_foreach(json_object_get(answer, "policies"), i, policy)
        printf("%s%s\n", admin_text_of(policy, "name"),
               json_is_true(json_object_get(policy, "builtin")) ? "  (built in)" : "");
    json_decref(answer);
    return 0;
}

static int show(char **operands, unsigned count)
{
    json_t *policy = NULL;
    int r = call_on("GET", POLICIES, operands[0], &policy);
    if (r != 0)
        return r;
    if (admin_options.json)
        return admin_print_json(policy);
    const json_t *document = json_object_get(policy, "document");
    (void)fwrite(json_string_value(document), 1, json_string_length(document), stdout);
    json_decref(policy);
    return 0;
}

static int rm(char **operands, unsigned count)
{
    return admin_say_done(call_on("DELETE", POLICIES, operands[0], NULL), "policy", operands[0],
                          "removed");
}

static int set_attached(const char *policy, bool attach)
{
    const char *kind = whom.user ? "user" : whom.group ? "group" : "role";
    const char *name = whom.user ? whom.user : whom.group ? whom.group : whom.role;
    if (!whom.user + !whom.group + !whom.role != 2)
        return cli_fail("name a --user, a --group or a --role");
    int r =
        post("/-/admin/v1/attachments",
             json_pack("{s:s, s:s, s:b}", "policy", policy, kind, name, "attach", attach), NULL);
    return admin_say_done(r, "policy", policy, attach ? "attached" : "detached");
}

static int attach(char **operands, unsigned count)
{
    return set_attached(operands[0], true);
}

static int detach(char **operands, unsigned count)
{
    return set_attached(operands[0], false);
}

/* ---- explaining ----------------------------------------------------------------------------- */

/* {"aws:SourceIp": ["192.0.2.1"]}; NULL: a value without its key, or no UTF-8. */
static json_t *values_json(void)
{
    json_t *all = json_object();
    for (unsigned i = 0; i < values.count; i++) {
        struct str rest = str_from(values.at[i]), key;
        if (!str_cut(&rest, '=', &key) || !rest.ptr || !key.len) {
            json_decref(all);
            return NULL;
        }
        json_t *list = json_object_getn(all, key.ptr, key.len);
        if (!list) {
            list = json_array();
            json_object_setn_new(all, key.ptr, key.len, list);
        }
        json_array_append_new(list, json_stringn(rest.ptr, rest.len));
    }
    return all;
}

static void print_decision(const json_t *d)
{
    json_int_t statement = json_integer_value(json_object_get(d, "statement"));
    printf("%s: %s", admin_text_of(d, "outcome"), admin_text_of(d, "by"));
    if (admin_text_of(d, "policy")[0])
        printf(" \"%s\"", admin_text_of(d, "policy"));
    if (statement > 0)
        printf(", statement %lld", (long long)statement);
    if (admin_text_of(d, "sid")[0])
        printf(" (Sid \"%s\")", admin_text_of(d, "sid"));
    putchar('\n');
}

static int explain(char **operands, unsigned count)
{
    json_t *answer = NULL, *given = values_json();
    if (!given)
        return cli_fail("--value takes KEY=VALUE");
    int r = post("/-/admin/v1/explain",
                 json_pack("{s:s, s:s, s:s, s:o}", "user", operands[0], "action", operands[1],
                           "resource", count > 2 ? operands[2] : "", "values", given),
                 &answer);
    if (r != 0)
        return r;
    if (admin_options.json)
        return admin_print_json(answer);
    print_decision(answer);
    json_decref(answer);
    return 0;
}

/* ---- groups --------------------------------------------------------------------------------- */

static int group_add(char **operands, unsigned count)
{
    return admin_say_done(post(GROUPS, json_pack("{s:s}", "name", operands[0]), NULL), "group",
                          operands[0], "added");
}

static void print_names(const char *title, const json_t *names)
{
    size_t i;
    json_t *name;
    printf("  %s:", title);
    json_array_foreach(names, i, name) printf("%s %s", i ? "," : "", admin_text(name));
    putchar('\n');
}

static int group_list(char **operands, unsigned count)
{
    json_t *answer = NULL, *group;
    size_t i;
    int r = admin_call(&(struct admin_call){.method = "GET", .path = GROUPS}, &answer);
    if (r != 0)
        return r;
    if (admin_options.json)
        return admin_print_json(answer);
    json_array_foreach(json_object_get(answer, "groups"), i, group)
    {
        puts(admin_text_of(group, "name"));
        print_names("policies", json_object_get(group, "policies"));
        print_names("members", json_object_get(group, "members"));
    }
    json_decref(answer);
    return 0;
}

static int group_rm(char **operands, unsigned count)
{
    return admin_say_done(call_on("DELETE", GROUPS, operands[0], NULL), "group", operands[0],
                          "removed");
}

static int set_member(char **operands, bool in)
{
    int r = post("/-/admin/v1/members",
                 json_pack("{s:s, s:s, s:b}", "group", operands[0], "user", operands[1], "in", in),
                 NULL);
    return admin_say_done(r, "user", operands[1], in ? "joined" : "left");
}

static int group_join(char **operands, unsigned count)
{
    return set_member(operands, true);
}

static int group_leave(char **operands, unsigned count)
{
    return set_member(operands, false);
}

/* ---- commands ------------------------------------------------------------------------------- */

const struct cli_command cli_admin_policy_add = {
    .name = "admin policy add",
    .operands = "NAME FILE",
    .summary = "add a policy, or replace it",
    .description = "Reads a policy document (the JSON of AWS's IAM policy language) from FILE, or "
                   "standard input for '-', and keeps it under NAME.\nIt gives nobody anything "
                   "until it is attached. What is wrong with a document is said, and where.",
    .options = common_options,
    .operands_min = 2,
    .operands_max = 2,
    .run = add,
};

const struct cli_command cli_admin_policy_list = {
    .name = "admin policy list",
    .operands = "",
    .summary = "list the policies",
    .description = "Lists the policies that can be attached, the built-in ones among them.",
    .options = common_options,
    .run = list,
};

const struct cli_command cli_admin_policy_show = {
    .name = "admin policy show",
    .operands = "NAME",
    .summary = "print a policy's document",
    .description = "Prints the document byte for byte as it was given.",
    .options = common_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = show,
};

const struct cli_command cli_admin_policy_rm = {
    .name = "admin policy rm",
    .operands = "NAME",
    .summary = "remove a policy",
    .description = "Removes a policy. Refused while it is attached to a user or group.",
    .options = common_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = rm,
};

const struct cli_command cli_admin_policy_attach = {
    .name = "admin policy attach",
    .operands = "NAME",
    .summary = "attach a policy to a user or a group",
    .description =
        "Attaches a policy. A member of an account has what its policies and groups allow; a user\n"
        "that is an account of its own may do everything there, and its policies only narrow that.",
    .options = attach_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = attach,
};

const struct cli_command cli_admin_policy_detach = {
    .name = "admin policy detach",
    .operands = "NAME",
    .summary = "take a policy from a user or a group",
    .description = "Detaches a policy.",
    .options = attach_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = detach,
};

const struct cli_command cli_admin_policy_explain = {
    .name = "admin policy explain",
    .operands = "USER ACTION [RESOURCE]",
    .summary = "say whether a request is allowed, and what decides",
    .description =
        "Judges a request as the server would: USER is a user's name, or '*' for the anonymous;\n"
        "ACTION one like s3:GetObject; RESOURCE a bucket, bucket/key or their ARN. Condition keys\n"
        "have the values given with --value, the others are absent.\n"
        "Prints the outcome, and which statement of which policy decided.",
    .options = explain_options,
    .operands_min = 2,
    .operands_max = 3,
    .run = explain,
};

const struct cli_command cli_admin_group_add = {
    .name = "admin group add",
    .operands = "NAME",
    .summary = "add a group",
    .description = "Adds a group: its members have the policies that are attached to it.",
    .options = common_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = group_add,
};

const struct cli_command cli_admin_group_list = {
    .name = "admin group list",
    .operands = "",
    .summary = "list the groups",
    .description = "Lists the groups with their policies and members.",
    .options = common_options,
    .run = group_list,
};

const struct cli_command cli_admin_group_rm = {
    .name = "admin group rm",
    .operands = "NAME",
    .summary = "remove a group",
    .description = "Removes a group. Refused while somebody is in it.",
    .options = common_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = group_rm,
};

const struct cli_command cli_admin_group_join = {
    .name = "admin group join",
    .operands = "GROUP USER",
    .summary = "put a user in a group",
    .description = "Puts a user in a group.",
    .options = common_options,
    .operands_min = 2,
    .operands_max = 2,
    .run = group_join,
};

const struct cli_command cli_admin_group_leave = {
    .name = "admin group leave",
    .operands = "GROUP USER",
    .summary = "take a user out of a group",
    .description = "Takes a user out of a group.",
    .options = common_options,
    .operands_min = 2,
    .operands_max = 2,
    .run = group_leave,
};
