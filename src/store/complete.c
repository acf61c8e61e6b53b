/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Completing an upload: one transaction turns the listed parts' rows into the object's row, lets
 * the others' chunks go, and removes the upload. No byte is copied.
 *
 * A client that lost the answer asks again. Then the upload is gone, but the object remembers which
 * upload it came from: if it is still that one, made of the parts now listed, the answer is the
 * same.
 */

#include "store/internal.h"
#include "base/md5.h"
#include "base/reserve.h"

/* Ten thousand parts with the most chunks a row can hold. */
#define COMPLETE_ARENA_MAX (512 * MIB)

struct complete {
    struct swap swap;
    struct str upload;
    const struct store_complete_part *wanted;
    size_t wanted_count;
    const struct store_checksum *whole;
    uint64_t expected_len;
    struct arena arena; /* of one run of the transaction */
    struct draft draft;
    struct store_object object;
    struct store_part_fault fault;
};

static int test_order(const struct store_complete_part *parts, size_t count)
{
    if (count == 0 || count > STORE_PARTS_MAX)
        return -ERR_MALFORMED_XML;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && parts[i].number <= parts[i - 1].number)
            return -ERR_INVALID_PART_ORDER;
        if (parts[i].number < 1 || parts[i].number > STORE_PARTS_MAX)
            return -ERR_INVALID_PART;
    }
    return 0;
}

static bool same_checksum(const struct store_checksum *a, const struct store_checksum *b)
{
    return a->present == b->present && a->kind == b->kind && a->len == b->len &&
           memcmp(a->bytes, b->bytes, a->len) == 0;
}

static bool part_is_wanted(const struct part_entry *p, const struct store_complete_part *w)
{
    if (w->has_md5 && memcmp(w->md5, p->row.md5, sizeof(w->md5)) != 0)
        return false;
    return !w->checksum.present || same_checksum(&w->checksum, &p->row.checksum);
}

static int blame(struct complete *c, const struct store_complete_part *w, uint64_t len_bytes,
                 int err)
{
    c->fault = (struct store_part_fault){w, len_bytes};
    return err;
}

/* Marks the stored parts that the client lists; each must be there as it says. */
static int mark_listed(struct complete *c, struct parts *parts)
{
    size_t at = 0;
    for (size_t i = 0; i < c->wanted_count; i++) {
        const struct store_complete_part *w = &c->wanted[i];
        while (at < parts->count && parts->list[at].number < w->number)
            at++;
        struct part_entry *p = at < parts->count ? &parts->list[at] : NULL;
        if (!p || p->number != w->number || !part_is_wanted(p, w))
            return blame(c, w, 0, -ERR_INVALID_PART);
        if (i + 1 < c->wanted_count && p->row.len_bytes < STORE_PART_MIN)
            return blame(c, w, p->row.len_bytes, -ERR_ENTITY_TOO_SMALL);
        p->listed = true;
    }
    return 0;
}

/* ETag, length and the table of parts. */
static int describe(struct complete *c, const struct parts *parts)
{
    struct store_object *o = &c->object;
    struct md5 md5;
    md5_init(&md5);
    o->parts = arena_array(&c->arena, struct store_part_info, c->wanted_count);
    if (!o->parts)
        return -ENOMEM;
    o->part_count = 0;
    o->len_bytes = 0;
    for (size_t i = 0; i < parts->count; i++) {
        const struct part_entry *p = &parts->list[i];
        if (!p->listed)
            continue;
        md5_update(&md5, p->row.md5, sizeof(p->row.md5));
        o->parts[o->part_count++] =
            (struct store_part_info){p->number, p->row.len_bytes, p->row.checksum};
        o->len_bytes += p->row.len_bytes;
    }
    md5_finish(&md5, o->etag.md5);
    o->etag.parts = (uint32_t)o->part_count;
    return o->len_bytes <= STORE_ASSEMBLED_MAX ? 0 : -ERR_ENTITY_TOO_LARGE;
}

