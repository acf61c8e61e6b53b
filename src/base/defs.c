/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "base/defs.h"
#include <execinfo.h>
#include <stdio.h>
#include <unistd.h>

_Noreturn void check_failed(const char *file, int line, const char *func, const char *expr)
{
    void *frames[64];
    fprintf(stderr, "cairn: broken invariant at %s:%d in %s: %s\n", file, line, func, expr);
    backtrace_symbols_fd(frames, backtrace(frames, ARRAY_LEN(frames)), STDERR_FILENO);
    abort();
}
