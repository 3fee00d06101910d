/* attempt.h - an attempt's output: private files, then one commit that counts.
 *
 * The store decides which attempt of a task counts (exactly-once effect under at-least-once
 * delivery). Under the output folder:
 *   _vlmq/attempt/TASK.LEASE/NAME   private files of one attempt
 *   _vlmq/manifest/TASK.json        the manifest; creating it if absent is the commit
 *   NAME                            the published file, or folder
 * attempt_open first looks for the manifest: if there is one, *adopted is set, its files are
 * published as far as they are not yet (roll forward), leftovers of other attempts of the task
 * are removed, and the result is filled. Otherwise the caller creates files and commits.
 * attempt_commit makes them durable, creates the manifest if absent, and publishes; if another
 * attempt was first, it removes its own files and adopts. A crash between any two steps leaves
 * something that the next attempt, or attempt_sweep, mends. attempt_drop removes the private files.
 * A manifest that lost its files (published and private both missing, or of another size) is
 * ERR_CORRUPT with a sentence; of a folder only that it is there is looked at. When another attempt
 * of the task has committed and removed this one's private files, the next call that misses them
 * answers ERR_STALE: who opens it again adopts.
 *
 * One thread at a time per attempt; two open files may be written by two threads. */
#ifndef STORE_ATTEMPT_H
#define STORE_ATTEMPT_H

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/store/store.h"

#include <stdbool.h>
#include <stdint.h>

#define ATTEMPT_FILES_MAX  16
#define ATTEMPT_NAME_BYTES 128
#define ATTEMPT_PATH_BYTES 512 /* a name inside the store */
/* 16 files and COUNTERS_MAX counters fit many times. */
#define ATTEMPT_MANIFEST_BYTES (256 * 1024)

struct attempt_counter {
    char name[COUNTER_NAME_BYTES];
    int64_t value;
};

struct attempt_file {
    char name[ATTEMPT_NAME_BYTES]; /* public name, such as 00042.tar; a folder's ends in "/" */
    int64_t bytes;                 /* of a folder: as attempt_unpack was told */
    char sha256[65]; /* lower-case hexadecimal; of a folder: of the file it was made from */
};

/* What a manifest says. */
struct attempt_manifest {
    char task[TASK_NAME_BYTES];
    char lease[LEASE_ID_BYTES]; /* of the attempt that committed */
    struct attempt_file file[ATTEMPT_FILES_MAX];
    uint32_t files_count;
    struct attempt_counter counter[COUNTERS_MAX];
    uint32_t counters_count;
    int64_t items, items_ok, bytes;
    uint8_t digest[32]; /* SHA-256 of the manifest's text without the lease: equal outputs of a task
                           have equal digests, whoever made them and when */
};

struct attempt;

/* task: the task's name, [A-Za-z0-9_-][A-Za-z0-9._-]{0,63}; planning and closing tasks, which have
 * none, choose one that no shard has. The store outlives the attempt. */
CHECKED int attempt_open(struct attempt **attempt, struct store *store, const char *task,
                         const char *lease, bool *adopted, struct attempt_manifest *manifest,
                         struct err *err);
/* Opens a private file that will be published under `name`; write it with store_file_write and end
 * it with attempt_file_close, which frees it also when it fails, or leave it to attempt_close. */
CHECKED int attempt_file_open(struct attempt *attempt, struct store_file **file, const char *name,
                              struct err *err);
CHECKED int attempt_file_close(struct attempt *attempt, struct store_file *file, struct err *err);
/* The same for a file that grows (store_file_grow), so that a later attempt of the task can read
 * what was flushed, should this one not come to its end. */
CHECKED int attempt_file_grow(struct attempt *attempt, struct store_file **file, const char *name,
                              struct err *err);
