/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

#include <jansson.h>
#include <stdatomic.h>
#include "admin/admin.h"

struct admin {
    struct admin_config config;
    uint64_t started_ns;
    _Atomic bool draining;
    _Atomic bool checking; /* one check at a time: it reads every byte */
};

#define ADMIN_BODY_MAX (64 * KIB)

/* Answers with a JSON value, which it takes over. */
void FIBER admin_respond_json(struct http_exchange *x, int status, json_t *value);
/* A line of an answer that was begun, a JSON value, which it takes over. -ENOMEM, or as http_write.
 */
int FIBER admin_send_line(struct http_exchange *x, json_t *line);
/* Answers with an error of the table; `message` NULL: the table's text. */
void FIBER admin_respond_error(struct http_exchange *x, int err, const char *message);
/* A JSON string of bytes that may be no UTF-8 (invalid ones are replaced); never NULL but out of
 * memory. */
json_t *admin_json_str(struct str s);
/* As ISO 8601; null for 0. */
json_t *admin_json_time(uint64_t ms);
/* A list of such strings. */
json_t *admin_json_names(const struct str *names, size_t count);

/* A body of one JSON object; NULL: it is none, and told so. */
json_t *FIBER admin_read_object(struct http_exchange *x, struct str body);
/* The text of a member; ptr NULL: it is not there, or no text. */
struct str admin_text_member(const json_t *o, const char *name);
/* 204, or the error, told in these words where they are about it. */
void FIBER admin_respond_done(struct http_exchange *x, int r, const char *not_found,
                              const char *conflict);

/* The handlers; each answers. `body` is the request's, verified; empty on open routes. */
void FIBER admin_health_live(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_health_ready(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_metrics(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_info(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_user_list(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_user_add(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_user_change(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_user_remove(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_policy_list(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_policy_add(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_policy_get(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_policy_remove(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_policy_attach(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_policy_explain(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_group_list(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_group_add(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_group_remove(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_group_member(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_key_list(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_key_change(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_access_key_list(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_access_key_add(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_access_key_change(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_access_key_remove(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_role_list(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_role_add(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_role_remove(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_ldap_list(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_ldap_attach(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_import(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_check(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_job_list(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_job_change(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_scrub_status(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_scrub_change(struct admin *a, struct http_exchange *x, struct str body);
/* How the scrub stands and how much is damaged, without the list. */
json_t *admin_scrub_json(struct admin *a);
void FIBER admin_purge_status(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_purge_change(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_purge_look(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_batch_list(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_batch_start(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_batch_status(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_batch_cancel(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_retention_list(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_retention_set(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_heal(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_bucket_class(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_quota_get(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_quota_set(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_disk_list(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_disk_change(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_audit(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_audit_verify(struct admin *a, struct http_exchange *x, struct str body);
/* Whose signature it is; empty: nobody's. */
struct admin_caller {
    struct str name, access_key;
};
/* The access key that signed a request which was let in; in its arena. */
struct str admin_caller_key(struct http_exchange *x);
/* Whatever is no GET is recorded: before it is handled as begun, and then what came of it. */
bool admin_is_audited(const struct admin *a, struct http_exchange *x);
struct audit_record admin_audit_record(struct http_exchange *x, const struct admin_caller *who,
                                       struct str body);
/* Nobody's signature was good. */
void admin_audit_refused(struct admin *a, struct http_exchange *x, int err);
void admin_audit_end(struct admin *a, struct http_exchange *x, struct audit_record *r);
void FIBER admin_event_follow(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_event_targets(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_event_target_add(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_event_target_remove(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_event_test(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_event_dead(struct admin *a, struct http_exchange *x, struct str body);
void FIBER admin_event_dead_change(struct admin *a, struct http_exchange *x, struct str body);
json_t *admin_disk_json(struct node *n);
/* Those that have left the store only if `all`. */
json_t *admin_disks_json(struct admin *a, bool all);
json_t *admin_job_json(const struct job_status *s);
/* An array of the jobs: name, state, progress. */
json_t *admin_jobs_json(struct admin *a);

/* Further disks that may be lost. */
unsigned admin_losses_survived(struct admin *a);
/* What the store as a whole survives. */
json_t *FIBER admin_redundancy_json(struct admin *a);

/* The last segment of the path, decoded, for routes that end in one. */
struct str admin_path_name(struct http_exchange *x);
