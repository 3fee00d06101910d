/* scores.c - cosines from the backend, softmax and the best of them here. */
#include "worker/jobs/encode/scores.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "worker/nn/ops.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define ROWS_AT_ONCE 64

struct scores {
    struct backend *backend;
    struct backend_weight *weight;
    struct scores_options options;
    void *x, *cosine; /* of the device: [ROWS_AT_ONCE, projection], [ROWS_AT_ONCE, labels] */
    float *host;      /* [ROWS_AT_ONCE, labels] */
};

static struct tensor matrix(int64_t rows, int64_t columns, void *data)
{
    return (struct tensor){.dtype = DTYPE_F32, .rank = 2, .shape = {rows, columns}, .data = data};
}

/* x at most 0. Cody and Waite's reduction by ln 2 in two parts, then the series of e^r for |r| at
 * most ln 2 / 2: with terms up to r^13 it is off by less than 1e-16. Plain sums and products: the
 * same bits everywhere, which a library's exp does not promise. */
static double exp_of(double x)
{
    static const double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
    static const double log2_e = 1.44269504088896338700;
    static const double term[] = {1.0 / 6227020800,
                                  1.0 / 479001600,
                                  1.0 / 39916800,
                                  1.0 / 3628800,
                                  1.0 / 362880,
                                  1.0 / 40320,
                                  1.0 / 5040,
                                  1.0 / 720,
                                  1.0 / 120,
                                  1.0 / 24,
                                  1.0 / 6,
                                  0.5,
                                  1.0,
                                  1.0};
    if (x < -700) return 0;
    const int32_t halvings = (int32_t)(0.5 - x * log2_e);
    const double high = halvings * ln2_high, low = halvings * ln2_low;
    const double r = (x + high) + low;
    double sum = term[0];
    for (size_t i = 1; i < sizeof term / sizeof term[0]; i++) {
        const double product = sum * r;
        sum = product + term[i];
    }
    /* 2^-halvings: at least 2^-1010, a normal number. */
    const uint64_t bits = (uint64_t)(1023 - halvings) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return sum * power;
}

/* The place of a label among the best so far, or top_k. */
static void insert(struct row_label *best, uint32_t *count, uint32_t top_k, uint32_t label,
                   float cosine)
{
    uint32_t at = *count;
    if (at == top_k && cosine <= best[at - 1].confidence) return;
    if (at < top_k) ++*count;
    if (at == top_k) at--;
    for (; at > 0 && cosine > best[at - 1].confidence; at--) best[at] = best[at - 1];
    best[at] = (struct row_label){label, cosine};
}

bool scores_best(struct row_label *best, uint32_t top_k, const float *cosine, uint32_t labels,
                 float logit_scale)
{
    uint32_t count = 0;
    double sum = 0;
    CHECK(top_k >= 1 && top_k <= labels);
    for (uint32_t i = 0; i < labels; i++) {
        if (!isfinite(cosine[i])) return false;
        insert(best, &count, top_k, i, cosine[i]);
    }
    const double scale = (double)logit_scale, top = (double)best[0].confidence;
    for (uint32_t i = 0; i < labels; i++) {
        const double below = (double)cosine[i] - top;
        sum += exp_of(scale * below);
    }
    for (uint32_t i = 0; i < top_k; i++) {
        const double below = (double)best[i].confidence - top;
        best[i].confidence = (float)(exp_of(scale * below) / sum);
    }
    return true;
}

int scores_new(struct scores **scores, struct backend *backend,
               const struct scores_options *options, struct err *err)
{
    *scores = NULL;
    CHECK(options->labels > 0 && options->projection > 0 && options->logit_scale >= 0);
    CHECK(options->top_k >= 1 && options->top_k <= ENCODE_TOP_K_MAX);
    struct scores *made = mem_new(sizeof *made);
    made->backend = backend;
    made->options = *options;
    made->options.vector = NULL;
    if (made->options.top_k > options->labels) made->options.top_k = options->labels;
    const size_t row = ROWS_AT_ONCE * sizeof(float);
    made->host = mem_try(row * options->labels);
    made->x = backend_alloc(backend, row * options->projection);
    made->cosine = backend_alloc(backend, row * options->labels);
    int rc = 0;
    if (!made->host || !made->x || !made->cosine)
        rc = err_set(err, ERR_LIMIT, "no memory for the scores of %u labels", options->labels);
    if (!rc) {
        /* Read only; a tensor's data has no const. */
        union {
            const float *read;
            void *data;
        } vector = {.read = options->vector};
        const struct tensor part = matrix(options->labels, options->projection, vector.data);
        rc = backend_weight_new(backend, &made->weight, &part, 1, options->projection, DTYPE_F32,
                                err);
    }
    if (rc) {
        scores_free(made);
        return rc;
    }
    *scores = made;
    return 0;
}

void scores_free(struct scores *scores)
{
    if (!scores) return;
    if (scores->weight) backend_weight_free(scores->backend, scores->weight);
    backend_free(scores->backend, scores->x);
    backend_free(scores->backend, scores->cosine);
    mem_free(scores->host);
    mem_free(scores);
}

uint32_t scores_top_k(const struct scores *scores)
{
    return scores->options.top_k;
}

static int rank_some(struct scores *scores, struct row_label *best, const float *embedding,
                     uint32_t rows, struct err *err)
{
    const struct scores_options *options = &scores->options;
    const struct op_linear op = {
        .x = matrix(rows, options->projection, scores->x),
        .out = matrix(rows, options->labels, scores->cosine),
        .weight = scores->weight,
        .activation = ACTIVATION_NONE,
    };
    backend_write(scores->backend, scores->x, embedding,
                  (size_t)rows * options->projection * sizeof(float));
    op_linear(scores->backend, &op);
    backend_read(scores->backend, scores->host, scores->cosine,
                 (size_t)rows * options->labels * sizeof(float));
    const int rc = backend_sync(scores->backend, err);
    if (rc) return rc;
    for (uint32_t i = 0; i < rows; i++)
        if (!scores_best(best + (size_t)i * options->top_k, options->top_k,
                         scores->host + (size_t)i * options->labels, options->labels,
                         options->logit_scale))
            return err_set(err, ERR_CORRUPT,
                           "the model gives no numbers for a picture: are its weights whole?");
    return 0;
}

int scores_rank(struct scores *scores, struct row_label *best, const float *embedding,
                uint32_t rows, struct err *err)
{
    for (uint32_t at = 0; at < rows; at += ROWS_AT_ONCE) {
        const int rc = rank_some(scores, best + (size_t)at * scores->options.top_k,
                                 embedding + (size_t)at * scores->options.projection,
                                 rows - at < ROWS_AT_ONCE ? rows - at : ROWS_AT_ONCE, err);
        if (rc) return rc;
    }
    return 0;
}
