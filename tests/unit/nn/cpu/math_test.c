/* math_test.c - exp, erf, tanh and the activations against the C library in double. */
#include "tests/support/test.h"
#include "tests/unit/nn/cpu/probe.h"

#include <math.h>
#include <string.h>

#define LANES 16

/* The distance in units of the last place of the f32 nearest to exact. */
static double ulps(float got, double exact)
{
    const float nearest = (float)exact;
    if (f32_bits(got) == f32_bits(nearest)) return 0.0;
    if (isinf(nearest) || isinf(got)) return INFINITY;
    int exponent;
    (void)frexp(exact, &exponent);
    const double unit = ldexp(1.0, exponent > -125 ? exponent - 24 : -149);
    return fabs((double)got - exact) / unit;
}

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static void apply(const char *function, float *y, const float *x)
{
    const struct probe_op *op = probe_best()->ops;
    while (op->name && strcmp(op->name, function) != 0) op++;
    assert_non_null(op->name);
    op->run(y, x, x, x);
}

static void check(const char *function, double (*exact)(double), float low, float high,
                  double bound)
{
    float x[LANES], y[LANES];
    double worst = 0.0, at = 0.0;
    const int steps = 5000;
    for (int i = 0; i < steps; i++) {
        for (int l = 0; l < LANES; l++)
            x[l] = low + (high - low) * ((float)(i * LANES + l) / (float)(steps * LANES));
        apply(function, y, x);
        for (int l = 0; l < LANES; l++) {
            const double error = ulps(y[l], exact((double)x[l]));
            if (!(error > worst)) continue;
            worst = error;
            at = (double)x[l];
        }
    }
    if (!(worst <= bound)) fail_msg("%s: %g units at %a", function, worst, at);
}

static void errors_are_few_units(void **unused)
{
    (void)unused;
    check("exp", exp, -87.0f, 88.8f, 2.0);
    check("exp", exp, -105.0f, -87.0f, 2.0);
    check("exp", exp, -1e-3f, 1e-3f, 2.0);
    check("erf", erf, -4.5f, 4.5f, 2.0);
    check("erf", erf, -1e-3f, 1e-3f, 2.0);
    check("erf", erf, -1e-38f, 1e-38f, 2.0);
    check("tanh", tanh, -10.0f, 10.0f, 2.0);
    check("tanh", tanh, -1e-3f, 1e-3f, 2.0);
    check("sigmoid", sigmoid, -20.0f, 20.0f, 3.0);
}

static float one(const char *function, float number)
{
    float x[LANES], y[LANES];
    for (int l = 0; l < LANES; l++) x[l] = number;
    apply(function, y, x);
    return y[3];
}

static void limits_are_exact(void **unused)
{
    (void)unused;
    assert_true(one("exp", 0.0f) == 1.0f && one("exp", -INFINITY) == 0.0f);
    assert_true(one("exp", 88.73f) == INFINITY && one("exp", INFINITY) == INFINITY);
    assert_true(one("exp", -1e30f) == 0.0f && one("exp", 1e30f) == INFINITY);
    assert_true(one("exp", -103.0f) == 0x1p-149f);
    assert_true(one("erf", INFINITY) == 1.0f && one("erf", -INFINITY) == -1.0f);
    assert_true(one("erf", 5.0f) == 1.0f && one("erf", -5.0f) == -1.0f);
    assert_true(one("tanh", INFINITY) == 1.0f && one("tanh", -INFINITY) == -1.0f);
    assert_true(one("sigmoid", -INFINITY) == 0.0f && one("sigmoid", INFINITY) == 1.0f);
    assert_true(isnan(one("exp", NAN)) && isnan(one("erf", NAN)));
    assert_true(isnan(one("tanh", NAN)) && isnan(one("sigmoid", NAN)));
    assert_int_equal(f32_bits(one("erf", -0.0f)), 0x80000000u);
    assert_int_equal(f32_bits(one("tanh", -0.0f)), 0x80000000u);
}

static double exact_activation(enum activation activation, double x)
{
    switch (activation) {
    case ACTIVATION_QUICK_GELU:
        return x * sigmoid(1.702 * x);
    case ACTIVATION_GELU:
        return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
    case ACTIVATION_GELU_TANH:
        return 0.5 * x * (1.0 + tanh(sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
    case ACTIVATION_SILU:
        return x * sigmoid(x);
    case ACTIVATION_NONE:
    case ACTIVATIONS_COUNT:
        break;
    }
    return x;
}

static void activations_are_what_their_names_say(void **unused)
{
    (void)unused;
    for (int a = 0; a < ACTIVATIONS_COUNT; a++)
        for (int i = -3000; i < 3000; i++) {
            const float x = (float)i * 0.004f;
            float y;
            probe_best()->activate(&y, &x, 1, (enum activation)a);
            const double exact = exact_activation((enum activation)a, (double)x);
            const double bound = 2e-7 * (fabs((double)x) + 1e-9);
            if (!(fabs((double)y - exact) <= bound))
                fail_msg("activation %d of %a: %a, and not %a", a, (double)x, (double)y, exact);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_few_units),
        cmocka_unit_test(limits_are_exact),
        cmocka_unit_test(activations_are_what_their_names_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
