/* list_stage.h - the rows of a list that cannot be entered midway, kept aside until the output is
 * claimed.
 *
 * While the list is read, the output may still turn out to be another job's, whose tasks read their
 * slices from it. So a planning writes its slices into a folder of its own attempt,
 * _vlmq/rows/JOB.LEASE, and gives each its name in _vlmq/rows only after the claim: who gets that
 * far has the same list and options as the owner, so that a slice that is replaced is replaced by
 * its equal. The folder goes with the attempt; what a crash leaves of it is removed by the job's
 * next planning, or with _vlmq/rows when the output's job is closed. One thread. */
#ifndef LIST_STAGE_H
#define LIST_STAGE_H

#include "common/base/buf.h"
#include "common/store/store.h"

#include <stdbool.h>
#include <stdint.h>

#define LIST_STAGE_FOLDER_BYTES 128

struct list_stage {
    struct store *store; /* NULL: nothing is kept */
    char folder[LIST_STAGE_FOLDER_BYTES];
    struct store_file *file; /* of the slice that is being written, or NULL */
    bool published;          /* the first one, so that the folders' names are durable */
};

/* job and lease: their ids. Removes what earlier attempts of the job left. The store outlives the
 * stage. ERR_UNAVAILABLE,
 * here and below: the closing of another job took the files away, and planning must begin anew. */
CHECKED int list_stage_init(struct list_stage *stage, const char *job, const char *lease,
                            struct store *store, struct err *err);
/* Drops an open slice and removes the folder. Accepts zeroes. */
void list_stage_deinit(struct list_stage *stage);
/* Begins a slice with a copy of the header; its rows are written to stage->file. */
CHECKED int list_stage_begin(struct list_stage *stage, uint32_t shard, const struct buf *header,
                             struct err *err);
CHECKED int list_stage_end(struct list_stage *stage, struct err *err);
/* After the claim: gives a slice its name, durably. */
CHECKED int list_stage_publish(struct list_stage *stage, uint32_t shard, struct err *err);

#endif
