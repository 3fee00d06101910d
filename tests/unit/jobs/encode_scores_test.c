/* encode_scores_test.c - labels of pictures, near duplicates and placeholders against plain loops;
 * ties, ends of ranges, vectors that are none. */
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "tests/support/test.h"
#include "worker/jobs/encode/near.h"
#include "worker/jobs/encode/placeholder.h"
#include "worker/jobs/encode/scores.h"
#include "worker/nn/dtype.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LABELS     301
#define PROJECTION 40
#define PICTURES   150

/* Rows of length 1 that point anywhere. */
static float *random_rows(uint64_t seed, uint32_t rows, uint32_t columns)
{
    float *row = mem_new((size_t)rows * columns * sizeof *row);
    struct rng rng;
    rng_seed(&rng, seed);
    for (uint32_t i = 0; i < rows; i++) {
        double squares = 0;
        for (uint32_t k = 0; k < columns; k++) {
            float *number = &row[i * columns + k];
            *number = (float)(rng_next(&rng) % 2001) / 1000 - 1;
            squares += (double)*number * (double)*number;
        }
        for (uint32_t k = 0; k < columns; k++) row[i * columns + k] /= (float)sqrt(squares);
    }
    return row;
}

static double dot(const float *a, const float *b, uint32_t columns)
{
    double sum = 0;
    for (uint32_t k = 0; k < columns; k++) sum += (double)a[k] * (double)b[k];
    return sum;
}

struct ranked {
    double cosine;
    uint32_t label;
};

static int by_cosine(const void *a, const void *b)
{
    const struct ranked *left = a, *right = b;
    if (left->cosine > right->cosine || left->cosine < right->cosine)
        return left->cosine > right->cosine ? -1 : 1;
    return left->label < right->label ? -1 : 1;
}

TEST(scores, are_the_softmax_of_the_cosines)
{
    UNUSED_STATE;
    enum { TOP = 5 };
    float *label = random_rows(1, LABELS, PROJECTION),
          *picture = random_rows(2, PICTURES, PROJECTION);
    for (uint32_t p = 0; p < PICTURES; p++) {
        struct ranked ranked[LABELS];
        struct row_label best[TOP];
        float cosine[LABELS];
        double sum = 0;
        for (uint32_t i = 0; i < LABELS; i++) {
            ranked[i].cosine = dot(picture + p * PROJECTION, label + i * PROJECTION, PROJECTION);
            ranked[i].label = i;
            cosine[i] = (float)ranked[i].cosine;
            sum += exp(20 * ranked[i].cosine);
        }
        EXPECT(scores_best(best, TOP, cosine, LABELS, 20));
        qsort(ranked, LABELS, sizeof ranked[0], by_cosine);
        for (uint32_t i = 0; i < TOP; i++) {
            const double expected = exp(20 * ranked[i].cosine) / sum;
            EXPECT_EQ(best[i].label, ranked[i].label);
            EXPECT(fabs((double)best[i].confidence - expected) < 1e-5 * expected + 1e-9);
        }
    }
    mem_free(label);
    mem_free(picture);
}

TEST(scores, equal_labels_come_in_their_order)
{
    UNUSED_STATE;
    static const float cosine[] = {0.25f, 0.5f, 0.25f, 0.5f, 0.5f, -1.0f};
    struct row_label best[6];
    EXPECT(scores_best(best, 4, cosine, 6, 100));
    EXPECT_EQ(best[0].label, 1);
    EXPECT_EQ(best[1].label, 3);
    EXPECT_EQ(best[2].label, 4);
    EXPECT_EQ(best[3].label, 0);
    for (int i = 0; i < 3; i++) EXPECT(fabs((double)best[i].confidence - 1.0 / 3) < 1e-6);
    EXPECT(best[3].confidence > 0 && best[3].confidence < 1e-10f);
    EXPECT(scores_best(best, 6, cosine, 6, 0)); /* no scale: all alike, still in that order */
    EXPECT_EQ(best[5].label, 5);
    for (int i = 0; i < 6; i++) EXPECT(fabs((double)best[i].confidence - 1.0 / 6) < 1e-7);
    EXPECT(scores_best(best, 1, cosine + 5, 1, 100));
    EXPECT(best[0].confidence >= 1 && best[0].confidence <= 1);
    EXPECT(scores_best(best, 2, cosine + 4, 2, 1e6f)); /* below the smallest double: 0 */
    EXPECT(best[1].confidence >= 0 && best[1].confidence <= 0);
}

