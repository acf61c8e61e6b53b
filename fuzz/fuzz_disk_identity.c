/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* A disk.id of any bytes: what is believed is written back as the very same bytes. */

#include "fuzz.h"
#include "base/error.h"
#include "volume/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct disk_identity id;
    char text[DISK_IDENTITY_MAX];
    struct str in = str_make(data, len);
    if (disk_identity_parse(in, &id) != 0)
        return 0;
    struct str out = disk_identity_format(&id, text);
    struct disk_identity again;
    CHECK(disk_identity_parse(out, &again) == 0);
    CHECK(again.stored == id.stored && again.number == id.number);
    CHECK(memcmp(again.disk, id.disk, 16) == 0 && memcmp(again.store, id.store, 16) == 0);
    return 0;
}
