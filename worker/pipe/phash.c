/* phash.c - see phash.h. */
#include "worker/pipe/phash.h"

#include "common/base/check.h"
#include "worker/pipe/resize.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SIDE  32 /* of the gray picture */
#define LOW   8  /* of the frequencies that count */
#define COUNT (LOW * LOW)
#define TURN  (4 * SIDE) /* a whole turn, in steps of the table */

/* cos(pi i / 64) with 22 fractional bits, a quarter turn. Sums stay below 2^62: 8 bits of a sample,
 * twice 5 of a side and twice 22. */
static const int32_t cosines[SIDE + 1] = {
    4194304, 4189252, 4174107, 4148907, 4113712, 4068606, 4013699, 3949122, 3875032,
    3791606, 3699046, 3597575, 3487436, 3368897, 3242241, 3107774, 2965821, 2816722,
    2660838, 2498544, 2330230, 2156303, 1977181, 1793296, 1605091, 1413018, 1217542,
    1019133, 818268,  615432,  411114,  205805,  0,
};

static int64_t cosine(uint32_t step)
{
    step %= TURN;
    if (step > TURN / 2) step = TURN - step;
    if (step > TURN / 4) return -cosines[TURN / 2 - step];
    return cosines[step];
}

static bool to_gray(struct image *gray, const struct image *image)
{
    if (!image_init(gray, image->width, image->height, 1)) return false;
    for (uint32_t y = 0; y < image->height; y++) {
        const uint8_t *src = image_row(image, y);
        uint8_t *dst = image_row(gray, y);
        for (uint32_t x = 0; x < image->width; x++, src += 3)
            dst[x] = (uint8_t)((19595u * src[0] + 38470u * src[1] + 7471u * src[2] + 32768u) >> 16);
    }
    return true;
}

/* Without the factor that all have in common. */
static void transform(int64_t out[COUNT], const struct image *gray)
{
    int64_t half[LOW][SIDE]; /* down the columns */
    for (uint32_t k = 0; k < LOW; k++)
        for (uint32_t x = 0; x < SIDE; x++) {
            half[k][x] = 0;
            for (uint32_t y = 0; y < SIDE; y++)
                half[k][x] += image_row(gray, y)[x] * cosine(k * (2 * y + 1));
        }
    for (uint32_t k = 0; k < LOW; k++)
        for (uint32_t l = 0; l < LOW; l++) {
            int64_t sum = 0;
            for (uint32_t x = 0; x < SIDE; x++) sum += half[k][x] * cosine(l * (2 * x + 1));
            out[k * LOW + l] = sum;
        }
}

static int compare(const void *a, const void *b)
{
    const int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

int phash(uint64_t *hash, const struct image *image, struct err *err)
{
    struct image gray = {0}, small = {0};
    int64_t value[COUNT], sorted[COUNT];
    CHECK(image->channels == 3);
    int rc = to_gray(&gray, image) ? 0 : err_set(err, ERR_LIMIT, "no memory for a gray picture");
    if (!rc) rc = resize_image(&small, &gray, SIDE, SIDE, RESIZE_LANCZOS, err);
    image_deinit(&gray);
    if (rc) return rc;
    transform(value, &small);
    image_deinit(&small);
    for (int i = 0; i < COUNT; i++) sorted[i] = value[i];
    qsort(sorted, COUNT, sizeof sorted[0], compare);
    const int64_t twice_median = sorted[COUNT / 2 - 1] + sorted[COUNT / 2];
    *hash = 0;
    for (int i = 0; i < COUNT; i++) *hash = *hash << 1 | (2 * value[i] > twice_median);
    return 0;
}

void phash_text(char dst[PHASH_TEXT_BYTES], uint64_t hash)
{
    (void)snprintf(dst, PHASH_TEXT_BYTES, "%016" PRIx64, hash);
}
