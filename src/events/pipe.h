/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A connection for a sender that speaks its target's protocol itself: to a judged address
 * (address.h), plain, and over TLS from when that is asked for. All of it is BLOCKING, for
 * `timeout_ms` at a call and until the sender is to stop.
 */

#include "base/buf.h"
#include "events/sender.h"

struct pipe;

/* To the option "address". -ERR_UNAVAILABLE, -ERR_ACCESS_DENIED, -ENOMEM. */
int BLOCKING pipe_open(struct pipe **ret, const struct sender_config *c, char why[EVENT_WHY_MAX]);
void BLOCKING pipe_close(struct pipe *p); /* accepts NULL */

/* TLS 1.2 or later from here on; the certificate must be the host's, by the authorities of the
 * option "ca" or the system's. -ERR_UNAVAILABLE, -ENOMEM. */
int BLOCKING pipe_start_tls(struct pipe *p, const struct sender_config *c, char why[EVENT_WHY_MAX]);

/* All of it. -ERR_UNAVAILABLE, of the next ones, too. */
int BLOCKING pipe_write(struct pipe *p, struct str bytes);
/* Some, behind what is in `b`: by `deadline_ns` of rt_now(). -ERR_UNAVAILABLE: it ended, failed, or
 * took too long; -ENOMEM. */
int BLOCKING pipe_read(struct pipe *p, struct buf *b, uint64_t deadline_ns);
/* When a call that begins now gives up. */
uint64_t pipe_deadline(const struct pipe *p);
