/* clip.h - CLIP: pictures and texts to vectors of one space.
 *
 * Implements the model of "Learning Transferable Visual Models From Natural Language Supervision"
 * (Radford et al., 2021, arXiv 2103.00020) as Hugging Face's CLIPModel computes it, from its files:
 * config.json, preprocessor_config.json (or processor_config.json), model.safetensors (or a sharded
 * one). Texts come as ids (nn/text/tokenizer.h). Also models of one tower, and those without the
 * projection at its end, which give no embeddings. docs/models.md tells the parity measured.
 *
 * One forward pass gives all that is asked for. One thread at a time, that of the backend. */
#ifndef NN_MODELS_CLIP_H
#define NN_MODELS_CLIP_H

#include "common/base/err.h"
#include "worker/nn/backend.h"
#include "worker/nn/load/config.h"
#include "worker/nn/load/preprocessor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIP_BATCH_MAX 4096

struct clip;

struct clip_options {
    enum dtype dtype; /* of the weights of linear layers: f32, bf16, f16 or i8 */
    bool vision, text;
    /* Pictures or texts in one pass, at most CLIP_BATCH_MAX; larger calls are cut. 0: a good number
     * for the model's size. Halved until the device has memory for it. */
    uint32_t batch_max;
    /* Which hidden state the patch tokens are of, as in transformers: -1 behind the last layer, -2
     * behind the one before, …, or 0 (behind pre_layrnorm) to layers_count. */
    int32_t hidden_state;
    /* Patch tokens that come out for a picture: 0 all, else a square number; windows of
     * floor(grid / sqrt(tokens)) cells, as TinyVLM: 64 of 24 x 24 are means over 3 x 3. Windows do
     * not overlap and cells that fill none are left out, so not every number can be made. */
    uint32_t tokens;
    bool no_tokens; /* they are never asked for, and take no memory */
};

/* What a model is, for who feeds it. */
struct clip_shape {
    uint32_t image_side;                /* pixels */
    uint32_t tokens;                    /* patch tokens that come out for a picture */
    uint32_t hidden;                    /* numbers of a patch token, and of the raw CLS token */
    uint32_t projection;                /* numbers of an embedding; 0: the model gives none */
    uint32_t text_tokens;               /* ids of a text, padding included */
    float logit_scale;                  /* exp of the weight: what cosines are multiplied with */
    uint32_t images_batch, texts_batch; /* of one pass */
    uint32_t batch_divisor;             /* above 1: the device had no memory for larger passes */
    size_t weight_bytes;                /* on the device */
    size_t scratch_bytes;               /* on the device, beside them */
};

/* What is wanted of pictures, in host memory; NULL: not wanted. All f32. What start was asked for
 * is written by finish. */
struct clip_features {
    float *tokens;    /* [count, tokens, hidden]: of the chosen hidden state, no CLS, no norm */
    float *cls;       /* [count, hidden]: the CLS token behind the last layer, before its norm */
    float *embedding; /* [count, projection]: of length 1 */
    float *cosine;    /* [count, labels]: of the embedding with each of clip_labels' vectors */
};

/* folder: of the model's files. ERR_INVALID, ERR_NOT_FOUND, ERR_CORRUPT: a sentence that names the
 * file and what is wrong in it; ERR_LIMIT: the device's memory is too small. */
CHECKED int clip_load(struct clip **clip, struct backend *backend, const char *folder,
                      const struct clip_options *options, struct err *err);
void clip_free(struct clip *clip); /* accepts NULL */
const struct clip_config *clip_config(const struct clip *clip);
/* What pictures must go through before they come here (pipe/preprocess.h takes it), but for the
 * levels, which clip_encode_images makes numbers of. Of a model with vision. */
const struct preprocessor_config *clip_preprocessor(const struct clip *clip);
struct clip_shape clip_shape(const struct clip *clip);
/* pixels: [count, image_side, image_side, 3] bytes, cropped, as pipe/preprocess.h makes them;
 * normalised here. Any count. */
CHECKED int clip_encode_images(struct clip *clip, const uint8_t *pixels, uint32_t count,
                               const struct clip_features *features, struct err *err);
/* The same in three steps, of at most images_batch pictures, so that a device need not wait for the
 * host: put brings pictures there, beside the passes under way, and has read them when it returns;
 * start begins the pass over what was put last; finish waits for the older of the passes under way,
 * of which there may be two, and takes what its start was asked for. Each put has its start before
 * the next put. Texts may be encoded between any two calls. After an error: nothing but clip_free.
 */
void clip_images_put(struct clip *clip, const uint8_t *pixels, uint32_t count);
CHECKED int clip_images_start(struct clip *clip, const struct clip_features *features,
                              struct err *err);
CHECKED int clip_images_finish(struct clip *clip, struct err *err);
/* Passes under way: 0 to 2; and whether finish would not have to wait for the older one. */
uint32_t clip_images_under_way(const struct clip *clip);
bool clip_images_ready(const struct clip *clip);
/* Vectors of length 1 for clip_features.cosine, [labels, projection] in host memory, copied; in
 * place of those before. labels 0: none. No pass is under way. ERR_LIMIT: the device's memory. */
CHECKED int clip_labels(struct clip *clip, const float *vector, uint32_t labels, struct err *err);
/* ids: [count, text_tokens], as nn/text/tokenizer.h makes them; embedding: [count, projection], of
 * length 1. ERR_INVALID: an id is outside of the vocabulary, or a text lacks its end. */
CHECKED int clip_encode_texts(struct clip *clip, const uint32_t *ids, uint32_t count,
                              float *embedding, struct err *err);

#endif
