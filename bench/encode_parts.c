/* encode_parts.c - what is done around the model in an encode task, each part alone: labels of
 * pictures, near duplicates within a shard, and the feature file.
 *
 * Random unit vectors of 768 numbers; 1,324 labels, as many as the default set has; a tenth of the
 * rows are near an earlier one. The feature file holds 64 x 1024 tokens and an embedding in f16 for
 * each row, and is made through an attempt, hashed and durable. Prints one line of JSON with wall
 * clock milliseconds. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/conf.h"
#include "common/base/fs.h"
#include "common/base/id.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/store/attempt.h"
#include "worker/jobs/encode/features.h"
#include "worker/jobs/encode/near.h"
#include "worker/jobs/encode/scores.h"
#include "worker/nn/ops.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS 768
#define LABELS  1324
#define BATCH   32
#define TOKENS  64
#define HIDDEN  1024

struct options {
    const char *device, *folder;
    int64_t rows, threads;
};

static float *unit_rows(uint32_t rows, uint64_t seed)
{
    float *row = mem_try((size_t)rows * COLUMNS * sizeof *row);
    struct rng rng;
    rng_seed(&rng, seed);
    CHECK(row != NULL);
    for (uint32_t i = 0; i < rows; i++) {
        float *to = row + (size_t)i * COLUMNS;
        const uint64_t of = i && rng_below(&rng, 10) == 0 ? rng_below(&rng, i) : i;
        double squares = 0;
        for (uint32_t k = 0; k < COLUMNS; k++) {
            to[k] = (float)(rng_unit(&rng) - 0.5);
            if (of < i) to[k] = row[of * COLUMNS + k] + to[k] / 200;
            squares += (double)to[k] * (double)to[k];
        }
        for (uint32_t k = 0; k < COLUMNS; k++) to[k] /= (float)sqrt(squares);
    }
    return row;
}

static int64_t label_ms(struct backend *backend, const float *row, uint32_t rows)
{
    const size_t x_bytes = (size_t)BATCH * COLUMNS * sizeof *row;
    const size_t cosine_bytes = (size_t)BATCH * LABELS * sizeof *row;
    float *label = unit_rows(LABELS, 2), *host = mem_try(cosine_bytes);
    const struct tensor part = tensor_over(label, DTYPE_F32, (int64_t[]){LABELS, COLUMNS}, 2);
    struct backend_weight *weight;
    struct row_label best;
    struct err err;
    CHECK(!backend_weight_new(backend, &weight, &part, 1, COLUMNS, DTYPE_F32, &err));
    void *x = backend_alloc(backend, x_bytes), *cosine = backend_alloc(backend, cosine_bytes);
    CHECK(host && x && cosine);
    const struct op_linear op = {.x = tensor_over(x, DTYPE_F32, (int64_t[]){BATCH, COLUMNS}, 2),
                                 .out =
                                     tensor_over(cosine, DTYPE_F32, (int64_t[]){BATCH, LABELS}, 2),
                                 .weight = weight,
                                 .activation = ACTIVATION_NONE};
    const int64_t start_us = clock_mono_us();
    for (uint32_t at = 0; at + BATCH <= rows; at += BATCH) {
        backend_write(backend, x, row + (size_t)at * COLUMNS, x_bytes);
        op_linear(backend, &op);
        backend_read(backend, host, cosine, cosine_bytes);
        CHECK(!backend_sync(backend, &err));
        for (uint32_t i = 0; i < BATCH; i++)
            CHECK(scores_best(&best, 1, host + (size_t)i * LABELS, LABELS, 100));
    }
    const int64_t us = clock_mono_us() - start_us;
    backend_weight_free(backend, weight);
    backend_free(backend, x);
    backend_free(backend, cosine);
    mem_free(host);
    mem_free(label);
    return us / 1000;
}

static int64_t near_ms(uint32_t threads, const float *row, uint32_t rows, uint32_t *found)
{
    int64_t number[BATCH];
    struct near_match match[BATCH];
    struct near *near;
    struct err err;
    CHECK(!near_new(&near, threads, COLUMNS, 0.96F, &err));
    const int64_t start_us = clock_mono_us();
    for (uint32_t at = 0; at < rows; at += BATCH) {
        const uint32_t count = rows - at < BATCH ? rows - at : BATCH;
        for (uint32_t i = 0; i < count; i++) number[i] = at + i;
        CHECK(!near_add(near, match, row + (size_t)at * COLUMNS, number, count, &err));
        for (uint32_t i = 0; i < count; i++) *found += match[i].duplicate_of >= 0;
    }
    const int64_t us = clock_mono_us() - start_us;
    near_free(near);
    return us / 1000;
}

/* *publish_ms: the part of it behind the last row. */
static int64_t features_ms(const char *folder, const float *row, uint32_t rows, int64_t *publish_ms)
{
    static const struct features_column columns[] = {{"tokens", 2, {TOKENS, HIDDEN}},
                                                     {"embedding", 1, {COLUMNS, 0}}};
    static float tokens[TOKENS * HIDDEN];
    char lease[LEASE_ID_BYTES], scratch[PATH_MAX];
    struct attempt_manifest *manifest = mem_new(sizeof *manifest);
    struct features *features;
    struct attempt *attempt;
    struct store *store;
    struct err err;
    bool adopted;
    for (uint32_t i = 0; i < TOKENS * HIDDEN; i++) tokens[i] = row[i % COLUMNS];
    id_lease(lease);
    CHECK(!store_open(&store, folder, true, &err));
    CHECK(!attempt_open(&attempt, store, "00000", lease, &adopted, manifest, &err));
    CHECK(!adopted); /* the folder is new */
    CHECK(!attempt_scratch(attempt, scratch, sizeof scratch, &err));
    const struct features_options options = {scratch, columns, 2, DTYPE_F16};
    CHECK(!features_new(&features, &options, &err));
    const int64_t start_us = clock_mono_us();
    for (uint32_t i = 0; i < rows; i++) {
        const float *const data[] = {tokens, row + (size_t)i * COLUMNS};
        CHECK(!features_add(features, data, 1, &err));
    }
    const int64_t middle_us = clock_mono_us();
    CHECK(!features_publish(features, attempt, "00000.safetensors", NULL, 0, &err));
    CHECK(!attempt_commit(attempt, manifest, &adopted, &err));
    const int64_t end_us = clock_mono_us();
    features_free(features);
    attempt_close(attempt);
    store_close(store);
    mem_free(manifest);
    *publish_ms = (end_us - middle_us) / 1000;
    return (end_us - start_us) / 1000;
}

