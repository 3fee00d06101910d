/* clip_steps_test.c - pictures put ahead of the pass under way give the bits of one call, whatever
 * the pieces, with one pass under way or two, and texts in between; what is asked for may change
 * from pass to pass. */
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

/* Pictures that need not stay when they were put. */
static void put(struct golden *golden, const uint8_t *pixels, uint32_t first, uint32_t count)
{
    const size_t picture = (size_t)golden->shape.image_side * golden->shape.image_side * 3;
    uint8_t *copy = mem_new(count * picture);
    memcpy(copy, pixels + first * picture, count * picture);
    clip_images_put(golden->clip, copy, count);
    memset(copy, 0, count * picture);
    mem_free(copy);
}

/* A text's embedding, which must be the same whatever runs beside it. */
static void encode_text(struct golden *golden, float *first)
{
    const struct clip_shape *shape = &golden->shape;
    uint32_t *ids = mem_new(shape->text_tokens * sizeof *ids);
    float *embedding = mem_new(shape->projection * sizeof *embedding);
    struct err err;
    for (uint32_t i = 0; i < shape->text_tokens; i++) ids[i] = i < 3 ? i + 1 : 0;
    ids[3] = (uint32_t)clip_config(golden->clip)->text.eos_token_id;
    EXPECT_OK(clip_encode_texts(golden->clip, ids, 1, embedding, &err), &err);
    if (first[0] != 0)
        EXPECT_MEM(embedding, first, shape->projection * sizeof *first);
    else
        memcpy(first, embedding, shape->projection * sizeof *first);
    mem_free(ids);
    mem_free(embedding);
}

/* Pieces of 1, 2, 3 and 4 pictures, each put while `ahead` before it are under way. */
static void encode_in_steps(struct golden *golden, const uint8_t *pixels, struct outputs *got,
                            uint32_t ahead)
{
    float *text = mem_new(golden->shape.projection * sizeof *text);
    uint32_t first = 0, some = 1;
    struct err err;
    while (first < MANY) {
        const struct clip_features features = from(got, &golden->shape, first);
        put(golden, pixels, first, some);
        if (clip_images_under_way(golden->clip) == ahead)
            EXPECT_OK(clip_images_finish(golden->clip, &err), &err);
        EXPECT_OK(clip_images_start(golden->clip, &features, &err), &err);
        for (uint32_t i = 0; i < first; i++) encode_text(golden, text);
        first += some;
        some = some % 4 + 1;
        if (some > MANY - first) some = MANY - first;
    }
    EXPECT_EQ(clip_images_under_way(golden->clip), ahead);
    while (clip_images_under_way(golden->clip)) {
        while (!clip_images_ready(golden->clip)) continue;
        EXPECT_OK(clip_images_finish(golden->clip, &err), &err);
    }
    mem_free(text);
}

static void compare(const char *device, enum dtype dtype, uint32_t ahead)
{
    const struct clip_options options = {
        .dtype = dtype, .vision = true, .text = true, .batch_max = 4, .hidden_state = -2};
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
    encode_in_steps(&golden, pixels, &got, ahead);
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
    for (uint32_t ahead = 1; ahead <= 2; ahead++) {
        if (device) {
            compare(device, DTYPE_BF16, ahead);
            continue;
        }
        compare("reference", DTYPE_F32, ahead);
        compare("cpu", DTYPE_F32, ahead);
        compare("cpu", DTYPE_I8, ahead);
    }
}

