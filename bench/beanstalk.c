/* beanstalk.c - the life of jobs in beanstalkd: put, reserve, delete over one connection, with a
 * number of jobs in flight at a time. A peer of the benchmarks.
 *
 * The server answers in order, so a ring remembers what was asked. A job is reserved when its put
 * is answered and deleted when it is reserved, as one worker that does nothing would. Prints one
 * line of JSON; fails unless every job was deleted. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/conf.h"
#include "common/base/stop.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define IN_FLIGHT_MAX 1024
#define BODY_BYTES    200
#define BUFFER_BYTES  (1024 * 1024) /* more than all that can be in flight */

enum asked { PUT, RESERVE, DELETE };

struct options {
    const char *socket;
    int64_t jobs, in_flight;
};

struct peer {
    const struct options *options;
    int fd;
    enum asked asked[IN_FLIGHT_MAX];
    uint64_t first, next; /* of the ring */
    char out[BUFFER_BYTES], in[BUFFER_BYTES];
    size_t out_bytes, in_bytes, in_at;
    int64_t put, deleted;
};

static void ask(struct peer *p, enum asked asked, const char *id)
{
    char *out = p->out + p->out_bytes;
    const size_t room = sizeof p->out - p->out_bytes;
    int bytes = 0;
    CHECK(p->next - p->first < IN_FLIGHT_MAX);
    p->asked[p->next++ % IN_FLIGHT_MAX] = asked;
    switch (asked) {
    case PUT:
        bytes = snprintf(out, room, "put 0 0 60 %d\r\n%0*d\r\n", BODY_BYTES, BODY_BYTES, 0);
        p->put++;
        break;
    case RESERVE:
        bytes = snprintf(out, room, "reserve\r\n");
        break;
    case DELETE:
        bytes = snprintf(out, room, "delete %s\r\n", id);
        break;
    }
    CHECK(bytes > 0 && (size_t)bytes < room);
    p->out_bytes += (size_t)bytes;
}

static int flush(struct peer *p, struct err *err)
{
    for (size_t at = 0; at < p->out_bytes;) {
        const ssize_t sent = write(p->fd, p->out + at, p->out_bytes - at);
        if (sent <= 0) return err_set(err, ERR_UNAVAILABLE, "beanstalkd hung up");
        at += (size_t)sent;
    }
    p->out_bytes = 0;
    return 0;
}

/* One answer: a line, and a body after RESERVED. NULL: not all of it is there yet. */
static char *whole_answer(struct peer *p)
{
    char *line = p->in + p->in_at;
    const size_t left = p->in_bytes - p->in_at;
    char *end = memchr(line, '\n', left);
    if (!end) return NULL;
    size_t bytes = (size_t)(end + 1 - line);
    if (strncmp(line, "RESERVED ", 9) == 0) bytes += BODY_BYTES + 2;
    if (bytes > left) return NULL;
    *end = 0;
    p->in_at += bytes;
    return line;
}

static int on_answer(struct peer *p, char *line, struct err *err)
{
    static const char *const expected[] = {"INSERTED ", "RESERVED ", "DELETED"};
    const enum asked asked = p->asked[p->first++ % IN_FLIGHT_MAX];
    if (strncmp(line, expected[asked], strlen(expected[asked])) != 0)
        return err_set(err, ERR_INTERNAL, "\"%.60s\" where %s was expected", line, expected[asked]);
    switch (asked) {
    case PUT:
        ask(p, RESERVE, NULL);
        break;
    case RESERVE:
        line += strlen(expected[RESERVE]);
        line[strcspn(line, " ")] = 0;
        ask(p, DELETE, line);
        break;
    case DELETE:
        p->deleted++;
        if (p->put < p->options->jobs) ask(p, PUT, NULL);
        break;
    }
    return 0;
}

static int run(struct peer *p, struct err *err)
{
    for (int64_t i = 0; i < p->options->in_flight && p->put < p->options->jobs; i++)
        ask(p, PUT, NULL);
    while (p->deleted < p->options->jobs) {
        int rc = flush(p, err);
        if (rc) return rc;
        memmove(p->in, p->in + p->in_at, p->in_bytes - p->in_at);
        p->in_bytes -= p->in_at;
        p->in_at = 0;
        const ssize_t got = read(p->fd, p->in + p->in_bytes, sizeof p->in - p->in_bytes);
        if (got <= 0) return err_set(err, ERR_UNAVAILABLE, "beanstalkd hung up");
        p->in_bytes += (size_t)got;
        for (char *line; !rc && (line = whole_answer(p));) rc = on_answer(p, line, err);
        if (rc) return rc;
    }
    return 0;
}

static int dial(struct peer *p, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", p->options->socket);
    p->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (p->fd < 0 || connect(p->fd, (struct sockaddr *)&address, sizeof address))
        return err_set(err, ERR_UNAVAILABLE, "no beanstalkd at %s", p->options->socket);
    return 0;
}

static int measure(struct peer *p, struct err *err)
{
    struct rusage usage;
    int rc = dial(p, err);
    const int64_t from_us = clock_mono_us();
    if (!rc) rc = run(p, err);
    const int64_t wall_us = clock_mono_us() - from_us;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    if (rc) return rc;
    (void)printf("{\"jobs\": %" PRId64 ", \"wall_us\": %" PRId64 ", \"cpu_us\": %" PRId64 "}\n",
                 p->deleted, wall_us,
                 (int64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
                     usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    return 0;
}

int main(int argc, char **argv)
{
    static struct peer peer;
    static struct options o = {.jobs = 10000, .in_flight = 16};
    const struct conf_option table[] = {
        {"socket", 0, CONF_TEXT, &o.socket, 0, 0, "PATH", "Of beanstalkd."},
        {"jobs", 0, CONF_INT, &o.jobs, 1, INT32_MAX, "N", "How many."},
        {"in-flight", 0, CONF_INT, &o.in_flight, 1, IN_FLIGHT_MAX, "N", "At a time."},
        {0},
    };
    struct conf conf = {.program = "bench_beanstalk", .options = table};
    struct err err = {0};
    stop_install(NULL);
    peer.options = &o;
    peer.fd = -1;
    int rc = conf_parse(&conf, argc, argv, &err);
    if (!rc && !o.socket) rc = err_set(&err, ERR_INVALID, "--socket is missing");
    if (!rc) rc = measure(&peer, &err);
    if (rc) (void)fprintf(stderr, "bench_beanstalk: %s\n", err.msg);
    if (peer.fd >= 0) (void)close(peer.fd);
    return rc ? 1 : 0;
}
