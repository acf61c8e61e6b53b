/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A text with its length, inside a job's state: names, keys, who asked.
 */

#include <protobuf-c/protobuf-c.h>
#include "base/error.h"
#include "base/str.h"
#include "store/store.h"

struct job_text {
    size_t len;
    char bytes[STORE_KEY_MAX];
};

static inline struct str job_text_str(const struct job_text *t)
{
    return str_make(t->bytes, t->len);
}

/* -ERR_INVALID_ARGUMENT beyond `max`. */
static inline int job_text_set(struct job_text *to, struct str text, size_t max)
{
    if (text.len > MIN(max, sizeof(to->bytes)))
        return -ERR_INVALID_ARGUMENT;
    if (text.len)
        memcpy(to->bytes, text.ptr, text.len);
    to->len = text.len;
    return 0;
}

/* ---- in a row ------------------------------------------------------------------------------- */

static inline int job_bytes_take(ProtobufCBinaryData in, char *ret, size_t cap, size_t *ret_len)
{
    if (in.len > cap)
        return -ERR_CORRUPT;
    if (in.len)
        memcpy(ret, in.data, in.len);
    *ret_len = in.len;
    return 0;
}

static inline int job_text_take(ProtobufCBinaryData in, struct job_text *ret)
{
    return job_bytes_take(in, ret->bytes, sizeof(ret->bytes), &ret->len);
}

static inline ProtobufCBinaryData job_bytes_give(const char *bytes, size_t len)
{
    return (ProtobufCBinaryData){len, (uint8_t *)(uintptr_t)bytes};
}

static inline ProtobufCBinaryData job_text_give(const struct job_text *t)
{
    return job_bytes_give(t->bytes, t->len);
}
