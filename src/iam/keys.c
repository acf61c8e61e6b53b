/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Access keys and service accounts: they stand in their user's row, so a change of one is a change
 * of the user. The server's root has its key from the configuration and none besides.
 */

#include "iam/internal.h"

#include "base/encode.h"
#include "base/error.h"

#define SECRET_BYTES 30 /* 40 characters of base64, as AWS's */

/* Keys of an entry, with room for one more. */
struct keys {
    struct iam_entry *entry;
    struct iam_key_data list[IAM_USER_KEYS_MAX + 1];
    size_t count, own;
};

/* By the only writer. */
static int open_keys(struct iam *iam, struct str user, struct keys *ret)
{
    rt_lock(&iam->lock);
    ret->entry = iam_find_by_name(iam, user);
    rt_unlock(&iam->lock);
    if (!ret->entry || ret->entry == iam->root)
        return -ERR_NOT_FOUND;
    ret->count = ret->own = 0;
    for (size_t i = 0; i < ret->entry->key_count; i++) {
        ret->list[ret->count++] = ret->entry->keys[i].data;
        ret->own += !ret->entry->keys[i].data.info.service;
    }
    return 0;
}

static int FIBER store_keys(struct iam *iam, struct keys *k)
{
    return iam_entry_change_keys(iam, k->entry, &k->entry->user, k->list, k->count);
}

static struct str make_secret(struct arena *a)
{
    uint8_t raw[SECRET_BYTES];
    char text[BASE64_LEN(SECRET_BYTES)];
    rt_random(raw, sizeof(raw));
    struct str made = arena_dup(a, str_make(text, base64_encode(raw, sizeof(raw), text)));
    explicit_bzero(raw, sizeof(raw));
    explicit_bzero(text, sizeof(text));
    return made;
}

static int make_data(struct arena *a, const struct iam_access_key_spec *spec,
                     struct iam_key_data *ret)
{
    *ret = (struct iam_key_data){
        .info = {.id = spec->id.len ? spec->id : iam_make_id(a, "AKIA"),
                 .policy = spec->policy,
                 .name = spec->name,
                 .description = spec->description,
                 .created_ms = rt_wall_ms(),
                 .expires_ms = spec->expires_ms,
                 .inactive = spec->inactive,
                 .service = spec->service},
        .secret = spec->secret.len ? spec->secret : make_secret(a),
    };
    return ret->info.id.ptr && ret->secret.ptr ? iam_key_validate(ret) : -ENOMEM;
}

static int FIBER add_key(struct iam *iam, struct str user, const struct iam_key_data *data)
{
    struct keys k;
    int r = open_keys(iam, user, &k);
    if (r)
        return r;
    rt_lock(&iam->lock);
    bool full = iam_share_is_used(iam, k.entry->user.account, IAM_SHARE_KEYS);
    rt_unlock(&iam->lock);
    if (full || k.count >= IAM_USER_KEYS_MAX || (!data->info.service && k.own >= IAM_OWN_KEYS_MAX))
        return -ERR_LIMIT;
    for (size_t i = 0; i < k.count; i++)
        if (str_eq(k.list[i].info.id, data->info.id))
            return -ERR_EXISTS;
    k.list[k.count++] = *data;
    return store_keys(iam, &k);
}

/* Of a service account; empty: none. */
static int test_policy(struct str document, struct policy_fault *ret_fault)
{
    struct policy *tested;
    if (!document.len)
        return 0;
    int r = policy_compile(POLICY_IDENTITY, STR(""), document, &tested, ret_fault);
    if (!r)
        policy_unref(tested);
    return r;
}

int FIBER iam_access_key_add(struct iam *iam, struct arena *a, struct str user,
                             const struct iam_access_key_spec *spec, struct iam_access_key *ret,
                             struct str *ret_secret, struct policy_fault *ret_fault)
{
    struct iam_key_data data;
    int r = make_data(a, spec, &data);
    if (!r)
        r = test_policy(spec->policy, ret_fault);
    if (!r)
        r = iam_writer_enter(iam);
    if (r)
        return r;
    r = add_key(iam, user, &data);
    iam_writer_leave(iam);
    if (r)
        return r;
    *ret = data.info;
    *ret_secret = data.secret;
    return 0;
}

static bool is_same(const struct iam_key_data *a, const struct iam_key_data *b)
{
    const struct iam_access_key *x = &a->info, *y = &b->info;
    return str_eq_secret(a->secret, b->secret) && str_eq(x->policy, y->policy) &&
           str_eq(x->name, y->name) && str_eq(x->description, y->description) &&
           x->expires_ms == y->expires_ms && x->inactive == y->inactive && x->service == y->service;
}

