/* clip_support.h - what the tests of CLIP share: the golden checkpoints, made-up pictures, and
 * distances. tests/golden/make_clip.py tells what is in a checkpoint's folder. */
#ifndef TESTS_UNIT_NN_MODELS_CLIP_SUPPORT_H
#define TESTS_UNIT_NN_MODELS_CLIP_SUPPORT_H

#include "common/base/mem.h"
#include "tests/support/test.h"
#include "worker/nn/load/safetensors.h"
#include "worker/nn/models/clip/clip.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIP_GOLDEN   TESTS_DIR "/golden/clip/"
#define CLIP_PICTURES 3 /* of the golden outputs */

/* A model on a device of its own, and what transformers made of it. */
struct golden {
    struct backend *backend;
    struct clip *clip;
    struct clip_shape shape;
    struct safetensors *expected;
};

static inline void golden_open(struct golden *golden, const char *variant, const char *device,
                               uint32_t threads, const struct clip_options *options)
{
    char path[300];
    struct err err;
    *golden = (struct golden){0};
    (void)snprintf(path, sizeof path, CLIP_GOLDEN "%s", variant);
    EXPECT_OK(backend_open(&golden->backend, device, threads, &err), &err);
    EXPECT_OK(clip_load(&golden->clip, golden->backend, path, options, &err), &err);
    golden->shape = clip_shape(golden->clip);
    (void)snprintf(path, sizeof path, CLIP_GOLDEN "%s/expected.safetensors", variant);
    EXPECT_OK(safetensors_open(&golden->expected, path, &err), &err);
}

static inline void golden_close(struct golden *golden)
{
    safetensors_close(golden->expected);
    clip_free(golden->clip);
    backend_close(golden->backend);
}

static inline const struct tensor *golden_tensor(const struct golden *golden, const char *name)
{
    const struct safetensors_entry *entry = safetensors_find(golden->expected, name);
    EXPECT(entry != NULL);
    return &entry->tensor;
}

/* The formula of make_resize.py. The caller ends them with mem_free. */
static inline uint8_t *golden_pictures(uint32_t side, uint32_t count)
{
    const size_t bytes = (size_t)side * side * 3 * count;
    uint8_t *pixels = mem_new(bytes);
    for (size_t i = 0; i < bytes; i++) {
        uint32_t value = (uint32_t)(i * 2654435761u + 12345u);
        value ^= value >> 15;
        value *= 2246822519u;
        value ^= value >> 13;
        pixels[i] = (uint8_t)(value >> 8);
    }
    return pixels;
}

/* Of two vectors, relative to the second's length. */
static inline double relative_l2(const float *got, const float *want, size_t count)
{
    double apart = 0, whole = 0;
    for (size_t i = 0; i < count; i++) {
        const double difference = (double)got[i] - (double)want[i];
        apart += difference * difference;
        whole += (double)want[i] * (double)want[i];
    }
    EXPECT(whole > 0);
    return sqrt(apart / whole);
}

#endif
