/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Root credentials: from the environment, or generated at the first start and kept in the data
 * directory. There is no default secret.
 */

#include "base/arena.h"
#include "rt/rt.h"

#define CREDENTIALS_FILE       "root.credentials"
#define CREDENTIALS_USER_MIN   3
#define CREDENTIALS_SECRET_MIN 8
#define CREDENTIALS_MAX        128 /* bytes of either */

struct credentials {
    struct str access_key, secret_key;
    bool from_environment;
    bool generated; /* just now: to be shown once */
};

/* NAME, or the first line of the file that NAME_FILE names. 1, 0 (neither set), -EINVAL. */
int credentials_variable(struct arena *a, const char *name, struct str *ret);

/*
 * CAIRN_ROOT_USER and CAIRN_ROOT_PASSWORD, else MINIO_ROOT_USER and MINIO_ROOT_PASSWORD; each also
 * as NAME_FILE, whose file's first line counts. Returns 1 when found, 0 when nothing is set,
 * -EINVAL when half is set, unreadable or too short (the fault is told on standard error).
 */
int credentials_from_environment(struct arena *a, struct credentials *ret);

/* The above, else the file in the first of the directories that has it, else new ones, written with
 * mode 0600. Every directory that is there gets the file, so that any disk may be lost. */
int FIBER credentials_for_server(struct arena *a, const char *const *dirs, unsigned count,
                                 struct credentials *ret);
