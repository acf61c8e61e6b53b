/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * SelectObjectContent: an object is read as GetObject reads it, goes through its decompression and
 * its query, and what comes of it is sent as messages of an event stream.
 *
 * The head goes with the first message, so that what is wrong before it is a clean error; behind it
 * an error is a message of its own, and the last.
 *
 * A scan is long work on a loop thread: select/ calls `take_breath` often, which yields, and every
 * few seconds sends a sign of life, by which a client that has gone is noticed, too.
 *
 * Limits: SELECTS_MAX at once; of what is compressed, RATIO_MAX times what was read.
 */

#include "s3/acl_request.h"
#include "s3/attrs.h"
#include "s3/body.h"
#include "s3/object/restore.h"
#include "s3/object/select_request.h"
#include "s3/sse.h"
#include "s3/version.h"
#include "wire/event_stream.h"

#define SELECTS_MAX 32
#define SLICE       (64 * KIB)  /* fed, or decompressed, at once */
#define PAYLOAD_MAX (128 * KIB) /* of one message */
#define RATIO_MAX   1100        /* gzip cannot reach it */
#define RATIO_FREE  (1 * MIB)

struct scan {
    struct s3_request *q;
    struct s3_select_request *asked;
    struct store_reader *reader;
    struct select *select;
    struct select_fault fault;
    struct unzip *unzip;
    char *piece;       /* decompressed */
    uint64_t off, len; /* of the object, what is read */
    uint64_t scanned, processed, returned;
    uint64_t sent_ns; /* the last message */
    struct buf message;
    bool done;  /* the query wants no more */
    int failed; /* of the client's connection */
};

/* ---- messages ------------------------------------------------------------------------------- */

static int FIBER begin_answer(struct scan *s)
{
    struct s3_request *q = s->q;
    s3_sse_headers(q, store_reader_object(s->reader)->attrs.seal);
    (void)http_set_header(q->x, "Content-Type", STR("application/vnd.amazon.eventstream"));
    return http_begin(q->x, 200, UINT64_MAX);
}

/* What `message` holds. */
static int FIBER send(struct scan *s)
{
    int r = buf_error(&s->message);
    if (!r && !http_responding(s->q->x))
        r = begin_answer(s);
    if (!r)
        r = http_write(s->q->x, s->message.data, s->message.len);
    s->sent_ns = rt_now();
    s->failed = r;
    buf_reset(&s->message);
    return r;
}

static int FIBER send_event(struct scan *s, struct str type, struct str content_type,
                            struct str payload)
{
    event_stream_put_event(&s->message, type, content_type, payload);
    return send(s);
}

/* Progress and Stats. */
static int FIBER send_counts(struct scan *s, const char *name)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    xml_begin(&b);
    xml_open(&b, name);
    xml_element_u64(&b, "BytesScanned", s->scanned);
    xml_element_u64(&b, "BytesProcessed", s->processed);
    xml_element_u64(&b, "BytesReturned", s->returned);
    xml_close(&b, name);
    int r = buf_error(&b);
    return r ? r : send_event(s, str_from(name), STR("text/xml"), buf_str(&b));
}

static int FIBER send_rows(struct str rows, void *arg)
{
    struct scan *s = arg;
    int r = 0;
    while (!r && rows.len) {
        struct str payload = str_prefix(rows, PAYLOAD_MAX);
        s->returned += payload.len;
        r = send_event(s, STR("Records"), STR("application/octet-stream"), payload);
        rows = str_from_offset(rows, payload.len);
    }
    return r;
}

static int FIBER take_breath(void *arg)
{
    struct scan *s = arg;
    rt_yield();
    if (rt_cancelled())
        return -ECANCELED;
    if (rt_now() - s->sent_ns < s->q->s3->select_silence_ns)
        return 0;
    return s->asked->progress ? send_counts(s, "Progress")
                              : send_event(s, STR("Cont"), STR_NULL, STR_NULL);
}

/* ---- the object ----------------------------------------------------------------------------- */

