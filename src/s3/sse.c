/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * What requests ask for, and the keys. The answer's headers are at the end.
 *
 * A customer's key is in memory from the moment its header is decoded until the data key is made
 * or opened, then wiped; nothing of it is kept. Whether it is the right one is told by the seal,
 * which opens with no other.
 */

#include "s3/sse.h"
#include "base/encode.h"
#include "base/log.h"
#include "base/md5.h"
#include "kms/kms.h"
#include "s3/config/config.h"
#include "s3/config/encryption.h"
#include "s3/context.h"
#include "wire/json.h"
#include <jansson.h>

#define SSE       "x-amz-server-side-encryption"
#define SSE_KEY   "x-amz-server-side-encryption-aws-kms-key-id"
#define SSE_TEXT  "x-amz-server-side-encryption-context"
#define SSE_SHARE "x-amz-server-side-encryption-bucket-key-enabled"

void s3_sse_release(struct s3_sse *sse)
{
    explicit_bzero(sse, sizeof(*sse));
}

void s3_data_key_release(struct s3_data_key *k)
{
    explicit_bzero(k, sizeof(*k));
}

/* ---- the customer's key --------------------------------------------------------------------- */

struct customer_headers {
    const char *algorithm, *key, *md5;
};
static const struct customer_headers customer[2] = {
    {"x-amz-server-side-encryption-customer-algorithm", "x-amz-server-side-encryption-customer-key",
     "x-amz-server-side-encryption-customer-key-md5"},
    {"x-amz-copy-source-server-side-encryption-customer-algorithm",
     "x-amz-copy-source-server-side-encryption-customer-key",
     "x-amz-copy-source-server-side-encryption-customer-key-md5"},
};

static int wrong_argument(struct s3_request *q, const char *name, const char *message)
{
    return s3_error_argument(q, name, STR_NULL, message); /* never with the value */
}

static int check_transport(struct s3_request *q)
{
    if (http_is_tls(q->x) || q->s3->insecure_sse_c)
        return 0;
    return s3_error(q, -ERR_INVALID_REQUEST,
                    "Requests specifying Server Side Encryption with Customer provided keys must "
                    "be made over a secure connection.");
}

static int check_key_md5(struct s3_request *q, const struct customer_headers *h,
                         const uint8_t key[CRYPT_KEY_LEN])
{
    uint8_t told[HASH_MD5_LEN + 3], md5[HASH_MD5_LEN];
    struct str text = s3_header(q, str_from(h->md5));
    size_t len = 0;
    if (!text.ptr)
        return wrong_argument(q, h->md5,
                              "Requests specifying Server Side Encryption with Customer provided "
                              "keys must provide the client calculated MD5 of the secret key.");
    md5_of(str_make(key, CRYPT_KEY_LEN), md5);
    if (base64_decode(text, told, sizeof(told), &len) || len != sizeof(md5) ||
        !str_eq_secret(str_make(told, len), str_make(md5, sizeof(md5))))
        return wrong_argument(q, h->md5,
                              "The calculated MD5 hash of the key did not match the hash that was "
                              "provided.");
    return 0;
}

static int decode_key(struct s3_request *q, const struct customer_headers *h, struct str text,
                      uint8_t ret_key[CRYPT_KEY_LEN])
{
    uint8_t key[CRYPT_KEY_LEN + 3];
    size_t len = 0;
    int r =
        base64_decode(text, key, sizeof(key), &len) || len != CRYPT_KEY_LEN
            ? wrong_argument(q, h->key, "The secret key was invalid for the specified algorithm.")
            : check_key_md5(q, h, key);
    if (!r)
        memcpy(ret_key, key, CRYPT_KEY_LEN);
    explicit_bzero(key, sizeof(key));
    return r;
}

/* *ret_given false: no such header is there. */
static int read_customer(struct s3_request *q, bool source, uint8_t ret_key[CRYPT_KEY_LEN],
                         bool *ret_given)
{
    const struct customer_headers *h = &customer[source];
    struct str algorithm = s3_header(q, str_from(h->algorithm));
    struct str key = s3_header(q, str_from(h->key));
    *ret_given = algorithm.ptr || key.ptr || s3_header(q, str_from(h->md5)).ptr;
    if (!*ret_given)
        return 0;
    int r = check_transport(q);
    if (r)
        return r;
    if (!algorithm.ptr)
        return wrong_argument(q, h->algorithm,
                              "Requests specifying Server Side Encryption with Customer provided "
                              "keys must provide a valid encryption algorithm.");
    if (!str_eq(algorithm, STR("AES256")))
        return -ERR_ENCRYPTION_ALGORITHM;
    if (!key.ptr)
        return wrong_argument(q, h->key,
                              "Requests specifying Server Side Encryption with Customer provided "
                              "keys must provide an appropriate secret key.");
    return decode_key(q, h, key, ret_key);
}

