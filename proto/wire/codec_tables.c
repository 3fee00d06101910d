/* codec_tables.c - the rules of every message; see codec.h. To add a field to a schema, add its row
 * here, in the order of the numbers. */
#include "common/base/limits.h"
#include "proto/schema/client.pb-c.h"
#include "proto/schema/worker.pb-c.h"
#include "proto/wire/codec.h"
#include "proto/wire/envelope.h"

#include <stddef.h>

/* Bytes of texts that no other header bounds. An output is a path or a URL (PATH_MAX); a title is a
 * line; a page position is made by the broker from ids. */
#define OUTPUT_BYTES_MAX  4096
#define TITLE_BYTES_MAX   256
#define PAGE_BYTES_MAX    256
#define KIND_BYTES_MAX    40
#define MODEL_BYTES_MAX   1024
#define HOST_BYTES_MAX    255
#define LABEL_BYTES_MAX   64
#define WORD_BYTES_MAX    64 /* event names and ids, devices, versions, stages */
#define KINDS_MAX         64 /* kinds and models of one worker */
#define STAGES_MAX        8
#define WATCHED_TASKS_MAX 64
/* All workers in one answer: at about 200 bytes each they fill a message. */
#define WORKERS_MAX      4096
#define SLOTS_MAX        1024
#define LEASE_TTL_MAX_MS 3600000
#define RETRY_MAX_MS     3600000
#define PRIORITY_MAX     100

#define JOB_ID_MAX       (JOB_ID_BYTES - 1)
#define LEASE_ID_MAX     (LEASE_ID_BYTES - 1)
#define WORKER_ID_MAX    (WORKER_ID_BYTES - 1)
#define TASK_NAME_MAX    (TASK_NAME_BYTES - 1)
#define OWNER_MAX        (OWNER_BYTES - 1)
#define COUNTER_NAME_MAX (COUNTER_NAME_BYTES - 1)

/* Rows. */
#define ROW(name, form_, min_, max_)                                   \
    {                                                                  \
        .field = (name), .form = (form_), .min = (min_), .max = (max_) \
    }
#define ROWS(name, form_, min_, max_, count)                                                 \
    {                                                                                        \
        .field = (name), .form = (form_), .min = (min_), .max = (max_), .count_max = (count) \
    }
#define ANY(name)               ROW(name, CODEC_ANY, 0, 0)
#define NUMBER(name, min, max)  ROW(name, CODEC_NUMBER, min, max)
#define COUNT(name)             NUMBER(name, 0, INT64_MAX) /* a sum: never negative */
#define ENUM(name)              ROW(name, CODEC_NUMBER, 0, INT32_MAX)
#define ENUM_SET(name)          ROW(name, CODEC_NUMBER, 1, INT32_MAX)
#define TEXT(name, max)         ROW(name, CODEC_TEXT, 0, max)
#define NAME(name, max)         ROW(name, CODEC_NAME, 0, max)
#define NAME_SET(name, max)     ROW(name, CODEC_NAME, 1, max)
#define NAMES(name, max, count) ROWS(name, CODEC_NAME, 1, max, count)
#define BYTES(name, min, max)   ROW(name, CODEC_BYTES, min, max)
#define JOB(name)               ROW(name, CODEC_JOB, 1, JOB_ID_MAX)
#define JOB_OR_NONE(name)       ROW(name, CODEC_JOB, 0, JOB_ID_MAX)
#define WORKER(name)            NAME_SET(name, WORKER_ID_MAX)
#define TASK_INDEX(name)        NUMBER(name, 0, TASKS_PER_JOB_MAX)
#define ONE(name, table_)                                                             \
    {                                                                                 \
        .field = (name), .form = CODEC_MESSAGE, .min = 1, .max = 1, .table = (table_) \
    }
#define MAYBE(name, table_)                                                           \
    {                                                                                 \
        .field = (name), .form = CODEC_MESSAGE, .min = 0, .max = 1, .table = (table_) \
    }
#define MANY(name, table_, count)                                                         \
    {                                                                                     \
        .field = (name), .form = CODEC_MESSAGE, .min = 1, .max = 1, .count_max = (count), \
        .table = (table_)                                                                 \
    }

