/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The bytes: a version byte, then each grant as kind and permission in one byte, and of an account
 * the length of its id in two, and the id.
 */

#include "s3/acl.h"

#include "base/error.h"
#include "s3/internal.h"
#include "wire/json.h"

#define VERSION       1
#define XML_NODES_MAX (8 * S3_ACL_GRANTS_MAX)

#define GROUPS_URI "http://acs.amazonaws.com/groups/"

static const struct group {
    enum s3_grantee kind;
    const char *uri;
} groups[] = {
    {S3_GRANTEE_ALL, GROUPS_URI "global/AllUsers"},
    {S3_GRANTEE_AUTHENTICATED, GROUPS_URI "global/AuthenticatedUsers"},
    {S3_GRANTEE_LOGS, GROUPS_URI "s3/LogDelivery"},
};

static const struct permission {
    unsigned bits;
    const char *name;
} permissions[] = {
    {S3_PERMISSION_READ, "READ"},         {S3_PERMISSION_WRITE, "WRITE"},
    {S3_PERMISSION_READ_ACP, "READ_ACP"}, {S3_PERMISSION_WRITE_ACP, "WRITE_ACP"},
    {S3_PERMISSION_FULL, "FULL_CONTROL"},
};

const struct s3_grant_header s3_grant_headers[S3_GRANT_HEADERS] = {
    {"x-amz-grant-read", S3_PERMISSION_READ},
    {"x-amz-grant-write", S3_PERMISSION_WRITE},
    {"x-amz-grant-read-acp", S3_PERMISSION_READ_ACP},
    {"x-amz-grant-write-acp", S3_PERMISSION_WRITE_ACP},
    {"x-amz-grant-full-control", S3_PERMISSION_FULL},
};

static const char *permission_name(unsigned bits)
{
    for (unsigned i = 0; i < ARRAY_LEN(permissions); i++)
        if (permissions[i].bits == bits)
            return permissions[i].name;
    return NULL;
}

static const struct group *group_of(enum s3_grantee kind)
{
    for (unsigned i = 0; i < ARRAY_LEN(groups); i++)
        if (groups[i].kind == kind)
            return &groups[i];
    return NULL;
}

static void add(struct s3_acl *acl, enum s3_grantee kind, unsigned permission, struct str id)
{
    CHECK(acl->count < S3_ACL_GRANTS_MAX);
    acl->grants[acl->count++] = (struct s3_grant){kind, permission, id};
}

/* ---- the bytes ------------------------------------------------------------------------------ */

static size_t put_grant(uint8_t *at, const struct s3_grant *g)
{
    at[0] = (uint8_t)((unsigned)g->kind << 4 | g->permission);
    if (g->kind != S3_GRANTEE_ACCOUNT)
        return 1;
    at[1] = (uint8_t)(g->id.len >> 8);
    at[2] = (uint8_t)g->id.len;
    memcpy(at + 3, g->id.ptr, g->id.len);
    return 3 + g->id.len;
}

static void groups_first(struct s3_acl *acl)
{
    struct s3_grant accounts[S3_ACL_GRANTS_MAX];
    size_t first = 0, rest = 0;
    for (size_t i = 0; i < acl->count; i++)
        if (acl->grants[i].kind == S3_GRANTEE_ACCOUNT)
            accounts[rest++] = acl->grants[i];
        else
            acl->grants[first++] = acl->grants[i];
    if (rest)
        memcpy(acl->grants + first, accounts, rest * sizeof(accounts[0]));
}

int s3_acl_encode(struct arena *a, struct s3_acl *acl, struct str owner, struct str *ret)
{
    size_t len = 1;
    groups_first(acl);
    *ret = STR("");
    if (s3_acl_is_owners(acl, owner))
        return 0;
    for (size_t i = 0; i < acl->count; i++) {
        CHECK(acl->grants[i].kind != S3_GRANTEE_EMAIL && acl->grants[i].id.len <= S3_ACL_ID_MAX);
        len += 3 + acl->grants[i].id.len;
    }
    uint8_t *bytes = arena_alloc(a, len);
    if (!bytes)
        return -ENOMEM;
    len = 1;
    bytes[0] = VERSION;
    for (size_t i = 0; i < acl->count; i++)
        len += put_grant(bytes + len, &acl->grants[i]);
    *ret = str_make(bytes, len);
    return 0;
}

