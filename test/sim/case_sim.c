/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The simulator's own promises: what a crash keeps, what each fault does, how a life ends.
 */

#include "sim/cases.h"

static struct sim *machine(struct history *h, enum sim_keep keep, struct sim_disk **ret)
{
    struct sim *s;
    struct sim_config config = {.seed = h->seed, .keep = keep};
    EXPECT_OK(h, sim_new(&s, &config), "machine");
    EXPECT_OK(h, sim_disk_new(ret, s, "/d0", MIB), "disk");
    return s;
}

/* ---- crashes -------------------------------------------------------------------------------- */

/* Every subset of the pages a crash may keep, by script: two pages of one write give four states,
 * and a length that grew doubles them. */
struct subsets {
    struct history *h;
    unsigned seen; /* bit: first page kept | 2: second kept | 4: length kept */
};

static int FIBER subsets_write(void *arg)
{
    struct rt_file *f;
    static uint8_t pages[8192];
    memset(pages, 1, sizeof pages);
    struct iovec iov = {pages, sizeof pages};
    int err = rt_file_open(&f, "/d0/f", RT_OPEN_WRITE | RT_OPEN_CREATE);
    if (!err)
        err = rt_dir_sync("/d0");
    if (!err)
        err = rt_file_write(f, &iov, 1, 0);
    if (!err)
        sim_crash();
    return err;
}

static int FIBER subsets_look(void *arg)
{
    struct subsets *c = arg;
    struct rt_file *f;
    uint8_t first = 0, second = 0;
    size_t len;
    uint64_t size;
    int err = rt_file_open(&f, "/d0/f", RT_OPEN_READ);
    EXPECT_OK(c->h, err, "open");
    EXPECT_OK(c->h, rt_file_read(f, &first, 1, 0, &len), "read");
    EXPECT_OK(c->h, rt_file_read(f, &second, 1, 4096, &len), "read");
    EXPECT_OK(c->h, rt_file_size(f, &size), "size");
    c->seen |= 1u << (first | second << 1 | (size ? 4 : 0));
    rt_file_close(f);
    return 0;
}

void case_crash_keeps_every_subset(struct history *h)
{
    struct subsets c = {.h = h};
    struct sim_script script = {0};
    do {
        struct sim_disk *d;
        struct sim *s = machine(h, SIM_KEEP_SUBSET, &d);
        sim_set_script(s, &script);
        EXPECT(h, sim_rt_run(s, subsets_write, &c) == SIM_CRASHED, "no crash");
        EXPECT_OK(h, sim_rt_run(s, subsets_look, &c), "look");
        history_sim_end(h, s);
    } while (sim_script_next(&script));
    EXPECT(h, c.seen == 0xf1, "states seen: %x", c.seen);
}

static int FIBER forever(void *arg)
{
    struct rt_lock l;
    struct rt_waitq q;
    rt_lock_init(&l);
    rt_waitq_init(&q);
    rt_lock(&l);
    return rt_wait(&q, &l, RT_NEVER);
}

void case_deadlock_is_told(struct history *h)
{
    struct sim_config config = {.seed = h->seed, .quiet = true};
    struct sim *s;
    EXPECT_OK(h, sim_new(&s, &config), "machine");
    EXPECT(h, sim_rt_run(s, forever, NULL) == -EDEADLK, "no deadlock seen");
    history_sim_end(h, s);
}

/* ---- names ---------------------------------------------------------------------------------- */

static int FIBER write_text(const char *path, const char *text, bool sync)
{
    struct rt_file *f;
    struct iovec iov = {(void *)text, strlen(text)};
    int err = rt_file_open(&f, path, RT_OPEN_WRITE | RT_OPEN_CREATE | RT_OPEN_TRUNCATE);
    if (err)
        return err;
    err = rt_file_write(f, &iov, 1, 0);
    if (!err && sync)
        err = rt_file_sync(f);
    rt_file_close(f);
    return err;
}

static bool FIBER text_is(const char *path, const char *text)
{
    char buf[64] = {0};
    size_t len;
    return rt_read_file(path, buf, sizeof buf, &len) == 0 && len == strlen(text) &&
           memcmp(buf, text, len) == 0;
}

static int FIBER names_make(void *arg)
{
    struct history *h = arg;
    EXPECT_OK(h, write_text("/d0/synced", "old", true), "write");
    EXPECT_OK(h, write_text("/d0/gone", "old", true), "write");
    EXPECT_OK(h, rt_mkdir("/d0/dir"), "mkdir");
    EXPECT_OK(h, rt_dir_sync("/d0"), "sync");
    EXPECT_OK(h, rt_unlink("/d0/gone"), "unlink");
    EXPECT_OK(h, write_text("/d0/new", "new", true), "write");
    EXPECT_OK(h, rt_rename("/d0/new", "/d0/synced"), "rename");
    EXPECT_OK(h, write_text("/d0/dir/inside", "new", true), "write");
    EXPECT(h, text_is("/d0/synced", "new"), "the rename is not seen");
    sim_crash();
}

static int FIBER names_look(void *arg)
{
    struct history *h = arg;
    EXPECT(h, text_is("/d0/synced", "old"), "an unsynced rename is durable");
    EXPECT(h, text_is("/d0/gone", "old"), "an unsynced unlink is durable");
    EXPECT(h, !text_is("/d0/dir/inside", "new"), "an unsynced creation is durable");
    EXPECT_OK(h, rt_unlink("/d0/gone"), "unlink");
    EXPECT_OK(h, rt_write_file("/d0/synced", STR("newest")), "write file");
    sim_crash();
}

