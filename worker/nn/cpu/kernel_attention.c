/* kernel_attention.c - softmax(scale * q k^T) v for some queries of one head.
 *
 * K and V are packed into panels of as many columns as a tile has lanes, then both products are
 * tiles of registers, as in the kernels of linear: a tile is TILE_ROWS queries by TILE_LANES keys
 * (or numbers of the output), each element one chain of fma over head_dim (or over the keys, in
 * their order). Scores of a block of queries stay in cache: whole rows of them, so that softmax
 * needs no second pass over earlier keys, and nothing depends on how keys or queries are cut. Keys
 * that a query does not see have the probability 0; their numbers must be finite.
 *
 * Softmax: a row's maximum is subtracted, exp is vec_exp, the sum has 16 lanes. */
#include "worker/nn/cpu/attention.h"
#include "worker/nn/cpu/kernel_set.h"
#include "worker/nn/cpu/math.h"

/* As many accumulators as there are registers for, and a few to spare. A test has its own. */
#if defined(TILE_ROWS) && defined(TILE_VECS)
#elif defined(CPU_SIMD_AVX512)
#define TILE_ROWS 12
#define TILE_VECS 2
#elif defined(CPU_SIMD_AVX2) || defined(CPU_SIMD_NEON)
#define TILE_ROWS 6
#define TILE_VECS 1
#else
#define TILE_ROWS 2
#define TILE_VECS 1
#endif
#define TILE_LANES     (TILE_VECS * VEC_LANES)
#define KEYS_AT_A_TIME (256 / TILE_VECS)

_Static_assert(ATTENTION_ROWS_UNIT % TILE_ROWS == 0, "a block of queries is whole tiles");
_Static_assert(ATTENTION_KEYS_UNIT % TILE_LANES == 0, "packed keys are whole tiles");

/* out[r][j] = sum over k of a[r][k] * b[k][j], or that on top of what is there. */
SIMD_INLINE void tile(float *out, size_t out_stride, const float *a, size_t a_stride,
                      const float *b, size_t depth, bool goes_on)
{
    vec sum[TILE_ROWS][TILE_VECS];
    SIMD_UNROLL(12)
    for (size_t r = 0; r < TILE_ROWS; r++) SIMD_UNROLL(2)
    for (size_t j = 0; j < TILE_VECS; j++)
        sum[r][j] = goes_on ? vec_load(out + r * out_stride + j * VEC_LANES) : vec_all(0);
    for (size_t k = 0; k < depth; k++) {
        vec column[TILE_VECS];
        SIMD_UNROLL(2)
        for (size_t j = 0; j < TILE_VECS; j++)
            column[j] = vec_load(b + k * TILE_LANES + j * VEC_LANES);
        SIMD_UNROLL(12)
        for (size_t r = 0; r < TILE_ROWS; r++) {
            const vec x = vec_all(a[r * a_stride + k]);
            SIMD_UNROLL(2)
            for (size_t j = 0; j < TILE_VECS; j++) sum[r][j] = vec_fma(x, column[j], sum[r][j]);
        }
    }
    SIMD_UNROLL(12)
    for (size_t r = 0; r < TILE_ROWS; r++) SIMD_UNROLL(2)
    for (size_t j = 0; j < TILE_VECS; j++)
        vec_store(out + r * out_stride + j * VEC_LANES, sum[r][j]);
}

/* Rows stand far apart, each in a page of its own, where no processor foresees the next one. */
#define ROWS_AHEAD 12
SIMD_INLINE void fetch_ahead(const void *array, enum dtype dtype, size_t at, size_t stride,
                             size_t row, size_t rows, size_t dim)
{
    const size_t ahead = row + ROWS_AHEAD < rows ? row + ROWS_AHEAD : rows - 1;
    const size_t bytes = dtype == DTYPE_F32 ? 4 : 2;
    const char *first = (const char *)array + (at + ahead * stride) * bytes;
    for (size_t i = 0; i < dim * bytes; i += BACKEND_ALIGNMENT) __builtin_prefetch(first + i);
}

