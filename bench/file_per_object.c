/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * What a store of one file an object does for a durable PUT: a new file, its bytes, fdatasync, a
 * rename to its place. So many threads do it for so many seconds; prints the rate.
 *
 *   file_per_object DIR [THREADS [SECONDS [BYTES]]]
 */

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include "base/defs.h"

static const char *dir;
static size_t size = 4096;
static _Atomic uint64_t done;
static _Atomic bool stop;

static void put(const char *payload, unsigned thread, uint64_t number)
{
    char from[512], to[512];
    snprintf(from, sizeof(from), "%s/tmp-%u", dir, thread);
    snprintf(to, sizeof(to), "%s/%u-%llu", dir, thread, (unsigned long long)number);
    int fd = open(from, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    if (fd < 0 || write(fd, payload, size) != (ssize_t)size || fdatasync(fd) < 0 || close(fd) < 0 ||
        rename(from, to) < 0) {
        perror(from);
        exit(1);
    }
}

static void *worker(void *arg)
{
    char *payload = calloc(1, size);
    for (uint64_t i = 0; payload && !stop; i++) {
        put(payload, (unsigned)(uintptr_t)arg, i);
        done++;
    }
    free(payload);
    return NULL;
}

int main(int argc, char **argv)
{
    unsigned threads = argc > 2 ? (unsigned)atoi(argv[2]) : 64;
    unsigned seconds = argc > 3 ? (unsigned)atoi(argv[3]) : 5;
    size = argc > 4 ? (size_t)atol(argv[4]) : size;
    if (argc < 2 || threads == 0 || threads > 1024) {
        fprintf(stderr, "usage: %s DIR [THREADS [SECONDS [BYTES]]]\n", argv[0]);
        return 2;
    }
    dir = argv[1];
    pthread_t all[1024];
    for (unsigned i = 0; i < threads; i++)
        CHECK(pthread_create(&all[i], NULL, worker, (void *)(uintptr_t)i) == 0);
    sleep(seconds);
    stop = true;
    for (unsigned i = 0; i < threads; i++)
        pthread_join(all[i], NULL);
    printf("{\"rate\": %.0f}\n", (double)done / seconds);
    return 0;
}
