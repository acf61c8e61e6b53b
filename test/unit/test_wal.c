/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* The log's file: what is synced is read, what is stale never is, and damage is told from tears. */

#include "test/unit/unit.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/error.h"
#include "kv/rocks_internal.h"
#include "kv/wal.h"

static _Atomic int sync_error_; /* what each sync fails with, or 0 */

/* In the place of the C library's. */
int fdatasync(int fd)
{
    errno = sync_error_;
    return sync_error_ ? -1 : (int)syscall(SYS_fdatasync, fd);
}

struct dir {
    char path[64], log[100], next[100], known[100];
};

static int setup(void **state)
{
    struct dir *d = calloc(1, sizeof(*d));
    snprintf(d->path, sizeof(d->path), "/tmp/cairn-wal-XXXXXX");
    assert_non_null(mkdtemp(d->path));
    snprintf(d->log, sizeof(d->log), "%s/000007.log", d->path);
    snprintf(d->next, sizeof(d->next), "%s/000009.log", d->path);
    snprintf(d->known, sizeof(d->known), "%s/" WAL_KNOWN_NAME, d->path);
    *state = d;
    return 0;
}

static int teardown(void **state)
{
    struct dir *d = *state;
    char command[100];
    snprintf(command, sizeof(command), "rm -r %s", d->path);
    assert_int_equal(system(command), 0);
    free(d);
    return 0;
}

/* The byte at each place of a stream. */
static char byte_at(uint64_t at)
{
    return (char)(at * 2654435761u >> 13);
}

static void append(struct wal_writer *w, size_t len)
{
    uint64_t at = wal_len(w);
    char *bytes = malloc(len);
    for (size_t i = 0; i < len; i++)
        bytes[i] = byte_at(at + i);
    bool lost;
    assert_int_equal(wal_append(w, bytes, len, &lost), 0);
    free(bytes);
}

static void append_synced(struct wal_writer *w, size_t len)
{
    bool lost;
    append(w, len);
    assert_int_equal(wal_sync(w, &lost), 0);
}

static void close_log(struct wal_writer *w)
{
    bool lost;
    assert_int_equal(wal_close(w, &lost), 0);
}

static struct wal_writer *create(const char *path)
{
    struct wal_writer *w;
    assert_int_equal(wal_create(&w, path), 0);
    return w;
}

static int open_log(struct wal_reader **ret, const char *path)
{
    return wal_open(ret, path, wal_number(path));
}

/* All of it, as it was written. */
static uint64_t read_stream(const char *path)
{
    struct wal_reader *r;
    char bytes[777];
    uint64_t len = 0;
    ssize_t got;
    assert_int_equal(open_log(&r, path), 0);
    while ((got = wal_read(r, bytes, sizeof(bytes))) > 0)
        for (ssize_t i = 0; i < got; i++, len++)
            assert_int_equal(bytes[i], byte_at(len));
    assert_int_equal(got, 0);
    wal_reader_free(r);
    return len;
}

/* Frames, or the error of judging it. */
static int check(const char *path, bool *ret_torn)
{
    struct wal_reader *r;
    uint64_t frames = 0;
    int e = open_log(&r, path);
    if (e < 0)
        return e;
    assert_true(wal_is_framed(r));
    e = wal_check(r, &frames, ret_torn);
    wal_reader_free(r);
    return e < 0 ? e : (int)frames;
}

static void expect(const char *path, int frames, bool torn, uint64_t len)
{
    bool is_torn;
    assert_int_equal(check(path, &is_torn), frames);
    assert_int_equal(is_torn, torn);
    assert_int_equal(read_stream(path), len);
}

static uint64_t file_bytes(const char *path)
{
    struct stat s;
    assert_int_equal(stat(path, &s), 0);
    return (uint64_t)s.st_size;
}

static ino_t file_number(const char *path)
{
    struct stat s;
    assert_int_equal(stat(path, &s), 0);
    return s.st_ino;
}

/* ---- writing and reading --------------------------------------------------------------------- */

