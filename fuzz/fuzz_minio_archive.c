/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* A file of an export; the first byte says which. What is taken has the shape it is used by. */

#include "fuzz.h"

#include "cli/admin/minio_archive.h"

static void use(enum minio_file kind, const json_t *entry)
{
    struct str rest = minio_text(entry, "policy"), name;
    size_t parts = 0;
    uint64_t expires_ms;
    while (minio_next_policy(&rest, &name)) {
        CHECK(name.len > 0 && str_find_char(name, ',', 0) < 0);
        CHECK(++parts <= minio_text(entry, "policy").len);
    }
    (void)minio_is_off(entry);
    (void)minio_expiry(entry, &expires_ms);
    if (kind == MINIO_USERS || kind == MINIO_SERVICES)
        CHECK(json_is_string(json_object_get(entry, "secretKey")));
    if (kind == MINIO_SERVICES)
        CHECK(json_string_value(json_object_get(entry, "parent")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *name;
    json_t *o, *entry;
    if (len == 0)
        return 0;
    enum minio_file kind = (enum minio_file)(data[0] % MINIO_FILE_COUNT);
    if (minio_file_parse(kind, str_make(data + 1, len - 1), &o))
        return 0;
    json_object_foreach(o, name, entry)
    {
        CHECK(name[0] && json_is_object(entry));
        use(kind, entry);
    }
    json_decref(o);
    return 0;
}
