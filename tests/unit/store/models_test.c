/* models_test.c - names of models, where they are found, and what they hash to. */
#include "common/store/models.h"

#include "common/base/fs.h"
#include "common/base/str.h"
#include "tests/support/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder of models of its own, named by the environment as for a user. */
static int open_models(void **state)
{
    const char *dir = test_dir_new();
    *state = (void *)(uintptr_t)dir;
    return setenv("VLMQ_MODELS", dir, 1);
}

static int close_models(void **state)
{
    test_dir_remove(*state);
    return unsetenv("VLMQ_MODELS");
}

#define MODELS                       \
    const char *dir = *state_unused; \
    char folder[PATH_MAX];           \
    struct err err = {.code = ERR_OK}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[PATH_MAX];
    struct err err;
    EXPECT(fs_join(path, sizeof path, folder, name));
    EXPECT_OK(fs_put(path, text, strlen(text), &err), &err);
}

static const char *make_model(const char *dir, const char *name)
{
    static char path[PATH_MAX];
    struct err err;
    EXPECT(fs_join(path, sizeof path, dir, name));
    EXPECT_OK(fs_mkdirs(path, &err), &err);
    write_file(path, "config.json", "{}");
    write_file(path, "model.safetensors", "weights");
    return path;
}

TEST(models, names_are_one_or_two_plain_parts)
{
    UNUSED_STATE;
    char part[128];
    static const char *const good[] = {"gpt2",        "openai/clip-vit-base-patch32",
                                       "a/b",         "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
                                       "a.b/c_d",     "x--y",
                                       "a/vlmq.json5"};
    static const char *const bad[] = {
        "",     "/",    "/a",         "a/",        "a//b",        "a/b/c", "..",    "a/..",
        "../a", ".a",   "a/.b",       "vlmq.json", "a/vlmq.json", "a..b",  "a b",   "a/-b",
        "-a",   "a\nb", "a/\xc3\xa9", "a\\b",      "a:b",         "~/a",   "a/b?c", "a%2e"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) EXPECT(model_name_valid(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) EXPECT(!model_name_valid(bad[i]));
    memset(part, 'a', sizeof part);
    part[96] = 0;
    EXPECT(model_name_valid(part));
    part[96] = 'a';
    part[97] = 0;
    EXPECT(!model_name_valid(part));
}

TEST(models, what_is_needed_is_known_by_its_name)
{
    UNUSED_STATE;
    uint32_t number = 0, count = 0;
    static const char *const needed[] = {"config.json",
                                         "vocab.json",
                                         "merges.txt",
                                         "model.safetensors",
                                         "model.safetensors.index.json",
                                         "model-00001-of-00002.safetensors"};
    static const char *const other[] = {"pytorch_model.bin",
                                        "tf_model.h5",
                                        "README.md",
                                        "vlmq.json",
                                        "sub/config.json",
                                        "../config.json",
                                        "/config.json",
                                        "model.safetensors.part",
                                        "onnx/model.safetensors",
                                        "model-00003-of-00002.safetensors",
                                        "model-00000-of-00002.safetensors",
                                        "model-1-of-2.safetensors",
                                        "model-00001-of-00002.safetensors/x",
                                        ""};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        EXPECT(model_file_is_needed(needed[i]));
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
        EXPECT(!model_file_is_needed(other[i]));
    EXPECT(model_file_is_shard("model-00012-of-00345.safetensors", &number, &count));
    EXPECT_EQ(number, 12);
    EXPECT_EQ(count, 345);
    EXPECT(!model_file_is_shard("model.safetensors", &number, &count));
}

TEST(models, found_by_name_and_by_path)
{
    MODELS;
    const char *path = make_model(dir, "openai/clip");
    EXPECT_OK(model_find(folder, "openai/clip", &err), &err);
    EXPECT_TEXT(folder, path);
    EXPECT_OK(model_find(folder, path, &err), &err);
    EXPECT_TEXT(folder, path);
    (void)make_model(dir, "tiny");
    EXPECT_OK(model_find(folder, "tiny", &err), &err);
}

TEST(models, missing_ones_say_what_to_do)
{
    MODELS;
    char part[PATH_MAX];
    EXPECT_EQ(model_find(folder, "openai/clip", &err), ERR_NOT_FOUND);
    EXPECT_TEXT(err.msg, "there is no model openai/clip here: `vlmq model pull openai/clip` "
                         "fetches it; or give a folder");
    EXPECT(fs_join(part, sizeof part, dir, "openai/.part-clip"));
    EXPECT_OK(fs_mkdirs(part, &err), &err);
    EXPECT_EQ(model_find(folder, "openai/clip", &err), ERR_NOT_FOUND);
    EXPECT(strstr(err.msg, "only partly here") != NULL);
    EXPECT_EQ(model_find(folder, "../clip", &err), ERR_NOT_FOUND); /* a path */
    EXPECT_EQ(model_find(folder, "a/../../clip", &err), ERR_INVALID);
    EXPECT_EQ(model_find(folder, "", &err), ERR_INVALID);
    EXPECT_EQ(model_find(folder, dir, &err), ERR_NOT_FOUND);
    EXPECT(strstr(err.msg, "no config.json") != NULL);
    EXPECT_EQ(setenv("VLMQ_MODELS", "", 1), 0);
    char *home = getenv("HOME") ? strdup(getenv("HOME")) : NULL;
    EXPECT_EQ(setenv("XDG_CACHE_HOME", "/c", 1), 0);
    EXPECT_OK(models_folder(folder, &err), &err);
    EXPECT_TEXT(folder, "/c/vlmq/models");
    EXPECT_EQ(unsetenv("XDG_CACHE_HOME"), 0);
    EXPECT_EQ(setenv("HOME", "/h", 1), 0);
    EXPECT_OK(models_folder(folder, &err), &err);
    EXPECT_TEXT(folder, "/h/.cache/vlmq/models");
    EXPECT_EQ(unsetenv("HOME"), 0);
    EXPECT_EQ(models_folder(folder, &err), ERR_INVALID);
    if (home) EXPECT_EQ(setenv("HOME", home, 1), 0);
    free(home);
}

static int note(void *ctx, const char *name, const char *folder, struct err *err)
{
    (void)folder, (void)err;
    buf_printf(ctx, "%s ", name);
    return 0;
}

TEST(models, all_are_listed_by_name)
{
    MODELS;
    struct buf names;
    buf_init(&names, 0);
    (void)make_model(dir, "openai/clip-b");
    (void)make_model(dir, "openai/clip-a");
    (void)make_model(dir, "openai/.part-clip-c");
    (void)make_model(dir, ".hashes");
    (void)make_model(dir, "tiny");
    write_file(dir, "file", "no folder");
    EXPECT_OK(models_each(dir, note, &names, &err), &err);
    EXPECT_TEXT(buf_str(&names), "openai/clip-a openai/clip-b tiny ");
    buf_clear(&names);
    EXPECT(fs_join(folder, sizeof folder, dir, "none"));
    EXPECT_OK(models_each(folder, note, &names, &err), &err);
    EXPECT_EQ(names.len, 0);
    buf_deinit(&names);
}

TEST(models, equal_models_hash_the_same_and_others_do_not)
{
    MODELS;
    char a[HASH_SHA256_TEXT], b[HASH_SHA256_TEXT], c[HASH_SHA256_TEXT];
    (void)make_model(dir, "a/m");
    const char *other = make_model(dir, "b/m");
    write_file(other, "README.md", "not needed");
    EXPECT_OK(model_find(folder, "a/m", &err), &err);
    EXPECT_OK(model_hash(a, folder, &err), &err);
    EXPECT_OK(model_hash(b, other, &err), &err);
    EXPECT_TEXT(a, b);
    write_file(other, "config.json", "{\"x\": 1}");
    EXPECT_OK(model_hash(c, other, &err), &err);
    EXPECT(strcmp(b, c) != 0);
    EXPECT(fs_join(folder, sizeof folder, dir, "b"));
    EXPECT_EQ(model_hash(c, folder, &err), ERR_NOT_FOUND);
}

/* Bytes that change behind an unchanged size and time show that they were not read again. */
static void change_in_secret(const char *folder, const char *name, const char *text)
{
    char path[PATH_MAX];
    struct stat before;
    EXPECT(fs_join(path, sizeof path, folder, name));
    EXPECT_EQ(stat(path, &before), 0);
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    EXPECT_EQ(write(fd, text, strlen(text)), strlen(text));
    const struct timespec times[2] = {before.st_atim, before.st_mtim};
    EXPECT_EQ(futimens(fd, times), 0);
    EXPECT_EQ(close(fd), 0);
}

TEST(models, a_hash_is_computed_once)
{
    MODELS;
    char a[HASH_SHA256_TEXT], b[HASH_SHA256_TEXT];
    (void)make_model(dir, "a/m");
    EXPECT_OK(model_find(folder, "a/m", &err), &err);
    EXPECT_OK(model_hash(a, folder, &err), &err);
    change_in_secret(folder, "model.safetensors", "WEIGHTS");
    EXPECT_OK(model_hash(b, folder, &err), &err);
    EXPECT_TEXT(a, b);
    write_file(folder, "model.safetensors", "WEIGHTS!"); /* in the open */
    EXPECT_OK(model_hash(b, folder, &err), &err);
    EXPECT(strcmp(a, b) != 0);
}

TEST(models, what_a_pull_has_written_is_believed_until_a_file_changes)
{
    MODELS;
    char a[HASH_SHA256_TEXT], b[HASH_SHA256_TEXT];
    struct arena arena;
    struct model_file file[2];
    struct model_info again;
    (void)make_model(dir, "a/m");
    arena_init(&arena, 0);
    EXPECT_OK(model_find(folder, "a/m", &err), &err);
    EXPECT_OK(model_file_look(&file[0], folder, "config.json", &err), &err);
    EXPECT_OK(model_file_look(&file[1], folder, "model.safetensors", &err), &err);
    for (int i = 0; i < 2; i++) hash_sha256_text(file[i].sha256, "as the hub says", 15);
    const struct model_info info = {.repository = "a/m \"quoted\"",
                                    .revision = "abc",
                                    .endpoint = "https://hub.test",
                                    .pulled_at_ms = 12,
                                    .file = file,
                                    .files_count = 2};
    EXPECT_OK(model_info_write(&info, folder, &err), &err);
    EXPECT_OK(model_info_read(&again, folder, &arena, &err), &err);
    EXPECT_TEXT(again.repository, info.repository);
    EXPECT_TEXT(again.revision, "abc");
    EXPECT_TEXT(again.endpoint, "https://hub.test");
    EXPECT_EQ(again.pulled_at_ms, 12);
    EXPECT_EQ(again.files_count, 2);
    EXPECT_TEXT(again.file[1].name, "model.safetensors");
    EXPECT_EQ(again.file[1].mtime_ns, file[1].mtime_ns);
    EXPECT_OK(model_hash(a, folder, &err), &err);
    write_file(folder, "config.json", "{\"x\": 1}");
    EXPECT_OK(model_hash(b, folder, &err), &err);
    EXPECT(strcmp(a, b) != 0);
    arena_deinit(&arena);
}

TEST(models, broken_records_are_refused_and_cost_only_time)
{
    MODELS;
    struct arena arena;
    struct model_info info;
    char a[HASH_SHA256_TEXT], b[HASH_SHA256_TEXT];
    static const char *const broken[] = {
        "",
        "[]",
        "{",
        "{}",
        "{\"version\": 2}",
        "{\"version\": 1, \"repository\": \"a\", \"revision\": \"b\", \"endpoint\": \"\", "
        "\"files\": [{\"name\": \"x\", \"bytes\": 1, \"mtime_ns\": 1, \"sha256\": \"abc\"}]}",
        "{\"version\": 1, \"repository\": \"a\", \"revision\": \"b\", \"endpoint\": \"\", "
        "\"files\": [{\"bytes\": 1}]}"};
    arena_init(&arena, 0);
    (void)make_model(dir, "a/m");
    EXPECT_OK(model_find(folder, "a/m", &err), &err);
    EXPECT_EQ(model_info_read(&info, folder, &arena, &err), ERR_NOT_FOUND);
    EXPECT_OK(model_hash(a, folder, &err), &err);
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        EXPECT_EQ(model_info_parse(&info, broken[i], strlen(broken[i]), &arena, &err), ERR_CORRUPT);
        write_file(folder, MODEL_INFO_NAME, broken[i]);
        EXPECT_OK(model_hash(b, folder, &err), &err);
        EXPECT_TEXT(a, b);
    }
    arena_deinit(&arena);
}

#define RUN_IN(claim) cmocka_unit_test_setup_teardown(models__##claim, open_models, close_models)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(models, names_are_one_or_two_plain_parts),
        RUN(models, what_is_needed_is_known_by_its_name),
        RUN_IN(found_by_name_and_by_path),
        RUN_IN(missing_ones_say_what_to_do),
        RUN_IN(all_are_listed_by_name),
        RUN_IN(equal_models_hash_the_same_and_others_do_not),
        RUN_IN(a_hash_is_computed_once),
        RUN_IN(what_a_pull_has_written_is_believed_until_a_file_changes),
        RUN_IN(broken_records_are_refused_and_cost_only_time),
    };
    return cmocka_run_group_tests_name("models", tests, NULL, NULL);
}
