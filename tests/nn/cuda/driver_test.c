/* driver_test.c - the CUDA driver over the emulated runtime: devices, memory, copies, errors.
 *
 * What the ops compute is the conformance suite's. Here things go wrong: the runtime fails where a
 * test wants it to, and the driver must say so once, at sync, and give everything back. */
#include "common/base/mem.h"
#include "tests/support/cuda_emulated.h"
#include "tests/support/test.h"
#include "worker/nn/backend_plugin.h"
#include "worker/nn/ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const struct backend_driver backend_cuda;

static struct backend *backend_new(void)
{
    struct backend *backend = NULL;
    struct err err;
    EXPECT_OK(backend_cuda.open(&backend, "cuda:0", 0, &err), &err);
    return backend;
}

static int open_error(const char *device, struct err *err)
{
    struct backend *backend = NULL;
    const int rc = backend_cuda.open(&backend, device, 0, err);
    EXPECT(rc);
    EXPECT(!backend);
    return rc;
}

TEST(cuda, a_device_is_named_by_its_number)
{
    UNUSED_STATE;
    static const char *const wrong[] = {"cuda:", "cuda:x", "cuda:-1", "cuda:0 ", "cuda:1000"};
    struct backend *backend = NULL;
    struct err err;
    EXPECT_EQ(setenv("CUDA_EMULATED_DEVICES", "2", 1), 0);
    EXPECT_OK(backend_cuda.open(&backend, "cuda:1", 0, &err), &err);
    EXPECT(strstr(backend->arithmetic, "sm_86 "));
    backend_close(backend);
    EXPECT_OK(backend_cuda.open(&backend, "cuda", 0, &err), &err);
    backend_close(backend);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        EXPECT_EQ(open_error(wrong[i], &err), ERR_INVALID);
    EXPECT_EQ(open_error("cuda:2", &err), ERR_NOT_FOUND);
    EXPECT_TEXT(err.msg, "there is no device cuda:2: the last one is cuda:1");
    EXPECT_EQ(setenv("CUDA_EMULATED_DEVICES", "0", 1), 0);
    EXPECT_EQ(open_error("cuda:0", &err), ERR_NOT_FOUND);
    EXPECT_TEXT(err.msg, "there is no CUDA device here: no CUDA-capable device is detected");
    EXPECT_EQ(setenv("CUDA_EMULATED_DEVICES", "-1", 1), 0);
    EXPECT_EQ(open_error("cuda:0", &err), ERR_NOT_FOUND);
    EXPECT(strstr(err.msg, "driver version is insufficient"));
    EXPECT_EQ(setenv("CUDA_EMULATED_DEVICES", "-2", 1), 0); /* it may work another time */
    EXPECT_EQ(open_error("cuda:0", &err), ERR_UNAVAILABLE);
    EXPECT(strstr(err.msg, "CUDA does not work here: "));
    EXPECT_EQ(unsetenv("CUDA_EMULATED_DEVICES"), 0);
}

TEST(cuda, what_cannot_be_opened_gives_all_back)
{
    UNUSED_STATE;
    struct err err;
    int allocations = 0;
    for (;; allocations++) { /* each of them fails once; leaks are the sanitizer's */
        struct backend *backend = NULL;
        cuda_emulated_fail(CUDA_EMULATED_MALLOC, allocations, cudaErrorMemoryAllocation);
        const int rc = backend_cuda.open(&backend, "cuda:0", 0, &err);
        cuda_emulated_fail(CUDA_EMULATED_MALLOC, -1, cudaSuccess);
        if (!rc) {
            backend_close(backend);
            break;
        }
        EXPECT_EQ(rc, ERR_LIMIT);
    }
    EXPECT(allocations > 0);
}

/* More than all the pinned memory, so that slots are used again and again. */
#define BYTES ((size_t)37 << 20)

