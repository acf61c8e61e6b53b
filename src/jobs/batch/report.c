/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The report of a batch job, in the form that S3 Batch Operations gives its completion reports: CSV
 * objects with a line for each of the manifest's, and a manifest that names them. One that was
 * begun and not noted when the server died is written again under the same key.
 *
 * Source: S3 User Guide, "Tracking job status and completion reports", "Examples: Completion
 * reports".
 */

#include "base/encode.h"
#include "base/md5.h"
#include "jobs/batch/internal.h"
#include "wire/date.h"
#include "wire/json.h"
#include "wire/uri.h"

#define SCHEMA "Bucket, Key, VersionId, TaskStatus, ErrorCode, HTTPStatusCode, ResultMessage"

/* ---- a line --------------------------------------------------------------------------------- */

static void put_quoted(struct buf *b, struct str s)
{
    buf_put_char(b, '"');
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"')
            buf_put_char(b, '"');
        buf_put_char(b, s.ptr[i]);
    }
    buf_put_char(b, '"');
}

void batch_report_line(struct buf *b, const struct batch_state *s, struct str bucket,
                       const struct batch_item *item)
{
    const struct err_info *info = err_info(item->err);
    buf_put_str(b, bucket);
    buf_put_char(b, ',');
    uri_encode(b, item->key, true);
    buf_put_char(b, ',');
    if (item->version.len)
        put_quoted(b, item->version);
    if (item->err == 0) {
        buf_printf(b, ",succeeded,,%d,Successful\n", s->action == BATCH_TAG ? 200 : 204);
        return;
    }
    buf_printf(b, ",failed,%s,%d,", info->s3_code, info->http_status);
    put_quoted(b, str_from(info->text));
    buf_put_char(b, '\n');
}

/* ---- objects -------------------------------------------------------------------------------- */

/* As the user whom the job is for. */
static int FIBER put_object(struct batch_job *b, uint64_t number, struct str data, const char *type)
{
    static const struct jobs_actor who = {.name = {"batch", 5}};
    const struct batch_state *s = b->at;
    _cleanup_buf_ struct buf key;
    buf_init(&key, 2 * STORE_KEY_MAX);
    int r = batch_report_key(s, number, &key);
    struct jobs_writing what = {.bucket = job_text_str(&s->report_bucket),
                                .key = buf_str(&key),
                                .content_type = str_from(type)};
    if (r == 0)
        r = jobs_object_judge(b->jobs, job_text_str(&s->user), "s3:PutObject", what.bucket,
                              what.key);
    return r < 0 ? r : jobs_object_put(b->jobs, &who, &what, data);
}

bool batch_report_is_lost(int err)
{
    return err == -ERR_ACCESS_DENIED || err == -ERR_NO_SUCH_BUCKET || err == -ERR_KEY_TOO_LONG ||
           err == -ERR_QUOTA_EXCEEDED || err == -ERR_NOT_FOUND || err == -ERR_CORRUPT;
}

int FIBER batch_report_flush(struct batch_job *b)
{
    struct batch_state *s = b->at;
    _cleanup_buf_ struct buf text;
    uint8_t md5[16];
    buf_init(&text, JOBS_OBJECT_MAX);
    int r = batch_rows_log(b->jobs->config.meta, s, &text);
    if (r == 0)
        r = put_object(b, s->files + 1, buf_str(&text), "text/csv");
    if (r < 0)
        return r;
    md5_of(buf_str(&text), md5);
    const struct batch_keep keep = {.drop_log = true, .log_from = s->log_first, .md5 = md5};
    s->log_first = s->log_next;
    s->log_bytes = 0;
    s->files++;
    return batch_keep(b, &keep);
}

/* ---- the manifest --------------------------------------------------------------------------- */

static int FIBER put_file(struct batch_job *b, uint64_t number, struct buf *out)
{
    const struct batch_state *s = b->at;
    _cleanup_buf_ struct buf key;
    uint8_t md5[16];
    char hex[33] = {0};
    buf_init(&key, 2 * STORE_KEY_MAX);
    int r = batch_report_key(s, number, &key);
    if (r == 0)
        r = batch_rows_md5(b->jobs->config.meta, s->id, number, md5);
    if (r < 0)
        return r;
    hex_encode(md5, sizeof(md5), hex);
    buf_put_cstr(out, number > 1 ? ",{" : "{");
    json_put_member(out, "Bucket", job_text_str(&s->report_bucket));
    buf_put_char(out, ',');
    json_put_member(out, "MD5Checksum", str_from(hex));
    buf_put_char(out, ',');
    json_put_member(out, "Key", buf_str(&key));
    buf_put_char(out, '}');
    return buf_error(out);
}

int FIBER batch_report_end(struct batch_job *b)
{
    const struct batch_state *s = b->at;
    _cleanup_buf_ struct buf out;
    char date[DATE_ISO_LEN];
    buf_init(&out, JOBS_OBJECT_MAX);
    date_format_iso(rt_wall_ms(), date);
    buf_put_cstr(&out, "{\"Format\":\"Report_CSV_20180820\",");
    json_put_member(&out, "ReportCreationDate", str_make(date, sizeof(date)));
    buf_put_cstr(&out, ",\"Results\":[");
    int r = 0;
    for (uint64_t i = 1; r == 0 && i <= s->files; i++)
        r = put_file(b, i, &out);
    buf_put_cstr(&out, "],\"ReportSchema\":\"" SCHEMA "\"}\n");
    if (r == 0)
        r = buf_error(&out);
    return r < 0 ? r : put_object(b, 0, buf_str(&out), "application/json");
}
