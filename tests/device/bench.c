/* bench.c - how fast the ops of the model core are on a device; rows of tests/gpu's table (rows.h).
 *
 *   bench ops DEVICE MODEL       each op as a layer of the model calls it, alone
 *   bench batch DEVICE MODEL     how many pictures a pass of an encode job has there
 *
 * MODEL is a name of shapes.h; ops have the rows of such a pass. They are given one after the other
 * and waited for together, for at least a tenth of a second; the best of five such rounds
 * counts. */
#include "common/base/check.h"
#include "common/base/mem.h"
#include "tests/device/rows.h"
#include "tests/device/shapes.h"
#include "worker/nn/ops.h"

#include <math.h>
#include <stdlib.h>

#define ROUNDS    5
#define ROUND_S   0.1    /* or a tenth of it for the tiny model */
#define CHUNK     999983 /* a prime: rows are not alike */
#define NO_DEVICE 77

struct bench {
    struct backend *backend;
    const struct model_shape *model;
    enum dtype dtype;
    uint32_t batch;
    int64_t rows, tokens;
};

static void synced(struct backend *backend)
{
    struct err err;
    if (!backend_sync(backend, &err)) return;
    (void)fprintf(stderr, "bench: %s\n", err.msg);
    exit(1);
}

/* A matrix on the device with random numbers between -scale and scale, the same ones again after
 * CHUNK. */
static struct tensor random_matrix(const struct bench *b, enum dtype dtype, int64_t rows,
                                   int64_t columns, float scale)
{
    static uint32_t state = 1;
    static float number[CHUNK];
    static uint8_t chunk[CHUNK * sizeof(float)];
    struct tensor matrix = tensor_over(NULL, dtype, (int64_t[]){rows, columns}, 2);
    const size_t count = (size_t)tensor_count(&matrix), width = dtype_bytes(dtype);
    matrix.data = backend_alloc(b->backend, count * width);
    CHECK(matrix.data);
    for (size_t i = 0; i < CHUNK; i++) {
        state = state * 1664525u + 1013904223u;
        number[i] = ((float)(state >> 8) / 8388608.0F - 1) * scale;
    }
    dtype_narrow(chunk, dtype, number, CHUNK);
    for (size_t at = 0; at < count; at += CHUNK) {
        const size_t some = count - at < CHUNK ? count - at : CHUNK;
        backend_write(b->backend, (char *)matrix.data + at * width, chunk, some * width);
    }
    synced(b->backend);
    return matrix;
}

static struct tensor random_vector(const struct bench *b, int64_t count)
{
    const struct tensor matrix = random_matrix(b, DTYPE_F32, 1, count, 1);
    return tensor_reshaped(&matrix, &count, 1);
}

static double least_s(const struct model_shape *model)
{
    return strcmp(model->name, "tiny") != 0 ? ROUND_S : ROUND_S / 10;
}

typedef void op_call(struct bench *b, const void *op);

static void call_linear(struct bench *b, const void *op)
{
    op_linear(b->backend, op);
}

static void call_attention(struct bench *b, const void *op)
{
    op_attention(b->backend, op);
}

static void call_norm(struct bench *b, const void *op)
{
    op_norm(b->backend, op);
}

static void call_map(struct bench *b, const void *op)
{
    op_map(b->backend, op);
}

static void call_patches(struct bench *b, const void *op)
{
    op_patches(b->backend, op);
}

static double round_s(struct bench *b, op_call *call, const void *op, int64_t times)
{
    const double start_s = now_s();
    for (int64_t i = 0; i < times; i++) call(b, op);
    synced(b->backend);
    return now_s() - start_s;
}

/* Seconds of one. */
static double seconds_of(struct bench *b, op_call *call, const void *op)
{
    int64_t times = 1;
    double best = INFINITY;
    (void)round_s(b, call, op, 2);
    while (round_s(b, call, op, times) < least_s(b->model)) times *= 2;
    for (int i = 0; i < ROUNDS; i++) best = fmin(best, round_s(b, call, op, times));
    return best / (double)times;
}

