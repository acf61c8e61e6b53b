/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The public access block of a bucket: what keeps the public out whatever policies and ACLs say
 * (S3 User Guide, "Blocking public access to your Amazon S3 storage").
 */

#include "iam/bucket_policy.h"
#include "s3/config/config.h"

#define ROOT "PublicAccessBlockConfiguration"

/* In the order in which they are told. */
static const char *const switches[] = {"BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy",
                                       "RestrictPublicBuckets"};

static int read_switch(const struct xml_node *n, bool on[ARRAY_LEN(switches)])
{
    struct str text = str_trim(n->text);
    bool yes = str_eq_nocase(text, STR("true"));
    if (n->first_child || (!yes && !str_eq_nocase(text, STR("false"))))
        return -ERR_MALFORMED_XML;
    for (unsigned i = 0; i < ARRAY_LEN(switches); i++) {
        if (!str_eq(n->name, str_from(switches[i])))
            continue;
        on[i] = yes;
        return 0;
    }
    return -ERR_MALFORMED_XML;
}

int s3_canonical_public_access(struct s3_request *q, struct str body, struct buf *ret)
{
    bool on[ARRAY_LEN(switches)] = {false};
    struct xml_node *root;
    int r = xml_parse(q->arena, body, 16, &root);
    if (r)
        return r == -ERR_MAX_MESSAGE_LENGTH ? -ERR_MALFORMED_XML : r;
    if (!str_eq(root->name, STR(ROOT)))
        return -ERR_MALFORMED_XML;
    for (const struct xml_node *n = root->first_child; !r && n; n = n->next)
        r = read_switch(n, on);
    if (r)
        return r;
    xml_begin(ret);
    xml_open_ns(ret, ROOT, S3_XMLNS);
    for (unsigned i = 0; i < ARRAY_LEN(switches); i++)
        xml_element(ret, switches[i], on[i] ? STR("true") : STR("false"));
    xml_close(ret, ROOT);
    return 0;
}

bool s3_blocks_public_acls(const struct store_bucket *bucket)
{
    return iam_bucket_blocks(bucket, "BlockPublicAcls");
}

bool s3_blocks_public_policy(const struct store_bucket *bucket)
{
    return iam_bucket_blocks(bucket, "BlockPublicPolicy");
}
