/* resize.c - see resize.h for what it computes; here is how.
 *
 * Weights are computed in double as Pillow does (src/libImaging/Resample.c of Pillow 13; the order
 * of operations is part of the contract) and then fixed to 22 fractional bits. From there on
 * everything is exact integer arithmetic, so it may be done in any order: resize_avx2.c has both
 * passes once more, by hand, for processors with AVX2. Here both keep many sums at a time
 * that share one weight, in loops of constant length that compilers turn into vector code: the
 * vertical pass takes a strip of neighbouring bytes, the horizontal pass takes one column of LANES
 * rows, which it turns to lie side by side first. */
#include "worker/pipe/resize.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "worker/pipe/resize_avx2.h"

#include <math.h>
#include <string.h>

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF /* GCC does not contract under -std=c17 */
#endif

#define PI            3.14159265358979323846
#define FRACTION_BITS RESIZE_FRACTION_BITS
#define LANES         16 /* rows that go through the horizontal pass side by side */
#define STRIP         64 /* bytes that go through the vertical pass side by side */

#define INLINE static inline __attribute__((always_inline))

_Static_assert(LANES % 8 == 0, "rows are turned eight by eight");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "turn_8x8 counts bytes from the low end");

/* Keys' cubic with a = -0.5. */
static double bicubic(double x)
{
    const double a = -0.5;
    x = x < 0.0 ? -x : x;
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
    return 0.0;
}

static double sinc(double x)
{
    const double angle = x * PI;
    return x == 0.0 ? 1.0 : sin(angle) / angle;
}

static double lanczos(double x)
{
    return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3.0) : 0.0;
}

