/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Server access logging: its configuration, and what a request's line says. Pure.
 * Sources: S3 API Reference, "PutBucketLogging"; S3 User Guide, "Amazon S3 server access log
 * format".
 */

#include "base/arena.h"
#include "base/buf.h"
#include "s3/acl.h"
#include "s3/ops.h"

struct s3_logging {
    struct str bucket, prefix;
    bool partitioned;      /* keys tell source and day */
    bool by_event;         /* the day of the requests, else of the delivery */
    struct s3_acl *grants; /* who else may read the logs; NULL: nobody */
};

/*
 * A BucketLoggingStatus; *ret_on false: logging is switched off. -ERR_MALFORMED_XML,
 * -ERR_INVALID_ARGUMENT (a grantee that is none). Strings live in `a`.
 */
int s3_logging_parse(struct arena *a, struct str body, struct s3_logging *ret, bool *ret_on);
/* `l` NULL: switched off. */
void s3_logging_xml(struct buf *b, const struct s3_logging *l);

/* "REST.GET.OBJECT" and the like; `ret` holds S3_LOG_OPERATION_MAX bytes. */
#define S3_LOG_OPERATION_MAX 96
struct str s3_log_operation(const struct s3_op *op, char ret[S3_LOG_OPERATION_MAX]);

/* Empty strings and S3_LOG_NONE are told as "-". */
#define S3_LOG_NONE UINT64_MAX
struct s3_log_entry {
    struct str owner, bucket;
    uint64_t time_ms; /* when the request came */
    struct str remote, requester, request_id, operation, key, method, target;
    int status;
    struct str error;
    uint64_t bytes_sent, object_size, total_ms, turn_ms;
    struct str referer, agent, version_id, signature, auth, host;
};
/* One line with its end. What a client sent cannot break it; signatures and credentials in the
 * target are left out. */
void s3_log_line(struct buf *b, const struct s3_log_entry *e);

/* The key of a log object: `unique` tells objects of one second apart. */
void s3_log_key(struct buf *b, const struct s3_logging *l, struct str account, struct str region,
                struct str source, uint64_t event_ms, uint64_t now_ms, uint64_t unique);
