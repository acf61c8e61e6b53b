/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * TLS by OpenSSL on fibers.
 *
 * OpenSSL never waits here: it reads from `in` and writes to `out`, two buffers in memory behind a
 * BIO of ours, and when it wants more this file receives or sends on the socket and calls again.
 * So no fiber is suspended inside OpenSSL, whose error queue belongs to the thread and must not see
 * two calls mixed; and many records leave in one send.
 *
 * While it is active a session keeps its buffers (and OpenSSL its own); an idle one has none.
 *
 * The certificate is read again when the files change: a new SSL_CTX takes the old one's place, and
 * sessions under way keep theirs. If the files do not fit together (one of them is yet to be
 * replaced) the old context stays and the next look tries again.
 */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include "base/hash.h"
#include "http/internal.h"

#define PEM_MAX_BYTES   (128 * KIB)
#define IN_FIRST_BYTES  (17 * KIB)  /* one record */
#define IN_BULK_BYTES   (128 * KIB) /* once a recv has filled the first */
#define RECORD_BYTES    (16 * KIB)
#define OUT_FLUSH_BYTES (128 * KIB)
#define OUT_MAX_BYTES   (1 * MIB)
#define FINISH_NS       (1 * RT_S)

struct tls_context {
    BIO_METHOD *method;
    struct rt_lock lock; /* for `ctx` */
    SSL_CTX *ctx;
    char *cert_path, *key_path; /* server only */
    struct hash128 seen;        /* of the files in use */
};

struct tls_session {
    SSL *ssl;
    struct window in; /* received, not yet taken by OpenSSL */
    bool in_filled;   /* the last recv took all the room: more is waiting */
    struct buf out;   /* made by OpenSSL, to be sent */
    struct buf plain; /* small vectors gathered into one record */
};

/* ---- the BIO -------------------------------------------------------------------------------- */

static int bio_read(BIO *bio, char *to, int len)
{
    struct tls_session *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (window_empty(&s->in)) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t n = MIN((size_t)len, s->in.end - s->in.pos);
    memcpy(to, s->in.data + s->in.pos, n);
    s->in.pos += n;
    return (int)n;
}

static int bio_write(BIO *bio, const char *from, int len)
{
    struct tls_session *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    buf_put(&s->out, from, (size_t)len);
    return s->out.failed ? -1 : len;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *make_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "cairn");
    if (m && BIO_meth_set_read(m, bio_read) && BIO_meth_set_write(m, bio_write) &&
        BIO_meth_set_ctrl(m, bio_ctrl))
        return m;
    BIO_meth_free(m);
    return NULL;
}

/* ---- contexts ------------------------------------------------------------------------------- */

static SSL_CTX *make_ctx(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (!ctx || !SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) ||
        !SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20")) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    return ctx;
}

/* HTTP/1.1 or, with a client that offers only other protocols, a fatal alert (RFC 7301, 3.2). */
static int choose_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
                       const unsigned char *offered, unsigned offered_len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, ret_len, ours, sizeof(ours) - 1, offered, offered_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* No terminal is ever asked for a key's pass phrase. */
static int no_password(char *buf, int size, int writing, void *arg)
{
    return -1;
}

static int use_certificates(SSL_CTX *ctx, BIO *pem)
{
    X509 *leaf = PEM_read_bio_X509_AUX(pem, NULL, no_password, NULL), *issuer;
    int ok = leaf && SSL_CTX_use_certificate(ctx, leaf) == 1;
    X509_free(leaf);
    while (ok && (issuer = PEM_read_bio_X509(pem, NULL, no_password, NULL))) {
        ok = SSL_CTX_add0_chain_cert(ctx, issuer) == 1;
        if (!ok)
            X509_free(issuer);
    }
    return ok ? 0 : -EINVAL;
}

static int use_key(SSL_CTX *ctx, BIO *pem)
{
    EVP_PKEY *key = PEM_read_bio_PrivateKey(pem, NULL, no_password, NULL);
    int ok = key && SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    EVP_PKEY_free(key);
    return ok ? 0 : -EINVAL;
}