/* Takes one grant from the front of *rest. */
static int take_grant(struct str *rest, struct s3_acl *acl)
{
    unsigned char first = (unsigned char)rest->ptr[0];
    enum s3_grantee kind = first >> 4;
    struct str id = STR("");
    if (kind > S3_GRANTEE_LOGS || !permission_name(first & 15) || acl->count == S3_ACL_GRANTS_MAX)
        return -ERR_CORRUPT;
    *rest = str_from_offset(*rest, 1);
    if (kind == S3_GRANTEE_ACCOUNT) {
        if (rest->len < 2)
            return -ERR_CORRUPT;
        size_t len = (size_t)(unsigned char)rest->ptr[0] << 8 | (unsigned char)rest->ptr[1];
        if (len == 0 || len > S3_ACL_ID_MAX || len > rest->len - 2)
            return -ERR_CORRUPT;
        id = str_make(rest->ptr + 2, len);
        *rest = str_from_offset(*rest, 2 + len);
    }
    add(acl, kind, first & 15, id);
    return 0;
}

int s3_acl_decode(struct str bytes, struct str owner, struct s3_acl *ret)
{
    int r = 0;
    ret->count = 0;
    if (bytes.len == 0) {
        add(ret, S3_GRANTEE_ACCOUNT, S3_PERMISSION_FULL, owner);
        return 0;
    }
    if (bytes.ptr[0] != VERSION)
        return -ERR_CORRUPT;
    for (struct str rest = str_from_offset(bytes, 1); r == 0 && rest.len;)
        r = take_grant(&rest, ret);
    return r;
}

/* ---- a grantee ------------------------------------------------------------------------------ */

static int refuse(struct s3_acl_fault *fault, const char *argument, struct str value,
                  const char *text)
{
    *fault = (struct s3_acl_fault){argument, text, value};
    return -ERR_INVALID_ARGUMENT;
}

static int set_group(struct s3_grant *g, struct str uri, struct s3_acl_fault *fault)
{
    for (unsigned i = 0; i < ARRAY_LEN(groups); i++)
        if (str_eq(uri, str_from(groups[i].uri))) {
            g->kind = groups[i].kind;
            return 0;
        }
    return refuse(fault, "URI", uri, "Invalid group uri");
}

static int set_named(struct s3_grant *g, enum s3_grantee kind, struct str name,
                     struct s3_acl_fault *fault)
{
    bool email = kind == S3_GRANTEE_EMAIL;
    if (name.len == 0 || name.len > S3_ACL_ID_MAX || !str_is_utf8(name))
        return refuse(fault, email ? "EmailAddress" : "CanonicalUser/ID", name,
                      email ? "Invalid email address" : "Invalid id");
    g->kind = kind;
    g->id = name;
    return 0;
}

/* ---- XML ------------------------------------------------------------------------------------ */

static int read_grantee(const struct xml_node *n, struct s3_grant *g, struct s3_acl_fault *fault)
{
    struct str id = xml_child_text(n, "ID"), uri = xml_child_text(n, "URI");
    struct str email = xml_child_text(n, "EmailAddress");
    if (!!id.ptr + !!uri.ptr + !!email.ptr != 1)
        return -ERR_MALFORMED_ACL;
    if (uri.ptr)
        return set_group(g, uri, fault);
    return id.ptr ? set_named(g, S3_GRANTEE_ACCOUNT, id, fault)
                  : set_named(g, S3_GRANTEE_EMAIL, email, fault);
}

static int read_permission(struct str name, struct s3_grant *g)
{
    for (unsigned i = 0; i < ARRAY_LEN(permissions); i++)
        if (str_eq(name, str_from(permissions[i].name))) {
            g->permission = permissions[i].bits;
            return 0;
        }
    return -ERR_MALFORMED_ACL;
}

static int read_grant(const struct xml_node *n, struct s3_acl *acl, struct s3_acl_fault *fault)
{
    const struct xml_node *grantee = xml_child(n, "Grantee");
    struct s3_grant g = {.id = STR("")};
    if (!str_eq(n->name, STR("Grant")) || !grantee || acl->count == S3_ACL_GRANTS_MAX)
        return -ERR_MALFORMED_ACL;
    int r = read_permission(xml_child_text(n, "Permission"), &g);
    if (r == 0)
        r = read_grantee(grantee, &g, fault);
    if (r == 0)
        acl->grants[acl->count++] = g;
    return r;
}

