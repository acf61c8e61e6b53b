/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What the files of Vault share: one question, and the token that it is asked with.
 *
 * The token is given, or had for an AppRole's id and secret. A given one is renewed when half of
 * its lease is over, an AppRole's is asked for anew then, and when Vault takes it no more. All of
 * that is a fiber's, which begins with vault_new() and ends with vault_free(). Where a given one
 * was read in a file, another that came there takes its place: at each look of that fiber, and when
 * Vault refuses.
 *
 * `lock` guards the token, for a copy's time.
 */

#include <jansson.h>
#include "base/metrics.h"
#include "kms/internal.h"

#define VAULT_TOKEN_MAX 4096

/* What is asked for, as metrics have it. X(NAME, text) */
#define VAULT_VERBS(X)    \
    X(ENCRYPT, "encrypt") \
    X(DECRYPT, "decrypt") \
    X(KEYS, "keys")       \
    X(TOKEN, "token")

enum vault_verb {
#define X(name, text) VAULT_##name,
    VAULT_VERBS(X)
#undef X
        VAULT_VERB_COUNT
};

struct vault {
    char *url, *authority, *host, *mount, *ca; /* host: NULL for plain HTTP */
    char *token_file;                          /* NULL: the token is not from a file */
    struct str role, secret;                   /* of an AppRole; role empty: the token was given */
    struct rt_lock lock;                       /* guards: */
    char token[VAULT_TOKEN_MAX];
    size_t token_len; /* 0: there is none yet */
    uint64_t serial;  /* of the token: another one has another */
    bool logging_in;
    int login_err; /* of the last login that came to its end */
    struct rt_waitq logged_in;
    uint64_t again_ns; /* when the next login after a refusal is on time */

    struct rt_fiber *keeper;
    _Atomic uint64_t lease_ms;   /* of the token, when it was had; 0: for ever, or not known */
    _Atomic uint64_t expires_ms; /* 0: likewise */
    struct metrics_histogram took[VAULT_VERB_COUNT];
    _Atomic uint64_t failures[VAULT_VERB_COUNT];
};

struct vault_question {
    enum vault_verb verb;
    const char *method;
    struct str path, body;
    int refused; /* what a 400 means */
};

/* vault_link.c. The answer, if asked for, is the caller's. -ERR_KMS_NOT_FOUND,
 * -ERR_KMS_UNAVAILABLE, `refused`. */
int FIBER vault_ask(struct vault *v, const struct vault_question *q, json_t **ret);
/* The same without a second try by another token. *ret_status 0: there was no answer. */
int FIBER vault_ask_once(struct vault *v, const struct vault_question *q, json_t **ret,
                         int *ret_status);

/* vault_token.c */
void vault_token_set(struct vault *v, struct str token);
/* Which token there is; *ret_has: there is one. */
uint64_t vault_token_serial(struct vault *v, bool *ret_has);
/* Whether another token than ours stands in the file now, which then is ours. */
bool FIBER vault_token_reread(struct vault *v);
/* A token for the AppRole, in place of the one of that serial: of many who ask one logs in, and
 * those who wait for it have what it gets. */
int FIBER vault_login(struct vault *v, uint64_t serial);
/* The same after Vault refused a question: whether for the token or for what it asked is not told,
 * so this is done a few times only, then once in a while. -ERR_KMS_UNAVAILABLE: not now. */
int FIBER vault_login_again(struct vault *v, uint64_t serial);
int FIBER vault_keep_token(struct vault *v);
