/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Policies that can be attached, with their versions, and inline ones, which differ by their name
 * alone: MARK, the holder's kind and id, MARK, the name its holder knows (record.c).
 */

#include "iam/internal.h"

#include "base/error.h"
#include "iam/user.pb-c.h"

#define POLICY_ROW "Ipolicy "

static const struct builtin {
    const char *name, *document;
} builtins[] = {
    {"readonly",
     "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":"
     "[\"s3:GetBucketLocation\",\"s3:GetObject\"],\"Resource\":[\"arn:aws:s3:::*\"]}]}"},
    {"writeonly", "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":"
                  "[\"s3:PutObject\"],\"Resource\":[\"arn:aws:s3:::*\"]}]}"},
    {"readwrite", "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":"
                  "[\"s3:*\"],\"Resource\":[\"arn:aws:s3:::*\"]}]}"},
    {"diagnostics", "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":"
                    "[\"admin:Prometheus\",\"admin:Profiling\",\"admin:ServerTrace\","
                    "\"admin:ConsoleLog\",\"admin:ServerInfo\",\"admin:TopLocksInfo\","
                    "\"admin:OBDInfo\",\"admin:BandwidthMonitor\"],\"Resource\":"
                    "[\"arn:aws:s3:::*\"]}]}"},
    {"consoleAdmin", "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":"
                     "[\"admin:*\"]},{\"Effect\":\"Allow\",\"Action\":[\"kms:*\"]},{\"Effect\":"
                     "\"Allow\",\"Action\":[\"s3:*\"],\"Resource\":[\"arn:aws:s3:::*\"]}]}"},
    {"AdministratorAccess",
     "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"*\","
     "\"Resource\":\"*\"}]}"},
    {"AmazonS3FullAccess",
     "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":"
     "[\"s3:*\",\"s3-object-lambda:*\"],\"Resource\":\"*\"}]}"},
    {"AmazonS3ReadOnlyAccess",
     "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":"
     "[\"s3:Get*\",\"s3:List*\",\"s3:Describe*\",\"s3-object-lambda:Get*\","
     "\"s3-object-lambda:List*\"],\"Resource\":\"*\"}]}"},
    {"IAMFullAccess", "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":"
                      "[\"iam:*\"],\"Resource\":\"*\"}]}"},
    {"IAMReadOnlyAccess",
     "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":"
     "[\"iam:Get*\",\"iam:List*\"],\"Resource\":\"*\"}]}"},
};
#define DENY_ALL "{\"Statement\":[{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"*\"}]}"

/* ---- table ---------------------------------------------------------------------------------- */

struct iam_policy_entry *iam_find_policy(struct iam *iam, struct str name)
{
    struct table_node *n = table_get(&iam->policies, name);
    return n ? container_of(n, struct iam_policy_entry, node) : NULL;
}

static void policy_entry_free(struct iam_policy_entry *e)
{
    if (e)
        policy_unref(e->policy);
    free(e);
}

static const struct iam_policy_version *
pack_versions(struct pack *p, const struct iam_policy_version *from, size_t count)
{
    struct iam_policy_version *list = pack_room(p, sizeof(*list), count);
    for (size_t i = 0; i < count; i++) {
        struct iam_policy_version v = from[i];
        v.document = pack_str(p, v.document);
        if (list)
            list[i] = v;
    }
    return list;
}

static void pack_info(struct pack *p, const struct iam_policy_info *from,
                      struct iam_policy_info *ret)
{
    *ret = *from;
    ret->name = pack_str(p, from->name);
    ret->document = pack_str(p, from->document);
    ret->path = pack_str(p, from->path);
    ret->id = pack_str(p, from->id);
    ret->description = pack_str(p, from->description);
    ret->versions = pack_versions(p, from->versions, from->version_count);
}

/* Takes the reference of `policy`. */
static struct iam_policy_entry *policy_entry_new(const struct iam_policy_info *info,
                                                 const struct policy *policy)
{
    struct iam_policy_info reckoned;
    struct pack p = {0};
    pack_info(&p, info, &reckoned);
    struct iam_policy_entry *e = calloc(1, sizeof(*e) + p.bytes);
    if (!e) {
        policy_unref(policy);
        return NULL;
    }
    p = (struct pack){.at = (char *)e->bytes};
    pack_info(&p, info, &e->info);
    e->policy = policy;
    return e;
}

