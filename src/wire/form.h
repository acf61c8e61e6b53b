/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * multipart/form-data (RFC 7578 over RFC 2046), pure: the fields before the file, then the file's
 * bytes up to the boundary. The fields are held in memory, so they have a limit; the file streams.
 *
 * Strict where leniency could hide a field from whoever checks it: no text before the first
 * boundary, one Content-Disposition a part, no transfer encodings.
 */

#include "base/arena.h"

#define FORM_BOUNDARY_MAX 70  /* bytes; RFC 2046 5.1.1 */
#define FORM_FIELDS_MAX   128 /* before the file */

struct form_field {
    struct str name;  /* as sent */
    struct str value; /* bytes up to the boundary */
};

struct form_head {
    struct form_field *fields; /* before the file, in the order sent */
    size_t count;
    struct str filename; /* of the file's part; "" when it has none */
    size_t data_off;     /* where the file's bytes begin */
};

/* The boundary of a Content-Type. -ERR_PARSE unless it is multipart/form-data with one. */
int form_boundary(struct str content_type, struct str *ret);

/*
 * Reads everything before the file's bytes: the part named "file", the field names compared without
 * case. -EAGAIN: that is not all of it yet. -ERR_PARSE; -ERR_NOT_FOUND: the form ends without a
 * file; -ERR_TOO_LARGE beyond FORM_FIELDS_MAX; -ENOMEM. Strings point into `in`, or `a`.
 */
int form_head_parse(struct arena *a, struct str boundary, struct str in, struct form_head *ret);

/* The file's bytes, told from the boundary that ends them. */
struct form_data {
    char delimiter[4 + FORM_BOUNDARY_MAX];
    size_t delimiter_len;
    size_t matched; /* bytes of the delimiter that were held back */
    bool ended;     /* the boundary was there: what follows does not count */
};
void form_data_init(struct form_data *d, struct str boundary);
/*
 * Hands what belongs to the file to `sink`, whose error comes back; what follows the boundary is
 * passed over. The form is complete only when `ended` is set after the last feed.
 */
int form_data_feed(struct form_data *d, struct str in,
                   int (*sink)(const void *data, size_t len, void *arg), void *arg);
