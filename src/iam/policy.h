/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A policy document of the IAM language, read, checked and compiled: what iam_decide() runs over.
 *
 * The document itself is kept byte for byte, because that is what its owner gets back; the compiled
 * form is made from it once, when it is put and when it is loaded, and never stored.
 *
 * Invariants
 *  1. A policy is immutable and may be used by every thread at once; references are counted.
 *  2. What is unknown is refused, never passed over: an element, operator, condition key, or (in a
 *     bucket's policy) an action that this page does not know might be the one that denies.
 *  3. Everything is bounded: the document, its depth, its statements, its values; so a decision is.
 *
 * Source: IAM User Guide, "Grammar of the IAM JSON policy language" and "IAM JSON policy elements
 * reference"; S3 User Guide, "Policies and permissions in Amazon S3".
 */

#include "base/arena.h"

#define POLICY_DOCUMENT_MAX   (20 * KIB) /* a bucket policy's limit; ours for every kind */
#define POLICY_DEPTH_MAX      8
#define POLICY_STATEMENTS_MAX 256
#define POLICY_VALUES_MAX     1024 /* of one list; of conditions in one statement: 64 */
#define POLICY_CONDITIONS_MAX 64
#define POLICY_WHY_MAX        384

/* What a document is attached to decides what must and must not stand in it. */
enum policy_kind {
    POLICY_IDENTITY, /* of a user, group, role, session or boundary: no Principal */
    POLICY_BUCKET,   /* Principal required; every resource lies in the bucket; S3 actions only */
    POLICY_TRUST,    /* of a role: who may assume it: Principal, no Resource */
};

struct policy;

/* What is wrong, in one sentence for the client: what, and where. */
struct policy_fault {
    char text[POLICY_WHY_MAX];
};

/*
 * Compiles `document`, which is copied. `bucket` matters for POLICY_BUCKET only. One reference is
 * the caller's. -ERR_MALFORMED_POLICY with *ret_fault filled, or -ENOMEM. Never suspends.
 */
int policy_compile(enum policy_kind kind, struct str bucket, struct str document,
                   struct policy **ret, struct policy_fault *ret_fault);
struct policy *policy_ref(const struct policy *p);
/* Accepts NULL. */
void policy_unref(const struct policy *p);
static inline void policy_cleanup_(struct policy **p)
{
    policy_unref(*p);
}
#define _cleanup_policy_ _cleanup_(policy_cleanup_)

/* As it was given. Lives as long as the policy. */
struct str policy_document(const struct policy *p);
/* How many statements it has. */
size_t policy_statement_count(const struct policy *p);

/*
 * Whether the bucket policy lets anybody in, by S3's definition (S3 User Guide, "The meaning of
 * public"): an Allow is public unless its principals are fixed, or a condition holds it to fixed
 * values of keys that say where the request comes from.
 */
bool policy_is_public(const struct policy *p);
