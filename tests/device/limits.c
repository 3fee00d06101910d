/* limits.c - what the card itself gives: limits NUMBER MODEL:BATCH..., of the CUDA device of that
 * number; limits NUMBER --is-there only tells by the exit status whether there is one.
 *
 * A large square product in bf16, a copy within its memory, copies from and to pinned memory of the
 * host; and for each product of the models, with so many pictures in a pass, every algorithm that
 * cuBLASLt proposes, with a bias, and where a layer has one a residual of f32, as the backend asks:
 * the fastest of all, and the fastest of those that sum in one piece, of which the backend takes
 * one. Numbers are random: a card draws less power for zeros and is faster.
 * Exit status 77: there is no device. */
#include "tests/device/rows.h"
#include "tests/device/shapes.h"

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define SQUARE         8192
#define COPY_BYTES     ((size_t)1 << 30)
#define HOST_BYTES     ((size_t)256 << 20)
#define WORKSPACE      ((size_t)64 << 20)
#define ALGORITHMS_MAX 64
#define WARM           3
#define ROUNDS         10
#define LASTING_S      0.1
#define LASTING_ROUNDS 3
#define NO_DEVICE      77

static cudaStream_t stream;
static cudaEvent_t from_event, to_event;

static void check(int failed, const char *what)
{
    if (!failed) return;
    (void)fprintf(stderr, "limits: %s: %s\n", what, cudaGetErrorString(cudaGetLastError()));
    exit(1);
}

#define CHECKED_CALL(call) check((call) != 0, #call)

static void *device_new(size_t bytes)
{
    void *data = NULL;
    CHECKED_CALL(cudaMalloc(&data, bytes));
    return data;
}

/* Random numbers between -1 and 1, in bf16. */
static void *random_new(size_t count)
{
    uint16_t *host = malloc(count * sizeof *host);
    uint32_t state = 1;
    check(!host, "malloc");
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        const float value = (float)(state >> 8) / 8388608.0F - 1;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        host[i] = (uint16_t)(bits >> 16);
    }
    void *data = device_new(count * sizeof *host);
    CHECKED_CALL(cudaMemcpy(data, host, count * sizeof *host, cudaMemcpyHostToDevice));
    free(host);
    return data;
}

static void begin(void)
{
    CHECKED_CALL(cudaEventRecord(from_event, stream));
}

static double end_s(int rounds)
{
    float ms = 0;
    CHECKED_CALL(cudaEventRecord(to_event, stream));
    CHECKED_CALL(cudaEventSynchronize(to_event));
    CHECKED_CALL(cudaEventElapsedTime(&ms, from_event, to_event));
    return (double)ms * 1e-3 / rounds;
}

static double copy_s(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    for (int i = 0; i < WARM + ROUNDS; i++) {
        if (i == WARM) begin();
        CHECKED_CALL(cudaMemcpyAsync(to, from, bytes, kind, stream));
    }
    return end_s(ROUNDS);
}

static void measure_copies(void)
{
    void *from = device_new(COPY_BYTES), *to = device_new(COPY_BYTES), *host = NULL;
    CHECKED_CALL(cudaHostAlloc(&host, HOST_BYTES, cudaHostAllocDefault));
    memset(host, 1, HOST_BYTES);
    row("limits", "copy within the device, read and written",
        2e-9 * (double)COPY_BYTES / copy_s(to, from, COPY_BYTES, cudaMemcpyDeviceToDevice), "GB/s",
        "");
    row("limits", "from pinned memory to the device",
        1e-9 * (double)HOST_BYTES / copy_s(to, host, HOST_BYTES, cudaMemcpyHostToDevice), "GB/s",
        "");
    row("limits", "from the device to pinned memory",
        1e-9 * (double)HOST_BYTES / copy_s(host, from, HOST_BYTES, cudaMemcpyDeviceToHost), "GB/s",
        "");
    CHECKED_CALL(cudaFreeHost(host));
    CHECKED_CALL(cudaFree(from));
    CHECKED_CALL(cudaFree(to));
}

/* y [M, N] = x [M, K] W [N, K]^T, for cuBLASLt by columns. */
struct product {
    int64_t rows, width, depth;
    bool has_bias, to_residual;
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t weight, x, out;
    const void *x_data, *weight_data, *bias_data;
    void *out_data, *workspace;
};

