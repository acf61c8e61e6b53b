/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Access control lists: their forms, and what they open and keep shut at the door. */

#include "s3_help.h"

#include "base/md5.h"
#include "s3/acl.h"

#define ALL_USERS     "http://acs.amazonaws.com/groups/global/AllUsers"
#define AUTHENTICATED "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
#define POLICY(owner, grants)                                \
    "<AccessControlPolicy><Owner><ID>" owner "</ID></Owner>" \
    "<AccessControlList>" grants "</AccessControlList></AccessControlPolicy>"
#define GRANT(grantee, permission)                                         \
    "<Grant><Grantee xmlns:xsi=\"x\" xsi:type=\"t\">" grantee "</Grantee>" \
    "<Permission>" permission "</Permission></Grant>"
#define TO_OTHER "<ID>other</ID>"
#define TO_ALL   "<URI>" ALL_USERS "</URI>"

/* ---- the forms ------------------------------------------------------------------------------ */

static struct arena arena;

static int set_up_arena(void **state)
{
    arena_init(&arena, 0);
    return 0;
}

static int tear_down_arena(void **state)
{
    arena_release(&arena);
    return 0;
}

/* "all:1 other:15": grantee and permission of each grant. */
static struct str text_of(const struct s3_acl *acl)
{
    static const char *const kinds[] = {"", "all", "auth", "logs", "mail:"};
    struct str text = STR("");
    for (size_t i = 0; i < acl->count; i++)
        text = arena_printf(&arena, "%.*s%s%s%.*s:%u", STR_FMT(text), i ? " " : "",
                            kinds[acl->grants[i].kind], STR_FMT(acl->grants[i].id),
                            acl->grants[i].permission);
    return text;
}

static void assert_acl(const struct s3_acl *acl, const char *expected)
{
    struct str text = text_of(acl);
    if (!str_eq(text, str_from(expected)))
        fail_msg("%.*s, not %s", STR_FMT(text), expected);
}

static void canned_names_are_these_grants(void **state)
{
    static const struct {
        const char *name, *of_bucket, *of_object;
    } cases[] = {
        {"private", "w:15", "w:15"},
        {"public-read", "all:1 w:15", "all:1 w:15"},
        {"public-read-write", "all:1 all:2 w:15", "all:1 all:2 w:15"},
        {"authenticated-read", "auth:1 w:15", "auth:1 w:15"},
        {"aws-exec-read", "w:15", "w:15"},
        {"bucket-owner-read", "w:15", "w:15 b:1"},
        {"bucket-owner-full-control", "w:15", "w:15 b:15"},
        {"log-delivery-write", "logs:2 logs:4 w:15", "w:15"},
    };
    struct s3_acl acl;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct str name = str_from(cases[i].name);
        assert_true(s3_acl_canned(name, STR("w"), STR(""), &acl));
        assert_acl(&acl, cases[i].of_bucket);
        assert_true(s3_acl_canned(name, STR("w"), STR("b"), &acl));
        assert_acl(&acl, cases[i].of_object);
        assert_true(s3_acl_canned(name, STR("w"), STR("w"), &acl));
        assert_true(str_find(text_of(&acl), STR("w:15 w"), 0) < 0);
    }
    assert_false(s3_acl_canned(STR("Private"), STR("w"), STR(""), &acl));
}

static void grant_headers_are_read(void **state)
{
    static const struct {
        const char *text, *expected; /* NULL: refused */
    } cases[] = {
        {"id=a", "a:1"},
        {"id=\"a\"", "a:1"},
        {" id = a , id=\"b\"", "a:1 b:1"},
        {"ID=a", "a:1"},
        {"id=\"a,b\"", "a,b:1"},
        {"emailAddress=x@y", "mail:x@y:1"},
        {"uri=\"" ALL_USERS "\",uri=" AUTHENTICATED, "all:1 auth:1"},
        {"uri=http://acs.amazonaws.com/groups/s3/LogDelivery", "logs:1"},
        {"", NULL},
        {"a", NULL},
        {"id", NULL},
        {"id=", NULL},
        {"=a", NULL},
        {"id=\"\"", NULL},
        {"id=\"a", NULL},
        {"id=a\"", NULL},
        {"id=\"a\"b", NULL},
        {"id=a,", "a:1"},
        {"id=a,,id=b", NULL},
        {"name=a", NULL},
        {"uri=http://example.com/", NULL},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct s3_acl acl = {.count = 0};
        struct s3_acl_fault fault = {0};
        int r = s3_acl_parse_header(str_from(cases[i].text), S3_PERMISSION_READ, &acl, &fault);
        if (!cases[i].expected ? r != -ERR_INVALID_ARGUMENT || !fault.text : r != 0)
            fail_msg("%s: %d", cases[i].text, r);
        if (cases[i].expected)
            assert_acl(&acl, cases[i].expected);
    }
}

