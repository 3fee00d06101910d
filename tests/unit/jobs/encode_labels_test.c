/* encode_labels_test.c - labels to vectors: means, the cache on disk, and what is wrong with it. */
#include "common/base/fs.h"
#include "common/base/str.h"
#include "tests/support/test.h"
#include "worker/jobs/encode/label_cache.h"
#include "worker/nn/load/safetensors.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define CONTEXT    32
#define PROJECTION 6

static const char json[] =
    "{\"animals\": {\"fox\": \"a red fox\", \"owl\": \"an owl on a branch\"},"
    " \"urban\": {\"bridge\": \"a long bridge over a river\"}}";

/* A text tower that everyone can compute: sines of the ids. Counts its texts. */
struct tower {
    uint32_t texts, largest;
    float broken; /* what it gives instead, if not 0 */
    bool fails;
};

static int encode(void *ctx, const uint32_t *ids, uint32_t count, float *embedding, struct err *err)
{
    struct tower *tower = ctx;
    if (tower->fails) return err_set(err, ERR_UNAVAILABLE, "the device is gone");
    tower->texts += count;
    if (count > tower->largest) tower->largest = count;
    for (uint32_t i = 0; i < count; i++) {
        double value[PROJECTION] = {0}, squares = 0;
        for (uint32_t t = 0; t < CONTEXT; t++)
            for (uint32_t k = 0; k < PROJECTION; k++)
                value[k] += sin((double)ids[i * CONTEXT + t] * (k + 1) + t);
        for (uint32_t k = 0; k < PROJECTION; k++) squares += value[k] * value[k];
        for (uint32_t k = 0; k < PROJECTION; k++)
            embedding[i * PROJECTION + k] =
                tower->broken != 0 ? tower->broken : (float)(value[k] / sqrt(squares));
    }
    return 0;
}

struct fixture {
    const char *dir;
    char folder[PATH_MAX];
    struct labels labels;
    struct tokenizer *tokenizer;
    struct tower tower;
    struct label_cache_options options;
};

static void fixture_init(struct fixture *fixture)
{
    struct err err;
    *fixture = (struct fixture){.dir = test_dir_new()};
    EXPECT(fs_join(fixture->folder, sizeof fixture->folder, fixture->dir, "models/labels"));
    EXPECT_OK(labels_parse(&fixture->labels, json, strlen(json), &err), &err);
    EXPECT_OK(tokenizer_open(&fixture->tokenizer, TESTS_DIR "/golden/clip_tokens", &err), &err);
    fixture->options = (struct label_cache_options){.folder = fixture->folder,
                                                    .model_hash = "12ab",
                                                    .arithmetic = "f32",
                                                    .tokenizer = fixture->tokenizer,
                                                    .context = CONTEXT,
                                                    .projection = PROJECTION,
                                                    .encode = encode,
                                                    .ctx = &fixture->tower};
}

static void fixture_deinit(struct fixture *fixture)
{
    labels_deinit(&fixture->labels);
    tokenizer_free(fixture->tokenizer);
    test_dir_remove(fixture->dir);
}

static struct label_vectors get(struct fixture *fixture)
{
    struct label_vectors vectors;
    struct err err;
    fixture->tower.texts = 0;
    fixture->tower.largest = 0;
    EXPECT_OK(label_vectors_get(&vectors, &fixture->labels, &fixture->options, &err), &err);
    EXPECT_EQ(vectors.count, fixture->labels.labels_count);
    return vectors;
}

static void use_two_templates(struct fixture *fixture)
{
    static const char *const two[] = {"a photo of {}.", "{} seen from far"};
    struct err err;
    EXPECT_OK(labels_use_templates(&fixture->labels, two, 2, &err), &err);
}

