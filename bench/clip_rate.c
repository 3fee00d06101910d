/* clip_rate.c - how fast CLIP's vision tower runs and loads, for bench/encode.py.
 *
 * Loads a model, prints a line of JSON (seconds of the load, bytes, the process' peak; with --copy
 * what memcpy does on one thread), and then for each line on stdin encodes one batch and prints a
 * line with its pictures per second, so that two programs can take turns on a noisy machine. */
#include "common/base/check.h"
#include "common/base/conf.h"
#include "common/base/mem.h"
#include "worker/nn/models/clip/clip.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define COPY_BYTES  ((size_t)256 << 20) /* far more than a cache */
#define COPY_ROUNDS 3

struct options {
    const char *model, *dtype, *device;
    int64_t threads, batch;
    bool text, copy;
};

static double now_s(void)
{
    struct timespec now;
    CHECK(!clock_gettime(CLOCK_MONOTONIC, &now));
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* The fastest of some copies from memory to memory, bytes a second. */
static double copy_rate(void)
{
    char *from = mem_try(COPY_BYTES), *to = mem_try(COPY_BYTES);
    double best = 0.0;
    CHECK(from && to);
    memset(from, 1, COPY_BYTES);
    memset(to, 2, COPY_BYTES);
    for (int i = 0; i < COPY_ROUNDS; i++) {
        const double start_s = now_s();
        memcpy(to, from, COPY_BYTES);
        __asm__ volatile("" ::"r"(to) : "memory"); /* it is needed */
        const double rate = (double)COPY_BYTES / (now_s() - start_s);
        best = rate > best ? rate : best;
    }
    mem_free(from);
    mem_free(to);
    return best;
}

static long peak_bytes(void)
{
    struct rusage usage;
    CHECK(!getrusage(RUSAGE_SELF, &usage));
    return usage.ru_maxrss * 1024;
}

static int rounds(struct clip *clip, const struct options *o, struct err *err)
{
    const struct clip_shape shape = clip_shape(clip);
    const size_t side = shape.image_side, count = (size_t)o->batch;
    const size_t bytes = count * side * side * 3;
    uint8_t *pixels = mem_try(bytes);
    float *embedding = mem_try(count * shape.projection * sizeof *embedding);
    char line[64];
    int rc = pixels && embedding ? 0 : err_set(err, ERR_LIMIT, "no memory for a batch");
    uint32_t state = 1;
    for (size_t i = 0; !rc && i < bytes; i++) {
        state = state * 1664525u + 1013904223u;
        pixels[i] = (uint8_t)(state >> 24);
    }
    while (!rc && fgets(line, sizeof line, stdin)) {
        const struct clip_features features = {.embedding = embedding};
        const double start_s = now_s();
        rc = clip_encode_images(clip, pixels, (uint32_t)count, &features, err);
        (void)printf("%g\n", (double)count / (now_s() - start_s));
        (void)fflush(stdout);
    }
    mem_free(pixels);
    mem_free(embedding);
    return rc;
}

static int run(const struct options *o, struct err *err)
{
    struct clip_options options = {
        .vision = true, .text = o->text, .batch_max = (uint32_t)o->batch, .hidden_state = -1};
    struct backend *backend = NULL;
    struct clip *clip = NULL;
    if (!dtype_parse(&options.dtype, o->dtype))
        return err_set(err, ERR_INVALID, "there is no type %s: F32, BF16, F16 or I8", o->dtype);
    int rc = backend_open(&backend, o->device, (uint32_t)o->threads, err);
    const double start_s = now_s();
    if (!rc) rc = clip_load(&clip, backend, o->model, &options, err);
    if (!rc) {
        const struct clip_shape shape = clip_shape(clip);
        const double load_s = now_s() - start_s;
        const long peak = peak_bytes();
        (void)printf("{\"load_s\": %g, \"weight_bytes\": %zu, \"scratch_bytes\": %zu, "
                     "\"arithmetic\": \"%s\", \"peak_bytes\": %ld, \"copy_bytes_s\": %g}\n",
                     load_s, shape.weight_bytes, shape.scratch_bytes, backend->arithmetic, peak,
                     o->copy ? copy_rate() : 0.0);
        (void)fflush(stdout);
        rc = rounds(clip, o, err);
    }
    clip_free(clip);
    backend_close(backend);
    return rc;
}

int main(int argc, char **argv)
{
    struct options o = {.dtype = "F32", .device = "cpu", .threads = 1, .batch = 8};
    struct err err = {0};
    const struct conf_option table[] = {
        {"model", 0, CONF_TEXT, &o.model, 0, 0, "DIR", "A folder with a CLIP."},
        {"dtype", 0, CONF_TEXT, &o.dtype, 0, 0, "NAME", "F32, BF16, F16 or I8."},
        {"device", 0, CONF_TEXT, &o.device, 0, 0, "NAME", "cpu, reference, cuda:0."},
        {"threads", 0, CONF_INT, &o.threads, 1, 256, "N", "Of the CPU."},
        {"batch", 0, CONF_INT, &o.batch, 1, 1024, "N", "Pictures in a batch."},
        {"text", 0, CONF_FLAG, &o.text, 0, 0, NULL, "Load the text tower too."},
        {"copy", 0, CONF_FLAG, &o.copy, 0, 0, NULL, "Measure memcpy behind the load."},
        {0},
    };
    struct conf conf = {.program = "bench_clip_rate", .options = table};
    int rc = conf_parse(&conf, argc, argv, &err);
    if (!rc && !o.model) rc = err_set(&err, ERR_INVALID, "--model is missing");
    if (!rc) rc = run(&o, &err);
    if (rc) (void)fprintf(stderr, "bench_clip_rate: %s\n", err.msg);
    return rc ? 1 : 0;
}
