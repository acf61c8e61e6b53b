/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "inventory/report.h"

#include "base/encode.h"
#include "wire/date.h"
#include "wire/json.h"
#include "wire/uri.h"

/* ---- values --------------------------------------------------------------------------------- */

static void put_bool(struct buf *b, bool v)
{
    buf_put_cstr(b, v ? "true" : "false");
}

static void put_time(struct buf *b, uint64_t ms)
{
    char text[DATE_ISO_LEN];
    date_format_iso(ms, text);
    buf_put(b, text, sizeof(text));
}

static void put_etag(struct buf *b, const struct store_etag *etag)
{
    char hex[2 * sizeof(etag->md5)];
    hex_encode(etag->md5, sizeof(etag->md5), hex);
    buf_put(b, hex, sizeof(hex));
    if (etag->parts)
        buf_printf(b, "-%u", etag->parts);
}

static void put_base64(struct buf *b, struct str text)
{
    char *room = buf_reserve(b, BASE64_LEN(text.len));
    if (!room)
        return;
    b->len += base64_encode(text.ptr, text.len, room);
    b->data[b->len] = '\0';
}

/* One that cannot be read is as good as unknown. */
static struct seal seal_of(const struct store_object *o)
{
    struct seal s = {.kind = SEAL_NONE};
    if (o->attrs.seal.len && seal_parse(o->attrs.seal, &s) < 0)
        s = (struct seal){.kind = SEAL_NONE};
    return s;
}

static const char *encryption_of(const struct store_object *o)
{
    switch (seal_of(o).kind) {
    case SEAL_S3:
        return "SSE-S3";
    case SEAL_KMS:
        return "SSE-KMS";
    case SEAL_C:
        return "SSE-C";
    default:
        return "NOT-SSE";
    }
}

static const char *bucket_key_of(const struct store_object *o)
{
    struct seal s = seal_of(o);
    return s.kind != SEAL_KMS ? "" : s.bucket_key ? "ENABLED" : "DISABLED";
}

static const char *lock_mode_of(const struct store_object *o)
{
    static const char *const modes[STORE_RETENTIONS] = {"", "GOVERNANCE", "COMPLIANCE"};
    return modes[o->attrs.lock.retention];
}

static const char *checksum_of(const struct store_object *o)
{
    static const char *const names[STORE_CHECKSUM_KINDS] = {
        [STORE_CRC32] = "CRC32",
        [STORE_CRC32C] = "CRC32C",
        [STORE_CRC64NVME] = "CRC64NVME",
        [STORE_SHA1] = "SHA1",
        [STORE_SHA256] = "SHA256",
        [STORE_SHA512] = "SHA512",
        [STORE_MD5] = "MD5",
        [STORE_XXHASH64] = "XXHASH64",
        [STORE_XXHASH3] = "XXHASH3",
        [STORE_XXHASH128] = "XXHASH128",
    };
    return o->checksum.present ? names[o->checksum.kind] : "";
}

/* ---- a row ---------------------------------------------------------------------------------- */

/* Of a delete marker. */
static void put_marker_field(struct buf *b, const struct store_object *o, enum inventory_field f)
{
    if (f == INVENTORY_LastModifiedDate)
        put_time(b, o->mtime_ms);
    else if (f == INVENTORY_ObjectOwner)
        buf_put_str(b, o->attrs.owner);
}

