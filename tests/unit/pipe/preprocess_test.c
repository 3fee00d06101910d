/* preprocess_test.c - pictures for CLIP are those of transformers and torchvision, byte for byte,
 * by the hashes that tests/golden/make_preprocess.py wrote; and what is refused. */
#include "worker/pipe/preprocess.h"

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <string.h>

#define LINE_BYTES 1024
#define SIDE_MAX   256

/* The formula of make_resize.py. */
static void fill(struct image *image)
{
    for (size_t i = 0; i < image->stride * image->height; i++) {
        uint32_t value = (uint32_t)(i * 2654435761u + 12345u);
        value ^= value >> 15;
        value *= 2246822519u;
        value ^= value >> 13;
        image->pixels[i] = (uint8_t)(value >> 8);
    }
}

static void check_pixels(const char *line, enum preprocess_crop crop)
{
    static uint8_t pixels[SIDE_MAX * SIDE_MAX * 3];
    uint32_t width, height, channels, side;
    char want[HASH_SHA256_TEXT], got[HASH_SHA256_TEXT];
    struct preprocessor_config config;
    struct preprocess preprocess;
    struct image image;
    struct err err;
    int json = 0;
    EXPECT_EQ(
        sscanf(line, "%*s %u %u %u %u %64s %n", &width, &height, &channels, &side, want, &json), 5);
    EXPECT(side <= SIDE_MAX);
    EXPECT_OK(preprocessor_config_parse(&config, line + json, strlen(line + json), &err), &err);
    EXPECT_OK(preprocess_init(&preprocess, &config, side, crop, &err), &err);
    EXPECT(image_init(&image, width, height, channels));
    fill(&image);
    memset(pixels, 77, sizeof pixels);
    EXPECT_OK(preprocess_image(pixels, &preprocess, &image, &err), &err);
    hash_sha256_text(got, pixels, (size_t)side * side * 3);
    if (strcmp(got, want) != 0) print_message("differs: %s", line);
    EXPECT_TEXT(got, want);
    image_deinit(&image);
}

static void check_table(const char *line)
{
    static float table[3][256];
    char want[HASH_SHA256_TEXT], got[HASH_SHA256_TEXT];
    struct preprocessor_config config;
    struct err err;
    int json = 0;
    EXPECT_EQ(sscanf(line, "%*s %64s %n", want, &json), 1);
    EXPECT_OK(preprocessor_config_parse(&config, line + json, strlen(line + json), &err), &err);
    preprocessor_table(table, &config);
    hash_sha256_text(got, table, sizeof table);
    if (strcmp(got, want) != 0) print_message("differs: %s", line);
    EXPECT_TEXT(got, want);
}

TEST(preprocess, equals_transformers_and_torchvision_in_every_golden_case)
{
    UNUSED_STATE;
    char line[LINE_BYTES];
    int hf = 0, openai = 0, tables = 0;
    FILE *file = fopen(TESTS_DIR "/golden/preprocess.txt", "re");
    EXPECT(file != NULL);
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "hf ", 3) == 0) {
            check_pixels(line, PREPROCESS_CROP_HF);
            hf++;
        } else if (strncmp(line, "openai ", 7) == 0) {
            check_pixels(line, PREPROCESS_CROP_OPENAI);
            openai++;
        } else if (strncmp(line, "table ", 6) == 0) {
            check_table(line);
            tables++;
        } else {
            EXPECT(line[0] == '#');
        }
    }
    (void)fclose(file);
    EXPECT(hf >= 100 && openai >= 60 && tables >= 6);
}

static void expect_refused(const char *json, uint32_t side, const char *want)
{
    struct preprocessor_config config;
    struct preprocess preprocess;
    struct err err = {.msg = ""};
    EXPECT_OK(preprocessor_config_parse(&config, json, strlen(json), &err), &err);
    EXPECT_EQ(preprocess_init(&preprocess, &config, side, PREPROCESS_CROP_HF, &err), ERR_INVALID);
    EXPECT_TEXT(err.msg, want);
}

