/* probe_set.c - see probe.h. */
#include "tests/unit/nn/cpu/probe.h"
#include "worker/nn/cpu/math.h"

#define OP(label, expression)                                                             \
    static void op_##label(float *out, const float *pa, const float *pb, const float *pc) \
    {                                                                                     \
        const vec a = vec_load(pa), b = vec_load(pb), c = vec_load(pc);                   \
        const veci ia = veci_load(pa), ib = veci_load(pb), ic = veci_load(pc);            \
        (void)a, (void)b, (void)c, (void)ia, (void)ib, (void)ic;                          \
        expression;                                                                       \
    }

OP(add, vec_store(out, vec_add(a, b)))
OP(sub, vec_store(out, vec_sub(a, b)))
OP(mul, vec_store(out, vec_mul(a, b)))
OP(div, vec_store(out, vec_div(a, b)))
OP(max, vec_store(out, vec_max(a, b)))
OP(min, vec_store(out, vec_min(a, b)))
OP(sqrt, vec_store(out, vec_sqrt(a)))
OP(fma, vec_store(out, vec_fma(a, b, c)))
OP(fnma, vec_store(out, vec_fnma(a, b, c)))
OP(select, vec_store(out, vec_select(vec_less(a, b), c, a)))
OP(abs, vec_store(out, vec_abs(a)))
OP(signed, vec_store(out, vec_signed(vec_abs(a), b)))
OP(sum, vec_store(out, vec_all(vec_sum(a))))
OP(largest, vec_store(out, vec_all(vec_largest(a))))
OP(exp, vec_store(out, vec_exp(a)))
OP(erf, vec_store(out, vec_erf(a)))
OP(tanh, vec_store(out, vec_tanh(a)))
OP(sigmoid, vec_store(out, vec_sigmoid(a)))
OP(to_int, veci_store(out, vec_to_int(vec_min(vec_max(a, vec_all(-0x1p22f)), vec_all(0x1p22f)))))
OP(of_int, vec_store(out, veci_to_vec(ia)))
OP(pow2, vec_store(out, vec_pow2(veci_shift_right(ia, 25))))
OP(int_add, veci_store(out, veci_add(ia, ib)))
OP(int_sub, veci_store(out, veci_sub(ia, ib)))
OP(int_max, veci_store(out, veci_max(ia, ib)))
OP(int_and, veci_store(out, veci_and(ia, ib)))
OP(int_or, veci_store(out, veci_or(ia, ib)))
OP(int_xor, veci_store(out, veci_xor(ia, ib)))
OP(int_left, veci_store(out, veci_shift_left(ia, 7)))
OP(int_right, veci_store(out, veci_shift_right(ia, 7)))
OP(bits, vec_store(out, vec_of_bits(vec_bits(a))))
OP(all, veci_store(out, veci_all(-7)))
OP(widen_i8, veci_store(out, veci_widen_i8((const int8_t *)pa)))
OP(madd, veci_store(out, veci_madd(ic, veci_widen_i8((const int8_t *)pa),
                                   veci_widen_i8((const int8_t *)pb))))
OP(store_i8, veci_store(out, ia); veci_store_i8((int8_t *)out, veci_shift_right(ia, 24)))
#undef OP

static const struct probe_op ops[] = {
#define OP(label)          \
    {                      \
#label, op_##label \
    }
    OP(add),     OP(sub),       OP(mul),     OP(div),      OP(max),    OP(min),      OP(sqrt),
    OP(fma),     OP(fnma),      OP(select),  OP(abs),      OP(signed), OP(sum),      OP(largest),
    OP(exp),     OP(erf),       OP(tanh),    OP(sigmoid),  OP(to_int), OP(of_int),   OP(pow2),
    OP(int_add), OP(int_sub),   OP(int_max), OP(int_and),  OP(int_or), OP(int_xor),  OP(int_left),
    OP(bits),    OP(int_right), OP(all),     OP(widen_i8), OP(madd),   OP(store_i8), {NULL, NULL},
#undef OP
};

static void read_write(void *out, enum dtype to, const void *in, enum dtype from, size_t count)
{
    for (size_t i = 0; i < count; i += VEC_LANES)
        vec_write(out, to, i, vec_read(in, from, i, count - i), count - i);
}

static void activate(float *out, const float *in, size_t count, enum activation activation)
{
    for (size_t i = 0; i < count; i += VEC_LANES) {
        const vec x = vec_read(in, DTYPE_F32, i, count - i);
        vec_write(out, DTYPE_F32, i, vec_activate(x, activation), count - i);
    }
}

#define TEXT_(set) #set
#define TEXT(set)  TEXT_(set)

extern const struct probe CPU_NAME(probe);
const struct probe CPU_NAME(probe) = {
    .name = TEXT(CPU_SET), .ops = ops, .read_write = read_write, .activate = activate};
