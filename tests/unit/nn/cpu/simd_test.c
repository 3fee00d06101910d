/* simd_test.c - each operation against its definition, and against plain C on every set of
 * instructions that this machine has: bit by bit. */
#include "worker/nn/cpu/simd.h"

#include "tests/support/test.h"
#include "tests/unit/nn/cpu/probe.h"

#include <math.h>

#define LANES 16

static uint64_t state;

static uint32_t random_bits(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

/* Of any size; of kind 1, near each other; of kind 2, special ones among them. */
static float random_number(unsigned kind)
{
    static const float special[] = {0.0f,      -0.0f,           1.0f,     -1.0f,
                                    INFINITY,  -INFINITY,       NAN,      0x1p-149f,
                                    0x1p-126f, 0x1.fffffep127f, 65504.0f, 65520.0f};
    if (kind == 1) return (float)(int32_t)random_bits() * 0x1p-30f;
    if (kind == 2 && random_bits() % 4 == 0)
        return special[random_bits() % (sizeof special / sizeof *special)];
    return f32_of_bits(random_bits());
}

static void fill(float *dst, unsigned kind)
{
    for (int i = 0; i < LANES; i++) dst[i] = random_number(kind);
}

static bool same(float a, float b)
{
    return f32_bits(a) == f32_bits(b) || (isnan(a) && isnan(b));
}

static void check_op(const struct probe *probe, size_t op, const struct probe *plain)
{
    float a[LANES], b[LANES], c[LANES], got[LANES], expected[LANES];
    for (unsigned round = 0; round < 3000; round++) {
        fill(a, round % 3);
        fill(b, round % 3);
        fill(c, round % 3);
        probe->ops[op].run(got, a, b, c);
        plain->ops[op].run(expected, a, b, c);
        for (int l = 0; l < LANES; l++)
            if (!same(got[l], expected[l]))
                fail_msg("%s %s of %a, %a, %a: %a, and not %a", probe->name, probe->ops[op].name,
                         (double)a[l], (double)b[l], (double)c[l], (double)got[l],
                         (double)expected[l]);
    }
}

static void every_set_gives_the_bits_of_plain_c(void **unused)
{
    (void)unused;
    const struct probe *plain = probe_named("portable");
    assert_non_null(plain);
    const struct cpu_kernels *set;
    for (unsigned i = 0; (set = probe_kernels_at(i)); i++) {
        const struct probe *probe = probe_named(set->name);
        assert_non_null(probe);
        if (probe == plain) continue;
        for (size_t op = 0; probe->ops[op].name; op++) check_op(probe, op, plain);
    }
}

/* The C library's is correct, and slow where the processor has none. */
static void the_portable_fma_rounds_once(void **unused)
{
    (void)unused;
    for (unsigned round = 0; round < 300000; round++) {
        const float a = random_number(round % 3), b = random_number(round % 3);
        float c = random_number(round % 3);
        if (round % 5 == 0) c = -a * b; /* all but the lost part goes */
        if (round % 7 == 0) c = f32_of_bits(f32_bits(a * b) ^ (random_bits() & 0x87000000u));
        const float got = simd_fma(a, b, c), expected = fmaf(a, b, c);
        if (!same(got, expected))
            fail_msg("%a * %a + %a: %a, and not %a", (double)a, (double)b, (double)c, (double)got,
                     (double)expected);
    }
}

/* An exact tie of f32 that only a bit far below breaks: rounding twice gets it wrong. */
static void the_portable_fma_sees_what_a_double_loses(void **unused)
{
    (void)unused;
    const float tie = 0x1.000002p0f * 0x1p-24f; /* half a unit of 1, and a little more */
    assert_true(same(simd_fma(tie, 1.0f, 1.0f), 0x1.000002p0f));
    assert_true(same(simd_fma(0x1.000002p-12f, 0x1p-12f, 1.0f), 0x1.000002p0f));
    /* 1 + 2^-24 + 2^-80: in double the last part is gone, and the tie goes to even. */
    assert_true(same(simd_fma(0x1p-40f, 0x1p-40f, 0.0f), 0x1p-80f));
    const float a = 0x1.000002p-20f, b = 0x1.fffffcp-5f; /* the product is below 2^-24 */
    assert_true(same(simd_fma(a, b, 1.0f), fmaf(a, b, 1.0f)));
    assert_true(same(simd_fma(a, -b, 1.0f), fmaf(a, -b, 1.0f)));
}

static void sums_are_a_tree(void **unused)
{
    (void)unused;
    float lane[LANES];
    fill(lane, 1);
    float four[4];
    for (int l = 0; l < 4; l++) four[l] = (lane[l] + lane[l + 8]) + (lane[l + 4] + lane[l + 12]);
    const float expected = (four[0] + four[2]) + (four[1] + four[3]);
    assert_true(same(vec_sum(vec_load(lane)), expected));
}

static void madd_is_exact(void **unused)
{
    (void)unused;
    int8_t a[32], b[32];
    int32_t out[LANES];
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 32; i++) {
            a[i] = (int8_t)(round ? (int)(random_bits() & 255) - 128 : -128);
            b[i] = (int8_t)(round ? (int)(random_bits() & 255) - 128 : -128);
        }
        veci_store(out, veci_madd(veci_all(5), veci_widen_i8(a), veci_widen_i8(b)));
        for (int l = 0; l < LANES; l++)
            assert_int_equal(out[l], 5 + a[2 * l] * b[2 * l] + a[2 * l + 1] * b[2 * l + 1]);
    }
}

