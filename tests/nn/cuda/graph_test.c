/* graph_test.c - passes as CUDA graphs over the emulated runtime: what makes one, what ends one,
 * and that neither is seen from outside. */
#include "common/base/mem.h"
#include "tests/support/cuda_emulated.h"
#include "tests/support/test.h"
#include "worker/nn/ops.h"

#include <stdlib.h>
#include <string.h>

extern const struct backend_driver backend_cuda;

#define NUMBERS 16 /* a matrix of 4 x 4 */
#define DEEP    64 /* of a weight that x must be converted for */

/* out = the sum of each row of x through a weight of ones, for some rows; then y = y / |y|. */
struct model {
    struct backend *backend;
    struct backend_weight *weight;
    float *x, *out, *y;
    uint32_t rows, called;
};

static struct tensor matrix(void *data, enum dtype dtype, int64_t rows, int64_t columns)
{
    return tensor_over(data, dtype, (int64_t[]){rows, columns}, 2);
}

static struct model model_new(void)
{
    struct model model = {.rows = 2};
    float ones[2 * DEEP];
    struct err err;
    for (int i = 0; i < 2 * DEEP; i++) ones[i] = 1;
    const struct tensor part = matrix(ones, DTYPE_F32, 2, DEEP);
    EXPECT_OK(backend_cuda.open(&model.backend, "cuda:0", 0, &err), &err);
    EXPECT_OK(backend_weight_new(model.backend, &model.weight, &part, 1, DEEP, DTYPE_BF16, &err),
              &err);
    model.x = backend_alloc(model.backend, NUMBERS * DEEP * sizeof(float));
    model.out = backend_alloc(model.backend, 2 * NUMBERS * sizeof(float));
    model.y = backend_alloc(model.backend, NUMBERS * sizeof(float));
    EXPECT(model.x && model.out && model.y);
    return model;
}

static void model_free(struct model *model)
{
    backend_weight_free(model->backend, model->weight);
    backend_free(model->backend, model->x);
    backend_free(model->backend, model->out);
    backend_free(model->backend, model->y);
    backend_close(model->backend);
}

static void ops(void *context)
{
    struct model *model = context;
    model->called++;
    op_linear(model->backend,
              &(struct op_linear){.x = matrix(model->x, DTYPE_F32, model->rows, DEEP),
                                  .out = matrix(model->out, DTYPE_F32, model->rows, 2),
                                  .weight = model->weight});
    op_unit(model->backend, &(struct op_unit){matrix(model->y, DTYPE_F32, 4, 4),
                                              matrix(model->y, DTYPE_F32, 4, 4)});
}

static void give(struct model *model, uint32_t shape)
{
    backend_pass(model->backend, model, (uint32_t[]){shape, model->rows, 0, 0}, ops, model);
}

/* A pass over x full of `value` and y full of twos must give this. */
static void run(struct model *model, float value)
{
    float x[NUMBERS * DEEP], out[2 * NUMBERS], y[NUMBERS];
    struct err err;
    for (size_t i = 0; i < NUMBERS * DEEP; i++) x[i] = value;
    for (size_t i = 0; i < NUMBERS; i++) y[i] = 2;
    backend_write(model->backend, model->x, x, model->rows * DEEP * sizeof *x);
    backend_write(model->backend, model->y, y, sizeof y);
    give(model, 0);
    backend_read(model->backend, out, model->out, 2 * model->rows * sizeof *out);
    backend_read(model->backend, y, model->y, sizeof y);
    EXPECT_OK(backend_sync(model->backend, &err), &err);
    for (size_t i = 0; i < 2 * model->rows; i++) EXPECT(out[i] == value * DEEP);
    for (size_t i = 0; i < NUMBERS; i++) EXPECT(y[i] == 0.5f);
}

/* Runs it, and tells how often ops were called and graphs launched. */
static void expect(struct model *model, float value, uint32_t called, uint32_t launched)
{
    const uint64_t graphs = cuda_emulated_graphs();
    const uint64_t replayed = model->backend->replayed;
    const uint32_t before = model->called;
    run(model, value);
    EXPECT_EQ(model->called - before, called);
    EXPECT_EQ(model->backend->replayed - replayed, launched);
    EXPECT_EQ(cuda_emulated_graphs() - graphs, launched);
}

TEST(graph, a_pass_that_comes_again_is_launched_at_once)
{
    UNUSED_STATE;
    struct model model = model_new();
    expect(&model, 1, 1, 0); /* as it is */
    expect(&model, 2, 1, 1); /* recorded, then launched */
    expect(&model, 3, 0, 1);
    expect(&model, 4, 0, 1);
    model_free(&model);
}

TEST(graph, other_shapes_are_other_passes)
{
    UNUSED_STATE;
    struct model model = model_new();
    for (model.rows = NUMBERS; model.rows > 0; model.rows--) expect(&model, 1, 1, 0);
    for (model.rows = NUMBERS; model.rows > 0; model.rows--) expect(&model, 2, 1, 1);
    for (model.rows = 1; model.rows <= NUMBERS; model.rows++) expect(&model, 3, 0, 1);
    model_free(&model);
}

TEST(graph, the_one_not_used_for_longest_makes_room)
{
    UNUSED_STATE;
    struct model model = model_new();
    expect(&model, 1, 1, 0);
    expect(&model, 2, 1, 1);
    for (uint32_t shape = 1; shape <= 31; shape++) give(&model, shape);
    expect(&model, 3, 0, 1);
    for (uint32_t shape = 32; shape <= 63; shape++) give(&model, shape);
    expect(&model, 4, 1, 0);
    model_free(&model);
}

