/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Providers as their rows say, and the keys of those that tokens came from.
 *
 * A provider's keys are fetched by one fiber at a time; others that need them wait for it. What is
 * fetched is decided by the provider's own row alone: a token names a provider, never an address.
 */

#include "iam/internal.h"

#include <jansson.h>
#include "base/error.h"
#include "http/outgoing.h"
#include "iam/oidc.h"
#include "iam/user.pb-c.h"
#include "wire/json.h"

#define PROVIDER_ROW   "Ioidc "
#define FETCH_NS       (10 * RT_S)
#define WAIT_NS        (30 * RT_S)
#define KEEP_NS        (3600 * RT_S)
#define AGAIN_NS       (30 * RT_S) /* between two fetches for keys that are not there */
#define DISCOVERY_MAX  (64 * KIB)
#define DISCOVERY_PATH "/.well-known/openid-configuration"

struct iam_provider_entry {
    struct table_node node; /* by ARN */
    struct iam_provider info;
    /* Under the lock, but for the fetcher. */
    bool fetching, gone; /* gone: freed by the fetcher */
    uint64_t fetched_ns; /* the last try; 0: none */
    char *keys;          /* what it gave; NULL: nothing yet */
    max_align_t bytes[];
};

/* ---- table and rows ------------------------------------------------------------------------- */

static struct iam_provider_entry *find_provider(struct iam *iam, struct str arn)
{
    struct table_node *n = table_get(&iam->providers, arn);
    return n ? container_of(n, struct iam_provider_entry, node) : NULL;
}

static struct str without_scheme(struct str url)
{
    ptrdiff_t at = str_find(url, STR("://"), 0);
    return at < 0 ? url : str_from_offset(url, (size_t)at + 3);
}

struct str iam_provider_arn(struct arena *a, struct str account, struct str url)
{
    struct str named = str_eq(account, STR("root")) ? STR("") : account;
    return arena_printf(a, "arn:aws:iam::%.*s:oidc-provider/%.*s", STR_FMT(named),
                        STR_FMT(without_scheme(url)));
}

static void pack_provider(struct pack *p, const struct iam_provider *from, struct iam_provider *ret)
{
    struct str named = str_eq(from->account, STR("root")) ? STR("") : from->account;
    *ret = *from;
    ret->account = pack_str(p, from->account);
    ret->url = pack_str(p, from->url);
    ret->arn = pack_printf(p, "arn:aws:iam::%.*s:oidc-provider/%.*s", STR_FMT(named),
                           STR_FMT(without_scheme(from->url)));
    ret->clients = pack_names(p, from->clients, from->client_count);
    ret->thumbprints = pack_names(p, from->thumbprints, from->thumbprint_count);
}

static struct iam_provider_entry *entry_new(const struct iam_provider *info)
{
    struct iam_provider reckoned;
    struct pack p = {0};
    pack_provider(&p, info, &reckoned);
    struct iam_provider_entry *e = calloc(1, sizeof(*e) + p.bytes);
    if (!e)
        return NULL;
    p = (struct pack){.at = (char *)e->bytes};
    pack_provider(&p, info, &e->info);
    return e;
}

static void entry_free(struct iam_provider_entry *e)
{
    if (e)
        free(e->keys);
    free(e);
}

/* Under the lock: out of the table, and away unless a fiber fetches for it. */
static void take_out(struct iam *iam, struct iam_provider_entry *e)
{
    table_del(&iam->providers, e->info.arn);
    e->gone = e->fetching;
    if (!e->fetching)
        entry_free(e);
}

static bool are_texts(const struct str *list, size_t count, size_t max)
{
    for (size_t i = 0; i < count; i++)
        if (!list[i].len || !iam_is_text(list[i], 255))
            return false;
    return count <= max;
}

static bool is_valid(const struct iam_provider *p)
{
    bool url = str_starts(p->url, STR("https://")) || str_starts(p->url, STR("http://"));
    return url && p->url.len <= IAM_PROVIDER_URL_MAX && iam_is_text(p->url, IAM_PROVIDER_URL_MAX) &&
           str_find_char(p->url, '?', 0) < 0 && str_find_char(p->url, '#', 0) < 0 &&
           str_find_char(p->url, ' ', 0) < 0 && without_scheme(p->url).len > 0 && p->account.len &&
           iam_is_text(p->account, 128) &&
           are_texts(p->clients, p->client_count, IAM_PROVIDER_CLIENTS_MAX) &&
           are_texts(p->thumbprints, p->thumbprint_count, IAM_PROVIDER_THUMBPRINTS_MAX);
}

