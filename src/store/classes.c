/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Storage classes: names that clients give, and the codes that the chunks get. The code is stored
 * with each chunk, so a configuration that changes, or a class that is gone from it, is for new
 * objects only.
 */

#include "store/internal.h"

/* Those of S3 whose objects can be read at any time, for who asks for them out of habit; the
 * archive classes need RestoreObject. */
static const struct {
    const char *name;
    struct blob_class code;
} built_in[] = {
    {"", {0}},
    {"STANDARD", {0}},
    {"REDUCED_REDUNDANCY", {1}},
    {"STANDARD_IA", {0}},
    {"ONEZONE_IA", {0}},
    {"INTELLIGENT_TIERING", {0}},
    {"GLACIER_IR", {0}},
};

int store_class_find(const struct store *s, struct str name, struct blob_class *ret)
{
    for (unsigned i = 0; i < s->class_count; i++)
        if (str_eq(name, str_from(s->classes[i].name))) {
            *ret = s->classes[i].code;
            return 0;
        }
    for (unsigned i = 0; i < ARRAY_LEN(built_in); i++)
        if (str_eq(name, str_from(built_in[i].name))) {
            *ret = built_in[i].code;
            return 0;
        }
    return -ERR_INVALID_STORAGE_CLASS;
}

bool store_class_is_archive(const struct store *s, struct str name)
{
    for (unsigned i = 0; i < s->class_count; i++)
        if (str_eq(name, str_from(s->classes[i].name)))
            return s->classes[i].archive;
    return false;
}

static bool is_class_name(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '_')
            return false;
    }
    return name.len > 0 && name.len < STORE_CLASS_NAME_MAX && !str_eq(name, STR("STANDARD"));
}

static int parse_code(struct str text, struct blob_class *ret)
{
    struct str rest = text, k_text;
    uint64_t k, m;
    if (!str_cut(&rest, '+', &k_text) || str_to_u64(k_text, &k) || str_to_u64(rest, &m) || k < 1 ||
        k > UINT8_MAX || m > UINT8_MAX)
        return -EINVAL;
    struct blob_class code = blob_class_own((uint8_t)k, (uint8_t)m);
    if (!blob_class_is_valid(code))
        return -EINVAL;
    *ret = code;
    return 0;
}

int store_class_parse(struct str text, struct store_class *ret)
{
    struct store_class c = {.name = ""};
    struct str rest = text, name, code;
    if (!str_cut(&rest, '=', &name) || !is_class_name(name) || !str_cut(&rest, ',', &code) ||
        parse_code(code, &c.code) < 0)
        return -EINVAL;
    if (rest.ptr && !str_eq(rest, STR("archive")))
        return -EINVAL;
    c.archive = rest.ptr != NULL;
    memcpy(c.name, name.ptr, name.len);
    *ret = c;
    return 0;
}

unsigned store_classes_widest(const struct store_class *classes, unsigned count)
{
    unsigned most = 0;
    for (unsigned i = 0; i < count; i++) {
        struct blob_code code = blob_code_for(classes[i].code, BLOB_SHARDS_MAX, BLOB_CHUNK_MAX);
        most = MAX(most, (unsigned)code.k + code.m);
    }
    return most;
}