/* What a graph holds of scratch memory is the old one's. */
TEST(graph, scratch_that_moves_ends_all_graphs)
{
    UNUSED_STATE;
    struct model model = model_new();
    expect(&model, 1, 1, 0);
    expect(&model, 2, 1, 1);
    model.rows = NUMBERS;
    expect(&model, 3, 1, 0); /* which needs more */
    expect(&model, 4, 1, 1); /* and is not forgotten with the others */
    model.rows = 2;
    expect(&model, 5, 1, 0);
    expect(&model, 6, 1, 1);
    model_free(&model);
}

TEST(graph, memory_that_is_freed_ends_all_graphs)
{
    UNUSED_STATE;
    struct model model = model_new();
    expect(&model, 1, 1, 0);
    expect(&model, 2, 1, 1);
    backend_free(model.backend, backend_alloc(model.backend, 100));
    expect(&model, 3, 1, 0);
    expect(&model, 4, 1, 1);
    backend_free(model.backend, NULL);
    expect(&model, 5, 0, 1);
    model_free(&model);
}

TEST(graph, what_cannot_be_one_runs_as_it_is)
{
    UNUSED_STATE;
    struct model model = model_new();
    expect(&model, 1, 1, 0);
    cuda_emulated_fail(CUDA_EMULATED_GRAPH, 0, cudaErrorMemoryAllocation);
    expect(&model, 2, 2, 0);
    cuda_emulated_fail(CUDA_EMULATED_GRAPH, -1, cudaSuccess);
    expect(&model, 3, 1, 0); /* and is not tried again */
    model_free(&model);
}

/* An op of another size than the pass was before: our own bug, but no reason for wrong numbers. */
TEST(graph, a_recording_in_which_scratch_would_grow_runs_as_it_is)
{
    UNUSED_STATE;
    struct model model = model_new();
    give(&model, 7);
    model.rows = NUMBERS;
    backend_pass(model.backend, &model, (uint32_t[]){7, 2, 0, 0}, ops, &model);
    EXPECT_EQ(model.called, 3);
    expect(&model, 5, 1, 0);
    model_free(&model);
}

TEST(graph, kernels_that_fail_in_one_are_told_at_sync)
{
    UNUSED_STATE;
    static const struct {
        cudaError_t error;
        int code;
        const char *text;
    } cases[] = {
        {cudaErrorLaunchOutOfResources, ERR_INTERNAL,
         "cuda:0, pass: too many resources requested for launch (cudaErrorLaunchOutOfResources)"},
        {cudaErrorIllegalAddress, ERR_UNAVAILABLE,
         "cuda:0 failed at pass or before and works no more in this process: an illegal memory "
         "access was encountered (cudaErrorIllegalAddress)"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct model model = model_new();
        struct err err;
        expect(&model, 1, 1, 0);
        expect(&model, 2, 1, 1);
        cuda_emulated_fail(CUDA_EMULATED_LAUNCH, 1, cases[i].error);
        give(&model, 0);
        EXPECT_EQ(backend_sync(model.backend, &err), cases[i].code);
        EXPECT_TEXT(err.msg, cases[i].text);
        give(&model, 0);
        EXPECT_EQ(model.called, 2);
        cuda_emulated_fail(CUDA_EMULATED_LAUNCH, -1, cudaSuccess);
        model_free(&model);
    }
}

/* As it is met first: while a pass is recorded. */
TEST(graph, a_device_that_is_lost_while_recording_is_told_at_sync)
{
    UNUSED_STATE;
    struct model model = model_new();
    struct err err;
    expect(&model, 1, 1, 0);
    cuda_emulated_fail(CUDA_EMULATED_GRAPH, 0, cudaErrorIllegalAddress);
    give(&model, 0);
    EXPECT_EQ(backend_sync(model.backend, &err), ERR_UNAVAILABLE);
    EXPECT(strstr(err.msg, "works no more in this process"));
    cuda_emulated_fail(CUDA_EMULATED_GRAPH, -1, cudaSuccess);
    model_free(&model);
}

TEST(graph, the_environment_turns_them_off)
{
    UNUSED_STATE;
    EXPECT_EQ(setenv("VLMQ_CUDA_GRAPHS", "off", 1), 0);
    struct model model = model_new();
    for (int i = 0; i < 4; i++) expect(&model, (float)i, 1, 0);
    model_free(&model);
    EXPECT_EQ(unsetenv("VLMQ_CUDA_GRAPHS"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(graph, a_pass_that_comes_again_is_launched_at_once),
        RUN(graph, other_shapes_are_other_passes),
        RUN(graph, the_one_not_used_for_longest_makes_room),
        RUN(graph, scratch_that_moves_ends_all_graphs),
        RUN(graph, memory_that_is_freed_ends_all_graphs),
        RUN(graph, what_cannot_be_one_runs_as_it_is),
        RUN(graph, a_recording_in_which_scratch_would_grow_runs_as_it_is),
        RUN(graph, kernels_that_fail_in_one_are_told_at_sync),
        RUN(graph, a_device_that_is_lost_while_recording_is_told_at_sync),
        RUN(graph, the_environment_turns_them_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