/* Keys as panels [keys / TILE_LANES][head_dim][TILE_LANES], those behind the last are zeros. */
static void pack_keys(float *panel, const struct op_attention *op, size_t at, size_t keys)
{
    const size_t dim = op->head_dim, stride = (size_t)op->k_stride;
    float number[VEC_LANES];
    for (size_t first = 0; first < keys; first += TILE_LANES, panel += dim * TILE_LANES)
        for (size_t lane = 0; lane < TILE_LANES; lane++) {
            fetch_ahead(op->k, op->dtype, at, stride, first + lane, keys, dim);
            for (size_t i = 0; i < dim; i += VEC_LANES) {
                const size_t count = dim - i < VEC_LANES ? dim - i : VEC_LANES;
                vec x = vec_all(0);
                if (first + lane < keys)
                    x = vec_read(op->k, op->dtype, at + (first + lane) * stride + i, count);
                vec_store(number, x);
                for (size_t n = 0; n < count; n++) panel[(i + n) * TILE_LANES + lane] = number[n];
            }
        }
}

/* Values as panels [head_dim / TILE_LANES][keys][TILE_LANES], those behind head_dim zeros. */
static void pack_values(float *panel, const struct op_attention *op, size_t at, size_t keys)
{
    const size_t dim = op->head_dim, stride = (size_t)op->v_stride;
    for (size_t key = 0; key < keys; key++) {
        fetch_ahead(op->v, op->dtype, at, stride, key, keys, dim);
        for (size_t first = 0; first < dim; first += TILE_LANES)
            for (size_t i = 0; i < TILE_LANES; i += VEC_LANES) {
                vec x = vec_all(0);
                if (first + i < dim)
                    x = vec_read(op->v, op->dtype, at + key * stride + first + i, dim - first - i);
                vec_store(panel + first * keys + key * TILE_LANES + i, x);
            }
    }
}

/* Rows [rows, head_dim] times the scale; those behind the last query, up to padded, are zeros. */
static void pack_queries(float *row, const struct op_attention *op, size_t at, size_t rows,
                         size_t padded)
{
    const size_t dim = op->head_dim, stride = (size_t)op->q_stride;
    for (size_t r = 0; r < padded; r++) {
        fetch_ahead(op->q, op->dtype, at, stride, r, rows, dim);
        for (size_t i = 0; i < dim; i += VEC_LANES) {
            const size_t count = dim - i < VEC_LANES ? dim - i : VEC_LANES;
            vec x = vec_all(0);
            if (r < rows) x = vec_read(op->q, op->dtype, at + r * stride + i, count);
            x = vec_mul(x, vec_all(op->scale));
            if (count == VEC_LANES)
                vec_store(row + r * dim + i, x);
            else
                vec_store_some(row + r * dim + i, x, count);
        }
    }
}