/* A table of the rows that follow. */
#define TABLE(name, ...)                                           \
    static const struct codec_rule name##_rules[] = {__VA_ARGS__}; \
    static const struct codec_table name##_table = {               \
        .descriptor = &vlmq__##name##__descriptor,                 \
        .rule = name##_rules,                                      \
        .count = sizeof name##_rules / sizeof *name##_rules,       \
    }
#define EMPTY(name)                                  \
    static const struct codec_table name##_table = { \
        .descriptor = &vlmq__##name##__descriptor,   \
    }

/* Parts. */
TABLE(counter, ROW("name", CODEC_COUNTER, 1, COUNTER_NAME_MAX), ANY("value"));
TABLE(needs, ROW("device", CODEC_DEVICE, 0, 4), COUNT("device_bytes"),
      NAMES("labels", LABEL_BYTES_MAX, LABELS_MAX), NAME("model", MODEL_BYTES_MAX));
TABLE(stage, NAME_SET("name", WORD_BYTES_MAX), ANY("queued"), COUNT("finished"), ANY("running"),
      ANY("full"));
TABLE(progress, COUNT("items"), COUNT("items_ok"), COUNT("bytes"),
      MANY("stages", &stage_table, STAGES_MAX));

/* A job as it is shown, and as it is submitted: then it must name its kind. */
#define JOB_ROWS(kind_min)                                                                        \
    JOB("id"), ROW("kind", CODEC_KIND, kind_min, KIND_BYTES_MAX), NAME("owner", OWNER_MAX),       \
        NUMBER("priority", -PRIORITY_MAX, PRIORITY_MAX), ANY("interactive"), ENUM("state"),       \
        ANY("paused"), TEXT("reason", REASON_BYTES_MAX), BYTES("spec", 0, SPEC_BYTES_MAX),        \
        MAYBE("needs", &needs_table), JOB_OR_NONE("after"), JOB_OR_NONE("from"),                  \
        NAME("output", OUTPUT_BYTES_MAX), NAME("title", TITLE_BYTES_MAX), ANY("submitted_at_ms"), \
        ANY("started_at_ms"), ANY("ended_at_ms"), ANY("now_ms"), ANY("version"),                  \
        ANY("tasks_total"), ANY("tasks_ready"), ANY("tasks_leased"), ANY("tasks_waiting"),        \
        ANY("tasks_done"), ANY("tasks_dead"), ANY("tasks_cancelled"), COUNT("items_total"),       \
        MAYBE("progress", &progress_table), MANY("counters", &counter_table, COUNTERS_MAX),       \
        ANY("due_at_ms"), NUMBER("attempts_max", 0, 1000)
TABLE(job, JOB_ROWS(0));
static const struct codec_rule new_job_rules[] = {JOB_ROWS(1)};
static const struct codec_table new_job_table = {
    .descriptor = &vlmq__job__descriptor,
    .rule = new_job_rules,
    .count = sizeof new_job_rules / sizeof *new_job_rules,
};

TABLE(task, TASK_INDEX("index"), ROW("name", CODEC_TASK_NAME, 0, TASK_NAME_MAX), ENUM("phase"),
      ENUM("state"), ANY("attempts"), ANY("failures"), ANY("losses"), NAME("worker", WORKER_ID_MAX),
      ANY("due_at_ms"), ENUM("code"), TEXT("reason", REASON_BYTES_MAX),
      MAYBE("progress", &progress_table), TEXT("log_tail", LOG_TAIL_BYTES_MAX),
      BYTES("digest", 0, 32));
TABLE(event, NAME_SET("id", WORD_BYTES_MAX), ANY("at_ms"), NAME_SET("name", WORD_BYTES_MAX),
      TASK_INDEX("task"), ANY("attempt"), NAME("worker", WORKER_ID_MAX),
      TEXT("text", REASON_BYTES_MAX));
TABLE(worker_info, WORKER("id"), NAME("host", HOST_BYTES_MAX), NAME("device", WORD_BYTES_MAX),
      COUNT("device_bytes"), COUNT("device_bytes_free"),
      ROWS("kinds", CODEC_KIND, 1, KIND_BYTES_MAX, KINDS_MAX),
      NAMES("labels", LABEL_BYTES_MAX, LABELS_MAX), NAMES("models", MODEL_BYTES_MAX, KINDS_MAX),
      NUMBER("slots", 0, SLOTS_MAX), NUMBER("slots_busy", 0, SLOTS_MAX), ANY("draining"),
      ANY("started_at_ms"), ANY("seen_at_ms"), ANY("tasks_done"), ANY("tasks_failed"),
      NAME("program", WORD_BYTES_MAX), NUMBER("device_busy_percent", 0, 100),
      ANY("device_items_per_s"));
