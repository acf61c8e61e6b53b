/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Reads a tar archive as it comes: ustar, GNU's long names, the path and size of pax headers. Sans
 * I/O and bounded: a name has TAR_NAME_MAX bytes, what extends a header TAR_EXTRA_MAX. A name is
 * bytes: nothing in it is taken for a path.
 *
 * Sources: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block"; GNU tar manual,
 * "Basic Tar Format".
 */

#include "base/str.h"

#define TAR_BLOCK     512
#define TAR_NAME_MAX  4096
#define TAR_EXTRA_MAX (64 * 1024)

enum tar_type {
    TAR_FILE,
    TAR_FOLDER,
    TAR_OTHER, /* a link, a device: whatever has no content of its own */
};

struct tar_entry {
    struct str name; /* in the reader, until the next step */
    enum tar_type type;
    uint64_t len_bytes; /* of the data that follows */
};

enum tar_step {
    TAR_MORE,  /* all of the input was taken */
    TAR_ENTRY, /* one begins: tar->entry */
    TAR_DATA,  /* bytes of it */
    TAR_LAST,  /* all of its bytes were told */
};

/* Init with zeros. */
struct tar {
    struct tar_entry entry;
    /* internal */
    enum { TAR_AT_HEADER, TAR_AT_EXTRA, TAR_AT_DATA, TAR_AT_PADDING, TAR_ENDED } state;
    char block[TAR_BLOCK];
    size_t have;       /* of the block, or of the extra */
    uint64_t left;     /* of data, or of extra */
    uint32_t padding;  /* behind it */
    char kind;         /* of the extra */
    bool named, sized; /* by an extra, for the next entry */
    uint64_t next_len; /* when sized */
    size_t name_len;
    char name[TAR_NAME_MAX];
    char extra[TAR_EXTRA_MAX];
};

/*
 * Takes bytes from `in`: *ret_used consumed, with TAR_DATA *ret_data a run inside them. What
 * happened is in *ret_step. -ERR_PARSE for good: no archive, one that is damaged, or one with
 * sparse files, which are not read.
 */
int tar_next(struct tar *t, struct str in, size_t *ret_used, enum tar_step *ret_step,
             struct str *ret_data);
/* The input ended: 0 where an archive may, else -ERR_PARSE. */
int tar_eof(const struct tar *t);
