/* linear_test.c - the linear op of the cpu backend: against a loop in double over ragged shapes,
 * all types and activations; and its bits, which depend on a row and the weights alone. */
#include "common/base/mem.h"
#include "tests/support/test.h"
#include "worker/nn/backend.h"
#include "worker/nn/cpu/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 7;

static float random_number(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(state >> 32) * 0x1p-31f;
}

static const char *name_of(enum activation activation)
{
    static const char *const names[] = {"none", "quick_gelu", "gelu", "gelu_tanh", "silu"};
    return names[activation];
}

static double activated(enum activation activation, double x)
{
    switch (activation) {
    case ACTIVATION_QUICK_GELU:
        return x / (1.0 + exp(-1.702 * x));
    case ACTIVATION_GELU:
        return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
    case ACTIVATION_GELU_TANH:
        return 0.5 * x * (1.0 + tanh(sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
    case ACTIVATION_SILU:
        return x / (1.0 + exp(-x));
    case ACTIVATION_NONE:
    case ACTIVATIONS_COUNT:
        break;
    }
    return x;
}

/* One product with all that belongs to it, in host memory. */
struct sample {
    int64_t m, n, k, k_padded; /* columns of the parts, and of x and the weight */
    enum dtype x_dtype, w_dtype, part_dtype, out_dtype;
    enum activation activation;
    bool has_bias, has_residual, is_in_place;
    float *x, *w, *bias, *residual;           /* as the types round them */
    void *x_bytes, *w_bytes, *residual_bytes; /* in the types */
};

static void *narrowed(float *values, enum dtype dtype, size_t count)
{
    void *bytes = mem_new(count * 4 + 1);
    dtype_narrow(bytes, dtype, values, count);
    dtype_widen(values, bytes, dtype, count);
    return bytes;
}

static void sample_init(struct sample *s)
{
    const size_t m = (size_t)s->m, n = (size_t)s->n, k = (size_t)s->k, wide = (size_t)s->k_padded;
    s->x = mem_new(m * wide * sizeof *s->x + 1);
    s->w = mem_new(n * k * sizeof *s->w);
    s->bias = mem_new(n * sizeof *s->bias);
    s->residual = mem_new(m * n * sizeof *s->residual + 1);
    for (size_t i = 0; i < m * wide; i++) s->x[i] = random_number();
    for (size_t i = 0; i < n * k; i++) s->w[i] = random_number();
    for (size_t i = 0; i < n; i++) s->bias[i] = random_number();
    for (size_t i = 0; i < m * n; i++) s->residual[i] = random_number();
    s->x_bytes = narrowed(s->x, s->x_dtype, m * wide);
    s->w_bytes = narrowed(s->w, s->part_dtype, n * k);
    s->residual_bytes = narrowed(s->residual, s->out_dtype, m * n);
}

static void sample_deinit(struct sample *s)
{
    mem_free(s->x);
    mem_free(s->w);
    mem_free(s->bias);
    mem_free(s->residual);
    mem_free(s->x_bytes);
    mem_free(s->w_bytes);
    mem_free(s->residual_bytes);
}

static struct tensor matrix(enum dtype dtype, int64_t rows, int64_t columns, void *data)
{
    struct tensor tensor;
    struct err err;
    EXPECT_OK(tensor_init(&tensor, dtype, (int64_t[]){rows, columns}, 2, data, &err), &err);
    return tensor;
}

/* The weight in two parts where it has two rows or more. */
static struct backend_weight *weight_of(struct backend *backend, const struct sample *s)
{
    const int64_t split = s->n / 3;
    const size_t bytes = dtype_bytes(s->part_dtype);
    uint8_t *second = (uint8_t *)s->w_bytes + (size_t)(split * s->k) * bytes;
    struct tensor parts[2] = {matrix(s->part_dtype, split, s->k, s->w_bytes),
                              matrix(s->part_dtype, s->n - split, s->k, second)};
    struct backend_weight *weight;
    struct err err;
    EXPECT_OK(backend_weight_new(backend, &weight, split ? parts : parts + 1, split ? 2 : 1,
                                 s->k_padded, s->w_dtype, &err),
              &err);
    EXPECT_EQ(weight->rows, s->n);
    EXPECT_EQ(weight->columns, s->k_padded);
    EXPECT_EQ(weight->dtype, s->w_dtype);
    return weight;
}

/* The result, widened; of rows first and on, m of them. */
static void compute(struct backend *backend, const struct sample *s, int64_t first, int64_t m,
                    float *out)
{
    const size_t out_count = (size_t)(m * s->n), out_bytes = dtype_bytes(s->out_dtype);
    const size_t x_at = (size_t)(first * s->k_padded) * dtype_bytes(s->x_dtype);
    uint8_t *residual = (uint8_t *)s->residual_bytes + (size_t)(first * s->n) * out_bytes;
    uint8_t *y = backend_alloc(backend, out_count * out_bytes + 8);
    struct err err;
    EXPECT(y);
    memset(y, 0x7c, out_count * out_bytes + 8);
    if (s->is_in_place) memcpy(y, residual, out_count * out_bytes);
    struct backend_weight *weight = weight_of(backend, s);
    struct op_linear op = {.x = matrix(s->x_dtype, m, s->k_padded, (uint8_t *)s->x_bytes + x_at),
                           .out = matrix(s->out_dtype, m, s->n, y),
                           .weight = weight,
                           .activation = s->activation};
    if (s->has_bias) op.bias = matrix(DTYPE_F32, 1, s->n, s->bias);
    if (s->has_residual) op.residual = matrix(s->out_dtype, m, s->n, s->is_in_place ? y : residual);
    backend->driver->linear(backend, &op);
    EXPECT_OK(backend_sync(backend, &err), &err);
    for (size_t i = 0; i < 8; i++) EXPECT_EQ(y[out_count * out_bytes + i], 0x7c);
    dtype_widen(out, y, s->out_dtype, out_count);
    backend_weight_free(backend, weight);
    backend_free(backend, y);
}

static struct backend *open_with(const char *set, uint32_t threads)
{
    struct backend *backend;
    struct err err;
    if (set) EXPECT_EQ(setenv("VLMQ_CPU", set, 1), 0);
    EXPECT_OK(backend_open(&backend, "cpu", threads, &err), &err);
    if (set) EXPECT_TEXT(backend->arithmetic, set);
    EXPECT_EQ(unsetenv("VLMQ_CPU"), 0);
    return backend;
}

static double unit_of(enum dtype dtype)
{
    return dtype == DTYPE_BF16 ? 0x1p-8 : dtype == DTYPE_F16 ? 0x1p-11 : 0x1p-24;
}

/* Rounded as the weight's type has it: what the sum is made of. */
static void round_row(float *dst, const float *src, size_t count, enum dtype dtype)
{
    uint16_t half[512];
    float most = 0.0f;
    memcpy(dst, src, count * sizeof *dst);
    if (dtype == DTYPE_BF16 || dtype == DTYPE_F16) {
        assert_true(count <= 512);
        dtype_narrow(half, dtype, src, count);
        dtype_widen(dst, half, dtype, count);
    }
    if (dtype != DTYPE_I8) return;
    for (size_t i = 0; i < count; i++) most = fmaxf(most, fabsf(src[i]));
    for (size_t i = 0; i < count; i++) /* the sum itself is exact */
        dst[i] = rintf(src[i] * (127.0f / most)) * (most / 127.0f);
}

static void check_sample(struct backend *backend, struct sample *s)
{
    float x[512], w[512];
    float *y = mem_new((size_t)(s->m * s->n) * sizeof *y + 1);
    sample_init(s);
    compute(backend, s, 0, s->m, y);
    for (int64_t i = 0; i < s->m; i++) {
        round_row(x, s->x + i * s->k_padded, (size_t)s->k_padded, s->w_dtype);
        for (int64_t j = 0; j < s->n; j++) {
            double sum = 0.0, size = 0.0;
            round_row(w, s->w + j * s->k, (size_t)s->k, s->w_dtype);
            for (int64_t k = 0; k < s->k; k++) {
                sum += (double)x[k] * (double)w[k];
                size += fabs((double)x[k] * (double)w[k]);
            }
            if (s->has_bias) sum += (double)s->bias[j];
            double expected = activated(s->activation, sum);
            if (s->has_residual) expected += (double)s->residual[i * s->n + j];
            const double got = (double)y[i * s->n + j];
            const double bound = (size + 2.0) * 0x1p-22 + fabs(expected) * unit_of(s->out_dtype);
            if (!(fabs(got - expected) <= bound))
                fail_msg("%s, %dx%dx%d, x %s, w %s, out %s, %s: [%d][%d] is %g, and not %g",
                         backend->arithmetic, (int)s->m, (int)s->n, (int)s->k,
                         dtype_name(s->x_dtype), dtype_name(s->w_dtype), dtype_name(s->out_dtype),
                         name_of(s->activation), (int)i, (int)j, got, expected);
        }
    }
    sample_deinit(s);
    mem_free(y);
}

static void check_shapes(const char *set, uint32_t threads)
{
    static const enum dtype reals[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16};
    static const enum dtype kept[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16, DTYPE_I8};
    static const int64_t shapes[][4] = {
        {1, 1, 1, 1},    {1, 70, 33, 33}, {2, 16, 16, 16},   {3, 33, 31, 40},   {4, 17, 300, 300},
        {5, 64, 65, 65}, {6, 47, 2, 2},   {7, 80, 257, 260}, {13, 5, 130, 131}, {103, 19, 9, 9},
    };
    struct backend *backend = open_with(set, threads);
    unsigned turn = 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t type = 0; type < 4; type++)
            for (size_t variant = 0; variant < 3; variant++, turn++) {
                struct sample s = {.m = shapes[i][0],
                                   .n = shapes[i][1],
                                   .k = shapes[i][2],
                                   .k_padded = shapes[i][3],
                                   .x_dtype = reals[variant],
                                   .w_dtype = kept[type],
                                   .part_dtype = reals[(variant + i) % 3],
                                   .out_dtype = reals[(variant + type + 1) % 3],
                                   .activation = (enum activation)(turn % ACTIVATIONS_COUNT),
                                   .has_bias = turn % 3 != 0,
                                   .has_residual = turn % 4 != 0,
                                   .is_in_place = turn % 4 == 2};
                check_sample(backend, &s);
            }
    backend_close(backend);
}

TEST(linear, is_right_on_every_set_of_this_machine)
{
    UNUSED_STATE;
    bool is_usable;
    const struct cpu_kernels *set;
    for (unsigned i = 0; (set = cpu_kernels_at(i, &is_usable)); i++)
        if (is_usable) check_shapes(set->name, 1 + i);
}

/* Rows first to first + m of the whole, computed alone: the same bits. */
static void check_rows(struct backend *backend, const struct sample *s, const float *whole,
                       int64_t first, int64_t m)
{
    float *part = mem_new((size_t)(m * s->n) * sizeof *part);
    compute(backend, s, first, m, part);
    if (memcmp(part, whole + first * s->n, (size_t)(m * s->n) * sizeof *part) != 0)
        fail_msg("%s, %s: rows %d to %d of %d with %u threads", backend->arithmetic,
                 dtype_name(s->w_dtype), (int)first, (int)(first + m), (int)s->m, backend->threads);
    mem_free(part);
}

static void check_batches(enum dtype dtype)
{
    static const int64_t rows[] = {1, 2, 4, 7, 16, 64, 257, 577};
    struct sample s = {.m = 577,
                       .n = 83,
                       .k = 301,
                       .k_padded = 301,
                       .x_dtype = DTYPE_F32,
                       .w_dtype = dtype,
                       .part_dtype = DTYPE_F32,
                       .out_dtype = DTYPE_F32,
                       .activation = ACTIVATION_QUICK_GELU,
                       .has_bias = true,
                       .has_residual = true};
    float *whole = mem_new((size_t)(s.m * s.n) * sizeof *whole);
    sample_init(&s);
    for (uint32_t threads = 1; threads <= 3; threads++) {
        struct backend *backend = open_with(NULL, threads);
        if (threads == 1) compute(backend, &s, 0, s.m, whole);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            check_rows(backend, &s, whole, 0, rows[i]);
            check_rows(backend, &s, whole, s.m - rows[i], rows[i]);
        }
        backend_close(backend);
    }
    sample_deinit(&s);
    mem_free(whole);
}