/* ---- what the headers ask for ---------------------------------------------------------------- */

/* An object of texts, in one form: what is bound to the key must not hang on the order of members.
 */
static int canonical_context(struct s3_request *q, struct str text, struct str *ret)
{
    size_t len = 0;
    char *bytes = arena_alloc(q->arena, text.len + 1);
    if (!bytes)
        return -ENOMEM;
    json_t *o = base64_decode(text, bytes, text.len, &len) ? NULL : json_read(str_make(bytes, len));
    bool ok = json_is_object(o);
    const char *name;
    json_t *value;
    json_object_foreach(o, name, value) ok = ok && json_is_string(value);
    _cleanup_free_ char *dumped = ok ? json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(o);
    if (!dumped || strlen(dumped) > SEAL_CONTEXT_MAX)
        return wrong_argument(q, SSE_TEXT,
                              "The header must be the base64 of a JSON object of strings.");
    *ret = arena_dup(q->arena, str_from(dumped));
    return ret->ptr ? 0 : -ENOMEM;
}

static int read_kms(struct s3_request *q, struct s3_sse *sse)
{
    struct str context = s3_header(q, STR(SSE_TEXT)), share = s3_header(q, STR(SSE_SHARE));
    sse->kind = SEAL_KMS;
    sse->name = s3_header(q, STR(SSE_KEY));
    if (sse->name.ptr && !keyring_name_is_valid(kms_plain_name(sse->name)))
        return wrong_argument(q, SSE_KEY, "Invalid KMS keyId");
    if (sse->name.len > SEAL_NAME_MAX)
        return wrong_argument(q, SSE_KEY, "Invalid KMS keyId");
    if (share.ptr && !str_eq_nocase(share, STR("true")) && !str_eq_nocase(share, STR("false")))
        return wrong_argument(q, SSE_SHARE, "The value must be true or false.");
    sse->share_said = share.ptr != NULL;
    sse->bucket_key = str_eq_nocase(share, STR("true"));
    return context.ptr ? canonical_context(q, context, &sse->context) : 0;
}

static int read_named(struct s3_request *q, struct str method, struct s3_sse *sse)
{
    if (str_eq(method, STR("aws:kms:dsse")))
        return s3_error(q, -ERR_NOT_IMPLEMENTED, "Dual-layer encryption is not implemented");
    if (str_eq(method, STR("aws:kms")))
        return read_kms(q, sse);
    if (!str_eq(method, STR("AES256")))
        return s3_error_argument(q, SSE, method,
                                 "The encryption method specified is not supported");
    sse->kind = SEAL_S3;
    return s3_header(q, STR(SSE_KEY)).ptr
               ? wrong_argument(q, SSE_KEY,
                                "Server Side Encryption with AWS KMS managed key requires HTTP "
                                "header x-amz-server-side-encryption : aws:kms")
               : 0;
}

static int read_headers(struct s3_request *q, struct s3_sse *sse)
{
    struct str method = s3_header(q, STR(SSE));
    bool customers;
    int r = read_customer(q, false, sse->customer_key, &customers);
    if (r)
        return r;
    sse->asked = customers || method.ptr;
    if (customers && method.ptr)
        return wrong_argument(q, SSE,
                              "Server Side Encryption with Customer provided key is incompatible "
                              "with the encryption method specified");
    if (customers)
        sse->kind = SEAL_C;
    else if (method.ptr)
        return read_named(q, method, sse);
    if (s3_header(q, STR(SSE_KEY)).ptr || s3_header(q, STR(SSE_TEXT)).ptr)
        return wrong_argument(q, SSE_KEY,
                              "Server Side Encryption with AWS KMS managed key requires HTTP "
                              "header x-amz-server-side-encryption : aws:kms");
    return 0;
}

/* ---- the bucket's default -------------------------------------------------------------------- */

static int parse(struct arena *a, struct str text, void *made)
{
    struct str why;
    return s3_encryption_parse(a, text, made, &why);
}