TEST(label_cache, a_vector_is_the_mean_of_its_prompts)
{
    UNUSED_STATE;
    struct fixture fixture;
    struct err err;
    fixture_init(&fixture);
    use_two_templates(&fixture);
    struct label_vectors vectors = get(&fixture);
    EXPECT(!vectors.cached);
    EXPECT_EQ(fixture.tower.texts, 6);
    for (uint32_t label = 0; label < 3; label++) {
        uint32_t ids[2 * CONTEXT], count;
        float each[2 * PROJECTION] = {0};
        double mean[PROJECTION], squares = 0;
        struct buf prompt;
        buf_init(&prompt, 0);
        for (uint32_t i = 0; i < 2; i++) {
            const struct tokenizer_options options = {
                .style = TOKENIZER_HF, .context = CONTEXT, .pad_id = TOKENIZER_PAD_DEFAULT};
            buf_clear(&prompt);
            labels_prompt(&prompt, &fixture.labels, label, i);
            EXPECT_OK(tokenizer_encode(fixture.tokenizer, ids + i * CONTEXT, &count, prompt.data,
                                       prompt.len, &options, &err),
                      &err);
        }
        EXPECT_OK(encode(&fixture.tower, ids, 2, each, &err), &err);
        for (uint32_t k = 0; k < PROJECTION; k++) {
            mean[k] = ((double)each[k] + (double)each[PROJECTION + k]) / 2;
            squares += mean[k] * mean[k];
        }
        for (uint32_t k = 0; k < PROJECTION; k++)
            EXPECT(fabs((double)vectors.vector[label * PROJECTION + k] - mean[k] / sqrt(squares)) <
                   1e-6);
        buf_deinit(&prompt);
    }
    label_vectors_deinit(&vectors);
    fixture_deinit(&fixture);
}

TEST(label_cache, the_batch_does_not_show)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture);
    use_two_templates(&fixture);
    fixture.options.folder = NULL;
    struct label_vectors whole = get(&fixture);
    EXPECT_EQ(fixture.tower.largest, 6);
    for (uint32_t batch = 1; batch <= 6; batch++) {
        fixture.options.batch = batch;
        struct label_vectors part = get(&fixture);
        EXPECT_EQ(fixture.tower.texts, 6);
        EXPECT_EQ(fixture.tower.largest, batch);
        EXPECT_MEM(part.vector, whole.vector, 3 * PROJECTION * sizeof(float));
        label_vectors_deinit(&part);
    }
    label_vectors_deinit(&whole);
    fixture_deinit(&fixture);
}

TEST(label_cache, labels_are_encoded_once)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture);
    struct label_vectors first = get(&fixture), again = get(&fixture);
    EXPECT(!first.cached && again.cached);
    EXPECT_EQ(fixture.tower.texts, 0);
    EXPECT_MEM(first.vector, again.vector, 3 * PROJECTION * sizeof(float));
    label_vectors_deinit(&again);
    /* Each thing that the vectors depend on. */
    fixture.options.model_hash = "12ac";
    for (int i = 0; i < 5; i++) {
        if (i == 1) fixture.options.arithmetic = "bf16";
        if (i == 2) fixture.options.style = TOKENIZER_OPENAI;
        if (i == 3) fixture.options.context = CONTEXT - 1;
        if (i == 4) use_two_templates(&fixture);
        again = get(&fixture);
        EXPECT(!again.cached);
        label_vectors_deinit(&again);
    }
    label_vectors_deinit(&first);
    fixture_deinit(&fixture);
}

struct only_file {
    char name[NAME_MAX];
    uint32_t count;
};

static int note_name(void *ctx, const char *name, struct err *err)
{
    struct only_file *file = ctx;
    (void)err;
    file->count++;
    (void)str_copy(file->name, sizeof file->name, name);
    return 0;
}

static void cache_path(const struct fixture *fixture, char path[PATH_MAX])
{
    struct only_file file = {0};
    struct err err;
    EXPECT_OK(fs_list(fixture->folder, note_name, &file, &err), &err);
    EXPECT_EQ(file.count, 1);
    EXPECT(fs_join(path, PATH_MAX, fixture->folder, file.name));
}

/* A file under the right name with this inside counts as missing, and is replaced. */
static void is_made_anew(struct fixture *fixture)
{
    struct label_vectors vectors = get(fixture);
    EXPECT(!vectors.cached);
    EXPECT_EQ(fixture->tower.texts, 3);
    label_vectors_deinit(&vectors);
    vectors = get(fixture);
    EXPECT(vectors.cached);
    label_vectors_deinit(&vectors);
}