TEST(linear, bits_of_a_row_depend_on_nothing_else)
{
    UNUSED_STATE;
    check_batches(DTYPE_F32);
    check_batches(DTYPE_BF16);
    check_batches(DTYPE_F16);
    check_batches(DTYPE_I8);
}

static void check_set(const char *set, const struct sample *s, const float *expected)
{
    float *y = mem_new((size_t)(s->m * s->n) * sizeof *y);
    struct backend *backend = open_with(set, 2);
    compute(backend, s, 0, s->m, y);
    backend_close(backend);
    if (memcmp(y, expected, (size_t)(s->m * s->n) * sizeof *y) != 0)
        fail_msg("%s differs from portable C with weights of %s", set, dtype_name(s->w_dtype));
    mem_free(y);
}

/* bf16 too where the set has no product of its own for it. */
TEST(linear, bits_do_not_depend_on_the_processor)
{
    UNUSED_STATE;
    static const enum dtype kept[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16, DTYPE_I8};
    for (size_t type = 0; type < 4; type++) {
        struct sample s = {.m = 23,
                           .n = 90,
                           .k = 613,
                           .k_padded = 613,
                           .x_dtype = DTYPE_F32,
                           .w_dtype = kept[type],
                           .part_dtype = DTYPE_BF16,
                           .out_dtype = DTYPE_F32,
                           .activation = (enum activation)(1 + type),
                           .has_bias = true,
                           .has_residual = true};
        float *expected = mem_new((size_t)(s.m * s.n) * sizeof *expected);
        sample_init(&s);
        struct backend *backend = open_with("portable", 1);
        compute(backend, &s, 0, s.m, expected);
        backend_close(backend);
        bool is_usable;
        const struct cpu_kernels *set;
        for (unsigned i = 1; (set = cpu_kernels_at(i, &is_usable)); i++)
            if (is_usable && !(set->has_bf16_pairs && kept[type] == DTYPE_BF16))
                check_set(set->name, &s, expected);
        sample_deinit(&s);
        mem_free(expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(linear, is_right_on_every_set_of_this_machine),
        RUN(linear, bits_of_a_row_depend_on_nothing_else),
        RUN(linear, bits_do_not_depend_on_the_processor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
