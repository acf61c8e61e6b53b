/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * GetObjectAttributes, and GetObjectTorrent, which never has anything to tell.
 * Source: S3 API Reference, "GetObjectAttributes".
 */

#include "s3/acl_request.h"
#include "s3/attrs.h"
#include "s3/checksum.h"
#include "s3/sse.h"
#include "s3/version.h"

#define ATTRIBUTES_HEADER STR("x-amz-object-attributes")

enum attribute { WANT_ETAG, WANT_CHECKSUM, WANT_PARTS, WANT_CLASS, WANT_SIZE, ATTRIBUTES };

struct attributes {
    bool wanted[ATTRIBUTES];
    uint64_t max, after; /* of the parts */
};

/* ---- what is asked -------------------------------------------------------------------------- */

static int want(struct s3_request *q, struct attributes *a, struct str name)
{
    static const char *const names[ATTRIBUTES] = {
        [WANT_ETAG] = "ETag",          [WANT_CHECKSUM] = "Checksum", [WANT_PARTS] = "ObjectParts",
        [WANT_CLASS] = "StorageClass", [WANT_SIZE] = "ObjectSize",
    };
    for (unsigned i = 0; i < ATTRIBUTES; i++)
        if (str_eq(name, str_from(names[i]))) {
            a->wanted[i] = true;
            return 0;
        }
    return s3_error_argument(q, ATTRIBUTES_HEADER.ptr, name, "Invalid attribute name specified.");
}

/* One header with a list, or a header an attribute: SDKs send both. */
static int read_wanted(struct s3_request *q, struct attributes *a)
{
    unsigned count = 0;
    for (unsigned i = 0; i < q->head->header_count; i++) {
        struct str list = q->head->headers[i].value, name;
        if (!str_eq_nocase(q->head->headers[i].name, ATTRIBUTES_HEADER))
            continue;
        while (str_cut(&list, ',', &name)) {
            int r = want(q, a, str_trim(name));
            if (r)
                return r;
            count++;
        }
    }
    if (count)
        return 0;
    return s3_error(q, -ERR_INVALID_REQUEST,
                    "The x-amz-object-attributes header specifying the attributes to be retrieved "
                    "is either missing or empty");
}

static int read_number(struct s3_request *q, struct str header, uint64_t otherwise, uint64_t *ret)
{
    struct str text = http_header(q->x, header);
    *ret = otherwise;
    if (!text.ptr || str_to_u64(text, ret) == 0)
        return 0;
    return s3_error_argument(q, header.ptr, text, "The value must be a whole number");
}

static int read_request(struct s3_request *q, struct attributes *a)
{
    *a = (struct attributes){0};
    int r = read_wanted(q, a);
    if (!r)
        r = read_number(q, STR("x-amz-max-parts"), STORE_LIST_MAX, &a->max);
    if (!r)
        r = read_number(q, STR("x-amz-part-number-marker"), 0, &a->after);
    a->max = MIN(a->max, (uint64_t)STORE_LIST_MAX);
    return r;
}

/* ---- what is answered ----------------------------------------------------------------------- */

/* Here, unlike anywhere else, S3 writes the tag without quotes. */
static void put_etag(struct buf *b, const struct store_etag *etag)
{
    char text[S3_ETAG_MAX];
    struct str quoted = s3_etag_format(etag, text);
    xml_element(b, "ETag", str_make(quoted.ptr + 1, quoted.len - 2));
}

/* And a composite checksum without the number of parts. */
static void put_checksum(struct buf *b, const struct store_checksum *c)
{
    struct store_checksum bare = *c;
    if (!c->present)
        return;
    bare.composite = false;
    xml_open(b, "Checksum");
    s3_xml_checksum(b, &bare, 0, false);
    xml_element(b, "ChecksumType", s3_checksum_type(c));
    xml_close(b, "Checksum");
}

