/* fibers_test.c - the emulation of a device: it computes as one, and finds what is wrong. */
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "tests/nn/cuda/fibers_kernels.h"
#include "tests/support/cuda_emulated.h"
#include "tests/support/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifndef HAS_ASAN
#define HAS_ASAN 0
#endif

static const char *const orders[] = {"forward", "reverse"};

static void set_order(int order)
{
    EXPECT_EQ(setenv("CUDA_EMULATED_ORDER", orders[order], 1), 0);
}

static float *random_floats(uint32_t count, uint64_t seed)
{
    float *x = mem_new(count * sizeof *x);
    struct rng rng;
    rng_seed(&rng, seed);
    for (uint32_t i = 0; i < count; i++) x[i] = (float)rng_unit(&rng) * 4 - 2;
    return x;
}

/* How many sums of rows are wrong. */
static int wrong_sums(bool has_barrier)
{
    enum { BLOCKS = 5, COUNT = 3001 };
    float *x = random_floats(BLOCKS * COUNT, 1), *out = mem_new(BLOCKS * sizeof *out);
    int wrong = 0;
    test_sum(x, out, COUNT, BLOCKS, has_barrier);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
    for (int b = 0; b < BLOCKS; b++) {
        double sum = 0;
        for (int i = 0; i < COUNT; i++) sum += x[b * COUNT + i];
        wrong += !(fabs(out[b] - sum) < 1e-3);
    }
    mem_free(x);
    mem_free(out);
    return wrong;
}

TEST(fibers, a_block_sums)
{
    UNUSED_STATE;
    for (int order = 0; order < 2; order++) {
        set_order(order);
        EXPECT_EQ(wrong_sums(true), 0);
    }
}

TEST(fibers, a_missing_barrier_is_found)
{
    UNUSED_STATE;
    int wrong = 0;
    for (int order = 0; order < 2; order++) {
        set_order(order);
        wrong += wrong_sums(false);
    }
    EXPECT(wrong > 0);
}

TEST(fibers, rows_become_softmax)
{
    UNUSED_STATE;
    enum { ROWS = 7, COLUMNS = 577 };
    float *x = random_floats(ROWS * COLUMNS, 2), *out = mem_new(ROWS * COLUMNS * sizeof *out);
    for (int order = 0; order < 2; order++) {
        set_order(order);
        memset(out, 0, ROWS * COLUMNS * sizeof *out);
        test_softmax(x, out, ROWS, COLUMNS);
        for (int r = 0; r < ROWS; r++) {
            double sum = 0;
            for (int i = 0; i < COLUMNS; i++) sum += exp(x[r * COLUMNS + i]);
            for (int i = 0; i < COLUMNS; i++) {
                const double expected = exp(x[r * COLUMNS + i]) / sum;
                EXPECT(fabs(out[r * COLUMNS + i] - expected) < 1e-6 * expected + 1e-9);
            }
        }
    }
    mem_free(x);
    mem_free(out);
}

/* How many elements of a product are wrong. */
static int wrong_products(enum dtype dtype, bool waits, bool is_tight)
{
    enum { M = 128, N = 48, K = 80 };
    float *a = random_floats(M * K, 3), *b = random_floats(N * K, 4), *c = mem_new(M * N * 4);
    uint16_t *x = mem_new(M * K * 2), *w = mem_new(N * K * 2);
    int wrong = 0;
    dtype_narrow(x, dtype, a, M * K);
    dtype_narrow(w, dtype, b, N * K);
    dtype_widen(a, x, dtype, M * K);
    dtype_widen(b, w, dtype, N * K);
    test_product(dtype, x, w, c, M, N, K, waits, is_tight);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) {
            double sum = 0;
            for (int k = 0; k < K; k++) sum += (double)a[m * K + k] * b[n * K + k];
            wrong += !(fabs(c[m * N + n] - sum) < 1e-4);
        }
    mem_free(a);
    mem_free(b);
    mem_free(c);
    mem_free(x);
    mem_free(w);
    return wrong;
}

TEST(fibers, tensor_cores_multiply)
{
    UNUSED_STATE;
    for (int order = 0; order < 2; order++) {
        set_order(order);
        EXPECT_EQ(wrong_products(DTYPE_BF16, true, true), 0);
        EXPECT_EQ(wrong_products(DTYPE_F16, true, true), 0);
    }
}

TEST(fibers, a_copy_that_is_not_waited_for_is_found)
{
    UNUSED_STATE;
    set_order(0);
    EXPECT(wrong_products(DTYPE_BF16, false, true) > 0);
}

TEST(fibers, a_copy_that_comes_too_soon_is_found)
{
    UNUSED_STATE;
    int wrong = 0;
    for (int order = 0; order < 2; order++) {
        set_order(order);
        wrong += wrong_products(DTYPE_BF16, true, false);
    }
    EXPECT(wrong > 0);
}

TEST(fibers, lanes_exchange_numbers)
{
    UNUSED_STATE;
    for (int order = 0; order < 2; order++) {
        uint32_t out[32][TEST_VOTES];
        set_order(order);
        test_votes(out[0]);
        for (uint32_t l = 0; l < 32; l++) {
            const uint32_t expected[TEST_VOTES] = {70,
                                                   (l / 8 * 8 + 3) * 10,
                                                   (l ^ 5) * 10,
                                                   (l + 4 < 32 ? l + 4 : l) * 10,
                                                   (l < 4 ? l : l - 4) * 10,
                                                   (l % 16 == 15 ? l : l + 1) * 10,
                                                   0x49249249u,
                                                   2,
                                                   l < 16 ? 0xaaaau : 0xffff0000u,
                                                   0,
                                                   1,
                                                   l ^ 16};
            for (int i = 0; i < TEST_VOTES; i++) EXPECT_EQ(out[l][i], expected[i]);
        }
    }
}