TEST(cuda, copies_of_any_size_come_back)
{
    UNUSED_STATE;
    static const size_t sizes[] = {0, 1, 4095, (size_t)4 << 20, ((size_t)4 << 20) + 1, BYTES};
    struct backend *backend = backend_new();
    uint8_t *from = mem_new(BYTES), *to = mem_new(BYTES), *data = backend_alloc(backend, BYTES);
    struct err err;
    EXPECT(data);
    EXPECT_EQ((uintptr_t)data % BACKEND_ALIGNMENT, 0);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0] * 2; i++) {
        const size_t bytes = sizes[i / 2];
        for (size_t k = 0; k < bytes; k++) from[k] = (uint8_t)((k + i) * 2654435761u >> 13);
        memset(to, 0, bytes);
        if (i % 2)
            backend_write(backend, data, from, bytes);
        else
            backend_write_ahead(backend, data, from, bytes);
        backend_read(backend, to, data, bytes);
        EXPECT_OK(backend_sync(backend, &err), &err);
        EXPECT_MEM(from, to, bytes);
    }
    backend_free(backend, data);
    backend_close(backend);
    mem_free(from);
    mem_free(to);
}

TEST(cuda, reads_and_writes_are_in_order)
{
    UNUSED_STATE;
    enum { COUNT = 50 };
    struct backend *backend = backend_new();
    uint32_t *data = backend_alloc(backend, sizeof *data), got[COUNT];
    struct err err;
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t value = i * 7;
        backend_write(backend, data, &value, sizeof value);
        value = 0; /* it was copied */
        backend_read(backend, &got[i], data, sizeof *data);
    }
    EXPECT_OK(backend_sync(backend, &err), &err);
    for (uint32_t i = 0; i < COUNT; i++) EXPECT_EQ(got[i], i * 7);
    backend_free(backend, data);
    backend_close(backend);
}

TEST(cuda, no_memory_is_no_error_of_an_op)
{
    UNUSED_STATE;
    struct backend *backend = backend_new();
    struct err err;
    cuda_emulated_fail(CUDA_EMULATED_MALLOC, 0, cudaErrorMemoryAllocation);
    EXPECT(!backend_alloc(backend, 100));
    cuda_emulated_fail(CUDA_EMULATED_MALLOC, -1, cudaSuccess);
    EXPECT(!backend_alloc(backend, SIZE_MAX / 4 * 3));
    EXPECT_OK(backend_sync(backend, &err), &err);
    void *data = backend_alloc(backend, 0);
    EXPECT(data);
    backend_free(backend, data);
    backend_free(backend, NULL);
    backend_close(backend);
}

static struct tensor matrix(void *data, enum dtype dtype, int64_t rows, int64_t columns)
{
    return tensor_over(data, dtype, (int64_t[]){rows, columns}, 2);
}

static int weight_error(struct backend *backend, enum dtype dtype, struct err *err)
{
    static float numbers[6] = {1, 2, 3, 4, 5, 6};
    const struct tensor part = matrix(numbers, DTYPE_F32, 2, 3);
    struct backend_weight *weight;
    const int rc = backend_weight_new(backend, &weight, &part, 1, 3, dtype, err);
    if (!rc) backend_weight_free(backend, weight);
    return rc;
}

TEST(cuda, a_weight_that_does_not_fit_is_no_error_of_an_op)
{
    UNUSED_STATE;
    struct backend *backend = backend_new();
    struct err err;
    EXPECT_EQ(weight_error(backend, DTYPE_I8, &err), ERR_INVALID);
    EXPECT_TEXT(err.msg, "weights of I8 are for the cpu; on cuda take bf16, f16 or f32");
    cuda_emulated_fail(CUDA_EMULATED_MALLOC, 0, cudaErrorMemoryAllocation);
    EXPECT_EQ(weight_error(backend, DTYPE_BF16, &err), ERR_LIMIT);
    cuda_emulated_fail(CUDA_EMULATED_MALLOC, -1, cudaSuccess);
    EXPECT_OK(weight_error(backend, DTYPE_BF16, &err), &err);
    EXPECT_OK(backend_sync(backend, &err), &err);
    backend_close(backend);
}

