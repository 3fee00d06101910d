/* bench_model.c - a whole CLIP on a device, for tests/gpu: how fast it is, and that its bits stay.
 *
 *   bench_model rate DEVICE MODEL FOLDER          pictures per second
 *   bench_model small DEVICE MODEL FOLDER         milliseconds of a pass of one picture and of 8
 *   bench_model repeat DEVICE MODEL FOLDER RUNS   all that RUNS passes give is the same, bit for
 *                                                 bit, without CUDA graphs and with them, and
 *                                                 with them there are some
 *
 * MODEL is a name of shapes.h and lies in FOLDER (make_model). The first two print rows of the
 * table (rows.h). Batches are those of an encode job, which begins a pass before it waits for the
 * one before; so does this, and embeddings are read, as torch_bench.py does it. A small pass is
 * waited for at once. From device memory: the pictures, bytes, lie there. From host memory: the
 * next ones are put there beside each pass. Patch tokens are asked for, too, as one mean: without
 * them the last layer would work on CLS rows alone. */
#include "common/base/check.h"
#include "common/base/mem.h"
#include "tests/device/rows.h"
#include "tests/device/shapes.h"
#include "worker/nn/models/clip/clip.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define ROUNDS     3
#define ROUND_S    1.0 /* or a fiftieth of it for the tiny model */
#define SMALL_S    0.2 /* for small passes */
#define PASSES_MIN 8   /* of a round */
#define BATCHES    4   /* of pictures, in host memory */
#define SMALL      8   /* pictures of a small pass */
#define NO_DEVICE  77

struct model {
    const struct model_shape *known;
    struct backend *backend;
    struct clip *clip;
    struct clip_shape shape;
    uint8_t *pixels; /* [batches, images_batch] pictures */
    uint32_t batches;
    size_t batch_bytes;
    struct clip_features features; /* of one batch */
    double load_s;
};

static void check(int rc, const struct err *err)
{
    if (!rc) return;
    (void)fprintf(stderr, "bench_model: %s\n", err->msg);
    exit(rc == ERR_NOT_FOUND ? NO_DEVICE : 1);
}

static float *numbers_new(const struct model *m, uint32_t width)
{
    return mem_new((size_t)m->shape.images_batch * width * sizeof(float));
}

/* tokens: of a picture, as clip_options has it. */
static void model_open(struct model *m, const char *device, const char *folder, uint32_t tokens,
                       uint32_t batches)
{
    const struct clip_options options = {.dtype = DTYPE_BF16,
                                         .vision = true,
                                         .batch_max = m->known->batch,
                                         .hidden_state = -1,
                                         .tokens = tokens};
    struct err err;
    check(backend_open(&m->backend, device, 0, &err), &err);
    const double start_s = now_s();
    check(clip_load(&m->clip, m->backend, folder, &options, &err), &err);
    m->load_s = now_s() - start_s;
    m->shape = clip_shape(m->clip);
    m->batches = batches;
    m->batch_bytes = (size_t)m->shape.images_batch * m->shape.image_side * m->shape.image_side * 3;
    m->pixels = mem_new(batches * m->batch_bytes);
    for (size_t i = 0; i < batches * m->batch_bytes; i++)
        m->pixels[i] = (uint8_t)(i * 2654435761u >> 11);
    m->features.tokens = numbers_new(m, m->shape.tokens * m->shape.hidden);
    m->features.cls = numbers_new(m, m->shape.hidden);
    m->features.embedding = numbers_new(m, m->shape.projection);
}

static void model_close(struct model *m)
{
    mem_free(m->pixels);
    mem_free(m->features.tokens);
    mem_free(m->features.cls);
    mem_free(m->features.embedding);
    clip_free(m->clip);
    backend_close(m->backend);
}

/* ---- rates ---- */

/* From the pictures that were put last; afterwards at most `ahead` passes are under way. */
static void pass(struct model *m, const struct clip_features *features, uint32_t ahead)
{
    struct err err;
    check(clip_images_start(m->clip, features, &err), &err);
    while (clip_images_under_way(m->clip) > ahead) check(clip_images_finish(m->clip, &err), &err);
}

/* Of a pass of `count` pictures: the best of some rounds, all of them in one row of passes. */
static double pass_s(struct model *m, const struct clip_features *features, uint32_t count,
                     bool from_host)
{
    double least_s = count <= SMALL ? SMALL_S : ROUND_S;
    if (!strcmp(m->known->name, "tiny")) least_s = ROUND_S / 50;
    const uint32_t ahead = count <= SMALL ? 0 : 1;
    double best = INFINITY;
    uint32_t turn = 0;
    struct err err;
    clip_images_put(m->clip, m->pixels, count);
    for (int i = -1; i < ROUNDS; i++) { /* the first is no measurement */
        const double start_s = now_s();
        uint32_t passes = 0;
        while (passes < PASSES_MIN || now_s() - start_s < least_s) {
            turn = (turn + 1) % m->batches;
            pass(m, features, ahead);
            if (from_host) clip_images_put(m->clip, m->pixels + turn * m->batch_bytes, count);
            passes++;
        }
        if (i >= 0) best = fmin(best, (now_s() - start_s) / passes);
    }
    while (clip_images_under_way(m->clip)) check(clip_images_finish(m->clip, &err), &err);
    return best;
}

static void tell_rate(const struct model *m, const char *how, double rate, const char *beside)
{
    char what[96];
    (void)snprintf(what, sizeof what, "%s bf16, batch %u, %s", m->known->name,
                   m->shape.images_batch, how);
    row("model", what, rate, "images/s", beside);
}

