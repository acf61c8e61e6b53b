/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What the files of iam/ share: the room's state, a user in memory and its stored form.
 */

#include "base/buf.h"
#include "base/table.h"
#include "iam/grants.h"
#include "iam/iam.h"
#include "iam/keys.h"
#include "iam/ldap.h"
#include "iam/tries.h"
#include "iam/roles.h"
#include "iam/sessions.h"
#include "iam/share.h"
#include "rt/rt.h"

struct iam_key_cache; /* of one loop thread: see authenticate.c */

struct iam {
    struct meta *meta;
    struct rt_lock lock;
    struct rt_waitq writers;
    bool writing;
    struct table by_key, by_name, by_id;
    struct iam_entry *root;        /* in the tables, in no row */
    struct table policies, groups; /* struct iam_policy_entry, struct iam_group_entry */
    struct table providers;        /* struct iam_provider_entry: see oidc.c */
    struct rt_waitq fetchers;      /* who waits for a provider's keys */
    struct iam_oidc oidc;
    struct table roles; /* struct iam_role_entry */
    struct ldap *ldap;  /* the directory; NULL: none */
    struct tries ldap_tries;
    struct table ldap_map;         /* struct iam_ldap_entry */
    struct iam_sessions *sessions; /* tokens, and the key they are sealed with */
    const struct policy *deny_all; /* what stands for a policy that cannot be read */
    uint64_t policy_turn;          /* counts the changes of policies and groups */
    struct iam_key_cache *key_caches;
};

/* `count` caches; the array is freed whole. */
struct iam_key_cache *iam_key_caches_new(unsigned count);
void iam_key_caches_free(struct iam_key_cache *caches, unsigned count);

/*
 * Strings into one piece of memory: a pass without memory reckons its size, a second one fills it.
 */
