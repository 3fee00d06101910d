/* limits.h - the limits that all programs share; each with its reason.
 *
 * A program's own limits stand in its own limits.h. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

/* One message: a page of a listing or a batch of planned tasks fits many times over, and
 * 1,000 peers that each send the largest one stay within a gigabyte. */
#define MESSAGE_BYTES_MAX (1024 * 1024)
/* A job's spec: options and paths, never data. */
#define SPEC_BYTES_MAX (64 * 1024)
/* A task's payload: says which part of the input; with a chunk of tasks per Redis field
 * (TASK_CHUNK) one field stays under a megabyte at the very worst. */
#define PAYLOAD_BYTES_MAX 2048
/* A cursor is stored with every renewal that changes it. */
#define CURSOR_BYTES_MAX (16 * 1024)
/* Tasks in one add or done: with the usual payload (under 64 bytes) half a message. */
#define TASKS_PER_ADD_MAX 4096
/* Tasks of one job: indices stay exact in Lua's doubles and listings usable. */
#define TASKS_PER_JOB_MAX 100000000
/* Tasks whose payloads share one Redis field, and whose final records share one string. */
#define TASK_CHUNK 64
/* Distinct counters of one job: classes of outcome and the kind's own sums. */
#define COUNTERS_MAX       128
#define COUNTER_NAME_BYTES 48
/* Ids, names and labels: what fits a table column and a file name. */
#define JOB_ID_BYTES    41 /* [a-z0-9-]{1,40} and the terminator */
#define LEASE_ID_BYTES  33 /* 128 bits in hexadecimal and the terminator */
#define WORKER_ID_BYTES 97 /* host/device/pid/nonce */
#define TASK_NAME_BYTES 65
#define OWNER_BYTES     65
#define LABELS_MAX      16
/* The text of a failure that is kept: a sentence and a tail of the log. */
#define REASON_BYTES_MAX   512
#define LOG_TAIL_BYTES_MAX 4096
/* A page of any listing. */
#define PAGE_ROWS_MAX 1000
/* Times that the protocol fixes. A lease is renewed at a third of its length; a dead
 * worker's task is free again after one length. */
#define LEASE_TTL_MS 10000
#define POLL_TTL_MS  20000 /* longest parked take or watch before an empty answer */

#endif