/* Over the whole range of what the softmax asks for: two labels, one of them x below the other. */
TEST(scores, confidences_are_exact_to_the_last_bit_of_a_float)
{
    UNUSED_STATE;
    for (int i = 0; i <= 20000; i++) {
        const float cosine[2] = {0, -(float)i / 1000};
        struct row_label best[2];
        EXPECT(scores_best(best, 2, cosine, 2, 1));
        const double expected = 1 / (1 + exp((double)cosine[1]));
        if (f32_bits(best[0].confidence) != f32_bits((float)expected)) fail_msg("at %d", i);
    }
}

TEST(scores, what_is_no_number_is_refused)
{
    UNUSED_STATE;
    static const float none[] = {NAN, INFINITY, -INFINITY};
    struct row_label best[4];
    for (uint32_t at = 0; at < 4; at++)
        for (uint32_t i = 0; i < 3; i++) {
            float cosine[4] = {0.25f, 0.5f, -0.25f, 1};
            EXPECT(scores_best(best, 4, cosine, 4, 100));
            cosine[at] = none[i];
            EXPECT(!scores_best(best, 4, cosine, 4, 100));
        }
}

#define SHARD     900 /* several blocks of near.c, and more rows than it compares at once */
#define COLUMNS   16
#define THRESHOLD 0.9f
#define THREADS   2

/* Every third row is near an earlier one, by a little or by a lot, also in chains. */
static float *shard_rows(uint64_t seed)
{
    float *row = random_rows(seed, SHARD, COLUMNS);
    struct rng rng;
    rng_seed(&rng, seed + 1);
    for (uint32_t i = 1; i < SHARD; i++) {
        if (rng_next(&rng) % 3) continue;
        const uint32_t of = (uint32_t)(rng_next(&rng) % i);
        const float much = (float)(rng_next(&rng) % 100) / 100;
        double squares = 0;
        for (uint32_t k = 0; k < COLUMNS; k++) {
            float *number = &row[i * COLUMNS + k];
            *number = row[of * COLUMNS + k] + much * *number;
            squares += (double)*number * (double)*number;
        }
        for (uint32_t k = 0; k < COLUMNS; k++) row[i * COLUMNS + k] /= (float)sqrt(squares);
    }
    return row;
}

static void find_near(struct near_match *match, const float *row, uint32_t batch)
{
    int64_t number[SHARD];
    struct near *near;
    struct err err;
    for (uint32_t i = 0; i < SHARD; i++) number[i] = 2 * (int64_t)i;
    EXPECT_OK(near_new(&near, THREADS, COLUMNS, THRESHOLD, &err), &err);
    for (uint32_t at = 0; at < SHARD; at += batch)
        EXPECT_OK(near_add(near, match + at, row + at * COLUMNS, number + at,
                           SHARD - at < batch ? SHARD - at : batch, &err),
                  &err);
    near_free(near);
}

TEST(near, the_first_kept_row_that_is_near_counts)
{
    UNUSED_STATE;
    static struct near_match match[SHARD];
    for (uint64_t seed = 1; seed <= 3; seed++) {
        float *row = shard_rows(seed);
        uint32_t kept[SHARD], kept_count = 0, duplicates = 0;
        find_near(match, row, SHARD);
        for (uint32_t i = 0; i < SHARD; i++) {
            uint32_t k = 0;
            while (k < kept_count &&
                   dot(row + i * COLUMNS, row + kept[k] * COLUMNS, COLUMNS) < (double)THRESHOLD)
                k++;
            if (k == kept_count) {
                kept[kept_count++] = i;
                EXPECT_EQ(match[i].duplicate_of, -1);
                EXPECT(match[i].similarity >= 0 && match[i].similarity <= 0);
                continue;
            }
            duplicates++;
            EXPECT_EQ(match[i].duplicate_of, 2 * kept[k]);
            EXPECT(fabs((double)match[i].similarity -
                        dot(row + i * COLUMNS, row + kept[k] * COLUMNS, COLUMNS)) < 1e-6);
        }
        EXPECT(duplicates > 50 && kept_count > 512); /* more than two blocks */
        mem_free(row);
    }
}

TEST(near, calls_do_not_show)
{
    UNUSED_STATE;
    static struct near_match whole[SHARD], part[SHARD];
    static const uint32_t batches[] = {1, 7, 128, 129, 500};
    float *row = shard_rows(7);
    find_near(whole, row, SHARD);
    for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++) {
        find_near(part, row, batches[i]);
        for (uint32_t k = 0; k < SHARD; k++) {
            EXPECT_EQ(part[k].duplicate_of, whole[k].duplicate_of);
            EXPECT_EQ(f32_bits(part[k].similarity), f32_bits(whole[k].similarity));
        }
    }
    mem_free(row);
}

