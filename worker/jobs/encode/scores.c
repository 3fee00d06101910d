/* scores.c - softmax of cosines, and the best of them. */
#include "worker/jobs/encode/scores.h"

#include "common/base/check.h"

#include <math.h>
#include <string.h>

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
