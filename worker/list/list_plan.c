/* list_plan.c - see list_plan.h. */
#include "worker/list/list_plan.h"

#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/base/mem.h"
#include "worker/list/list_stage.h"

#define CUTS_FIRST 1024 /* room for so many at first; then it doubles */

/* A shard begins where the one before it ends, and all but the last have equally many rows. */
struct cut {
    uint64_t end; /* offset behind its rows */
    uint64_t hash;
};
_Static_assert(sizeof(struct cut) == LIST_PLAN_SHARD_BYTES, "what list_plan.h says");

struct list_plan {
    struct list_plan_options options;
    struct list_source *source;
    struct list_records *records;
    struct list_columns columns;
    struct list_record first; /* of a jsonl list: the row that was taken for its columns */
    struct buf header;
    struct hash *file_hash, *shard_hash;
    struct list_shape shape;
    struct list_stage stage; /* of a list that cannot be entered midway */
    struct cut *cut;
    uint32_t cuts_count, cuts_room;
    uint64_t start; /* of the first shard's rows */
    uint64_t rows;  /* found so far */
    bool begun;     /* a shard has been */
};

struct list_plan *list_plan_new(const struct list_plan_options *options)
{
    struct list_plan *plan = mem_new(sizeof *plan);
    plan->options = *options;
    plan->columns = options->columns;
    plan->file_hash = hash_new();
    plan->shard_hash = hash_new();
    buf_init(&plan->header, 0);
    return plan;
}

void list_plan_free(struct list_plan *plan)
{
    if (!plan) return;
    list_stage_deinit(&plan->stage);
    list_records_free(plan->records);
    list_source_close(plan->source);
    list_columns_deinit(&plan->columns);
    buf_deinit(&plan->header);
    mem_free(plan->cut);
    hash_free(plan->shard_hash);
    hash_free(plan->file_hash);
    mem_free(plan);
}

enum list_format list_plan_format(const struct list_plan *plan)
{
    return plan->shape.format;
}

uint64_t list_plan_rows(const struct list_plan *plan)
{
    return plan->rows;
}

uint32_t list_plan_shards(const struct list_plan *plan)
{
    return plan->cuts_count;
}

uint64_t list_plan_row(const struct list_plan *plan, uint32_t shard)
{
    const uint64_t rows = (uint64_t)shard * plan->options.shard_rows;
    return rows < plan->rows ? rows : plan->rows;
}

static int look(const struct list_plan *plan, struct err *err)
{
    return plan->options.look ? plan->options.look(plan->options.look_ctx, err) : 0;
}

/* ---- before anything is written ---- */

static int open_list(struct list_plan *plan, struct err *err)
{
    const struct list_input input = {.path = plan->options.path,
                                     .format = plan->columns.format,
                                     .columns = plan->columns,
                                     .hash = plan->file_hash,
                                     .look = plan->options.look,
                                     .look_ctx = plan->options.look_ctx};
    const int rc = list_input_open(&plan->source, &plan->shape, &input, err);
    if (rc) return rc;
    plan->columns.format = plan->shape.rows;
    return list_records_new(&plan->records, plan->source, plan->shape.rows, 0, UINT64_MAX, err);
}

static int take_header(struct list_plan *plan, struct err *err)
{
    struct list_record header;
    bool found = false;
    int rc = list_records_next(plan->records, &header, &found, err);
    if (!rc && !found) rc = err_set(err, ERR_INVALID, "the list %s is empty", plan->options.path);
    if (!rc) rc = list_header(&plan->columns, &plan->header, &header, err);
    if (!rc) rc = list_records_peek(plan->records, &found, err);
    if (!rc && !found)
        rc = err_set(err, ERR_INVALID, "the list %s has a header and no rows", plan->options.path);
    return rc;
}

/* A wrong --url-column must not bar the way for the right one. Stops before the first row; but a
 * jsonl list has its columns there, so it is taken, and first.whole_bytes tells. */
int list_plan_open(struct list_plan *plan, struct err *err)
{
    bool found = false;
    int rc = open_list(plan, err);
    if (rc) return rc;
    if (list_has_header(plan->shape.rows)) {
        rc = take_header(plan, err);
    } else {
        rc = list_records_peek(plan->records, &found, err);
        if (!rc && !found)
            rc = err_set(err, ERR_INVALID, "the list %s is empty", plan->options.path);
    }
    plan->start = list_records_offset(plan->records);
    if (rc || list_has_header(plan->shape.rows) || plan->shape.columns_known) return rc;
    if (plan->shape.rows == LIST_JSONL)
        rc = list_records_next(plan->records, &plan->first, &found, err);
    return rc ? rc : list_columns_init(&plan->columns, &plan->first, err);
}

