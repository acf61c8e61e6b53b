/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* The audit log: its chain, its files, what a crash and a forger leave of them. */

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "unit.h"
#include "audit/files.h"
#include "audit/line.h"
#include "audit/refused.h"
#include "rt/sim/sim.h"

struct home {
    char dir[64];
    struct audit_place places[4];
    struct audit_config config;
    struct audit *audit;
};

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

static void run_case(int (*fn)(void *))
{
    struct home h = {.dir = "/tmp/cairn-audit-XXXXXX"};
    assert_non_null(mkdtemp(h.dir));
    h.places[0] = (struct audit_place){h.dir, true};
    h.config.places = h.places;
    h.config.place_count = 1;
    assert_int_equal(rt_run(&(struct rt_config){.threads = 1}, fn, &h), 0);
    nftw(h.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define CASE(name)                       \
    static void name##_(struct home *h); \
    static int name##_fiber(void *arg)   \
    {                                    \
        name##_(arg);                    \
        return 0;                        \
    }                                    \
    static void name(void **state)       \
    {                                    \
        run_case(name##_fiber);          \
    }                                    \
    static void name##_(struct home *h)

static void open_log(struct home *h)
{
    assert_int_equal(audit_open(&h->audit, &h->config), 0);
}

static void put(struct home *h, const char *operation, const char *key)
{
    audit_put(h->audit, &(struct audit_record){.operation = str_from(operation),
                                               .outcome = AUDIT_DONE,
                                               .status = 200,
                                               .user = STR("alice"),
                                               .source = STR("192.0.2.1"),
                                               .bucket = STR("bucket"),
                                               .key = str_from(key)});
}

static struct audit_verdict verify(struct home *h)
{
    struct audit_verdict v;
    assert_int_equal(audit_verify(h->dir, &v), 0);
    return v;
}

static int collect(struct str line, void *arg)
{
    buf_put_str(arg, line);
    buf_put_char(arg, '\n');
    return 0;
}

static unsigned count_lines(const struct buf *b)
{
    unsigned n = 0;
    for (size_t i = 0; i < b->len; i++)
        n += b->data[i] == '\n';
    return n;
}

static unsigned query(struct home *h, const struct audit_filter *filter)
{
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(audit_query(h->dir, filter, collect, &b), 0);
    unsigned n = count_lines(&b);
    buf_release(&b);
    return n;
}

/* The first file's bytes, changed by the case. */
static void alter(struct home *h, uint32_t number, const char *find, const char *replace)
{
    static char path[PATH_MAX], text[65536];
    audit_file_path(h->dir, number, path);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    assert_true(n > 0);
    text[n] = 0;
    char *at = strstr(text, find);
    assert_non_null(at);
    memcpy(at, replace, strlen(replace));
    assert_int_equal(pwrite(fd, text, (size_t)n, 0), n);
    close(fd);
}

CASE(a_chain_goes_on_over_restarts)
{
    for (unsigned i = 0; i < 3; i++) {
        open_log(h);
        for (unsigned j = 0; j < 10; j++)
            put(h, "PutObject", "k");
        audit_close(h->audit);
    }
    struct audit_verdict v = verify(h);
    assert_true(v.sound);
    assert_int_equal(v.records, 3 * 12); /* a start and a stop each */
    assert_int_equal(v.first_seq, 1);
    assert_int_equal(v.last_seq, 36);
}

CASE(a_record_is_durable_when_it_is_required)
{
    h->config.required = true;
    open_log(h);
    struct audit_record r = {.operation = STR("DeleteObject"), .outcome = AUDIT_BEGUN};
    assert_int_equal(audit_begin(h->audit, &r), 0);
    assert_int_equal(query(h, &(struct audit_filter){.operation = STR("DeleteObject"), .max = 9}),
                     1);
    audit_close(h->audit);
}

CASE(what_was_altered_taken_out_or_put_in_is_seen)
{
    open_log(h);
    for (unsigned i = 0; i < 5; i++)
        put(h, "PutObject", "secret-plan");
    audit_close(h->audit);
    assert_true(verify(h).sound);
    alter(h, 1, "secret-plan", "public-plan");
    struct audit_verdict v = verify(h);
    assert_false(v.sound);
    assert_non_null(strstr(v.fault, "line 2"));
    alter(h, 1, "public-plan", "secret-plan");
    assert_true(verify(h).sound);
    alter(h, 1, "\"seq\":3", "\"seq\":4");
    assert_false(verify(h).sound);
    alter(h, 1, "\"seq\":4", "\"seq\":3");
    /* A line goes: its successor's chain no longer fits. */
    static char path[PATH_MAX], text[65536];
    audit_file_path(h->dir, 1, path);
    FILE *f = fopen(path, "r+");
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    text[n] = 0;
    char *second = strchr(text, '\n') + 1, *third = strchr(second, '\n') + 1;
    size_t left = n - (size_t)(third - text);
    memmove(second, third, left + 1);
    rewind(f);
    fwrite(text, 1, (size_t)(second - text) + left, f);
    fflush(f);
    assert_int_equal(ftruncate(fileno(f), (off_t)((size_t)(second - text) + left)), 0);
    fclose(f);
    v = verify(h);
    assert_false(v.sound);
    assert_non_null(strstr(v.fault, "missing"));
}

CASE(what_a_crash_left_of_a_line_is_cut_off)
{
    char path[PATH_MAX];
    open_log(h);
    put(h, "PutObject", "k");
    audit_close(h->audit);
    audit_file_path(h->dir, 1, path);
    FILE *f = fopen(path, "a");
    fputs("{\"time\":\"2026-01-0", f);
    fclose(f);
    open_log(h);
    put(h, "PutObject", "k");
    audit_close(h->audit);
    assert_true(verify(h).sound);
    assert_int_equal(query(h, &(struct audit_filter){.operation = STR("audit:cut"), .max = 9}), 1);
}

CASE(files_follow_one_another_and_the_oldest_goes)
{
    h->config.file_bytes = 2000;
    h->config.keep_bytes = 8000;
    open_log(h);
    for (unsigned i = 0; i < 200; i++) {
        put(h, "PutObject", "k");
        if (i % 4 == 0)
            assert_int_equal(audit_flush(h->audit), 0);
    }
    audit_close(h->audit);
    struct audit_verdict v = verify(h);
    assert_true(v.sound);
    assert_true(v.first_seq > 1 && v.files > 1 && v.files < 10);
    assert_true(
        query(h, &(struct audit_filter){.operation = STR("audit:remove-file"), .max = 1000}) > 0);
    /* And the start goes on behind them. */
    open_log(h);
    audit_close(h->audit);
    assert_true(verify(h).sound);
}

CASE(a_file_that_has_no_record_yet_breaks_no_chain)
{
    static const char *const left[] = {"", "{\"time\":\"2026-01-0"};
    for (unsigned i = 0; i < ARRAY_LEN(left); i++) {
        char path[PATH_MAX];
        open_log(h);
        put(h, "PutObject", "k");
        audit_close(h->audit);
        audit_file_path(h->dir, i + 2, path);
        FILE *f = fopen(path, "w");
        fputs(left[i], f);
        fclose(f);
    }
    open_log(h);
    audit_close(h->audit);
    struct audit_verdict v = verify(h);
    assert_true(v.sound);
    assert_int_equal(v.files, 3);
    assert_int_equal(v.first_seq, 1);
    assert_int_equal(v.records, v.last_seq);
}

/* Flushes until the log is written again, or for as long as it is not. */
static int flush_for(struct home *h, uint64_t ns)
{
    uint64_t end = rt_now() + ns;
    int err = audit_flush(h->audit);
    while (err < 0 && rt_now() < end) {
        rt_sleep_until(rt_now() + 20 * RT_MS);
        err = audit_flush(h->audit);
    }
    return err;
}

CASE(a_next_file_that_cannot_be_made_is_counted_once)
{
    char path[PATH_MAX];
    h->config.file_bytes = 4000;
    h->config.keep_bytes = 11000;
    open_log(h);
    for (unsigned i = 0; i < 20; i++)
        put(h, "PutObject", "k");
    assert_int_equal(audit_flush(h->audit), 0);
    audit_file_path(h->dir, 2, path);
    assert_int_equal(mkdir(path, 0700), 0);
    put(h, "PutObject", "k");
    assert_true(flush_for(h, 3 * RT_S) < 0); /* it is tried some times */
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(flush_for(h, 60 * RT_S), 0);
    audit_close(h->audit);
    struct audit_verdict v = verify(h);
    assert_true(v.sound);
    assert_int_equal(v.first_seq, 1); /* the two are less than may be kept */
}

CASE(a_file_that_somebody_took_away_holds_up_no_removal)
{
    char path[PATH_MAX];
    h->config.file_bytes = 2000;
    h->config.keep_bytes = 8000;
    open_log(h);
    for (unsigned i = 0; i < 200; i++) {
        put(h, "PutObject", "k");
        if (i % 4 == 0)
            assert_int_equal(audit_flush(h->audit), 0);
        audit_file_path(h->dir, 1, path);
        if (i == 12)
            assert_int_equal(unlink(path), 0);
    }
    audit_close(h->audit);
    struct audit_verdict v = verify(h);
    assert_true(v.sound);
    assert_true(v.files < 10);
}

CASE(filters_meet)
{
    open_log(h);
    put(h, "PutObject", "a/1");
    put(h, "PutObject", "b/1");
    put(h, "DeleteObject", "a/1");
    audit_close(h->audit);
    struct audit_filter all = {.max = 1000};
    assert_int_equal(query(h, &all), 5);
    struct audit_filter f = all;
    f.prefix = STR("a/");
    assert_int_equal(query(h, &f), 2);
    f.operation = STR("PutObject");
    assert_int_equal(query(h, &f), 1);
    f = all;
    f.user = STR("alice");
    assert_int_equal(query(h, &f), 3);
    f.bucket = STR("other");
    assert_int_equal(query(h, &f), 0);
    f = all;
    f.outcome = STR("failed");
    assert_int_equal(query(h, &f), 0);
    f = all;
    f.from_ms = rt_wall_ms() + 1000000;
    assert_int_equal(query(h, &f), 0);
    f = all;
    f.to_ms = 1;
    assert_int_equal(query(h, &f), 0);
    f = all;
    f.max = 2;
    assert_int_equal(query(h, &f), 2);
}

CASE(a_log_that_cannot_be_written_refuses_or_loses_and_says_so)
{
    h->places[0].dir = "/proc/nowhere/audit";
    assert_true(audit_open(&h->audit, &h->config) < 0);
    h->places[0].dir = h->dir;
    open_log(h);
    char key[1025];
    memset(key, 1, 1024); /* six bytes each, escaped */
    key[1024] = 0;
    uint64_t fits = 0;
    /* The writer, on this thread, does not come between. */
    for (unsigned i = 0; i < 2000; i++) {
        put(h, "PutObject", key);
        fits = i;
    }
    assert_int_equal(fits, 1999);
    assert_int_equal(audit_flush(h->audit), 0);
    put(h, "PutObject", "k");
    audit_close(h->audit);
    assert_true(verify(h).sound);
    assert_int_equal(query(h, &(struct audit_filter){.operation = STR("audit:lost"), .max = 9}), 1);
}

CASE(changes_are_refused_while_a_required_log_cannot_be_written)
{
    struct rlimit usual, low;
    struct audit_record r = {.operation = STR("PutObject"), .outcome = AUDIT_BEGUN};
    h->config.required = true;
    open_log(h);
    assert_int_equal(audit_begin(h->audit, &r), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &usual), 0);
    low = usual;
    low.rlim_cur = 100;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    assert_int_equal(audit_begin(h->audit, &r), -ERR_UNAVAILABLE);
    assert_int_equal(audit_begin(h->audit, &r), -ERR_UNAVAILABLE);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &usual), 0);
    /* It comes back by itself, and nothing of the chain is missing. */
    uint64_t end = rt_now() + 60 * RT_S;
    int err = -1;
    while (err < 0 && rt_now() < end) {
        rt_sleep_until(rt_now() + 20 * RT_MS);
        err = audit_begin(h->audit, &r);
    }
    assert_int_equal(err, 0);
    audit_close(h->audit);
    assert_true(verify(h).sound);
}

