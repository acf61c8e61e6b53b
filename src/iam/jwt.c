/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "iam/jwt.h"

#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include "base/encode.h"
#include "base/error.h"
#include "wire/json.h"

#define RSA_BITS_MIN  2048
#define RSA_BITS_MAX  8192
#define NUMBER_MAX    1100 /* bytes of a number in a key */
#define SIGNATURE_MAX 1100

/* ---- algorithms ----------------------------------------------------------------------------- */

static const struct algorithm {
    const char *name, *key_type, *curve; /* curve NULL: RSA */
    const char *group;                   /* as OpenSSL calls the curve */
    const char *digest;
    unsigned coordinate_bytes;
    bool pss;
} algorithms_known[] = {
    [JWT_RS256] = {"RS256", "RSA", NULL, NULL, "SHA256", 0, false},
    [JWT_RS384] = {"RS384", "RSA", NULL, NULL, "SHA384", 0, false},
    [JWT_RS512] = {"RS512", "RSA", NULL, NULL, "SHA512", 0, false},
    [JWT_PS256] = {"PS256", "RSA", NULL, NULL, "SHA256", 0, true},
    [JWT_ES256] = {"ES256", "EC", "P-256", "prime256v1", "SHA256", 32, false},
    [JWT_ES384] = {"ES384", "EC", "P-384", "secp384r1", "SHA384", 48, false},
    [JWT_ES512] = {"ES512", "EC", "P-521", "secp521r1", "SHA512", 66, false},
};

static int find_algorithm(struct str name)
{
    for (unsigned i = 0; i < ARRAY_LEN(algorithms_known); i++)
        if (str_eq(name, str_from(algorithms_known[i].name)))
            return (int)i;
    return -1;
}

int jwt_algorithms_parse(struct str list, unsigned *ret)
{
    struct str one;
    unsigned bits = 0;
    while (str_cut(&list, ',', &one)) {
        int found = find_algorithm(str_trim(one));
        if (found < 0)
            return -EINVAL;
        bits |= 1u << found;
    }
    *ret = bits;
    return bits ? 0 : -EINVAL;
}

/* ---- text to bytes -------------------------------------------------------------------------- */

/* base64url without padding (RFC 7515 section 2). */
static int decode_url(struct str text, uint8_t *ret, size_t cap, size_t *ret_len)
{
    char quad[4];
    size_t len = 0;
    if (text.len % 4 == 1 || text.len / 4 * 3 + 3 > cap + 3)
        return -ERR_PARSE;
    for (size_t i = 0; i < text.len; i += 4) {
        size_t left = MIN(text.len - i, (size_t)4), got;
        for (size_t k = 0; k < 4; k++) {
            char c = k < left ? text.ptr[i + k] : '=';
            if (c == '+' || c == '/' || (k < left && c == '='))
                return -ERR_PARSE;
            quad[k] = c == '-' ? '+' : c == '_' ? '/' : c;
        }
        if (base64_decode(str_make(quad, 4), ret + len, cap - len, &got))
            return -ERR_PARSE;
        len += got;
    }
    *ret_len = len;
    return 0;
}

static int decode_part(struct arena *a, struct str text, struct str *ret)
{
    size_t cap = text.len / 4 * 3 + 3, len;
    uint8_t *bytes = arena_alloc(a, cap);
    if (!bytes)
        return -ENOMEM;
    int r = decode_url(text, bytes, cap, &len);
    if (!r)
        *ret = str_make(bytes, len);
    return r;
}

/* NULL: no object. */
static json_t *load_object(struct str text)
{
    json_t *o = json_read(text);
    if (json_is_object(o))
        return o;
    json_decref(o);
    return NULL;
}

static struct str text_of(const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);
    return json_is_string(v) ? str_make(json_string_value(v), json_string_length(v)) : STR_NULL;
}

/* ---- a token -------------------------------------------------------------------------------- */

/* ptr NULL: it is none of text, number or truth, too long, or holds control characters. */
static struct str value_text(struct arena *a, const json_t *v)
{
    if (json_is_integer(v))
        return arena_printf(a, "%lld", (long long)json_integer_value(v));
    if (json_is_boolean(v))
        return json_is_true(v) ? STR("true") : STR("false");
    struct str s =
        json_is_string(v) ? str_make(json_string_value(v), json_string_length(v)) : STR_NULL;
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < ' ')
            return STR_NULL;
    return s.ptr && s.len <= JWT_TEXT_MAX ? arena_dup(a, s) : STR_NULL;
}

/* One value or a list of them; false: what it holds cannot be told as text. */
static bool read_claim(struct arena *a, const char *name, const json_t *v, struct jwt_claim *ret)
{
    size_t n = json_is_array(v) ? json_array_size(v) : 1;
    struct str *values = n <= JWT_VALUES_MAX ? arena_array(a, struct str, n + 1) : NULL;
    for (size_t i = 0; values && i < n; i++) {
        values[i] = value_text(a, json_is_array(v) ? json_array_get(v, i) : v);
        if (!values[i].ptr)
            return false;
    }
    *ret = (struct jwt_claim){arena_dup(a, str_from(name)), values, n};
    return values && ret->name.ptr;
}

