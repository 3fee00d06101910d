/* keys.c - key files: reading, checking, forgetting.
 *
 * Sentences name the file and the line, never a secret. A line is a comment only when it starts
 * with #, because # is also a digit of Z85. */
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "proto/wire/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The longest allow-list: each line under 128 bytes. */
#define FILE_BYTES_MAX ((size_t)SOCK_ALLOW_MAX * 128)
/* A name may stand in a log line and in a table. */
#define ALLOW_NAME_BYTES 65

const char *sock_role_name(enum sock_role role)
{
    switch (role) {
    case SOCK_ROLE_CLIENT:
        return "client";
    case SOCK_ROLE_WORKER:
        return "worker";
    case SOCK_ROLE_ADMIN:
        return "admin";
    case SOCK_ROLE_NONE:
        break;
    }
    return "none";
}

static enum sock_role role_of(const char *name)
{
    for (enum sock_role role = SOCK_ROLE_CLIENT; role <= SOCK_ROLE_ADMIN; role++)
        if (str_eq(name, sock_role_name(role))) return role;
    return SOCK_ROLE_NONE;
}

static bool key_valid(const char *text)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 ".-:+=^!/*?&<>()[]{}@%$#";
    return strlen(text) == SOCK_KEY_BYTES - 1 && strspn(text, digits) == SOCK_KEY_BYTES - 1;
}

static int read_private(struct buf *out, const char *path, struct err *err)
{
    struct stat st;
    int rc = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, errno, "key file %s", path);
    if (fstat(fd, &st)) {
        rc = err_errno(err, errno, "key file %s", path);
    } else if (!S_ISREG(st.st_mode)) {
        rc = err_set(err, ERR_INVALID, "key file %s is not a file", path);
    } else if (st.st_mode & 077) {
        rc = err_set(err, ERR_DENIED,
                     "key file %s can be read by others (mode %03o): run chmod 600 on it", path,
                     st.st_mode & 0777);
    }
    while (!rc) {
        char *room = buf_reserve(out, 4096);
        if (!room) {
            rc = err_set(err, ERR_LIMIT, "key file %s is too large", path);
            break;
        }
        const ssize_t got = read(fd, room, 4096);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) rc = err_errno(err, errno, "key file %s", path);
        if (got <= 0) break;
        buf_commit(out, (size_t)got);
    }
    close(fd);
    return rc;
}

/* The next word of *text, terminated in place; "" at the end. */
static char *word(char **text)
{
    char *start = *text + strspn(*text, " \t\r");
    char *end = start + strcspn(start, " \t\r");
    *text = *end ? end + 1 : end;
    *end = 0;
    return start;
}

static const char *parse_allow(struct sock_keys *keys, char *value)
{
    char *key = word(&value), *role = word(&value), *name = word(&value);
    struct sock_allow entry = {.role = role_of(role)};
    if (!key_valid(key)) return "the allowed key is not 40 characters of Z85";
    if (entry.role == SOCK_ROLE_NONE) return "the role is none of client, worker, admin";
    if (!str_copy(entry.key, sizeof entry.key, key)) return "the allowed key is too long";
    if (!str_copy(entry.name, ALLOW_NAME_BYTES, name)) return "the name is too long";
    if (keys->allow_count == SOCK_ALLOW_MAX) return "there are too many allowed keys";
    for (uint32_t i = 0; i < keys->allow_count; i++)
        if (str_eq(keys->allow[i].key, key)) return "the key is allowed twice";
    struct sock_allow *grown =
        mem_resize(keys->allow, (keys->allow_count + 1) * sizeof *keys->allow);
    if (!grown) return "out of memory";
    grown[keys->allow_count++] = entry;
    keys->allow = grown;
    return NULL;
}

/* NULL, or what is wrong with the line. */
static const char *parse_line(struct sock_keys *keys, char *line)
{
    char *text = line + strspn(line, " \t\r");
    if (!*text || *text == '#') return NULL;
    char *equals = strchr(text, '=');
    if (!equals) return "a line is `name = value`";
    *equals = 0;
    char *value = equals + 1, *name = word(&text);
    if (str_eq(name, "allow")) return parse_allow(keys, value);
    char *dst = str_eq(name, "public")   ? keys->public_key
                : str_eq(name, "secret") ? keys->secret_key
                : str_eq(name, "server") ? keys->server_key
                                         : NULL;
    if (!dst) return "the name is none of public, secret, server, allow";
    const char *key = word(&value);
    if (!key_valid(key)) return "the key is not 40 characters of Z85";
    if (!str_copy(dst, SOCK_KEY_BYTES, key)) return "the key is too long";
    return NULL;
}

static int parse(struct sock_keys *keys, char *text, const char *path, struct err *err)
{
    int number = 1;
    for (char *line = text; line; number++) {
        char *end = strchr(line, '\n');
        if (end) *end = 0;
        const char *wrong = parse_line(keys, line);
        if (wrong)
            return err_set(err, ERR_INVALID, "key file %s, line %d: %s", path, number, wrong);
        line = end ? end + 1 : NULL;
    }
    if (!keys->public_key[0] || !keys->secret_key[0])
        return err_set(err, ERR_INVALID, "key file %s lacks the line `public` or `secret`", path);
    return 0;
}

int sock_keys_load(struct sock_keys *keys, const char *path, struct err *err)
{
    struct buf text;
    *keys = (struct sock_keys){0};
    buf_init(&text, FILE_BYTES_MAX);
    int rc = read_private(&text, path, err);
    if (!rc && text.len == 0) rc = err_set(err, ERR_INVALID, "key file %s is empty", path);
    if (!rc) rc = parse(keys, text.data, path, err);
    if (text.data) explicit_bzero(text.data, text.cap);
    buf_deinit(&text);
    if (rc) sock_keys_deinit(keys);
    return rc;
}

void sock_keys_deinit(struct sock_keys *keys)
{
    mem_free(keys->allow);
    explicit_bzero(keys, sizeof *keys);
}