/* In place of what has that name, which is freed. */
static int policy_table_put(struct iam *iam, struct iam_policy_entry *e)
{
    rt_lock(&iam->lock);
    struct table_node *old = table_del(&iam->policies, e->info.name);
    int r = table_put(&iam->policies, &e->node, e->info.name);
    iam->policy_turn++;
    rt_unlock(&iam->lock);
    policy_entry_free(old ? container_of(old, struct iam_policy_entry, node) : NULL);
    return r;
}

/* ---- rows ----------------------------------------------------------------------------------- */

static ProtobufCBinaryData binary(struct str s)
{
    return (ProtobufCBinaryData){s.len, (uint8_t *)s.ptr};
}

static int fill_versions(struct arena *a, const struct iam_policy_info *i, Iam__Policy *pb)
{
    pb->versions = arena_array(a, Iam__PolicyVersion *, i->version_count + 1);
    if (!pb->versions)
        return -ENOMEM;
    for (size_t k = 0; k < i->version_count; k++) {
        Iam__PolicyVersion *v = pb->versions[pb->n_versions++] = arena_new(a, Iam__PolicyVersion);
        if (!v)
            return -ENOMEM;
        iam__policy_version__init(v);
        v->number = i->versions[k].number;
        v->document = binary(i->versions[k].document);
        v->created_ms = i->versions[k].created_ms;
    }
    return 0;
}

static int FIBER policy_row_put(struct iam *iam, const struct iam_policy_entry *e)
{
    _cleanup_buf_ struct buf value;
    _cleanup_(arena_release) struct arena a;
    Iam__Policy pb = IAM__POLICY__INIT;
    buf_init(&value, 0);
    arena_init(&a, 0);
    pb.name = arena_cstr(&a, e->info.name);
    pb.path = arena_cstr(&a, e->info.path);
    pb.id = arena_cstr(&a, e->info.id);
    pb.description = arena_cstr(&a, e->info.description);
    pb.document = binary(e->info.document);
    pb.changed_ms = e->info.changed_ms;
    pb.created_ms = e->info.created_ms;
    pb.version = e->info.version;
    pb.next = e->info.next;
    if (!pb.name || !pb.path || !pb.id || !pb.description || fill_versions(&a, &e->info, &pb))
        return -ENOMEM;
    char *into = buf_reserve(&value, iam__policy__get_packed_size(&pb));
    if (!into)
        return -ENOMEM;
    value.len += iam__policy__pack(&pb, (uint8_t *)into);
    return iam_row_write(iam, POLICY_ROW, e->info.name, buf_str(&value));
}

/* A document that does not compile any more denies everything to whoever has it. */
static int compile_stored(struct iam *iam, struct str document, const struct policy **ret)
{
    struct policy_fault why;
    struct policy *policy;
    int r = policy_compile(POLICY_IDENTITY, STR(""), document, &policy, &why);
    if (r == -ERR_MALFORMED_POLICY) {
        policy = policy_ref(iam->deny_all);
        r = 0;
    }
    if (!r)
        *ret = policy;
    return r;
}

static int add_stored(struct iam *iam, const struct iam_policy_info *info)
{
    const struct policy *policy;
    int r = compile_stored(iam, info->document, &policy);
    if (r)
        return r;
    struct iam_policy_entry *e = policy_entry_new(info, policy);
    r = e ? policy_table_put(iam, e) : -ENOMEM;
    if (r)
        policy_entry_free(e);
    return r;
}

static int read_versions(const Iam__Policy *pb, struct iam_policy_version *ret)
{
    if (pb->n_versions >= IAM_POLICY_VERSIONS_MAX)
        return -ERR_CORRUPT;
    for (size_t i = 0; i < pb->n_versions; i++)
        ret[i] = (struct iam_policy_version){
            .number = pb->versions[i]->number,
            .document = {(const char *)pb->versions[i]->document.data,
                         pb->versions[i]->document.len},
            .created_ms = pb->versions[i]->created_ms,
        };
    return 0;
}