static void product_open(struct product *p)
{
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    const uint64_t rows = (uint64_t)p->rows, width = (uint64_t)p->width;
    const uint64_t depth = (uint64_t)p->depth;
    CHECKED_CALL(cublasLtMatmulDescCreate(&p->operation, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    CHECKED_CALL(cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_TRANSA,
                                                &transposed, sizeof transposed));
    if (p->has_bias) {
        CHECKED_CALL(cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_EPILOGUE,
                                                    &epilogue, sizeof epilogue));
        CHECKED_CALL(cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                                                    &p->bias_data, sizeof(const void *)));
    }
    CHECKED_CALL(cublasLtMatrixLayoutCreate(&p->weight, CUDA_R_16BF, depth, width, p->depth));
    CHECKED_CALL(cublasLtMatrixLayoutCreate(&p->x, CUDA_R_16BF, depth, rows, p->depth));
    CHECKED_CALL(cublasLtMatrixLayoutCreate(&p->out, p->to_residual ? CUDA_R_32F : CUDA_R_16BF,
                                            width, rows, p->width));
}

static void product_close(struct product *p)
{
    CHECKED_CALL(cublasLtMatmulDescDestroy(p->operation));
    CHECKED_CALL(cublasLtMatrixLayoutDestroy(p->weight));
    CHECKED_CALL(cublasLtMatrixLayoutDestroy(p->x));
    CHECKED_CALL(cublasLtMatrixLayoutDestroy(p->out));
}

/* Seconds of one, or 0: the algorithm does not take it. */
static double product_s(const struct product *p, const cublasLtMatmulHeuristicResult_t *found,
                        int rounds)
{
    const float one = 1, beta = p->to_residual ? 1 : 0;
    for (int i = 0; i < WARM + rounds; i++) {
        if (i == WARM) begin();
        if (cublasLtMatmul(p->handle, p->operation, &one, p->weight_data, p->weight, p->x_data,
                           p->x, &beta, p->out_data, p->out, p->out_data, p->out, &found->algo,
                           p->workspace, found->workspaceSize, stream))
            return 0;
    }
    return end_s(rounds);
}

static bool is_whole(const cublasLtMatmulHeuristicResult_t *found)
{
    uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_NONE;
    int32_t split = 1;
    size_t written;
    (void)cublasLtMatmulAlgoConfigGetAttribute(&found->algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM,
                                               &split, sizeof split, &written);
    (void)cublasLtMatmulAlgoConfigGetAttribute(&found->algo, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME,
                                               &reduction, sizeof reduction, &written);
    return split <= 1 && reduction == CUBLASLT_REDUCTION_SCHEME_NONE && !found->workspaceSize;
}

/* The quickest algorithm so far; seconds 0: none. */
struct quickest {
    cublasLtMatmulHeuristicResult_t algorithm;
    double seconds;
};

static void keep_quicker(struct quickest *quickest, const cublasLtMatmulHeuristicResult_t *found,
                         double seconds)
{
    if (seconds <= 0 || (quickest->seconds > 0 && seconds >= quickest->seconds)) return;
    *quickest = (struct quickest){*found, seconds};
}

/* All that are proposed where there is so much workspace. */
static void try_all(const struct product *p, uint64_t workspace, struct quickest *any,
                    struct quickest *whole)
{
    static cublasLtMatmulHeuristicResult_t found[ALGORITHMS_MAX];
    cublasLtMatmulPreference_t preference;
    int count = 0;
    CHECKED_CALL(cublasLtMatmulPreferenceCreate(&preference));
    CHECKED_CALL(cublasLtMatmulPreferenceSetAttribute(
        preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace));
    CHECKED_CALL(cublasLtMatmulAlgoGetHeuristic(p->handle, p->operation, p->weight, p->x, p->out,
                                                p->out, preference, ALGORITHMS_MAX, found, &count));
    CHECKED_CALL(cublasLtMatmulPreferenceDestroy(preference));
    for (int i = 0; i < count; i++) {
        if (found[i].state) continue;
        const double seconds = product_s(p, &found[i], ROUNDS);
        keep_quicker(any, &found[i], seconds);
        if (is_whole(&found[i])) keep_quicker(whole, &found[i], seconds);
    }
}

