/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * On x86-64: by intel-ipsec-mb, which uses the widest AES and carry-less multiplication that the
 * processor has (VAES on 512 bits). OpenSSL 3.0 does not: a block of 64 KiB takes it 2.5 times as
 * long, a key's set-up four times.
 */

#include "base/error.h"
#include "crypt/aead.h"
#include <intel-ipsec-mb.h>
#include <pthread.h>

/* Its table of functions; made at the first use, so that who seals nothing does not pay for it. */
static IMB_MGR *mb;

struct state {
    struct gcm_key_data key;
    struct gcm_context_data message;
};

static void choose(void)
{
    mb = alloc_mb_mgr(0);
    if (mb)
        init_mb_mgr_auto(mb, NULL);
}

int aead_init(struct aead *a, const uint8_t key[CRYPT_KEY_LEN], bool seals)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, choose);
    *a = (struct aead){.seals = seals};
    if (!mb || posix_memalign(&a->state, 64, sizeof(struct state)) != 0)
        return -ENOMEM;
    CHECK(imb_get_errno(mb) == 0); /* its own tests of what it chose */
    struct state *s = a->state;
    IMB_AES256_GCM_PRE(mb, key, &s->key);
    return 0;
}

void aead_release(struct aead *a)
{
    if (a->state)
        wipe(a->state, sizeof(struct state));
    free(a->state);
    *a = (struct aead){0};
}

void aead_begin(struct aead *a, const uint8_t nonce[CRYPT_NONCE_LEN], struct str aad)
{
    struct state *s = a->state;
    IMB_AES256_GCM_INIT(mb, &s->key, &s->message, nonce, (const uint8_t *)aad.ptr, aad.len);
}

void aead_add(struct aead *a, const void *in, size_t len, void *out)
{
    struct state *s = a->state;
    if (len == 0)
        return;
    if (a->seals)
        IMB_AES256_GCM_ENC_UPDATE(mb, &s->key, &s->message, out, in, len);
    else
        IMB_AES256_GCM_DEC_UPDATE(mb, &s->key, &s->message, out, in, len);
}

void aead_seal_end(struct aead *a, uint8_t ret_tag[CRYPT_TAG_LEN])
{
    struct state *s = a->state;
    IMB_AES256_GCM_ENC_FINALIZE(mb, &s->key, &s->message, ret_tag, CRYPT_TAG_LEN);
}

bool aead_open_end(struct aead *a, const uint8_t tag[CRYPT_TAG_LEN])
{
    struct state *s = a->state;
    uint8_t is[CRYPT_TAG_LEN];
    IMB_AES256_GCM_DEC_FINALIZE(mb, &s->key, &s->message, is, sizeof(is));
    return str_eq_secret(str_make(is, sizeof(is)), str_make(tag, CRYPT_TAG_LEN));
}
