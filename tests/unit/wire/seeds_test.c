/* seeds_test.c - the fuzzers start from every message: a new one needs a seed (make_seeds.py). */
#include "common/base/fs.h"
#include "proto/wire/codec.h"
#include "proto/wire/envelope.h"
#include "tests/support/test.h"

#include <string.h>

#define SEEDS    TESTS_DIR "/fuzz/seeds/envelope_fuzz"
#define TYPE_MAX 64

static int open_seed(void *ctx, const char *name, struct err *err)
{
    bool *seen = ctx;
    char path[512];
    struct envelope envelope;
    struct arena arena;
    struct buf frame;
    arena_init(&arena, 0);
    buf_init(&frame, 0);
    EXPECT(fs_join(path, sizeof path, SEEDS, name));
    int rc = fs_read(&frame, path, 1 << 20, err);
    if (!rc && !envelope_open(&envelope, frame.data, frame.len, &arena, err)) {
        EXPECT(envelope.type < TYPE_MAX);
        seen[envelope.type] = true;
    }
    buf_deinit(&frame);
    arena_deinit(&arena);
    return rc;
}

TEST(seeds, every_message_has_one_that_opens)
{
    UNUSED_STATE;
    bool seen[TYPE_MAX] = {false};
    struct err err;
    uint32_t missing = 0;
    EXPECT_OK(fs_list(SEEDS, open_seed, seen, &err), &err);
    for (int i = 0; i < TYPE_MAX; i++) {
        const struct codec_type *type = codec_type((Vlmq__Type)i);
        if (!type || seen[i]) continue;
        print_message("%s has no seed\n", type->name);
        missing++;
    }
    EXPECT_EQ(missing, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {RUN(seeds, every_message_has_one_that_opens)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
