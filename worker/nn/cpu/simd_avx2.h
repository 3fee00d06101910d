/* simd_avx2.h - simd.h with AVX2, FMA and F16C: two registers of eight. */
#ifndef NN_CPU_SIMD_AVX2_H
#define NN_CPU_SIMD_AVX2_H

#include <immintrin.h>
#include <stdint.h>

typedef struct {
    __m256 lo, hi;
} vec;
typedef struct {
    __m256i lo, hi;
} veci;
typedef vec mask;

SIMD_INLINE vec simd_pair(__m256 lo, __m256 hi)
{
    return (vec){lo, hi};
}

SIMD_INLINE veci simd_pair_int(__m256i lo, __m256i hi)
{
    return (veci){lo, hi};
}

SIMD_INLINE vec vec_all(float x)
{
    return simd_pair(_mm256_set1_ps(x), _mm256_set1_ps(x));
}

SIMD_INLINE vec vec_load(const float *src)
{
    return simd_pair(_mm256_loadu_ps(src), _mm256_loadu_ps(src + 8));
}

SIMD_INLINE void vec_store(float *dst, vec a)
{
    _mm256_storeu_ps(dst, a.lo);
    _mm256_storeu_ps(dst + 8, a.hi);
}

SIMD_INLINE __m256 simd_widen_bf16(const uint16_t *src)
{
    const __m128i half = _mm_loadu_si128((const __m128i *)src);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

SIMD_INLINE vec vec_load_bf16(const uint16_t *src)
{
    return simd_pair(simd_widen_bf16(src), simd_widen_bf16(src + 8));
}

SIMD_INLINE vec vec_load_f16(const uint16_t *src)
{
    return simd_pair(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)src)),
                     _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(src + 8))));
}

/* In the low half of each lane. */
SIMD_INLINE __m256i simd_narrow_bf16(__m256 a)
{
    const __m256i bits = _mm256_castps_si256(a);
    const __m256i top = _mm256_srli_epi32(bits, 16);
    const __m256i odd = _mm256_and_si256(top, _mm256_set1_epi32(1));
    const __m256i half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
    const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, half), 16);
    const __m256i quiet = _mm256_or_si256(top, _mm256_set1_epi32(0x40));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(rounded, quiet, is_nan);
}

SIMD_INLINE void vec_store_bf16(uint16_t *dst, vec a)
{
    const __m256i packed = _mm256_packus_epi32(simd_narrow_bf16(a.lo), simd_narrow_bf16(a.hi));
    _mm256_storeu_si256((__m256i *)dst, _mm256_permute4x64_epi64(packed, 0xd8));
}

SIMD_INLINE void vec_store_f16(uint16_t *dst, vec a)
{
    _mm_storeu_si128((__m128i *)dst, _mm256_cvtps_ph(a.lo, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128((__m128i *)(dst + 8), _mm256_cvtps_ph(a.hi, _MM_FROUND_TO_NEAREST_INT));
}

#define SIMD_MAKE(name, type, pair, intrinsic)                     \
    SIMD_INLINE type name(type a, type b)                          \
    {                                                              \
        return pair(intrinsic(a.lo, b.lo), intrinsic(a.hi, b.hi)); \
    }

SIMD_MAKE(vec_add, vec, simd_pair, _mm256_add_ps)
SIMD_MAKE(vec_sub, vec, simd_pair, _mm256_sub_ps)
SIMD_MAKE(vec_mul, vec, simd_pair, _mm256_mul_ps)
SIMD_MAKE(vec_div, vec, simd_pair, _mm256_div_ps)
SIMD_MAKE(vec_max, vec, simd_pair, _mm256_max_ps)
SIMD_MAKE(vec_min, vec, simd_pair, _mm256_min_ps)
SIMD_MAKE(veci_add, veci, simd_pair_int, _mm256_add_epi32)
SIMD_MAKE(veci_sub, veci, simd_pair_int, _mm256_sub_epi32)
SIMD_MAKE(veci_max, veci, simd_pair_int, _mm256_max_epi32)
SIMD_MAKE(veci_and, veci, simd_pair_int, _mm256_and_si256)
SIMD_MAKE(veci_or, veci, simd_pair_int, _mm256_or_si256)
SIMD_MAKE(veci_xor, veci, simd_pair_int, _mm256_xor_si256)
#undef SIMD_MAKE

SIMD_INLINE vec vec_sqrt(vec a)
{
    return simd_pair(_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi));
}

SIMD_INLINE vec vec_fma(vec a, vec b, vec c)
{
    return simd_pair(_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi));
}

SIMD_INLINE vec vec_fnma(vec a, vec b, vec c)
{
    return simd_pair(_mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi));
}

SIMD_INLINE mask vec_less(vec a, vec b)
{
    return simd_pair(_mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ));
}

SIMD_INLINE vec vec_select(mask m, vec a, vec b)
{
    return simd_pair(_mm256_blendv_ps(b.lo, a.lo, m.lo), _mm256_blendv_ps(b.hi, a.hi, m.hi));
}

SIMD_INLINE veci vec_bits(vec a)
{
    return simd_pair_int(_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi));
}

SIMD_INLINE vec vec_of_bits(veci a)
{
    return simd_pair(_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi));
}

SIMD_INLINE veci vec_to_int(vec a)
{
    return simd_pair_int(_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi));
}

SIMD_INLINE vec veci_to_vec(veci a)
{
    return simd_pair(_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi));
}

SIMD_INLINE veci veci_all(int32_t x)
{
    return simd_pair_int(_mm256_set1_epi32(x), _mm256_set1_epi32(x));
}

SIMD_INLINE veci veci_load(const void *src)
{
    const __m256i *at = src;
    return simd_pair_int(_mm256_loadu_si256(at), _mm256_loadu_si256(at + 1));
}

SIMD_INLINE void veci_store(void *dst, veci a)
{
    __m256i *at = dst;
    _mm256_storeu_si256(at, a.lo);
    _mm256_storeu_si256(at + 1, a.hi);
}

SIMD_INLINE veci veci_shift_left(veci a, int bits)
{
    return simd_pair_int(_mm256_slli_epi32(a.lo, bits), _mm256_slli_epi32(a.hi, bits));
}

SIMD_INLINE veci veci_shift_right(veci a, int bits)
{
    return simd_pair_int(_mm256_srai_epi32(a.lo, bits), _mm256_srai_epi32(a.hi, bits));
}

SIMD_INLINE veci veci_madd(veci sum, veci a, veci b)
{
    return simd_pair_int(_mm256_add_epi32(sum.lo, _mm256_madd_epi16(a.lo, b.lo)),
                         _mm256_add_epi32(sum.hi, _mm256_madd_epi16(a.hi, b.hi)));
}

SIMD_INLINE veci veci_widen_i8(const int8_t *src)
{
    return simd_pair_int(_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)src)),
                         _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(src + 16))));
}

SIMD_INLINE void veci_store_i8(int8_t *dst, veci a)
{
    const __m256i pairs = _mm256_permute4x64_epi64(_mm256_packs_epi32(a.lo, a.hi), 0xd8);
    const __m128i bytes =
        _mm_packs_epi16(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
    _mm_storeu_si128((__m128i *)dst, bytes);
}

#endif
