/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "store/internal.h"
#include "base/encode.h"

/* How many buckets an owner has. */
struct owner_count {
    struct table_node node;
    size_t count;
    char text[];
};

void buckets_init(struct buckets *b)
{
    *b = (struct buckets){0};
    rt_lock_init(&b->lock);
    rt_waitq_init(&b->dirty_wait);
    rt_waitq_init(&b->admin_wait);
    list_init(&b->dirty);
    list_init(&b->cached);
    table_init(&b->by_name, BUCKETS_LIMIT);
    table_init(&b->by_id, 2 * BUCKETS_LIMIT); /* the dropped ones as well */
    table_init(&b->owners, BUCKETS_LIMIT);
}

static int free_entry(struct table_node *n, void *arg)
{
    bucket_entry_free(container_of(n, struct bucket_entry, by_id));
    return 0;
}

static int free_owner(struct table_node *n, void *arg)
{
    free(container_of(n, struct owner_count, node));
    return 0;
}

void buckets_release(struct buckets *b)
{
    table_release(&b->by_name);
    table_each(&b->by_id, free_entry, NULL);
    table_release(&b->by_id);
    table_each(&b->owners, free_owner, NULL);
    table_release(&b->owners);
}

static struct str copy_behind(char **at, struct str s)
{
    if (s.len)
        memcpy(*at, s.ptr, s.len);
    struct str copy = str_make(*at, s.len);
    *at += s.len;
    return copy;
}

struct bucket_entry *bucket_entry_new(const struct store_bucket *from)
{
    struct bucket_entry *e =
        calloc(1, sizeof(*e) + from->name.len + from->owner.len + from->region.len);
    if (!e)
        return NULL;
    char *at = (char *)(e + 1);
    e->id = from->id;
    e->created_ms = from->created_ms;
    e->name = copy_behind(&at, from->name);
    e->owner = copy_behind(&at, from->owner);
    e->region = copy_behind(&at, from->region);
    put_be64(e->id_key, e->id.n);
    list_init(&e->dirty);
    list_init(&e->cached);
    return e;
}

void bucket_entry_free(struct bucket_entry *e)
{
    if (e)
        settings_unref(e->settings);
    free(e);
}

/* ---- owners; under the lock ----------------------------------------------------------------- */

static struct owner_count *owner_find(struct buckets *b, struct str owner)
{
    struct table_node *n = table_get(&b->owners, owner);
    return n ? container_of(n, struct owner_count, node) : NULL;
}

static int owner_gains(struct buckets *b, struct str owner)
{
    struct owner_count *o = owner_find(b, owner);
    if (!o) {
        o = calloc(1, sizeof(*o) + owner.len);
        if (!o)
            return -ENOMEM;
        if (owner.len)
            memcpy(o->text, owner.ptr, owner.len);
        int r = table_put(&b->owners, &o->node, str_make(o->text, owner.len));
        if (r < 0) {
            free(o);
            return r;
        }
    }
    o->count++;
    return 0;
}

static void owner_loses(struct buckets *b, struct str owner)
{
    struct owner_count *o = owner_find(b, owner);
    CHECK(o && o->count > 0);
    if (--o->count == 0) {
        table_del(&b->owners, o->node.key);
        free(o);
    }
}

/* ---- the table ------------------------------------------------------------------------------ */

static int name_add(struct buckets *b, struct bucket_entry *e)
{
    int r = table_put(&b->by_name, &e->by_name, e->name);
    if (r < 0)
        return r;
    r = owner_gains(b, e->owner);
    if (r < 0)
        table_del(&b->by_name, e->name);
    return r;
}

static void soil(struct buckets *b, struct bucket_entry *e)
{
    bool was_clean = list_empty(&b->dirty);
    e->dirt_turn++;
    if (list_empty(&e->dirty))
        list_push_back(&b->dirty, &e->dirty);
    if (was_clean)
        rt_wake_all(&b->dirty_wait);
}

int buckets_add(struct buckets *b, struct bucket_entry *e)
{
    rt_lock(&b->lock);
    int r = table_put(&b->by_id, &e->by_id, str_make(e->id_key, sizeof(e->id_key)));
    if (r == 0 && !e->dropped) {
        r = name_add(b, e);
        if (r < 0)
            table_del(&b->by_id, e->by_id.key);
    }
    if (r == 0)
        soil(b, e);
    rt_unlock(&b->lock);
    return r == -ERR_LIMIT ? -ERR_TOO_MANY_BUCKETS : r;
}

