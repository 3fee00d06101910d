/* gemm.c - the matrix product of the cpu backend beside the instruction peak of the same moment.
 *
 *   bench_gemm THREADS ROUNDS               the shapes of ViTs, f32, bf16 and i8
 *   bench_gemm THREADS ROUNDS TYPE M N K    one: x [M, K], weights [N, K] of TYPE (F32, BF16, I8)
 *
 * The peak: independent chains of the very instruction that the product is made of, nothing else.
 * Peak and product take turns, so that both meet the same noise; a round is at least 20 ms of each.
 * Prints a line of JSON for each shape and type with the median of both, in 10^9 multiplications
 * and additions (two for each weight) a second, the median of their ratio, and the ratio of the
 * fastest round of each: what they are when no neighbour is at work. */
#include "common/base/check.h"
#include "common/base/err.h"
#include "worker/nn/backend.h"
#include "worker/nn/cpu/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS_MAX 1000
#define ROUND_S    0.02

/* Chains of each type: 12 registers, TURNS times. Returns operations. */
#define TURNS 20000
#define CHAINS(REGISTER, STEP)                                                               \
    do {                                                                                     \
        for (int turn = 0; turn < TURNS; turn++)                                             \
            __asm__ volatile(STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) \
                                 STEP(8) STEP(9) STEP(10) STEP(11)::                         \
                                     : REGISTER);                                            \
    } while (0)
#ifdef __x86_64__
#define YMM                                                                                  \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
#define FMA_256(r)  "vfmadd231ps %%ymm12, %%ymm13, %%ymm" #r "\n"
#define FMA_512(r)  "vfmadd231ps %%zmm12, %%zmm13, %%zmm" #r "\n"
#define BF16_512(r) "vdpbf16ps %%zmm12, %%zmm13, %%zmm" #r "\n"
#define QUAD_512(r) "vpdpbusd %%zmm12, %%zmm13, %%zmm" #r "\n"
/* Two products, then the sums of both: a register holds what is added. */
#define MADD_256(r)                        \
    "vpmaddwd %%ymm12, %%ymm13, %%ymm14\n" \
    "vpaddd %%ymm14, %%ymm" #r ", %%ymm" #r "\n"
#endif

