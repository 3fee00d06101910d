/* simd_neon.h - simd.h with the NEON of every aarch64 processor: four registers of four. */
#ifndef NN_CPU_SIMD_NEON_H
#define NN_CPU_SIMD_NEON_H

#include <arm_neon.h>
#include <stdint.h>

typedef struct {
    float32x4_t q[4];
} vec;
typedef struct {
    int32x4_t q[4];
} veci;
typedef struct {
    uint32x4_t q[4];
} mask;

#define SIMD_EACH SIMD_UNROLL(4) for (int i = 0; i < 4; i++)

SIMD_INLINE vec vec_all(float x)
{
    vec r;
    SIMD_EACH r.q[i] = vdupq_n_f32(x);
    return r;
}

SIMD_INLINE vec vec_load(const float *src)
{
    vec r;
    SIMD_EACH r.q[i] = vld1q_f32(src + 4 * i);
    return r;
}

SIMD_INLINE void vec_store(float *dst, vec a)
{
    SIMD_EACH vst1q_f32(dst + 4 * i, a.q[i]);
}

SIMD_INLINE vec vec_load_bf16(const uint16_t *src)
{
    vec r;
    SIMD_EACH r.q[i] = vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(src + 4 * i), 16));
    return r;
}

SIMD_INLINE vec vec_load_f16(const uint16_t *src)
{
    vec r;
    SIMD_EACH r.q[i] = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(src + 4 * i)));
    return r;
}

SIMD_INLINE void vec_store_bf16(uint16_t *dst, vec a)
{
    SIMD_EACH
    {
        const uint32x4_t bits = vreinterpretq_u32_f32(a.q[i]);
        const uint32x4_t top = vshrq_n_u32(bits, 16);
        const uint32x4_t odd = vandq_u32(top, vdupq_n_u32(1));
        const uint32x4_t half = vaddq_u32(odd, vdupq_n_u32(0x7fff));
        const uint32x4_t rounded = vshrq_n_u32(vaddq_u32(bits, half), 16);
        const uint32x4_t quiet = vorrq_u32(top, vdupq_n_u32(0x40));
        const uint32x4_t is_number = vceqq_f32(a.q[i], a.q[i]);
        vst1_u16(dst + 4 * i, vmovn_u32(vbslq_u32(is_number, rounded, quiet)));
    }
}

SIMD_INLINE void vec_store_f16(uint16_t *dst, vec a)
{
    SIMD_EACH vst1_u16(dst + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(a.q[i])));
}

#define SIMD_MAKE(name, type, expression) \
    SIMD_INLINE type name(type a, type b) \
    {                                     \
        SIMD_EACH a.q[i] = (expression);  \
        return a;                         \
    }

SIMD_MAKE(vec_add, vec, vaddq_f32(a.q[i], b.q[i]))
SIMD_MAKE(vec_sub, vec, vsubq_f32(a.q[i], b.q[i]))
SIMD_MAKE(vec_mul, vec, vmulq_f32(a.q[i], b.q[i]))
SIMD_MAKE(vec_div, vec, vdivq_f32(a.q[i], b.q[i]))
SIMD_MAKE(vec_max, vec, vbslq_f32(vcgtq_f32(a.q[i], b.q[i]), a.q[i], b.q[i]))
SIMD_MAKE(vec_min, vec, vbslq_f32(vcltq_f32(a.q[i], b.q[i]), a.q[i], b.q[i]))
SIMD_MAKE(veci_add, veci, vaddq_s32(a.q[i], b.q[i]))
SIMD_MAKE(veci_sub, veci, vsubq_s32(a.q[i], b.q[i]))
SIMD_MAKE(veci_max, veci, vmaxq_s32(a.q[i], b.q[i]))
SIMD_MAKE(veci_and, veci, vandq_s32(a.q[i], b.q[i]))
SIMD_MAKE(veci_or, veci, vorrq_s32(a.q[i], b.q[i]))
SIMD_MAKE(veci_xor, veci, veorq_s32(a.q[i], b.q[i]))
#undef SIMD_MAKE

