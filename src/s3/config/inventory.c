/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * PutBucketInventoryConfiguration and its fellows. All configurations of a bucket are one setting,
 * made anew in one transaction by each change. The reports are a job's (jobs/inventory.c).
 *
 * As in AWS the destination must be there when it is named, and its policy is asked when a report
 * is written: the two may be set up in any order.
 */

#include "inventory/inventory.h"
#include "crypt/keyring.h"
#include "kms/kms.h"
#include "s3/body.h"
#include "s3/context.h"
#include "s3/token.h"

#define PAGE 100 /* configurations of one answer; S3's */

static int read_id(struct s3_request *q, struct str *ret)
{
    *ret = s3_param(q, "id");
    if (inventory_id_is_valid(*ret))
        return 0;
    return s3_error_argument(q, "id", ret->ptr ? *ret : STR(""),
                             "An id has 1 to 64 letters, digits, periods, dashes and underscores");
}

/* What the bucket has; none: an empty set. */
static int read_set(struct s3_request *q, const struct inventory_set **ret)
{
    static const struct inventory_set none = {.count = 0};
    const void *made;
    int r = store_setting_made(q->bucket.settings, STORE_SETTING_INVENTORY,
                               sizeof(struct inventory_set), inventory_set_parse, &made);
    *ret = made ? made : &none;
    return r;
}

/* ---- changing ------------------------------------------------------------------------------- */

struct change {
    const struct inventory *put; /* NULL: remove the one of `id` */
    struct str id;
};

static int change_set(struct arena *a, const struct change *c, const struct inventory_set *set,
                      struct inventory_set *ret)
{
    if (c->put)
        return inventory_set_with(a, set, c->put, ret);
    const struct inventory *old = inventory_set_find(set, c->id);
    return old ? inventory_set_without(a, set, (size_t)(old - set->list), ret)
               : -ERR_NO_SUCH_CONFIGURATION;
}

static int change_text(struct arena *a, struct str old, struct str *ret, void *arg)
{
    _cleanup_buf_ struct buf b;
    struct inventory_set set = {.count = 0};
    buf_init(&b, STORE_SETTING_MAX);
    int r = old.ptr ? inventory_set_parse(a, old, &set) : 0;
    if (!r)
        r = change_set(a, arg, &set, &set);
    if (r)
        return r;
    inventory_set_pack(&b, &set);
    if (buf_error(&b)) /* no more have room, be they fewer than a thousand */
        return -ERR_TOO_MANY_CONFIGURATIONS;
    *ret = set.count ? arena_dup(a, buf_str(&b)) : STR_NULL;
    return set.count && !ret->ptr ? -ENOMEM : 0;
}

static int FIBER make_change(struct s3_request *q, struct change *c, int status)
{
    int r =
        store_setting_change(q->s3->store, q->bucket.id, STORE_SETTING_INVENTORY, change_text, c);
    return r ? r : s3_respond_empty(q, status);
}

/* The right to it may depend on the fields that are asked for. */
static int FIBER judge(struct s3_request *q, const struct inventory *i)
{
    struct str names[INVENTORY_FIELD_COUNT];
    struct s3_context c = {.q = q, .bucket = &q->bucket, .inventory_fields = names};
    for (unsigned f = 0; f < INVENTORY_FIELD_COUNT; f++)
        if (inventory_has(i, f))
            names[c.inventory_field_count++] = str_from(inventory_field_name(f));
    return s3_authorise_in(&c, "s3:PutInventoryConfiguration");
}

static int FIBER check_destination(struct s3_request *q, const struct inventory *i)
{
    struct store_bucket target;
    if (i->seal == SEAL_KMS && !keyring_name_is_valid(kms_plain_name(i->master_key)))
        return s3_error(q, -ERR_INVALID_ARGUMENT, "Invalid KMS keyId");
    int r = store_bucket_get(q->s3->store, q->arena, i->bucket, &target);
    if (r == -ERR_NO_SUCH_BUCKET || r == -ERR_INVALID_BUCKET_NAME)
        return s3_error(q, -ERR_INVALID_DESTINATION, "The destination bucket does not exist");
    if (!r)
        store_bucket_release(&target);
    return r;
}

