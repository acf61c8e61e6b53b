/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include <stdio.h>
#include "jobs/batch/source.h"
#include "base/md5.h"
#include "jobs/internal.h"
#include "wire/unzip.h"

#define PIECE      (256 * KIB) /* read at a time */
#define TEXT_PIECE (64 * KIB)  /* decompressed at a time */

/* An object that is read from its beginning to its end. */
struct reading {
    bool open;
    struct str bucket, key;
    uint64_t seq; /* 0: not known yet */
    uint64_t len, off;
};

struct batch_source {
    struct jobs *jobs;
    struct job *job; /* whose pace it is read at */
    const struct batch_state *state;
    struct batch_place place; /* behind the last line given */
    struct manifest_columns columns;
    bool listed; /* the inventory's files are known */
    struct manifest_inventory inventory;
    struct arena lists;
    struct reading file; /* the one at hand */
    struct unzip *zip;   /* NULL: it is plain */
    bool sniffed;
    struct buf raw;  /* compressed, as read */
    struct buf text; /* read; from `at` on not given yet, which is place.off */
    size_t at;
    uint64_t skip; /* bytes of text to be passed over first */
    uint64_t spent;
    char why[BATCH_WHY_MAX];
};

int batch_source_new(struct batch_source **ret, struct jobs *j, struct job *job,
                     const struct batch_state *s)
{
    struct batch_source *src = calloc(1, sizeof(*src));
    if (!src)
        return -ENOMEM;
    src->jobs = j;
    src->job = job;
    src->state = s;
    src->place = s->place;
    src->columns = (struct manifest_columns){
        .count = (unsigned)s->fields, .key = 1, .version = 2, .has_version = s->fields == 3};
    arena_init(&src->lists, 64 * MIB);
    buf_init(&src->raw, 2 * PIECE);
    buf_init(&src->text, 2 * PIECE + MANIFEST_LINE_MAX);
    *ret = src;
    return 0;
}

static void close_file(struct batch_source *src)
{
    unzip_free(src->zip);
    src->zip = NULL;
    src->sniffed = false;
    src->file = (struct reading){.open = false};
    buf_reset(&src->raw);
    buf_reset(&src->text);
    src->at = 0;
}

void batch_source_free(struct batch_source *src)
{
    if (!src)
        return;
    close_file(src);
    buf_release(&src->raw);
    buf_release(&src->text);
    arena_release(&src->lists);
    free(src);
}

const char *batch_source_why(const struct batch_source *src)
{
    return src->why;
}

unsigned batch_source_fields(const struct batch_source *src)
{
    return src->columns.count;
}

uint64_t batch_source_spent(struct batch_source *src)
{
    uint64_t spent = src->spent;
    src->spent = 0;
    return spent;
}

/* ---- objects -------------------------------------------------------------------------------- */

/* An error that stays, in words; others are tried again without any. */
static int explain(struct batch_source *src, const struct reading *f, int err)
{
    bool stays = err == -ERR_NO_SUCH_BUCKET || err == -ERR_NO_SUCH_KEY || err == -ERR_CONFLICT ||
                 err == -ERR_ARCHIVED || err == -ERR_INVALID_REQUEST || err == -ERR_CORRUPT ||
                 err == -ERR_ACCESS_DENIED;
    if (stays)
        snprintf(src->why, sizeof(src->why), "%.*s/%.*s: %s", STR_FMT(f->bucket),
                 STR_FMT(str_prefix(f->key, 100)),
                 err == -ERR_CONFLICT ? "it is not the object that it was" : err_text(err));
    return err;
}

static int append(const void *data, size_t len, void *arg)
{
    struct buf *b = arg;
    buf_put(b, data, len);
    return buf_error(b);
}

/* The next piece of the file into `to`, nothing at its end. The first read tells which object it
 * is, and from then on it must be that one. */
static int FIBER read_piece(struct batch_source *src, struct reading *f, struct buf *to)
{
    struct jobs_object o = {.seq = 0};
    struct jobs_reading what = {
        .bucket = f->bucket, .key = f->key, .seq = f->seq, .off = f->off, .len = PIECE};
    size_t before = to->len;
    int r = jobs_object_read(src->jobs, &what, append, to, &o);
    if (r < 0)
        return explain(src, f, r);
    f->seq = o.seq;
    f->len = o.len_bytes;
    f->off += to->len - before;
    src->spent += to->len - before;
    return 0;
}

