/* problem.h - one op with its shapes, types and inputs, that any backend can be given.
 *
 * The operands stand in fixed slots, in host memory. The first dimension of a batched slot counts
 * the problem's items: rows, pictures or sequences that do not depend on each other, so that a
 * backend can be given all of them at once or some at a time. */
#ifndef TESTS_NN_PROBLEM_H
#define TESTS_NN_PROBLEM_H

#include "worker/nn/ops.h"

enum op_kind {
    OP_LINEAR,
    OP_NORM,
    OP_ATTENTION,
    OP_PATCHES,
    OP_VISION_TOKENS,
    OP_EMBED,
    OP_ROWS,
    OP_POOL,
    OP_UNIT,
    OP_MAP,
    OPS_COUNT
};

enum slot {
    SLOT_X, /* also q, pixels, patches, ids */
    SLOT_OUT,
    SLOT_RESIDUAL,
    SLOT_SUM,
    SLOT_WEIGHT, /* host memory: of linear; else a vector on the device, also the class token */
    SLOT_BIAS,
    SLOT_K,
    SLOT_V,
    SLOT_TABLE,
    SLOT_POSITION,
    SLOTS_COUNT,
    SLOT_NONE = SLOTS_COUNT
};

enum fill {
    FILL_NORMAL,
    FILL_EDGES,    /* rows of very large, very small and subnormal numbers, and of zeros */
    FILL_INFINITE, /* an infinity, of either sign, in some rows */
    FILL_SWEEP     /* numbers of every size, in order, and the special ones */
};

struct operand {
    struct tensor tensor; /* rank 0: there is none; data: of an input, in host memory */
    bool batched, is_out;
    enum slot same_as; /* whose memory it shares on the device */
};

struct problem {
    enum op_kind kind;
    char name[160];
    int64_t items;
    struct operand operand[SLOTS_COUNT];
    uint32_t *per_item; /* lengths of sequences, or the index of rows; NULL: none */
    /* What of the op is not an operand. */
    struct op_attention attention;
    enum activation activation;
    enum norm_kind norm;
    enum dtype weight_dtype;
    uint32_t weight_parts;
    int64_t columns, patch, grid, window;
    float eps;
    double tolerance_l2, tolerance_max;
    double flops; /* for rates: of the items together */
};

/* What a backend answered: for each slot that is written, its bytes, or NULL. */
struct answer {
    void *data[SLOTS_COUNT];
};

const char *op_name(enum op_kind kind);
/* "f32". */
const char *type_name(enum dtype dtype);
/* An operand of a new problem, filled; the chance follows from the problem's name and the slot. */
void problem_operand(struct problem *problem, enum slot slot, enum dtype dtype,
                     const int64_t *shape, uint32_t rank, bool batched, enum fill fill);
void problem_out(struct problem *problem, enum slot slot, enum dtype dtype, const int64_t *shape,
                 uint32_t rank);
void problem_free(struct problem *problem);

/* A problem on its way through a backend: device memory and weights. */
struct run {
    const struct problem *problem;
    struct backend *backend;
    void *data[SLOTS_COUNT];
    uint32_t *per_item;
    struct backend_weight *weight;
};

CHECKED int run_open(struct run *run, const struct problem *problem, struct backend *backend,
                     struct err *err);
void run_close(struct run *run);
/* Inputs as they were, outputs full of a pattern. */
void run_reset(struct run *run);
/* The op over items [first, first + count). */
void run_items(struct run *run, int64_t first, int64_t count);
CHECKED int run_answer(struct run *run, struct answer *answer, struct err *err);
void answer_free(struct answer *answer);

#endif
