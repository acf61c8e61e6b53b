/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Roles. */

#include <stdio.h>
#include "base/buf.h"
#include "cli/admin/client.h"
#include "iam/policy.h"
#include "wire/uri.h"

#define ROLES "/-/admin/v1/roles"

static struct {
    const char *account, *description;
    uint64_t max_session_s;
} spec;

static const struct cli_option common_options[] = {
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static const struct cli_option add_options[] = {
    {"account", CLI_TEXT, &spec.account, "ID",
     "whose role it is: the id of a user that is an account; root if not given"},
    {"description", CLI_TEXT, &spec.description, "TEXT", "what it is for"},
    {"max-session", CLI_NUMBER, &spec.max_session_s, "SECONDS",
     "longest session, 3600 to 43200; 3600 if not given"},
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static int add(char **operands, unsigned count)
{
    _cleanup_buf_ struct buf trust;
    json_t *made = NULL;
    buf_init(&trust, 2 * POLICY_DOCUMENT_MAX);
    if (admin_read_policy(operands[1], &trust) != 0)
        return 1;
    json_t *body = json_pack(
        "{s:s, s:s%, s:s, s:s, s:I}", "name", operands[0], "trust", trust.data ? trust.data : "",
        trust.len, "account", spec.account ? spec.account : "", "description",
        spec.description ? spec.description : "", "max_session_s", (json_int_t)spec.max_session_s);
    if (!body)
        return cli_fail("names are UTF-8 text");
    int r = admin_call(&(struct admin_call){"POST", ROLES, body, NULL, NULL}, &made);
    json_decref(body);
    if (r != 0)
        return r;
    if (admin_options.json)
        return admin_print_json(made);
    printf("role %s added: %s\n", admin_text_of(made, "name"), admin_text_of(made, "arn"));
    json_decref(made);
    return 0;
}

static int list(char **operands, unsigned count)
{
    json_t *answer = NULL, *role;
    size_t i;
    int r = admin_call(&(struct admin_call){.method = "GET", .path = ROLES}, &answer);
    if (r != 0)
        return r;
    if (admin_options.json)
        return admin_print_json(answer);
    json_array_foreach(json_object_get(answer, "roles"), i, role)
        printf("%-32s %s\n", admin_text_of(role, "name"), admin_text_of(role, "arn"));
    json_decref(answer);
    return 0;
}

static int rm(char **operands, unsigned count)
{
    _cleanup_buf_ struct buf path;
    buf_init(&path, 8192);
    buf_put_cstr(&path, ROLES "/");
    uri_encode(&path, str_from(operands[0]), false);
    if (buf_error(&path) < 0)
        return cli_fail("the name is too long");
    int r = admin_call(&(struct admin_call){.method = "DELETE", .path = path.data}, NULL);
    if (r == 0 && admin_options.json)
        return admin_print_json(json_pack("{s:s}", "removed", operands[0]));
    if (r == 0)
        printf("role %s removed\n", operands[0]);
    return r;
}

const struct cli_command cli_admin_role_add = {
    .name = "admin role add",
    .operands = "NAME FILE",
    .summary = "add a role that others can assume",
    .description =
        "Adds a role. FILE holds its trust policy, which says who may assume it (- is standard\n"
        "input); what it may do is said by the policies attached to it: cairn admin policy attach\n"
        "POLICY --role NAME.",
    .options = add_options,
    .operands_min = 2,
    .operands_max = 2,
    .run = add,
};
const struct cli_command cli_admin_role_list = {
    .name = "admin role list",
    .operands = "",
    .summary = "list the roles",
    .description = "Lists the roles of all accounts by name.",
    .options = common_options,
    .run = list,
};
const struct cli_command cli_admin_role_rm = {
    .name = "admin role rm",
    .operands = "NAME",
    .summary = "remove a role",
    .description = "Removes a role and its inline policies; its sessions end.",
    .options = common_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = rm,
};