static int FIBER read_document(struct s3_request *q, struct inventory *ret)
{
    struct str body, why;
    int r = s3_body_all(q, 0, &body, NULL);
    if (r)
        return r;
    r = inventory_parse(q->arena, body, ret, &why);
    if (r && why.ptr)
        q->message = why;
    return r;
}

/* Whoever has not the right is not told what is wrong with the document. */
int FIBER s3_put_bucket_inventory(struct s3_request *q)
{
    struct inventory i = {.id = STR("")};
    struct str id;
    int unread = read_document(q, &i);
    int r = judge(q, &i);
    if (r) {
        q->message = STR_NULL;
        return r;
    }
    r = unread ? unread : read_id(q, &id);
    if (!r && !str_eq(i.id, id))
        r = -ERR_ID_MISMATCH;
    if (!r)
        r = check_destination(q, &i);
    if (r)
        return r;
    i.put_ms = rt_wall_ms();
    return make_change(q, &(struct change){.put = &i}, 204);
}

int FIBER s3_delete_bucket_inventory(struct s3_request *q)
{
    struct change c = {.put = NULL};
    int r = read_id(q, &c.id);
    return r ? r : make_change(q, &c, 204);
}

/* ---- reading -------------------------------------------------------------------------------- */

int FIBER s3_get_bucket_inventory(struct s3_request *q)
{
    _cleanup_buf_ struct buf b;
    const struct inventory_set *set;
    struct str id;
    buf_init(&b, 0);
    int r = read_id(q, &id);
    if (!r)
        r = read_set(q, &set);
    if (r)
        return r;
    const struct inventory *i = inventory_set_find(set, id);
    if (!i)
        return -ERR_NO_SUCH_CONFIGURATION;
    inventory_xml(&b, i, true);
    return s3_respond_xml(q, &b);
}

/* Where the page begins: the token is the last id of the one before. */
static int page_start(struct s3_request *q, const struct inventory_set *set, struct str token,
                      size_t *ret)
{
    struct str after;
    *ret = 0;
    if (!token.len)
        return 0;
    if (s3_token_parse(q->arena, q->bucket.id, token, &after))
        return s3_error_argument(q, "continuation-token", token,
                                 "The continuation token provided is incorrect");
    *ret = inventory_set_from(set, after);
    *ret += *ret < set->count && str_eq(set->list[*ret].id, after);
    return 0;
}

static void put_page(struct s3_request *q, struct buf *b, const struct inventory_set *set,
                     size_t from, struct str token)
{
    size_t end = MIN(set->count, from + PAGE);
    xml_begin(b);
    xml_open_ns(b, "ListInventoryConfigurationsResult", S3_XMLNS);
    for (size_t n = from; n < end; n++)
        inventory_xml(b, &set->list[n], false);
    xml_element_bool(b, "IsTruncated", end < set->count);
    if (token.len)
        xml_element(b, "ContinuationToken", token);
    if (end < set->count)
        xml_element(b, "NextContinuationToken",
                    s3_token_make(q->arena, q->bucket.id, set->list[end - 1].id));
    xml_close(b, "ListInventoryConfigurationsResult");
}

int FIBER s3_list_bucket_inventories(struct s3_request *q)
{
    _cleanup_buf_ struct buf b;
    const struct inventory_set *set;
    struct str token = s3_param(q, "continuation-token");
    size_t from = 0;
    buf_init(&b, 0);
    int r = read_set(q, &set);
    if (!r)
        r = page_start(q, set, token, &from);
    if (r)
        return r;
    put_page(q, &b, set, from, token);
    return s3_respond_xml(q, &b);
}
