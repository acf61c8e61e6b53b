/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * States: a header block is gathered; what extends the next header (a long name, pax records)
 * likewise; data are handed on as they come; padding is passed over. A block of zeros ends the
 * archive, and whatever is behind it is not looked at.
 */

#include "wire/tar.h"
#include "base/error.h"
#include <errno.h>

/* Offsets and lengths of the fields of a header. */
enum {
    NAME_LEN = 100,
    SIZE_AT = 124,
    SIZE_LEN = 12,
    SUM_AT = 148,
    SUM_LEN = 8,
    TYPE_AT = 156,
    MAGIC_AT = 257,
    PREFIX_AT = 345,
    PREFIX_LEN = 155,
};

/* ---- fields --------------------------------------------------------------------------------- */

static struct str field_text(const char *p, size_t max)
{
    return str_make(p, strnlen(p, max));
}

static int parse_octal(const char *p, size_t len, uint64_t *ret)
{
    uint64_t v = 0;
    size_t i = 0;
    while (i < len && p[i] == ' ')
        i++;
    for (; i < len && p[i] >= '0' && p[i] <= '7'; i++) {
        if (v >> 60)
            return -ERR_PARSE;
        v = v * 8 + (uint64_t)(p[i] - '0');
    }
    if (i < len && p[i] != ' ' && p[i] != 0)
        return -ERR_PARSE;
    *ret = v;
    return 0;
}

/* GNU: the first bit says that the rest is the number itself, big-endian. */
static int parse_binary(const char *p, size_t len, uint64_t *ret)
{
    uint64_t v = (uint8_t)p[0] & 0x7f;
    for (size_t i = 1; i < len; i++) {
        if (v >> 55)
            return -ERR_PARSE;
        v = v << 8 | (uint8_t)p[i];
    }
    *ret = v;
    return 0;
}

static int parse_size(const char *p, uint64_t *ret)
{
    return (uint8_t)p[0] & 0x80 ? parse_binary(p, SIZE_LEN, ret) : parse_octal(p, SIZE_LEN, ret);
}

/* Of all bytes, the sum's own being blanks; old programs added them up as signed. */
static bool sum_fits(const char block[TAR_BLOCK])
{
    uint64_t told;
    int64_t as_unsigned = 0, as_signed = 0;
    for (unsigned i = 0; i < TAR_BLOCK; i++) {
        char c = i >= SUM_AT && i < SUM_AT + SUM_LEN ? ' ' : block[i];
        as_unsigned += (uint8_t)c;
        as_signed += (int8_t)c;
    }
    return parse_octal(block + SUM_AT, SUM_LEN, &told) == 0 &&
           ((int64_t)told == as_unsigned || (int64_t)told == as_signed);
}

static bool is_zeros(const char block[TAR_BLOCK])
{
    for (unsigned i = 0; i < TAR_BLOCK; i++)
        if (block[i])
            return false;
    return true;
}

/* ---- names ---------------------------------------------------------------------------------- */

static int set_name(struct tar *t, struct str name)
{
    if (name.len == 0 || name.len > TAR_NAME_MAX)
        return -ERR_PARSE;
    memcpy(t->name, name.ptr, name.len);
    t->name_len = name.len;
    return 0;
}

/* POSIX has a prefix, which GNU's headers use for other things. */
static int name_of_header(struct tar *t)
{
    struct str name = field_text(t->block, NAME_LEN);
    struct str prefix = memcmp(t->block + MAGIC_AT, "ustar\0", 6) == 0
                            ? field_text(t->block + PREFIX_AT, PREFIX_LEN)
                            : STR("");
    if (prefix.len == 0)
        return set_name(t, name);
    if (name.len == 0)
        return -ERR_PARSE;
    memcpy(t->name, prefix.ptr, prefix.len);
    t->name[prefix.len] = '/';
    memcpy(t->name + prefix.len + 1, name.ptr, name.len);
    t->name_len = prefix.len + 1 + name.len;
    return 0;
}

