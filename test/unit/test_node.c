/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* A disk's handle under faults: in the simulator, and over a directory that is taken away. */

#include <stdio.h>
#include "volume_help.h"
#include "node/internal.h"
#include "rt/sim/sim.h"
#include "wire/node.pb-c.h"

struct place {
    const char *path;
    struct kv_mem *index;
    int opens, open_err;
};

static int FIBER open_place(void *arg, struct disk **ret)
{
    struct place *p = arg;
    p->opens++;
    if (p->open_err)
        return p->open_err;
    struct disk_config c = {
        .path = p->path, .volume_bytes_max = 1 * MIB, .reserve_bytes = 256 * KIB};
    int err = kv_mem_open(&c.index, p->index);
    return err ? err : disk_open(ret, &c);
}

static int FIBER probe_place(void *arg)
{
    struct place *p = arg;
    char path[128], text[128];
    size_t len;
    snprintf(path, sizeof(path), "%s/disk.id", p->path);
    return rt_read_file(path, text, sizeof(text), &len);
}

static struct node *open_node(struct nodes *t, struct place *p)
{
    struct node *n;
    struct node_config c = {.path = p->path, .open = open_place, .probe = probe_place, .arg = p};
    assert_int_equal(node_open(&n, &c), 0);
    nodes_add(t, n);
    return n;
}

static int write_one(struct node *n, uint64_t number)
{
    struct needle_hint hint;
    struct hash128 digest;
    struct needle_info info = {.len_bytes = 1000, .encode_id = 1, .code_k = 1};
    uint8_t data[1000];
    fill(data, sizeof(data), number);
    struct iovec iov = {data, sizeof(data)};
    return node_append(n, 0, key_of(number), &info, &iov, 1, &hint, &digest);
}

static int read_one(struct node *n, uint64_t number)
{
    uint64_t buf[DISK_READ_ROOM(1000) / 8 + 1];
    uint8_t want[1000];
    const void *payload;
    struct needle_info info;
    struct hash128 digest;
    int err = node_read(n, key_of(number), NULL, buf, sizeof(buf), &payload, &info, &digest);
    fill(want, sizeof(want), number);
    if (err == 0)
        assert_memory_equal(payload, want, sizeof(want));
    return err;
}

/* ---- in the simulator ----------------------------------------------------------------------- */

struct world {
    struct sim *sim;
    struct sim_disk *disk;
    struct place place;
};

static void in_sim(int (*fn)(void *))
{
    struct world w = {.place.path = "/d0"};
    struct sim_config config = {.seed = 1};
    assert_int_equal(sim_new(&w.sim, &config), 0);
    assert_int_equal(sim_disk_new(&w.disk, w.sim, "/d0", 64 * MIB), 0);
    assert_int_equal(kv_mem_new(&w.place.index, false), 0);
    assert_int_equal(sim_rt_run(w.sim, fn, &w), 0);
    kv_mem_free(w.place.index);
    sim_free(w.sim);
}

/* Writes down what is told: o, s, g. */
static void note_change(void *arg, const struct node *n, enum node_state state)
{
    char *told = arg;
    assert_int_equal(node_number(n), 0);
    told[strlen(told)] = node_state_text(state)[0];
}

static int FIBER reads_fail_(void *arg)
{
    struct world *w = arg;
    char told[8] = "";
    struct nodes t = {.changed = note_change, .changed_arg = told};
    struct node *n = open_node(&t, &w->place);
    assert_int_equal(write_one(n, 1), 0);
    assert_int_equal(read_one(n, 1), 0);
    assert_int_equal(node_state(n), NODE_ONLINE);
    sim_disk_fault(w->disk, &(struct sim_fault){SIM_READ_EIO, ".vol", 1, UINT64_MAX});
    assert_int_equal(read_one(n, 1), -EIO);
    assert_int_equal(node_state(n), NODE_SUSPECT);
    assert_int_equal(write_one(n, 2), 0);
    assert_int_equal(read_one(n, 1), -EIO);
    assert_int_equal(read_one(n, 1), -ERR_DISK_GONE);
    assert_int_equal(node_state(n), NODE_GONE);
    assert_int_equal(node_fault(n), -EIO);
    assert_int_equal(write_one(n, 3), -ERR_DISK_GONE);
    struct node_reader *r;
    assert_int_equal(node_reader_open(n, key_of(1), NULL, &r), -ERR_DISK_GONE);
    nodes_look(&t); /* the volumes still cannot be read */
    assert_int_equal(node_state(n), NODE_GONE);
    nodes_look(&t); /* told once */
    sim_disk_heal(w->disk);
    nodes_look(&t);
    assert_int_equal(node_state(n), NODE_ONLINE);
    assert_string_equal(told, "go");
    assert_int_equal(read_one(n, 1), 0);
    assert_int_equal(read_one(n, 2), 0);
    nodes_release(&t);
    return 0;
}

