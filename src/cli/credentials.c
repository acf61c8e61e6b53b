/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "cli/credentials.h"
#include "cli/cli.h"
#include <stdio.h>

#define FILE_MAX 1024

int credentials_variable(struct arena *a, const char *name, struct str *ret)
{
    char file_name[64], line[FILE_MAX];
    const char *value = getenv(name);
    if (value) {
        *ret = arena_dup(a, str_from(value));
        return ret->ptr ? 1 : -ENOMEM;
    }
    snprintf(file_name, sizeof(file_name), "%s_FILE", name);
    const char *path = getenv(file_name);
    if (!path)
        return 0;
    errno = 0;
    FILE *f = fopen(path, "r");
    bool ok = f && fgets(line, sizeof(line), f);
    int fault = errno;
    if (f)
        fclose(f);
    if (!ok) {
        cli_fail("cannot read %s, which %s names: %s", path, file_name,
                 fault ? strerror(fault) : "it is empty");
        return -EINVAL;
    }
    *ret = arena_dup(a, str_prefix(str_from(line), strcspn(line, "\r\n")));
    explicit_bzero(line, sizeof(line));
    return ret->ptr ? 1 : -ENOMEM;
}

static int check_credentials(const struct credentials *c, const char *where)
{
    if (c->access_key.len < CREDENTIALS_USER_MIN || c->access_key.len > CREDENTIALS_MAX ||
        c->secret_key.len < CREDENTIALS_SECRET_MIN || c->secret_key.len > CREDENTIALS_MAX)
        cli_fail("the root credentials in %s are too short or too long: the user needs %d to %d "
                 "bytes, the password %d to %d",
                 where, CREDENTIALS_USER_MIN, CREDENTIALS_MAX, CREDENTIALS_SECRET_MIN,
                 CREDENTIALS_MAX);
    else if (!str_is_graphic(c->access_key, "/,=") || !str_is_graphic(c->secret_key, ""))
        cli_fail("the root credentials in %s have what a signature cannot bear: letters, digits "
                 "and signs of ASCII without spaces, in the user also without / , and =",
                 where);
    else
        return 0;
    return -EINVAL;
}

int credentials_from_environment(struct arena *a, struct credentials *ret)
{
    static const char *const names[][2] = {{"CAIRN_ROOT_USER", "CAIRN_ROOT_PASSWORD"},
                                           {"MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"}};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct credentials c = {.from_environment = true};
        int user = credentials_variable(a, names[i][0], &c.access_key);
        int secret = credentials_variable(a, names[i][1], &c.secret_key);
        if (user < 0 || secret < 0)
            return MIN(user, secret);
        if (user != secret) {
            cli_fail("%s is set but %s is not: set both or neither", names[i][!user],
                     names[i][user]);
            return -EINVAL;
        }
        if (user == 0)
            continue;
        int r = check_credentials(&c, "the environment");
        if (r < 0)
            return r;
        *ret = c;
        return 1;
    }
    return 0;
}

/* ---- the file ------------------------------------------------------------------------------- */

static int parse_file(struct arena *a, struct str text, struct credentials *ret)
{
    struct credentials c = {0};
    for (struct str line; str_cut(&text, '\n', &line);) {
        if (str_starts(line, STR("access_key=")))
            c.access_key = arena_dup(a, str_from_offset(line, strlen("access_key=")));
        else if (str_starts(line, STR("secret_key=")))
            c.secret_key = arena_dup(a, str_from_offset(line, strlen("secret_key=")));
    }
    if (!c.access_key.ptr || !c.secret_key.ptr)
        return -EINVAL;
    *ret = c;
    return 0;
}

/* Uniform letters and digits: bytes beyond the largest multiple of the alphabet are drawn again. */
static struct str random_text(struct arena *a, size_t len, const char *alphabet)
{
    size_t letters = strlen(alphabet), at = 0;
    char *text = arena_alloc(a, len);
    while (text && at < len) {
        uint8_t byte;
        rt_random(&byte, 1);
        if (byte < 256 / letters * letters)
            text[at++] = alphabet[byte % letters];
    }
    return str_make(text, text ? len : 0);
}

static int FIBER generate(struct arena *a, struct credentials *ret)
{
    struct credentials c = {.generated = true};
    c.access_key = random_text(a, 20, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
    c.secret_key =
        random_text(a, 40, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");
    if (!c.access_key.ptr || !c.secret_key.ptr)
        return -ENOMEM;
    *ret = c;
    return 0;
}

/* -ENOENT: there is none, or no directory. */
static int FIBER read_from(struct arena *a, const char *path, struct credentials *ret)
{
    char text[FILE_MAX];
    size_t len;
    int r = rt_read_file(path, text, sizeof(text), &len);
    if (r == -ENOENT || r == -ENOTDIR)
        return -ENOENT;
    if (r < 0) {
        cli_fail("cannot read %s: %s", path, err_text(r));
        return r;
    }
    r = parse_file(a, str_make(text, len), ret);
    explicit_bzero(text, sizeof(text));
    if (r < 0) {
        cli_fail(
            "%s holds no access_key= and secret_key= line: mend it, or set CAIRN_ROOT_USER and "
            "CAIRN_ROOT_PASSWORD",
            path);
        return r;
    }
    return check_credentials(ret, path);
}

static int any_entry(const char *name, void *arg)
{
    return 1;
}

/* Into each directory that is there and has none; one success is enough. */
static int FIBER write_to_all(struct arena *a, const char *const *dirs, unsigned count,
                              const struct credentials *c)
{
    struct credentials there;
    int first = -ENOENT, done = 0;
    struct str text = arena_printf(a, "access_key=%.*s\nsecret_key=%.*s\n", STR_FMT(c->access_key),
                                   STR_FMT(c->secret_key));
    for (unsigned i = 0; i < count && text.ptr; i++) {
        struct str path = arena_printf(a, "%s/" CREDENTIALS_FILE, dirs[i]);
        if (!path.ptr || rt_dir_list(dirs[i], any_entry, NULL) < 0)
            continue;
        int r = read_from(a, path.ptr, &there) == -ENOENT ? rt_write_file(path.ptr, text) : 0;
        done += r == 0;
        first = r < 0 ? r : first;
    }
    return done > 0 ? 0 : first;
}

int FIBER credentials_for_server(struct arena *a, const char *const *dirs, unsigned count,
                                 struct credentials *ret)
{
    int r = credentials_from_environment(a, ret);
    if (r != 0)
        return r < 0 ? r : 0;
    r = -ENOENT;
    for (unsigned i = 0; i < count && r == -ENOENT; i++) {
        struct str path = arena_printf(a, "%s/" CREDENTIALS_FILE, dirs[i]);
        r = path.ptr ? read_from(a, path.ptr, ret) : -ENOMEM;
    }
    if (r == -ENOENT)
        r = generate(a, ret);
    if (r < 0)
        return r;
    r = write_to_all(a, dirs, count, ret);
    if (r < 0 && ret->generated) {
        cli_fail("cannot write %s/" CREDENTIALS_FILE ": %s", dirs[0], err_text(r));
        return r;
    }
    return 0;
}
