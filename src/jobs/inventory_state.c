/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "jobs/inventory.h"
#include "base/encode.h"
#include "base/error.h"
#include "jobs/job.pb-c.h"

#define NOTE_LEN (8 + HASH_MD5_LEN) /* a file of the cursor */

struct inventory_state *inventory_state_new(void)
{
    struct inventory_state *s = calloc(1, sizeof(*s));
    if (s)
        s->files = calloc(INVENTORY_FILES_MAX, sizeof(*s->files));
    if (s && !s->files) {
        free(s);
        return NULL;
    }
    return s;
}

void inventory_state_free(struct inventory_state *s)
{
    if (s)
        free(s->files);
    free(s);
}

/* ---- packing -------------------------------------------------------------------------------- */

static ProtobufCBinaryData bytes_of(const void *data, size_t len)
{
    return (ProtobufCBinaryData){len, (uint8_t *)(uintptr_t)data};
}

static void put_notes(const struct inventory_state *s, uint8_t *to)
{
    for (uint32_t n = 0; n < s->file_count; n++, to += NOTE_LEN) {
        put_be64(to, s->files[n].len_bytes);
        memcpy(to + 8, s->files[n].md5, HASH_MD5_LEN);
    }
}

static int pack(Jobs__Inventory *pb, struct str *ret)
{
    uint8_t *packed = malloc(jobs__inventory__get_packed_size(pb) + 1);
    if (!packed)
        return -ENOMEM;
    *ret = str_make(packed, jobs__inventory__pack(pb, packed));
    return 0;
}

int inventory_state_pack(const struct inventory_state *s, struct str *ret)
{
    Jobs__Inventory pb = JOBS__INVENTORY__INIT;
    _cleanup_free_ uint8_t *notes = malloc((size_t)s->file_count * NOTE_LEN + 1);
    if (!notes)
        return -ENOMEM;
    put_notes(s, notes);
    pb.begun_ms = s->begun_ms;
    pb.walking = s->walking;
    pb.again = s->again;
    pb.bucket = bytes_of(s->bucket, s->bucket_len);
    pb.id = bytes_of(s->id, s->id_len);
    pb.open = s->open;
    pb.source = s->source.n;
    pb.put_ms = s->put_ms;
    pb.report_ms = s->report_ms;
    pb.placed = s->placed;
    pb.key = bytes_of(s->key, s->key_len);
    pb.null_version = s->version.kind == STORE_VERSION_NULL;
    pb.seq = s->version.seq;
    pb.rows = s->rows;
    pb.files = bytes_of(notes, (size_t)s->file_count * NOTE_LEN);
    pb.n_failed = s->failed_count;
    pb.failed = (uint64_t *)(uintptr_t)s->failed;
    pb.n_retried = s->retried_count;
    pb.retried = (uint64_t *)(uintptr_t)s->retried;
    pb.retry_ms = s->retry_ms;
    pb.retries = s->retries;
    return pack(&pb, ret);
}

/* ---- unpacking ------------------------------------------------------------------------------ */

static bool fits(const Jobs__Inventory *pb)
{
    return pb->bucket.len <= sizeof((struct inventory_state){0}.bucket) &&
           pb->id.len <= INVENTORY_ID_MAX && pb->key.len <= STORE_KEY_MAX &&
           pb->files.len % NOTE_LEN == 0 && pb->files.len / NOTE_LEN <= INVENTORY_FILES_MAX &&
           pb->n_failed <= INVENTORY_FAILED_MAX && pb->n_retried <= INVENTORY_FAILED_MAX &&
           (!pb->open || (pb->walking && pb->bucket.len && pb->id.len)) &&
           (!pb->placed || pb->open);
}

static void get_notes(struct inventory_state *s, const ProtobufCBinaryData *from)
{
    const uint8_t *at = from->data;
    s->file_count = (uint32_t)(from->len / NOTE_LEN);
    for (uint32_t n = 0; n < s->file_count; n++, at += NOTE_LEN) {
        s->files[n].len_bytes = get_be64(at);
        memcpy(s->files[n].md5, at + 8, HASH_MD5_LEN);
    }
}

static size_t get_bytes(char *to, const ProtobufCBinaryData *from)
{
    if (from->len)
        memcpy(to, from->data, from->len);
    return from->len;
}

static size_t get_hashes(uint64_t *to, const uint64_t *from, size_t count)
{
    if (count)
        memcpy(to, from, count * sizeof(*to));
    return count;
}

static void fill(struct inventory_state *s, const Jobs__Inventory *pb)
{
    s->begun_ms = pb->begun_ms;
    s->walking = pb->walking;
    s->again = pb->again;
    s->bucket_len = get_bytes(s->bucket, &pb->bucket);
    s->id_len = get_bytes(s->id, &pb->id);
    s->open = pb->open;
    s->source = (struct bucket_id){pb->source};
    s->put_ms = pb->put_ms;
    s->report_ms = pb->report_ms;
    s->placed = pb->placed;
    s->key_len = get_bytes(s->key, &pb->key);
    s->version = (struct store_version_ref){
        .kind = pb->null_version ? STORE_VERSION_NULL : STORE_VERSION_SEQ, .seq = pb->seq};
    s->rows = pb->rows;
    get_notes(s, &pb->files);
    s->failed_count = get_hashes(s->failed, pb->failed, pb->n_failed);
    s->retried_count = get_hashes(s->retried, pb->retried, pb->n_retried);
    s->retry_ms = pb->retry_ms;
    s->retries = pb->retries;
}

int inventory_state_unpack(struct str cursor, struct inventory_state *s)
{
    Jobs__Inventory *pb = jobs__inventory__unpack(NULL, cursor.len, (const uint8_t *)cursor.ptr);
    int r = pb && fits(pb) ? 0 : -ERR_CORRUPT;
    if (r == 0)
        fill(s, pb);
    if (pb)
        jobs__inventory__free_unpacked(pb, NULL);
    return r;
}
