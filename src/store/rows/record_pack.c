/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include <assert.h>
#include "store/rows/record.h"

/* More than any head takes: numbers, two digests, owner, class, and the field's own tag and length.
 */
#define HEAD_ROOM (RECORD_OWNER_MAX + RECORD_CLASS_MAX + 192)
static_assert(HEAD_ROOM < 1 << 14, "the head's length is a varint of two bytes at most");

void checksum_pack(const struct store_checksum *c, Cairn__Checksum *ret)
{
    cairn__checksum__init(ret);
    ret->kind = c->kind;
    ret->composite = c->composite;
    ret->value = (ProtobufCBinaryData){.len = c->len, .data = (uint8_t *)c->bytes};
}

static int pairs_pack(const struct store_pair *pairs, size_t count, struct arena *a,
                      Cairn__Pair ***ret)
{
    if (count == 0)
        return 0;
    Cairn__Pair **list = arena_array(a, Cairn__Pair *, count);
    Cairn__Pair *pb = arena_array(a, Cairn__Pair, count);
    if (!list || !pb)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        cairn__pair__init(&pb[i]);
        pb[i].name = pb_bytes(pairs[i].name);
        pb[i].value = pb_bytes(pairs[i].value);
        list[i] = &pb[i];
    }
    *ret = list;
    return 0;
}

static size_t pairs_bytes(const struct store_pair *pairs, size_t count)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += pairs[i].name.len + pairs[i].value.len;
    return sum;
}

int attrs_pack(const struct store_attrs *attrs, struct arena *a, Cairn__Attrs *ret)
{
    size_t bytes = attrs->content_type.len + pairs_bytes(attrs->headers, attrs->header_count) +
                   pairs_bytes(attrs->meta, attrs->meta_count) +
                   pairs_bytes(attrs->tags, attrs->tag_count);
    if (bytes > RECORD_ATTRS_MAX)
        return -ERR_METADATA_TOO_LARGE;
    if (attrs->owner.len > RECORD_OWNER_MAX || attrs->initiator.len > RECORD_OWNER_MAX ||
        attrs->storage_class.len > RECORD_CLASS_MAX || attrs->acl.len > RECORD_ACL_MAX ||
        attrs->seal.len > SEAL_MAX)
        return -EINVAL;
    cairn__attrs__init(ret);
    ret->content_type = pb_bytes(attrs->content_type);
    ret->storage_class = pb_bytes(attrs->storage_class);
    ret->owner = pb_bytes(attrs->owner);
    ret->initiator = pb_bytes(attrs->initiator);
    ret->seal = pb_bytes(attrs->seal);
    ret->retention = attrs->lock.retention;
    ret->retain_until_ms = attrs->lock.until_ms;
    ret->legal_hold = attrs->lock.hold;
    ret->n_headers = attrs->header_count;
    ret->n_meta = attrs->meta_count;
    ret->n_tags = attrs->tag_count;
    ret->acl = pb_bytes(attrs->acl);
    int r = pairs_pack(attrs->headers, attrs->header_count, a, &ret->headers);
    if (r == 0)
        r = pairs_pack(attrs->meta, attrs->meta_count, a, &ret->meta);
    return r < 0 ? r : pairs_pack(attrs->tags, attrs->tag_count, a, &ret->tags);
}

static size_t shard_sum(const struct blob_layout *layout)
{
    size_t sum = 0;
    for (size_t i = 0; i < layout->count; i++) {
        CHECK(layout->chunks[i].shard_count <= UINT8_MAX);
        sum += layout->chunks[i].shard_count;
    }
    return sum;
}

