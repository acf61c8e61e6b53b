/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "s3/bodies.h"

#include "base/encode.h"
#include "base/error.h"
#include "s3/tags.h"
#include "s3/version.h"
#include "wire/date.h"

/* The document, whose root must have that name. */
static int parse(struct arena *a, struct str body, const char *root, size_t max_nodes,
                 struct xml_node **ret)
{
    int r = xml_parse(a, body, max_nodes, ret);
    if (r)
        return r == -ERR_MAX_MESSAGE_LENGTH ? -ERR_MALFORMED_XML : r;
    return str_eq((*ret)->name, str_from(root)) ? 0 : -ERR_MALFORMED_XML;
}

/* ---- CreateBucketConfiguration -------------------------------------------------------------- */

int s3_body_new_bucket(struct arena *a, struct str body, struct s3_new_bucket *ret)
{
    struct xml_node *root;
    *ret = (struct s3_new_bucket){.location = STR("")};
    if (body.len == 0)
        return 0;
    int r = parse(a, body, "CreateBucketConfiguration", 8 * S3_BUCKET_TAGS_MAX, &root);
    if (r)
        return r;
    if (xml_child(root, "Bucket") || xml_child(root, "Location")) /* directory buckets */
        return -ERR_NOT_IMPLEMENTED;
    const struct xml_node *tags = xml_child(root, "Tags");
    if (tags && tags->first_child)
        ret->tags = tags;
    struct str location = xml_child_text(root, "LocationConstraint");
    if (location.len)
        ret->location = location;
    return 0;
}

/* ---- VersioningConfiguration ---------------------------------------------------------------- */

/* MinIO's ExcludedPrefixes and ExcludeFolders among them, which S3 does not know: what they leave
 * without versions would have some. */
static bool has_other_than_versioning(const struct xml_node *root)
{
    for (const struct xml_node *n = root->first_child; n; n = n->next)
        if (!str_eq(n->name, STR("Status")) && !str_eq(n->name, STR("MfaDelete")))
            return true;
    return false;
}

int s3_body_versioning(struct arena *a, struct str body, enum store_versioning *ret)
{
    struct xml_node *root;
    int r = parse(a, body, "VersioningConfiguration", 16, &root);
    if (!r && has_other_than_versioning(root))
        r = -ERR_MALFORMED_XML;
    if (r)
        return r;
    struct str status = xml_child_text(root, "Status");
    const struct xml_node *mfa = xml_child(root, "MfaDelete");
    if (!xml_child(root, "Status"))
        return -ERR_ILLEGAL_VERSIONING;
    if (mfa && !str_eq(mfa->text, STR("Disabled")))
        return str_eq(mfa->text, STR("Enabled")) ? -ERR_NOT_IMPLEMENTED : -ERR_MALFORMED_XML;
    if (str_eq(status, STR("Enabled")))
        *ret = STORE_VERSIONING_ENABLED;
    else if (str_eq(status, STR("Suspended")))
        *ret = STORE_VERSIONING_SUSPENDED;
    else
        return -ERR_MALFORMED_XML;
    return 0;
}

/* ---- object lock ---------------------------------------------------------------------------- */

#define DEFAULT_DAYS_MAX  36500
#define DEFAULT_YEARS_MAX 100

int s3_retention_parse(struct str text, enum store_retention *ret)
{
    if (str_eq(text, STR("GOVERNANCE")))
        *ret = STORE_RETENTION_GOVERNANCE;
    else if (str_eq(text, STR("COMPLIANCE")))
        *ret = STORE_RETENTION_COMPLIANCE;
    else
        return -EINVAL;
    return 0;
}

struct str s3_retention_name(enum store_retention r)
{
    return r == STORE_RETENTION_COMPLIANCE ? STR("COMPLIANCE") : STR("GOVERNANCE");
}

int s3_hold_parse(struct str text, enum store_hold *ret)
{
    if (str_eq(text, STR("ON")))
        *ret = STORE_HOLD_ON;
    else if (str_eq(text, STR("OFF")))
        *ret = STORE_HOLD_OFF;
    else
        return -EINVAL;
    return 0;
}

struct str s3_hold_name(enum store_hold h)
{
    return h == STORE_HOLD_ON ? STR("ON") : STR("OFF");
}