/* By the only writer. */
static int FIBER put_key(struct iam *iam, struct str user, struct iam_key_data *data, bool dry,
                         enum iam_put *ret)
{
    struct keys k;
    size_t at = 0;
    rt_lock(&iam->lock);
    const struct iam_key_entry *there = iam_find_key(iam, data->info.id);
    rt_unlock(&iam->lock);
    if (there && !str_eq(there->owner->user.name, user))
        return -ERR_EXISTS;
    int r = open_keys(iam, user, &k);
    if (r)
        return r;
    while (at < k.count && !str_eq(k.list[at].info.id, data->info.id))
        at++;
    if (at == k.count) {
        *ret = IAM_PUT_ADDED;
        return dry ? 0 : add_key(iam, user, data);
    }
    *ret = is_same(&k.list[at], data) ? IAM_PUT_SAME : IAM_PUT_CHANGED;
    if (dry || *ret == IAM_PUT_SAME)
        return 0;
    data->info.created_ms = k.list[at].info.created_ms;
    k.list[at] = *data;
    return store_keys(iam, &k);
}

int FIBER iam_access_key_put(struct iam *iam, struct str user,
                             const struct iam_access_key_spec *spec, bool dry, enum iam_put *ret,
                             struct policy_fault *ret_fault)
{
    struct iam_key_data data;
    if (!spec->id.len || !spec->secret.len)
        return -EINVAL;
    int r = make_data(NULL, spec, &data);
    if (!r)
        r = test_policy(spec->policy, ret_fault);
    if (!r)
        r = iam_writer_enter(iam);
    if (r)
        return r;
    r = put_key(iam, user, &data, dry, ret);
    iam_writer_leave(iam);
    return r;
}

/* `active` 0 or 1, or -1: away with it. */
static int FIBER change_key(struct iam *iam, struct str user, struct str id, int active)
{
    struct keys k;
    size_t at = 0;
    int r = open_keys(iam, user, &k);
    if (r)
        return r;
    while (at < k.count && !str_eq(k.list[at].info.id, id))
        at++;
    if (at == k.count)
        return -ERR_NOT_FOUND;
    if (active >= 0)
        k.list[at].info.inactive = !active;
    else
        memmove(&k.list[at], &k.list[at + 1], (--k.count - at) * sizeof(k.list[0]));
    return store_keys(iam, &k);
}

static int FIBER locked_change(struct iam *iam, struct str user, struct str id, int active)
{
    int r = iam_writer_enter(iam);
    if (r)
        return r;
    r = change_key(iam, user, id, active);
    iam_writer_leave(iam);
    return r;
}

int FIBER iam_access_key_set_active(struct iam *iam, struct str user, struct str id, bool active)
{
    return locked_change(iam, user, id, active);
}

int FIBER iam_access_key_remove(struct iam *iam, struct str user, struct str id)
{
    return locked_change(iam, user, id, -1);
}

static int key_dup(struct arena *a, const struct iam_access_key *from, struct iam_access_key *ret)
{
    *ret = *from;
    ret->id = arena_dup(a, from->id);
    ret->policy = arena_dup(a, from->policy);
    ret->name = arena_dup(a, from->name);
    ret->description = arena_dup(a, from->description);
    return ret->id.ptr && ret->policy.ptr && ret->name.ptr && ret->description.ptr ? 0 : -ENOMEM;
}

int iam_access_key_list(struct iam *iam, struct arena *a, struct str user,
                        struct iam_access_key **ret, size_t *ret_count)
{
    rt_lock(&iam->lock);
    const struct iam_entry *e = iam_find_by_name(iam, user);
    struct iam_access_key *list =
        e ? arena_array(a, struct iam_access_key, e->key_count + 1) : NULL;
    int r = !e ? -ERR_NOT_FOUND : !list ? -ENOMEM : 0;
    for (size_t i = 0; !r && i < e->key_count; i++)
        r = key_dup(a, &e->keys[i].data.info, &list[i]);
    if (!r) {
        *ret = list;
        *ret_count = e->key_count;
    }
    rt_unlock(&iam->lock);
    return r;
}

int iam_access_key_find(struct iam *iam, struct arena *a, struct str id, struct str *ret_user,
                        struct iam_access_key *ret)
{
    rt_lock(&iam->lock);
    const struct iam_key_entry *k = iam_find_key(iam, id);
    int r = k ? key_dup(a, &k->data.info, ret) : -ERR_NOT_FOUND;
    if (!r)
        *ret_user = arena_dup(a, k->owner->user.name);
    rt_unlock(&iam->lock);
    return r ? r : ret_user->ptr ? 0 : -ENOMEM;
}