TEST(fibers, numbers_are_rounded_to_16_bits)
{
    UNUSED_STATE;
    enum { COUNT = 999 };
    static const enum dtype dtypes[] = {DTYPE_BF16, DTYPE_F16};
    float *x = random_floats(COUNT, 5), *got[3];
    for (int i = 0; i < 3; i++) got[i] = mem_new(COUNT * sizeof *got[i]);
    x[0] = 1e-7f; /* subnormal as f16 */
    x[1] = 65519;
    for (int d = 0; d < 2; d++) {
        test_numbers(dtypes[d], x, got[0], got[1], got[2], COUNT);
        for (int i = 0; i < COUNT; i++) {
            const float y = -x[COUNT - 1 - i];
            uint16_t bits[2];
            float expected[2];
            dtype_narrow(&bits[0], dtypes[d], &x[i], 1);
            dtype_narrow(&bits[1], dtypes[d], &y, 1);
            dtype_widen(expected, bits, dtypes[d], 2);
            EXPECT(got[0][i] == expected[0]);
            EXPECT(got[1][i] == expected[0]);
            EXPECT(got[2][i] == expected[1]);
        }
    }
    for (int i = 0; i < 3; i++) mem_free(got[i]);
    mem_free(x);
}

TEST(fibers, copies_fill_up_with_zeros)
{
    UNUSED_STATE;
    enum { COUNT = 64 };
    uint8_t *from = mem_new(COUNT * 16), *out = NULL;
    uint32_t bytes[COUNT];
    EXPECT_EQ(posix_memalign((void **)&out, 16, 2 * COUNT * 16), 0);
    for (int i = 0; i < COUNT * 16; i++) from[i] = (uint8_t)(i % 251 + 1);
    for (uint32_t i = 0; i < COUNT; i++) bytes[i] = i % 17;
    for (int order = 0; order < 2; order++) {
        set_order(order);
        memset(out, 1, 2 * COUNT * 16);
        test_copies(from, bytes, out);
        for (uint32_t i = 0; i < COUNT * 16; i++) {
            EXPECT_EQ(out[i], i % 16 < bytes[i / 16] ? from[i] : 0);
            EXPECT_EQ(out[COUNT * 16 + i], i % 16 < 16 - bytes[i / 16] ? from[i] : 0);
        }
    }
    mem_free(from);
    free(out);
}

TEST(fibers, a_launch_that_no_device_takes_is_refused)
{
    UNUSED_STATE;
    float x = 0, out = 7;
    test_sum(&x, &out, 1, 0, true); /* no blocks */
    EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
    EXPECT(out == 7);
}

/* What a process that commits the fault says before it dies; false: it does not die. */
static bool dies(enum test_fault fault, char *said, size_t size)
{
    int ends[2], status;
    size_t used = 0;
    fflush(NULL);
    EXPECT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        float *x = NULL;
        (void)dup2(ends[1], STDERR_FILENO);
        if (cudaMalloc((void **)&x, 64 * sizeof *x)) _exit(0);
        memset(x, 0, 64 * sizeof *x);
        test_fault(fault, x);
        _exit(0);
    }
    EXPECT(child > 0);
    close(ends[1]);
    for (;;) { /* to the end, so that it does not wait */
        char rest[4096];
        const ssize_t got = read(ends[0], rest, sizeof rest);
        if (got <= 0) break;
        const size_t room = size - 1 - used, kept = (size_t)got < room ? (size_t)got : room;
        memcpy(said + used, rest, kept);
        used += kept;
    }
    said[used] = '\0';
    close(ends[0]);
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(fibers, faults_are_found)
{
    UNUSED_STATE;
    static const struct {
        const char *says;
        bool by_asan;
    } expected[TEST_FAULTS_COUNT] = {
        [TEST_READS_OUTSIDE] = {"heap-buffer-overflow", true},
        [TEST_WRITES_OUTSIDE] = {"heap-buffer-overflow", true},
        [TEST_LEAVES_SHARED] = {"heap-buffer-overflow", true},
        [TEST_LEAVES_SHARED_ALL] = {"heap-buffer-overflow", true},
        [TEST_COPIES_OUTSIDE] = {"heap-buffer-overflow", true},
        [TEST_BARRIER_IN_BRANCH] = {"waits in __syncthreads, but thread", false},
        [TEST_SHUFFLE_WITHOUT_LANE] = {"for lanes that do not come", false},
        [TEST_IS_UNALIGNED] = {"not aligned to 16 bytes", false},
    };
    static char said[65536];
    for (int order = 0; order < 2; order++) {
        set_order(order);
        for (int fault = 0; fault < TEST_FAULTS_COUNT; fault++) {
            if (expected[fault].by_asan && !HAS_ASAN) continue;
            EXPECT(dies((enum test_fault)fault, said, sizeof said));
            if (!strstr(said, expected[fault].says)) print_message("%d: %s\n", fault, said);
            EXPECT(strstr(said, expected[fault].says));
            EXPECT(strstr(said, "fault_kernel")); /* where: a frame of the report, or the name */
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(fibers, a_block_sums),
        RUN(fibers, a_missing_barrier_is_found),
        RUN(fibers, rows_become_softmax),
        RUN(fibers, tensor_cores_multiply),
        RUN(fibers, a_copy_that_is_not_waited_for_is_found),
        RUN(fibers, a_copy_that_comes_too_soon_is_found),
        RUN(fibers, lanes_exchange_numbers),
        RUN(fibers, numbers_are_rounded_to_16_bits),
        RUN(fibers, copies_fill_up_with_zeros),
        RUN(fibers, a_launch_that_no_device_takes_is_refused),
        RUN(fibers, faults_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
