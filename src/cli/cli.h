/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The command line: a table of commands, each with its options and its text. The help, the man
 * pages and the parsing all come from that table.
 */

#include "base/str.h"
#include <stdio.h>

enum cli_kind { CLI_TEXT, CLI_FLAG, CLI_NUMBER, CLI_TEXTS };

/* Of an option that may be given several times. */
#define CLI_TEXTS_MAX 64
struct cli_texts {
    const char *at[CLI_TEXTS_MAX];
    unsigned count;
};

struct cli_option {
    const char *name; /* without the dashes; NULL ends a table */
    enum cli_kind kind;
    void *to;             /* const char **, bool *, uint64_t * or struct cli_texts * */
    const char *argument; /* "HOST:PORT"; NULL for flags */
    const char *help;
};

struct cli_command {
    const char *name;        /* "admin user add" */
    const char *operands;    /* "NAME", or "" */
    const char *summary;     /* one line, no full stop */
    const char *description; /* paragraphs */
    const struct cli_option *options;
    unsigned operands_min, operands_max;
    /* Exit status of the process. */
    int (*run)(char **operands, unsigned count);
};

/* Ends with a NULL name. */
extern const struct cli_command cli_server, cli_help;
extern const struct cli_command cli_admin_key_create, cli_admin_key_list, cli_admin_key_rewrap,
    cli_admin_key_rotate;
extern const struct cli_command cli_admin_user_add, cli_admin_user_list, cli_admin_user_limit,
    cli_admin_user_rm, cli_admin_info, cli_admin_check, cli_admin_quota_set, cli_admin_quota_show,
    cli_admin_job_list, cli_admin_job_pause, cli_admin_job_resume, cli_admin_scrub_start,
    cli_admin_scrub_status, cli_admin_scrub_stop, cli_admin_disk_list, cli_admin_bucket_class,
    cli_admin_disk_add, cli_admin_disk_replace, cli_admin_disk_drain, cli_admin_disk_set,
    cli_admin_heal, cli_admin_durability, cli_admin_event_target_add, cli_admin_event_target_list,
    cli_admin_event_target_rm, cli_admin_event_test, cli_admin_event_dead, cli_admin_events,
    cli_admin_audit, cli_admin_audit_verify, cli_admin_iam_import, cli_admin_ldap_attach,
    cli_admin_ldap_detach, cli_admin_ldap_list;

extern const struct cli_command cli_admin_policy_add, cli_admin_policy_list, cli_admin_policy_show,
    cli_admin_policy_rm, cli_admin_policy_attach, cli_admin_policy_detach, cli_admin_policy_explain,
    cli_admin_group_add, cli_admin_group_list, cli_admin_group_rm, cli_admin_group_join,
    cli_admin_group_leave;

extern const struct cli_command cli_admin_purge, cli_admin_purge_status, cli_admin_purge_stop;
extern const struct cli_command cli_admin_batch_start, cli_admin_batch_list, cli_admin_batch_status,
    cli_admin_batch_cancel;
extern const struct cli_command cli_admin_retention_set, cli_admin_retention_list,
    cli_admin_retention_rm;

extern const struct cli_command cli_admin_accesskey_add, cli_admin_accesskey_list,
    cli_admin_accesskey_enable, cli_admin_accesskey_disable, cli_admin_accesskey_rm,
    cli_admin_serviceaccount_add, cli_admin_serviceaccount_list, cli_admin_serviceaccount_rm,
    cli_admin_role_add, cli_admin_role_list, cli_admin_role_rm;

/* Every command, in the order of the help; NULL ends it. */
extern const struct cli_command *const cli_commands[];

/*
 * Finds the command that the words begin with and runs it. Returns the exit status: 0, 1 (it
 * failed), 2 (the words were wrong).
 */
int cli_main(int argc, char **argv);

/* The longest command whose name the words spell; *ret_used says how many words. NULL if none. */
const struct cli_command *cli_find(char **words, unsigned count, unsigned *ret_used);

/* Lists the commands that begin with these words ("admin user", or "user") and go on, a line each,
 * if `to` is not NULL; false: there is none. */
bool cli_help_group(const char *words, FILE *to);

/* Reads options out of the words; what is left are operands, moved to the front. 0 or 2, with the
 * fault told on standard error. */
int cli_parse(const struct cli_command *c, char **words, unsigned count, unsigned *ret_operands);

/* The command under way with its operands, as far as they are short, for messages: "admin user rm
 * bob". */
const char *cli_words(void);

/* Prints a text in lines of at most `width` columns, of which those after the first begin at
 * `indent`, where the first is already. A word that is longer has a line of its own. */
void cli_print_folded(FILE *to, const char *text, int indent, int width);

/* "cairn: TEXT" on standard error; returns 1, the status of a failed command. */
int cli_fail(const char *fmt, ...) PRINTF_LIKE(1, 2);
