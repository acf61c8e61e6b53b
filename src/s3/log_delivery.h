/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Server access logs on their way into buckets. Lines gather in memory, a batch for each bucket
 * that logs, and become objects of its target every S3_LOG_DELAY_NS or S3_LOG_BATCH_BYTES, and when
 * the server stops. As in AWS they are a record at best effort: a crash loses what has gathered,
 * and what cannot be delivered (the target is gone, or no longer open to the service) is dropped
 * and counted. No request ever waits for a log.
 *
 * The service logging.s3.amazonaws.com writes them, as a policy of the target allows it or its ACL
 * does to the group LogDelivery.
 */

#include "s3/internal.h"

#define S3_LOG_DELAY_NS    (60 * RT_S)
#define S3_LOG_BATCH_BYTES (1 * MIB)
#define S3_LOG_BATCHES_MAX 4096
#define S3_LOG_PENDING_MAX (64 * MIB) /* bytes of lines, all together */

struct s3_logs;

struct s3_logs *s3_logs_new(void);
/* Accepts NULL; what has gathered is lost. */
void s3_logs_free(struct s3_logs *l);
/* A request that has ended, of a bucket that logs. Never suspends. */
void s3_logs_add(struct s3_logs *l, const struct s3_request *q);
/* May the service write such keys there, for that source? -ERR_ACCESS_DENIED. */
int FIBER s3_logs_authorise(struct s3 *s3, const struct store_bucket *target, struct str key,
                            struct str source, struct str account);

struct s3_logs_counts {
    uint64_t lines, dropped, objects;
};
void s3_logs_count(struct s3_logs *l, struct s3_logs_counts *ret);
