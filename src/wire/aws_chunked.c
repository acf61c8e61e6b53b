/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 *   SIZE_LINE -> DATA -> DATA_CR -> DATA_LF -> SIZE_LINE
 *   SIZE_LINE (size 0) -> TRAILER_LINE ... -> ENDED
 *
 * Invariants: `left` is what the chunk under way still owes, `owed` what chunks not yet announced
 * must hold together; `chain` is the last signature that was verified, `announced` that of the
 * chunk under way; `failure` is the one code returned from then on.
 */

#include "wire/aws_chunked.h"
#include "base/encode.h"
#include "base/error.h"
#include "wire/chars.h"

#define SIGNATURE_LEN 64
#define SIZE_DIGITS   15 /* no size comes near an overflow */

enum state { SIZE_LINE, DATA, DATA_CR, DATA_LF, TRAILER_LINE, ENDED };

struct trailer {
    struct str name, value;
};

struct aws_chunked {
    struct aws_chunked_config config;
    struct arena *arena;
    enum state state;
    int failure;
    uint64_t left, owed;
    bool saw_small;             /* only the last chunk may be: another one ends the stream badly */
    struct hash_stream *digest; /* of the chunk under way; later of the trailers */
    char chain[SIGNATURE_LEN], announced[SIGNATURE_LEN];
    struct trailer trailers[AWS_CHUNK_TRAILERS];
    unsigned trailer_count;
    bool trailers_signed, saw_empty_line;
    unsigned behind; /* bytes of the empty line behind the end */
    char line[AWS_CHUNK_LINE_MAX];
    size_t line_len;
};

static bool is_signed(const struct aws_chunked *c)
{
    return c->config.payload != SIGV4_PAYLOAD_UNSIGNED_TRAILER;
}

static bool takes_trailers(const struct aws_chunked *c)
{
    return c->config.payload != SIGV4_PAYLOAD_CHUNKED;
}

/* ---- life -------------------------------------------------------------------------------------
 */

static int check_declared(const struct aws_chunked_config *config)
{
    struct str rest = config->trailer_names, name;
    if (rest.len == 0)
        return 0;
    if (config->payload == SIGV4_PAYLOAD_CHUNKED)
        return -ERR_MALFORMED_TRAILER;
    for (unsigned count = 0; str_cut(&rest, ',', &name); count++)
        if (count == AWS_CHUNK_TRAILERS || str_trim(name).len == 0)
            return -ERR_MALFORMED_TRAILER;
    return 0;
}

int aws_chunked_new(struct aws_chunked **ret, struct arena *a,
                    const struct aws_chunked_config *config)
{
    CHECK(config->payload == SIGV4_PAYLOAD_CHUNKED ||
          config->payload == SIGV4_PAYLOAD_CHUNKED_TRAILER ||
          config->payload == SIGV4_PAYLOAD_UNSIGNED_TRAILER);
    int rc = check_declared(config);
    if (rc < 0)
        return rc;
    struct aws_chunked *c = arena_new(a, struct aws_chunked);
    if (!c)
        return -ENOMEM;
    c->config = *config;
    c->arena = a;
    c->owed = config->decoded_length;
    if (is_signed(c)) {
        CHECK(config->key && config->auth && config->auth->signature_hex.len == SIGNATURE_LEN);
        memcpy(c->chain, config->auth->signature_hex.ptr, SIGNATURE_LEN);
    }
    *ret = c;
    return 0;
}

void aws_chunked_free(struct aws_chunked *c)
{
    if (!c)
        return;
    hash_stream_free(c->digest);
    c->digest = NULL;
}

/* ---- signatures ---------------------------------------------------------------------------------
 */

/* The digest of what was fed since the last call. */
static void finish_digest(struct aws_chunked *c, uint8_t ret[HASH_SHA256_LEN])
{
    if (c->digest)
        hash_stream_finish(TAKE_PTR(c->digest), ret);
    else
        hash_sha256(STR(""), ret);
}

static int feed_digest(struct aws_chunked *c, struct str bytes)
{
    if (!c->digest) {
        int rc = hash_stream_new(&c->digest, HASH_SHA256);
        if (rc < 0)
            return rc;
    }
    hash_stream_update(c->digest, bytes.ptr, bytes.len);
    return 0;
}

static int verify_chunk(struct aws_chunked *c)
{
    uint8_t digest[HASH_SHA256_LEN];
    char computed[SIGNATURE_LEN];
    if (!is_signed(c))
        return 0;
    finish_digest(c, digest);
    sigv4_chunk_signature(c->config.key, c->config.auth, c->chain, digest, computed);
    if (!str_eq_secret(str_make(computed, SIGNATURE_LEN), str_make(c->announced, SIGNATURE_LEN)))
        return -ERR_SIGNATURE_MISMATCH;
    memcpy(c->chain, computed, SIGNATURE_LEN);
    return 0;
}