/* ---- copies ---------------------------------------------------------------------------------- */

/* Three directories, /a to /c of the home, in place of the one. */
static void use_copies(struct home *h, unsigned count)
{
    static char dirs[3][80];
    for (unsigned i = 0; i < count; i++) {
        snprintf(dirs[i], sizeof(dirs[i]), "%s/%c", h->dir, 'a' + i);
        h->places[i] = (struct audit_place){dirs[i], true};
    }
    h->config.place_count = count;
    h->config.required = true;
}

static void begin(struct home *h, const char *key)
{
    struct audit_record r = {
        .operation = STR("DeleteObject"), .outcome = AUDIT_BEGUN, .key = str_from(key)};
    assert_int_equal(audit_begin(h->audit, &r), 0);
}

static void PRINTF_LIKE(1, 2) shell(const char *fmt, ...)
{
    char command[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(command, sizeof(command), fmt, ap);
    va_end(ap);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): of the test's own words */
}

static struct audit_verdict verify_dir(const char *dir)
{
    struct audit_verdict v;
    assert_int_equal(audit_verify(dir, &v), 0);
    return v;
}

static unsigned found_in(const char *dir, const char *operation)
{
    struct audit_filter filter = {.operation = str_from(operation), .max = 1000000};
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(audit_query(dir, &filter, collect, &b), 0);
    unsigned n = count_lines(&b);
    buf_release(&b);
    return n;
}

