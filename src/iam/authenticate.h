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
 * -ERR_SIGNATURE_VERSION (SigV2); -ERR_INVALID_TOKEN, -ERR_EXPIRED_TOKEN (of a session). `body` is
 * the request's where it was read beforehand, which services do that sign it without a header.
 * Release the identity. ret_auth is filled as far as the reading came, also on failure, for
 * messages. Results live in `a`. Called on a loop thread; never suspends.
 */
int iam_authenticate(struct iam *iam, struct arena *a, const struct http1_request *r,
                     struct str body, uint64_t now_ms, struct sigv4_auth *ret_auth,
                     const struct sigv4_key **ret_key, struct iam_identity *ret_who);

/*
 * Signature Version 2 in header or query, for who asks for it: the errors of sigv2_parse,
 * sigv2_verify and iam_lookup, and -ERR_SIGNATURE_VERSION when it is of another version.
 * `bucket_path`: "/bucket" when the host names it. ret_auth says no scope and an unsigned payload;
 * *ret_to_sign (ptr NULL: none) is for messages.
 */
int iam_authenticate_v2(struct iam *iam, struct arena *a, const struct http1_request *r,
                        struct str bucket_path, uint64_t now_ms, struct sigv4_auth *ret_auth,
                        struct iam_identity *ret_who, struct str *ret_to_sign);
/* The same of an upload form's policy. */
int iam_authenticate_form_v2(struct iam *iam, struct arena *a, struct str access_key,
                             struct str signature, struct str policy, struct sigv4_auth *ret_auth,
                             struct iam_identity *ret_who);

/* The same of an upload form, which is always signed: -ERR_TIME_SKEWED when that is yet to come. */
int iam_authenticate_form(struct iam *iam, struct arena *a, const struct sigv4_form *form,
                          uint64_t now_ms, struct sigv4_auth *ret_auth,
                          struct iam_identity *ret_who);
