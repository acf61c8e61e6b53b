/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "events/message.h"
#include "base/encode.h"
#include "wire/date.h"
#include "wire/json.h"
#include "wire/uri.h"

/* ---- JSON ----------------------------------------------------------------------------------- */

static void put_time(struct buf *b, const char *name, uint64_t ms)
{
    char iso[DATE_ISO_LEN];
    date_format_iso(ms, iso);
    json_put_member(b, name, str_make(iso, sizeof(iso)));
}

static void put_hex(struct buf *b, const char *name, uint64_t n)
{
    buf_printf(b, "\"%s\":\"%016llX\"", name, (unsigned long long)n);
}

/* ---- an event ------------------------------------------------------------------------------- */

/* As in a form: a space is a plus. */
static void put_key(struct buf *b, struct str key)
{
    _cleanup_buf_ struct buf encoded;
    buf_init(&encoded, 4 * STORE_KEY_MAX);
    uri_encode(&encoded, key, true);
    struct str rest = buf_str(&encoded);
    buf_put_cstr(b, "\"key\":\"");
    for (ptrdiff_t at; (at = str_find(rest, STR("%20"), 0)) >= 0;) {
        buf_put_str(b, str_prefix(rest, (size_t)at));
        buf_put_char(b, '+');
        rest = str_from_offset(rest, (size_t)at + 3);
    }
    buf_put_str(b, rest);
    buf_put_char(b, '"');
}

static void put_etag(struct buf *b, const struct store_etag *etag)
{
    char hex[32];
    hex_encode(etag->md5, sizeof(etag->md5), hex);
    buf_printf(b, ",\"eTag\":\"%.*s", 32, hex);
    if (etag->parts)
        buf_printf(b, "-%u", etag->parts);
    buf_put_char(b, '"');
}

static void put_object(struct buf *b, const struct store_event *e)
{
    buf_put_cstr(b, "\"object\":{");
    put_key(b, e->key);
    if (e->what == STORE_CREATED || e->what == STORE_CHANGED) {
        buf_put_cstr(b, ",\"size\":");
        buf_put_u64(b, e->len_bytes);
        put_etag(b, &e->etag);
    }
    if (e->version)
        buf_printf(b, ",\"versionId\":\"%016llx\"", (unsigned long long)e->version);
    buf_put_char(b, ',');
    put_hex(b, "sequencer", e->seq);
    buf_put_char(b, '}');
}

static void put_bucket(struct buf *b, const struct outbox_row *row)
{
    buf_put_cstr(b, "\"bucket\":{");
    json_put_member(b, "name", row->bucket_name);
    buf_put_cstr(b, ",\"ownerIdentity\":{");
    json_put_member(b, "principalId", row->owner);
    buf_printf(b, "},\"arn\":\"arn:aws:s3:::%.*s\"}", STR_FMT(row->bucket_name));
}

static void put_record(struct buf *b, const struct outbox_row *row, struct str region)
{
    buf_put_cstr(b, "{\"eventVersion\":\"2.3\",\"eventSource\":\"aws:s3\",");
    json_put_member(b, "awsRegion", region);
    buf_put_char(b, ',');
    put_time(b, "eventTime", row->event.time_ms);
    buf_put_char(b, ',');
    json_put_member(b, "eventName", row->event.name);
    buf_put_cstr(b, ",\"userIdentity\":{");
    json_put_member(b, "principalId", row->requester);
    buf_put_cstr(b, "},\"requestParameters\":{");
    json_put_member(b, "sourceIPAddress", row->source);
    buf_put_cstr(b, "},\"responseElements\":{");
    json_put_member(b, "x-amz-request-id", row->request_id);
    buf_put_cstr(b, "},\"s3\":{\"s3SchemaVersion\":\"1.0\",");
    json_put_member(b, "configurationId", row->event.config);
    buf_put_char(b, ',');
    put_bucket(b, row);
    buf_put_char(b, ',');
    put_object(b, &row->event);
    buf_put_cstr(b, "}}");
}

static void put_test(struct buf *b, const struct outbox_row *row)
{
    buf_put_cstr(b, "{\"Service\":\"Amazon S3\",\"Event\":\"s3:TestEvent\",");
    put_time(b, "Time", row->event.time_ms);
    buf_put_char(b, ',');
    json_put_member(b, "Bucket", row->bucket_name);
    buf_put_char(b, ',');
    json_put_member(b, "RequestId", row->request_id);
    buf_put_char(b, ',');
    json_put_member(b, "HostId", STR("Cairn"));
    buf_put_char(b, '}');
}

/* No database keeps U+0000 in its texts: PostgreSQL would refuse the event for it. The key as it is
 * stands in the record, in a form's encoding. */
static void put_storable(struct buf *b, struct str key)
{
    for (size_t i = 0; i < key.len; i++)
        if (key.ptr[i])
            buf_put_char(b, key.ptr[i]);
        else
            buf_put_cstr(b, "\xEF\xBF\xBD"); /* U+FFFD */
}

void event_message_put(struct buf *out, const struct outbox_row *row, struct str region)
{
    if (str_eq(row->event.name, EVENT_TEST)) {
        put_test(out, row);
        return;
    }
    _cleanup_buf_ struct buf text;
    buf_init(&text, 4 * STORE_KEY_MAX);
    buf_put_cstr(&text, "s3:");
    buf_put_str(&text, row->event.name);
    buf_put_char(out, '{');
    json_put_member(out, "EventName", buf_str(&text));
    buf_reset(&text);
    buf_put_str(&text, row->bucket_name);
    buf_put_char(&text, '/');
    put_storable(&text, row->event.key);
    buf_put_char(out, ',');
    json_put_member(out, "Key", buf_str(&text));
    buf_put_cstr(out, ",\"Records\":[");
    put_record(out, row, region);
    buf_put_cstr(out, "]}");
}

void event_message_id(struct buf *out, const struct outbox_row *row)
{
    buf_printf(out, "%.*s/%016llX", STR_FMT(row->bucket_name), (unsigned long long)row->event.seq);
}
