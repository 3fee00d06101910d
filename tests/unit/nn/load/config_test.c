/* config_test.c - configurations mean what transformers makes of them
 * (tests/golden/make_nn_config.py), and wrong ones are refused with the field's name. */
#include "worker/nn/load/config.h"

#include "common/base/buf.h"
#include "common/base/fs.h"
#include "tests/support/test.h"
#include "worker/nn/load/preprocessor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define GOLDEN TESTS_DIR "/golden/nn/config/"

static void describe_tower(struct buf *line, const struct clip_tower *tower)
{
    buf_printf(line, " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %s %.17g",
               tower->hidden_size, tower->intermediate_size, tower->layers_count,
               tower->heads_count, tower->projection_dim,
               tower->activation == CLIP_GELU ? "gelu" : "quick_gelu", tower->layer_norm_eps);
}

static void describe_model(struct buf *line, const char *path)
{
    struct clip_config config;
    struct err err;
    EXPECT_OK(clip_config_read(&config, path, &err), &err);
    if (config.has_vision) {
        describe_tower(line, &config.vision.tower);
        buf_printf(line, " %" PRId64 " %" PRId64 " %" PRId64, config.vision.channels_count,
                   config.vision.image_size, config.vision.patch_size);
    } else {
        buf_text(line, " -");
    }
    if (config.has_text) {
        describe_tower(line, &config.text.tower);
        buf_printf(line, " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64,
                   config.text.vocab_size, config.text.positions_max, config.text.bos_token_id,
                   config.text.eos_token_id, config.text.pad_token_id);
    } else {
        buf_text(line, " -");
    }
    buf_printf(line, " %.17g", config.logit_scale_init);
}

static void describe_processor(struct buf *line, const char *path)
{
    struct preprocessor_config config;
    struct err err;
    EXPECT_OK(preprocessor_config_read(&config, path, &err), &err);
    buf_printf(line, " %d %d %d %d %d", config.converts_rgb, config.resizes, config.crops,
               config.rescales, config.normalizes);
    if (config.shortest_edge)
        buf_printf(line, " %" PRId64, config.shortest_edge);
    else
        buf_printf(line, " %" PRId64 " %" PRId64, config.resize_height, config.resize_width);
    buf_printf(line, " %d %" PRId64 " %" PRId64 " %.17g", (int)config.filter, config.crop_height,
               config.crop_width, config.rescale_factor);
    for (int i = 0; i < 3; i++) buf_printf(line, " %.17g", config.mean[i]);
    for (int i = 0; i < 3; i++) buf_printf(line, " %.17g", config.std[i]);
}

TEST(config, files_mean_what_transformers_makes_of_them)
{
    UNUSED_STATE;
    FILE *expected = fopen(GOLDEN "expected.txt", "r");
    char want[512], path[512];
    uint32_t lines = 0;
    EXPECT(expected);
    while (fgets(want, sizeof want, expected)) {
        struct buf got;
        buf_init(&got, 0);
        want[strcspn(want, "\n")] = 0;
        const int name_bytes = (int)strcspn(want, " ");
        buf_printf(&got, "%.*s", name_bytes, want);
        (void)snprintf(path, sizeof path, GOLDEN "%.*s", name_bytes, want);
        if (strncmp(want, "clip", 4) == 0)
            describe_model(&got, path);
        else
            describe_processor(&got, path);
        EXPECT_TEXT(buf_str(&got), want);
        buf_deinit(&got);
        lines++;
    }
    (void)fclose(expected);
    EXPECT_EQ(lines, 12);
}

static int parse_model(struct clip_config *config, const char *json, struct err *err)
{
    return clip_config_parse(config, json, strlen(json), err);
}

TEST(config, the_wrong_end_of_text_pools_at_the_largest_id)
{
    UNUSED_STATE;
    struct clip_config config;
    struct err err;
    EXPECT_OK(parse_model(&config, "{\"model_type\":\"clip_text_model\",\"eos_token_id\":2}", &err),
              &err);
    EXPECT(config.text.pools_at_largest_id);
    EXPECT_OK(parse_model(&config, "{\"model_type\":\"clip_text_model\"}", &err), &err);
    EXPECT(!config.text.pools_at_largest_id);
    EXPECT(config.has_text && !config.has_vision);
}