static int make_server_ctx(SSL_CTX **ret, struct str cert, struct str key)
{
    SSL_CTX *ctx = make_ctx(TLS_server_method());
    BIO *cert_pem = BIO_new_mem_buf(cert.ptr, (int)cert.len);
    BIO *key_pem = BIO_new_mem_buf(key.ptr, (int)key.len);
    int rc = ctx && cert_pem && key_pem ? use_certificates(ctx, cert_pem) : -ENOMEM;
    if (rc == 0)
        rc = use_key(ctx, key_pem);
    BIO_free(cert_pem);
    BIO_free(key_pem);
    ERR_clear_error(); /* the end of the chain is found by an error too */
    if (rc < 0) {
        SSL_CTX_free(ctx);
        return rc;
    }
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets resume without memory */
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
    *ret = ctx;
    return 0;
}

/* Both files, one after the other in `ret`; wiped and freed by the caller. */
static int FIBER read_pems(struct tls_context *t, char *ret, size_t *ret_cert, size_t *ret_key)
{
    int rc = rt_read_file(t->cert_path, ret, PEM_MAX_BYTES, ret_cert);
    if (rc < 0)
        return rc;
    return rt_read_file(t->key_path, ret + PEM_MAX_BYTES, PEM_MAX_BYTES, ret_key);
}

static int load(struct tls_context *t, const char *pems, size_t cert_len, size_t key_len)
{
    struct hash128 cert = hash_xxh128(pems, cert_len);
    struct hash128 key = hash_xxh128(pems + PEM_MAX_BYTES, key_len);
    struct hash128 seen = {cert.lo ^ key.hi, cert.hi ^ key.lo};
    SSL_CTX *ctx, *old;
    if (t->ctx && seen.lo == t->seen.lo && seen.hi == t->seen.hi)
        return 0;
    int rc =
        make_server_ctx(&ctx, str_make(pems, cert_len), str_make(pems + PEM_MAX_BYTES, key_len));
    if (rc < 0)
        return rc;
    rt_lock(&t->lock);
    old = t->ctx;
    t->ctx = ctx;
    rt_unlock(&t->lock);
    SSL_CTX_free(old);
    t->seen = seen;
    return 0;
}

int tls_server_reload(struct tls_context *t)
{
    size_t cert_len = 0, key_len = 0;
    char *pems = malloc(2 * PEM_MAX_BYTES);
    if (!pems)
        return -ENOMEM;
    int rc = read_pems(t, pems, &cert_len, &key_len);
    if (rc == 0)
        rc = load(t, pems, cert_len, key_len);
    OPENSSL_cleanse(pems, 2 * PEM_MAX_BYTES);
    free(pems);
    return rc;
}

static int context_new(struct tls_context **ret)
{
    struct tls_context *t = calloc(1, sizeof(*t));
    if (!t)
        return -ENOMEM;
    rt_lock_init(&t->lock);
    t->method = make_method();
    if (!t->method) {
        free(t);
        return -ENOMEM;
    }
    *ret = t;
    return 0;
}

int tls_server_open(struct tls_context **ret, const struct http_tls_config *config)
{
    struct tls_context *t;
    int rc = context_new(&t);
    if (rc < 0)
        return rc;
    t->cert_path = strdup(config->cert_path);
    t->key_path = strdup(config->key_path);
    rc = t->cert_path && t->key_path ? tls_server_reload(t) : -ENOMEM;
    if (rc < 0)
        tls_context_close(t);
    else
        *ret = t;
    return rc;
}

int tls_client_open(struct tls_context **ret, const char *ca_path, bool insecure)
{
    struct tls_context *t;
    int rc = context_new(&t);
    if (rc < 0)
        return rc;
    t->ctx = make_ctx(TLS_client_method());
    if (!t->ctx) {
        tls_context_close(t);
        return -ENOMEM;
    }
    SSL_CTX_set_verify(t->ctx, insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if (!insecure && !(ca_path ? SSL_CTX_load_verify_file(t->ctx, ca_path)
                               : SSL_CTX_set_default_verify_paths(t->ctx))) {
        ERR_clear_error();
        tls_context_close(t);
        return -EINVAL;
    }
    *ret = t;
    return 0;
}

void tls_context_close(struct tls_context *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->ctx);
    BIO_meth_free(t->method);
    free(t->cert_path);
    free(t->key_path);
    free(t);
}

