/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Providers of web identities (OpenID Connect): which an account trusts, and whether a token is one
 * of theirs. A provider's keys are found where its discovery document says, kept for an hour, and
 * asked for again when a token names a key that is not among them, though not twice in half a
 * minute.
 *
 * Source: OpenID Connect Core 1.0, section 3.1.3.7; OpenID Connect Discovery 1.0, section 4.
 */

#include "iam/iam.h"
#include "iam/jwt.h"

#define IAM_PROVIDERS_MAX            1000
#define IAM_PROVIDER_CLIENTS_MAX     100
#define IAM_PROVIDER_THUMBPRINTS_MAX 5
#define IAM_PROVIDER_URL_MAX         255

struct iam_provider {
    struct str account, arn, url; /* as its tokens' issuer */
    const struct str *clients, *thumbprints;
    size_t client_count, thumbprint_count;
    uint64_t created_ms;
};
/* Account, url, clients and thumbprints count. -EINVAL, -ERR_EXISTS, -ERR_LIMIT. */
int FIBER iam_provider_add(struct iam *iam, struct arena *a, const struct iam_provider *spec,
                           struct iam_provider *ret);
/* -ERR_NOT_FOUND. Strings in `a`. */
int iam_provider_get(struct iam *iam, struct arena *a, struct str arn, struct iam_provider *ret);
/* Those of an account, by ARN. */
int iam_provider_list(struct iam *iam, struct arena *a, struct str account,
                      struct iam_provider **ret, size_t *ret_count);
/* One client more, or less; what is so already is no error. -ERR_NOT_FOUND, -EINVAL, -ERR_LIMIT. */
int FIBER iam_provider_change_client(struct iam *iam, struct arena *a, struct str arn,
                                     struct str client, bool in);
/* -ERR_NOT_FOUND, -EINVAL. */
int FIBER iam_provider_set_thumbprints(struct iam *iam, struct arena *a, struct str arn,
                                       const struct str *thumbprints, size_t count);
int FIBER iam_provider_remove(struct iam *iam, struct str arn);
/* The ARN of the account's provider with that URL. */
struct str iam_provider_arn(struct arena *a, struct str account, struct str url);

/*
 * A token that the account's provider vouches for: its signature, issuer, audience and times hold.
 * -ERR_INVALID_IDENTITY_TOKEN, -ERR_EXPIRED_IDENTITY_TOKEN, -ERR_IDP_COMMUNICATION.
 */
int FIBER iam_web_identity(struct iam *iam, struct arena *a, struct str account, struct str token,
                           struct jwt *ret, struct iam_provider *ret_provider);
/* What the token says, as condition keys: "ISSUER:CLAIM", "jwt:CLAIM", aws:FederatedProvider. */
int iam_web_attributes(struct arena *a, const struct jwt *t, const struct iam_provider *p,
                       struct iam_attribute **ret, size_t *ret_count);
