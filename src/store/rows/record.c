/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Decoding. A value is unpacked into a scratch arena, tested, and then copied into one block of
 * exactly the right size: the layout of that block is computed by the same walk that fills it, run
 * first without memory.
 */

#include "store/rows/record.h"

/* A row of META_VALUE_MAX unpacks into less than this. */
#define SCRATCH_MAX (512 * MIB)

uint8_t store_checksum_len(enum store_checksum_kind kind)
{
    static const uint8_t lengths[STORE_CHECKSUM_KINDS] = {
        [STORE_CRC32] = 4,
        [STORE_CRC32C] = 4,
        [STORE_CRC64NVME] = 8,
        [STORE_SHA1] = HASH_SHA1_LEN,
        [STORE_SHA256] = HASH_SHA256_LEN,
        [STORE_SHA512] = HASH_SHA512_LEN,
        [STORE_MD5] = HASH_MD5_LEN,
        [STORE_XXHASH64] = 8,
        [STORE_XXHASH3] = 8,
        [STORE_XXHASH128] = 16,
    };
    return (unsigned)kind < STORE_CHECKSUM_KINDS ? lengths[kind] : 0;
}

/* ---- protobuf-c over an arena --------------------------------------------------------------- */

static void *pb_alloc(void *data, size_t size)
{
    struct pb_arena *p = data;
    void *mem = arena_alloc(p->arena, size);
    if (!mem)
        p->failed = true;
    return mem;
}

static void pb_free(void *data, void *mem)
{
}

void pb_arena_init(struct pb_arena *p, struct arena *a)
{
    *p = (struct pb_arena){.pb = {.alloc = pb_alloc, .free = pb_free}, .arena = a};
    p->pb.allocator_data = p;
}

void *pb_unpack(const ProtobufCMessageDescriptor *type, struct arena *a, struct str value,
                int *ret_err)
{
    struct pb_arena p;
    pb_arena_init(&p, a);
    void *m = protobuf_c_message_unpack(type, &p.pb, value.len, (const uint8_t *)value.ptr);
    if (!m)
        *ret_err = p.failed ? -ENOMEM : -ERR_CORRUPT;
    return m;
}

/* ---- the pieces ----------------------------------------------------------------------------- */

int checksum_unpack(const Cairn__Checksum *pb, struct store_checksum *ret)
{
    *ret = (struct store_checksum){0};
    if (!pb)
        return 0;
    uint8_t len = pb->kind < STORE_CHECKSUM_KINDS ? store_checksum_len(pb->kind) : 0;
    if (len == 0 || pb->value.len != len)
        return -ERR_CORRUPT;
    ret->present = true;
    ret->composite = pb->composite;
    ret->kind = pb->kind;
    ret->len = len;
    memcpy(ret->bytes, pb->value.data, len);
    return 0;
}

static int pairs_unpack(Cairn__Pair **pb, size_t count, struct arena *a, struct store_pair **ret)
{
    struct store_pair *pairs = count ? arena_array(a, struct store_pair, count) : NULL;
    if (count && !pairs)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        pairs[i] = (struct store_pair){pb_str(pb[i]->name), pb_str(pb[i]->value)};
    *ret = pairs;
    return 0;
}

int attrs_unpack(const Cairn__Attrs *pb, struct arena *a, struct store_attrs *ret)
{
    *ret = (struct store_attrs){0};
    if (!pb)
        return 0;
    ret->content_type = pb_str(pb->content_type);
    ret->storage_class = pb_str(pb->storage_class);
    ret->owner = pb_str(pb->owner);
    ret->initiator = pb_str(pb->initiator);
    ret->seal = pb_str(pb->seal);
    ret->header_count = pb->n_headers;
    ret->meta_count = pb->n_meta;
    ret->tag_count = pb->n_tags;
    ret->acl = pb_str(pb->acl);
    if (pb->retention >= STORE_RETENTIONS || pb->legal_hold >= STORE_HOLDS)
        return -ERR_CORRUPT;
    ret->lock = (struct store_lock){pb->retention, pb->retain_until_ms, pb->legal_hold};
    int r = pairs_unpack(pb->headers, pb->n_headers, a, &ret->headers);
    if (r == 0)
        r = pairs_unpack(pb->meta, pb->n_meta, a, &ret->meta);
    return r < 0 ? r : pairs_unpack(pb->tags, pb->n_tags, a, &ret->tags);
}

