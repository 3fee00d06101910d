/* avx512.h - the AVX-512 functions that worker/nn/cpu/simd_avx512.h calls, in plain C, so that its
 * kernels run in tests on any machine. Semantics: Intel's Intrinsics Guide; of vdpbf16ps, Intel's
 * manual, volume 2: the odd product is added first, each sum is rounded, subnormal numbers are
 * zeros both as input and as output. */
#ifndef TESTS_SUPPORT_AVX512_H
#define TESTS_SUPPORT_AVX512_H

#include "worker/nn/dtype.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* The names are given by what is emulated. NOLINTBEGIN(bugprone-reserved-identifier,cert-*) */
typedef struct {
    float x[16];
} __m512;
typedef struct {
    int32_t x[16];
} __m512i;
typedef struct {
    int32_t x[8];
} __m256i;
typedef struct {
    int32_t x[4];
} __m128i;
typedef uint16_t __mmask16;

#define _CMP_LT_OQ                17
#define _CMP_UNORD_Q              3
#define _MM_FROUND_TO_NEAREST_INT 0

#define EACH for (int l = 0; l < 16; l++)
/* Not inlined, so that compilers are done soon. */
#define FUNCTION static __attribute__((noinline, unused))
#define MAKE(result, name, parameters, expression) \
    FUNCTION result name parameters                \
    {                                              \
        result r;                                  \
        EACH r.x[l] = (expression);                \
        return r;                                  \
    }
#define TWO     (__m512 a, __m512 b)
#define TWO_INT (__m512i a, __m512i b)

MAKE(__m512, _mm512_set1_ps, (float a), a)
MAKE(__m512, _mm512_add_ps, TWO, a.x[l] + b.x[l])
MAKE(__m512, _mm512_sub_ps, TWO, a.x[l] - b.x[l])
MAKE(__m512, _mm512_mul_ps, TWO, a.x[l] * b.x[l])
MAKE(__m512, _mm512_div_ps, TWO, a.x[l] / b.x[l])
MAKE(__m512, _mm512_max_ps, TWO, a.x[l] > b.x[l] ? a.x[l] : b.x[l])
MAKE(__m512, _mm512_min_ps, TWO, a.x[l] < b.x[l] ? a.x[l] : b.x[l])
MAKE(__m512, _mm512_sqrt_ps, (__m512 a), sqrtf(a.x[l]))
MAKE(__m512, _mm512_fmadd_ps, (__m512 a, __m512 b, __m512 c), fmaf(a.x[l], b.x[l], c.x[l]))
MAKE(__m512, _mm512_fnmadd_ps, (__m512 a, __m512 b, __m512 c), fmaf(-a.x[l], b.x[l], c.x[l]))
MAKE(__m512, _mm512_mask_mov_ps, (__m512 a, __mmask16 m, __m512 b), m >> l & 1 ? b.x[l] : a.x[l])
MAKE(__m512i, _mm512_mask_mov_epi32, (__m512i a, __mmask16 m, __m512i b),
     m >> l & 1 ? b.x[l] : a.x[l])
MAKE(__m512i, _mm512_set1_epi32, (int32_t a), a)
MAKE(__m512i, _mm512_add_epi32, TWO_INT, (int32_t)((uint32_t)a.x[l] + (uint32_t)b.x[l]))
MAKE(__m512i, _mm512_sub_epi32, TWO_INT, (int32_t)((uint32_t)a.x[l] - (uint32_t)b.x[l]))
MAKE(__m512i, _mm512_max_epi32, TWO_INT, a.x[l] > b.x[l] ? a.x[l] : b.x[l])
MAKE(__m512i, _mm512_and_si512, TWO_INT, a.x[l] & b.x[l])
MAKE(__m512i, _mm512_or_si512, TWO_INT, a.x[l] | b.x[l])
MAKE(__m512i, _mm512_xor_si512, TWO_INT, a.x[l] ^ b.x[l])
MAKE(__m512i, _mm512_slli_epi32, (__m512i a, unsigned n), (int32_t)((uint32_t)a.x[l] << n))
MAKE(__m512i, _mm512_srli_epi32, (__m512i a, unsigned n), (int32_t)((uint32_t)a.x[l] >> n))
MAKE(__m512i, _mm512_srai_epi32, (__m512i a, unsigned n), a.x[l] >> n)
MAKE(__m512, _mm512_cvtepi32_ps, (__m512i a), (float)a.x[l])
MAKE(__m512i, _mm512_cvtps_epi32, (__m512 a),
     fabsf(a.x[l]) < 0x1p31f ? (int32_t)rintf(a.x[l]) : INT32_MIN)

/* Conversions of bytes. */
#define COPY(result, name, parameters, from) \
    FUNCTION result name parameters          \
    {                                        \
        result r;                            \
        memcpy(&r, from, sizeof r);          \
        return r;                            \
    }
