/* cases.c - which ops, shapes, types and inputs are tried, and how close an answer must be.
 *
 * Tolerances are relative to the size of a row of the answer. Where the answer is stored as f32,
 * they are what sums in f32 lose; in a half-width type, that one number in a few is rounded to the
 * other side, and no number by more than one unit of its last place. */
#include "tests/nn/cases.h"

#include "common/base/check.h"
#include "common/base/mem.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define REALS_COUNT 3
static const enum dtype reals[REALS_COUNT] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16};

/* NULL: its name lacks the filter. */
static struct problem *add(struct cases *cases, enum op_kind kind, int64_t items, const char *fmt,
                           ...) __attribute__((format(printf, 4, 5)));

static struct problem *add(struct cases *cases, enum op_kind kind, int64_t items, const char *fmt,
                           ...)
{
    struct problem new = {.kind = kind, .items = items};
    va_list arguments;
    const int used = snprintf(new.name, sizeof new.name, "%s ", op_name(kind));
    va_start(arguments, fmt);
    vsnprintf(new.name + used, sizeof new.name - (size_t)used, fmt, arguments);
    va_end(arguments);
    if (!strstr(new.name, cases->filter)) return NULL;
    if (cases->count == cases->room) {
        cases->room = cases->room ? 2 * cases->room : 64;
        cases->problem = mem_resize(cases->problem, cases->room * sizeof *cases->problem);
        CHECK(cases->problem);
    }
    cases->problem[cases->count] = new;
    return &cases->problem[cases->count++];
}

static void tolerate(struct problem *problem, enum dtype out, double factor)
{
    problem->tolerance_l2 = factor * (out == DTYPE_F32 ? 1e-6 : out == DTYPE_BF16 ? 1e-3 : 1.3e-4);
    problem->tolerance_max = factor * (out == DTYPE_F32 ? 6e-6 : out == DTYPE_BF16 ? 8e-3 : 1e-3);
}

static const char *activation_name(enum activation activation)
{
    static const char *const names[] = {"", " quick_gelu", " gelu", " gelu_tanh", " silu"};
    return names[activation];
}

static const char *fill_name(enum fill fill)
{
    static const char *const names[] = {"", " edges", " infinite", " sweep"};
    return names[fill];
}

struct linear_case {
    int64_t rows, out, columns, padding;
    enum dtype x, weight, y;
    enum activation activation;
    uint32_t parts;
    bool bias, residual, in_place;
    enum fill fill;
};

static void linear(struct cases *cases, const struct linear_case *c)
{
    const int64_t columns = c->columns + c->padding;
    struct problem *problem =
        add(cases, OP_LINEAR, c->rows, "%lldx%lldx%lld+%lld %s w=%s out=%s%s%s%s%s",
            (long long)c->rows, (long long)c->out, (long long)c->columns, (long long)c->padding,
            type_name(c->x), type_name(c->weight), type_name(c->y), activation_name(c->activation),
            c->bias ? " bias" : "",
            c->in_place   ? " residual=out"
            : c->residual ? " residual"
                          : "",
            fill_name(c->fill));
    if (!problem) return;
    problem_operand(problem, SLOT_X, c->x, (int64_t[]){c->rows, columns}, 2, true, c->fill);
    problem_operand(problem, SLOT_WEIGHT, c->weight == DTYPE_F16 ? DTYPE_F16 : DTYPE_F32,
                    (int64_t[]){c->out, c->columns}, 2, false, FILL_NORMAL);
    problem_out(problem, SLOT_OUT, c->y, (int64_t[]){c->rows, c->out}, 2);
    if (c->bias) problem_operand(problem, SLOT_BIAS, DTYPE_F32, &c->out, 1, false, FILL_NORMAL);
    if (c->residual)
        problem_operand(problem, SLOT_RESIDUAL, c->y, (int64_t[]){c->rows, c->out}, 2, true,
                        FILL_NORMAL);
    if (c->in_place) problem->operand[SLOT_OUT].same_as = SLOT_RESIDUAL;
    problem->columns = columns;
    problem->weight_dtype = c->weight;
    problem->weight_parts = c->parts;
    problem->activation = c->activation;
    problem->flops = 2.0 * (double)(c->rows * c->out * columns);
    /* In half-width types, a backend may round what goes into an activation. */
    const double half = c->activation == ACTIVATION_NONE ? 1 : 3;
    tolerate(problem, c->y, c->y == DTYPE_F32 ? fmax(1.5, sqrt((double)columns / 256)) : half);
}