/* A period of 1 to `most`. */
static int parse_period(const struct xml_node *n, uint32_t most, uint32_t *ret)
{
    uint64_t value;
    struct str text = str_trim(n->text);
    if (str_to_u64(text, &value))
        return str_starts(text, STR("-")) ? -ERR_INVALID_RETENTION_PERIOD : -ERR_MALFORMED_XML;
    if (value < 1 || value > most)
        return -ERR_INVALID_RETENTION_PERIOD;
    *ret = (uint32_t)value;
    return 0;
}

/* AWS's event holds are not served: passed over, less would be held than was asked for. */
static bool asks_event_hold(const struct xml_node *n)
{
    return xml_child(n, "EventHold") || xml_child(n, "EventHoldDuration") ||
           xml_child(n, "DefaultEventHold");
}

static int parse_default(const struct xml_node *rule, struct s3_default_retention *ret)
{
    const struct xml_node *n = xml_child(rule, "DefaultRetention");
    if (n && asks_event_hold(n))
        return -ERR_NOT_IMPLEMENTED;
    if (!n || s3_retention_parse(xml_child_text(n, "Mode"), &ret->mode))
        return -ERR_MALFORMED_XML;
    const struct xml_node *days = xml_child(n, "Days"), *years = xml_child(n, "Years");
    if (!days == !years)
        return -ERR_MALFORMED_XML;
    return days ? parse_period(days, DEFAULT_DAYS_MAX, &ret->days)
                : parse_period(years, DEFAULT_YEARS_MAX, &ret->years);
}

int s3_body_object_lock(struct arena *a, struct str body, struct s3_default_retention *ret)
{
    struct xml_node *root;
    struct s3_default_retention d = {.mode = STORE_RETENTION_NONE};
    int r = parse(a, body, "ObjectLockConfiguration", 16, &root);
    if (r)
        return r;
    if (!str_eq(xml_child_text(root, "ObjectLockEnabled"), STR("Enabled")))
        return -ERR_MALFORMED_XML;
    const struct xml_node *rule = xml_child(root, "Rule");
    r = rule ? parse_default(rule, &d) : 0;
    if (!r)
        *ret = d;
    return r;
}

int s3_body_retention(struct arena *a, struct str body, struct store_lock *ret)
{
    struct xml_node *root;
    int r = parse(a, body, "Retention", 16, &root);
    if (r)
        return r;
    if (asks_event_hold(root))
        return -ERR_NOT_IMPLEMENTED;
    struct str mode = xml_child_text(root, "Mode"), until = xml_child_text(root, "RetainUntilDate");
    ret->retention = STORE_RETENTION_NONE;
    ret->until_ms = 0;
    if (!mode.len && !until.len)
        return 0;
    if (s3_retention_parse(mode, &ret->retention) || date_parse_iso(until, &ret->until_ms))
        return -ERR_MALFORMED_XML;
    return 0;
}

int s3_body_legal_hold(struct arena *a, struct str body, enum store_hold *ret)
{
    struct xml_node *root;
    int r = parse(a, body, "LegalHold", 16, &root);
    if (r)
        return r;
    return s3_hold_parse(xml_child_text(root, "Status"), ret) ? -ERR_MALFORMED_XML : 0;
}

/* ---- RestoreRequest ------------------------------------------------------------------------- */

#define RESTORE_DAYS_MAX 36500

static int read_tier(struct str text, struct s3_restore *ret)
{
    ret->tier = text;
    return str_eq(text, STR("Expedited")) || str_eq(text, STR("Standard")) ||
                   str_eq(text, STR("Bulk"))
               ? 0
               : -ERR_MALFORMED_XML;
}

static int read_restore_days(struct str text, struct s3_restore *ret)
{
    uint64_t days;
    if (str_to_u64(text, &days))
        return -ERR_MALFORMED_XML;
    if (days < 1 || days > RESTORE_DAYS_MAX)
        return -ERR_INVALID_ARGUMENT;
    ret->days = (uint32_t)days;
    return 0;
}

