/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "s3/body.h"

#include "base/encode.h"

/* ---- what the headers promise --------------------------------------------------------------- */

static bool is_streaming(const struct s3_request *q)
{
    return q->auth.payload == SIGV4_PAYLOAD_CHUNKED ||
           q->auth.payload == SIGV4_PAYLOAD_CHUNKED_TRAILER ||
           q->auth.payload == SIGV4_PAYLOAD_UNSIGNED_TRAILER;
}

static bool has_trailers(const struct s3_request *q)
{
    return q->auth.payload == SIGV4_PAYLOAD_CHUNKED_TRAILER ||
           q->auth.payload == SIGV4_PAYLOAD_UNSIGNED_TRAILER;
}

static int find_length(struct s3_body *b)
{
    struct s3_request *q = b->q;
    if (is_streaming(q)) {
        struct str text = http_header(q->x, STR("x-amz-decoded-content-length"));
        if (str_to_u64(text, &b->length))
            return -ERR_MISSING_LENGTH;
    } else {
        b->length = http_body_length(q->x);
        bool none =
            q->head->body == HTTP1_BODY_NONE && !http_header(q->x, STR("content-length")).ptr;
        if (b->length == UINT64_MAX || (none && !(b->flags & S3_BODY_OPTIONAL)))
            return -ERR_MISSING_LENGTH;
    }
    if (b->length <= STORE_OBJECT_MAX)
        return 0;
    s3_error_detail(q, "ProposedSize",
                    arena_printf(q->arena, "%llu", (unsigned long long)b->length));
    s3_error_detail(q, "MaxSizeAllowed", arena_printf(q->arena, "%llu", STORE_OBJECT_MAX));
    return -ERR_ENTITY_TOO_LARGE;
}

static int find_content_md5(struct s3_body *b)
{
    struct str text = s3_field(b->q, STR("content-md5"));
    size_t len;
    if (!text.ptr)
        return 0;
    if (base64_decode(text, b->content_md5, sizeof(b->content_md5), &len) || len != HASH_MD5_LEN) {
        s3_error_detail(b->q, "Content-MD5", text);
        return s3_error(b->q, -ERR_INVALID_DIGEST, "The Content-MD5 you specified was invalid.");
    }
    b->has_content_md5 = true;
    return 0;
}

static int one_only(struct s3_request *q)
{
    return s3_error(q, -ERR_INVALID_REQUEST,
                    "Expecting a single x-amz-checksum- header. Multiple checksum Types are not "
                    "allowed.");
}

int s3_checksum_unknown(struct s3_request *q)
{
    return s3_error(
        q, -ERR_INVALID_REQUEST,
        "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
        "[CRC32, CRC32C, CRC64NVME, MD5, SHA1, SHA256, SHA512, XXHASH128, XXHASH3, XXHASH64]");
}

int s3_checksum_mismatch(struct s3_request *q, enum store_checksum_kind expected,
                         const char *actual)
{
    struct str own = arena_lower(q->arena, str_from(s3_checksum_name(expected)));
    struct str other = arena_lower(q->arena, str_from(actual ? actual : "null"));
    return s3_error(q, -ERR_INVALID_REQUEST,
                    "Checksum Type mismatch occurred, expected checksum Type: %.*s, actual "
                    "checksum Type: %.*s",
                    STR_FMT(own), STR_FMT(other));
}

/* A checksum of a kind that is not known would be one that nobody looks at. */
static bool is_known_checksum(struct str name)
{
    static const char *const others[] = {"algorithm", "type", "mode"};
    struct str prefix = STR("x-amz-checksum-");
    if (!str_starts_nocase(name, prefix))
        return true;
    for (unsigned kind = 0; kind < STORE_CHECKSUM_KINDS; kind++)
        if (str_eq_nocase(name, str_from(s3_checksum_header(kind))))
            return true;
    for (unsigned i = 0; i < ARRAY_LEN(others); i++)
        if (str_eq_nocase(str_from_offset(name, prefix.len), str_from(others[i])))
            return true;
    return false;
}

static int refuse_unknown(struct s3_body *b)
{
    const struct http1_request *head = b->q->head;
    const struct form_head *form = b->q->form;
    bool known = true;
    for (unsigned i = 0; !form && i < head->header_count; i++)
        known &= is_known_checksum(head->headers[i].name);
    for (size_t i = 0; form && i < form->count; i++)
        known &= is_known_checksum(form->fields[i].name);
    return known ? 0
                 : s3_error(b->q, -ERR_INVALID_REQUEST,
                            "The algorithm type you specified in x-amz-checksum- header is "
                            "invalid.");
}

