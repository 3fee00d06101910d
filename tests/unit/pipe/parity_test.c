/* parity_test.c - whole pictures through decoding and fitting are Pillow's, byte for byte: the
 * files and hashes that tests/golden/make_parity.py made. */
#include "common/base/buf.h"
#include "common/base/fs.h"
#include "common/base/hash.h"
#include "tests/support/test.h"
#include "worker/pipe/decode.h"
#include "worker/pipe/fit.h"

#include <stdio.h>
#include <string.h>

/* A line of parity.txt. */
struct parity_case {
    size_t offset, bytes;
    char kind[32], how[8], want[HASH_SHA256_TEXT];
    enum fit_mode mode;
    enum resize_filter filter;
    uint32_t side, width, height;
};

static bool parse(struct parity_case *parsed, const char *line)
{
    char mode[24], filter[16];
    if (sscanf(line, "%zu %zu %31s %23s %15s %u %7s %u %u %64s", &parsed->offset, &parsed->bytes,
               parsed->kind, mode, filter, &parsed->side, parsed->how, &parsed->width,
               &parsed->height, parsed->want) != 10)
        return false;
    parsed->mode = FIT_ADAPTIVE;
    while (parsed->mode < FIT_MODES_COUNT && strcmp(mode, fit_mode_name(parsed->mode)) != 0)
        parsed->mode++;
    parsed->filter = RESIZE_BICUBIC;
    while (parsed->filter < RESIZE_FILTERS_COUNT &&
           strcmp(filter, resize_filter_name(parsed->filter)) != 0)
        parsed->filter++;
    return parsed->mode < FIT_MODES_COUNT && parsed->filter < RESIZE_FILTERS_COUNT;
}

static uint32_t reduction(const void *ctx, uint32_t width, uint32_t height)
{
    const struct parity_case *wanted = ctx;
    return fit_reduction(width, height, wanted->mode, wanted->side);
}

static void make(struct image *result, const struct parity_case *wanted, const uint8_t *data)
{
    struct image image = {0};
    struct decode_info info;
    struct fit_plan plan;
    struct err err;
    struct decode_options options = decode_options_default();
    const bool fast = !strcmp(wanted->how, "fast");
    if (fast) {
        options.reduction = reduction;
        options.reduction_ctx = wanted;
    }
    EXPECT_EQ(decode(&image, &info, data, wanted->bytes, &options), DECODE_OK);
    EXPECT(fast == (info.reduced > 1));
    const bool sideways = info.orientation > 4;
    const uint32_t width = sideways ? info.height : info.width;
    const uint32_t height = sideways ? info.width : info.height;
    const enum fit_mode mode = strcmp(wanted->how, "bigger") != 0
                                   ? wanted->mode
                                   : fit_mode_if_bigger(wanted->mode, width, height, wanted->side);
    EXPECT_OK(fit_plan(&plan, width, height, mode, wanted->side, &err), &err);
    plan.filter = wanted->filter;
    EXPECT_OK(fit_take(result, &image, &plan, &err), &err);
}

static bool is_same(const struct parity_case *wanted, const uint8_t *data)
{
    struct image result;
    char got[HASH_SHA256_TEXT];
    make(&result, wanted, data);
    hash_sha256_text(got, result.pixels, result.stride * result.height);
    const bool same = result.width == wanted->width && result.height == wanted->height &&
                      !strcmp(got, wanted->want);
    image_deinit(&result);
    return same;
}

TEST(pipe, makes_of_every_picture_what_pillow_makes_of_it)
{
    UNUSED_STATE;
    char line[256];
    struct buf files;
    struct err err;
    int cases = 0, same = 0, exact_bicubic = 0, fast = 0;
    buf_init(&files, 0);
    EXPECT_OK(fs_read(&files, TESTS_DIR "/golden/parity.bin", 16 << 20, &err), &err);
    FILE *list = fopen(TESTS_DIR "/golden/parity.txt", "re");
    EXPECT(list != NULL);
    while (fgets(line, sizeof line, list)) {
        struct parity_case wanted;
        if (line[0] == '#') continue;
        EXPECT(parse(&wanted, line));
        EXPECT(wanted.offset + wanted.bytes <= files.len);
        const bool is_same_now = is_same(&wanted, (const uint8_t *)files.data + wanted.offset);
        if (!is_same_now) print_message("differs: %s", line);
        cases++;
        same += is_same_now;
        fast += !strcmp(wanted.how, "fast");
        exact_bicubic += wanted.filter == RESIZE_BICUBIC && !strcmp(wanted.how, "exact") &&
                         strncmp(wanted.kind, "webp", 4) != 0;
    }
    (void)fclose(list);
    buf_deinit(&files);
    EXPECT_EQ(same, cases);
    EXPECT_EQ(exact_bicubic, 500); /* JPEG and PNG */
    EXPECT(cases > 1100 && fast >= 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(pipe, makes_of_every_picture_what_pillow_makes_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