int s3_acl_parse_grants(const struct xml_node *list, struct s3_acl *acl, struct s3_acl_fault *fault)
{
    int r = 0;
    for (const struct xml_node *n = list->first_child; r == 0 && n; n = n->next)
        r = read_grant(n, acl, fault);
    return r;
}

int s3_acl_parse_xml(struct arena *a, struct str body, struct s3_acl *ret, struct str *ret_owner,
                     struct s3_acl_fault *fault)
{
    struct xml_node *root;
    *fault = (struct s3_acl_fault){0};
    int r = xml_parse(a, body, XML_NODES_MAX, &root);
    if (r)
        return r == -ENOMEM ? r : -ERR_MALFORMED_ACL;
    const struct xml_node *owner = xml_child(root, "Owner");
    const struct xml_node *list = xml_child(root, "AccessControlList");
    if (!str_eq(root->name, STR("AccessControlPolicy")) || !owner || !list)
        return -ERR_MALFORMED_ACL;
    *ret_owner = xml_child_text(owner, "ID");
    ret->count = 0;
    r = s3_acl_parse_grants(list, ret, fault);
    return r == 0 && ret_owner->len == 0 ? -ERR_MALFORMED_ACL : r;
}

/* Attributes the writer of elements does not know. */
static void open_grantee(struct buf *b, const char *type)
{
    buf_put_cstr(b, "<Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"");
    buf_put_cstr(b, type);
    buf_put_cstr(b, "\">");
}

static void put_grantee(struct buf *b, const struct s3_grant *g,
                        struct str (*name)(void *arg, struct str id), void *arg)
{
    const struct group *group = group_of(g->kind);
    open_grantee(b, group ? "Group" : "CanonicalUser");
    if (group) {
        xml_element(b, "URI", str_from(group->uri));
    } else {
        xml_element(b, "ID", g->id);
        if (name)
            xml_element(b, "DisplayName", name(arg, g->id));
    }
    xml_close(b, "Grantee");
}

void s3_acl_xml_grants(struct buf *b, const struct s3_acl *acl,
                       struct str (*name)(void *arg, struct str id), void *arg)
{
    for (size_t i = 0; i < acl->count; i++) {
        xml_open(b, "Grant");
        put_grantee(b, &acl->grants[i], name, arg);
        xml_element(b, "Permission", str_from(permission_name(acl->grants[i].permission)));
        xml_close(b, "Grant");
    }
}

void s3_acl_xml(struct buf *b, const struct s3_acl *acl, struct str owner,
                struct str (*name)(void *arg, struct str id), void *arg)
{
    xml_begin(b);
    xml_open_ns(b, "AccessControlPolicy", S3_XMLNS);
    xml_open(b, "Owner");
    xml_element(b, "ID", owner);
    xml_element(b, "DisplayName", name(arg, owner));
    xml_close(b, "Owner");
    xml_open(b, "AccessControlList");
    s3_acl_xml_grants(b, acl, name, arg);
    xml_close(b, "AccessControlList");
    xml_close(b, "AccessControlPolicy");
}

void s3_acl_json(struct buf *b, const struct s3_acl *acl)
{
    buf_put_cstr(b, "{\"version\":\"2022-11-10\",\"status\":\"AVAILABLE\",\"grants\":[");
    for (size_t i = 0; i < acl->count; i++) {
        const struct s3_grant *g = &acl->grants[i];
        const struct group *group = group_of(g->kind);
        buf_put_cstr(b, i ? ",{" : "{");
        if (group)
            json_put_member(b, "uri", str_from(group->uri));
        else
            json_put_member(b, "canonicalId", g->id);
        buf_put_cstr(b, group ? ",\"type\":\"Group\"," : ",\"type\":\"CanonicalUser\",");
        json_put_member(b, "permission", str_from(permission_name(g->permission)));
        buf_put_char(b, '}');
    }
    buf_put_cstr(b, "]}");
}

/* ---- headers -------------------------------------------------------------------------------- */

/* `type="value"` from the front of *rest; a comma inside quotes is the value's. */
static bool take_grantee(struct str *rest, struct str *ret_type, struct str *ret_value)
{
    struct str s = str_trim(*rest);
    ptrdiff_t eq = str_find_char(s, '=', 0);
    if (eq <= 0)
        return false;
    *ret_type = str_trim(str_prefix(s, (size_t)eq));
    s = str_trim(str_from_offset(s, (size_t)eq + 1));
    if (!str_starts(s, STR("\""))) {
        str_cut(&s, ',', ret_value);
        *ret_value = str_trim(*ret_value);
        *rest = s;
        return ret_value->len > 0 && str_find_char(*ret_value, '"', 0) < 0;
    }
    ptrdiff_t end = str_find_char(s, '"', 1);
    if (end < 0)
        return false;
    *ret_value = str_make(s.ptr + 1, (size_t)end - 1);
    s = str_trim(str_from_offset(s, (size_t)end + 1));
    if (s.len && s.ptr[0] != ',')
        return false;
    *rest = str_from_offset(s, s.len > 0);
    return true;
}

static int read_typed(struct str type, struct str value, struct s3_grant *g,
                      struct s3_acl_fault *fault)
{
    if (str_eq_nocase(type, STR("id")))
        return set_named(g, S3_GRANTEE_ACCOUNT, value, fault);
    if (str_eq_nocase(type, STR("emailAddress")))
        return set_named(g, S3_GRANTEE_EMAIL, value, fault);
    if (str_eq_nocase(type, STR("uri")))
        return set_group(g, value, fault);
    return refuse(fault, NULL, type, "Argument format not recognized");
}

int s3_acl_parse_header(struct str text, unsigned permission, struct s3_acl *acl,
                        struct s3_acl_fault *fault)
{
    struct str rest = text, type, value;
    do {
        struct s3_grant g = {.permission = permission, .id = STR("")};
        if (!take_grantee(&rest, &type, &value))
            return refuse(fault, NULL, text, "Argument format not recognized");
        int r = read_typed(type, value, &g, fault);
        if (r)
            return r;
        if (acl->count == S3_ACL_GRANTS_MAX)
            return refuse(fault, NULL, text, "An ACL has 100 grants at most");
        acl->grants[acl->count++] = g;
    } while (rest.len);
    return 0;
}

/* ---- canned --------------------------------------------------------------------------------- */

/* aws-exec-read grants to a service of AWS that is not here: so to nobody. */
static const struct canned {
    const char *name;
    struct {
        enum s3_grantee kind;
        unsigned permission;
    } to_groups[2];
    unsigned bucket_owner; /* the permission it gives to the bucket's owner */
    bool of_bucket;        /* it grants nothing on objects */
} canned_acls[] = {
    {"private", {{0, 0}}, 0, false},
    {"public-read", {{S3_GRANTEE_ALL, S3_PERMISSION_READ}}, 0, false},
    {"public-read-write",
     {{S3_GRANTEE_ALL, S3_PERMISSION_READ}, {S3_GRANTEE_ALL, S3_PERMISSION_WRITE}},
     0,
     false},
    {"aws-exec-read", {{0, 0}}, 0, false},
    {"authenticated-read", {{S3_GRANTEE_AUTHENTICATED, S3_PERMISSION_READ}}, 0, false},
    {"bucket-owner-read", {{0, 0}}, S3_PERMISSION_READ, false},
    {"bucket-owner-full-control", {{0, 0}}, S3_PERMISSION_FULL, false},
    {"log-delivery-write",
     {{S3_GRANTEE_LOGS, S3_PERMISSION_WRITE}, {S3_GRANTEE_LOGS, S3_PERMISSION_READ_ACP}},
     0,
     true},
};

static const struct canned *canned_named(struct str name)
{
    for (unsigned i = 0; i < ARRAY_LEN(canned_acls); i++)
        if (str_eq(name, str_from(canned_acls[i].name)))
            return &canned_acls[i];
    return NULL;
}

bool s3_acl_is_canned(struct str name)
{
    return canned_named(name) != NULL;
}

bool s3_acl_canned(struct str name, struct str owner, struct str bucket_owner, struct s3_acl *ret)
{
    const struct canned *c = canned_named(name);
    bool of_bucket = bucket_owner.len == 0;
    if (!c)
        return false;
    ret->count = 0;
    for (unsigned i = 0; i < ARRAY_LEN(c->to_groups); i++)
        if (c->to_groups[i].permission && (of_bucket || !c->of_bucket))
            add(ret, c->to_groups[i].kind, c->to_groups[i].permission, STR(""));
    add(ret, S3_GRANTEE_ACCOUNT, S3_PERMISSION_FULL, owner);
    if (!of_bucket && c->bucket_owner && !str_eq(owner, bucket_owner))
        add(ret, S3_GRANTEE_ACCOUNT, c->bucket_owner, bucket_owner);
    return true;
}

/* ---- what it comes to ----------------------------------------------------------------------- */

bool s3_acl_is_public(const struct s3_acl *acl)
{
    for (size_t i = 0; i < acl->count; i++)
        if (acl->grants[i].kind == S3_GRANTEE_ALL ||
            acl->grants[i].kind == S3_GRANTEE_AUTHENTICATED)
            return true;
    return false;
}

bool s3_acl_is_owners(const struct s3_acl *acl, struct str owner)
{
    return acl->count == 1 && acl->grants[0].kind == S3_GRANTEE_ACCOUNT &&
           acl->grants[0].permission == S3_PERMISSION_FULL && str_eq(acl->grants[0].id, owner);
}

/* S3 User Guide, "Mapping of ACL permissions and access policy permissions"; what only asks whose
 * the object is takes no permission. */
enum s3_acl_scope s3_acl_scope_of(int action, unsigned *ret_permission)
{
    *ret_permission = 0;
    switch (action) {
    case IAM_s3_ListBucket:
    case IAM_s3_ListBucketVersions:
    case IAM_s3_ListBucketMultipartUploads:
        *ret_permission = S3_PERMISSION_READ;
        return S3_ACL_OF_BUCKET;
    case IAM_s3_PutObject:
    case IAM_s3_DeleteObject:
        *ret_permission = S3_PERMISSION_WRITE;
        return S3_ACL_OF_BUCKET;
    case IAM_s3_AbortMultipartUpload:
    case IAM_s3_ListMultipartUploadParts:
        return S3_ACL_OF_INITIATOR;
    case IAM_s3_GetBucketAcl:
        *ret_permission = S3_PERMISSION_READ_ACP;
        return S3_ACL_OF_BUCKET;
    case IAM_s3_PutBucketAcl:
        *ret_permission = S3_PERMISSION_WRITE_ACP;
        return S3_ACL_OF_BUCKET;
    case IAM_s3_GetObject:
    case IAM_s3_GetObjectVersion:
        *ret_permission = S3_PERMISSION_READ;
        return S3_ACL_OF_OBJECT;
    case IAM_s3_GetObjectAcl:
    case IAM_s3_GetObjectVersionAcl:
        *ret_permission = S3_PERMISSION_READ_ACP;
        return S3_ACL_OF_OBJECT;
    case IAM_s3_PutObjectAcl:
    case IAM_s3_PutObjectVersionAcl:
        *ret_permission = S3_PERMISSION_WRITE_ACP;
        return S3_ACL_OF_OBJECT;
    case IAM_s3_GetObjectAttributes:
    case IAM_s3_GetObjectVersionAttributes:
    case IAM_s3_GetObjectTagging:
    case IAM_s3_GetObjectVersionTagging:
    case IAM_s3_PutObjectTagging:
    case IAM_s3_PutObjectVersionTagging:
    case IAM_s3_DeleteObjectTagging:
    case IAM_s3_DeleteObjectVersionTagging:
    case IAM_s3_UpdateObjectEncryption:
        return S3_ACL_OF_OBJECT;
    default:
        return S3_ACL_NO_LIST;
    }
}

enum iam_acl_grant s3_acl_grants(const struct s3_acl *acl, struct str account, struct str owner,
                                 unsigned permission)
{
    enum iam_acl_grant best = IAM_ACL_NONE;
    bool own = account.len && str_eq(account, owner); /* a grant to the owner is none to members */
    for (size_t i = 0; i < acl->count; i++) {
        const struct s3_grant *g = &acl->grants[i];
        if (!permission || (g->permission & permission) != permission)
            continue;
        if (g->kind == S3_GRANTEE_ACCOUNT && account.len && !own && str_eq(g->id, account))
            return IAM_ACL_GRANTED;
        if (g->kind == S3_GRANTEE_ALL || (g->kind == S3_GRANTEE_AUTHENTICATED && account.len))
            best = IAM_ACL_PUBLIC;
    }
    return best;
}
