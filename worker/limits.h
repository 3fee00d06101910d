/* limits.h - the worker's limits; each with its reason. */
#ifndef WORKER_LIMITS_H
#define WORKER_LIMITS_H

#include "common/base/limits.h"

/* Attempts that one worker holds leases for: running ones and those whose report is under way. One
 * Renew message carries them all (proto/schema/worker.proto). */
#define TASKS_MAX 256
/* Running attempts; the rest of TASKS_MAX is for reports, which take a round trip each. */
#define SLOTS_MAX             112
#define SLOTS_INTERACTIVE_MAX 16
_Static_assert(2 * (SLOTS_MAX + SLOTS_INTERACTIVE_MAX) <= TASKS_MAX,
               "every slot may have a report under way");
/* What a kind may allocate for one attempt outside of its pipe: lists, options, a plan's batch. */
#define TASK_ARENA_BYTES ((size_t)64 * 1024 * 1024)
/* One message that adds tasks, or renews with cursors: the rest of it fits beside. */
#define ADD_BYTES_MAX     (MESSAGE_BYTES_MAX / 2)
#define CURSORS_BYTES_MAX (MESSAGE_BYTES_MAX / 2)
/* Messages are built here; their parts are bounded by the two above and by TASKS_MAX. */
#define SCRATCH_BYTES ((size_t)4 * 1024 * 1024)

/* The first renewal tells the broker that the attempt has begun. */
#define LEASE_FIRST_MS 100
/* Work stops so long before the lease's end: one step of the kind and a slow clock fit. */
#define LEASE_MARGIN_MS 1000
/* Between two tries of one renewal: half of what is left, but no flood at the end. */
#define LEASE_RETRY_MS 200
/* Unanswered Renew messages: one lease is asked for a few times in its length. */
#define RENEWS_MAX 16

/* How long a take is tried: the broker parks it for POLL_TTL_MS, and its answer must not come too
 * late to be heard. */
#define TAKE_TIMEOUT_MS (POLL_TTL_MS + 5000)
/* After an empty answer or a failure: no busy loop, whatever the broker does. */
#define TAKE_PAUSE_MS 100
/* Takes that a later one has replaced: their answers may still be on the way, for a while. After
 * that they are forgotten, before the link would send them again. */
#define TAKES_OLD_MAX 16
#define TAKE_OLD_MS   1000
/* An idle worker replaces its take, for the sake of tasks that must run alone, when the parked one
 * has brought nothing for so long: else its grants and those of the new one would cross. */
#define TAKE_IDLE_MS 200

/* People watch the progress of a task: it goes out with a renewal of its own when it has changed
 * and this has passed since the last look. A renewal costs Redis some 40 us, so that a thousand
 * workers keep it busy for less than a tenth of its time. */
#define PROGRESS_MS 1000

/* Events that are taken in before leases, reports and takes are looked after again. */
#define EVENTS_MAX 64

#define HELLO_MS 10000
/* Over which the use of the device is told at least: some passes of a large model. */
#define USE_SPAN_MS 2000
/* A report is tried at least so long, also when the lease is nearly over. */
#define REPORT_MIN_MS 2000
/* After the drain's end, or a second signal: time to hand back leases and say goodbye. */
#define HAND_BACK_MS 1000
#define BYE_MS       500

/* A disk with less than this takes no more shards (one shard's images are some hundred MiB, but
 * they are written as they come, and the disk is looked at again every DISK_LOOK_MS). */
#define DISK_FREE_MIN ((int64_t)64 * 1024 * 1024)
#define DISK_LOOK_MS  5000
/* Looks for which no tasks are taken after one has found no room: somebody has to make some. */
#define DISK_FULL_LOOKS 3
/* Outputs that are looked at: those of the newest tasks. */
#define DISKS_MAX 8

/* Failures of the device in a row, after which the worker leaves: one may be chance, and the tasks
 * that it fails are not charged and come back at once. */
#define DEVICE_FAILURES_MAX 3

#endif
