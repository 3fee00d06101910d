/* clip_fuzz.c - config.json and model.safetensors of any bytes together: a CLIP model that then
 * runs, or a sentence.
 *
 * Two bytes are the length of the configuration, one the towers, one the numbers it is computed in;
 * then the configuration, and the rest is the file of tensors. */
#include "common/base/check.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "tests/fuzz/input.h"
#include "worker/nn/models/clip/clip.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define PICTURES 3
#define SIDE_MAX 64 /* of pictures that are run: larger ones only take longer */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct backend *backend;
static char folder[] = "/tmp/clip_fuzz.XXXXXX";

static void put(const char *name, const void *data, size_t bytes)
{
    char path[PATH_MAX];
    CHECK(fs_join(path, sizeof path, folder, name));
    FILE *file = fopen(path, "we");
    CHECK(file != NULL);
    CHECK(fwrite(data, 1, bytes, file) == bytes);
    CHECK(fclose(file) == 0);
}

static void end(void)
{
    struct err err;
    backend_close(backend);
    (void)fs_remove_tree(folder, &err);
}

static void begin(void)
{
    struct err err;
    CHECK(mkdtemp(folder) != NULL);
    CHECK(backend_open(&backend, "reference", 1, &err) == 0);
    put("preprocessor_config.json", "{}", 2);
    CHECK(atexit(end) == 0);
}

static void see(struct clip *clip, const struct clip_shape *shape)
{
    struct err err;
    const size_t pixels_bytes = (size_t)shape->image_side * shape->image_side * 3;
    if (shape->image_side > SIDE_MAX || shape->tokens > 1024 || shape->hidden > 256) return;
    uint8_t *pixels = mem_new(PICTURES * pixels_bytes);
    float *tokens = mem_new((size_t)PICTURES * shape->tokens * shape->hidden * sizeof *tokens);
    float *cls = mem_new((size_t)PICTURES * shape->hidden * sizeof *cls);
    float *embedding = mem_new((size_t)PICTURES * (shape->projection + 1) * sizeof *embedding);
    const struct clip_features features = {
        .tokens = tokens, .cls = cls, .embedding = shape->projection ? embedding : NULL};
    CHECK(clip_encode_images(clip, pixels, PICTURES, &features, &err) == 0);
    mem_free(embedding);
    mem_free(cls);
    mem_free(tokens);
    mem_free(pixels);
}

static void read(struct clip *clip, const struct clip_shape *shape, uint32_t id)
{
    struct err err;
    if (shape->text_tokens > 64 || shape->projection > 4096) return;
    uint32_t *ids = mem_new((size_t)PICTURES * shape->text_tokens * sizeof *ids);
    float *embedding = mem_new((size_t)PICTURES * (shape->projection + 1) * sizeof *embedding);
    for (uint32_t i = 0; i < PICTURES * shape->text_tokens; i++) ids[i] = id * i;
    const int rc = clip_encode_texts(clip, ids, PICTURES, embedding, &err);
    CHECK(rc == 0 || rc == ERR_INVALID);
    mem_free(embedding);
    mem_free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16, DTYPE_I8};
    struct input input = {data, bytes};
    struct clip *clip = NULL;
    struct err err = {.code = ERR_OK};
    const uint8_t *part = NULL;
    if (!backend) begin();
    const size_t config_bytes = (size_t)input_take(&input, 2);
    const uint8_t towers = (uint8_t)input_take(&input, 1), kind = (uint8_t)input_take(&input, 1);
    const struct clip_options options = {.dtype = dtypes[kind % 4],
                                         .vision = towers % 3 != 1,
                                         .text = towers % 3 != 0,
                                         .batch_max = 2,
                                         .hidden_state = -(kind / 4 % 4),
                                         .tokens = kind / 16 % 4};
    const size_t some = input_bytes(&input, &part, config_bytes);
    put("config.json", part, some);
    put("model.safetensors", input.data, input.bytes);
    if (clip_load(&clip, backend, folder, &options, &err)) {
        CHECK(err.code != ERR_OK && err.code != ERR_INTERNAL);
        CHECK(err.msg[0]);
        return 0;
    }
    const struct clip_shape shape = clip_shape(clip);
    CHECK(shape.weight_bytes > 0);
    if (options.vision) see(clip, &shape);
    if (options.text) read(clip, &shape, towers / 3);
    clip_free(clip);
    return 0;
}
