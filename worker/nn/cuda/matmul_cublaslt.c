/* matmul_cublaslt.c - products by cuBLASLt (NVIDIA's "cuBLAS" manual, "Using the cuBLASLt API").
 *
 * cuBLASLt counts by columns: its D [N, M] = op(A) op(B) with A the weight, transposed, and B x, so
 * that our rows are its columns. A product's descriptors and algorithm are made once for its types,
 * N, K and bias, with a number of rows that stands for all, and kept: only the number of rows
 * changes from call to call. An algorithm is taken only if one thread block sums all of K (no
 * split, no reduction, no workspace to do it in), and if it takes few rows as well as many; its
 * order of sums is then that of its tile, for any number of rows. Which one is taken follows from
 * the library's version and the device: it is the first that cuBLASLt proposes, not the fastest of
 * some that were timed, which might be another one tomorrow. */
#include "common/base/check.h"
#include "common/base/mem.h"
#include "worker/nn/cuda/matmul.h"

#include <cublasLt.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define ROWS_TYPICAL   16384 /* 28 pictures of 577 tokens: where the time goes */
#define ALGORITHMS_MAX 32
#define ROWS_KEPT                                                                  \
    4 /* numbers of rows that are known to be fine: of whole passes, of their ends \
       */

/* From a lone row over parts of a tile to more than a pass has. */
static const int64_t rows_tried[] = {1, 2, 50, 257, 577, 1024, 65536, ROWS_TYPICAL};

/* What a product is the same by, but for its rows. */
struct key {
    enum dtype dtype, out_dtype;
    bool has_bias;
    int64_t width, depth;
};

struct product {
    struct product *next;
    struct key key;
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t weight, x, out;
    cublasLtMatmulAlgo_t algorithm;
    bool is_missing;            /* no algorithm is whole */
    int64_t rows;               /* of x and out, as they are described */
    int64_t checked[ROWS_KEPT]; /* numbers of rows that the algorithm takes, the latest in turn */
    uint32_t checked_next;
};

struct matmul {
    cublasLtHandle_t handle;
    cudaStream_t stream;
    struct product *products;
    char name[48];
};

static int failed(cublasStatus_t status, const char *what, struct err *err)
{
    if (status == CUBLAS_STATUS_SUCCESS) return 0;
    const bool is_memory = status == CUBLAS_STATUS_ALLOC_FAILED;
    return err_set(err, is_memory ? ERR_LIMIT : ERR_INTERNAL, "%s: %s", what,
                   cublasLtGetStatusString(status));
}

int matmul_open(struct matmul **matmul, cudaStream_t stream, struct err *err)
{
    struct matmul *new = mem_new(sizeof *new);
    const int rc = failed(cublasLtCreate(&new->handle), "cublasLtCreate", err);
    if (rc) {
        mem_free(new);
        return rc;
    }
    new->stream = stream;
    (void)snprintf(new->name, sizeof new->name, "cublaslt %zu", cublasLtGetVersion());
    *matmul = new;
    return 0;
}

static void product_free(struct product *product)
{
    if (product->operation) (void)cublasLtMatmulDescDestroy(product->operation);
    if (product->weight) (void)cublasLtMatrixLayoutDestroy(product->weight);
    if (product->x) (void)cublasLtMatrixLayoutDestroy(product->x);
    if (product->out) (void)cublasLtMatrixLayoutDestroy(product->out);
    mem_free(product);
}

void matmul_close(struct matmul *matmul)
{
    if (!matmul) return;
    while (matmul->products) {
        struct product *next = matmul->products->next;
        product_free(matmul->products);
        matmul->products = next;
    }
    (void)cublasLtDestroy(matmul->handle);
    mem_free(matmul);
}

const char *matmul_name(const struct matmul *matmul)
{
    return matmul->name;
}

static cudaDataType_t type_of(enum dtype dtype)
{
    if (dtype == DTYPE_BF16) return CUDA_R_16BF;
    if (dtype == DTYPE_F16) return CUDA_R_16F;
    CHECK(dtype == DTYPE_F32);
    return CUDA_R_32F;
}