static void save(const char *path, const char *key, const char *name, enum dtype dtype,
                 int64_t rows, float value)
{
    float number[4 * PROJECTION];
    const struct safetensors_pair pair[] = {{"key", key}};
    const int64_t shape[] = {rows, PROJECTION};
    struct safetensors_entry entry = {.name = name};
    struct err err;
    for (size_t i = 0; i < sizeof number / sizeof number[0]; i++) number[i] = value;
    EXPECT_OK(tensor_init(&entry.tensor, dtype, shape, 2, number, &err), &err);
    EXPECT_OK(safetensors_save(path, &entry, 1, pair, 1, NULL, NULL, &err), &err);
}

TEST(label_cache, a_broken_or_foreign_file_is_replaced)
{
    UNUSED_STATE;
    struct fixture fixture;
    char path[PATH_MAX], key[HASH_SHA256_TEXT];
    struct safetensors *file;
    struct buf whole;
    struct err err;
    fixture_init(&fixture);
    fixture.options.batch = 2;
    struct label_vectors vectors = get(&fixture);
    label_vectors_deinit(&vectors);
    cache_path(&fixture, path);
    EXPECT_OK(safetensors_open(&file, path, &err), &err);
    EXPECT(str_copy(key, sizeof key, safetensors_metadata(file, "key")));
    safetensors_close(file);
    buf_init(&whole, 0);
    EXPECT_OK(fs_read(&whole, path, 4096, &err), &err);
    const size_t cuts[] = {0, 4, 40, whole.len - 1};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        EXPECT_OK(fs_put(path, whole.data, cuts[i], &err), &err);
        is_made_anew(&fixture);
    }
    const float unit = (float)sqrt(1.0 / PROJECTION);
    save(path, key, "labels", DTYPE_F32, 3, unit);
    vectors = get(&fixture);
    EXPECT(vectors.cached); /* what the others differ from is taken */
    label_vectors_deinit(&vectors);
    save(path, "of another model", "labels", DTYPE_F32, 3, unit);
    is_made_anew(&fixture);
    save(path, key, "others", DTYPE_F32, 3, unit);
    is_made_anew(&fixture);
    save(path, key, "labels", DTYPE_I32, 3, unit);
    is_made_anew(&fixture);
    save(path, key, "labels", DTYPE_F32, 4, unit);
    is_made_anew(&fixture);
    save(path, key, "labels", DTYPE_F32, 3, 2 * unit);
    is_made_anew(&fixture);
    save(path, key, "labels", DTYPE_F32, 3, NAN);
    is_made_anew(&fixture);
    EXPECT_OK(fs_remove_tree(path, &err), &err);
    EXPECT_OK(fs_mkdirs(path, &err), &err); /* a folder in its place */
    vectors = get(&fixture);
    EXPECT(!vectors.cached);
    label_vectors_deinit(&vectors);
    buf_deinit(&whole);
    fixture_deinit(&fixture);
}

TEST(label_cache, a_disk_that_takes_nothing_costs_only_the_cache)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture);
    for (int64_t after = 0; after < 2; after++) {
        (void)fs_fail(after, 1, ENOSPC);
        struct label_vectors vectors = get(&fixture);
        (void)fs_fail(-1, 0, 0);
        EXPECT(!vectors.cached);
        label_vectors_deinit(&vectors);
    }
    fixture_deinit(&fixture);
}

TEST(label_cache, errors_name_the_label)
{
    UNUSED_STATE;
    struct fixture fixture;
    struct label_vectors vectors;
    struct err err;
    fixture_init(&fixture);
    fixture.options.context = 8;
    EXPECT_EQ(label_vectors_get(&vectors, &fixture.labels, &fixture.options, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "label \"fox\"; shorten its description or the template: "));
    EXPECT(vectors.vector == NULL);
    fixture.options.context = CONTEXT;
    fixture.tower.broken = NAN;
    EXPECT_EQ(label_vectors_get(&vectors, &fixture.labels, &fixture.options, &err), ERR_CORRUPT);
    EXPECT_TEXT(err.msg,
                "the model gives no direction for the label \"fox\": are its weights whole?");
    fixture.tower.broken = 1e-30f;
    EXPECT_EQ(label_vectors_get(&vectors, &fixture.labels, &fixture.options, &err), ERR_CORRUPT);
    fixture.tower.fails = true;
    EXPECT_EQ(label_vectors_get(&vectors, &fixture.labels, &fixture.options, &err),
              ERR_UNAVAILABLE);
    fixture.tower.fails = false;
    for (int64_t after = 0; after < 4; after++) {
        (void)mem_fail(after, 1);
        const int rc = label_vectors_get(&vectors, &fixture.labels, &fixture.options, &err);
        (void)mem_fail(-1, 0);
        EXPECT_EQ(rc, ERR_LIMIT);
    }
    EXPECT(!fs_exists(fixture.folder));
    fixture_deinit(&fixture);
}

