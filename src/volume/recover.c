/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Opening and closing a disk.
 *
 * What the index says of a volume holds below its low-water mark, if the incarnation is the same.
 * Above it the volume itself is the log: it is first synced (after a kill its bytes may be in
 * memory only, and what the index says must never be ahead of the disk), then walked, and each
 * needle that is whole is indexed. Whole means footer and every cell: a power loss may keep the
 * page of a footer and lose one of the payload, and nothing at hand tells a needle that was
 * acknowledged from one that was not. Replaying twice changes nothing.
 *
 * Everything that can be in the file lies below its length, so new needles go above it, and above
 * what the headers met there claim.
 */

#include <stdio.h>
#include "base/plant.h"
#include "volume/identity.h"
#include "volume/internal.h"

/* ---- replay --------------------------------------------------------------------------------- */

/* What the header of an uncommitted needle claims is not written again, even where the file ends
 * before it. Under the lock. */
static void volume_keep_off(struct volume *v, const struct needle_header *h)
{
    uint64_t end = h->offset + needle_len(h->len_bytes, v->cell_bytes);
    v->tail = MAX(v->tail, align_up(end, SECTOR_BYTES));
    v->allocated = MAX(v->allocated, v->tail);
}

static int FIBER replay_row(struct disk *d, struct volume *v, const struct needle_header *h,
                            uint32_t *promised)
{
    if (promised && *promised == 0)
        return -ERR_LIMIT;
    int err = promised ? 0 : index_promise(d, 1);
    if (err)
        return err;
    struct index_row row = row_of_header(h, v);
    rt_lock(&d->lock);
    index_add(d, &row, 1, 0);
    rt_unlock(&d->lock);
    if (promised)
        --*promised;
    return 0;
}

int FIBER replay(struct disk *d, struct volume *v, uint64_t from, uint64_t to, uint32_t *promised)
{
    struct scan s;
    int err = scan_init(&s, v, from, to);
    if (err)
        return err;
    while ((err = scan_next(&s)) == 1) {
        rt_lock(&d->lock);
        d->next_lsn = MAX(d->next_lsn, s.header.lsn + 1);
        volume_keep_off(v, &s.header);
        rt_unlock(&d->lock);
        err = scan_check(&s);
        if (err == 1)
            err = replay_row(d, v, &s.header, promised);
        if (err)
            break;
    }
    scan_release(&s);
    return err;
}

static int FIBER volume_replay(struct disk *d, struct volume *v)
{
    uint64_t size;
    int err = rt_file_size(v->file, &size);
    if (err || v->failed || size <= v->row.low || PLANTED(INDEX_REPLAY))
        return err;
    err = rt_file_sync(v->file);
    if (err == 0)
        err = replay(d, v, v->row.low, size, NULL);
    d->stats.replayed_bytes += size - v->row.low;
    return err;
}

/* ---- the disk's name ------------------------------------------------------------------------ */

