/* math.h - exp, erf, tanh and the activations, 16 numbers at a time.
 *
 * Sequences of simd.h's operations, so that every instruction set gives the same bits: nothing of
 * libm, whose last bits differ between machines. Errors are at most 2 units of the last place
 * (tests/unit/nn/cpu/math_test.c measures them). Coefficients: make_polynomials.py. NaN gives NaN.
 *
 * Cody and Waite, "Software Manual for the Elementary Functions", 1980, for the reductions.
 * Activations: see enum activation in backend.h. */
#ifndef NN_CPU_MATH_H
#define NN_CPU_MATH_H

#include "worker/nn/backend.h"
#include "worker/nn/cpu/simd.h"

/* c[0] x^(count - 1) + ... + c[count - 1]. */
SIMD_INLINE vec vec_polynomial(vec x, const float *c, size_t count)
{
    vec sum = vec_all(c[0]);
    SIMD_UNROLL(16)
    for (size_t i = 1; i < count; i++) sum = vec_fma(sum, x, vec_all(c[i]));
    return sum;
}

/* e^x over the whole range: 0 below about -104, infinite above about 88.7, subnormal numbers
 * between. With n = x / log(2) to nearest, it is 2^n e^(x - n log(2)); the power of two is applied
 * in two steps, for n alone may be more than an exponent holds. */
SIMD_INLINE vec vec_exp(vec x)
{
    static const float c[] = {0x1.6d649ap-10f, 0x1.1241dp-7f, 0x1.5554d4p-5f, 0x1.555486p-3f,
                              0x1p-1f};
    /* In this order NaN passes. */
    const vec bounded = vec_max(vec_all(-104.0f), vec_min(vec_all(89.0f), x));
    const veci n = vec_to_int(vec_mul(bounded, vec_all(0x1.715476p+0f)));
    const vec whole = veci_to_vec(n);
    vec r = vec_fnma(whole, vec_all(0x1.62e43p-1f), bounded);
    r = vec_fnma(whole, vec_all(-0x1.05c61p-29f), r);
    const vec tail = vec_fma(vec_mul(r, r), vec_polynomial(r, c, 5), r);
    const veci half = veci_shift_right(n, 1);
    const vec part = vec_fma(tail, vec_pow2(half), vec_pow2(half));
    return vec_mul(part, vec_pow2(veci_sub(n, half)));
}

/* 1 / (1 + e^-x) */
SIMD_INLINE vec vec_sigmoid(vec x)
{
    const vec power = vec_exp(vec_sub(vec_all(0.0f), x));
    return vec_div(vec_all(1.0f), vec_add(vec_all(1.0f), power));
}

/* A polynomial near 0; elsewhere 1 - e^-q with q a polynomial of |x|. */
SIMD_INLINE vec vec_erf(vec x)
{
    static const float near[] = {0x1.587252p-14f, -0x1.a8f242p-11f, 0x1.54a362p-8f, -0x1.b80ae6p-6f,
                                 0x1.ce2ddep-4f,  -0x1.812742p-2f,  0x1.06eba8p-3f};
    static const float far[] = {-0x1.66a68p-20f, 0x1.683408p-16f, -0x1.0d7b46p-13f, 0x1.4d907p-13f,
                                0x1.60e7f6p-9f,  -0x1.743b56p-6f, 0x1.b11be8p-4f,   0x1.4523d8p-1f,
                                0x1.20fdaep+0f,  -0x1.1c9b9cp-14f};
    const vec size = vec_abs(x);
    const vec inner = vec_fma(size, vec_polynomial(vec_mul(x, x), near, 7), size);
    const vec q = vec_polynomial(vec_min(vec_all(4.0f), size), far, 10);
    const vec outer = vec_sub(vec_all(1.0f), vec_exp(vec_sub(vec_all(0.0f), q)));
    return vec_signed(vec_select(vec_less(size, vec_all(0.9f)), inner, outer), x);
}

/* A polynomial near 0; elsewhere 1 - 2 / (e^2|x| + 1). */
SIMD_INLINE vec vec_tanh(vec x)
{
    static const float c[] = {-0x1.696b9cp-8f, 0x1.4f5dap-6f, -0x1.b7cfbap-5f, 0x1.1103fp-3f,
                              -0x1.555524p-2f};
    const vec size = vec_abs(x), square = vec_mul(x, x);
    const vec inner = vec_fma(vec_mul(size, square), vec_polynomial(square, c, 5), size);
    const vec power = vec_exp(vec_add(size, size));
    const vec share = vec_div(vec_all(2.0f), vec_add(power, vec_all(1.0f)));
    const vec outer = vec_sub(vec_all(1.0f), share);
    return vec_signed(vec_select(vec_less(size, vec_all(0.6f)), inner, outer), x);
}

/* x (1 + t) / 2 */
SIMD_INLINE vec vec_half_gate(vec x, vec t)
{
    return vec_mul(vec_mul(vec_all(0.5f), x), vec_add(vec_all(1.0f), t));
}

SIMD_INLINE vec vec_activate(vec x, enum activation activation)
{
    switch (activation) {
    case ACTIVATION_QUICK_GELU:
        return vec_mul(x, vec_sigmoid(vec_mul(vec_all(1.702f), x)));
    case ACTIVATION_GELU:
        return vec_half_gate(x, vec_erf(vec_mul(x, vec_all(0x1.6a09e6p-1f))));
    case ACTIVATION_GELU_TANH: {
        const vec cube = vec_mul(vec_mul(x, x), x);
        const vec inner = vec_fma(vec_all(0.044715f), cube, x);
        return vec_half_gate(x, vec_tanh(vec_mul(vec_all(0x1.988454p-1f), inner)));
    }
    case ACTIVATION_SILU:
        return vec_mul(x, vec_sigmoid(x));
    case ACTIVATION_NONE:
    case ACTIVATIONS_COUNT:
        break;
    }
    return x;
}

#endif