/* The columns belong together; *ret_shards is the sum over the chunks. */
static int layout_test(const Cairn__Layout *pb, size_t *ret_shards)
{
    size_t n = pb->n_session, shards = 0;
    if (pb->n_counter != n || pb->n_short_by != n || pb->n_encode != n || pb->code.len != 3 * n ||
        (pb->n_class_ != 0 && pb->n_class_ != n))
        return -ERR_CORRUPT;
    for (size_t i = 0; i < n; i++)
        shards += pb->code.data[3 * i + 2];
    if (pb->n_disk != shards || pb->n_volume != shards || pb->n_offset != shards ||
        pb->digest.len != sizeof(struct hash128) * shards)
        return -ERR_CORRUPT;
    *ret_shards = shards;
    return 0;
}

static void shards_unpack(const Cairn__Layout *pb, size_t first, struct blob_chunk *c)
{
    for (size_t i = 0; i < c->shard_count; i++) {
        struct blob_shard *s = &c->shards[i];
        s->disk = pb->disk[first + i];
        s->where = (struct needle_hint){pb->volume[first + i], pb->offset[first + i]};
        memcpy(&s->digest, pb->digest.data + (first + i) * sizeof(s->digest), sizeof(s->digest));
    }
}

int layout_unpack(const Cairn__Layout *pb, struct arena *a, struct blob_layout *ret)
{
    *ret = (struct blob_layout){0};
    size_t shard_count = 0, n = pb ? pb->n_session : 0;
    int r = pb ? layout_test(pb, &shard_count) : 0;
    if (r < 0 || n == 0)
        return r;
    struct blob_chunk *chunks = arena_array(a, struct blob_chunk, n);
    struct blob_shard *shards = arena_array(a, struct blob_shard, shard_count);
    if (!chunks || !shards)
        return -ENOMEM;
    uint64_t counter = 0, sum = 0;
    size_t first = 0;
    for (size_t i = 0; i < n; i++) {
        if (pb->short_by[i] >= BLOB_CHUNK_MAX || (pb->n_class_ && pb->class_[i] > UINT16_MAX))
            return -ERR_CORRUPT;
        counter += (uint64_t)pb->counter[i];
        chunks[i] = (struct blob_chunk){
            .id = {pb->session[i], counter},
            .len_bytes = BLOB_CHUNK_MAX - pb->short_by[i],
            .encode_id = pb->encode[i],
            .code_k = pb->code.data[3 * i],
            .code_m = pb->code.data[3 * i + 1],
            .shard_count = pb->code.data[3 * i + 2],
            .shards = shards + first,
            .class = {pb->n_class_ ? (uint16_t)pb->class_[i] : 0},
        };
        shards_unpack(pb, first, &chunks[i]);
        first += chunks[i].shard_count;
        sum += chunks[i].len_bytes;
    }
    *ret = (struct blob_layout){chunks, n, sum};
    return 0;
}

/* The checksums are all there, of the object's kind, or none is. */
static int parts_unpack(const Cairn__Parts *pb, struct arena *a, struct store_object *o)
{
    if (!pb)
        return 0;
    size_t n = pb->n_number, width = o->checksum.present ? o->checksum.len : 0;
    if (n == 0 || n > STORE_PARTS_MAX || pb->n_len_bytes != n || o->etag.parts != n ||
        (pb->checksum.len != 0 && pb->checksum.len != n * width))
        return -ERR_CORRUPT;
    o->parts = arena_array(a, struct store_part_info, n);
    if (!o->parts)
        return -ENOMEM;
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        struct store_part_info *p = &o->parts[i];
        p->number = pb->number[i];
        p->len_bytes = pb->len_bytes[i];
        if ((i > 0 && p->number <= p[-1].number) || p->len_bytes > STORE_OBJECT_MAX)
            return -ERR_CORRUPT;
        sum += p->len_bytes;
        if (pb->checksum.len) {
            p->checksum = o->checksum;
            p->checksum.composite = false;
            memcpy(p->checksum.bytes, pb->checksum.data + i * width, width);
        }
    }
    o->part_count = n;
    return sum == o->len_bytes ? 0 : -ERR_CORRUPT;
}