TEST(preprocess, refuses_what_makes_no_pictures_for_the_model)
{
    UNUSED_STATE;
    expect_refused("{\"crop_size\": 224}", 336,
                   "preprocessor_config.json: crop_size is 224 x 224; the model takes pictures of "
                   "336 x 336");
    expect_refused("{\"crop_size\": {\"height\": 32, \"width\": 30}}", 32,
                   "preprocessor_config.json: crop_size is 32 x 30; the model takes pictures of "
                   "32 x 32");
    expect_refused(
        "{\"do_center_crop\": false, \"size\": 20}", 32,
        "preprocessor_config.json: size is 20 x 20; the model takes pictures of 32 x 32");
    expect_refused(
        "{\"do_center_crop\": false, \"size\": {\"height\": 32, \"width\": 31}}", 32,
        "preprocessor_config.json: size is 32 x 31; the model takes pictures of 32 x 32");
    expect_refused("{\"resample\": 5}", 224,
                   "preprocessor_config.json: resample is 5; nearest (0), lanczos (1), bilinear "
                   "(2), bicubic (3) and box (4) are supported");
}

static void init(struct preprocess *preprocess, const char *json, uint32_t side)
{
    struct preprocessor_config config;
    struct err err;
    EXPECT_OK(preprocessor_config_parse(&config, json, strlen(json), &err), &err);
    EXPECT_OK(preprocess_init(preprocess, &config, side, PREPROCESS_CROP_HF, &err), &err);
}

TEST(preprocess, refuses_a_picture_of_another_shape_where_nothing_is_cropped)
{
    UNUSED_STATE;
    uint8_t pixels[8 * 8 * 3];
    struct preprocess preprocess;
    struct image image;
    struct err err;
    init(&preprocess, "{\"do_center_crop\": false, \"size\": 8}", 8);
    EXPECT(image_init(&image, 20, 10, 3));
    EXPECT_EQ(preprocess_image(pixels, &preprocess, &image, &err), ERR_INVALID);
    EXPECT_TEXT(err.msg, "a picture of 16 x 8, where the model takes 8 x 8 and "
                         "preprocessor_config.json crops nothing");
    image_deinit(&image);
    EXPECT(image_init(&image, 11, 11, 3));
    EXPECT_OK(preprocess_image(pixels, &preprocess, &image, &err), &err);
    image_deinit(&image);
}

/* Resized whole, the first would have 65535 * 224 * 224 pixels. */
TEST(preprocess, takes_no_more_memory_for_a_picture_as_narrow_as_a_line)
{
    UNUSED_STATE;
    static uint8_t pixels[224 * 224 * 3];
    struct preprocess preprocess;
    struct image image;
    struct err err;
    init(&preprocess, "{}", 224);
    EXPECT(image_init(&image, 1, 65535, 3));
    memset(image.pixels, 9, image.stride * image.height);
    EXPECT_OK(preprocess_image(pixels, &preprocess, &image, &err), &err);
    for (size_t i = 0; i < sizeof pixels; i++) EXPECT_EQ(pixels[i], 9);
    image_deinit(&image);
    init(&preprocess, "{\"size\": 16384}", 224);
    EXPECT(image_init(&image, 1, 200000, 3));
    EXPECT_EQ(preprocess_image(pixels, &preprocess, &image, &err), ERR_INVALID);
    EXPECT_TEXT(err.msg, "a picture of 1 x 200000 is too narrow to be resized");
    image_deinit(&image);
}

TEST(preprocess, survives_every_failed_allocation)
{
    UNUSED_STATE;
    uint8_t pixels[16 * 16 * 3];
    struct preprocess preprocess;
    struct image image;
    struct err err;
    init(&preprocess, "{\"size\": 20, \"crop_size\": 16}", 16);
    EXPECT(image_init(&image, 50, 40, 3));
    int rc = ERR_LIMIT, failures = 0;
    for (int64_t after = 0; rc; after++) {
        (void)mem_fail(after, 1);
        rc = preprocess_image(pixels, &preprocess, &image, &err);
        (void)mem_fail(-1, 0);
        if (!rc) break;
        EXPECT_EQ(rc, ERR_LIMIT);
        failures++;
    }
    EXPECT(failures >= 4);
    image_deinit(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(preprocess, equals_transformers_and_torchvision_in_every_golden_case),
        RUN(preprocess, refuses_what_makes_no_pictures_for_the_model),
        RUN(preprocess, refuses_a_picture_of_another_shape_where_nothing_is_cropped),
        RUN(preprocess, takes_no_more_memory_for_a_picture_as_narrow_as_a_line),
        RUN(preprocess, survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
