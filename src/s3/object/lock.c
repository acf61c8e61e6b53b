/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Object lock: the bucket's configuration, retention and legal hold of versions, and the headers of
 * writes. The store keeps what is locked (store/swap.c); here is decided who may change a lock and
 * to what. A configuration that cannot be read fails the write it would lock.
 */

#include "s3/object/lock.h"
#include "lifecycle/retention.h"
#include "s3/bodies.h"
#include "s3/body.h"
#include "s3/notice.h"
#include "s3/version.h"
#include "wire/date.h"

#define DAY_MS       86400000ULL
#define MODE_HEADER  "x-amz-object-lock-mode"
#define UNTIL_HEADER "x-amz-object-lock-retain-until-date"
#define HOLD_HEADER  "x-amz-object-lock-legal-hold"

static int no_lock_here(struct s3_request *q)
{
    return s3_error(q, -ERR_INVALID_REQUEST, "Bucket is missing Object Lock Configuration");
}

static int check_future(struct s3_request *q, const struct store_lock *lock)
{
    if (lock->retention == STORE_RETENTION_NONE || lock->until_ms > rt_wall_ms())
        return 0;
    return s3_error_argument(q, "RetainUntilDate", STR_NULL,
                             "The retain until date must be in the future!");
}

bool FIBER s3_may_bypass(struct s3_context *c)
{
    struct str wanted = s3_header(c->q, STR("x-amz-bypass-governance-retention"));
    return str_eq_nocase(wanted, STR("true")) &&
           s3_authorise_in(c, "s3:BypassGovernanceRetention") == 0;
}

/* ---- the bucket's configuration ------------------------------------------------------------- */

static void put_config(struct buf *b, const struct s3_default_retention *d)
{
    xml_begin(b);
    xml_open_ns(b, "ObjectLockConfiguration", S3_XMLNS);
    xml_element(b, "ObjectLockEnabled", STR("Enabled"));
    if (d->mode != STORE_RETENTION_NONE) {
        xml_open(b, "Rule");
        xml_open(b, "DefaultRetention");
        xml_element(b, "Mode", s3_retention_name(d->mode));
        if (d->days)
            xml_element_u64(b, "Days", d->days);
        else
            xml_element_u64(b, "Years", d->years);
        xml_close(b, "DefaultRetention");
        xml_close(b, "Rule");
    }
    xml_close(b, "ObjectLockConfiguration");
}

int FIBER s3_put_object_lock_configuration(struct s3_request *q)
{
    _cleanup_buf_ struct buf b;
    struct str body;
    struct s3_default_retention d;
    buf_init(&b, 0);
    int r = s3_body_config(q, &body);
    if (!r)
        r = s3_body_object_lock(q->arena, body, &d);
    if (!r && !q->bucket.object_lock)
        r = store_bucket_set_object_lock(q->s3->store, q->bucket.id);
    if (r == -ERR_BUCKET_STATE)
        return s3_error(q, r,
                        "Versioning must be 'Enabled' on the bucket to apply a Object Lock "
                        "configuration");
    if (r)
        return r;
    put_config(&b, &d);
    r = buf_error(&b);
    if (!r)
        r = store_setting_put(q->s3->store, q->bucket.id, STORE_SETTING_OBJECT_LOCK, buf_str(&b));
    return r ? r : s3_respond_empty(q, 200);
}

/* What the bucket's setting says; of none: no default. */
static int read_default(struct s3_request *q, struct s3_default_retention *ret)
{
    const struct store_setting *s = store_setting_of(q->bucket.settings, STORE_SETTING_OBJECT_LOCK);
    *ret = (struct s3_default_retention){.mode = STORE_RETENTION_NONE};
    return s ? s3_body_object_lock(q->arena, s->text, ret) : 0;
}

int FIBER s3_get_object_lock_configuration(struct s3_request *q)
{
    _cleanup_buf_ struct buf b;
    struct s3_default_retention d;
    buf_init(&b, 0);
    if (!q->bucket.object_lock)
        return -ERR_NO_OBJECT_LOCK_CONFIG;
    int r = read_default(q, &d);
    if (r)
        return -ERR_CORRUPT;
    put_config(&b, &d);
    return s3_respond_xml(q, &b);
}

int s3_lock_of_new_bucket(struct s3_request *q, bool *ret)
{
    struct str text = s3_header(q, STR("x-amz-bucket-object-lock-enabled"));
    *ret = str_eq_nocase(text, STR("true"));
    if (text.len && !*ret && !str_eq_nocase(text, STR("false")))
        return s3_error_argument(q, "x-amz-bucket-object-lock-enabled", text,
                                 "The value must be true or false");
    struct store_bucket future = {.name = q->bucket_name, .owner = q->who.account};
    return *ret ? s3_authorise(q, "s3:PutBucketObjectLockConfiguration", &future, STR_NULL) : 0;
}