/* Ends a file of the attempt that is open, and removes it; its name may be opened again. */
void attempt_file_drop(struct attempt *attempt, struct store_file *file);
/* ERR_STALE with a sentence if the task was committed since it was opened; else 0, with err as it
 * was, also if that cannot be found out. For who misses something that a commit removes. */
CHECKED int attempt_check(const struct attempt *attempt, struct err *err);
/* The error of a step of a task's work, explained: rc and err as they are, but for ERR_NOT_FOUND
 * where the step may have missed what somebody has removed: ERR_STALE as attempt_check,
 * ERR_UNAVAILABLE where the private files of this attempt have vanished without a commit. */
CHECKED int attempt_explain(const struct attempt *attempt, int rc, struct err *err);
/* For a task that will publish a folder, before its work: ERR_INVALID with a sentence where one of
 * that name is in the way, which no commit of this task has put there. */
CHECKED int attempt_folder_check(struct attempt *attempt, const char *name, struct err *err);
/* A folder is published instead of the closed file `name`, by one rename, so that it is there whole
 * or not at all. fill makes its files out of that file, with names of its own choice and without
 * syncing them, and tells the sum of their bytes; both paths are on this machine's disk. */
typedef int attempt_fill(void *ctx, int64_t *bytes, const char *file, const char *folder,
                         struct err *err);
CHECKED int attempt_unpack(struct attempt *attempt, const char *name, const char *folder,
                           attempt_fill *fill, void *ctx, struct err *err);
/* The private folder on disk for scratch files that are not published; created. */
CHECKED int attempt_scratch(struct attempt *attempt, char *path, size_t path_bytes,
                            struct err *err);
/* The store's name of a file in the private folder of this attempt (lease NULL) or of another one
 * of the task; scratch: of one that is not published. */
void attempt_private(char dst[ATTEMPT_PATH_BYTES], const struct attempt *attempt, const char *lease,
                     const char *name, bool scratch);
/* Removes the private folder that another attempt has left with attempt_leave. Any other one stays
 * until the task is committed: whose worker was killed, or only stands still and may yet commit. */
CHECKED int attempt_forget(struct attempt *attempt, const char *lease, struct err *err);
/* manifest: items, items_ok, bytes and counters are read; the rest is filled. *adopted: another
 * attempt was first and its manifest is in *manifest. */
CHECKED int attempt_commit(struct attempt *attempt, struct attempt_manifest *manifest,
                           bool *adopted, struct err *err);
/* Ends it: files that are still open are dropped, and without a commit the private files are
 * removed. Accepts NULL. */
void attempt_close(struct attempt *attempt);
/* Ends it without a commit; its private files stay for a later attempt of the task, until one
 * forgets them or commits. Accepts NULL. */
void attempt_leave(struct attempt *attempt);

/* Reads one committed manifest; ERR_NOT_FOUND if there is none. */
CHECKED int attempt_manifest_read(struct store *store, const char *task,
                                  struct attempt_manifest *manifest, struct err *err);
/* Closing task, before it opens an attempt of its own: rolls every manifest forward, and removes
 * the private folders of their tasks and what crashed writers left in the making. A folder whose
 * task has no manifest stays: it may be a live attempt's, of another job over the same output. */
CHECKED int attempt_sweep(struct store *store, struct err *err);
/* Calls visit for every committed manifest in name order. */
CHECKED int attempt_each(struct store *store,
                         int (*visit)(void *ctx, const struct attempt_manifest *manifest,
                                      struct err *err),
                         void *ctx, struct err *err);
/* The output belongs to one input and one spec: creates _vlmq/job.json if absent with these texts
 * (kind, fingerprint of the input, spec as a JSON object with a field for each option), or
 * compares: ERR_INVALID with a sentence that tells what differs. The options `input` and `output`
 * are not compared: the fingerprint stands for the one, and a folder may be moved. */
CHECKED int attempt_claim_output(struct store *store, const char *kind, const char *fingerprint,
                                 const char *spec_json, struct err *err);

#endif
