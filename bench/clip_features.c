/* clip_features.c - a CLIP model over a file of raw pictures and one of raw ids: its features into
 * a safetensors file, and what it took. tests/golden/clip_full.py compares them with transformers'.
 *
 * Prints one line of JSON: seconds to load, bytes of weights and of a pass, and of `rounds` passes
 * over all pictures and all texts the fastest, in items per second. */
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/conf.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "worker/nn/load/safetensors.h"
#include "worker/nn/models/clip/clip.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define INPUT_BYTES_MAX ((size_t)4 << 30)

struct options {
    const char *pixels, *ids, *out, *device, *dtype;
    int64_t threads, batch, hidden_state, tokens, rounds;
    bool no_tokens;
};

struct run {
    struct options options;
    struct backend *backend;
    struct clip *clip;
    struct clip_shape shape;
    struct buf pixels, ids;
    uint32_t pictures, texts;
    struct clip_features features;
    float *text_embedding;
    double load_s, images_s, texts_s;
};

static double seconds_since(int64_t start_us)
{
    return (double)(clock_mono_us() - start_us) / 1e6;
}

static int load(struct run *run, const char *folder, struct err *err)
{
    const struct options *o = &run->options;
    struct clip_options options = {.vision = o->pixels != NULL,
                                   .text = o->ids != NULL,
                                   .batch_max = (uint32_t)o->batch,
                                   .hidden_state = (int32_t)o->hidden_state,
                                   .tokens = (uint32_t)o->tokens};
    if (!options.vision && !options.text)
        return err_set(err, ERR_INVALID, "give --pixels, --ids or both");
    if (!dtype_parse(&options.dtype, o->dtype))
        return err_set(err, ERR_INVALID, "--dtype %.20s: give F32, BF16, F16 or I8", o->dtype);
    int rc = backend_open(&run->backend, o->device, (uint32_t)o->threads, err);
    if (rc) return rc;
    const int64_t start = clock_mono_us();
    rc = clip_load(&run->clip, run->backend, folder, &options, err);
    if (rc) return rc;
    run->load_s = seconds_since(start);
    run->shape = clip_shape(run->clip);
    return 0;
}

/* A whole number of items of so many bytes. */
static int read_items(struct buf *data, uint32_t *count, const char *path, size_t item_bytes,
                      struct err *err)
{
    const int rc = fs_read(data, path, INPUT_BYTES_MAX, err);
    if (rc) return rc;
    *count = (uint32_t)(data->len / item_bytes);
    if (data->len && data->len % item_bytes == 0) return 0;
    return err_set(err, ERR_INVALID, "%s has %zu bytes, not a multiple of %zu", path, data->len,
                   item_bytes);
}

static float *numbers(size_t rows, size_t columns)
{
    return mem_new(rows * columns * sizeof(float));
}

static int read_inputs(struct run *run, struct err *err)
{
    const struct clip_shape *shape = &run->shape;
    int rc = 0;
    if (run->options.pixels)
        rc = read_items(&run->pixels, &run->pictures, run->options.pixels,
                        (size_t)shape->image_side * shape->image_side * 3, err);
    if (!rc && run->options.ids)
        rc = read_items(&run->ids, &run->texts, run->options.ids, shape->text_tokens * 4, err);
    if (rc) return rc;
    if (run->pictures) {
        if (!run->options.no_tokens)
            run->features.tokens = numbers((size_t)run->pictures * shape->tokens, shape->hidden);
        run->features.cls = numbers(run->pictures, shape->hidden);
        if (shape->projection) run->features.embedding = numbers(run->pictures, shape->projection);
    }
    if (run->texts) run->text_embedding = numbers(run->texts, shape->projection);
    return 0;
}

static int encode(struct run *run, struct err *err)
{
    const void *pixels = run->pixels.data, *ids = run->ids.data;
    for (int64_t round = 0; round < run->options.rounds; round++) {
        int64_t start = clock_mono_us();
        int rc = run->pictures
                     ? clip_encode_images(run->clip, pixels, run->pictures, &run->features, err)
                     : 0;
        const double images_s = seconds_since(start);
        if (rc) return rc;
        start = clock_mono_us();
        if (run->texts)
            rc = clip_encode_texts(run->clip, ids, run->texts, run->text_embedding, err);
        if (rc) return rc;
        const double texts_s = seconds_since(start);
        if (round == 0 || images_s < run->images_s) run->images_s = images_s;
        if (round == 0 || texts_s < run->texts_s) run->texts_s = texts_s;
    }
    return 0;
}

static void add_entry(struct safetensors_entry *entries, uint32_t *count, const char *name,
                      float *data, const int64_t *shape, uint32_t rank)
{
    if (!data) return;
    entries[*count] = (struct safetensors_entry){
        .name = name, .tensor = tensor_over(data, DTYPE_F32, shape, rank)};
    (*count)++;
}

