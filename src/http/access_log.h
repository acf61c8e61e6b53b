/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The access log: one line a request in the form of base/log, with who asked for what, what came of
 * it, and how long it took.
 *
 * A line is formatted into a buffer of its thread (well under a microsecond, no lock, no system
 * call) and written with its neighbours at most ACCESS_LOG_DELAY_NS later by the offload pool, so
 * that a slow reader of the log never stalls a loop. A crash loses the lines of that time; they are
 * a record for people, not what durability rests on. When the reader is so slow that
 * ACCESS_LOG_PENDING_BYTES are waiting, lines are dropped, counted, and the count is logged.
 *
 * Fields: id peer user op bucket key method status error in out ttfb_us total_us agent. Secrets
 * never are among them: neither the query (presigned signatures) nor headers are logged.
 */

#include "http/http.h"

#define ACCESS_LOG_DELAY_NS      (100 * RT_MS)
#define ACCESS_LOG_PENDING_BYTES (4 * MIB) /* a thread */

/* What the door knows. Empty strings leave their field out. */
struct access_entry {
    struct str user, operation, bucket, key;
    struct str error; /* the code sent, "NoSuchKey" */
};

struct access_log;

int access_log_open(struct access_log **ret);
/* Writes what is waiting and frees. Nobody may put any more. Accepts NULL. */
void FIBER access_log_close(struct access_log *l);
/* From http_server_config.done. `e` NULL: nothing is known. */
void access_log_put(struct access_log *l, const struct http_exchange *x,
                    const struct access_entry *e);