static void tell(const struct bench *b, const char *what, double work, double seconds,
                 const char *unit)
{
    char name[128];
    (void)snprintf(name, sizeof name, "%s %s %s", b->model->name, what,
                   b->dtype == DTYPE_BF16 ? "bf16" : "f16");
    row("ops", name, work / seconds, unit, "");
}

/* As transformer.c calls them: into the residual of f32, or for the next op. */
static void bench_linear(struct bench *b, const struct product_shape *shape, bool to_residual,
                         enum activation activation)
{
    const float scale = 1 / sqrtf((float)shape->depth);
    const enum dtype out_dtype = to_residual ? DTYPE_F32 : b->dtype;
    struct tensor host = tensor_over(NULL, DTYPE_F32, (int64_t[]){shape->width, shape->depth}, 2);
    struct err err;
    float *numbers = mem_new(tensor_bytes(&host));
    for (int64_t i = 0; i < tensor_count(&host); i++)
        numbers[i] = (float)((i * 2654435761 >> 7) % 2001 - 1000) * 1e-3F * scale;
    host.data = numbers;
    struct backend_weight *weight = NULL;
    const int rc = backend_weight_new(b->backend, &weight, &host, 1, shape->depth, b->dtype, &err);
    mem_free(numbers);
    if (rc) {
        (void)fprintf(stderr, "bench: %s\n", err.msg);
        exit(1);
    }
    struct op_linear op = {.x = random_matrix(b, b->dtype, b->rows, shape->depth, 1),
                           .out = random_matrix(b, out_dtype, b->rows, shape->width, 1e-6F),
                           .bias = random_vector(b, shape->width),
                           .weight = weight,
                           .activation = activation};
    char what[96];
    if (to_residual) op.residual = op.out;
    (void)snprintf(what, sizeof what, "linear %s%s %lldx%lldx%lld", shape->name,
                   activation == ACTIVATION_NONE ? "" : "+quick_gelu", (long long)b->rows,
                   (long long)shape->width, (long long)shape->depth);
    tell(b, what, 2e-12 * (double)b->rows * (double)shape->width * (double)shape->depth,
         seconds_of(b, call_linear, &op), "TFLOP/s");
    backend_free(b->backend, op.x.data);
    backend_free(b->backend, op.out.data);
    backend_free(b->backend, op.bias.data);
    backend_weight_free(b->backend, weight);
}

static void bench_attention(struct bench *b)
{
    const struct model_shape *m = b->model;
    const int64_t head_dim = m->hidden / m->heads;
    const struct tensor qkv = random_matrix(b, b->dtype, b->rows, 3 * m->hidden, 1);
    const struct tensor out = random_matrix(b, b->dtype, b->rows, m->hidden, 1);
    const size_t part = (size_t)m->hidden * dtype_bytes(b->dtype);
    const struct op_attention op = {.dtype = b->dtype,
                                    .q = qkv.data,
                                    .k = (char *)qkv.data + part,
                                    .v = (char *)qkv.data + 2 * part,
                                    .out = out.data,
                                    .q_stride = 3 * m->hidden,
                                    .k_stride = 3 * m->hidden,
                                    .v_stride = 3 * m->hidden,
                                    .out_stride = m->hidden,
                                    .sequences = b->batch,
                                    .q_tokens = (uint32_t)b->tokens,
                                    .k_tokens = (uint32_t)b->tokens,
                                    .heads = (uint32_t)m->heads,
                                    .kv_heads = (uint32_t)m->heads,
                                    .head_dim = (uint32_t)head_dim,
                                    .scale = (float)(1 / sqrt((double)head_dim))};
    char what[96];
    (void)snprintf(what, sizeof what, "attention %u x %lld tokens", b->batch, (long long)b->tokens);
    tell(b, what, 4e-12 * b->batch * (double)b->tokens * (double)b->tokens * (double)m->hidden,
         seconds_of(b, call_attention, &op), "TFLOP/s");
    backend_free(b->backend, qkv.data);
    backend_free(b->backend, out.data);
}

