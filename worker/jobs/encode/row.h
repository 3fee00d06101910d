/* row.h - what is known of a sample when it is done: a line of NNNNN.jsonl, and a row of features.
 *
 * Rows are handed on one at a time, in the order of their index, by the task thread; texts and
 * vectors are borrowed and good for the call alone. Who computes something of a row (labels, the
 * placeholder's likeness, near duplicates) fills its fields, and who writes only reads. */
#ifndef ENCODE_ROW_H
#define ENCODE_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENCODE_TOP_K_MAX 100

/* Statuses of a row that are not those of decode.h or of a source. Only success has features. */
#define ROW_SUCCESS     "success"
#define ROW_PLACEHOLDER "placeholder" /* like the reference picture: encoded, but left out */

struct row_label {
    uint32_t label;   /* in struct labels */
    float confidence; /* softmax over all labels */
};

struct encode_row {
    uint32_t index;         /* in the shard: the line's number */
    const char *key;        /* UTF-8 */
    const char *status;     /* a constant; ROW_SUCCESS or why there are no features */
    const char *message;    /* "" or a sentence */
    const char *caption;    /* UTF-8; NULL: none */
    const char *json;       /* the sample's own fields, a JSON object in one line; NULL: none */
    uint32_t width, height; /* of the picture in its file; 0: not known */
    /* Of a picture that was encoded (success or placeholder); NULL: none, or not wanted. f32. */
    const float *tokens;    /* [clip_shape.tokens, hidden] */
    const float *cls;       /* [hidden] */
    const float *embedding; /* [projection], of length 1 */
    /* Of the caption; NULL: not wanted, or it has none. Of a success only. [projection], length 1
     */
    const float *caption_embedding;
    /* The row in the tensors, counted over the successes; -1: it has no features. */
    int64_t row;
    /* Best first; labels_count 0: not wanted, or no features. */
    struct row_label label[ENCODE_TOP_K_MAX];
    uint32_t labels_count;
    bool has_placeholder;       /* it was compared with the reference picture */
    float placeholder;          /* the cosine */
    int64_t duplicate_of;       /* the index of an earlier row; -1: of none */
    float duplicate_similarity; /* the cosine of their embeddings */
};

#endif
