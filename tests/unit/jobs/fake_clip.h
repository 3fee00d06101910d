/* fake_clip.h - a CLIP that everyone can compute, in place of nn/models/clip: it tells how it was
 * called, can be slow and can fail. Included by one file of a test program; its functions are then
 * the ones that the encode kind is linked with.
 *
 * Of a picture: token t is [mean red, mean green, mean blue, t] of the picture's quarter t, cls
 * [red, green, blue, 1] of the first pixel, embedding the means of the whole, of length 1. Of a
 * text: its first ids, of length 1. */
#ifndef TESTS_UNIT_JOBS_FAKE_CLIP_H
#define TESTS_UNIT_JOBS_FAKE_CLIP_H

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "tests/support/test.h"
#include "worker/nn/models/clip/clip.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

#define FAKE_SIDE    8u
#define FAKE_TOKENS  4u
#define FAKE_HIDDEN  4u
#define FAKE_PROJECT 4u
#define FAKE_CONTEXT 16u

struct fake_pass {
    uint8_t *pixels;
    uint32_t count;
    struct clip_features features;
};

struct clip {
    struct backend *backend;
    struct clip_config config;
    struct clip_options options;
    struct preprocessor_config preprocessor;
    /* Of passes in steps. */
    uint8_t *put; /* NULL: a pass has it */
    uint32_t put_count;
    struct fake_pass pass[2];
    uint32_t under_way;
    float *label; /* [labels, FAKE_PROJECT] */
    uint32_t labels;
};

static struct {
    uint32_t loads, pictures, texts, largest, images_batch;
    uint32_t under_way_most; /* passes at a time */
    uint32_t first;          /* pictures of the first pass in steps; 0: there was none yet */
    bool is_slow;            /* a pass has not ended before it is finished */
    int64_t picture_ms;      /* that one takes */
    uint32_t fails_at;       /* the picture, counted from 1; 0: none */
    bool device_fails;       /* with it */
    float cls;               /* the last number of it; 0: 1 */
    bool changes;            /* a model's files while they are read */
    bool no_projection;      /* models of this kind give no embeddings */
    uint32_t no_room;        /* so many loads find too little memory */
} fake;

int clip_load(struct clip **clip, struct backend *backend, const char *folder,
              const struct clip_options *options, struct err *err)
{
    char path[PATH_MAX];
    fake.loads++;
    if (!fs_join(path, sizeof path, folder, "model.safetensors") || !fs_exists(path))
        return err_set(err, ERR_CORRUPT, "%s: cut short", path);
    if (fake.no_room) {
        fake.no_room--;
        return err_set(err, ERR_LIMIT, "no memory for weights");
    }
    struct clip *made = mem_new(sizeof *made);
    made->backend = backend;
    made->options = *options;
    EXPECT(fs_join(path, sizeof path, folder, "config.json"));
    int rc = clip_config_read(&made->config, path, err);
    EXPECT(fs_join(path, sizeof path, folder, "preprocessor_config.json"));
    if (!rc) rc = preprocessor_config_read(&made->preprocessor, path, err);
    if (rc) {
        clip_free(made);
        return rc;
    }
    if (fake.changes) EXPECT_OK(fs_put(path, "{}", 2, err), err);
    *clip = made;
    return 0;
}

void clip_free(struct clip *clip)
{
    if (!clip) return;
    for (uint32_t i = 0; i < clip->under_way; i++) mem_free(clip->pass[i].pixels);
    mem_free(clip->put);
    mem_free(clip->label);
    mem_free(clip);
}

const struct clip_config *clip_config(const struct clip *clip)
{
    return &clip->config;
}

const struct preprocessor_config *clip_preprocessor(const struct clip *clip)
{
    return &clip->preprocessor;
}

struct clip_shape clip_shape(const struct clip *clip)
{
    (void)clip;
    return (struct clip_shape){.image_side = FAKE_SIDE,
                               .tokens = FAKE_TOKENS,
                               .hidden = FAKE_HIDDEN,
                               .projection = fake.no_projection ? 0 : FAKE_PROJECT,
                               .text_tokens = FAKE_CONTEXT,
                               .logit_scale = 100,
                               .images_batch = fake.images_batch,
                               .weight_bytes = 1000,
                               .scratch_bytes = 10};
}

