/* model.h - what an encode task computes with: the model on its device, and what is encoded once.
 *
 * Weights are loaded once and stay for the tasks after this one, of any job with the same model and
 * way of computing (worker/job.h, job_warm_take). The labels' vectors and that of the reference
 * picture are a job's: they stay too, until another job needs others.
 *
 * Used by the task thread alone, but for preprocess and tokenizer, which only are read. */
#ifndef ENCODE_MODEL_H
#define ENCODE_MODEL_H

#include "common/base/err.h"
#include "worker/job.h"
#include "worker/jobs/encode/claim.h"
#include "worker/jobs/encode/label_cache.h"
#include "worker/jobs/encode/options.h"
#include "worker/jobs/encode/placeholder.h"
#include "worker/nn/backend.h"
#include "worker/nn/models/clip/clip.h"
#include "worker/nn/text/tokenizer.h"
#include "worker/pipe/decode.h"
#include "worker/pipe/preprocess.h"

#include <stdbool.h>

#define ENCODE_MODEL_KEY_BYTES  192
#define ENCODE_ARITHMETIC_BYTES 64

struct encode_model {
    char key[ENCODE_MODEL_KEY_BYTES]; /* under which it is kept */
    struct backend *backend;
    struct clip *clip;
    struct clip_shape shape;
    uint32_t grid;  /* patches of a side */
    uint32_t piece; /* pictures that take it about a second; 0: not known yet */
    struct preprocess preprocess;
    struct tokenizer *tokenizer;              /* NULL: texts are not wanted */
    char arithmetic[ENCODE_ARITHMETIC_BYTES]; /* dtype, and what else the bits depend on */
    /* The job's. */
    char labels_key[HASH_SHA256_TEXT], placeholder_key[HASH_SHA256_TEXT + 16]; /* "": none */
    struct labels labels;
    uint32_t labels_count; /* whose cosines the model gives; 0: no labels are wanted */
    uint32_t top_k;        /* labels that a picture gets */
    struct placeholder placeholder;
};

/* Takes a warm one or loads it; *device: what is to blame, when it failed. ERR_INVALID,
 * ERR_NOT_FOUND: a sentence that names the option and what is wrong; ERR_LIMIT: the device's
 * memory; ERR_UNAVAILABLE: its files changed meanwhile. */
CHECKED int encode_model_get(struct encode_model **model, enum job_device *device,
                             const struct job_env *env, const struct encode_options *options,
                             const struct encode_files *files, struct err *err);
/* What the device of a model has come to: errors of it stay. */
enum job_device encode_model_device(const struct encode_model *model);
/* Keeps it for the next task, or frees one whose device has failed. Accepts NULL. */
void encode_model_give(struct encode_model *model, const struct job_env *env,
                       const struct encode_options *options);

/* How a picture is decoded: for those of samples and for the reference. */
struct decode_options encode_decode_options(const struct encode_options *options);

#endif
