/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Objects that no request reads or writes: access logs, and what the jobs make and are given
 * (jobs/objects.h). They are as those of any other writer who names no headers: the bucket's
 * default encryption and retention, its and its account's quotas, its events, the audit log.
 */

#include "jobs/objects.h"
#include "s3/internal.h"

/* May the service put such keys there, by the bucket's policy? `acl`: its list allows it.
 * -ERR_ACCESS_DENIED. */
int FIBER s3_service_authorise(struct s3 *s3, const struct store_bucket *target, struct str key,
                               const struct jobs_actor *who, bool acl);
/* One object of the bytes. `q` is no request: it stands for the object, and has the door, an arena,
 * the bucket, open, its name and the key. No right is asked. */
int FIBER s3_service_put(struct s3_request *q, const struct jobs_actor *who,
                         const struct jobs_writing *what, struct str data);

/* batch.c: steps of batch jobs, for s3_lend_objects(); `arg` is the door. As in jobs/objects.h. */
struct batch_state;
struct batch_step;
int FIBER s3_batch_judge(void *arg, struct str user, const char *action, struct str bucket,
                         struct str key);
int s3_batch_tags(void *arg, struct str tags);
int FIBER s3_batch_step(void *arg, const struct batch_state *s, struct batch_step *step);
