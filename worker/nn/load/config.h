/* config.h - the sizes of a CLIP model, from Hugging Face's config.json.
 *
 * Read: model_type "clip" (both towers, under vision_config and text_config), "clip_vision_model"
 * and "clip_text_model" (one, its fields at the top, also those of the WithProjection classes). A
 * field that is missing has the value that transformers' CLIPConfig, CLIPVisionConfig and
 * CLIPTextConfig fill in, those of ViT-B/32; unknown fields are ignored. Old files have a
 * vision_config_dict or text_config_dict besides: as in transformers, that one counts alone.
 *
 * Errors: ERR_INVALID with the field's name and value, ERR_CORRUPT: no JSON object, ERR_LIMIT. */
#ifndef NN_LOAD_CONFIG_H
#define NN_LOAD_CONFIG_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum clip_activation { CLIP_QUICK_GELU, CLIP_GELU }; /* x*sigmoid(1.702x); with erf, exact */

/* What the two towers have in common. */
struct clip_tower {
    int64_t hidden_size;       /* of a token; a multiple of heads_count */
    int64_t intermediate_size; /* of the MLP */
    int64_t layers_count, heads_count;
    int64_t projection_dim; /* of the embedding; in a "clip" model the same for both */
    enum clip_activation activation;
    double layer_norm_eps;
};

struct clip_config {
    bool has_vision, has_text;
    struct {
        struct clip_tower tower;
        int64_t channels_count;
        int64_t image_size, patch_size; /* of squares; (image/patch)^2 + 1 tokens, rounded down */
    } vision;
    struct {
        struct clip_tower tower;
        int64_t vocab_size, positions_max;
        int64_t bos_token_id, eos_token_id, pad_token_id; /* -1: none */
        /* Whether a text's embedding is taken at the largest id, not at the first eos_token_id:
         * transformers does so where eos_token_id is 2, as the configurations of OpenAI's models
         * say wrongly; the end of text is their largest id. */
        bool pools_at_largest_id;
    } text;
    double logit_scale_init; /* the weights' own is in the file of tensors */
};

CHECKED int clip_config_parse(struct clip_config *config, const char *json, size_t bytes,
                              struct err *err);
/* Of a file; the sentence begins with its path. */
CHECKED int clip_config_read(struct clip_config *config, const char *path, struct err *err);

#endif