static int save(const struct run *run, struct err *err)
{
    struct safetensors_entry entries[4];
    uint32_t count = 0;
    const int64_t pictures = run->pictures, texts = run->texts;
    const int64_t tokens = run->shape.tokens, hidden = run->shape.hidden;
    const int64_t projection = run->shape.projection;
    if (!run->options.out) return 0;
    add_entry(entries, &count, "tokens", run->features.tokens,
              (int64_t[]){pictures, tokens, hidden}, 3);
    add_entry(entries, &count, "cls", run->features.cls, (int64_t[]){pictures, hidden}, 2);
    add_entry(entries, &count, "image_embedding", run->features.embedding,
              (int64_t[]){pictures, projection}, 2);
    add_entry(entries, &count, "text_embedding", run->text_embedding,
              (int64_t[]){texts, projection}, 2);
    return safetensors_save(run->options.out, entries, count, NULL, 0, NULL, NULL, err);
}

static int work(struct run *run, const char *folder, struct err *err)
{
    int rc = load(run, folder, err);
    if (!rc) rc = read_inputs(run, err);
    if (!rc) rc = encode(run, err);
    if (!rc) rc = save(run, err);
    if (rc) return rc;
    (void)printf(
        "{\"device\": \"%s\", \"arithmetic\": \"%s\", \"dtype\": \"%s\", \"load_s\": %.4f, "
        "\"weight_bytes\": %zu, \"scratch_bytes\": %zu",
        run->options.device, run->backend->arithmetic, run->options.dtype, run->load_s,
        run->shape.weight_bytes, run->shape.scratch_bytes);
    if (run->pictures)
        (void)printf(", \"images_batch\": %u, \"images_per_s\": %.3f", run->shape.images_batch,
                     run->pictures / run->images_s);
    if (run->texts)
        (void)printf(", \"texts_batch\": %u, \"texts_per_s\": %.3f", run->shape.texts_batch,
                     run->texts / run->texts_s);
    (void)printf("}\n");
    return 0;
}

int main(int argc, char **argv)
{
    struct run run = {
        .options = {.device = "cpu", .dtype = "F32", .hidden_state = -1, .rounds = 1}};
    struct options *o = &run.options;
    const struct conf_option table[] = {
        {"pixels", 0, CONF_TEXT, &o->pixels, 0, 0, "FILE", "Bytes [pictures, side, side, 3]."},
        {"ids", 0, CONF_TEXT, &o->ids, 0, 0, "FILE", "32-bit ids [texts, positions]."},
        {"out", 'o', CONF_TEXT, &o->out, 0, 0, "FILE", "Where the features go."},
        {"device", 0, CONF_TEXT, &o->device, 0, 0, "NAME", "What computes."},
        {"dtype", 0, CONF_TEXT, &o->dtype, 0, 0, "TYPE", "F32, BF16, F16 or I8."},
        {"threads", 0, CONF_INT, &o->threads, 0, 1024, "N", "Of the CPU; 0: all."},
        {"batch", 0, CONF_INT, &o->batch, 0, CLIP_BATCH_MAX, "N", "In one pass; 0: the model's."},
        {"hidden-state", 0, CONF_INT, &o->hidden_state, -1025, 1025, "N", "Of the patch tokens."},
        {"tokens", 0, CONF_INT, &o->tokens, 0, 1 << 28, "N", "Of a picture; 0: all."},
        {"no-patches", 0, CONF_FLAG, &o->no_tokens, 0, 0, NULL, "No patch tokens."},
        {"rounds", 0, CONF_INT, &o->rounds, 1, 1000, "N", "Passes; the fastest counts."},
        {NULL, 0, CONF_FLAG, NULL, 0, 0, NULL, NULL}};
    struct conf conf = {.program = "bench_clip_features", .usage = "FOLDER", .options = table};
    struct err err;
    buf_init(&run.pixels, 0);
    buf_init(&run.ids, 0);
    int rc = conf_parse(&conf, argc, argv, &err);
    if (!rc && conf.args_count != 1) rc = err_set(&err, ERR_INVALID, "give the folder of a model");
    if (!rc) rc = work(&run, conf.arg[0], &err);
    if (rc) (void)fprintf(stderr, "bench_clip_features: %s\n", err.msg);
    clip_free(run.clip);
    backend_close(run.backend);
    buf_deinit(&run.pixels);
    buf_deinit(&run.ids);
    mem_free(run.features.tokens);
    mem_free(run.features.cls);
    mem_free(run.features.embedding);
    mem_free(run.text_embedding);
    conf_deinit(&conf);
    return rc ? 1 : 0;
}
