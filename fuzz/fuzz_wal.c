/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * A log from a damaged disk. The first byte says whether the checksums are put right first: those
 * of the head, and of each frame that fits. What is read is what is judged, and a cut leaves just
 * that.
 */

#include "fuzz.h"
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/error.h"
#include "kv/wal.h"

#define LEN_MAX (256 * KIB)

static void put_right(uint8_t *file, size_t len)
{
    struct wal_head h;
    if (len < WAL_BLOCK)
        return;
    memcpy(&h, file, sizeof(h));
    h.log = 1;
    wal_head_seal(&h);
    memcpy(file, &h, sizeof(h));
    for (size_t at = WAL_BLOCK; at + sizeof(struct wal_frame) < len; at += WAL_BLOCK) {
        struct wal_frame f;
        memcpy(&f, file + at, sizeof(f));
        if (f.magic != WAL_FRAME_MAGIC || f.len_bytes > len - at - sizeof(f))
            continue;
        f.id = h.id;
        wal_frame_seal(&f, file + at + sizeof(f));
        memcpy(file + at, &f, sizeof(f));
    }
}

/* Bytes of the stream, or what reading or judging it answers. */
static int64_t read_all(const char *path, bool *ret_torn, uint64_t *ret_frames)
{
    struct wal_reader *r;
    char bytes[1000];
    int64_t len = 0;
    int e = wal_open(&r, path, 1);
    if (e < 0)
        return e;
    bool framed = wal_is_framed(r);
    for (ssize_t got; (got = wal_read(r, bytes, sizeof(bytes))) != 0; len += got)
        CHECK(got > 0);
    wal_reader_free(r);
    *ret_frames = 0;
    *ret_torn = false;
    if (!framed)
        return len;
    CHECK(wal_open(&r, path, 1) == 0);
    e = wal_check(r, ret_frames, ret_torn);
    wal_reader_free(r);
    return e < 0 ? e : len;
}

static void check_file(const char *path)
{
    bool torn;
    uint64_t frames, again;
    int64_t len = read_all(path, &torn, &frames);
    if (len < 0) {
        CHECK(len == -ERR_CORRUPT);
        return;
    }
    CHECK((len == 0) == (frames == 0) || frames == 0);
    CHECK(wal_cut(path, 1, (uint64_t)len) == 0);
    CHECK(read_all(path, &torn, &again) == len && again == frames && !torn);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char path[64];
    uint8_t *file;
    if (len < 1 || len > LEN_MAX)
        return 0;
    int fd = memfd_create("log", MFD_CLOEXEC);
    CHECK(fd >= 0 && (file = malloc(len)));
    memcpy(file, data + 1, len - 1);
    if (data[0] & 1)
        put_right(file, len - 1);
    CHECK(write(fd, file, len - 1) == (ssize_t)(len - 1));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    check_file(path);
    close(fd);
    free(file);
    return 0;
}
