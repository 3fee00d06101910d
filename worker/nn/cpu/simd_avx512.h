/* simd_avx512.h - simd.h with AVX-512 (F, BW, DQ, VL, VNNI, and BF16 where the macro says so).
 *
 * CPU_SIMD_INTRINSICS names another header of the same functions: tests run this file's kernels on
 * any machine by one that computes them in C. */
#ifndef NN_CPU_SIMD_AVX512_H
#define NN_CPU_SIMD_AVX512_H

#ifdef CPU_SIMD_INTRINSICS
#include CPU_SIMD_INTRINSICS
#else
#include <immintrin.h>
#endif
#include <stdint.h>

typedef __m512 vec;
typedef __m512i veci;
typedef __mmask16 mask;

SIMD_INLINE vec vec_all(float x)
{
    return _mm512_set1_ps(x);
}

SIMD_INLINE vec vec_load(const float *src)
{
    return _mm512_loadu_ps(src);
}

SIMD_INLINE void vec_store(float *dst, vec a)
{
    _mm512_storeu_ps(dst, a);
}

SIMD_INLINE vec vec_load_bf16(const uint16_t *src)
{
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)src));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

SIMD_INLINE vec vec_load_f16(const uint16_t *src)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)src));
}

/* Not vcvtneps2bf16, which takes subnormal numbers for zeros. */
SIMD_INLINE void vec_store_bf16(uint16_t *dst, vec a)
{
    const __m512i bits = _mm512_castps_si512(a);
    const __m512i top = _mm512_srli_epi32(bits, 16);
    const __m512i odd = _mm512_and_si512(top, _mm512_set1_epi32(1));
    const __m512i half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
    const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, half), 16);
    const __m512i quiet = _mm512_or_si512(top, _mm512_set1_epi32(0x40));
    const __mmask16 is_nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
    const __m512i chosen = _mm512_mask_mov_epi32(rounded, is_nan, quiet);
    _mm256_storeu_si256((__m256i *)dst, _mm512_cvtepi32_epi16(chosen));
}

SIMD_INLINE void vec_store_f16(uint16_t *dst, vec a)
{
    _mm256_storeu_si256((__m256i *)dst, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}

#define SIMD_MAKE(name, type, intrinsic)  \
    SIMD_INLINE type name(type a, type b) \
    {                                     \
        return intrinsic(a, b);           \
    }

SIMD_MAKE(vec_add, vec, _mm512_add_ps)
SIMD_MAKE(vec_sub, vec, _mm512_sub_ps)
SIMD_MAKE(vec_mul, vec, _mm512_mul_ps)
SIMD_MAKE(vec_div, vec, _mm512_div_ps)
SIMD_MAKE(vec_max, vec, _mm512_max_ps)
SIMD_MAKE(vec_min, vec, _mm512_min_ps)
SIMD_MAKE(veci_add, veci, _mm512_add_epi32)
SIMD_MAKE(veci_sub, veci, _mm512_sub_epi32)
SIMD_MAKE(veci_max, veci, _mm512_max_epi32)
SIMD_MAKE(veci_and, veci, _mm512_and_si512)
SIMD_MAKE(veci_or, veci, _mm512_or_si512)
SIMD_MAKE(veci_xor, veci, _mm512_xor_si512)
#undef SIMD_MAKE

SIMD_INLINE vec vec_sqrt(vec a)
{
    return _mm512_sqrt_ps(a);
}

SIMD_INLINE vec vec_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}

SIMD_INLINE vec vec_fnma(vec a, vec b, vec c)
{
    return _mm512_fnmadd_ps(a, b, c);
}

SIMD_INLINE mask vec_less(vec a, vec b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}

SIMD_INLINE vec vec_select(mask m, vec a, vec b)
{
    return _mm512_mask_mov_ps(b, m, a);
}

SIMD_INLINE veci vec_bits(vec a)
{
    return _mm512_castps_si512(a);
}

SIMD_INLINE vec vec_of_bits(veci a)
{
    return _mm512_castsi512_ps(a);
}

SIMD_INLINE veci vec_to_int(vec a)
{
    return _mm512_cvtps_epi32(a);
}

SIMD_INLINE vec veci_to_vec(veci a)
{
    return _mm512_cvtepi32_ps(a);
}

SIMD_INLINE veci veci_all(int32_t x)
{
    return _mm512_set1_epi32(x);
}

SIMD_INLINE veci veci_load(const void *src)
{
    return _mm512_loadu_si512(src);
}

SIMD_INLINE void veci_store(void *dst, veci a)
{
    _mm512_storeu_si512(dst, a);
}

SIMD_INLINE veci veci_shift_left(veci a, int bits)
{
    return _mm512_slli_epi32(a, (unsigned)bits);
}

SIMD_INLINE veci veci_shift_right(veci a, int bits)
{
    return _mm512_srai_epi32(a, (unsigned)bits);
}

SIMD_INLINE veci veci_madd(veci sum, veci a, veci b)
{
    return _mm512_add_epi32(sum, _mm512_madd_epi16(a, b));
}

SIMD_INLINE veci veci_widen_i8(const int8_t *src)
{
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)src));
}

SIMD_INLINE void veci_store_i8(int8_t *dst, veci a)
{
    _mm_storeu_si128((__m128i *)dst, _mm512_cvtepi32_epi8(a));
}

/* sum + the four products u8 * i8 of each lane, all exact. gcc 12 makes copies of registers around
 * the intrinsic that halve its speed. */
#define VECI_HAS_QUADS 1
SIMD_INLINE veci veci_dot_quads(veci sum, veci unsigned_bytes, veci signed_bytes)
{
#if defined(__GNUC__) && !defined(__clang__) && !defined(CPU_SIMD_INTRINSICS)
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(unsigned_bytes), "v"(signed_bytes));
    return sum;
#else
    return _mm512_dpbusd_epi32(sum, unsigned_bytes, signed_bytes);
#endif
}

/* sum + the two products of bf16 of each lane, as vdpbf16ps rounds them. */
#ifdef CPU_SIMD_AVX512BF16
#define VEC_HAS_BF16_PAIRS 1
SIMD_INLINE vec vec_dot_bf16(vec sum, veci a, veci b)
{
#ifdef CPU_SIMD_INTRINSICS
    return simd_dpbf16_ps(sum, a, b);
#elif !defined(__clang__)
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
#else
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
#endif
}
#endif

#endif
