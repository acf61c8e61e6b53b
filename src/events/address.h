/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Names that targets were given, resolved and judged (http/outgoing.h) at each connection, so that
 * neither a name nor a second look-up leads to where the machine trusts itself.
 */

#include "base/str.h"

#define EVENT_IP_MAX 64
/*
 * "host:port" to the first address that may be connected to, as text without brackets. BLOCKING.
 * -EINVAL (no such form), -ERR_UNAVAILABLE (the name leads nowhere), -ERR_ACCESS_DENIED (only to
 * where it may not).
 */
int BLOCKING event_address_resolve(struct str address, bool allow_local, char ret_ip[EVENT_IP_MAX],
                                   char ret_host[256], uint16_t *ret_port);
