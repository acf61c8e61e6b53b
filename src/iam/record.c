/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "iam/internal.h"

#include "base/error.h"
#include "iam/user.pb-c.h"

#define NAME_MAX_BYTES 128
#define ID_MAX_BYTES   128
#define MAIL_MAX_BYTES 256

/* Graphic ASCII: what may stand in an Authorization header, a log line and a file. */
static bool is_graphic(struct str s, const char *forbidden)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~' || strchr(forbidden, s.ptr[i]))
            return false;
    return true;
}

static bool is_text(struct str s, size_t max)
{
    if (s.len > max || !str_is_utf8(s))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 0x7f)
            return false;
    return true;
}

int iam_user_validate(const struct iam_user *user, struct str secret)
{
    struct str key = user->access_key;
    /* A slash ends the key inside a credential scope; a comma ends the scope. */
    if (key.len < 3 || key.len > 128 || !is_graphic(key, "/,="))
        return -EINVAL;
    if (secret.len < 8 || secret.len > 128 || !is_graphic(secret, ""))
        return -EINVAL;
    if (user->name.len == 0 || !is_text(user->name, NAME_MAX_BYTES))
        return -EINVAL;
    if (user->user_id.len == 0 || user->user_id.len > ID_MAX_BYTES ||
        !is_graphic(user->user_id, ""))
        return -EINVAL;
    if (!is_text(user->email, MAIL_MAX_BYTES) || !is_text(user->display_name, NAME_MAX_BYTES))
        return -EINVAL;
    return 0;
}

static struct str copy_in(char **at, struct str s)
{
    struct str out = {*at, s.len};
    if (s.len)
        memcpy(*at, s.ptr, s.len);
    *at += s.len;
    return out;
}

struct iam_entry *iam_entry_new(const struct iam_user *user, struct str secret)
{
    size_t size = user->name.len + user->user_id.len + user->access_key.len + user->email.len +
                  user->display_name.len + secret.len;
    struct iam_entry *e = calloc(1, sizeof(*e) + size);
    if (!e)
        return NULL;
    char *at = e->bytes;
    e->user = (struct iam_user){
        .name = copy_in(&at, user->name),
        .user_id = copy_in(&at, user->user_id),
        .access_key = copy_in(&at, user->access_key),
        .email = copy_in(&at, user->email),
        .display_name = copy_in(&at, user->display_name),
        .created_ms = user->created_ms,
    };
    e->secret = copy_in(&at, secret);
    return e;
}

/* protobuf-c wants C strings; the fields are validated to hold no NUL. */
static char *c_string(char **at, struct str s)
{
    char *out = *at;
    if (s.len)
        memcpy(out, s.ptr, s.len);
    out[s.len] = 0;
    *at += s.len + 1;
    return out;
}

static ProtobufCBinaryData binary(struct str s)
{
    return (ProtobufCBinaryData){.len = s.len, .data = (uint8_t *)s.ptr};
}

int iam_record_encode(const struct iam_entry *e, struct buf *out)
{
    char strings[3 * NAME_MAX_BYTES + MAIL_MAX_BYTES + 4], *at = strings;
    CHECK(iam_user_validate(&e->user, e->secret) == 0);
    Iam__User record = IAM__USER__INIT;
    record.name = c_string(&at, e->user.name);
    record.user_id = c_string(&at, e->user.user_id);
    record.email = c_string(&at, e->user.email);
    record.display_name = c_string(&at, e->user.display_name);
    record.access_key = binary(e->user.access_key);
    record.secret_key = binary(e->secret);
    record.created_ms = e->user.created_ms;
    char *into = buf_reserve(out, iam__user__get_packed_size(&record));
    if (!into)
        return -ENOMEM;
    out->len += iam__user__pack(&record, (uint8_t *)into);
    return 0;
}

int iam_record_decode(struct str bytes, struct iam_entry **ret)
{
    Iam__User *record = iam__user__unpack(NULL, bytes.len, (const uint8_t *)bytes.ptr);
    if (!record)
        return -ERR_CORRUPT;
    struct iam_user user = {
        .name = str_from(record->name),
        .user_id = str_from(record->user_id),
        .access_key = {(const char *)record->access_key.data, record->access_key.len},
        .email = str_from(record->email),
        .display_name = str_from(record->display_name),
        .created_ms = record->created_ms,
    };
    struct str secret = {(const char *)record->secret_key.data, record->secret_key.len};
    int r = iam_user_validate(&user, secret) ? -ERR_CORRUPT : 0;
    if (!r && !(*ret = iam_entry_new(&user, secret)))
        r = -ENOMEM;
    iam__user__free_unpacked(record, NULL);
    return r;
}