static int verify_trailers(struct aws_chunked *c, struct str given)
{
    uint8_t digest[HASH_SHA256_LEN];
    char computed[SIGNATURE_LEN];
    finish_digest(c, digest);
    sigv4_trailer_signature(c->config.key, c->config.auth, c->chain, digest, computed);
    if (!str_eq_secret(str_make(computed, SIGNATURE_LEN), given))
        return -ERR_SIGNATURE_MISMATCH;
    c->trailers_signed = true;
    return 0;
}

/* ---- size lines ---------------------------------------------------------------------------------
 */

/* `;chunk-signature=` and 64 digits in the signed modes, nothing in the other. */
static int read_extension(struct aws_chunked *c, struct str s)
{
    if (!is_signed(c))
        return s.len == 0 ? 0 : -ERR_PARSE;
    const struct str prefix = STR(";chunk-signature=");
    if (!str_starts(s, prefix) || s.len != prefix.len + SIGNATURE_LEN)
        return -ERR_SIGNATURE_MISMATCH;
    memcpy(c->announced, s.ptr + prefix.len, SIGNATURE_LEN);
    return 0;
}

static int start_data(struct aws_chunked *c, uint64_t size)
{
    if (c->saw_small || (is_signed(c) && size > AWS_CHUNK_MAX))
        return -ERR_INVALID_CHUNK_SIZE;
    if (size > c->owed)
        return -ERR_INCOMPLETE_BODY;
    c->saw_small = size < AWS_CHUNK_MIN;
    c->owed -= size;
    c->left = size;
    c->state = DATA;
    return 0;
}

static int start_trailers(struct aws_chunked *c)
{
    if (c->owed > 0)
        return -ERR_INCOMPLETE_BODY;
    c->state = TRAILER_LINE;
    return verify_chunk(c);
}

static int size_line(struct aws_chunked *c, struct str line)
{
    uint64_t size = 0;
    size_t digits = 0;
    for (; digits < line.len && char_hex(line.ptr[digits]) >= 0; digits++) {
        if (digits == SIZE_DIGITS)
            return -ERR_PARSE;
        size = size << 4 | (unsigned)char_hex(line.ptr[digits]);
    }
    if (digits == 0)
        return -ERR_PARSE;
    int rc = read_extension(c, str_from_offset(line, digits));
    if (rc < 0)
        return rc;
    return size > 0 ? start_data(c, size) : start_trailers(c);
}

/* ---- trailer lines ------------------------------------------------------------------------------
 */

static bool is_declared(const struct aws_chunked *c, struct str name)
{
    struct str rest = c->config.trailer_names, one;
    while (str_cut(&rest, ',', &one))
        if (str_eq_nocase(str_trim(one), name))
            return true;
    return false;
}

static bool has_all_declared(const struct aws_chunked *c)
{
    struct str rest = c->config.trailer_names, one;
    if (rest.len == 0)
        return true;
    while (str_cut(&rest, ',', &one)) {
        unsigned i = 0;
        while (i < c->trailer_count && !str_eq_nocase(c->trailers[i].name, str_trim(one)))
            i++;
        if (i == c->trailer_count)
            return false;
    }
    return true;
}

static bool split_trailer(struct str line, struct trailer *ret)
{
    const char *end = line.ptr + line.len;
    const char *colon = scan_class(line.ptr, end, CHAR_TOKEN);
    if (colon == line.ptr || colon == end || *colon != ':')
        return false;
    ret->name = str_make(line.ptr, colon - line.ptr);
    ret->value = str_trim(str_make(colon + 1, end - colon - 1));
    return scan_class(ret->value.ptr, end, CHAR_FIELD) == end;
}

/* Copies the trailer, its name in lower case, and feeds its canonical line to the digest. */
static int keep_trailer(struct aws_chunked *c, struct trailer t)
{
    char *text = arena_alloc(c->arena, t.name.len + t.value.len + 2);
    if (!text)
        return -ENOMEM;
    struct str line = {text, t.name.len + t.value.len + 2};
    for (size_t i = 0; i < t.name.len; i++)
        text[i] = char_lower(t.name.ptr[i]);
    text[t.name.len] = ':';
    memcpy(text + t.name.len + 1, t.value.ptr, t.value.len);
    text[line.len - 1] = '\n';
    c->trailers[c->trailer_count++] = (struct trailer){
        str_prefix(line, t.name.len), str_make(text + t.name.len + 1, t.value.len)};
    return feed_digest(c, line);
}