static void linears(struct cases *cases)
{
    static const enum dtype weights[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16, DTYPE_I8};
    static const int64_t shapes[][4] = {
        {1, 1, 1, 0},    {1, 64, 96, 0},  {2, 17, 7, 0},    {3, 33, 31, 1},   {5, 127, 129, 0},
        {6, 16, 64, 0},  {7, 65, 588, 4}, {13, 48, 15, 1},  {50, 96, 96, 0},  {77, 64, 64, 0},
        {31, 8, 257, 0}, {12, 1, 100, 0}, {25, 130, 20, 0}, {4, 40, 1025, 0}, {101, 6, 33, 0},
    };
    for (size_t w = 0; w < sizeof weights / sizeof weights[0]; w++)
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
            const int64_t *shape = shapes[s];
            /* Every type of x and of out comes with every type of weight. */
            linear(cases,
                   &(struct linear_case){.rows = shape[0],
                                         .out = shape[1],
                                         .columns = shape[2],
                                         .padding = shape[3],
                                         .x = reals[s % 3],
                                         .weight = weights[w],
                                         .y = reals[s / 3 % 3],
                                         .activation = (enum activation)(s % ACTIVATIONS_COUNT),
                                         .parts = shape[1] > 3 ? 1 + (uint32_t)(s + w) % 3 : 1,
                                         .bias = s % 2 == 0,
                                         .residual = s % 3 != 0,
                                         .in_place = s % 3 == 1});
        }
    for (size_t w = 0; w < sizeof weights / sizeof weights[0]; w++)
        for (int activation = 0; activation < ACTIVATIONS_COUNT; activation++) {
            struct linear_case c = {.rows = 50,
                                    .out = 80,
                                    .columns = 64,
                                    .x = DTYPE_F32,
                                    .weight = weights[w],
                                    .y = DTYPE_F32,
                                    .activation = (enum activation)activation,
                                    .parts = 1,
                                    .bias = true};
            linear(cases, &c);
            c.fill = FILL_EDGES;
            c.residual = true;
            linear(cases, &c);
            c = (struct linear_case){.rows = 9,
                                     .out = 33,
                                     .columns = 40,
                                     .padding = 8,
                                     .x = weights[w],
                                     .weight = weights[w],
                                     .y = DTYPE_F32,
                                     .parts = 2,
                                     .fill = FILL_INFINITE};
            if (activation == ACTIVATION_NONE && weights[w] != DTYPE_I8) linear(cases, &c);
        }
}

struct norm_case {
    int64_t rows, columns;
    enum norm_kind kind;
    enum dtype x, y, sum;
    bool bias, in_place;
    enum slot sum_same_as; /* SLOT_OUT: there is no sum */
    enum fill fill;
};

static void norm(struct cases *cases, const struct norm_case *c)
{
    const int64_t shape[] = {c->rows, c->columns};
    const bool summed = c->sum_same_as != SLOT_OUT;
    struct problem *problem = add(
        cases, OP_NORM, c->rows, "%lldx%lld %s %s out=%s%s%s%s%s%s", (long long)c->rows,
        (long long)c->columns, c->kind == NORM_LAYER ? "layer" : "rms", type_name(c->x),
        type_name(c->y), c->bias ? " bias" : "", c->in_place ? " x=out" : "", summed ? " sum=" : "",
        !summed                           ? ""
        : c->sum_same_as == SLOT_X        ? "x"
        : c->sum_same_as == SLOT_RESIDUAL ? "residual"
                                          : type_name(c->sum),
        fill_name(c->fill));
    if (!problem) return;
    problem_operand(problem, SLOT_X, c->x, shape, 2, true, c->fill);
    problem_operand(problem, SLOT_WEIGHT, DTYPE_F32, &c->columns, 1, false, FILL_NORMAL);
    if (c->bias) problem_operand(problem, SLOT_BIAS, DTYPE_F32, &c->columns, 1, false, FILL_NORMAL);
    problem_out(problem, SLOT_OUT, c->y, shape, 2);
    if (c->in_place) problem->operand[SLOT_OUT].same_as = SLOT_X;
    if (summed) {
        problem_operand(problem, SLOT_RESIDUAL, c->sum, shape, 2, true, c->fill);
        problem_out(problem, SLOT_SUM, c->sum, shape, 2);
        problem->operand[SLOT_SUM].same_as = c->sum_same_as;
    }
    problem->norm = c->kind;
    problem->eps = 1e-5f;
    tolerate(problem, c->y, 1);
}