static void a_list_has_a_hundred_grants_at_most(void **state)
{
    struct s3_acl acl = {.count = 0};
    struct s3_acl_fault fault;
    struct str owner;
    struct buf b;
    for (unsigned i = 0; i < S3_ACL_GRANTS_MAX; i++)
        assert_int_equal(s3_acl_parse_header(STR("id=a"), 1, &acl, &fault), 0);
    assert_int_equal(s3_acl_parse_header(STR("id=a"), 1, &acl, &fault), -ERR_INVALID_ARGUMENT);
    for (unsigned over = 0; over < 2; over++) {
        buf_init(&b, 0);
        buf_put_cstr(&b, "<AccessControlPolicy><Owner><ID>o</ID></Owner><AccessControlList>");
        for (unsigned i = 0; i < S3_ACL_GRANTS_MAX + over; i++)
            buf_put_cstr(&b, GRANT(TO_OTHER, "READ"));
        buf_put_cstr(&b, "</AccessControlList></AccessControlPolicy>");
        assert_int_equal(s3_acl_parse_xml(&arena, buf_str(&b), &acl, &owner, &fault),
                         over ? -ERR_MALFORMED_ACL : 0);
        buf_release(&b);
    }
}

static void bodies_that_are_no_list_are_malformed(void **state)
{
    static const char *const bad[] = {
        "",
        "<AccessControlPolicy>",
        "<Policy/>",
        "<AccessControlPolicy/>",
        "<AccessControlPolicy><AccessControlList/></AccessControlPolicy>",
        "<AccessControlPolicy><Owner><ID>o</ID></Owner></AccessControlPolicy>",
        "<AccessControlPolicy><Owner/><AccessControlList/></AccessControlPolicy>",
        POLICY("", ""),
        POLICY("o", "<Other/>"),
        POLICY("o", "<Grant/>"),
        POLICY("o", GRANT(TO_OTHER, "")),
        POLICY("o", GRANT(TO_OTHER, "read")),
        POLICY("o", GRANT(TO_OTHER TO_ALL, "READ")),
        POLICY("o", GRANT("", "READ")),
        "<!DOCTYPE a [<!ENTITY e \"x\">]>" POLICY("o", GRANT("<ID>&e;</ID>", "READ")),
    };
    struct s3_acl acl;
    struct s3_acl_fault fault;
    struct str owner;
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        int r = s3_acl_parse_xml(&arena, str_from(bad[i]), &acl, &owner, &fault);
        if (r != -ERR_MALFORMED_ACL)
            fail_msg("%s: %d", bad[i], r);
    }
    assert_int_equal(
        s3_acl_parse_xml(&arena, STR(POLICY("o", GRANT("<ID/>", "READ"))), &acl, &owner, &fault),
        -ERR_INVALID_ARGUMENT);
    assert_int_equal(s3_acl_parse_xml(&arena, STR(POLICY("o", GRANT("<URI>x</URI>", "READ"))), &acl,
                                      &owner, &fault),
                     -ERR_INVALID_ARGUMENT);
    assert_int_equal(s3_acl_parse_xml(&arena, STR(POLICY("o", "")), &acl, &owner, &fault), 0);
    assert_int_equal(acl.count, 0);
}

