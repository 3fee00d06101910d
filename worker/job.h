/* job.h - what a job kind gives, and what it gets.
 *
 * A kind is a folder in worker/jobs, a schema in proto/schema/jobs and a line in proto/jobs.def. It
 * defines `const struct job_kind job_NAME`. Its functions run in the attempt's own thread (the task
 * thread), with an arena that is dropped when the attempt ends; they may start threads of their
 * own, which they join before they return and which join the log scope env->scope.
 *
 * A function returns 0 with *result filled, or a code:
 *   ERR_CANCELLED or ERR_STALE   job_stopping() was true and the work was dropped
 *   ERR_INVALID, ERR_NOT_FOUND, ERR_DENIED   nothing can mend it: the task is dead at once
 *   others                       the task is tried again, with backoff
 * unless result->device says that the device failed: then the task is ready again at once and the
 * worker bears it. A work function that returns STALE without a reason to stop is called once more,
 * to adopt what another attempt has committed. (Otherwise they count as a failure.)
 *
 * A worker that leaves lets its tasks go on for the first half of its --drain-s; what still runs
 * then sees JOB_STOP_DRAIN. A kind that keeps cursors stores one with job_checkpoint and returns
 * ERR_CANCELLED: the task is yielded, not charged, and the next attempt starts from the cursor. A
 * kind that cannot go on from anywhere may finish instead. At the end of --drain-s the leases are
 * handed back with the last cursors, and JOB_STOP_LOST tells those that are left.
 *
 * Output is made through common/store/attempt.h, whose commit decides which attempt counts; so a
 * function that has lost its lease may return success: nothing is counted twice. */
#ifndef WORKER_JOB_H
#define WORKER_JOB_H

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOB_STAGES_MAX 8

enum job_phase { JOB_WORK, JOB_PLAN, JOB_CLOSE }; /* the numbers of vlmq.Phase */

enum job_stop {
    JOB_STOP_NONE = 0,
    JOB_STOP_DRAIN,     /* the worker leaves: checkpoint and return */
    JOB_STOP_CANCELLED, /* the job was cancelled */
    JOB_STOP_LOST,      /* the lease is gone, or about to be: touch nothing that others see */
};

/* What an attempt has found out about the worker's device. */
enum job_device {
    JOB_DEVICE_FINE = 0,
    JOB_DEVICE_FAILED,   /* this attempt failed by it; three in a row count as poisoned */
    JOB_DEVICE_POISONED, /* nothing will run on it until the process is started again */
};

/* In struct job_env: never NULL, and followed by a zero that is not counted. */
struct job_bytes {
    const uint8_t *data;
    size_t bytes;
};

struct job_stage {
    const char *name; /* a constant */
    uint32_t queued;  /* in front of it */
    int64_t finished;
    uint32_t running; /* in it */
    bool full;        /* the stages before it wait for it; see common.proto */
};

struct job_progress {
    int64_t items, items_ok, bytes;
    struct job_stage stage[JOB_STAGES_MAX];
    uint32_t stages_count;
};

struct job_counter {
    char name[COUNTER_NAME_BYTES];
    int64_t value;
};

struct job_new_task {
    const char *name; /* stable: the same whenever the job is planned again */
    struct job_bytes payload;
    int64_t items;
    enum job_phase phase; /* JOB_WORK or JOB_PLAN */
};

/* What an attempt ends with. Zeroed by the runtime before the call. */
struct job_result {
    uint8_t digest[32];
    struct job_counter counter[COUNTERS_MAX];
    uint32_t counters_count;
    struct job_progress progress;
    char made[TASK_NAME_BYTES]; /* public name of the shard, or "": what jobs --from this one get */
    const struct job_new_task
        *tasks; /* in env->arena; at most TASKS_PER_ADD_MAX, more by job_add */
    uint32_t tasks_count;
    enum job_device device; /* read when the function fails */
};

struct job_env {
    const char *job, *kind, *lease, *output, *from;
    uint32_t task, attempt, added, tasks_dead;
    const char *name; /* the task's name */
    enum job_phase phase;
    struct job_bytes spec, payload, cursor;
    struct arena *arena;
    const struct clock *clock;
    struct log_scope *scope;
    uint32_t cpus;         /* processors that this attempt should use */
    const char *device;    /* "cpu", "cuda:0" */
    struct job_host *host; /* the runtime's */
};

/* Any thread of the attempt; cheap. Why to stop, or JOB_STOP_NONE. Later answers are never milder:
 * DRAIN may become CANCELLED, and both LOST. */
enum job_stop job_stopping(const struct job_env *env);
/* Any thread; cheap enough for every item. Sent with the next renewal. */
void job_progress_set(const struct job_env *env, const struct job_progress *progress);
/* Any thread. The device has worked for so long on so many items (pictures, texts) since the last
 * call; what is missing to the time that passes it has waited. Shown by `vlmq workers`. */
void job_device_used(const struct job_env *env, int64_t busy_ns, int64_t items);
/* Task thread. What is left to do needs neither the device nor what was taken of it (job_warm_keep
 * has all that back): the next task that needs it may begin. */
void job_device_done(const struct job_env *env);
/* Task thread. Copies the cursor (at most CURSOR_BYTES_MAX); stored with the next renewal or yield.
 */
void job_checkpoint(const struct job_env *env, const void *cursor, size_t bytes);
/* Task thread. Adds any number of tasks before the attempt's end (the first env->added of the plan
 * are there already and must be skipped by the caller; *added starts from it and is counted on by
 * this function). Waits until they are durable. ERR_STALE or ERR_CANCELLED: job_stopping() tells
 * why; return at once. */
CHECKED int job_add(struct job_env *env, uint32_t *added, const struct job_new_task *tasks,
                    uint32_t count, struct err *err);
/* What a task leaves loaded for the tasks after it, of any job: a model, mostly. Any thread of the
 * attempt. key says all that makes two of them the same (kind, content, options, device).
 * job_warm_take gives one that was kept under this key, to this attempt alone, or NULL: load it.
 * job_warm_keep gives it back, or gives a new one; from then on the runtime owns it, and frees it
 * by free_object when it needs the room (vlmq-worker's --model-memory), when the device is poisoned
 * and at the end, from any thread. An attempt that does not give back what it took frees it itself
 * before it returns. model: the job's model as its spec names it, so that the broker sends further
 * tasks for it here; "": none. */
void *job_warm_take(const struct job_env *env, const char *key);
void job_warm_keep(const struct job_env *env, const char *key, const char *model, void *object,
                   size_t bytes, void (*free_object)(void *object));
/* Frees all that is kept and that no task has taken: for one whose own does not fit beside it.
 * false: there was nothing. */
bool job_warm_drop(const struct job_env *env);
/* Adds to a counter of the result by name; dies on more than COUNTERS_MAX names. */
void job_count(struct job_result *result, const char *name, int64_t value);

#define JOB_NEEDS_DEVICE 1u /* work runs on the worker's device, so one task of it at a time */

struct job_kind {
    const char *name;
    uint32_t needs; /* JOB_NEEDS_* */
    /* May be submitted with --from: then there is no plan, and each work task has the name of a
     * shard that env->from made, and the first 16 bytes of its digest as its payload. */
    bool takes_shards;
    /* Checks a spec for its values, with sentences that name the option (--image-size). */
    int (*check)(const uint8_t *spec, size_t bytes, struct err *err);
    int (*plan)(struct job_env *env, struct job_result *result, struct err *err);
    int (*work)(struct job_env *env, struct job_result *result, struct err *err);
    int (*close)(struct job_env *env, struct job_result *result,
                 struct err *err); /* NULL: nothing */
};

#endif
