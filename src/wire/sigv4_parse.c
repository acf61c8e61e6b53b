/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Reads what a request says of its signature, from the Authorization header or from the query.
 * Nothing here needs a secret, and nothing here is trusted before sigv4_verify said so.
 */

#include "wire/sigv4.h"
#include "base/encode.h"
#include "base/error.h"
#include "wire/chars.h"
#include "wire/date.h"
#include "wire/uri.h"

#define ALGORITHM "AWS4-HMAC-SHA256"

/* A named place for a value that may be given once. */
struct slot {
    struct str name;
    struct str value;
};

static struct slot *find_slot(struct slot *slots, size_t count, struct str name, bool nocase)
{
    for (size_t i = 0; i < count; i++) {
        bool same_len = slots[i].name.len == name.len;
        if (same_len && (nocase ? str_eq_nocase(slots[i].name, name) : str_eq(slots[i].name, name)))
            return &slots[i];
    }
    return NULL;
}

/* ---- the pieces both forms share --------------------------------------------------------------
 */

/* Cuts the part after the last `/` off the end of `*s`. */
static bool cut_last(struct str *s, struct str *ret_tail)
{
    const char *slash = s->len ? memrchr(s->ptr, '/', s->len) : NULL;
    if (!slash)
        return false;
    *ret_tail = str_from_offset(*s, (size_t)(slash - s->ptr) + 1);
    s->len = (size_t)(slash - s->ptr);
    return true;
}

static bool all_of(struct str s, unsigned classes)
{
    return scan_class(s.ptr, s.ptr + s.len, classes) == s.ptr + s.len;
}

/* AKID/20260102/us-east-1/s3/aws4_request, from the end: an access key may hold a slash. */
static bool read_credential(struct str s, struct sigv4_auth *auth)
{
    struct str terminal;
    uint64_t number;
    if (!cut_last(&s, &terminal) || !str_eq(terminal, STR("aws4_request")) ||
        !cut_last(&s, &auth->service) || !cut_last(&s, &auth->region) || !cut_last(&s, &auth->date))
        return false;
    auth->access_key = s;
    return s.len >= 1 && s.len <= SIGV4_KEY_MAX && auth->date.len == 8 &&
           str_to_u64(auth->date, &number) == 0 && auth->region.len <= SIGV4_SCOPE_MAX &&
           auth->service.len <= SIGV4_SCOPE_MAX && all_of(auth->region, CHAR_TOKEN) &&
           all_of(auth->service, CHAR_TOKEN);
}

static bool is_lower_token(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!char_is(s.ptr[i], CHAR_TOKEN) || (s.ptr[i] >= 'A' && s.ptr[i] <= 'Z'))
            return false;
    return s.len > 0;
}

/* Ascending without repeats, so that the canonical request holds each header at most once. */
static bool read_signed_headers(struct str s, struct sigv4_auth *auth)
{
    struct str rest = s, name, before = STR("");
    for (unsigned count = 0; str_cut(&rest, ';', &name); count++) {
        if (count == HTTP1_HEADERS_MAX || !is_lower_token(name) || str_cmp(before, name) >= 0)
            return false;
        before = name;
    }
    auth->signed_headers = s;
    return true;
}

static bool signs_header(const struct sigv4_auth *auth, struct str name)
{
    struct str rest = auth->signed_headers, one;
    while (str_cut(&rest, ';', &one))
        if (one.len == name.len && str_eq_nocase(one, name))
            return true;
    return false;
}

static int read_signature(struct str s, struct sigv4_auth *auth)
{
    if (hex_decode(s, auth->signature, sizeof(auth->signature)) != 0)
        return -ERR_SIGNATURE_MISMATCH;
    bool upper = false;
    for (size_t i = 0; i < 2 * sizeof(auth->signature); i++)
        upper |= (s.ptr[i] & 0x60) == 0x40;
    if (upper)
        return -ERR_SIGNATURE_MISMATCH;
    auth->signature_hex = s;
    return 0;
}