static uint64_t seconds_of(const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);
    if (json_is_real(v) && json_real_value(v) > 0 && json_real_value(v) < 1e15)
        return (uint64_t)json_real_value(v);
    return json_is_integer(v) && json_integer_value(v) > 0 ? (uint64_t)json_integer_value(v) : 0;
}

static int read_claims(struct arena *a, const json_t *o, struct jwt *t)
{
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)o, name, v)
    {
        if (t->claim_count == JWT_CLAIMS_MAX)
            break;
        if (strlen(name) <= 128 && read_claim(a, name, v, &t->claims[t->claim_count]))
            t->claim_count++;
    }
    const json_t *audience = json_object_get(o, "aud");
    if (audience && !read_claim(a, "aud", audience, &t->audience))
        return -ERR_PARSE;
    t->issuer = arena_dup(a, text_of(o, "iss"));
    t->subject = arena_dup(a, text_of(o, "sub"));
    t->expires_s = seconds_of(o, "exp");
    t->not_before_s = seconds_of(o, "nbf");
    t->issued_s = seconds_of(o, "iat");
    return t->issuer.len && t->subject.len && t->issuer.len <= JWT_TEXT_MAX &&
                   t->subject.len <= JWT_TEXT_MAX
               ? 0
               : -ERR_PARSE;
}

static int read_header(struct arena *a, const json_t *o, struct jwt *t)
{
    struct str algorithm = text_of(o, "alg"), key_id = text_of(o, "kid");
    if (!algorithm.ptr || json_object_get(o, "crit") || key_id.len > JWT_TEXT_MAX)
        return -ERR_PARSE;
    t->algorithm = find_algorithm(algorithm);
    t->key_id = key_id.ptr ? arena_dup(a, key_id) : STR_NULL;
    return 0;
}

static int read_part(struct arena *a, struct str part,
                     int (*fn)(struct arena *a, const json_t *o, struct jwt *t), struct jwt *t)
{
    struct str text;
    int r = decode_part(a, part, &text);
    if (r)
        return r;
    json_t *o = load_object(text);
    r = o ? fn(a, o, t) : -ERR_PARSE;
    json_decref(o);
    return r;
}

int jwt_parse(struct arena *a, struct str token, struct jwt *ret)
{
    struct str rest = token, header, claims;
    *ret = (struct jwt){.algorithm = -1};
    if (token.len > JWT_TOKEN_MAX)
        return -ERR_TOO_LARGE;
    if (!str_cut(&rest, '.', &header) || !str_cut(&rest, '.', &claims) || !rest.ptr ||
        str_find_char(rest, '.', 0) >= 0)
        return -ERR_PARSE;
    ret->signed_part = str_prefix(token, header.len + 1 + claims.len);
    int r = read_part(a, header, read_header, ret);
    if (!r)
        r = read_part(a, claims, read_claims, ret);
    return r ? r : decode_part(a, rest, &ret->signature);
}

/* ---- keys ----------------------------------------------------------------------------------- */

static EVP_PKEY *key_from(const char *type, OSSL_PARAM_BLD *build)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *c = params ? EVP_PKEY_CTX_new_from_name(NULL, type, NULL) : NULL;
    if (!c || EVP_PKEY_fromdata_init(c) <= 0 ||
        EVP_PKEY_fromdata(c, &key, EVP_PKEY_PUBLIC_KEY, params) <= 0)
        key = NULL;
    EVP_PKEY_CTX_free(c);
    OSSL_PARAM_free(params);
    return key;
}

static BIGNUM *read_number(const json_t *o, const char *name)
{
    uint8_t bytes[NUMBER_MAX];
    size_t len;
    struct str text = text_of(o, name);
    if (!text.len || decode_url(text, bytes, sizeof(bytes), &len))
        return NULL;
    return BN_bin2bn(bytes, (int)len, NULL);
}

static EVP_PKEY *rsa_key(const json_t *o)
{
    EVP_PKEY *key = NULL;
    BIGNUM *n = read_number(o, "n"), *e = read_number(o, "e");
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    bool fits = n && e && BN_num_bits(n) >= RSA_BITS_MIN && BN_num_bits(n) <= RSA_BITS_MAX &&
                BN_num_bits(e) <= 32 && BN_is_odd(e);
    if (fits && build && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e))
        key = key_from("RSA", build);
    OSSL_PARAM_BLD_free(build);
    BN_free(n);
    BN_free(e);
    return key;
}