static char **c_names(struct arena *a, const struct str *names, size_t count)
{
    char **list = arena_array(a, char *, count + 1);
    for (size_t i = 0; list && i < count; i++)
        if (!(list[i] = arena_cstr(a, names[i])))
            return NULL;
    return list;
}

static int encode(const struct iam_provider *p, struct buf *out)
{
    _cleanup_(arena_release) struct arena a;
    Iam__Provider pb = IAM__PROVIDER__INIT;
    arena_init(&a, 0);
    pb.account = arena_cstr(&a, p->account);
    pb.url = arena_cstr(&a, p->url);
    pb.clients = c_names(&a, p->clients, p->client_count);
    pb.n_clients = p->client_count;
    pb.thumbprints = c_names(&a, p->thumbprints, p->thumbprint_count);
    pb.n_thumbprints = p->thumbprint_count;
    pb.created_ms = p->created_ms;
    if (!pb.account || !pb.url || !pb.clients || !pb.thumbprints)
        return -ENOMEM;
    char *into = buf_reserve(out, iam__provider__get_packed_size(&pb));
    if (!into)
        return -ENOMEM;
    out->len += iam__provider__pack(&pb, (uint8_t *)into);
    return 0;
}

/* By the only writer. */
static int FIBER store_provider(struct iam *iam, const struct iam_provider *p)
{
    _cleanup_buf_ struct buf value;
    buf_init(&value, 0);
    struct iam_provider_entry *e = entry_new(p);
    int r = e ? encode(&e->info, &value) : -ENOMEM;
    if (!r)
        r = iam_row_write(iam, PROVIDER_ROW, e->info.arn, buf_str(&value));
    if (r) {
        entry_free(e);
        return r;
    }
    rt_lock(&iam->lock);
    struct iam_provider_entry *old = find_provider(iam, e->info.arn);
    if (old)
        take_out(iam, old);
    r = table_put(&iam->providers, &e->node, e->info.arn);
    rt_unlock(&iam->lock);
    if (r)
        entry_free(e);
    return r;
}

static int load_provider(struct iam *iam, struct str value)
{
    struct str clients[IAM_PROVIDER_CLIENTS_MAX], thumbprints[IAM_PROVIDER_THUMBPRINTS_MAX];
    Iam__Provider *pb = iam__provider__unpack(NULL, value.len, (const uint8_t *)value.ptr);
    if (!pb)
        return -ERR_CORRUPT;
    struct iam_provider p = {
        .account = str_from(pb->account),
        .url = str_from(pb->url),
        .clients = clients,
        .client_count = pb->n_clients,
        .thumbprints = thumbprints,
        .thumbprint_count = pb->n_thumbprints,
        .created_ms = pb->created_ms,
    };
    int r = pb->n_clients <= ARRAY_LEN(clients) && pb->n_thumbprints <= ARRAY_LEN(thumbprints)
                ? 0
                : -ERR_CORRUPT;
    for (size_t i = 0; !r && i < pb->n_clients; i++)
        clients[i] = str_from(pb->clients[i]);
    for (size_t i = 0; !r && i < pb->n_thumbprints; i++)
        thumbprints[i] = str_from(pb->thumbprints[i]);
    if (!r && !is_valid(&p))
        r = -ERR_CORRUPT;
    struct iam_provider_entry *e = r ? NULL : entry_new(&p);
    if (!r)
        r = e ? table_put(&iam->providers, &e->node, e->info.arn) : -ENOMEM;
    if (r)
        entry_free(e);
    iam__provider__free_unpacked(pb, NULL);
    return r;
}

int FIBER iam_providers_load(struct iam *iam)
{
    return iam_rows_load(iam, PROVIDER_ROW, load_provider);
}

static int free_provider(struct table_node *n, void *arg)
{
    entry_free(container_of(n, struct iam_provider_entry, node));
    return 0;
}

void iam_providers_release(struct iam *iam)
{
    table_each(&iam->providers, free_provider, NULL);
    table_release(&iam->providers);
}

/* ---- reading and changing ------------------------------------------------------------------- */

static int provider_dup(struct arena *a, const struct iam_provider *from, struct iam_provider *ret)
{
    *ret = *from;
    ret->account = arena_dup(a, from->account);
    ret->arn = arena_dup(a, from->arn);
    ret->url = arena_dup(a, from->url);
    ret->clients = iam_names_dup(a, from->clients, from->client_count);
    ret->thumbprints = iam_names_dup(a, from->thumbprints, from->thumbprint_count);
    return ret->account.ptr && ret->arn.ptr && ret->url.ptr && ret->clients && ret->thumbprints
               ? 0
               : -ENOMEM;
}