TEST(label_cache, sets_and_templates_are_read)
{
    UNUSED_STATE;
    const char *dir = test_dir_new();
    char set[PATH_MAX], lines[PATH_MAX];
    struct labels labels;
    struct buf long_text;
    struct err err;
    EXPECT_OK(label_set_read(&labels, "default", NULL, &err), &err); /* of the source tree */
    EXPECT(labels.labels_count >= 1000);
    EXPECT_TEXT(labels.templates[0], LABELS_TEMPLATE_DEFAULT);
    labels_deinit(&labels);
    EXPECT(fs_join(set, sizeof set, dir, "set.json") && fs_join(lines, sizeof lines, dir, "t.txt"));
    EXPECT_OK(fs_put(set, json, strlen(json), &err), &err);
    EXPECT_OK(label_set_read(&labels, set, "a drawing of {}.", &err), &err);
    EXPECT_EQ(labels.templates_count, 1);
    EXPECT_TEXT(labels.templates[0], "a drawing of {}.");
    labels_deinit(&labels);
    static const char two[] = "a photo of {}.\r\n\r\n{}, from far\n";
    EXPECT_OK(fs_put(lines, two, strlen(two), &err), &err);
    EXPECT_OK(label_set_read(&labels, set, lines, &err), &err);
    EXPECT_EQ(labels.templates_count, 2);
    EXPECT_TEXT(labels.templates[1], "{}, from far");
    labels_deinit(&labels);
    EXPECT_EQ(label_set_read(&labels, set, set, &err), ERR_INVALID); /* no template in it */
    EXPECT_EQ(labels.labels_count, 0);
    EXPECT_OK(fs_put(lines, "\n\n", 2, &err), &err);
    EXPECT_EQ(label_set_read(&labels, set, lines, &err), ERR_INVALID);
    EXPECT_OK(fs_put(lines, "", 0, &err), &err);
    EXPECT_EQ(label_set_read(&labels, set, lines, &err), ERR_INVALID);
    EXPECT_OK(fs_put(lines, "{} a\0b\n", 7, &err), &err);
    EXPECT_EQ(label_set_read(&labels, set, lines, &err), ERR_INVALID);
    buf_init(&long_text, 0);
    for (int i = 0; i <= LABELS_TEMPLATES_MAX; i++) buf_printf(&long_text, "%d {}\n", i);
    EXPECT_OK(fs_put(lines, long_text.data, long_text.len, &err), &err);
    EXPECT_EQ(label_set_read(&labels, set, lines, &err), ERR_INVALID);
    while (long_text.len <= LABEL_TEMPLATES_BYTES_MAX) buf_text(&long_text, "a {}\n");
    EXPECT_OK(fs_put(lines, long_text.data, long_text.len, &err), &err);
    EXPECT_EQ(label_set_read(&labels, set, lines, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "larger than"));
    EXPECT_EQ(label_set_read(&labels, set, "nowhere.txt", &err), ERR_NOT_FOUND);
    EXPECT_EQ(label_set_read(&labels, "nowhere.json", NULL, &err), ERR_NOT_FOUND);
    buf_deinit(&long_text);
    test_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(label_cache, a_vector_is_the_mean_of_its_prompts),
        RUN(label_cache, the_batch_does_not_show),
        RUN(label_cache, labels_are_encoded_once),
        RUN(label_cache, a_broken_or_foreign_file_is_replaced),
        RUN(label_cache, a_disk_that_takes_nothing_costs_only_the_cache),
        RUN(label_cache, errors_name_the_label),
        RUN(label_cache, sets_and_templates_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