static int FIBER path_of(const struct disk *d, const char *name, char ret[VOLUME_PATH_MAX])
{
    int n = snprintf(ret, VOLUME_PATH_MAX, "%s/%s", d->path, name);
    return n > 0 && n < VOLUME_PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int FIBER disk_id_make(struct disk *d)
{
    struct disk_identity id = {.stored = false};
    rt_random(id.disk, sizeof(id.disk));
    memcpy(d->uuid, id.disk, sizeof(d->uuid));
    return disk_identity_write(d->path, &id);
}

/* Any entry means that the disk had a name. */
static int volumes_any(const char *name, void *arg)
{
    return 1;
}

static int FIBER disk_id_open(struct disk *d)
{
    char path[VOLUME_PATH_MAX], volumes[VOLUME_PATH_MAX];
    struct disk_identity id;
    int err = path_of(d, "disk.id", path);
    if (err == 0)
        err = path_of(d, "volumes", volumes);
    if (err)
        return err;
    err = disk_identity_read(d->path, &id);
    if (err == 0)
        memcpy(d->uuid, id.disk, sizeof(d->uuid));
    else if (err == -ENOENT)
        err = rt_dir_list(volumes, volumes_any, NULL) == 0 ? disk_id_make(d) : -ERR_CORRUPT;
    if (err == 0)
        err = rt_file_open(&d->id_file, path, RT_OPEN_WRITE);
    return err ? err : rt_file_lock(d->id_file);
}

/* The directory that `path` is in, synced, so that a new disk does not go with the power. */
static int FIBER sync_parent(const char *path)
{
    char parent[VOLUME_PATH_MAX];
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    while (len > 0 && path[len - 1] != '/')
        len--;
    if (len >= sizeof(parent))
        return -ENAMETOOLONG;
    memcpy(parent, path, len);
    parent[len] = 0;
    return rt_dir_sync(len > 0 ? parent : ".");
}

static int FIBER disk_directories(struct disk *d)
{
    char volumes[VOLUME_PATH_MAX];
    int err = path_of(d, "volumes", volumes);
    if (err == 0)
        err = rt_mkdir(d->path);
    if (err == 0)
        err = sync_parent(d->path);
    if (err == 0)
        err = rt_mkdir(volumes);
    return err ? err : rt_dir_sync(d->path);
}

/* ---- the volumes ---------------------------------------------------------------------------- */

/* What the index knew of the volumes, and whether all of them are there. */
struct known {
    uint32_t *numbers;
    struct volume_row *rows;
    size_t count, cap, met;
    bool retiring; /* some volume was */
};

static int known_add(uint32_t number, const struct volume_row *row, void *arg)
{
    struct known *k = arg;
    if (k->count == k->cap) {
        size_t cap = MAX(2 * k->cap, (size_t)64);
        uint32_t *numbers = realloc(k->numbers, cap * sizeof(*numbers));
        k->numbers = numbers ? numbers : k->numbers;
        struct volume_row *rows = realloc(k->rows, cap * sizeof(*rows));
        k->rows = rows ? rows : k->rows;
        if (!numbers || !rows)
            return -ENOMEM;
        k->cap = cap;
    }
    k->numbers[k->count] = number;
    k->rows[k->count++] = *row;
    return 0;
}

static const struct volume_row *known_find(struct known *k, uint32_t number)
{
    for (size_t i = 0; i < k->count; i++)
        if (k->numbers[i] == number) {
            k->met++;
            return &k->rows[i];
        }
    return NULL;
}

static void known_release(struct known *k)
{
    free(k->numbers);
    free(k->rows);
}

static bool superblock_ours(const struct disk *d, const struct volume *v,
                            const struct superblock *s)
{
    return superblock_valid(s, v->number) && memcmp(s->disk, d->uuid, sizeof(s->disk)) == 0;
}

/* Takes what the superblocks say; *ret_good of them are good. An error only if none could be read.
 */
static int FIBER superblocks_read(struct disk *d, struct volume *v, unsigned *ret_good)
{
    unsigned good = 0;
    int first_err = 0;
    for (unsigned i = 0; i < SUPERBLOCK_COUNT; i++) {
        struct superblock s;
        size_t got = 0;
        int err = rt_file_read(v->file, &s, sizeof(s), i * SUPERBLOCK_STEP, &got);
        first_err = first_err ? first_err : err;
        if (err || got < sizeof(s) || !superblock_ours(d, v, &s))
            continue;
        v->incarnation = s.incarnation;
        v->cell_bytes = s.cell_bytes;
        good++;
    }
    *ret_good = good;
    return good > 0 ? 0 : first_err;
}

/*
 * An empty volume that the index does not know: making it was cut short somewhere between its first
 * byte and the sync of its name. It is finished, or it goes (-ERR_NOT_FOUND).
 */
static int FIBER volume_unfinished(struct disk *d, struct volume *v, unsigned good)
{
    int err;
    if (good == SUPERBLOCK_COUNT) {
        err = rt_file_sync(v->file);
        return err ? err : disk_sync_names(d);
    }
    char path[VOLUME_PATH_MAX];
    volume_path(d, v->number, path);
    err = rt_unlink(path);
    if (err == 0)
        err = disk_sync_names(d);
    return err ? err : -ERR_NOT_FOUND;
}

/*
 * Without a superblock the needles can still be read if the index remembers the incarnation, which
 * every needle carries; a file that the index knows by another incarnation is not its.
 */
static int volume_identify(struct volume *v, const struct volume_row *row, unsigned good)
{
    if (good == 0 && row) {
        v->incarnation = row->incarnation;
        v->failed = true;
        return 0;
    }
    bool same = !row || memcmp(&row->incarnation, &v->incarnation, sizeof(v->incarnation)) == 0;
    return good > 0 && same ? 0 : -ERR_CORRUPT;
}

static void volume_adopt(struct disk *d, struct volume *v, const struct volume_row *row,
                         uint64_t size)
{
    v->indexed = row && row->state != VOLUME_RETIRING;
    v->row = v->indexed ? *row : (struct volume_row){.low = VOLUME_DATA};
    v->failed |= v->row.state == VOLUME_FAILED;
    uint64_t end = MAX(size, VOLUME_DATA);
    v->tail = align_up(MAX(end, v->row.low), SECTOR_BYTES);
    v->allocated = v->tail;
    v->stuck = v->low_swapped = v->row.low; /* until it is replayed */
    v->trimmed = v->indexed && size == v->row.low;
    d->next_lsn = MAX(d->next_lsn, v->row.lsn_max + 1);
}

static int FIBER volume_load(struct disk *d, struct volume *v, struct known *k)
{
    char path[VOLUME_PATH_MAX];
    volume_path(d, v->number, path);
    uint64_t size = 0;
    unsigned good = 0;
    int err = rt_file_open(&v->file, path, RT_OPEN_WRITE | RT_OPEN_DIRECT);
    if (err == 0)
        err = rt_file_size(v->file, &size);
    if (err == 0)
        err = superblocks_read(d, v, &good);
    if (err)
        return err;
    const struct volume_row *row = known_find(k, v->number);
    if (!row && size <= VOLUME_DATA)
        err = volume_unfinished(d, v, good);
    if (err == 0)
        err = volume_identify(v, row, good);
    if (err)
        return err;
    k->retiring |= row && row->state == VOLUME_RETIRING;
    volume_adopt(d, v, row, size);
    return 0;
}

/* A volume that cannot be read at all stays where it is and is counted; the others are served. */
static int FIBER volume_open(struct disk *d, uint32_t number, struct known *k)
{
    if (d->volume_count >= VOLUMES_MAX)
        return -ERR_LIMIT;
    struct volume *v;
    int err = volume_new(&v, number);
    if (err)
        return err;
    err = volume_load(d, v, k);
    if (err) {
        d->stats.volumes_unreadable += err == -ERR_CORRUPT;
        volume_free(v);
        return err == -ERR_NOT_FOUND || err == -ERR_CORRUPT ? 0 : err;
    }
    volume_insert(d, v);
    return 0;
}

struct names {
    uint32_t *numbers;
    size_t count, cap;
};

/* "NNNNNNNN.vol"; anything else in the directory is not ours and is left alone. */
static int names_add(const char *name, void *arg)
{
    struct names *n = arg;
    uint64_t number;
    struct str s = str_from(name);
    if (s.len != 12 || !str_ends(s, STR(".vol")) || str_to_u64(str_prefix(s, 8), &number) != 0 ||
        number == 0)
        return 0;
    if (n->count == n->cap) {
        size_t cap = MAX(2 * n->cap, (size_t)64);
        uint32_t *grown = realloc(n->numbers, cap * sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        n->numbers = grown;
        n->cap = cap;
    }
    n->numbers[n->count++] = (uint32_t)number;
    return 0;
}

static int number_order(const void *a, const void *b)
{
    uint32_t na = *(const uint32_t *)a, nb = *(const uint32_t *)b;
    return na < nb ? -1 : na > nb;
}

static int FIBER volumes_open(struct disk *d, struct known *k)
{
    char path[VOLUME_PATH_MAX];
    struct names n = {};
    int err = path_of(d, "volumes", path);
    if (err == 0)
        err = disk_sync_names(d); /* a life that was killed may have left them in memory only */
    if (err == 0)
        err = rt_dir_list(path, names_add, &n);
    if (n.count > 0)
        qsort(n.numbers, n.count, sizeof(n.numbers[0]), number_order);
    for (size_t i = 0; err == 0 && i < n.count; i++) {
        d->next_volume = n.numbers[i] + 1; /* also when it cannot be read: a name is used once */
        err = volume_open(d, n.numbers[i], k);
    }
    free(n.numbers);
    return err;
}

static int FIBER volumes_replay(struct disk *d)
{
    for (size_t i = 0; i < d->volume_count; i++) {
        struct volume *v = d->volumes[i];
        int err = volume_replay(d, v);
        if (err)
            return err;
        rt_lock(&d->lock);
        v->stuck = v->failed ? v->row.low : UINT64_MAX;
        rt_unlock(&d->lock);
    }
    return 0;
}

/* The last volume goes on if it can; what it holds already is never touched. */
static void volume_resume(struct disk *d)
{
    if (d->volume_count == 0)
        return;
    struct volume *v = d->volumes[d->volume_count - 1];
    bool room = v->tail + SECTOR_BYTES <= d->volume_bytes_max;
    if (room && !v->failed && v->cell_bytes == CELL_BYTES && v->number + 1 == d->next_volume)
        d->active = v;
}

static int FIBER disk_recover(struct disk *d)
{
    struct known k = {};
    int err = index_open(d, known_add, &k);
    if (err == 0)
        err = volumes_open(d, &k);
    if (err == 0 && (k.met < k.count || k.retiring))
        err = index_recount(d);
    known_release(&k);
    if (err == 0)
        err = index_start(d);
    if (err == 0)
        err = volumes_replay(d);
    if (err == 0)
        volume_resume(d);
    return err;
}

/* ---- the disk ------------------------------------------------------------------------------- */

static int FIBER limits_set(struct disk *d, const struct disk_config *config)
{
    struct rt_space space;
    int err = rt_space(d->path, &space);
    if (err)
        return err;
    uint64_t share = MAX(space.total_bytes / 64, 128 * MIB); /* a small disk: small volumes */
    uint64_t volume = config->volume_bytes_max;
    d->volume_bytes_max = volume ? MAX(volume, VOLUME_BYTES_MIN) : MIN(VOLUME_BYTES_DEFAULT, share);
    uint64_t reserve = config->reserve_bytes; /* compaction of any volume should fit */
    d->reserve_bytes = reserve ? reserve : MIN(space.total_bytes / 8, d->volume_bytes_max);
    d->compact_percent = config->compact_percent ? config->compact_percent : 60;
    return 0;
}

static void locks_init(struct disk *d)
{
    rt_lock_init(&d->lock);
    rt_waitq_init(&d->grown);
    rt_waitq_init(&d->gather.enough);
    rt_waitq_init(&d->window_room);
    rt_waitq_init(&d->flush_wanted);
    rt_waitq_init(&d->flush_done);
    rt_waitq_init(&d->index_turns);
    list_init(&d->queue);
}

static int disk_alloc(struct disk *d, const char *path)
{
    locks_init(d);
    d->next_lsn = 1;
    d->next_volume = 1;
    d->path = strdup(path);
    d->volumes = malloc(VOLUMES_MAX * sizeof(d->volumes[0])); /* touched as far as it is used */
    if (!d->path || !d->volumes)
        return -ENOMEM;
    int err = window_new(&d->filling);
    return err ? err : window_new(&d->flushing);
}

static int BLOCKING kv_close_job(void *arg)
{
    kv_close(arg);
    return 0;
}

static void FIBER disk_free(struct disk *d)
{
    for (size_t i = 0; i < d->volume_count; i++)
        volume_free(d->volumes[i]);
    rt_file_close(d->id_file);
    rt_offload(kv_close_job, d->kv);
    window_free(d->filling);
    window_free(d->flushing);
    free(d->volumes);
    free(d->path);
    free(d);
}

int FIBER disk_open(struct disk **ret, const struct disk_config *config)
{
    struct disk *d = calloc(1, sizeof(*d));
    if (!d) {
        rt_offload(kv_close_job, config->index);
        return -ENOMEM;
    }
    d->kv = config->index;
    int err = disk_alloc(d, config->path);
    if (err == 0)
        err = disk_directories(d);
    if (err == 0)
        err = disk_id_open(d);
    if (err == 0)
        err = limits_set(d, config);
    if (err == 0)
        err = disk_recover(d);
    if (err) {
        index_stop(d);
        disk_free(d);
        return err;
    }
    *ret = d;
    return 0;
}

void FIBER disk_close(struct disk *d)
{
    if (!d)
        return;
    volumes_trim(d, true);
    index_stop(d);
    disk_free(d);
}