/* Cosines with some vectors, of pieces and of all pictures; then with others; then with none. */
TEST(clip, labels_are_compared_with_embeddings)
{
    UNUSED_STATE;
    static const uint32_t counts[] = {5, 1, 70};
    const struct clip_options options = {
        .dtype = DTYPE_F32, .vision = true, .batch_max = 4, .hidden_state = -1};
    const char *device = getenv("VLMQ_CLIP_DEVICE");
    struct golden golden;
    struct err err;
    golden_open(&golden, "both", device ? device : "cpu", 1, &options);
    const uint32_t columns = golden.shape.projection;
    uint8_t *pixels = golden_pictures(golden.shape.image_side, MANY);
    float *embedding = mem_new((size_t)MANY * columns * sizeof *embedding);
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        const uint32_t labels = counts[c];
        float *vector = mem_new((size_t)labels * columns * sizeof *vector);
        float *cosine = mem_new((size_t)MANY * labels * sizeof *cosine);
        float *alone = mem_new(labels * sizeof *alone);
        for (uint32_t i = 0; i < labels * columns; i++) vector[i] = (float)(i % 13) / 13 - 0.4f;
        EXPECT_OK(clip_labels(golden.clip, vector, labels, &err), &err);
        const struct clip_features both = {.embedding = embedding, .cosine = cosine};
        const struct clip_features last = {.cosine = alone};
        const size_t picture = (size_t)golden.shape.image_side * golden.shape.image_side * 3;
        EXPECT_OK(clip_encode_images(golden.clip, pixels, MANY, &both, &err), &err);
        EXPECT_OK(clip_encode_images(golden.clip, pixels + (MANY - 1) * picture, 1, &last, &err),
                  &err);
        EXPECT_MEM(alone, cosine + (size_t)(MANY - 1) * labels, labels * sizeof *alone);
        for (uint32_t i = 0; i < MANY * labels; i++) {
            double sum = 0;
            for (uint32_t k = 0; k < columns; k++)
                sum += (double)embedding[i / labels * columns + k] *
                       (double)vector[i % labels * columns + k];
            EXPECT(fabs(sum - (double)cosine[i]) < 1e-6);
        }
        mem_free(vector);
        mem_free(cosine);
        mem_free(alone);
    }
    EXPECT_OK(clip_labels(golden.clip, NULL, 0, &err), &err);
    mem_free(embedding);
    mem_free(pixels);
    golden_close(&golden);
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

/* One pass or two over what was put, so that pictures and results change places in all ways. */
TEST(clip, pictures_may_be_started_twice)
{
    UNUSED_STATE;
    const struct clip_options options = {
        .dtype = DTYPE_F32, .vision = true, .hidden_state = -1, .no_tokens = true};
    const char *device = getenv("VLMQ_CLIP_DEVICE");
    struct golden golden;
    struct err err;
    golden_open(&golden, "both", device ? device : "cpu", 1, &options);
    const size_t bytes = golden.shape.hidden * sizeof(float);
    uint8_t *pixels = golden_pictures(golden.shape.image_side, MANY);
    float *want = mem_new(MANY * bytes), *got[2] = {mem_new(bytes), mem_new(bytes)};
    const struct clip_features all = {.cls = want};
    EXPECT_OK(clip_encode_images(golden.clip, pixels, MANY, &all, &err), &err);
    for (uint32_t round = 0; round < 3 * MANY; round++) {
        const uint32_t starts = 1 + round % 3 % 2;
        put(&golden, pixels, round % MANY, 1);
        for (uint32_t i = 0; i < starts; i++) {
            const struct clip_features features = {.cls = got[i]};
            EXPECT_OK(clip_images_start(golden.clip, &features, &err), &err);
        }
        for (uint32_t i = 0; i < starts; i++) {
            EXPECT_OK(clip_images_finish(golden.clip, &err), &err);
            EXPECT_MEM(got[i], want + round % MANY * golden.shape.hidden, bytes);
        }
    }
    mem_free(got[0]);
    mem_free(got[1]);
    mem_free(want);
    mem_free(pixels);
    golden_close(&golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(clip, in_steps_gives_the_bits_of_one_call),
        RUN(clip, labels_are_compared_with_embeddings),
        RUN(clip, passes_may_ask_for_different_things),
        RUN(clip, pictures_may_be_started_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