/* NULL: the bucket has none. */
static int default_of(const struct store_bucket *b, const struct s3_encryption **ret)
{
    const void *made;
    int r = store_setting_made(b->settings, STORE_SETTING_ENCRYPTION, sizeof(**ret), parse, &made);
    *ret = r ? NULL : made;
    return r;
}

int s3_canonical_encryption(struct s3_request *q, struct str body, struct buf *ret)
{
    struct s3_encryption e;
    struct str why;
    int r = s3_encryption_parse(q->arena, body, &e, &why);
    if (r && why.ptr)
        return s3_error_argument(q, "ApplyServerSideEncryptionByDefault", STR_NULL, why.ptr);
    if (!r && e.name.ptr && !keyring_name_is_valid(kms_plain_name(e.name)))
        return s3_error(q, -ERR_INVALID_ARGUMENT, "Invalid KMS keyId");
    if (!r)
        s3_encryption_xml(ret, &e);
    return r;
}

/* What the bucket says, where the request left it open. */
static int apply_default(struct s3_request *q, const struct s3_encryption *e, struct s3_sse *sse)
{
    if (e && sse->kind == SEAL_C && e->blocks_customers)
        return -ERR_ACCESS_DENIED;
    if (sse->kind == SEAL_NONE && e) {
        sse->kind = e->kind;
        sse->name = e->name;
        sse->bucket_key = e->bucket_key;
    } else if (sse->kind == SEAL_KMS && e && e->bucket_key && !sse->share_said) {
        sse->bucket_key = true;
    }
    if (sse->kind == SEAL_NONE && q->s3->encrypt_all)
        sse->kind = SEAL_S3;
    if (sse->kind == SEAL_S3)
        sse->name = KMS_KEY_S3;
    else if (sse->kind == SEAL_KMS && !sse->name.len)
        sse->name = KMS_KEY_DEFAULT;
    return 0;
}

