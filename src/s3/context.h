/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What a request says to the conditions of policies.
 */

#include "iam/iam.h"
#include "s3/internal.h"

struct s3_tags;

struct s3_context {
    struct s3_request *q;
    const struct store_bucket *bucket; /* judged: not always the request's own (copy sources) */
    struct str key;
    struct store_version_ref version; /* of the key */
    struct str version_id;         /* the same as text; ptr NULL: the request's own, empty: none */
    const struct s3_owned *object; /* of that key, when it need not be looked up */
    struct str absent_key;      /* the key whose absence is in question: the prefix of a listing */
    const struct s3_tags *tags; /* that the request brings in its body; NULL: those of its header */
    const struct store_lock *lock;      /* likewise */
    const struct str *inventory_fields; /* optional ones that a configuration asks for */
    size_t inventory_field_count;
};

/* An iam_context_fn over a struct s3_context; values live in the request's arena. */
int FIBER s3_context_value(void *arg, enum iam_key key, struct str name, struct iam_values *ret);
