/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "volume/identity.h"
#include <stdio.h>
#include "base/encode.h"
#include "base/hash.h"
#include "volume/format.h"

#define FORM_1   "cairn disk 1\n"
#define FORM_2   "cairn disk 2\n"
#define SUM_LEN  13 /* "crc 01234567\n" */
#define PATH_LEN 4096

/* ---- bytes ---------------------------------------------------------------------------------- */

/* Cuts "NAME VALUE\n" off; false unless the line is of that name. */
static bool cut_field(struct str *rest, struct str name, struct str *ret)
{
    struct str line;
    if (str_find_char(*rest, '\n', 0) < 0 || !str_cut(rest, '\n', &line) || !str_starts(line, name))
        return false;
    *ret = str_from_offset(line, name.len);
    return true;
}

static bool parse_uuid(struct str text, uint8_t ret[16])
{
    return text.len == 32 && hex_decode(text, ret, 16) == 0;
}

static uint32_t sum_of(struct str text)
{
    return hash_crc32c(0, text.ptr, text.len);
}

static int parse_second(struct str text, struct disk_identity *ret)
{
    struct disk_identity id = {.stored = true};
    struct str rest = str_from_offset(text, sizeof(FORM_2) - 1), disk, store, number, crc;
    uint64_t n = 0;
    if (!cut_field(&rest, STR("disk "), &disk) || !cut_field(&rest, STR("store "), &store) ||
        !cut_field(&rest, STR("number "), &number))
        return -ERR_CORRUPT;
    struct str summed = str_prefix(text, text.len - rest.len);
    char want[16];
    snprintf(want, sizeof(want), "%08x", sum_of(summed));
    if (!cut_field(&rest, STR("crc "), &crc) || rest.len > 0 || !str_eq(crc, str_from(want)) ||
        !parse_uuid(disk, id.disk) || !parse_uuid(store, id.store) || str_to_u64(number, &n) != 0 ||
        n > UINT32_MAX)
        return -ERR_CORRUPT;
    id.number = (uint32_t)n;
    *ret = id;
    return 0;
}

/* "cairn disk N" above our own, and the sum of it all at the end: else it is damage. */
static bool is_of_later_version(struct str text)
{
    struct str rest = text, line;
    char sum[16];
    uint64_t version;
    if (text.len < SUM_LEN || !cut_field(&rest, STR("cairn disk "), &line) ||
        str_to_u64(line, &version) != 0 || version <= 2)
        return false;
    snprintf(sum, sizeof(sum), "crc %08x\n", sum_of(str_prefix(text, text.len - SUM_LEN)));
    return str_ends(text, str_from(sum));
}

int disk_identity_parse(struct str text, struct disk_identity *ret)
{
    struct disk_identity id = {.stored = false};
    if (str_starts(text, STR(FORM_2)))
        return parse_second(text, ret);
    if (is_of_later_version(text))
        return -ENOTSUP;
    struct str rest = str_from_offset(text, MIN(text.len, sizeof(FORM_1) - 1)), disk;
    if (!str_starts(text, STR(FORM_1)) || !cut_field(&rest, STR(""), &disk) || rest.len > 0 ||
        !parse_uuid(disk, id.disk))
        return -ERR_CORRUPT;
    *ret = id;
    return 0;
}

struct str disk_identity_format(const struct disk_identity *id, char ret[DISK_IDENTITY_MAX])
{
    char disk[33] = "", store[33] = "";
    hex_encode(id->disk, 16, disk);
    hex_encode(id->store, 16, store);
    int len;
    if (id->stored) {
        len = snprintf(ret, DISK_IDENTITY_MAX, FORM_2 "disk %.32s\nstore %.32s\nnumber %u\n", disk,
                       store, id->number);
        uint32_t crc = sum_of(str_make(ret, (size_t)len));
        len += snprintf(ret + len, DISK_IDENTITY_MAX - (size_t)len, "crc %08x\n", crc);
    } else {
        len = snprintf(ret, DISK_IDENTITY_MAX, FORM_1 "%.32s\n", disk);
    }
    return str_make(ret, (size_t)len);
}

/* ---- the file ------------------------------------------------------------------------------- */

static int path_of(const char *dir, char ret[PATH_LEN])
{
    int n = snprintf(ret, PATH_LEN, "%s/disk.id", dir);
    return n > 0 && n < PATH_LEN ? 0 : -ENAMETOOLONG;
}

int FIBER disk_identity_read(const char *dir, struct disk_identity *ret)
{
    char path[PATH_LEN], text[DISK_IDENTITY_MAX + 1];
    size_t len;
    int err = path_of(dir, path);
    if (err == 0)
        err = rt_read_file(path, text, sizeof(text), &len);
    if (err == -ERR_TOO_LARGE)
        err = -ERR_CORRUPT;
    return err ? err : disk_identity_parse(str_make(text, len), ret);
}

int FIBER disk_identity_write(const char *dir, const struct disk_identity *id)
{
    char path[PATH_LEN], text[DISK_IDENTITY_MAX];
    int err = path_of(dir, path);
    return err ? err : rt_write_file(path, disk_identity_format(id, text));
}

/* ---- from the volumes ----------------------------------------------------------------------- */

struct recall {
    char dir[PATH_LEN];
    uint32_t volume, after; /* the lowest number above `after` */
    bool found;             /* a sound superblock, which names `id` */
    struct disk_identity id;
};

static int next_volume(const char *name, void *arg)
{
    struct recall *r = arg;
    uint64_t n = 0;
    struct str s = str_from(name);
    if (s.len == 12 && str_ends(s, STR(".vol")) && str_to_u64(str_prefix(s, 8), &n) == 0 &&
        n > r->after && (r->volume == 0 || n < r->volume))
        r->volume = (uint32_t)n;
    return 0;
}

static int take_superblock(struct recall *r, const struct superblock *s)
{
    if (r->found && memcmp(r->id.disk, s->disk, sizeof(s->disk)) != 0)
        return -ERR_CORRUPT;
    memcpy(r->id.disk, s->disk, sizeof(s->disk));
    r->found = true;
    return 0;
}

/* A volume that cannot be read says nothing. */
static int FIBER recall_from(struct recall *r)
{
    char path[PATH_LEN + 16];
    struct rt_file *f = NULL;
    int err = 0;
    snprintf(path, sizeof(path), "%s/%08u.vol", r->dir, r->volume);
    if (rt_file_open(&f, path, RT_OPEN_READ) < 0)
        return 0;
    for (unsigned i = 0; i < SUPERBLOCK_COUNT && err == 0; i++) {
        struct superblock s;
        size_t got = 0;
        if (rt_file_read(f, &s, sizeof(s), i * SUPERBLOCK_STEP, &got) == 0 && got == sizeof(s) &&
            superblock_valid(&s, r->volume))
            err = take_superblock(r, &s);
    }
    rt_file_close(f);
    return err;
}

int FIBER disk_identity_recall(const char *dir, struct disk_identity *ret)
{
    struct recall r = {.id = {.stored = false}};
    int n = snprintf(r.dir, sizeof(r.dir), "%s/volumes", dir), err;
    if (n >= (int)sizeof(r.dir))
        return -ENAMETOOLONG;
    do {
        r.after = r.volume;
        r.volume = 0;
        err = rt_dir_list(r.dir, next_volume, &r);
        if (err == 0 && r.volume > 0)
            err = recall_from(&r);
    } while (err == 0 && r.volume > 0);
    if (err == 0 && r.found)
        *ret = r.id;
    return err < 0 ? err : r.found ? 0 : -ENOENT;
}
