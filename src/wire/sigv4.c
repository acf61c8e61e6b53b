/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The texts of Signature Version 4 and what is computed from them. A canonical request is written
 * into one piece of memory whose size is reckoned beforehand; each write checks it.
 */

#include "wire/sigv4.h"
#include "base/encode.h"
#include "base/error.h"
#include "wire/chars.h"
#include "wire/internal.h"
#include "wire/uri.h"

#define ALGORITHM     "AWS4-HMAC-SHA256"
#define EMPTY_SHA256  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define TO_SIGN_MAX   512
#define SHA256_DIGITS (2 * HASH_SHA256_LEN)

struct out {
    char *at, *end;
};

static void put(struct out *o, struct str s)
{
    CHECK(s.len <= (size_t)(o->end - o->at));
    if (s.len)
        memcpy(o->at, s.ptr, s.len);
    o->at += s.len;
}

static void put_char(struct out *o, char c)
{
    CHECK(o->at < o->end);
    *o->at++ = c;
}

static void put_hex(struct out *o, const uint8_t digest[HASH_SHA256_LEN])
{
    CHECK(o->end - o->at >= SHA256_DIGITS);
    hex_encode(digest, HASH_SHA256_LEN, o->at);
    o->at += SHA256_DIGITS;
}

/* ---- the path and the query --------------------------------------------------------------------
 */

/*
 * Decodes and encodes again, run by run of bytes that stay as they are. In a path a slash stays and
 * a plus is a plus; in a query neither, there a plus is a space.
 */
static int put_uri(struct out *o, struct str s, bool path)
{
    const char *p = s.ptr, *end = s.ptr + s.len;
    while (p < end) {
        const char *plain = scan_class(p, end, CHAR_PLAIN);
        put(o, str_make(p, plain - p));
        if ((p = plain) == end)
            break;
        bool plus = *p == '+' && !path;
        int byte = uri_next_byte(&p, end);
        if (byte < 0)
            return byte;
        CHECK(o->end - o->at >= 3);
        o->at = uri_put_byte(o->at, plus ? ' ' : (uint8_t)byte, path);
    }
    return 0;
}

struct pair {
    struct str name, value; /* encoded */
};

static int encode_pair(struct out *scratch, struct str piece, struct pair *ret)
{
    ptrdiff_t eq = str_find_char(piece, '=', 0);
    const char *name = scratch->at;
    int rc = put_uri(scratch, str_prefix(piece, eq < 0 ? piece.len : (size_t)eq), false);
    const char *value = scratch->at;
    if (rc == 0 && eq >= 0)
        rc = put_uri(scratch, str_from_offset(piece, (size_t)eq + 1), false);
    *ret = (struct pair){str_make(name, value - name), str_make(value, scratch->at - value)};
    return rc;
}

static int pair_cmp(const struct pair *x, const struct pair *y)
{
    int order = str_cmp(x->name, y->name);
    return order ? order : str_cmp(x->value, y->value);
}

/* Clients mostly send sorted queries, which insertion passes over once. */
static void insert_pair(struct pair *pairs, size_t count, struct pair new)
{
    while (count > 0 && pair_cmp(&pairs[count - 1], &new) > 0) {
        pairs[count] = pairs[count - 1];
        count--;
    }
    pairs[count] = new;
}

/* The encoded parameters in order, without the signature itself. */
static int sort_query(struct out *scratch, struct str raw, struct pair *pairs, size_t *ret_count)
{
    size_t count = 0;
    struct str piece;
    while (str_cut(&raw, '&', &piece)) {
        struct pair new;
        if (piece.len == 0)
            continue;
        int rc = encode_pair(scratch, piece, &new);
        if (rc < 0)
            return rc;
        if (str_eq(new.name, STR("X-Amz-Signature")))
            continue;
        if (count == URI_PARAMS_MAX)
            return -ERR_TOO_LARGE;
        insert_pair(pairs, count++, new);
    }
    *ret_count = count;
    return 0;
}