/* How many were sent is told before what is in them. */
static int find_checksum_header(struct s3_body *b)
{
    struct str value = STR_NULL;
    uint32_t parts;
    int r = refuse_unknown(b);
    if (r)
        return r;
    for (unsigned kind = 0; kind < STORE_CHECKSUM_KINDS; kind++) {
        struct str text = s3_field(b->q, str_from(s3_checksum_header(kind)));
        if (!text.ptr)
            continue;
        if (b->has_checksum)
            return one_only(b->q);
        b->has_checksum = true;
        b->kind = kind;
        value = text;
    }
    if (b->has_checksum && (s3_checksum_parse(b->kind, value, &b->promised, &parts) || parts > 0))
        return s3_error(b->q, -ERR_BAD_DIGEST, "Value for %s header is invalid.",
                        s3_checksum_header(b->kind));
    return 0;
}

/* x-amz-trailer: one name, of a checksum. */
static int find_checksum_trailer(struct s3_body *b)
{
    struct str name = http_header(b->q->x, STR("x-amz-trailer"));
    if (!name.ptr)
        return 0;
    if (!has_trailers(b->q))
        return s3_error(b->q, -ERR_INVALID_REQUEST,
                        "The x-amz-trailer header needs a streaming payload with a trailer.");
    for (unsigned kind = 0; kind < STORE_CHECKSUM_KINDS; kind++) {
        if (!str_eq_nocase(name, str_from(s3_checksum_header(kind))))
            continue;
        if (b->has_checksum)
            return one_only(b->q);
        b->has_checksum = b->in_trailer = true;
        b->kind = kind;
        return 0;
    }
    return s3_error(b->q, -ERR_INVALID_REQUEST,
                    "The value specified in the x-amz-trailer header is not supported");
}

/* x-amz-sdk-checksum-algorithm announces what the SDK adds: it must be there, and be that. */
static int check_announced(struct s3_body *b)
{
    struct str name = http_header(b->q->x, STR("x-amz-sdk-checksum-algorithm"));
    enum store_checksum_kind kind;
    if (!name.ptr)
        return 0;
    if (!s3_checksum_kind_parse(name, &kind))
        return s3_error(b->q, -ERR_INVALID_REQUEST,
                        "Value for x-amz-sdk-checksum-algorithm header is invalid.");
    if (!b->has_checksum)
        return s3_error(b->q, -ERR_INVALID_REQUEST,
                        "x-amz-sdk-checksum-algorithm specified, but no corresponding "
                        "x-amz-checksum-* or x-amz-trailer headers were found.");
    if (kind != b->kind)
        return s3_error(b->q, -ERR_INVALID_REQUEST,
                        "Value for x-amz-sdk-checksum-algorithm header is invalid.");
    return 0;
}

static int find_checksum(struct s3_body *b)
{
    if (b->flags & S3_BODY_FOREIGN_CHECKSUM)
        return 0;
    int r = find_checksum_header(b);
    if (!r)
        r = find_checksum_trailer(b);
    return r ? r : check_announced(b);
}

/* ---- the machines --------------------------------------------------------------------------- */

static int start_digests(struct s3_body *b)
{
    int r = 0;
    b->with_md5 = b->has_content_md5 || (b->flags & S3_BODY_MD5);
    if (b->with_md5)
        md5_init(&b->md5);
    if (b->has_checksum)
        r = s3_checksum_init(&b->sums[0], b->kind);
    else if (b->flags & S3_BODY_CHECKSUM)
        r = s3_checksum_init(&b->sums[0], STORE_CRC64NVME);
    if (!r && b->q->auth.payload == SIGV4_PAYLOAD_HASH)
        r = hash_stream_new(&b->sha256, HASH_SHA256);
    return r;
}

static int start_chunked(struct s3_body *b)
{
    struct s3_request *q = b->q;
    bool is_signed = q->auth.payload != SIGV4_PAYLOAD_UNSIGNED_TRAILER;
    struct aws_chunked_config config = {
        .payload = q->auth.payload,
        .key = is_signed ? q->signing_key : NULL,
        .auth = is_signed ? &q->auth : NULL,
        .decoded_length = b->length,
        .trailer_names = has_trailers(q) ? http_header(q->x, STR("x-amz-trailer")) : STR_NULL,
    };
    return aws_chunked_new(&b->chunked, q->arena, &config);
}

