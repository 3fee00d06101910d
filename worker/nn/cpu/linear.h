/* linear.h - the matrix product of the cpu backend: how weights lie, and what a task computes.
 *
 * A weight W [N, K] lies in panels of 16 rows of W, the columns of the result. A panel is a
 * sequence of packets: for one packet of K, of each of the 16 columns in turn. A packet is 1, 2 or
 * 4 neighbouring elements of a row, as many as the instructions multiply into one 32-bit sum:
 *
 *   form        packet            sum   by
 *   F32         1 f32             f32   fused multiply-add
 *   BF16, F16   1, widened        f32   fused multiply-add
 *   BF16_PAIRS  2                 f32   vdpbf16ps (avx512bf16)
 *   I16_PAIRS   2 i16             i32   multiply pairs and add; only of widened I8_PAIRS
 *   I8_PAIRS    2, widened        i32
 *   I8_QUADS    4                 i32   vpdpbusd (avx512): x + 128 as unsigned bytes
 *
 * The result is cut into blocks of rows and columns, the tasks of the pool. A task goes through K
 * by blocks of packets: the rows of x are put into a buffer as packets of 32 bits; of each
 * panel in turn (narrow ones widened into a buffer, where several tiles of rows use it), tiles of
 * 6 rows are multiplied, their sums in registers; these are kept in a buffer from a block of
 * packets to the next. Each sum is thus one chain over k in order, whatever the blocks: the bits of
 * a row depend on nothing but it. At the end come scales, bias, activation and residual.
 * Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008. */
#ifndef NN_CPU_LINEAR_H
#define NN_CPU_LINEAR_H

#include "worker/nn/backend.h"
#include "worker/nn/cpu/kernels.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINEAR_PANEL       16  /* columns */
#define LINEAR_PACKETS     256 /* of a block; times 4 bytes, a row of x in its buffer */
#define LINEAR_TILE_ROWS   6
#define LINEAR_TILE_PANELS 4 /* the most that a tile takes */
#define LINEAR_ROWS_MAX    96
#define LINEAR_PANELS_MAX  32 /* of a block */

enum linear_form {
    LINEAR_F32,
    LINEAR_BF16,
    LINEAR_F16,
    LINEAR_BF16_PAIRS,
    LINEAR_I16_PAIRS,
    LINEAR_I8_PAIRS,
    LINEAR_I8_QUADS,
    LINEAR_FORMS_COUNT
};

struct cpu_weight {
    struct backend_weight base; /* columns: K */
    enum linear_form form;
    uint32_t panels;
    size_t packets;     /* of a panel */
    size_t panel_bytes; /* from a panel to the next */
    uint8_t *data;
    float *scale;    /* i8: of each column, to the end of the last panel; else NULL */
    int32_t *offset; /* I8_QUADS: 128 * the sum of each column's weights; else NULL */
};

/* Buffers of one thread. */
struct linear_scratch {
    _Alignas(64) uint32_t x[LINEAR_ROWS_MAX * LINEAR_PACKETS];
    uint8_t panel[LINEAR_TILE_PANELS * LINEAR_PACKETS * 64];
    uint32_t sums[LINEAR_ROWS_MAX * LINEAR_PANELS_MAX * LINEAR_PANEL];
};

/* One product, or some rows of it. Tasks: block of rows + row_blocks * block of columns. */
struct linear_job {
    const struct op_linear *op;
    const struct cpu_weight *weight;
    size_t rows, columns; /* K of x: that of the weight */
    size_t first_row;     /* i8: where this job begins in x and out */
    int8_t
        *levels; /* i8: x as rounded, level_stride (of 64) from a row to the next, zeros behind K */
    float *level_scale;
    size_t level_stride;
    uint32_t block_rows, row_blocks;
    uint32_t block_panels, column_blocks;
};

/* A weight from parts, as in backend_weight_new; a task for each panel. */
struct linear_pack_job {
    const struct cpu_kernels *kernels;
    const struct cpu_weight *weight;
    const struct tensor *parts;
    uint32_t parts_count;
    size_t columns; /* of the parts */
};

static inline size_t linear_packet_elements(enum linear_form form)
{
    if (form == LINEAR_I8_QUADS) return 4;
    return form == LINEAR_BF16_PAIRS || form == LINEAR_I8_PAIRS ? 2 : 1;
}

#endif
