/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * A user: its limits, its form in memory and its stored form.
 */

#include "iam/internal.h"

#include <stdalign.h>
#include <stdio.h>
#include "base/error.h"
#include "iam/user.pb-c.h"
#include "wire/sigv4.h"

#define NAME_MAX_BYTES  256
#define ID_MAX_BYTES    128
#define MAIL_MAX_BYTES  256
#define PATH_MAX_BYTES  512
#define DESCRIPTION_MAX 1024

/* ---- limits --------------------------------------------------------------------------------- */

bool iam_is_text(struct str s, size_t max)
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
    return name.len > 0 && iam_is_text(name, NAME_MAX_BYTES);
}

/* MARK, the holder's kind (u, g, r) and id, MARK, name. */
struct str iam_inline_name(struct str policy)
{
    ptrdiff_t mark = iam_is_inline(policy) ? str_find_char(policy, IAM_INLINE_MARK, 1) : -1;
    return mark < 0 ? policy : str_from_offset(policy, (size_t)mark + 1);
}

bool iam_policy_name_is_valid(struct str name)
{
    if (!iam_is_inline(name))
        return iam_name_is_valid(name);
    ptrdiff_t mark = str_find_char(name, IAM_INLINE_MARK, 1);
    return mark > 1 && iam_name_is_valid(str_make(name.ptr + 1, (size_t)mark - 1)) &&
           iam_name_is_valid(str_from_offset(name, (size_t)mark + 1));
}

bool iam_path_is_valid(struct str path)
{
    return path.len > 0 && path.len <= PATH_MAX_BYTES && str_starts(path, STR("/")) &&
           str_ends(path, STR("/")) && str_is_graphic(path, "") && str_find(path, STR("//"), 0) < 0;
}

static bool are_names(const struct str *names, size_t count, size_t max, bool policies)
{
    if (count > max)
        return false;
    for (size_t i = 0; i < count; i++)
        if (policies ? !iam_policy_name_is_valid(names[i]) : !iam_name_is_valid(names[i]))
            return false;
    return true;
}

int iam_key_validate(const struct iam_key_data *key)
{
    struct str id = key->info.id, secret = key->secret;
    /* A slash ends the key inside a credential scope; a comma ends the scope. */
    if (id.len < 3 || id.len > SIGV4_KEY_MAX || !str_is_graphic(id, "/,="))
        return -EINVAL;
    if (secret.len < 8 || secret.len > 128 || !str_is_graphic(secret, ""))
        return -EINVAL;
    if (key->info.policy.len > IAM_KEY_POLICY_MAX || (key->info.policy.len && !key->info.service))
        return -EINVAL;
    return iam_is_text(key->info.name, NAME_MAX_BYTES) &&
                   iam_is_text(key->info.description, DESCRIPTION_MAX)
               ? 0
               : -EINVAL;
}

int iam_user_validate(const struct iam_user *user)
{
    if (!iam_name_is_valid(user->name))
        return -EINVAL;
    if (user->user_id.len == 0 || user->user_id.len > ID_MAX_BYTES ||
        !str_is_graphic(user->user_id, ""))
        return -EINVAL;
    if (user->account.len > ID_MAX_BYTES || !str_is_graphic(user->account, ""))
        return -EINVAL;
    if (!are_names(user->policies, user->policy_count, IAM_USER_POLICIES_MAX, true) ||
        !are_names(user->groups, user->group_count, IAM_USER_GROUPS_MAX, false))
        return -EINVAL;
    if (user->path.len && !iam_path_is_valid(user->path))
        return -EINVAL;
    if (user->limits.request_rate > IAM_RATE_MAX)
        return -EINVAL;
    if (user->boundary.len && !iam_name_is_valid(user->boundary))
        return -EINVAL;
    if (!iam_tags_are_valid(&user->tags))
        return -EINVAL;
    if (!iam_is_text(user->email, MAIL_MAX_BYTES) ||
        !iam_is_text(user->display_name, NAME_MAX_BYTES))
        return -EINVAL;
    return 0;
}

/* ---- in memory ------------------------------------------------------------------------------ */

