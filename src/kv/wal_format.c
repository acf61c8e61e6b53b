/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "kv/wal.h"

static uint32_t head_crc(const struct wal_head *h)
{
    return hash_crc32c(0, h, offsetof(struct wal_head, crc));
}

void wal_head_seal(struct wal_head *h)
{
    h->magic = WAL_HEAD_MAGIC;
    h->version = WAL_VERSION;
    h->zero = h->zero2 = 0;
    h->crc = head_crc(h);
}

bool wal_head_valid(const struct wal_head *h)
{
    return h->magic == WAL_HEAD_MAGIC && h->version == WAL_VERSION && h->crc == head_crc(h);
}

static uint32_t frame_crc(const struct wal_frame *f)
{
    return hash_crc32c(0, f, offsetof(struct wal_frame, crc));
}

void wal_frame_seal(struct wal_frame *f, const void *data)
{
    f->magic = WAL_FRAME_MAGIC;
    f->data_crc = hash_crc32c(0, data, f->len_bytes);
    f->crc = frame_crc(f);
}

bool wal_frame_valid(const struct wal_frame *f, const struct wal_id *id)
{
    return f->magic == WAL_FRAME_MAGIC && f->len_bytes > 0 && f->id.lo == id->lo &&
           f->id.hi == id->hi && f->crc == frame_crc(f);
}

uint64_t wal_number(const char *path)
{
    struct str name = str_from(path);
    if (!str_ends(name, STR(".log")))
        return 0;
    size_t end = name.len - 4, begin = end;
    while (begin > 0 && name.ptr[begin - 1] != '/')
        begin--;
    uint64_t v = 0;
    return str_to_u64(str_make(name.ptr + begin, end - begin), &v) < 0 ? 0 : v;
}