static void map(struct backend *backend, float *data)
{
    op_map(backend, &(struct op_map){matrix(data, DTYPE_F32, 4, 4), matrix(data, DTYPE_F32, 4, 4),
                                     ACTIVATION_SILU});
}

TEST(cuda, the_first_error_stays_and_comes_out_at_sync)
{
    UNUSED_STATE;
    struct backend *backend = backend_new();
    float *data = backend_alloc(backend, 16 * sizeof *data), zeros[16] = {0}, got = 7;
    struct err err;
    backend_write(backend, data, zeros, sizeof zeros);
    cuda_emulated_fail(CUDA_EMULATED_LAUNCH, 1, cudaErrorLaunchOutOfResources);
    map(backend, data);
    map(backend, data);
    cuda_emulated_fail(CUDA_EMULATED_LAUNCH, -1, cudaSuccess);
    map(backend, data);
    backend_read(backend, &got, data, sizeof got);
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(backend_sync(backend, &err), ERR_INTERNAL);
        EXPECT_TEXT(err.msg, "cuda:0, map: too many resources requested for launch "
                             "(cudaErrorLaunchOutOfResources)");
    }
    EXPECT(got == 7); /* no op after an error does anything */
    EXPECT(!backend_alloc(backend, 8));
    EXPECT_EQ(weight_error(backend, DTYPE_F16, &err), ERR_INTERNAL);
    backend_free(backend, data);
    backend_close(backend);
}

/* An error that the context does not recover from, wherever it is met first. */
static void lose(enum cuda_emulated_call call, const char *where)
{
    struct backend *backend = backend_new();
    float *data = backend_alloc(backend, 16 * sizeof *data), zeros[16] = {0}, got = 7;
    char expected[200];
    struct err err;
    backend_write(backend, data, zeros, sizeof zeros);
    EXPECT_OK(backend_sync(backend, &err), &err);
    cuda_emulated_fail(call, 0, cudaErrorIllegalAddress);
    if (call == CUDA_EMULATED_MALLOC) EXPECT(!backend_alloc(backend, 8));
    if (call == CUDA_EMULATED_COPY) backend_read(backend, &got, data, sizeof got);
    if (call == CUDA_EMULATED_LAUNCH) map(backend, data);
    EXPECT_EQ(backend_sync(backend, &err), ERR_UNAVAILABLE);
    snprintf(expected, sizeof expected,
             "cuda:0 failed at %s or before and works no more in this process: an illegal memory "
             "access was encountered (cudaErrorIllegalAddress)",
             where);
    EXPECT_TEXT(err.msg, expected);
    EXPECT(got == 7);
    backend_free(backend, data);
    backend_close(backend);
    cuda_emulated_fail(call, -1, cudaSuccess);
}

struct fill {
    struct backend *backend;
    float *data;
};

static void fill_ops(void *context)
{
    const struct fill *fill = context;
    map(fill->backend, fill->data);
}

static uint64_t give(struct backend *backend, float *data)
{
    struct fill fill = {backend, data};
    return backend_pass(backend, backend, (uint32_t[BACKEND_PASS_SHAPE]){0}, fill_ops, &fill);
}