static int put_query(struct arena *a, struct out *o, struct str raw)
{
    if (raw.len == 0)
        return 0;
    size_t scratch_len = 3 * raw.len, count;
    struct pair *pairs = arena_alloc(a, URI_PARAMS_MAX * sizeof(*pairs));
    struct out scratch = {arena_alloc(a, scratch_len)};
    if (!pairs || !scratch.at)
        return -ENOMEM;
    scratch.end = scratch.at + scratch_len;
    int rc = sort_query(&scratch, raw, pairs, &count);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            put_char(o, '&');
        put(o, pairs[i].name);
        put_char(o, '=');
        put(o, pairs[i].value);
    }
    return 0;
}

/* ---- the headers --------------------------------------------------------------------------------
 */

/* The value, trimmed already, with every run of blanks as one space. */
static void put_folded(struct out *o, struct str value)
{
    const char *p = value.ptr, *end = value.ptr + value.len;
    while (p < end) {
        const char *blank = scan_blank(p, end);
        put(o, str_make(p, blank - p));
        for (p = blank; p < end && (*p == ' ' || *p == '\t');)
            p++;
        if (p > blank)
            put_char(o, ' ');
    }
}

/* `name:value[,value...]\n` with every header of that name; a missing one cannot have been signed.
 */
static int put_header(struct out *o, const struct http1_request *r, struct str name)
{
    bool found = false;
    for (unsigned i = 0; i < r->header_count; i++) {
        const struct http1_header *h = &r->headers[i];
        if (h->name.len != name.len || !str_eq_nocase(h->name, name))
            continue;
        if (!found)
            put(o, name);
        put_char(o, found ? ',' : ':');
        put_folded(o, h->value);
        found = true;
    }
    if (!found)
        return -ERR_SIGNATURE_MISMATCH;
    put_char(o, '\n');
    return 0;
}