static int head_test(const Cairn__Head *pb, struct head *ret)
{
    struct store_object *o = &ret->object;
    if (!pb || pb->seq == 0 || pb->md5.len != HASH_MD5_LEN || pb->etag_parts > STORE_PARTS_MAX ||
        pb->owner.len > RECORD_OWNER_MAX || pb->storage_class.len > RECORD_CLASS_MAX ||
        (pb->chunked && pb->beside) || pb->retention >= STORE_RETENTIONS ||
        pb->legal_hold >= STORE_HOLDS)
        return -ERR_CORRUPT;
    *o = (struct store_object){
        .seq = pb->seq,
        .null_version = pb->null_version,
        .delete_marker = pb->delete_marker,
        .mtime_ms = pb->mtime_ms,
        .len_bytes = pb->len_bytes,
        .etag.parts = pb->etag_parts,
        .attrs = {.owner = pb_str(pb->owner),
                  .storage_class = pb_str(pb->storage_class),
                  .lock = {pb->retention, pb->retain_until_ms, pb->legal_hold},
                  .restore = {pb->restoring, pb->restored_until_ms}},
    };
    memcpy(o->etag.md5, pb->md5.data, HASH_MD5_LEN);
    ret->chunked = pb->chunked;
    ret->beside = pb->beside;
    return checksum_unpack(pb->checksum, &o->checksum);
}

/* ---- the head alone ------------------------------------------------------------------------- */

struct room {
    ProtobufCAllocator pb;
    char *cur, *end;
};

static void *room_alloc(void *data, size_t size)
{
    struct room *room = data;
    size = align_up(MAX(size, (size_t)1), 8);
    if (size > (size_t)(room->end - room->cur))
        return NULL;
    void *p = room->cur;
    room->cur += size;
    return p;
}