static void measure_rate(struct model *m)
{
    const uint32_t batch = m->shape.images_batch;
    const struct clip_features whole = {.tokens = m->features.tokens,
                                        .embedding = m->features.embedding};
    const struct clip_features embedding = {.embedding = m->features.embedding};
    const double from_device = batch / pass_s(m, &whole, batch, false);
    const double from_host = batch / pass_s(m, &whole, batch, true);
    const double alone = batch / pass_s(m, &embedding, batch, false);
    char text[96];
    (void)snprintf(text, sizeof text, "%.4g TFLOP/s", from_device * model_flops(m->known) * 1e-12);
    tell_rate(m, "from device memory", from_device, text);
    (void)snprintf(text, sizeof text, "%.3f of that from device memory", from_host / from_device);
    tell_rate(m, "from host memory", from_host, text);
    tell_rate(m, "embeddings alone", alone, "no patch tokens: less of the last layer");
    (void)snprintf(text, sizeof text, "%.4g MB of weights, %.4g MB beside them%s",
                   (double)m->shape.weight_bytes * 1e-6, (double)m->shape.scratch_bytes * 1e-6,
                   m->shape.batch_divisor > 1 ? "; no memory for a larger batch" : "");
    char what[96];
    (void)snprintf(what, sizeof what, "%s loads", m->known->name);
    row("model", what, m->load_s, "s", text);
}

static void measure_small(struct model *m)
{
    static const uint32_t counts[] = {1, SMALL};
    const char *graphs = getenv("VLMQ_CUDA_GRAPHS");
    const char *how = graphs && !strcmp(graphs, "off") ? "without CUDA graphs" : "with CUDA graphs";
    for (size_t i = 0; i < 2; i++) {
        const uint32_t most = m->shape.images_batch;
        const uint32_t count = counts[i] < most ? counts[i] : most;
        const struct clip_features embedding = {.embedding = m->features.embedding};
        char what[96];
        (void)snprintf(what, sizeof what, "%s bf16, a pass of %u, %s", m->known->name, count, how);
        row("small", what, 1e3 * pass_s(m, &embedding, count, false), "ms", "");
    }
}

/* ---- the same bits ---- */

static bool is_same(const float *a, const float *b, size_t count)
{
    return !memcmp(a, b, count * sizeof *a);
}

/* Every fourth pass has one picture: its bits are those it has among others. Returns how many
 * passes differ from the features of the first one. */
static uint32_t count_different(struct model *m, const struct clip_features *first, uint32_t runs,
                                bool is_first)
{
    const struct clip_shape *s = &m->shape;
    uint32_t different = 0;
    for (uint32_t i = 0; i < runs; i++) {
        const size_t count = i % 4 == 3 ? 1 : s->images_batch;
        clip_images_put(m->clip, m->pixels, (uint32_t)count);
        if (is_first && i == 0) {
            pass(m, first, 0);
            continue;
        }
        pass(m, &m->features, 0);
        different += !is_same(m->features.tokens, first->tokens, count * s->tokens * s->hidden) ||
                     !is_same(m->features.cls, first->cls, count * s->hidden) ||
                     !is_same(m->features.embedding, first->embedding, count * s->projection);
    }
    return different;
}

static bool is_number(const struct model *m, const struct clip_features *features)
{
    const size_t count = (size_t)m->shape.images_batch * m->shape.projection;
    for (size_t i = 0; i < count; i++)
        if (!isfinite(features->embedding[i])) return false;
    return true;
}

static int repeat(const struct model_shape *known, const char *device, const char *folder,
                  uint32_t runs)
{
    static const char *const graphs[] = {"off", "on"};
    struct clip_features first = {0};
    uint32_t failed = 0;
    for (uint32_t way = 0; way < 2; way++) {
        struct model m = {.known = known};
        CHECK(!setenv("VLMQ_CUDA_GRAPHS", graphs[way], 1));
        model_open(&m, device, folder, 0, 1);
        if (way == 0) {
            first = m.features;
            m.features =
                (struct clip_features){.tokens = numbers_new(&m, m.shape.tokens * m.shape.hidden),
                                       .cls = numbers_new(&m, m.shape.hidden),
                                       .embedding = numbers_new(&m, m.shape.projection)};
        }
        const uint32_t different = count_different(&m, &first, runs, way == 0);
        const bool whole = is_number(&m, &first);
        const uint64_t as_graphs = m.backend->replayed;
        (void)printf("%s, CUDA graphs %s: %llu passes were graphs, %u of %u passes of %u pictures "
                     "differ%s\n",
                     known->name, graphs[way], (unsigned long long)as_graphs, different, runs,
                     m.shape.images_batch, whole ? "" : "; embeddings are not finite");
        failed += different + !whole + (way == 0 ? as_graphs > 0 : as_graphs == 0);
        model_close(&m);
    }
    mem_free(first.tokens);
    mem_free(first.cls);
    mem_free(first.embedding);
    return failed != 0;
}

int main(int argc, char **argv)
{
    const bool is_rate = argc == 5 && !strcmp(argv[1], "rate");
    const bool is_small = argc == 5 && !strcmp(argv[1], "small");
    const bool is_repeat = argc == 6 && !strcmp(argv[1], "repeat");
    struct model m = {.known = argc > 4 ? model_shape(argv[3]) : NULL};
    if (!m.known || !(is_rate || is_small || is_repeat)) {
        (void)fprintf(stderr, "usage: bench_model rate|small DEVICE MODEL FOLDER\n"
                              "       bench_model repeat DEVICE MODEL FOLDER RUNS\n");
        return 2;
    }
    if (is_repeat) return repeat(m.known, argv[2], argv[4], (uint32_t)strtoul(argv[5], NULL, 10));
    model_open(&m, argv[2], argv[4], 1, BATCHES);
    if (is_rate)
        measure_rate(&m);
    else
        measure_small(&m);
    model_close(&m);
    return 0;
}