int iam_provider_get(struct iam *iam, struct arena *a, struct str arn, struct iam_provider *ret)
{
    rt_lock(&iam->lock);
    const struct iam_provider_entry *e = find_provider(iam, arn);
    int r = e ? provider_dup(a, &e->info, ret) : -ERR_NOT_FOUND;
    rt_unlock(&iam->lock);
    return r;
}

struct list {
    struct arena *a;
    struct str account;
    struct iam_provider *items;
    size_t count;
};

static int list_provider(struct table_node *n, void *arg)
{
    struct list *l = arg;
    const struct iam_provider *p = &container_of(n, struct iam_provider_entry, node)->info;
    if (!str_eq(p->account, l->account))
        return 0;
    return provider_dup(l->a, p, &l->items[l->count++]);
}

static int by_arn(const void *a, const void *b)
{
    return str_cmp(((const struct iam_provider *)a)->arn, ((const struct iam_provider *)b)->arn);
}

int iam_provider_list(struct iam *iam, struct arena *a, struct str account,
                      struct iam_provider **ret, size_t *ret_count)
{
    struct list l = {.a = a, .account = account};
    rt_lock(&iam->lock);
    l.items = arena_array(a, struct iam_provider, iam->providers.count + 1);
    int r = l.items ? table_each(&iam->providers, list_provider, &l) : -ENOMEM;
    rt_unlock(&iam->lock);
    if (r)
        return r;
    qsort(l.items, l.count, sizeof(*l.items), by_arn);
    *ret = l.items;
    *ret_count = l.count;
    return 0;
}

bool iam_provider_is_of(const struct table_node *n, struct str account)
{
    return str_eq(container_of(n, const struct iam_provider_entry, node)->info.account, account);
}

static int FIBER add_provider(struct iam *iam, const struct iam_provider *p, struct str arn)
{
    rt_lock(&iam->lock);
    bool there = find_provider(iam, arn),
         full = iam->providers.count >= IAM_PROVIDERS_MAX ||
                iam_share_is_used(iam, p->account, IAM_SHARE_PROVIDERS);
    rt_unlock(&iam->lock);
    return there ? -ERR_EXISTS : full ? -ERR_LIMIT : store_provider(iam, p);
}

int FIBER iam_provider_add(struct iam *iam, struct arena *a, const struct iam_provider *spec,
                           struct iam_provider *ret)
{
    struct iam_provider p = *spec;
    struct str arn = iam_provider_arn(a, spec->account, spec->url);
    p.created_ms = rt_wall_ms();
    if (!arn.ptr)
        return -ENOMEM;
    int r = is_valid(&p) ? iam_writer_enter(iam) : -EINVAL;
    if (r)
        return r;
    r = add_provider(iam, &p, arn);
    iam_writer_leave(iam);
    return r ? r : iam_provider_get(iam, a, arn, ret);
}

/* What is there is read by the only writer, so that of two changes at once none is lost. */
static int FIBER change_client(struct iam *iam, struct arena *a, struct str arn, struct str client,
                               bool in)
{
    struct iam_provider p;
    int r = iam_provider_get(iam, a, arn, &p);
    struct str *list = r ? NULL : arena_array(a, struct str, p.client_count + 1);
    size_t count = 0;
    if (!list)
        return r ? r : -ENOMEM;
    if (iam_has_name(p.clients, p.client_count, client) == in)
        return 0;
    if (in && p.client_count == IAM_PROVIDER_CLIENTS_MAX)
        return -ERR_LIMIT;
    for (size_t i = 0; i < p.client_count; i++)
        if (!str_eq(p.clients[i], client))
            list[count++] = p.clients[i];
    if (in)
        list[count++] = client;
    p.clients = list;
    p.client_count = count;
    return is_valid(&p) ? store_provider(iam, &p) : -EINVAL;
}

int FIBER iam_provider_change_client(struct iam *iam, struct arena *a, struct str arn,
                                     struct str client, bool in)
{
    int r = iam_writer_enter(iam);
    if (r)
        return r;
    r = change_client(iam, a, arn, client, in);
    iam_writer_leave(iam);
    return r;
}

