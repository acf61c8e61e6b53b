/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "audit/line.h"
#include "base/encode.h"
#include "base/hash.h"
#include "wire/date.h"
#include "wire/json.h"

#define SEQ  ",\"seq\":"
#define PREV ",\"prev\":\""
#define HASH ",\"hash\":\""

#define FIELD_MAX 1024 /* the longest key */

static const char *const outcomes[] = {"begun", "done", "failed"};

static void put_whole(struct buf *b, const char *name, struct str value)
{
    if (!value.len)
        return;
    buf_put_char(b, ',');
    json_put_member(b, name, value);
}

/* What is longer than anything that names something is cut: nobody hides what he tries by making
 * its line too long. */
static void put_text(struct buf *b, const char *name, struct str value)
{
    put_whole(b, name, str_prefix(value, FIELD_MAX));
}

static void put_small(struct buf *b, const char *name, struct str value)
{
    if (value.ptr && value.len <= AUDIT_TEXT_MAX)
        put_whole(b, name, value);
}

static void put_number(struct buf *b, const char *name, uint64_t n)
{
    if (!n)
        return;
    buf_put_cstr(b, ",\"");
    buf_put_cstr(b, name);
    buf_put_cstr(b, "\":");
    buf_put_u64(b, n);
}

void audit_line_body(struct buf *b, const struct audit_record *r, uint64_t time_ms)
{
    char time[DATE_ISO_LEN];
    date_format_iso(time_ms, time);
    buf_put_char(b, '{');
    json_put_member(b, "time", str_make(time, sizeof(time)));
    put_text(b, "operation", r->operation);
    put_text(b, "outcome", str_from(outcomes[r->outcome]));
    put_number(b, "status", (uint64_t)r->status);
    put_text(b, "error", r->error);
    put_text(b, "user", r->user);
    put_text(b, "user_id", r->user_id);
    put_text(b, "access_key", r->access_key);
    put_text(b, "source", r->source);
    put_text(b, "agent", str_prefix(r->agent, 256));
    put_text(b, "request_id", r->request_id);
    put_text(b, "bucket", r->bucket);
    put_text(b, "key", r->key);
    put_text(b, "version", r->version);
    put_number(b, "bytes", r->bytes);
    put_small(b, "before", r->before);
    put_small(b, "after", r->after);
}

void audit_line_seal(struct buf *b, size_t start, uint64_t seq, char hash[AUDIT_HASH_LEN])
{
    uint8_t digest[HASH_SHA256_LEN];
    buf_put_str(b, STR(SEQ));
    buf_put_u64(b, seq);
    buf_put_str(b, STR(PREV));
    buf_put(b, hash, AUDIT_HASH_LEN);
    buf_put_char(b, '"');
    hash_sha256(str_from_offset(buf_str(b), start), digest);
    hex_encode(digest, sizeof(digest), hash);
    buf_put_str(b, STR(HASH));
    buf_put(b, hash, AUDIT_HASH_LEN);
    buf_put_str(b, STR("\"}\n"));
}

/* The digits behind `name` at the end of *line, which is cut before it. */
static bool take_hash(struct str *line, struct str name, struct str end, char ret[AUDIT_HASH_LEN])
{
    size_t len = name.len + AUDIT_HASH_LEN + end.len;
    if (line->len < len || !str_ends(*line, end))
        return false;
    struct str tail = str_from_offset(*line, line->len - len);
    if (!str_starts(tail, name))
        return false;
    memcpy(ret, tail.ptr + name.len, AUDIT_HASH_LEN);
    line->len -= len;
    return true;
}

bool audit_line_link(struct str line, struct audit_link *ret)
{
    uint8_t digest[HASH_SHA256_LEN];
    char hex[AUDIT_HASH_LEN];
    if (!take_hash(&line, STR(HASH), STR("\"}"), ret->hash))
        return false;
    hash_sha256(line, digest);
    hex_encode(digest, sizeof(digest), hex);
    ret->intact = memcmp(hex, ret->hash, sizeof(hex)) == 0;
    if (!take_hash(&line, STR(PREV), STR("\""), ret->prev))
        return false;
    size_t digits = line.len;
    while (digits > 0 && line.ptr[digits - 1] >= '0' && line.ptr[digits - 1] <= '9')
        digits--;
    struct str head = str_prefix(line, digits);
    return str_starts(line, STR("{")) && str_ends(head, STR(SEQ)) &&
           str_to_u64(str_from_offset(line, digits), &ret->seq) == 0;
}
