/* make_shards.c - tars of JPEG files for tests/gpu: make_shards FOLDER SIDE COUNT..., each COUNT to
 * FOLDER/COUNT.tar. Where libjpeg is.
 *
 * Pictures as bench/support/make_pictures.py has them: noise with the spectrum of natural pictures,
 * gradients, a sensor's noise; sides of SIDE to one and a half times as much; qualities 75 to 92,
 * 85 in 100 with halved chroma, 15 in 100 progressive. Up to DISTINCT of them; then they come
 * again, under other names. The same arguments give the same bytes. */
#include "common/base/check.h"
#include "common/base/mem.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* In this order: jpeglib.h needs FILE. */
/* clang-format off */
#include <stdio.h>
#include <jpeglib.h>
/* clang-format on */

#define DISTINCT 256
#define OCTAVES  7
#define BLOCK    512 /* of a tar */

struct jpeg {
    unsigned char *data;
    unsigned long bytes;
};

static uint32_t state = 1;

/* Between 0 and 1. */
static float any(void)
{
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 16777216.0F;
}

static uint32_t between(uint32_t least, uint32_t most)
{
    return least + (uint32_t)(any() * (float)(most - least + 1)) % (most - least + 1);
}

/* Adds a lattice of random numbers, one each `step` pixels and lines between them, to a plane. */
static void add_octave(float *plane, uint32_t width, uint32_t height, uint32_t step, float strength)
{
    const uint32_t columns = width / step + 2, rows = height / step + 2;
    float *lattice = mem_new((size_t)columns * rows * sizeof *lattice);
    for (size_t i = 0; i < (size_t)columns * rows; i++) lattice[i] = (any() - 0.5F) * strength;
    for (uint32_t y = 0; y < height; y++) {
        const float *above = lattice + (size_t)(y / step) * columns, *below = above + columns;
        const float down = (float)(y % step) / (float)step;
        for (uint32_t x = 0; x < width; x++) {
            const uint32_t at = x / step;
            const float across = (float)(x % step) / (float)step;
            const float top = above[at] + (above[at + 1] - above[at]) * across;
            const float bottom = below[at] + (below[at + 1] - below[at]) * across;
            plane[(size_t)y * width + x] += top + (bottom - top) * down;
        }
    }
    mem_free(lattice);
}

/* Amplitudes fall as lattices get finer. */
static void add_clouds(float *plane, uint32_t width, uint32_t height, float strength)
{
    for (uint32_t i = 0; i < OCTAVES; i++)
        add_octave(plane, width, height, 128u >> i, strength * powf(0.72F, (float)i));
}