static void reads_that_fail_in_a_row_make_it_gone_until_it_opens_again(void **state)
{
    in_sim(reads_fail_);
}

static int FIBER writes_fail_(void *arg)
{
    struct world *w = arg;
    struct nodes t = {0};
    struct node *n = open_node(&t, &w->place);
    assert_int_equal(write_one(n, 1), 0);
    sim_disk_fault(w->disk, &(struct sim_fault){SIM_SYNC_EIO, ".vol", 1, UINT64_MAX});
    for (unsigned i = 0; i < NODE_FAULT_ROW; i++) {
        assert_true(node_writable(n));
        assert_true(write_one(n, 2 + i) < 0);
    }
    assert_false(node_writable(n));
    assert_int_equal(node_state(n), NODE_SUSPECT);
    assert_int_equal(read_one(n, 1), 0); /* it is still read */
    sim_disk_heal(w->disk);
    rt_sleep_until(rt_now() + 11 * RT_S);
    nodes_look(&t);
    assert_int_equal(node_state(n), NODE_ONLINE);
    assert_int_equal(write_one(n, 9), 0);
    nodes_release(&t);
    return 0;
}

static void failing_writes_leave_it_readable_and_are_forgiven(void **state)
{
    in_sim(writes_fail_);
}

static int FIBER stay_inside(void *arg)
{
    struct op o;
    assert_int_equal(op_begin(&o, arg), 0);
    rt_sleep_until(rt_now() + 40 * RT_S);
    return op_end(&o, OP_READ, 0);
}

static int FIBER hangs_(void *arg)
{
    struct world *w = arg;
    struct nodes t = {0};
    struct node *n = open_node(&t, &w->place);
    struct rt_fiber *f;
    assert_int_equal(rt_spawn(&f, "hanging", stay_inside, n), 0);
    assert_int_equal(nodes_watch(&t, 100), 0);
    rt_sleep_until(rt_now() + 20 * RT_S);
    assert_int_equal(node_state(n), NODE_ONLINE);
    rt_sleep_until(rt_now() + 19 * RT_S);
    assert_int_equal(node_state(n), NODE_GONE);
    assert_int_equal(node_fault(n), -ETIMEDOUT);
    assert_int_equal(write_one(n, 1), -ERR_DISK_GONE);
    assert_int_equal(w->place.opens, 1); /* not while somebody is inside */
    rt_join(f);
    rt_sleep_until(rt_now() + RT_S);
    assert_int_equal(node_state(n), NODE_ONLINE);
    assert_int_equal(w->place.opens, 2);
    nodes_release(&t);
    return 0;
}

static void operation_that_hangs_makes_it_gone(void **state)
{
    in_sim(hangs_);
}

static void ages_tell_nothing_after_the_process_was_stopped(void **state)
{
    uint64_t trusts_ns = 0, at = 1000 * RT_S;
    assert_true(watch_trusts(&trusts_ns, at, at));
    assert_true(watch_trusts(&trusts_ns, at, at + 2 * RT_S)); /* a busy machine */
    at += 40 * RT_S;
    assert_false(watch_trusts(&trusts_ns, at - 40 * RT_S, at));
    assert_false(watch_trusts(&trusts_ns, at + NODE_HANG_NS / 2, at + NODE_HANG_NS / 2));
    assert_true(watch_trusts(&trusts_ns, at + NODE_HANG_NS, at + NODE_HANG_NS));
}

static int FIBER missing_(void *arg)
{
    struct world *w = arg;
    struct nodes t = {0};
    w->place.open_err = -ENOENT;
    struct node *n = open_node(&t, &w->place);
    assert_int_equal(node_state(n), NODE_GONE);
    assert_int_equal(node_fault(n), -ENOENT);
    struct node_stats s;
    node_stats(n, &s);
    assert_int_equal(s.state, NODE_GONE);
    assert_int_equal(s.disk.volumes, 0);
    assert_null(nodes_get(&t, 1));
    assert_null(nodes_get(&t, NODES_MAX));
    nodes_release(&t);
    return 0;
}