/* Each is sound, and all end alike. */
static void expect_alike(struct home *h)
{
    struct audit_verdict first = verify_dir(h->places[0].dir);
    assert_true(first.sound && first.records > 0);
    for (unsigned i = 1; i < h->config.place_count; i++) {
        struct audit_verdict v = verify_dir(h->places[i].dir);
        assert_true(v.sound);
        assert_string_equal(v.last_hash, first.last_hash);
        assert_int_equal(v.records, first.records);
    }
}

static unsigned copies_in(struct home *h)
{
    struct audit_copy_status status[AUDIT_COPIES_MAX];
    unsigned count = audit_copies(h->audit, status), in = 0;
    for (unsigned i = 0; i < count; i++)
        in += status[i].in;
    return in;
}

/* The writer looks at the places each time that it writes. */
static void wait_in(struct home *h, unsigned wanted)
{
    for (unsigned i = 0; i < 6000 && copies_in(h) != wanted; i++) {
        assert_int_equal(audit_flush(h->audit), 0);
        rt_sleep_until(rt_now() + 10 * RT_MS);
    }
    assert_int_equal(copies_in(h), wanted);
}

static void a_dozen(struct home *h)
{
    for (unsigned i = 0; i < 12; i++)
        begin(h, "k");
}

CASE(each_copy_has_every_record)
{
    use_copies(h, 3);
    h->config.file_bytes = 3000;
    for (unsigned i = 0; i < 3; i++) {
        open_log(h);
        assert_int_equal(copies_in(h), 3);
        a_dozen(h);
        audit_close(h->audit);
        expect_alike(h);
    }
    assert_true(verify_dir(h->places[2].dir).files > 3);
    assert_int_equal(found_in(h->places[2].dir, "DeleteObject"), 36);
}