static void what_is_synced_is_read(void **state)
{
    struct dir *d = *state;
    static const size_t lens[] = {1, 100, 4055, 4056, 4057, 300000, 5 * MIB, 7};
    struct wal_writer *w = create(d->log);
    uint64_t len = 0;
    expect(d->log, 0, false, 0);
    for (unsigned i = 0; i < ARRAY_LEN(lens); i++) {
        append_synced(w, lens[i]);
        len += lens[i];
        expect(d->log, (int)i + 1, false, len);
    }
    append(w, 50);
    expect(d->log, ARRAY_LEN(lens), false, len);
    assert_int_equal(wal_len(w), len + 50);
    assert_int_equal(wal_number(d->log), 7);
    close_log(w); /* writes it */
    expect(d->log, ARRAY_LEN(lens) + 1, false, len + 50);
}

static void more_than_memory_should_hold_is_written_unasked(void **state)
{
    struct dir *d = *state;
    struct wal_writer *w = create(d->log);
    for (unsigned i = 0; i < 5; i++)
        append(w, 10 * MIB);
    expect(d->log, 1, false, 30 * MIB);
    close_log(w);
    expect(d->log, 2, false, 50 * MIB);
}

static void a_log_is_written_ahead_until_its_store_is_closed(void **state)
{
    struct dir *d = *state;
    struct wal_writer *w = create(d->log);
    append_synced(w, 10);
    uint64_t before = file_bytes(d->log);
    append_synced(w, 10);
    assert_true(before > 3 * WAL_BLOCK);
    assert_int_equal(file_bytes(d->log), before);
    struct wal_writer *next = create(d->next);
    close_log(w); /* not the newest */
    assert_int_equal(file_bytes(d->log), before);
    append_synced(next, 10);
    close_log(next);
    assert_int_equal(file_bytes(d->next), 2 * WAL_BLOCK);
}

static void a_log_of_before_there_were_frames_is_read_as_it_is(void **state)
{
    struct dir *d = *state;
    static const char record[20] = {1, 2, 3, 4, 13, 0, 1, 'x'};
    char got[100];
    struct wal_reader *r;
    FILE *f = fopen(d->log, "w");
    assert_int_equal(fwrite(record, 1, sizeof(record), f), sizeof(record));
    fclose(f);
    assert_int_equal(open_log(&r, d->log), 0);
    assert_false(wal_is_framed(r));
    assert_int_equal(wal_read(r, got, sizeof(got)), sizeof(record));
    assert_memory_equal(got, record, sizeof(record));
    wal_reader_free(r);
    assert_int_equal(truncate(d->log, 0), 0);
    assert_int_equal(open_log(&r, d->log), 0);
    assert_int_equal(wal_read(r, got, sizeof(got)), 0);
    wal_reader_free(r);
}

/* ---- spares ---------------------------------------------------------------------------------- */

static void a_log_in_a_spares_file_shows_nothing_of_the_one_before(void **state)
{
    struct dir *d = *state;
    struct wal_writer *w = create(d->log), *next = create(d->next);
    for (unsigned i = 0; i < 300; i++)
        append_synced(w, 5000);
    uint64_t bytes = file_bytes(d->log);
    ino_t number = file_number(d->log);
    close_log(w);
    assert_int_equal(wal_retire(d->log), 0);
    assert_int_equal(access(d->log, F_OK), -1);
    snprintf(d->log, sizeof(d->log), "%s/000012.log", d->path);
    w = create(d->log);
    assert_int_equal(file_number(d->log), number);
    assert_int_equal(file_bytes(d->log), bytes);
    expect(d->log, 0, false, 0);
    append_synced(w, 5000); /* as long as those that lie behind */
    expect(d->log, 1, false, 5000);
    append_synced(w, 100);
    append_synced(w, 5000);
    expect(d->log, 3, false, 10100);
    assert_int_equal(file_bytes(d->log), bytes);
    close_log(next);
    close_log(w);
}

