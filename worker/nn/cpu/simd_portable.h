/* simd_portable.h - simd.h in plain C. */
#ifndef NN_CPU_SIMD_PORTABLE_H
#define NN_CPU_SIMD_PORTABLE_H

#include "worker/nn/dtype.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    float x[16];
} vec;
typedef struct {
    int32_t x[16];
} veci;
typedef struct {
    uint32_t x[16]; /* all ones: true */
} mask;

#define SIMD_EACH for (int l = 0; l < 16; l++)

/* a * b + c, rounded once. Without an instruction for it: the product is exact in double; the sum
 * is rounded to odd (its last bit is set where something was lost), which is what keeps a second
 * rounding from going wrong (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums:
 * proved algorithms using rounding to odd", 2008). The lost part is Knuth's two-sum. */
static inline float simd_fma(float a, float b, float c)
{
#ifdef __FP_FAST_FMAF
    return __builtin_fmaf(a, b, c);
#else
    const double product = (double)a * (double)b, addend = (double)c;
    double sum = product + addend;
    const double part = sum - product;
    const double lost = (product - (sum - part)) + (addend - part);
    int64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    /* Rounded away from zero: one down, to the odd number that lies before it. */
    const int64_t inexact = lost < 0.0 || lost > 0.0;
    const int64_t outward = (lost < 0.0) == (sum > 0.0);
    bits += (inexact & ~bits & 1) * (1 - 2 * outward);
    memcpy(&sum, &bits, sizeof sum);
    return (float)sum;
#endif
}

SIMD_INLINE vec vec_all(float x)
{
    vec r;
    SIMD_EACH r.x[l] = x;
    return r;
}

SIMD_INLINE vec vec_load(const float *src)
{
    vec r;
    memcpy(&r, src, sizeof r);
    return r;
}

SIMD_INLINE void vec_store(float *dst, vec a)
{
    memcpy(dst, &a, sizeof a);
}

SIMD_INLINE vec vec_load_bf16(const uint16_t *src)
{
    vec r;
    SIMD_EACH r.x[l] = bf16_to_f32(src[l]);
    return r;
}

SIMD_INLINE vec vec_load_f16(const uint16_t *src)
{
    vec r;
    SIMD_EACH r.x[l] = f16_to_f32(src[l]);
    return r;
}

SIMD_INLINE void vec_store_bf16(uint16_t *dst, vec a)
{
    SIMD_EACH dst[l] = bf16_of_f32(a.x[l]);
}

SIMD_INLINE void vec_store_f16(uint16_t *dst, vec a)
{
    SIMD_EACH dst[l] = f16_of_f32(a.x[l]);
}

#define SIMD_MAKE(name, type, expression) \
    SIMD_INLINE type name(type a, type b) \
    {                                     \
        type r;                           \
        SIMD_EACH r.x[l] = (expression);  \
        return r;                         \
    }

SIMD_MAKE(vec_add, vec, a.x[l] + b.x[l])
SIMD_MAKE(vec_sub, vec, a.x[l] - b.x[l])
SIMD_MAKE(vec_mul, vec, a.x[l] * b.x[l])
SIMD_MAKE(vec_div, vec, a.x[l] / b.x[l])
SIMD_MAKE(vec_max, vec, a.x[l] > b.x[l] ? a.x[l] : b.x[l])
SIMD_MAKE(vec_min, vec, a.x[l] < b.x[l] ? a.x[l] : b.x[l])
SIMD_MAKE(veci_add, veci, (int32_t)((uint32_t)a.x[l] + (uint32_t)b.x[l]))
SIMD_MAKE(veci_sub, veci, (int32_t)((uint32_t)a.x[l] - (uint32_t)b.x[l]))
SIMD_MAKE(veci_max, veci, a.x[l] > b.x[l] ? a.x[l] : b.x[l])
SIMD_MAKE(veci_and, veci, a.x[l] & b.x[l])
SIMD_MAKE(veci_or, veci, a.x[l] | b.x[l])
SIMD_MAKE(veci_xor, veci, a.x[l] ^ b.x[l])
#undef SIMD_MAKE

SIMD_INLINE vec vec_sqrt(vec a)
{
    SIMD_EACH a.x[l] = sqrtf(a.x[l]);
    return a;
}

SIMD_INLINE vec vec_fma(vec a, vec b, vec c)
{
    SIMD_EACH c.x[l] = simd_fma(a.x[l], b.x[l], c.x[l]);
    return c;
}

SIMD_INLINE vec vec_fnma(vec a, vec b, vec c)
{
    SIMD_EACH c.x[l] = simd_fma(-a.x[l], b.x[l], c.x[l]);
    return c;
}

SIMD_INLINE mask vec_less(vec a, vec b)
{
    mask r;
    SIMD_EACH r.x[l] = 0u - (uint32_t)(a.x[l] < b.x[l]);
    return r;
}

SIMD_INLINE vec vec_select(mask m, vec a, vec b)
{
    vec r;
    SIMD_EACH r.x[l] = f32_of_bits((f32_bits(a.x[l]) & m.x[l]) | (f32_bits(b.x[l]) & ~m.x[l]));
    return r;
}

SIMD_INLINE veci vec_bits(vec a)
{
    veci r;
    memcpy(&r, &a, sizeof r);
    return r;
}

SIMD_INLINE vec vec_of_bits(veci a)
{
    vec r;
    memcpy(&r, &a, sizeof r);
    return r;
}

SIMD_INLINE veci vec_to_int(vec a)
{
    veci r;
    SIMD_EACH r.x[l] = (int32_t)(f32_bits(a.x[l] + 0x1.8p23f) - 0x4b400000u);
    return r;
}

SIMD_INLINE vec veci_to_vec(veci a)
{
    vec r;
    SIMD_EACH r.x[l] = (float)a.x[l];
    return r;
}

SIMD_INLINE veci veci_all(int32_t x)
{
    veci r;
    SIMD_EACH r.x[l] = x;
    return r;
}

SIMD_INLINE veci veci_load(const void *src)
{
    veci r;
    memcpy(&r, src, sizeof r);
    return r;
}

SIMD_INLINE void veci_store(void *dst, veci a)
{
    memcpy(dst, &a, sizeof a);
}

SIMD_INLINE veci veci_shift_left(veci a, int bits)
{
    SIMD_EACH a.x[l] = (int32_t)((uint32_t)a.x[l] << bits);
    return a;
}

SIMD_INLINE veci veci_shift_right(veci a, int bits) /* keeps the sign */
{
    SIMD_EACH a.x[l] = a.x[l] >> bits;
    return a;
}

SIMD_INLINE veci veci_madd(veci sum, veci a, veci b)
{
    int16_t p[32], q[32];
    memcpy(p, &a, sizeof p);
    memcpy(q, &b, sizeof q);
    SIMD_EACH
    {
        const uint32_t first = (uint32_t)(p[2 * l] * q[2 * l]);
        sum.x[l] = (int32_t)((uint32_t)sum.x[l] + first + (uint32_t)(p[2 * l + 1] * q[2 * l + 1]));
    }
    return sum;
}

SIMD_INLINE veci veci_widen_i8(const int8_t *src)
{
    int16_t wide[32];
    veci r;
    for (int i = 0; i < 32; i++) wide[i] = src[i];
    memcpy(&r, wide, sizeof r);
    return r;
}

SIMD_INLINE void veci_store_i8(int8_t *dst, veci a)
{
    SIMD_EACH dst[l] = (int8_t)a.x[l];
}

#undef SIMD_EACH

#endif
