/* clip_hostile_test.c - checkpoints that lack something, contradict themselves or hold no numbers,
 * and calls that ask for what a model does not have: each ends in one sentence. */
#include "common/base/buf.h"
#include "common/base/fs.h"
#include "common/base/str.h"
#include "tests/unit/nn/models/clip_support.h"

#include <limits.h>
#include <stdlib.h>

/* One change of a golden checkpoint, and a part of the sentence that must come. */
struct change {
    const char *tensor; /* which; NULL: none */
    enum { DROP, RESHAPE, RETYPE, POISON, POISON_LAST } what;
    const char *from, *to; /* in config.json; NULL: nothing */
    const char *want;
};

static void read_file(struct buf *out, const char *variant, const char *name)
{
    char path[PATH_MAX];
    struct err err;
    (void)snprintf(path, sizeof path, CLIP_GOLDEN "%s/%s", variant, name);
    EXPECT_OK(fs_read(out, path, 1 << 20, &err), &err);
}

/* Copies a text file of a variant into dir with one piece of it replaced. */
static void copy_text(const char *dir, const char *variant, const char *name, const char *from,
                      const char *to)
{
    struct buf text, made;
    char path[PATH_MAX];
    struct err err;
    buf_init(&text, 0);
    buf_init(&made, 0);
    read_file(&text, variant, name);
    const char *all = buf_str(&text);
    const char *at = from ? strstr(all, from) : NULL;
    EXPECT(!from || at);
    if (at) {
        buf_add(&made, all, (size_t)(at - all));
        buf_add(&made, to, strlen(to));
        all = at + strlen(from);
    }
    buf_add(&made, all, strlen(all));
    EXPECT(fs_join(path, sizeof path, dir, name));
    EXPECT_OK(fs_put(path, made.data, made.len, &err), &err);
    buf_deinit(&text);
    buf_deinit(&made);
}

/* The last number, or the first, becomes NaN: all bits of it. */
static void *poisoned(const struct tensor *tensor, bool last)
{
    const size_t bytes = tensor_bytes(tensor), width = dtype_bytes(tensor->dtype);
    char *copy = mem_new(bytes);
    memcpy(copy, tensor->data, bytes);
    memset(copy + (last ? bytes - width : 0), 0xff, width);
    return copy;
}

static void copy_tensors(const char *dir, const char *variant, const struct change *change)
{
    static struct safetensors_entry entries[256];
    struct safetensors *file = NULL;
    char path[PATH_MAX];
    struct err err;
    void *data = NULL;
    uint32_t count = 0;
    (void)snprintf(path, sizeof path, CLIP_GOLDEN "%s", variant);
    EXPECT_OK(safetensors_open(&file, path, &err), &err);
    EXPECT(safetensors_count(file) <= 256);
    for (uint32_t i = 0; i < safetensors_count(file); i++) {
        struct safetensors_entry *entry = &entries[count++];
        *entry = *safetensors_at(file, i);
        if (!change->tensor || !str_eq(entry->name, change->tensor)) continue;
        struct tensor *tensor = &entry->tensor;
        if (change->what == DROP) count--;
        if (change->what == RESHAPE)
            *tensor = tensor_reshaped(tensor, (int64_t[]){1, tensor_count(tensor)}, 2);
        if (change->what == RETYPE) tensor->dtype = DTYPE_I32;
        if (change->what == POISON || change->what == POISON_LAST)
            tensor->data = data = poisoned(tensor, change->what == POISON_LAST);
    }
    EXPECT(fs_join(path, sizeof path, dir, "model.safetensors"));
    EXPECT_OK(safetensors_save(path, entries, count, NULL, 0, NULL, NULL, &err), &err);
    safetensors_close(file);
    mem_free(data);
}

static void expect_refused(const char *dir, const struct clip_options *options, const char *want)
{
    struct backend *backend = NULL;
    struct clip *clip = NULL;
    struct err err = {.msg = ""};
    EXPECT_OK(backend_open(&backend, "reference", 1, &err), &err);
    const int rc = clip_load(&clip, backend, dir, options, &err);
    const bool right = want ? rc && strstr(err.msg, want) : !rc;
    if (!right) print_message("want %s\ngot  %s\n", want ? want : "no error", err.msg);
    EXPECT(right);
    EXPECT_EQ(rc == 0, clip != NULL);
    if (rc) EXPECT(strstr(err.msg, dir)); /* which model */
    clip_free(clip);
    backend_close(backend);
}

