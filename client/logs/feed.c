/* feed.c - a job's event feed. New events are asked for once in a second: a feed is for people. One
 * that is followed has the patience of client/patience.h. */
#include "client/logs/feed.h"

#include "common/base/clock.h"
#include "common/base/stop.h"
#include "common/base/str.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define AGAIN_MS       1000
#define ANSWER_BYTES   (16 * (size_t)MESSAGE_BYTES_MAX)
#define POSITION_BYTES 128

/* All events after the position, which moves on. */
static int walk(struct command *cmd, const struct feed *feed, const char *job, char *after,
                struct arena *arena, struct err *err)
{
    Vlmq__EventsAnswer *answer;
    do {
        Vlmq__Events request;
        vlmq__events__init(&request);
        arena_reset(arena);
        request.job = arena_printf(arena, "%s", job);
        request.after = after;
        request.rows = PAGE_ROWS_MAX;
        int rc = vlmq_events(cmd->vlmq, &answer, &request, arena, err);
        for (size_t i = 0; !rc && i < answer->n_events; i++)
            rc = feed->visit(feed->ctx, cmd, job, answer->events[i], err);
        if (rc) return rc;
        if (answer->after[0] && !str_copy(after, POSITION_BYTES, answer->after))
            return err_set(err, ERR_CORRUPT, "the broker's position is too long");
    } while (answer->n_events && !stop_count());
    return 0;
}

/* Whether the job had ended before its feed was read: then the feed is complete. */
static int look(struct command *cmd, const char *job, bool *ended, struct arena *arena,
                struct err *err)
{
    Vlmq__Job *now = NULL;
    arena_reset(arena);
    const int rc = vlmq_get(cmd->vlmq, &now, job, arena, err);
    if (!rc) *ended = vlmq_job_ended(now->state);
    return rc;
}

int feed_walk(struct command *cmd, const struct feed *feed, const char *job, struct err *err)
{
    struct arena arena;
    struct wake wake;
    char after[POSITION_BYTES] = "";
    bool ended = !feed->follow;
    int rc;
    if (wake_open(&wake)) return err_errno(err, errno, "eventfd");
    stop_install(&wake);
    arena_init(&arena, ANSWER_BYTES);
    if (feed->follow)
        patience_begin(vlmq_patience(cmd->vlmq), false, clock_real.mono_ms(&clock_real));
    for (;;) {
        rc = feed->follow ? look(cmd, job, &ended, &arena, err) : 0;
        if (!rc) rc = walk(cmd, feed, job, after, &arena, err);
        if (rc || ended || stop_count()) break;
        struct pollfd wait = {.fd = wake.fd, .events = POLLIN};
        (void)poll(&wait, 1, AGAIN_MS);
        if (stop_count()) break;
    }
    if (stop_count()) {
        cmd->status = STATUS_INTERRUPTED;
        rc = 0;
    }
    stop_install(NULL);
    arena_deinit(&arena);
    wake_close(&wake);
    return rc;
}