static void norms(struct cases *cases)
{
    static const int64_t shapes[][2] = {{1, 1},   {3, 2},   {50, 96},   {7, 17},
                                        {5, 768}, {2, 127}, {19, 1024}, {11, 1031}};
    for (int kind = NORM_LAYER; kind <= NORM_RMS; kind++)
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
            for (size_t t = 0; t < REALS_COUNT; t++) {
                struct norm_case c = {.rows = shapes[s][0],
                                      .columns = shapes[s][1],
                                      .kind = (enum norm_kind)kind,
                                      .x = reals[t],
                                      .y = reals[(s + t) % 3],
                                      .sum = reals[t],
                                      .bias = (s + t) % 2 == 0,
                                      .sum_same_as = SLOT_OUT};
                norm(cases, &c);
                c.sum_same_as = s % 3 == 0 ? SLOT_X : s % 3 == 1 ? SLOT_RESIDUAL : SLOT_NONE;
                if (c.sum_same_as == SLOT_NONE) c.sum = reals[(t + 1) % 3];
                norm(cases, &c);
                c.sum_same_as = SLOT_OUT;
                c.y = c.x;
                c.in_place = true;
                c.fill = FILL_EDGES;
                norm(cases, &c);
            }
}

struct attention_case {
    uint32_t sequences, q_tokens, k_tokens, heads, kv_heads, head_dim;
    enum dtype dtype;
    bool causal, lengths, together; /* q, k and v side by side in one row */
    float sharpness;                /* of the scores; 1: as of random vectors */
    enum fill fill;
};