static void what_is_kept_is_what_came_with_groups_first(void **state)
{
    struct s3_acl acl = {.count = 0}, again;
    struct s3_acl_fault fault;
    struct str bytes;
    assert_int_equal(s3_acl_parse_header(STR("id=o,id=x,uri=" ALL_USERS), 15, &acl, &fault), 0);
    assert_int_equal(s3_acl_encode(&arena, &acl, STR("o"), &bytes), 0);
    assert_int_equal(s3_acl_decode(bytes, STR("o"), &again), 0);
    assert_acl(&again, "all:15 o:15 x:15");
    for (size_t len = 1; len < bytes.len; len++) { /* cut anywhere: fewer grants, or none to read */
        int r = s3_acl_decode(str_prefix(bytes, len), STR("o"), &again);
        assert_true(r == -ERR_CORRUPT || again.count < 3);
    }
    acl.count = 0;
    assert_int_equal(s3_acl_encode(&arena, &acl, STR("o"), &bytes), 0);
    assert_int_equal(bytes.len, 1); /* nobody has a grant, the owner neither */
    assert_int_equal(s3_acl_decode(bytes, STR("o"), &again), 0);
    assert_int_equal(again.count, 0);
    assert_true(s3_acl_canned(STR("private"), STR("o"), STR(""), &acl));
    assert_int_equal(s3_acl_encode(&arena, &acl, STR("o"), &bytes), 0);
    assert_int_equal(bytes.len, 0);
    assert_int_equal(s3_acl_decode(bytes, STR("o"), &again), 0);
    assert_acl(&again, "o:15");
}

static void grants_are_to_whom_they_name(void **state)
{
    static const struct {
        const char *header, *account;
        enum iam_acl_grant grant;
    } cases[] = {
        {"id=a", "a", IAM_ACL_GRANTED},
        {"id=a", "b", IAM_ACL_NONE},
        {"id=a", "", IAM_ACL_NONE},
        {"id=owner", "owner", IAM_ACL_NONE}, /* its members have what their policies give */
        {"uri=" ALL_USERS, "", IAM_ACL_PUBLIC},
        {"uri=" ALL_USERS, "a", IAM_ACL_PUBLIC},
        {"uri=" AUTHENTICATED, "", IAM_ACL_NONE},
        {"uri=" AUTHENTICATED, "a", IAM_ACL_PUBLIC},
        {"uri=" ALL_USERS ",id=a", "a", IAM_ACL_GRANTED}, /* not ignored with the public ones */
        {"uri=http://acs.amazonaws.com/groups/s3/LogDelivery", "a", IAM_ACL_NONE},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct s3_acl acl = {.count = 0};
        struct s3_acl_fault fault;
        struct str account = str_from(cases[i].account);
        assert_int_equal(s3_acl_parse_header(str_from(cases[i].header), 1, &acl, &fault), 0);
        assert_int_equal(s3_acl_grants(&acl, account, STR("owner"), 1), cases[i].grant);
        assert_int_equal(s3_acl_grants(&acl, account, STR("owner"), 2), IAM_ACL_NONE);
        assert_int_equal(s3_acl_grants(&acl, account, STR("owner"), 0), IAM_ACL_NONE);
    }
}

/* ---- at the door ---------------------------------------------------------------------------- */

static struct answer FIBER put_document(struct door *d, const char *target, const char *key,
                                        const char *text)
{
    uint8_t md5[16];
    char sum[32] = {0};
    md5_of(str_from(text), md5);
    base64_encode(md5, sizeof(md5), sum);
    return ASK(d, "PUT", target, str_from(text), .access_key = key,
               .headers = {{"content-md5", sum}});
}

static int FIBER as(struct door *d, const char *key, const char *method, const char *target)
{
    bool brings = strcmp(method, "PUT") == 0 && strchr(target + 1, '/');
    struct str body = brings ? STR("kept") : STR_NULL;
    return ASK(d, method, target, body, .form = key ? FORM_SIGNED : FORM_NONE, .access_key = key)
        .status;
}

/* An ACL put by its owner in a header. */
static void FIBER put_acl(struct door *d, const char *target, const char *header, const char *value)
{
    CHECK(ASK(d, "PUT", target, .headers = {{header, value}}).status == 200);
}

static void FIBER set_up(struct door *d)
{
    CHECK(as(d, OWNER_KEY, "PUT", "/bucket") == 200);
    CHECK(as(d, OWNER_KEY, "PUT", "/bucket/k") == 200);
}

struct granted {
    bool object; /* the object's list, else the bucket's */
    const struct s3_grant_header *header;
    const char *grantee;
    bool anonymous, other; /* whom that reaches */
};

/* As it was before somebody was let in. */
static void FIBER restore(struct door *d, const struct granted *g)
{
    (void)as(d, OWNER_KEY, "DELETE", "/bucket/k");
    (void)as(d, OWNER_KEY, "DELETE", "/bucket/absent");
    CHECK(as(d, OWNER_KEY, "PUT", "/bucket/k") == 200);
    put_acl(d, g->object ? "/bucket/k?acl" : "/bucket?acl", g->header->name, g->grantee);
}