static int FIBER feed_plain(struct scan *s, struct str in)
{
    int r = 0;
    while (r == 0 && in.len) {
        struct str slice = str_prefix(in, SLICE);
        s->processed += slice.len;
        r = select_feed(s->select, slice);
        in = str_from_offset(in, slice.len);
    }
    s->done = r == 1;
    return r;
}

static int check_growth(struct scan *s)
{
    if (s->processed <= RATIO_FREE + RATIO_MAX * s->scanned)
        return 0;
    return s3_error(s->q, -ERR_SELECT_TRUNCATED, "The object decompresses to too much.");
}

/* Input of which nothing comes, such as empty streams one after the other, is work all the same. */
static int FIBER feed_packed(struct scan *s, struct str in)
{
    size_t used = 0, made = SLICE;
    int r = 0;
    while (r == 0 && (in.len || made == SLICE)) {
        r = unzip_next(s->unzip, in, &used, s->piece, SLICE, &made);
        if (r)
            return r == -ERR_PARSE ? -ERR_SELECT_TRUNCATED : r;
        in = str_from_offset(in, used);
        r = made ? feed_plain(s, str_make(s->piece, made)) : take_breath(s);
        if (r == 0)
            r = check_growth(s);
    }
    return r;
}

static int FIBER take_bytes(const void *data, size_t len, void *arg)
{
    struct scan *s = arg;
    s->scanned += len;
    return s->unzip ? feed_packed(s, str_make(data, len)) : feed_plain(s, str_make(data, len));
}

static int FIBER take_header(const void *data, size_t len, void *arg)
{
    struct scan *s = arg;
    int r = select_header(s->select, str_make(data, len));
    s->done = r == 1;
    return r;
}

/* The names of columns, where the range begins behind them. */
static int FIBER read_header(struct scan *s)
{
    uint64_t len = MIN(store_reader_object(s->reader)->len_bytes, (uint64_t)2 * MIB);
    int r = store_read(s->reader, 0, len, take_header, s);
    r = s->done ? 0 : r;
    s->done = false;
    return r;
}

static int FIBER read_object(struct scan *s)
{
    int r = select_wants_header(s->select) ? read_header(s) : 0;
    if (!r)
        r = store_read(s->reader, s->off, s->len, take_bytes, s);
    if (s->done)
        r = 0;
    else if (!r && s->unzip && unzip_eof(s->unzip))
        r = -ERR_SELECT_TRUNCATED;
    return r ? r : select_end(s->select);
}

/* ---- what is read --------------------------------------------------------------------------- */

/* From the delimiter before `start` on, so that it is known whether a record begins there; to the
 * end of the object, for the last record may end behind the range. */
static int choose_range(struct scan *s)
{
    const struct s3_select_request *a = s->asked;
    struct select_config *c = &s->asked->config;
    uint64_t size = store_reader_object(s->reader)->len_bytes, start = a->start, end = a->end;
    s->len = size;
    if (!a->has_start && !a->has_end)
        return 0;
    if (!a->has_start) {
        start = end < size ? size - end : 0;
        end = UINT64_MAX;
    } else if (!a->has_end)
        end = UINT64_MAX;
    if (start >= size && start > 0)
        return s3_error(s->q, -ERR_SELECT_SCAN_RANGE, "The scan range begins behind the object.");
    unsigned delimiter = c->json ? 1 : c->csv.record_len;
    s->off = start > delimiter ? start - delimiter : 0;
    s->len = size - s->off;
    c->drop_first = start > 0;
    c->most = end == UINT64_MAX ? UINT64_MAX : end - s->off + 1;
    return 0;
}

static int open_unzip(struct scan *s)
{
    if (s->asked->compression == UNZIP_NONE || s->len == 0)
        return 0;
    s->piece = arena_alloc(s->q->arena, SLICE);
    return s->piece ? unzip_new(&s->unzip, s->asked->compression) : -ENOMEM;
}

static int FIBER open_query(struct scan *s)
{
    struct select_config *c = &s->asked->config;
    int r = choose_range(s);
    if (!r)
        r = open_unzip(s);
    if (r)
        return r;
    c->now_ms = rt_wall_ms();
    c->emit = send_rows;
    c->pause = take_breath;
    c->arg = s;
    r = select_new(&s->select, c, &s->fault);
    return r && s->fault.message[0] ? s3_error(s->q, r, "%s", s->fault.message) : r;
}