static void attention(struct cases *cases, const struct attention_case *c)
{
    const int64_t width = (int64_t)c->heads * c->head_dim, kv = (int64_t)c->kv_heads * c->head_dim;
    const int64_t stride = c->together ? width + 2 * kv : width;
    const int64_t kv_stride = c->together ? stride : kv + 3;
    struct problem *problem =
        add(cases, OP_ATTENTION, c->sequences, "%ux%ux%u heads=%u/%u dim=%u %s%s%s%s%s%s",
            c->sequences, c->q_tokens, c->k_tokens, c->heads, c->kv_heads, c->head_dim,
            type_name(c->dtype), c->causal ? " causal" : "", c->lengths ? " lengths" : "",
            c->together ? " together" : "", c->sharpness > 1 ? " sharp" : "", fill_name(c->fill));
    if (!problem) return;
    const int64_t q_shape[] = {c->sequences, c->q_tokens, stride};
    const int64_t k_shape[] = {c->sequences, c->k_tokens, kv_stride};
    const int64_t out_shape[] = {c->sequences, c->q_tokens, width};
    problem_operand(problem, SLOT_X, c->dtype, q_shape, 3, true, c->fill);
    problem_operand(problem, SLOT_K, c->dtype, k_shape, 3, true, c->fill);
    problem_operand(problem, SLOT_V, c->dtype, k_shape, 3, true, c->fill);
    problem_out(problem, SLOT_OUT, c->dtype, out_shape, 3);
    problem->attention = (struct op_attention){.dtype = c->dtype,
                                               .q_stride = stride,
                                               .k_stride = kv_stride,
                                               .v_stride = kv_stride,
                                               .out_stride = width,
                                               .q_tokens = c->q_tokens,
                                               .k_tokens = c->k_tokens,
                                               .heads = c->heads,
                                               .kv_heads = c->kv_heads,
                                               .head_dim = c->head_dim,
                                               .causal = c->causal};
    problem->attention.scale = c->sharpness / sqrtf((float)c->head_dim);
    if (c->lengths) {
        problem->per_item = mem_new(c->sequences * sizeof *problem->per_item);
        problem->per_item[0] = c->k_tokens;
        for (uint32_t s = 1; s < c->sequences; s++) /* one is empty, one has one key */
            problem->per_item[s] = s < 3 ? s - 1 : (s - 2) * 7 % c->k_tokens;
    }
    problem->flops = 4.0 * c->sequences * c->q_tokens * c->k_tokens * (double)width;
    tolerate(problem, c->dtype, c->dtype == DTYPE_F32 ? 1.5 * c->sharpness : 1);
    if (c->dtype == DTYPE_F32) return;
    /* A backend may round probabilities to the type before it sums with them. Rounding to n bits is
     * wrong by 2^-n / sqrt(3) / sqrt(2) of a number, root mean square: 1.6e-3 in bf16 (n = 8),
     * 2e-4 in f16 (11). It is in the answer as often as in a probability, since errors and values
     * are independent; beside it both answers are rounded. Together sqrt(3) of it: 2.8e-3 and
     * 3.5e-4, of which the worst of many rows of 64 numbers has 1.5 times as much. The largest
     * number is off by a unit of its last place, and by less than half of one more. */
    problem->tolerance_l2 *= 4.5;
    problem->tolerance_max *= 1.5;
}

static void attentions(struct cases *cases)
{
    static const struct attention_case shapes[] = {
        {1, 1, 1, 1, 1, 8, 0, false, false, false, 1, 0},
        {2, 50, 50, 2, 2, 64, 0, false, false, true, 1, 0},
        {1, 257, 257, 1, 1, 64, 0, false, false, false, 1, 0},
        {3, 77, 77, 2, 2, 32, 0, true, false, true, 1, 0},
        {4, 19, 19, 3, 1, 24, 0, false, true, false, 1, 0},
        {4, 33, 33, 4, 2, 16, 0, true, true, true, 1, 0},
        {2, 7, 61, 2, 1, 40, 0, true, false, false, 1, 0},
        {2, 41, 13, 1, 1, 80, 0, false, false, false, 1, 0},
        {1, 5, 130, 6, 3, 128, 0, false, false, false, 1, 0},
        {1, 23, 67, 1, 1, 256, 0, true, false, false, 1, 0},
        {2, 31, 31, 2, 2, 64, 0, false, false, false, 20, 0},
        {2, 29, 29, 1, 1, 48, 0, true, false, false, 1, FILL_EDGES},
        {5, 1, 90, 8, 2, 64, 0, true, false, false, 1, 0},
        /* Aligned, for kernels that take 64 or 128 queries and 64 keys at once. */
        {1, 257, 257, 1, 1, 64, 0, false, false, true, 1, 0},
        {2, 130, 130, 2, 1, 64, 0, true, true, true, 1, 0},
        {3, 70, 70, 2, 2, 64, 0, false, true, true, 1, 0},
        {2, 77, 77, 2, 1, 128, 0, true, false, true, 1, 0},
        {3, 67, 67, 2, 2, 128, 0, false, true, true, 1, 0},
        {2, 19, 150, 4, 2, 128, 0, true, false, true, 1, 0},
        {1, 140, 64, 1, 1, 64, 0, false, false, true, 20, 0},
        {1, 65, 577, 1, 1, 64, 0, false, false, true, 1, 0},
    };
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (size_t t = 0; t < REALS_COUNT; t++) {
            struct attention_case c = shapes[s];
            c.dtype = reals[t];
            if (c.fill == FILL_EDGES && c.dtype != DTYPE_F32) continue; /* sums beyond f16 */
            attention(cases, &c);
        }
}