TEST(cuda, what_a_pass_left_is_read_while_others_run)
{
    UNUSED_STATE;
    enum { PASSES = 3 * BACKEND_PASSES };
    struct backend *backend = backend_new();
    float *data[PASSES], got[16];
    uint64_t number[PASSES];
    struct err err;
    for (int i = 0; i < PASSES; i++) {
        float numbers[16];
        for (int k = 0; k < 16; k++) numbers[k] = (float)(100 + i);
        data[i] = backend_alloc(backend, sizeof numbers);
        backend_write(backend, data[i], numbers, sizeof numbers);
    }
    for (int i = 0; i < PASSES; i++) {
        struct fill fill = {backend, data[i]};
        const uint32_t shape[BACKEND_PASS_SHAPE] = {(uint32_t)i};
        number[i] = backend_pass(backend, backend, shape, fill_ops, &fill);
        if (i < 2) continue;
        backend_pass_read(backend, number[i - 2], got, data[i - 2], sizeof got);
        EXPECT(got[15] == (float)(100 + i - 2)); /* its SiLU, as far as a float knows */
        EXPECT(backend_pass_ended(backend, number[i - 2]));
        EXPECT_OK(backend_error(backend, &err), &err);
    }
    EXPECT(backend_pass_ended(backend, number[0])); /* or the later ones had not begun */
    backend_pass_read(backend, number[0], got, data[0], sizeof got);
    EXPECT(got[0] == 100);
    EXPECT_OK(backend_sync(backend, &err), &err);
    EXPECT(backend_pass_ended(backend, number[PASSES - 1]));
    for (int i = 0; i < PASSES; i++) backend_free(backend, data[i]);
    backend_close(backend);
}

/* Passes that nobody waits for are limited by the events, and their time counts all the same. */
TEST(cuda, time_is_that_of_passes)
{
    UNUSED_STATE;
    struct backend *backend = backend_new();
    float *data = backend_alloc(backend, 16 * sizeof *data), zeros[16] = {0};
    struct err err;
    backend_write(backend, data, zeros, sizeof zeros);
    map(backend, data);
    EXPECT_OK(backend_sync(backend, &err), &err);
    EXPECT_EQ(backend_busy_ns(backend), 0);
    int64_t before_ns = 0;
    for (int i = 0; i < 3 * BACKEND_PASSES; i++) {
        (void)give(backend, data);
        EXPECT(backend_busy_ns(backend) >= before_ns);
        before_ns = backend_busy_ns(backend);
    }
    EXPECT(before_ns > 0);
    EXPECT_OK(backend_sync(backend, &err), &err);
    EXPECT(backend_busy_ns(backend) > before_ns);
    before_ns = backend_busy_ns(backend);
    EXPECT_OK(backend_sync(backend, &err), &err);
    EXPECT_EQ(backend_busy_ns(backend), before_ns);
    backend_free(backend, data);
    backend_close(backend);
}

TEST(cuda, a_pass_behind_an_error_has_ended_and_gives_nothing)
{
    UNUSED_STATE;
    struct backend *backend = backend_new();
    float *data = backend_alloc(backend, 16 * sizeof *data), zeros[16] = {0}, got = 7;
    struct err err;
    backend_write(backend, data, zeros, sizeof zeros);
    cuda_emulated_fail(CUDA_EMULATED_LAUNCH, 0, cudaErrorLaunchOutOfResources);
    const uint64_t number = give(backend, data);
    EXPECT(backend_pass_ended(backend, number));
    backend_pass_read(backend, number, &got, data, sizeof got);
    EXPECT(got == 7);
    EXPECT_EQ(backend_error(backend, &err), ERR_INTERNAL);
    EXPECT(strstr(err.msg, "cuda:0, map: too many resources"));
    cuda_emulated_fail(CUDA_EMULATED_LAUNCH, -1, cudaSuccess);
    backend_free(backend, data);
    backend_close(backend);
}

TEST(cuda, a_lost_device_is_told_from_other_errors)
{
    UNUSED_STATE;
    lose(CUDA_EMULATED_MALLOC, "alloc");
    lose(CUDA_EMULATED_COPY, "read");
    lose(CUDA_EMULATED_LAUNCH, "map");
    lose(CUDA_EMULATED_SYNC, "write");
}

