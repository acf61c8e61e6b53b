/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "jobs/job.pb-c.h"
#include "jobs/scrub.h"

#define DAY_MS        (86400ULL * 1000)
#define BYTES_PER_S   (8 * MIB) /* at least */
#define RECORDS_PER_S 500       /* likewise */
#define RECORDS_MAX   20000

/* ---- packing -------------------------------------------------------------------------------- */

static Jobs__ScrubDisk pack_disk(uint32_t number, const struct scrub_disk *d)
{
    Jobs__ScrubDisk pb = JOBS__SCRUB_DISK__INIT;
    pb.number = number;
    pb.begun = d->place.begun;
    pb.end = d->place.end;
    pb.skipped = d->skipped;
    pb.session = d->place.last.chunk.session;
    pb.counter = d->place.last.chunk.counter;
    pb.shard = d->place.last.shard;
    pb.bytes = d->place.bytes;
    return pb;
}

static bool is_touched(const struct scrub_disk *d)
{
    return d->place.begun || d->place.end || d->skipped;
}

int scrub_pack(const struct scrub_state *s, struct str *ret)
{
    Jobs__ScrubDisk disks[NODES_MAX], *list[NODES_MAX];
    Jobs__Scrub pb = JOBS__SCRUB__INIT;
    pb.disks = list;
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        if (!is_touched(&s->disks[i]))
            continue;
        disks[pb.n_disks] = pack_disk(i, &s->disks[i]);
        list[pb.n_disks] = &disks[pb.n_disks];
        pb.n_disks++;
    }
    pb.pass = s->pass;
    pb.phase = s->phase;
    pb.manual = s->manual;
    pb.started_ms = s->started_ms;
    pb.total_bytes = s->total_bytes;
    pb.faults = s->faults;
    pb.bucket = s->records.bucket;
    pb.kind = s->records.kind;
    pb.row = (ProtobufCBinaryData){s->records.row.len, (uint8_t *)(uintptr_t)s->records.row.ptr};
    pb.done_rows = s->done_rows;
    pb.total_rows = s->total_rows;
    pb.last_started_ms = s->last_started_ms;
    pb.last_ended_ms = s->last_ended_ms;
    pb.last_bytes = s->last_bytes;
    pb.last_faults = s->last_faults;
    pb.last_skipped = s->last_skipped;
    pb.unlisted = s->unlisted;
    uint8_t *packed = malloc(jobs__scrub__get_packed_size(&pb) + 1);
    if (!packed)
        return -ENOMEM;
    *ret = str_make(packed, jobs__scrub__pack(&pb, packed));
    return 0;
}

static int unpack_disk(const Jobs__ScrubDisk *pb, struct scrub_state *s)
{
    if (pb->number >= NODES_MAX || pb->shard > UINT16_MAX)
        return -ERR_CORRUPT;
    s->disks[pb->number] = (struct scrub_disk){
        .place = {.begun = pb->begun,
                  .end = pb->end,
                  .last = {{pb->session, pb->counter}, (uint16_t)pb->shard},
                  .bytes = pb->bytes},
        .skipped = pb->skipped,
    };
    return 0;
}

static int unpack(const Jobs__Scrub *pb, struct scrub_state *s)
{
    int r = pb->phase >= SCRUB_PHASES || pb->row.len > sizeof(s->records.buffer) ? -ERR_CORRUPT : 0;
    for (size_t i = 0; r == 0 && i < pb->n_disks; i++)
        r = unpack_disk(pb->disks[i], s);
    if (r < 0)
        return r;
    s->pass = pb->pass;
    s->phase = (enum scrub_phase)pb->phase;
    s->manual = pb->manual;
    s->started_ms = pb->started_ms;
    s->total_bytes = pb->total_bytes;
    s->faults = pb->faults;
    s->records.bucket = pb->bucket;
    s->records.kind = pb->kind;
    if (pb->row.len)
        memcpy(s->records.buffer, pb->row.data, pb->row.len);
    s->records.row = str_make(s->records.buffer, pb->row.len);
    s->done_rows = pb->done_rows;
    s->total_rows = pb->total_rows;
    s->last_started_ms = pb->last_started_ms;
    s->last_ended_ms = pb->last_ended_ms;
    s->last_bytes = pb->last_bytes;
    s->last_faults = pb->last_faults;
    s->last_skipped = pb->last_skipped;
    s->unlisted = pb->unlisted;
    return 0;
}

int scrub_unpack(struct str cursor, struct scrub_state *ret)
{
    memset(ret, 0, sizeof(*ret));
    Jobs__Scrub *pb = jobs__scrub__unpack(NULL, cursor.len, (const uint8_t *)cursor.ptr);
    if (!pb)
        return -ERR_CORRUPT;
    int r = unpack(pb, ret);
    jobs__scrub__free_unpacked(pb, NULL);
    return r;
}

/* ---- sums ----------------------------------------------------------------------------------- */

uint64_t scrub_done_bytes(const struct scrub_state *s)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < NODES_MAX; i++)
        sum += s->disks[i].place.bytes;
    return sum;
}

uint64_t scrub_skipped(const struct scrub_state *s)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < NODES_MAX; i++)
        n += s->disks[i].skipped;
    return n;
}

/* ---- the schedule --------------------------------------------------------------------------- */

/* A clock that went back shows nothing. */
static uint64_t since_ms(uint64_t then_ms, uint64_t now_ms)
{
    return now_ms > then_ms ? now_ms - then_ms : 0;
}

/* So far ahead of the clock that one of the two was wrong: then nobody knows when it was. */
static bool is_ahead(uint64_t then_ms, uint64_t now_ms)
{
    return then_ms > now_ms + DAY_MS;
}

bool scrub_due(const struct scrub_state *s, unsigned days, uint64_t now_ms)
{
    return days && (s->pass == 0 || is_ahead(s->last_started_ms, now_ms) ||
                    since_ms(s->last_started_ms, now_ms) >= days * DAY_MS / 2);
}

bool scrub_overdue(const struct scrub_state *s, unsigned days, uint64_t now_ms)
{
    return days && s->last_started_ms && since_ms(s->last_started_ms, now_ms) > days * DAY_MS;
}

static uint64_t needed(uint64_t left, uint64_t left_s, uint64_t least, uint64_t most)
{
    return MIN(MAX(left / MAX(left_s, (uint64_t)1), least), MAX(most, least));
}

struct scrub_pace scrub_pace(const struct scrub_state *s, unsigned days, uint64_t bytes_max,
                             uint64_t now_ms)
{
    struct scrub_pace fastest = {bytes_max, RECORDS_MAX, true};
    /* Between passes only what was repaired is looked at again, and whoever asks for a pass waits.
     */
    if (s->manual || days == 0 || s->phase == SCRUB_IDLE)
        return fastest;
    /* The needles have four fifths of the half, the records what is left to nine tenths. */
    uint64_t half_s = days * DAY_MS / 2000, gone_s = since_ms(s->started_ms, now_ms) / 1000;
    uint64_t end_s = s->phase == SCRUB_NEEDLES ? half_s * 8 / 10 : half_s * 9 / 10;
    uint64_t left_s = end_s > gone_s ? end_s - gone_s : 0;
    uint64_t done = scrub_done_bytes(s);
    return (struct scrub_pace){
        .bytes_per_s =
            needed(s->total_bytes - MIN(done, s->total_bytes), left_s, BYTES_PER_S, bytes_max),
        .items_per_s = needed(s->total_rows - MIN(s->done_rows, s->total_rows), left_s,
                              RECORDS_PER_S, RECORDS_MAX),
        .gives_way = left_s > 0,
    };
}
