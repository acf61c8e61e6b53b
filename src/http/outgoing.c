/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "http/outgoing.h"

#include <netinet/in.h>

/* ---- addresses ------------------------------------------------------------------------------ */

enum scope { SCOPE_OPEN, SCOPE_LOCAL, SCOPE_NEVER };

static enum scope scope_of_ip4(const uint8_t ip[4])
{
    if (ip[0] == 0 || ip[0] >= 224)
        return SCOPE_NEVER;
    return ip[0] == 127 || (ip[0] == 169 && ip[1] == 254) ? SCOPE_LOCAL : SCOPE_OPEN;
}

/* IPv4 in IPv6: mapped and compatible (RFC 4291 2.5.5), translated (RFC 6052), 6to4 (RFC 3056). */
static const uint8_t *inner_ip4(const uint8_t ip[16])
{
    static const uint8_t zeros[12], mapped[12] = {[10] = 0xff, 0xff},
                                    nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    if (memcmp(ip, mapped, 12) == 0 || memcmp(ip, nat64, 12) == 0 || memcmp(ip, zeros, 12) == 0)
        return ip + 12;
    return ip[0] == 0x20 && ip[1] == 0x02 ? ip + 2 : NULL;
}

static enum scope scope_of_ip6(const uint8_t ip[16])
{
    static const uint8_t loopback[16] = {[15] = 1};
    /* A cloud's metadata service at an address that is not link-local. */
    static const uint8_t metadata[16] = {0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, 0x54};
    if (memcmp(ip, loopback, 16) == 0 || memcmp(ip, metadata, 16) == 0)
        return SCOPE_LOCAL;
    if (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80)
        return SCOPE_LOCAL;
    const uint8_t *inner = inner_ip4(ip);
    return inner ? scope_of_ip4(inner) : ip[0] == 0xff ? SCOPE_NEVER : SCOPE_OPEN;
}

static enum scope scope_of(const struct rt_address *a)
{
    struct sockaddr_storage ss;
    memcpy(&ss, a->bytes, sizeof(ss));
    if (ss.ss_family == AF_INET)
        return scope_of_ip4((const uint8_t *)&((const struct sockaddr_in *)&ss)->sin_addr);
    if (ss.ss_family == AF_INET6)
        return scope_of_ip6((const uint8_t *)&((const struct sockaddr_in6 *)&ss)->sin6_addr);
    return SCOPE_NEVER;
}

int http_outgoing_test(const struct rt_address *a, bool allow_local)
{
    enum scope scope = scope_of(a);
    bool good = scope == SCOPE_OPEN || (scope == SCOPE_LOCAL && allow_local);
    return good ? 0 : -ERR_ACCESS_DENIED;
}

/* ---- a URL ---------------------------------------------------------------------------------- */

struct place {
    bool tls;
    char *host;    /* for SNI, and the name verified */
    char *address; /* "host:port" */
    struct str authority, target;
};

/* What may stand in an authority: nothing that is a user, a space or the end of a line. */
static bool is_authority(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~' || strchr("@\\\"<>", s.ptr[i]))
            return false;
    return s.len > 0 && s.len <= 255;
}

static int split_url(struct arena *a, struct str url, struct place *ret)
{
    struct str https = STR("https://"), http = STR("http://");
    ret->tls = str_starts(url, https);
    if (!ret->tls && !str_starts(url, http))
        return -EINVAL;
    struct str rest = str_from_offset(url, ret->tls ? https.len : http.len);
    ptrdiff_t slash = str_find_char(rest, '/', 0);
    ret->authority = slash < 0 ? rest : str_prefix(rest, (size_t)slash);
    ret->target = slash < 0 ? STR("/") : str_from_offset(rest, (size_t)slash);
    if (!is_authority(ret->authority))
        return -EINVAL;
    ptrdiff_t bracket = str_find_char(ret->authority, ']', 0);
    ptrdiff_t colon = str_find_char(ret->authority, ':', bracket < 0 ? 0 : (size_t)bracket);
    struct str host = colon < 0 ? ret->authority : str_prefix(ret->authority, (size_t)colon);
    struct str bare = host;
    if (str_starts(host, STR("[")) && str_ends(host, STR("]")))
        bare = str_make(host.ptr + 1, host.len - 2);
    ret->host = arena_cstr(a, bare);
    ret->address =
        arena_cstr(a, colon < 0 ? arena_printf(a, "%.*s:%d", STR_FMT(host), ret->tls ? 443 : 80)
                                : ret->authority);
    return ret->host && ret->address ? 0 : -ENOMEM;
}

/* ---- fetching ------------------------------------------------------------------------------- */

static int FIBER read_body(struct http_client *c, struct arena *a, size_t max, uint64_t deadline,
                           struct str *ret)
{
    _cleanup_buf_ struct buf body;
    struct str piece;
    buf_init(&body, max);
    for (;;) {
        int r = rt_now() < deadline ? http_client_body(c, &piece) : -ETIMEDOUT;
        if (r)
            return r;
        if (!piece.len)
            break;
        buf_put_str(&body, piece);
        if (buf_error(&body))
            return -ERR_TOO_LARGE;
    }
    *ret = arena_dup(a, buf_str(&body));
    return ret->ptr ? 0 : -ENOMEM;
}

static int FIBER get(struct http_client *c, struct arena *a, const struct place *p, size_t max,
                     uint64_t deadline, struct str *ret)
{
    struct http1_header headers[] = {{STR("host"), p->authority},
                                     {STR("accept"), STR("application/json")},
                                     {STR("connection"), STR("close")}};
    struct http_reply reply;
    int r = http_client_request(c, STR("GET"), p->target, headers, ARRAY_LEN(headers), STR_NULL,
                                &reply);
    if (r)
        return r;
    return reply.status == 200 ? read_body(c, a, max, deadline, ret) : -ERR_UNAVAILABLE;
}

int FIBER http_outgoing_get(struct arena *a, struct str url, const struct http_outgoing *how,
                            struct str *ret_body)
{
    struct place p;
    struct http_client *c;
    struct http_client_config config = {.ca_path = how->ca_path, .timeout_ns = how->timeout_ns};
    uint64_t deadline = rt_now() + how->timeout_ns;
    int r = split_url(a, url, &p);
    if (!r && !p.tls && !how->allow_local)
        r = -EINVAL;
    if (!r)
        r = rt_address_parse(&config.address, p.address);
    if (!r)
        r = http_outgoing_test(&config.address, how->allow_local);
    if (r)
        return r;
    config.tls_host = p.tls ? p.host : NULL;
    r = http_client_open(&c, &config);
    if (r)
        return r;
    r = get(c, a, &p, how->max_bytes, deadline, ret_body);
    http_client_close(c);
    return r;
}
