/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "s3/config/encryption.h"
#include "base/error.h"
#include "wire/xml.h"

#define XMLNS     "http://s3.amazonaws.com/doc/2006-03-01/"
#define NODES_MAX 32

static int bad(struct str *ret_why, const char *why)
{
    *ret_why = str_from(why);
    return -ERR_INVALID_ARGUMENT;
}

static int read_default(const struct xml_node *n, struct s3_encryption *e, struct str *ret_why)
{
    struct str algorithm = STR_NULL;
    for (const struct xml_node *c = n->first_child; c; c = c->next) {
        struct str text = str_trim(c->text);
        if (str_eq(c->name, STR("SSEAlgorithm")) && !algorithm.ptr)
            algorithm = text;
        else if (str_eq(c->name, STR("KMSMasterKeyID")) && !e->name.ptr)
            e->name = text;
        else
            return -ERR_MALFORMED_XML;
    }
    if (str_eq(algorithm, STR("aws:kms:dsse")))
        return -ERR_NOT_IMPLEMENTED;
    if (str_eq(algorithm, STR("AES256")))
        e->kind = SEAL_S3;
    else if (str_eq(algorithm, STR("aws:kms")))
        e->kind = SEAL_KMS;
    else
        return -ERR_MALFORMED_XML;
    if (e->name.ptr && e->kind == SEAL_S3)
        return bad(ret_why, "a KMSMasterKeyID is not applicable if the default sse algorithm is "
                            "not aws:kms or aws:kms:dsse");
    if (e->name.len > SEAL_NAME_MAX || (e->name.ptr && e->name.len == 0))
        return bad(ret_why, "Invalid KMS keyId");
    return 0;
}

static int read_bool(const struct xml_node *n, bool *ret)
{
    struct str text = str_trim(n->text);
    *ret = str_eq(text, STR("true"));
    return *ret || str_eq(text, STR("false")) ? 0 : -ERR_MALFORMED_XML;
}

/* <BlockedEncryptionTypes><EncryptionType>SSE-C or NONE</EncryptionType></...> */
static int read_blocked(const struct xml_node *n, struct s3_encryption *e)
{
    const struct xml_node *c = n->first_child;
    if (!c || c->next || !str_eq(c->name, STR("EncryptionType")))
        return -ERR_MALFORMED_XML;
    struct str text = str_trim(c->text);
    e->blocks_customers = str_eq(text, STR("SSE-C"));
    return e->blocks_customers || str_eq(text, STR("NONE")) ? 0 : -ERR_MALFORMED_XML;
}

static int read_rule(const struct xml_node *rule, struct s3_encryption *e, struct str *ret_why)
{
    bool seen[3] = {false};
    int r = 0;
    for (const struct xml_node *c = rule->first_child; r == 0 && c; c = c->next) {
        static const char *const names[] = {"ApplyServerSideEncryptionByDefault",
                                            "BucketKeyEnabled", "BlockedEncryptionTypes"};
        unsigned i = 0;
        while (i < ARRAY_LEN(names) && !str_eq(c->name, str_from(names[i])))
            i++;
        if (i == ARRAY_LEN(names) || seen[i])
            return -ERR_MALFORMED_XML;
        seen[i] = true;
        r = i == 0   ? read_default(c, e, ret_why)
            : i == 1 ? read_bool(c, &e->bucket_key)
                     : read_blocked(c, e);
    }
    if (r == 0 && !seen[0] && !seen[2])
        r = -ERR_MALFORMED_XML;
    if (e->kind != SEAL_KMS)
        e->bucket_key = false; /* means nothing there (API reference) */
    return r;
}

int s3_encryption_parse(struct arena *a, struct str body, struct s3_encryption *ret,
                        struct str *ret_why)
{
    struct xml_node *root;
    struct s3_encryption e = {0};
    *ret_why = STR_NULL;
    int r = xml_parse(a, body, NODES_MAX, &root);
    if (r < 0)
        return r == -ERR_MAX_MESSAGE_LENGTH ? -ERR_MALFORMED_XML : r;
    const struct xml_node *rule = root->first_child;
    if (!str_eq(root->name, STR("ServerSideEncryptionConfiguration")) || !rule || rule->next ||
        !str_eq(rule->name, STR("Rule")))
        return -ERR_MALFORMED_XML;
    r = read_rule(rule, &e, ret_why);
    if (r == 0)
        *ret = e;
    return r;
}

void s3_encryption_xml(struct buf *b, const struct s3_encryption *e)
{
    xml_begin(b);
    xml_open_ns(b, "ServerSideEncryptionConfiguration", XMLNS);
    xml_open(b, "Rule");
    if (e->kind != SEAL_NONE) {
        xml_open(b, "ApplyServerSideEncryptionByDefault");
        xml_element(b, "SSEAlgorithm", e->kind == SEAL_S3 ? STR("AES256") : STR("aws:kms"));
        if (e->name.len)
            xml_element(b, "KMSMasterKeyID", e->name);
        xml_close(b, "ApplyServerSideEncryptionByDefault");
    }
    xml_element_bool(b, "BucketKeyEnabled", e->bucket_key);
    if (e->blocks_customers) {
        xml_open(b, "BlockedEncryptionTypes");
        xml_element(b, "EncryptionType", STR("SSE-C"));
        xml_close(b, "BlockedEncryptionTypes");
    }
    xml_close(b, "Rule");
    xml_close(b, "ServerSideEncryptionConfiguration");
}
