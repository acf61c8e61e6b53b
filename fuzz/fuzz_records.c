/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The decoders of the store's rows. The first byte of the input chooses one. An object's record
 * that decodes must come out the same after it is encoded and decoded again.
 */

#include "store/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Reads every byte that the record leads to, for the sanitizers. */
static uint64_t digest(const struct record *r)
{
    const struct store_object *o = &r->object;
    uint64_t h = o->seq ^ o->mtime_ms ^ o->len_bytes ^ o->etag.parts ^ r->chunked;
    h ^= hash_xxh3(o->attrs.content_type.ptr, o->attrs.content_type.len);
    h ^= hash_xxh3(o->attrs.owner.ptr, o->attrs.owner.len) * 3;
    h ^= hash_xxh3(o->attrs.storage_class.ptr, o->attrs.storage_class.len) * 5;
    h ^= o->attrs.lock.until_ms * 19 + o->attrs.lock.retention * 23 + o->attrs.lock.hold * 29;
    h ^= r->beside * 17 ^ r->digest.lo ^ r->digest.hi * 3;
    h ^= hash_xxh3(r->data.ptr, r->data.len) * 7 ^ hash_xxh3(r->upload.ptr, r->upload.len) * 9;
    for (size_t i = 0; i < o->attrs.meta_count; i++)
        h = h * 31 + hash_xxh3(o->attrs.meta[i].name.ptr, o->attrs.meta[i].name.len) +
            hash_xxh3(o->attrs.meta[i].value.ptr, o->attrs.meta[i].value.len) * 11;
    for (size_t i = 0; i < o->attrs.header_count; i++)
        h = h * 37 + hash_xxh3(o->attrs.headers[i].name.ptr, o->attrs.headers[i].name.len) +
            hash_xxh3(o->attrs.headers[i].value.ptr, o->attrs.headers[i].value.len) * 13;
    for (size_t i = 0; i < o->part_count; i++)
        h = h * 41 + o->parts[i].number + o->parts[i].len_bytes + o->parts[i].checksum.bytes[0];
    for (size_t i = 0; i < r->layout.count; i++) {
        const struct blob_chunk *c = &r->layout.chunks[i];
        h = h * 43 + c->id.session + c->id.counter * 3 + c->len_bytes + c->encode_id + c->code_k;
        for (size_t j = 0; j < c->shard_count; j++)
            h = h * 47 + c->shards[j].where.offset + c->shards[j].digest.lo + c->shards[j].disk;
    }
    return h;
}

static void fuzz_again(const struct record *r)
{
    struct draft_parts from = {
        .attrs = &r->object.attrs,
        .data = r->data,
        .digest = r->beside ? &r->digest : NULL,
        .layout = r->chunked ? &r->layout : NULL,
        .parts = r->object.parts,
        .part_count = r->object.part_count,
        .upload = r->upload,
    };
    struct draft d = {0};
    struct record *again = NULL;
    /* Attributes beyond the limits decode, but are not taken from a writer. */
    if (draft_init(&d, &from) < 0)
        return;
    d.beside = r->beside;
    int err =
        record_decode(r->bucket, r->object.key, draft_seal(&d, &r->object, r->chunked), &again);
    CHECK(err == 0 && digest(r) == digest(again));
    record_unref(again);
    draft_release(&d);
}

static void fuzz_object(struct str value)
{
    struct head head;
    struct record *r = NULL;
    int head_err = head_decode(value, &head);
    if (record_decode((struct bucket_id){1}, STR("key"), value, &r) == 0) {
        CHECK(head_err == 0 && head.chunked == r->chunked && head.beside == r->beside);
        CHECK(head.object.len_bytes == r->object.len_bytes);
        fuzz_again(r);
    }
    record_unref(r);
}

static void fuzz_keys(struct str row)
{
    char key[STORE_KEY_MAX];
    size_t len;
    uint64_t n, m;
    uint32_t number;
    struct str upload;
    struct chunk_id chunk;
    struct key_buf k;
    if (key_parse_version(row, key, &len, &n) == 0)
        (void)key_version(&k, str_make(key, len), n);
    if (key_parse_beside(row, &upload, &n) == 0)
        CHECK(str_eq(key_beside(&k, upload, n), row));
    if (key_parse_upload(row, key, &len, &upload) == 0)
        (void)key_upload(&k, str_make(key, len), upload);
    if (key_parse_part(row, &upload, &number, &n) == 0)
        CHECK(str_eq(key_part(&k, upload, number, n), row));
    if (key_parse_garbage(row, &m, &chunk) == 0)
        CHECK(str_eq(key_garbage(&k, m, chunk), row));
    if (key_parse_outbox(row, &upload, &number, &n) == 0)
        CHECK(str_eq(key_outbox(&k, row.ptr[0] == 'X', upload, number, n), row));
}

static void fuzz_rows(unsigned which, struct str value, struct arena *a)
{
    union {
        struct name_row name;
        struct upload_row upload;
        struct part_row part;
        struct garbage_row garbage;
        struct str drop;
        struct outbox_row outbox;
        struct tops_row tops;
        struct config_row config;
    } row;
    if (which == 1)
        (void)name_row_decode(value, a, &row.name);
    else if (which == 2)
        (void)upload_row_decode(value, a, &row.upload);
    else if (which == 3)
        (void)part_row_decode(value, a, &row.part);
    else if (which == 4)
        (void)garbage_row_decode(value, a, &row.garbage);
    else if (which == 5)
        (void)drop_row_decode(value, a, &row.drop);
    else if (which == 7)
        (void)outbox_row_decode(STR("Q\4hook\0\0\0\0\0\0\0\0\1"), value, a, &row.outbox);
    else if (which == 8 && tops_row_decode(value, &row.tops) == 0)
        CHECK(row.tops.null_seq || row.tops.marker_seq);
    else if (which == 9 && config_row_decode(value, a, &row.config) == 0)
        CHECK(row.config.versioning < STORE_VERSIONINGS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    struct str value = str_make(data + 1, len - 1);
    struct arena a;
    arena_init(&a, 0);
    if (data[0] == 0)
        fuzz_object(value);
    else if (data[0] == 6)
        fuzz_keys(value);
    else
        fuzz_rows(data[0], value, &a);
    arena_release(&a);
    return 0;
}