int FIBER iam_provider_set_thumbprints(struct iam *iam, struct arena *a, struct str arn,
                                       const struct str *thumbprints, size_t count)
{
    struct iam_provider p;
    int r = iam_writer_enter(iam);
    if (r)
        return r;
    r = iam_provider_get(iam, a, arn, &p);
    p.thumbprints = thumbprints;
    p.thumbprint_count = count;
    if (!r)
        r = is_valid(&p) ? store_provider(iam, &p) : -EINVAL;
    iam_writer_leave(iam);
    return r;
}

static int FIBER remove_provider(struct iam *iam, struct str arn)
{
    rt_lock(&iam->lock);
    struct iam_provider_entry *e = find_provider(iam, arn);
    rt_unlock(&iam->lock);
    int r = e ? iam_row_write(iam, PROVIDER_ROW, arn, STR_NULL) : -ERR_NOT_FOUND;
    if (r)
        return r;
    rt_lock(&iam->lock);
    take_out(iam, e);
    rt_unlock(&iam->lock);
    return 0;
}

int FIBER iam_provider_remove(struct iam *iam, struct str arn)
{
    int r = iam_writer_enter(iam);
    if (r)
        return r;
    r = remove_provider(iam, arn);
    iam_writer_leave(iam);
    return r;
}

/* ---- keys ----------------------------------------------------------------------------------- */

static int FIBER get(struct iam *iam, struct arena *a, struct str url, size_t max, struct str *ret)
{
    struct http_outgoing how = {
        .allow_local = iam->oidc.allow_local,
        .ca_path = iam->oidc.ca_path,
        .timeout_ns = FETCH_NS,
        .max_bytes = max,
    };
    return http_outgoing_get(a, url, &how, ret);
}

/* The discovery document is the issuer's own and says where the keys are. */
static int read_discovery(struct arena *a, struct str text, struct str issuer, struct str *ret)
{
    json_t *o = json_read(text);
    const char *named = json_string_value(json_object_get(o, "issuer"));
    const char *uri = json_string_value(json_object_get(o, "jwks_uri"));
    bool good = named && uri && str_eq(str_from(named), issuer);
    *ret = good ? arena_dup(a, str_from(uri)) : STR_NULL;
    json_decref(o);
    return good ? ret->ptr ? 0 : -ENOMEM : -ERR_PARSE;
}

static int FIBER fetch(struct iam *iam, struct str issuer, char **ret)
{
    _cleanup_(arena_release) struct arena a;
    struct str text, uri, base = issuer;
    arena_init(&a, 0);
    if (str_ends(base, STR("/")))
        base.len--;
    struct str discovery = arena_printf(&a, "%.*s" DISCOVERY_PATH, STR_FMT(base));
    int r = discovery.ptr ? get(iam, &a, discovery, DISCOVERY_MAX, &text) : -ENOMEM;
    if (!r)
        r = read_discovery(&a, text, issuer, &uri);
    if (!r)
        r = get(iam, &a, uri, JWKS_MAX, &text);
    if (r)
        return r;
    *ret = strndup(text.ptr, text.len);
    return *ret ? 0 : -ENOMEM;
}

/* Holding the lock, by one fiber a provider; it is given up meanwhile. */
static void FIBER fetch_for(struct iam *iam, struct iam_provider_entry *e)
{
    char *keys = NULL;
    e->fetching = true;
    rt_unlock(&iam->lock);
    int r = fetch(iam, e->info.url, &keys);
    rt_lock(&iam->lock);
    e->fetching = false;
    e->fetched_ns = rt_now();
    if (!r) {
        free(e->keys);
        e->keys = keys;
    }
    if (e->gone)
        entry_free(e);
    rt_wake_all(&iam->fetchers);
}

/* A try that failed is not repeated at once either. */
static bool is_fresh(const struct iam_provider_entry *e, bool again)
{
    uint64_t keep = again || !e->keys ? AGAIN_NS : KEEP_NS;
    return !e->fetching && e->fetched_ns && rt_now() - e->fetched_ns < keep;
}

/*
 * The provider's keys in `a`. `again`: those that are kept do not do. The entry may go while the
 * lock is given up, so it is looked for anew.
 */
