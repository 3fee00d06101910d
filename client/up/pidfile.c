/* pidfile.c - pid files over /proc. */
#include "client/up/pidfile.h"

#include "common/base/buf.h"
#include "common/base/fs.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROC_BYTES_MAX ((size_t)16 * 1024)

/* Finds state and start (fields 3 and 22) in the text of /proc/PID/stat. The second field is a
 * name in parentheses that may hold spaces and parentheses itself, so counting starts behind the
 * last one. */
static bool parse_stat(const char *text, char *state, uint64_t *start)
{
    const char *at = strrchr(text, ')');
    if (!at || at[1] != ' ' || !at[2]) return false;
    *state = at[2];
    at += 2;
    for (int field = 3; field < 22; field++) {
        at = strchr(at, ' ');
        if (!at) return false;
        at++;
    }
    char *end;
    *start = strtoull(at, &end, 10);
    return end != at;
}

static bool read_stat(int32_t pid, char *state, uint64_t *start)
{
    char path[64];
    struct buf text;
    struct err err;
    buf_init(&text, PROC_BYTES_MAX);
    (void)snprintf(path, sizeof path, "/proc/%" PRId32 "/stat", pid);
    const bool ok =
        !fs_read(&text, path, PROC_BYTES_MAX, &err) && parse_stat(buf_str(&text), state, start);
    buf_deinit(&text);
    return ok;
}

static void this_boot(char *dst, size_t dst_bytes)
{
    struct buf text;
    struct err err;
    buf_init(&text, PROC_BYTES_MAX);
    (void)str_copy(dst, dst_bytes, "-");
    if (!fs_read(&text, "/proc/sys/kernel/random/boot_id", PROC_BYTES_MAX, &err) && text.len)
        (void)snprintf(dst, dst_bytes, "%.*s", (int)strcspn(text.data, " \n"), text.data);
    buf_deinit(&text);
}

static void this_host(char *dst, size_t dst_bytes)
{
    if (gethostname(dst, dst_bytes) || !*dst) (void)str_copy(dst, dst_bytes, "-");
    dst[dst_bytes - 1] = 0;
}

int pidfile_of(struct pidfile *file, int32_t pid, struct err *err)
{
    char state;
    memset(file, 0, sizeof *file);
    file->pid = pid;
    if (!read_stat(pid, &state, &file->start))
        return err_set(err, ERR_NOT_FOUND, "there is no process %" PRId32, pid);
    this_host(file->host, sizeof file->host);
    this_boot(file->boot, sizeof file->boot);
    return 0;
}

int pidfile_write(const struct pidfile *file, const char *path, struct err *err)
{
    char text[256];
    const int bytes = snprintf(text, sizeof text, "%" PRId32 " %" PRIu64 " %s %s\n", file->pid,
                               file->start, file->host, file->boot);
    return fs_put(path, text, (size_t)bytes, err);
}

/* The first words of the text, terminated in place; returns how many there are. */
static size_t split(char **word, size_t words_max, struct buf *text)
{
    size_t count = 0;
    char *rest = text->data;
    while (rest && count < words_max && (word[count] = strtok_r(rest, " \n", &rest))) count++;
    return count;
}

static bool parse(struct pidfile *file, struct buf *text)
{
    char *word[4];
    int64_t pid, start;
    if (split(word, 4, text) != 4 || str_to_int(&pid, word[0], 1, INT32_MAX, "pid", NULL) ||
        str_to_int(&start, word[1], 0, INT64_MAX, "start", NULL))
        return false;
    file->pid = (int32_t)pid;
    file->start = (uint64_t)start;
    return str_copy(file->host, sizeof file->host, word[2]) &&
           str_copy(file->boot, sizeof file->boot, word[3]);
}

int pidfile_read(struct pidfile *file, const char *path, struct err *err)
{
    struct buf text;
    buf_init(&text, PROC_BYTES_MAX);
    memset(file, 0, sizeof *file);
    int rc = fs_read(&text, path, PROC_BYTES_MAX, err);
    if (!rc && !parse(file, &text))
        rc = err_set(err, ERR_CORRUPT, "%s is not a pid file of ours", path);
    buf_deinit(&text);
    return rc;
}

enum pidfile_state pidfile_state(const struct pidfile *file)
{
    char host[sizeof file->host], boot[sizeof file->boot], state;
    uint64_t start;
    this_host(host, sizeof host);
    if (!str_eq(host, file->host)) return PIDFILE_ELSEWHERE;
    this_boot(boot, sizeof boot);
    if (!str_eq(boot, file->boot)) return PIDFILE_DEAD;
    if (!read_stat(file->pid, &state, &start)) return PIDFILE_DEAD;
    if (start != file->start || state == 'Z' || state == 'X') return PIDFILE_DEAD;
    return PIDFILE_ALIVE;
}

static int64_t ticks_ms(uint64_t ticks)
{
    const int64_t per_s = (int64_t)sysconf(_SC_CLK_TCK);
    return per_s > 0 ? (int64_t)ticks * 1000 / per_s : 0;
}

void pidfile_usage(const struct pidfile *file, int64_t *uptime_ms, int64_t *rss_bytes)
{
    char path[64], *word[2];
    struct buf text;
    struct err err;
    double up;
    int64_t pages;
    *uptime_ms = *rss_bytes = 0;
    buf_init(&text, PROC_BYTES_MAX);
    if (!fs_read(&text, "/proc/uptime", PROC_BYTES_MAX, &err) && split(word, 1, &text) == 1 &&
        !str_to_double(&up, word[0], 0, 1e12, "uptime", NULL))
        *uptime_ms = (int64_t)(up * 1000) - ticks_ms(file->start);
    buf_clear(&text);
    (void)snprintf(path, sizeof path, "/proc/%" PRId32 "/statm", file->pid);
    if (!fs_read(&text, path, PROC_BYTES_MAX, &err) && split(word, 2, &text) == 2 &&
        !str_to_int(&pages, word[1], 0, INT32_MAX, "pages", NULL))
        *rss_bytes = pages * (int64_t)sysconf(_SC_PAGESIZE);
    buf_deinit(&text);
}