TEST(config, sides_may_be_squares_and_numbers_may_have_a_point)
{
    UNUSED_STATE;
    struct clip_config config;
    struct err err;
    EXPECT_OK(parse_model(&config,
                          "{\"model_type\":\"clip_vision_model\",\"image_size\":[48,48],"
                          "\"patch_size\":8.0,\"hidden_size\":null}",
                          &err),
              &err);
    EXPECT_EQ(config.vision.image_size, 48);
    EXPECT_EQ(config.vision.patch_size, 8);
    EXPECT_EQ(config.vision.tower.hidden_size, 768);
    EXPECT_OK(parse_model(&config,
                          "{\"model_type\":\"clip_text_model\",\"hidden_size\":65536,"
                          "\"num_attention_heads\":65536,\"layer_norm_eps\":0}",
                          &err),
              &err);
    EXPECT_EQ(config.text.tower.hidden_size, 65536);
}

struct refusal {
    const char *json, *want;
};

#define VISION(fields) "{\"model_type\":\"clip_vision_model\"," fields "}"
#define TEXT(fields)   "{\"model_type\":\"clip_text_model\"," fields "}"

TEST(config, wrong_models_are_refused_with_the_field)
{
    UNUSED_STATE;
    static const struct refusal cases[] = {
        {"{}", "model_type is missing; it must be clip, clip_vision_model or clip_text_model"},
        {"{\"model_type\":\"siglip\"}", "model_type is siglip; it must be"},
        {"{\"model_type\":7}", "model_type is 7; it must be a text"},
        {"[]", "the JSON is no object"},
        {"{\"model_type\":\"clip\"", "the JSON cannot be read"},
        {"{\"model_type\":\"clip\",\"vision_config\":[]}", "vision_config is []; it must be an o"},
        {"{\"model_type\":\"clip\",\"text_config_dict\":7}", "text_config_dict is 7; it must be"},
        {"{\"model_type\":\"clip\",\"projection_dim\":0}", "projection_dim is 0; it must be a who"},
        {"{\"model_type\":\"clip\",\"logit_scale_init_value\":1e9}", "logit_scale_init_value is"},
        {"{\"model_type\":\"clip\",\"vision_config\":{\"hidden_size\":-4}}",
         "vision_config: hidden_size is -4; it must be a whole number from 1 to 65536"},
        {"{\"model_type\":\"clip\",\"text_config_dict\":{\"vocab_size\":\"x\"}}",
         "text_config_dict: vocab_size is \"x\"; it must be a whole number from 1 to 16777216"},
        {VISION("\"hidden_size\":7.5"), "hidden_size is 7.5; it must be a whole number"},
        {VISION("\"hidden_size\":1e300"), "; it must be a whole number"},
        {VISION("\"hidden_size\":65537"), "hidden_size is 65537; it must be"},
        {VISION("\"hidden_size\":true"), "hidden_size is true; it must be"},
        {VISION("\"hidden_size\":100"), "hidden_size is 100; it must be a multiple of num_atten"},
        {VISION("\"num_attention_heads\":0"), "num_attention_heads is 0"},
        {VISION("\"num_hidden_layers\":1025"), "num_hidden_layers is 1025"},
        {VISION("\"layer_norm_eps\":-1"), "layer_norm_eps is -1; it must be a number from 0 to 1"},
        {VISION("\"layer_norm_eps\":\"1e-5\""), "layer_norm_eps is \"1e-5\""},
        {VISION("\"hidden_act\":\"relu\""),
         "hidden_act is \"relu\"; it must be quick_gelu or gelu"},
        {VISION("\"hidden_act\":[1]"), "hidden_act is [1]; it must be a text"},
        {VISION("\"image_size\":[224,225]"),
         "image_size is [224,225]; it must be a number or a sq"},
        {VISION("\"image_size\":[224]"), "image_size is [224]"},
        {VISION("\"image_size\":16"), "patch_size is 32; it must be at most image_size, 16"},
        {TEXT("\"eos_token_id\":[49407]"), "eos_token_id is [49407]"},
        {TEXT("\"eos_token_id\":null"), "eos_token_id is null"},
        {TEXT("\"eos_token_id\":-1"), "eos_token_id is -1"},
        {TEXT("\"max_position_embeddings\":0"), "max_position_embeddings is 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct clip_config config;
        struct err err = {.msg = ""};
        const int rc = parse_model(&config, cases[i].json, &err);
        const bool right = rc && strstr(err.msg, cases[i].want);
        if (!right) print_message("want %s\ngot  %s\n", cases[i].want, err.msg);
        EXPECT(right);
    }
}

TEST(config, wrong_preprocessors_are_refused_with_the_field)
{
    UNUSED_STATE;
    static const struct refusal cases[] = {
        {"7", "the JSON is no object"},
        {"{\"image_processor_type\":\"ViTImageProcessor\"}",
         "only CLIPImageProcessor is supported"},
        {"{\"feature_extractor_type\":\"ViTFeatureExtractor\"}", "only CLIPImageProcessor"},
        {"{\"image_processor\":7}", "image_processor is 7; it must be an object"},
        {"{\"size\":0}", "size is 0; it must be a whole number from 1 to 16384"},
        {"{\"size\":\"big\"}", "size is \"big\""},
        {"{\"size\":{}}", "size is {}; it must be a number or an object with height and width"},
        {"{\"size\":{\"height\":4}}", "size is {\"height\":4}; it must be"},
        {"{\"size\":{\"height\":4,\"width\":0}}", "size: width is 0"},
        {"{\"size\":{\"shortest_edge\":-1}}", "size: shortest_edge is -1"},
        {"{\"size\":{\"shortest_edge\":4,\"longest_edge\":9}}", "longest_edge"},
        {"{\"crop_size\":{\"shortest_edge\":4}}", "crop_size is {\"shortest_edge\":4}"},
        {"{\"crop_size\":{\"height\":4,\"width\":99999}}", "crop_size: width is 99999"},
        {"{\"crop_size\":1.5}", "crop_size is 1.5"},
        {"{\"resample\":6}", "resample is 6; it must be a whole number from 0 to 5"},
        {"{\"do_resize\":1}", "do_resize is 1; it must be true or false"},
        {"{\"do_convert_rgb\":\"yes\"}", "do_convert_rgb is \"yes\""},
        {"{\"rescale_factor\":0}", "rescale_factor is 0"},
        {"{\"image_mean\":[1,2]}", "image_mean is [1,2]; it must be three numbers"},
        {"{\"image_mean\":[1,2,3,4]}", "image_mean is [1,2,3,4]"},
        {"{\"image_mean\":[1,2,\"3\"]}", "image_mean is [1,2,\"3\"]"},
        {"{\"image_std\":[1,0,1]}", "image_std is [1,0,1]; it must be three numbers from 1e-06"},
        {"{\"image_std\":{}}", "image_std is {}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct preprocessor_config config;
        struct err err = {.msg = ""};
        const int rc =
            preprocessor_config_parse(&config, cases[i].json, strlen(cases[i].json), &err);
        const bool right = rc && strstr(err.msg, cases[i].want);
        if (!right) print_message("want %s\ngot  %s\n", cases[i].want, err.msg);
        EXPECT(right);
    }
}

TEST(config, one_number_stands_for_all_channels)
{
    UNUSED_STATE;
    static const char json[] = "{\"image_mean\":0.25,\"image_std\":2,\"crop_size\":null}";
    struct preprocessor_config config;
    struct err err;
    EXPECT_OK(preprocessor_config_parse(&config, json, sizeof json - 1, &err), &err);
    for (int i = 0; i < 3; i++) EXPECT(config.mean[i] == 0.25 && config.std[i] == 2);
    EXPECT_EQ(config.crop_width, 224);
}

TEST(config, errors_of_files_begin_with_the_path)
{
    UNUSED_STATE;
    const char *dir = test_dir_new();
    char path[300];
    struct clip_config model;
    struct preprocessor_config processor;
    struct err err;
    (void)snprintf(path, sizeof path, "%s/config.json", dir);
    EXPECT_EQ(clip_config_read(&model, path, &err), ERR_NOT_FOUND);
    EXPECT(strstr(err.msg, path));
    EXPECT_OK(fs_put(path, "{\"size\":0}", 10, &err), &err);
    EXPECT_EQ(clip_config_read(&model, path, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, path) == err.msg);
    EXPECT_EQ(preprocessor_config_read(&processor, path, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, path) == err.msg);
    EXPECT_OK(fs_put(path, "{\"size\":", 8, &err), &err);
    EXPECT_EQ(preprocessor_config_read(&processor, path, &err), ERR_CORRUPT);
    EXPECT(strstr(err.msg, path) == err.msg);
    test_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(config, files_mean_what_transformers_makes_of_them),
        RUN(config, the_wrong_end_of_text_pools_at_the_largest_id),
        RUN(config, sides_may_be_squares_and_numbers_may_have_a_point),
        RUN(config, wrong_models_are_refused_with_the_field),
        RUN(config, wrong_preprocessors_are_refused_with_the_field),
        RUN(config, one_number_stands_for_all_channels),
        RUN(config, errors_of_files_begin_with_the_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