static bool is_open(const struct s3_op *op, const struct granted *g, bool reached)
{
    unsigned permission;
    enum s3_acl_scope scope = s3_acl_scope_of(iam_action_find(str_from(op->action)), &permission);
    bool copies = op->header && !op->query; /* needs a right to its source, too */
    if (!reached || scope != (g->object ? S3_ACL_OF_OBJECT : S3_ACL_OF_BUCKET) || copies)
        return false;
    return permission && (g->header->permission & permission) == permission;
}

static void FIBER ask_all(struct door *d, const struct granted *g, const char *key)
{
    for (unsigned i = 0; i < s3_op_count; i++) {
        const struct s3_op *op = &s3_ops[i];
        char target[256];
        if (op->level == S3_SERVICE || (op->flags & (S3_OP_NO_BUCKET | S3_OP_ANYONE)))
            continue;
        struct ask a = ask_of(op, true, target, sizeof(target));
        a.access_key = key;
        a.form = key ? FORM_SIGNED : FORM_NONE;
        bool open = is_open(op, g, key ? g->other : g->anonymous);
        int status = ask(d, &a).status;
        if ((status != 403) != open) {
            fprintf(stderr, "%s by %s, %s on the %s to %s: %d\n", op->name, key ? key : "anonymous",
                    g->header->name, g->object ? "object" : "bucket", g->grantee, status);
            CHECK(!"lists open what they say, and nothing else");
        }
        if (open)
            restore(d, g);
    }
}

/* Every operation by another user and by nobody, under every single grant. */
DOOR_CASE(a_grant_opens_its_operations_and_no_other)
{
    static const struct granted grantees[] = {
        {.grantee = "id=other", .other = true},
        {.grantee = "uri=" AUTHENTICATED, .other = true},
        {.grantee = "uri=" ALL_USERS, .other = true, .anonymous = true},
        {.grantee = "id=owner"},
    };
    set_up(d);
    for (unsigned i = 0; i < 2 * ARRAY_LEN(grantees) * S3_GRANT_HEADERS; i++) {
        struct granted g = grantees[i / 2 % ARRAY_LEN(grantees)];
        g.object = i % 2;
        g.header = &s3_grant_headers[i / 2 / ARRAY_LEN(grantees)];
        put_acl(d, "/bucket?acl", "x-amz-acl", "private");
        restore(d, &g);
        ask_all(d, &g, OTHER_KEY);
        ask_all(d, &g, NULL);
    }
    return 0;
}

DOOR_CASE(a_copy_needs_a_grant_on_both_sides)
{
    set_up(d);
    put_acl(d, "/bucket?acl", "x-amz-grant-write", "id=other");
    struct ask copy = {"PUT", "/bucket/c", .access_key = OTHER_KEY,
                       .headers = {{"x-amz-copy-source", "bucket/k"}}};
    CHECK(ask(d, &copy).status == 403);
    put_acl(d, "/bucket/k?acl", "x-amz-grant-read", "id=other");
    CHECK(ask(d, &copy).status == 200);
    put_acl(d, "/bucket?acl", "x-amz-acl", "private");
    CHECK(ask(d, &copy).status == 403);
    return 0;
}

/* Owner and grants of what GetObjectAcl or GetBucketAcl tells. */
static bool FIBER told(struct door *d, const char *target, const char *key, const char *owner,
                       unsigned grants)
{
    struct answer a = ASK(d, "GET", target, .access_key = key);
    unsigned count = 0;
    for (ptrdiff_t at = 0; (at = str_find(a.body, STR("<Grant>"), (size_t)at)) >= 0; at++)
        count++;
    return a.status == 200 && str_eq(element_of(&a, "ID"), str_from(owner)) && count == grants;
}

