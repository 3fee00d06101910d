/* kernel_tokens.cu - what puts rows together: patches, tokens, embeddings, chosen rows, pools.
 *
 * A thread for each group of eight numbers of the result. */
#include "worker/nn/cuda/kernels.h"
#include "worker/nn/cuda/rows.h"

#define THREADS 256

static dim3 grid_of(int64_t rows, int64_t columns)
{
    return blocks_of(rows * groups_of(columns), THREADS);
}

static __global__ void __launch_bounds__(THREADS)
    patches_kernel(const uint8_t *pixels, const float *table, reals out, int64_t rows,
                   int64_t columns, uint32_t side, uint32_t patch)
{
    SHARED(float, level, 3 * 256);
    const place p = own_place(columns, THREADS);
    const uint32_t grid = side / patch, area = patch * patch;
    for (unsigned i = threadIdx.x; i < 3 * 256; i += THREADS) level[i] = table[i];
    __syncthreads();
    if (p.row >= rows) return;
    const int64_t picture = p.row / (grid * grid);
    const uint32_t cell = static_cast<uint32_t>(p.row - picture * (grid * grid));
    const uint32_t top = cell / grid * patch, left = cell % grid * patch;
    float v[GROUP];
#pragma unroll
    for (uint32_t i = 0; i < GROUP; i++) {
        const uint32_t column = static_cast<uint32_t>(p.column) + i, c = column / area;
        const uint32_t y = column % area / patch, x = column % patch;
        v[i] = 0;
        if (c < 3) {
            const int64_t at = (picture * side + top + y) * side + left + x;
            v[i] = level[c * 256 + pixels[at * 3 + c]];
        }
    }
    write_group(out, p.at, v, columns - p.column);
}

void cuda_patches(const struct op_patches *op, cudaStream_t stream)
{
    const int64_t columns = columns_of(&op->out), rows = tensor_count(&op->out) / columns;
    LAUNCH(patches_kernel, grid_of(rows, columns), THREADS, 0, stream,
           static_cast<const uint8_t *>(op->pixels.data),
           static_cast<const float *>(op->table.data), reals_of(&op->out, columns), rows, columns,
           static_cast<uint32_t>(op->pixels.shape[1]), static_cast<uint32_t>(op->patch));
}

static __global__ void __launch_bounds__(THREADS)
    vision_tokens_kernel(reals patches, reals class_token, reals position, reals out, int64_t rows,
                         int64_t columns, int64_t tokens)
{
    const place p = own_place(columns, THREADS);
    const int64_t count = columns - p.column;
    float v[GROUP];
    if (p.row >= rows) return;
    const int64_t picture = p.row / tokens, token = p.row - picture * tokens;
    if (token == 0)
        read_group(v, class_token, p.column, count);
    else
        read_group(v, patches, (p.row - picture - 1) * columns + p.column, count);
    add_group(v, position, token * columns + p.column, count);
    write_group(out, p.at, v, count);
}

void cuda_vision_tokens(const struct op_vision_tokens *op, cudaStream_t stream)
{
    const int64_t columns = columns_of(&op->out), rows = tensor_count(&op->out) / columns;
    LAUNCH(vision_tokens_kernel, grid_of(rows, columns), THREADS, 0, stream,
           reals_of(&op->patches, columns), reals_of(&op->class_token, columns),
           reals_of(&op->position, columns), reals_of(&op->out, columns), rows, columns,
           op->out.shape[1]);
}

/* out[r] = table[id[r]] + position[r % tokens]; position may have no data. */
static __global__ void __launch_bounds__(THREADS)
    embed_kernel(const uint32_t *id, reals table, reals position, reals out, int64_t rows,
                 int64_t columns, int64_t tokens)
{
    const place p = own_place(columns, THREADS);
    const int64_t count = columns - p.column;
    float v[GROUP];
    if (p.row >= rows) return;
    read_group(v, table, id[p.row] * columns + p.column, count);
    if (position.data) add_group(v, position, p.row % tokens * columns + p.column, count);
    write_group(out, p.at, v, count);
}

void cuda_embed(const struct op_embed *op, cudaStream_t stream)
{
    const int64_t columns = columns_of(&op->out), rows = tensor_count(&op->out) / columns;
    LAUNCH(embed_kernel, grid_of(rows, columns), THREADS, 0, stream,
           static_cast<const uint32_t *>(op->ids.data), reals_of(&op->table, columns),
           reals_of(&op->position, columns), reals_of(&op->out, columns), rows, columns,
           op->ids.shape[1]);
}

void cuda_rows(const struct op_rows *op, cudaStream_t stream)
{
    const int64_t columns = columns_of(&op->out), rows = tensor_count(&op->out) / columns;
    const reals none = {NULL, DTYPE_F32, false};
    const int64_t tokens = 1;
    LAUNCH(embed_kernel, grid_of(rows, columns), THREADS, 0, stream, op->index,
           reals_of(&op->x, columns), none, reals_of(&op->out, columns), rows, columns, tokens);
}

struct pool_args {
    reals x, out;
    int64_t rows, columns, tokens, grid, window;
};

static __global__ void __launch_bounds__(THREADS) pool_kernel(pool_args a)
{
    const place p = own_place(a.columns, THREADS);
    const int64_t count = a.columns - p.column, side = a.grid / a.window;
    float v[GROUP] = {0};
    if (p.row >= a.rows) return;
    const int64_t picture = p.row / (side * side), cell = p.row - picture * side * side;
    const int64_t first = picture * a.tokens + a.tokens - a.grid * a.grid; /* of the grid */
    const int64_t top = cell / side * a.window, left = cell % side * a.window;
    for (int64_t y = top; y < top + a.window; y++)
        for (int64_t x = left; x < left + a.window; x++)
            add_group(v, a.x, (first + y * a.grid + x) * a.columns + p.column, count);
#pragma unroll
    for (int i = 0; i < GROUP; i++) v[i] /= static_cast<float>(a.window * a.window);
    write_group(a.out, p.at, v, count);
}

void cuda_pool(const struct op_pool *op, cudaStream_t stream)
{
    const int64_t columns = columns_of(&op->out), rows = tensor_count(&op->out) / columns;
    const pool_args a = {reals_of(&op->x, columns),
                         reals_of(&op->out, columns),
                         rows,
                         columns,
                         op->x.shape[1],
                         op->grid,
                         op->window};
    LAUNCH(pool_kernel, grid_of(rows, columns), THREADS, 0, stream, a);
}
