/* server.c - reads INFO and the error replies of Redis. */
#include "broker/state/server.h"

#include "common/base/str.h"

#include <stdio.h>
#include <string.h>

#define VERSION_MIN 7 /* functions */

/* Copies the value of "name:value\r\n"; false if the text has no such line. */
static bool field(char *dst, size_t dst_bytes, const char *text, const char *name)
{
    const size_t name_bytes = strlen(name);
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        if (strncmp(line, name, name_bytes) != 0 || line[name_bytes] != ':') continue;
        const char *value = line + name_bytes + 1;
        const size_t bytes = strcspn(value, "\r\n");
        if (bytes >= dst_bytes) return false;
        memcpy(dst, value, bytes);
        dst[bytes] = 0;
        return true;
    }
    return false;
}

static int64_t number(const char *text, const char *name)
{
    char value[32];
    int64_t result = 0;
    if (!field(value, sizeof value, text, name)) return 0;
    return str_to_int(&result, value, 0, INT64_MAX, name, NULL) ? 0 : result;
}

static bool says(const char *text, const char *name, const char *expected)
{
    char value[32];
    return field(value, sizeof value, text, name) && str_eq(value, expected);
}

void server_info_read(struct server_info *info, const char *text, size_t bytes)
{
    *info = (struct server_info){0};
    if (strlen(text) != bytes) return; /* not an INFO: everything stays unknown */
    (void)field(info->version, sizeof info->version, text, "redis_version");
    (void)field(info->policy, sizeof info->policy, text, "maxmemory_policy");
    char major[sizeof info->version];
    (void)str_copy(major, sizeof major, info->version);
    major[strcspn(major, ".")] = 0;
    if (str_to_int(&info->version_major, major, 0, 1000, "version", NULL)) info->version_major = 0;
    info->bytes = number(text, "used_memory");
    info->bytes_max = number(text, "maxmemory");
    info->append_only = says(text, "aof_enabled", "1");
    info->append_ok = !says(text, "aof_last_write_status", "err");
    info->loading = says(text, "loading", "1");
    info->replica = says(text, "role", "slave");
}

/* Why the state would not survive here, or "". */
static void volatile_why(const struct server_info *info, char why[ERR_MSG_BYTES])
{
    why[0] = 0;
    if (!info->append_only) {
        (void)snprintf(why, ERR_MSG_BYTES,
                       "it would forget its jobs in a crash: set appendonly yes");
    } else if (!str_eq(info->policy, "noeviction")) {
        (void)snprintf(
            why, ERR_MSG_BYTES,
            "it may drop jobs when it is full (maxmemory-policy %s): set maxmemory-policy "
            "noeviction",
            info->policy);
    }
}

int server_check(const struct server_info *info, const char *address, bool allow_volatile,
                 struct err *err)
{
    if (info->version_major < VERSION_MIN) {
        return err_set(err, ERR_INVALID, "Redis at %s is version %s; vlmq needs %d or later",
                       address, info->version[0] ? info->version : "unknown", VERSION_MIN);
    }
    if (info->loading) {
        return err_set(err, ERR_UNAVAILABLE, "Redis at %s is still loading its data", address);
    }
    char why[ERR_MSG_BYTES];
    volatile_why(info, why);
    if (!why[0] || allow_volatile) return 0;
    return err_set(err, ERR_INVALID, "Redis at %s cannot keep jobs safe: %s", address, why);
}

bool server_writable(const struct server_info *info)
{
    return !info->loading && !info->replica && info->append_ok;
}

void server_note(const struct server_info *info, char note[ERR_MSG_BYTES])
{
    volatile_why(info, note);
    if (note[0]) return;
    if (info->replica) {
        (void)snprintf(note, ERR_MSG_BYTES, "Redis is a read-only replica");
    } else if (!info->append_ok) {
        (void)snprintf(note, ERR_MSG_BYTES, "Redis cannot write its append-only file");
    }
}

bool server_lacks_functions(const char *error)
{
    return str_has_prefix(error, "ERR Function not found");
}

int server_error(struct err *err, const char *text, size_t bytes)
{
    static const struct {
        const char *word;
        enum err_code code;
        const char *sentence;
    } known[] = {
        {"OOM", ERR_LIMIT, "Redis is out of memory"},
        {"READONLY", ERR_UNAVAILABLE, "Redis is a read-only replica"},
        {"MISCONF", ERR_UNAVAILABLE, "Redis cannot write to its disk"},
        {"LOADING", ERR_UNAVAILABLE, "Redis is still loading its data"},
        {"BUSY", ERR_UNAVAILABLE, "Redis is busy with a script"},
        {"MASTERDOWN", ERR_UNAVAILABLE, "Redis has lost its master"},
        {"NOREPLICAS", ERR_UNAVAILABLE, "Redis has too few replicas to accept writes"},
        {"CLUSTERDOWN", ERR_UNAVAILABLE, "the Redis cluster is down"},
        {"TRYAGAIN", ERR_UNAVAILABLE, "the Redis cluster is moving the key"},
        {"NOAUTH", ERR_DENIED, "Redis asks for a password"},
        {"WRONGPASS", ERR_DENIED, "Redis refuses this user or password"},
        {"NOPERM", ERR_DENIED, "this Redis user may not do that"},
    };
    if (server_lacks_functions(text)) {
        return err_set(err, ERR_UNAVAILABLE, "Redis has lost the functions of vlmq");
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const size_t word_bytes = strlen(known[i].word);
        if (strncmp(text, known[i].word, word_bytes) == 0 && text[word_bytes] == ' ') {
            return err_set(err, known[i].code, "%s", known[i].sentence);
        }
    }
    return err_set(err, ERR_INTERNAL, "Redis: %.*s", (int)(bytes > 200 ? 200 : bytes), text);
}