/* ---- of a write ----------------------------------------------------------------------------- */

static int read_retention(struct s3_request *q, struct str mode, struct str until,
                          struct store_lock *lock)
{
    if (!mode.len || !until.len)
        return s3_error_argument(q, mode.len ? UNTIL_HEADER : MODE_HEADER, STR_NULL,
                                 UNTIL_HEADER " and " MODE_HEADER " must both be supplied");
    if (s3_retention_parse(mode, &lock->retention))
        return s3_error_argument(q, MODE_HEADER, mode, "Unknown wormMode directive.");
    if (date_parse_iso(until, &lock->until_ms))
        return s3_error_argument(q, UNTIL_HEADER, until,
                                 "The retain until date must be provided in ISO 8601 format");
    int r = check_future(q, lock);
    return r ? r : s3_authorise(q, "s3:PutObjectRetention", &q->bucket, q->key);
}

static int read_hold(struct s3_request *q, struct str text, struct store_lock *lock)
{
    if (s3_hold_parse(text, &lock->hold))
        return s3_error_argument(q, HOLD_HEADER, text,
                                 "Legal Hold must be either of 'ON' or 'OFF'");
    return s3_authorise(q, "s3:PutObjectLegalHold", &q->bucket, q->key);
}

static int use_default(struct s3_request *q, struct store_lock *lock)
{
    struct s3_default_retention d;
    int r = read_default(q, &d);
    if (r)
        return -ERR_CORRUPT;
    if (d.mode == STORE_RETENTION_NONE)
        return 0;
    lock->retention = d.mode;
    lock->until_ms = rt_wall_ms() + (d.days ? d.days : 365ULL * d.years) * DAY_MS;
    return 0;
}

int s3_lock_default(struct s3_request *q, struct store_lock *ret)
{
    *ret = (struct store_lock){.retention = STORE_RETENTION_NONE};
    return q->bucket.object_lock ? use_default(q, ret) : 0;
}

int s3_lock_read(struct s3_request *q, struct store_lock *ret)
{
    struct str mode = s3_header(q, STR(MODE_HEADER)), until = s3_header(q, STR(UNTIL_HEADER));
    struct str hold = s3_header(q, STR(HOLD_HEADER));
    struct store_lock lock = {.retention = STORE_RETENTION_NONE};
    bool any = mode.ptr || until.ptr;
    *ret = lock;
    int r = any ? read_retention(q, mode, until, &lock) : s3_lock_default(q, &lock);
    if (!r && hold.ptr)
        r = read_hold(q, hold, &lock);
    if (!r && !q->bucket.object_lock && (any || hold.ptr))
        r = no_lock_here(q);
    if (!r)
        *ret = lock;
    return r;
}

int s3_lock_by_class(struct s3_request *q, struct store_attrs *attrs, uint64_t from_ms)
{
    const void *made = NULL;
    if (!q->bucket.object_lock || attrs->tag_count == 0)
        return 0;
    int r = store_setting_made(q->bucket.settings, STORE_SETTING_DATA_CLASSES,
                               sizeof(struct retention), retention_parse, &made);
    const struct retention_rule *rule =
        r ? NULL : retention_find(made, attrs->tags, attrs->tag_count);
    if (rule)
        retention_lock(rule, from_ms ? from_ms : rt_wall_ms(), &attrs->lock);
    return r;
}

void FIBER s3_lock_headers(struct s3_request *q, const struct store_object *o)
{
    const struct store_lock *lock = &o->attrs.lock;
    char until[DATE_ISO_LEN];
    if (lock->retention != STORE_RETENTION_NONE &&
        s3_authorise(q, "s3:GetObjectRetention", &q->bucket, q->key) == 0) {
        date_format_iso(lock->until_ms, until);
        (void)http_set_header(q->x, MODE_HEADER, s3_retention_name(lock->retention));
        (void)http_set_header(q->x, UNTIL_HEADER, str_make(until, sizeof(until)));
    }
    if (lock->hold != STORE_HOLD_NEVER &&
        s3_authorise(q, "s3:GetObjectLegalHold", &q->bucket, q->key) == 0)
        (void)http_set_header(q->x, HOLD_HEADER, s3_hold_name(lock->hold));
}

/* ---- of a version --------------------------------------------------------------------------- */

struct new_lock {
    struct store_lock lock;
    bool of_hold, bypass;
};

/*
 * While a version is retained, the period may grow under the same mode; whoever may bypass
 * governance may do anything with that, and nobody can do more with compliance.
 */