int s3_sse_read(struct s3_request *q, struct s3_sse *ret)
{
    const struct s3_encryption *e;
    *ret = (struct s3_sse){0};
    int r = read_headers(q, ret);
    if (!r)
        r = default_of(&q->bucket, &e);
    return r ? r : apply_default(q, e, ret);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static struct kms_use use_of(const struct seal *s, struct bucket_id bucket)
{
    return (struct kms_use){
        .name = s->name,
        .context = s->context,
        .bucket = bucket,
        .shared = s->bucket_key || s->kind == SEAL_S3,
    };
}

static int explain_service(struct s3_request *q, int err, struct str name)
{
    if (err == -ERR_KMS_NOT_FOUND)
        return s3_error(q, err, "Key '%.*s' does not exist", STR_FMT(name));
    if (err == -ERR_KEY_LOST || err == -ERR_WRONG_KEY)
        log_event(LOG_ERROR, "a master key is missing",
                  "%.*s/%.*s needs '%.*s', which %s has not, or not in that version; put the key "
                  "file back that was lost (docs/OPERATIONS.md, \"Encryption keys\")",
                  STR_FMT(q->bucket_name), STR_FMT(q->key), STR_FMT(name), kms_source(q->s3->kms));
    return err;
}

/* AWS's service of keys serves nobody who has not signed; by version 4, it says, but whoever starts
 * the server with --sigv2 wants version 2 to do. Services of ours ask without a request. */
static int check_signature(struct s3_request *q, const struct seal *s)
{
    if (s->kind != SEAL_KMS || !q->head || q->signed_in)
        return 0;
    return s3_error_argument(q, "Authorization", STR("null"),
                             "Requests specifying Server Side Encryption with AWS KMS managed keys "
                             "require AWS Signature Version 4.");
}

/*
 * Keys of SSE-KMS have no policies of their own: who may write or read the object may have it done,
 * unless a policy of theirs denies it the key. Services of ours ask for nobody.
 */
static int FIBER judge_key(struct s3_request *q, const struct seal *s, const char *action)
{
    struct str plain = kms_plain_name(s->name);
    struct s3_context c = {.q = q, .bucket = &q->bucket, .key = q->key, .version = q->version};
    struct iam_decision why = {.outcome = IAM_EXPLICIT_DENY};
    struct iam_access a = {.who = &q->who,
                           .action = str_from(action),
                           .arn = arena_printf(q->arena, "arn:aws:kms:%.*s::key/%.*s",
                                               STR_FMT(q->s3->region), STR_FMT(plain)),
                           .alias_arn =
                               arena_printf(q->arena, "arn:minio:kms:::%.*s", STR_FMT(plain)),
                           .context = s3_context_value,
                           .context_arg = &c};
    if (!q->signed_in || s->kind != SEAL_KMS)
        return 0;
    if (!a.arn.ptr || !a.alias_arn.ptr)
        return -ENOMEM;
    int r = iam_authorise(q->s3->iam, &a, &why);
    return r == -ERR_ACCESS_DENIED && why.outcome == IAM_IMPLICIT_DENY ? 0 : r;
}

static int wrap_data_key(struct s3_request *q, struct seal *s, const uint8_t *by,
                         const struct s3_data_key *k, struct str *ret_seal)
{
    _cleanup_buf_ struct buf b;
    uint8_t salt[WRAP_SALT_LEN];
    buf_init(&b, 0);
    rt_random(salt, sizeof(salt));
    int r = seal_wrap(s, q->bucket.id, q->key, by, salt, k->bytes);
    if (r)
        return r;
    seal_pack(s, &b);
    *ret_seal = buf_error(&b) ? STR_NULL : arena_dup(q->arena, buf_str(&b));
    return ret_seal->ptr ? 0 : -ENOMEM;
}

/* By a new middle key of the service. */
static int FIBER wrap_by_service(struct s3_request *q, struct seal *s, const struct s3_data_key *k,
                                 struct str *ret_seal)
{
    uint8_t middle[CRYPT_KEY_LEN];
    struct kms_use use = use_of(s, q->bucket.id);
    int r = check_signature(q, s);
    if (!r)
        r = judge_key(q, s, "kms:GenerateDataKey");
    if (r)
        return r;
    r = kms_new_key(q->s3->kms, &use, q->arena, middle, &s->middle);
    r = r ? explain_service(q, r, s->name) : wrap_data_key(q, s, middle, k, ret_seal);
    explicit_bzero(middle, sizeof(middle));
    return r;
}

int FIBER s3_sse_make(struct s3_request *q, const struct s3_sse *sse, struct s3_data_key *ret,
                      struct str *ret_seal)
{
    struct seal s = {.kind = sse->kind, .context = sse->context};
    *ret = (struct s3_data_key){.present = sse->kind != SEAL_NONE};
    *ret_seal = STR_NULL;
    if (!ret->present)
        return 0;
    rt_random(ret->bytes, sizeof(ret->bytes));
    if (sse->kind == SEAL_C)
        return wrap_data_key(q, &s, sse->customer_key, ret, ret_seal);
    s.name = sse->name;
    s.bucket_key = sse->bucket_key;
    return wrap_by_service(q, &s, ret, ret_seal);
}

int FIBER s3_sse_begin(struct s3_request *q, struct s3_data_key *ret, struct str *ret_seal)
{
    _cleanup_sse_ struct s3_sse sse = {0};
    int r = s3_sse_read(q, &sse);
    return r ? r : s3_sse_make(q, &sse, ret, ret_seal);
}

int FIBER s3_sse_begin_unasked(struct s3_request *q, enum seal_kind kind, struct str name,
                               struct s3_data_key *ret, struct str *ret_seal)
{
    _cleanup_sse_ struct s3_sse sse = {.kind = kind, .name = name};
    const struct s3_encryption *e;
    int r = default_of(&q->bucket, &e);
    if (!r)
        r = apply_default(q, e, &sse);
    return r ? r : s3_sse_make(q, &sse, ret, ret_seal);
}

bool s3_sse_is_customers(struct str seal)
{
    struct seal s;
    return seal.len && seal_parse(seal, &s) == 0 && s.kind == SEAL_C;
}

bool s3_sse_is_already(const struct s3_sse *sse, struct str seal)
{
    struct seal s;
    if (seal.len == 0 || sse->kind == SEAL_NONE)
        return seal.len == 0 && sse->kind == SEAL_NONE;
    return seal_parse(seal, &s) == 0 && s.kind == sse->kind && s.kind != SEAL_C &&
           str_eq(s.name, sse->name) && str_eq(s.context, sse->context) &&
           s.bucket_key == sse->bucket_key;
}

static int unfit(struct s3_request *q)
{
    return s3_error(q, -ERR_INVALID_REQUEST,
                    "The object was stored using a form of Server Side Encryption. The correct "
                    "parameters must be provided to retrieve the object.");
}

static int FIBER open_customers(struct s3_request *q, const struct seal *s, struct bucket_id bucket,
                                struct str key, const uint8_t *customer_key,
                                struct s3_data_key *ret)
{
    int r = seal_unwrap(s, bucket, key, customer_key, ret->bytes);
    if (r == -ERR_WRONG_KEY)
        return s3_error(q, -ERR_INVALID_REQUEST,
                        "The provided encryption parameters did not match the ones used "
                        "originally.");
    return r;
}

static int FIBER open_service(struct s3_request *q, const struct seal *s, struct bucket_id bucket,
                              struct str key, struct s3_data_key *ret)
{
    uint8_t middle[CRYPT_KEY_LEN];
    struct kms_use use = use_of(s, bucket);
    int r = judge_key(q, s, "kms:Decrypt");
    if (r)
        return r;
    r = kms_open_key(q->s3->kms, &use, s->middle, middle);
    if (!r)
        r = seal_unwrap(s, bucket, key, middle, ret->bytes);
    explicit_bzero(middle, sizeof(middle));
    return r ? explain_service(q, r, s->name) : 0;
}

/* `only_customers`: other seals are not opened, and *ret is not there. */
static int FIBER open_seal(struct s3_request *q, struct bucket_id bucket, struct str key,
                           struct str packed, bool source, bool only_customers,
                           struct s3_data_key *ret)
{
    struct s3_sse given = {0};
    struct seal s = {.kind = SEAL_NONE};
    bool customers;
    *ret = (struct s3_data_key){0};
    int r = read_customer(q, source, given.customer_key, &customers);
    if (!r && packed.len)
        r = seal_parse(packed, &s);
    if (!r)
        r = check_signature(q, &s);
    if (!r && customers && s.kind != SEAL_C)
        r = s3_error(q, -ERR_INVALID_REQUEST,
                     "The encryption parameters are not applicable to this object.");
    if (!r && !customers && s.kind == SEAL_C)
        r = unfit(q);
    ret->present = !r && (s.kind == SEAL_C || (s.kind != SEAL_NONE && !only_customers));
    if (ret->present)
        r = s.kind == SEAL_C ? open_customers(q, &s, bucket, key, given.customer_key, ret)
                             : open_service(q, &s, bucket, key, ret);
    s3_sse_release(&given);
    return r;
}

int FIBER s3_sse_upload_key(struct s3_request *q, struct str seal, struct s3_data_key *ret)
{
    int r = open_seal(q, q->bucket.id, q->key, seal, false, false, ret);
    if (r == -ERR_INVALID_REQUEST && !seal.len)
        return s3_error(q, r,
                        "The multipart upload was not initiated with encryption by a customer "
                        "provided key.");
    return r;
}

int FIBER s3_sse_check_upload(struct s3_request *q, struct str seal, bool named)
{
    _cleanup_data_key_ struct s3_data_key k = {0};
    struct seal s;
    bool given = s3_header(q, str_from(customer[0].algorithm)).ptr != NULL;
    if (!seal.len || seal_parse(seal, &s) || s.kind != SEAL_C || (!given && !named))
        return 0;
    return open_seal(q, q->bucket.id, q->key, seal, false, true, &k);
}

/* What only writes may say: a reader that says it means something else. */
static int check_read_headers(struct s3_request *q)
{
    struct str method = s3_header(q, STR(SSE));
    if (!method.ptr)
        return 0;
    return s3_error_argument(q, SSE, method, SSE " header is not supported for this operation.");
}

int FIBER s3_sse_unseal(struct s3_request *q, struct bucket_id bucket, struct store_reader *reader,
                        bool source)
{
    _cleanup_data_key_ struct s3_data_key k = {0};
    const struct store_object *o = store_reader_object(reader);
    int r = source ? 0 : check_read_headers(q);
    if (!r)
        r = open_seal(q, bucket, o->key, o->attrs.seal, source, false, &k);
    return r || !k.present ? r : store_reader_unseal(reader, k.bytes);
}

int FIBER s3_sse_unseal_unasked(struct s3_request *q, struct store_reader *reader)
{
    _cleanup_data_key_ struct s3_data_key k = {0};
    const struct store_object *o = store_reader_object(reader);
    struct seal s;
    if (!o->attrs.seal.len)
        return 0;
    int r = seal_parse(o->attrs.seal, &s);
    if (!r && s.kind == SEAL_C)
        r = -ERR_INVALID_REQUEST;
    if (!r)
        r = open_service(q, &s, q->bucket.id, o->key, &k);
    return r ? r : store_reader_unseal(reader, k.bytes);
}

int FIBER s3_sse_check(struct s3_request *q, const struct store_object *o)
{
    _cleanup_data_key_ struct s3_data_key k = {0};
    int r = check_read_headers(q);
    return r ? r : open_seal(q, q->bucket.id, o->key, o->attrs.seal, false, true, &k);
}

/* The headers were held against the seal: of a customer's, the key is there and the right one. */
static int FIBER wrap_anew(struct s3_request *q, struct seal *s, const struct s3_data_key *k,
                           struct str *ret)
{
    _cleanup_sse_ struct s3_sse given = {0};
    bool customers;
    if (s->kind != SEAL_C)
        return wrap_by_service(q, s, k, ret);
    int r = read_customer(q, false, given.customer_key, &customers);
    return r ? r : wrap_data_key(q, s, given.customer_key, k, ret);
}

int FIBER s3_sse_rename(struct s3_request *q, struct str key, struct str packed, struct str *ret)
{
    _cleanup_data_key_ struct s3_data_key k = {0};
    struct seal s;
    *ret = STR_NULL;
    int r = check_read_headers(q);
    if (!r)
        r = open_seal(q, q->bucket.id, key, packed, false, false, &k);
    if (r || !k.present)
        return r;
    r = seal_parse(packed, &s);
    return r ? r : wrap_anew(q, &s, &k, ret);
}

int FIBER s3_sse_rekey(struct s3_request *q, struct str key, struct str packed, struct str name,
                       bool bucket_key, struct str *ret)
{
    _cleanup_data_key_ struct s3_data_key k = {0};
    struct seal old = {.kind = SEAL_NONE};
    struct seal made = {.kind = SEAL_KMS, .name = name, .bucket_key = bucket_key};
    if (name.len > SEAL_NAME_MAX || !keyring_name_is_valid(kms_plain_name(name)))
        return s3_error(q, -ERR_INVALID_ARGUMENT, "Invalid KMS keyId");
    int r = packed.len ? seal_parse(packed, &old) : 0;
    if (!r && old.kind != SEAL_S3 && old.kind != SEAL_KMS)
        r = s3_error(q, -ERR_INVALID_REQUEST,
                     "The operation takes objects that are encrypted by SSE-S3 or SSE-KMS.");
    if (!r)
        r = open_service(q, &old, q->bucket.id, key, &k);
    return r ? r : wrap_by_service(q, &made, &k, ret);
}

/* ---- answers --------------------------------------------------------------------------------- */

/* S3 gives the MD5 back that it was sent, with the question. */
static void set_customers(struct s3_request *q)
{
    struct str md5 = s3_header(q, str_from(customer[0].md5));
    if (!md5.ptr)
        return;
    (void)http_set_header(q->x, "x-amz-server-side-encryption-customer-algorithm", STR("AES256"));
    (void)http_set_header(q->x, "x-amz-server-side-encryption-customer-key-MD5", md5);
}

static void set_context(struct s3_request *q, struct str context)
{
    char *text = arena_alloc(q->arena, BASE64_LEN(context.len));
    if (text)
        (void)http_set_header(q->x, SSE_TEXT,
                              str_make(text, base64_encode(context.ptr, context.len, text)));
}

void s3_sse_headers(struct s3_request *q, struct str seal)
{
    struct seal s;
    if (seal.len == 0 || seal_parse(seal, &s))
        return;
    if (s.kind == SEAL_C) {
        set_customers(q);
        return;
    }
    (void)http_set_header(q->x, SSE, s.kind == SEAL_S3 ? STR("AES256") : STR("aws:kms"));
    if (s.kind != SEAL_KMS)
        return;
    (void)http_set_header(q->x, SSE_KEY, s.name);
    if (s.bucket_key)
        (void)http_set_header(q->x, SSE_SHARE, STR("true"));
    if (s.context.len && q->op->method != S3_GET && q->op->method != S3_HEAD)
        set_context(q, s.context);
}

struct store_etag s3_sse_etag(struct str seal, const struct s3_data_key *key, const uint8_t md5[16])
{
    uint8_t made[CRYPT_KEY_LEN];
    struct store_etag etag = {.parts = 0};
    struct seal s;
    memcpy(etag.md5, md5, sizeof(etag.md5));
    if (!key->present || seal_parse(seal, &s) || s.kind == SEAL_S3)
        return etag;
    derive_key(key->bytes, "cairn etag 1", str_make(md5, sizeof(etag.md5)), made);
    memcpy(etag.md5, made, sizeof(etag.md5));
    return etag;
}
