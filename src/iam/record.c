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

bool iam_name_is_valid(struct str name)
{
    return name.len > 0 && is_text(name, NAME_MAX_BYTES);
}

static bool are_names(const struct str *names, size_t count, size_t max)
{
    for (size_t i = 0; i < count; i++)
        if (!iam_name_is_valid(names[i]))
            return false;
    return count <= max;
}

int iam_user_validate(const struct iam_user *user, struct str secret)
{
    struct str key = user->access_key;
    /* A slash ends the key inside a credential scope; a comma ends the scope. */
    if (key.len < 3 || key.len > 128 || !is_graphic(key, "/,="))
        return -EINVAL;
    if (secret.len < 8 || secret.len > 128 || !is_graphic(secret, ""))
        return -EINVAL;
    if (!iam_name_is_valid(user->name))
        return -EINVAL;
    if (user->user_id.len == 0 || user->user_id.len > ID_MAX_BYTES ||
        !is_graphic(user->user_id, ""))
        return -EINVAL;
    if (user->account.len > ID_MAX_BYTES || !is_graphic(user->account, ""))
        return -EINVAL;
    if (!are_names(user->policies, user->policy_count, IAM_USER_POLICIES_MAX) ||
        !are_names(user->groups, user->group_count, IAM_USER_GROUPS_MAX))
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

static const struct str *copy_list(struct str **list, char **at, const struct str *from,
                                   size_t count)
{
    struct str *copy = *list;
    for (size_t i = 0; i < count; i++)
        copy[i] = copy_in(at, from[i]);
    *list += count;
    return copy;
}

static struct str print_in(char **at, const char *prefix, struct str a, const char *mid,
                           struct str b)
{
    struct str out = {*at, 0};
    copy_in(at, str_from(prefix));
    copy_in(at, a);
    copy_in(at, str_from(mid));
    copy_in(at, b);
    out.len = (size_t)(*at - out.ptr);
    return out;
}

#define ARN_TEXT_MAX 48 /* what stands around account and name in two of them */

static size_t bytes_of(const struct iam_user *user, struct str secret)
{
    size_t size = 2 * user->name.len + user->user_id.len + user->access_key.len + user->email.len +
                  user->display_name.len + secret.len + 2 * user->account.len + ARN_TEXT_MAX +
                  user->name.len;
    for (size_t i = 0; i < user->policy_count; i++)
        size += user->policies[i].len;
    for (size_t i = 0; i < user->group_count; i++)
        size += user->groups[i].len;
    return size + (user->policy_count + user->group_count) * sizeof(struct str);
}

/* The root of an account is arn:aws:iam::ACCOUNT:root. */
static void set_arns(struct iam_entry *e, char **at)
{
    const struct iam_user *u = &e->user;
    bool root = str_eq(u->account, u->user_id);
    e->arn = print_in(at, "arn:aws:iam::", u->account, root ? ":root" : ":user/",
                      root ? STR("") : u->name);
    e->alias_arn = print_in(at, "arn:aws:iam:::user/", u->name, "", STR(""));
}

struct iam_entry *iam_entry_new(const struct iam_user *user, struct str secret)
{
    struct iam_user from = *user;
    if (!from.account.len)
        from.account = from.user_id;
    struct iam_entry *e = calloc(1, sizeof(*e) + bytes_of(&from, secret));
    if (!e)
        return NULL;
    struct str *list = (struct str *)e->bytes;
    char *at = (char *)(list + from.policy_count + from.group_count);
    e->user = (struct iam_user){
        .name = copy_in(&at, from.name),
        .user_id = copy_in(&at, from.user_id),
        .access_key = copy_in(&at, from.access_key),
        .email = copy_in(&at, from.email),
        .display_name = copy_in(&at, from.display_name),
        .account = copy_in(&at, from.account),
        .created_ms = from.created_ms,
        .policies = copy_list(&list, &at, from.policies, from.policy_count),
        .policy_count = from.policy_count,
        .groups = copy_list(&list, &at, from.groups, from.group_count),
        .group_count = from.group_count,
    };
    e->secret = copy_in(&at, secret);
    set_arns(e, &at);
    return e;
}

void iam_entry_free(struct iam_entry *e)
{
    if (e)
        iam_grants_unref(e->grants);
    free(e);
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

#define STRINGS_MAX                                                                            \
    ((3 + IAM_USER_POLICIES_MAX + IAM_USER_GROUPS_MAX) * (NAME_MAX_BYTES + 1) + ID_MAX_BYTES + \
     MAIL_MAX_BYTES + 2)

int iam_record_encode(const struct iam_entry *e, struct buf *out)
{
    char strings[STRINGS_MAX], *at = strings;
    char *policies[IAM_USER_POLICIES_MAX], *groups[IAM_USER_GROUPS_MAX];
    CHECK(iam_user_validate(&e->user, e->secret) == 0);
    for (size_t i = 0; i < e->user.policy_count; i++)
        policies[i] = c_string(&at, e->user.policies[i]);
    for (size_t i = 0; i < e->user.group_count; i++)
        groups[i] = c_string(&at, e->user.groups[i]);
    Iam__User record = IAM__USER__INIT;
    record.name = c_string(&at, e->user.name);
    record.user_id = c_string(&at, e->user.user_id);
    record.email = c_string(&at, e->user.email);
    record.display_name = c_string(&at, e->user.display_name);
    record.access_key = binary(e->user.access_key);
    record.secret_key = binary(e->secret);
    record.created_ms = e->user.created_ms;
    if (!str_eq(e->user.account, e->user.user_id))
        record.account = c_string(&at, e->user.account);
    record.policies = policies;
    record.n_policies = e->user.policy_count;
    record.groups = groups;
    record.n_groups = e->user.group_count;
    char *into = buf_reserve(out, iam__user__get_packed_size(&record));
    if (!into)
        return -ENOMEM;
    out->len += iam__user__pack(&record, (uint8_t *)into);
    return 0;
}

static int read_names(char **from, size_t count, struct str *ret, size_t max)
{
    if (count > max)
        return -ERR_CORRUPT;
    for (size_t i = 0; i < count; i++)
        ret[i] = str_from(from[i]);
    return 0;
}

int iam_record_decode(struct str bytes, struct iam_entry **ret)
{
    Iam__User *record = iam__user__unpack(NULL, bytes.len, (const uint8_t *)bytes.ptr);
    if (!record)
        return -ERR_CORRUPT;
    struct str policies[IAM_USER_POLICIES_MAX], groups[IAM_USER_GROUPS_MAX];
    struct iam_user user = {
        .name = str_from(record->name),
        .user_id = str_from(record->user_id),
        .access_key = {(const char *)record->access_key.data, record->access_key.len},
        .email = str_from(record->email),
        .display_name = str_from(record->display_name),
        .created_ms = record->created_ms,
        .account = str_from(record->account),
        .policies = policies,
        .policy_count = record->n_policies,
        .groups = groups,
        .group_count = record->n_groups,
    };
    struct str secret = {(const char *)record->secret_key.data, record->secret_key.len};
    int r = read_names(record->policies, record->n_policies, policies, ARRAY_LEN(policies));
    if (!r)
        r = read_names(record->groups, record->n_groups, groups, ARRAY_LEN(groups));
    if (!r && iam_user_validate(&user, secret))
        r = -ERR_CORRUPT;
    if (!r && !(*ret = iam_entry_new(&user, secret)))
        r = -ENOMEM;
    iam__user__free_unpacked(record, NULL);
    return r;
}