static void patches(struct cases *cases, int64_t count, int64_t side, int64_t patch,
                    int64_t columns, enum dtype dtype)
{
    const int64_t grid = side / patch;
    struct problem *problem = add(
        cases, OP_PATCHES, count, "%lldx%lldx%lld patch=%lld columns=%lld %s", (long long)count,
        (long long)side, (long long)side, (long long)patch, (long long)columns, type_name(dtype));
    if (!problem) return;
    const int64_t shape[] = {count, side, side, 3}, out[] = {count, grid * grid, columns};
    problem_operand(problem, SLOT_X, DTYPE_U8, shape, 4, true, FILL_NORMAL);
    problem_operand(problem, SLOT_TABLE, DTYPE_F32, (int64_t[]){3, 256}, 2, false, FILL_NORMAL);
    problem_out(problem, SLOT_OUT, dtype, out, 3);
    problem->patch = patch;
    problem->tolerance_l2 = problem->tolerance_max = 0; /* copies */
}

static void vision_tokens(struct cases *cases, int64_t count, int64_t tokens, int64_t columns,
                          enum dtype x, enum dtype y, enum fill fill)
{
    struct problem *problem =
        add(cases, OP_VISION_TOKENS, count, "%lldx%lldx%lld %s out=%s%s", (long long)count,
            (long long)tokens, (long long)columns, type_name(x), type_name(y), fill_name(fill));
    if (!problem) return;
    const int64_t shape[] = {count, tokens - 1, columns}, out[] = {count, tokens, columns};
    problem_operand(problem, SLOT_X, x, shape, 3, true, fill);
    problem_operand(problem, SLOT_WEIGHT, DTYPE_F32, &columns, 1, false, FILL_NORMAL);
    problem_operand(problem, SLOT_POSITION, DTYPE_F32, (int64_t[]){tokens, columns}, 2, false,
                    FILL_NORMAL);
    problem_out(problem, SLOT_OUT, y, out, 3);
    tolerate(problem, y, 1);
}

static void embed(struct cases *cases, int64_t count, int64_t tokens, int64_t columns,
                  enum dtype table, enum dtype y, bool position)
{
    const int64_t vocabulary = 1000;
    struct problem *problem = add(cases, OP_EMBED, count, "%lldx%lldx%lld %s out=%s%s",
                                  (long long)count, (long long)tokens, (long long)columns,
                                  type_name(table), type_name(y), position ? " position" : "");
    if (!problem) return;
    const int64_t shape[] = {count, tokens}, out[] = {count, tokens, columns};
    problem_operand(problem, SLOT_X, DTYPE_U32, shape, 2, true, FILL_NORMAL);
    uint32_t *ids = problem->operand[SLOT_X].tensor.data;
    for (int64_t i = 0; i < count * tokens; i++)
        ids[i] = i == 0 ? (uint32_t)vocabulary - 1 : (uint32_t)(i * 7919 % vocabulary);
    problem_operand(problem, SLOT_TABLE, table, (int64_t[]){vocabulary, columns}, 2, false,
                    FILL_NORMAL);
    if (position) /* more of them than tokens: a text may be short */
        problem_operand(problem, SLOT_POSITION, DTYPE_F32, (int64_t[]){tokens + 2, columns}, 2,
                        false, FILL_NORMAL);
    problem_out(problem, SLOT_OUT, y, out, 3);
    tolerate(problem, y, 1);
}

static void rows(struct cases *cases, int64_t from, int64_t count, int64_t columns, enum dtype x,
                 enum dtype y, enum fill fill)
{
    struct problem *problem =
        add(cases, OP_ROWS, count, "%lld of %lldx%lld %s out=%s%s", (long long)count,
            (long long)from, (long long)columns, type_name(x), type_name(y), fill_name(fill));
    if (!problem) return;
    problem_operand(problem, SLOT_X, x, (int64_t[]){from, columns}, 2, false, fill);
    problem_out(problem, SLOT_OUT, y, (int64_t[]){count, columns}, 2);
    problem->per_item = mem_new((size_t)count * sizeof *problem->per_item);
    for (int64_t i = 0; i < count; i++)
        problem->per_item[i] = (uint32_t)((from - 1 + i * 3) % from); /* the last one first */
    problem->tolerance_l2 = problem->tolerance_max = 0;
}