DOOR_CASE(who_writes_an_object_owns_it)
{
    set_up(d);
    put_acl(d, "/bucket?acl", "x-amz-acl", "public-read-write");
    CHECK(as(d, OTHER_KEY, "PUT", "/bucket/theirs") == 200);
    CHECK(told(d, "/bucket/theirs?acl", OTHER_KEY, "other", 1));
    CHECK(as(d, OWNER_KEY, "GET", "/bucket/theirs") == 403);
    CHECK(as(d, OWNER_KEY, "GET", "/bucket/theirs?acl") == 403);
    CHECK(as(d, OWNER_KEY, "GET", "/bucket/theirs?tagging") == 403);
    CHECK(as(d, ROOT_KEY, "GET", "/bucket/theirs") == 200);
    struct answer a = ASK(d, "PUT", "/bucket/shared", STR("x"), .access_key = OTHER_KEY,
                          .headers = {{"x-amz-acl", "bucket-owner-full-control"}});
    CHECK(a.status == 200 && told(d, "/bucket/shared?acl", OWNER_KEY, "other", 2));
    CHECK(as(d, OWNER_KEY, "GET", "/bucket/shared") == 200);
    CHECK(as(d, OWNER_KEY, "DELETE", "/bucket/theirs") == 204); /* always in its own bucket */
    CHECK(as(d, NULL, "PUT", "/bucket/nobodys") == 200);
    CHECK(told(d, "/bucket/nobodys?acl", OWNER_KEY, "owner", 1));
    CHECK(as(d, NULL, "GET", "/bucket/nobodys") == 403);
    CHECK(as(d, ROOT_KEY, "PUT", "/bucket/roots") == 200);
    CHECK(told(d, "/bucket/roots?acl", OWNER_KEY, "owner", 1));
    return 0;
}

static void FIBER put_ownership(struct door *d, const char *word, int status)
{
    char text[256];
    snprintf(text, sizeof(text),
             "<OwnershipControls><Rule><ObjectOwnership>%s</ObjectOwnership></Rule>"
             "</OwnershipControls>",
             word);
    CHECK(put_document(d, "/bucket?ownershipControls", OWNER_KEY, text).status == status);
}