static int load_policy(struct iam *iam, struct str value)
{
    struct iam_policy_version versions[IAM_POLICY_VERSIONS_MAX];
    Iam__Policy *pb = iam__policy__unpack(NULL, value.len, (const uint8_t *)value.ptr);
    if (!pb)
        return -ERR_CORRUPT;
    struct iam_policy_info info = {
        .name = str_from(pb->name),
        .document = {(const char *)pb->document.data, pb->document.len},
        .path = pb->path[0] ? str_from(pb->path) : STR("/"),
        .id = str_from(pb->id),
        .description = str_from(pb->description),
        .created_ms = pb->created_ms ? pb->created_ms : pb->changed_ms,
        .changed_ms = pb->changed_ms,
        .version = MAX(pb->version, 1u),
        .next = MAX(pb->next, 2u),
        .versions = versions,
        .version_count = pb->n_versions,
    };
    int r = iam_policy_name_is_valid(info.name) ? read_versions(pb, versions) : -ERR_CORRUPT;
    if (!r)
        r = add_stored(iam, &info);
    iam__policy__free_unpacked(pb, NULL);
    return r;
}

static int add_builtin(struct iam *iam, const struct builtin *b)
{
    struct policy *policy;
    struct policy_fault why;
    struct iam_policy_info info = {.name = str_from(b->name),
                                   .document = str_from(b->document),
                                   .path = STR("/"),
                                   .id = str_from(b->name),
                                   .builtin = true,
                                   .version = 1,
                                   .next = 2};
    int r = policy_compile(POLICY_IDENTITY, STR(""), info.document, &policy, &why);
    if (r)
        return r;
    struct iam_policy_entry *e = policy_entry_new(&info, policy);
    return e ? policy_table_put(iam, e) : -ENOMEM;
}

/* A name that became a built-in one's after it was given keeps what was given. */
int FIBER iam_policies_load(struct iam *iam)
{
    struct policy *deny_all;
    struct policy_fault why;
    int r = policy_compile(POLICY_IDENTITY, STR(""), STR(DENY_ALL), &deny_all, &why);
    if (r)
        return r;
    iam->deny_all = deny_all;
    for (unsigned i = 0; !r && i < ARRAY_LEN(builtins); i++)
        r = add_builtin(iam, &builtins[i]);
    return r ? r : iam_rows_load(iam, POLICY_ROW, load_policy);
}

static int free_policy(struct table_node *n, void *arg)
{
    policy_entry_free(container_of(n, struct iam_policy_entry, node));
    return 0;
}

void iam_policies_release(struct iam *iam)
{
    table_each(&iam->policies, free_policy, NULL);
    table_release(&iam->policies);
    policy_unref(iam->deny_all);
}

/* ---- put ------------------------------------------------------------------------------------ */

static bool is_builtin(struct str name)
{
    for (unsigned i = 0; i < ARRAY_LEN(builtins); i++)
        if (str_eq(name, str_from(builtins[i].name)))
            return true;
    return false;
}

/* By the only writer: durable, then in the table. Takes the reference of `policy`. */
static int FIBER store_policy(struct iam *iam, const struct iam_policy_info *info,
                              const struct policy *policy)
{
    struct iam_policy_entry *e = policy_entry_new(info, policy);
    if (!e)
        return -ENOMEM;
    rt_lock(&iam->lock);
    bool full = !iam_find_policy(iam, info->name) && iam->policies.count >= IAM_POLICIES_MAX;
    rt_unlock(&iam->lock);
    int r = full ? -ERR_LIMIT : policy_row_put(iam, e);
    if (!r)
        r = policy_table_put(iam, e);
    if (r)
        policy_entry_free(e);
    return r;
}

/* By the only writer: a document in place of what is in force, or a new policy. */
static int FIBER put_document(struct iam *iam, struct str name, struct str document,
                              const struct policy *policy)
{
    uint64_t now = rt_wall_ms();
    struct iam_policy_info info = {
        .name = name, .path = STR("/"), .created_ms = now, .version = 1, .next = 2};
    rt_lock(&iam->lock);
    const struct iam_policy_entry *old = iam_find_policy(iam, name);
    rt_unlock(&iam->lock);
    if (old)
        info = old->info;
    info.document = document;
    info.changed_ms = now;
    return store_policy(iam, &info, policy);
}

