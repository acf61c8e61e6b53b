/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* The reserve of memory, and the malloc before it (src/malloc.c is linked with this test). */

#include "test/unit/unit.h"
#include "base/reserve.h"
#include "rt/sanitize.h"
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/resource.h>

#define RESERVE (8 * MIB)

static int open_reserve(void **state)
{
    return reserve_open(RESERVE);
}

static int close_reserve(void **state)
{
    reserve_close();
    return 0;
}

static uint64_t used(void)
{
    struct reserve_stats s;
    reserve_stats(&s);
    return s.used_bytes;
}

static unsigned draw(unsigned *state, unsigned below)
{
    *state = *state * 1664525 + 1013904223;
    return (*state >> 8) % below;
}

struct piece {
    unsigned char *at;
    size_t len;
    unsigned char fill;
};

static void piece_take(struct piece *p, unsigned *seed)
{
    size_t align = 1u << draw(seed, 13);
    p->len = 1 + draw(seed, draw(seed, 4) ? 300 : 40000);
    p->at = reserve_take(p->len, align);
    p->fill = (unsigned char)draw(seed, 256);
    assert_non_null(p->at);
    assert_int_equal((uintptr_t)p->at % MAX(align, (size_t)16), 0);
    assert_true(reserve_owns(p->at) && reserve_owns(p->at + p->len - 1));
    assert_true(reserve_usable(p->at) >= p->len);
    memset(p->at, p->fill, p->len);
}

static void piece_give(struct piece *p)
{
    for (size_t i = 0; i < p->len; i++)
        assert_int_equal(p->at[i], p->fill);
    reserve_give(TAKE_PTR(p->at));
}

static void pieces_are_aligned_and_apart_and_joined_again(void **state)
{
    struct piece pieces[100] = {{0}};
    unsigned seed = 7;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3000; i++) {
            struct piece *p = &pieces[draw(&seed, ARRAY_LEN(pieces))];
            if (p->at)
                piece_give(p);
            else
                piece_take(p, &seed);
        }
        for (size_t i = 0; i < ARRAY_LEN(pieces); i++)
            if (pieces[i].at)
                piece_give(&pieces[i]);
        assert_int_equal(used(), 0);
        void *all = reserve_take(RESERVE - 64, 16);
        assert_non_null(all);
        reserve_give(all);
    }
}

static void what_does_not_fit_is_not_given(void **state)
{
    assert_null(reserve_take(RESERVE, 16));
    assert_null(reserve_take(SIZE_MAX, 16));
    assert_null(reserve_take(SIZE_MAX - 7, 16));
    void *most = reserve_take(RESERVE - KIB, 16);
    assert_non_null(most);
    assert_null(reserve_take(2 * KIB, 16));
    reserve_give(most);
}

static void it_is_low_when_half_is_used(void **state)
{
    void *first = reserve_take(RESERVE / 2 - KIB, 16);
    assert_false(reserve_low());
    void *second = reserve_take(2 * KIB, 16);
    assert_true(reserve_low());
    reserve_give(first);
    assert_false(reserve_low());
    reserve_give(second);
}

static void a_scope_ends_with_its_block(void **state)
{
    reserve_set_coping(true);
    for (int i = 0; i < 3; i++) {
        RESERVE_SCOPE;
        assert_false(reserve_coping);
        if (i == 1)
            continue;
    }
    assert_true(reserve_coping);
    reserve_set_coping(false);
}

#if !RT_ASAN && !RT_TSAN

#    define LARGE (2 * MIB) /* malloc has to ask the kernel for so much */

static struct rlimit usual;

static void run_out_of_memory(void)
{
    assert_int_equal(getrlimit(RLIMIT_AS, &usual), 0);
    struct rlimit none = {.rlim_cur = MIB, .rlim_max = usual.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
}

static void have_memory_again(void)
{
    assert_int_equal(setrlimit(RLIMIT_AS, &usual), 0);
}

static void who_copes_is_told_and_who_does_not_is_served(void **state)
{
    run_out_of_memory();
    reserve_set_coping(true);
    void *none[] = {malloc(LARGE), calloc(2, LARGE / 2), aligned_alloc(4096, LARGE)};
    reserve_set_coping(false);
    unsigned char *some = malloc(LARGE), *zeroed = calloc(2, LARGE / 2);
    some = some ? memset(some, 7, LARGE) : NULL;
    void *aligned = NULL;
    int r = posix_memalign(&aligned, 4096, 100 * KIB);
    unsigned char *grown = realloc(some, LARGE + MIB);
    have_memory_again();
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        assert_null(none[i]);
    assert_int_equal(r, 0);
    assert_true(reserve_owns(grown) && reserve_owns(zeroed) && grown[LARGE - 1] == 7);
    assert_true(zeroed[0] == 0 && zeroed[LARGE - 1] == 0);
    assert_int_equal((uintptr_t)aligned % 4096, 0);
    assert_true(malloc_usable_size(grown) >= LARGE + MIB);
    grown = realloc(grown, 10); /* malloc has some: so it leaves the reserve */
    assert_false(reserve_owns(grown));
    assert_int_equal(grown[9], 7);
    free(grown);
    free(zeroed);
    free(aligned);
    assert_int_equal(used(), 0);
}

struct waiter {
    pthread_t thread;
    sem_t go;
};

/* A thread that nobody said anything about. */
static void *take_large(void *arg)
{
    struct waiter *w = arg;
    while (sem_wait(&w->go) < 0)
        ;
    return malloc(LARGE);
}

static void the_reserve_used_up_is_waited_for(void **state)
{
    struct reserve_stats s;
    struct waiter w;
    void *all = reserve_take(RESERVE - MIB, 16), *got;
    assert_int_equal(sem_init(&w.go, 0, 0), 0);
    assert_int_equal(pthread_create(&w.thread, NULL, take_large, &w), 0);
    run_out_of_memory();
    sem_post(&w.go);
    do
        reserve_stats(&s);
    while (s.waiting == 0);
    bool low = reserve_low();
    reserve_give(all);
    assert_int_equal(pthread_join(w.thread, &got), 0);
    have_memory_again();
    reserve_stats(&s);
    assert_true(low);
    assert_true(reserve_owns(got));
    assert_int_equal(s.waits, 1);
    free(got);
    sem_destroy(&w.go);
    assert_int_equal(used(), 0);
}

static void an_impossible_size_is_refused_at_once(void **state)
{
    volatile size_t most = PTRDIFF_MAX, half = SIZE_MAX / 2 + 2;
    assert_null(malloc(most));
    assert_null(calloc(2, half));
    assert_null(realloc(NULL, most));
}

#endif

#define WITH_RESERVE(fn) cmocka_unit_test_setup_teardown(fn, open_reserve, close_reserve)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RESERVE(pieces_are_aligned_and_apart_and_joined_again),
        WITH_RESERVE(what_does_not_fit_is_not_given),
        WITH_RESERVE(it_is_low_when_half_is_used),
        cmocka_unit_test(a_scope_ends_with_its_block),
#if !RT_ASAN && !RT_TSAN
        WITH_RESERVE(who_copes_is_told_and_who_does_not_is_served),
        WITH_RESERVE(the_reserve_used_up_is_waited_for),
        WITH_RESERVE(an_impossible_size_is_refused_at_once),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