static int read_restore(const struct xml_node *n, struct s3_restore *ret)
{
    if (str_eq(n->name, STR("Days")))
        return ret->days ? -ERR_MALFORMED_XML : read_restore_days(str_trim(n->text), ret);
    if (str_eq(n->name, STR("Tier")))
        return read_tier(str_trim(n->text), ret);
    if (str_eq(n->name, STR("GlacierJobParameters")))
        return read_tier(str_trim(xml_child_text(n, "Tier")), ret);
    if (str_eq(n->name, STR("Type")) || str_eq(n->name, STR("SelectParameters")) ||
        str_eq(n->name, STR("OutputLocation")))
        return -ERR_NOT_IMPLEMENTED;
    return str_eq(n->name, STR("Description")) ? 0 : -ERR_MALFORMED_XML;
}

int s3_body_restore(struct arena *a, struct str body, struct s3_restore *ret)
{
    struct s3_restore restore = {.days = 0};
    struct xml_node *root;
    int r = parse(a, body, "RestoreRequest", 32, &root);
    for (const struct xml_node *n = r ? NULL : root->first_child; !r && n; n = n->next)
        r = read_restore(n, &restore);
    if (!r && !restore.days)
        r = -ERR_MALFORMED_XML;
    if (!r)
        *ret = restore;
    return r;
}

/* ---- ObjectEncryption ----------------------------------------------------------------------- */

static int read_kms(const struct xml_node *n, struct s3_object_encryption *ret)
{
    struct str text = str_trim(n->text);
    if (str_eq(n->name, STR("KMSKeyArn")) && !ret->key.len && text.len) {
        ret->key = text;
        return 0;
    }
    if (!str_eq(n->name, STR("BucketKeyEnabled")) ||
        (!str_eq(text, STR("true")) && !str_eq(text, STR("false"))))
        return -ERR_INVALID_REQUEST;
    ret->bucket_key = str_eq(text, STR("true"));
    return 0;
}

int s3_body_object_encryption(struct arena *a, struct str body, struct s3_object_encryption *ret)
{
    struct s3_object_encryption e = {.bucket_key = false};
    struct xml_node *root;
    int r = parse(a, body, "ObjectEncryption", 16, &root);
    const struct xml_node *kms = r ? NULL : root->first_child;
    if (!r && (!kms || kms->next || !str_eq(kms->name, STR("SSE-KMS"))))
        r = -ERR_INVALID_REQUEST;
    for (const struct xml_node *n = r ? NULL : kms->first_child; !r && n; n = n->next)
        r = read_kms(n, &e);
    if (!r && !e.key.len)
        r = -ERR_INVALID_REQUEST;
    if (!r)
        *ret = e;
    return r;
}

/* ---- Delete --------------------------------------------------------------------------------- */

static int parse_conditions(const struct xml_node *n, struct store_conditions *ret)
{
    struct str time = xml_child_text(n, "LastModifiedTime"), size = xml_child_text(n, "Size");
    ret->if_match = xml_child_text(n, "ETag");
    ret->has_mtime = time.len > 0;
    ret->has_len = size.len > 0;
    if (ret->has_mtime && date_parse_http(time, 0, &ret->mtime_ms) &&
        date_parse_iso(time, &ret->mtime_ms))
        return -ERR_MALFORMED_XML;
    return ret->has_len && str_to_u64(size, &ret->len_bytes) ? -ERR_MALFORMED_XML : 0;
}

static int parse_deletion(const struct xml_node *n, struct s3_deletion *ret)
{
    const struct xml_node *key = xml_child(n, "Key");
    struct str version = xml_child_text(n, "VersionId");
    if (!key || key->text.len == 0)
        return -ERR_MALFORMED_XML;
    *ret = (struct s3_deletion){.key = key->text, .version_id = version, .version = STORE_CURRENT};
    if (ret->key.len > STORE_KEY_MAX)
        ret->err = -ERR_KEY_TOO_LONG;
    else if (version.len && s3_version_id_parse(version, &ret->version))
        ret->err = -ERR_NO_SUCH_VERSION;
    return parse_conditions(n, &ret->conditions);
}

