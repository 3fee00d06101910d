/* resize_avx2.c - see resize_avx2.h.
 *
 * Across, four taps of a row are twelve bytes. They are taken twice into a register, and one
 * shuffle makes pairs of 16-bit numbers of them, so that each product of pairs is two taps of one
 * channel:
 *
 *   lower half    R0 R1 | G0 G1 | B0 B1 | -      upper half    R2 R3 | G2 G3 | B2 B3 | -
 *
 * The weights stand in memory in the same order. Four rows go side by side, so that the weights are
 * loaded once for them. Down, the bytes of two rows are made such pairs, a strip at a time. */
#include "worker/pipe/resize_avx2.h"

#include "common/base/check.h"
#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)

#include <immintrin.h>

#define TARGET        __attribute__((target("avx2")))
#define ROWS          4
#define GROUP         4 /* taps */
#define CHANNELS      3
#define LOW_BITS      15
#define LOAD_BYTES    16
#define GROUP_WEIGHTS 16 /* 16-bit ones of a register */

/* Low and high parts of the weights of GROUP taps, as the shuffled bytes stand. */
struct group {
    int16_t low[GROUP_WEIGHTS], high[GROUP_WEIGHTS];
};

struct plan {
    const struct taps *taps;
    struct group *group; /* of output i from i * groups on; owned */
    size_t groups;
    uint8_t *last; /* behind them: the last row of the source, with room for a load */
};

bool resize_avx2_works(void)
{
    const char *cpu = getenv("VLMQ_CPU");
    return __builtin_cpu_supports("avx2") && !(cpu && !strcmp(cpu, "portable"));
}

static void fill_group(struct group *group, const int32_t *weight, uint32_t count)
{
    memset(group, 0, sizeof *group);
    for (uint32_t tap = 0; tap < GROUP && tap < count; tap++)
        for (uint32_t channel = 0; channel < CHANNELS; channel++) {
            const uint32_t at = tap / 2 * 8 + channel * 2 + tap % 2;
            group->low[at] = (int16_t)(weight[tap] & ((1 << LOW_BITS) - 1));
            group->high[at] = (int16_t)(weight[tap] >> LOW_BITS);
        }
}

static bool plan_init(struct plan *plan, const struct image *src, const struct taps *taps)
{
    size_t groups, bytes;
    *plan = (struct plan){.taps = taps, .groups = (taps->width + GROUP - 1) / GROUP};
    if (__builtin_mul_overflow(plan->groups, (size_t)taps->outputs, &groups) ||
        __builtin_mul_overflow(groups, sizeof *plan->group, &bytes))
        return false;
    const size_t row_bytes = (size_t)src->width * CHANNELS;
    size_t all;
    if (__builtin_add_overflow(bytes, row_bytes + LOAD_BYTES, &all)) return false;
    plan->group = mem_try(all);
    if (!plan->group) return false;
    plan->last = (uint8_t *)plan->group + bytes;
    for (uint32_t x = 0; x < taps->outputs; x++)
        for (uint32_t tap = 0; tap < taps->count[x]; tap += GROUP)
            fill_group(&plan->group[x * plan->groups + tap / GROUP],
                       taps->weight + x * taps->width + tap, taps->count[x] - tap);
    memcpy(plan->last, image_row(src, src->height - 1), row_bytes);
    return true;
}

static void plan_deinit(struct plan *plan)
{
    mem_free(plan->group);
}

#define INLINE static inline __attribute__((always_inline)) TARGET

/* The two sums of one row. Written out for each row: compilers keep arrays of them in memory. */
struct sums {
    __m256i low, high;
};

INLINE void add_taps(struct sums *sums, const uint8_t *in, __m256i low, __m256i high)
{
    const __m256i to_pairs =
        _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, /* taps 0, 1 */
                         6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)in);
    const __m256i pairs = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), to_pairs);
    sums->low = _mm256_add_epi32(sums->low, _mm256_madd_epi16(pairs, low));
    sums->high = _mm256_add_epi32(sums->high, _mm256_madd_epi16(pairs, high));
}

INLINE __m256i whole(const struct sums *sums)
{
    return _mm256_add_epi32(_mm256_slli_epi32(sums->high, LOW_BITS), sums->low);
}