struct pack {
    char *at; /* NULL: only reckon */
    size_t bytes;
};
struct str pack_str(struct pack *p, struct str s);
struct str pack_printf(struct pack *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A list and what its names point to. */
const struct str *pack_names(struct pack *p, const struct str *names, size_t count);
/* Room for `count` things of `size`, aligned; NULL while reckoning. */
void *pack_room(struct pack *p, size_t size, size_t count);

/* An access key in memory; `data` and everything it points to belong to its entry. */
struct iam_key_data {
    struct iam_access_key info;
    struct str secret;
};
struct iam_key_entry {
    struct table_node node; /* by access key */
    struct iam_entry *owner;
    struct iam_key_data data;
    const struct policy *policy; /* of info.policy; NULL: none, or one that cannot be read */
};

/* Whether there is anything behind the key: it is active, has not expired, and what narrows it can
 * be read. */
bool iam_key_opens(const struct iam_key_entry *k);

/* What a holder of policies has come to; made anew after a change. Under the lock. */
struct iam_grants_slot {
    struct iam_grants *grants;
    uint64_t turn; /* policy_turn + 1 they were made at; 0: never */
};

/* One user, allocated whole; its strings live behind it. Immutable but for the grants. */
struct iam_entry {
    struct table_node by_name, by_id;
    struct iam_user user;
    struct iam_key_entry *keys;
    size_t key_count;
    struct str alias_arn;
    struct iam_grants_slot grants;
    uint64_t next_turn_ns; /* of its requests (rate.c); under the lock */
    max_align_t bytes[];
};

/* rate.c: whether a request at `now_ns` is in time; *next_ns is when the one after it would be on
 * time. */
bool iam_turn(uint64_t *next_ns, uint32_t rate, uint64_t now_ns);

/* Frees it and lets its grants go. Accepts NULL. */
void iam_entry_free(struct iam_entry *e);

/* A copy of everything in one allocation; NULL when out of memory. */
struct iam_entry *iam_entry_new(const struct iam_user *user, const struct iam_key_data *keys,
                                size_t count);

/* The stored form, appended to `out`. */
int iam_record_encode(const struct iam_entry *e, struct buf *out);
/* -ERR_CORRUPT when the bytes are no record or break a limit; -ENOMEM. */
int iam_record_decode(struct str bytes, struct iam_entry **ret);

/* The limits of a user's fields: 0 or -EINVAL. */
int iam_user_validate(const struct iam_user *user);
int iam_key_validate(const struct iam_key_data *key);
/* A name of a user, group, role or policy. */
bool iam_name_is_valid(struct str name);
/* Text of up to `max` bytes without control characters. */
bool iam_is_text(struct str s, size_t max);
/*
 * The name under which an inline policy lies among the others: it begins with a byte that no name
 * that is given may hold. An entry names it among the policies attached to it.
 */
#define IAM_INLINE_MARK '\x01'
static inline bool iam_is_inline(struct str policy)
{
    return policy.len > 0 && policy.ptr[0] == IAM_INLINE_MARK;
}
/* A policy's name as its holder knows it. */
struct str iam_inline_name(struct str policy);
/* A name given, or one of an inline policy. */
bool iam_policy_name_is_valid(struct str name);

/* Under the lock: the account has as many as it may; another would be one too many. */
bool iam_share_is_used(struct iam *iam, struct str account, enum iam_share what);

/* ---- rows (iam.c) --------------------------------------------------------------------------- */

/* One writer of rows and tables at a time: -ERR_BUSY after a while, -ECANCELED. */
int FIBER iam_writer_enter(struct iam *iam);
void iam_writer_leave(struct iam *iam);
/* Row `kind` + name; `value` ptr NULL: removed. */
int FIBER iam_row_write(struct iam *iam, const char *kind, struct str name, struct str value);
struct iam_row {
    struct str key, value; /* whole key; value.ptr NULL: removed */
};
/* Several at once, or none. */
int FIBER iam_rows_write(struct iam *iam, struct iam_row *rows, size_t count);
/* Calls `fn` with the value of each row of that kind, after the rows were read whole. */
int FIBER iam_rows_load(struct iam *iam, const char *kind,
                        int (*fn)(struct iam *iam, struct str v));
/* By the only writer: the user as `changed` says, with its keys, or with others; durable and in the
 * tables. -ERR_EXISTS: a key that another has. */
int FIBER iam_entry_change(struct iam *iam, struct iam_entry *old, const struct iam_user *changed);
int FIBER iam_entry_change_keys(struct iam *iam, struct iam_entry *old,
                                const struct iam_user *changed, const struct iam_key_data *keys,
                                size_t count);
/* Under the lock: one in the other's place. */
void iam_entry_swap(struct iam *iam, struct iam_entry *old, struct iam_entry *new);
/* Under the lock, or by the only writer. NULL: none. */
struct iam_entry *iam_find_by_name(struct iam *iam, struct str name);
/* The same of any but the root, for who has entered as the writer and does not hold the lock. */
struct iam_entry *iam_find_other(struct iam *iam, struct str name);
struct iam_entry *iam_find_by_id(struct iam *iam, struct str user_id);
struct iam_key_entry *iam_find_key(struct iam *iam, struct str access_key);
/* See iam_user_find(). */
struct iam_entry *iam_find_in_account(struct iam *iam, struct str account, struct str name);
/* The node of that name, or, without regard to case, of "ACCOUNT/NAME". */
struct table_node *iam_find_local(const struct table *t, struct str account, struct str name);
/* Under the lock: who the entry's own requests come from. */
int iam_identify(struct iam *iam, struct arena *a, struct iam_entry *e, struct iam_identity *ret);
bool iam_has_name(const struct str *names, size_t count, struct str name);
struct str *iam_names_dup(struct arena *a, const struct str *names, size_t count);
struct iam_user iam_user_dup(struct arena *a, const struct iam_user *u);
/* For protobuf-c: C strings in `a`; NULL without memory. */
char **iam_c_names(struct arena *a, const struct str *names, size_t count);
/* -ERR_CORRUPT: more than `max`. They point into the message. */
int iam_read_names(char **from, size_t count, struct str *ret, size_t max);
/* Tags as attributes of who has them, in `a`. */
int iam_tag_attributes(struct arena *a, const struct iam_tags *tags, struct iam_identity *who);

/* ---- policies and groups (grants.c) --------------------------------------------------------- */

struct iam_policy_entry {
    struct table_node node;
    struct iam_policy_info info;
    const struct policy *policy;
    max_align_t bytes[];
};
struct iam_group_entry {
    struct table_node node;
    struct iam_group_info info; /* without members */
    max_align_t bytes[];
};
struct iam_role_entry {
    struct table_node node;
    struct iam_role info;
    const struct policy *trust; /* compiled */
    struct iam_grants_slot grants;
    max_align_t bytes[];
};
/* What is attached to a name of the directory. */
struct iam_ldap_entry {
    struct table_node node;
    struct iam_ldap_mapping info;
    max_align_t bytes[];
};
struct iam_policy_entry *iam_find_policy(struct iam *iam, struct str name);
struct iam_role_entry *iam_find_role(struct iam *iam, struct str name);

/* The built-in policies, then the rows. */
int FIBER iam_grants_load(struct iam *iam);
int FIBER iam_policies_load(struct iam *iam);
void iam_policies_release(struct iam *iam);
int FIBER iam_groups_load(struct iam *iam);
void iam_groups_release(struct iam *iam);
/* By the only writer. */
int FIBER iam_group_change(struct iam *iam, const struct iam_group_info *changed);
/* By the only writer: an inline policy under its whole name. Takes the reference. */
int FIBER iam_inline_store(struct iam *iam, struct str name, struct str document,
                           const struct policy *policy);
void iam_grants_release(struct iam *iam);
/* What a holder's policies are; names. */
struct iam_held {
    const struct str *policies, *groups;
    size_t policy_count, group_count;
    struct str boundary;
};
/* Under the lock: the grants as of now, with a reference; *ret NULL: it has none. */
int iam_grants_of(struct iam *iam, struct iam_grants_slot *slot, const struct iam_held *held,
                  const struct iam_grants **ret);
void iam_grants_unref(const struct iam_grants *g);
struct iam_policy_set iam_grants_set(const struct iam_grants *g);
const struct policy *iam_grants_boundary(const struct iam_grants *g);
/* By the only writer: lets go of the inline policies among the names. */
void FIBER iam_inline_drop(struct iam *iam, const struct str *policies, size_t count);

/* ---- roles, providers, sessions ------------------------------------------------------------- */

int FIBER iam_roles_load(struct iam *iam);
void iam_roles_release(struct iam *iam);
int FIBER iam_role_change(struct iam *iam, struct iam_role_entry *old,
                          const struct iam_role *changed);
int FIBER iam_ldap_load(struct iam *iam);
void iam_ldap_release(struct iam *iam);
/* Under the lock: the names of all that is attached to that user and those groups; how many. */
#define IAM_LDAP_POLICIES_MAX (IAM_USER_POLICIES_MAX * (1 + IAM_LDAP_GROUPS_MAX))
size_t iam_ldap_policies(const struct iam *iam, struct str dn, char *const *groups, size_t count,
                         struct str names[IAM_LDAP_POLICIES_MAX]);
int FIBER iam_providers_load(struct iam *iam);
/* Of a node of iam->providers. */
bool iam_provider_is_of(const struct table_node *n, struct str account);
void iam_providers_release(struct iam *iam);
/* None yet, under a key of zeros. */
int iam_sessions_new(struct iam *iam);
int FIBER iam_sessions_load(struct iam *iam);
/* A token of that access key around the bytes of a session's record. -ERR_TOO_LARGE, -ENOMEM. */
int iam_token_seal(struct iam *iam, struct arena *a, struct str access_key, struct str plain,
                   struct str *ret);
void iam_sessions_release(struct iam *iam);
/* The identity and secret behind a session token: -ERR_INVALID_TOKEN, -ERR_EXPIRED_TOKEN,
 * -ERR_INVALID_ACCESS_KEY (who it was made for is gone). */
int iam_session_lookup(struct iam *iam, struct arena *a, struct str access_key, struct str token,
                       uint64_t now_ms, struct iam_identity *ret, struct str *ret_secret);
