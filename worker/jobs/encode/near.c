/* near.c - kept rows in blocks that are packed weights; the last block is open.
 *
 * New rows are appended to the open block before they are compared, so that those of one call meet
 * each other as well; the ones that turn out to be duplicates are then taken out again. */
#include "worker/jobs/encode/near.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "worker/nn/backend.h"
#include "worker/nn/ops.h"

#include <string.h>

#define BLOCK_ROWS 256 /* of a sealed block */
#define CHUNK_ROWS 128 /* compared at once */
#define OPEN_ROWS  (BLOCK_ROWS + CHUNK_ROWS)

/* Sealed: BLOCK_ROWS kept rows. */
struct block {
    struct backend_weight *weight;
};

struct near {
    struct backend *backend;
    uint32_t columns;
    float threshold;
    struct block *block;
    uint32_t blocks_count, blocks_max;
    float *open; /* [OPEN_ROWS, columns] */
    uint32_t open_rows;
    int64_t *number; /* of the kept rows, sealed and open */
    size_t numbers_max;
    void *x, *cosine; /* of the backend: [CHUNK_ROWS, columns], [CHUNK_ROWS, OPEN_ROWS] */
    float *host;      /* [CHUNK_ROWS, OPEN_ROWS] */
};

static struct tensor matrix(int64_t rows, int64_t columns, void *data)
{
    return (struct tensor){.dtype = DTYPE_F32, .rank = 2, .shape = {rows, columns}, .data = data};
}

static int out_of_memory(struct err *err)
{
    return err_set(err, ERR_LIMIT,
                   "no memory to find near duplicates; leave out --near-duplicates or make the "
                   "shards smaller");
}

int near_new(struct near **near, uint32_t threads, uint32_t columns, float threshold,
             struct err *err)
{
    struct backend *backend;
    *near = NULL;
    CHECK(columns > 0 && threshold > 0);
    const int rc = backend_open(&backend, "cpu", threads, err);
    if (rc) return rc;
    struct near *made = mem_new(sizeof *made);
    *made = (struct near){.backend = backend, .columns = columns, .threshold = threshold};
    made->open = mem_try((size_t)OPEN_ROWS * columns * sizeof(float));
    made->host = mem_try((size_t)CHUNK_ROWS * OPEN_ROWS * sizeof(float));
    made->x = backend_alloc(backend, (size_t)CHUNK_ROWS * columns * sizeof(float));
    made->cosine = backend_alloc(backend, (size_t)CHUNK_ROWS * OPEN_ROWS * sizeof(float));
    if (!made->open || !made->host || !made->x || !made->cosine) {
        near_free(made);
        return out_of_memory(err);
    }
    *near = made;
    return 0;
}

void near_free(struct near *near)
{
    if (!near) return;
    for (uint32_t i = 0; i < near->blocks_count; i++)
        backend_weight_free(near->backend, near->block[i].weight);
    backend_free(near->backend, near->x);
    backend_free(near->backend, near->cosine);
    backend_close(near->backend);
    mem_free(near->block);
    mem_free(near->open);
    mem_free(near->number);
    mem_free(near->host);
    mem_free(near);
}

/* Room for the numbers of a chunk more, and a block more. */
static int grow(struct near *near, struct err *err)
{
    const size_t kept = (size_t)near->blocks_count * BLOCK_ROWS + near->open_rows;
    if (kept + CHUNK_ROWS > near->numbers_max) {
        const size_t max = 2 * (kept + CHUNK_ROWS);
        int64_t *number = mem_resize(near->number, max * sizeof *number);
        if (!number) return out_of_memory(err);
        near->number = number;
        near->numbers_max = max;
    }
    if (near->blocks_count == near->blocks_max) {
        const uint32_t max = near->blocks_max ? 2 * near->blocks_max : 16;
        struct block *block = mem_resize(near->block, max * sizeof *block);
        if (!block) return out_of_memory(err);
        near->block = block;
        near->blocks_max = max;
    }
    return 0;
}

static int pack(struct near *near, struct backend_weight **weight, uint32_t rows, struct err *err)
{
    const struct tensor part = matrix(rows, near->columns, near->open);
    return backend_weight_new(near->backend, weight, &part, 1, near->columns, DTYPE_F32, err);
}

/* Cosines of the chunk with the rows of a weight, in near->host. */
static int compare(struct near *near, const struct backend_weight *weight, uint32_t rows,
                   struct err *err)
{
    op_linear(near->backend, &(struct op_linear){.x = matrix(rows, near->columns, near->x),
                                                 .out = matrix(rows, weight->rows, near->cosine),
                                                 .weight = weight,
                                                 .activation = ACTIVATION_NONE});
    backend_read(near->backend, near->host, near->cosine,
                 (size_t)rows * (size_t)weight->rows * sizeof(float));
    return backend_sync(near->backend, err);
}