static void pool(struct cases *cases, int64_t count, int64_t before, int64_t grid, int64_t window,
                 int64_t columns, enum dtype x, enum dtype y, enum fill fill)
{
    const int64_t side = grid / window, tokens = before + grid * grid;
    struct problem *problem =
        add(cases, OP_POOL, count, "%lldx(%lld+%lldx%lld)x%lld window=%lld %s out=%s%s",
            (long long)count, (long long)before, (long long)grid, (long long)grid,
            (long long)columns, (long long)window, type_name(x), type_name(y), fill_name(fill));
    if (!problem) return;
    const int64_t shape[] = {count, tokens, columns}, out[] = {count, side * side, columns};
    problem_operand(problem, SLOT_X, x, shape, 3, true, fill);
    problem_out(problem, SLOT_OUT, y, out, 3);
    problem->grid = grid;
    problem->window = window;
    tolerate(problem, y, 1);
}

static void unit(struct cases *cases, int64_t count, int64_t columns, enum dtype x, enum dtype y,
                 enum fill fill, bool in_place)
{
    struct problem *problem =
        add(cases, OP_UNIT, count, "%lldx%lld %s out=%s%s%s", (long long)count, (long long)columns,
            type_name(x), type_name(y), fill_name(fill), in_place ? " x=out" : "");
    if (!problem) return;
    problem_operand(problem, SLOT_X, x, (int64_t[]){count, columns}, 2, true, fill);
    problem_out(problem, SLOT_OUT, y, (int64_t[]){count, columns}, 2);
    if (in_place) problem->operand[SLOT_OUT].same_as = SLOT_X;
    tolerate(problem, y, 1);
}

static void map(struct cases *cases, int64_t count, int64_t columns, enum dtype x, enum dtype y,
                enum activation activation, enum fill fill, bool in_place)
{
    struct problem *problem =
        add(cases, OP_MAP, count, "%lldx%lld %s out=%s%s%s%s", (long long)count, (long long)columns,
            type_name(x), type_name(y), activation_name(activation), fill_name(fill),
            in_place ? " x=out" : "");
    if (!problem) return;
    problem_operand(problem, SLOT_X, x, (int64_t[]){count, columns}, 2, true, fill);
    problem_out(problem, SLOT_OUT, y, (int64_t[]){count, columns}, 2);
    if (in_place) problem->operand[SLOT_OUT].same_as = SLOT_X;
    tolerate(problem, y, 1);
    if (activation == ACTIVATION_NONE) problem->tolerance_l2 = problem->tolerance_max = 0;
}

static void others(struct cases *cases)
{
    for (size_t t = 0; t < REALS_COUNT; t++) {
        const enum dtype x = reals[t];
        patches(cases, 3, 28, 14, 592, x);
        patches(cases, 1, 7, 1, 3, x);
        patches(cases, 2, 33, 8, 192, x); /* one pixel fills no patch */
        patches(cases, 2, 5, 5, 80, x);
        rows(cases, 1, 1, 1, x, x, FILL_NORMAL);
        for (size_t u = 0; u < REALS_COUNT; u++) {
            const enum dtype y = reals[u];
            vision_tokens(cases, 3, 50, 96, x, y, FILL_NORMAL);
            vision_tokens(cases, 2, 2, 17, x, y, FILL_EDGES);
            vision_tokens(cases, 7, 5, 31, x, y, FILL_INFINITE);
            embed(cases, 3, 77, 64, x, y, true);
            embed(cases, 9, 1, 13, x, y, false);
            rows(cases, 23, 40, 97, x, y, FILL_EDGES);
            rows(cases, 50, 3, 64, x, y, FILL_INFINITE);
            pool(cases, 3, 1, 7, 2, 33, x, y, FILL_NORMAL); /* the last row and column left out */
            pool(cases, 2, 1, 24, 3, 48, x, y, FILL_NORMAL);
            pool(cases, 2, 0, 5, 5, 16, x, y, FILL_EDGES);
            pool(cases, 1, 4, 3, 1, 7, x, y, FILL_INFINITE);
            unit(cases, 13, 96, x, y, FILL_NORMAL, false);
            unit(cases, 12, 33, x, y, FILL_EDGES, x == y);
            unit(cases, 2, 1, x, y, FILL_NORMAL, false);
            unit(cases, 1, 1031, x, y, FILL_NORMAL, false);
            for (int a = 0; a < ACTIVATIONS_COUNT; a++) {
                map(cases, 5, 1001, x, y, (enum activation)a, FILL_SWEEP, false);
                map(cases, 3, 17, x, y, (enum activation)a, FILL_NORMAL, x == y);
            }
            map(cases, 1, 1, x, y, ACTIVATION_NONE, FILL_NORMAL, false);
        }
    }
}

