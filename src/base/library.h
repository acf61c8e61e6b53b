/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A library that is loaded when something first needs it: the clients of what a server may speak to
 * are together more than the server itself is when it is idle, and most servers speak to none of
 * it, or to one. The functions are listed once in the file that uses them, and called through the
 * table that this makes:
 *
 *   #define FUNCTIONS(X) X(redisConnectWithTimeout) X(redisFree)
 *   LIBRARY(lib, SONAME_HIREDIS, FUNCTIONS)
 *   ... int r = library_load(&lib.library); ... lib.redisFree(context);
 */

#include <pthread.h>
#include "base/defs.h"

struct library {
    const char *soname;
    const char *const *names;
    void **functions; /* as many as names */
    size_t count;
    pthread_mutex_t mutex; /* guards: */
    bool loaded;
};

/* 0, or -ERR_UNAVAILABLE when it is not installed or lacks a function. Any thread; BLOCKING. It is
 * never unloaded. */
int BLOCKING library_load(struct library *l);

#define LIBRARY_MEMBER_(f) __typeof__(f) *f;
#define LIBRARY_NAME_(f)   #f,
#define LIBRARY(var, so, FUNCTIONS)                                              \
    static const char *const var##_names[] = {FUNCTIONS(LIBRARY_NAME_)};         \
    static struct {                                                              \
        struct library library;                                                  \
        FUNCTIONS(LIBRARY_MEMBER_)                                               \
    } var;                                                                       \
    static void __attribute__((constructor)) var##_set_up(void)                  \
    {                                                                            \
        var.library = (struct library){.soname = (so),                           \
                                       .names = var##_names,                     \
                                       .functions = (void **)(&var.library + 1), \
                                       .count = ARRAY_LEN(var##_names),          \
                                       .mutex = PTHREAD_MUTEX_INITIALIZER};      \
    }
