/* queue_model_parts.h - what the model is made of, for its own files and for tests that look into
 * it. The model owns every text and array; nothing points from one part into another. */
#ifndef TESTS_STATE_QUEUE_MODEL_PARTS_H
#define TESTS_STATE_QUEUE_MODEL_PARTS_H

#include "tests/state/queue_model.h"

/* Bytes with a terminator; data is NULL when there are none. */
struct model_text {
    char *data;
    size_t len;
};

enum model_ending { ENDING_NONE, ENDING_FAIL, ENDING_YIELD, ENDING_LOST, ENDING_DONE };

struct model_task {
    uint32_t index;
    Vlmq__Phase phase;
    Vlmq__TaskState state;
    bool taken;   /* ever */
    bool renewed; /* the running attempt */
    uint32_t attempts, failures, losses;
    uint32_t unstarted; /* leases that ended before their first renewal */
    uint32_t added;     /* tasks it has added, over all attempts */
    uint32_t code;      /* of the last failure, with why */
    int64_t items, items_ok, bytes;
    int64_t due_ms; /* end of the lease or backoff, while is_due */
    bool is_due, has_cursor, has_tail;
    enum model_ending ending;        /* how the last lease ended */
    char lease[LEASE_ID_BYTES];      /* of the running attempt, or empty */
    char last_lease[LEASE_ID_BYTES]; /* that ended */
    uint8_t digest[16];              /* of a done task */
    struct model_text name, payload, worker, progress, why, cursor, tail;
};

struct model_due {
    int64_t at_ms;
    uint32_t index;
};

struct model_queue {
    uint32_t *index;
    uint32_t count, room;
};

struct model_made {
    uint32_t index;
    struct model_text name;
};

struct model_counter {
    struct model_text name;
    int64_t value;
};

struct model_event {
    int64_t ms, seq;
    bool of_task;
    uint32_t task, attempt;
    struct model_text name, text, worker;
};

/* A worker's last take that gave something. */
struct model_took {
    struct model_text worker;
    char lease[LEASE_ID_BYTES]; /* the first one it named */
    uint32_t count;
    uint32_t *index;
    bool *alone;
};

/* The job's hash: its version grows when one of these has changed. */
struct model_numbers {
    int64_t state, paused, priority, submitted, started, ended, version, total;
    int64_t next; /* tasks from here on were never taken */
    int64_t leased, waiting, done, dead, cancelled, items_total, items, items_ok, bytes;
    int64_t plans, plans_dead; /* planning tasks not done, and dead */
    int64_t close;             /* the closing task that is not done, or -1 */
    int64_t source, position, attempts_max;
    int64_t held_failed; /* RELEASE failed it */
};

enum model_source { SOURCE_NONE, SOURCE_OPEN, SOURCE_ENDED, SOURCE_FAILED };

/* What of a job its version tells the changes of. */
struct model_kept {
    struct model_numbers n;
    struct model_text reason, dead_why, source_why;
};

struct model_job {
    char id[JOB_ID_BYTES];
    struct model_text head; /* packed vlmq.Job with what never changes */
    struct model_text same; /* packed vlmq.Job with what makes two submissions the same */
    struct model_text spec;
    struct model_numbers n;
    struct model_text reason, dead_why, source_why;
    struct model_task **task; /* n.total of them */
    uint32_t task_room;
    uint32_t tail_count;   /* tasks with a log tail */
    struct model_due *due; /* sorted */
    uint32_t due_count, due_room;
    struct model_queue again, alone;
    struct model_made *made;
    uint32_t made_count, made_room;
    struct model_counter *counter;
    uint32_t counter_count, counter_room;
    struct model_event *event;
    uint32_t event_count, event_room;
    int64_t event_ms, event_seq; /* the newest id */
    struct model_took *took;
    uint32_t took_count, took_room;
    struct model_kept kept; /* as the last run of a function found it */
};

struct model_entry { /* of the index: a job id and when it was submitted */
    char id[JOB_ID_BYTES];
    int64_t at_ms;
};

struct model_feed {
    int64_t ms, seq;
    char id[JOB_ID_BYTES];
};

struct model_worker {
    struct model_text id, info; /* info: packed vlmq.WorkerInfo */
    int64_t seen_ms, until_ms;  /* until: info and drain are kept */
    bool listed, known, drain;  /* listed: in the set by time; known: its hash is there */
};