static bool at_end(const struct reading *f)
{
    return f->seq && f->off >= f->len;
}

/* ---- an inventory --------------------------------------------------------------------------- */

static struct reading manifest_of(const struct batch_state *s)
{
    return (struct reading){.open = true,
                            .bucket = job_text_str(&s->manifest_bucket),
                            .key = job_text_str(&s->manifest_key),
                            .seq = s->manifest_seq,
                            .len = s->manifest_bytes};
}

static int FIBER read_list(struct batch_source *src)
{
    _cleanup_buf_ struct buf text;
    struct reading f = manifest_of(src->state);
    const char *why = NULL;
    int r = 0;
    buf_init(&text, MANIFEST_JSON_MAX + PIECE);
    while (r == 0 && !at_end(&f) && text.len <= MANIFEST_JSON_MAX)
        r = read_piece(src, &f, &text);
    if (r < 0)
        return r;
    r = manifest_inventory_parse(&src->lists, buf_str(&text), &src->inventory, &why);
    if (r < 0 && why)
        snprintf(src->why, sizeof(src->why), "the manifest is none: %s", why);
    src->listed = r == 0;
    src->columns = r == 0 ? src->inventory.columns : src->columns;
    return r;
}

/* Reads all of it: then its sequence pins the bytes that were read. */
static int FIBER verify_file(struct batch_source *src, struct reading *f,
                             const struct manifest_file *file)
{
    _cleanup_buf_ struct buf piece;
    struct md5 sum;
    uint8_t digest[16];
    int r = 0;
    buf_init(&piece, 2 * PIECE);
    md5_init(&sum);
    while (r == 0 && !at_end(f)) {
        buf_reset(&piece);
        r = read_piece(src, f, &piece);
        if (r == 0)
            md5_update(&sum, piece.data, piece.len);
        if (r == 0)
            r = job_pace(src->job, piece.len, 0);
    }
    md5_finish(&sum, digest);
    if (r < 0)
        return r;
    f->off = 0;
    if (f->len == file->size && memcmp(digest, file->md5, sizeof(digest)) == 0)
        return 0;
    return explain(src, f, -ERR_CONFLICT);
}

/* Whoever wrote the manifest may have named what neither they nor the job's user may read. */
static int FIBER judge_file(struct batch_source *src, const struct reading *f)
{
    struct str user = job_text_str(&src->state->user);
    int r = jobs_object_judge(src->jobs, user, "s3:GetObject", f->bucket, f->key);
    if (r == -ERR_NOT_FOUND)
        snprintf(src->why, sizeof(src->why), "there is no user %.*s any more", STR_FMT(user));
    return r < 0 ? explain(src, f, r) : 0;
}

static int FIBER open_listed(struct batch_source *src)
{
    int r = src->listed ? 0 : read_list(src);
    if (r < 0)
        return r;
    if (src->place.file >= src->inventory.count)
        return 0;
    const struct manifest_file *file = &src->inventory.files[src->place.file];
    src->file = (struct reading){.open = true, .bucket = src->inventory.bucket, .key = file->key};
    r = judge_file(src, &src->file);
    return r ? r : verify_file(src, &src->file, file);
}

/* ---- text ----------------------------------------------------------------------------------- */

/* The file at the place; none is open behind the last. What is compressed begins at its beginning.
 */
static int FIBER open_file(struct batch_source *src)
{
    int r = 0;
    close_file(src);
    if (src->state->inventory)
        r = open_listed(src);
    else if (src->place.file == 0)
        src->file = manifest_of(src->state);
    src->skip = src->place.off;
    if (r < 0)
        close_file(src);
    return r;
}

/* What is plain is read on at its place. */
static int sniff(struct batch_source *src)
{
    enum unzip_form form = unzip_form_of(str_prefix(buf_str(&src->raw), UNZIP_SNIFF));
    src->sniffed = true;
    if (form != UNZIP_NONE)
        return unzip_new(&src->zip, form);
    if (src->skip) {
        src->file.off = src->skip;
        src->skip = 0;
        buf_reset(&src->raw);
    }
    return 0;
}

