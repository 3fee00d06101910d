/* clip_test.c - CLIP gives what transformers gives, for tiny random checkpoints of every form in
 * which they are published, on every backend; and a picture's or text's bits are its own. With
 * VLMQ_CLIP_DEVICE, on that device alone. */
#include "tests/unit/nn/models/clip_support.h"

static const char *devices[] = {"reference", "cpu"};
static size_t devices_count = 2;
static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16, DTYPE_I8};
/* Relative L2 against transformers in f32. The first two are what the project promises; f16 has
 * three bits more than bf16; of i8 the half of an embedding's directions would be 1. */
static const double bounds[] = {1e-5, 1e-2, 2e-3, 4e-2};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static size_t dtypes_count = COUNT(dtypes); /* the last, i8, is not for every device */

/* Says what it measured when VLMQ_CLIP_REPORT is set. */
static void check(const struct golden *golden, const char *variant, const char *what, size_t dtype,
                  const float *got, const float *want, size_t count)
{
    const double apart = relative_l2(got, want, count);
    if (getenv("VLMQ_CLIP_REPORT") || !(apart <= bounds[dtype]))
        print_message("%-9s %-8s %-4s %-16s %.2g\n", golden->backend->driver->name, variant,
                      dtype_name(dtypes[dtype]), what, apart);
    EXPECT(apart <= bounds[dtype]);
}

/* Every hidden state, by its number from the front and from the end. */
static void check_hidden(const char *variant, const char *device, size_t dtype, bool from_end)
{
    int64_t layers = 1;
    for (int64_t k = 0; k <= layers; k++) {
        struct golden golden;
        struct clip_options options = {.dtype = dtypes[dtype], .vision = true};
        options.hidden_state = (int32_t)(from_end ? -1 - k : k);
        golden_open(&golden, variant, device, 1, &options);
        const struct tensor *hidden = golden_tensor(&golden, "hidden");
        layers = hidden->shape[1] - 1;
        const size_t width = golden.shape.hidden, cells = golden.shape.tokens;
        const int64_t state = from_end ? layers - k : k;
        uint8_t *pixels = golden_pictures(golden.shape.image_side, 2);
        float *tokens = mem_new(2 * cells * width * sizeof *tokens);
        float *cls = mem_new(2 * width * sizeof *cls);
        const struct clip_features features = {.tokens = tokens, .cls = cls};
        struct err err;
        EXPECT_EQ(hidden->shape[2], cells + 1);
        EXPECT_EQ(hidden->shape[3], width);
        EXPECT_OK(clip_encode_images(golden.clip, pixels, 2, &features, &err), &err);
        const float *want = hidden->data;
        for (size_t i = 0; i < 2; i++) {
            const size_t picture = i * (size_t)(layers + 1);
            const float *of_state = want + (picture + (size_t)state) * (cells + 1) * width;
            const float *of_last = want + (picture + (size_t)layers) * (cells + 1) * width;
            check(&golden, variant, "patch tokens", dtype, tokens + i * cells * width,
                  of_state + width, cells * width);
            check(&golden, variant, "CLS", dtype, cls + i * width, of_last, width);
        }
        mem_free(cls);
        mem_free(tokens);
        mem_free(pixels);
        golden_close(&golden);
    }
}

static void check_pooled(const char *variant, const char *device, size_t dtype, uint32_t tokens)
{
    struct golden golden;
    char name[32];
    struct err err;
    const struct clip_options options = {
        .dtype = dtypes[dtype], .vision = true, .hidden_state = -1, .tokens = tokens};
    golden_open(&golden, variant, device, 2, &options);
    EXPECT_EQ(golden.shape.tokens, tokens);
    const size_t count = (size_t)CLIP_PICTURES * tokens * golden.shape.hidden;
    uint8_t *pixels = golden_pictures(golden.shape.image_side, CLIP_PICTURES);
    float *got = mem_new(count * sizeof *got);
    const struct clip_features features = {.tokens = got};
    EXPECT_OK(clip_encode_images(golden.clip, pixels, CLIP_PICTURES, &features, &err), &err);
    (void)snprintf(name, sizeof name, "pooled_%u", tokens);
    check(&golden, variant, name, dtype, got, golden_tensor(&golden, name)->data, count);
    mem_free(got);
    mem_free(pixels);
    golden_close(&golden);
}