static int end_trailers(struct aws_chunked *c)
{
    bool wants_signature = c->config.payload == SIGV4_PAYLOAD_CHUNKED_TRAILER;
    if (!has_all_declared(c))
        return -ERR_MALFORMED_TRAILER;
    if (wants_signature && !c->trailers_signed) {
        if (c->saw_empty_line || c->trailer_count == 0)
            return -ERR_SIGNATURE_MISMATCH;
        c->saw_empty_line = true;
        return 0;
    }
    c->state = ENDED;
    return 0;
}

static int trailer_line(struct aws_chunked *c, struct str line)
{
    struct trailer t;
    if (line.len == 0)
        return end_trailers(c);
    if (!takes_trailers(c) || c->trailers_signed || !split_trailer(line, &t))
        return -ERR_MALFORMED_TRAILER;
    if (is_signed(c) && str_eq_nocase(t.name, STR("x-amz-trailer-signature")))
        return verify_trailers(c, t.value);
    if (c->saw_empty_line || c->trailer_count == AWS_CHUNK_TRAILERS || !is_declared(c, t.name) ||
        aws_chunked_trailer(c, t.name).ptr)
        return -ERR_MALFORMED_TRAILER;
    return keep_trailer(c, t);
}

/* ---- the stream ---------------------------------------------------------------------------------
 */

/* Gathers bytes up to a line feed: 1 when the line is whole. */
static int take_line(struct aws_chunked *c, struct str in, size_t *used)
{
    struct str rest = str_from_offset(in, *used);
    ptrdiff_t feed = str_find_char(rest, '\n', 0);
    size_t len = feed < 0 ? rest.len : (size_t)feed + 1;
    if (len > AWS_CHUNK_LINE_MAX - c->line_len)
        return -ERR_PARSE;
    memcpy(c->line + c->line_len, rest.ptr, len);
    c->line_len += len;
    *used += len;
    return feed >= 0;
}

static int judge_line(struct aws_chunked *c)
{
    struct str line = {c->line, c->line_len - 1};
    bool returned = str_ends(line, STR("\r"));
    line.len -= returned;
    c->line_len = 0;
    if (c->state == TRAILER_LINE)
        return trailer_line(c, line);
    return returned ? size_line(c, line) : -ERR_PARSE;
}

static int framing_step(struct aws_chunked *c, struct str in, size_t *used)
{
    if (c->state == SIZE_LINE || c->state == TRAILER_LINE) {
        int rc = take_line(c, in, used);
        return rc == 1 ? judge_line(c) : rc;
    }
    char expected = c->state == DATA_CR ? '\r' : '\n';
    if (in.ptr[(*used)++] != expected)
        return -ERR_PARSE;
    c->state = c->state == DATA_CR ? DATA_LF : SIZE_LINE;
    return 0;
}

static int data_step(struct aws_chunked *c, struct str in, size_t *used, struct str *ret)
{
    struct str run = str_prefix(str_from_offset(in, *used), c->left);
    int rc = is_signed(c) ? feed_digest(c, run) : 0;
    if (rc < 0)
        return rc;
    *used += run.len;
    *ret = run;
    c->left -= run.len;
    if (c->left > 0)
        return 0;
    c->state = DATA_CR;
    return verify_chunk(c);
}

int aws_chunked_next(struct aws_chunked *c, struct str in, size_t *ret_used, struct str *ret_data)
{
    struct str data = STR("");
    size_t used = 0;
    while (!c->failure && used < in.len && c->state != ENDED && data.len == 0) {
        int rc = c->state == DATA ? data_step(c, in, &used, &data) : framing_step(c, in, &used);
        if (rc < 0)
            c->failure = rc;
    }
    if (c->failure)
        return c->failure;
    *ret_used = used;
    *ret_data = data;
    return c->state == ENDED;
}

int aws_chunked_behind(struct aws_chunked *c, struct str in)
{
    static const char line[] = "\r\n";
    for (size_t i = 0; i < in.len; i++)
        if (is_signed(c) || c->trailer_count == 0 || c->behind == 2 ||
            in.ptr[i] != line[c->behind++])
            return -ERR_INCOMPLETE_BODY;
    return 0;
}

int aws_chunked_eof(const struct aws_chunked *c)
{
    if (c->failure)
        return c->failure;
    return c->saw_empty_line && !c->trailers_signed ? -ERR_SIGNATURE_MISMATCH
                                                    : -ERR_INCOMPLETE_BODY;
}

struct str aws_chunked_trailer(const struct aws_chunked *c, struct str lower_name)
{
    for (unsigned i = 0; i < c->trailer_count; i++)
        if (str_eq_nocase(c->trailers[i].name, lower_name))
            return c->trailers[i].value;
    return STR_NULL;
}
