/* archive.c - writes a job's record as JSON lines into its output. */
#include "client/control/archive.h"

#include "client/logs/feed.h"
#include "client/output/place.h"
#include "proto/wire/spec.h"

#include <stdio.h>

#define ARCHIVE_FOLDER "_vlmq/jobs"

struct archive {
    struct store_file *file;
    struct buf line;
};

static int put(struct archive *archive, struct err *err)
{
    buf_text(&archive->line, "}\n");
    if (buf_failed(&archive->line)) return err_set(err, ERR_LIMIT, "out of memory");
    const int rc = store_file_write(archive->file, archive->line.data, archive->line.len, err);
    buf_clear(&archive->line);
    return rc;
}

static int put_message(struct archive *archive, const char *name, const ProtobufCMessage *message,
                       struct err *err)
{
    buf_printf(&archive->line, "{\"%s\":", name);
    spec_message_json(&archive->line, message);
    return put(archive, err);
}

static int put_event(void *ctx, struct command *cmd, const char *job, const Vlmq__Event *event,
                     struct err *err)
{
    (void)cmd;
    (void)job;
    return put_message(ctx, "event", &event->base, err);
}

static int put_task(void *ctx, const Vlmq__Task *task, struct err *err)
{
    return put_message(ctx, "task", &task->base, err);
}

static int put_all(struct archive *archive, struct command *cmd, const Vlmq__Job *job,
                   struct err *err)
{
    struct feed feed = {.visit = put_event, .ctx = archive};
    Vlmq__Tasks tasks;
    vlmq__tasks__init(&tasks);
    tasks.job = job->id;
    tasks.log_tails = true;
    buf_text(&archive->line, "{\"job\":");
    command_job_json(&archive->line, job, &cmd->arena);
    int rc = put(archive, err);
    if (!rc) rc = feed_walk(cmd, &feed, job->id, err);
    if (!rc && cmd->status == STATUS_INTERRUPTED) rc = err_set(err, ERR_CANCELLED, "interrupted");
    if (!rc) rc = vlmq_each_task(cmd->vlmq, &tasks, put_task, archive, err);
    return rc;
}

int archive_job(struct command *cmd, const char *id, struct err *err)
{
    struct archive archive = {0};
    struct store *store = NULL;
    Vlmq__Job *job = NULL;
    char name[sizeof ARCHIVE_FOLDER + JOB_ID_BYTES + 8];
    int64_t bytes;
    uint8_t sha256[32];
    buf_init(&archive.line, 0);
    int rc = vlmq_get(cmd->vlmq, &job, id, &cmd->arena, err);
    if (!rc && !vlmq_job_ended(job->state))
        rc = err_set(err, ERR_INVALID, "job %s has not ended; vlmq cancel ends it", id);
    if (!rc) rc = place_open(&store, job, err);
    if (rc) goto out;
    (void)snprintf(name, sizeof name, ARCHIVE_FOLDER "/%s.jsonl", id);
    rc = store_file_open(store, &archive.file, name, err);
    if (!rc) rc = put_all(&archive, cmd, job, err);
    if (rc) {
        store_file_drop(archive.file);
    } else {
        rc = store_file_close(archive.file, &bytes, sha256, err);
    }
out:
    store_close(store);
    buf_deinit(&archive.line);
    return rc ? err_wrap(err, "archive %s", id) : 0;
}
