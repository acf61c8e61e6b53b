/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Runs a fuzz target over each file of its corpus, so that the corpus is a unit test with any
 * compiler. An empty or missing folder is a failure: a test that cannot fail is a defect.
 */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int run_file(const char *dir, const char *name)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    if (!f)
        return -1;
    size_t cap = 1 << 20;
    uint8_t *data = malloc(cap);
    size_t len = data ? fread(data, 1, cap, f) : 0;
    fclose(f);
    if (!data)
        return -1;
    /* Exactly as long as the input, so that a sanitizer sees a read beyond it. */
    uint8_t *exact = realloc(data, len ? len : 1);
    LLVMFuzzerTestOneInput(exact ? exact : data, len);
    free(exact ? exact : data);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
        return 2;
    }
    DIR *d = opendir(argv[1]);
    if (!d) {
        perror(argv[1]);
        return 1;
    }
    unsigned count = 0;
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        if (run_file(argv[1], e->d_name) != 0) {
            fprintf(stderr, "cannot read %s/%s\n", argv[1], e->d_name);
            return 1;
        }
        count++;
    }
    closedir(d);
    printf("%u inputs\n", count);
    return count > 0 ? 0 : 1;
}