static void check_image_embedding(const char *variant, const char *device, size_t dtype)
{
    struct golden golden;
    struct err err;
    const struct clip_options options = {.dtype = dtypes[dtype], .vision = true};
    golden_open(&golden, variant, device, 1, &options);
    const struct tensor *want = golden_tensor(&golden, "image_embedding");
    EXPECT_EQ(want->shape[0], CLIP_PICTURES);
    EXPECT_EQ(want->shape[1], golden.shape.projection);
    const size_t count = (size_t)tensor_count(want);
    uint8_t *pixels = golden_pictures(golden.shape.image_side, CLIP_PICTURES);
    float *got = mem_new(count * sizeof *got);
    const struct clip_features features = {.embedding = got};
    EXPECT_OK(clip_encode_images(golden.clip, pixels, CLIP_PICTURES, &features, &err), &err);
    check(&golden, variant, "image embedding", dtype, got, want->data, count);
    mem_free(got);
    mem_free(pixels);
    golden_close(&golden);
}

static void check_text_embedding(const char *variant, const char *device, size_t dtype)
{
    struct golden golden;
    struct err err;
    const struct clip_options options = {.dtype = dtypes[dtype], .text = true};
    golden_open(&golden, variant, device, 1, &options);
    const struct tensor *ids = golden_tensor(&golden, "ids");
    const struct tensor *want = golden_tensor(&golden, "text_embedding");
    EXPECT_EQ(ids->shape[1], golden.shape.text_tokens);
    EXPECT_EQ(want->shape[1], golden.shape.projection);
    const size_t count = (size_t)tensor_count(want);
    float *got = mem_new(count * sizeof *got);
    EXPECT_OK(clip_encode_texts(golden.clip, ids->data, (uint32_t)ids->shape[0], got, &err), &err);
    check(&golden, variant, "text embedding", dtype, got, want->data, count);
    mem_free(got);
    golden_close(&golden);
}

static void check_all(const char *device, size_t dtype)
{
    static const struct {
        const char *variant;
        uint32_t tokens[2];
    } pooled[] = {{"both", {9, 1}}, {"sharded", {4, 1}}, {"half", {4, 1}}, {"vision", {9, 4}}};
    static const char *const images[] = {"both", "sharded", "half", "long"};
    static const char *const texts[] = {"both", "sharded", "text", "long"};
    for (size_t i = 0; i < COUNT(pooled); i++) {
        check_hidden(pooled[i].variant, device, dtype, false);
        check_hidden(pooled[i].variant, device, dtype, true);
        for (size_t k = 0; k < 2; k++)
            check_pooled(pooled[i].variant, device, dtype, pooled[i].tokens[k]);
    }
    check_pooled("long", device, dtype, 9); /* no hidden states: it would be a large file */
    for (size_t i = 0; i < COUNT(images); i++) check_image_embedding(images[i], device, dtype);
    for (size_t i = 0; i < COUNT(texts); i++) check_text_embedding(texts[i], device, dtype);
}

TEST(clip, equals_transformers_in_f32)
{
    UNUSED_STATE;
    for (size_t i = 0; i < devices_count; i++) check_all(devices[i], 0);
}

TEST(clip, is_near_transformers_in_bf16)
{
    UNUSED_STATE;
    for (size_t i = 0; i < devices_count; i++) check_all(devices[i], 1);
}

TEST(clip, is_near_transformers_in_f16)
{
    UNUSED_STATE;
    for (size_t i = 0; i < devices_count; i++) check_all(devices[i], 2);
}

TEST(clip, is_near_transformers_in_i8)
{
    UNUSED_STATE;
    if (dtypes_count < COUNT(dtypes)) skip();
    for (size_t i = 0; i < devices_count; i++) check_all(devices[i], 3);
}

/* All that a pass gives, of so many pictures and texts. */
struct outputs {
    float *tokens, *cls, *embedding, *texts;
};

#define MANY 7