COPY(__m512, _mm512_loadu_ps, (const void *p), p)
COPY(__m512i, _mm512_loadu_si512, (const void *p), p)
COPY(__m256i, _mm256_loadu_si256, (const __m256i *p), p)
COPY(__m512, _mm512_castsi512_ps, (__m512i a), &a)
COPY(__m512i, _mm512_castps_si512, (__m512 a), &a)

FUNCTION void _mm512_storeu_ps(void *p, __m512 a)
{
    memcpy(p, &a, sizeof a);
}

FUNCTION void _mm512_storeu_si512(void *p, __m512i a)
{
    memcpy(p, &a, sizeof a);
}

FUNCTION void _mm256_storeu_si256(__m256i *p, __m256i a)
{
    memcpy(p, &a, sizeof a);
}

FUNCTION void _mm_storeu_si128(__m128i *p, __m128i a)
{
    memcpy(p, &a, sizeof a);
}

FUNCTION uint16_t half_at(const void *from, int i)
{
    uint16_t half;
    memcpy(&half, (const uint8_t *)from + 2 * i, sizeof half);
    return half;
}

FUNCTION void half_put(void *to, int i, uint16_t half)
{
    memcpy((uint8_t *)to + 2 * i, &half, sizeof half);
}

MAKE(__m512i, _mm512_cvtepu16_epi32, (__m256i a), half_at(&a, l))
MAKE(__m512, _mm512_cvtph_ps, (__m256i a), f16_to_f32(half_at(&a, l)))

FUNCTION __m256i _mm512_cvtps_ph(__m512 a, int rounding)
{
    __m256i r;
    (void)rounding;
    EACH half_put(&r, l, f16_of_f32(a.x[l]));
    return r;
}

FUNCTION __m256i _mm512_cvtepi32_epi16(__m512i a)
{
    __m256i r;
    EACH half_put(&r, l, (uint16_t)a.x[l]);
    return r;
}

FUNCTION __m128i _mm512_cvtepi32_epi8(__m512i a)
{
    __m128i r;
    EACH((uint8_t *)&r)[l] = (uint8_t)a.x[l];
    return r;
}

FUNCTION __m512i _mm512_cvtepi8_epi16(__m256i a)
{
    __m512i r;
    int8_t byte[32];
    memcpy(byte, &a, sizeof byte);
    for (int i = 0; i < 32; i++) half_put(&r, i, (uint16_t)byte[i]);
    return r;
}

FUNCTION __mmask16 _mm512_cmp_ps_mask(__m512 a, __m512 b, int kind)
{
    unsigned mask = 0;
    EACH
    {
        const int is_set = kind == _CMP_LT_OQ ? a.x[l] < b.x[l] : isunordered(a.x[l], b.x[l]);
        mask |= (is_set ? 1u : 0u) << l;
    }
    return (__mmask16)mask;
}

FUNCTION int32_t madd_at(const __m512i *a, const __m512i *b, int l)
{
    const int even = (int16_t)half_at(a, 2 * l) * (int16_t)half_at(b, 2 * l);
    const int odd = (int16_t)half_at(a, 2 * l + 1) * (int16_t)half_at(b, 2 * l + 1);
    return (int32_t)((uint32_t)even + (uint32_t)odd);
}

MAKE(__m512i, _mm512_madd_epi16, TWO_INT, madd_at(&a, &b, l))

FUNCTION int32_t quads_at(int32_t sum, const __m512i *a, const __m512i *b, int l)
{
    uint8_t p[4];
    int8_t q[4];
    memcpy(p, &a->x[l], sizeof p);
    memcpy(q, &b->x[l], sizeof q);
    for (int i = 0; i < 4; i++) sum = (int32_t)((uint32_t)sum + (uint32_t)(p[i] * q[i]));
    return sum;
}

MAKE(__m512i, _mm512_dpbusd_epi32, (__m512i sum, __m512i a, __m512i b),
     quads_at(sum.x[l], &a, &b, l))

FUNCTION float flushed(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0.0f, x) : x;
}

FUNCTION float dot_at(float sum, const __m512i *a, const __m512i *b, int l)
{
    for (int i = 1; i >= 0; i--) {
        const float p = flushed(bf16_to_f32(half_at(a, 2 * l + i)));
        const float q = flushed(bf16_to_f32(half_at(b, 2 * l + i)));
        sum = flushed(fmaf(p, q, flushed(sum)));
    }
    return sum;
}

/* Of bytes that __m512bh would hold. */
MAKE(__m512, simd_dpbf16_ps, (__m512 sum, __m512i a, __m512i b), dot_at(sum.x[l], &a, &b, l))
/* NOLINTEND(bugprone-reserved-identifier,cert-*) */

#undef MAKE
#undef COPY
#undef TWO
#undef TWO_INT
#undef EACH
#undef FUNCTION
#endif