void cases_conformance(struct cases *cases)
{
    linears(cases);
    norms(cases);
    attentions(cases);
    others(cases);
}

void cases_timing(struct cases *cases)
{
    static const int64_t matrices[][3] = {
        {1154, 3072, 1024}, {1154, 1024, 1024}, {1154, 4096, 1024}, {1154, 1024, 4096}};
    static const enum dtype weights[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16, DTYPE_I8};
    for (size_t w = 0; w < sizeof weights / sizeof weights[0]; w++)
        for (size_t s = 0; s < sizeof matrices / sizeof matrices[0]; s++)
            linear(cases, &(struct linear_case){.rows = matrices[s][0],
                                                .out = matrices[s][1],
                                                .columns = matrices[s][2],
                                                .x = DTYPE_F32,
                                                .weight = weights[w],
                                                .y = DTYPE_F32,
                                                .activation = s == 2 ? ACTIVATION_QUICK_GELU
                                                                     : ACTIVATION_NONE,
                                                .parts = 1,
                                                .bias = true,
                                                .residual = s % 2 == 1,
                                                .in_place = s % 2 == 1});
    for (size_t t = 0; t < 2; t++) {
        const enum dtype x = reals[t];
        attention(cases, &(struct attention_case){2, 577, 577, 16, 16, 64, x, false, false, true, 1,
                                                  FILL_NORMAL});
        attention(cases, &(struct attention_case){16, 77, 77, 12, 12, 64, x, true, false, true, 1,
                                                  FILL_NORMAL});
        norm(cases, &(struct norm_case){.rows = 1154,
                                        .columns = 1024,
                                        .kind = NORM_LAYER,
                                        .x = x,
                                        .y = x,
                                        .sum = x,
                                        .bias = true,
                                        .sum_same_as = SLOT_OUT});
        norm(cases, &(struct norm_case){.rows = 1154,
                                        .columns = 1024,
                                        .kind = NORM_LAYER,
                                        .x = x,
                                        .y = x,
                                        .sum = x,
                                        .bias = true,
                                        .sum_same_as = SLOT_X});
        patches(cases, 8, 336, 14, 592, x);
        vision_tokens(cases, 8, 577, 1024, x, x, FILL_NORMAL);
        embed(cases, 64, 77, 768, x, x, true);
        rows(cases, 4616, 4608, 1024, x, x, FILL_NORMAL);
        pool(cases, 8, 1, 24, 3, 1024, x, DTYPE_F32, FILL_NORMAL);
        unit(cases, 4616, 768, x, x, FILL_NORMAL, false);
        map(cases, 1154, 4096, x, x, ACTIVATION_NONE, FILL_NORMAL, false);
        map(cases, 1154, 4096, x, x, ACTIVATION_QUICK_GELU, FILL_NORMAL, true);
        map(cases, 1154, 4096, x, x, ACTIVATION_GELU, FILL_NORMAL, true);
    }
}

void cases_free(struct cases *cases)
{
    for (uint32_t i = 0; i < cases->count; i++) problem_free(&cases->problem[i]);
    mem_free(cases->problem);
    *cases = (struct cases){0};
}
