/* simd.h - vectors of 16 numbers, the same on every instruction set.
 *
 * Kernels (kernel*.c here) are written once against these types and compiled once for each set of
 * instructions, with its flags and one of the macros below (CMakeLists.txt of worker/nn):
 *   vec    16 f32: one register of AVX-512, two of AVX2, four of NEON, an array in portable C
 *   veci   as many 32-bit integers, or the same bytes as i8, i16, bf16
 *   mask   what a comparison gives, for vec_select
 * Each set's own header has the basic operations; what is made of them stands here. All give the
 * same bits on every set, so that kernels do (only the bits of a NaN may differ): each operation
 * rounds once, to nearest even, and files that include this are compiled without contraction.
 *
 *   vec_fma(a, b, c)      a * b + c, rounded once
 *   vec_fnma(a, b, c)     c - a * b, rounded once
 *   vec_max(a, b)         a > b ? a : b, so b if one is NaN; vec_min alike
 *   vec_to_int(a)         to nearest even; |a| at most 2^22, of others any number
 *   vec_pow2(n)           2^n for n from -126 to 127
 *   veci_madd(s, a, b)    s + a0 * b0 + a1 * b1 in each lane, of its two i16
 *   veci_widen_i8(p)      32 i8 as 32 i16
 *   veci_store_i8(p, a)   each lane, from -128 to 127, as an i8: 16 of them
 *
 * Without a macro it is portable C: so tests and tools see it. */
#ifndef NN_CPU_SIMD_H
#define NN_CPU_SIMD_H

#include "worker/nn/dtype.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF /* gcc does not contract under -std=c17 */
#endif

#ifdef CPU_SIMD_PORTABLE
/* Inlined a hundred times into the unrolled kernels, sixteen lanes of plain C would keep a compiler
 * busy for minutes; what a call costs is little beside them. */
#define SIMD_INLINE static __attribute__((noinline, unused))
#else
#define SIMD_INLINE static inline __attribute__((always_inline))
#endif
/* Before a loop of constant length whose array should live in registers; in plain C it would only
 * make compilers slow. */
#define SIMD_PRAGMA(text) _Pragma(#text)
#if defined(CPU_SIMD_AVX2) || defined(CPU_SIMD_NEON) || \
    (defined(CPU_SIMD_AVX512) && !defined(CPU_SIMD_INTRINSICS))
#define SIMD_UNROLL(n) SIMD_PRAGMA(GCC unroll n)
#else
#define SIMD_UNROLL(n)
#endif

#define VEC_LANES 16

#if defined(CPU_SIMD_AVX512)
#include "worker/nn/cpu/simd_avx512.h"
#elif defined(CPU_SIMD_AVX2)
#include "worker/nn/cpu/simd_avx2.h"
#elif defined(CPU_SIMD_NEON)
#include "worker/nn/cpu/simd_neon.h"
#else
#include "worker/nn/cpu/simd_portable.h"
#endif

/* The first count of 16 numbers; those that are missing are 0. */
SIMD_INLINE vec vec_load_some(const float *src, size_t count)
{
    float lane[VEC_LANES] = {0};
    memcpy(lane, src, count * sizeof *lane);
    return vec_load(lane);
}

SIMD_INLINE void vec_store_some(float *dst, vec a, size_t count)
{
    float lane[VEC_LANES];
    vec_store(lane, a);
    memcpy(dst, lane, count * sizeof *lane);
}

/* Elements index and on of an array of real numbers, at most 16 of them: count may be more. */
SIMD_INLINE vec vec_read(const void *array, enum dtype dtype, size_t index, size_t count)
{
    uint16_t half[VEC_LANES] = {0};
    if (dtype == DTYPE_F32) {
        const float *src = (const float *)array + index;
        return count >= VEC_LANES ? vec_load(src) : vec_load_some(src, count);
    }
    const uint16_t *src = (const uint16_t *)array + index;
    if (count < VEC_LANES) {
        memcpy(half, src, count * sizeof *half);
        src = half;
    }
    return dtype == DTYPE_BF16 ? vec_load_bf16(src) : vec_load_f16(src);
}

/* The same for writing; rounds to nearest even. */
SIMD_INLINE void vec_write(void *array, enum dtype dtype, size_t index, vec a, size_t count)
{
    uint16_t half[VEC_LANES];
    if (dtype == DTYPE_F32) {
        float *dst = (float *)array + index;
        if (count >= VEC_LANES)
            vec_store(dst, a);
        else
            vec_store_some(dst, a, count);
        return;
    }
    uint16_t *dst = (uint16_t *)array + index;
    uint16_t *at = count >= VEC_LANES ? dst : half;
    if (dtype == DTYPE_BF16)
        vec_store_bf16(at, a);
    else
        vec_store_f16(at, a);
    if (count < VEC_LANES) memcpy(dst, at, count * sizeof *at);
}

/* Rounded to a type, as a number again. */
SIMD_INLINE vec vec_round(vec a, enum dtype dtype)
{
    uint16_t half[VEC_LANES];
    if (dtype == DTYPE_F32) return a;
    vec_write(half, dtype, 0, a, VEC_LANES);
    return vec_read(half, dtype, 0, VEC_LANES);
}

SIMD_INLINE vec vec_abs(vec a)
{
    return vec_of_bits(veci_and(vec_bits(a), veci_all(0x7fffffff)));
}

/* The size of a with the sign of b; a is not negative. */
SIMD_INLINE vec vec_signed(vec a, vec b)
{
    return vec_of_bits(veci_or(vec_bits(a), veci_and(vec_bits(b), veci_all(INT32_MIN))));
}

SIMD_INLINE vec vec_pow2(veci n)
{
    return vec_of_bits(veci_shift_left(veci_add(n, veci_all(127)), 23));
}

/* The sum of all lanes: (l, l + 8), then (l, l + 4), (l, l + 2), (l, l + 1). */
SIMD_INLINE float vec_sum(vec a)
{
    float lane[VEC_LANES];
    vec_store(lane, a);
    for (size_t half = VEC_LANES / 2; half; half /= 2)
        for (size_t l = 0; l < half; l++) lane[l] = lane[l] + lane[l + half];
    return lane[0];
}

SIMD_INLINE float vec_largest(vec a)
{
    float lane[VEC_LANES];
    vec_store(lane, a);
    for (size_t half = VEC_LANES / 2; half; half /= 2)
        for (size_t l = 0; l < half; l++)
            lane[l] = lane[l] > lane[l + half] ? lane[l] : lane[l + half];
    return lane[0];
}

#endif
