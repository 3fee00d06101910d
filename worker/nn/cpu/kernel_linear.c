/* kernel_linear.c - the product of linear.h on one instruction set. */
#include "worker/nn/cpu/kernel_set.h"
#include "worker/nn/cpu/linear.h"
#include "worker/nn/cpu/math.h"

/* How many panels a tile of so many rows takes: enough sums to keep the multipliers busy (a sum can
 * be added to every 4 cycles), no more than there are registers. */
#ifdef CPU_SIMD_AVX512
#define PANELS_OF(rows) ((rows) ? 4 : 1)
#else
#define PANELS_OF(rows) ((rows) == 1 ? 4 : (rows) <= 3 ? 2 : 1)
#endif

SIMD_INLINE veci load_packet(const uint8_t *panel, size_t packet, enum linear_form form)
{
    const uint8_t *narrow = panel + packet * 32;
    switch (form) {
    case LINEAR_BF16:
        return vec_bits(vec_load_bf16((const void *)narrow));
    case LINEAR_F16:
        return vec_bits(vec_load_f16((const void *)narrow));
    case LINEAR_I8_PAIRS:
        return veci_widen_i8((const void *)narrow);
    case LINEAR_F32:
    case LINEAR_BF16_PAIRS:
    case LINEAR_I16_PAIRS:
    case LINEAR_I8_QUADS:
    case LINEAR_FORMS_COUNT:
        break;
    }
    return veci_load(panel + packet * 64);
}

SIMD_INLINE veci multiply_add(veci sum, veci x, veci w, enum linear_form form)
{
#ifdef VECI_HAS_QUADS
    if (form == LINEAR_I8_QUADS) return veci_dot_quads(sum, x, w);
#endif
#ifdef VEC_HAS_BF16_PAIRS
    if (form == LINEAR_BF16_PAIRS) return vec_bits(vec_dot_bf16(vec_of_bits(sum), x, w));
#endif
    if (form == LINEAR_I8_PAIRS || form == LINEAR_I16_PAIRS) return veci_madd(sum, x, w);
    return vec_bits(vec_fma(vec_of_bits(x), vec_of_bits(w), vec_of_bits(sum)));
}

/* Where a tile works. */
struct place {
    uint32_t *sums;
    size_t sums_stride;
    const uint32_t *x; /* LINEAR_PACKETS from a row to the next */
    const uint8_t *panel;
    size_t panel_bytes;
    size_t packets;
    bool is_first; /* sums start from 0 */
};

SIMD_INLINE void multiply_tile(const struct place *at, const int rows, const int panels,
                               const enum linear_form form)
{
    const uint32_t *x = at->x;
    const uint8_t *panel = at->panel;
    const size_t packets = at->packets, panel_bytes = at->panel_bytes;
    veci sum[LINEAR_TILE_ROWS][LINEAR_TILE_PANELS];
    SIMD_UNROLL(6)
    for (int r = 0; r < rows; r++) {
        SIMD_UNROLL(4)
        for (int p = 0; p < panels; p++)
            sum[r][p] =
                at->is_first
                    ? veci_all(0)
                    : veci_load(at->sums + (size_t)r * at->sums_stride + (size_t)p * LINEAR_PANEL);
    }
    SIMD_UNROLL(4)
    for (size_t k = 0; k < packets; k++) {
        veci w[LINEAR_TILE_PANELS];
        SIMD_UNROLL(4)
        for (int p = 0; p < panels; p++)
            w[p] = load_packet(panel + (size_t)p * panel_bytes, k, form);
        SIMD_UNROLL(6)
        for (int r = 0; r < rows; r++) {
            const veci number = veci_all((int32_t)x[(size_t)r * LINEAR_PACKETS + k]);
            SIMD_UNROLL(4)
            for (int p = 0; p < panels; p++)
                sum[r][p] = multiply_add(sum[r][p], number, w[p], form);
        }
    }
    SIMD_UNROLL(6)
    for (int r = 0; r < rows; r++) {
        SIMD_UNROLL(4)
        for (int p = 0; p < panels; p++)
            veci_store(at->sums + (size_t)r * at->sums_stride + (size_t)p * LINEAR_PANEL,
                       sum[r][p]);
    }
}