TABLE(attempt, JOB("job"), TASK_INDEX("index"), ROW("lease", CODEC_LEASE, 1, LEASE_ID_MAX));
TABLE(renewal, ONE("attempt", &attempt_table), MAYBE("progress", &progress_table),
      BYTES("cursor", 0, CURSOR_BYTES_MAX), ANY("has_cursor"));
TABLE(renew_result, ENUM("code"));
TABLE(new_task, ROW("name", CODEC_TASK_NAME, 0, TASK_NAME_MAX),
      BYTES("payload", 0, PAYLOAD_BYTES_MAX), COUNT("items"),
      NUMBER("phase", VLMQ__PHASE__PHASE_WORK, VLMQ__PHASE__PHASE_PLAN));
TABLE(grant, JOB("job"), ROW("kind", CODEC_KIND, 1, KIND_BYTES_MAX),
      BYTES("spec", 0, SPEC_BYTES_MAX), NAME("output", OUTPUT_BYTES_MAX), TASK_INDEX("index"),
      ROW("name", CODEC_TASK_NAME, 0, TASK_NAME_MAX), ENUM("phase"),
      BYTES("payload", 0, PAYLOAD_BYTES_MAX), ROW("lease", CODEC_LEASE, 1, LEASE_ID_MAX),
      NUMBER("attempt", 1, UINT32_MAX), BYTES("cursor", 0, CURSOR_BYTES_MAX), ANY("added"),
      ANY("alone"), NUMBER("lease_ttl_ms", 1, LEASE_TTL_MAX_MS), ANY("tasks_dead"),
      ANY("interactive"), JOB_OR_NONE("from"));

/* Both. */
TABLE(error, ENUM_SET("code"), TEXT("message", REASON_BYTES_MAX),
      NUMBER("retry_after_ms", 0, RETRY_MAX_MS));
EMPTY(ping);
TABLE(ping_answer, NAME("program", WORD_BYTES_MAX), NAME("broker_id", WORD_BYTES_MAX),
      COUNT("uptime_ms"), ANY("redis_ready"), TEXT("redis_note", REASON_BYTES_MAX), ANY("workers"),
      ANY("jobs_active"), ANY("tasks_taken"), ANY("tasks_done"), COUNT("redis_bytes"),
      COUNT("redis_bytes_max"));

/* Clients. */
TABLE(submit, ONE("job", &new_job_table), ANY("paused"));
TABLE(submit_answer, ONE("job", &job_table), ANY("created"));
TABLE(get, JOB("job"));
TABLE(get_answer, ONE("job", &job_table));
TABLE(list, NAME("owner", OWNER_MAX), ANY("active"), NAME("page", PAGE_BYTES_MAX),
      NUMBER("rows", 0, PAGE_ROWS_MAX), ROW("kind", CODEC_KIND, 0, KIND_BYTES_MAX));
TABLE(list_answer, MANY("jobs", &job_table, PAGE_ROWS_MAX), NAME("page", PAGE_BYTES_MAX));
TABLE(tasks, JOB("job"), ENUM("state"), NAME("page", PAGE_BYTES_MAX),
      NUMBER("rows", 0, PAGE_ROWS_MAX), ANY("log_tails"), TASK_INDEX("index"), ANY("has_index"));
TABLE(tasks_answer, MANY("tasks", &task_table, PAGE_ROWS_MAX), NAME("page", PAGE_BYTES_MAX));
TABLE(events, JOB("job"), NAME("after", WORD_BYTES_MAX), NUMBER("rows", 0, PAGE_ROWS_MAX));
TABLE(events_answer, MANY("events", &event_table, PAGE_ROWS_MAX), NAME("after", WORD_BYTES_MAX));
TABLE(control, JOB("job"), ENUM_SET("verb"), NUMBER("priority", -PRIORITY_MAX, PRIORITY_MAX),
      TEXT("reason", REASON_BYTES_MAX), TASK_INDEX("task"), ANY("has_task"));