static void disk_missing_at_the_start_is_gone(void **state)
{
    in_sim(missing_);
}

static int FIBER latency_(void *arg)
{
    struct world *w = arg;
    struct nodes t = {0};
    struct node *n = open_node(&t, &w->place);
    assert_int_equal(write_one(n, 1), 0);
    assert_int_equal(node_read_p95_ns(n), 0);
    for (unsigned i = 0; i < 5000; i++)
        assert_int_equal(read_one(n, 1), 0);
    uint64_t p95 = node_read_p95_ns(n);
    assert_true(p95 > 10 * RT_US && p95 < 10 * RT_MS); /* a simulated read takes up to 200 us */
    nodes_release(&t);
    return 0;
}

static void latency_of_reads_is_known_after_some(void **state)
{
    in_sim(latency_);
}

/* ---- a real directory ----------------------------------------------------------------------- */

static int FIBER taken_away_(void *arg)
{
    struct disk_home *h = arg;
    struct nodes t = {0};
    struct place p = {.path = h->path, .index = h->index};
    char away[80];
    snprintf(away, sizeof(away), "%s.away", h->path);
    struct node *n = open_node(&t, &p);
    assert_int_equal(write_one(n, 1), 0);
    nodes_look(&t);
    assert_int_equal(node_state(n), NODE_ONLINE);
    assert_int_equal(rename(h->path, away), 0);
    nodes_look(&t);
    assert_int_equal(node_state(n), NODE_GONE);
    assert_int_equal(node_fault(n), -ENOENT);
    assert_int_equal(read_one(n, 1), -ERR_DISK_GONE);
    nodes_look(&t);
    assert_int_equal(node_state(n), NODE_GONE);
    assert_int_equal(rename(away, h->path), 0);
    nodes_look(&t);
    assert_int_equal(node_state(n), NODE_ONLINE);
    assert_int_equal(read_one(n, 1), 0);
    nodes_release(&t);
    return 0;
}

static void directory_taken_away_is_gone_and_comes_back(void **state)
{
    struct disk_home h;
    home_init(&h);
    on_fiber(1, taken_away_, &h);
    home_release(&h);
}

/* ---- the messages --------------------------------------------------------------------------- */

static void messages_carry_what_the_structs_do(void **state)
{
    Cairn__NeedleKey key = CAIRN__NEEDLE_KEY__INIT;
    Cairn__NeedleInfo info = CAIRN__NEEDLE_INFO__INIT;
    Cairn__NodeAppend m = CAIRN__NODE_APPEND__INIT;
    key.session = UINT64_MAX;
    key.counter = 7;
    key.shard = UINT16_MAX;
    info.len_bytes = NEEDLE_LEN_MAX;
    info.encode_id = UINT64_MAX;
    info.code_k = 8;
    info.code_m = 4;
    m.key = &key;
    m.info = &info;
    uint8_t bytes[128];
    size_t len = cairn__node_append__get_packed_size(&m);
    assert_true(len <= sizeof(bytes));
    cairn__node_append__pack(&m, bytes);
    Cairn__NodeAppend *back = cairn__node_append__unpack(NULL, len, bytes);
    assert_non_null(back);
    assert_true(back->key->session == UINT64_MAX && back->key->shard == UINT16_MAX);
    assert_true(back->info->encode_id == UINT64_MAX && back->info->code_m == 4);
    cairn__node_append__free_unpacked(back, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_that_fail_in_a_row_make_it_gone_until_it_opens_again),
        cmocka_unit_test(failing_writes_leave_it_readable_and_are_forgiven),
        cmocka_unit_test(operation_that_hangs_makes_it_gone),
        cmocka_unit_test(ages_tell_nothing_after_the_process_was_stopped),
        cmocka_unit_test(disk_missing_at_the_start_is_gone),
        cmocka_unit_test(latency_of_reads_is_known_after_some),
        cmocka_unit_test(directory_taken_away_is_gone_and_comes_back),
        cmocka_unit_test(messages_carry_what_the_structs_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