static double bilinear(double x)
{
    x = x < 0.0 ? -x : x;
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double box(double x)
{
    return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
}

/* support: in input pixels at scale 1. */
static const struct kernel {
    const char *name;
    double support;
    double (*weight)(double x);
} kernels[RESIZE_FILTERS_COUNT] = {
    [RESIZE_BICUBIC] = {"bicubic", 2.0, bicubic},    [RESIZE_LANCZOS] = {"lanczos", 3.0, lanczos},
    [RESIZE_BILINEAR] = {"bilinear", 1.0, bilinear}, [RESIZE_BOX] = {"box", 0.5, box},
    [RESIZE_NEAREST] = {"nearest", 0.0, NULL}, /* is no sum: see nearest_* */
};

const char *resize_filter_name(enum resize_filter filter)
{
    return (uint32_t)filter < RESIZE_FILTERS_COUNT ? kernels[filter].name : "unknown";
}

static int32_t to_fixed(double weight)
{
    const double scaled = weight * (double)(1 << FRACTION_BITS);
    return (int32_t)(weight < 0.0 ? scaled - 0.5 : scaled + 0.5);
}

/* One axis of the result: count samples of outputs, from first on. */
struct span {
    uint32_t outputs, first, count;
};

/* Weights of one output sample; scratch holds taps->width doubles. */
static void taps_fill(struct taps *taps, uint32_t index, uint32_t inputs, const struct span *span,
                      const struct kernel *kernel, double *scratch)
{
    const uint32_t output = span->first + index;
    const double scale = (double)inputs / span->outputs;
    const double stretch = scale < 1.0 ? 1.0 : scale;
    const double support = kernel->support * stretch;
    const double centre = (output + 0.5) * scale;
    const double inverse = 1.0 / stretch;
    const double low = centre - support + 0.5;
    const double high = centre + support + 0.5;
    const uint32_t first = low < 0.0 ? 0 : (uint32_t)low;
    const uint32_t end = high > (double)inputs ? inputs : (uint32_t)high;
    const uint32_t count = end - first;
    CHECK(end > first && count <= taps->width);
    double sum = 0.0;
    for (uint32_t i = 0; i < count; i++) {
        scratch[i] = kernel->weight(((double)i + (double)first - centre + 0.5) * inverse);
        sum += scratch[i];
    }
    int32_t *weight = taps->weight + index * taps->width;
    for (uint32_t i = 0; i < count; i++)
        weight[i] = to_fixed(sum != 0.0 ? scratch[i] / sum : scratch[i]);
    taps->first[index] = first;
    taps->count[index] = count;
}

static bool taps_init(struct taps *taps, uint32_t inputs, const struct span *span,
                      const struct kernel *kernel)
{
    const uint32_t outputs = span->count;
    *taps = (struct taps){.outputs = outputs};
    const double scale = (double)inputs / span->outputs;
    taps->width = (size_t)ceil(kernel->support * (scale < 1.0 ? 1.0 : scale)) * 2 + 1;
    size_t weights, bytes;
    const size_t bounds = (size_t)outputs * 2 * sizeof(uint32_t);
    if (__builtin_mul_overflow(taps->width * sizeof(int32_t), (size_t)outputs, &weights) ||
        __builtin_add_overflow(weights, bounds + taps->width * sizeof(double), &bytes))
        return false;
    taps->memory = mem_try(bytes);
    if (!taps->memory) return false;
    double *scratch = taps->memory;
    void *after = scratch + taps->width;
    taps->weight = after;
    after = taps->weight + taps->width * outputs;
    taps->first = after;
    taps->count = taps->first + outputs;
    for (uint32_t i = 0; i < outputs; i++) taps_fill(taps, i, inputs, span, kernel, scratch);
    return true;
}

static void taps_deinit(struct taps *taps)
{
    mem_free(taps->memory);
    *taps = (struct taps){0};
}

INLINE uint8_t to_sample(int32_t sum)
{
    const int32_t value = sum >> FRACTION_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* Everything one pass needs. */
struct pass {
    struct image *dst;
    const struct image *src;
    const struct taps *taps;
    uint32_t src_y;  /* first row of src that the pass reads */
    uint8_t *turned; /* horizontal: LANES rows of src, column by column */
    uint8_t *result; /* horizontal: LANES rows of dst, column by column */
};

/* One output pixel column of LANES rows. in: column 0 of the first tap. */
INLINE void column_sum(uint8_t *out, const uint8_t *in, size_t step, const int32_t *weight,
                       uint32_t count)
{
    int32_t sum[LANES];
    for (int lane = 0; lane < LANES; lane++) sum[lane] = 1 << (FRACTION_BITS - 1);
    for (uint32_t tap = 0; tap < count; tap++, in += step) {
        const int32_t w = weight[tap];
        for (int lane = 0; lane < LANES; lane++) sum[lane] += in[lane] * w;
    }
    for (int lane = 0; lane < LANES; lane++) out[lane] = to_sample(sum[lane]);
}

/* The upper half of each group in *a changes places with the lower half in *b. */
INLINE void swap_halves(uint64_t *a, uint64_t *b, int bits, uint64_t low)
{
    const uint64_t differ = (*a >> bits ^ *b) & low;
    *b ^= differ;
    *a ^= differ << bits;
}

/* Rows become columns: byte j of word i changes places with byte i of word j, by swapping ever
 * smaller quarters. Written out because GCC leaves loops like these rolled. */
INLINE void turn_8x8(uint64_t w[8])
{
    const uint64_t low_4 = 0x00000000FFFFFFFF, low_2 = 0x0000FFFF0000FFFF;
    const uint64_t low_1 = 0x00FF00FF00FF00FF;
    swap_halves(&w[0], &w[4], 32, low_4);
    swap_halves(&w[1], &w[5], 32, low_4);
    swap_halves(&w[2], &w[6], 32, low_4);
    swap_halves(&w[3], &w[7], 32, low_4);
    swap_halves(&w[0], &w[2], 16, low_2);
    swap_halves(&w[1], &w[3], 16, low_2);
    swap_halves(&w[4], &w[6], 16, low_2);
    swap_halves(&w[5], &w[7], 16, low_2);
    swap_halves(&w[0], &w[1], 8, low_1);
    swap_halves(&w[2], &w[3], 8, low_1);
    swap_halves(&w[4], &w[5], 8, low_1);
    swap_halves(&w[6], &w[7], 8, low_1);
}

/* LANES rows to LANES bytes for each column. */
INLINE void turn_in(uint8_t *turned, const uint8_t *const row[LANES], size_t columns)
{
    size_t at = 0;
    for (; at + 8 <= columns; at += 8)
        for (int group = 0; group < LANES; group += 8) {
            uint64_t word[8];
            for (int i = 0; i < 8; i++) memcpy(&word[i], row[group + i] + at, 8);
            turn_8x8(word);
            uint8_t *out = turned + at * LANES + group;
            for (int i = 0; i < 8; i++) memcpy(out + i * LANES, &word[i], 8);
        }
    for (; at < columns; at++)
        for (int lane = 0; lane < LANES; lane++) turned[at * LANES + (size_t)lane] = row[lane][at];
}

/* And back. */
INLINE void turn_out(uint8_t *const row[LANES], const uint8_t *turned, size_t columns)
{
    size_t at = 0;
    for (; at + 8 <= columns; at += 8)
        for (int group = 0; group < LANES; group += 8) {
            uint64_t word[8];
            const uint8_t *in = turned + at * LANES + group;
            for (int i = 0; i < 8; i++) memcpy(&word[i], in + i * LANES, 8);
            turn_8x8(word);
            for (int i = 0; i < 8; i++) memcpy(row[group + i] + at, &word[i], 8);
        }
    for (; at < columns; at++)
        for (int lane = 0; lane < LANES; lane++) row[lane][at] = turned[at * LANES + (size_t)lane];
}

/* Rows y to y + LANES of dst; at the end, lanes without a row of their own repeat the last one. */
INLINE void horizontal_block(const struct pass *pass, uint32_t y)
{
    const struct taps *taps = pass->taps;
    const size_t channels = pass->src->channels;
    const uint32_t left = pass->dst->height - y;
    const uint8_t *from[LANES];
    uint8_t *to[LANES];
    for (uint32_t lane = 0; lane < LANES; lane++) {
        const uint32_t own = y + (lane < left ? lane : left - 1);
        from[lane] = image_row(pass->src, pass->src_y + own);
        to[lane] = image_row(pass->dst, own);
    }
    turn_in(pass->turned, from, pass->src->width * channels);
    uint8_t *out = pass->result;
    for (uint32_t x = 0; x < taps->outputs; x++) {
        const uint8_t *in = pass->turned + taps->first[x] * channels * LANES;
        for (size_t c = 0; c < channels; c++, in += LANES, out += LANES)
            column_sum(out, in, channels * LANES, taps->weight + x * taps->width, taps->count[x]);
    }
    turn_out(to, pass->result, taps->outputs * channels);
}

INLINE void strip_sum(uint8_t *out, const uint8_t *in, size_t stride, const int32_t *weight,
                      uint32_t count)
{
    int32_t sum[STRIP];
    for (int i = 0; i < STRIP; i++) sum[i] = 1 << (FRACTION_BITS - 1);
    for (uint32_t tap = 0; tap < count; tap++, in += stride) {
        const int32_t w = weight[tap];
        for (int i = 0; i < STRIP; i++) sum[i] += in[i] * w;
    }
    for (int i = 0; i < STRIP; i++) out[i] = to_sample(sum[i]);
}

INLINE void vertical_row(const struct pass *pass, uint32_t y)
{
    const struct taps *taps = pass->taps;
    const size_t stride = pass->src->stride;
    const size_t bytes = (size_t)pass->dst->width * pass->dst->channels;
    const uint8_t *in = pass->src->pixels + (taps->first[y] - pass->src_y) * stride;
    const int32_t *weight = taps->weight + y * taps->width;
    uint8_t *out = image_row(pass->dst, y);
    size_t i = 0;
    for (; i + STRIP <= bytes; i += STRIP)
        strip_sum(out + i, in + i, stride, weight, taps->count[y]);
    for (; i < bytes; i++) {
        int32_t sum = 1 << (FRACTION_BITS - 1);
        for (uint32_t tap = 0; tap < taps->count[y]; tap++)
            sum += in[tap * stride + i] * weight[tap];
        out[i] = to_sample(sum);
    }
}

static bool resize_width_turned(struct image *dst, const struct image *src, uint32_t src_y,
                                const struct taps *taps)
{
    const size_t src_columns = (size_t)src->channels * src->width;
    const size_t dst_columns = (size_t)src->channels * taps->outputs;
    uint8_t *block = mem_try((src_columns + dst_columns) * LANES);
    if (!block) return false;
    struct pass pass = {dst, src, taps, src_y, block, block + src_columns * LANES};
    for (uint32_t y = 0; y < dst->height; y += LANES) horizontal_block(&pass, y);
    mem_free(block);
    return true;
}

/* Makes *dst from rows src_y to src_y + rows of src, width changed. */
static bool resize_width(struct image *dst, const struct image *src, const struct span *columns,
                         uint32_t src_y, uint32_t rows, const struct kernel *kernel)
{
    struct taps taps = {0};
    struct image result = {0};
    bool made = taps_init(&taps, src->width, columns, kernel) &&
                image_init_bare(&result, columns->count, rows, src->channels);
    if (made)
        made = src->channels == 3 && src->width >= RESIZE_AVX2_WIDTH_MIN && resize_avx2_works()
                   ? resize_avx2_width(&result, src, src_y, &taps)
                   : resize_width_turned(&result, src, src_y, &taps);
    if (made) image_move(dst, &result);
    image_deinit(&result);
    taps_deinit(&taps);
    return made;
}

/* Makes *dst with taps->outputs rows; src's row 0 is row src_y of the picture that taps tell of. */
static bool resize_height(struct image *dst, const struct image *src, const struct taps *taps,
                          uint32_t src_y)
{
    struct image result;
    if (!image_init_bare(&result, src->width, taps->outputs, src->channels)) return false;
    struct pass pass = {.dst = &result, .src = src, .taps = taps, .src_y = src_y};
    if (resize_avx2_works())
        resize_avx2_height(&result, src, src_y, taps);
    else
        for (uint32_t y = 0; y < result.height; y++) vertical_row(&pass, y);
    image_move(dst, &result);
    return true;
}

static bool copy(struct image *dst, const struct image *src)
{
    if (!image_init(dst, src->width, src->height, src->channels)) return false;
    image_copy(dst, 0, 0, src, &(struct image_rect){0, 0, src->width, src->height});
    return true;
}

/* Pillow 13's order of passes: down first where much more height than width goes. */
static bool is_vertical_first(const struct image *src, uint32_t width, uint32_t height)
{
    const int64_t less_height = (int64_t)src->height - height;
    const int64_t less_width = (int64_t)src->width - width;
    return less_height > 0 && less_height > 2 * less_width;
}

static bool resize_both(struct image *dst, const struct image *src, const struct span *columns,
                        const struct span *rows, const struct taps *taps,
                        const struct kernel *kernel)
{
    struct image between = {0};
    const uint32_t last = taps->outputs - 1;
    bool made;
    if (is_vertical_first(src, columns->outputs, rows->outputs)) {
        made = resize_height(&between, src, taps, 0) &&
               resize_width(dst, &between, columns, 0, between.height, kernel);
    } else {
        const uint32_t first_row = taps->first[0];
        const uint32_t end_row = taps->first[last] + taps->count[last];
        made = resize_width(&between, src, columns, first_row, end_row - first_row, kernel) &&
               resize_height(dst, &between, taps, first_row);
    }
    image_deinit(&between);
    return made;
}

/* An axis that keeps its size is cut, not filtered. */
static bool resize_sums(struct image *dst, const struct image *src, const struct span *columns,
                        const struct span *rows, const struct kernel *kernel)
{
    struct taps taps = {0};
    struct image view = *src;
    const bool same_width = columns->outputs == src->width;
    const bool same_height = rows->outputs == src->height;
    if (same_width) {
        view.pixels += (size_t)columns->first * src->channels;
        view.width = columns->count;
    }
    if (same_height) {
        view.pixels += rows->first * src->stride;
        view.height = rows->count;
    }
    if (same_width && same_height) return copy(dst, &view);
    if (same_height) return resize_width(dst, &view, columns, 0, rows->count, kernel);
    const bool made = taps_init(&taps, src->height, rows, kernel) &&
                      (same_width ? resize_height(dst, &view, &taps, 0)
                                  : resize_both(dst, &view, columns, rows, &taps, kernel));
    taps_deinit(&taps);
    return made;
}

/* The input sample under the centre of each output sample. The position is summed up as Pillow
 * does it (ImagingScaleAffine), because its rounding decides where two samples are as near. */
static void nearest_places(uint32_t *place, const struct span *span, uint32_t inputs)
{
    const double scale = (double)inputs / span->outputs;
    double at = scale * 0.5;
    for (uint32_t i = 0; i < span->first; i++) at += scale;
    for (uint32_t i = 0; i < span->count; i++) {
        place[i] = at < (double)inputs ? (uint32_t)at : inputs - 1;
        at += scale;
    }
}

static bool resize_nearest(struct image *dst, const struct image *src, const struct span *columns,
                           const struct span *rows)
{
    const uint32_t width = columns->count, height = rows->count;
    uint32_t *column = mem_try(((size_t)width + height) * sizeof *column);
    if (!column || !image_init(dst, width, height, src->channels)) {
        mem_free(column);
        return false;
    }
    uint32_t *row = column + width;
    nearest_places(column, columns, src->width);
    nearest_places(row, rows, src->height);
    const size_t channels = src->channels;
    for (uint32_t y = 0; y < height; y++) {
        const uint8_t *in = image_row(src, row[y]);
        uint8_t *out = image_row(dst, y);
        for (uint32_t x = 0; x < width; x++)
            for (size_t c = 0; c < channels; c++) *out++ = in[column[x] * channels + c];
    }
    mem_free(column);
    return true;
}

int resize_part(struct image *dst, const struct image *src, uint32_t width, uint32_t height,
                const struct image_rect *part, enum resize_filter filter, struct err *err)
{
    CHECK(src->pixels && src->channels >= 1 && src->channels <= IMAGE_CHANNELS_MAX);
    CHECK((uint32_t)filter < RESIZE_FILTERS_COUNT);
    CHECK(part->x <= width && part->width <= width - part->x);
    CHECK(part->y <= height && part->height <= height - part->y);
    *dst = (struct image){0};
    if (!part->width || !part->height)
        return err_set(err, ERR_INVALID, "resize to %ux%u", part->width, part->height);
    const struct span columns = {width, part->x, part->width};
    const struct span rows = {height, part->y, part->height};
    const bool same_size = width == src->width && height == src->height;
    const bool made = filter == RESIZE_NEAREST && !same_size
                          ? resize_nearest(dst, src, &columns, &rows)
                          : resize_sums(dst, src, &columns, &rows, &kernels[filter]);
    if (made) return 0;
    return err_set(err, ERR_LIMIT, "out of memory for a picture of %ux%u", part->width,
                   part->height);
}

int resize_image(struct image *dst, const struct image *src, uint32_t width, uint32_t height,
                 enum resize_filter filter, struct err *err)
{
    const struct image_rect all = {0, 0, width, height};
    return resize_part(dst, src, width, height, &all, filter, err);
}

int resize_bicubic(struct image *dst, const struct image *src, uint32_t width, uint32_t height,
                   struct err *err)
{
    return resize_image(dst, src, width, height, RESIZE_BICUBIC, err);
}
