/* shapes.h - the models and matrix products that tests/gpu measures.
 *
 * ViT-L/14 at both sizes of its pictures, and ViT-B/32, as OpenAI published them; a model for
 * trials of the harness where no device is, which ends in a moment. */
#ifndef TESTS_DEVICE_SHAPES_H
#define TESTS_DEVICE_SHAPES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct model_shape {
    const char *name;
    int64_t hidden, mlp, layers, heads, side, patch, projection;
    uint32_t batch; /* pictures of one pass; 0: as many as an encode job has */
};

static const struct model_shape model_shapes[] = {
    {"large-336", 1024, 4096, 24, 16, 336, 14, 768, 0},
    {"large-224", 1024, 4096, 24, 16, 224, 14, 768, 0},
    {"base-32", 768, 3072, 12, 12, 224, 32, 512, 0},
    {"tiny", 64, 128, 2, 1, 56, 14, 32, 4},
};

#define MODEL_SHAPES_COUNT (sizeof model_shapes / sizeof model_shapes[0])

static inline const struct model_shape *model_shape(const char *name)
{
    for (size_t i = 0; i < MODEL_SHAPES_COUNT; i++)
        if (!strcmp(model_shapes[i].name, name)) return &model_shapes[i];
    return NULL;
}

static inline int64_t model_patches(const struct model_shape *s)
{
    return (s->side / s->patch) * (s->side / s->patch);
}

/* Pictures of one pass on a backend that computes well with so many rows, as clip_vision_plan has
 * it. */
static inline uint32_t model_batch(const struct model_shape *s, uint32_t rows_good)
{
    const uint32_t tokens = (uint32_t)model_patches(s) + 1;
    return s->batch ? s->batch : (rows_good + tokens - 1) / tokens;
}

/* Of one picture: multiplications and additions of the matrix products and of attention. */
static inline double model_flops(const struct model_shape *s)
{
    const double patches = (double)model_patches(s), tokens = patches + 1;
    const double hidden = (double)s->hidden, mlp = (double)s->mlp, layers = (double)s->layers;
    const double products = layers * tokens * 2 * (4 * hidden * hidden + 2 * hidden * mlp);
    const double attention = layers * 4 * tokens * tokens * hidden;
    const double ends = patches * 2 * 3 * (double)(s->patch * s->patch) * hidden +
                        2 * hidden * (double)s->projection;
    return products + attention + ends;
}

/* The products of a layer: N and K, and whether they are added to the residual of f32. */
struct product_shape {
    const char *name;
    int64_t width, depth;
    bool to_residual;
};

#define PRODUCTS_COUNT 4

static inline void model_products(struct product_shape product[PRODUCTS_COUNT],
                                  const struct model_shape *s)
{
    product[0] = (struct product_shape){"qkv", 3 * s->hidden, s->hidden, false};
    product[1] = (struct product_shape){"out", s->hidden, s->hidden, true};
    product[2] = (struct product_shape){"fc1", s->mlp, s->hidden, false};
    product[3] = (struct product_shape){"fc2", s->hidden, s->mlp, true};
}

#endif