static struct bucket_entry *find_id(struct buckets *b, struct bucket_id id)
{
    uint8_t key[8];
    put_be64(key, id.n);
    struct table_node *n = table_get(&b->by_id, str_make(key, sizeof(key)));
    return n ? container_of(n, struct bucket_entry, by_id) : NULL;
}

/* ---- settings ------------------------------------------------------------------------------- */

/* Forgets what is known; the caller lets the reference go, outside the lock. */
static struct store_settings *take_settings(struct buckets *b, struct bucket_entry *e)
{
    struct store_settings *old = TAKE_PTR(e->settings);
    b->cached_bytes -= settings_size(old);
    list_remove(&e->cached);
    e->settled = false;
    e->settings_turn++;
    return old;
}

void buckets_unsettle(struct buckets *b, struct bucket_id id)
{
    struct store_settings *old = NULL;
    rt_lock(&b->lock);
    struct bucket_entry *e = find_id(b, id);
    if (e)
        old = take_settings(b, e);
    rt_unlock(&b->lock);
    settings_unref(old);
}

static void keep_settings(struct buckets *b, struct bucket_entry *e, struct store_settings *set)
{
    e->settled = true;
    e->settings = settings_ref(set);
    b->cached_bytes += settings_size(set);
    if (set)
        list_push_back(&b->cached, &e->cached);
}

/* Makes room: the settings that came first go first. True while there may be more to do. */
static bool shed_settings(struct buckets *b)
{
    struct store_settings *old = NULL;
    rt_lock(&b->lock);
    struct list *n = b->cached_bytes > SETTINGS_CACHE_MAX ? list_pop_front(&b->cached) : NULL;
    if (n)
        old = take_settings(b, container_of(n, struct bucket_entry, cached));
    rt_unlock(&b->lock);
    settings_unref(old);
    return n != NULL;
}

void buckets_settle(struct buckets *b, struct bucket_id id, const struct settings_place *place,
                    struct store_settings *set)
{
    rt_lock(&b->lock);
    struct bucket_entry *e = find_id(b, id);
    if (e && !e->dropped && !e->settled && e->settings_turn == place->turn)
        keep_settings(b, e, set);
    rt_unlock(&b->lock);
    while (shed_settings(b))
        ;
}

/* ---- looking up ----------------------------------------------------------------------------- */

void buckets_unname(struct buckets *b, struct bucket_id id)
{
    rt_lock(&b->lock);
    struct bucket_entry *e = find_id(b, id);
    CHECK(e && !e->dropped);
    table_del(&b->by_name, e->name);
    owner_loses(b, e->owner);
    e->dropped = true;
    soil(b, e);
    struct store_settings *old = take_settings(b, e);
    rt_unlock(&b->lock);
    settings_unref(old);
}

void buckets_forget(struct buckets *b, struct bucket_id id)
{
    rt_lock(&b->lock);
    struct bucket_entry *e = find_id(b, id);
    CHECK(e && e->dropped);
    table_del(&b->by_id, e->by_id.key);
    list_remove(&e->dirty);
    rt_unlock(&b->lock);
    bucket_entry_free(e);
}

static int copy_out(struct arena *a, const struct bucket_entry *e, struct store_bucket *ret)
{
    *ret = (struct store_bucket){
        .id = e->id,
        .name = arena_dup(a, e->name),
        .owner = arena_dup(a, e->owner),
        .created_ms = e->created_ms,
        .region = arena_dup(a, e->region),
    };
    return ret->name.ptr && ret->owner.ptr && ret->region.ptr ? 0 : -ENOMEM;
}

int buckets_find(struct buckets *b, struct arena *a, struct str name, struct store_bucket *ret)
{
    int r = -ERR_NO_SUCH_BUCKET;
    rt_lock(&b->lock);
    struct table_node *n = table_get(&b->by_name, name);
    if (n)
        r = copy_out(a, container_of(n, struct bucket_entry, by_name), ret);
    rt_unlock(&b->lock);
    return r;
}