/* A function for each height of a tile, of one panel and of as many as it should have. */
#define TILE(form, rows)                                                      \
    static void tile_##form##_##rows(const struct place *at, uint32_t panels) \
    {                                                                         \
        if (panels == PANELS_OF(rows))                                        \
            multiply_tile(at, rows, PANELS_OF(rows), LINEAR_##form);          \
        else                                                                  \
            multiply_tile(at, rows, 1, LINEAR_##form);                        \
    }
#define TILES(form) \
    TILE(form, 1) TILE(form, 2) TILE(form, 3) TILE(form, 4) TILE(form, 5) TILE(form, 6)

TILES(F32)
TILES(BF16)
TILES(F16)
TILES(I16_PAIRS)
TILES(I8_PAIRS)
#ifdef VEC_HAS_BF16_PAIRS
TILES(BF16_PAIRS)
#endif
#ifdef VECI_HAS_QUADS
TILES(I8_QUADS)
#endif

typedef void tile(const struct place *at, uint32_t panels);
#define ROW(form)                                                         \
    [LINEAR_##form] = {tile_##form##_1, tile_##form##_2, tile_##form##_3, \
                       tile_##form##_4, tile_##form##_5, tile_##form##_6}
static tile *const tiles[LINEAR_FORMS_COUNT][LINEAR_TILE_ROWS] = {
    ROW(F32),        ROW(BF16), ROW(F16), ROW(I16_PAIRS), ROW(I8_PAIRS),
#ifdef VEC_HAS_BF16_PAIRS
    ROW(BF16_PAIRS),
#endif
#ifdef VECI_HAS_QUADS
    ROW(I8_QUADS),
#endif
};

/* Rows of x lie far apart: each is asked for some rows before it is read. */
#define ROWS_AHEAD 4
SIMD_INLINE void fetch_row(const struct linear_job *job, size_t r, size_t first, size_t count)
{
    const struct tensor *x = &job->op->x;
    const size_t bytes = dtype_bytes(x->dtype);
    if (r >= job->rows) return;
    const uint8_t *at = (const uint8_t *)x->data + (r * job->columns + first) * bytes;
    for (size_t i = 0; i < count * bytes; i += 64) __builtin_prefetch(at + i, 0, 3);
}

/* A block's part of x, row by row, as packets: elements first to first + count - 1 of K. */
static void load_reals(uint32_t *row, const struct linear_job *job, size_t r, size_t first,
                       size_t count)
{
    const struct tensor *x = &job->op->x;
    const enum linear_form form = job->weight->form;
    const enum dtype type = job->weight->base.dtype;
    const size_t start = r * job->columns + first;
    const bool is_rounded = type == DTYPE_F32 || type == x->dtype;
    fetch_row(job, r + ROWS_AHEAD, first, count);
    if (form == LINEAR_BF16_PAIRS) {
        for (size_t i = 0; i < count; i += VEC_LANES)
            vec_write(row, DTYPE_BF16, i, vec_read(x->data, x->dtype, start + i, count - i),
                      VEC_LANES);
        return;
    }
    for (size_t i = 0; i < count; i += VEC_LANES) {
        const vec number = vec_read(x->data, x->dtype, start + i, count - i);
        veci_store(row + i, vec_bits(is_rounded ? number : vec_round(number, type)));
    }
}

static void load_levels(uint32_t *row, const struct linear_job *job, size_t r, size_t first,
                        size_t count)
{
    const int8_t *level = job->levels + r * job->level_stride + first;
    if (job->weight->form == LINEAR_I8_PAIRS) {
        for (size_t i = 0; i < count; i += 32) veci_store(row + i / 2, veci_widen_i8(level + i));
        return;
    }
    const veci middle = veci_all((int32_t)0x80808080u);
    for (size_t i = 0; i < count; i += 64) /* + 128 in each byte, for none is below -127 */
        veci_store(row + i / 4, veci_xor(veci_load(level + i), middle));
}

/* Packets of one panel as the tiles want them. */
static void widen_panel(uint8_t *dst, const uint8_t *panel, size_t packets, enum linear_form form)
{
    if (form == LINEAR_BF16)
        for (size_t k = 0; k < packets; k++)
            veci_store(dst + k * 64, load_packet(panel, k, LINEAR_BF16));
    else if (form == LINEAR_F16)
        for (size_t k = 0; k < packets; k++)
            veci_store(dst + k * 64, load_packet(panel, k, LINEAR_F16));
    else
        for (size_t k = 0; k < packets; k++)
            veci_store(dst + k * 64, load_packet(panel, k, LINEAR_I8_PAIRS));
}

static enum linear_form widened(enum linear_form form)
{
    if (form == LINEAR_BF16 || form == LINEAR_F16) return LINEAR_F32;
    return form == LINEAR_I8_PAIRS ? LINEAR_I16_PAIRS : form;
}

/* What a block will need next, a part of it before each tile. */
struct ahead {
    const uint8_t *data;
    size_t bytes, share;
};

SIMD_INLINE void fetch_ahead(struct ahead *ahead, const struct place *next, size_t height)
{
    const size_t bytes = ahead->bytes < ahead->share ? ahead->bytes : ahead->share;
    for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(ahead->data + i, 0, 2);
    ahead->data += bytes;
    ahead->bytes -= bytes;
    for (size_t r = 0; r < height; r++)
        __builtin_prefetch(next->sums + r * next->sums_stride, 1, 3);
}

/* All rows of a block with the panels of one tile: 1, or as many as its highest tile takes. */
static void multiply_rows(struct place at, size_t rows, uint32_t panels, enum linear_form form,
                          struct ahead ahead)
{
    const size_t tiles_count = rows / LINEAR_TILE_ROWS + 1;
    ahead.share = (ahead.bytes / tiles_count + 64) / 64 * 64;
    while (rows) {
        const size_t height = rows < LINEAR_TILE_ROWS ? rows : LINEAR_TILE_ROWS;
        const struct place here = at;
        rows -= height;
        at.sums += height * at.sums_stride;
        at.x += height * LINEAR_PACKETS;
        fetch_ahead(&ahead, &at, rows < height ? rows : height);
        tiles[form][height - 1](&here, panels);
    }
}

/* One block of packets: first_panel and on, panels of them. */
static void multiply_block(const struct cpu_weight *weight, struct linear_scratch *scratch,
                           size_t rows, uint32_t first_panel, uint32_t panels, size_t first_packet,
                           size_t packets)
{
    const enum linear_form wide_form = widened(weight->form);
    const size_t packet_bytes = weight->panel_bytes / weight->packets;
    const bool widens = wide_form != weight->form && rows > LINEAR_TILE_ROWS;
    const size_t height = rows < LINEAR_TILE_ROWS ? rows : LINEAR_TILE_ROWS;
    const uint32_t width = PANELS_OF(height);
    for (uint32_t p = 0; p < panels;) {
        const uint32_t count = panels - p >= width ? width : 1;
        struct place at = {.sums = scratch->sums + p * LINEAR_PANEL,
                           .sums_stride = (size_t)panels * LINEAR_PANEL,
                           .x = scratch->x,
                           .panel = weight->data + (first_panel + p) * weight->panel_bytes +
                                    first_packet * packet_bytes,
                           .panel_bytes = weight->panel_bytes,
                           .packets = packets,
                           .is_first = !first_packet};
        const struct ahead ahead = {.data = at.panel + count * at.panel_bytes,
                                    .bytes = p + count < panels ? packets * packet_bytes : 0};
        if (widens) {
            const size_t bytes = (size_t)LINEAR_PACKETS * 64;
            for (uint32_t i = 0; i < count; i++)
                widen_panel(scratch->panel + i * bytes, at.panel + i * at.panel_bytes, packets,
                            weight->form);
            at.panel = scratch->panel;
            at.panel_bytes = bytes;
        }
        multiply_rows(at, rows, count, widens ? wide_form : weight->form, ahead);
        p += count;
    }
}

/* Sums to results, of the columns of one panel. */
SIMD_INLINE void finish_panel(const struct linear_job *job, const uint32_t *sums, size_t row,
                              size_t column, enum activation activation)
{
    const struct op_linear *op = job->op;
    const struct cpu_weight *weight = job->weight;
    const size_t all = (size_t)weight->base.rows, count = all - column;
    const size_t at = (job->first_row + row) * all + column;
    vec y = vec_of_bits(veci_load(sums));
    if (weight->scale) {
        veci whole = veci_load(sums);
        if (weight->offset) whole = veci_sub(whole, veci_load(weight->offset + column));
        y = vec_mul(veci_to_vec(whole), vec_load(weight->scale + column));
        y = vec_mul(y, vec_all(job->level_scale[row]));
    }
    if (op->bias.data) y = vec_add(y, vec_read(op->bias.data, DTYPE_F32, column, count));
    y = vec_activate(y, activation);
    if (op->residual.data)
        y = vec_add(y, vec_read(op->residual.data, op->residual.dtype, at, count));
    vec_write(op->out.data, op->out.dtype, at, y, count);
}

SIMD_INLINE void finish(const struct linear_job *job, const uint32_t *sums, size_t row, size_t rows,
                        uint32_t panel, uint32_t panels, enum activation activation)
{
    for (size_t r = 0; r < rows; r++)
        for (uint32_t p = 0; p < panels; p++) {
            finish_panel(job, sums, row + r, (size_t)(panel + p) * LINEAR_PANEL, activation);
            sums += LINEAR_PANEL;
        }
}

static void finish_block(const struct linear_job *job, const uint32_t *sums, size_t row,
                         size_t rows, uint32_t panel, uint32_t panels)
{
#define CASE(name)                                         \
    case name:                                             \
        finish(job, sums, row, rows, panel, panels, name); \
        return
    switch (job->op->activation) {
        CASE(ACTIVATION_QUICK_GELU);
        CASE(ACTIVATION_GELU);
        CASE(ACTIVATION_GELU_TANH);
        CASE(ACTIVATION_SILU);
        CASE(ACTIVATION_NONE);
    case ACTIVATIONS_COUNT:
        break;
    }
#undef CASE
}

void CPU_NAME(linear_block)(const struct linear_job *job, uint32_t task,
                            struct linear_scratch *scratch)
{
    const struct cpu_weight *weight = job->weight;
    const size_t row = (size_t)(task % job->row_blocks) * job->block_rows;
    const uint32_t panel = task / job->row_blocks * job->block_panels;
    const size_t left = job->rows - row;
    const size_t rows = left < job->block_rows ? left : job->block_rows;
    const uint32_t after = weight->panels - panel;
    const uint32_t panels = after < job->block_panels ? after : job->block_panels;
    const size_t elements = linear_packet_elements(weight->form);
    for (size_t k = 0; k < weight->packets; k += LINEAR_PACKETS) {
        const size_t later = weight->packets - k;
        const size_t packets = later < LINEAR_PACKETS ? later : LINEAR_PACKETS;
        const size_t end = (k + packets) * elements, first = k * elements;
        const size_t count = (end < job->columns ? end : job->columns) - first;
        for (size_t r = 0; r < rows; r++) {
            uint32_t *dst = scratch->x + r * LINEAR_PACKETS;
            if (weight->scale)
                load_levels(dst, job, row + r, first, count);
            else
                load_reals(dst, job, row + r, first, count);
        }
        multiply_block(weight, scratch, rows, panel, panels, k, packets);
    }
    finish_block(job, scratch->sums, row, rows, panel, panels);
}

/* The largest size in a row, NaN if there is one: their bits are above all numbers'. */
static float largest_size(const void *data, enum dtype dtype, size_t first, size_t count)
{
    veci most = veci_all(0);
    for (size_t i = 0; i < count; i += VEC_LANES)
        most = veci_max(most, vec_bits(vec_abs(vec_read(data, dtype, first + i, count - i))));
    int32_t lane[VEC_LANES], all = 0;
    veci_store(lane, most);
    for (int l = 0; l < VEC_LANES; l++) all = lane[l] > all ? lane[l] : all;
    return f32_of_bits((uint32_t)all);
}

/* Numbers to levels from -127 to 127 and back. Rows whose numbers are all below 2^-100 count as
 * zeros, for 127 / size must be a number. */
struct levels {
    float factor, scale;
};

static struct levels levels_of(const void *data, enum dtype dtype, size_t first, size_t count)
{
    const float size = largest_size(data, dtype, first, count);
    if (size < 0x1p-100f) return (struct levels){0.0f, 0.0f};
    return (struct levels){127.0f / size, size / 127.0f};
}

/* Writes up to the end of the last 16. */
static void to_levels(int8_t *dst, const void *data, enum dtype dtype, size_t first, size_t count,
                      float factor)
{
    const vec top = vec_all(127.0f), bottom = vec_all(-127.0f), by = vec_all(factor);
    for (size_t i = 0; i < count; i += VEC_LANES) {
        const vec level = vec_mul(vec_read(data, dtype, first + i, count - i), by);
        veci_store_i8(dst + i, vec_to_int(vec_max(vec_min(level, top), bottom)));
    }
}

void CPU_NAME(linear_quantize)(const struct linear_job *job, size_t row)
{
    const struct tensor *x = &job->op->x;
    int8_t *dst = job->levels + row * job->level_stride;
    const size_t first = (job->first_row + row) * job->columns;
    const size_t end = (job->columns + VEC_LANES - 1) / VEC_LANES * VEC_LANES;
    const struct levels levels = levels_of(x->data, x->dtype, first, job->columns);
    to_levels(dst, x->data, x->dtype, first, job->columns, levels.factor);
    memset(dst + end, 0, job->level_stride - end);
    job->level_scale[row] = levels.scale;
}

/* A row of W among the parts. data NULL: behind the last. */
struct source {
    const void *data;
    enum dtype dtype;
    size_t first; /* element */
    struct levels levels;
};

static struct source source_of(const struct linear_pack_job *job, size_t row)
{
    for (uint32_t i = 0; i < job->parts_count; i++) {
        const struct tensor *part = &job->parts[i];
        const size_t rows = (size_t)part->shape[0];
        if (row < rows)
            return (struct source){part->data, part->dtype, row * job->columns, {0.0f, 0.0f}};
        row -= rows;
    }
    return (struct source){NULL, DTYPE_F32, 0, {0.0f, 0.0f}};
}

#define PACK_ELEMENTS 256 /* of a row at a time */
/* From a row to the next: not all in one set of the cache. */
#define PACK_BYTES (PACK_ELEMENTS * 4 + 64)

/* Elements from first on, count of them, in the weight's type; zeros to the end of dst. */
static void pack_row(uint8_t *dst, const struct source *source, enum dtype type, size_t first,
                     size_t count)
{
    const size_t at = source->first + first;
    const size_t bytes = source->dtype == DTYPE_F32 ? 4 : 2;
    if (!source->data) count = 0;
    if (count < PACK_ELEMENTS) memset(dst, 0, PACK_BYTES);
    if (!count) return;
    if (type == DTYPE_I8)
        to_levels((int8_t *)dst, source->data, source->dtype, at, count, source->levels.factor);
    else if (type == source->dtype)
        memcpy(dst, (const uint8_t *)source->data + at * bytes, count * bytes);
    else
        for (size_t i = 0; i < count; i += VEC_LANES)
            vec_write(dst, type, i, vec_read(source->data, source->dtype, at + i, count - i),
                      VEC_LANES);
}

/* Packets of 16 rows, side by side. */
SIMD_INLINE void turn(uint8_t *restrict dst, const uint8_t *restrict rows, size_t packets,
                      const size_t bytes)
{
    for (size_t k = 0; k < packets; k++)
        for (size_t j = 0; j < LINEAR_PANEL; j++)
            memcpy(dst + (k * LINEAR_PANEL + j) * bytes, rows + j * PACK_BYTES + k * bytes, bytes);
}

void CPU_NAME(linear_pack)(const struct linear_pack_job *job, uint32_t panel)
{
    const struct cpu_weight *weight = job->weight;
    const enum dtype type = weight->base.dtype;
    const size_t packet_bytes = weight->panel_bytes / weight->packets / LINEAR_PANEL;
    const size_t elements = linear_packet_elements(weight->form);
    uint8_t *dst = weight->data + panel * weight->panel_bytes;
    _Alignas(64) uint8_t rows[LINEAR_PANEL * PACK_BYTES];
    struct source source[LINEAR_PANEL];
    int32_t sum[LINEAR_PANEL] = {0};
    for (size_t j = 0; j < LINEAR_PANEL; j++) {
        struct source *from = &source[j];
        *from = source_of(job, (size_t)panel * LINEAR_PANEL + j);
        if (type != DTYPE_I8) continue;
        if (from->data)
            from->levels = levels_of(from->data, from->dtype, from->first, job->columns);
        weight->scale[panel * LINEAR_PANEL + j] = from->levels.scale;
    }
    for (size_t k = 0; k < weight->packets; k += PACK_ELEMENTS / elements) {
        const size_t later = weight->packets - k, most = PACK_ELEMENTS / elements;
        const size_t packets = later < most ? later : most, first = k * elements;
        const size_t left = first < job->columns ? job->columns - first : 0;
        const size_t count = left < PACK_ELEMENTS ? left : PACK_ELEMENTS;
        for (size_t j = 0; j < LINEAR_PANEL; j++) {
            uint8_t *row = rows + j * PACK_BYTES;
            pack_row(row, &source[j], type, first, count);
            if (weight->offset)
                for (size_t i = 0; i < count; i++) sum[j] += (int8_t)row[i];
        }
        uint8_t *to = dst + k * LINEAR_PANEL * packet_bytes;
        if (packet_bytes == 2)
            turn(to, rows, packets, 2);
        else
            turn(to, rows, packets, 4);
    }
    for (size_t j = 0; weight->offset && j < LINEAR_PANEL; j++)
        weight->offset[panel * LINEAR_PANEL + j] = 128 * sum[j];
}