struct queue_model {
    struct queue_limits limits;
    struct model_job **job; /* sorted by id */
    uint32_t job_count, job_room;
    struct model_entry *jobs, *active; /* sorted by time, then id */
    uint32_t jobs_count, jobs_room, active_count, active_room;
    struct model_feed *feed;
    uint32_t feed_count, feed_room;
    int64_t feed_ms, feed_seq;
    struct model_worker *worker; /* in no order */
    uint32_t worker_count, worker_room;
};

/* What a function on a job works with. */
struct model_turn {
    struct queue_model *model;
    struct model_job *job;
    struct state_call *call;
    int64_t now_ms;
    struct arena *arena;
};

/* queue_model.c */
struct model_job *model_job_find(const struct queue_model *model, const char *id);
struct model_job *model_job_new(struct queue_model *model, const char *id);
void model_job_drop(struct queue_model *model, const char *id);

/* queue_model_text.c: texts, arrays that grow, and ids of streams */
void model_text_set(struct model_text *text, const void *data, size_t len);
void model_text_copy(struct model_text *to, const struct model_text *from);
bool model_text_eq(const struct model_text *a, const struct model_text *b);
/* Cut to bytes_max at a character's end, and made valid UTF-8. */
void model_text_clean(struct model_text *text, const char *from, size_t bytes_max);
void model_text_message(struct model_text *text, const ProtobufCMessage *message);
char *model_text_give(const struct model_text *text, struct arena *arena);
const char *model_text_str(const struct model_text *text);
void *model_unpack(const ProtobufCMessageDescriptor *type, const struct model_text *packed,
                   struct arena *arena);
/* Room for one more than count. */
void *model_grow(void *array, uint32_t count, uint32_t *room, size_t bytes);
/* The next id of a stream, as XADD * makes it. */
void model_stream_next(int64_t *ms, int64_t *seq, int64_t now_ms);
bool model_stream_read(int64_t *ms, int64_t *seq, const char *id);

/* queue_model_task.c: tasks, their queues and what falls due */
struct model_task *model_task_append(struct model_job *job, Vlmq__Phase phase, const char *name,
                                     const void *payload, size_t payload_bytes);
void model_task_free(struct model_task *task);
struct model_task *model_task_copy(const struct model_task *task);
/* The task whose running attempt this is, or NULL. */
struct model_task *model_task_held(const struct model_job *job, const Vlmq__Attempt *attempt);
void model_due_set(struct model_job *job, struct model_task *task, int64_t at_ms);
void model_due_unset(struct model_job *job, struct model_task *task);
void model_queue_push(struct model_queue *queue, uint32_t index);
uint32_t model_queue_pop(struct model_queue *queue);
void model_task_ready(struct model_job *job, struct model_task *task);
void model_task_dead(struct model_turn *turn, struct model_task *task);
void model_task_revive(struct model_job *job, struct model_task *task);
void model_task_progress(struct model_job *job, struct model_task *task,
                         const Vlmq__Progress *progress);

/* queue_model_job.c: how jobs move on */
void model_job_event(struct model_turn *turn, const char *name, const char *text);
void model_task_event(struct model_turn *turn, const char *name, const struct model_task *task,
                      const char *text);
void model_job_settle(struct model_turn *turn);
void model_job_closed(struct model_turn *turn);
bool model_job_ended(const struct model_job *job);
int64_t model_job_ready(const struct model_job *job);

void model_job_deinit(struct model_job *job);

/* Functions, by file. Each fills call->err, or count and out. */
void model_submit(struct model_turn *turn); /* queue_model_control.c */
void model_pause(struct model_turn *turn);
void model_resume(struct model_turn *turn);
void model_priority(struct model_turn *turn);
void model_cancel(struct model_turn *turn);
void model_retry(struct model_turn *turn);
void model_release(struct model_turn *turn);
void model_chain(struct model_turn *turn);

void model_take(struct model_turn *turn); /* queue_model_attempt.c */
void model_renew(struct model_turn *turn);
void model_add(struct model_turn *turn);
void model_done(struct model_turn *turn);
void model_fail(struct model_turn *turn);
void model_yield(struct model_turn *turn);
void model_lease_lost(struct model_job *job, struct model_task *task);
void model_task_cancelled(struct model_job *job, struct model_task *task);
void model_reap(struct model_turn *turn); /* queue_model_reap.c */
void model_grace(struct model_turn *turn);

void model_get(struct model_turn *turn); /* queue_model_page.c */
void model_tasks(struct model_turn *turn);
void model_events(struct model_turn *turn);
void model_made(struct model_turn *turn);

void model_fleet(struct model_turn *turn); /* queue_model_fleet.c: all of them */
void model_fleet_deinit(struct queue_model *model);

#endif