static int check_change(const struct store_lock *old, const struct new_lock *n)
{
    if (old->retention == STORE_RETENTION_NONE || old->until_ms <= rt_wall_ms())
        return 0;
    if (old->retention == STORE_RETENTION_GOVERNANCE && n->bypass)
        return 0;
    return n->lock.retention == old->retention && n->lock.until_ms >= old->until_ms
               ? 0
               : -ERR_OBJECT_LOCKED;
}

static int replace_lock(const struct store_object *o, struct store_attrs *attrs, void *arg)
{
    const struct new_lock *n = arg;
    if (n->of_hold) {
        attrs->lock.hold = n->lock.hold;
        return 0;
    }
    int r = check_change(&attrs->lock, n);
    if (r)
        return r;
    attrs->lock.retention = n->lock.retention;
    attrs->lock.until_ms = n->lock.until_ms;
    return 0;
}

static int FIBER change_lock(struct s3_request *q, struct new_lock *n)
{
    struct store_written written;
    int r = store_change_attrs(q->s3->store, q->bucket.id, q->key, q->version, NULL, false,
                               replace_lock, n, &written);
    if (r)
        return s3_explain_change(q, r);
    struct store_object o = {.seq = written.seq, .null_version = written.null_version};
    s3_set_version(q, &o);
    return s3_respond_empty(q, 200);
}

/* By what is asked for, which conditions of policies are about. Whoever has not the right is not
 * told what is wrong with the document. */
static int FIBER judge_lock(struct s3_request *q, struct s3_context *c, int unread)
{
    int r = s3_authorise_in(c, q->op->action);
    if (r) {
        q->message = STR_NULL;
        q->detail_count = 0;
        return r;
    }
    return unread || q->bucket.object_lock ? unread : no_lock_here(q);
}

int FIBER s3_put_object_retention(struct s3_request *q)
{
    struct new_lock n = {.of_hold = false};
    struct s3_context c = {
        .q = q, .bucket = &q->bucket, .key = q->key, .version = q->version, .lock = &n.lock};
    struct str body;
    int unread = s3_body_config(q, &body);
    if (!unread)
        unread = s3_body_retention(q->arena, body, &n.lock);
    int r = judge_lock(q, &c, unread);
    if (!r)
        r = check_future(q, &n.lock);
    if (r)
        return r;
    n.bypass = s3_may_bypass(&c);
    return change_lock(q, &n);
}

int FIBER s3_put_object_legal_hold(struct s3_request *q)
{
    struct new_lock n = {.of_hold = true};
    struct s3_context c = {
        .q = q, .bucket = &q->bucket, .key = q->key, .version = q->version, .lock = &n.lock};
    struct str body;
    int unread = s3_body_config(q, &body);
    if (!unread)
        unread = s3_body_legal_hold(q->arena, body, &n.lock.hold);
    int r = judge_lock(q, &c, unread);
    return r ? r : change_lock(q, &n);
}

static int FIBER respond_retention(struct s3_request *q, const struct store_lock *lock)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    if (lock->retention == STORE_RETENTION_NONE)
        return -ERR_NO_SUCH_OBJECT_LOCK;
    xml_begin(&b);
    xml_open_ns(&b, "Retention", S3_XMLNS);
    xml_element(&b, "Mode", s3_retention_name(lock->retention));
    s3_xml_time(&b, "RetainUntilDate", lock->until_ms);
    xml_close(&b, "Retention");
    return s3_respond_xml(q, &b);
}

static int FIBER respond_hold(struct s3_request *q, const struct store_lock *lock)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    if (lock->hold == STORE_HOLD_NEVER)
        return -ERR_NO_SUCH_OBJECT_LOCK;
    xml_begin(&b);
    xml_open_ns(&b, "LegalHold", S3_XMLNS);
    xml_element(&b, "Status", s3_hold_name(lock->hold));
    xml_close(&b, "LegalHold");
    return s3_respond_xml(q, &b);
}

static int FIBER get_lock(struct s3_request *q,
                          int (*respond)(struct s3_request *q, const struct store_lock *lock))
{
    struct store_reader *reader = NULL;
    if (!q->bucket.object_lock)
        return no_lock_here(q);
    int r = store_get(q->s3->store, q->bucket.id, q->key, q->version, NULL, &reader);
    r = r ? s3_explain_marker(q, reader, r) : respond(q, &store_reader_object(reader)->attrs.lock);
    store_reader_close(reader);
    return r;
}

int FIBER s3_get_object_retention(struct s3_request *q)
{
    return get_lock(q, respond_retention);
}

int FIBER s3_get_object_legal_hold(struct s3_request *q)
{
    return get_lock(q, respond_hold);
}