/* ---- shards ---- */

static int shard_begin(struct list_plan *plan, struct err *err)
{
    int rc = 0;
    plan->begun = true;
    hash_add(plan->shard_hash, buf_str(&plan->header), plan->header.len);
    /* The slices of shards that were published before are there. */
    if (plan->stage.store && plan->cuts_count >= plan->options.published)
        rc = list_stage_begin(&plan->stage, plan->cuts_count, &plan->header, err);
    list_records_tap(plan->records, plan->shard_hash, plan->stage.file);
    return rc;
}

static int cut_add(struct list_plan *plan, struct cut cut, struct err *err)
{
    if (plan->cuts_count == plan->options.shards_max)
        return err_set(err, ERR_INVALID,
                       "the list makes more than %u shards of %u rows: raise --shard-rows",
                       plan->options.shards_max, plan->options.shard_rows);
    if (plan->cuts_count == plan->cuts_room) {
        const uint32_t room = plan->cuts_room ? plan->cuts_room * 2 : CUTS_FIRST;
        struct cut *grown = mem_resize(plan->cut, room * sizeof cut);
        if (!grown) return err_set(err, ERR_LIMIT, "no memory for %u shards", room);
        plan->cut = grown;
        plan->cuts_room = room;
    }
    plan->cut[plan->cuts_count++] = cut;
    return 0;
}

static int shard_end(struct list_plan *plan, uint64_t end, struct err *err)
{
    uint8_t digest[HASH_SHA256_BYTES];
    plan->begun = false;
    list_records_tap(plan->records, NULL, NULL);
    const int rc = plan->stage.file ? list_stage_end(&plan->stage, err) : 0;
    if (rc) return rc;
    hash_end(plan->shard_hash, digest);
    const struct cut cut = {.end = end, .hash = list_slice_hash(digest)};
    return cut_add(plan, cut, err) ? (int)err->code : look(plan, err);
}

static int take_row(struct list_plan *plan, const struct list_record *row, struct err *err)
{
    plan->rows++;
    return plan->rows % plan->options.shard_rows ? 0 : shard_end(plan, row->end, err);
}

/* The row that list_plan_open has taken, unseen by any tap. */
static int take_first(struct list_plan *plan, struct err *err)
{
    const struct list_record *first = &plan->first;
    int rc = shard_begin(plan, err);
    hash_add(plan->shard_hash, first->data, first->whole_bytes);
    if (!rc && plan->stage.file)
        rc = store_file_write(plan->stage.file, first->data, first->whole_bytes, err);
    return rc ? rc : take_row(plan, first, err);
}

static int cut_rows(struct list_plan *plan, struct err *err)
{
    struct list_record row;
    bool found = true;
    int rc = plan->first.whole_bytes ? take_first(plan, err) : 0;
    while (!rc && found) {
        if (!plan->begun) rc = shard_begin(plan, err);
        if (!rc) rc = list_records_next(plan->records, &row, &found, err);
        if (!rc && found) rc = take_row(plan, &row, err);
    }
    if (rc) return rc;
    if (plan->rows % plan->options.shard_rows) return shard_end(plan, row.end, err);
    store_file_drop(plan->stage.file); /* begun for rows that did not come */
    plan->stage.file = NULL;
    return 0;
}

int list_plan_cut(struct list_plan *plan, struct store *store,
                  uint8_t fingerprint[HASH_SHA256_BYTES], struct err *err)
{
    int rc = 0;
    if (list_source_is_stream(plan->source))
        rc = list_stage_init(&plan->stage, plan->options.job, plan->options.lease, store, err);
    if (!rc) rc = cut_rows(plan, err);
    if (!rc) hash_end(plan->file_hash, fingerprint);
    return rc;
}

int list_plan_publish(struct list_plan *plan, struct list_cut *cut, uint32_t shard, struct err *err)
{
    CHECK(shard < plan->cuts_count);
    const struct cut *from = &plan->cut[shard];
    const bool sliced = plan->stage.store != NULL;
    *cut = (struct list_cut){.shard = shard, .hash = from->hash, .sliced = sliced};
    cut->rows = (uint32_t)(list_plan_row(plan, shard + 1) - list_plan_row(plan, shard));
    cut->offset = shard ? from[-1].end : plan->start;
    cut->bytes = from->end - cut->offset;
    cut->jsonl = sliced && plan->shape.rows == LIST_JSONL;
    return sliced ? list_stage_publish(&plan->stage, shard, err) : 0;
}