int FIBER iam_policy_put(struct iam *iam, struct str name, struct str document,
                         struct policy_fault *ret_fault)
{
    struct policy *policy;
    if (!iam_name_is_valid(name))
        return -EINVAL;
    if (is_builtin(name))
        return -ERR_CONFLICT;
    int r = policy_compile(POLICY_IDENTITY, STR(""), document, &policy, ret_fault);
    if (r)
        return r;
    r = iam_writer_enter(iam);
    if (r) {
        policy_unref(policy);
        return r;
    }
    r = put_document(iam, name, document, policy);
    iam_writer_leave(iam);
    return r;
}

static int info_of(struct arena *a, const struct iam_policy_entry *e, struct iam_policy_info *ret)
{
    struct iam_policy_version *versions =
        arena_array(a, struct iam_policy_version, e->info.version_count + 1);
    struct iam_policy_info info = e->info;
    if (!versions)
        return -ENOMEM;
    for (size_t i = 0; i < info.version_count; i++) {
        versions[i] = e->info.versions[i];
        versions[i].document = arena_dup(a, versions[i].document);
    }
    info.name = arena_dup(a, e->info.name);
    info.document = arena_dup(a, e->info.document);
    info.path = arena_dup(a, e->info.path);
    info.id = arena_dup(a, e->info.id);
    info.description = arena_dup(a, e->info.description);
    info.versions = versions;
    if (!info.name.ptr || !info.document.ptr || !info.path.ptr || !info.id.ptr ||
        !info.description.ptr)
        return -ENOMEM;
    *ret = info;
    return 0;
}

int iam_policy_get(struct iam *iam, struct arena *a, struct str name, struct iam_policy_info *ret)
{
    rt_lock(&iam->lock);
    const struct iam_policy_entry *e = iam_find_policy(iam, name);
    int r = e && !iam_is_inline(name) ? info_of(a, e, ret) : -ERR_NOT_FOUND;
    rt_unlock(&iam->lock);
    return r;
}

static int FIBER create_policy(struct iam *iam, const struct iam_policy_info *info,
                               const struct policy *policy)
{
    ptrdiff_t slash = str_find_char(info->name, '/', 0);
    struct str account = slash < 0 ? STR("root") : str_prefix(info->name, (size_t)slash);
    rt_lock(&iam->lock);
    bool taken = iam_find_policy(iam, info->name);
    bool full = iam_share_is_used(iam, account, IAM_SHARE_POLICIES);
    rt_unlock(&iam->lock);
    if (!taken && !full)
        return store_policy(iam, info, policy);
    policy_unref(policy);
    return taken ? -ERR_EXISTS : -ERR_LIMIT;
}

int FIBER iam_policy_create(struct iam *iam, struct arena *a, const struct iam_policy_info *spec,
                            struct iam_policy_info *ret, struct policy_fault *ret_fault)
{
    struct iam_policy_info info = *spec;
    struct policy *policy;
    info.path = spec->path.len ? spec->path : STR("/");
    info.id = iam_make_id(a, "ANPA");
    info.created_ms = info.changed_ms = rt_wall_ms();
    info.version = 1;
    info.next = 2;
    info.version_count = 0;
    info.builtin = false;
    if (!iam_name_is_valid(info.name) || !iam_path_is_valid(info.path) ||
        !iam_is_text(info.description, 1000))
        return -EINVAL;
    int r = policy_compile(POLICY_IDENTITY, STR(""), info.document, &policy, ret_fault);
    if (r)
        return r;
    r = iam_writer_enter(iam);
    if (r) {
        policy_unref(policy);
        return r;
    }
    r = create_policy(iam, &info, policy);
    iam_writer_leave(iam);
    return r ? r : iam_policy_get(iam, a, info.name, ret);
}

/* ---- versions ------------------------------------------------------------------------------- */

/* The policy in `ret`, with its versions where one more has room. By the only writer. */
struct versions {
    struct iam_policy_info info;
    struct iam_policy_version list[IAM_POLICY_VERSIONS_MAX];
};

