/* make_model.c - writes a CLIP's vision tower of a published size with random weights, in bf16:
 * make_model NAME FOLDER. The names are those of shapes.h; the files, those of a published one. */
#include "common/base/check.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "tests/device/shapes.h"
#include "worker/nn/load/safetensors.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define TENSORS_MAX 512
#define PIECE       65536

struct tensors {
    struct arena arena;
    struct safetensors_entry entry[TENSORS_MAX];
    uint32_t count;
};

static void add(struct tensors *tensors, const char *name, const int64_t *shape, uint32_t rank)
{
    CHECK(tensors->count < TENSORS_MAX);
    tensors->entry[tensors->count++] =
        (struct safetensors_entry){.name = arena_printf(&tensors->arena, "%s", name),
                                   .tensor = tensor_over(NULL, DTYPE_BF16, shape, rank)};
}

static void add_linear(struct tensors *tensors, const char *prefix, int64_t rows, int64_t columns)
{
    char name[160];
    (void)snprintf(name, sizeof name, "%s.weight", prefix);
    add(tensors, name, (int64_t[]){rows, columns}, columns ? 2 : 1);
    (void)snprintf(name, sizeof name, "%s.bias", prefix);
    add(tensors, name, &rows, 1);
}

static void add_layer(struct tensors *tensors, const struct model_shape *s, int64_t number)
{
    static const char *const squares[] = {"self_attn.q_proj", "self_attn.k_proj",
                                          "self_attn.v_proj", "self_attn.out_proj"};
    char name[128];
#define NAMED(part) \
    (snprintf(name, sizeof name, "vision_model.encoder.layers.%d.%s", (int)number, part), name)
    for (size_t i = 0; i < 4; i++) add_linear(tensors, NAMED(squares[i]), s->hidden, s->hidden);
    add_linear(tensors, NAMED("mlp.fc1"), s->mlp, s->hidden);
    add_linear(tensors, NAMED("mlp.fc2"), s->hidden, s->mlp);
    add_linear(tensors, NAMED("layer_norm1"), s->hidden, 0);
    add_linear(tensors, NAMED("layer_norm2"), s->hidden, 0);
#undef NAMED
}

static void add_all(struct tensors *tensors, const struct model_shape *s)
{
    const int64_t tokens = model_patches(s) + 1;
    add(tensors, "vision_model.embeddings.class_embedding", &s->hidden, 1);
    add(tensors, "vision_model.embeddings.patch_embedding.weight",
        (int64_t[]){s->hidden, 3, s->patch, s->patch}, 4);
    add(tensors, "vision_model.embeddings.position_embedding.weight",
        (int64_t[]){tokens, s->hidden}, 2);
    add(tensors, "visual_projection.weight", (int64_t[]){s->projection, s->hidden}, 2);
    add_linear(tensors, "vision_model.pre_layrnorm", s->hidden, 0);
    add_linear(tensors, "vision_model.post_layernorm", s->hidden, 0);
    for (int64_t i = 0; i < s->layers; i++) add_layer(tensors, s, i);
}

/* Even numbers of deviation 0.02, as checkpoints begin, and ones for the weights of norms. */
static int fill(void *ctx, struct safetensors_writer *writer, const struct safetensors_entry *entry,
                struct err *err)
{
    static uint16_t piece[PIECE];
    uint32_t *state = ctx;
    const bool is_one = strstr(entry->name, "norm") && strstr(entry->name, ".weight");
    size_t left = (size_t)tensor_count(&entry->tensor);
    int rc = 0;
    while (left && !rc) {
        const size_t some = left < PIECE ? left : PIECE;
        for (size_t i = 0; i < some; i++) {
            *state = *state * 1664525u + 1013904223u;
            const float even = (float)(*state >> 8) / 8388608.0F - 1;
            piece[i] = bf16_of_f32(is_one ? 1 : even * 0.035F);
        }
        rc = safetensors_writer_add(writer, piece, some * sizeof piece[0], err);
        left -= some;
    }
    return rc;
}

static int put(const char *folder, const char *name, const char *text, struct err *err)
{
    char path[PATH_MAX];
    if (!fs_join(path, sizeof path, folder, name)) return err_set(err, ERR_INVALID, "a long path");
    return fs_put(path, text, strlen(text), err);
}

static int put_texts(const struct model_shape *s, const char *folder, struct err *err)
{
    char config[512], preprocessor[512];
    (void)snprintf(config, sizeof config,
                   "{\"model_type\": \"clip_vision_model\", \"hidden_size\": %d, "
                   "\"intermediate_size\": %d, \"num_hidden_layers\": %d, "
                   "\"num_attention_heads\": %d, \"image_size\": %d, \"patch_size\": %d, "
                   "\"projection_dim\": %d, \"hidden_act\": \"quick_gelu\"}\n",
                   (int)s->hidden, (int)s->mlp, (int)s->layers, (int)s->heads, (int)s->side,
                   (int)s->patch, (int)s->projection);
    (void)snprintf(preprocessor, sizeof preprocessor,
                   "{\"crop_size\": %d, \"size\": %d, \"resample\": 3,\n"
                   " \"image_mean\": [0.48145466, 0.4578275, 0.40821073],\n"
                   " \"image_std\": [0.26862954, 0.26130258, 0.27577711]}\n",
                   (int)s->side, (int)s->side);
    const int rc = put(folder, "config.json", config, err);
    return rc ? rc : put(folder, "preprocessor_config.json", preprocessor, err);
}

int main(int argc, char **argv)
{
    static struct tensors tensors;
    const struct model_shape *shape = argc == 3 ? model_shape(argv[1]) : NULL;
    char path[PATH_MAX];
    struct err err = {0};
    uint32_t state = 1;
    if (!shape) {
        (void)fprintf(stderr, "usage: make_model large-336|large-224|base-32|tiny FOLDER\n");
        return 2;
    }
    arena_init(&tensors.arena, 0);
    add_all(&tensors, shape);
    int rc = put_texts(shape, argv[2], &err);
    if (!rc && !fs_join(path, sizeof path, argv[2], "model.safetensors"))
        rc = err_set(&err, ERR_INVALID, "a long path");
    if (!rc) rc = safetensors_save(path, tensors.entry, tensors.count, NULL, 0, fill, &state, &err);
    if (rc) (void)fprintf(stderr, "make_model: %s\n", err.msg);
    arena_deinit(&tensors.arena);
    return rc ? 1 : 0;
}