/* ---- what extends a header ------------------------------------------------------------------ */

static int take_record(struct tar *t, struct str name, struct str value)
{
    if (str_starts(name, STR("GNU.sparse.")))
        return -ERR_PARSE;
    if (str_eq(name, STR("path"))) {
        t->named = true;
        return set_name(t, value);
    }
    if (!str_eq(name, STR("size")))
        return 0;
    t->sized = true;
    return str_to_u64(value, &t->next_len) || t->next_len >> 62 ? -ERR_PARSE : 0;
}

/* "LENGTH NAME=VALUE\n", the length being that of the whole. */
static int take_pax(struct tar *t, struct str rest)
{
    while (rest.len) {
        uint64_t len;
        ptrdiff_t blank = str_find_char(rest, ' ', 0);
        if (blank <= 0 || str_to_u64(str_prefix(rest, (size_t)blank), &len) || len > rest.len ||
            len < (size_t)blank + 3 || rest.ptr[len - 1] != '\n')
            return -ERR_PARSE;
        struct str record = str_from_offset(str_prefix(rest, len - 1), (size_t)blank + 1);
        ptrdiff_t mark = str_find_char(record, '=', 0);
        if (mark <= 0)
            return -ERR_PARSE;
        int r = take_record(t, str_prefix(record, (size_t)mark),
                            str_from_offset(record, (size_t)mark + 1));
        if (r < 0)
            return r;
        rest = str_from_offset(rest, len);
    }
    return 0;
}

static int take_extra(struct tar *t)
{
    struct str extra = str_make(t->extra, t->have);
    if (t->kind == 'x')
        return take_pax(t, extra);
    if (t->kind != 'L')
        return 0; /* the name of a link, or what goes for all entries */
    t->named = true;
    return set_name(t, field_text(extra.ptr, extra.len));
}

/* ---- headers -------------------------------------------------------------------------------- */

static void expect_bytes(struct tar *t, uint64_t len)
{
    t->left = len;
    t->padding = (uint32_t)(-len % TAR_BLOCK);
}

static int begin_extra(struct tar *t, char kind, uint64_t len)
{
    if (len > TAR_EXTRA_MAX)
        return -ERR_PARSE;
    t->kind = kind;
    t->have = 0;
    t->state = TAR_AT_EXTRA;
    expect_bytes(t, len);
    return 0;
}

/* Links, devices and folders have no data, whatever some programs write as their size. */
static int type_of(char kind, uint64_t *len, enum tar_type *ret)
{
    switch (kind) {
    case 0:
    case '0':
    case '7':
        *ret = TAR_FILE;
        return 0;
    case '1': /* data of a hard link: there or not, by program */
        *ret = TAR_OTHER;
        return *len ? -ERR_PARSE : 0;
    case 'S':
        return -ERR_PARSE;
    case '5':
        *ret = TAR_FOLDER;
        *len = 0;
        return 0;
    case '2':
    case '3':
    case '4':
    case '6':
        *ret = TAR_OTHER;
        *len = 0;
        return 0;
    default:
        *ret = TAR_OTHER;
        return 0;
    }
}

static int begin_entry(struct tar *t, char kind, uint64_t len)
{
    enum tar_type type = TAR_OTHER;
    if (t->sized)
        len = t->next_len;
    int r = t->named ? 0 : name_of_header(t);
    if (r == 0)
        r = type_of(kind, &len, &type);
    if (r < 0)
        return r;
    if (type == TAR_FILE && t->name[t->name_len - 1] == '/')
        type = TAR_FOLDER; /* as before POSIX; its data, if any, are passed over */
    t->entry = (struct tar_entry){str_make(t->name, t->name_len), type, len};
    t->named = t->sized = false;
    t->state = TAR_AT_DATA;
    expect_bytes(t, len);
    return 0;
}

