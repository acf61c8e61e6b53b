/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Where the server finds its master keys: the options and the environment, put together.
 *
 * CAIRN_KMS_KEY_FILE names the key file, in place of `master.keys` in every directory;
 * CAIRN_KMS_PASSPHRASE (or ..._FILE) is what it is sealed with; CAIRN_VAULT_TOKEN (or ..._FILE) is
 * for Vault, or CAIRN_VAULT_ROLE_ID and CAIRN_VAULT_SECRET_ID (or ..._FILE) are.
 */

#include "kms/kms.h"

/* What the command line says of Vault. */
struct keys_options {
    const char *vault, *vault_mount, *vault_ca; /* NULL: not given */
};

/* The fault is told on standard error. Secrets that were read are wiped with the service. */
int FIBER keys_open(struct kms **ret, const struct keys_options *options, const char *const *dirs,
                    unsigned dir_count, struct meta *meta);