/* With a bias that stands for all, so that the algorithm does not depend on the first one's. */
static cublasStatus_t describe_operation(struct product *product)
{
    static const _Alignas(256) char any[16];
    const void *const bias = any;
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    cublasLtMatmulDesc_t *operation = &product->operation;
    cublasStatus_t status = cublasLtMatmulDescCreate(operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    if (!status)
        status = cublasLtMatmulDescSetAttribute(*operation, CUBLASLT_MATMUL_DESC_TRANSA,
                                                &transposed, sizeof transposed);
    if (status || !product->key.has_bias) return status;
    status = cublasLtMatmulDescSetAttribute(*operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                                            sizeof epilogue);
    if (status) return status;
    return cublasLtMatmulDescSetAttribute(*operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias,
                                          sizeof bias);
}

static cublasStatus_t describe_matrices(struct product *product)
{
    const struct key *key = &product->key;
    const uint64_t width = (uint64_t)key->width, depth = (uint64_t)key->depth;
    const cudaDataType_t type = type_of(key->dtype), out_type = type_of(key->out_dtype);
    cublasStatus_t status =
        cublasLtMatrixLayoutCreate(&product->weight, type, depth, width, key->depth);
    if (!status)
        status = cublasLtMatrixLayoutCreate(&product->x, type, depth, ROWS_TYPICAL, key->depth);
    if (!status)
        status =
            cublasLtMatrixLayoutCreate(&product->out, out_type, width, ROWS_TYPICAL, key->width);
    product->rows = ROWS_TYPICAL;
    return status;
}

static cublasStatus_t limit(cublasLtMatmulPreference_t preference,
                            cublasLtMatmulPreferenceAttributes_t attribute, uint32_t value)
{
    return cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value);
}

/* No workspace, no reduction, and pointers aligned as matmul_alignment says. */
static cublasStatus_t prefer(cublasLtMatmulPreference_t preference, const struct key *key)
{
    const size_t depth_bytes = (size_t)key->depth * dtype_bytes(key->dtype);
    const size_t width_bytes = (size_t)key->width * dtype_bytes(key->out_dtype);
    const uint32_t in = (uint32_t)matmul_alignment(depth_bytes);
    const uint32_t out = (uint32_t)matmul_alignment(width_bytes);
    const uint64_t workspace = 0;
    cublasStatus_t status = cublasLtMatmulPreferenceSetAttribute(
        preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    if (!status)
        status = limit(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                       CUBLASLT_REDUCTION_SCHEME_NONE);
    if (!status) status = limit(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, in);
    if (!status) status = limit(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, in);
    if (!status) status = limit(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, out);
    if (!status) status = limit(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, out);
    return status;
}

/* Whether one block sums all of K. */
static bool is_whole(const cublasLtMatmulHeuristicResult_t *found)
{
    uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_NONE;
    int32_t split = 1;
    size_t written;
    if (found->state != CUBLAS_STATUS_SUCCESS || found->workspaceSize) return false;
    if (cublasLtMatmulAlgoConfigGetAttribute(&found->algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &split,
                                             sizeof split, &written))
        return false;
    if (cublasLtMatmulAlgoConfigGetAttribute(&found->algo, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME,
                                             &reduction, sizeof reduction, &written))
        return false;
    return split <= 1 && reduction == CUBLASLT_REDUCTION_SCHEME_NONE;
}

static cublasStatus_t describe_rows(struct product *product, int64_t count)
{
    const uint64_t rows = (uint64_t)count;
    if (product->rows == count) return CUBLAS_STATUS_SUCCESS;
    product->rows = 0;
    cublasStatus_t status = cublasLtMatrixLayoutSetAttribute(
        product->x, CUBLASLT_MATRIX_LAYOUT_COLS, &rows, sizeof rows);
    if (!status)
        status = cublasLtMatrixLayoutSetAttribute(product->out, CUBLASLT_MATRIX_LAYOUT_COLS, &rows,
                                                  sizeof rows);
    if (!status) product->rows = count;
    return status;
}

/* Describes so many rows, and asks whether the algorithm takes them. */
static cublasStatus_t check_rows(struct product *product, cublasLtHandle_t handle,
                                 const cublasLtMatmulAlgo_t *algorithm, int64_t count)
{
    cublasLtMatmulHeuristicResult_t result;
    cublasStatus_t status = describe_rows(product, count);
    if (!status)
        status = cublasLtMatmulAlgoCheck(handle, product->operation, product->weight, product->x,
                                         product->out, product->out, algorithm, &result);
    return !status && result.workspaceSize ? CUBLAS_STATUS_NOT_SUPPORTED : status;
}

static bool takes_all_rows(struct product *product, cublasLtHandle_t handle,
                           const cublasLtMatmulAlgo_t *algorithm)
{
    for (size_t i = 0; i < sizeof rows_tried / sizeof rows_tried[0]; i++)
        if (check_rows(product, handle, algorithm, rows_tried[i])) return false;
    return true;
}

/* Of those that are whole, the first that takes any number of rows; if there is none, the first;
 * the product is missing if none is whole. */
static int choose(struct product *product, cublasLtHandle_t handle, struct err *err)
{
    cublasLtMatmulHeuristicResult_t found[ALGORITHMS_MAX];
    cublasLtMatmulPreference_t preference;
    int count = 0;
    cublasStatus_t status = cublasLtMatmulPreferenceCreate(&preference);
    if (status) return failed(status, "cublasLtMatmulPreferenceCreate", err);
    status = prefer(preference, &product->key);
    if (!status)
        status = cublasLtMatmulAlgoGetHeuristic(handle, product->operation, product->weight,
                                                product->x, product->out, product->out, preference,
                                                ALGORITHMS_MAX, found, &count);
    (void)cublasLtMatmulPreferenceDestroy(preference);
    product->is_missing = true;
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) return 0;
    if (status) return failed(status, "cublasLtMatmulAlgoGetHeuristic", err);
    int best = -1;
    for (int i = 0; i < count; i++) {
        if (!is_whole(&found[i])) continue;
        const bool takes_all = takes_all_rows(product, handle, &found[i].algo);
        if (best < 0 || takes_all) best = i;
        if (takes_all) break;
    }
    product->is_missing = best < 0;
    if (best >= 0) product->algorithm = found[best].algo;
    return 0;
}