static void outputs_init(struct outputs *outputs, const struct clip_shape *shape)
{
    outputs->tokens = mem_new((size_t)MANY * shape->tokens * shape->hidden * sizeof(float));
    outputs->cls = mem_new((size_t)MANY * shape->hidden * sizeof(float));
    outputs->embedding = mem_new((size_t)MANY * shape->projection * sizeof(float));
    outputs->texts = mem_new((size_t)MANY * shape->projection * sizeof(float));
}

static void outputs_deinit(struct outputs *outputs)
{
    mem_free(outputs->tokens);
    mem_free(outputs->cls);
    mem_free(outputs->embedding);
    mem_free(outputs->texts);
}

static void encode(struct outputs *outputs, const struct golden *golden, const uint8_t *pixels,
                   const uint32_t *ids, uint32_t first, uint32_t count)
{
    const struct clip_shape *shape = &golden->shape;
    struct err err;
    const struct clip_features features = {
        .tokens = outputs->tokens + (size_t)first * shape->tokens * shape->hidden,
        .cls = outputs->cls + (size_t)first * shape->hidden,
        .embedding = outputs->embedding + (size_t)first * shape->projection};
    EXPECT_OK(clip_encode_images(golden->clip,
                                 pixels + (size_t)first * shape->image_side * shape->image_side * 3,
                                 count, &features, &err),
              &err);
    EXPECT_OK(clip_encode_texts(golden->clip, ids + (size_t)first * shape->text_tokens, count,
                                outputs->texts + (size_t)first * shape->projection, &err),
              &err);
}

/* Texts of 1 to all tokens, what is behind their ends made up. */
static uint32_t *make_texts(const struct clip *clip, const struct clip_shape *shape)
{
    const uint32_t words = (uint32_t)clip_config(clip)->text.vocab_size;
    const uint32_t end = (uint32_t)clip_config(clip)->text.eos_token_id;
    const bool largest = clip_config(clip)->text.pools_at_largest_id;
    uint32_t *ids = mem_new((size_t)MANY * shape->text_tokens * sizeof *ids);
    for (uint32_t i = 0; i < MANY; i++)
        for (uint32_t k = 0; k < shape->text_tokens; k++) {
            const uint32_t at = i * 5 % shape->text_tokens;
            uint32_t id = (i * 31 + k * k * 7 + k) % (words - 1);
            if (k == at) id = largest ? words - 1 : end;
            if (k < at && !largest && id == end) id = end + 1;
            ids[(size_t)i * shape->text_tokens + k] = id;
        }
    return ids;
}

/* One after the other, batch_max 1, one thread: what every other way must give. */
static void compare_ways(const char *device, enum dtype dtype)
{
    static const uint32_t ways[][3] = {{1, 1, 2}, {2, 3, 1}, {3, 3, 2}, {4, 7, 1}, {5, 7, 2},
                                       {6, 3, 1}, {7, 7, 2}, {8, 7, 1}, {0, 7, 2}};
    struct clip_options options = {.dtype = dtype, .vision = true, .text = true, .batch_max = 1};
    struct outputs want, got;
    struct golden golden;
    options.hidden_state = -2;
    options.tokens = 4;
    golden_open(&golden, "sharded", device, 1, &options);
    const struct clip_shape shape = golden.shape;
    uint8_t *pixels = golden_pictures(shape.image_side, MANY);
    uint32_t *ids = make_texts(golden.clip, &shape);
    outputs_init(&want, &shape);
    outputs_init(&got, &shape);
    for (uint32_t i = 0; i < MANY; i++) encode(&want, &golden, pixels, ids, i, 1);
    golden_close(&golden);
    for (size_t way = 0; way < COUNT(ways); way++) {
        const uint32_t batch = ways[way][1];
        options.batch_max = ways[way][0];
        golden_open(&golden, "sharded", device, ways[way][2], &options);
        for (uint32_t i = 0; i < MANY; i += batch)
            encode(&got, &golden, pixels, ids, i, MANY - i < batch ? MANY - i : batch);
        const size_t width = shape.projection * sizeof(float);
        EXPECT_MEM(got.tokens, want.tokens,
                   (size_t)MANY * shape.tokens * shape.hidden * sizeof(float));
        EXPECT_MEM(got.cls, want.cls, MANY * shape.hidden * sizeof(float));
        EXPECT_MEM(got.embedding, want.embedding, MANY * width);
        EXPECT_MEM(got.texts, want.texts, MANY * width);
        golden_close(&golden);
    }
    outputs_deinit(&want);
    outputs_deinit(&got);
    mem_free(ids);
    mem_free(pixels);
}