static int read_payload(struct str s, struct sigv4_auth *auth)
{
    static const struct {
        struct str text;
        enum sigv4_payload payload;
    } words[] = {
        {STR("UNSIGNED-PAYLOAD"), SIGV4_PAYLOAD_UNSIGNED},
        {STR("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), SIGV4_PAYLOAD_CHUNKED},
        {STR("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"), SIGV4_PAYLOAD_CHUNKED_TRAILER},
        {STR("STREAMING-UNSIGNED-PAYLOAD-TRAILER"), SIGV4_PAYLOAD_UNSIGNED_TRAILER},
    };
    auth->payload_text = s;
    auth->payload = SIGV4_PAYLOAD_HASH;
    if (hex_decode(s, auth->payload_hash, sizeof(auth->payload_hash)) == 0)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (str_eq(s, words[i].text)) {
            auth->payload = words[i].payload;
            return 0;
        }
    }
    return -ERR_INVALID_ARGUMENT;
}

/* ---- headers ----------------------------------------------------------------------------------
 */

enum { AUTHORIZATION, AMZ_DATE, DATE, PAYLOAD, TOKEN, HEADER_SLOTS };

static const struct slot header_slots[HEADER_SLOTS] = {
    [AUTHORIZATION] = {STR("authorization")},
    [AMZ_DATE] = {STR("x-amz-date")},
    [DATE] = {STR("date")},
    [PAYLOAD] = {STR("x-amz-content-sha256")},
    [TOKEN] = {STR("x-amz-security-token")},
};

/* A second value would leave open which of them was meant. */
static int gather_headers(const struct http1_request *r, struct slot sent[HEADER_SLOTS])
{
    memcpy(sent, header_slots, sizeof(header_slots));
    for (unsigned i = 0; i < r->header_count; i++) {
        struct slot *s = find_slot(sent, HEADER_SLOTS, r->headers[i].name, true);
        if (!s)
            continue;
        if (s->value.ptr)
            return -ERR_INVALID_ARGUMENT;
        s->value = r->headers[i].value;
    }
    return 0;
}

/* x-amz-date, or Date in the same form or as an HTTP date. */
static int read_header_date(struct arena *a, const struct slot *sent, struct sigv4_auth *auth)
{
    struct str text = sent[AMZ_DATE].value.ptr ? sent[AMZ_DATE].value : sent[DATE].value;
    auth->amz_date = text;
    if (date_parse_amz(text, &auth->time_ms) == 0)
        return 0;
    if (sent[AMZ_DATE].value.ptr || date_parse_http(text, 0, &auth->time_ms) != 0)
        return -ERR_ACCESS_DENIED;
    char *made = arena_alloc(a, DATE_AMZ_LEN);
    if (!made)
        return -ENOMEM;
    date_format_amz(auth->time_ms, made);
    auth->amz_date = str_make(made, DATE_AMZ_LEN);
    return 0;
}

/* Of another algorithm: SigV2 and SigV4A are Amazon's, what else there is was never S3's. */
static int other_algorithm(struct str s)
{
    return str_starts(s, STR("AWS")) ? -ERR_SIGNATURE_VERSION : -ERR_AUTHORIZATION_TYPE;
}

/* `AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=...`, in any order. */
static int read_authorization(struct str s, struct sigv4_auth *auth)
{
    enum { CREDENTIAL, SIGNED, SIGNATURE, COUNT };
    struct slot slots[COUNT] = {{STR("Credential")}, {STR("SignedHeaders")}, {STR("Signature")}};
    struct str rest = str_from_offset(s, strlen(ALGORITHM)), piece;
    if (!str_starts(s, STR(ALGORITHM)) || (rest.len && rest.ptr[0] != ' '))
        return other_algorithm(s);
    while (str_cut(&rest, ',', &piece)) {
        struct str value = str_trim(piece), name;
        if (!str_cut(&value, '=', &name))
            return -ERR_AUTH_HEADER_MALFORMED;
        struct slot *slot = find_slot(slots, COUNT, name, false);
        if (!slot || slot->value.ptr || !value.ptr)
            return -ERR_AUTH_HEADER_MALFORMED;
        slot->value = value;
    }
    if (!read_credential(slots[CREDENTIAL].value, auth) ||
        !read_signed_headers(slots[SIGNED].value, auth) || !slots[SIGNATURE].value.ptr)
        return -ERR_AUTH_HEADER_MALFORMED;
    return read_signature(slots[SIGNATURE].value, auth);
}

/* Their requests are small forms, whose digest is signed and not sent. */
static bool is_query_service(struct str service)
{
    return str_eq(service, STR("iam")) || str_eq(service, STR("sts"));
}

static int read_header_form(struct arena *a, const struct slot *sent, struct sigv4_auth *auth)
{
    auth->form = SIGV4_HEADER;
    auth->security_token = sent[TOKEN].value;
    int rc = read_authorization(sent[AUTHORIZATION].value, auth);
    if (rc == 0)
        rc = read_header_date(a, sent, auth);
    if (rc < 0)
        return rc;
    if (!str_starts(auth->amz_date, auth->date))
        return -ERR_AUTH_HEADER_MALFORMED;
    if (!sent[PAYLOAD].value.ptr && is_query_service(auth->service)) {
        auth->payload = SIGV4_PAYLOAD_UNSAID;
        auth->payload_text = STR("");
        return 0;
    }
    if (!sent[PAYLOAD].value.ptr)
        return -ERR_MISSING_SECURITY_HEADER;
    return read_payload(sent[PAYLOAD].value, auth);
}

/* ---- the query --------------------------------------------------------------------------------
 */

enum {
    Q_ALGORITHM,
    Q_CREDENTIAL,
    Q_DATE,
    Q_EXPIRES,
    Q_SIGNED,
    Q_SIGNATURE,
    Q_REQUIRED,
    Q_TOKEN = Q_REQUIRED,
    Q_PAYLOAD,
    Q_V2,
    QUERY_SLOTS
};

static const struct slot query_slots[QUERY_SLOTS] = {
    [Q_ALGORITHM] = {STR("X-Amz-Algorithm")},
    [Q_CREDENTIAL] = {STR("X-Amz-Credential")},
    [Q_DATE] = {STR("X-Amz-Date")},
    [Q_EXPIRES] = {STR("X-Amz-Expires")},
    [Q_SIGNED] = {STR("X-Amz-SignedHeaders")},
    [Q_SIGNATURE] = {STR("X-Amz-Signature")},
    [Q_TOKEN] = {STR("X-Amz-Security-Token")},
    [Q_PAYLOAD] = {STR("X-Amz-Content-Sha256")},
    [Q_V2] = {STR("AWSAccessKeyId")},
};

static int gather_query(struct arena *a, const struct http1_request *r,
                        struct slot sent[QUERY_SLOTS])
{
    struct str path, raw;
    struct uri_query q;
    memcpy(sent, query_slots, sizeof(query_slots));
    uri_split(r->target, &path, &raw);
    int rc = uri_parse_query(a, raw, &q);
    for (size_t i = 0; rc == 0 && i < q.count; i++) {
        struct slot *s = find_slot(sent, QUERY_SLOTS, q.params[i].name, false);
        if (s && s->value.ptr)
            rc = -ERR_AUTH_QUERY_MALFORMED;
        else if (s)
            s->value = q.params[i].value;
    }
    return rc;
}

static bool query_is_signed(const struct slot *sent)
{
    return sent[Q_ALGORITHM].value.ptr || sent[Q_CREDENTIAL].value.ptr ||
           sent[Q_SIGNATURE].value.ptr || sent[Q_V2].value.ptr;
}

static int read_query_form(const struct slot *sent, struct str payload, struct sigv4_auth *auth)
{
    auth->form = SIGV4_QUERY;
    auth->security_token = sent[Q_TOKEN].value;
    auth->amz_date = sent[Q_DATE].value;
    if (sent[Q_V2].value.ptr)
        return -ERR_SIGNATURE_VERSION;
    for (int i = 0; i < Q_REQUIRED; i++)
        if (!sent[i].value.ptr)
            return -ERR_AUTH_QUERY_MALFORMED;
    if (!str_eq(sent[Q_ALGORITHM].value, STR(ALGORITHM)))
        return -ERR_AUTH_QUERY_ALGORITHM;
    if (!read_credential(sent[Q_CREDENTIAL].value, auth) ||
        !read_signed_headers(sent[Q_SIGNED].value, auth) ||
        date_parse_amz(auth->amz_date, &auth->time_ms) != 0 ||
        !str_starts(auth->amz_date, auth->date) ||
        str_to_u64(sent[Q_EXPIRES].value, &auth->expires_s) != 0 ||
        auth->expires_s > SIGV4_EXPIRES_MAX_S)
        return -ERR_AUTH_QUERY_MALFORMED;
    int rc = read_signature(sent[Q_SIGNATURE].value, auth);
    if (rc < 0)
        return rc;
    if (sent[Q_PAYLOAD].value.ptr)
        payload = sent[Q_PAYLOAD].value;
    rc = read_payload(payload.ptr ? payload : STR("UNSIGNED-PAYLOAD"), auth);
    /* No URL is signed over such a word: it was added to one, as another digest might be. */
    return rc == -ERR_INVALID_ARGUMENT ? -ERR_SIGNATURE_MISMATCH : rc;
}

/* ---- a form -----------------------------------------------------------------------------------
 */

int sigv4_parse_form(const struct sigv4_form *form, struct sigv4_auth *ret)
{
    struct sigv4_auth auth = {.form = SIGV4_POST,
                              .payload = SIGV4_PAYLOAD_UNSIGNED,
                              .amz_date = form->date,
                              .security_token = form->token};
    if (!str_eq(form->algorithm, STR(ALGORITHM)))
        return -ERR_SIGNATURE_VERSION;
    if (!read_credential(form->credential, &auth) || date_parse_amz(form->date, &auth.time_ms) ||
        !str_starts(form->date, auth.date))
        return -ERR_AUTH_QUERY_MALFORMED;
    *ret = auth; /* also when the signature is none: what else there is may be told */
    return read_signature(form->signature, ret);
}

/* ---- header and query -------------------------------------------------------------------------
 */

bool sigv4_must_sign(const struct sigv4_auth *auth, struct str name)
{
    bool host = str_eq_nocase(name, STR("host"));
    if (!host && ((name.ptr[0] | 0x20) != 'x' || !str_starts_nocase(name, STR("x-amz-"))))
        return false;
    if (auth->form == SIGV4_QUERY && str_eq_nocase(name, STR("x-amz-content-sha256")))
        return false;
    return !signs_header(auth, name);
}

static int check_coverage(const struct http1_request *r, const struct sigv4_auth *auth)
{
    if (!signs_header(auth, STR("host")))
        return -ERR_UNSIGNED_HEADERS;
    for (unsigned i = 0; i < r->header_count; i++)
        if (sigv4_must_sign(auth, r->headers[i].name))
            return -ERR_UNSIGNED_HEADERS;
    return 0;
}

int sigv4_parse(struct arena *a, const struct http1_request *r, struct sigv4_auth *ret)
{
    struct slot headers[HEADER_SLOTS], query[QUERY_SLOTS];
    struct sigv4_auth auth = {.form = SIGV4_NONE};
    int rc = gather_headers(r, headers);
    if (rc == 0)
        rc = gather_query(a, r, query);
    if (rc < 0)
        return rc;
    bool in_header = headers[AUTHORIZATION].value.ptr, in_query = query_is_signed(query);
    if (in_header && in_query)
        return -ERR_INVALID_ARGUMENT;
    if (in_header)
        rc = read_header_form(a, headers, &auth);
    else if (in_query)
        rc = read_query_form(query, headers[PAYLOAD].value, &auth);
    else
        rc = read_payload(
            headers[PAYLOAD].value.ptr ? headers[PAYLOAD].value : STR("UNSIGNED-PAYLOAD"), &auth);
    if (rc == 0 && (in_header || in_query))
        rc = check_coverage(r, &auth);
    if (rc == 0 || rc == -ERR_UNSIGNED_HEADERS)
        *ret = auth;
    return rc;
}