int s3_body_open(struct s3_body *b, struct s3_request *q, unsigned flags)
{
    *b = (struct s3_body){.q = q, .flags = flags};
    int r = find_length(b);
    if (!r)
        r = find_content_md5(b);
    if (!r)
        r = find_checksum(b);
    if (!r)
        r = start_digests(b);
    if (!r && is_streaming(q))
        r = start_chunked(b);
    return r;
}

int s3_body_open_form(struct s3_body *b, struct s3_request *q, uint64_t most)
{
    *b = (struct s3_body){.q = q, .flags = S3_BODY_MD5 | S3_BODY_CHECKSUM, .length = most};
    int r = find_content_md5(b);
    if (!r)
        r = find_checksum_header(b);
    return r ? r : start_digests(b);
}

int s3_body_also(struct s3_body *b, enum store_checksum_kind kind)
{
    CHECK(!b->sums[1].used);
    return s3_checksum_init(&b->sums[1], kind);
}

void s3_body_release(struct s3_body *b)
{
    aws_chunked_free(b->chunked);
    s3_checksum_release(&b->sums[0]);
    s3_checksum_release(&b->sums[1]);
    hash_stream_free(b->sha256);
    b->chunked = NULL;
    b->sha256 = NULL;
}

/* ---- the bytes ------------------------------------------------------------------------------ */

struct pump {
    struct s3_body *b;
    int (*sink)(const void *data, size_t len, void *arg);
    void *arg;
    bool ended; /* the framing said so */
};

static int FIBER take(struct pump *p, struct str data)
{
    struct s3_body *b = p->b;
    if (data.len == 0)
        return 0;
    if (data.len > b->length - b->seen)
        return -ERR_INCOMPLETE_BODY;
    b->seen += data.len;
    if (b->with_md5)
        s3_digests_update(b->q->s3, &b->md5, b->sha256, data);
    else if (b->sha256)
        hash_stream_update(b->sha256, data.ptr, data.len);
    for (unsigned i = 0; i < ARRAY_LEN(b->sums); i++)
        if (b->sums[i].used)
            s3_checksum_update(&b->sums[i], data.ptr, data.len);
    return p->sink(data.ptr, data.len, p->arg);
}

static int FIBER take_framed(struct pump *p, struct str piece)
{
    while (piece.len > 0) {
        struct str data = STR_NULL;
        size_t used = 0;
        if (p->ended)
            return aws_chunked_behind(p->b->chunked, piece);
        int r = aws_chunked_next(p->b->chunked, piece, &used, &data);
        if (r < 0)
            return r;
        p->ended = r == 1;
        r = take(p, data);
        if (r)
            return r;
        CHECK(used <= piece.len);
        piece = str_from_offset(piece, used);
    }
    return 0;
}

static int FIBER read_all(struct pump *p)
{
    for (;;) {
        struct str piece;
        int r = http_body_next(p->b->q->x, &piece);
        if (r)
            return r;
        if (piece.len == 0)
            break;
        r = p->b->chunked ? take_framed(p, piece) : take(p, piece);
        if (r)
            return r;
    }
    if (p->b->chunked && !p->ended)
        return aws_chunked_eof(p->b->chunked);
    return p->b->seen == p->b->length ? 0 : -ERR_INCOMPLETE_BODY;
}

/* ---- the checks ----------------------------------------------------------------------------- */

static int wrong_md5(struct s3_body *b)
{
    char text[BASE64_LEN(HASH_MD5_LEN)];
    size_t len = base64_encode(b->md5_value, HASH_MD5_LEN, text);
    s3_error_detail(b->q, "ExpectedDigest", s3_field(b->q, STR("content-md5")));
    s3_error_detail(b->q, "CalculatedDigest", arena_dup(b->q->arena, str_make(text, len)));
    return s3_error(b->q, -ERR_BAD_DIGEST,
                    "The Content-MD5 you specified did not match what we received.");
}