static uint8_t level(float value)
{
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static uint8_t *picture_new(uint32_t width, uint32_t height)
{
    const size_t count = (size_t)width * height;
    float *light = mem_new(count * sizeof *light), *colour[2];
    uint8_t *pixels = mem_new(count * 3);
    const float slope = (any() - 0.5F) * 80 / (float)width, grain = 3 + 12 * any();
    for (size_t i = 0; i < count; i++) light[i] = 128 + slope * (float)(i % width);
    add_clouds(light, width, height, 150);
    for (int c = 0; c < 2; c++) {
        colour[c] = mem_new(count * sizeof(float));
        memset(colour[c], 0, count * sizeof(float));
        add_clouds(colour[c], width, height, 50);
    }
    for (size_t i = 0; i < count; i++) {
        const float warm = colour[0][i], cold = colour[1][i];
        pixels[3 * i] = level(light[i] + warm + (any() - 0.5F) * grain);
        pixels[3 * i + 1] = level(light[i] - 0.5F * (warm - cold) + (any() - 0.5F) * grain);
        pixels[3 * i + 2] = level(light[i] + cold + (any() - 0.5F) * grain);
    }
    mem_free(light);
    mem_free(colour[0]);
    mem_free(colour[1]);
    return pixels;
}

static struct jpeg jpeg_of(uint8_t *pixels, uint32_t width, uint32_t height)
{
    struct jpeg_compress_struct encoder;
    struct jpeg_error_mgr errors; /* that of the library: says what is wrong and exits */
    struct jpeg jpeg = {0};
    encoder.err = jpeg_std_error(&errors);
    jpeg_create_compress(&encoder);
    jpeg_mem_dest(&encoder, &jpeg.data, &jpeg.bytes);
    encoder.image_width = width;
    encoder.image_height = height;
    encoder.input_components = 3;
    encoder.in_color_space = JCS_RGB;
    jpeg_set_defaults(&encoder);
    jpeg_set_quality(&encoder, (int)between(75, 92), TRUE);
    if (any() > 0.85F) encoder.comp_info[0].h_samp_factor = encoder.comp_info[0].v_samp_factor = 1;
    if (any() < 0.15F) jpeg_simple_progression(&encoder);
    jpeg_start_compress(&encoder, TRUE);
    while (encoder.next_scanline < height) {
        JSAMPROW line = pixels + (size_t)encoder.next_scanline * width * 3;
        (void)jpeg_write_scanlines(&encoder, &line, 1);
    }
    jpeg_finish_compress(&encoder);
    jpeg_destroy_compress(&encoder);
    return jpeg;
}

static void put(FILE *file, const void *data, size_t bytes)
{
    static const uint8_t zeros[BLOCK];
    const size_t rest = (BLOCK - bytes % BLOCK) % BLOCK;
    CHECK(fwrite(data, 1, bytes, file) == bytes && fwrite(zeros, 1, rest, file) == rest);
}

/* A file of a tar, as POSIX' ustar has it. */
static void put_file(FILE *file, unsigned number, const struct jpeg *jpeg)
{
    char header[BLOCK] = {0};
    unsigned sum = 0;
    (void)snprintf(header, 100, "%09u.jpg", number);
    (void)snprintf(header + 100, 8, "%07o", 0644U);
    (void)snprintf(header + 108, 8, "%07o", 0U);
    (void)snprintf(header + 116, 8, "%07o", 0U);
    (void)snprintf(header + 124, 12, "%011lo", jpeg->bytes);
    (void)snprintf(header + 136, 12, "%011o", 0U);
    header[156] = '0';
    memcpy(header + 257,
           "ustar\0"
           "00",
           8);
    memset(header + 148, ' ', 8);
    for (size_t i = 0; i < sizeof header; i++) sum += (unsigned char)header[i];
    (void)snprintf(header + 148, 8, "%06o", sum);
    put(file, header, sizeof header);
    put(file, jpeg->data, jpeg->bytes);
}

static void put_tar(const char *folder, unsigned count, const struct jpeg *jpeg)
{
    static const char end[2 * BLOCK];
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%u.tar", folder, count);
    FILE *file = fopen(path, "wb");
    if (!file) {
        perror(path);
        exit(1);
    }
    for (unsigned i = 0; i < count; i++) put_file(file, i, &jpeg[i % DISTINCT]);
    put(file, end, sizeof end);
    CHECK(!fclose(file));
}

int main(int argc, char **argv)
{
    static struct jpeg jpeg[DISTINCT];
    const uint32_t side = argc > 3 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
    unsigned most = 0;
    if (side < 16 || side > 4096) {
        (void)fprintf(stderr, "usage: make_shards FOLDER SIDE COUNT...\n");
        return 2;
    }
    for (int i = 3; i < argc; i++) {
        const unsigned count = (unsigned)strtoul(argv[i], NULL, 10);
        if (count > most) most = count;
    }
    for (unsigned i = 0; i < most && i < DISTINCT; i++) {
        const uint32_t width = between(side, side * 3 / 2), height = between(side, side * 3 / 2);
        uint8_t *pixels = picture_new(width, height);
        jpeg[i] = jpeg_of(pixels, width, height);
        mem_free(pixels);
    }
    for (int i = 3; i < argc; i++) put_tar(argv[1], (unsigned)strtoul(argv[i], NULL, 10), jpeg);
    for (unsigned i = 0; i < DISTINCT; i++) free(jpeg[i].data); /* of the library */
    return 0;
}
