/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "s3/service_objects.h"

#include <stdio.h>
#include "audit/audit.h"
#include "iam/bucket_policy.h"
#include "s3/acl.h"
#include "s3/checksum.h"
#include "s3/notice.h"
#include "s3/object/lock.h"
#include "s3/object/restore.h"
#include "s3/sse.h"

#define PIECE (256 * KIB) /* digested and written at a time: others have their turn in between */

/* ---- rights --------------------------------------------------------------------------------- */

/* What the conditions of a policy may ask of a service. */
struct service_context {
    struct str arn, account, acl;
};

static int service_value(void *arg, enum iam_key key, struct str name, struct iam_values *ret)
{
    const struct service_context *c = arg;
    const struct str *value = key == IAM_KEY_SOURCE_ARN       ? &c->arn
                              : key == IAM_KEY_SOURCE_ACCOUNT ? &c->account
                              : key == IAM_KEY_S3_ACL         ? &c->acl
                                                              : NULL;
    if (value)
        *ret = (struct iam_values){value, 1};
    return 0;
}

int FIBER s3_service_authorise(struct s3 *s3, const struct store_bucket *target, struct str key,
                               const struct jobs_actor *who, bool acl)
{
    char arn[128];
    int len = snprintf(arn, sizeof(arn), "arn:aws:s3:::%.*s", STR_FMT(who->source));
    struct service_context c = {str_make(arn, (size_t)MIN(len, (int)sizeof(arn) - 1)), who->account,
                                STR("bucket-owner-full-control")};
    struct iam_access a = {
        .service = who->service,
        .action = STR("s3:PutObject"),
        .bucket = target->name,
        .key = key,
        .bucket_owner = target->owner,
        .acl = acl ? IAM_ACL_GRANTED : IAM_ACL_NONE,
        .block = iam_bucket_block(target),
        .context = service_value,
        .context_arg = &c,
    };
    int r = iam_bucket_policy(target, &a.bucket_policy);
    return r ? r : iam_authorise(s3->iam, &a, NULL);
}

/* ---- the audit log -------------------------------------------------------------------------- */

static struct audit_record record_of(struct s3_request *q, const struct jobs_actor *who)
{
    return (struct audit_record){
        .operation = arena_printf(q->arena, "%.*s:PutObject", STR_FMT(who->name)),
        .outcome = AUDIT_BEGUN,
        .user = who->name,
        .bucket = q->bucket_name,
        .key = q->key,
    };
}

static void note_end(struct s3_request *q, const struct jobs_actor *who, size_t len, int err)
{
    struct audit_record r = record_of(q, who);
    r.outcome = err ? AUDIT_FAILED : AUDIT_DONE;
    if (err)
        r.error = str_from(err_info(err)->s3_code);
    r.bytes = len;
    audit_put(q->s3->audit, &r);
}

/* ---- writing -------------------------------------------------------------------------------- */

/* An object on its way. */
struct placing {
    struct s3_request *q;
    struct store_attrs attrs;
    struct s3_data_key data_key;
    struct store_conditions conditions;
    struct md5 md5;
    struct s3_checksum sum;
};

static int FIBER prepare(struct placing *p, const struct jobs_actor *who,
                         const struct jobs_writing *what)
{
    struct s3_request *q = p->q;
    struct event_origin origin = {.arena = q->arena, .bucket = &q->bucket, .requester = who->name};
    store_quota_of(q->bucket.settings, &p->conditions.quota);
    int r = account_quota_apply(q->s3->account_quotas, q->s3->store, q->s3->iam, &q->bucket,
                                &p->conditions.quota);
    if (!r)
        r = event_notice_make(q->s3->events, &origin, EVENT_NAMES(EVENT_CREATED_PUT),
                              &p->conditions.notice);
    if (!r)
        r = s3_lock_default(q, &p->attrs.lock);
    if (!r)
        r = s3_sse_begin_unasked(q, what->seal, what->master_key, &p->data_key, &p->attrs.seal);
    if (!r)
        r = s3_checksum_init(&p->sum, STORE_CRC64NVME);
    md5_init(&p->md5);
    return r;
}

static int FIBER write_pieces(struct placing *p, struct store_writer *w, struct str data)
{
    int r = 0;
    while (r == 0 && data.len) {
        struct str piece = str_prefix(data, MIN(data.len, (size_t)PIECE));
        s3_digests_update(p->q->s3, &p->md5, NULL, piece);
        s3_checksum_update(&p->sum, piece.ptr, piece.len);
        r = store_write(w, piece.ptr, piece.len);
        data = str_from_offset(data, piece.len);
    }
    return r;
}

static int FIBER commit(struct placing *p, struct store_writer *w)
{
    uint8_t md5[HASH_MD5_LEN];
    struct store_written written;
    md5_finish(&p->md5, md5);
    struct store_checksum sum = s3_checksum_finish(&p->sum);
    struct store_etag etag = s3_sse_etag(p->attrs.seal, &p->data_key, md5);
    return store_put_commit(w, &p->attrs, &etag, &sum, &p->conditions, &written);
}