static int check_md5(struct s3_body *b)
{
    if (!b->with_md5)
        return 0;
    md5_finish(&b->md5, b->md5_value);
    if (b->has_content_md5 && memcmp(b->md5_value, b->content_md5, HASH_MD5_LEN) != 0)
        return wrong_md5(b);
    return 0;
}

static int check_sha256(struct s3_body *b)
{
    uint8_t got[HASH_SHA256_LEN];
    char hex[2 * HASH_SHA256_LEN];
    if (!b->sha256)
        return 0;
    hash_stream_finish(TAKE_PTR(b->sha256), got);
    if (memcmp(got, b->q->auth.payload_hash, sizeof(got)) == 0)
        return 0;
    hex_encode(b->q->auth.payload_hash, sizeof(got), hex);
    s3_error_detail(b->q, "ClientComputedContentSHA256",
                    arena_dup(b->q->arena, str_make(hex, sizeof(hex))));
    hex_encode(got, sizeof(got), hex);
    s3_error_detail(b->q, "S3ComputedContentSHA256",
                    arena_dup(b->q->arena, str_make(hex, sizeof(hex))));
    return -ERR_SHA256_MISMATCH;
}

static int read_trailer(struct s3_body *b)
{
    const char *name = s3_checksum_header(b->kind);
    struct str text = aws_chunked_trailer(b->chunked, str_from(name));
    uint32_t parts;
    if (!text.ptr)
        return -ERR_MALFORMED_TRAILER;
    if (s3_checksum_parse(b->kind, text, &b->promised, &parts) || parts > 0)
        return s3_error(b->q, -ERR_BAD_DIGEST, "Value for %s trailing header is invalid.", name);
    return 0;
}

static int check_checksum(struct s3_body *b)
{
    if (b->sums[1].used)
        b->also = s3_checksum_finish(&b->sums[1]);
    if (!b->sums[0].used)
        return 0;
    b->checksum = s3_checksum_finish(&b->sums[0]);
    int r = b->in_trailer ? read_trailer(b) : 0;
    if (r)
        return r;
    if (b->has_checksum && !s3_checksum_eq(&b->promised, &b->checksum))
        return s3_error(b->q, -ERR_BAD_DIGEST,
                        "The %s you specified did not match the calculated checksum.",
                        s3_checksum_name(b->kind));
    return 0;
}

int FIBER s3_body_pump(struct s3_body *b, int (*sink)(const void *data, size_t len, void *arg),
                       void *arg)
{
    struct pump p = {.b = b, .sink = sink, .arg = arg};
    int r = read_all(&p);
    return r ? r : s3_body_finish(b);
}

int FIBER s3_body_feed(struct s3_body *b, struct str data,
                       int (*sink)(const void *data, size_t len, void *arg), void *arg)
{
    struct pump p = {.b = b, .sink = sink, .arg = arg};
    return take(&p, data);
}

int s3_body_finish(struct s3_body *b)
{
    int r = check_md5(b);
    if (!r)
        r = check_sha256(b);
    return r ? r : check_checksum(b);
}

/* ---- whole bodies --------------------------------------------------------------------------- */

struct whole {
    char *data;
    size_t len;
};

static int append(const void *data, size_t len, void *arg)
{
    struct whole *w = arg;
    memcpy(w->data + w->len, data, len);
    w->len += len;
    return 0;
}

int FIBER s3_body_all(struct s3_request *q, unsigned flags, struct str *ret, bool *ret_digest)
{
    _cleanup_body_ struct s3_body b;
    int r = s3_body_open(&b, q, flags | S3_BODY_OPTIONAL);
    if (r)
        return r;
    if (b.length > q->op->body_max)
        return -ERR_MAX_MESSAGE_LENGTH;
    struct whole w = {.data = arena_alloc(q->arena, b.length + 1)};
    if (!w.data)
        return -ENOMEM;
    r = s3_body_pump(&b, append, &w);
    if (r)
        return r;
    w.data[w.len] = 0;
    *ret = q->document = str_make(w.data, w.len);
    if (ret_digest)
        *ret_digest = b.has_content_md5 || b.has_checksum;
    return 0;
}

int FIBER s3_body_config(struct s3_request *q, struct str *ret)
{
    bool vouched;
    int r = s3_body_all(q, 0, ret, &vouched);
    if (r || vouched)
        return r;
    return s3_error(q, -ERR_INVALID_REQUEST,
                    "Missing required header for this request: Content-MD5 OR x-amz-checksum-*");
}