TEST(clip, bits_depend_on_no_batch_and_no_number_of_threads)
{
    UNUSED_STATE;
    for (size_t i = 0; i < devices_count; i++)
        for (size_t k = 0; k < dtypes_count; k++) compare_ways(devices[i], dtypes[k]);
}

/* The last layer works on CLS rows alone unless its patch tokens are wanted. */
TEST(clip, bits_depend_on_nothing_else_that_is_asked_for)
{
    UNUSED_STATE;
    for (size_t i = 0; i < devices_count * dtypes_count; i++) {
        struct golden golden;
        struct err err;
        const struct clip_options options = {
            .dtype = dtypes[i % dtypes_count], .vision = true, .text = true, .hidden_state = -1};
        struct outputs all, one;
        golden_open(&golden, "sharded", devices[i / dtypes_count], 1, &options);
        const struct clip_shape shape = golden.shape;
        uint8_t *pixels = golden_pictures(shape.image_side, MANY);
        uint32_t *ids = make_texts(golden.clip, &shape);
        outputs_init(&all, &shape);
        outputs_init(&one, &shape);
        encode(&all, &golden, pixels, ids, 0, MANY);
        const struct clip_features cls = {.cls = one.cls}, tokens = {.tokens = one.tokens},
                                   embedding = {.embedding = one.embedding};
        EXPECT_OK(clip_encode_images(golden.clip, pixels, MANY, &cls, &err), &err);
        EXPECT_OK(clip_encode_images(golden.clip, pixels, MANY, &tokens, &err), &err);
        EXPECT_OK(clip_encode_images(golden.clip, pixels, MANY, &embedding, &err), &err);
        EXPECT_MEM(one.cls, all.cls, MANY * shape.hidden * sizeof(float));
        EXPECT_MEM(one.tokens, all.tokens,
                   (size_t)MANY * shape.tokens * shape.hidden * sizeof(float));
        EXPECT_MEM(one.embedding, all.embedding, MANY * shape.projection * sizeof(float));
        outputs_deinit(&all);
        outputs_deinit(&one);
        mem_free(ids);
        mem_free(pixels);
        golden_close(&golden);
    }
}

TEST(clip, says_what_it_is)
{
    UNUSED_STATE;
    struct golden golden;
    const struct clip_options options = {.dtype = DTYPE_F32, .vision = true, .text = true};
    golden_open(&golden, "both", "reference", 1, &options);
    EXPECT_EQ(golden.shape.image_side, 44);
    EXPECT_EQ(golden.shape.tokens, 9);
    EXPECT_EQ(golden.shape.hidden, 16);
    EXPECT_EQ(golden.shape.projection, 20);
    EXPECT_EQ(golden.shape.text_tokens, 14);
    EXPECT_EQ(golden.shape.images_batch, 103); /* 1,024 rows at 10 a picture */
    EXPECT_EQ(golden.shape.texts_batch, 32);
    EXPECT(fabs((double)golden.shape.logit_scale - exp(3.5)) < 1e-5);
    EXPECT(golden.shape.weight_bytes > 100000);
    EXPECT(golden.shape.scratch_bytes > 100000);
    EXPECT_EQ(clip_config(golden.clip)->vision.patch_size, 14);
    EXPECT_EQ(clip_preprocessor(golden.clip)->crop_width, 44);
    golden_close(&golden);
}

int main(void)
{
    const char *device = getenv("VLMQ_CLIP_DEVICE");
    if (device) {
        devices[0] = device;
        devices_count = 1;
        if (!strncmp(device, "cuda", 4)) dtypes_count--;
    }
    const struct CMUnitTest tests[] = {
        RUN(clip, equals_transformers_in_f32),
        RUN(clip, is_near_transformers_in_bf16),
        RUN(clip, is_near_transformers_in_f16),
        RUN(clip, is_near_transformers_in_i8),
        RUN(clip, bits_depend_on_no_batch_and_no_number_of_threads),
        RUN(clip, bits_depend_on_nothing_else_that_is_asked_for),
        RUN(clip, says_what_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
