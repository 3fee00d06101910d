/* scores.h - zero-shot labels of pictures: which labels' vectors are nearest to an embedding.
 *
 * As CLIP does it (Radford et al., 2021, section 3.1): the confidence of a label is the softmax,
 * over all labels, of logit_scale times the cosine of embedding and label. Cosines come from the
 * backend in f32, the softmax is done here in double, sums in the order of the labels, with an exp
 * of our own: on a backend whose f32 bits do not depend on the machine, neither do these. Labels
 * are ordered by cosine; of equal ones the lower index comes first.
 *
 * A picture costs labels * projection multiplications. One thread at a time, that of the backend.
 */
#ifndef ENCODE_SCORES_H
#define ENCODE_SCORES_H

#include "common/base/err.h"
#include "worker/jobs/encode/row.h"
#include "worker/nn/backend.h"

#include <stdint.h>

struct scores;

struct scores_options {
    const float *vector; /* [labels, projection], of length 1; host memory, copied */
    uint32_t labels, projection;
    float logit_scale;
    uint32_t top_k; /* 1 to ENCODE_TOP_K_MAX; more than labels: all of them */
};

/* The backend outlives it. ERR_LIMIT: the device's memory. */
CHECKED int scores_new(struct scores **scores, struct backend *backend,
                       const struct scores_options *options, struct err *err);
void scores_free(struct scores *scores); /* accepts NULL */
/* Labels that each picture gets. */
uint32_t scores_top_k(const struct scores *scores);
/* embedding: [rows, projection], host memory; best: [rows, scores_top_k], best first. ERR_CORRUPT:
 * an embedding is not made of numbers. */
CHECKED int scores_rank(struct scores *scores, struct row_label *best, const float *embedding,
                        uint32_t rows, struct err *err);
/* The same for one picture whose cosines are known. false: one of them is no number. */
bool scores_best(struct row_label *best, uint32_t top_k, const float *cosine, uint32_t labels,
                 float logit_scale);

#endif