CASE(losing_a_disk_loses_no_record)
{
    use_copies(h, 3);
    open_log(h);
    for (unsigned i = 0; i < 3; i++) {
        a_dozen(h); /* acknowledged; the rest the power takes */
        shell("cp -a %s %s.copy", h->dir, h->dir);
        char kept[100];
        snprintf(kept, sizeof(kept), "%s.copy/%c", h->dir, 'a' + (i + 1) % 3);
        assert_int_equal(found_in(kept, "DeleteObject"), 12 * (i + 1));
        shell("rm -r %s.copy", h->dir);
    }
    audit_close(h->audit);
    for (unsigned i = 0; i < 3; i++) { /* whichever is lost, with what follows */
        shell("rm -r %s", h->places[i].dir);
        open_log(h);
        wait_in(h, 3);
        audit_close(h->audit);
        expect_alike(h);
        assert_int_equal(found_in(h->places[i].dir, "DeleteObject"), 36);
    }
}

CASE(a_copy_whose_disk_is_away_follows_when_it_is_back)
{
    use_copies(h, 3);
    h->config.file_bytes = 3000;
    open_log(h);
    a_dozen(h);
    h->places[0].there = false;
    audit_set_places(h->audit, h->places, 3);
    wait_in(h, 2);
    shell("mv %s %s.aside", h->places[0].dir, h->places[0].dir);
    a_dozen(h);
    assert_int_equal(access(h->places[0].dir, F_OK), -1);
    shell("mv %s.aside %s", h->places[0].dir, h->places[0].dir);
    h->places[0].there = true;
    audit_set_places(h->audit, h->places, 3);
    wait_in(h, 3);
    a_dozen(h);
    audit_close(h->audit);
    expect_alike(h);
    assert_int_equal(found_in(h->places[0].dir, "DeleteObject"), 36);
    assert_int_equal(found_in(h->places[0].dir, "audit:copy-out"), 1);
    assert_int_equal(found_in(h->places[0].dir, "audit:copy-in"), 1);
}