#define LET_OTHER_DO_ALL                                                                \
    "{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":{\"CanonicalUser\":\"other\"}," \
    "\"Action\":\"s3:*\",\"Resource\":[\"arn:aws:s3:::bucket\",\"arn:aws:s3:::bucket/*\"]}}"

DOOR_CASE(an_owner_that_is_preferred_gets_what_is_given_to_it)
{
    set_up(d);
    put_ownership(d, "BucketOwnerPreferred", 200);
    CHECK(put_document(d, "/bucket?policy", OWNER_KEY, LET_OTHER_DO_ALL).status == 204);
    CHECK(as(d, OTHER_KEY, "PUT", "/bucket/a") == 200);
    CHECK(told(d, "/bucket/a?acl", OTHER_KEY, "other", 1));
    CHECK(ASK(d, "PUT", "/bucket/b", STR("x"), .access_key = OTHER_KEY,
              .headers = {{"x-amz-acl", "bucket-owner-full-control"}})
              .status == 200);
    CHECK(told(d, "/bucket/b?acl", OWNER_KEY, "owner", 1));
    return 0;
}

DOOR_CASE(an_owner_that_is_enforced_has_no_lists)
{
    static const char *const targets[] = {"/bucket?acl", "/bucket/k?acl"};
    set_up(d);
    put_acl(d, "/bucket/k?acl", "x-amz-acl", "public-read");
    CHECK(as(d, NULL, "GET", "/bucket/k") == 200);
    put_acl(d, "/bucket?acl", "x-amz-acl", "public-read-write");
    CHECK(as(d, OTHER_KEY, "PUT", "/bucket/theirs") == 200);
    put_ownership(d, "BucketOwnerEnforced", 400); /* while the bucket's list opens it */
    put_acl(d, "/bucket?acl", "x-amz-acl", "private");
    put_ownership(d, "BucketOwnerEnforced", 200);
    CHECK(as(d, NULL, "GET", "/bucket/k") == 403);
    CHECK(as(d, OTHER_KEY, "GET", "/bucket/theirs") == 403);
    CHECK(as(d, OWNER_KEY, "GET", "/bucket/theirs") == 200);
    CHECK(told(d, "/bucket/theirs?acl", OWNER_KEY, "owner", 1));
    CHECK(told(d, "/bucket/k?acl", OWNER_KEY, "owner", 1));
    CHECK(told(d, "/bucket?acl", OWNER_KEY, "owner", 1));
    for (unsigned i = 0; i < ARRAY_LEN(targets); i++) {
        struct answer a = ASK(d, "PUT", targets[i], .headers = {{"x-amz-acl", "private"}});
        CHECK(a.status == 400 && str_eq(a.code, STR("AccessControlListNotSupported")));
    }
    struct answer a = ASK(d, "PUT", "/bucket/n", STR("x"), .headers = {{"x-amz-acl", "private"}});
    CHECK(a.status == 400 && str_eq(a.code, STR("AccessControlListNotSupported")));
    CHECK(ASK(d, "PUT", "/bucket/n", STR("x"),
              .headers = {{"x-amz-acl", "bucket-owner-full-control"}})
              .status == 200);
    CHECK(ASK(d, "PUT", "/bucket/n", STR("x"),
              .headers = {{"x-amz-grant-full-control", "id=\"owner\""}})
              .status == 200);
    CHECK(as(d, OWNER_KEY, "DELETE", "/bucket?ownershipControls") == 204);
    CHECK(as(d, NULL, "GET", "/bucket/k") == 200); /* lists count again */
    CHECK(as(d, OWNER_KEY, "GET", "/bucket/theirs") == 403);
    return 0;
}

#define BLOCK(on)                                           \
    "<PublicAccessBlockConfiguration><" on ">true</" on ">" \
    "</PublicAccessBlockConfiguration>"

DOOR_CASE(public_lists_are_refused_where_they_are_blocked)
{
    static const char *const headers[][2] = {
        {"x-amz-acl", "public-read"},
        {"x-amz-acl", "public-read-write"},
        {"x-amz-acl", "authenticated-read"},
        {"x-amz-grant-read", "uri=" ALL_USERS},
        {"x-amz-grant-read-acp", "uri=" AUTHENTICATED},
    };
    static const char *const targets[] = {"/bucket?acl", "/bucket/k?acl", "/bucket/new",
                                          "/bucket/new?uploads"};
    set_up(d);
    CHECK(
        put_document(d, "/bucket?publicAccessBlock", OWNER_KEY, BLOCK("BlockPublicAcls")).status ==
        200);
    for (unsigned i = 0; i < ARRAY_LEN(headers) * ARRAY_LEN(targets); i++) {
        const char *target = targets[i / ARRAY_LEN(headers)];
        const char *const *h = headers[i % ARRAY_LEN(headers)];
        struct answer a =
            ASK(d, strstr(target, "uploads") ? "POST" : "PUT", target,
                strstr(target, "new") ? STR("x") : STR_NULL, .headers = {{h[0], h[1]}});
        CHECK(a.status == 403 && str_eq(a.code, STR("AccessDenied")));
    }
    CHECK(put_document(d, "/bucket/k?acl", OWNER_KEY, POLICY("owner", GRANT(TO_ALL, "READ")))
              .status == 403);
    put_acl(d, "/bucket/k?acl", "x-amz-grant-read", "id=other");
    CHECK(as(d, OTHER_KEY, "GET", "/bucket/k") == 200);
    return 0;
}

DOOR_CASE(public_grants_are_ignored_where_they_shall_be)
{
    set_up(d);
    CHECK(ASK(d, "PUT", "/bucket/k?acl",
              .headers = {{"x-amz-grant-read", "uri=" ALL_USERS ",id=other"}})
              .status == 200);
    put_acl(d, "/bucket?acl", "x-amz-acl", "public-read");
    CHECK(as(d, NULL, "GET", "/bucket/k") == 200 && as(d, NULL, "GET", "/bucket") == 200);
    CHECK(
        put_document(d, "/bucket?publicAccessBlock", OWNER_KEY, BLOCK("IgnorePublicAcls")).status ==
        200);
    CHECK(as(d, NULL, "GET", "/bucket/k") == 403 && as(d, NULL, "GET", "/bucket") == 403);
    CHECK(as(d, OTHER_KEY, "GET", "/bucket") == 403);
    CHECK(as(d, OTHER_KEY, "GET", "/bucket/k") == 200); /* named, so not public */
    return 0;
}

DOOR_CASE(deny_wins_over_every_grant)
{
    set_up(d);
    put_acl(d, "/bucket/k?acl", "x-amz-acl", "public-read");
    CHECK(as(d, NULL, "GET", "/bucket/k") == 200 && as(d, OTHER_KEY, "GET", "/bucket/k") == 200);
    CHECK(put_document(d, "/bucket?policy", OWNER_KEY,
                       "{\"Statement\":{\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":"
                       "[\"s3:GetObject\",\"s3:PutObjectAcl\"],\"Resource\":"
                       "\"arn:aws:s3:::bucket/*\"}}")
              .status == 204);
    CHECK(as(d, NULL, "GET", "/bucket/k") == 403 && as(d, OTHER_KEY, "GET", "/bucket/k") == 403);
    CHECK(as(d, OWNER_KEY, "PUT", "/bucket/plain") == 200);
    CHECK(
        ASK(d, "PUT", "/bucket/open", STR("x"), .headers = {{"x-amz-acl", "public-read"}}).status ==
        403); /* it takes s3:PutObjectAcl */
    return 0;
}

static int damage(const struct store_object *o, struct store_attrs *attrs, void *arg)
{
    attrs->acl = *(struct str *)arg;
    return 0;
}

DOOR_CASE(a_list_that_cannot_be_read_grants_nothing)
{
    static const struct str bad[] = {{"\x02\x11", 2}, {"\x01\x11\xff", 3}, {"\x01\x10", 2}};
    struct store_bucket b;
    struct store_written written;
    set_up(d);
    CHECK(store_bucket_get(d->home.store, &d->home.arena, STR("bucket"), &b) == 0);
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        put_acl(d, "/bucket/k?acl", "x-amz-acl", "public-read");
        put_acl(d, "/bucket?acl", "x-amz-acl", "public-read");
        CHECK(as(d, NULL, "GET", "/bucket/k") == 200 && as(d, NULL, "GET", "/bucket") == 200);
        CHECK(store_setting_put(d->home.store, b.id, STORE_SETTING_ACL, bad[i]) == 0);
        CHECK(store_change_attrs(d->home.store, b.id, STR("k"), STORE_CURRENT, NULL, false, damage,
                                 (void *)&bad[i], &written) == 0);
        CHECK(as(d, NULL, "GET", "/bucket/k") == 403 && as(d, NULL, "GET", "/bucket") == 403);
        CHECK(as(d, OTHER_KEY, "GET", "/bucket/k") == 403);
        CHECK(as(d, OWNER_KEY, "GET", "/bucket/k?acl") == 500);
        CHECK(as(d, OWNER_KEY, "GET", "/bucket/k") == 200); /* its owner can repair it */
    }
    store_bucket_release(&b);
    return 0;
}