int main(int argc, char **argv)
{
    struct options options = {.device = "cpu", .rows = 10000};
    const struct conf_option table[] = {
        {"device", 0, CONF_TEXT, &options.device, 0, 0, "NAME", "Backend (default cpu)."},
        {"threads", 0, CONF_INT, &options.threads, 0, 1024, "N", "Of it (default: all)."},
        {"rows", 0, CONF_INT, &options.rows, BATCH, 1000000, "N", "Pictures (default 10000)."},
        {"folder", 0, CONF_TEXT, &options.folder, 0, 0, "DIR", "A new folder for the features."},
        {0},
    };
    struct conf conf = {.program = "bench_encode_parts", .options = table};
    struct backend *backend;
    struct err err;
    uint32_t found = 0;
    int64_t publish_ms = 0;
    if (conf_parse(&conf, argc, argv, &err) ||
        backend_open(&backend, options.device, (uint32_t)options.threads, &err)) {
        (void)fprintf(stderr, "%s\n", err.msg);
        return EXIT_FAILURE;
    }
    const uint32_t rows = (uint32_t)options.rows;
    float *row = unit_rows(rows, 1);
    printf("{\"rows\":%u,\"label_ms\":%" PRId64, rows, label_ms(backend, row, rows));
    printf(",\"near_ms\":%" PRId64, near_ms((uint32_t)options.threads, row, rows, &found));
    printf(",\"near_found\":%u", found);
    if (options.folder) {
        printf(",\"features_ms\":%" PRId64, features_ms(options.folder, row, rows, &publish_ms));
        printf(",\"publish_ms\":%" PRId64 ",\"features_mb\":%.1f", publish_ms,
               rows * (TOKENS * HIDDEN + COLUMNS) * 2.0 / 1e6);
    }
    printf("}\n");
    mem_free(row);
    backend_close(backend);
    conf_deinit(&conf);
    return EXIT_SUCCESS;
}