CASE(another_directory_takes_the_place_of_one_that_left)
{
    use_copies(h, 3);
    h->config.place_count = 2;
    open_log(h);
    a_dozen(h);
    audit_set_places(h->audit, h->places + 1, 2);
    wait_in(h, 2);
    for (unsigned i = 0; i < 6000 && found_in(h->places[2].dir, "DeleteObject") < 12; i++)
        assert_int_equal(audit_flush(h->audit), 0);
    a_dozen(h);
    audit_close(h->audit);
    assert_int_equal(found_in(h->places[0].dir, "DeleteObject"), 12);
    assert_int_equal(found_in(h->places[1].dir, "DeleteObject"), 24);
    assert_int_equal(found_in(h->places[2].dir, "DeleteObject"), 24);
    h->places[0] = h->places[2];
    h->config.place_count = 2;
    expect_alike(h);
}

CASE(a_write_that_fails_in_one_copy_counts_in_the_others)
{
    use_copies(h, 2);
    h->config.file_bytes = 2000;
    open_log(h);
    a_dozen(h);
    shell("mv %s %s.aside", h->places[0].dir, h->places[0].dir);
    a_dozen(h); /* a next file is wanted, and there is no directory */
    assert_int_equal(copies_in(h), 1);
    shell("mv %s.aside %s", h->places[0].dir, h->places[0].dir);
    audit_close(h->audit);
    open_log(h);
    wait_in(h, 2);
    audit_close(h->audit);
    expect_alike(h);
    assert_int_equal(found_in(h->places[0].dir, "DeleteObject"), 24);
    assert_int_equal(found_in(h->places[0].dir, "audit:copy-out"), 1);
}

CASE(who_goes_furthest_leads_and_an_old_copy_follows)
{
    use_copies(h, 2);
    h->config.file_bytes = 3000;
    open_log(h);
    a_dozen(h);
    audit_close(h->audit);
    shell("cp -a %s %s.old", h->places[0].dir, h->places[0].dir);
    open_log(h);
    a_dozen(h);
    audit_close(h->audit);
    shell("rm -r %s && mv %s.old %s", h->places[0].dir, h->places[0].dir, h->places[0].dir);
    open_log(h);
    wait_in(h, 2);
    audit_close(h->audit);
    expect_alike(h);
    assert_int_equal(found_in(h->places[0].dir, "DeleteObject"), 24);
}