static double seconds(void)
{
    struct timespec now;
    CHECK(!clock_gettime(CLOCK_MONOTONIC, &now));
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* What one thread does of the peak; the operations of one call. */
static double peak_work(const char *set, enum dtype dtype)
{
#ifdef __x86_64__
    const bool is_512 = !strncmp(set, "avx512", 6);
    if (is_512 && dtype == DTYPE_I8) {
        CHAINS(YMM, QUAD_512);
        return TURNS * 12.0 * 64 * 2;
    }
    if (!strcmp(set, "avx512bf16") && dtype == DTYPE_BF16) {
        CHAINS(YMM, BF16_512);
        return TURNS * 12.0 * 32 * 2;
    }
    if (is_512) {
        CHAINS(YMM, FMA_512);
        return TURNS * 12.0 * 16 * 2;
    }
    if (!strcmp(set, "avx2")) {
        if (dtype == DTYPE_I8) {
            CHAINS(YMM, MADD_256);
            return TURNS * 12.0 * 16 * 2;
        }
        CHAINS(YMM, FMA_256);
        return TURNS * 12.0 * 8 * 2;
    }
#endif
    (void)set;
    (void)dtype;
    return 0.0; /* no peak is known */
}

#define THREADS_MAX 256

struct peak {
    const char *set;
    enum dtype dtype;
    double operations[THREADS_MAX]; /* of each task */
};

/* For about ROUND_S, so that no thread takes two. */
static void peak_task(void *arg, uint32_t task, uint32_t thread)
{
    struct peak *peak = arg;
    const double start = seconds();
    (void)thread;
    peak->operations[task] = 0.0;
    do peak->operations[task] += peak_work(peak->set, peak->dtype);
    while (seconds() - start < ROUND_S);
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    return values[count / 2];
}

struct shape {
    int64_t m, n, k;
};

/* An x of M rows and its weights, all in small numbers. */
static void fill(float *data, int64_t count)
{
    uint32_t state = 1;
    for (int64_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        data[i] = (float)(int32_t)state * 0x1p-31f;
    }
}

static struct tensor matrix(enum dtype dtype, int64_t rows, int64_t columns, void *data)
{
    struct tensor tensor;
    struct err err;
    CHECK(!tensor_init(&tensor, dtype, (int64_t[]){rows, columns}, 2, data, &err));
    return tensor;
}

/* Calls of the op for about ROUND_S; operations a second. */
static double measure_op(struct backend *backend, const struct op_linear *op, double operations)
{
    const double start = seconds();
    double now = start;
    int calls = 0;
    do {
        backend->driver->linear(backend, op);
        calls++;
        now = seconds();
    } while (now - start < ROUND_S);
    return operations * calls / (now - start);
}

static double measure_peak(struct cpu_pool *pool, struct peak *peak)
{
    const double start = seconds();
    const uint32_t threads = cpu_pool_threads(pool);
    double operations = 0.0;
    cpu_pool_run(pool, threads, peak_task, peak);
    const double end = seconds();
    for (uint32_t i = 0; i < threads; i++) operations += peak->operations[i];
    return operations / (end - start);
}

static void measure(struct backend *backend, struct cpu_pool *pool, struct shape s,
                    enum dtype dtype, int rounds)
{
    static double peaks[ROUNDS_MAX], ops[ROUNDS_MAX], ratios[ROUNDS_MAX];
    struct err err;
    float *x = backend_alloc(backend, (size_t)(s.m * s.k) * sizeof *x);
    float *y = backend_alloc(backend, (size_t)(s.m * s.n) * sizeof *y);
    float *w = backend_alloc(backend, (size_t)(s.n * s.k) * sizeof *w);
    CHECK(x && y && w);
    fill(x, s.m * s.k);
    fill(w, s.n * s.k);
    const enum dtype kept = dtype == DTYPE_BF16 ? DTYPE_BF16 : DTYPE_F32;
    struct backend_weight *weight;
    const struct tensor part = matrix(DTYPE_F32, s.n, s.k, w);
    CHECK(!backend_weight_new(backend, &weight, &part, 1, s.k, dtype, &err));
    if (kept == DTYPE_BF16) { /* as a model that computes in bf16 has it */
        uint16_t *narrow = backend_alloc(backend, (size_t)(s.m * s.k) * sizeof *narrow);
        CHECK(narrow);
        dtype_narrow(narrow, DTYPE_BF16, x, (size_t)(s.m * s.k));
        backend_free(backend, x);
        x = (float *)(void *)narrow;
    }
    const struct op_linear op = {.x = matrix(kept, s.m, s.k, x),
                                 .out = matrix(kept, s.m, s.n, y),
                                 .weight = weight,
                                 .activation = ACTIVATION_NONE};
    struct peak peak = {.set = backend->arithmetic, .dtype = dtype};
    const double operations = 2.0 * (double)s.m * (double)s.n * (double)s.k;
    backend->driver->linear(backend, &op); /* pages and buffers are there from now on */
    for (int i = 0; i < rounds; i++) {
        const double before = measure_peak(pool, &peak);
        ops[i] = measure_op(backend, &op, operations);
        peaks[i] = (before + measure_peak(pool, &peak)) / 2.0;
        ratios[i] = peaks[i] > 0.0 ? ops[i] / peaks[i] : 0.0;
    }
    CHECK(!backend_sync(backend, &err));
    printf("{\"rows\": %d, \"columns\": %d, \"inner\": %d, \"type\": \"%s\", \"threads\": %u, "
           "\"set\": \"%s\", \"gops\": %.1f, \"peak_gops\": %.1f, \"ratio\": %.3f, ",
           (int)s.m, (int)s.n, (int)s.k, dtype_name(dtype), backend->threads, backend->arithmetic,
           median(ops, rounds) * 1e-9, median(peaks, rounds) * 1e-9, median(ratios, rounds));
    /* median() has sorted them */
    printf("\"best_ratio\": %.3f}\n", peaks[0] > 0.0 ? ops[rounds - 1] / peaks[rounds - 1] : 0.0);
    (void)fflush(stdout);
    backend_weight_free(backend, weight);
    backend_free(backend, w);
    backend_free(backend, y);
    backend_free(backend, x);
}

static int64_t whole(const char *text)
{
    char *end;
    const long number = strtol(text, &end, 10);
    return *end || number < 1 || number > INT16_MAX ? 0 : number;
}

/* One shape in words; false: there is none such. */
static bool parse(struct shape *shape, enum dtype *dtype, char **word)
{
    *shape = (struct shape){whole(word[1]), whole(word[2]), whole(word[3])};
    if (!dtype_parse(dtype, word[0]) || !(dtype_is_real(*dtype) || *dtype == DTYPE_I8))
        return false;
    return shape->m && shape->n && shape->k;
}

static void measure_all(struct backend *backend, struct cpu_pool *pool, int rounds)
{
    static const struct shape shapes[] = {
        {257, 3072, 1024},  {257, 1024, 1024},  {257, 4096, 1024},  {257, 1024, 4096},
        {577, 3072, 1024},  {577, 1024, 1024},  {577, 4096, 1024},  {577, 1024, 4096},
        {2056, 3072, 1024}, {2056, 1024, 1024}, {2056, 4096, 1024}, {2056, 1024, 4096},
        {800, 3072, 768},
    };
    static const enum dtype types[] = {DTYPE_F32, DTYPE_BF16, DTYPE_I8};
    for (size_t type = 0; type < sizeof types / sizeof *types; type++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            measure(backend, pool, shapes[i], types[type], rounds);
}

int main(int argc, char **argv)
{
    struct shape shape;
    struct backend *backend;
    struct cpu_pool *pool;
    struct err err;
    enum dtype dtype;
    const int64_t threads = argc > 2 ? whole(argv[1]) : 0, rounds = argc > 2 ? whole(argv[2]) : 0;
    if ((argc != 3 && argc != 7) || !threads || threads > THREADS_MAX || !rounds ||
        rounds > ROUNDS_MAX || (argc == 7 && !parse(&shape, &dtype, &argv[3]))) {
        (void)fprintf(stderr, "usage: bench_gemm THREADS ROUNDS [TYPE M N K]\n");
        return 2;
    }
    if (backend_open(&backend, "cpu", (uint32_t)threads, &err) ||
        cpu_pool_open(&pool, backend->threads, &err)) {
        (void)fprintf(stderr, "bench_gemm: %s\n", err.msg);
        return 1;
    }
    if (argc == 7)
        measure(backend, pool, shape, dtype, (int)rounds);
    else
        measure_all(backend, pool, (int)rounds);
    cpu_pool_close(pool);
    backend_close(backend);
    return 0;
}