static void fake_unit(float *vector)
{
    double squares = 0;
    for (uint32_t i = 0; i < FAKE_PROJECT; i++) squares += (double)vector[i] * (double)vector[i];
    for (uint32_t i = 0; i < FAKE_PROJECT; i++)
        vector[i] = squares > 0 ? (float)((double)vector[i] / sqrt(squares)) : 0;
}

static void fake_mean(float *vector, const uint8_t *pixels, uint32_t x, uint32_t y, uint32_t side)
{
    for (uint32_t c = 0; c < 3; c++) {
        uint32_t sum = 0;
        for (uint32_t i = 0; i < side * side; i++)
            sum += pixels[((y + i / side) * FAKE_SIDE + x + i % side) * 3 + c];
        vector[c] = (float)sum / (float)(side * side * 255);
    }
}

static void fake_cosines(const struct clip *clip, float *cosine, const float *embedding)
{
    for (uint32_t i = 0; i < clip->labels; i++) {
        cosine[i] = 0;
        for (uint32_t k = 0; k < FAKE_PROJECT; k++)
            cosine[i] += embedding[k] * clip->label[i * FAKE_PROJECT + k];
    }
}

static int fake_encode(struct clip *clip, const uint8_t *pixels, uint32_t count,
                       const struct clip_features *features, struct err *err)
{
    if (count > fake.largest) fake.largest = count;
    for (uint32_t i = 0; i < count; i++, pixels += FAKE_SIDE * FAKE_SIDE * 3) {
        if (++fake.pictures == fake.fails_at) {
            if (fake.device_fails) clip->backend->err.code = ERR_UNAVAILABLE;
            return err_set(err, ERR_UNAVAILABLE, "the device is gone");
        }
        for (uint32_t t = 0; t < FAKE_TOKENS && features->tokens; t++) {
            float *token = features->tokens + (i * FAKE_TOKENS + t) * FAKE_HIDDEN;
            fake_mean(token, pixels, t % 2 * 4, t / 2 * 4, FAKE_SIDE / 2);
            token[3] = (float)t;
        }
        if (features->cls) {
            float *cls = features->cls + (size_t)i * FAKE_HIDDEN;
            fake_mean(cls, pixels, 0, 0, 1);
            cls[3] = fake.cls != 0 ? fake.cls : 1;
        }
        if (features->embedding) {
            float *embedding = features->embedding + (size_t)i * FAKE_PROJECT;
            fake_mean(embedding, pixels, 0, 0, FAKE_SIDE);
            embedding[3] = 0.25F;
            fake_unit(embedding);
            if (features->cosine)
                fake_cosines(clip, features->cosine + (size_t)i * clip->labels, embedding);
        }
        const struct timespec pause = {fake.picture_ms / 1000, fake.picture_ms % 1000 * 1000000};
        if (fake.picture_ms) (void)nanosleep(&pause, NULL);
    }
    return 0;
}

struct fake_call {
    struct clip *clip;
    const struct fake_pass *pass;
    struct err *err;
    int rc;
};

static void fake_ops(void *context)
{
    struct fake_call *call = context;
    call->rc = fake_encode(call->clip, call->pass->pixels, call->pass->count, &call->pass->features,
                           call->err);
}

static int fake_run(struct clip *clip, const struct fake_pass *pass, struct err *err)
{
    struct fake_call call = {clip, pass, err, ERR_UNAVAILABLE};
    (void)backend_pass(clip->backend, NULL, (uint32_t[BACKEND_PASS_SHAPE]){0}, fake_ops, &call);
    return call.rc;
}

int clip_encode_images(struct clip *clip, const uint8_t *pixels, uint32_t count,
                       const struct clip_features *features, struct err *err)
{
    const size_t bytes = (size_t)count * FAKE_SIDE * FAKE_SIDE * 3;
    const struct fake_pass pass = {mem_new(bytes ? bytes : 1), count, *features};
    memcpy(pass.pixels, pixels, bytes);
    const int rc = fake_run(clip, &pass, err);
    mem_free(pass.pixels);
    return rc;
}

void clip_images_put(struct clip *clip, const uint8_t *pixels, uint32_t count)
{
    const size_t bytes = (size_t)count * FAKE_SIDE * FAKE_SIDE * 3;
    EXPECT(count > 0 && count <= fake.images_batch);
    EXPECT(!clip->put);
    clip->put = mem_new(bytes);
    memcpy(clip->put, pixels, bytes);
    clip->put_count = count;
}