/* The bytes of field 1, which stands first, and what follows it. */
static int split_head(struct str value, struct str *ret_head, struct str *ret_rest)
{
    const uint8_t tag = (1 << 3) | 2;
    if (value.len < 2 || (uint8_t)value.ptr[0] != tag)
        return -ERR_CORRUPT;
    size_t at = 1, len = 0;
    for (unsigned shift = 0; shift <= 14; shift += 7) {
        if (at >= value.len)
            return -ERR_CORRUPT;
        uint8_t byte = (uint8_t)value.ptr[at++];
        len |= (size_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            break;
    }
    if (len > value.len - at)
        return -ERR_CORRUPT;
    *ret_head = str_make(value.ptr + at, len);
    *ret_rest = str_make(value.ptr + at + len, value.len - at - len);
    return 0;
}

static int unpack_head(struct str packed, struct head *ret)
{
    char *room_start = (char *)align_up((uintptr_t)ret->room, 8);
    struct room room = {.pb = {.alloc = room_alloc, .free = pb_free},
                        .cur = room_start,
                        .end = ret->room + sizeof(ret->room)};
    room.pb.allocator_data = &room;
    Cairn__Head *pb = cairn__head__unpack(&room.pb, packed.len, (const uint8_t *)packed.ptr);
    return head_test(pb, ret);
}

int head_decode(struct str value, struct head *ret)
{
    struct str packed, rest;
    int r = split_head(value, &packed, &rest);
    return r < 0 ? r : unpack_head(packed, ret);
}

/* ---- one block ------------------------------------------------------------------------------ */

/* With base NULL nothing is copied: only the room is counted. */
struct flat {
    char *base;
    size_t len;
};

static void *flat_take(struct flat *f, size_t size, size_t align)
{
    f->len = align_up(f->len, align);
    void *p = f->base ? f->base + f->len : NULL;
    f->len += size;
    return p;
}

static struct str flat_str(struct flat *f, struct str s)
{
    char *p = flat_take(f, s.len, 1);
    if (p && s.len)
        memcpy(p, s.ptr, s.len);
    return str_make(p, s.len);
}

static struct store_pair *flat_pairs(struct flat *f, const struct store_pair *from, size_t count)
{
    struct store_pair *pairs = flat_take(f, count * sizeof(*pairs), 8);
    for (size_t i = 0; i < count; i++) {
        struct store_pair p = {flat_str(f, from[i].name), flat_str(f, from[i].value)};
        if (pairs)
            pairs[i] = p;
    }
    return pairs;
}

static struct blob_layout flat_layout(struct flat *f, const struct blob_layout *from)
{
    struct blob_chunk *chunks = flat_take(f, from->count * sizeof(*chunks), 8);
    for (size_t i = 0; i < from->count; i++) {
        const struct blob_chunk *c = &from->chunks[i];
        size_t size = c->shard_count * sizeof(*c->shards);
        struct blob_shard *shards = flat_take(f, size, 8);
        if (chunks) {
            memcpy(shards, c->shards, size);
            chunks[i] = *c;
            chunks[i].shards = shards;
        }
    }
    return (struct blob_layout){chunks, from->count, from->len_bytes};
}

static struct store_object flat_object(struct flat *f, const struct store_object *from)
{
    struct store_object o = *from;
    o.attrs.headers = flat_pairs(f, from->attrs.headers, from->attrs.header_count);
    o.attrs.meta = flat_pairs(f, from->attrs.meta, from->attrs.meta_count);
    o.attrs.tags = flat_pairs(f, from->attrs.tags, from->attrs.tag_count);
    size_t size = from->part_count * sizeof(*o.parts);
    o.parts = flat_take(f, size, 8);
    if (o.parts && size)
        memcpy(o.parts, from->parts, size);
    if (size == 0)
        o.parts = NULL;
    o.key = flat_str(f, from->key);
    o.attrs.content_type = flat_str(f, from->attrs.content_type);
    o.attrs.storage_class = flat_str(f, from->attrs.storage_class);
    o.attrs.owner = flat_str(f, from->attrs.owner);
    o.attrs.seal = flat_str(f, from->attrs.seal);
    o.attrs.acl = flat_str(f, from->attrs.acl);
    return o;
}

/* `from` is a record whose pointers lead into the scratch arena. */
static struct record flat_record(struct flat *f, const struct record *from)
{
    flat_take(f, sizeof(struct record), 8);
    struct record r = *from;
    r.layout = flat_layout(f, &from->layout);
    r.object = flat_object(f, &from->object);
    r.upload = flat_str(f, from->upload);
    r.data = flat_str(f, from->data);
    r.salts = flat_str(f, from->salts);
    return r;
}

static int record_flatten(const struct record *from, struct record **ret)
{
    struct flat count = {0};
    flat_record(&count, from);
    struct flat fill = {.base = malloc(count.len)};
    if (!fill.base)
        return -ENOMEM;
    struct record r = flat_record(&fill, from);
    CHECK(fill.len == count.len);
    r.size_bytes = count.len;
    r.refs = 1;
    *ret = memcpy(fill.base, &r, sizeof(r));
    list_init(&(*ret)->age);
    return 0;
}

uint64_t record_stored_len(const struct store_object *o)
{
    uint64_t sum = 0;
    if (o->attrs.seal.len == 0)
        return o->len_bytes;
    if (o->part_count == 0)
        return frame_sealed_len(o->len_bytes);
    for (size_t i = 0; i < o->part_count; i++)
        sum += frame_sealed_len(o->parts[i].len_bytes);
    return sum;
}

static int salts_test(const struct record *r)
{
    size_t runs = r->object.part_count ? r->object.part_count : 1;
    return r->salts.len == (r->object.attrs.seal.len ? runs * FRAME_SALT_LEN : 0) ? 0
                                                                                  : -ERR_CORRUPT;
}

/* The bytes are in one place only, and all of them. Those beside the row are not looked at here. */
static int place_test(const Cairn__Object *pb, const struct record *r)
{
    uint64_t len = record_stored_len(&r->object);
    size_t digest_len = r->beside || r->object.attrs.seal.len ? sizeof(r->digest) : 0;
    if (r->chunked)
        return pb->data.len == 0 && pb->digest.len == 0 && r->layout.len_bytes == len
                   ? 0
                   : -ERR_CORRUPT;
    if (pb->layout)
        return -ERR_CORRUPT;
    if (r->beside)
        return pb->data.len == 0 && pb->digest.len == digest_len && len <= META_VALUE_MAX
                   ? 0
                   : -ERR_CORRUPT;
    return pb->digest.len == digest_len && pb->data.len == len ? 0 : -ERR_CORRUPT;
}

/* `pb` is what follows the head; a second head would contradict the first. */
static int record_unpack(const Cairn__Object *pb, const struct head *head, struct arena *a,
                         struct record *r)
{
    int err;
    r->object = head->object;
    r->chunked = head->chunked;
    r->beside = head->beside;
    if (pb->head)
        return -ERR_CORRUPT;
    if ((err = attrs_unpack(pb->attrs, a, &r->object.attrs)) < 0 ||
        (err = parts_unpack(pb->parts, a, &r->object)) < 0 ||
        (err = layout_unpack(pb->layout, a, &r->layout)) < 0)
        return err;
    r->object.attrs.owner = head->object.attrs.owner;
    r->object.attrs.storage_class = head->object.attrs.storage_class;
    r->object.attrs.lock = head->object.attrs.lock;
    r->object.attrs.restore = head->object.attrs.restore;
    r->data = pb_str(pb->data);
    r->upload = pb_str(pb->upload);
    if (r->upload.len != 0 && r->upload.len != UPLOAD_ID_LEN)
        return -ERR_CORRUPT;
    r->salts = pb_str(pb->salts);
    err = salts_test(r);
    if (err == 0)
        err = place_test(pb, r);
    if (err == 0 && pb->digest.len)
        memcpy(&r->digest, pb->digest.data, sizeof(r->digest));
    return err;
}

/* Takes the bytes that lie beside the row in. */
static int take_beside(struct record *r, struct str beside)
{
    if (beside.len != record_stored_len(&r->object))
        return -ERR_CORRUPT;
    struct hash128 h = hash_xxh128(beside.ptr, beside.len);
    r->data = beside;
    return h.lo == r->digest.lo && h.hi == r->digest.hi ? 0 : -ERR_CORRUPT;
}

/* `beside` may be NULL. */
static int decode(struct bucket_id bucket, struct str key, struct str value,
                  const struct str *beside, struct record **ret)
{
    struct head head;
    struct str packed, rest;
    struct record r = {.bucket = bucket};
    int err = split_head(value, &packed, &rest);
    if (err == 0)
        err = unpack_head(packed, &head);
    if (err < 0)
        return err;
    _cleanup_(arena_release) struct arena scratch;
    arena_init(&scratch, SCRATCH_MAX);
    Cairn__Object *pb = pb_unpack(&cairn__object__descriptor, &scratch, rest, &err);
    if (!pb)
        return err;
    err = record_unpack(pb, &head, &scratch, &r);
    if (err == 0 && beside)
        err = r.beside ? take_beside(&r, *beside) : -ERR_CORRUPT;
    if (err < 0)
        return err;
    r.object.key = key;
    return record_flatten(&r, ret);
}

int record_decode(struct bucket_id bucket, struct str key, struct str value, struct record **ret)
{
    return decode(bucket, key, value, NULL, ret);
}

int record_decode_beside(struct bucket_id bucket, struct str key, struct str value,
                         struct str beside, struct record **ret)
{
    return decode(bucket, key, value, &beside, ret);
}

struct record *record_ref(struct record *r)
{
    __atomic_fetch_add(&r->refs, 1, __ATOMIC_RELAXED);
    return r;
}

void record_unref(struct record *r)
{
    if (r && __atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL) == 0)
        free(r);
}
