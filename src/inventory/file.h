/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A data file in the making: rows are added as text, and squeezed now and then, which takes
 * processor time and is done aside. Both have their bounds; the file is put when it has its size.
 */

#include <zlib.h>
#include "base/buf.h"
#include "base/md5.h"

struct inventory_file {
    struct buf rows; /* that are not squeezed yet: whoever adds some keeps them few */
    struct buf gzip;
    struct md5 md5; /* of `gzip` */
    size_t summed;
    z_stream z;
    bool begun;
};

/* `limit_bytes` of the gzip; beyond it the file fails. */
void inventory_file_init(struct inventory_file *f, size_t limit_bytes);
void inventory_file_release(struct inventory_file *f);
/* Empty again. */
void inventory_file_reset(struct inventory_file *f);
/* The rows into the gzip; `end`: it is whole then. -ENOMEM. BLOCKING. */
int inventory_file_squeeze(struct inventory_file *f, bool end);