/* An uncompressed point: 4, x, y. */
static EVP_PKEY *ec_key(const json_t *o, const struct algorithm *alg)
{
    uint8_t point[1 + 2 * 66 + 8] = {4};
    size_t x_len, y_len, n = alg->coordinate_bytes;
    EVP_PKEY *key = NULL;
    if (!str_eq(text_of(o, "crv"), str_from(alg->curve)) ||
        decode_url(text_of(o, "x"), point + 1, n + 2, &x_len) || x_len != n ||
        decode_url(text_of(o, "y"), point + 1 + n, n + 2, &y_len) || y_len != n)
        return NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    if (build &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, alg->group, 0) &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * n))
        key = key_from("EC", build);
    OSSL_PARAM_BLD_free(build);
    return key;
}

/* A key of the algorithm's type, for signatures, and, where it says so, of that algorithm. */
static EVP_PKEY *open_key(const json_t *o, const struct algorithm *alg)
{
    struct str use = text_of(o, "use"), named = text_of(o, "alg");
    if (!str_eq(text_of(o, "kty"), str_from(alg->key_type)) ||
        (use.ptr && !str_eq(use, STR("sig"))) || (named.ptr && !str_eq(named, str_from(alg->name))))
        return NULL;
    return alg->curve ? ec_key(o, alg) : rsa_key(o);
}

/* ---- signatures ----------------------------------------------------------------------------- */

/* r and s side by side (RFC 7518 3.4) as OpenSSL wants them. */
static int ecdsa_der(struct str raw, unsigned n, uint8_t **ret)
{
    ECDSA_SIG *sig = raw.len == 2 * n ? ECDSA_SIG_new() : NULL;
    const uint8_t *bytes = (const uint8_t *)raw.ptr;
    int len = -1;
    *ret = NULL;
    if (!sig)
        return -1;
    BIGNUM *r = BN_bin2bn(bytes, (int)n, NULL), *s = BN_bin2bn(bytes + n, (int)n, NULL);
    if (r && s && ECDSA_SIG_set0(sig, r, s)) {
        len = i2d_ECDSA_SIG(sig, ret);
    } else {
        BN_free(r);
        BN_free(s);
    }
    ECDSA_SIG_free(sig);
    return len;
}

static bool set_padding(EVP_PKEY_CTX *c, const struct algorithm *alg)
{
    if (!alg->pss)
        return alg->curve || EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PADDING) > 0;
    return EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PSS_PADDING) > 0 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(c, RSA_PSS_SALTLEN_DIGEST) > 0;
}

static bool is_signed(EVP_PKEY *key, const struct algorithm *alg, const struct jwt *t)
{
    uint8_t *der = NULL;
    struct str sig = t->signature;
    if (sig.len > SIGNATURE_MAX)
        return false;
    if (alg->curve) {
        int len = ecdsa_der(sig, alg->coordinate_bytes, &der);
        sig = str_make(der, len > 0 ? (size_t)len : 0);
    }
    EVP_PKEY_CTX *c;
    EVP_MD_CTX *m = EVP_MD_CTX_new();
    bool good = m && sig.len &&
                EVP_DigestVerifyInit_ex(m, &c, alg->digest, NULL, NULL, key, NULL) > 0 &&
                set_padding(c, alg) &&
                EVP_DigestVerify(m, (const uint8_t *)sig.ptr, sig.len,
                                 (const uint8_t *)t->signed_part.ptr, t->signed_part.len) == 1;
    EVP_MD_CTX_free(m);
    OPENSSL_free(der);
    return good;
}

/* 0, -ERR_ACCESS_DENIED, or -ERR_NOT_FOUND: the key is not for this token. */
static int try_key(const json_t *o, const struct algorithm *alg, const struct jwt *t)
{
    struct str id = text_of(o, "kid");
    if (t->key_id.ptr && id.ptr && !str_eq(id, t->key_id))
        return -ERR_NOT_FOUND;
    EVP_PKEY *key = open_key(o, alg);
    if (!key)
        return -ERR_NOT_FOUND;
    bool good = is_signed(key, alg, t);
    EVP_PKEY_free(key);
    return good ? 0 : -ERR_ACCESS_DENIED;
}

int jwt_verify(const struct jwt *t, struct str jwks, unsigned algorithms)
{
    if (t->algorithm < 0 || !(algorithms >> t->algorithm & 1))
        return -ERR_ACCESS_DENIED;
    json_t *o = jwks.len <= JWKS_MAX ? load_object(jwks) : NULL;
    const json_t *keys = json_object_get(o, "keys");
    int r =
        json_is_array(keys) && json_array_size(keys) <= JWKS_KEYS_MAX ? -ERR_NOT_FOUND : -ERR_PARSE;
    for (size_t i = 0; r != -ERR_PARSE && r != 0 && i < json_array_size(keys); i++) {
        int one = try_key(json_array_get(keys, i), &algorithms_known[t->algorithm], t);
        if (one != -ERR_NOT_FOUND)
            r = one;
    }
    json_decref(o);
    return r;
}