/* TFLOP/s as bench.c has them: a moment's clock is higher than one that lasts. */
static double lasting_rate(const struct product *p, const struct quickest *quickest)
{
    const double flops = 2.0 * (double)p->rows * (double)p->width * (double)p->depth;
    double best = 0;
    if (quickest->seconds <= 0) return 0;
    const int rounds = (int)(LASTING_S / quickest->seconds) + 1;
    for (int i = 0; i < LASTING_ROUNDS; i++) {
        const double seconds = product_s(p, &quickest->algorithm, rounds);
        if (seconds > 0 && (best <= 0 || seconds < best)) best = seconds;
    }
    return best > 0 ? flops / best * 1e-12 : 0;
}

/* TFLOP/s of the best algorithm, and of the best that is whole. */
static void sweep(struct product *p, double *any, double *whole)
{
    struct quickest of_any = {.seconds = 0}, of_whole = {.seconds = 0};
    product_open(p);
    try_all(p, WORKSPACE, &of_any, &of_whole);
    try_all(p, 0, &of_any, &of_whole); /* as the backend asks */
    *any = lasting_rate(p, &of_any);
    *whole = lasting_rate(p, &of_whole);
    product_close(p);
}

static void measure_model(struct product *p, const struct model_shape *model, uint32_t batch)
{
    struct product_shape shape[PRODUCTS_COUNT];
    model_products(shape, model);
    p->rows = batch * (model_patches(model) + 1);
    p->has_bias = true;
    for (int i = 0; i < PRODUCTS_COUNT; i++) {
        char what[96], beside[96];
        double any, whole;
        p->width = shape[i].width;
        p->depth = shape[i].depth;
        p->to_residual = shape[i].to_residual;
        sweep(p, &any, &whole);
        (void)snprintf(what, sizeof what, "cuBLASLt %s %s %lldx%lldx%lld bf16", model->name,
                       shape[i].name, (long long)p->rows, (long long)p->width, (long long)p->depth);
        (void)snprintf(beside, sizeof beside, "%.4g with split sums or workspace", any);
        row("limits", what, whole, "TFLOP/s", beside);
    }
}

/* MODEL:BATCH */
static void measure_named(struct product *p, char *name)
{
    char *colon = strchr(name, ':');
    const uint32_t batch = colon ? (uint32_t)strtoul(colon + 1, NULL, 10) : 0;
    if (colon) *colon = '\0';
    const struct model_shape *model = model_shape(name);
    check(!model || !batch, name);
    measure_model(p, model, batch);
}

/* Room for what a pass of some 16,384 tokens multiplies: x up to 2^27 numbers. */
static void measure_products(char **names)
{
    const size_t most = (size_t)SQUARE * SQUARE; /* numbers of the largest operand */
    struct product p = {.rows = SQUARE, .width = SQUARE, .depth = SQUARE};
    double any, whole;
    p.x_data = random_new(2 * most);
    p.weight_data = random_new(most);
    p.bias_data = random_new(2 * (size_t)SQUARE); /* of f32, too */
    p.out_data = device_new(2 * most * sizeof(uint16_t));
    p.workspace = device_new(WORKSPACE);
    CHECKED_CALL(cublasLtCreate(&p.handle));
    sweep(&p, &any, &whole);
    row("limits", "cuBLASLt 8192x8192x8192 bf16", any, "TFLOP/s", "the ceiling of all products");
    for (; *names; names++) measure_named(&p, *names);
    CHECKED_CALL(cublasLtDestroy(p.handle));
}

int main(int argc, char **argv)
{
    const int number = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0;
    struct cudaDeviceProp properties;
    int count = 0;
    if (cudaGetDeviceCount(&count) || number >= count) {
        (void)fprintf(stderr, "limits: there is no CUDA device %d here: %s\n", number,
                      cudaGetErrorString(cudaGetLastError()));
        return NO_DEVICE;
    }
    if (argc > 2 && !strcmp(argv[2], "--is-there")) return 0;
    CHECKED_CALL(cudaSetDevice(number));
    CHECKED_CALL(cudaGetDeviceProperties(&properties, number));
    CHECKED_CALL(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    CHECKED_CALL(cudaEventCreate(&from_event));
    CHECKED_CALL(cudaEventCreate(&to_event));
    row("limits", properties.name, (double)properties.totalGlobalMem / (1 << 30), "GiB", "");
    measure_copies();
    measure_products(argc > 2 ? argv + 2 : argv + argc);
    return 0;
}
