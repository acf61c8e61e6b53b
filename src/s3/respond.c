/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "s3/internal.h"

#include <stdio.h>
#include "base/encode.h"
#include "s3/checksum.h"
#include "wire/date.h"

int FIBER s3_respond_xml(struct s3_request *q, const struct buf *xml)
{
    int r = buf_error(xml);
    if (r)
        return r;
    (void)http_set_header(q->x, "Content-Type", STR("application/xml"));
    return http_respond(q->x, 200, buf_str(xml));
}

int FIBER s3_respond_empty(struct s3_request *q, int status)
{
    return http_respond(q->x, status, STR_NULL);
}

struct str s3_etag_format(const struct store_etag *etag, char ret[S3_ETAG_MAX])
{
    char *p = ret;
    *p++ = '"';
    hex_encode(etag->md5, sizeof(etag->md5), p);
    p += 2 * sizeof(etag->md5);
    if (etag->parts > 0)
        p += snprintf(p, (size_t)(ret + S3_ETAG_MAX - p), "-%u", etag->parts);
    *p++ = '"';
    return str_make(ret, (size_t)(p - ret));
}

void s3_set_etag(struct s3_request *q, const struct store_etag *etag)
{
    char text[S3_ETAG_MAX];
    (void)http_set_header(q->x, "ETag", s3_etag_format(etag, text));
}

/* A listing names one owner a thousand times: the last name is kept. */
struct str s3_display_name(struct s3_request *q, struct str user_id)
{
    if (!q->owner_name.ptr || !str_eq(q->owner_id, user_id)) {
        q->owner_id = user_id;
        q->owner_name = iam_display_name(q->s3->iam, q->arena, user_id);
    }
    return q->owner_name;
}

void s3_xml_owner(struct s3_request *q, struct buf *b, const char *element, struct str user_id)
{
    xml_open(b, element);
    xml_element(b, "ID", user_id);
    xml_element(b, "DisplayName", s3_display_name(q, user_id));
    xml_close(b, element);
}

void s3_xml_time(struct buf *b, const char *element, uint64_t ms)
{
    char text[DATE_ISO_LEN];
    date_format_iso(ms, text);
    xml_element(b, element, str_make(text, sizeof(text)));
}

void s3_xml_text(struct buf *b, const char *element, struct str text, bool url)
{
    if (!url) {
        xml_element(b, element, text);
        return;
    }
    xml_open(b, element);
    uri_encode(b, text, true);
    xml_close(b, element);
}

struct str s3_checksum_type(const struct store_checksum *c)
{
    return c->composite ? STR("COMPOSITE") : STR("FULL_OBJECT");
}

void s3_set_checksum_value(struct s3_request *q, const struct store_checksum *c, uint32_t parts)
{
    char text[CHECKSUM_TEXT_MAX];
    if (c->present)
        (void)http_set_header(q->x, s3_checksum_header(c->kind),
                              s3_checksum_format(c, parts, text));
}

void s3_set_checksum(struct s3_request *q, const struct store_checksum *c, uint32_t parts)
{
    if (!c->present)
        return;
    s3_set_checksum_value(q, c, parts);
    (void)http_set_header(q->x, "x-amz-checksum-type", s3_checksum_type(c));
}

void s3_xml_checksum(struct buf *b, const struct store_checksum *c, uint32_t parts, bool with_type)
{
    char text[CHECKSUM_TEXT_MAX];
    if (!c->present)
        return;
    xml_element(b, s3_checksum_element(c->kind), s3_checksum_format(c, parts, text));
    if (with_type)
        xml_element(b, "ChecksumType", s3_checksum_type(c));
}

void s3_xml_etag(struct buf *b, const struct store_etag *etag)
{
    char text[S3_ETAG_MAX];
    xml_element(b, "ETag", s3_etag_format(etag, text));
}