static int FIBER keys_of(struct iam *iam, struct arena *a, struct str arn, bool again,
                         struct str *ret)
{
    uint64_t deadline = rt_now() + WAIT_NS;
    struct iam_provider_entry *e;
    bool tried = false;
    int r = 0;
    rt_lock(&iam->lock);
    while (!r && (e = find_provider(iam, arn)) && !tried && !is_fresh(e, again)) {
        if (e->fetching) {
            r = rt_wait(&iam->fetchers, &iam->lock, deadline);
            continue;
        }
        fetch_for(iam, e);
        tried = true;
    }
    if (!r) {
        e = find_provider(iam, arn);
        *ret = e && e->keys ? arena_dup(a, str_from(e->keys)) : STR_NULL;
        r = ret->ptr ? 0 : -ERR_IDP_COMMUNICATION;
    }
    rt_unlock(&iam->lock);
    return r == -ETIMEDOUT ? -ERR_IDP_COMMUNICATION : r;
}

/* ---- a token -------------------------------------------------------------------------------- */

static bool is_for(const struct jwt *t, const struct iam_provider *p)
{
    for (size_t i = 0; i < t->audience.count; i++)
        if (iam_has_name(p->clients, p->client_count, t->audience.values[i]))
            return true;
    return false;
}

static int check_times(const struct jwt *t, uint64_t now_s)
{
    if (!t->expires_s || t->issued_s > now_s + JWT_LEEWAY_S ||
        t->not_before_s > now_s + JWT_LEEWAY_S)
        return -ERR_INVALID_IDENTITY_TOKEN;
    return now_s >= t->expires_s + JWT_LEEWAY_S ? -ERR_EXPIRED_IDENTITY_TOKEN : 0;
}

static int FIBER check_signature(struct iam *iam, struct arena *a, const struct jwt *t,
                                 struct str arn)
{
    struct str keys;
    int r = keys_of(iam, a, arn, false, &keys);
    if (r)
        return r;
    r = jwt_verify(t, keys, iam->oidc.algorithms);
    if (r == -ERR_NOT_FOUND) { /* the provider may have a new one */
        r = keys_of(iam, a, arn, true, &keys);
        if (!r)
            r = jwt_verify(t, keys, iam->oidc.algorithms);
    }
    return r;
}

int FIBER iam_web_identity(struct iam *iam, struct arena *a, struct str account, struct str token,
                           struct jwt *ret, struct iam_provider *ret_provider)
{
    int r = jwt_parse(a, token, ret);
    if (r)
        return r == -ENOMEM ? r : -ERR_INVALID_IDENTITY_TOKEN;
    struct str arn = iam_provider_arn(a, account, ret->issuer);
    r = arn.ptr ? iam_provider_get(iam, a, arn, ret_provider) : -ENOMEM;
    if (r == -ERR_NOT_FOUND || (!r && !str_eq(ret_provider->url, ret->issuer)))
        return -ERR_INVALID_IDENTITY_TOKEN;
    if (!r)
        r = check_signature(iam, a, ret, arn);
    if (r == -ERR_ACCESS_DENIED || r == -ERR_NOT_FOUND || r == -ERR_PARSE)
        return -ERR_INVALID_IDENTITY_TOKEN;
    if (!r && !is_for(ret, ret_provider))
        r = -ERR_INVALID_IDENTITY_TOKEN;
    return r ? r : check_times(ret, rt_wall_ms() / 1000);
}

/* ---- what it says --------------------------------------------------------------------------- */

static void add(struct iam_attribute *list, size_t *count, enum iam_key key, struct str name,
                struct iam_values values)
{
    if (name.ptr)
        list[(*count)++] = (struct iam_attribute){key, name, values};
}

int iam_web_attributes(struct arena *a, const struct jwt *t, const struct iam_provider *p,
                       struct iam_attribute **ret, size_t *ret_count)
{
    struct iam_attribute *list = arena_array(a, struct iam_attribute, 2 * t->claim_count + 2);
    struct str *arn = arena_new(a, struct str);
    size_t count = 0;
    if (!list || !arn)
        return -ENOMEM;
    *arn = p->arn;
    add(list, &count, IAM_KEY_FEDERATED_PROVIDER, STR(""), (struct iam_values){arn, 1});
    for (size_t i = 0; i < t->claim_count; i++) {
        const struct jwt_claim *c = &t->claims[i];
        struct iam_values values = {c->values, c->count};
        struct str full =
            arena_printf(a, "%.*s:%.*s", STR_FMT(without_scheme(p->url)), STR_FMT(c->name));
        if (!full.ptr)
            return -ENOMEM;
        add(list, &count, IAM_KEY_OIDC, full, values);
        add(list, &count, IAM_KEY_JWT, c->name, values);
    }
    *ret = list;
    *ret_count = count;
    return 0;
}