/* Without a checksum of its own the object's parts tell none either. */
static int describe_checksum(struct complete *c, const struct upload_row *upload,
                             const struct parts *parts)
{
    struct store_object *o = &c->object;
    o->checksum = (struct store_checksum){0};
    if (upload->has_checksum) {
        int r = checksum_assemble(upload->kind, upload->composite, parts, &o->checksum);
        if (r < 0)
            return r;
    } else {
        for (size_t i = 0; i < o->part_count; i++)
            o->parts[i].checksum = (struct store_checksum){0};
    }
    if (c->whole && c->whole->present && !same_checksum(c->whole, &o->checksum))
        return -ERR_BAD_DIGEST;
    return c->expected_len == UINT64_MAX || c->expected_len == o->len_bytes ? 0
                                                                            : -ERR_INVALID_REQUEST;
}

/* The salts of the listed parts, end to end; ptr NULL when the upload is not sealed. */
static int gather_salts(struct complete *c, const struct upload_row *upload,
                        const struct parts *parts, struct str *ret)
{
    bool sealed = upload->attrs.seal.len > 0;
    char *salts = arena_alloc(&c->arena, c->wanted_count * FRAME_SALT_LEN);
    size_t len = 0;
    if (!salts)
        return -ENOMEM;
    for (size_t i = 0; i < parts->count; i++) {
        const struct part_entry *p = &parts->list[i];
        if (!p->listed)
            continue;
        if (p->row.sealed != sealed)
            return -ERR_CORRUPT;
        memcpy(salts + len, p->row.salt, FRAME_SALT_LEN);
        len += FRAME_SALT_LEN;
    }
    *ret = sealed ? str_make(salts, len) : STR_NULL;
    return 0;
}

static int put_assembled(struct meta_tx *tx, struct complete *c, const struct upload_row *upload,
                         const struct parts *parts)
{
    struct blob_layout layout;
    struct str salts;
    int r = parts_layout(parts, true, &c->arena, &layout);
    if (r == 0)
        r = gather_salts(c, upload, parts, &salts);
    if (r < 0)
        return r;
    struct draft_parts from = {
        .attrs = &upload->attrs,
        .layout = &layout,
        .parts = c->object.parts,
        .part_count = c->object.part_count,
        .upload = c->upload,
        .salts = salts,
    };
    draft_release(&c->draft);
    r = draft_init(&c->draft, &from);
    if (r < 0)
        return r;
    c->object.seq = store_next_seq(c->swap.store, c->swap.newest_seq);
    c->object.null_version = swap_is_null(&c->swap);
    c->object.attrs = upload->attrs;
    c->swap.deltas[COUNT_PART_BYTES] = -parts_bytes(parts);
    return swap_put(tx, &c->swap, draft_seal(&c->draft, &c->object, true), &c->object);
}

static int remove_upload(struct meta_tx *tx, struct complete *c, const struct parts *parts)
{
    struct blob_layout unlisted;
    int r = parts_layout(parts, false, &c->arena, &unlisted);
    if (r == 0)
        r = swap_let_go(tx, &c->swap, c->swap.key, 0, &unlisted);
    if (r == 0)
        r = parts_delete_rows(tx, c->upload, parts);
    return r < 0 ? r : upload_row_delete(tx, c->swap.key, c->upload);
}

/* ---- asked again ---------------------------------------------------------------------------- */

static bool made_of_wanted(const struct complete *c, const struct store_object *o)
{
    if (o->part_count != c->wanted_count)
        return false;
    struct md5 md5;
    uint8_t digest[HASH_MD5_LEN];
    bool all_md5 = true;
    md5_init(&md5);
    for (size_t i = 0; i < o->part_count; i++) {
        if (o->parts[i].number != c->wanted[i].number)
            return false;
        all_md5 = all_md5 && c->wanted[i].has_md5;
        md5_update(&md5, c->wanted[i].md5, sizeof(c->wanted[i].md5));
    }
    md5_finish(&md5, digest);
    return !all_md5 || memcmp(digest, o->etag.md5, sizeof(digest)) == 0;
}

