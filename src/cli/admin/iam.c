/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Taking over what another server knew of users: the archive is read here, the server is told of
 * one thing after the other, and judges each. What it refuses is told at the end, and no reason to
 * stop.
 */

#include "cli/admin/client.h"
#include "cli/admin/minio_archive.h"
#include "rt/rt.h"
#include <stdio.h>

static const char *adopt;
static bool dry_run;

static const struct cli_option import_options[] = {
    {"dry-run", CLI_FLAG, &dry_run, NULL, "change nothing, tell what would be done"},
    {"adopt", CLI_TEXT, &adopt, "USER",
     "the user that gets the service accounts of users who are not in the archive"},
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

/* What came of all that there is of one kind. */
struct tally {
    unsigned same, added, changed, left;
};

struct import {
    struct admin_session *session;
    const struct minio_archive *archive;
    struct tally tallies[MINIO_FILE_COUNT];
    json_t *left;    /* [{kind, name, why}] */
    json_t *planned; /* of a dry run: "kind name" of what is not there yet but would be */
};

/* ---- the tally ------------------------------------------------------------------------------ */

static void leave(struct import *m, enum minio_file file, const char *kind, const char *name,
                  const char *why)
{
    m->tallies[file].left++;
    json_array_append_new(m->left,
                          json_pack("{s:s, s:s, s:s}", "kind", kind, "name", name, "why", why));
}

static json_t *plan_key(const char *kind, const char *name)
{
    return json_sprintf("%s %s", kind, name);
}

static void plan(struct import *m, const char *kind, const char *name)
{
    json_t *key = plan_key(kind, name);
    json_object_set_new(m->planned, json_string_value(key), json_true());
    json_decref(key);
}

static bool is_planned(const struct import *m, const char *kind, const char *name)
{
    json_t *key = plan_key(kind, name);
    bool found = json_object_get(m->planned, json_string_value(key)) != NULL;
    json_decref(key);
    return found;
}

/* What it waits for and this run would not bring; NULL: nothing. */
static const json_t *missing(const struct import *m, const json_t *answer)
{
    size_t i;
    json_t *waits;
    json_array_foreach(json_object_get(answer, "waits"), i, waits)
    {
        const char *kind = json_string_value(json_array_get(waits, 0)),
                   *name = json_string_value(json_array_get(waits, 1));
        if (kind && name && !is_planned(m, kind, name))
            return waits;
    }
    return NULL;
}

static void count(struct import *m, enum minio_file file, const char *kind, const char *name,
                  const json_t *answer)
{
    struct tally *t = &m->tallies[file];
    const char *result = admin_text_of(answer, "result");
    const json_t *lacks = missing(m, answer);
    char why[ADMIN_CALL_WHY_MAX];
    if (lacks) {
        snprintf(why, sizeof(why), "there is no %s %s", json_string_value(json_array_get(lacks, 0)),
                 json_string_value(json_array_get(lacks, 1)));
        leave(m, file, kind, name, why);
        return;
    }
    if (dry_run)
        plan(m, kind, name);
    t->same += strcmp(result, "same") == 0;
    t->added += strcmp(result, "added") == 0;
    t->changed += strcmp(result, "changed") == 0;
}

/* Takes `body` over. */
static int FIBER put(struct import *m, enum minio_file file, const char *kind, const char *name,
                     json_t *body)
{
    char why[ADMIN_CALL_WHY_MAX];
    json_t *answer = NULL;
    if (!body) {
        leave(m, file, kind, name, "it holds text that is no UTF-8");
        return 0;
    }
    json_object_set_new(body, "kind", json_string(kind));
    json_object_set_new(body, "name", json_string(name));
    json_object_set_new(body, "dry_run", json_boolean(dry_run));
    int r = admin_session_call(
        m->session, &(struct admin_call){"POST", "/-/admin/v1/imports", body, NULL, NULL}, &answer,
        why);
    json_decref(body);
    if (r == 0 && answer)
        count(m, file, kind, name, answer);
    else if (r == 0)
        leave(m, file, kind, name, why);
    json_decref(answer);
    return r;
}

/* ---- one entry of each file ----------------------------------------------------------------- */

typedef int entry_fn(struct import *m, enum minio_file file, const char *name, json_t *entry);

static int FIBER put_policy(struct import *m, enum minio_file file, const char *name, json_t *entry)
{
    char *text = json_dumps(entry, JSON_COMPACT);
    int r = put(m, file, "policy", name, text ? json_pack("{s:s}", "document", text) : NULL);
    free(text);
    return r;
}

static int FIBER put_user(struct import *m, enum minio_file file, const char *name, json_t *entry)
{
    return put(m, file, "user", name,
               json_pack("{s:O, s:b}", "secret_key", json_object_get(entry, "secretKey"), "active",
                         !minio_is_off(entry)));
}

/* A group that is off gives its members nothing: here there are no such, so it gets no policies. */
static int FIBER put_group(struct import *m, enum minio_file file, const char *name, json_t *entry)
{
    size_t i;
    json_t *member;
    int r = put(m, file, "group", name, json_object());
    json_array_foreach(json_object_get(entry, "members"), i, member)
    {
        if (r == 0)
            r = put(m, file, "member", name, json_pack("{s:O}", "user", member));
    }
    return r;
}

static struct json_t *service_json(const json_t *entry, const char *parent, uint64_t expires_ms)
{
    const json_t *policy = json_object_get(entry, "sessionPolicy");
    char *text = json_object_size(policy) ? json_dumps(policy, JSON_COMPACT) : NULL;
    struct str name = minio_text(entry, "name"), description = minio_text(entry, "description");
    json_t *o = json_pack("{s:s, s:O, s:s, s:s%, s:s%, s:I, s:b}", "parent", parent, "secret_key",
                          json_object_get(entry, "secretKey"), "policy", text ? text : "", "label",
                          name.ptr, name.len, "description", description.ptr, description.len,
                          "expires_ms", (json_int_t)expires_ms, "active", !minio_is_off(entry));
    free(text);
    return o;
}

static int FIBER put_service(struct import *m, enum minio_file file, const char *name,
                             json_t *entry)
{
    const char *parent = json_string_value(json_object_get(entry, "parent"));
    uint64_t expires_ms;
    if (!json_object_get(m->archive->files[MINIO_USERS], parent) && adopt)
        parent = adopt;
    if (minio_expiry(entry, &expires_ms)) {
        leave(m, file, "service account", name, "the time at which it ends cannot be read");
        return 0;
    }
    if (expires_ms && expires_ms <= rt_wall_ms()) {
        leave(m, file, "service account", name, "it has ended");
        return 0;
    }
    return put(m, file, "service account", name, service_json(entry, parent, expires_ms));
}

/* A DN of a directory; users and groups of MinIO's own have no such names. */
static bool is_dn(const char *name)
{
    return strchr(name, '=') && strchr(name, ',');
}

static const char *kind_of(enum minio_file file, const char *name)
{
    return is_dn(name)                   ? "ldap policy"
           : file == MINIO_USER_POLICIES ? "user policy"
                                         : "group policy";
}

static int FIBER put_mapping(struct import *m, enum minio_file file, const char *name,
                             json_t *entry)
{
    const char *kind = kind_of(file, name);
    struct str rest = minio_text(entry, "policy"), policy;
    int r = 0;
    const json_t *group = json_object_get(m->archive->files[MINIO_GROUPS], name);
    if (file == MINIO_GROUP_POLICIES && minio_is_off(group)) {
        leave(m, file, kind, name,
              "the group is disabled there, which groups cannot be here: it got no policies");
        return 0;
    }
    while (r == 0 && minio_next_policy(&rest, &policy))
        r = put(m, file, kind, name, json_pack("{s:s%}", "policy", policy.ptr, policy.len));
    return r;
}

/* Users of a directory; those of providers of web identities are nobody here before they come. */
static int FIBER put_external(struct import *m, enum minio_file file, const char *name,
                              json_t *entry)
{
    if (is_dn(name))
        return put_mapping(m, file, name, entry);
    leave(m, file, "external user", name,
          "of a provider of web identities: give its role the policies (docs/MIGRATING.md)");
    return 0;
}

static entry_fn *const entries[MINIO_FILE_COUNT] = {
    [MINIO_POLICIES] = put_policy,       [MINIO_USERS] = put_user,
    [MINIO_GROUPS] = put_group,          [MINIO_SERVICES] = put_service,
    [MINIO_USER_POLICIES] = put_mapping, [MINIO_GROUP_POLICIES] = put_mapping,
    [MINIO_STS_POLICIES] = put_external};

static int FIBER put_all(struct admin_session *session, void *arg)
{
    struct import *m = arg;
    const char *name;
    json_t *entry;
    int r = 0;
    m->session = session;
    for (unsigned i = 0; i < MINIO_FILE_COUNT; i++)
        json_object_foreach(m->archive->files[i], name, entry)
        {
            if (r == 0)
                r = entries[i](m, (enum minio_file)i, name, entry);
        }
    return r;
}

/* ---- the report ----------------------------------------------------------------------------- */

static const char *const titles[MINIO_FILE_COUNT] = {
    [MINIO_POLICIES] = "policies",
    [MINIO_USERS] = "users",
    [MINIO_GROUPS] = "groups and members",
    [MINIO_SERVICES] = "service accounts",
    [MINIO_USER_POLICIES] = "policies of users",
    [MINIO_GROUP_POLICIES] = "policies of groups",
    [MINIO_STS_POLICIES] = "policies of external users",
};

static void print(const struct import *m)
{
    size_t i;
    json_t *left;
    printf("%-28s %8s %8s %8s %8s\n", dry_run ? "(nothing was changed)" : "", "ADDED", "CHANGED",
           "SAME", "LEFT");
    for (unsigned k = 0; k < MINIO_FILE_COUNT; k++)
        printf("%-28s %8u %8u %8u %8u\n", titles[k], m->tallies[k].added, m->tallies[k].changed,
               m->tallies[k].same, m->tallies[k].left);
    json_array_foreach(m->left, i, left)
        printf("not taken over: %s %s: %s\n", admin_text_of(left, "kind"),
               admin_text_of(left, "name"), admin_text_of(left, "why"));
}

static void print_json(const struct import *m)
{
    json_t *o = json_pack("{s:b, s:O}", "dry_run", dry_run, "left", m->left);
    for (unsigned k = 0; k < MINIO_FILE_COUNT; k++) {
        const struct tally *t = &m->tallies[k];
        json_object_set_new(o, titles[k],
                            json_pack("{s:i, s:i, s:i, s:i}", "added", (int)t->added, "changed",
                                      (int)t->changed, "same", (int)t->same, "left", (int)t->left));
    }
    (void)admin_print_json(o);
}

static int import(char **operands, unsigned operand_count)
{
    char why[MINIO_ARCHIVE_WHY_MAX];
    struct minio_archive archive;
    if (minio_archive_read(operands[0], &archive, why) < 0)
        return cli_fail("%s", why);
    struct import m = {.archive = &archive, .left = json_array(), .planned = json_object()};
    int r = admin_session_run(put_all, &m);
    if (r == 0)
        admin_options.json ? print_json(&m) : print(&m);
    if (r == 0 && json_array_size(m.left))
        r = 1;
    json_decref(m.left);
    json_decref(m.planned);
    minio_archive_release(&archive);
    return r;
}

const struct cli_command cli_admin_iam_import = {
    .name = "admin iam import",
    .operands = "FILE.zip",
    .summary = "take over users and policies of a MinIO server",
    .description =
        "Takes the archive that `mc admin cluster iam export` writes: policies as they are, users\n"
        "with their access keys, groups, service accounts, and what is attached to whom. All of\n"
        "it comes into the server's own account. What is here already is made as the archive has\n"
        "it, nothing is taken away, so it may be repeated. What could not be taken over is told,\n"
        "with the reason, and makes the exit status 1.",
    .options = import_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = import,
};