int s3_body_deletions(struct arena *a, struct str body, struct s3_deletions *ret)
{
    struct xml_node *root;
    int r = parse(a, body, "Delete", 8 * S3_DELETE_KEYS_MAX, &root);
    if (r)
        return r;
    struct s3_deletions d = {
        .items = arena_array(a, struct s3_deletion, S3_DELETE_KEYS_MAX),
        .quiet = str_eq_nocase(xml_child_text(root, "Quiet"), STR("true")),
    };
    if (!d.items)
        return -ENOMEM;
    for (const struct xml_node *n = root->first_child; !r && n; n = n->next) {
        if (!str_eq(n->name, STR("Object")))
            continue;
        if (d.count == S3_DELETE_KEYS_MAX)
            return -ERR_MALFORMED_XML;
        r = parse_deletion(n, &d.items[d.count++]);
    }
    if (!r && d.count == 0)
        r = -ERR_MALFORMED_XML;
    if (!r)
        *ret = d;
    return r;
}

/* ---- CompleteMultipartUpload ---------------------------------------------------------------- */

/* A part's ETag: 32 hex digits, quoted or not. What is none cannot be any part's. */
static int parse_etag(struct str text, struct store_complete_part *p)
{
    if (text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"')
        text = str_make(text.ptr + 1, text.len - 2);
    p->has_md5 = true;
    return hex_decode(text, p->md5, sizeof(p->md5)) ? -ERR_INVALID_PART : 0;
}

/*
 * At most one, of the upload's kind: of another kind nothing is known of the part. Parts of
 * CRC64NVME, which is that of uploads that named none, may come with any, are held against it then
 * and answered with it: whoever hands the answer back says nothing that is wrong.
 */
static int parse_part_checksum(const struct xml_node *n, enum store_checksum_kind expected,
                               struct store_complete_part *p)
{
    struct str sum = STR_NULL;
    enum store_checksum_kind kind = expected;
    uint32_t parts;
    for (unsigned k = 0; k < STORE_CHECKSUM_KINDS; k++) {
        struct str text = xml_child_text(n, s3_checksum_element(k));
        if (!text.len)
            continue;
        if (sum.len)
            return -ERR_INVALID_ARGUMENT;
        sum = text;
        kind = k;
    }
    if (!sum.len)
        return 0;
    if (s3_checksum_parse(kind, sum, &p->checksum, &parts) || parts > 0)
        return -ERR_INVALID_ARGUMENT;
    if (kind == expected)
        return 0;
    p->checksum = (struct store_checksum){0};
    return expected == STORE_CRC64NVME ? 0 : -ERR_BAD_DIGEST;
}

static int parse_part(const struct xml_node *n, const enum store_checksum_kind *kind,
                      struct store_complete_part *p)
{
    struct str number = xml_child_text(n, "PartNumber"), etag = xml_child_text(n, "ETag");
    uint64_t value;
    int below = str_starts(number, STR("-"));
    if (str_to_u64(str_from_offset(number, (size_t)below), &value) || !etag.ptr)
        return -ERR_MALFORMED_XML;
    if (below || value < 1 || value > STORE_PARTS_MAX)
        return -ERR_INVALID_ARGUMENT;
    p->number = (uint32_t)value;
    int r = parse_etag(etag, p);
    return r || !kind ? r : parse_part_checksum(n, *kind, p);
}

/* A part named twice in a row counts once, as it was named last: clients that sent a part again
 * list both answers. */
static void drop_repeated(struct s3_completion *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->count; i++) {
        if (kept > 0 && c->parts[kept - 1].number == c->parts[i].number)
            kept--;
        c->parts[kept++] = c->parts[i];
    }
    c->count = kept;
}

int s3_body_completion(struct arena *a, struct str body, const enum store_checksum_kind *kind,
                       struct s3_completion *ret)
{
    struct xml_node *root;
    struct s3_completion c = {.count = 0};
    size_t count = 0;
    int r = parse(a, body, "CompleteMultipartUpload", 10 * STORE_PARTS_MAX, &root);
    if (r)
        return r;
    for (const struct xml_node *n = root->first_child; n; n = n->next)
        count += str_eq(n->name, STR("Part"));
    if (count == 0 || count > STORE_PARTS_MAX)
        return -ERR_MALFORMED_XML;
    c.parts = arena_array(a, struct store_complete_part, count);
    if (!c.parts)
        return -ENOMEM;
    for (const struct xml_node *n = root->first_child; !r && n; n = n->next)
        if (str_eq(n->name, STR("Part")))
            r = parse_part(n, kind, &c.parts[c.count++]);
    if (r)
        return r;
    drop_repeated(&c);
    *ret = c;
    return 0;
}
