/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * RestoreObject, and what answers tell of it. The work is a job's (jobs/restore.c).
 */

#include "s3/object/restore.h"
#include "lifecycle/lifecycle.h"
#include "s3/attrs.h"
#include "s3/bodies.h"
#include "s3/body.h"
#include "s3/notice.h"
#include "s3/version.h"
#include "store/upkeep/tiers.h"
#include "wire/date.h"

int s3_check_readable(struct s3_request *q, const struct store_object *o)
{
    if (store_is_readable(q->s3->store, o))
        return 0;
    s3_error_detail(q, "StorageClass", s3_storage_class_name(o->attrs.storage_class));
    return -ERR_ARCHIVED;
}

/* What there is to tell: nothing of an object that was not restored, or is archived again. */
enum told { TOLD_NOTHING, TOLD_ONGOING, TOLD_RESTORED };

static enum told told_of(struct s3_request *q, const struct store_object *o)
{
    if (!store_class_is_archive(q->s3->store, o->attrs.storage_class))
        return TOLD_NOTHING;
    if (o->attrs.restore.ongoing)
        return TOLD_ONGOING;
    return o->attrs.restore.until_ms > rt_wall_ms() ? TOLD_RESTORED : TOLD_NOTHING;
}

void s3_restore_header(struct s3_request *q, const struct store_object *o)
{
    const struct store_restore *restore = &o->attrs.restore;
    char date[DATE_HTTP_LEN];
    enum told told = told_of(q, o);
    if (told == TOLD_ONGOING) {
        (void)http_set_header(q->x, "x-amz-restore", STR("ongoing-request=\"true\""));
    } else if (told == TOLD_RESTORED) {
        date_format_http(restore->until_ms, date);
        (void)http_set_header(q->x, "x-amz-restore",
                              arena_printf(q->arena,
                                           "ongoing-request=\"false\", expiry-date=\"%.*s\"",
                                           (int)sizeof(date), date));
    }
}

int s3_restore_wanted(struct s3_request *q, bool *ret)
{
    struct str header = s3_header(q, STR("x-amz-optional-object-attributes")), rest = header, one;
    *ret = false;
    while (rest.len && str_cut(&rest, ',', &one)) {
        if (!str_eq(str_trim(one), STR("RestoreStatus")))
            return s3_error_argument(q, "x-amz-optional-object-attributes", header,
                                     "Invalid attribute name specified");
        *ret = true;
    }
    return 0;
}

void s3_restore_xml(struct s3_request *q, struct buf *b, const struct store_object *o)
{
    enum told told = told_of(q, o);
    if (told == TOLD_NOTHING)
        return;
    xml_open(b, "RestoreStatus");
    xml_element_bool(b, "IsRestoreInProgress", told == TOLD_ONGOING);
    if (told == TOLD_RESTORED)
        s3_xml_time(b, "RestoreExpiryDate", o->attrs.restore.until_ms);
    xml_close(b, "RestoreStatus");
}

static enum store_rank rank_of(struct str tier)
{
    return str_eq(tier, STR("Expedited")) ? STORE_EXPEDITED
           : str_eq(tier, STR("Bulk"))    ? STORE_BULK
                                          : STORE_ORDINARY;
}

static int FIBER restore(struct s3_request *q, const struct s3_restore *wanted)
{
    struct event_names names = EVENT_NAMES(EVENT_CREATED_PUT);
    struct store_restoring what = {
        .key = q->key,
        .version = q->version,
        .days = wanted->days,
        .rank = rank_of(wanted->tier),
        .until_ms = lifecycle_due_ms(rt_wall_ms(), wanted->days, q->s3->lifecycle_day_ms),
    };
    bool there = false;
    names.changed = EVENT_RESTORE_POST;
    int r = s3_notice(q, names, &what.notice);
    if (!r)
        r = store_restore(q->s3->store, q->bucket.id, &what, &there);
    return r ? r : s3_respond_empty(q, there ? 200 : 202);
}

int FIBER s3_restore_object(struct s3_request *q)
{
    struct s3_restore wanted;
    struct str body;
    int r = s3_body_all(q, 0, &body, NULL);
    if (!r)
        r = s3_body_restore(q->arena, body, &wanted);
    if (r == -ERR_INVALID_ARGUMENT)
        return s3_error(q, r, "Restoration days should be at least 1 and at most 36500");
    return r ? r : restore(q, &wanted);
}