static int FIBER names_look_again(void *arg)
{
    struct history *h = arg;
    EXPECT(h, text_is("/d0/synced", "newest"), "rt_write_file is not durable");
    EXPECT(h, !text_is("/d0/gone", "old"), "a synced unlink is not durable");
    return 0;
}

void case_names_need_a_directory_sync(struct history *h)
{
    struct sim_disk *d;
    struct sim *s = machine(h, SIM_KEEP_NONE, &d);
    EXPECT(h, sim_rt_run(s, names_make, h) == SIM_CRASHED, "no crash");
    EXPECT(h, sim_rt_run(s, names_look, h) == SIM_CRASHED, "no crash");
    EXPECT_OK(h, sim_rt_run(s, names_look_again, h), "look");
    history_sim_end(h, s);
}

/* ---- faults --------------------------------------------------------------------------------- */

struct faults {
    struct history *h;
    struct sim_disk *disk;
    struct rt_file *file;
};

static void fault_set(struct faults *c, enum sim_fault_kind kind)
{
    sim_disk_heal(c->disk);
    struct sim_fault f = {kind, "file", 1, 1};
    sim_disk_fault(c->disk, &f);
}

static int FIBER put_page(struct faults *c, char fill)
{
    char page[4096];
    struct iovec iov = {page, sizeof page};
    memset(page, fill, sizeof page);
    return rt_file_write(c->file, &iov, 1, 4096);
}

/* How many bytes of the page at 4096 are `fill`; negative on failure. */
static int FIBER look_page(struct faults *c, char fill)
{
    char page[4096];
    size_t len;
    int count = 0, err = rt_file_read(c->file, page, sizeof page, 4096, &len);
    for (size_t i = 0; !err && i < len; i++)
        count += page[i] == fill;
    return err ? err : count;
}

static int FIBER faults_life(void *arg)
{
    struct faults *c = arg;
    struct history *h = c->h;
    EXPECT_OK(h, rt_file_open(&c->file, "/d0/file", RT_OPEN_WRITE | RT_OPEN_CREATE), "open");
    EXPECT_OK(h, rt_dir_sync("/d0"), "sync");
    EXPECT_OK(h, put_page(c, 'a'), "write");
    EXPECT_OK(h, rt_file_sync(c->file), "sync");
    fault_set(c, SIM_READ_EIO);
    EXPECT(h, look_page(c, 'a') == -EIO, "no read error");
    EXPECT(h, look_page(c, 'a') == 4096, "the read error stays");
    fault_set(c, SIM_READ_FLIP);
    EXPECT(h, look_page(c, 'a') == 4095, "no bit flipped");
    fault_set(c, SIM_WRITE_LOST);
    EXPECT_OK(h, put_page(c, 'b'), "lost write");
    EXPECT(h, look_page(c, 'a') == 4096, "the write was not lost");
    fault_set(c, SIM_WRITE_ENOSPC);
    EXPECT(h, put_page(c, 'b') == -ENOSPC, "no ENOSPC");
    EXPECT_OK(h, put_page(c, 'a'), "write");
    fault_set(c, SIM_WRITE_EIO);
    EXPECT(h, put_page(c, 'a') == -EIO, "no write error");
    EXPECT(h, rt_file_reserve(c->file, 0, 2 * MIB) == -ENOSPC, "more reserved than there is");
    EXPECT_OK(h, rt_file_sync(c->file), "sync");
    fault_set(c, SIM_SYNC_LOST);
    EXPECT_OK(h, put_page(c, 'c'), "write");
    EXPECT_OK(h, rt_file_sync(c->file), "lost sync");
    sim_crash();
}

static int FIBER faults_after_crash(void *arg)
{
    struct faults *c = arg;
    EXPECT_OK(c->h, rt_file_open(&c->file, "/d0/file", RT_OPEN_WRITE), "open");
    EXPECT(c->h, look_page(c, 'a') == 4096, "a lost sync kept the page");
    fault_set(c, SIM_SYNC_EIO);
    EXPECT_OK(c->h, put_page(c, 'd'), "write");
    EXPECT(c->h, rt_file_sync(c->file) == -EIO, "no sync error");
    EXPECT_OK(c->h, rt_file_sync(c->file), "sync after the error");
    sim_crash();
}

static int FIBER faults_last(void *arg)
{
    struct faults *c = arg;
    EXPECT_OK(c->h, rt_file_open(&c->file, "/d0/file", RT_OPEN_WRITE), "open");
    int old = look_page(c, 'a'), new = look_page(c, 'd');
    EXPECT(c->h, old == 4096 || new == 4096, "the page is neither old nor new");
    c->h->op_count = new == 4096; /* told to the case, which wants to see both */
    rt_file_close(c->file);
    return 0;
}

/* Each fault does what sim.h says, and a sync after a failed one makes nothing good. */
void case_faults_do_what_they_say(struct history *h)
{
    unsigned kept[2] = {0};
    for (unsigned i = 0; i < 20; i++) {
        struct faults c = {.h = h};
        struct sim *s = machine(h, SIM_KEEP_NONE, &c.disk);
        h->seed += 1000;
        EXPECT(h, sim_rt_run(s, faults_life, &c) == SIM_CRASHED, "no crash");
        sim_disk_heal(c.disk);
        EXPECT(h, sim_rt_run(s, faults_after_crash, &c) == SIM_CRASHED, "no crash");
        EXPECT_OK(h, sim_rt_run(s, faults_last, &c), "look");
        kept[h->op_count]++;
        h->op_count = 0;
        history_sim_end(h, s);
    }
    EXPECT(h, kept[0] && kept[1], "after a sync error a page is always %s",
           kept[0] ? "lost" : "kept");
}