static void pass_over(struct batch_source *src)
{
    size_t n = MIN(src->skip, (uint64_t)(src->text.len - src->at));
    src->at += n;
    src->skip -= n;
}

static int bad_zip(struct batch_source *src)
{
    snprintf(src->why, sizeof(src->why), "%.*s/%.*s: it cannot be decompressed",
             STR_FMT(src->file.bucket), STR_FMT(str_prefix(src->file.key, 100)));
    return -ERR_PARSE;
}

/* A piece of text out of what was read. *ret_ended: there is no more in the file. */
static int inflate_piece(struct batch_source *src, bool *ret_ended)
{
    size_t used = 0, made = 0;
    char *to = buf_reserve(&src->text, TEXT_PIECE);
    if (!to)
        return -ENOMEM;
    int r = unzip_next(src->zip, buf_str(&src->raw), &used, to, TEXT_PIECE, &made);
    if (r < 0)
        return r == -ERR_PARSE ? bad_zip(src) : r;
    src->text.len += made;
    buf_consume(&src->raw, used);
    *ret_ended = made < TEXT_PIECE && src->raw.len == 0 && at_end(&src->file);
    return *ret_ended && unzip_eof(src->zip) < 0 ? bad_zip(src) : 0;
}

/* More text, if the file has more. */
static int FIBER fill(struct batch_source *src, bool *ret_ended)
{
    int r = 0;
    buf_consume(&src->text, src->at);
    src->at = 0;
    if (!src->sniffed || (src->zip && src->raw.len == 0 && !at_end(&src->file)))
        r = read_piece(src, &src->file, &src->raw);
    if (r == 0 && !src->sniffed)
        r = sniff(src);
    if (r < 0)
        return r;
    if (src->zip) {
        r = inflate_piece(src, ret_ended);
    } else if (src->raw.len) {
        buf_put_str(&src->text, buf_str(&src->raw));
        buf_reset(&src->raw);
    } else if (!at_end(&src->file)) {
        r = read_piece(src, &src->file, &src->text);
    }
    if (!src->zip)
        *ret_ended = at_end(&src->file);
    pass_over(src);
    return r < 0 ? r : buf_error(&src->text);
}

/* ---- lines ---------------------------------------------------------------------------------- */

static int explain_line(struct batch_source *src, int err, const char *why)
{
    if (err == -ERR_PARSE || err == -ERR_TOO_LARGE)
        snprintf(src->why, sizeof(src->why), "line %llu of the manifest: %s",
                 (unsigned long long)src->place.line + 1, why);
    return err;
}

/* The strings of a line point into the text, which moves. */
static int keep_line(struct arena *a, const struct manifest_line *line, struct manifest_line *ret)
{
    *ret = (struct manifest_line){arena_dup(a, line->bucket), arena_dup(a, line->key),
                                  arena_dup(a, line->version)};
    return ret->bucket.ptr && ret->key.ptr && ret->version.ptr ? 1 : -ENOMEM;
}

/* 1: a line that names something; 0: the file has no more. */
static int FIBER next_of_file(struct batch_source *src, struct arena *a, struct manifest_line *ret)
{
    bool ended = false;
    for (;;) {
        struct manifest_line line;
        const char *why = "";
        struct str text = str_from_offset(buf_str(&src->text), src->at);
        size_t used = 0;
        int r = -EAGAIN;
        if (text.len)
            r = manifest_next(&src->columns, a, text, ended, &line, &used, &why);
        else if (ended)
            return src->skip ? explain(src, &src->file, -ERR_CONFLICT) : 0;
        if (r == -EAGAIN)
            r = fill(src, &ended);
        else if (r == 0) {
            r = line.bucket.len ? keep_line(a, &line, ret) : 0;
            src->at += used;
            src->place.off += used;
            src->place.line++;
        } else {
            r = explain_line(src, r, why);
        }
        if (r)
            return r;
    }
}

int FIBER batch_source_next(struct batch_source *src, struct arena *a, struct manifest_line *ret,
                            struct batch_place *ret_place)
{
    for (;;) {
        int r = src->file.open ? 0 : open_file(src);
        if (r < 0 || !src->file.open)
            return r;
        r = next_of_file(src, a, ret);
        if (r) {
            *ret_place = src->place;
            return r;
        }
        close_file(src);
        src->place.file++;
        src->place.off = 0;
    }
}
