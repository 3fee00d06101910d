/* scores.h - zero-shot labels of pictures: which labels' vectors are nearest to an embedding.
 *
 * As CLIP does it (Radford et al., 2021, section 3.1): the confidence of a label is the softmax,
 * over all labels, of logit_scale times the cosine of embedding and label. Cosines come with the
 * embedding (nn/models/clip/clip.h, clip_labels), the softmax is done here in double, sums in the
 * order of the labels, with an exp of our own: on a backend whose f32 bits do not depend on the
 * machine, neither do these. Labels are ordered by cosine; of equal ones the lower index comes
 * first. */
#ifndef ENCODE_SCORES_H
#define ENCODE_SCORES_H

#include "worker/jobs/encode/row.h"

#include <stdbool.h>
#include <stdint.h>

/* Of one picture: cosine [labels]; best: [top_k], best first; top_k: 1 to labels. false: a cosine
 * is no number. */
bool scores_best(struct row_label *best, uint32_t top_k, const float *cosine, uint32_t labels,
                 float logit_scale);

#endif
