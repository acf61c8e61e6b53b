/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* What users and groups of the directory (LDAP) may do. */

#include <stdio.h>
#include "cli/admin/client.h"

#define LDAP "/-/admin/v1/ldap"

static const struct cli_option options[] = {
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static int change(char **operands, bool attach)
{
    json_t *body =
        json_pack("{s:s, s:s, s:b}", "policy", operands[0], "dn", operands[1], "attach", attach);
    if (!body)
        return cli_fail("names are UTF-8 text");
    int r = admin_call(&(struct admin_call){"POST", LDAP, body, NULL, NULL}, NULL);
    json_decref(body);
    const char *how = attach ? "attached to" : "detached from";
    if (r == 0 && admin_options.json)
        return admin_print_json(json_pack("{s:s, s:s, s:b}", "policy", operands[0], "dn",
                                          operands[1], "attached", attach));
    if (r == 0)
        printf("policy %s %s %s\n", operands[0], how, operands[1]);
    return r;
}

static int attach(char **operands, unsigned count)
{
    return change(operands, true);
}

static int detach(char **operands, unsigned count)
{
    return change(operands, false);
}

static int list(char **operands, unsigned count)
{
    json_t *answer = NULL, *mapping, *policy;
    size_t i, k;
    int r = admin_call(&(struct admin_call){.method = "GET", .path = LDAP}, &answer);
    if (r != 0)
        return r;
    if (admin_options.json)
        return admin_print_json(answer);
    json_array_foreach(json_object_get(answer, "mappings"), i, mapping)
    {
        printf("%s:", admin_text_of(mapping, "dn"));
        json_array_foreach(json_object_get(mapping, "policies"), k, policy)
            printf(" %s", admin_text(policy));
        putchar('\n');
    }
    json_decref(answer);
    return 0;
}

#define ABOUT                                                                                  \
    "Users of the directory that the server asks (--ldap-url) get sessions by\n"               \
    "AssumeRoleWithLDAPIdentity. What they may do is what is attached to their own name (DN) " \
    "and\n"                                                                                    \
    "to those of their groups."

const struct cli_command cli_admin_ldap_attach = {
    .name = "admin ldap attach",
    .operands = "POLICY DN",
    .summary = "attach a policy to a user or group of the directory",
    .description = ABOUT,
    .options = options,
    .operands_min = 2,
    .operands_max = 2,
    .run = attach,
};

const struct cli_command cli_admin_ldap_detach = {
    .name = "admin ldap detach",
    .operands = "POLICY DN",
    .summary = "take a policy from a user or group of the directory",
    .description = ABOUT " Sessions lose it with their next request.",
    .options = options,
    .operands_min = 2,
    .operands_max = 2,
    .run = detach,
};

const struct cli_command cli_admin_ldap_list = {
    .name = "admin ldap list",
    .operands = "",
    .summary = "list what is attached to users and groups of the directory",
    .description = ABOUT,
    .options = options,
    .run = list,
};