DOOR_CASE(what_is_wrong_with_a_list_is_told)
{
    static const struct {
        const char *body;
        int status;
        const char *code;
    } cases[] = {
        {"<AccessControlPolicy>", 400, "MalformedACLError"},
        {POLICY("owner", GRANT(TO_OTHER, "EVERYTHING")), 400, "MalformedACLError"},
        {POLICY("owner", GRANT("<ID>nobody</ID>", "READ")), 400, "InvalidArgument"},
        {POLICY("owner", GRANT("<URI>nowhere</URI>", "READ")), 400, "InvalidArgument"},
        {POLICY("owner", GRANT("<EmailAddress>a@b</EmailAddress>", "READ")), 400,
         "UnresolvableGrantByEmailAddress"},
        {POLICY("other", GRANT(TO_OTHER, "READ")), 403, "AccessDenied"},
        {POLICY("owner", GRANT(TO_OTHER, "READ")), 200, ""},
    };
    static const char *const targets[] = {"/bucket?acl", "/bucket/k?acl"};
    set_up(d);
    for (unsigned i = 0; i < 2 * ARRAY_LEN(cases); i++) {
        struct answer a = put_document(d, targets[i % 2], OWNER_KEY, cases[i / 2].body);
        CHECK(a.status == cases[i / 2].status && str_eq(a.code, str_from(cases[i / 2].code)));
    }
    for (unsigned i = 0; i < 2; i++) {
        struct answer a = ASK(d, "PUT", targets[i]);
        CHECK(a.status == 400 && str_eq(a.code, STR("MissingSecurityHeader")));
        a = ASK(d, "PUT", targets[i], STR(POLICY("owner", "")),
                .headers = {{"x-amz-acl", "private"}});
        CHECK(a.status == 400 && str_eq(a.code, STR("UnexpectedContent")));
        a = ASK(d, "PUT", targets[i], STR(POLICY("owner", ""))); /* without a digest */
        CHECK(a.status == 200);
        a = ASK(d, "PUT", targets[i],
                .headers = {{"x-amz-acl", "private"}, {"x-amz-grant-read", "id=other"}});
        CHECK(a.status == 400 && str_eq(a.code, STR("InvalidRequest")));
        a = ASK(d, "PUT", targets[i], .headers = {{"x-amz-grant-read", "id=\"other"}});
        CHECK(a.status == 400 && str_eq(a.code, STR("InvalidArgument")));
    }
    CHECK(as(d, OWNER_KEY, "GET", "/bucket/absent?acl") == 404);
    CHECK(ASK(d, "PUT", "/bucket/absent?acl", .headers = {{"x-amz-acl", "private"}}).status == 404);
    return 0;
}