static int open_versions(struct iam *iam, struct str name, struct versions *ret)
{
    rt_lock(&iam->lock);
    const struct iam_policy_entry *e = iam_find_policy(iam, name);
    rt_unlock(&iam->lock);
    if (!e || iam_is_inline(name))
        return -ERR_NOT_FOUND;
    if (e->info.builtin)
        return -ERR_CONFLICT;
    ret->info = e->info;
    memcpy(ret->list, e->info.versions, e->info.version_count * sizeof(ret->list[0]));
    ret->info.versions = ret->list;
    return 0;
}

/* What is in force steps back among the others. */
static void step_back(struct versions *v)
{
    v->list[v->info.version_count++] =
        (struct iam_policy_version){v->info.version, v->info.document, v->info.changed_ms};
}

static int FIBER add_version(struct iam *iam, struct str name, struct str document, bool in_force,
                             uint32_t *ret_number)
{
    struct versions v;
    const struct policy *policy;
    int r = open_versions(iam, name, &v);
    if (r)
        return r;
    if (v.info.version_count + 1 >= IAM_POLICY_VERSIONS_MAX)
        return -ERR_LIMIT;
    *ret_number = v.info.next++;
    if (in_force) {
        step_back(&v);
        v.info.version = *ret_number;
        v.info.document = document;
        v.info.changed_ms = rt_wall_ms();
    } else {
        v.list[v.info.version_count++] =
            (struct iam_policy_version){*ret_number, document, rt_wall_ms()};
    }
    r = compile_stored(iam, v.info.document, &policy);
    return r ? r : store_policy(iam, &v.info, policy);
}

int FIBER iam_policy_add_version(struct iam *iam, struct str name, struct str document,
                                 bool in_force, uint32_t *ret_number,
                                 struct policy_fault *ret_fault)
{
    struct policy *tested;
    int r = policy_compile(POLICY_IDENTITY, STR(""), document, &tested, ret_fault);
    if (r)
        return r;
    policy_unref(tested);
    r = iam_writer_enter(iam);
    if (r)
        return r;
    r = add_version(iam, name, document, in_force, ret_number);
    iam_writer_leave(iam);
    return r;
}

static struct iam_policy_version take_version(struct versions *v, uint32_t number)
{
    struct iam_policy_version taken = {0};
    size_t kept = 0;
    for (size_t i = 0; i < v->info.version_count; i++) {
        if (v->list[i].number == number)
            taken = v->list[i];
        else
            v->list[kept++] = v->list[i];
    }
    v->info.version_count = kept;
    return taken;
}

static int FIBER change_version(struct iam *iam, struct str name, uint32_t number, bool use)
{
    struct versions v;
    const struct policy *policy;
    int r = open_versions(iam, name, &v);
    if (r)
        return r;
    if (v.info.version == number)
        return use ? 0 : -ERR_CONFLICT;
    struct iam_policy_version taken = take_version(&v, number);
    if (!taken.number)
        return -ERR_NOT_FOUND;
    if (use) {
        step_back(&v);
        v.info.version = number;
        v.info.document = taken.document;
        v.info.changed_ms = taken.created_ms;
    }
    r = compile_stored(iam, v.info.document, &policy);
    return r ? r : store_policy(iam, &v.info, policy);
}

static int FIBER locked_change_version(struct iam *iam, struct str name, uint32_t number, bool use)
{
    int r = iam_writer_enter(iam);
    if (r)
        return r;
    r = change_version(iam, name, number, use);
    iam_writer_leave(iam);
    return r;
}

int FIBER iam_policy_use_version(struct iam *iam, struct str name, uint32_t number)
{
    return locked_change_version(iam, name, number, true);
}

int FIBER iam_policy_drop_version(struct iam *iam, struct str name, uint32_t number)
{
    return locked_change_version(iam, name, number, false);
}

/* ---- uses and removal ----------------------------------------------------------------------- */

struct uses {
    struct str name;
    size_t attached, bounded;
};

static void count_uses(struct uses *u, const struct str *names, size_t count, struct str boundary)
{
    u->attached += iam_has_name(names, count, u->name);
    u->bounded += boundary.len && str_eq(boundary, u->name);
}

static int uses_of_user(struct table_node *n, void *arg)
{
    const struct iam_user *u = &container_of(n, struct iam_entry, by_name)->user;
    count_uses(arg, u->policies, u->policy_count, u->boundary);
    return 0;
}

