/* phash_test.c - bits equal ImageHash's (tests/golden/phash.txt). */
#include "worker/pipe/phash.h"

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "tests/support/test.h"
#include "worker/pipe/decode.h"

#include <stdio.h>
#include <string.h>

static void load(struct image *image, const char *name)
{
    char path[512];
    struct buf file;
    struct err err;
    struct decode_info info;
    const struct decode_options options = decode_options_default();
    (void)snprintf(path, sizeof path, "%s/../%s", TESTS_DIR, name);
    buf_init(&file, 0);
    EXPECT_OK(fs_read(&file, path, 8 << 20, &err), &err);
    EXPECT_EQ(decode(image, &info, (const uint8_t *)file.data, file.len, &options), DECODE_OK);
    buf_deinit(&file);
}

TEST(phash, equals_imagehash_in_every_golden_file)
{
    UNUSED_STATE;
    FILE *list = fopen(TESTS_DIR "/golden/phash.txt", "re");
    EXPECT(list != NULL);
    char line[256];
    int files = 0;
    while (fgets(line, sizeof line, list)) {
        char name[128], want[32], got[PHASH_TEXT_BYTES];
        struct image image = {0};
        struct err err;
        uint64_t hash;
        if (line[0] == '#') continue;
        EXPECT_EQ(sscanf(line, "%127s %31s", name, want), 2);
        load(&image, name);
        EXPECT_OK(phash(&hash, &image, &err), &err);
        phash_text(got, hash);
        if (strcmp(got, want) != 0) print_message("differs: %s\n", name);
        EXPECT_TEXT(got, want);
        image_deinit(&image);
        files++;
    }
    (void)fclose(list);
    EXPECT(files >= 60);
}

TEST(phash, of_a_flat_picture_is_its_mean_alone)
{
    UNUSED_STATE;
    for (int level = 0; level < 256; level++) {
        struct image image;
        struct err err;
        uint64_t hash;
        EXPECT(image_init(&image, 50, 3, 3));
        image_fill(&image, (uint8_t)level);
        EXPECT_OK(phash(&hash, &image, &err), &err);
        EXPECT_EQ(hash, level ? (uint64_t)1 << 63 : 0);
        image_deinit(&image);
    }
}

TEST(phash, fails_without_memory)
{
    UNUSED_STATE;
    struct image image = {0};
    load(&image, "deploy/sample/pictures/leaf.png");
    for (int64_t after = 0;; after++) {
        struct err err;
        uint64_t hash;
        (void)mem_fail(after, 1);
        const int rc = phash(&hash, &image, &err);
        if (mem_fail(-1, 0) <= after) {
            EXPECT_EQ(rc, 0);
            EXPECT(after > 0);
            break;
        }
        EXPECT_EQ(rc, ERR_LIMIT);
    }
    image_deinit(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(phash, equals_imagehash_in_every_golden_file),
        RUN(phash, of_a_flat_picture_is_its_mean_alone),
        RUN(phash, fails_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
