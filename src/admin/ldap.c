/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* What users and groups of the directory may do. */

#include "admin/internal.h"
#include "iam/ldap.h"

void FIBER admin_ldap_list(struct admin *a, struct http_exchange *x, struct str body)
{
    struct iam_ldap_mapping *mappings;
    size_t count;
    int r = iam_ldap_list(a->config.iam, http_arena(x), &mappings, &count);
    if (r < 0) {
        admin_respond_error(x, r, NULL);
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(
            list, json_pack("{s:o, s:o}", "dn", admin_json_str(mappings[i].dn), "policies",
                            admin_json_names(mappings[i].policies, mappings[i].policy_count)));
    admin_respond_json(
        x, 200,
        json_pack("{s:b, s:o}", "directory", iam_has_ldap(a->config.iam), "mappings", list));
}

void FIBER admin_ldap_attach(struct admin *a, struct http_exchange *x, struct str body)
{
    json_t *o = admin_read_object(x, body);
    if (!o)
        return;
    struct str dn = admin_text_member(o, "dn"), policy = admin_text_member(o, "policy");
    int r = dn.ptr && policy.ptr ? iam_ldap_attach(a->config.iam, http_arena(x), dn, policy,
                                                   json_is_true(json_object_get(o, "attach")))
                                 : -EINVAL;
    json_decref(o);
    if (r == -EINVAL)
        admin_respond_error(x, r,
                            "name a policy, and a user or group as uid=dan,dc=example,dc=org");
    else if (r == -ERR_LIMIT)
        admin_respond_error(x, -ERR_CONFLICT, "it has as many policies as it may have");
    else
        admin_respond_done(x, r, "no such policy, or nothing is attached to that name", NULL);
}