static void bench_rows(struct bench *b)
{
    const struct model_shape *m = b->model;
    const struct tensor x = random_matrix(b, DTYPE_F32, b->rows, m->hidden, 1);
    const struct tensor out = random_matrix(b, b->dtype, b->rows, m->hidden, 1);
    const struct tensor mlp = random_matrix(b, b->dtype, b->rows, m->mlp, 4);
    const struct op_norm norm = {.kind = NORM_LAYER,
                                 .x = x,
                                 .out = out,
                                 .weight = random_vector(b, m->hidden),
                                 .bias = random_vector(b, m->hidden),
                                 .eps = 1e-5F};
    const struct op_map map = {.x = mlp, .out = mlp, .activation = ACTIVATION_QUICK_GELU};
    tell(b, "norm", 1e-9 * (double)(tensor_bytes(&x) + tensor_bytes(&out)),
         seconds_of(b, call_norm, &norm), "GB/s");
    tell(b, "quick_gelu", 2e-9 * (double)tensor_bytes(&mlp), seconds_of(b, call_map, &map), "GB/s");
    backend_free(b->backend, x.data);
    backend_free(b->backend, out.data);
    backend_free(b->backend, mlp.data);
    backend_free(b->backend, norm.weight.data);
    backend_free(b->backend, norm.bias.data);
}

static void bench_patches(struct bench *b)
{
    const struct model_shape *m = b->model;
    const int64_t columns = (3 * m->patch * m->patch + 15) / 16 * 16;
    const int64_t shape[] = {b->batch, m->side, m->side, 3};
    struct op_patches op = {.pixels = tensor_over(NULL, DTYPE_U8, shape, 4), .patch = m->patch};
    op.pixels.data = backend_alloc(b->backend, tensor_bytes(&op.pixels));
    CHECK(op.pixels.data);
    op.table = random_matrix(b, DTYPE_F32, 3, 256, 2);
    op.out = random_matrix(b, b->dtype, b->batch * model_patches(m), columns, 1);
    tell(b, "patches", 1e-9 * (double)(tensor_bytes(&op.pixels) + tensor_bytes(&op.out)),
         seconds_of(b, call_patches, &op), "GB/s");
    backend_free(b->backend, op.pixels.data);
    backend_free(b->backend, op.table.data);
    backend_free(b->backend, op.out.data);
}

static void bench_ops(struct bench *b)
{
    static const enum dtype dtypes[] = {DTYPE_BF16, DTYPE_F16};
    struct product_shape product[PRODUCTS_COUNT];
    model_products(product, b->model);
    b->tokens = model_patches(b->model) + 1;
    b->rows = b->batch * b->tokens;
    for (size_t i = 0; i < 2; i++) {
        b->dtype = dtypes[i];
        for (int k = 0; k < PRODUCTS_COUNT; k++)
            bench_linear(b, &product[k], product[k].to_residual, ACTIVATION_NONE);
        bench_linear(b, &product[2], false, ACTIVATION_QUICK_GELU); /* as a layer has fc1 */
        bench_attention(b);
        bench_rows(b);
        bench_patches(b);
    }
}

int main(int argc, char **argv)
{
    const bool is_ops = argc == 4 && !strcmp(argv[1], "ops");
    const bool is_batch = argc == 4 && !strcmp(argv[1], "batch");
    struct bench b = {.model = is_ops || is_batch ? model_shape(argv[3]) : NULL};
    struct err err = {0};
    if (!b.model) {
        (void)fprintf(stderr, "usage: bench ops|batch DEVICE MODEL\n");
        return 2;
    }
    const int rc = backend_open(&b.backend, argv[2], 0, &err);
    if (rc) {
        (void)fprintf(stderr, "bench: %s\n", err.msg);
        return rc == ERR_NOT_FOUND ? NO_DEVICE : 1;
    }
    b.batch = model_batch(b.model, b.backend->rows_good);
    if (is_ops)
        bench_ops(&b);
    else
        (void)printf("%u\n", b.batch);
    backend_close(b.backend);
    return 0;
}
