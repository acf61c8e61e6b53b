/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Where a request came from when proxies that are trusted stand in front: each appends the address
 * it was called from to X-Forwarded-For, so the list is believed from its right end, as long as the
 * one who says so is trusted. Whatever a client writes there itself stands further left.
 */

#include <arpa/inet.h>
#include "http/internal.h"

/* IPv4 addresses as IPv6 ones, mapped. */
static bool parse_ip(struct str text, uint8_t ret[16], bool *ret_ip4)
{
    char buf[64];
    if (text.len == 0 || text.len >= sizeof(buf))
        return false;
    memcpy(buf, text.ptr, text.len);
    buf[text.len] = 0;
    *ret_ip4 = inet_pton(AF_INET, buf, ret + 12) == 1;
    if (*ret_ip4) {
        memset(ret, 0, 10);
        ret[10] = ret[11] = 0xff;
    }
    return *ret_ip4 || inet_pton(AF_INET6, buf, ret) == 1;
}

static int parse_network(struct str text, struct http_network *ret)
{
    struct str ip;
    bool ip4;
    uint64_t bits;
    str_cut(&text, '/', &ip);
    if (!parse_ip(ip, ret->ip, &ip4))
        return -EINVAL;
    unsigned most = ip4 ? 32 : 128;
    bits = most;
    if (text.ptr && (str_to_u64(text, &bits) < 0 || bits > most))
        return -EINVAL;
    ret->bits = (unsigned)bits + (128 - most);
    return 0;
}

int http_networks_parse(struct http_networks *ret, const char *list)
{
    struct str rest = str_from(list), one;
    struct http_networks n = {.count = 0};
    while (rest.len && str_cut(&rest, ',', &one)) {
        if (n.count == HTTP_NETWORKS_MAX || parse_network(str_trim(one), &n.at[n.count]) < 0)
            return -EINVAL;
        n.count++;
    }
    *ret = n;
    return 0;
}

static bool in_network(const struct http_network *n, const uint8_t ip[16])
{
    unsigned whole = n->bits / 8, rest = n->bits % 8;
    if (memcmp(n->ip, ip, whole) != 0)
        return false;
    uint8_t mask = (uint8_t)(0xff00 >> rest);
    return rest == 0 || (n->ip[whole] & mask) == (ip[whole] & mask);
}

static bool is_trusted(const struct http_networks *trusted, struct str text)
{
    uint8_t ip[16];
    bool ip4;
    if (!parse_ip(text, ip, &ip4))
        return false;
    for (unsigned i = 0; i < trusted->count; i++)
        if (in_network(&trusted->at[i], ip))
            return true;
    return false;
}

static struct str without_port(struct str peer)
{
    size_t colon = peer.len;
    while (colon > 0 && peer.ptr[colon - 1] != ':')
        colon--;
    struct str ip = colon ? str_prefix(peer, colon - 1) : peer;
    bool bracketed = str_starts(ip, STR("[")) && str_ends(ip, STR("]"));
    return bracketed ? str_make(ip.ptr + 1, ip.len - 2) : ip;
}

/* Cuts the last entry off the list. */
static struct str last_entry(struct str *list)
{
    size_t comma = list->len;
    while (comma > 0 && list->ptr[comma - 1] != ',')
        comma--;
    struct str entry = str_trim(str_from_offset(*list, comma));
    list->len = comma ? comma - 1 : 0;
    return entry;
}

struct str http_client_ip(const struct http_exchange *x)
{
    const struct http_networks *trusted = x->conn->thread->server->config.trusted_proxies;
    struct str client = without_port(str_from(http_peer(x)));
    if (!trusted || trusted->count == 0)
        return client;
    const struct http1_request *head = http_request(x);
    for (unsigned i = head->header_count; i-- > 0;) {
        if (!str_eq_nocase(head->headers[i].name, STR("x-forwarded-for")))
            continue;
        struct str list = head->headers[i].value;
        while (list.len) {
            uint8_t ip[16];
            bool ip4;
            struct str next = last_entry(&list);
            if (!is_trusted(trusted, client) || !parse_ip(next, ip, &ip4))
                return client;
            client = next;
        }
    }
    return client;
}