CASE(a_copy_that_is_damaged_or_anothers_is_put_aside)
{
    use_copies(h, 2);
    open_log(h);
    begin(h, "secret-plan");
    a_dozen(h);
    audit_close(h->audit);
    struct home first = *h; /* alter() looks into the home's own directory */
    snprintf(first.dir, sizeof(first.dir), "%s", h->places[0].dir);
    alter(&first, 1, "secret-plan", "public-plan");
    open_log(h);
    wait_in(h, 2);
    audit_close(h->audit);
    expect_alike(h);
    shell("grep -q public-plan %s.aside.*/00000001.log", h->places[0].dir);
    assert_int_equal(found_in(h->places[1].dir, "audit:copy-aside"), 1);

    shell("rm -r %s", h->places[1].dir);
    struct audit_place other = h->places[1];
    struct audit_config config = {.places = &other, .place_count = 1, .required = true};
    struct audit *log;
    assert_int_equal(audit_open(&log, &config), 0);
    audit_put(log, &(struct audit_record){.operation = STR("OtherStore"), .outcome = AUDIT_DONE});
    audit_close(log);
    open_log(h);
    wait_in(h, 2);
    audit_close(h->audit);
    expect_alike(h);
    assert_int_equal(found_in(h->places[1].dir, "DeleteObject"), 13);
    shell("grep -q OtherStore %s.aside.*/00000001.log", h->places[1].dir);
}

CASE(a_log_that_lacks_a_file_is_copied_as_it_is)
{
    use_copies(h, 2);
    h->config.file_bytes = 1000;
    open_log(h);
    a_dozen(h);
    audit_close(h->audit);
    for (unsigned i = 0; i < 2; i++)
        shell("rm %s/00000002.log", h->places[i].dir);
    open_log(h);
    wait_in(h, 2);
    audit_close(h->audit);
    shell("! ls -d %s.aside.* 2>/dev/null", h->places[1].dir);
    shell("rm -r %s", h->places[1].dir);
    open_log(h);
    wait_in(h, 2);
    a_dozen(h);
    audit_close(h->audit);
    shell("diff -r %s %s", h->places[0].dir, h->places[1].dir);
    assert_false(verify_dir(h->places[1].dir).sound);
}