static int take_header(struct tar *t, enum tar_step *ret_step)
{
    uint64_t len;
    char kind = t->block[TYPE_AT];
    t->have = 0;
    if (is_zeros(t->block)) {
        t->state = TAR_ENDED;
        return t->named || t->sized ? -ERR_PARSE : 0;
    }
    if (!sum_fits(t->block) || parse_size(t->block + SIZE_AT, &len))
        return -ERR_PARSE;
    if (kind == 'L' || kind == 'K' || kind == 'x' || kind == 'g')
        return begin_extra(t, kind, len);
    int r = begin_entry(t, kind, len);
    if (r == 0)
        *ret_step = TAR_ENTRY;
    return r;
}

/* ---- steps ---------------------------------------------------------------------------------- */

static int step_header(struct tar *t, struct str in, size_t *ret_used, enum tar_step *ret_step)
{
    size_t n = MIN(in.len, TAR_BLOCK - t->have);
    memcpy(t->block + t->have, in.ptr, n);
    t->have += n;
    *ret_used = n;
    return t->have == TAR_BLOCK ? take_header(t, ret_step) : 0;
}

static int step_extra(struct tar *t, struct str in, size_t *ret_used)
{
    size_t n = (size_t)MIN((uint64_t)in.len, t->left);
    memcpy(t->extra + t->have, in.ptr, n);
    t->have += n;
    t->left -= n;
    *ret_used = n;
    if (t->left)
        return 0;
    int r = take_extra(t);
    t->have = 0;
    t->state = TAR_AT_PADDING;
    return r;
}

static void step_data(struct tar *t, struct str in, size_t *ret_used, enum tar_step *ret_step,
                      struct str *ret_data)
{
    size_t n = (size_t)MIN((uint64_t)in.len, t->left);
    if (t->left == 0) {
        t->state = TAR_AT_PADDING;
        *ret_step = TAR_LAST;
        return;
    }
    if (n == 0)
        return;
    *ret_data = str_prefix(in, n);
    *ret_step = TAR_DATA;
    *ret_used = n;
    t->left -= n;
}

static void step_padding(struct tar *t, struct str in, size_t *ret_used)
{
    size_t n = MIN(in.len, (size_t)t->padding);
    t->padding -= (uint32_t)n;
    *ret_used = n;
    if (t->padding == 0)
        t->state = TAR_AT_HEADER;
}

static int step(struct tar *t, struct str in, size_t *ret_used, enum tar_step *ret_step,
                struct str *ret_data)
{
    switch (t->state) {
    case TAR_AT_HEADER:
        return step_header(t, in, ret_used, ret_step);
    case TAR_AT_EXTRA:
        return step_extra(t, in, ret_used);
    case TAR_AT_DATA:
        step_data(t, in, ret_used, ret_step, ret_data);
        return 0;
    case TAR_AT_PADDING:
        step_padding(t, in, ret_used);
        return 0;
    case TAR_ENDED:
        *ret_used = in.len;
        return 0;
    }
    return -ERR_PARSE;
}

/* Data of no bytes end without input. */
static bool can_go_on(const struct tar *t, struct str in)
{
    return in.len > 0 || (t->state == TAR_AT_DATA && t->left == 0) ||
           (t->state == TAR_AT_EXTRA && t->left == 0);
}

int tar_next(struct tar *t, struct str in, size_t *ret_used, enum tar_step *ret_step,
             struct str *ret_data)
{
    size_t used = 0;
    *ret_step = TAR_MORE;
    *ret_data = STR_NULL;
    while (*ret_step == TAR_MORE && can_go_on(t, str_from_offset(in, used))) {
        size_t n = 0;
        int r = step(t, str_from_offset(in, used), &n, ret_step, ret_data);
        if (r < 0)
            return r;
        used += n;
    }
    *ret_used = used;
    return 0;
}

int tar_eof(const struct tar *t)
{
    bool between = t->state == TAR_AT_HEADER && t->have == 0 && !t->named && !t->sized;
    bool padded = t->state == TAR_AT_PADDING && t->padding == 0;
    return t->state == TAR_ENDED || between || padded ? 0 : -ERR_PARSE;
}
