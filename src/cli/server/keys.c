/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "cli/server/keys.h"
#include "cli/cli.h"
#include "cli/credentials.h"

static int check_phrase(struct str phrase)
{
    if (phrase.len == 0 || (phrase.len >= KEYRING_PHRASE_MIN && phrase.len <= KEYRING_PHRASE_MAX))
        return 0;
    cli_fail("the passphrase of the key file needs %d to %d bytes", KEYRING_PHRASE_MIN,
             KEYRING_PHRASE_MAX);
    return -EINVAL;
}

static int read_secrets(struct arena *a, struct kms_config *c)
{
    const struct {
        const char *name;
        struct str *ret;
    } wanted[] = {
        {"CAIRN_KMS_PASSPHRASE", &c->phrase},
        {"CAIRN_VAULT_TOKEN", &c->vault.token},
        {"CAIRN_VAULT_ROLE_ID", &c->vault.role},
        {"CAIRN_VAULT_SECRET_ID", &c->vault.secret},
    };
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < ARRAY_LEN(wanted); i++)
        r = credentials_variable(a, wanted[i].name, wanted[i].ret);
    if (!getenv("CAIRN_VAULT_TOKEN"))
        c->vault.token_file = getenv("CAIRN_VAULT_TOKEN_FILE");
    return r < 0 ? r : check_phrase(c->phrase);
}

int FIBER keys_open(struct kms **ret, const struct keys_options *options, const char *const *dirs,
                    unsigned dir_count, struct meta *meta)
{
    _cleanup_(arena_release) struct arena a;
    char why[KMS_WHY_MAX] = "";
    struct kms_config config = {
        .dirs = dirs,
        .dir_count = dir_count,
        .file = getenv("CAIRN_KMS_KEY_FILE"),
        .meta = meta,
        .vault = {.url = options->vault, .mount = options->vault_mount, .ca = options->vault_ca},
    };
    arena_init(&a, 0);
    int r = read_secrets(&a, &config);
    if (r == 0) {
        r = kms_open(ret, &config, why);
        if (r < 0)
            cli_fail("%s", *why ? why : err_text(r));
    }
    wipe((char *)config.phrase.ptr, config.phrase.len);
    wipe((char *)config.vault.token.ptr, config.vault.token.len);
    wipe((char *)config.vault.secret.ptr, config.vault.secret.len);
    return r;
}