static int FIBER place(struct placing *p, struct str data)
{
    struct s3_request *q = p->q;
    struct store_writer *w;
    int r = store_put_begin_sealed(q->s3->store, q->bucket.id, q->key, data.len, data.len,
                                   s3_data_key_or_null(&p->data_key), &w);
    if (r)
        return r;
    r = write_pieces(p, w, data);
    if (r == 0)
        return commit(p, w);
    store_write_abort(w);
    return r;
}

static int FIBER write_object(struct s3_request *q, const struct jobs_actor *who,
                              const struct jobs_writing *what, struct str data)
{
    struct placing p = {
        .q = q,
        .attrs = {.content_type = what->content_type, .owner = q->bucket.owner, .acl = what->acl}};
    int r = prepare(&p, who, what);
    if (!r)
        r = place(&p, data);
    s3_data_key_release(&p.data_key);
    s3_checksum_release(&p.sum);
    return r;
}

int FIBER s3_service_put(struct s3_request *q, const struct jobs_actor *who,
                         const struct jobs_writing *what, struct str data)
{
    struct audit_record begun = record_of(q, who);
    int r = audit_begin(q->s3->audit, &begun);
    if (r)
        return r;
    r = write_object(q, who, what, data);
    note_end(q, who, data.len, r);
    return r;
}

/* ---- what jobs are lent --------------------------------------------------------------------- */

/* The bucket is released by the caller. */
static int FIBER open_bucket(struct s3_request *q, struct str bucket, struct str key)
{
    q->bucket_name = bucket;
    q->key = key;
    return store_bucket_get(q->s3->store, q->arena, bucket, &q->bucket);
}

static int FIBER judge(struct s3_request *q, const struct jobs_actor *who,
                       const struct jobs_writing *what)
{
    if (what->key.len == 0 || what->key.len > STORE_KEY_MAX)
        return -ERR_KEY_TOO_LONG;
    if (what->owner.len && !str_eq(what->owner, q->bucket.owner))
        return -ERR_ACCESS_DENIED;
    return who->service.len ? s3_service_authorise(q->s3, &q->bucket, q->key, who, false) : 0;
}

static int FIBER lent_put(void *arg, const struct jobs_actor *who, const struct jobs_writing *what,
                          struct str data)
{
    _cleanup_(arena_release) struct arena a;
    struct s3_request q = {.s3 = arg, .arena = &a};
    arena_init(&a, 0);
    int r = open_bucket(&q, what->bucket, what->key);
    if (!r)
        r = judge(&q, who, what);
    if (!r)
        r = s3_service_put(&q, who, what, data);
    store_bucket_release(&q.bucket);
    return r;
}

static int FIBER lent_may_put(void *arg, const struct jobs_actor *who,
                              const struct jobs_writing *what)
{
    _cleanup_(arena_release) struct arena a;
    struct s3_request q = {.s3 = arg, .arena = &a};
    arena_init(&a, 0);
    int r = open_bucket(&q, what->bucket, what->key);
    if (!r)
        r = judge(&q, who, what);
    store_bucket_release(&q.bucket);
    return r;
}

static int FIBER read_bytes(struct s3_request *q, struct store_reader *reader,
                            const struct jobs_reading *what, jobs_object_sink *sink, void *sink_arg,
                            struct jobs_object *ret)
{
    const struct store_object *o = store_reader_object(reader);
    if (what->seq && what->seq != o->seq)
        return -ERR_CONFLICT;
    int r = s3_check_readable(q, o);
    if (!r)
        r = s3_sse_unseal_unasked(q, reader);
    if (r)
        return r;
    if (ret)
        *ret = (struct jobs_object){o->seq, o->len_bytes, o->mtime_ms, o->etag};
    uint64_t left = what->off < o->len_bytes ? o->len_bytes - what->off : 0;
    uint64_t len = MIN(what->len, left);
    return len ? store_read(reader, what->off, len, sink, sink_arg) : 0;
}

static int FIBER lent_read(void *arg, const struct jobs_reading *what, jobs_object_sink *sink,
                           void *sink_arg, struct jobs_object *ret)
{
    _cleanup_(arena_release) struct arena a;
    struct s3_request q = {.s3 = arg, .arena = &a};
    struct store_reader *reader = NULL;
    arena_init(&a, 0);
    int r = open_bucket(&q, what->bucket, what->key);
    if (!r)
        r = store_get(q.s3->store, q.bucket.id, what->key, what->version, NULL, &reader);
    if (!r)
        r = read_bytes(&q, reader, what, sink, sink_arg, ret);
    if (reader)
        store_reader_close(reader);
    store_bucket_release(&q.bucket);
    return r;
}

static int lent_grants(void *arg, const struct store_object *o, struct buf *ret)
{
    struct s3_acl acl;
    int r = s3_acl_decode(o->attrs.acl, o->attrs.owner, &acl);
    if (!r)
        s3_acl_json(ret, &acl);
    return r;
}

void s3_lend_objects(struct s3 *s3, struct jobs_objects *ret)
{
    *ret = (struct jobs_objects){
        .read = lent_read,
        .put = lent_put,
        .may_put = lent_may_put,
        .judge = s3_batch_judge,
        .batch_tags = s3_batch_tags,
        .batch = s3_batch_step,
        .grants = lent_grants,
        .arg = s3,
    };
}