TEST(cuda, no_scratch_memory_is_told_at_sync)
{
    UNUSED_STATE;
    float numbers[64] = {0};
    const struct tensor part = matrix(numbers, DTYPE_F32, 8, 8);
    struct backend *backend = backend_new();
    struct backend_weight *weight;
    float *x = backend_alloc(backend, sizeof numbers),
          *out = backend_alloc(backend, sizeof numbers);
    struct err err;
    EXPECT_OK(backend_weight_new(backend, &weight, &part, 1, 8, DTYPE_BF16, &err), &err);
    backend_write(backend, x, numbers, sizeof numbers);
    cuda_emulated_fail(CUDA_EMULATED_MALLOC, 0, cudaErrorMemoryAllocation);
    op_linear(backend, &(struct op_linear){.x = matrix(x, DTYPE_F32, 8, 8),
                                           .out = matrix(out, DTYPE_F32, 8, 8),
                                           .weight = weight});
    cuda_emulated_fail(CUDA_EMULATED_MALLOC, -1, cudaSuccess);
    EXPECT_EQ(backend_sync(backend, &err), ERR_LIMIT);
    EXPECT_TEXT(err.msg, "cuda:0, linear: out of memory (cudaErrorMemoryAllocation)");
    backend_weight_free(backend, weight);
    backend_free(backend, x);
    backend_free(backend, out);
    backend_close(backend);
}

TEST(cuda, a_product_that_fails_is_told_from_a_lost_device)
{
    UNUSED_STATE;
    static const struct {
        cudaError_t error;
        int code;
        const char *text;
    } cases[] = {
        {cudaErrorLaunchOutOfResources, ERR_INTERNAL, "cuda:0, linear: the product failed: "},
        {cudaErrorIllegalAddress, ERR_UNAVAILABLE,
         "cuda:0 failed at linear or before and works no more in this process: an illegal"}};
    float numbers[64] = {0};
    const struct tensor part = matrix(numbers, DTYPE_F32, 8, 8);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct backend *backend = backend_new();
        struct backend_weight *weight;
        float *x = backend_alloc(backend, sizeof numbers),
              *out = backend_alloc(backend, sizeof numbers);
        struct err err;
        EXPECT_OK(backend_weight_new(backend, &weight, &part, 1, 8, DTYPE_F32, &err), &err);
        backend_write(backend, x, numbers, sizeof numbers);
        EXPECT_OK(backend_sync(backend, &err), &err);
        cuda_emulated_fail(CUDA_EMULATED_PRODUCT, 0, cases[i].error);
        op_linear(backend, &(struct op_linear){.x = matrix(x, DTYPE_F32, 8, 8),
                                               .out = matrix(out, DTYPE_F32, 8, 8),
                                               .weight = weight});
        EXPECT_EQ(backend_sync(backend, &err), cases[i].code);
        EXPECT(strstr(err.msg, cases[i].text));
        cuda_emulated_fail(CUDA_EMULATED_PRODUCT, -1, cudaSuccess);
        backend_weight_free(backend, weight);
        backend_free(backend, x);
        backend_free(backend, out);
        backend_close(backend);
    }
}

/* Pointers that are aligned to a number only, as rows of a larger matrix may be. */
TEST(cuda, products_take_any_alignment)
{
    UNUSED_STATE;
    enum { ROWS = 3, WIDTH = 16, DEPTH = 8 };
    float numbers[WIDTH * DEPTH], x[ROWS * DEPTH], got[ROWS * WIDTH], again[ROWS * WIDTH];
    struct backend *backend = backend_new();
    struct backend_weight *weight;
    struct err err;
    for (int i = 0; i < WIDTH * DEPTH; i++) numbers[i] = (float)(i % 11 - 5);
    for (int i = 0; i < ROWS * DEPTH; i++) x[i] = (float)(i % 7 - 3);
    const struct tensor part = matrix(numbers, DTYPE_F32, WIDTH, DEPTH);
    EXPECT_OK(backend_weight_new(backend, &weight, &part, 1, DEPTH, DTYPE_F32, &err), &err);
    float *data = backend_alloc(backend, 1024);
    for (int shift = 0; shift < 2; shift++) {
        float *const from = data + shift, *const to = data + 64 + shift;
        backend_write(backend, from, x, sizeof x);
        op_linear(backend, &(struct op_linear){.x = matrix(from, DTYPE_F32, ROWS, DEPTH),
                                               .out = matrix(to, DTYPE_F32, ROWS, WIDTH),
                                               .weight = weight});
        backend_read(backend, shift ? again : got, to, sizeof got);
        EXPECT_OK(backend_sync(backend, &err), &err);
    }
    EXPECT_MEM(got, again, sizeof got);
    for (int m = 0; m < ROWS; m++)
        for (int n = 0; n < WIDTH; n++) {
            float sum = 0;
            for (int k = 0; k < DEPTH; k++) sum += x[m * DEPTH + k] * numbers[n * DEPTH + k];
            EXPECT(got[m * WIDTH + n] == sum); /* small integers */
        }
    backend_weight_free(backend, weight);
    backend_free(backend, data);
    backend_close(backend);
}

