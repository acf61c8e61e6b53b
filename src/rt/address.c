/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * Network addresses as text. Numeric ones are read here in every world; names go to the world.
 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include "rt/internal.h"

static void address_ip4(struct rt_address *ret, struct in_addr host, uint16_t port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = host};
    *ret = (struct rt_address){.len = sizeof(sa)};
    memcpy(ret->bytes, &sa, sizeof(sa));
}

static void address_ip6(struct rt_address *ret, struct in6_addr host, uint16_t port)
{
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = host};
    *ret = (struct rt_address){.len = sizeof(sa)};
    memcpy(ret->bytes, &sa, sizeof(sa));
}

/* Splits "host:port", "[host]:port" or ":port". -EINVAL */
static int split(const char *text, char *host, size_t host_cap, bool *ret_bracketed,
                 uint16_t *ret_port)
{
    const char *colon = strrchr(text, ':');
    uint64_t port;
    if (!colon || str_to_u64(str_from(colon + 1), &port) < 0 || port > UINT16_MAX)
        return -EINVAL;
    size_t len = (size_t)(colon - text);
    bool bracketed = len >= 2 && text[0] == '[' && text[len - 1] == ']';
    if (bracketed) {
        text++;
        len -= 2;
    }
    if (len >= host_cap || (!bracketed && memchr(text, ':', len)))
        return -EINVAL;
    memcpy(host, text, len);
    host[len] = 0;
    *ret_bracketed = bracketed;
    *ret_port = (uint16_t)port;
    return 0;
}

int FIBER rt_address_parse(struct rt_address *ret, const char *text)
{
    char host[256];
    bool bracketed;
    uint16_t port;
    int r = split(text, host, sizeof(host), &bracketed, &port);
    if (r < 0)
        return r;
    struct in_addr ip4 = {.s_addr = htonl(INADDR_ANY)};
    struct in6_addr ip6;
    if (bracketed) {
        if (inet_pton(AF_INET6, host, &ip6) != 1)
            return -EINVAL;
        address_ip6(ret, ip6, port);
        return 0;
    }
    if (host[0] == 0 || inet_pton(AF_INET, host, &ip4) == 1) {
        address_ip4(ret, ip4, port);
        return 0;
    }
    return rt_world->resolve(ret, host, port);
}

void rt_address_format(const struct rt_address *a, char *ret)
{
    struct sockaddr_storage ss;
    char host[INET6_ADDRSTRLEN] = "?";
    memcpy(&ss, a->bytes, sizeof(ss));
    if (ss.ss_family == AF_INET) {
        const struct sockaddr_in *sa = (const struct sockaddr_in *)&ss;
        inet_ntop(AF_INET, &sa->sin_addr, host, sizeof(host));
        snprintf(ret, 64, "%s:%u", host, ntohs(sa->sin_port));
    } else if (ss.ss_family == AF_INET6) {
        const struct sockaddr_in6 *sa = (const struct sockaddr_in6 *)&ss;
        inet_ntop(AF_INET6, &sa->sin6_addr, host, sizeof(host));
        snprintf(ret, 64, "[%s]:%u", host, ntohs(sa->sin6_port));
    } else {
        snprintf(ret, 64, "-");
    }
}
