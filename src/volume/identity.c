/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "volume/identity.h"
#include <stdio.h>
#include "base/encode.h"
#include "base/hash.h"

#define FORM_1   "cairn disk 1\n"
#define FORM_2   "cairn disk 2\n"
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

int disk_identity_parse(struct str text, struct disk_identity *ret)
{
    struct disk_identity id = {.stored = false};
    if (str_starts(text, STR(FORM_2)))
        return parse_second(text, ret);
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
    return err ? err : disk_identity_parse(str_make(text, len), ret);
}

int FIBER disk_identity_write(const char *dir, const struct disk_identity *id)
{
    char path[PATH_LEN], text[DISK_IDENTITY_MAX];
    int err = path_of(dir, path);
    return err ? err : rt_write_file(path, disk_identity_format(id, text));
}
