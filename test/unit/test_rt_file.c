/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Files, directories, signals. */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "frozen_help.h"
#include "rt/rt.h"

static char dir[64];

static const char *in_dir(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void run(unsigned threads, int (*fn)(void *), void *arg)
{
    struct rt_config c = {.threads = threads};
    assert_int_equal(rt_run(&c, fn, arg), 0);
}

#define LEN (300 * KIB)

static void fill(char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i * 31 + i / 257);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static int write_and_read(void *arg)
{
    static char out[LEN], in[LEN + 10];
    struct rt_file *f;
    size_t n;
    uint64_t size;
    fill(out, LEN);
    assert_int_equal(
        rt_file_open(&f, in_dir("data"), RT_OPEN_WRITE | RT_OPEN_CREATE | RT_OPEN_EXCL), 0);
    assert_int_equal(rt_file_reserve(f, 0, 2 * LEN), 0);
    assert_int_equal(rt_file_size(f, &size), 0);
    assert_int_equal(size, 0);
    /* more vectors than go to the kernel at once, some of them empty */
    struct iovec iov[150];
    for (int i = 0; i < 150; i++)
        iov[i] = (struct iovec){out + i / 2 * 4096, i % 2 ? 4096 : 0};
    assert_int_equal(rt_file_write(f, iov, 150, 0), 0);
    assert_int_equal(rt_file_sync(f), 0);
    assert_int_equal(rt_file_size(f, &size), 0);
    assert_int_equal(size, LEN);

    assert_int_equal(rt_file_read(f, in, LEN + 10, 0, &n), 0);
    assert_int_equal(n, LEN);
    assert_memory_equal(in, out, LEN);
    assert_int_equal(rt_file_read(f, in, 4096, LEN - 100, &n), 0);
    assert_int_equal(n, 100);
    assert_memory_equal(in, out + LEN - 100, 100);
    assert_int_equal(rt_file_read(f, in, 1, LEN, &n), 0);
    assert_int_equal(n, 0);

    assert_int_equal(rt_file_truncate(f, 10), 0);
    assert_int_equal(rt_file_size(f, &size), 0);
    assert_int_equal(size, 10);
    rt_file_close(f);
    assert_int_equal(
        rt_file_open(&f, in_dir("data"), RT_OPEN_WRITE | RT_OPEN_CREATE | RT_OPEN_EXCL), -EEXIST);
    assert_int_equal(rt_unlink(in_dir("data")), 0);
    assert_int_equal(rt_file_open(&f, in_dir("data"), RT_OPEN_READ), -ENOENT);
    return 0;
}

static void what_is_written_is_read_back(void **state)
{
    run(1, write_and_read, NULL);
}

/* Long aligned writes, which may go past the page cache, among short and crooked ones. */
static int write_directly(void *arg)
{
    enum { BIG = 64 * RT_DIRECT_ALIGN, ALL = 5 * BIG };
    static const size_t ends[] = {100, BIG, 2 * BIG, 3 * BIG + 777, 4 * BIG, ALL};
    struct rt_file *f;
    size_t n;
    char *out = aligned_alloc(RT_DIRECT_ALIGN, ALL), *in = malloc(ALL);
    assert_true(out && in);
    fill(out, ALL);
    assert_int_equal(
        rt_file_open(&f, in_dir("direct"), RT_OPEN_WRITE | RT_OPEN_CREATE | RT_OPEN_DIRECT), 0);
    for (size_t i = 0, from = 0; i < ARRAY_LEN(ends); from = ends[i++]) {
        struct iovec iov = {out + from, ends[i] - from};
        assert_int_equal(rt_file_write(f, &iov, 1, from), 0);
    }
    assert_int_equal(rt_file_sync(f), 0);
    assert_int_equal(rt_file_read(f, in, ALL, 0, &n), 0);
    assert_int_equal(n, ALL);
    assert_memory_equal(in, out, ALL);
    rt_file_close(f);
    free(out);
    free(in);
    return rt_unlink(in_dir("direct"));
}

static void direct_writes_and_others_make_one_file(void **state)
{
    run(1, write_directly, NULL);
}

static int write_read_only(void *arg)
{
    struct rt_file *f;
    struct iovec iov = {"x", 1};
    assert_int_equal(rt_write_file(in_dir("ro"), STR("content")), 0);
    assert_int_equal(rt_file_open(&f, in_dir("ro"), RT_OPEN_READ), 0);
    assert_int_equal(rt_file_write(f, &iov, 1, 0), -EBADF);
    rt_file_close(f);
    return rt_unlink(in_dir("ro"));
}

static void errors_of_the_system_come_back_as_they_are(void **state)
{
    run(1, write_read_only, NULL);
}

static int write_part(void *arg)
{
    struct rt_file *f = ((void **)arg)[0];
    char *part = ((void **)arg)[1];
    uint64_t off = (uint64_t)(uintptr_t)((void **)arg)[2];
    struct iovec iov = {part, 4096};
    int r = rt_file_write(f, &iov, 1, off);
    return r < 0 ? r : rt_file_sync(f);
}

static int write_from_many(void *arg)
{
    enum { N = 64 };
    static char out[N * 4096], in[N * 4096];
    struct rt_fiber *fiber[N];
    void *args[N][3];
    struct rt_file *f;
    size_t n;
    fill(out, sizeof(out));
    assert_int_equal(rt_file_open(&f, in_dir("many"), RT_OPEN_WRITE | RT_OPEN_CREATE), 0);
    for (uintptr_t i = 0; i < N; i++) {
        args[i][0] = f;
        args[i][1] = out + i * 4096;
        args[i][2] = (void *)(i * 4096);
        assert_int_equal(rt_spawn(&fiber[i], "writer", write_part, args[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        rt_cancel(fiber[i]); /* file operations complete all the same */
        assert_int_equal(rt_join(fiber[i]), 0);
    }
    assert_int_equal(rt_file_read(f, in, sizeof(in), 0, &n), 0);
    assert_int_equal(n, sizeof(in));
    assert_memory_equal(in, out, sizeof(in));
    rt_file_close(f);
    return rt_unlink(in_dir("many"));
}

static void cancelled_fibers_complete_their_file_operations(void **state)
{
    run(1, write_from_many, NULL);
}

static int lock_twice(void *arg)
{
    struct rt_file *one, *two;
    assert_int_equal(rt_file_open(&one, in_dir("lock"), RT_OPEN_WRITE | RT_OPEN_CREATE), 0);
    assert_int_equal(rt_file_open(&two, in_dir("lock"), RT_OPEN_WRITE), 0);
    assert_int_equal(rt_file_lock(one), 0);
    assert_int_equal(rt_file_lock(two), -ERR_BUSY);
    rt_file_close(one);
    assert_int_equal(rt_file_lock(two), 0);
    rt_file_close(two);
    return rt_unlink(in_dir("lock"));
}

static void a_locked_file_is_busy_until_closed(void **state)
{
    run(1, lock_twice, NULL);
}

/* ---- names ----------------------------------------------------------------------------------- */

static int note_name(const char *name, void *arg)
{
    unsigned *seen = arg;
    assert_int_equal(strlen(name), 1);
    *seen |= 1U << (name[0] - 'a');
    return name[0] == 'z' ? 99 : 0;
}

static int use_names(void *arg)
{
    char from[128];
    unsigned seen = 0;
    struct rt_space space;
    assert_int_equal(rt_mkdir(in_dir("d")), 0);
    assert_int_equal(rt_mkdir(in_dir("d")), 0);
    assert_int_equal(rt_write_file(in_dir("file"), STR("")), 0);
    assert_int_equal(rt_mkdir(in_dir("file")), -EEXIST);
    assert_int_equal(rt_write_file(in_dir("d/a"), STR("a")), 0);
    assert_int_equal(rt_write_file(in_dir("d/b"), STR("b")), 0);
    snprintf(from, sizeof(from), "%s", in_dir("d/b"));
    assert_int_equal(rt_rename(from, in_dir("d/c")), 0);
    assert_int_equal(rt_dir_sync(in_dir("d")), 0);
    assert_int_equal(rt_dir_list(in_dir("d"), note_name, &seen), 0);
    assert_int_equal(seen, 1 | 4);
    assert_int_equal(rt_write_file(in_dir("d/z"), STR("b")), 0);
    assert_int_equal(rt_dir_list(in_dir("d"), note_name, &seen), 99);
    assert_int_equal(rt_dir_list(in_dir("none"), note_name, &seen), -ENOENT);
    assert_int_equal(rt_space(dir, &space), 0);
    assert_true(space.total_bytes >= space.free_bytes && space.total_bytes > 0);
    static const char *left[] = {"d/a", "d/c", "d/z", "file"};
    for (size_t i = 0; i < ARRAY_LEN(left); i++)
        assert_int_equal(rt_unlink(in_dir(left[i])), 0);
    return rmdir(in_dir("d"));
}

static void names_are_made_moved_listed_and_removed(void **state)
{
    run(1, use_names, NULL);
}

static int replace_small_file(void *arg)
{
    char got[16];
    size_t n;
    assert_int_equal(rt_write_file(in_dir("small"), STR("first, longer")), 0);
    assert_int_equal(rt_write_file(in_dir("small"), STR("second")), 0);
    assert_int_equal(rt_read_file(in_dir("small"), got, sizeof(got), &n), 0);
    assert_int_equal(n, 6);
    assert_memory_equal(got, "second", 6);
    assert_int_equal(rt_read_file(in_dir("small"), got, 5, &n), -ERR_TOO_LARGE);
    assert_int_equal(access(in_dir("small.new"), F_OK), -1);
    struct stat st;
    assert_int_equal(stat(in_dir("small"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(rt_write_file(in_dir("none/small"), STR("x")), -ENOENT);
    return rt_unlink(in_dir("small"));
}

static void a_small_file_is_replaced_whole(void **state)
{
    run(1, replace_small_file, NULL);
}

/* ---- signals --------------------------------------------------------------------------------- */

static int wait_signal(void *arg)
{
    return rt_wait_signal(arg);
}

static int take_signal(void *arg)
{
    struct rt_fiber *f;
    int got = 0;
    assert_int_equal(rt_spawn(&f, "signal", wait_signal, &got), 0);
    rt_yield();
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    assert_int_equal(rt_join(f), 0);
    assert_int_equal(got, SIGTERM);
    assert_int_equal(rt_spawn(&f, "signal", wait_signal, &got), 0);
    rt_yield();
    rt_cancel(f);
    assert_int_equal(rt_join(f), -ECANCELED);
    return 0;
}

static void a_signal_is_waited_for_like_anything_else(void **state)
{
    run(2, take_signal, NULL);
}

static int make_dir(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/cairn-rt-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    return rmdir(dir);
}

/* ---- without threads of the kernel ----------------------------------------------------------- */

/* 0, or the first error. */
static int use_without_threads(void *arg)
{
    struct rt_file *f;
    char out[4096] = "bytes", in[4096];
    struct iovec iov = {out, sizeof(out)};
    size_t n = 0;
    int r = rt_file_open(&f, in_dir("plain"), RT_OPEN_WRITE | RT_OPEN_CREATE);
    if (r < 0)
        return r;
    setrlimit(RLIMIT_NPROC, &(struct rlimit){1, 1});
    r = rt_file_reserve(f, 0, LEN);
    r = r ? r : rt_file_write(f, &iov, 1, 0);
    r = r ? r : rt_file_sync(f);
    r = r ? r : rt_file_read(f, in, sizeof(in), 0, &n);
    rt_file_close(f);
    return r ? r : n == sizeof(in) && memcmp(in, out, n) == 0 ? 0 : -EIO;
}

/* As a user of its own: the limit is not for root, and counts all that the user runs. */
static void files_work_where_the_kernel_may_start_no_thread(void **state)
{
    struct rt_config c = {.threads = 1};
    int status;
    if (geteuid() == 0)
        assert_int_equal(chown(dir, 54321, 54321), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        if (geteuid() == 0 && setuid(54321) < 0)
            _exit(1);
        _exit(rt_run(&c, use_without_threads, NULL) == 0 ? 0 : 2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(unlink(in_dir("plain")), 0);
}

/* ---- a disk that hangs ----------------------------------------------------------------------- */

#define OTHERS 300 /* of 64 buckets that the kernel has, some share the one of what hangs */

static bool hung_came_back;

static int write_one_block(void *arg)
{
    static char bytes[4096];
    struct iovec iov = {bytes, sizeof(bytes)};
    return rt_file_write(arg, &iov, 1, 0);
}

static int write_and_tell(void *arg)
{
    int r = write_one_block(arg);
    hung_came_back = true;
    return r;
}

/* Whether a thread of the kernel's waits for the file system. */
static bool kernel_hangs(void)
{
    return system("grep -qs '(iou-wrk.*) D ' /proc/$PPID/task/*/stat") == 0;
}

/* What it has not begun with it may hand to one thread together, with others behind it: that cannot
 * be taken back, and is not what is tested. */
static void wait_until_it_hangs(void)
{
    for (unsigned in_a_row = 0; in_a_row < 5; rt_sleep_until(rt_now() + 20 * RT_MS))
        in_a_row = kernel_hangs() ? in_a_row + 1 : 0;
}

static int write_beside_a_frozen_disk(void *arg)
{
    static struct rt_file *files[OTHERS];
    static struct rt_fiber *fibers[OTHERS];
    struct rt_file *frozen;
    struct rt_fiber *hung;
    struct frozen *disk = arg;
    char name[32];
    assert_int_equal(rt_file_open(&frozen, in_dir("disk/f"), RT_OPEN_WRITE | RT_OPEN_CREATE), 0);
    assert_true(frozen_freeze(disk));
    assert_int_equal(rt_spawn(&hung, "hung", write_and_tell, frozen), 0);
    wait_until_it_hangs();
    for (int i = 0; i < OTHERS; i++) {
        snprintf(name, sizeof(name), "%d", i);
        assert_int_equal(rt_file_open(&files[i], in_dir(name), RT_OPEN_WRITE | RT_OPEN_CREATE), 0);
        assert_int_equal(rt_spawn(&fibers[i], "other", write_one_block, files[i]), 0);
    }
    for (int i = 0; i < OTHERS; i++) {
        assert_int_equal(rt_join(fibers[i]), 0);
        rt_file_close(files[i]);
        snprintf(name, sizeof(name), "%d", i);
        assert_int_equal(rt_unlink(in_dir(name)), 0);
    }
    assert_false(hung_came_back);
    assert_true(frozen_thaw(disk));
    assert_int_equal(rt_join(hung), 0);
    rt_file_close(frozen);
    return 0;
}

static void a_file_system_that_hangs_holds_up_no_other(void **state)
{
    struct frozen disk;
    if (!frozen_make(&disk, dir))
        skip();
    run(1, write_beside_a_frozen_disk, &disk);
    assert_true(frozen_drop(&disk));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(direct_writes_and_others_make_one_file),
        cmocka_unit_test(errors_of_the_system_come_back_as_they_are),
        cmocka_unit_test(cancelled_fibers_complete_their_file_operations),
        cmocka_unit_test(a_locked_file_is_busy_until_closed),
        cmocka_unit_test(names_are_made_moved_listed_and_removed),
        cmocka_unit_test(a_small_file_is_replaced_whole),
        cmocka_unit_test(a_signal_is_waited_for_like_anything_else),
        cmocka_unit_test(files_work_where_the_kernel_may_start_no_thread),
        cmocka_unit_test(a_file_system_that_hangs_holds_up_no_other),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
