/* tail.c - the last lines of a file. */
#include "client/logs/tail.h"

#include "client/print.h"
#include "common/base/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES 16384
#define AGAIN_MS    250

int tail_offset(int64_t *offset, int fd, int64_t lines, const char *path, struct err *err)
{
    char piece[PIECE_BYTES];
    int64_t at = lseek(fd, 0, SEEK_END);
    bool last = true;
    if (at < 0) return err_errno(err, errno, "read %s", path);
    while (at > 0) {
        const size_t bytes = at < PIECE_BYTES ? (size_t)at : PIECE_BYTES;
        const ssize_t got = pread(fd, piece, bytes, at - (int64_t)bytes);
        if (got != (ssize_t)bytes) return err_errno(err, errno, "read %s", path);
        for (size_t i = bytes; i-- > 0;) {
            /* The end of the last line does not begin another. */
            if (piece[i] == '\n' && !last && --lines <= 0) {
                *offset = at - (int64_t)bytes + (int64_t)i + 1;
                return 0;
            }
            last = false;
        }
        at -= (int64_t)bytes;
    }
    *offset = 0;
    return 0;
}

static void print_lines(struct buf *held, bool all)
{
    struct buf out;
    size_t done = 0;
    buf_init(&out, 0);
    for (;;) {
        char *at = held->data ? held->data + done : NULL;
        char *end = at ? memchr(at, '\n', held->len - done) : NULL;
        if (!end) break;
        *end = 0;
        print_clean(&out, at);
        buf_byte(&out, '\n');
        done = (size_t)(end - held->data) + 1;
    }
    buf_consume(held, done);
    if (all && held->len) {
        print_clean(&out, buf_str(held));
        buf_byte(&out, '\n');
        buf_clear(held);
    }
    print_out(stdout, &out);
    buf_deinit(&out);
}

static int copy(int fd, struct buf *held, const char *path, struct err *err)
{
    for (;;) {
        char *place = buf_reserve(held, PIECE_BYTES);
        if (!place) return err_set(err, ERR_LIMIT, "out of memory");
        const ssize_t got = read(fd, place, PIECE_BYTES);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_errno(err, errno, "read %s", path);
        if (got == 0) return 0;
        buf_commit(held, (size_t)got);
        print_lines(held, false);
    }
}

/* Another file under the same name is taken up from its start. */
static void reopen(int *fd, const char *path)
{
    struct stat now, old;
    if (stat(path, &now) || fstat(*fd, &old) || now.st_ino == old.st_ino) return;
    const int next = open(path, O_RDONLY | O_CLOEXEC);
    if (next < 0) return;
    (void)close(*fd);
    *fd = next;
}

int tail_print(const struct tail *tail, const char *path, enum exit_status *status, struct err *err)
{
    struct buf held;
    struct wake wake = {.fd = -1};
    int64_t offset = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, errno, "open %s", path);
    buf_init(&held, 0);
    int rc = tail->lines ? tail_offset(&offset, fd, tail->lines, path, err) : 0;
    if (!rc) (void)lseek(fd, tail->lines ? offset : 0, tail->lines ? SEEK_SET : SEEK_END);
    if (!rc) rc = copy(fd, &held, path, err);
    if (!rc && tail->follow && wake_open(&wake)) rc = err_errno(err, errno, "eventfd");
    if (!rc && tail->follow) stop_install(&wake);
    while (!rc && tail->follow && !stop_count()) {
        struct pollfd wait = {.fd = wake.fd, .events = POLLIN};
        (void)poll(&wait, 1, AGAIN_MS);
        reopen(&fd, path);
        rc = copy(fd, &held, path, err);
    }
    print_lines(&held, true);
    if (tail->follow) stop_install(NULL);
    if (!rc && tail->follow) *status = STATUS_INTERRUPTED;
    wake_close(&wake);
    buf_deinit(&held);
    (void)close(fd);
    return rc;
}
