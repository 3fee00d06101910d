/* threads_test.c - several threads run the whole pipe at a time and get what one thread gets. */
#include "common/base/fs.h"
#include "common/base/hash.h"
#include "common/base/thread.h"
#include "tests/support/test.h"
#include "worker/pipe/decode.h"
#include "worker/pipe/encode.h"
#include "worker/pipe/fit.h"

#include <stdio.h>
#include <string.h>

#define THREADS 4

static const char *const names[] = {"420.jpg",          "progressive.jpg",    "cmyk.jpg",
                                    "exif_6.jpg",       "rgba.png",           "gray16.png",
                                    "lossy_alpha.webp", "rgb_interlaced.png", "inside_key.gif"};
enum { NAMES = sizeof names / sizeof names[0] };

struct run {
    struct thread thread;
    const struct buf *files;
    char digest[NAMES][HASH_SHA256_TEXT];
    bool failed;
};

static bool run_one(char digest[HASH_SHA256_TEXT], const struct buf *file)
{
    struct image image = {0}, fitted = {0};
    struct decode_info info;
    struct fit_plan plan;
    struct buf out;
    struct err err;
    const struct decode_options options = decode_options_default();
    buf_init(&out, 0);
    const bool good =
        decode(&image, &info, (const uint8_t *)file->data, file->len, &options) == DECODE_OK &&
        fit_plan(&plan, image.width, image.height, FIT_ADAPTIVE, 64, &err) == 0 &&
        fit_take(&fitted, &image, &plan, &err) == 0 && encode_jpeg(&out, &fitted, 95, &err) == 0;
    hash_sha256_text(digest, out.data, out.len);
    buf_deinit(&out);
    image_deinit(&image);
    image_deinit(&fitted);
    return good;
}

static void run_all(void *arg)
{
    struct run *run = arg;
    for (int round = 0; round < 5; round++)
        for (int i = 0; i < NAMES; i++)
            if (!run_one(run->digest[i], &run->files[i])) run->failed = true;
}

TEST(pipe, gives_the_same_in_any_thread)
{
    UNUSED_STATE;
    static struct run runs[THREADS + 1];
    struct buf files[NAMES];
    struct err err;
    for (int i = 0; i < NAMES; i++) {
        char path[512];
        buf_init(&files[i], 0);
        (void)snprintf(path, sizeof path, "%s/golden/images/%s", TESTS_DIR, names[i]);
        EXPECT_OK(fs_read(&files[i], path, 1 << 20, &err), &err);
    }
    for (int i = 0; i <= THREADS; i++) runs[i].files = files;
    run_all(&runs[THREADS]); /* here */
    for (int i = 0; i < THREADS; i++)
        EXPECT_OK(thread_start(&runs[i].thread, "pipe", run_all, &runs[i], &err), &err);
    for (int i = 0; i < THREADS; i++) thread_join(&runs[i].thread);
    for (int i = 0; i <= THREADS; i++) {
        EXPECT(!runs[i].failed);
        EXPECT_MEM(runs[i].digest, runs[THREADS].digest, sizeof runs[i].digest);
    }
    for (int i = 0; i < NAMES; i++) buf_deinit(&files[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {RUN(pipe, gives_the_same_in_any_thread)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
