/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * Standard error may be a pipe or a socket whose reader is slow, stopped or gone, and the threads
 * that log must not stop with it. So nothing is written before there is room: POLLOUT promises it
 * to as much as PIPE_BUF, and the mutex keeps another thread from taking it between the two calls.
 * A file takes all at once.
 */
#include "base/log.h"
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_MS 100

static pthread_mutex_t out = PTHREAD_MUTEX_INITIALIZER;
/* Atomic: it was waited for in vain, and is not again until something was written. */
static bool stalled;

static bool is_file(void)
{
    struct stat st;
    return fstat(STDERR_FILENO, &st) == 0 && S_ISREG(st.st_mode);
}

static bool has_room(int wait_ms)
{
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&p, 1, wait_ms) > 0;
}

/* As many whole lines as may be written at once. */
static struct str first_piece(struct str lines, size_t most)
{
    if (lines.len <= most)
        return lines;
    const char *end = memrchr(lines.ptr, '\n', most);
    return str_make(lines.ptr, end ? (size_t)(end - lines.ptr) + 1 : most);
}

/* 0: there is no room. */
static ssize_t write_piece(struct str piece)
{
    ssize_t n = 0;
    pthread_mutex_lock(&out);
    if (has_room(0))
        n = write(STDERR_FILENO, piece.ptr, piece.len);
    pthread_mutex_unlock(&out);
    return n;
}

/* False: what is left is lost. */
static bool wait_for_room(const bool *hurried)
{
    bool hurry = !hurried || __atomic_load_n(hurried, __ATOMIC_RELAXED);
    if (hurry && __atomic_load_n(&stalled, __ATOMIC_RELAXED))
        return false;
    if (has_room(PATIENCE_MS))
        return true;
    if (hurry)
        __atomic_store_n(&stalled, true, __ATOMIC_RELAXED);
    return !hurry;
}

void log_write(struct str lines, const bool *hurried)
{
    size_t most = is_file() ? SIZE_MAX : PIPE_BUF;
    while (lines.len) {
        struct str piece = first_piece(lines, most);
        ssize_t n = write_piece(piece);
        if (n < 0 || (n == 0 && !wait_for_room(hurried)))
            return; /* a lost line is not worth a crash */
        if (n > 0)
            __atomic_store_n(&stalled, false, __ATOMIC_RELAXED);
        lines = str_from_offset(lines, (size_t)n);
    }
}