TEST(near, the_threshold_itself_counts_and_no_number_never_does)
{
    UNUSED_STATE;
    static const float row[][2] = {{1, 0}, {1, 0}, {0.5f, 0.75f}, {NAN, 0}, {NAN, 0}, {0, 0}};
    static const int64_t number[] = {0, 1, 2, 3, 4, 5};
    struct near_match match[6];
    struct near *near;
    struct err err;
    EXPECT_OK(near_new(&near, THREADS, 2, 0.5f, &err), &err);
    EXPECT_OK(near_add(near, match, row[0], number, 0, &err), &err);
    EXPECT_OK(near_add(near, match, row[0], number, 6, &err), &err);
    EXPECT_EQ(match[0].duplicate_of, -1);
    EXPECT_EQ(match[1].duplicate_of, 0);
    EXPECT_EQ(match[2].duplicate_of, 0); /* exactly 0.5 */
    for (int i = 3; i < 6; i++) EXPECT_EQ(match[i].duplicate_of, -1);
    /* Also of a row that was kept in an earlier call. */
    EXPECT_OK(near_add(near, match, row[2], number, 1, &err), &err);
    EXPECT_EQ(match[0].duplicate_of, 0);
    near_free(near);
    near_free(NULL);
    int64_t failed = 0;
    for (;; failed++) { /* each of what it allocates fails once */
        (void)mem_fail(failed, 1);
        const int rc = near_new(&near, THREADS, 2, 0.5f, &err);
        (void)mem_fail(-1, 0);
        near_free(near);
        if (!rc) break;
        EXPECT_EQ(rc, ERR_LIMIT);
        EXPECT(near == NULL);
    }
    EXPECT(failed >= 2);
    EXPECT_OK(near_new(&near, THREADS, 2, 0.5f, &err), &err);
    (void)mem_fail(0, 1);
    const int rc = near_add(near, match, row[0], number, 6, &err);
    (void)mem_fail(-1, 0);
    EXPECT_EQ(rc, ERR_LIMIT);
    near_free(near);
}

TEST(placeholder, is_dropped_from_the_threshold_on)
{
    UNUSED_STATE;
    static const float reference[2][3] = {{10, 0, 0}, {0, -3, 4}};
    struct placeholder placeholder;
    struct err err;
    float cosine;
    EXPECT_OK(placeholder_init(&placeholder, reference[0], 2, 3, PLACEHOLDER_THRESHOLD, &err),
              &err);
    EXPECT(placeholder_cosine(&placeholder, &cosine, reference[1]));
    EXPECT(fabsf(cosine - 1) < 1e-6f && placeholder_drops(&placeholder, cosine));
    const float aside[3] = {0, 8, 6}, away[3] = {-1, 3, -4}, none[3] = {0};
    EXPECT(placeholder_cosine(&placeholder, &cosine, aside));
    EXPECT(fabsf(cosine) < 1e-6f && !placeholder_drops(&placeholder, cosine));
    EXPECT(placeholder_cosine(&placeholder, &cosine, away));
    EXPECT(cosine < -0.19f && !placeholder_drops(&placeholder, cosine));
    cosine = 1;
    EXPECT(!placeholder_cosine(&placeholder, &cosine, none));
    EXPECT(cosine >= 0 && cosine <= 0);
    const float broken[3] = {1, NAN, 0}, huge[3] = {INFINITY, 0, 0};
    EXPECT(!placeholder_cosine(&placeholder, &cosine, broken));
    EXPECT(!placeholder_cosine(&placeholder, &cosine, huge));
    const float large[3] = {3e38f, 3e38f, 3e38f}; /* squares that no float holds */
    EXPECT(placeholder_cosine(&placeholder, &cosine, large));
    EXPECT(fabsf(cosine - 0.5773503f) < 1e-6f);
    EXPECT(placeholder_drops(&placeholder, 0.3f));
    EXPECT(!placeholder_drops(&placeholder, 0.29999998f));
    placeholder_deinit(&placeholder);
    EXPECT_EQ(placeholder_init(&placeholder, none, 1, 3, 0.3f, &err), ERR_CORRUPT);
    EXPECT_EQ(placeholder_init(&placeholder, broken, 1, 3, 0.3f, &err), ERR_CORRUPT);
    (void)mem_fail(0, 1);
    EXPECT_EQ(placeholder_init(&placeholder, aside, 1, 3, 0.3f, &err), ERR_LIMIT);
    (void)mem_fail(-1, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(scores, are_the_softmax_of_the_cosines),
        RUN(scores, equal_labels_come_in_their_order),
        RUN(scores, confidences_are_exact_to_the_last_bit_of_a_float),
        RUN(scores, what_is_no_number_is_refused),
        RUN(near, the_first_kept_row_that_is_near_counts),
        RUN(near, calls_do_not_show),
        RUN(near, the_threshold_itself_counts_and_no_number_never_does),
        RUN(placeholder, is_dropped_from_the_threshold_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