static void put_field(struct buf *b, const struct store_object *o, enum inventory_field f,
                      struct str grants)
{
    switch (f) {
    case INVENTORY_Size:
        buf_put_u64(b, o->len_bytes);
        break;
    case INVENTORY_LastModifiedDate:
        put_time(b, o->mtime_ms);
        break;
    case INVENTORY_ETag:
        put_etag(b, &o->etag);
        break;
    case INVENTORY_StorageClass:
        buf_put_str(b, o->attrs.storage_class.len ? o->attrs.storage_class : STR("STANDARD"));
        break;
    case INVENTORY_IsMultipartUploaded:
        put_bool(b, o->etag.parts > 0);
        break;
    case INVENTORY_EncryptionStatus:
        buf_put_cstr(b, encryption_of(o));
        break;
    case INVENTORY_ObjectLockRetainUntilDate:
        if (o->attrs.lock.retention != STORE_RETENTION_NONE)
            put_time(b, o->attrs.lock.until_ms);
        break;
    case INVENTORY_ObjectLockMode:
        buf_put_cstr(b, lock_mode_of(o));
        break;
    case INVENTORY_ObjectLockLegalHoldStatus:
        buf_put_cstr(b, o->attrs.lock.hold == STORE_HOLD_ON ? "On" : "Off");
        break;
    case INVENTORY_BucketKeyStatus:
        buf_put_cstr(b, bucket_key_of(o));
        break;
    case INVENTORY_ChecksumAlgorithm:
        buf_put_cstr(b, checksum_of(o));
        break;
    case INVENTORY_ObjectAccessControlList:
        put_base64(b, grants);
        break;
    case INVENTORY_ObjectOwner:
        buf_put_str(b, o->attrs.owner);
        break;
    default: /* nothing here is replicated or tiered by use */
        break;
    }
}

/* The null version's id is empty, as in AWS. */
static void put_version(struct buf *b, const struct store_object *o, bool is_latest)
{
    uint8_t be[8];
    char hex[16];
    put_be64(be, o->seq);
    hex_encode(be, sizeof(be), hex);
    buf_put_cstr(b, ",\"");
    if (!o->null_version)
        buf_put(b, hex, sizeof(hex));
    buf_printf(b, "\",\"%s\",\"%s\"", is_latest ? "true" : "false",
               o->delete_marker ? "true" : "false");
}

void inventory_row(struct buf *b, const struct inventory *i, struct str bucket,
                   const struct store_object *o, bool is_latest, struct str grants)
{
    buf_printf(b, "\"%.*s\",\"", STR_FMT(bucket));
    uri_encode(b, o->key, true);
    buf_put_char(b, '"');
    if (i->all_versions)
        put_version(b, o, is_latest);
    for (unsigned f = 0; f < INVENTORY_FIELD_COUNT; f++) {
        if (!inventory_has(i, f))
            continue;
        buf_put_cstr(b, ",\"");
        if (o->delete_marker)
            put_marker_field(b, o, f);
        else
            put_field(b, o, f, grants);
        buf_put_char(b, '"');
    }
    buf_put_char(b, '\n');
}

bool inventory_wants_records(const struct inventory *i)
{
    return inventory_has(i, INVENTORY_EncryptionStatus) ||
           inventory_has(i, INVENTORY_BucketKeyStatus) ||
           inventory_has(i, INVENTORY_ObjectAccessControlList);
}

/* ---- names ---------------------------------------------------------------------------------- */

/* "2016-11-06" and "21", "32", out of 2016-11-06T21:32:00.000Z */
static void put_moment(struct buf *b, uint64_t ms, char between, const char *end)
{
    char iso[DATE_ISO_LEN];
    date_format_iso(ms, iso);
    buf_printf(b, "%.10s%c%.2s-%.2s%s", iso, between, iso + 11, iso + 14, end);
}

