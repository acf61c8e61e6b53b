/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* What a purge keeps over a restart, and what can be told of it without looking at the store. */

#include "jobs/job.pb-c.h"
#include "jobs/purge.h"

const char *purge_phase_text(enum purge_phase phase)
{
    static const char *const texts[] = {"none", "removing", "proving", "collecting",
                                        "done", "stopped",  "erasing"};
    static_assert(ARRAY_LEN(texts) == PURGE_PHASES, "a text a phase");
    CHECK(phase < PURGE_PHASES);
    return texts[phase];
}

struct store_purge_what purge_what(const struct purge_state *s)
{
    return (struct store_purge_what){
        .bucket = job_text_str(&s->bucket),
        .prefix = job_text_str(&s->prefix),
        .tagged = s->tagged,
        .tag = {job_text_str(&s->tag_name), job_text_str(&s->tag_value)},
    };
}

bool purge_is_proved(const struct purge_state *s)
{
    return s->phase == PURGE_DONE && s->counts.left == 0 && s->refused == 0;
}

bool purge_is_erased(const struct purge_state *s)
{
    return purge_is_proved(s) && s->erase && s->stuck == 0;
}

/* ---- unpacking ------------------------------------------------------------------------------ */

static int take_texts(const Jobs__Purge *pb, struct purge_state *s)
{
    const struct {
        ProtobufCBinaryData in;
        struct job_text *to;
    } texts[] = {
        {pb->bucket, &s->bucket},     {pb->prefix, &s->prefix},
        {pb->tag_name, &s->tag_name}, {pb->tag_value, &s->tag_value},
        {pb->user, &s->user},         {pb->access_key, &s->access_key},
        {pb->source, &s->source},     {pb->request_id, &s->request_id},
    };
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(texts); i++)
        r = job_text_take(texts[i].in, texts[i].to);
    return r;
}

static int take_place(const Jobs__Purge *pb, struct store_purge_place *p)
{
    p->uploads = pb->at_uploads;
    int r = job_bytes_take(pb->at_bucket, p->bucket, sizeof(p->bucket), &p->bucket_len);
    if (r == 0)
        r = job_bytes_take(pb->at_key, p->key, sizeof(p->key), &p->key_len);
    return r < 0 ? r : job_bytes_take(pb->at_upload, p->upload, sizeof(p->upload), &p->upload_len);
}

static void take_numbers(const Jobs__Purge *pb, struct purge_state *s)
{
    s->id = pb->id;
    s->phase = pb->phase;
    s->tagged = pb->tagged;
    s->rounds = pb->rounds;
    s->counts = (struct purge_counts){
        .gone = {pb->versions, pb->markers, pb->uploads},
        .parts = pb->parts,
        .bytes = pb->bytes,
        .held = pb->held,
        .retained = pb->retained,
        .hides = pb->hides,
        .left = pb->left,
    };
    s->removed_ms = pb->removed_ms;
    s->ended_ms = pb->ended_ms;
    s->due_ms = pb->due_ms;
    s->refused = pb->refused;
    s->erase = pb->erase;
    s->stuck = pb->stuck;
}

int purge_unpack(struct str cursor, struct purge_state *ret)
{
    Jobs__Purge *pb = jobs__purge__unpack(NULL, cursor.len, (const uint8_t *)cursor.ptr);
    if (!pb)
        return -ERR_CORRUPT;
    *ret = (struct purge_state){0};
    int r = pb->phase < PURGE_PHASES ? take_texts(pb, ret) : -ERR_CORRUPT;
    if (r == 0)
        r = take_place(pb, &ret->place);
    if (r == 0)
        take_numbers(pb, ret);
    jobs__purge__free_unpacked(pb, NULL);
    return r;
}

/* ---- packing -------------------------------------------------------------------------------- */

static void give_texts(const struct purge_state *s, Jobs__Purge *pb)
{
    pb->bucket = job_text_give(&s->bucket);
    pb->prefix = job_text_give(&s->prefix);
    pb->tag_name = job_text_give(&s->tag_name);
    pb->tag_value = job_text_give(&s->tag_value);
    pb->user = job_text_give(&s->user);
    pb->access_key = job_text_give(&s->access_key);
    pb->source = job_text_give(&s->source);
    pb->request_id = job_text_give(&s->request_id);
    pb->at_uploads = s->place.uploads;
    pb->at_bucket = job_bytes_give(s->place.bucket, s->place.bucket_len);
    pb->at_key = job_bytes_give(s->place.key, s->place.key_len);
    pb->at_upload = job_bytes_give(s->place.upload, s->place.upload_len);
}

static void give_numbers(const struct purge_state *s, Jobs__Purge *pb)
{
    const struct purge_counts *c = &s->counts;
    pb->id = s->id;
    pb->phase = s->phase;
    pb->tagged = s->tagged;
    pb->rounds = s->rounds;
    pb->versions = c->gone[STORE_PURGE_VERSION];
    pb->markers = c->gone[STORE_PURGE_MARKER];
    pb->uploads = c->gone[STORE_PURGE_UPLOAD];
    pb->parts = c->parts;
    pb->bytes = c->bytes;
    pb->held = c->held;
    pb->retained = c->retained;
    pb->hides = c->hides;
    pb->left = c->left;
    pb->removed_ms = s->removed_ms;
    pb->ended_ms = s->ended_ms;
    pb->due_ms = s->due_ms;
    pb->refused = s->refused;
    pb->erase = s->erase;
    pb->stuck = s->stuck;
}

int purge_pack(const struct purge_state *s, struct str *ret)
{
    Jobs__Purge pb = JOBS__PURGE__INIT;
    give_texts(s, &pb);
    give_numbers(s, &pb);
    uint8_t *packed = malloc(jobs__purge__get_packed_size(&pb) + 1);
    if (!packed)
        return -ENOMEM;
    *ret = str_make(packed, jobs__purge__pack(&pb, packed));
    return 0;
}