TEST(cuda, a_plugin_is_found_where_the_environment_says)
{
    UNUSED_STATE;
    struct backend *backend = NULL;
    struct err err;
    EXPECT_EQ(setenv("VLMQ_CUDA_PLUGIN", BUILD_DIR "/tests/libvlmq-cuda-emulated.so", 1), 0);
    EXPECT_OK(backend_open(&backend, "cuda:0", 0, &err), &err);
    EXPECT_TEXT(backend->driver->name, "cuda");
    EXPECT_OK(backend_sync(backend, &err), &err);
    backend_close(backend);
    EXPECT_EQ(setenv("VLMQ_CUDA_PLUGIN", BUILD_DIR "/none.so", 1), 0);
    EXPECT_EQ(backend_open(&backend, "cuda:0", 0, &err), ERR_NOT_FOUND);
    EXPECT(strstr(err.msg, "the plugin does not load: "));
    EXPECT_EQ(setenv("VLMQ_CUDA_PLUGIN", "libm.so.6", 1), 0);
    EXPECT_EQ(backend_open(&backend, "cuda:0", 0, &err), ERR_VERSION);
    EXPECT(strstr(err.msg, "is no plugin of vlmq"));
    EXPECT_EQ(setenv("VLMQ_CUDA_PLUGIN", BUILD_DIR "/tests/libvlmq-cuda-old.so", 1), 0);
    EXPECT_EQ(backend_open(&backend, "cuda:0", 0, &err), ERR_VERSION);
    EXPECT(strstr(err.msg, "is of vlmq 0.0.0 (interface 0), this program of "));
    EXPECT_EQ(unsetenv("VLMQ_CUDA_PLUGIN"), 0);
    EXPECT_EQ(backend_open(&backend, "cuda:0", 0, &err), ERR_NOT_FOUND);
    EXPECT(strstr(err.msg, "this machine has no cuda plugin: "));
    EXPECT(strstr(err.msg, "VLMQ_CUDA_PLUGIN"));
    EXPECT_EQ(backend_open(&backend, "cudax", 0, &err), ERR_NOT_FOUND);
    EXPECT(strstr(err.msg, "there is no device cudax"));
    EXPECT(!backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(cuda, a_device_is_named_by_its_number),
        RUN(cuda, what_cannot_be_opened_gives_all_back),
        RUN(cuda, copies_of_any_size_come_back),
        RUN(cuda, reads_and_writes_are_in_order),
        RUN(cuda, no_memory_is_no_error_of_an_op),
        RUN(cuda, a_weight_that_does_not_fit_is_no_error_of_an_op),
        RUN(cuda, the_first_error_stays_and_comes_out_at_sync),
        RUN(cuda, what_a_pass_left_is_read_while_others_run),
        RUN(cuda, time_is_that_of_passes),
        RUN(cuda, a_pass_behind_an_error_has_ended_and_gives_nothing),
        RUN(cuda, a_lost_device_is_told_from_other_errors),
        RUN(cuda, no_scratch_memory_is_told_at_sync),
        RUN(cuda, a_product_that_fails_is_told_from_a_lost_device),
        RUN(cuda, products_take_any_alignment),
        RUN(cuda, a_plugin_is_found_where_the_environment_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