/* The samples of two rows, one in each half, as 32-bit numbers. */
INLINE __m256i samples(const struct sums *first, const struct sums *second)
{
    const __m256i a = whole(first), b = whole(second);
    const __m256i sum = _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20),
                                         _mm256_permute2x128_si256(a, b, 0x31));
    const __m256i half = _mm256_set1_epi32(1 << (RESIZE_FRACTION_BITS - 1));
    return _mm256_srai_epi32(_mm256_add_epi32(sum, half), RESIZE_FRACTION_BITS);
}

/* One output pixel of ROWS rows, four bytes for each, of which the last means nothing: rows 0 and 2
 * in the lower half, 1 and 3 in the upper. */
INLINE __m256i sum_pixel(const uint8_t *const in[ROWS], const struct group *group, uint32_t count)
{
    const struct sums none = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    struct sums row0 = none, row1 = none, row2 = none, row3 = none;
    const uint8_t *in0 = in[0], *in1 = in[1], *in2 = in[2], *in3 = in[3];
    for (size_t at = 0; at < (size_t)count * CHANNELS; at += GROUP * CHANNELS, group++) {
        const __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)group->low);
        const __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)group->high);
        add_taps(&row0, in0 + at, low, high);
        add_taps(&row1, in1 + at, low, high);
        add_taps(&row2, in2 + at, low, high);
        add_taps(&row3, in3 + at, low, high);
    }
    const __m256i words = _mm256_packs_epi32(samples(&row0, &row1), samples(&row2, &row3));
    return _mm256_packus_epi16(words, words);
}

/* bytes: 4, or 3 for the last pixel of a row, which has none behind it to be written over. */
INLINE void store_pixel(uint8_t *const to[ROWS], size_t offset, __m256i pixel, size_t bytes)
{
    const __m128i even = _mm256_castsi256_si128(pixel), odd = _mm256_extracti128_si256(pixel, 1);
    const int row[ROWS] = {_mm_cvtsi128_si32(even), _mm_cvtsi128_si32(odd),
                           _mm_extract_epi32(even, 1), _mm_extract_epi32(odd, 1)};
    memcpy(to[0] + offset, &row[0], bytes);
    memcpy(to[1] + offset, &row[1], bytes);
    memcpy(to[2] + offset, &row[2], bytes);
    memcpy(to[3] + offset, &row[3], bytes);
}

/* Rows y to y + ROWS of dst; past the end the last one again. */
TARGET static void rows_at(struct image *dst, const struct image *src, uint32_t src_y,
                           const struct plan *plan, uint32_t y)
{
    const struct taps *taps = plan->taps;
    const uint8_t *from[ROWS], *in[ROWS];
    uint8_t *to[ROWS];
    for (uint32_t row = 0; row < ROWS; row++) {
        const uint32_t own = y + row < dst->height ? y + row : dst->height - 1;
        const bool is_last = src_y + own == src->height - 1;
        from[row] = is_last ? plan->last : image_row(src, src_y + own);
        to[row] = image_row(dst, own);
    }
    const struct group *group = plan->group;
    const uint32_t outputs = taps->outputs;
    for (uint32_t x = 0; x < outputs; x++, group += plan->groups) {
        const size_t offset = (size_t)taps->first[x] * CHANNELS, at = (size_t)x * CHANNELS;
        for (uint32_t row = 0; row < ROWS; row++) in[row] = from[row] + offset;
        const __m256i pixel = sum_pixel(in, group, taps->count[x]);
        if (x + 1 < outputs)
            store_pixel(to, at, pixel, 4);
        else
            store_pixel(to, at, pixel, CHANNELS);
    }
}

bool resize_avx2_width(struct image *dst, const struct image *src, uint32_t src_y,
                       const struct taps *taps)
{
    struct plan plan;
    CHECK(src->channels == CHANNELS && dst->channels == CHANNELS &&
          src->width >= RESIZE_AVX2_WIDTH_MIN);
    const bool made = plan_init(&plan, src, taps);
    if (made)
        for (uint32_t y = 0; y < dst->height; y += ROWS) rows_at(dst, src, src_y, &plan, y);
    plan_deinit(&plan);
    return made;
}

/* A strip of bytes goes down at a time. */
#define STRIP 32