struct str pack_str(struct pack *p, struct str s)
{
    struct str out = {p->at ? p->at + p->bytes : NULL, s.len};
    if (p->at && s.len)
        memcpy(p->at + p->bytes, s.ptr, s.len);
    p->bytes += s.len;
    return out;
}

struct str pack_printf(struct pack *p, const char *fmt, ...)
{
    va_list ap;
    char text[1024];
    va_start(ap, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    CHECK(len >= 0 && (size_t)len < sizeof(text)); /* of names, whose lengths have limits */
    return pack_str(p, str_make(text, (size_t)len));
}

void *pack_room(struct pack *p, size_t size, size_t count)
{
    p->bytes = align_up(p->bytes, alignof(max_align_t));
    void *room = p->at ? p->at + p->bytes : NULL;
    p->bytes += size * count;
    return room;
}

const struct str *pack_names(struct pack *p, const struct str *names, size_t count)
{
    struct str *list = pack_room(p, sizeof(*list), count);
    for (size_t i = 0; i < count; i++) {
        struct str name = pack_str(p, names[i]);
        if (list)
            list[i] = name;
    }
    return list;
}

static struct iam_key_data pack_key(struct pack *p, const struct iam_key_data *k)
{
    struct iam_key_data out = *k;
    out.info.id = pack_str(p, k->info.id);
    out.info.policy = pack_str(p, k->info.policy);
    out.info.name = pack_str(p, k->info.name);
    out.info.description = pack_str(p, k->info.description);
    out.secret = pack_str(p, k->secret);
    return out;
}

static struct iam_key_entry *pack_keys(struct pack *p, const struct iam_key_data *keys,
                                       size_t count)
{
    struct iam_key_entry *list = pack_room(p, sizeof(*list), count);
    for (size_t i = 0; i < count; i++) {
        struct iam_key_data data = pack_key(p, &keys[i]);
        if (list)
            list[i] = (struct iam_key_entry){.data = data};
    }
    return list;
}

/* The root of an account is arn:aws:iam::ACCOUNT:root. */
static struct str pack_arn(struct pack *p, const struct iam_user *u)
{
    struct str name = iam_local_name(u->account, u->name);
    if (str_eq(u->account, u->user_id))
        return pack_printf(p, "arn:aws:iam::%.*s:root", STR_FMT(u->account));
    return pack_printf(p, "arn:aws:iam::%.*s:user%.*s%.*s", STR_FMT(u->account), STR_FMT(u->path),
                       STR_FMT(name));
}

/* By its name alone is named only who has one in all the store. */
static struct str pack_alias(struct pack *p, const struct iam_user *u)
{
    struct str name = iam_local_name(u->account, u->name);
    if (name.len != u->name.len)
        return pack_str(p, STR(""));
    return pack_printf(p, "arn:aws:iam:::user%.*s%.*s", STR_FMT(u->path), STR_FMT(name));
}

static void pack_user(struct pack *p, const struct iam_user *u, struct iam_user *ret)
{
    *ret = (struct iam_user){
        .name = pack_str(p, u->name),
        .user_id = pack_str(p, u->user_id),
        .email = pack_str(p, u->email),
        .display_name = pack_str(p, u->display_name),
        .account = pack_str(p, u->account),
        .path = pack_str(p, u->path),
        .boundary = pack_str(p, u->boundary),
        .arn = pack_arn(p, u),
        .created_ms = u->created_ms,
        .limits = u->limits,
        .policies = pack_names(p, u->policies, u->policy_count),
        .policy_count = u->policy_count,
        .groups = pack_names(p, u->groups, u->group_count),
        .group_count = u->group_count,
        .tags = {pack_names(p, u->tags.texts, u->tags.count), u->tags.count},
    };
}

/* A policy that cannot be read leaves a key that opens nothing (iam_key_opens). */
static void compile_keys(struct iam_entry *e)
{
    for (size_t i = 0; i < e->key_count; i++) {
        struct iam_key_entry *k = &e->keys[i];
        struct policy_fault why;
        struct policy *policy = NULL;
        k->owner = e;
        if (k->data.info.policy.len &&
            policy_compile(POLICY_IDENTITY, STR(""), k->data.info.policy, &policy, &why) == 0)
            k->policy = policy;
    }
}

struct iam_entry *iam_entry_new(const struct iam_user *user, const struct iam_key_data *keys,
                                size_t count)
{
    struct iam_user from = *user;
    struct pack p = {0};
    struct iam_entry reckoned, *e;
    if (!from.account.len)
        from.account = from.user_id;
    if (!from.path.len)
        from.path = STR("/");
    pack_user(&p, &from, &reckoned.user);
    pack_alias(&p, &from);
    pack_keys(&p, keys, count);
    e = calloc(1, sizeof(*e) + p.bytes);
    if (!e)
        return NULL;
    p = (struct pack){.at = (char *)e->bytes};
    pack_user(&p, &from, &e->user);
    e->alias_arn = pack_alias(&p, &from);
    e->keys = pack_keys(&p, keys, count);
    e->key_count = count;
    compile_keys(e);
    e->user.access_key = count ? e->keys[0].data.info.id : STR("");
    return e;
}

void iam_entry_free(struct iam_entry *e)
{
    if (!e)
        return;
    iam_grants_unref(e->grants.grants);
    for (size_t i = 0; i < e->key_count; i++) {
        policy_unref(e->keys[i].policy);
        wipe((char *)e->keys[i].data.secret.ptr, e->keys[i].data.secret.len);
    }
    free(e);
}

/* ---- stored --------------------------------------------------------------------------------- */

static ProtobufCBinaryData binary(struct str s)
{
    return (ProtobufCBinaryData){.len = s.len, .data = (uint8_t *)s.ptr};
}

/* protobuf-c wants C strings; the fields are validated to hold no NUL. */
char **iam_c_names(struct arena *a, const struct str *names, size_t count)
{
    char **list = arena_array(a, char *, count + 1);
    for (size_t i = 0; list && i < count; i++)
        if (!(list[i] = arena_cstr(a, names[i])))
            return NULL;
    return list;
}

static int fill_keys(struct arena *a, const struct iam_entry *e, Iam__User *record)
{
    Iam__AccessKey **list = arena_array(a, Iam__AccessKey *, e->key_count + 1);
    if (!list)
        return -ENOMEM;
    for (size_t i = 0; i < e->key_count; i++) {
        const struct iam_key_data *k = &e->keys[i].data;
        Iam__AccessKey *pb = list[i] = arena_new(a, Iam__AccessKey);
        if (!pb)
            return -ENOMEM;
        iam__access_key__init(pb);
        pb->id = arena_cstr(a, k->info.id);
        pb->secret = binary(k->secret);
        pb->created_ms = k->info.created_ms;
        pb->expires_ms = k->info.expires_ms;
        pb->inactive = k->info.inactive;
        pb->service = k->info.service;
        pb->policy = binary(k->info.policy);
        pb->name = arena_cstr(a, k->info.name);
        pb->description = arena_cstr(a, k->info.description);
        if (!pb->id || !pb->name || !pb->description)
            return -ENOMEM;
    }
    record->keys = list;
    record->n_keys = e->key_count;
    return 0;
}

static int fill_record(struct arena *a, const struct iam_entry *e, Iam__User *record)
{
    const struct iam_user *u = &e->user;
    bool own = str_eq(u->account, u->user_id);
    record->name = arena_cstr(a, u->name);
    record->user_id = arena_cstr(a, u->user_id);
    record->email = arena_cstr(a, u->email);
    record->display_name = arena_cstr(a, u->display_name);
    record->created_ms = u->created_ms;
    record->account = arena_cstr(a, own ? STR("") : u->account);
    record->path = arena_cstr(a, str_eq(u->path, STR("/")) ? STR("") : u->path);
    record->boundary = arena_cstr(a, u->boundary);
    record->request_rate = u->limits.request_rate;
    record->bytes_max = u->limits.bytes;
    record->objects_max = u->limits.objects;
    record->policies = iam_c_names(a, u->policies, u->policy_count);
    record->n_policies = u->policy_count;
    record->groups = iam_c_names(a, u->groups, u->group_count);
    record->n_groups = u->group_count;
    record->tags = iam_c_names(a, u->tags.texts, u->tags.count);
    record->n_tags = u->tags.count;
    if (!record->name || !record->user_id || !record->email || !record->display_name ||
        !record->account || !record->path || !record->boundary || !record->policies ||
        !record->groups || !record->tags)
        return -ENOMEM;
    return fill_keys(a, e, record);
}

int iam_record_encode(const struct iam_entry *e, struct buf *out)
{
    _cleanup_(arena_release) struct arena a;
    Iam__User record = IAM__USER__INIT;
    arena_init(&a, 0);
    CHECK(iam_user_validate(&e->user) == 0);
    int r = fill_record(&a, e, &record);
    char *into = r ? NULL : buf_reserve(out, iam__user__get_packed_size(&record));
    if (!into)
        return -ENOMEM;
    out->len += iam__user__pack(&record, (uint8_t *)into);
    return 0;
}

static struct str bytes_of(ProtobufCBinaryData b)
{
    return str_make(b.data, b.len);
}

int iam_read_names(char **from, size_t count, struct str *ret, size_t max)
{
    if (count > max)
        return -ERR_CORRUPT;
    for (size_t i = 0; i < count; i++)
        ret[i] = str_from(from[i]);
    return 0;
}

static struct iam_key_data read_key(const Iam__AccessKey *pb)
{
    return (struct iam_key_data){
        .info = {.id = str_from(pb->id),
                 .policy = bytes_of(pb->policy),
                 .name = str_from(pb->name),
                 .description = str_from(pb->description),
                 .created_ms = pb->created_ms,
                 .expires_ms = pb->expires_ms,
                 .inactive = pb->inactive,
                 .service = pb->service},
        .secret = bytes_of(pb->secret),
    };
}

/* A row from before there were several keys has one in its own fields. */
static int read_keys(const Iam__User *record, struct iam_key_data *keys, size_t *ret_count)
{
    size_t count = 0;
    if (record->n_keys > IAM_USER_KEYS_MAX)
        return -ERR_CORRUPT;
    if (record->access_key.len && !record->n_keys)
        keys[count++] = (struct iam_key_data){
            .info = {.id = bytes_of(record->access_key), .created_ms = record->created_ms},
            .secret = bytes_of(record->secret_key)};
    for (size_t i = 0; i < record->n_keys; i++)
        keys[count++] = read_key(record->keys[i]);
    for (size_t i = 0; i < count; i++)
        if (iam_key_validate(&keys[i]))
            return -ERR_CORRUPT;
    *ret_count = count;
    return 0;
}

static int entry_of(const Iam__User *record, struct iam_entry **ret)
{
    struct str policies[IAM_USER_POLICIES_MAX], groups[IAM_USER_GROUPS_MAX];
    struct str tags[2 * IAM_TAGS_MAX];
    struct iam_key_data keys[IAM_USER_KEYS_MAX];
    size_t key_count;
    struct iam_user user = {
        .name = str_from(record->name),
        .user_id = str_from(record->user_id),
        .email = str_from(record->email),
        .display_name = str_from(record->display_name),
        .created_ms = record->created_ms,
        .account = str_from(record->account),
        .path = str_from(record->path),
        .boundary = str_from(record->boundary),
        .limits = {.request_rate = record->request_rate,
                   .bytes = record->bytes_max,
                   .objects = record->objects_max},
        .policies = policies,
        .policy_count = record->n_policies,
        .groups = groups,
        .group_count = record->n_groups,
        .tags = {tags, record->n_tags},
    };
    int r = iam_read_names(record->policies, record->n_policies, policies, ARRAY_LEN(policies));
    if (!r)
        r = iam_read_names(record->groups, record->n_groups, groups, ARRAY_LEN(groups));
    if (!r)
        r = iam_read_names(record->tags, record->n_tags, tags, ARRAY_LEN(tags));
    if (!r)
        r = read_keys(record, keys, &key_count);
    if (!r && iam_user_validate(&user))
        r = -ERR_CORRUPT;
    if (!r && !(*ret = iam_entry_new(&user, keys, key_count)))
        r = -ENOMEM;
    return r;
}

int iam_record_decode(struct str bytes, struct iam_entry **ret)
{
    Iam__User *record = iam__user__unpack(NULL, bytes.len, (const uint8_t *)bytes.ptr);
    if (!record)
        return -ERR_CORRUPT;
    int r = entry_of(record, ret);
    iam__user__free_unpacked(record, NULL);
    return r;
}