static int put_headers(struct out *o, const struct http1_request *r, struct str signed_headers)
{
    struct str rest = signed_headers, name;
    while (str_cut(&rest, ';', &name)) {
        int rc = put_header(o, r, name);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- the texts ----------------------------------------------------------------------------------
 */

/*
 * No canonical request is longer: an escape triples a byte, a parameter may gain an `=`, a header
 * gains two separators and is there once because signed names do not repeat.
 */
static size_t canonical_bound(const struct http1_request *r, const struct sigv4_auth *auth)
{
    size_t bound =
        r->method.len + 4 * r->target.len + auth->signed_headers.len + auth->payload_text.len + 8;
    for (unsigned i = 0; i < r->header_count; i++)
        bound += r->headers[i].name.len + r->headers[i].value.len + 2;
    return bound;
}

static int make_canonical(struct arena *a, const struct http1_request *r,
                          const struct sigv4_auth *auth, struct str *ret)
{
    size_t bound = canonical_bound(r, auth);
    char *start = arena_alloc(a, bound);
    if (!start)
        return -ENOMEM;
    struct out o = {start, start + bound};
    struct str path, query;
    uri_split(r->target, &path, &query);
    put(&o, r->method);
    put_char(&o, '\n');
    int rc = put_uri(&o, path.len ? path : STR("/"), true);
    put_char(&o, '\n');
    if (rc == 0)
        rc = put_query(a, &o, query);
    put_char(&o, '\n');
    if (rc == 0)
        rc = put_headers(&o, r, auth->signed_headers);
    if (rc < 0)
        return rc;
    put_char(&o, '\n');
    put(&o, auth->signed_headers);
    put_char(&o, '\n');
    put(&o, auth->payload_text);
    *ret = str_make(start, o.at - start);
    return 0;
}

/* Algorithm, time and scope, each with its line end: what every string to sign begins with. */
static void put_preamble(struct out *o, struct str algorithm, const struct sigv4_auth *auth)
{
    put(o, algorithm);
    put_char(o, '\n');
    put(o, auth->amz_date);
    put_char(o, '\n');
    put(o, auth->date);
    put_char(o, '/');
    put(o, auth->region);
    put_char(o, '/');
    put(o, auth->service);
    put(o, STR("/aws4_request\n"));
}

static struct str make_to_sign(char space[TO_SIGN_MAX], const struct sigv4_auth *auth,
                               struct str canonical)
{
    uint8_t digest[HASH_SHA256_LEN];
    struct out o = {space, space + TO_SIGN_MAX};
    put_preamble(&o, STR(ALGORITHM), auth);
    hash_sha256(canonical, digest);
    put_hex(&o, digest);
    return str_make(space, o.at - space);
}

int sigv4_canonical(struct arena *a, const struct http1_request *r, const struct sigv4_auth *auth,
                    struct str *ret_canonical, struct str *ret_to_sign)
{
    struct str canonical, to_sign;
    char *space = arena_alloc(a, TO_SIGN_MAX);
    if (!space)
        return -ENOMEM;
    int rc = make_canonical(a, r, auth, &canonical);
    if (rc < 0)
        return rc;
    to_sign = make_to_sign(space, auth, canonical);
    *ret_canonical = canonical;
    *ret_to_sign = to_sign;
    return 0;
}

/* ---- keys and signatures ------------------------------------------------------------------------
 */

void sigv4_key_init(struct sigv4_key *k, struct str secret, struct str date, struct str region,
                    struct str service)
{
    const struct str steps[] = {date, region, service, STR("aws4_request")};
    uint8_t derived[HASH_SHA256_LEN];
    /* A secret beyond one block of SHA-256 is legal, hence the heap. */
    size_t len = 4 + secret.len;
    char *first = malloc(len);
    CHECK(first);
    memcpy(first, "AWS4", 4);
    if (secret.len)
        memcpy(first + 4, secret.ptr, secret.len);
    hmac_key_init(&k->hmac, str_make(first, len));
    wipe(first, len);
    free(first);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        hmac_sha256(&k->hmac, steps[i], derived);
        hmac_key_init(&k->hmac, str_make(derived, sizeof(derived)));
    }
    explicit_bzero(derived, sizeof(derived));
}

static int sign(struct arena *a, const struct http1_request *r, const struct sigv4_auth *auth,
                const struct sigv4_key *key, uint8_t ret[HASH_SHA256_LEN])
{
    struct str canonical;
    char space[TO_SIGN_MAX];
    int rc = make_canonical(a, r, auth, &canonical);
    if (rc == 0)
        hmac_sha256(&key->hmac, make_to_sign(space, auth, canonical), ret);
    return rc;
}

/* A presigned URL lives from its date on, give or take the skew before it. */
static int check_time(const struct sigv4_auth *auth, uint64_t now_ms)
{
    if (auth->time_ms > now_ms + SIGV4_SKEW_MS)
        return -ERR_TIME_SKEWED;
    if (auth->form == SIGV4_QUERY)
        return now_ms > auth->time_ms + auth->expires_s * 1000 ? -ERR_EXPIRED : 0;
    return now_ms > auth->time_ms + SIGV4_SKEW_MS ? -ERR_TIME_SKEWED : 0;
}

int sigv4_verify(struct arena *a, const struct http1_request *r, const struct sigv4_auth *auth,
                 const struct sigv4_key *key, uint64_t now_ms)
{
    uint8_t computed[HASH_SHA256_LEN];
    int rc = check_time(auth, now_ms);
    if (rc == 0)
        rc = sign(a, r, auth, key, computed);
    if (rc < 0)
        return rc;
    bool same = str_eq_secret(str_make(computed, sizeof(computed)),
                              str_make(auth->signature, sizeof(auth->signature)));
    return same ? 0 : -ERR_SIGNATURE_MISMATCH;
}

int sigv4_verify_form(const struct sigv4_form *form, const struct sigv4_auth *auth,
                      const struct sigv4_key *key)
{
    uint8_t computed[HASH_SHA256_LEN];
    hmac_sha256(&key->hmac, form->policy, computed);
    bool same = str_eq_secret(str_make(computed, sizeof(computed)),
                              str_make(auth->signature, sizeof(auth->signature)));
    return same ? 0 : -ERR_SIGNATURE_MISMATCH;
}

/* ---- signing ------------------------------------------------------------------------------------
 */

/* Inserts in order unless it is there. */
static void insert_name(struct str *names, size_t *count, struct str name)
{
    size_t at = *count;
    while (at > 0 && str_cmp(names[at - 1], name) > 0)
        at--;
    if (at > 0 && str_eq(names[at - 1], name))
        return;
    memmove(names + at + 1, names + at, (*count - at) * sizeof(*names));
    names[at] = name;
    ++*count;
}

static int list_names(struct arena *a, const struct http1_request *r, struct str *ret)
{
    struct str *names = arena_array(a, struct str, r->header_count + 1);
    size_t count = 0, len = 0;
    if (!names)
        return -ENOMEM;
    for (unsigned i = 0; i < r->header_count; i++) {
        struct str name = arena_lower(a, r->headers[i].name);
        if (!name.ptr)
            return -ENOMEM;
        insert_name(names, &count, name);
        len += name.len + 1;
    }
    char *start = arena_alloc(a, len);
    if (!start)
        return -ENOMEM;
    struct out o = {start, start + len};
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            put_char(&o, ';');
        put(&o, names[i]);
    }
    *ret = str_make(start, o.at - start);
    return 0;
}