static void check_change(const char *variant, const struct change *change)
{
    const struct clip_options options = {
        .dtype = DTYPE_F32, .vision = true, .text = str_eq(variant, "both")};
    const char *dir = test_dir_new();
    copy_text(dir, variant, "config.json", change->from, change->to);
    copy_text(dir, variant, "preprocessor_config.json", NULL, NULL);
    copy_tensors(dir, variant, change);
    expect_refused(dir, &options, change->want);
    test_dir_remove(dir);
}

TEST(clip, refuses_tensors_that_are_missing_wrong_or_no_numbers)
{
    UNUSED_STATE;
    static const struct change changes[] = {
        {NULL, DROP, NULL, NULL, NULL}, /* the copy itself is read */
        {"vision_model.embeddings.position_ids", RETYPE, NULL, NULL, NULL}, /* is left alone */
        {"vision_model.encoder.layers.2.mlp.fc2.bias", DROP, NULL, NULL,
         "tensor vision_model.encoder.layers.2.mlp.fc2.bias is missing"},
        {"text_model.encoder.layers.1.self_attn.k_proj.weight", DROP, NULL, NULL,
         "tensor text_model.encoder.layers.1.self_attn.k_proj.weight is missing"},
        {"vision_model.pre_layrnorm.weight", DROP, NULL, NULL,
         "tensor vision_model.pre_layrnorm.weight is missing"},
        {"visual_projection.weight", DROP, NULL, NULL,
         "tensor visual_projection.weight is missing"},
        {"logit_scale", DROP, NULL, NULL, "tensor logit_scale is missing"},
        {"logit_scale", POISON, NULL, NULL, "tensor logit_scale is "},
        {"logit_scale", RETYPE, NULL, NULL, "tensor logit_scale is no real number"},
        {"vision_model.embeddings.patch_embedding.weight", RESHAPE, NULL, NULL,
         "tensor vision_model.embeddings.patch_embedding.weight has the shape [1, 9408]; "
         "config.json makes it [16, 3, 14, 14]"},
        {"vision_model.embeddings.class_embedding", RESHAPE, NULL, NULL,
         "tensor vision_model.embeddings.class_embedding has the shape [1, 16]; config.json makes "
         "it [16]"},
        {"vision_model.encoder.layers.0.self_attn.q_proj.weight", RETYPE, NULL, NULL,
         "tensor vision_model.encoder.layers.0.self_attn.q_proj.weight is of type I32; F32, BF16 "
         "and F16 are supported"},
        {"vision_model.encoder.layers.0.self_attn.v_proj.weight", POISON, NULL, NULL,
         "tensor vision_model.encoder.layers.0.self_attn.v_proj.weight has a number that is "
         "infinite or none"},
        {"text_model.embeddings.token_embedding.weight", POISON_LAST, NULL, NULL,
         "tensor text_model.embeddings.token_embedding.weight has a number that is infinite or "
         "none"},
        {"vision_model.embeddings.position_embedding.weight", POISON_LAST, NULL, NULL,
         "tensor vision_model.embeddings.position_embedding.weight has a number that is infinite "
         "or none"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        check_change("both", &changes[i]);
}

TEST(clip, refuses_half_width_numbers_that_are_none)
{
    UNUSED_STATE;
    static const struct change f16 = {
        "vision_model.encoder.layers.1.mlp.fc1.weight", POISON_LAST, NULL, NULL,
        "tensor vision_model.encoder.layers.1.mlp.fc1.weight has a number"};
    static const struct change bf16 = {"encoder.layers.1.mlp.fc1.bias", POISON_LAST, NULL, NULL,
                                       "tensor encoder.layers.1.mlp.fc1.bias has a number"};
    check_change("half", &f16);
    check_change("vision", &bf16);
}

TEST(clip, refuses_configurations_that_contradict_the_tensors)
{
    UNUSED_STATE;
    static const struct change changes[] = {
        {NULL, DROP, "\"image_size\": 44", "\"image_size\": 60",
         "tensor vision_model.embeddings.position_embedding.weight has the shape [10, 16]; "
         "config.json makes it [17, 16]"},
        {NULL, DROP, "\"vocab_size\": 544", "\"vocab_size\": 16777216",
         "tensor text_model.embeddings.token_embedding.weight has the shape [544, 16]; "
         "config.json makes it [16777216, 16]"},
        {NULL, DROP, "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 1024",
         "tensor vision_model.encoder.layers.3.layer_norm1.weight is missing"},
        {NULL, DROP, "\"num_attention_heads\": 2", "\"num_attention_heads\": 4",
         "config.json: text_config: hidden_size / num_attention_heads is 4; supported are "
         "multiples of 8 up to 256"},
        {NULL, DROP, "\"num_channels\": 3", "\"num_channels\": 4",
         "config.json: num_channels is 4; pictures have 3"},
        {NULL, DROP, "\"projection_dim\": 20", "\"projection_dim\": 65536",
         "tensor visual_projection.weight has the shape [20, 16]; config.json makes it [65536, "
         "16]"},
        {NULL, DROP, "\"model_type\": \"clip\"", "\"model_type\": \"siglip\"",
         "config.json: model_type is siglip"},
        {NULL, DROP, "\"hidden_act\": \"quick_gelu\"", "\"hidden_act\": \"relu\"",
         "config.json: text_config: hidden_act is \"relu\""},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        check_change("both", &changes[i]);
}

static void remove_and_expect(const char *name, const char *want)
{
    const struct clip_options options = {.dtype = DTYPE_F32, .vision = true};
    static const struct change none = {NULL, DROP, NULL, NULL, NULL};
    char path[PATH_MAX];
    const char *dir = test_dir_new();
    copy_text(dir, "both", "config.json", NULL, NULL);
    copy_text(dir, "both", "preprocessor_config.json", NULL, NULL);
    copy_tensors(dir, "both", &none);
    EXPECT(fs_join(path, sizeof path, dir, name));
    EXPECT_EQ(remove(path), 0);
    expect_refused(dir, &options, want);
    test_dir_remove(dir);
}

TEST(clip, names_the_file_that_is_missing)
{
    UNUSED_STATE;
    remove_and_expect("config.json", "config.json");
    remove_and_expect("preprocessor_config.json", "preprocessor_config.json");
    remove_and_expect("model.safetensors", "neither model.safetensors nor");
}

/* transformers 5 saves the image processor so beside a tokenizer. */
TEST(clip, reads_processor_config_where_there_is_no_other)
{
    UNUSED_STATE;
    const struct clip_options options = {.dtype = DTYPE_F32, .vision = true};
    static const struct change none = {NULL, DROP, NULL, NULL, NULL};
    static const char json[] = "{\"image_processor\": {\"image_processor_type\": "
                               "\"CLIPImageProcessor\", \"crop_size\": 44, \"size\": 50}}";
    char path[PATH_MAX];
    struct backend *backend = NULL;
    struct clip *clip = NULL;
    struct err err;
    const char *dir = test_dir_new();
    copy_text(dir, "both", "config.json", NULL, NULL);
    copy_tensors(dir, "both", &none);
    EXPECT(fs_join(path, sizeof path, dir, "processor_config.json"));
    EXPECT_OK(fs_put(path, json, sizeof json - 1, &err), &err);
    EXPECT_OK(backend_open(&backend, "reference", 1, &err), &err);
    EXPECT_OK(clip_load(&clip, backend, dir, &options, &err), &err);
    EXPECT_EQ(clip_preprocessor(clip)->shortest_edge, 50);
    clip_free(clip);
    backend_close(backend);
    test_dir_remove(dir);
}

static void expect_options(const char *variant, const struct clip_options *options,
                           const char *want)
{
    struct backend *backend = NULL;
    struct clip *clip = NULL;
    char path[PATH_MAX];
    struct err err = {.msg = ""};
    (void)snprintf(path, sizeof path, CLIP_GOLDEN "%s", variant);
    EXPECT_OK(backend_open(&backend, "reference", 1, &err), &err);
    EXPECT_EQ(clip_load(&clip, backend, path, options, &err), ERR_INVALID);
    if (!strstr(err.msg, want)) print_message("want %s\ngot  %s\n", want, err.msg);
    EXPECT(strstr(err.msg, want));
    EXPECT(clip == NULL);
    backend_close(backend);
}

TEST(clip, refuses_options_that_the_model_cannot_do)
{
    UNUSED_STATE;
    const struct clip_options base = {.dtype = DTYPE_F32, .vision = true};
    struct clip_options options = base;
    options.text = true;
    expect_options("vision", &options, "config.json: the model has no text tower");
    expect_options("text", &base, "config.json: the model has no vision tower");
    options = base;
    options.dtype = DTYPE_F64;
    expect_options("both", &options, "no model is computed in F64; give F32, BF16, F16 or I8");
    options = base;
    options.batch_max = CLIP_BATCH_MAX + 1;
    expect_options("both", &options, "a batch of 4097; at most 4096 are supported");
    for (int i = 0; i < 2; i++) {
        options = base;
        options.hidden_state = i ? 4 : -5;
        expect_options("both", &options,
                       "the model has 3 layers, so 0 to 3, or -1 to -4 from the "
                       "end");
    }
    static const uint32_t tokens[] = {2, 3, 16, 25, 4294967295u};
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        options = base;
        options.tokens = tokens[i];
        expect_options("both", &options, "tokens cannot be made of a grid of 3 x 3 by windows");
    }
    options.tokens = 16; /* windows of 6 / 4, rounded down, would make 36 */
    expect_options("vision", &options, "16 tokens cannot be made of a grid of 6 x 6 by windows");
}

TEST(clip, refuses_ids_of_another_vocabulary_and_texts_without_an_end)
{
    UNUSED_STATE;
    struct golden golden;
    struct err err;
    const struct clip_options options = {.dtype = DTYPE_F32, .text = true, .batch_max = 2};
    uint32_t ids[3][9] = {{38, 9, 7}, {38, 7}, {38, 9, 9, 9, 9, 9, 9, 9, 39}};
    float embedding[3 * 20];
    golden_open(&golden, "sharded", "reference", 1, &options);
    EXPECT_EQ(clip_encode_texts(golden.clip, ids[0], 3, embedding, &err), ERR_INVALID);
    EXPECT_TEXT(err.msg, "text 2 does not have the id of its end, 7: it may be another model's "
                         "tokenizer");
    ids[2][8] = 40;
    EXPECT_EQ(clip_encode_texts(golden.clip, ids[0], 3, embedding, &err), ERR_INVALID);
    EXPECT_TEXT(err.msg, "text 2 has the id 40; the model's vocabulary has 40: it may be another "
                         "model's tokenizer");
    ids[2][8] = 7;
    EXPECT_OK(clip_encode_texts(golden.clip, ids[0], 3, embedding, &err), &err);
    golden_close(&golden);
}

TEST(clip, without_a_projection_gives_no_embedding)
{
    UNUSED_STATE;
    struct golden golden;
    struct err err;
    float embedding[20];
    const struct clip_options options = {.dtype = DTYPE_F32, .vision = true};
    const struct clip_features features = {.embedding = embedding};
    golden_open(&golden, "vision", "reference", 1, &options);
    EXPECT_EQ(golden.shape.projection, 0);
    uint8_t *pixels = golden_pictures(golden.shape.image_side, 1);
    EXPECT_EQ(clip_encode_images(golden.clip, pixels, 1, &features, &err), ERR_INVALID);
    EXPECT_TEXT(err.msg, "the model has no visual_projection.weight, so it gives no embeddings of "
                         "pictures");
    mem_free(pixels);
    golden_close(&golden);
}

TEST(clip, loading_survives_every_failed_allocation)
{
    UNUSED_STATE;
    struct backend *backend = NULL;
    struct clip *clip = NULL;
    struct err err;
    const struct clip_options options = {.dtype = DTYPE_F32, .vision = true, .text = true};
    int rc = ERR_LIMIT, failures = 0;
    EXPECT_OK(backend_open(&backend, "reference", 1, &err), &err);
    for (int64_t after = 0; rc; after++) {
        (void)mem_fail(after, 1);
        rc = clip_load(&clip, backend, CLIP_GOLDEN "both", &options, &err);
        (void)mem_fail(-1, 0);
        if (!rc) break;
        EXPECT_EQ(rc, ERR_LIMIT);
        EXPECT(clip == NULL);
        failures++;
    }
    EXPECT(failures > 20); /* a matrix each, and more */
    clip_free(clip);
    backend_close(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(clip, refuses_tensors_that_are_missing_wrong_or_no_numbers),
        RUN(clip, refuses_half_width_numbers_that_are_none),
        RUN(clip, refuses_configurations_that_contradict_the_tensors),
        RUN(clip, names_the_file_that_is_missing),
        RUN(clip, reads_processor_config_where_there_is_no_other),
        RUN(clip, refuses_options_that_the_model_cannot_do),
        RUN(clip, refuses_ids_of_another_vocabulary_and_texts_without_an_end),
        RUN(clip, without_a_projection_gives_no_embedding),
        RUN(clip, loading_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
