/* ops_test.c - ops refuse shapes that do not agree, and reach a driver only when there is work. */
#include "worker/nn/ops.h"

#include "tests/support/test.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct tensor matrix(enum dtype dtype, int64_t rows, int64_t columns, void *data)
{
    struct tensor tensor;
    struct err err;
    EXPECT_OK(tensor_init(&tensor, dtype, (int64_t[]){rows, columns}, 2, data, &err), &err);
    return tensor;
}

static bool dies(void (*call)(struct backend *backend, void *op), struct backend *backend, void *op)
{
    int status = 0;
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr)) _exit(1);
        signal(SIGABRT, SIG_DFL); /* not the one of the test harness */
        call(backend, op);
        _exit(0);
    }
    EXPECT(child > 0);
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void call_map(struct backend *backend, void *op)
{
    op_map(backend, op);
}

static void call_unit(struct backend *backend, void *op)
{
    op_unit(backend, op);
}

static void call_attention(struct backend *backend, void *op)
{
    op_attention(backend, op);
}

static struct backend *reference(void)
{
    struct backend *backend;
    struct err err;
    EXPECT_OK(backend_open(&backend, "reference", 0, &err), &err);
    return backend;
}

TEST(ops, shapes_and_types_that_do_not_agree_are_our_bug)
{
    UNUSED_STATE;
    struct backend *backend = reference();
    float a[12] = {0}, b[12] = {0};
    struct op_map op = {matrix(DTYPE_F32, 3, 4, a), matrix(DTYPE_F32, 3, 4, b), ACTIVATION_NONE};
    EXPECT(!dies(call_map, backend, &op));
    op.out = matrix(DTYPE_F32, 3, 3, b);
    EXPECT(dies(call_map, backend, &op));
    op.out = matrix(DTYPE_I8, 3, 4, b);
    EXPECT(dies(call_map, backend, &op));
    op.out = matrix(DTYPE_F32, 3, 4, NULL);
    EXPECT(dies(call_map, backend, &op));
    backend_close(backend);
}

TEST(ops, what_is_written_may_be_what_is_read_but_not_half_of_it)
{
    UNUSED_STATE;
    struct backend *backend = reference();
    float a[16] = {0};
    struct op_unit op = {matrix(DTYPE_F32, 3, 4, a), matrix(DTYPE_F32, 3, 4, a)};
    EXPECT(!dies(call_unit, backend, &op));
    op.out.data = a + 4;
    EXPECT(dies(call_unit, backend, &op));
    op.out = matrix(DTYPE_BF16, 3, 4, a); /* a row of it ends where x is not yet read */
    EXPECT(dies(call_unit, backend, &op));
    backend_close(backend);
}

TEST(ops, attention_stays_inside_its_strides_and_lengths)
{
    UNUSED_STATE;
    struct backend *backend = reference();
    float data[4][3 * 16] = {{0}};
    const uint32_t lengths[] = {4};
    const struct op_attention good = {.dtype = DTYPE_F32,
                                      .q = data[0],
                                      .k = data[1],
                                      .v = data[2],
                                      .out = data[3],
                                      .q_stride = 16,
                                      .k_stride = 8,
                                      .v_stride = 8,
                                      .out_stride = 16,
                                      .sequences = 1,
                                      .q_tokens = 3,
                                      .k_tokens = 3,
                                      .heads = 2,
                                      .kv_heads = 1,
                                      .head_dim = 8};
    struct op_attention op = good;
    EXPECT(!dies(call_attention, backend, &op));
    op.q_stride = 15;
    EXPECT(dies(call_attention, backend, &op));
    op = good;
    op.lengths = lengths; /* 4 of 3 tokens */
    EXPECT(dies(call_attention, backend, &op));
    op = good;
    op.kv_heads = 3;
    EXPECT(dies(call_attention, backend, &op));
    op = good;
    op.causal = true;
    op.k_tokens = 2; /* the first query would see none */
    EXPECT(dies(call_attention, backend, &op));
    op = good;
    op.out = data[0];
    EXPECT(dies(call_attention, backend, &op));
    backend_close(backend);
}

TEST(ops, nothing_is_done_without_rows_or_behind_an_error)
{
    UNUSED_STATE;
    struct backend *backend = reference();
    struct err err;
    float a[4] = {3, 4, 0, 0}, b[4] = {7, 7, 7, 7};
    struct op_unit op = {matrix(DTYPE_F32, 0, 4, NULL), matrix(DTYPE_F32, 0, 4, NULL)};
    op_unit(backend, &op);
    op = (struct op_unit){matrix(DTYPE_F32, 1, 4, a), matrix(DTYPE_F32, 1, 4, b)};
    backend_fail(backend, ERR_LIMIT, "no memory for %d rows", 5);
    backend_fail(backend, ERR_INTERNAL, "a second one");
    op_unit(backend, &op);
    EXPECT(b[0] == 7);
    EXPECT_EQ(backend_sync(backend, &err), ERR_LIMIT);
    EXPECT_TEXT(err.msg, "no memory for 5 rows");
    EXPECT_EQ(backend_sync(backend, &err), ERR_LIMIT);
    backend_close(backend);
}

static void write_in_pass(void *context)
{
    static float from[4], to[4];
    backend_write(context, to, from, sizeof from);
}

static void pass_in_pass(void *context)
{
    backend_pass(context, NULL, (uint32_t[BACKEND_PASS_SHAPE]){0}, write_in_pass, context);
}

static void sync_in_pass(void *context)
{
    struct err err;
    (void)!backend_sync(context, &err);
}

static void nothing_in_pass(void *context)
{
    (void)context;
}

static void call_pass(struct backend *backend, void *ops)
{
    void (*const *call)(void *) = ops;
    backend_pass(backend, NULL, (uint32_t[BACKEND_PASS_SHAPE]){0}, *call, backend);
}

TEST(ops, a_pass_is_of_ops_alone)
{
    UNUSED_STATE;
    struct backend *backend = reference();
    void (*passes[])(void *) = {nothing_in_pass, write_in_pass, sync_in_pass, pass_in_pass};
    for (size_t i = 0; i < sizeof passes / sizeof passes[0]; i++)
        EXPECT_EQ(dies(call_pass, backend, &passes[i]), i > 0);
    backend_close(backend);
}

TEST(ops, a_device_that_is_not_there_is_named)
{
    UNUSED_STATE;
    struct backend *backend;
    struct err err;
    EXPECT_EQ(backend_open(&backend, "abacus:0", 0, &err), ERR_NOT_FOUND);
    EXPECT(strstr(err.msg, "abacus:0"));
    EXPECT(!backend);
    EXPECT_EQ(backend_open(&backend, "refer", 0, &err), ERR_NOT_FOUND);
    backend_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(ops, shapes_and_types_that_do_not_agree_are_our_bug),
        RUN(ops, what_is_written_may_be_what_is_read_but_not_half_of_it),
        RUN(ops, attention_stays_inside_its_strides_and_lengths),
        RUN(ops, nothing_is_done_without_rows_or_behind_an_error),
        RUN(ops, a_pass_is_of_ops_alone),
        RUN(ops, a_device_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
