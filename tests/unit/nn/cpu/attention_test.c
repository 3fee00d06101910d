/* attention_test.c - the bits of attention do not depend on the shape of a register tile.
 *
 * Each instruction set has its own; here portable C computes with those of the others, also of sets
 * that this machine does not have. */
#include "common/base/rng.h"
#include "tests/support/test.h"
#include "worker/nn/cpu/cpu.h"
#include "worker/nn/ops.h"

#include <string.h>

#undef CPU_SET
#define CPU_SET   test_wide
#define TILE_ROWS 12
#define TILE_VECS 2
#include "worker/nn/cpu/kernel_attention.c"

#define TOKENS_MAX 300
#define WIDTH_MAX  160
static float q[TOKENS_MAX * WIDTH_MAX], k[TOKENS_MAX * WIDTH_MAX], v[TOKENS_MAX * WIDTH_MAX];

struct shape {
    uint32_t q_tokens, k_tokens, heads, head_dim;
    bool causal;
};

static void attend(float *out, struct backend *backend, const struct shape *shape)
{
    const int64_t stride = (int64_t)shape->heads * shape->head_dim;
    struct err err;
    op_attention(backend, &(struct op_attention){.dtype = DTYPE_F32,
                                                 .q = q,
                                                 .k = k,
                                                 .v = v,
                                                 .out = out,
                                                 .q_stride = stride,
                                                 .k_stride = stride,
                                                 .v_stride = stride,
                                                 .out_stride = stride,
                                                 .sequences = 1,
                                                 .q_tokens = shape->q_tokens,
                                                 .k_tokens = shape->k_tokens,
                                                 .heads = shape->heads,
                                                 .kv_heads = shape->heads,
                                                 .head_dim = shape->head_dim,
                                                 .causal = shape->causal,
                                                 .scale = 0.3f});
    EXPECT_OK(backend_sync(backend, &err), &err);
}

TEST(attention, tiles_of_any_shape_give_the_same_bits)
{
    UNUSED_STATE;
    static const struct shape shapes[] = {
        {1, 1, 1, 8, false},   {13, 300, 1, 160, false}, {100, 290, 2, 64, true},
        {97, 97, 3, 40, true}, {50, 33, 2, 72, false},   {300, 300, 1, 16, true},
    };
    static float expected[TOKENS_MAX * WIDTH_MAX], got[TOKENS_MAX * WIDTH_MAX];
    struct backend *backend;
    struct rng rng;
    struct err err;
    rng_seed(&rng, test_seed());
    for (size_t i = 0; i < TOKENS_MAX * WIDTH_MAX; i++) {
        q[i] = (float)rng_unit(&rng) - 0.5f;
        k[i] = (float)rng_unit(&rng) - 0.5f;
        v[i] = (float)rng_unit(&rng) - 0.5f;
    }
    EXPECT_OK(backend_open(&backend, "cpu", 2, &err), &err);
    struct cpu_backend *cpu = (struct cpu_backend *)backend;
    const struct cpu_kernels *own = cpu->kernels;
    struct cpu_kernels wide = *cpu_kernels_at(0, NULL); /* portable */
    wide.attention = kernel_attention_test_wide;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const size_t bytes =
            (size_t)shapes[i].q_tokens * shapes[i].heads * shapes[i].head_dim * sizeof(float);
        memset(got, 0x7f, sizeof got);
        cpu->kernels = own;
        attend(expected, backend, &shapes[i]);
        cpu->kernels = &wide;
        attend(got, backend, &shapes[i]);
        EXPECT_MEM(got, expected, bytes);
    }
    cpu->kernels = own;
    backend_close(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(attention, tiles_of_any_shape_give_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