static int product_new(struct product **out, struct matmul *matmul, const struct key *key,
                       struct err *err)
{
    struct product *new = mem_new(sizeof *new);
    new->key = *key;
    int rc = failed(describe_operation(new), "cublasLtMatmulDesc", err);
    if (!rc) rc = failed(describe_matrices(new), "cublasLtMatrixLayout", err);
    if (!rc) rc = choose(new, matmul->handle, err);
    if (rc) {
        product_free(new);
        return rc;
    }
    new->next = matmul->products;
    matmul->products = new;
    *out = new;
    return 0;
}

static bool is_same(const struct key *a, const struct key *b)
{
    return a->dtype == b->dtype && a->out_dtype == b->out_dtype && a->has_bias == b->has_bias &&
           a->width == b->width && a->depth == b->depth;
}

/* A model has about five of them. */
static int find(struct product **out, struct matmul *matmul, const struct matmul_job *job,
                struct err *err)
{
    const struct key key = {.dtype = job->dtype,
                            .out_dtype = job->out_dtype,
                            .has_bias = job->bias != NULL,
                            .width = job->width,
                            .depth = job->depth};
    for (struct product *product = matmul->products; product; product = product->next)
        if (is_same(&product->key, &key)) {
            *out = product;
            return 0;
        }
    return product_new(out, matmul, &key, err);
}

/* So many rows; the algorithm stays what it is. */
static int set_rows(struct product *product, cublasLtHandle_t handle, int64_t count,
                    struct err *err)
{
    cublasStatus_t status;
    for (uint32_t i = 0; i < ROWS_KEPT; i++)
        if (product->checked[i] == count)
            return failed(describe_rows(product, count), "cublasLtMatrixLayoutSetAttribute", err);
    status = check_rows(product, handle, &product->algorithm, count);
    if (!status) {
        product->checked[product->checked_next] = count;
        product->checked_next = (product->checked_next + 1) % ROWS_KEPT;
    }
    return failed(status, "cuBLASLt, the algorithm of all rows with these", err);
}

int matmul_run(struct matmul *matmul, const struct matmul_job *job, struct err *err)
{
    const float one = 1, beta = job->residual ? 1 : 0;
    struct product *product;
    int rc = find(&product, matmul, job, err);
    if (!rc && product->is_missing)
        rc = err_set(err, ERR_NOT_FOUND,
                     "cuBLASLt has no algorithm for %lld x %lld that sums in one piece",
                     (long long)job->width, (long long)job->depth);
    if (!rc) rc = set_rows(product, matmul->handle, job->rows, err);
    if (!rc && job->bias)
        rc = failed(cublasLtMatmulDescSetAttribute(product->operation,
                                                   CUBLASLT_MATMUL_DESC_BIAS_POINTER, &job->bias,
                                                   sizeof job->bias),
                    "cublasLtMatmulDescSetAttribute", err);
    if (rc) return rc;
    return failed(cublasLtMatmul(matmul->handle, product->operation, &one, job->weight,
                                 product->weight, job->x, product->x, &beta,
                                 job->residual ? job->residual : job->out, product->out, job->out,
                                 product->out, &product->algorithm, NULL, 0, matmul->stream),
                  "cublasLtMatmul", err);
}
