/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "base/error.h"
#include "base/defs.h"

static const struct err_info own[] = {
#define X(name, retryable, status, s3, text) {ERR_##name, #name, retryable, status, s3, text},
    CAIRN_ERRORS(X)
#undef X
};

static const struct err_info from_system[] = {
#define X(code, retryable, status, s3, text) {code, #code, retryable, status, s3, text},
    CAIRN_ERRNOS(X)
#undef X
};

const struct err_info *err_info(int code)
{
    code = code < 0 ? -code : code;
    if (code > ERR_FIRST_ && code < ERR_LAST_)
        return &own[code - ERR_FIRST_ - 1];
    for (size_t i = 0; i < ARRAY_LEN(from_system); i++)
        if (from_system[i].code == code)
            return &from_system[i];
    return &own[ERR_INTERNAL - ERR_FIRST_ - 1];
}

int err_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        if (strcmp(own[i].name, name) == 0)
            return own[i].code;
    for (size_t i = 0; i < ARRAY_LEN(from_system); i++)
        if (strcmp(from_system[i].name, name) == 0)
            return from_system[i].code;
    return 0;
}

const char *err_text(int code)
{
    int positive = code < 0 ? -code : code;
    const struct err_info *info = err_info(positive);
    /* An errno without a row has a better text than "internal error". */
    return info->code == positive ? info->text : strerror(positive);
}
