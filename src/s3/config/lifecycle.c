/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Lifecycle rules at the door: the document is validated, and answers tell when an object is due.
 * What is due is carried out by a job. Answers speak of real days, whatever the job's are.
 */

#include "s3/lifecycle.h"
#include "lifecycle/lifecycle.h"
#include "s3/config/config.h"
#include "wire/date.h"

#define MINIMUM "x-amz-transition-default-minimum-object-size"

/* ---- the document --------------------------------------------------------------------------- */

/* Kept with the rules, and told again; without the header nothing is too small to be moved. */
static int read_minimum(struct s3_request *q, enum lifecycle_minimum *ret)
{
    struct str value = s3_header(q, STR(MINIMUM));
    *ret = LIFECYCLE_MINIMUM_NONE;
    if (!value.ptr)
        return 0;
    if (lifecycle_minimum_parse(value, ret))
        return s3_error(q, -ERR_INVALID_REQUEST,
                        "Invalid TransitionDefaultMinimumObjectSize found: %.*s", STR_FMT(value));
    (void)http_set_header(q->x, MINIMUM, value);
    return 0;
}

static int check_classes(struct s3_request *q, const struct lifecycle_moves *moves)
{
    struct blob_class code;
    for (size_t i = 0; moves && i < moves->count; i++) {
        struct str name = moves->list[i].class;
        if (store_class_find(q->s3->store, name, &code) < 0)
            return s3_error(q, -ERR_MALFORMED_XML,
                            "The storage class '%.*s' is not one of this server", STR_FMT(name));
    }
    return 0;
}

/* Transitions are to classes that there are. */
static int check_moves(struct s3_request *q, const struct lifecycle *l)
{
    int r = 0;
    for (size_t i = 0; !r && i < l->count; i++) {
        r = check_classes(q, l->rules[i].moves);
        if (!r)
            r = check_classes(q, l->rules[i].noncurrent_moves);
    }
    return r;
}

int s3_canonical_lifecycle(struct s3_request *q, struct str body, struct buf *ret)
{
    struct lifecycle l;
    enum lifecycle_minimum minimum;
    struct str why;
    int r = read_minimum(q, &minimum);
    if (r)
        return r;
    r = lifecycle_parse(q->arena, body, &l, &why);
    if (r && why.ptr)
        q->message = why;
    if (!r && l.minimum != LIFECYCLE_MINIMUM_NONE)
        r = -ERR_MALFORMED_XML; /* that element is ours */
    if (!r)
        r = check_moves(q, &l);
    l.minimum = minimum;
    if (!r)
        lifecycle_xml(ret, &l);
    return r;
}

/* ---- headers -------------------------------------------------------------------------------- */

static int parse(struct arena *a, struct str text, void *made)
{
    struct str why;
    return lifecycle_parse(a, text, made, &why);
}

/* NULL: there are none, or they cannot be read, and then nothing is due either. */
static const struct lifecycle *rules_of(const struct s3_request *q)
{
    const void *made;
    int r = store_setting_made(q->bucket.settings, STORE_SETTING_LIFECYCLE,
                               sizeof(struct lifecycle), parse, &made);
    return r ? NULL : made;
}

int s3_shown_lifecycle(struct s3_request *q, struct buf *ret)
{
    const struct lifecycle *kept = rules_of(q);
    if (!kept) { /* for whoever is to find out why */
        buf_put_str(ret, store_setting_of(q->bucket.settings, STORE_SETTING_LIFECYCLE)->text);
        return 0;
    }
    struct lifecycle l = *kept;
    if (l.minimum != LIFECYCLE_MINIMUM_NONE)
        (void)http_set_header(q->x, MINIMUM, lifecycle_minimum_name(l.minimum));
    l.minimum = LIFECYCLE_MINIMUM_NONE;
    lifecycle_xml(ret, &l);
    return 0;
}

static struct str date_of(struct s3_request *q, uint64_t ms)
{
    char *text = arena_alloc(q->arena, DATE_HTTP_LEN);
    if (!text)
        return STR_NULL;
    date_format_http(ms, text);
    return str_make(text, DATE_HTTP_LEN);
}

/* The id may hold anything: it goes percent-encoded. */
static struct str id_of(struct s3_request *q, const struct lifecycle_rule *rule)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    uri_encode(&b, rule->id, false);
    return buf_error(&b) ? STR_NULL : arena_dup(q->arena, buf_str(&b));
}

void s3_set_expiration(struct s3_request *q, const struct store_object *o)
{
    const struct lifecycle *l = rules_of(q);
    struct lifecycle_subject s = {.key = q->key,
                                  .sized = true,
                                  .len_bytes = o->len_bytes,
                                  .tags = o->attrs.tags,
                                  .tag_count = o->attrs.tag_count};
    struct lifecycle_due due;
    if (!l || lifecycle_expiry(l, &s, o->mtime_ms, LIFECYCLE_DAY_MS, &due) || !due.rule)
        return;
    struct str date = date_of(q, due.due_ms), id = id_of(q, due.rule);
    if (date.ptr && id.ptr)
        (void)http_set_header(q->x, "x-amz-expiration",
                              arena_printf(q->arena, "expiry-date=\"%.*s\", rule-id=\"%.*s\"",
                                           STR_FMT(date), STR_FMT(id)));
}

void s3_set_abort(struct s3_request *q, uint64_t created_ms)
{
    const struct lifecycle *l = rules_of(q);
    struct lifecycle_due due;
    if (!l || lifecycle_abort(l, q->key, created_ms, LIFECYCLE_DAY_MS, &due) || !due.rule)
        return;
    struct str date = date_of(q, due.due_ms), id = id_of(q, due.rule);
    if (!date.ptr || !id.ptr)
        return;
    (void)http_set_header(q->x, "x-amz-abort-date", date);
    (void)http_set_header(q->x, "x-amz-abort-rule-id", id);
}