static void few_spares_are_kept_and_short_ones_are_not(void **state)
{
    struct dir *d = *state;
    char log[100], command[200];
    struct wal_writer *w[7];
    for (unsigned i = 0; i < 7; i++) {
        snprintf(log, sizeof(log), "%s/00002%u.log", d->path, i);
        w[i] = create(log);
        if (i > 0)
            append_synced(w[i], 2000);
    }
    for (unsigned i = 0; i < 7; i++) {
        snprintf(log, sizeof(log), "%s/00002%u.log", d->path, i);
        close_log(w[i]);
        assert_int_equal(wal_retire(log), 0);
    }
    snprintf(command, sizeof(command), "test `ls %s | wc -l` = 5", d->path); /* and log.known */
    assert_int_equal(system(command), 0);
    wal_drop_spares(d->path);
    snprintf(command, sizeof(command), "test `ls %s | wc -l` = 1", d->path);
    assert_int_equal(system(command), 0);
    assert_int_equal(wal_retire(d->log), -ENOENT);
}

/* A power cut took a new name back: the file under the old one is neither log. */
static void a_file_under_another_logs_name_is_empty(void **state)
{
    struct dir *d = *state;
    struct wal_writer *w = create(d->log);
    append_synced(w, 1000);
    assert_int_equal(rename(d->log, d->next), 0);
    expect(d->next, 0, false, 0);
    assert_int_equal(rename(d->next, d->log), 0);
    expect(d->log, 1, false, 1000);
    close_log(w);
}

/* A power cut took back that a log went, whose file was a newer one's already. */
static void a_log_that_went_may_come_back_as_another(void **state)
{
    struct dir *d = *state;
    char newest[100];
    bool torn;
    snprintf(newest, sizeof(newest), "%s/000011.log", d->path);
    struct wal_writer *w = create(d->log);
    append_synced(w, 100);
    struct wal_writer *next = create(d->next); /* knows of that frame */
    append_synced(next, 100);
    ino_t number = file_number(d->log);
    close_log(w);
    assert_int_equal(wal_retire(d->log), 0);
    w = create(newest);
    assert_int_equal(file_number(newest), number);
    assert_int_equal(rename(newest, d->log), 0);
    struct wal_known k = {
        .log = wal_number(d->next), .len_bytes = WAL_BLOCK, .frames = 1, .retired = 7};
    assert_int_equal(wal_known_write(d->next, &k), 0); /* so this, too */
    assert_int_equal(rocks_log_check(d->path, &torn, NULL), 0);
    close_log(next);
    close_log(w);
}

struct thread {
    pthread_t id;
    const char *path;
    struct wal_writer *writer;
    _Atomic bool done;
};

static void *create_on_thread(void *arg)
{
    struct thread *t = arg;
    t->writer = create(t->path);
    t->done = true;
    return NULL;
}

static _Atomic bool opening_;

static void on_opening(int signal)
{
    opening_ = true;
}

