/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "http/outgoing.h"

#include <netinet/in.h>

/* ---- addresses ------------------------------------------------------------------------------ */

enum scope { SCOPE_OPEN, SCOPE_LOCAL, SCOPE_NEVER };

static enum scope scope_of_ip4(uint32_t ip)
{
    uint8_t first = (uint8_t)(ip >> 24);
    if (first == 0 || first >= 224) /* this network; multicast, reserved, broadcast */
        return SCOPE_NEVER;
    if (first == 127 || (ip >> 16) == 0xa9fe)
        return SCOPE_LOCAL;
    return SCOPE_OPEN;
}

static uint32_t ip4_at(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* An IPv4 address in one of the notations that lead to it: mapped and compatible (RFC 4291 2.5.5),
 * 64:ff9b::/96 (RFC 6052), 2002::/16 (RFC 3056). */
static bool embedded_ip4(const uint8_t ip[16], uint32_t *ret)
{
    static const uint8_t zeros[12], mapped[12] = {[10] = 0xff, 0xff},
                                    nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    if (memcmp(ip, mapped, 12) == 0 || memcmp(ip, nat64, 12) == 0 || memcmp(ip, zeros, 12) == 0)
        *ret = ip4_at(ip + 12);
    else if (ip[0] == 0x20 && ip[1] == 0x02)
        *ret = ip4_at(ip + 2);
    else
        return false;
    return true;
}

static enum scope scope_of_ip6(const uint8_t ip[16])
{
    static const uint8_t loopback[16] = {[15] = 1};
    /* The address of a cloud's metadata service, though not link-local. */
    static const uint8_t metadata[16] = {0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, 0x54};
    uint32_t ip4;
    if (memcmp(ip, loopback, 16) == 0 || memcmp(ip, metadata, 16) == 0 ||
        (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80))
        return SCOPE_LOCAL;
    if (ip[0] == 0xff)
        return SCOPE_NEVER;
    return embedded_ip4(ip, &ip4) ? scope_of_ip4(ip4) : SCOPE_OPEN;
}

static enum scope scope_of(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET)
        return scope_of_ip4(ntohl(((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr));
    if (sa->sa_family == AF_INET6)
        return scope_of_ip6(((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr.s6_addr);
    return SCOPE_NEVER;
}

int http_outgoing_test(const struct sockaddr *sa, bool allow_local)
{
    enum scope scope = scope_of(sa);
    bool open = scope == SCOPE_OPEN || (scope == SCOPE_LOCAL && allow_local);
    return open ? 0 : -ERR_ACCESS_DENIED;
}

static int address_test(const struct rt_address *a, bool allow_local)
{
    struct sockaddr_storage ss;
    memcpy(&ss, a->bytes, sizeof(ss));
    return http_outgoing_test((const struct sockaddr *)&ss, allow_local);
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

static int FIBER read_body(struct http_client *c, struct arena *a, size_t max, struct str *ret)
{
    _cleanup_buf_ struct buf body;
    struct str piece;
    buf_init(&body, max);
    for (;;) {
        int r = http_client_body(c, &piece);
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
                     struct str *ret)
{
    struct http1_header headers[] = {{STR("host"), p->authority},
                                     {STR("accept"), STR("application/json")},
                                     {STR("connection"), STR("close")}};
    struct http_reply reply;
    int r = http_client_request(c, STR("GET"), p->target, headers, ARRAY_LEN(headers), STR_NULL,
                                &reply);
    if (r)
        return r;
    return reply.status == 200 ? read_body(c, a, max, ret) : -ERR_UNAVAILABLE;
}

int FIBER http_outgoing_get(struct arena *a, struct str url, const struct http_outgoing *how,
                            struct str *ret_body)
{
    struct place p;
    struct http_client *c;
    struct http_client_config config = {.ca_path = how->ca_path,
                                        .timeout_ns = how->timeout_ns,
                                        .until_ns = rt_now() + how->timeout_ns};
    int r = split_url(a, url, &p);
    if (!r && !p.tls && !how->allow_local)
        r = -EINVAL;
    if (!r)
        r = rt_address_parse(&config.address, p.address);
    if (!r)
        r = address_test(&config.address, how->allow_local);
    if (r)
        return r;
    config.tls_host = p.tls ? p.host : NULL;
    r = http_client_open(&c, &config);
    if (r)
        return r;
    r = get(c, a, &p, how->max_bytes, ret_body);
    http_client_close(c);
    return r;
}