TABLE(control_answer, ONE("job", &job_table), ANY("count"));
TABLE(watch, JOB_OR_NONE("job"));
TABLE(watch_answer, MAYBE("job", &job_table));
TABLE(watch_update, ONE("job", &job_table), MANY("tasks", &task_table, WATCHED_TASKS_MAX));
EMPTY(workers);
TABLE(workers_answer, MANY("workers", &worker_info_table, WORKERS_MAX));
TABLE(drain, WORKER("worker"));
EMPTY(drain_answer);

/* Workers. */
TABLE(hello, ONE("worker", &worker_info_table));
TABLE(hello_answer, ANY("drain"), NUMBER("lease_ttl_ms", 1, LEASE_TTL_MAX_MS));
TABLE(take, WORKER("worker"), NUMBER("credits", 0, ENVELOPE_GRANTS_MAX),
      NUMBER("credits_interactive", 0, ENVELOPE_GRANTS_MAX), ANY("idle"));
TABLE(take_answer, MANY("grants", &grant_table, 2 * ENVELOPE_GRANTS_MAX), ANY("waited_ms"));
TABLE(renew, WORKER("worker"), MANY("renewals", &renewal_table, ENVELOPE_RENEWALS_MAX));
TABLE(renew_answer, MANY("results", &renew_result_table, ENVELOPE_RENEWALS_MAX), ANY("drain"));
TABLE(add, ONE("attempt", &attempt_table), NUMBER("offset", 0, TASKS_PER_JOB_MAX),
      MANY("tasks", &new_task_table, TASKS_PER_ADD_MAX));
TABLE(add_answer, ANY("added"));
TABLE(done, ONE("attempt", &attempt_table), BYTES("digest", 32, 32),
      MANY("counters", &counter_table, COUNTERS_MAX), MAYBE("progress", &progress_table),
      MANY("tasks", &new_task_table, TASKS_PER_ADD_MAX), NUMBER("offset", 0, TASKS_PER_JOB_MAX),
      ROW("made", CODEC_TASK_NAME, 0, TASK_NAME_MAX));
EMPTY(done_answer);
TABLE(fail, ONE("attempt", &attempt_table), ENUM("blame"), ENUM_SET("code"),
      TEXT("reason", REASON_BYTES_MAX), TEXT("log_tail", LOG_TAIL_BYTES_MAX));
EMPTY(fail_answer);
TABLE(yield, ONE("attempt", &attempt_table), BYTES("cursor", 0, CURSOR_BYTES_MAX),
      ANY("has_cursor"), TEXT("reason", REASON_BYTES_MAX));
EMPTY(yield_answer);
TABLE(bye, WORKER("worker"));
EMPTY(bye_answer);
TABLE(notice, JOB_OR_NONE("job"));

#define ALONE(TYPE, table_)                                                                \
    {                                                                                      \
        .type = VLMQ__TYPE__##TYPE, .answer = VLMQ__TYPE__TYPE_UNSPECIFIED, .name = #TYPE, \
        .table = &table_##_table                                                           \
    }
#define REQUEST(TYPE, table_)               \
    {.type = VLMQ__TYPE__##TYPE,            \
     .answer = VLMQ__TYPE__##TYPE##_ANSWER, \
     .name = #TYPE,                         \
     .table = &table_##_table},             \
        ALONE(TYPE##_ANSWER, table_##_answer)

static const struct codec_type types[] = {
    ALONE(ERROR, error),       REQUEST(PING, ping),
    REQUEST(SUBMIT, submit),   REQUEST(GET, get),
    REQUEST(LIST, list),       REQUEST(TASKS, tasks),
    REQUEST(EVENTS, events),   REQUEST(CONTROL, control),
    REQUEST(WATCH, watch),     ALONE(WATCH_UPDATE, watch_update),
    REQUEST(WORKERS, workers), REQUEST(DRAIN, drain),
    REQUEST(HELLO, hello),     REQUEST(TAKE, take),
    REQUEST(RENEW, renew),     REQUEST(ADD, add),
    REQUEST(DONE, done),       REQUEST(FAIL, fail),
    REQUEST(YIELD, yield),     REQUEST(BYE, bye),
    ALONE(NOTICE, notice),
};

const struct codec_type *codec_type(Vlmq__Type type)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].type == type) return &types[i];
    return NULL;
}
