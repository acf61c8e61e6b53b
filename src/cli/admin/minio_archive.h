/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The archive that `mc admin cluster iam export` writes: a zip with JSON files in the folder
 * "iam-assets", an object each, keyed by the name of what is told of. Nothing is unpacked to disk:
 * of the archive the files of these names are read into memory, up to a limit that holds whatever
 * the archive says of sizes; every other name is passed over.
 *
 * Source: minio/minio, cmd/admin-handlers-users.go (ExportIAM), and madmin-go's AddOrUpdateUserReq
 * and SRSvcAccCreate, for names and types; as of 2025.
 */

#include <jansson.h>
#include "base/str.h"

#define MINIO_ARCHIVE_FILES_MAX 1000       /* in the zip */
#define MINIO_ARCHIVE_FILE_MAX  (64 * MIB) /* unpacked */
#define MINIO_ARCHIVE_WHY_MAX   256

/* In the order in which they are taken over. X(NAME, file) */
#define MINIO_FILES(X)                       \
    X(POLICIES, "policies.json")             \
    X(USERS, "users.json")                   \
    X(GROUPS, "groups.json")                 \
    X(SERVICES, "svcaccts.json")             \
    X(USER_POLICIES, "user_mappings.json")   \
    X(GROUP_POLICIES, "group_mappings.json") \
    X(STS_POLICIES, "stsuser_mappings.json")
#define MINIO_FILE_ID_(name, file) MINIO_##name,
enum minio_file { MINIO_FILES(MINIO_FILE_ID_) MINIO_FILE_COUNT };

struct minio_archive {
    json_t *files[MINIO_FILE_COUNT]; /* objects of objects; never NULL */
};

/*
 * -ERR_UNAVAILABLE (libzip is not installed), or another code; with what is wrong in `ret_why`.
 * BLOCKING. Release it.
 */
int BLOCKING minio_archive_read(const char *path, struct minio_archive *ret,
                                char ret_why[MINIO_ARCHIVE_WHY_MAX]);
void minio_archive_release(struct minio_archive *a);

/* A file's text: an object whose members have the shape of that file's. -ERR_PARSE; -ENOMEM. */
int minio_file_parse(enum minio_file kind, struct str text, json_t **ret);

/* ---- what stands in it ---------------------------------------------------------------------- */

/* A text member of an entry, "" where there is none. */
struct str minio_text(const json_t *entry, const char *name);
/* Statuses are "enabled" and "disabled", of service accounts "on" and "off". */
bool minio_is_off(const json_t *entry);
/* The time a service account ends, milliseconds; 0: never, which is also written as the year 1 and
 * as 1970. -ERR_PARSE. */
int minio_expiry(const json_t *service, uint64_t *ret_ms);
/* The next name of a mapping's list, "a,b"; ptr NULL in `*rest` ends it. */
bool minio_next_policy(struct str *rest, struct str *ret_name);
