/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Where requests to addresses that somebody named may lead, and documents fetched from there. A
 * name is resolved, the address is judged, and that very address is connected to, so that no second
 * answer of the resolver leads elsewhere: loopback, link-local (metadata services of clouds),
 * multicast and unspecified addresses are refused, in whatever notation (IPv4 in IPv6 too), unless
 * local ones are allowed. Networks of one's own (RFC 1918, RFC 4193) are taken. No redirect is
 * followed.
 */

#include <sys/socket.h>
#include "http/http.h"

/* 0 or -ERR_ACCESS_DENIED, of an address once its name is resolved. `allow_local`: loopback and
 * link-local are taken. */
int http_outgoing_test(const struct sockaddr *sa, bool allow_local);

struct http_outgoing {
    bool allow_local;    /* loopback and link-local are taken, and http without TLS */
    const char *ca_path; /* NULL: the system's */
    uint64_t timeout_ns; /* of the whole */
    size_t max_bytes;
};
/*
 * The body of "https://host[:port]/path" in `a`: -EINVAL (no such URL, or plain http without
 * leave), -ERR_ACCESS_DENIED (where it leads), -ERR_TOO_LARGE, -ERR_UNAVAILABLE (no answer of
 * status 200), and what the connection failed with.
 */
int FIBER http_outgoing_get(struct arena *a, struct str url, const struct http_outgoing *how,
                            struct str *ret_body);