/* The first of count cosines that reaches the threshold; count: none does. */
static uint32_t first_near(const struct near *near, const float *cosine, uint32_t count)
{
    uint32_t i = 0;
    while (i < count && !(cosine[i] >= near->threshold)) i++;
    return i;
}

static int compare_sealed(struct near *near, struct near_match *match, uint32_t rows,
                          struct err *err)
{
    for (uint32_t b = 0; b < near->blocks_count; b++) {
        const int rc = compare(near, near->block[b].weight, rows, err);
        if (rc) return rc;
        for (uint32_t i = 0; i < rows; i++) {
            const float *cosine = near->host + (size_t)i * BLOCK_ROWS;
            if (match[i].duplicate_of >= 0) continue;
            const uint32_t at = first_near(near, cosine, BLOCK_ROWS);
            if (at == BLOCK_ROWS) continue;
            match[i].duplicate_of = near->number[(size_t)b * BLOCK_ROWS + at];
            match[i].similarity = cosine[at];
        }
    }
    return 0;
}

/* The first `first` rows of the open block are kept ones of before; of the chunk behind them those
 * at the places are. false: none of them is near. */
static bool match_open(const struct near *near, struct near_match *match, const float *cosine,
                       const int64_t *number, uint32_t first, const uint32_t *place, uint32_t kept)
{
    uint32_t at = first_near(near, cosine, first);
    float similarity = at < first ? cosine[at] : 0;
    for (uint32_t k = 0; k < kept && similarity <= 0; k++) {
        if (!(cosine[first + place[k]] >= near->threshold)) continue;
        similarity = cosine[first + place[k]];
        at = first + k;
    }
    if (similarity <= 0) return false; /* the threshold is above 0 */
    *match = (struct near_match){number[at], similarity};
    return true;
}

/* The kept rows of the chunk move up. */
static int compare_open(struct near *near, struct near_match *match, const int64_t *number,
                        uint32_t rows, struct err *err)
{
    struct backend_weight *weight = NULL;
    const uint32_t first = near->open_rows, width = first + rows;
    int64_t *kept_number = near->number + (size_t)near->blocks_count * BLOCK_ROWS;
    uint32_t place[CHUNK_ROWS] = {0};
    uint32_t kept = 0;
    int rc = pack(near, &weight, width, err);
    if (!rc) rc = compare(near, weight, rows, err);
    if (weight) backend_weight_free(near->backend, weight);
    for (uint32_t i = 0; i < rows && !rc; i++) {
        if (match[i].duplicate_of >= 0 ||
            match_open(near, &match[i], near->host + (size_t)i * width, kept_number, first, place,
                       kept))
            continue;
        kept_number[first + kept] = number[i];
        place[kept++] = i;
    }
    for (uint32_t k = 0; k < kept; k++)
        if (place[k] != k)
            memcpy(near->open + (size_t)(first + k) * near->columns,
                   near->open + (size_t)(first + place[k]) * near->columns,
                   near->columns * sizeof(float));
    near->open_rows = first + kept;
    return rc;
}

static int seal(struct near *near, struct err *err)
{
    if (near->open_rows < BLOCK_ROWS) return 0;
    const int rc = pack(near, &near->block[near->blocks_count].weight, BLOCK_ROWS, err);
    if (rc) return rc;
    near->blocks_count++;
    near->open_rows -= BLOCK_ROWS;
    memmove(near->open, near->open + (size_t)BLOCK_ROWS * near->columns,
            (size_t)near->open_rows * near->columns * sizeof(float));
    return 0;
}

static int add_chunk(struct near *near, struct near_match *match, const float *embedding,
                     const int64_t *number, uint32_t rows, struct err *err)
{
    const size_t bytes = (size_t)rows * near->columns * sizeof(float);
    int rc = grow(near, err);
    if (rc) return rc;
    for (uint32_t i = 0; i < rows; i++) match[i] = (struct near_match){.duplicate_of = -1};
    memcpy(near->open + (size_t)near->open_rows * near->columns, embedding, bytes);
    backend_write(near->backend, near->x, embedding, bytes);
    rc = compare_sealed(near, match, rows, err);
    if (!rc) rc = compare_open(near, match, number, rows, err);
    return rc ? rc : seal(near, err);
}

int near_add(struct near *near, struct near_match *match, const float *embedding,
             const int64_t *number, uint32_t rows, struct err *err)
{
    for (uint32_t at = 0; at < rows; at += CHUNK_ROWS) {
        const int rc = add_chunk(near, match + at, embedding + (size_t)at * near->columns,
                                 number + at, rows - at < CHUNK_ROWS ? rows - at : CHUNK_ROWS, err);
        if (rc) return rc;
    }
    return 0;
}
