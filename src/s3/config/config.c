/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Configurations of buckets: Get, Put and Delete of each, from one table. A document is validated
 * when it is put and kept in one canonical form, so that reading it back is handing it out.
 */

#include "s3/body.h"
#include "s3/config/config.h"

static int canonical_tagging(struct s3_request *q, struct str body, struct buf *ret)
{
    struct s3_tags tags;
    struct s3_tags_fault fault;
    int r = s3_tags_parse_xml(q->arena, body, S3_BUCKET_TAGS_MAX, &tags, &fault);
    if (r)
        return s3_explain_tags(q, r, &fault);
    if (tags.count) /* none is as if they were deleted */
        s3_tags_xml(ret, tags.pairs, tags.count);
    return 0;
}

/* <NAME><RULE?><CHILD>word</CHILD>…: the one word of the document, which must be among `words`. */
static int read_word(struct s3_request *q, struct str body, const char *const *path,
                     const char *const *words, struct str *ret)
{
    struct xml_node *root;
    int r = xml_parse(q->arena, body, 16, &root);
    if (r)
        return r == -ERR_MAX_MESSAGE_LENGTH ? -ERR_MALFORMED_XML : r;
    const struct xml_node *n = root;
    for (; path[1]; path++) {
        if (!str_eq(n->name, str_from(path[0])) || !n->first_child || n->first_child->next)
            return -ERR_MALFORMED_XML;
        n = n->first_child;
    }
    if (!str_eq(n->name, str_from(path[0])) || n->first_child)
        return -ERR_MALFORMED_XML;
    *ret = str_trim(n->text);
    for (; *words; words++)
        if (str_eq(*ret, str_from(*words)))
            return 0;
    return -ERR_MALFORMED_XML;
}

static void put_acceleration(struct buf *b, struct str status)
{
    xml_begin(b);
    xml_open_ns(b, "AccelerateConfiguration", S3_XMLNS);
    if (status.len)
        xml_element(b, "Status", status);
    xml_close(b, "AccelerateConfiguration");
}

/* There are no edge locations to go by: it can be off, and nothing else. */
static int canonical_acceleration(struct s3_request *q, struct str body, struct buf *ret)
{
    static const char *const path[] = {"AccelerateConfiguration", "Status", NULL};
    static const char *const words[] = {"Suspended", "Enabled", NULL};
    struct str status;
    int r = read_word(q, body, path, words, &status);
    if (!r && str_eq(status, STR("Enabled")))
        return s3_error(q, -ERR_NOT_IMPLEMENTED, "There is no transfer acceleration here");
    if (!r)
        put_acceleration(ret, status);
    return r;
}

#define BUCKET_OWNER "BucketOwner"
#define REQUESTER    "Requester"

static void put_payer(struct buf *b, struct str payer)
{
    xml_begin(b);
    xml_open_ns(b, "RequestPaymentConfiguration", S3_XMLNS);
    xml_element(b, "Payer", payer);
    xml_close(b, "RequestPaymentConfiguration");
}

static int canonical_payment(struct s3_request *q, struct str body, struct buf *ret)
{
    static const char *const path[] = {"RequestPaymentConfiguration", "Payer", NULL};
    static const char *const words[] = {BUCKET_OWNER, REQUESTER, NULL};
    struct str payer;
    int r = read_word(q, body, path, words, &payer);
    if (!r)
        put_payer(ret, payer);
    return r;
}

/* Whoever is not the owner must say that they know: x-amz-request-payer (User Guide, "Using
 * Requester Pays"). Nobody is charged anything here. */
int s3_check_payer(struct s3_request *q, const struct store_bucket *bucket)
{
    const struct store_setting *s =
        store_setting_of(bucket->settings, STORE_SETTING_REQUEST_PAYMENT);
    if (!s || str_find(s->text, STR(">" REQUESTER "<"), 0) < 0)
        return 0;
    if (q->signed_in && (q->who.root || str_eq(q->who.account, bucket->owner)))
        return 0;
    struct str payer = s3_header(q, STR("x-amz-request-payer"));
    if (!payer.ptr)
        payer = s3_param(q, "x-amz-request-payer");
    if (!q->signed_in || !str_eq_nocase(payer, STR("requester")))
        return -ERR_ACCESS_DENIED;
    (void)http_set_header(q->x, "x-amz-request-charged", STR("requester"));
    return 0;
}

static const char *const ownerships[] = {"BucketOwnerEnforced", "BucketOwnerPreferred",
                                         "ObjectWriter", NULL};

void s3_ownership_xml(struct buf *b, struct str word)
{
    xml_begin(b);
    xml_open_ns(b, "OwnershipControls", S3_XMLNS);
    xml_open(b, "Rule");
    xml_element(b, "ObjectOwnership", word);
    xml_close(b, "Rule");
    xml_close(b, "OwnershipControls");
}

static int canonical_ownership(struct s3_request *q, struct str body, struct buf *ret)
{
    static const char *const path[] = {"OwnershipControls", "Rule", "ObjectOwnership", NULL};
    struct str word;
    int r = read_word(q, body, path, ownerships, &word);
    if (!r && str_eq(word, STR("BucketOwnerEnforced")) && !s3_acl_is_only_owners(&q->bucket))
        r = -ERR_BUCKET_ACL_WITH_OWNERSHIP;
    if (!r)
        s3_ownership_xml(ret, word);
    return r;
}