SIMD_INLINE vec only_first(vec x, size_t count, float other)
{
    static const float lane[VEC_LANES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return vec_select(vec_less(vec_load(lane), vec_all((float)count)), x, vec_all(other));
}

/* Scores of the first count keys to e^(score - maximum); those up to padded, a multiple of the
 * lanes, to 0. Returns the sum. */
static float exponentials(float *score, size_t count, size_t padded)
{
    const size_t whole = count / VEC_LANES * VEC_LANES, rest = count - whole;
    vec max = vec_all(-INFINITY), sum = vec_all(0);
    for (size_t k = 0; k < whole; k += VEC_LANES) max = vec_max(max, vec_load(score + k));
    if (rest) max = vec_max(max, only_first(vec_load(score + whole), rest, -INFINITY));
    max = vec_all(vec_largest(max));
    for (size_t k = 0; k < whole; k += VEC_LANES) {
        const vec power = vec_exp(vec_sub(vec_load(score + k), max));
        sum = vec_add(sum, power);
        vec_store(score + k, power);
    }
    if (rest) {
        const vec power = vec_exp(vec_sub(vec_load(score + whole), max));
        const vec seen = only_first(power, rest, 0);
        sum = vec_add(sum, seen);
        vec_store(score + whole, seen);
    }
    for (size_t k = whole + (rest ? VEC_LANES : 0); k < padded; k += VEC_LANES)
        vec_store(score + k, vec_all(0));
    return vec_sum(sum);
}

/* What the loops over a block of queries share. */
struct block {
    const struct op_attention *op;
    const struct attention_scratch *scratch;
    size_t rows;    /* queries */
    size_t keys;    /* those that the last query sees, or all if it is not causal */
    size_t visible; /* those that the first query sees; one more for each on, if causal */
};

static size_t keys_of(const struct block *block, size_t row)
{
    const size_t keys = block->visible + (block->op->causal ? row : 0);
    return keys < block->keys ? keys : block->keys;
}

static size_t round_up(size_t count, size_t unit)
{
    return (count + unit - 1) / unit * unit;
}

static void make_scores(const struct block *block)
{
    const struct attention_scratch *scratch = block->scratch;
    const size_t dim = block->op->head_dim, stride = scratch->score_stride;
    for (size_t key = 0; key < block->keys; key += TILE_LANES)
        for (size_t row = 0; row < block->rows; row += TILE_ROWS)
            if (key < keys_of(block, row + TILE_ROWS - 1))
                tile(scratch->score + row * stride + key, stride, scratch->query + row * dim, dim,
                     scratch->key + key * dim, dim, false);
}

/* Sums over the keys, some keys at a time: those of a panel's values that the fastest cache holds
 * for all queries of the block. */
static void make_sums(const struct block *block, size_t keys_packed)
{
    const struct attention_scratch *scratch = block->scratch;
    const size_t dim = block->op->head_dim, stride = scratch->score_stride;
    for (size_t key = 0; key < block->keys; key += KEYS_AT_A_TIME)
        for (size_t column = 0; column < dim; column += TILE_LANES)
            for (size_t row = 0; row < block->rows; row += TILE_ROWS) {
                const size_t keys = keys_of(block, row + TILE_ROWS - 1);
                if (key >= keys) continue;
                tile(scratch->sum + row * scratch->sum_stride + column, scratch->sum_stride,
                     scratch->score + row * stride + key, stride,
                     scratch->value + column * keys_packed + key * TILE_LANES,
                     keys - key < KEYS_AT_A_TIME ? keys - key : KEYS_AT_A_TIME, key > 0);
            }
}

/* Sums divided by the totals. + 0 makes -0 to 0, which the keys that are not seen could else do or
 * not. */
static void write_output(const struct block *block, size_t out_at)
{
    const struct op_attention *op = block->op;
    const struct attention_scratch *scratch = block->scratch;
    for (size_t row = 0; row < block->rows; row++) {
        const vec total = vec_all(scratch->total[row]);
        for (size_t i = 0; i < op->head_dim; i += VEC_LANES) {
            const vec sum = vec_load(scratch->sum + row * scratch->sum_stride + i);
            const vec y = vec_div(vec_add(sum, vec_all(0)), total);
            vec_write(op->out, op->dtype, out_at + row * (size_t)op->out_stride + i, y,
                      op->head_dim - i);
        }
    }
}

void CPU_NAME(kernel_attention)(const struct attention_task *task,
                                const struct attention_scratch *scratch)
{
    const struct op_attention *op = task->op;
    const size_t dim = op->head_dim, q_tokens = op->q_tokens, sequence = task->sequence;
    const size_t kv_head = task->head / (op->heads / op->kv_heads);
    const size_t key_at = sequence * op->k_tokens;
    const size_t last = task->first + task->count - 1;
    const size_t keys = op->causal && last + op->k_tokens - q_tokens + 1 < task->keys
                            ? last + op->k_tokens - q_tokens + 1
                            : task->keys;
    pack_keys(scratch->key, op, key_at * (size_t)op->k_stride + kv_head * dim, keys);
    pack_values(scratch->value, op, key_at * (size_t)op->v_stride + kv_head * dim, keys);
    for (size_t first = task->first; first <= last; first += scratch->rows) {
        const size_t rows = last - first + 1 < scratch->rows ? last - first + 1 : scratch->rows;
        const size_t query_at = sequence * q_tokens + first;
        struct block block = {.op = op, .scratch = scratch, .rows = rows};
        block.visible = op->causal ? first + op->k_tokens - q_tokens + 1 : keys;
        block.keys = keys;
        block.keys = keys_of(&block, rows - 1);
        pack_queries(scratch->query, op, query_at * (size_t)op->q_stride + task->head * dim, rows,
                     round_up(rows, TILE_ROWS));
        make_scores(&block);
        for (size_t row = 0; row < round_up(rows, TILE_ROWS); row++)
            scratch->total[row] =
                exponentials(scratch->score + row * scratch->score_stride, keys_of(&block, row),
                             round_up(block.keys, VEC_LANES));
        make_sums(&block, keys);
        write_output(&block, query_at * (size_t)op->out_stride + task->head * dim);
    }
}