/* A name for a file that no other report gives, and this one always. */
static void put_uuid(struct buf *b, const struct inventory_report *r, uint32_t number)
{
    uint8_t from[8 + 8 + 4 + INVENTORY_ID_MAX], bytes[16];
    char hex[32];
    CHECK(r->config->id.len <= INVENTORY_ID_MAX);
    put_be64(from, r->id.n);
    put_be64(from + 8, r->begun_ms);
    put_be32(from + 16, number);
    memcpy(from + 20, r->config->id.ptr, r->config->id.len);
    struct hash128 h = hash_xxh128(from, 20 + r->config->id.len);
    memcpy(bytes, &h, sizeof(bytes));
    bytes[6] = (bytes[6] & 0x0f) | 0x80; /* RFC 9562, version 8: made in a way of one's own */
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    hex_encode(bytes, sizeof(bytes), hex);
    buf_printf(b, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

void inventory_key(struct buf *b, const struct inventory_report *r, enum inventory_part part,
                   uint32_t number)
{
    struct str prefix = r->config->bucket_prefix;
    buf_put_str(b, prefix);
    if (prefix.len && !str_ends(prefix, STR("/")))
        buf_put_char(b, '/');
    buf_printf(b, "%.*s/%.*s/", STR_FMT(r->bucket), STR_FMT(r->config->id));
    switch (part) {
    case INVENTORY_DATA:
        buf_put_cstr(b, "data/");
        put_uuid(b, r, number);
        buf_put_cstr(b, ".csv.gz");
        break;
    case INVENTORY_SYMLINKS:
        buf_put_cstr(b, "hive/dt=");
        put_moment(b, r->begun_ms, '-', "/symlink.txt");
        break;
    default:
        put_moment(b, r->begun_ms, 'T', "Z/manifest.");
        buf_put_cstr(b, part == INVENTORY_MANIFEST ? "json" : "checksum");
        break;
    }
}

/* ---- manifests ------------------------------------------------------------------------------ */

static void put_schema(struct buf *b, const struct inventory *i)
{
    buf_put_cstr(b, "\"fileSchema\":\"Bucket, Key");
    if (i->all_versions)
        buf_put_cstr(b, ", VersionId, IsLatest, IsDeleteMarker");
    for (unsigned f = 0; f < INVENTORY_FIELD_COUNT; f++)
        if (inventory_has(i, f))
            buf_printf(b, ", %s", inventory_field_name(f));
    buf_put_char(b, '"');
}

static void put_file(struct buf *b, const struct inventory_report *r,
                     const struct inventory_file_note *f, uint32_t number)
{
    _cleanup_buf_ struct buf key;
    char md5[2 * HASH_MD5_LEN];
    buf_init(&key, 4 * STORE_KEY_MAX);
    inventory_key(&key, r, INVENTORY_DATA, number);
    hex_encode(f->md5, sizeof(f->md5), md5);
    buf_put_char(b, '{');
    json_put_member(b, "key", buf_str(&key));
    buf_printf(b, ",\"size\":%llu,", (unsigned long long)f->len_bytes);
    json_put_member(b, "MD5checksum", str_make(md5, sizeof(md5)));
    buf_put_char(b, '}');
}

void inventory_manifest(struct buf *b, const struct inventory_report *r,
                        const struct inventory_file_note *files, uint32_t count)
{
    buf_put_char(b, '{');
    json_put_member(b, "sourceBucket", r->bucket);
    buf_printf(b, ",\"destinationBucket\":\"arn:aws:s3:::%.*s\",", STR_FMT(r->config->bucket));
    buf_printf(b, "\"version\":\"2016-11-30\",\"creationTimestamp\":\"%llu\",",
               (unsigned long long)r->begun_ms);
    buf_put_cstr(b, "\"fileFormat\":\"CSV\",");
    put_schema(b, r->config);
    buf_put_cstr(b, ",\"files\":[");
    for (uint32_t n = 0; n < count; n++) {
        if (n)
            buf_put_char(b, ',');
        put_file(b, r, &files[n], n);
    }
    buf_put_cstr(b, "]}");
}

void inventory_symlinks(struct buf *b, const struct inventory_report *r, uint32_t count)
{
    for (uint32_t n = 0; n < count; n++) {
        buf_printf(b, "s3://%.*s/", STR_FMT(r->config->bucket));
        inventory_key(b, r, INVENTORY_DATA, n);
        buf_put_char(b, '\n');
    }
}
