/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * From what a door knows of a request to what iam_decide() asks for.
 */

#include "base/error.h"
#include "iam/internal.h"

static struct iam_principal principal_of(const struct iam_identity *who, struct str service)
{
    if (!who && service.len)
        return (struct iam_principal){.kind = IAM_SERVICE, .name = service};
    if (!who)
        return (struct iam_principal){.kind = IAM_ANONYMOUS};
    if (who->credential == IAM_WEB_IDENTITY)
        return (struct iam_principal){.kind = IAM_FEDERATED,
                                      .name = who->name,
                                      .user_id = who->user_id,
                                      .attributes = who->attributes,
                                      .attribute_count = who->attribute_count};
    bool own = str_eq(who->account, who->user_id);
    bool role = who->credential == IAM_ROLE_SESSION;
    return (struct iam_principal){
        .kind = role  ? IAM_SESSION
                : own ? IAM_ACCOUNT
                      : IAM_USER,
        .everywhere = who->root,
        .account = who->account,
        .arn = who->arn,
        .alias_arn = who->alias_arn,
        .role_arn = who->role_arn,
        .canonical_id = role ? STR_NULL : who->user_id,
        .name = who->name,
        .user_id = who->user_id,
        .attributes = who->attributes,
        .attribute_count = who->attribute_count,
    };
}

/* What is done to a bucket that is there is judged by whose it is. */
static bool lacks_owner(enum iam_action action, const struct iam_access *a)
{
    enum iam_resource_kind kind = iam_action_kind(action);
    return (kind == IAM_ON_BUCKET || kind == IAM_ON_OBJECT) && action != IAM_s3_CreateBucket &&
           !a->bucket_owner.len;
}

/* An action that the table does not name is nobody's, root's included: it is a mistake of ours. */
int iam_authorise(struct iam *iam, const struct iam_access *a, struct iam_decision *ret_why)
{
    struct iam_principal who = principal_of(a->who, a->service);
    struct iam_decision d;
    int action = iam_action_find(a->action);
    if (action < 0 || lacks_owner((enum iam_action)action, a))
        return -ERR_ACCESS_DENIED;
    struct iam_request r = {
        .who = &who,
        .action = (enum iam_action)action,
        .bucket = a->bucket,
        .key = a->key,
        .arn = a->arn,
        .alias_arn = a->alias_arn,
        .resource_account = a->object_owner.len ? a->object_owner : a->bucket_owner,
        .now_ms = rt_wall_ms(),
        .context = a->context,
        .context_arg = a->context_arg,
    };
    struct iam_policies p = {
        .identity = iam_grants_set(a->who ? a->who->grants : NULL),
        .bucket = a->bucket_policy,
        .bucket_denies_only = a->object_owner.len > 0 && !str_eq(a->object_owner, a->bucket_owner),
        .bucket_must = a->resource_must,
        .boundary = iam_grants_boundary(a->who ? a->who->grants : NULL),
        .acl = a->acl,
        .block = a->block,
    };
    if (a->who && a->who->narrowed)
        p.sessions[p.session_count++] = a->who->session;
    int err = iam_decide(&r, &p, &d);
    if (err)
        return err;
    if (ret_why)
        *ret_why = d;
    return d.outcome == IAM_ALLOW ? 0 : -ERR_ACCESS_DENIED;
}
