/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Access control lists: the body ('X' and the document), a grant header ('H'), the bytes as they
 * are kept ('B'). What is taken is told, read back and kept as the same list, within its limits.
 */

#include "fuzz.h"

#include "base/error.h"
#include "s3/acl.h"

static struct str same_name(void *arg, struct str id)
{
    return id;
}

static bool same_acl(const struct s3_acl *a, const struct s3_acl *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->grants[i].kind != b->grants[i].kind ||
            a->grants[i].permission != b->grants[i].permission ||
            !str_eq(a->grants[i].id, b->grants[i].id))
            return false;
    return true;
}

/* What is told of a list is read as that list. */
static void check_told(struct arena *a, const struct s3_acl *acl)
{
    struct s3_acl again;
    struct s3_acl_fault fault;
    struct str owner;
    struct buf b;
    buf_init(&b, 0);
    s3_acl_xml(&b, acl, STR("owner"), same_name, NULL);
    CHECK(s3_acl_parse_xml(a, buf_str(&b), &again, &owner, &fault) == 0);
    CHECK(str_eq(owner, STR("owner")) && again.count == acl->count);
    buf_release(&b);
}

static void check_kept(struct arena *a, struct s3_acl *acl)
{
    struct s3_acl again;
    struct str bytes;
    for (size_t i = 0; i < acl->count; i++) {
        CHECK(acl->grants[i].id.len <= S3_ACL_ID_MAX && acl->grants[i].permission);
        if (acl->grants[i].kind == S3_GRANTEE_EMAIL)
            acl->grants[i].kind = S3_GRANTEE_ACCOUNT;
    }
    CHECK(s3_acl_encode(a, acl, STR("owner"), &bytes) == 0);
    CHECK(s3_acl_decode(bytes, STR("owner"), &again) == 0);
    CHECK(same_acl(acl, &again));
    (void)s3_acl_is_public(acl);
    CHECK(s3_acl_grants(&again, STR(""), STR("owner"), S3_PERMISSION_READ) != IAM_ACL_GRANTED);
}

static void check_bytes(struct arena *a, struct str bytes)
{
    struct s3_acl acl;
    struct str again;
    if (s3_acl_decode(bytes, STR("owner"), &acl))
        return;
    CHECK(acl.count <= S3_ACL_GRANTS_MAX);
    CHECK(s3_acl_encode(a, &acl, STR("owner"), &again) == 0);
    CHECK(again.len <= bytes.len);
}

static void check_body(struct arena *a, struct str body)
{
    struct s3_acl acl;
    struct s3_acl_fault fault;
    struct str owner;
    if (s3_acl_parse_xml(a, body, &acl, &owner, &fault))
        return;
    CHECK(acl.count <= S3_ACL_GRANTS_MAX && owner.len > 0);
    check_kept(a, &acl);
    check_told(a, &acl);
}

static void check_header(struct arena *a, struct str text)
{
    struct s3_acl acl = {.count = 0};
    struct s3_acl_fault fault;
    if (s3_acl_parse_header(text, S3_PERMISSION_READ, &acl, &fault)) {
        CHECK(fault.text);
        return;
    }
    CHECK(acl.count > 0);
    check_kept(a, &acl);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    if (size == 0)
        return 0;
    struct str rest = str_make(data + 1, size - 1);
    arena_init(&a, 0);
    if (data[0] == 'X')
        check_body(&a, rest);
    else if (data[0] == 'H')
        check_header(&a, rest);
    else
        check_bytes(&a, rest);
    arena_release(&a);
    return 0;
}
