/* dtype_test.c - every pattern of the half-width floats against plain arithmetic, and narrowing
 * against numpy and ml_dtypes (tests/golden/nn/narrow.txt). */
#include "worker/nn/dtype.h"

#include "tests/support/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* What a pattern of so many exponent and fraction bits means, by the definition of IEEE 754. */
static double meaning(uint32_t pattern, int exponent_bits, int fraction_bits)
{
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const uint32_t fraction = pattern & ((1u << fraction_bits) - 1);
    const int exponent = (int)(pattern >> fraction_bits & ((1u << exponent_bits) - 1));
    const double sign = pattern >> (exponent_bits + fraction_bits) ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1) return fraction ? NAN : sign * INFINITY;
    if (exponent == 0) return sign * ldexp(fraction, 1 - bias - fraction_bits);
    return sign * ldexp(fraction + (1u << fraction_bits), exponent - bias - fraction_bits);
}

static bool same(double a, double b)
{
    return isnan(a) ? isnan(b) : a == b && signbit(a) == signbit(b);
}

TEST(dtype, every_bf16_is_widened_and_comes_back)
{
    UNUSED_STATE;
    for (uint32_t i = 0; i <= UINT16_MAX; i++) {
        const float value = bf16_to_f32((uint16_t)i);
        EXPECT(same((double)value, meaning(i, 8, 7)));
        EXPECT_EQ(bf16_of_f32(value), isnan(value) ? i | 0x40 : i);
    }
}

TEST(dtype, every_f16_is_widened_and_comes_back)
{
    UNUSED_STATE;
    for (uint32_t i = 0; i <= UINT16_MAX; i++) {
        const float value = f16_to_f32((uint16_t)i);
        EXPECT(same((double)value, meaning(i, 5, 10)));
        EXPECT_EQ(f16_of_f32(value), isnan(value) ? i | 0x200 : i);
    }
}

/* Between two neighbours: the middle goes to the even one, and a bit to either side to the nearer
 * one. The last "neighbour" is where the format becomes infinite. */
TEST(dtype, narrowing_is_to_nearest_with_ties_to_even)
{
    UNUSED_STATE;
    for (uint32_t i = 0; i < 0x7c00; i++) {
        const double above = i == 0x7bff ? 65536 : meaning(i + 1, 5, 10);
        const float middle = (float)((meaning(i, 5, 10) + above) / 2);
        EXPECT_EQ(f16_of_f32(middle), i + (i & 1));
        EXPECT_EQ(f16_of_f32(nextafterf(middle, 0)), i);
        EXPECT_EQ(f16_of_f32(nextafterf(middle, INFINITY)), i + 1);
        EXPECT_EQ(f16_of_f32(-middle), (i + (i & 1)) | 0x8000);
    }
    for (uint32_t i = 0; i < 0x7f80; i++) {
        const uint32_t middle = i << 16 | 0x8000;
        EXPECT_EQ(bf16_of_f32(f32_of_bits(middle)), i + (i & 1));
        EXPECT_EQ(bf16_of_f32(f32_of_bits(middle - 1)), i);
        EXPECT_EQ(bf16_of_f32(f32_of_bits(middle + 1)), i + 1);
        EXPECT_EQ(bf16_of_f32(f32_of_bits(middle | 0x80000000u)), (i + (i & 1)) | 0x8000);
    }
}

TEST(dtype, narrowing_agrees_with_numpy)
{
    UNUSED_STATE;
    FILE *file = fopen(TESTS_DIR "/golden/nn/narrow.txt", "r");
    EXPECT(file);
    char line[64], *end;
    uint32_t rows = 0;
    while (fgets(line, sizeof line, file)) {
        const float value = f32_of_bits((uint32_t)strtoul(line, &end, 16));
        EXPECT_EQ(f16_of_f32(value), strtoul(end, &end, 16));
        EXPECT_EQ(bf16_of_f32(value), strtoul(end, &end, 16));
        rows++;
    }
    (void)fclose(file);
    EXPECT(rows > 300);
}

