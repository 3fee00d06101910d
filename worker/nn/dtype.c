/* dtype.c - the table of number types, and conversions of arrays. */
#include "worker/nn/dtype.h"

#include "common/base/check.h"

static const struct {
    const char *name;
    size_t bytes;
} table[] = {
    [DTYPE_BOOL] = {"BOOL", 1},       [DTYPE_U8] = {"U8", 1},
    [DTYPE_I8] = {"I8", 1},           [DTYPE_F8_E5M2] = {"F8_E5M2", 1},
    [DTYPE_F8_E4M3] = {"F8_E4M3", 1}, [DTYPE_F8_E8M0] = {"F8_E8M0", 1},
    [DTYPE_I16] = {"I16", 2},         [DTYPE_U16] = {"U16", 2},
    [DTYPE_F16] = {"F16", 2},         [DTYPE_BF16] = {"BF16", 2},
    [DTYPE_I32] = {"I32", 4},         [DTYPE_U32] = {"U32", 4},
    [DTYPE_F32] = {"F32", 4},         [DTYPE_C64] = {"C64", 8},
    [DTYPE_F64] = {"F64", 8},         [DTYPE_I64] = {"I64", 8},
    [DTYPE_U64] = {"U64", 8},
};
_Static_assert(sizeof table / sizeof table[0] == DTYPES_COUNT, "a row for each type");

size_t dtype_bytes(enum dtype dtype)
{
    CHECK(dtype < DTYPES_COUNT);
    return table[dtype].bytes;
}

const char *dtype_name(enum dtype dtype)
{
    CHECK(dtype < DTYPES_COUNT);
    return table[dtype].name;
}

bool dtype_parse(enum dtype *dtype, const char *name)
{
    for (int i = 0; i < DTYPES_COUNT; i++) {
        if (strcmp(table[i].name, name) != 0) continue;
        *dtype = (enum dtype)i;
        return true;
    }
    return false;
}

bool dtype_is_real(enum dtype dtype)
{
    return dtype == DTYPE_F32 || dtype == DTYPE_BF16 || dtype == DTYPE_F16;
}

/* gcc vectorises loops at -O2 only where it knows the number of turns. */
#define LANES 16

static void widen_bf16(float *restrict dst, const uint16_t *restrict src, size_t count)
{
    size_t i = 0;
    for (; count - i >= LANES; i += LANES)
        for (size_t k = 0; k < LANES; k++) dst[i + k] = bf16_to_f32(src[i + k]);
    for (; i < count; i++) dst[i] = bf16_to_f32(src[i]);
}

static void widen_f16(float *restrict dst, const uint16_t *restrict src, size_t count)
{
    size_t i = 0;
    for (; count - i >= LANES; i += LANES)
        for (size_t k = 0; k < LANES; k++) dst[i + k] = f16_to_f32(src[i + k]);
    for (; i < count; i++) dst[i] = f16_to_f32(src[i]);
}

static void narrow_bf16(uint16_t *restrict dst, const float *restrict src, size_t count)
{
    size_t i = 0;
    for (; count - i >= LANES; i += LANES)
        for (size_t k = 0; k < LANES; k++) dst[i + k] = bf16_of_f32(src[i + k]);
    for (; i < count; i++) dst[i] = bf16_of_f32(src[i]);
}

void dtype_widen(float *dst, const void *src, enum dtype dtype, size_t count)
{
    CHECK(dtype_is_real(dtype));
    if (dtype == DTYPE_F32) {
        if (count) memcpy(dst, src, count * sizeof *dst);
    } else if (dtype == DTYPE_BF16) {
        widen_bf16(dst, src, count);
    } else {
        widen_f16(dst, src, count);
    }
}

void dtype_narrow(void *dst, enum dtype dtype, const float *src, size_t count)
{
    uint16_t *half = dst;
    CHECK(dtype_is_real(dtype));
    if (dtype == DTYPE_F32) {
        if (count) memcpy(dst, src, count * sizeof *src);
    } else if (dtype == DTYPE_BF16) {
        narrow_bf16(dst, src, count);
    } else {
        for (size_t i = 0; i < count; i++) half[i] = f16_of_f32(src[i]);
    }
}