/* ---- sessions ------------------------------------------------------------------------------- */

/* SNI (names only, RFC 6066, 3) and what the certificate must say. */
static int expect_host(SSL *ssl, const char *host)
{
    static const unsigned char alpn[] = "\x08http/1.1";
    if (!*host) /* OpenSSL takes it for "any" */
        return -EINVAL;
    SSL_set_alpn_protos(ssl, alpn, sizeof(alpn) - 1);
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host))
        return 0;
    ERR_clear_error();
    return SSL_set1_host(ssl, host) && SSL_set_tlsext_host_name(ssl, host) ? 0 : -EINVAL;
}

int tls_session_new(struct tls_session **ret, struct tls_context *t, const char *host)
{
    struct tls_session *s = calloc(1, sizeof(*s));
    BIO *bio = BIO_new(t->method);
    if (s && bio) {
        rt_lock(&t->lock);
        s->ssl = SSL_new(t->ctx); /* holds the context from here on */
        rt_unlock(&t->lock);
    }
    if (!s || !s->ssl) {
        BIO_free(bio);
        free(s);
        return -ENOMEM;
    }
    buf_init(&s->out, OUT_MAX_BYTES);
    buf_init(&s->plain, RECORD_BYTES);
    BIO_set_data(bio, s);
    BIO_set_init(bio, 1);
    SSL_set_bio(s->ssl, bio, bio);
    if (!host) {
        SSL_set_accept_state(s->ssl);
    } else {
        SSL_set_connect_state(s->ssl);
        int rc = expect_host(s->ssl, host);
        if (rc < 0) {
            tls_session_free(s);
            return rc;
        }
    }
    *ret = s;
    return 0;
}

struct str tls_version(const struct tls_session *s)
{
    return SSL_version(s->ssl) == TLS1_2_VERSION ? STR("1.2") : STR("1.3"); /* none is older */
}

void tls_session_free(struct tls_session *s)
{
    SSL_free(s->ssl);
    free(s->in.data);
    buf_release(&s->out);
    buf_release(&s->plain);
    free(s);
}

void tls_idle(struct tls_session *s)
{
    if (window_empty(&s->in)) {
        free(s->in.data);
        s->in = (struct window){0};
        s->in_filled = false;
    }
    if (s->out.len == 0)
        buf_release(&s->out);
    buf_release(&s->plain);
    SSL_free_buffers(s->ssl); /* keeps them when part of a record is in them */
}

/* ---- moving bytes --------------------------------------------------------------------------- */

static int FIBER flush(struct tls_session *s, struct rt_socket *socket, uint64_t deadline_ns)
{
    if (s->out.failed)
        return -ENOMEM;
    if (!s->out.len)
        return 0;
    struct iovec iov = {s->out.data, s->out.len};
    int rc = rt_send(socket, &iov, 1, deadline_ns);
    buf_reset(&s->out);
    return rc;
}

static int in_room(struct tls_session *s)
{
    size_t cap = s->in_filled ? IN_BULK_BYTES : IN_FIRST_BYTES;
    s->in.pos = s->in.end = 0;
    if (s->in.cap >= cap)
        return 0;
    char *data = malloc(cap);
    if (!data)
        return -ENOMEM;
    free(s->in.data);
    s->in.data = data;
    s->in.cap = cap;
    return 0;
}

static int FIBER fill(struct tls_session *s, struct rt_socket *socket, uint64_t deadline_ns)
{
    size_t len = 0;
    int rc = in_room(s);
    if (rc == 0)
        rc = rt_recv(socket, s->in.data, s->in.cap, deadline_ns, &len);
    if (rc < 0)
        return rc;
    s->in.end = len;
    s->in_filled = len == s->in.cap;
    return len ? 0 : -ECONNRESET; /* without a close_notify the end may be forged */
}