/* ---- the answer ----------------------------------------------------------------------------- */

static int FIBER send_end(struct scan *s)
{
    int r = s->asked->progress ? send_counts(s, "Progress") : 0;
    if (!r)
        r = send_counts(s, "Stats");
    if (!r)
        r = send_event(s, STR("End"), STR_NULL, STR_NULL);
    return r ? r : http_end(s->q->x);
}

/* Behind the head: the client learns of it all the same. */
static int FIBER send_error(struct scan *s, int err)
{
    struct s3_request *q = s->q;
    const struct err_info *info = err_info(err);
    bool internal = info->http_status == 500;
    const char *text = internal ? err_text(-ERR_INTERNAL) : info->text;
    q->err = err;
    event_stream_put_error(&s->message, str_from(info->s3_code),
                           q->message.ptr && !internal ? q->message : str_from(text));
    int r = send(s);
    return r ? r : http_end(q->x);
}

static int FIBER answer(struct scan *s)
{
    int r = read_object(s);
    const char *why = select_why(s->select);
    if (r == 0)
        return send_end(s);
    if (why[0])
        s3_error(s->q, r, "%s", why);
    bool lost = s->failed || r == -ECANCELED;
    return lost || !http_responding(s->q->x) ? r : send_error(s, r);
}

static int FIBER scan(struct scan *s)
{
    struct s3_request *q = s->q;
    const char *action = s3_action("s3:GetObject", s3_param(q, "versionId").ptr != NULL);
    int r = store_get(q->s3->store, q->bucket.id, q->key, q->version, NULL, &s->reader);
    /* It may be another object than the one that was judged. */
    int allowed = s->reader ? s3_still_allowed(q, action, &q->bucket, q->key, STR_NULL,
                                               store_reader_object(s->reader))
                            : 0;
    if (r || allowed)
        return allowed ? allowed : s3_explain_marker(q, s->reader, r);
    r = s3_check_readable(q, store_reader_object(s->reader));
    if (!r)
        r = s3_sse_unseal(q, q->bucket.id, s->reader, false);
    if (!r)
        r = open_query(s);
    return r ? r : answer(s);
}

/* ---- the operation -------------------------------------------------------------------------- */

static int FIBER read_request(struct s3_request *q, struct s3_select_request *ret)
{
    struct str body, culprit = STR_NULL;
    if (http_header(q->x, STR("range")).len)
        return s3_error(q, -ERR_INVALID_REQUEST, "SelectObjectContent takes no Range header");
    if (!str_eq(s3_param(q, "select-type"), STR("2")))
        return s3_error_argument(q, "select-type", s3_param(q, "select-type"),
                                 "select-type must be 2");
    int r = s3_body_all(q, S3_BODY_OPTIONAL, &body, NULL);
    if (r || body.len == 0)
        return r ? r : -ERR_SELECT_EMPTY_BODY;
    r = s3_select_parse(q->arena, body, ret, &culprit);
    if (r && culprit.len)
        return s3_error(q, r, "%s (%.*s)", err_text(r), STR_FMT(str_prefix(culprit, 60)));
    return r;
}

static int FIBER run(struct s3_request *q, struct s3_select_request *asked)
{
    struct scan s = {.q = q, .asked = asked, .sent_ns = rt_now()};
    buf_init(&s.message, PAYLOAD_MAX + 64 * KIB);
    int r = scan(&s);
    if (s.reader)
        store_reader_close(s.reader);
    select_free(s.select);
    unzip_free(s.unzip);
    buf_release(&s.message);
    return r;
}

int FIBER s3_select_object_content(struct s3_request *q)
{
    struct s3_select_request *asked = arena_new(q->arena, struct s3_select_request);
    int r = asked ? read_request(q, asked) : -ENOMEM;
    if (r)
        return r;
    if (atomic_fetch_add(&q->s3->selects, 1) >= SELECTS_MAX)
        r = -ERR_SELECT_BUSY;
    else
        r = run(q, asked);
    atomic_fetch_sub(&q->s3->selects, 1);
    return r;
}