static void bytes_are_stored(void **unused)
{
    (void)unused;
    int32_t wide[LANES];
    int8_t narrow[LANES + 1];
    for (int round = 0; round < 200; round++) {
        for (int l = 0; l < LANES; l++) wide[l] = (int)(random_bits() & 255) - 128;
        narrow[LANES] = 77;
        veci_store_i8(narrow, veci_load(wide));
        for (int l = 0; l < LANES; l++) assert_int_equal(narrow[l], wide[l]);
        assert_int_equal(narrow[LANES], 77);
    }
}

/* All lengths of a tail, all pairs of types; nothing behind the last element is touched. */
static void check_conversions(const struct probe *probe, enum dtype from, enum dtype to)
{
    float number[40];
    uint8_t in[40 * 4], out[40 * 4 + 4], expected[40 * 4 + 4];
    for (size_t count = 0; count <= 35; count++) {
        for (size_t i = 0; i < count; i++) number[i] = random_number(2);
        dtype_narrow(in, from, number, count);
        dtype_widen(number, in, from, count);
        memset(out, 0xee, sizeof out);
        memset(expected, 0xee, sizeof expected);
        dtype_narrow(expected, to, number, count);
        probe->read_write(out, to, in, from, count);
        if (memcmp(out, expected, sizeof out) != 0)
            fail_msg("%s: %zu numbers from %s to %s", probe->name, count, dtype_name(from),
                     dtype_name(to));
    }
}

static void numbers_are_read_and_written_as_dtype_h_says(void **unused)
{
    (void)unused;
    static const enum dtype real[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16};
    const struct cpu_kernels *set;
    for (unsigned i = 0; (set = probe_kernels_at(i)); i++) {
        for (int round = 0; round < 20; round++)
            for (int pair = 0; pair < 9; pair++)
                check_conversions(probe_named(set->name), real[pair / 3], real[pair % 3]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_set_gives_the_bits_of_plain_c),
        cmocka_unit_test(the_portable_fma_rounds_once),
        cmocka_unit_test(the_portable_fma_sees_what_a_double_loses),
        cmocka_unit_test(sums_are_a_tree),
        cmocka_unit_test(madd_is_exact),
        cmocka_unit_test(bytes_are_stored),
        cmocka_unit_test(numbers_are_read_and_written_as_dtype_h_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
