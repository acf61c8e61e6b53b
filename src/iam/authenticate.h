/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Whose signature is on a request: the one way in for every door that takes AWS Signature
 * Version 4. What a door demands of region and service, and of the body, is the door's to check.
 */

#include "iam/iam.h"
#include "wire/sigv4.h"

/*
 * Reads the signature of header or query, looks its access key up and verifies. 0 with
 * ret_auth->form == SIGV4_NONE and nothing else filled: unsigned, no identity. Otherwise 0 with
 * identity and signing key, or the errors of sigv4_parse, sigv4_verify and iam_lookup;
 * -ERR_SIGNATURE_VERSION (SigV2); -ERR_INVALID_TOKEN (a session token: none is ever issued).
 * Release the identity. ret_auth is filled as far as the reading came, also on failure, for
 * messages. Results live in `a`. Called on a loop thread; never suspends.
 */
int iam_authenticate(struct iam *iam, struct arena *a, const struct http1_request *r,
                     uint64_t now_ms, struct sigv4_auth *ret_auth, const struct sigv4_key **ret_key,
                     struct iam_identity *ret_who);

/* The same of an upload form, which is always signed: -ERR_TIME_SKEWED when that is yet to come. */
int iam_authenticate_form(struct iam *iam, struct arena *a, const struct sigv4_form *form,
                          uint64_t now_ms, struct sigv4_auth *ret_auth,
                          struct iam_identity *ret_who);
