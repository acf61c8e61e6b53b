/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Where a target may not lead. An address is judged after its name was resolved, at each
 * connection, so that neither a name nor a redirect nor a second look-up leads to where the machine
 * trusts itself: loopback, link-local (metadata services of clouds), multicast and unspecified
 * addresses are refused, in whatever notation (IPv4 in IPv6 too). Networks of one's own (RFC 1918,
 * RFC 4193) are where targets usually are.
 */

#include <sys/socket.h>
#include "base/str.h"

/* 0 or -ERR_ACCESS_DENIED. `allow_local`: loopback and link-local are taken. */
int event_address_test(const struct sockaddr *sa, bool allow_local);

#define EVENT_IP_MAX 64
/*
 * "host:port" to the first address that may be connected to, as text without brackets. BLOCKING.
 * -EINVAL (no such form), -ERR_UNAVAILABLE (the name leads nowhere), -ERR_ACCESS_DENIED (only to
 * where it may not).
 */
int BLOCKING event_address_resolve(struct str address, bool allow_local, char ret_ip[EVENT_IP_MAX],
                                   char ret_host[256], uint16_t *ret_port);