static int answer_again(struct meta_tx *tx, struct complete *c)
{
    const struct store_conditions *conditions = c->swap.conditions;
    c->swap.conditions = NULL; /* they held the first time */
    int r = swap_begin(tx, &c->swap);
    c->swap.conditions = conditions;
    if (r < 0)
        return r;
    if (!c->swap.existed || !c->swap.old.chunked)
        return -ERR_NO_SUCH_UPLOAD;
    _cleanup_record_ struct record *old = NULL;
    r = record_decode(c->swap.bucket, c->swap.key, c->swap.old_value, &old);
    if (r < 0)
        return r;
    if (!str_eq(old->upload, c->upload) || !made_of_wanted(c, &old->object))
        return -ERR_NO_SUCH_UPLOAD;
    c->object = old->object;
    return 0;
}

/* ---- the transaction ------------------------------------------------------------------------ */

static int complete_tx(struct meta_tx *tx, void *arg)
{
    struct complete *c = arg;
    struct upload_row upload;
    struct parts parts;
    arena_reset(&c->arena);
    c->fault = (struct store_part_fault){NULL, 0};
    int r = upload_row_read(tx, c->swap.key, c->upload, &c->arena, &upload);
    if (r == -ERR_NO_SUCH_UPLOAD && c->upload.len == UPLOAD_ID_LEN)
        return answer_again(tx, c);
    if (r < 0 || (r = swap_begin(tx, &c->swap)) < 0 ||
        (r = parts_read(tx, c->upload, &c->arena, &parts)) < 0 ||
        (r = mark_listed(c, &parts)) < 0 || (r = describe(c, &parts)) < 0 ||
        (r = describe_checksum(c, &upload, &parts)) < 0 ||
        (r = put_assembled(tx, c, &upload, &parts)) < 0 || (r = remove_upload(tx, c, &parts)) < 0 ||
        (r = swap_tell(tx, &c->swap, STORE_CREATED, &c->object)) < 0)
        return r;
    return meta_on_commit(tx, swap_committed, &c->swap);
}

int FIBER store_upload_complete(struct store *s, struct arena *a, struct bucket_id b,
                                struct str key, struct str upload,
                                const struct store_complete_part *parts, size_t count,
                                const struct store_checksum *whole, uint64_t expected_len_or_max,
                                const struct store_conditions *conditions,
                                struct store_part_fault *ret_fault, struct store_object *ret)
{
    int r = store_key_test(key);
    if (ret_fault)
        *ret_fault = (struct store_part_fault){NULL, 0};
    if (r == 0)
        r = test_order(parts, count);
    if (r < 0)
        return r;
    struct complete c = {
        .swap = {.store = s, .bucket = b, .key = key, .conditions = conditions},
        .upload = upload,
        .wanted = parts,
        .wanted_count = count,
        .whole = whole,
        .expected_len = expected_len_or_max,
        .object = {.mtime_ms = rt_wall_ms()},
    };
    arena_init(&c.arena, COMPLETE_ARENA_MAX);
    r = meta_write(s->meta, b, complete_tx, &c);
    if (ret_fault)
        *ret_fault = c.fault;
    if (r == 0) {
        RESERVE_SCOPE; /* it is done */
        /* The rest of it lived in the transaction. */
        c.object.key = arena_dup(a, key);
        c.object.attrs = (struct store_attrs){0};
        c.object.parts = NULL;
        c.object.part_count = 0;
        *ret = c.object;
    }
    draft_release(&c.draft);
    arena_release(&c.arena);
    return r == 0 && !ret->key.ptr ? -ENOMEM : r;
}