static int layout_columns(struct arena *a, size_t n, size_t shards, Cairn__Layout *ret)
{
    cairn__layout__init(ret);
    ret->n_session = ret->n_counter = ret->n_short_by = ret->n_encode = n;
    ret->n_disk = ret->n_volume = ret->n_offset = shards;
    ret->code.len = 3 * n;
    ret->digest.len = shards * sizeof(struct hash128);
    ret->session = arena_array(a, uint64_t, n);
    ret->counter = arena_array(a, int64_t, n);
    ret->short_by = arena_array(a, uint64_t, n);
    ret->encode = arena_array(a, uint64_t, n);
    ret->disk = arena_array(a, uint32_t, shards);
    ret->volume = arena_array(a, uint32_t, shards);
    ret->offset = arena_array(a, uint64_t, shards);
    ret->code.data = arena_alloc(a, ret->code.len);
    ret->digest.data = arena_alloc(a, ret->digest.len);
    return ret->session && ret->counter && ret->short_by && ret->encode && ret->disk &&
                   ret->volume && ret->offset && ret->code.data && ret->digest.data
               ? 0
               : -ENOMEM;
}

static void shards_pack(const struct blob_chunk *c, size_t first, Cairn__Layout *ret)
{
    for (size_t i = 0; i < c->shard_count; i++) {
        const struct blob_shard *s = &c->shards[i];
        ret->disk[first + i] = s->disk;
        ret->volume[first + i] = s->where.volume;
        ret->offset[first + i] = s->where.offset;
        memcpy(ret->digest.data + (first + i) * sizeof(s->digest), &s->digest, sizeof(s->digest));
    }
}

/* Most layouts have no chunk of another class than STANDARD: the column is not there then. */
static int layout_classes(const struct blob_layout *layout, struct arena *a, Cairn__Layout *ret)
{
    bool any = false;
    for (size_t i = 0; i < layout->count; i++)
        any = any || layout->chunks[i].class.n != BLOB_STANDARD.n;
    if (!any)
        return 0;
    ret->class_ = arena_array(a, uint32_t, layout->count);
    if (!ret->class_)
        return -ENOMEM;
    for (size_t i = 0; i < layout->count; i++)
        ret->class_[i] = layout->chunks[i].class.n;
    ret->n_class_ = layout->count;
    return 0;
}

int layout_pack(const struct blob_layout *layout, struct arena *a, Cairn__Layout *ret)
{
    int r = layout_columns(a, layout->count, shard_sum(layout), ret);
    if (r == 0)
        r = layout_classes(layout, a, ret);
    if (r < 0)
        return r;
    uint64_t counter = 0;
    size_t first = 0;
    for (size_t i = 0; i < layout->count; i++) {
        const struct blob_chunk *c = &layout->chunks[i];
        CHECK(c->len_bytes >= 1 && c->len_bytes <= BLOB_CHUNK_MAX);
        ret->session[i] = c->id.session;
        ret->counter[i] = (int64_t)(c->id.counter - counter);
        ret->short_by[i] = BLOB_CHUNK_MAX - c->len_bytes;
        ret->encode[i] = c->encode_id;
        ret->code.data[3 * i] = c->code_k;
        ret->code.data[3 * i + 1] = c->code_m;
        ret->code.data[3 * i + 2] = (uint8_t)c->shard_count;
        shards_pack(c, first, ret);
        first += c->shard_count;
        counter = c->id.counter;
    }
    return 0;
}

static int parts_pack(const struct store_part_info *parts, size_t n, struct arena *a,
                      Cairn__Parts *ret)
{
    size_t width = parts[0].checksum.present ? parts[0].checksum.len : 0;
    cairn__parts__init(ret);
    ret->n_number = ret->n_len_bytes = n;
    ret->number = arena_array(a, uint32_t, n);
    ret->len_bytes = arena_array(a, uint64_t, n);
    ret->checksum.data = arena_alloc(a, n * width);
    ret->checksum.len = n * width;
    if (!ret->number || !ret->len_bytes || !ret->checksum.data)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        CHECK((parts[i].checksum.present ? parts[i].checksum.len : 0) == width);
        ret->number[i] = parts[i].number;
        ret->len_bytes[i] = parts[i].len_bytes;
        memcpy(ret->checksum.data + i * width, parts[i].checksum.bytes, width);
    }
    return 0;
}

