/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "events/address.h"
#include <netdb.h>
#include <stdio.h>
#include "base/error.h"
#include "http/outgoing.h"

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
        if (http_outgoing_test(a->ai_addr, allow_local) == 0 &&
            getnameinfo(a->ai_addr, a->ai_addrlen, ret_ip, EVENT_IP_MAX, NULL, 0, NI_NUMERICHOST) ==
                0)
            r = 0;
    freeaddrinfo(all);
    return r;
}
