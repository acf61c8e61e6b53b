/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What the `cairn admin` commands share: their common options, and signed requests to a server's
 * admin door.
 */

#include <jansson.h>
#include "base/arena.h"
#include "base/encode.h"
#include "cli/cli.h"
#include "http/http.h"

struct admin_options {
    const char *endpoint, *access_key, *secret_key, *ca;
    bool json, insecure;
};
extern struct admin_options admin_options;

/* The rows for a command's option table. */
#define ADMIN_OPTIONS                                                               \
    {"endpoint", CLI_TEXT, &admin_options.endpoint, "URL",                          \
     "the server; $CAIRN_ENDPOINT, or http://127.0.0.1:9000"},                      \
        {"access-key", CLI_TEXT, &admin_options.access_key, "KEY",                  \
         "root access key; $CAIRN_ROOT_USER if not given"},                         \
        {"secret-key", CLI_TEXT, &admin_options.secret_key, "SECRET",               \
         "root secret key; $CAIRN_ROOT_PASSWORD if not given"},                     \
        {"ca", CLI_TEXT, &admin_options.ca, "FILE", "certificates to trust (PEM)"}, \
        {"insecure", CLI_FLAG, &admin_options.insecure, NULL,                       \
         "do not verify the server's certificate"},                                 \
    {                                                                               \
        "json", CLI_FLAG, &admin_options.json, NULL, "print JSON"                   \
    }

struct admin_call {
    const char *method, *path; /* "/-/admin/v1/info" */
    json_t *body;              /* borrowed; NULL: none */
    /*
     * For answers of one JSON object a line: called for each. NULL: the whole answer is one value.
     */
    void (*on_line)(json_t *line, void *arg);
    void *arg;
};

/*
 * Makes the call in a world of its own. Returns 0 with the answer in *ret_json (owned by the
 * caller; NULL when empty or given to on_line), or 1 with the fault told on standard error.
 */
int admin_call(const struct admin_call *call, json_t **ret_json);

/* Puts an object of these bytes by the S3 door: its path, encoded. 0, or 1 with the fault told. */
int admin_put_object(const char *path, struct str bytes);

/*
 * Many calls over one connection. `fn` makes them in a world of its own and returns an exit status,
 * which is given back.
 */
struct admin_session;
int admin_session_run(int FIBER (*fn)(struct admin_session *s, void *arg), void *arg);
/*
 * 0 with the answer, or with the server's refusal: *ret_json NULL and its words in `ret_why`. 1:
 * there is no answer, which was told on standard error.
 */
#define ADMIN_CALL_WHY_MAX 512
int FIBER admin_session_call(struct admin_session *s, const struct admin_call *call,
                             json_t **ret_json, char ret_why[ADMIN_CALL_WHY_MAX]);

/*
 * What is told to a person: of a text that others may have chosen (keys, agents, names) control
 * characters are written as \x1b, in the value itself, so that no terminal takes them for commands.
 */
const char *admin_text(json_t *value);
/* A member of an answer, told so: "" or 0 when it is not there, or less than 0. */
const char *admin_text_of(const json_t *o, const char *name);
uint64_t admin_number_of(const json_t *o, const char *name);
/* A member of a body from an option's text, a size ("10GiB") or a number; NULL: none. -EINVAL. */
int admin_set_number(json_t *body, const char *name, const char *text, bool size);
/* Prints a value as indented JSON and takes it over. Returns 0. */
int admin_print_json(json_t *value);
/* What a command without an answer of its own says once it went well: "policy p added". Returns
 * `r`. */
int admin_say_done(int r, const char *what, const char *name, const char *how);
/* Asks for what lies at `path` and prints each of the answer's `member`, or with --json all of it.
 * Returns as admin_call. */
int admin_print_list(const char *path, const char *member, void (*print)(const json_t *item));
/* "1.5 GiB"; `ret` holds 32 bytes. */
const char *admin_format_bytes(uint64_t bytes, char ret[32]);
/* "90 s", "12 min", "5 h", "3 days"; `ret` holds 32 bytes. */
const char *admin_format_duration(uint64_t s, char ret[32]);
/* What the disks survive, as the server tells of it. */
void admin_print_redundancy(const json_t *r);
/* A line about a job as the server tells of it. */
void admin_print_job(const json_t *job);
/* Lines about what the scrub found, if it found anything. */
void admin_print_damages(const json_t *scrub);
/* As admin_call. */
int admin_pause_job(const char *name, bool paused, json_t **ret_job);
/* Appends a file's bytes, or standard input's for "-"; beyond the buffer's limit that has its
 * error. 0, or 1 with the fault told. */
int admin_read_file(const char *path, struct buf *ret);
/* Appends a policy's document: a file, or standard input for "-". 0, or 1 with the fault told. */
int admin_read_policy(const char *path, struct buf *ret);