/* Of any payload, also one that the narrow formats have no room for. */
TEST(dtype, nan_stays_nan_of_its_sign)
{
    UNUSED_STATE;
    static const uint32_t nans[] = {0x7f800001, 0x7fffffff, 0x7fc00000, 0x7f80ffff, 0x7fa02000};
    for (size_t i = 0; i < sizeof nans / sizeof nans[0]; i++) {
        EXPECT(isnan(bf16_to_f32(bf16_of_f32(f32_of_bits(nans[i])))));
        EXPECT(isnan(f16_to_f32(f16_of_f32(f32_of_bits(nans[i])))));
        EXPECT(bf16_of_f32(f32_of_bits(nans[i] | 0x80000000u)) & 0x8000);
        EXPECT(f16_of_f32(f32_of_bits(nans[i] | 0x80000000u)) & 0x8000);
    }
    EXPECT_EQ(f16_of_f32(f32_of_bits(0x7fa02000)), 0x7f01);
    EXPECT_EQ(f32_bits(f16_to_f32(0xfc01)), 0xffc02000);
}

/* All patterns, and a few more than a multiple of what is converted at once. */
TEST(dtype, arrays_are_converted_as_their_elements)
{
    UNUSED_STATE;
    enum { COUNT = UINT16_MAX + 6 };
    static const enum dtype types[] = {DTYPE_BF16, DTYPE_F16};
    static uint16_t half[COUNT + 1], back[COUNT + 1];
    static float wide[COUNT + 1];
    for (size_t i = 0; i < COUNT; i++) half[i] = (uint16_t)i;
    for (size_t t = 0; t < 2; t++) {
        const bool is_f16 = types[t] == DTYPE_F16;
        wide[COUNT] = 7;
        back[COUNT] = 7;
        dtype_widen(wide, half, types[t], COUNT);
        dtype_narrow(back, types[t], wide, COUNT);
        for (size_t i = 0; i < COUNT; i++) {
            const float one = is_f16 ? f16_to_f32(half[i]) : bf16_to_f32(half[i]);
            EXPECT_EQ(f32_bits(wide[i]), f32_bits(one));
            EXPECT_EQ(back[i], is_f16 ? f16_of_f32(one) : bf16_of_f32(one));
        }
        EXPECT(wide[COUNT] == 7 && back[COUNT] == 7);
    }
    static float copy[COUNT];
    dtype_narrow(copy, DTYPE_F32, wide, COUNT);
    EXPECT_MEM(copy, wide, sizeof copy);
    dtype_widen(wide, half, DTYPE_F32, 0);
    EXPECT_MEM(copy, wide, sizeof copy);
}

TEST(dtype, names_and_sizes_are_those_of_the_format)
{
    UNUSED_STATE;
    enum dtype dtype;
    for (int i = 0; i < DTYPES_COUNT; i++) {
        EXPECT(dtype_parse(&dtype, dtype_name((enum dtype)i)));
        EXPECT_EQ(dtype, i);
        EXPECT(i == 0 || dtype_bytes(dtype) >= dtype_bytes((enum dtype)(i - 1)));
        EXPECT_EQ(dtype_is_real(dtype), i == DTYPE_F32 || i == DTYPE_BF16 || i == DTYPE_F16);
    }
    EXPECT_EQ(dtype_bytes(DTYPE_BF16), 2);
    EXPECT_EQ(dtype_bytes(DTYPE_I64), 8);
    EXPECT(!dtype_parse(&dtype, "f32"));
    EXPECT(!dtype_parse(&dtype, ""));
    EXPECT(!dtype_parse(&dtype, "F4"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(dtype, every_bf16_is_widened_and_comes_back),
        RUN(dtype, every_f16_is_widened_and_comes_back),
        RUN(dtype, narrowing_is_to_nearest_with_ties_to_even),
        RUN(dtype, narrowing_agrees_with_numpy),
        RUN(dtype, nan_stays_nan_of_its_sign),
        RUN(dtype, arrays_are_converted_as_their_elements),
        RUN(dtype, names_and_sizes_are_those_of_the_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