SIMD_INLINE vec vec_sqrt(vec a)
{
    SIMD_EACH a.q[i] = vsqrtq_f32(a.q[i]);
    return a;
}

SIMD_INLINE vec vec_fma(vec a, vec b, vec c)
{
    SIMD_EACH c.q[i] = vfmaq_f32(c.q[i], a.q[i], b.q[i]);
    return c;
}

SIMD_INLINE vec vec_fnma(vec a, vec b, vec c)
{
    SIMD_EACH c.q[i] = vfmsq_f32(c.q[i], a.q[i], b.q[i]);
    return c;
}

SIMD_INLINE mask vec_less(vec a, vec b)
{
    mask r;
    SIMD_EACH r.q[i] = vcltq_f32(a.q[i], b.q[i]);
    return r;
}

SIMD_INLINE vec vec_select(mask m, vec a, vec b)
{
    SIMD_EACH a.q[i] = vbslq_f32(m.q[i], a.q[i], b.q[i]);
    return a;
}

SIMD_INLINE veci vec_bits(vec a)
{
    veci r;
    SIMD_EACH r.q[i] = vreinterpretq_s32_f32(a.q[i]);
    return r;
}

SIMD_INLINE vec vec_of_bits(veci a)
{
    vec r;
    SIMD_EACH r.q[i] = vreinterpretq_f32_s32(a.q[i]);
    return r;
}

SIMD_INLINE veci vec_to_int(vec a)
{
    veci r;
    SIMD_EACH r.q[i] = vcvtnq_s32_f32(a.q[i]);
    return r;
}

SIMD_INLINE vec veci_to_vec(veci a)
{
    vec r;
    SIMD_EACH r.q[i] = vcvtq_f32_s32(a.q[i]);
    return r;
}

SIMD_INLINE veci veci_all(int32_t x)
{
    veci r;
    SIMD_EACH r.q[i] = vdupq_n_s32(x);
    return r;
}

SIMD_INLINE veci veci_load(const void *src)
{
    veci r;
    SIMD_EACH r.q[i] = vreinterpretq_s32_u8(vld1q_u8((const uint8_t *)src + 16 * i));
    return r;
}

SIMD_INLINE void veci_store(void *dst, veci a)
{
    SIMD_EACH vst1q_u8((uint8_t *)dst + 16 * i, vreinterpretq_u8_s32(a.q[i]));
}

SIMD_INLINE veci veci_shift_left(veci a, int bits)
{
    SIMD_EACH a.q[i] = vshlq_s32(a.q[i], vdupq_n_s32(bits));
    return a;
}

SIMD_INLINE veci veci_shift_right(veci a, int bits)
{
    SIMD_EACH a.q[i] = vshlq_s32(a.q[i], vdupq_n_s32(-bits));
    return a;
}

SIMD_INLINE veci veci_madd(veci sum, veci a, veci b)
{
    SIMD_EACH
    {
        const int16x8_t p = vreinterpretq_s16_s32(a.q[i]), q = vreinterpretq_s16_s32(b.q[i]);
        const int32x4_t low = vmull_s16(vget_low_s16(p), vget_low_s16(q));
        sum.q[i] = vaddq_s32(sum.q[i], vpaddq_s32(low, vmull_high_s16(p, q)));
    }
    return sum;
}

SIMD_INLINE veci veci_widen_i8(const int8_t *src)
{
    veci r;
    SIMD_EACH r.q[i] = vreinterpretq_s32_s16(vmovl_s8(vld1_s8(src + 8 * i)));
    return r;
}

SIMD_INLINE void veci_store_i8(int8_t *dst, veci a)
{
    const int16x8_t low = vcombine_s16(vmovn_s32(a.q[0]), vmovn_s32(a.q[1]));
    const int16x8_t high = vcombine_s16(vmovn_s32(a.q[2]), vmovn_s32(a.q[3]));
    vst1q_s8(dst, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
}

#undef SIMD_EACH

#endif
