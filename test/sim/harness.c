/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include "sim/harness.h"

#define STREAM_OPS 100 /* above those of the simulator itself */

_Noreturn void history_fail(struct history *h, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(h->message, sizeof h->message, fmt, ap);
    va_end(ap);
    h->failed = h->refuted = true;
    fflush(stdout);
    _exit(1);
}

void history_say(const struct history *h, const char *fmt, ...)
{
    if (!h->verbose)
        return;
    va_list ap;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

bool history_skips(const struct history *h, uint32_t op)
{
    CHECK(op < HISTORY_OPS_MAX);
    return h->skip[op / 8] >> (op % 8) & 1;
}

struct sim_random history_op_random(const struct history *h, uint32_t op)
{
    struct sim_random r;
    sim_random_init(&r, h->seed, STREAM_OPS + op);
    return r;
}

void history_sim_end(struct history *h, struct sim *s)
{
    h->steps += sim_steps(s);
    sim_free(s);
}

/* The eight bytes from 8 * `word` on. */
static uint64_t fill_word(uint64_t tag, uint64_t word)
{
    return (tag * 0x10001 + word) * 0x9e3779b97f4a7c15ULL;
}

void history_fill(void *buf, size_t len, uint64_t tag)
{
    for (size_t at = 0; at < len; at += 8) {
        uint64_t w = fill_word(tag, at / 8);
        memcpy((uint8_t *)buf + at, &w, MIN(len - at, sizeof w));
    }
}

ptrdiff_t history_fill_differs_at(const void *buf, size_t len, uint64_t tag, uint64_t at)
{
    const uint8_t *got = buf;
    for (size_t i = 0; i < len;) {
        uint64_t w = fill_word(tag, (at + i) / 8), in = (at + i) % 8;
        const uint8_t *want = (const uint8_t *)&w + in;
        size_t piece = MIN(len - i, sizeof w - in);
        for (size_t j = 0; j < piece && memcmp(got + i, want, piece) != 0; j++)
            if (got[i + j] != want[j])
                return (ptrdiff_t)(i + j);
        i += piece;
    }
    return -1;
}

ptrdiff_t history_fill_differs(const void *buf, size_t len, uint64_t tag)
{
    return history_fill_differs_at(buf, len, tag, 0);
}
