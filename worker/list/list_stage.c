/* list_stage.c - see list_stage.h. */
#include "worker/list/list_stage.h"

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "worker/list/list_slice.h"

#include <stdio.h>
#include <string.h>

#define STAGED_NAME_BYTES (LIST_STAGE_FOLDER_BYTES + 16)

struct leftovers {
    struct store *store;
    const char *job;
};

/* Only this job's attempts have its id, and the lease of an earlier one is over. */
static int remove_leftover(void *ctx, const char *name, struct err *err)
{
    const struct leftovers *leftovers = ctx;
    char folder[LIST_STAGE_FOLDER_BYTES];
    const size_t bytes = strlen(name), job_bytes = strlen(leftovers->job);
    if (!str_has_prefix(name, leftovers->job) || name[job_bytes] != '.') return 0;
    if (name[bytes - 1] != '/') return 0;
    const int used =
        snprintf(folder, sizeof folder, LIST_SLICE_FOLDER "/%.*s", (int)bytes - 1, name);
    if (used < 0 || (size_t)used >= sizeof folder) return 0;
    return store_remove_tree(leftovers->store, folder, err);
}

/* A missing file means no missing list, which nothing could mend. */
static int taken_away(int rc, struct err *err)
{
    if (rc != ERR_NOT_FOUND) return rc;
    return err_set(err, ERR_UNAVAILABLE, "the planned rows were removed from the output meanwhile");
}

int list_stage_init(struct list_stage *stage, const char *job, const char *lease,
                    struct store *store, struct err *err)
{
    struct leftovers leftovers = {.store = store, .job = job};
    *stage = (struct list_stage){0};
    const int used =
        snprintf(stage->folder, sizeof stage->folder, LIST_SLICE_FOLDER "/%s.%s", job, lease);
    CHECK(used > 0 && (size_t)used < sizeof stage->folder); /* both have their limits */
    const int rc = store_list(store, LIST_SLICE_FOLDER, remove_leftover, &leftovers, err);
    if (rc) return taken_away(rc, err);
    stage->store = store;
    return 0;
}

void list_stage_deinit(struct list_stage *stage)
{
    struct err err;
    if (!stage->store) return;
    store_file_drop(stage->file);
    if (store_remove_tree(stage->store, stage->folder, &err))
        log_info("plan.left", "msg=%s", log_quote(err.msg));
    *stage = (struct list_stage){0};
}

static void staged_name(char dst[STAGED_NAME_BYTES], const struct list_stage *stage, uint32_t shard)
{
    (void)snprintf(dst, STAGED_NAME_BYTES, "%s/%05u", stage->folder, shard);
}

int list_stage_begin(struct list_stage *stage, uint32_t shard, const struct buf *header,
                     struct err *err)
{
    char name[STAGED_NAME_BYTES];
    CHECK(stage->store && !stage->file);
    staged_name(name, stage, shard);
    int rc = store_file_open(stage->store, &stage->file, name, err);
    if (!rc && header->len) rc = store_file_write(stage->file, header->data, header->len, err);
    return taken_away(rc, err);
}

int list_stage_end(struct list_stage *stage, struct err *err)
{
    struct store_file *file = stage->file;
    int64_t bytes;
    uint8_t digest[32];
    CHECK(file != NULL);
    stage->file = NULL;
    return taken_away(store_file_close(file, &bytes, digest, err), err);
}

int list_stage_publish(struct list_stage *stage, uint32_t shard, struct err *err)
{
    char from[STAGED_NAME_BYTES], to[LIST_SLICE_NAME_BYTES];
    int rc = 0;
    CHECK(stage->store && !stage->file);
    if (!stage->published) rc = store_sync(stage->store, LIST_SLICE_PARENT, err);
    if (!stage->published && !rc) rc = store_sync(stage->store, "", err);
    if (rc) return rc;
    stage->published = true;
    staged_name(from, stage, shard);
    list_slice_name(to, shard);
    return taken_away(store_rename(stage->store, from, to, err), err);
}
