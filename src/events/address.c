/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "events/address.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include "base/error.h"

/* ---- what may be connected to --------------------------------------------------------------- */

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

int event_address_test(const struct sockaddr *sa, bool allow_local)
{
    enum scope scope = scope_of(sa);
    bool open = scope == SCOPE_OPEN || (scope == SCOPE_LOCAL && allow_local);
    return open ? 0 : -ERR_ACCESS_DENIED;
}

/* ---- names ---------------------------------------------------------------------------------- */

static int split(struct str address, char ret_host[256], uint16_t *ret_port)
{
    uint64_t port;
    size_t colon = address.len;
    while (colon > 0 && address.ptr[colon - 1] != ':')
        colon--;
    if (colon < 2 || str_to_u64(str_from_offset(address, colon), &port) < 0 || port == 0 ||
        port > UINT16_MAX)
        return -EINVAL;
    struct str host = str_prefix(address, colon - 1);
    if (str_starts(host, STR("[")) && str_ends(host, STR("]")))
        host = str_make(host.ptr + 1, host.len - 2);
    else if (str_find_char(host, ':', 0) >= 0)
        return -EINVAL;
    if (host.len == 0 || host.len > 255 || memchr(host.ptr, 0, host.len))
        return -EINVAL;
    memcpy(ret_host, host.ptr, host.len);
    ret_host[host.len] = 0;
    *ret_port = (uint16_t)port;
    return 0;
}

int BLOCKING event_address_resolve(struct str address, bool allow_local, char ret_ip[EVENT_IP_MAX],
                                   char ret_host[256], uint16_t *ret_port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all = NULL;
    int r = split(address, ret_host, ret_port);
    if (r < 0)
        return r;
    if (getaddrinfo(ret_host, NULL, &hints, &all) != 0)
        return -ERR_UNAVAILABLE;
    r = -ERR_ACCESS_DENIED;
    for (const struct addrinfo *a = all; a && r < 0; a = a->ai_next)
        if (event_address_test(a->ai_addr, allow_local) == 0 &&
            getnameinfo(a->ai_addr, a->ai_addrlen, ret_ip, EVENT_IP_MAX, NULL, 0, NI_NUMERICHOST) ==
                0)
            r = 0;
    freeaddrinfo(all);
    return r;
}