/* A pass computes when it is finished, so that who takes its numbers sooner finds none. */
int clip_images_start(struct clip *clip, const struct clip_features *features, struct err *err)
{
    (void)err;
    EXPECT(clip->put && clip->under_way < 2);
    clip->pass[clip->under_way++] = (struct fake_pass){clip->put, clip->put_count, *features};
    clip->put = NULL;
    if (!fake.first) fake.first = clip->put_count;
    if (clip->under_way > fake.under_way_most) fake.under_way_most = clip->under_way;
    return 0;
}

uint32_t clip_images_under_way(const struct clip *clip)
{
    return clip->under_way;
}

bool clip_images_ready(const struct clip *clip)
{
    EXPECT(clip->under_way > 0);
    return !fake.is_slow;
}

int clip_images_finish(struct clip *clip, struct err *err)
{
    EXPECT(clip->under_way > 0);
    const struct fake_pass pass = clip->pass[0];
    clip->pass[0] = clip->pass[1];
    clip->under_way--;
    const int rc = fake_run(clip, &pass, err);
    mem_free(pass.pixels);
    return rc;
}

int clip_labels(struct clip *clip, const float *vector, uint32_t labels, struct err *err)
{
    const size_t bytes = (size_t)labels * FAKE_PROJECT * sizeof *vector;
    (void)err;
    mem_free(clip->label);
    clip->label = mem_new(bytes ? bytes : 1);
    clip->labels = labels;
    if (bytes) memcpy(clip->label, vector, bytes);
    return 0;
}

int clip_encode_texts(struct clip *clip, const uint32_t *ids, uint32_t count, float *embedding,
                      struct err *err)
{
    (void)clip, (void)err;
    fake.texts += count;
    for (uint32_t i = 0; i < count; i++, embedding += FAKE_PROJECT) {
        for (uint32_t k = 0; k < FAKE_PROJECT; k++)
            embedding[k] = (float)(ids[i * FAKE_CONTEXT + k + 1] % 97) + 1;
        fake_unit(embedding);
    }
    return 0;
}

/* A folder that this model is loaded from. */
static inline void fake_model_put(const char *folder)
{
    static const char config[] =
        "{\"model_type\": \"clip\", \"projection_dim\": 4, \"vision_config\": {\"hidden_size\": 4,"
        " \"intermediate_size\": 8, \"num_hidden_layers\": 1, \"num_attention_heads\": 1,"
        " \"image_size\": 8, \"patch_size\": 4, \"projection_dim\": 4}, \"text_config\":"
        " {\"hidden_size\": 4, \"intermediate_size\": 8, \"num_hidden_layers\": 1,"
        " \"num_attention_heads\": 1, \"max_position_embeddings\": 16, \"projection_dim\": 4}}";
    static const char preprocessor[] =
        "{\"image_processor_type\": \"CLIPImageProcessor\", \"size\": {\"shortest_edge\": 8},"
        " \"crop_size\": {\"height\": 8, \"width\": 8}}";
    static const char *const copied[] = {"tokenizer.json", "vocab.json", "merges.txt"};
    char path[PATH_MAX];
    struct err err;
    struct buf text;
    EXPECT_OK(fs_mkdirs(folder, &err), &err);
    EXPECT(fs_join(path, sizeof path, folder, "config.json"));
    EXPECT_OK(fs_put(path, config, sizeof config - 1, &err), &err);
    EXPECT(fs_join(path, sizeof path, folder, "preprocessor_config.json"));
    EXPECT_OK(fs_put(path, preprocessor, sizeof preprocessor - 1, &err), &err);
    EXPECT(fs_join(path, sizeof path, folder, "model.safetensors"));
    EXPECT_OK(fs_put(path, "weights", 7, &err), &err);
    buf_init(&text, 0);
    for (size_t i = 0; i < sizeof copied / sizeof copied[0]; i++) {
        buf_clear(&text);
        EXPECT(fs_join(path, sizeof path, TESTS_DIR "/golden/clip_tokens", copied[i]));
        EXPECT_OK(fs_read(&text, path, 8 << 20, &err), &err);
        EXPECT(fs_join(path, sizeof path, folder, copied[i]));
        EXPECT_OK(fs_put(path, text.data, text.len, &err), &err);
    }
    buf_deinit(&text);
}

#endif