/* Reading a pipe hangs as long as there is no writer. */
CASE(a_copy_that_hangs_while_it_is_brought_up_holds_up_nobody)
{
    use_copies(h, 3);
    h->config.place_count = 2;
    open_log(h);
    a_dozen(h);
    char path[100];
    snprintf(path, sizeof(path), "%s/00000001.log", h->places[2].dir);
    assert_int_equal(mkdir(h->places[2].dir, 0700), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    audit_set_places(h->audit, h->places, 3);
    for (unsigned i = 0; i < 3; i++)
        a_dozen(h);
    assert_int_equal(copies_in(h), 2);
    int fd;
    while ((fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0)
        rt_sleep_until(rt_now() + RT_MS); /* until the writer looks */
    a_dozen(h);
    assert_int_equal(remove(path), 0);
    assert_int_equal(close(fd), 0);
    audit_close(h->audit);
    h->config.place_count = 3;
    open_log(h); /* the disk is well again */
    wait_in(h, 3);
    audit_close(h->audit);
    expect_alike(h);
    assert_int_equal(found_in(h->places[2].dir, "DeleteObject"), 60);
}

CASE(a_long_field_hides_nothing)
{
    static char text[20000];
    memset(text, 1, sizeof(text)); /* six bytes each, escaped */
    struct str s = str_make(text, sizeof(text)), small = str_prefix(s, AUDIT_TEXT_MAX);
    open_log(h);
    audit_put(h->audit, &(struct audit_record){.operation = STR("DeleteObject"),
                                               .outcome = AUDIT_FAILED,
                                               .agent = s,
                                               .bucket = s,
                                               .key = s,
                                               .version = s,
                                               .before = small,
                                               .after = small});
    audit_close(h->audit);
    assert_int_equal(query(h, &(struct audit_filter){.operation = STR("DeleteObject"), .max = 9}),
                     1);
}

/* Whose parent belongs to somebody else. */
CASE(a_directory_below_one_that_may_only_be_entered_takes_the_log)
{
    char dir[80];
    bool root = geteuid() == 0;
    snprintf(dir, sizeof(dir), "%s/audit", h->dir);
    h->places[0].dir = dir;
    h->config.required = true;
    if (root)
        assert_true(chown(h->dir, 65534, 65534) == 0 && seteuid(65534) == 0);
    assert_int_equal(chmod(h->dir, 0300), 0);
    int r = audit_open(&h->audit, &h->config);
    assert_int_equal(chmod(h->dir, 0700), 0);
    assert_true(!root || seteuid(0) == 0);
    assert_int_equal(r, 0);
    put(h, "PutObject", "k");
    audit_close(h->audit);
}

static int is_no_copy_put_aside(const char *name, void *arg)
{
    assert_null(strstr(name, "aside"));
    return 0;
}

static int write_till_the_power_is_out(void *arg)
{
    open_log(arg);
    for (unsigned i = 0; i < 200; i++)
        begin(arg, "k");
    return 0;
}

static int copies_are_alike_after_it(void *arg)
{
    struct home *h = arg;
    /* The directories themselves are durable. */
    assert_int_equal(rt_dir_list("/a/audit", is_no_copy_put_aside, NULL), 0);
    assert_int_equal(rt_dir_list("/b/audit", is_no_copy_put_aside, NULL), 0);
    open_log(h);
    wait_in(h, 2);
    audit_close(h->audit);
    assert_int_equal(rt_dir_list("/a", is_no_copy_put_aside, NULL), 0);
    assert_int_equal(rt_dir_list("/b", is_no_copy_put_aside, NULL), 0);
    return 0;
}

static void cut_the_power_at(unsigned event, uint64_t seed)
{
    struct home h = {0}, after;
    struct sim_disk *disk;
    struct sim *sim;
    h.places[0] = (struct audit_place){"/a/audit", true};
    h.places[1] = (struct audit_place){"/b/audit", true};
    h.config = (struct audit_config){.places = h.places,
                                     .place_count = 2,
                                     .required = true,
                                     .file_bytes = 2000,
                                     .keep_bytes = 4600};
    after = h;
    after.config.places = after.places;
    after.config.keep_bytes = 0; /* what came back would not be removed again */
    assert_int_equal(sim_new(&sim, &(struct sim_config){.seed = seed, .keep = SIM_KEEP_SUBSET}), 0);
    assert_int_equal(sim_disk_new(&disk, sim, "/a", 64 * MIB), 0);
    assert_int_equal(sim_disk_new(&disk, sim, "/b", 64 * MIB), 0);
    sim_crash_at(sim, event);
    assert_int_equal(sim_rt_run(sim, write_till_the_power_is_out, &h), SIM_CRASHED);
    sim_crash_at(sim, 0);
    assert_int_equal(sim_rt_run(sim, copies_are_alike_after_it, &after), 0);
}

/* Each in a process of its own, which ends without a look for what the power took from it. */
static void a_power_cut_never_parts_the_copies(void **state)
{
    for (unsigned i = 0; i < 24; i++) {
        int status;
        fflush(NULL);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            cut_the_power_at(400 + 37 * i, i + 1);
            _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
}

static void a_line_survives_whatever_is_in_it(void **state)
{
    char key[1024], hash[AUDIT_HASH_LEN], before[AUDIT_HASH_LEN];
    struct buf b;
    struct audit_link link;
    for (unsigned i = 0; i < sizeof(key); i++)
        key[i] = (char)(i * 7);
    memset(hash, '0', sizeof(hash));
    memcpy(before, hash, sizeof(hash));
    buf_init(&b, AUDIT_LINE_MAX);
    struct audit_record r = {.operation = STR("x\",\"hash\":\""),
                             .key = str_make(key, sizeof(key)),
                             .before = str_make(key, sizeof(key)),
                             .after = str_make(key, sizeof(key)),
                             .outcome = AUDIT_FAILED};
    audit_line_body(&b, &r, 77);
    audit_line_seal(&b, 0, 1ULL << 60, hash);
    assert_int_equal(buf_error(&b), 0);
    assert_ptr_equal(memchr(b.data, '\n', b.len), b.data + b.len - 1);
    assert_true(audit_line_link(str_prefix(buf_str(&b), b.len - 1), &link));
    assert_true(link.intact && link.seq == 1ULL << 60);
    assert_memory_equal(link.prev, before, sizeof(before));
    assert_memory_equal(link.hash, hash, sizeof(hash));
    for (size_t len = 0; len + 1 < b.len; len += 13)
        assert_false(audit_line_link(str_prefix(buf_str(&b), len), &link) && link.intact);
    buf_release(&b);
}

static void refusals_are_few_records_however_many_they_are(void **state)
{
    struct refusals f = {0}, ended;
    char key[32], text[96];
    unsigned whole = 0;
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(key, sizeof(key), "KEY%u", i % 40);
        struct audit_record r = {
            .source = STR("192.0.2.1"), .access_key = str_from(key), .error = STR("Wrong")};
        whole += refused_take(&f, &r, 1 + i, 5);
        assert_false(refused_end(&f, 1 + i, false, &ended));
    }
    assert_int_equal(whole, REFUSED_WHOLE);
    assert_true(refused_end(&f, 1 + REFUSED_INTERVAL_NS, false, &ended));
    uint64_t sum = ended.others + whole;
    assert_int_equal(ended.row_count, REFUSED_ROWS);
    for (unsigned i = 0; i < ended.row_count; i++)
        sum += ended.rows[i].count;
    assert_int_equal(sum, 10000);
    struct audit_record r = refused_record(&ended, &ended.rows[0], text);
    assert_true(str_eq(r.access_key, STR("KEY16")) && str_eq(r.source, STR("192.0.2.1")));
    assert_true(str_starts(r.after, STR("250 more since 1970-01-01T00:00:00.005Z")) ||
                str_starts(r.after, STR("249 more")));
    assert_false(refused_end(&f, 2 * REFUSED_INTERVAL_NS, true, &ended)); /* none since */
    assert_true(refused_take(&f, &r, 3 * REFUSED_INTERVAL_NS, 5));
    assert_int_equal(f.total, 10001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_survives_whatever_is_in_it),
        cmocka_unit_test(a_chain_goes_on_over_restarts),
        cmocka_unit_test(a_record_is_durable_when_it_is_required),
        cmocka_unit_test(what_was_altered_taken_out_or_put_in_is_seen),
        cmocka_unit_test(what_a_crash_left_of_a_line_is_cut_off),
        cmocka_unit_test(a_directory_below_one_that_may_only_be_entered_takes_the_log),
        cmocka_unit_test(a_power_cut_never_parts_the_copies),
        cmocka_unit_test(files_follow_one_another_and_the_oldest_goes),
        cmocka_unit_test(a_file_that_has_no_record_yet_breaks_no_chain),
        cmocka_unit_test(a_next_file_that_cannot_be_made_is_counted_once),
        cmocka_unit_test(a_file_that_somebody_took_away_holds_up_no_removal),
        cmocka_unit_test(each_copy_has_every_record),
        cmocka_unit_test(losing_a_disk_loses_no_record),
        cmocka_unit_test(a_copy_whose_disk_is_away_follows_when_it_is_back),
        cmocka_unit_test(another_directory_takes_the_place_of_one_that_left),
        cmocka_unit_test(a_write_that_fails_in_one_copy_counts_in_the_others),
        cmocka_unit_test(who_goes_furthest_leads_and_an_old_copy_follows),
        cmocka_unit_test(a_copy_that_is_damaged_or_anothers_is_put_aside),
        cmocka_unit_test(a_log_that_lacks_a_file_is_copied_as_it_is),
        cmocka_unit_test(a_copy_that_hangs_while_it_is_brought_up_holds_up_nobody),
        cmocka_unit_test(a_long_field_hides_nothing),
        cmocka_unit_test(filters_meet),
        cmocka_unit_test(changes_are_refused_while_a_required_log_cannot_be_written),
        cmocka_unit_test(a_log_that_cannot_be_written_refuses_or_loses_and_says_so),
        cmocka_unit_test(refusals_are_few_records_however_many_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
