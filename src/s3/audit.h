/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The door's side of the audit log: which requests it is told of, and what of them. Driven by the
 * table of operations: whatever is not a GET, a HEAD or marked S3_OP_READS changes something, or
 * tries to; of the query APIs, whatever is not called List... or Get..., and what gives
 * credentials.
 */

#include "audit/audit.h"
#include "s3/internal.h"

/* Before the change is made: with a required log -ERR_UNAVAILABLE if it cannot be written. */
int FIBER s3_audit_begin(struct s3_request *q);
/* Once it was answered, while the request's bucket and identity are still there. */
void s3_audit_end(struct s3_request *q);
/* One key of several that a request is about, and the version if one is named; `err` is what became
 * of it. */
void s3_audit_key(struct s3_request *q, struct str key, struct str version, int err);

/* For the query APIs: the action as "iam:CreateUser", and what it is about. */
struct uri_query;
void s3_audit_action(struct s3_request *q, const char *service, const char *action,
                     const struct uri_query *params);