static void put_part(struct buf *b, const struct store_part_info *p)
{
    xml_open(b, "Part");
    xml_element_u64(b, "PartNumber", p->number);
    xml_element_u64(b, "Size", p->len_bytes);
    s3_xml_checksum(b, &p->checksum, 0, false);
    xml_close(b, "Part");
}

static void put_parts(struct buf *b, const struct attributes *a, const struct store_object *o)
{
    size_t first = 0, end;
    while (first < o->part_count && o->parts[first].number <= a->after)
        first++;
    end = first + MIN(a->max, (uint64_t)(o->part_count - first));
    xml_open(b, "ObjectParts");
    xml_element_u64(b, "PartsCount", o->part_count);
    xml_element_u64(b, "PartNumberMarker", a->after);
    xml_element_u64(b, "NextPartNumberMarker", end > first ? o->parts[end - 1].number : 0);
    xml_element_u64(b, "MaxParts", a->max);
    xml_element_bool(b, "IsTruncated", end < o->part_count);
    for (size_t i = first; i < end; i++)
        put_part(b, &o->parts[i]);
    xml_close(b, "ObjectParts");
}

static int FIBER respond(struct s3_request *q, const struct attributes *a,
                         const struct store_object *o)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    xml_begin(&b);
    xml_open_ns(&b, "GetObjectAttributesResponse", S3_XMLNS);
    if (a->wanted[WANT_ETAG])
        put_etag(&b, &o->etag);
    if (a->wanted[WANT_CHECKSUM])
        put_checksum(&b, &o->checksum);
    if (a->wanted[WANT_PARTS] && o->part_count)
        put_parts(&b, a, o);
    if (a->wanted[WANT_CLASS])
        xml_element(&b, "StorageClass", s3_storage_class_name(o->attrs.storage_class));
    if (a->wanted[WANT_SIZE])
        xml_element_u64(&b, "ObjectSize", o->len_bytes);
    xml_close(&b, "GetObjectAttributesResponse");
    s3_set_modified(q, o);
    s3_set_version(q, o);
    return s3_respond_xml(q, &b);
}

/* It may be another object than the one that was judged. */
static int FIBER still_allowed(struct s3_request *q, const struct store_object *o)
{
    return s3_still_allowed(q, s3_action(q->op->action, s3_param(q, "versionId").ptr != NULL),
                            &q->bucket, q->key, STR_NULL, o);
}

static int FIBER answer(struct s3_request *q, const struct attributes *a,
                        const struct store_object *o)
{
    int r = s3_sse_check(q, o);
    return r ? r : respond(q, a, o);
}

/* `If-*` are about the version that is told of, as in GetObject. */
static int FIBER tell(struct s3_request *q, const struct attributes *a)
{
    struct store_conditions conditions;
    struct store_reader *reader = NULL;
    s3_conditions_read(q, false, &conditions);
    int r = store_get(q->s3->store, q->bucket.id, q->key, q->version, &conditions, &reader);
    int allowed = reader ? still_allowed(q, store_reader_object(reader)) : 0;
    if (allowed)
        r = allowed;
    else if (!r)
        r = answer(q, a, store_reader_object(reader));
    else if (r == -ERR_NOT_MODIFIED)
        s3_not_modified_headers(q, store_reader_object(reader));
    else
        r = s3_explain_marker(q, reader, s3_explain_condition(q, r, &conditions));
    if (reader)
        store_reader_close(reader);
    return r;
}

/* What is told is of the object: the right to read it is needed beside that to its attributes. */
int FIBER s3_get_object_attributes(struct s3_request *q)
{
    struct attributes a;
    int r = s3_authorise(q, s3_action("s3:GetObject", s3_param(q, "versionId").ptr != NULL),
                         &q->bucket, q->key);
    if (!r)
        r = read_request(q, &a);
    return r ? r : tell(q, &a);
}

/* No object has a torrent: what is asked for is not there. */
int FIBER s3_get_object_torrent(struct s3_request *q)
{
    (void)q;
    return -ERR_NO_SUCH_KEY;
}