int buckets_find_settled(struct buckets *b, struct arena *a, struct str name,
                         struct store_bucket *ret, struct settings_place *ret_place)
{
    int r = -ERR_NO_SUCH_BUCKET;
    rt_lock(&b->lock);
    struct table_node *n = table_get(&b->by_name, name);
    if (n) {
        const struct bucket_entry *e = container_of(n, struct bucket_entry, by_name);
        r = copy_out(a, e, ret);
        *ret_place = (struct settings_place){e->settled, e->settings_turn};
        if (r == 0)
            ret->settings = settings_ref(e->settings);
    }
    rt_unlock(&b->lock);
    return r;
}

size_t buckets_of_owner(struct buckets *b, struct str owner)
{
    rt_lock(&b->lock);
    struct owner_count *o = owner_find(b, owner);
    size_t count = o ? o->count : 0;
    rt_unlock(&b->lock);
    return count;
}

struct str buckets_name(struct buckets *b, struct arena *a, struct bucket_id id)
{
    rt_lock(&b->lock);
    struct bucket_entry *e = find_id(b, id);
    struct str name = e ? arena_dup(a, e->name) : STR_NULL;
    rt_unlock(&b->lock);
    return name;
}

static int append_ref(struct table_node *n, void *arg)
{
    struct bucket_ref **at = arg;
    struct bucket_entry *e = container_of(n, struct bucket_entry, by_id);
    *(*at)++ = (struct bucket_ref){e->id, e->dropped};
    return 0;
}

int buckets_all(struct buckets *b, struct bucket_ref **ret, size_t *ret_count)
{
    rt_lock(&b->lock);
    size_t count = b->by_id.count;
    struct bucket_ref *list = malloc(MAX(count, (size_t)1) * sizeof(*list)), *at = list;
    if (list)
        table_each(&b->by_id, append_ref, &at);
    rt_unlock(&b->lock);
    if (!list)
        return -ENOMEM;
    *ret = list;
    *ret_count = count;
    return 0;
}

/* ---- garbage -------------------------------------------------------------------------------- */

void buckets_soil(struct buckets *b, struct bucket_id id)
{
    rt_lock(&b->lock);
    struct bucket_entry *e = find_id(b, id);
    if (e)
        soil(b, e);
    rt_unlock(&b->lock);
}

bool buckets_next_dirty(struct buckets *b, struct bucket_ref *ret, uint64_t *ret_turn)
{
    rt_lock(&b->lock);
    struct list *n = list_pop_front(&b->dirty);
    if (n) {
        struct bucket_entry *e = container_of(n, struct bucket_entry, dirty);
        list_push_back(&b->dirty, n);
        *ret = (struct bucket_ref){e->id, e->dropped};
        *ret_turn = e->dirt_turn;
    }
    rt_unlock(&b->lock);
    return n != NULL;
}

void buckets_clean(struct buckets *b, struct bucket_id id, uint64_t turn)
{
    rt_lock(&b->lock);
    struct bucket_entry *e = find_id(b, id);
    if (e && e->dirt_turn == turn)
        list_remove(&e->dirty);
    rt_unlock(&b->lock);
}

int FIBER buckets_wait_dirty(struct buckets *b, uint64_t deadline_ns)
{
    int r = 0;
    rt_lock(&b->lock);
    while (r == 0) {
        bool dirty = !list_empty(&b->dirty);
        if (dirty && rt_now() >= b->not_before_ns)
            break;
        uint64_t until = dirty ? MIN(deadline_ns, b->not_before_ns) : deadline_ns;
        r = rt_wait(&b->dirty_wait, &b->lock, until);
        if (r == -ETIMEDOUT && rt_now() < deadline_ns)
            r = 0;
    }
    rt_unlock(&b->lock);
    return r;
}

void buckets_set_not_before(struct buckets *b, uint64_t at_ns)
{
    rt_lock(&b->lock);
    b->not_before_ns = at_ns;
    rt_unlock(&b->lock);
}

int FIBER buckets_admin_enter(struct buckets *b)
{
    int r = 0;
    rt_lock(&b->lock);
    while (r == 0 && b->admin_busy)
        r = rt_wait(&b->admin_wait, &b->lock, rt_now() + 30 * RT_S);
    if (r == 0)
        b->admin_busy = true;
    rt_unlock(&b->lock);
    return r == -ETIMEDOUT ? -ERR_BUSY : r;
}

void buckets_admin_leave(struct buckets *b)
{
    rt_lock(&b->lock);
    b->admin_busy = false;
    rt_wake_one(&b->admin_wait);
    rt_unlock(&b->lock);
}