int sigv4_sign(struct arena *a, const struct http1_request *r, struct str access_key,
               const struct sigv4_key *key, struct str date, struct str region, struct str service,
               struct str *ret_authorization)
{
    struct sigv4_auth auth = {.date = date, .region = region, .service = service};
    if (region.len > SIGV4_SCOPE_MAX || service.len > SIGV4_SCOPE_MAX || date.len != 8)
        return -EINVAL;
    auth.amz_date = http1_find(r->headers, r->header_count, STR("x-amz-date"));
    auth.payload_text = http1_find(r->headers, r->header_count, STR("x-amz-content-sha256"));
    if (!http1_find(r->headers, r->header_count, STR("host")).ptr || !auth.amz_date.ptr ||
        auth.amz_date.len > SIGV4_SCOPE_MAX || !auth.payload_text.ptr)
        return -ERR_MISSING_SECURITY_HEADER;
    uint8_t signature[HASH_SHA256_LEN];
    char digits[SHA256_DIGITS];
    int rc = list_names(a, r, &auth.signed_headers);
    if (rc == 0)
        rc = sign(a, r, &auth, key, signature);
    if (rc < 0)
        return rc;
    hex_encode(signature, sizeof(signature), digits);
    struct str made =
        arena_printf(a,
                     ALGORITHM " Credential=%.*s/%.*s/%.*s/%.*s/aws4_request, SignedHeaders=%.*s, "
                               "Signature=%.*s",
                     STR_FMT(access_key), STR_FMT(date), STR_FMT(region), STR_FMT(service),
                     STR_FMT(auth.signed_headers), SHA256_DIGITS, digits);
    if (!made.ptr)
        return -ENOMEM;
    *ret_authorization = made;
    return 0;
}

/* ---- chunks -------------------------------------------------------------------------------------
 */

void sigv4_chunk_signature(const struct sigv4_key *key, const struct sigv4_auth *auth,
                           const char previous_hex[64], const uint8_t chunk_sha256[32],
                           char ret_hex[64])
{
    char space[TO_SIGN_MAX];
    uint8_t signature[HASH_SHA256_LEN];
    struct out o = {space, space + TO_SIGN_MAX};
    put_preamble(&o, STR(ALGORITHM "-PAYLOAD"), auth);
    put(&o, str_make(previous_hex, SHA256_DIGITS));
    put(&o, STR("\n" EMPTY_SHA256 "\n"));
    put_hex(&o, chunk_sha256);
    hmac_sha256(&key->hmac, str_make(space, o.at - space), signature);
    hex_encode(signature, sizeof(signature), ret_hex);
}

void sigv4_trailer_signature(const struct sigv4_key *key, const struct sigv4_auth *auth,
                             const char previous_hex[64], const uint8_t trailer_sha256[32],
                             char ret_hex[64])
{
    char space[TO_SIGN_MAX];
    uint8_t signature[HASH_SHA256_LEN];
    struct out o = {space, space + TO_SIGN_MAX};
    put_preamble(&o, STR(ALGORITHM "-TRAILER"), auth);
    put(&o, str_make(previous_hex, SHA256_DIGITS));
    put_char(&o, '\n');
    put_hex(&o, trailer_sha256);
    hmac_sha256(&key->hmac, str_make(space, o.at - space), signature);
    hex_encode(signature, sizeof(signature), ret_hex);
}
