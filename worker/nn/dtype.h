/* dtype.h - the number types of tensors: names, sizes, and conversions of the half-width floats.
 *
 * Computed with: f32, bf16, f16 and, where a kernel says so, i8. The others occur in files: they
 * are known by name and size, so that a file that holds one beside the weights can be read.
 *
 * The order is that in which the safetensors library sorts tensors, widest last; the names are
 * those of its format, "F32". bf16 is the upper half of an f32; f16 is binary16 of IEEE 754-2008.
 * Narrowing rounds to nearest, ties to even, over the whole range: subnormal numbers, too large
 * ones become infinite. NaN stays NaN of the same sign; those of f16 come out quiet with the upper
 * bits of the payload, as the F16C and NEON instructions give them, and so do those narrowed to
 * bf16. All bits are the same on every machine and in every rounding mode. */
#ifndef NN_DTYPE_H
#define NN_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

enum dtype {
    DTYPE_BOOL, /* a byte */
    DTYPE_U8,
    DTYPE_I8,
    DTYPE_F8_E5M2,
    DTYPE_F8_E4M3,
    DTYPE_F8_E8M0,
    DTYPE_I16,
    DTYPE_U16,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_I32,
    DTYPE_U32,
    DTYPE_F32,
    DTYPE_C64, /* two f32 */
    DTYPE_F64,
    DTYPE_I64,
    DTYPE_U64,
    DTYPES_COUNT
};

/* Bytes of one element. */
size_t dtype_bytes(enum dtype dtype);
/* "F32". */
const char *dtype_name(enum dtype dtype);
/* By the name that dtype_name gives; false: there is none of it. */
bool dtype_parse(enum dtype *dtype, const char *name);
/* f32, bf16 or f16: what the two conversions of arrays below take. */
bool dtype_is_real(enum dtype dtype);
/* Arrays of count elements, which must not overlap. dtype is the one of the other side; a source
 * or target of 16-bit elements is aligned to them. */
void dtype_widen(float *dst, const void *src, enum dtype dtype, size_t count);
void dtype_narrow(void *dst, enum dtype dtype, const float *src, size_t count);

static inline uint32_t f32_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float f32_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float bf16_to_f32(uint16_t half)
{
    return f32_of_bits((uint32_t)half << 16);
}

static inline uint16_t bf16_of_f32(float value)
{
    const uint32_t bits = f32_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* Without branches, so that loops over it are vectorised: each case is a mask. */
static inline float f16_to_f32(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t rest = (uint32_t)(half & 0x7fffu) << 13;     /* exponent and fraction in place */
    const uint32_t is_tiny = 0u - ((rest - 0x00800000u) >> 31); /* exponent 0 */
    const uint32_t is_special = 0u - ((0x0f7fffffu - rest) >> 31);
    const uint32_t is_nan = 0u - ((0x0f800000u - rest) >> 31);
    /* fraction * 2^-24, exact: as one with the exponent of 2^-14, less 2^-14. */
    const float tiny = f32_of_bits(rest + 0x38800000u) - f32_of_bits(0x38800000u);
    const uint32_t bits = (f32_bits(tiny) & is_tiny) | ((rest + 0x38000000u) & ~is_tiny);
    return f32_of_bits(sign | bits | (is_special & 0x7f800000u) | (is_nan & 0x00400000u));
}

static inline uint16_t f16_of_f32(float value)
{
    const uint32_t bits = f32_bits(value);
    const uint32_t sign = bits >> 16 & 0x8000u;
    const uint32_t size = bits & 0x7fffffffu;
    if (size > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (size >> 13 & 0x3ffu));
    if (size >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* 65520 and more */
    if (size >= 0x38800000u) {                                  /* 2^-14: normal */
        const uint32_t rounded = size - 0x38000000u + 0xfffu + (size >> 13 & 1u);
        return (uint16_t)(sign | rounded >> 13);
    }
    if (size < 0x33000000u) return (uint16_t)sign; /* under half of the smallest, 2^-25 */
    const uint32_t shift = 126u - (size >> 23);    /* 14 to 24: to units of 2^-24 */
    const uint32_t fraction = (size & 0x007fffffu) | 0x00800000u;
    const uint32_t units = fraction >> shift;
    const uint32_t lost = fraction & ((1u << shift) - 1u);
    const uint32_t tie = 1u << (shift - 1u);
    return (uint16_t)(sign | (units + (lost > tie || (lost == tie && (units & 1u)))));
}

#ifdef __cplusplus
}
#endif
#endif