/* Pairs of one quarter of a strip with the weights of the two rows. */
INLINE void add_pairs(struct sums *sums, __m256i pairs, __m256i low, __m256i high)
{
    sums->low = _mm256_add_epi32(sums->low, _mm256_madd_epi16(pairs, low));
    sums->high = _mm256_add_epi32(sums->high, _mm256_madd_epi16(pairs, high));
}

INLINE __m256i shifted(const struct sums *sums)
{
    const __m256i half = _mm256_set1_epi32(1 << (RESIZE_FRACTION_BITS - 1));
    return _mm256_srai_epi32(_mm256_add_epi32(whole(sums), half), RESIZE_FRACTION_BITS);
}

/* Two 16-bit weights, again and again. */
INLINE __m256i weights(int32_t first, int32_t second)
{
    return _mm256_set1_epi32((int32_t)((uint32_t)first & 0xFFFF) |
                             (int32_t)((uint32_t)second << 16));
}

INLINE void strip(uint8_t *out, const uint8_t *in, size_t stride, const int32_t *weight,
                  uint32_t count)
{
    const struct sums none = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    const __m256i zero = _mm256_setzero_si256();
    const int32_t mask = (1 << LOW_BITS) - 1;
    struct sums q0 = none, q1 = none, q2 = none, q3 = none;
    for (uint32_t tap = 0; tap < count; tap += 2, in += 2 * stride) {
        const bool both = tap + 1 < count; /* else the row meets itself, with weight 0 */
        const int32_t w0 = weight[tap], w1 = both ? weight[tap + 1] : 0;
        const __m256i low = weights(w0 & mask, w1 & mask);
        const __m256i high = weights(w0 >> LOW_BITS, w1 >> LOW_BITS);
        const __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)in);
        const __m256i b =
            _mm256_loadu_si256((const __m256i *)(const void *)(both ? in + stride : in));
        const __m256i left = _mm256_unpacklo_epi8(a, b), right = _mm256_unpackhi_epi8(a, b);
        add_pairs(&q0, _mm256_unpacklo_epi8(left, zero), low, high);
        add_pairs(&q1, _mm256_unpackhi_epi8(left, zero), low, high);
        add_pairs(&q2, _mm256_unpacklo_epi8(right, zero), low, high);
        add_pairs(&q3, _mm256_unpackhi_epi8(right, zero), low, high);
    }
    const __m256i first = _mm256_packs_epi32(shifted(&q0), shifted(&q1));
    const __m256i second = _mm256_packs_epi32(shifted(&q2), shifted(&q3));
    _mm256_storeu_si256((__m256i *)(void *)out, _mm256_packus_epi16(first, second));
}

TARGET static void row_at(struct image *dst, const struct image *src, uint32_t src_y,
                          const struct taps *taps, uint32_t y)
{
    const size_t bytes = (size_t)dst->width * dst->channels, stride = src->stride;
    const uint8_t *in = image_row(src, taps->first[y] - src_y);
    const int32_t *weight = taps->weight + y * taps->width;
    uint8_t *out = image_row(dst, y);
    size_t at = 0;
    for (; at + STRIP <= bytes; at += STRIP)
        strip(out + at, in + at, stride, weight, taps->count[y]);
    if (at == bytes) return;
    if (bytes >= STRIP) { /* the last strip begins earlier */
        at = bytes - STRIP;
        strip(out + at, in + at, stride, weight, taps->count[y]);
        return;
    }
    for (; at < bytes; at++) {
        int32_t sum = 1 << (RESIZE_FRACTION_BITS - 1);
        for (uint32_t tap = 0; tap < taps->count[y]; tap++)
            sum += in[tap * stride + at] * weight[tap];
        sum >>= RESIZE_FRACTION_BITS;
        out[at] = (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
    }
}

void resize_avx2_height(struct image *dst, const struct image *src, uint32_t src_y,
                        const struct taps *taps)
{
    for (uint32_t y = 0; y < dst->height; y++) row_at(dst, src, src_y, taps, y);
}

#else

bool resize_avx2_works(void)
{
    return false;
}

bool resize_avx2_width(struct image *dst, const struct image *src, uint32_t src_y,
                       const struct taps *taps)
{
    (void)dst, (void)src, (void)src_y, (void)taps;
    return false;
}

void resize_avx2_height(struct image *dst, const struct image *src, uint32_t src_y,
                        const struct taps *taps)
{
    (void)dst, (void)src, (void)src_y, (void)taps;
}

#endif