static int uses_of_group(struct table_node *n, void *arg)
{
    const struct iam_group_info *g = &container_of(n, struct iam_group_entry, node)->info;
    count_uses(arg, g->policies, g->policy_count, STR_NULL);
    return 0;
}

static int uses_of_role(struct table_node *n, void *arg)
{
    const struct iam_role *role = &container_of(n, struct iam_role_entry, node)->info;
    count_uses(arg, role->policies, role->policy_count, role->boundary);
    return 0;
}

static int uses_of_mapping(struct table_node *n, void *arg)
{
    const struct iam_ldap_mapping *m = &container_of(n, struct iam_ldap_entry, node)->info;
    count_uses(arg, m->policies, m->policy_count, STR_NULL);
    return 0;
}

size_t iam_policy_uses(struct iam *iam, struct str name, size_t *ret_bounded)
{
    struct uses u = {.name = name};
    rt_lock(&iam->lock);
    table_each(&iam->by_name, uses_of_user, &u);
    table_each(&iam->groups, uses_of_group, &u);
    table_each(&iam->roles, uses_of_role, &u);
    table_each(&iam->ldap_map, uses_of_mapping, &u);
    rt_unlock(&iam->lock);
    *ret_bounded = u.bounded;
    return u.attached;
}

static int FIBER drop_policy(struct iam *iam, struct iam_policy_entry *e)
{
    int r = iam_row_write(iam, POLICY_ROW, e->info.name, STR_NULL);
    if (r)
        return r;
    rt_lock(&iam->lock);
    table_del(&iam->policies, e->info.name);
    iam->policy_turn++;
    rt_unlock(&iam->lock);
    policy_entry_free(e);
    return 0;
}

/* Under the writer's turn, so that nobody attaches it meanwhile. */
static int FIBER remove_policy(struct iam *iam, struct str name)
{
    size_t bounded, attached = iam_policy_uses(iam, name, &bounded);
    rt_lock(&iam->lock);
    struct iam_policy_entry *e = iam_find_policy(iam, name);
    rt_unlock(&iam->lock);
    if (!e || iam_is_inline(name))
        return -ERR_NOT_FOUND;
    return e->info.builtin || attached || bounded ? -ERR_CONFLICT : drop_policy(iam, e);
}

int FIBER iam_policy_remove(struct iam *iam, struct str name)
{
    int r = iam_writer_enter(iam);
    if (r)
        return r;
    r = remove_policy(iam, name);
    iam_writer_leave(iam);
    return r;
}

/* What cannot be removed now is not in any holder's list: it is of no effect. */
void FIBER iam_inline_drop(struct iam *iam, const struct str *policies, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!iam_is_inline(policies[i]))
            continue;
        rt_lock(&iam->lock);
        struct iam_policy_entry *e = iam_find_policy(iam, policies[i]);
        rt_unlock(&iam->lock);
        if (e)
            (void)drop_policy(iam, e);
    }
}

int FIBER iam_inline_store(struct iam *iam, struct str name, struct str document,
                           const struct policy *policy)
{
    return put_document(iam, name, document, policy);
}

/* ---- lists ---------------------------------------------------------------------------------- */

struct list {
    struct arena *a;
    struct iam_policy_info *items;
    size_t count;
};

static int list_policy(struct table_node *n, void *arg)
{
    struct list *l = arg;
    return iam_is_inline(n->key) ? 0
                                 : info_of(l->a, container_of(n, struct iam_policy_entry, node),
                                           &l->items[l->count++]);
}

static int by_policy_name(const void *a, const void *b)
{
    return str_cmp(((const struct iam_policy_info *)a)->name,
                   ((const struct iam_policy_info *)b)->name);
}

int iam_policy_list(struct iam *iam, struct arena *a, struct iam_policy_info **ret,
                    size_t *ret_count)
{
    struct list l = {.a = a};
    rt_lock(&iam->lock);
    l.items = arena_array(a, struct iam_policy_info, iam->policies.count + 1);
    int r = l.items ? table_each(&iam->policies, list_policy, &l) : -ENOMEM;
    rt_unlock(&iam->lock);
    if (r)
        return r;
    qsort(l.items, l.count, sizeof(*l.items), by_policy_name);
    *ret = l.items;
    *ret_count = l.count;
    return 0;
}
