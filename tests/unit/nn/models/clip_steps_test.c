/* clip_steps_test.c - pictures put ahead of the pass under way give the bits of one call, whatever
 * the pieces; and what is asked for may change from pass to pass. */
#include "tests/unit/nn/models/clip_support.h"

#define MANY 11

struct outputs {
    float *tokens, *cls, *embedding;
};

static void outputs_init(struct outputs *outputs, const struct clip_shape *shape)
{
    outputs->tokens = mem_new((size_t)MANY * shape->tokens * shape->hidden * sizeof(float));
    outputs->cls = mem_new((size_t)MANY * shape->hidden * sizeof(float));
    outputs->embedding = mem_new((size_t)MANY * shape->projection * sizeof(float));
}

static void outputs_deinit(struct outputs *outputs)
{
    mem_free(outputs->tokens);
    mem_free(outputs->cls);
    mem_free(outputs->embedding);
}

static struct clip_features from(const struct outputs *outputs, const struct clip_shape *shape,
                                 uint32_t first)
{
    return (struct clip_features){
        .tokens = outputs->tokens + (size_t)first * shape->tokens * shape->hidden,
        .cls = outputs->cls + (size_t)first * shape->hidden,
        .embedding = outputs->embedding + (size_t)first * shape->projection};
}

/* Pieces of 1, 2, 3 and 4 pictures, each put while the one before is under way. */
static void encode_in_steps(struct golden *golden, const uint8_t *pixels, struct outputs *got)
{
    const size_t picture = (size_t)golden->shape.image_side * golden->shape.image_side * 3;
    uint32_t first = 0, some = 1;
    struct err err;
    clip_images_put(golden->clip, pixels, some);
    while (first < MANY) {
        const struct clip_features features = from(got, &golden->shape, first);
        EXPECT_OK(clip_images_start(golden->clip, &features, &err), &err);
        first += some;
        some = some % 4 + 1;
        if (some > MANY - first) some = MANY - first;
        if (some) {
            uint8_t *copy = mem_new(some * picture); /* which need not stay */
            memcpy(copy, pixels + first * picture, some * picture);
            clip_images_put(golden->clip, copy, some);
            memset(copy, 0, some * picture);
            mem_free(copy);
        }
        EXPECT_OK(clip_images_finish(golden->clip, &err), &err);
    }
}

static void compare(const char *device, enum dtype dtype)
{
    const struct clip_options options = {
        .dtype = dtype, .vision = true, .batch_max = 4, .hidden_state = -2};
    struct outputs want, got;
    struct golden golden;
    struct err err;
    golden_open(&golden, "both", device, 1, &options);
    const struct clip_shape *shape = &golden.shape;
    uint8_t *pixels = golden_pictures(shape->image_side, MANY);
    outputs_init(&want, shape);
    outputs_init(&got, shape);
    const struct clip_features features = from(&want, shape, 0);
    EXPECT_OK(clip_encode_images(golden.clip, pixels, MANY, &features, &err), &err);
    encode_in_steps(&golden, pixels, &got);
    EXPECT_MEM(got.tokens, want.tokens,
               (size_t)MANY * shape->tokens * shape->hidden * sizeof(float));
    EXPECT_MEM(got.cls, want.cls, MANY * shape->hidden * sizeof(float));
    EXPECT_MEM(got.embedding, want.embedding, MANY * shape->projection * sizeof(float));
    outputs_deinit(&want);
    outputs_deinit(&got);
    mem_free(pixels);
    golden_close(&golden);
}

TEST(clip, in_steps_gives_the_bits_of_one_call)
{
    UNUSED_STATE;
    const char *device = getenv("VLMQ_CLIP_DEVICE");
    if (device) {
        compare(device, DTYPE_BF16);
        return;
    }
    compare("reference", DTYPE_F32);
    compare("cpu", DTYPE_F32);
    compare("cpu", DTYPE_I8);
}

/* A pass that gives less leaves the rest of the memory alone, and one after it gives all again. */
TEST(clip, passes_may_ask_for_different_things)
{
    UNUSED_STATE;
    const struct clip_options options = {.dtype = DTYPE_F32, .vision = true, .hidden_state = -1};
    const char *device = getenv("VLMQ_CLIP_DEVICE");
    struct outputs all, one;
    struct golden golden;
    struct err err;
    golden_open(&golden, "both", device ? device : "cpu", 1, &options);
    const struct clip_shape *shape = &golden.shape;
    uint8_t *pixels = golden_pictures(shape->image_side, 1);
    outputs_init(&all, shape);
    outputs_init(&one, shape);
    const struct clip_features everything = from(&all, shape, 0);
    const struct clip_features cls = {.cls = one.cls};
    clip_images_put(golden.clip, pixels, 1);
    EXPECT_OK(clip_images_start(golden.clip, &cls, &err), &err);
    EXPECT_OK(clip_images_finish(golden.clip, &err), &err);
    clip_images_put(golden.clip, pixels, 1);
    EXPECT_OK(clip_images_start(golden.clip, &everything, &err), &err);
    EXPECT_OK(clip_images_finish(golden.clip, &err), &err);
    EXPECT_MEM(one.cls, all.cls, shape->hidden * sizeof(float));
    EXPECT(one.embedding[0] == 0 && all.embedding[0] != 0);
    outputs_deinit(&all);
    outputs_deinit(&one);
    mem_free(pixels);
    golden_close(&golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(clip, in_steps_gives_the_bits_of_one_call),
        RUN(clip, passes_may_ask_for_different_things),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