/* Opening a file waits for whoever has a lease on it, as it may for a disk. */
static void a_directory_that_hangs_holds_up_no_other(void **state)
{
    struct dir *d = *state;
    char spare[100], dir[100], log[120];
    struct thread t = {.path = d->log};
    snprintf(spare, sizeof(spare), "%s/spare.0", d->path);
    snprintf(dir, sizeof(dir), "%s/other", d->path);
    snprintf(log, sizeof(log), "%s/000007.log", dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    int fd = open(spare, O_CREAT | O_RDWR, 0600);
    signal(SIGIO, on_opening);
    if (fcntl(fd, F_SETLEASE, F_WRLCK) < 0) {
        close(fd);
        skip();
    }
    assert_int_equal(pthread_create(&t.id, NULL, create_on_thread, &t), 0);
    while (!opening_)
        usleep(1000);
    struct wal_writer *other = create(log);
    append_synced(other, 100);
    close_log(other);
    wal_drop_spares(dir);
    assert_false(t.done);
    assert_int_equal(fcntl(fd, F_SETLEASE, F_UNLCK), 0);
    close(fd);
    pthread_join(t.id, NULL);
    close_log(t.writer);
}

/* ---- damage ---------------------------------------------------------------------------------- */

static void flip(const char *path, uint64_t at, unsigned bit)
{
    uint8_t byte;
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= (uint8_t)(1 << bit);
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

static void every_flipped_bit_of_a_head_is_found(void **state)
{
    struct dir *d = *state;
    struct wal_writer *w = create(d->log);
    bool torn;
    append_synced(w, 100);
    for (unsigned i = 0; i < 8 * sizeof(struct wal_head); i++) {
        flip(d->log, i / 8, i % 8);
        assert_int_equal(check(d->log, &torn), -ERR_CORRUPT);
        flip(d->log, i / 8, i % 8);
    }
    expect(d->log, 1, false, 100);
    close_log(w);
}

/* The first two frames were acknowledged before the third was begun; that one may be torn. */
static void every_flipped_bit_of_a_frame_is_found(void **state)
{
    struct dir *d = *state;
    const size_t header = sizeof(struct wal_frame);
    struct wal_writer *w = create(d->log);
    bool torn;
    for (unsigned i = 0; i < 3; i++)
        append_synced(w, 30);
    for (unsigned frame = 0; frame < 3; frame++) {
        for (unsigned i = 0; i < 8 * (header + 30); i++) {
            uint64_t at = (frame + 1) * WAL_BLOCK + i / 8;
            flip(d->log, at, i % 8);
            if (frame < 2) {
                assert_int_equal(check(d->log, &torn), -ERR_CORRUPT);
            } else {
                expect(d->log, 2, i / 8 >= header, 60);
            }
            flip(d->log, at, i % 8);
        }
    }
    expect(d->log, 3, false, 90);
    close_log(w);
}

/* Each of a frame's blocks may be missing, alone or with others, and so may the file's end. */
static void a_torn_frame_was_never_there(void **state)
{
    struct dir *d = *state;
    static const char zeros[WAL_BLOCK];
    struct wal_writer *w = create(d->log);
    char whole[4 * WAL_BLOCK];
    append_synced(w, 100);
    append_synced(w, 3 * WAL_BLOCK);
    close_log(w);
    int fd = open(d->log, O_RDWR);
    assert_int_equal(pread(fd, whole, sizeof(whole), 2 * WAL_BLOCK), sizeof(whole));
    for (unsigned missing = 1; missing < 16; missing++) {
        for (unsigned i = 0; i < 4; i++)
            if (missing & 1u << i)
                assert_int_equal(pwrite(fd, zeros, WAL_BLOCK, (2 + i) * WAL_BLOCK), WAL_BLOCK);
        expect(d->log, 1, !(missing & 1), 100);
        assert_int_equal(pwrite(fd, whole, sizeof(whole), 2 * WAL_BLOCK), sizeof(whole));
    }
    expect(d->log, 2, false, 100 + 3 * WAL_BLOCK);
    for (off_t len = 2 * WAL_BLOCK + 3 * WAL_BLOCK; len >= 2 * (off_t)WAL_BLOCK; len -= 1000) {
        bool torn;
        assert_int_equal(ftruncate(fd, len), 0);
        assert_int_equal(check(d->log, &torn), 1);
    }
    close(fd);
}

/* Without the log behind it nobody would know that its last frame was ever there. */
static void a_log_that_lost_its_last_frame_is_found_by_the_next_one(void **state)
{
    struct dir *d = *state;
    struct wal_writer *w = create(d->log);
    bool torn;
    append_synced(w, 100);
    append_synced(w, 100);
    struct wal_writer *next = create(d->next);
    assert_int_equal(rocks_log_check(d->path, &torn, NULL), 0);
    assert_false(torn);
    flip(d->log, 2 * WAL_BLOCK, 0);
    expect(d->log, 1, false, 100);
    assert_int_equal(rocks_log_check(d->path, &torn, NULL), -ERR_CORRUPT);
    close_log(next);
    close_log(w);
    assert_int_equal(unlink(d->next), 0);
    assert_int_equal(rocks_log_check(d->path, &torn, NULL), 0); /* nothing was in it */
    /* A log of the next start knows nothing of it: it may have been torn. */
    next = create(d->next);
    assert_int_equal(rocks_log_check(d->path, &torn, NULL), 0);
    close_log(next);
}

static void a_log_that_is_gone_or_cut_short_is_missed(void **state)
{
    struct dir *d = *state;
    struct stat st;
    bool torn;
    struct wal_writer *w = create(d->log);
    for (unsigned i = 0; i < 700; i++)
        append_synced(w, 2000); /* longer than what is written ahead at once */
    assert_int_equal(stat(d->log, &st), 0);
    assert_int_equal(rocks_log_check(d->path, &torn, NULL), 0);
    assert_int_equal(truncate(d->log, st.st_size / 2), 0);
    assert_int_equal(rocks_log_check(d->path, &torn, NULL), -ERR_CORRUPT);
    assert_int_equal(truncate(d->log, 0), 0);
    assert_int_equal(rocks_log_check(d->path, &torn, NULL), -ERR_CORRUPT);
    assert_int_equal(unlink(d->log), 0);
    assert_int_equal(rocks_log_check(d->path, &torn, NULL), -ERR_CORRUPT);
    close_log(w);
    close_log(create(d->next)); /* as a version does that knows nothing of this, after the start */
    struct wal_known k;
    assert_int_equal(wal_known_read(d->next, &k), 0);
    assert_int_equal(k.log, wal_number(d->next));
    assert_int_equal(k.len_bytes, WAL_BLOCK);
    k.retired = WAL_RETIRED_UNKNOWN;
    assert_int_equal(wal_known_write(d->next, &k), 0);
    assert_int_equal(rocks_log_check(d->path, &torn, NULL), 0);
    flip(d->known, 20, 3);
    assert_int_equal(wal_known_read(d->next, &k), 0);
    assert_int_equal(k.log, 0); /* and so nothing is missed */
}

static struct wal_known known(const struct dir *d)
{
    struct wal_known k;
    assert_int_equal(wal_known_read(d->log, &k), 0);
    return k;
}

static int judge(const struct dir *d, char *ret_why)
{
    bool torn;
    char why[ROCKS_WHY] = "";
    int r = rocks_log_check(d->path, &torn, why);
    assert_int_equal(r == 0, why[0] == 0);
    if (ret_why)
        memcpy(ret_why, why, sizeof(why));
    return r;
}

static void copy(const char *from, const char *to)
{
    char command[2048];
    snprintf(command, sizeof(command), "cp -p %s %s", from, to);
    assert_int_equal(system(command), 0);
}

static void zero(const char *path, uint64_t from, uint64_t to)
{
    static const char zeros[WAL_BLOCK];
    int fd = open(path, O_RDWR);
    for (uint64_t at = from; at < to; at += WAL_BLOCK)
        assert_int_equal(pwrite(fd, zeros, WAL_BLOCK, (off_t)at), WAL_BLOCK);
    close(fd);
}

/* What was killed leaves a log as it is, with what was written ahead. */
static void a_log_whose_end_is_cut_off_or_zeroed_is_missed(void **state)
{
    struct dir *d = *state;
    char whole[120], why[ROCKS_WHY];
    struct wal_writer *w = create(d->log);
    for (unsigned i = 0; i < 9; i++)
        append_synced(w, 100);
    uint64_t bytes = file_bytes(d->log);
    snprintf(whole, sizeof(whole), "%s/whole", d->path);
    copy(d->log, whole);
    for (uint64_t len = 0; len < bytes; len += len < 45000 ? 5000 : 300000) {
        assert_int_equal(truncate(d->log, (off_t)len), 0);
        assert_int_equal(judge(d, why), -ERR_CORRUPT);
        assert_true(len < WAL_BLOCK || strstr(why, "its end is gone"));
        copy(whole, d->log);
    }
    assert_int_equal(truncate(d->log, (off_t)bytes - 1), 0);
    assert_int_equal(judge(d, NULL), -ERR_CORRUPT);
    for (unsigned frames = 0; frames < 9; frames++) {
        copy(whole, d->log);
        zero(d->log, (1 + frames) * WAL_BLOCK, 10 * WAL_BLOCK);
        assert_int_equal(judge(d, why), -ERR_CORRUPT);
        assert_non_null(strstr(why, "its end is gone"));
    }
    copy(whole, d->log);
    assert_int_equal(judge(d, NULL), 0);
    close_log(w);
}

/* The same after a clean end, which leaves nothing behind the last frame. */
static void an_end_that_is_lost_after_a_clean_end_is_missed(void **state)
{
    struct dir *d = *state;
    struct wal_writer *w = create(d->log);
    for (unsigned i = 0; i < 9; i++)
        append_synced(w, 100);
    close_log(w);
    assert_int_equal(known(d).frames, 9);
    assert_int_equal(known(d).len_bytes, 10 * WAL_BLOCK);
    zero(d->log, 9 * WAL_BLOCK, 10 * WAL_BLOCK);
    assert_int_equal(judge(d, NULL), -ERR_CORRUPT);
    assert_int_equal(truncate(d->log, 9 * WAL_BLOCK), 0);
    assert_int_equal(judge(d, NULL), -ERR_CORRUPT);
}

/* A power cut leaves an older note, or a torn one: that asks for less, or for nothing. */
static void what_a_power_cut_leaves_is_not_missed(void **state)
{
    struct dir *d = *state;
    char older[8][120];
    struct wal_writer *w = create(d->log);
    for (unsigned i = 0; i < 8; i++) {
        snprintf(older[i], sizeof(older[i]), "%s/older%u", d->path, i);
        copy(d->known, older[i]);
        append_synced(w, 100);
    }
    for (unsigned i = 0; i < 8; i++) {
        copy(older[i], d->known);
        assert_int_equal(known(d).frames, i);
        assert_int_equal(judge(d, NULL), 0);
    }
    for (off_t len = 79; len >= 0; len -= 13) {
        assert_int_equal(truncate(d->known, len), 0);
        assert_int_equal(known(d).log, len >= 40 ? 7 : 0);
        assert_int_equal(known(d).retired, WAL_RETIRED_UNKNOWN);
        assert_int_equal(judge(d, NULL), 0);
    }
    close_log(w);
}

/* Batch 10 was begun and did not come to its end: whatever is left of it, nothing is missed. */
static void a_batch_that_was_torn_is_not_missed(void **state)
{
    struct dir *d = *state;
    char noted[120];
    snprintf(noted, sizeof(noted), "%s/noted", d->path);
    struct wal_writer *w = create(d->log);
    for (unsigned i = 0; i < 9; i++)
        append_synced(w, 100);
    copy(d->known, noted);
    append_synced(w, 9000);
    copy(noted, d->known);
    for (unsigned missing = 1; missing < 8; missing++) {
        for (unsigned i = 0; i < 3; i++)
            if (missing & 1u << i)
                zero(d->log, (10 + i) * WAL_BLOCK, (11 + i) * WAL_BLOCK);
        assert_int_equal(judge(d, NULL), 0);
    }
    close_log(w);
}

static void an_older_log_that_is_gone_is_missed(void **state)
{
    struct dir *d = *state;
    char why[ROCKS_WHY], away[120];
    snprintf(away, sizeof(away), "%s/away", d->path);
    struct wal_writer *w = create(d->log);
    append_synced(w, 100);
    struct wal_writer *next = create(d->next);
    append_synced(next, 100);
    assert_int_equal(rename(d->log, away), 0);
    assert_int_equal(judge(d, why), -ERR_CORRUPT);
    assert_string_equal(why, "the log 000007.log is gone. Bring it back; to go on without what was "
                             "in it, remove log.known");
    assert_int_equal(rename(away, d->log), 0);
    assert_int_equal(judge(d, NULL), 0);
    close_log(next);
    close_log(w);
    /* Nor is it of a later run, whose first log knows of those before it. */
    char third[120];
    snprintf(third, sizeof(third), "%s/000011.log", d->path);
    close_log(create(third));
    assert_int_equal(rename(d->next, away), 0);
    assert_int_equal(judge(d, why), -ERR_CORRUPT);
    assert_non_null(strstr(why, "000009.log is gone"));
    assert_int_equal(rename(away, d->next), 0);
    assert_int_equal(judge(d, NULL), 0);
}

/* It is written down before it goes, so that a power cut in between leaves both, or one. */
static void a_log_that_was_no_longer_needed_is_not_missed(void **state)
{
    struct dir *d = *state;
    char away[120];
    snprintf(away, sizeof(away), "%s/away", d->path);
    struct wal_writer *w = create(d->log);
    append_synced(w, 100);
    struct wal_writer *next = create(d->next);
    append_synced(next, 100);
    close_log(w);
    copy(d->log, away);
    assert_int_equal(wal_retire(d->log), 0);
    assert_int_equal(known(d).retired, 7);
    assert_int_equal(judge(d, NULL), 0);
    copy(away, d->log);
    assert_int_equal(judge(d, NULL), 0);
    close_log(next);
}

/* As one leaves it that writes the first part alone, in place. */
static void what_a_version_of_before_notes_is_what_is_known(void **state)
{
    struct dir *d = *state;
    struct wal_writer *w = create(d->log);
    append_synced(w, 100);
    append_synced(w, 100);
    close_log(w);
    struct wal_known k = known(d);
    k.len_bytes = 2 * WAL_BLOCK;
    k.crc = hash_crc32c(0, &k, offsetof(struct wal_known, crc));
    int fd = open(d->known, O_RDWR);
    assert_int_equal(pwrite(fd, &k, 40, 0), 40);
    close(fd);
    assert_int_equal(known(d).len_bytes, 2 * WAL_BLOCK);
    assert_int_equal(known(d).frames, 0);
    assert_int_equal(known(d).retired, WAL_RETIRED_UNKNOWN);
    assert_int_equal(truncate(d->log, 2 * WAL_BLOCK), 0);
    assert_int_equal(judge(d, NULL), 0);
    struct wal_writer *next = create(d->next);
    assert_int_equal(known(d).retired, 8);
    assert_int_equal(unlink(d->log), 0);
    assert_int_equal(judge(d, NULL), 0);
    close_log(next);
}

/* Taken back by its writer: it is not asked for again. */
static void a_frame_that_was_cut_off_is_not_missed(void **state)
{
    struct dir *d = *state;
    struct wal_writer *w = create(d->log);
    bool lost;
    for (unsigned i = 0; i < 3; i++)
        append_synced(w, 100);
    assert_int_equal(wal_cut(d->log, 7, 200), 0);
    assert_int_equal(known(d).frames, 2);
    assert_int_equal(judge(d, NULL), 0);
    (void)wal_close(w, &lost);
}

static void a_deleted_log_takes_nothing_more(void **state)
{
    struct dir *d = *state;
    bool lost = false;
    struct wal_writer *w = create(d->log);
    append_synced(w, 100);
    assert_int_equal(unlink(d->log), 0);
    assert_int_equal(wal_append(w, "x", 1, &lost), 0);
    assert_int_equal(wal_sync(w, &lost), -EIO);
    assert_true(lost);
    assert_int_equal(wal_close(w, &lost), -EIO);
}

static void write_torn_unframed(const char *path)
{
    static const char record[20] = {1, 2, 3, 4, 13, 0, 1, 'x'};
    FILE *f = fopen(path, "w");
    assert_int_equal(fwrite(record, 1, sizeof(record), f), sizeof(record));
    fclose(f);
}

/* Also where the first start of ours was killed before the torn log was no longer needed. */
static void a_torn_log_without_frames_may_be_followed_by_a_framed_one(void **state)
{
    struct dir *d = *state;
    bool torn;
    write_torn_unframed(d->log);
    assert_int_equal(rocks_log_check(d->path, &torn, NULL), 0);
    assert_true(torn);
    write_torn_unframed(d->next); /* of the same run, perhaps */
    assert_int_equal(rocks_log_check(d->path, &torn, NULL), -ERR_CORRUPT);
    close_log(create(d->next));
    assert_int_equal(rocks_log_check(d->path, &torn, NULL), 0);
    assert_true(torn);
}

static void logs_follow_one_another_by_number(void **state)
{
    struct dir *d = *state;
    bool torn;
    snprintf(d->log, sizeof(d->log), "%s/999999.log", d->path);
    snprintf(d->next, sizeof(d->next), "%s/1000000.log", d->path);
    struct wal_writer *w = create(d->log);
    append_synced(w, 100);
    struct wal_writer *next = create(d->next);
    assert_int_equal(rocks_log_check(d->path, &torn, NULL), 0);
    flip(d->log, WAL_BLOCK, 0);
    assert_int_equal(rocks_log_check(d->path, &torn, NULL), -ERR_CORRUPT);
    close_log(next);
    close_log(w);
}

static void a_log_is_cut_where_a_frame_ends(void **state)
{
    struct dir *d = *state;
    struct wal_writer *w = create(d->log);
    for (unsigned i = 0; i < 3; i++)
        append_synced(w, 5000);
    assert_int_equal(wal_cut(d->log, 7, 9000), -ERR_CORRUPT);
    assert_int_equal(wal_cut(d->log, 7, 15001), -ERR_CORRUPT);
    expect(d->log, 3, false, 15000);
    assert_int_equal(wal_cut(d->log, 7, 10000), 0);
    expect(d->log, 2, false, 10000);
    assert_int_equal(wal_cut(d->log, 7, 0), 0);
    expect(d->log, 0, false, 0);
    bool lost;
    (void)wal_close(w, &lost);
}

/* ---- failing --------------------------------------------------------------------------------- */

static void set_file_limit(rlim_t to)
{
    struct rlimit l;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
    l.rlim_cur = MIN(to, l.rlim_max);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

/* Where the file may not grow a frame goes in by a part or not at all, and nothing after it. */
static void a_file_that_cannot_grow_keeps_what_it_has(void **state)
{
    struct dir *d = *state;
    bool lost = true;
    struct wal_writer *w = create(d->log);
    append_synced(w, 5000);
    uint64_t bytes = file_bytes(d->log);
    append(w, 2 * MIB);
    set_file_limit(bytes + 100000);
    assert_int_equal(wal_sync(w, &lost), -EFBIG);
    assert_false(lost);
    set_file_limit(RLIM_INFINITY);
    assert_int_equal(wal_sync(w, &lost), -EFBIG);
    expect(d->log, 1, false, 5000);
    assert_int_equal(wal_close(w, &lost), -EFBIG);
    expect(d->log, 1, false, 5000);
}

/* Whatever the reason given. */
static void a_failed_sync_has_lost_what_it_was_to_keep(void **state)
{
    struct dir *d = *state;
    struct wal_writer *w = create(d->log);
    bool lost = false;
    append(w, 20 * MIB);
    char *bytes = calloc(1, 20 * MIB);
    sync_error_ = ENOSPC;
    assert_int_equal(wal_append(w, bytes, 20 * MIB, &lost), -ENOSPC);
    assert_true(lost);
    sync_error_ = 0;
    lost = false;
    assert_int_equal(wal_append(w, bytes, 1, &lost), -ENOSPC);
    assert_true(lost);
    lost = false;
    assert_int_equal(wal_sync(w, &lost), -ENOSPC);
    assert_true(lost);
    assert_int_equal(wal_close(w, &lost), -ENOSPC);
    free(bytes);
}

int main(void)
{
    signal(SIGXFSZ, SIG_IGN);
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(what_is_synced_is_read),
        T(more_than_memory_should_hold_is_written_unasked),
        T(a_log_is_written_ahead_until_its_store_is_closed),
        T(a_log_of_before_there_were_frames_is_read_as_it_is),
        T(a_log_in_a_spares_file_shows_nothing_of_the_one_before),
        T(few_spares_are_kept_and_short_ones_are_not),
        T(a_file_under_another_logs_name_is_empty),
        T(a_log_that_went_may_come_back_as_another),
        T(a_directory_that_hangs_holds_up_no_other),
        T(every_flipped_bit_of_a_head_is_found),
        T(every_flipped_bit_of_a_frame_is_found),
        T(a_torn_frame_was_never_there),
        T(a_log_that_lost_its_last_frame_is_found_by_the_next_one),
        T(a_log_that_is_gone_or_cut_short_is_missed),
        T(a_log_whose_end_is_cut_off_or_zeroed_is_missed),
        T(an_end_that_is_lost_after_a_clean_end_is_missed),
        T(what_a_power_cut_leaves_is_not_missed),
        T(a_batch_that_was_torn_is_not_missed),
        T(an_older_log_that_is_gone_is_missed),
        T(a_log_that_was_no_longer_needed_is_not_missed),
        T(what_a_version_of_before_notes_is_what_is_known),
        T(a_frame_that_was_cut_off_is_not_missed),
        T(a_deleted_log_takes_nothing_more),
        T(a_torn_log_without_frames_may_be_followed_by_a_framed_one),
        T(logs_follow_one_another_by_number),
        T(a_log_is_cut_where_a_frame_ends),
        T(a_file_that_cannot_grow_keeps_what_it_has),
        T(a_failed_sync_has_lost_what_it_was_to_keep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