static void FIBER add_mailed_user(struct door *d, const char *name)
{
    struct iam_user user;
    struct iam_user_spec spec = {.name = str_from(name),
                                 .access_key = str_from(name),
                                 .secret_key = STR(SECRET),
                                 .user_id = str_from(name),
                                 .email = STR("Some.One@example.com")};
    CHECK(iam_user_add(d->iam, &d->arena, &spec, &user) == 0);
}

DOOR_CASE(an_address_stands_for_its_account)
{
    set_up(d);
    add_mailed_user(d, "mailed");
    put_acl(d, "/bucket/k?acl", "x-amz-grant-read", "emailAddress=\"some.one@example.com\"");
    CHECK(ASK(d, "GET", "/bucket/k", .access_key = "mailed").status == 200);
    struct answer a = ASK(d, "GET", "/bucket/k?acl");
    CHECK(str_find(a.body, STR("<ID>mailed</ID>"), 0) > 0);
    CHECK(str_find(a.body, STR("example.com"), 0) < 0);
    add_mailed_user(d, "mailed-too");
    a = ASK(d, "PUT", "/bucket/k?acl",
            .headers = {{"x-amz-grant-read", "emailAddress=some.one@example.com"}});
    CHECK(a.status == 400 && str_eq(a.code, STR("AmbiguousGrantByEmailAddress")));
    return 0;
}

DOOR_CASE(a_bucket_is_made_with_its_list_and_its_controls)
{
    struct answer a = ASK(d, "PUT", "/bucket",
                          .headers = {{"x-amz-acl", "public-read"},
                                      {"x-amz-object-ownership", "BucketOwnerEnforced"}});
    CHECK(a.status == 400 && str_eq(a.code, STR("InvalidBucketAclWithObjectOwnership")));
    CHECK(as(d, OWNER_KEY, "HEAD", "/bucket") == 404);
    a = ASK(d, "PUT", "/bucket",
            .headers = {{"x-amz-acl", "public-read"}, {"x-amz-object-ownership", "ObjectWriter"}});
    CHECK(a.status == 200);
    CHECK(as(d, NULL, "GET", "/bucket") == 200);
    CHECK(told(d, "/bucket?acl", OWNER_KEY, "owner", 2));
    a = ASK(d, "GET", "/bucket?ownershipControls");
    CHECK(str_eq(element_of(&a, "ObjectOwnership"), STR("ObjectWriter")));
    CHECK(as(d, OWNER_KEY, "PUT", "/bucket") == 200); /* anew in us-east-1: the list is reset */
    CHECK(as(d, NULL, "GET", "/bucket") == 403);
    a = ASK(d, "PUT", "/bucket", .access_key = OTHER_KEY,
            .headers = {{"x-amz-acl", "public-read"}});
    CHECK(a.status == 409 && as(d, NULL, "GET", "/bucket") == 403);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(canned_names_are_these_grants),
        cmocka_unit_test(grant_headers_are_read),
        cmocka_unit_test(a_list_has_a_hundred_grants_at_most),
        cmocka_unit_test(bodies_that_are_no_list_are_malformed),
        cmocka_unit_test(what_is_kept_is_what_came_with_groups_first),
        cmocka_unit_test(grants_are_to_whom_they_name),
        cmocka_unit_test(a_grant_opens_its_operations_and_no_other),
        cmocka_unit_test(a_copy_needs_a_grant_on_both_sides),
        cmocka_unit_test(who_writes_an_object_owns_it),
        cmocka_unit_test(an_owner_that_is_preferred_gets_what_is_given_to_it),
        cmocka_unit_test(an_owner_that_is_enforced_has_no_lists),
        cmocka_unit_test(public_lists_are_refused_where_they_are_blocked),
        cmocka_unit_test(public_grants_are_ignored_where_they_shall_be),
        cmocka_unit_test(deny_wins_over_every_grant),
        cmocka_unit_test(a_list_that_cannot_be_read_grants_nothing),
        cmocka_unit_test(what_is_wrong_with_a_list_is_told),
        cmocka_unit_test(an_address_stands_for_its_account),
        cmocka_unit_test(a_bucket_is_made_with_its_list_and_its_controls),
    };
    return cmocka_run_group_tests(tests, set_up_arena, tear_down_arena);
}
