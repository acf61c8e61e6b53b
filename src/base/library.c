/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "base/library.h"
#include <dlfcn.h>
#include "base/error.h"

static int load(struct library *l)
{
    void *handle = dlopen(l->soname, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return -ERR_UNAVAILABLE;
    for (size_t i = 0; i < l->count; i++) {
        l->functions[i] = dlsym(handle, l->names[i]);
        if (!l->functions[i])
            return -ERR_UNAVAILABLE;
    }
    l->loaded = true;
    return 0;
}

int BLOCKING library_load(struct library *l)
{
    pthread_mutex_lock(&l->mutex);
    int r = l->loaded ? 0 : load(l);
    pthread_mutex_unlock(&l->mutex);
    return r;
}
