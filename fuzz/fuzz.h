/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What every fuzz target includes. A target states properties with CHECK: that it does not crash
 * is the least of them.
 */

#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* The first `len` bytes in memory of exactly that size, so that a sanitizer sees a read beyond. */
static inline struct str fuzz_exact_prefix(struct str s, size_t len)
{
    char *copy = malloc(len ? len : 1);
    CHECK(copy);
    if (len)
        memcpy(copy, s.ptr, len);
    return str_make(copy, len);
}

/* A place to cut the input in two that depends on its bytes, so that mutation moves it. */
static inline size_t fuzz_split(struct str s)
{
    size_t sum = 0;
    for (size_t i = 0; i < s.len; i++)
        sum = sum * 31 + (uint8_t)s.ptr[i];
    return s.len ? sum % s.len : 0;
}