/* After a call of OpenSSL that gave `result`: 0 when it is to be repeated, or the error. */
static int FIBER serve_want(struct tls_session *s, struct rt_socket *socket, int result,
                            uint64_t deadline_ns)
{
    int want = SSL_get_error(s->ssl, result);
    ERR_clear_error();
    int rc = flush(s, socket, deadline_ns); /* also an alert, before the end */
    if (want != SSL_ERROR_WANT_READ)
        return -EPROTO;
    return rc < 0 ? rc : fill(s, socket, deadline_ns);
}

int tls_handshake(struct tls_session *s, struct rt_socket *socket, uint64_t deadline_ns)
{
    int result;
    ERR_clear_error(); /* what others left on this thread is not ours */
    while ((result = SSL_do_handshake(s->ssl)) != 1) {
        int rc = serve_want(s, socket, result, deadline_ns);
        if (rc == -EPROTO && SSL_get_verify_result(s->ssl) != X509_V_OK)
            return -EKEYREJECTED;
        if (rc < 0)
            return rc;
    }
    return flush(s, socket, deadline_ns);
}

/* Takes what is decrypted or can be without waiting, after the first bytes are there. */
static size_t read_more(struct tls_session *s, char *buf, size_t len)
{
    size_t got = 0, n;
    while (got < len && (!window_empty(&s->in) || SSL_pending(s->ssl) > 0) &&
           SSL_read_ex(s->ssl, buf + got, len - got, &n))
        got += n;
    ERR_clear_error(); /* an error comes back with the next call */
    return got;
}

int tls_recv(struct tls_session *s, struct rt_socket *socket, void *buf, size_t len,
             uint64_t deadline_ns, size_t *ret_len)
{
    size_t got = 0;
    ERR_clear_error();
    while (!SSL_read_ex(s->ssl, buf, len, &got)) {
        if (SSL_get_error(s->ssl, 0) == SSL_ERROR_ZERO_RETURN) {
            *ret_len = 0;
            return 0;
        }
        int rc = serve_want(s, socket, 0, deadline_ns);
        if (rc < 0)
            return rc;
    }
    *ret_len = got + read_more(s, (char *)buf + got, len - got);
    return 0;
}

/* Encrypts into `out`, sending whenever it has grown large. */
static int FIBER write_all(struct tls_session *s, struct rt_socket *socket, const char *data,
                           size_t len, uint64_t deadline_ns)
{
    while (len) {
        size_t n = MIN(len, (size_t)OUT_FLUSH_BYTES);
        int result = SSL_write(s->ssl, data, (int)n);
        if (result <= 0) {
            ERR_clear_error();
            return s->out.failed ? -ENOMEM : -EPROTO;
        }
        data += n;
        len -= n;
        int rc = s->out.len >= OUT_FLUSH_BYTES ? flush(s, socket, deadline_ns) : 0;
        if (rc < 0)
            return rc;
    }
    return 0;
}

/*
 * Takes up to a record's worth from the front of several vectors, so that a head does not travel in
 * a record of its own. Without memory nothing is taken: it would only have saved some bytes.
 */
static void gather(struct tls_session *s, struct iovec *iov, unsigned count)
{
    buf_reset(&s->plain);
    if (count < 2 || !buf_reserve(&s->plain, RECORD_BYTES))
        return;
    for (unsigned i = 0; i < count; i++) {
        size_t n = MIN(iov[i].iov_len, (size_t)RECORD_BYTES - s->plain.len);
        buf_put(&s->plain, iov[i].iov_base, n);
        iov[i].iov_base = (char *)iov[i].iov_base + n;
        iov[i].iov_len -= n;
    }
}

int tls_send(struct tls_session *s, struct rt_socket *socket, struct iovec *iov, unsigned count,
             uint64_t deadline_ns)
{
    gather(s, iov, count);
    int rc = write_all(s, socket, s->plain.data, s->plain.len, deadline_ns);
    for (unsigned i = 0; i < count && rc == 0; i++)
        rc = write_all(s, socket, iov[i].iov_base, iov[i].iov_len, deadline_ns);
    return rc < 0 ? rc : flush(s, socket, deadline_ns);
}

void tls_finish(struct tls_session *s, struct rt_socket *socket)
{
    if (SSL_is_init_finished(s->ssl))
        SSL_shutdown(s->ssl);
    ERR_clear_error();
    flush(s, socket, rt_now() + FINISH_NS);
}