/* Everything but the head, packed behind the room for it. */
static int draft_pack(struct draft *d, const Cairn__Object *pb)
{
    size_t len = cairn__object__get_packed_size(pb);
    if (len + HEAD_ROOM > META_VALUE_MAX)
        return -ERR_ENTITY_TOO_LARGE;
    char *bytes = malloc(HEAD_ROOM + len);
    if (!bytes)
        return -ENOMEM;
    cairn__object__pack(pb, (uint8_t *)bytes + HEAD_ROOM);
    *d = (struct draft){.bytes = bytes, .rest_len = len};
    return 0;
}

int draft_init(struct draft *d, const struct draft_parts *from)
{
    _cleanup_(arena_release) struct arena scratch;
    arena_init(&scratch, 64 * MIB);
    Cairn__Object pb = CAIRN__OBJECT__INIT;
    Cairn__Attrs attrs;
    Cairn__Layout layout;
    Cairn__Parts parts;
    int r = attrs_pack(from->attrs, &scratch, &attrs);
    if (r < 0)
        return r;
    /* the head has these */
    attrs.owner = attrs.initiator = attrs.storage_class = (ProtobufCBinaryData){0};
    attrs.retention = 0;
    attrs.retain_until_ms = 0;
    attrs.legal_hold = 0;
    pb.attrs = &attrs;
    if (from->layout && from->layout->count) {
        if ((r = layout_pack(from->layout, &scratch, &layout)) < 0)
            return r;
        pb.layout = &layout;
    }
    if (from->part_count) {
        if ((r = parts_pack(from->parts, from->part_count, &scratch, &parts)) < 0)
            return r;
        pb.parts = &parts;
    }
    pb.data = pb_bytes(from->data);
    if (from->digest)
        pb.digest = (ProtobufCBinaryData){sizeof(*from->digest), (uint8_t *)from->digest};
    pb.upload = pb_bytes(from->upload);
    pb.salts = pb_bytes(from->salts);
    return draft_pack(d, &pb);
}

struct draft_parts draft_parts_of(const struct record *old)
{
    bool in_record = !old->chunked && !old->beside;
    return (struct draft_parts){
        .data = old->beside ? STR_NULL : old->data,
        .digest = old->beside || (old->salts.len && in_record) ? &old->digest : NULL,
        .layout = old->chunked ? &old->layout : NULL,
        .parts = old->object.parts,
        .part_count = old->object.part_count,
        .upload = old->upload,
        .salts = old->salts,
    };
}

void draft_release(struct draft *d)
{
    free(d->bytes);
    *d = (struct draft){0};
}

struct str draft_seal(struct draft *d, const struct store_object *o, bool chunked)
{
    Cairn__Checksum checksum;
    Cairn__Head head = CAIRN__HEAD__INIT;
    head.seq = o->seq;
    head.mtime_ms = o->mtime_ms;
    head.len_bytes = o->len_bytes;
    head.md5 = (ProtobufCBinaryData){HASH_MD5_LEN, (uint8_t *)o->etag.md5};
    head.etag_parts = o->etag.parts;
    if (o->checksum.present) {
        checksum_pack(&o->checksum, &checksum);
        head.checksum = &checksum;
    }
    head.owner = pb_bytes(o->attrs.owner);
    head.storage_class = pb_bytes(o->attrs.storage_class);
    head.null_version = o->null_version;
    head.delete_marker = o->delete_marker;
    head.chunked = chunked;
    head.beside = d->beside;
    head.retention = o->attrs.lock.retention;
    head.retain_until_ms = o->attrs.lock.until_ms;
    head.legal_hold = o->attrs.lock.hold;
    head.restoring = o->attrs.restore.ongoing;
    head.restored_until_ms = o->attrs.restore.until_ms;

    size_t len = cairn__head__get_packed_size(&head);
    size_t prefix = len < 0x80 ? 2 : 3;
    CHECK(len + prefix <= HEAD_ROOM);
    uint8_t *at = (uint8_t *)d->bytes + HEAD_ROOM - len - prefix;
    struct str row = str_make(at, len + prefix + d->rest_len);
    *at++ = (1 << 3) | 2;
    if (len >= 0x80)
        *at++ = (uint8_t)(0x80 | (len & 0x7f));
    *at++ = (uint8_t)(len >= 0x80 ? len >> 7 : len);
    cairn__head__pack(&head, at);
    return row;
}