bool s3_ownership_is_word(struct str word)
{
    for (unsigned i = 0; ownerships[i]; i++)
        if (str_eq(word, str_from(ownerships[i])))
            return true;
    return false;
}

int FIBER s3_ownership_read(struct s3_request *q, struct str *ret)
{
    struct store_bucket future = {.name = q->bucket_name, .owner = q->who.account};
    struct str word = s3_header(q, STR("x-amz-object-ownership"));
    *ret = q->s3->object_ownership.len ? q->s3->object_ownership : STR_NULL;
    if (!word.ptr)
        return 0;
    struct str told =
        arena_printf(q->arena, "Invalid x-amz-object-ownership header: %.*s", STR_FMT(word));
    if (!s3_ownership_is_word(word))
        return s3_error_argument(q, "x-amz-object-ownership", STR_NULL, arena_cstr(q->arena, told));
    *ret = word;
    return s3_authorise(q, "s3:PutBucketOwnershipControls", &future, STR_NULL);
}

static void no_acceleration(struct buf *b)
{
    put_acceleration(b, STR(""));
}

static void owner_pays(struct buf *b)
{
    put_payer(b, STR(BUCKET_OWNER));
}

static const struct s3_config_kind configs[] = {
    {"accelerate", STORE_SETTING_ACCELERATE, 0, canonical_acceleration,
     .otherwise = no_acceleration, .undigested = true},
    {"cors", STORE_SETTING_CORS, -ERR_NO_SUCH_CORS, s3_canonical_cors},
    {"encryption", STORE_SETTING_ENCRYPTION, -ERR_NO_SUCH_ENCRYPTION, s3_canonical_encryption},
    {"lifecycle", STORE_SETTING_LIFECYCLE, -ERR_NO_SUCH_LIFECYCLE, s3_canonical_lifecycle,
     .shown = s3_shown_lifecycle},
    {"ownershipControls", STORE_SETTING_OWNERSHIP_CONTROLS, -ERR_NO_OWNERSHIP_CONTROLS,
     canonical_ownership},
    {"requestPayment", STORE_SETTING_REQUEST_PAYMENT, 0, canonical_payment, .otherwise = owner_pays,
     .undigested = true},
    {"website", STORE_SETTING_WEBSITE, -ERR_NO_SUCH_WEBSITE, s3_canonical_website,
     .undigested = true},
    {"publicAccessBlock", STORE_SETTING_PUBLIC_ACCESS_BLOCK, -ERR_NO_SUCH_PUBLIC_ACCESS_BLOCK,
     s3_canonical_public_access},
    {"tagging", STORE_SETTING_TAGGING, -ERR_NO_SUCH_TAG_SET, canonical_tagging, .put_status = 204},
};

/* The row of the operation's sub-resource: every operation that leads here has one. */
static const struct s3_config_kind *config_of(const struct s3_request *q)
{
    for (unsigned i = 0; i < ARRAY_LEN(configs); i++)
        if (strcmp(q->op->query, configs[i].query) == 0)
            return &configs[i];
    CHECK(!"a configuration without a row");
    return NULL;
}

int FIBER s3_put_bucket_config(struct s3_request *q)
{
    _cleanup_buf_ struct buf b;
    const struct s3_config_kind *c = config_of(q);
    struct str body;
    buf_init(&b, STORE_SETTING_MAX);
    int r = c->undigested ? s3_body_all(q, 0, &body, NULL) : s3_body_config(q, &body);
    if (!r)
        r = c->canonical(q, body, &b);
    if (!r)
        r = buf_error(&b);
    if (!r)
        r = buf_str(&b).len ? store_setting_put(q->s3->store, q->bucket.id, c->kind, buf_str(&b))
                            : store_setting_delete(q->s3->store, q->bucket.id, c->kind);
    return r ? r : s3_respond_empty(q, c->put_status ? c->put_status : 200);
}

static int FIBER respond_shown(struct s3_request *q, const struct s3_config_kind *c)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    int r = c->shown(q, &b);
    return r ? r : s3_respond_xml(q, &b);
}

static int FIBER respond_default(struct s3_request *q, const struct s3_config_kind *c)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    c->otherwise(&b);
    return s3_respond_xml(q, &b);
}

int FIBER s3_get_bucket_config(struct s3_request *q)
{
    const struct s3_config_kind *c = config_of(q);
    const struct store_setting *s = store_setting_of(q->bucket.settings, c->kind);
    if (!s && c->absent)
        return c->absent;
    if (!s)
        return respond_default(q, c);
    if (c->shown)
        return respond_shown(q, c);
    (void)http_set_header(q->x, "Content-Type", STR("application/xml"));
    return http_respond(q->x, 200, s->text);
}

int FIBER s3_delete_bucket_config(struct s3_request *q)
{
    int r = store_setting_delete(q->s3->store, q->bucket.id, config_of(q)->kind);
    return r ? r : s3_respond_empty(q, 204);
}
