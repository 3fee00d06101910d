/* backend.h - what a device does for the model core: memory, weights, ops.
 *
 * A backend is one device with one queue of ops, which run in the order they were given. One thread
 * at a time uses it (in the worker: the device thread). Ops return nothing: the first error sticks,
 * every later op does nothing, and backend_sync tells it. On the CPU, ops are done when they
 * return; elsewhere, data that an op reads or writes must stay as it is until the next sync.
 *
 * Models call ops through ops.h, which checks shapes once, for every backend. All that an op points
 * to is memory of the device. What an op computes:
 *   - Tensors of numbers ("real": f32, bf16, f16) are dense; each op says which types it takes.
 *     All sums are at least f32. A result is rounded once, where it is stored.
 *   - A row's bits depend on that row's input and the weights alone: not on the other rows, their
 *     number, the number of threads or the run. In f32 and i8 they do not depend on the CPU either.
 * The reference backend (plain loops, sums in double) is what every other one is compared with.
 *
 * To add a backend: a folder, a line in backends.def; tests/nn/conformance takes it by its name.
 * One that needs libraries which not every machine has is a plugin, see backend_plugin.h. */
#ifndef NN_BACKEND_H
#define NN_BACKEND_H

#include "common/base/err.h"
#include "worker/nn/tensor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BACKEND_ALIGNMENT 64 /* of memory that a backend gives, bytes */

enum activation {
    ACTIVATION_NONE,
    ACTIVATION_QUICK_GELU, /* x * sigmoid(1.702 x): OpenAI's CLIP */
    ACTIVATION_GELU,       /* x * (1 + erf(x / sqrt 2)) / 2 */
    ACTIVATION_GELU_TANH,  /* its approximation by tanh, as PyTorch has it */
    ACTIVATION_SILU,       /* x * sigmoid(x) */
    ACTIVATIONS_COUNT
};

/* A weight matrix W [N, K] in the device's own layout; y = x W^T. */
struct backend_weight {
    int64_t rows, columns; /* N, and K with its padding */
    enum dtype dtype;      /* f32, bf16, f16, or i8: a scale for each row of W, max |w| / 127 */
    size_t bytes;          /* of the device's memory */
};

/* out = activation(x W^T + bias) + residual. Where out is bf16 or f16, a device may round the bias
 * to it first, and also what goes into an activation.
 * x [M, K] real, rounded to the weight's type before it is multiplied; with an i8 weight, each row
 * of x is rounded to i8 with a scale of its own, max |x| / 127, and products are summed exactly.
 * out [M, N] real. bias [N] f32, or without data. residual [M, N] real, or without data; may be
 * out. */
struct op_linear {
    struct tensor x, out, bias, residual;
    const struct backend_weight *weight;
    enum activation activation;
};

enum norm_kind { NORM_LAYER, NORM_RMS };

/* out = (x - mean) / sqrt(variance + eps) * weight + bias for each row, or for NORM_RMS
 * x / sqrt(mean(x^2) + eps) * weight. x, out [M, N] real, may be the same if of one type;
 * weight, bias [N] f32, bias without data for none. If sum has data, x + residual is used in place
 * of x and is also written to sum [M, N], rounded to its type, which may be x or residual. */
struct op_norm {
    enum norm_kind kind;
    struct tensor x, out, weight, bias, residual, sum;
    float eps;
};

/* softmax(scale * q k^T) v for each sequence and head. Token t of sequence s has its vectors at
 * q.data + (s * q_tokens + t) * q_stride + head * head_dim elements, and so on; k and v have heads
 * / kv_heads query heads for each of theirs. causal: query t sees keys 0 to
 * t + k_tokens - q_tokens. lengths [sequences] (NULL: all): how many tokens each sequence has, keys
 * and queries alike, at most k_tokens (checked by the caller); queries behind it give zeros. q, k,
 * v and out are of one type. */
struct op_attention {
    enum dtype dtype; /* real */
    const void *q, *k, *v;
    void *out;
    int64_t q_stride, k_stride, v_stride, out_stride; /* elements from a token to the next */
    uint32_t sequences, q_tokens, k_tokens;
    uint32_t heads, kv_heads, head_dim; /* head_dim: a multiple of 8, at most 256 */
    const uint32_t *lengths;
    bool causal;
    float scale;
};

/* Pictures to rows of patches: out[(b * g + i) * g + j][(c * p + y) * p + x] =
 * table[c][pixels[b][i * p + y][j * p + x][c]], the order of a convolution's weight [N, 3, p, p];
 * g = side / p rounded down. Columns of out from 3 * p * p on are zero. pixels
 * [count, side, side, 3] u8; out [count * g * g, K] real; table [3, 256] f32: level to number. */
struct op_patches {
    struct tensor pixels, table, out;
    int64_t patch;
};

/* Tokens of a vision transformer: out[b][0] = class + position[0], out[b][1 + t] =
 * patches[b * (T - 1) + t] + position[1 + t]. out [count, T, N], patches [count * (T - 1), N] real;
 * class [N], position [T, N] f32. */
struct op_vision_tokens {
    struct tensor patches, class_token, position, out;
};

/* out[b][t] = table[id[b][t]] + position[t]. ids [count, T] u32, each below V (checked by the
 * caller); table [V, N] real; position [T' >= T, N] f32, or without data; out [count, T, N]
 * real. */
struct op_embed {
    struct tensor ids, table, position, out;
};

/* out[i] = x[index[i]]. x [M, N], out [R, N] real; index [R], each below M (checked by the
 * caller). */
struct op_rows {
    struct tensor x, out;
    const uint32_t *index;
};

/* Means over windows of a grid, without overlap, cells on the far edges that fill no window left
 * out, as a pooling layer with kernel and stride window. x [count, T, N] real: the grid's cells are
 * the last grid * grid tokens, row by row. out [count, (grid / window)^2, N] real. */
struct op_pool {
    struct tensor x, out;
    int64_t grid, window;
};

/* out = x / sqrt(sum of x^2) for each row; a row of zeros stays. x, out [M, N] real. */
struct op_unit {
    struct tensor x, out;
};

/* out = activation(x), each rounded to out's type; with ACTIVATION_NONE a conversion. Same count,
 * real; may be the same memory if of one type. */
struct op_map {
    struct tensor x, out;
    enum activation activation;
};

struct backend;

struct backend_driver {
    const char *name; /* as in "cpu" or "cuda:0" */
    int (*open)(struct backend **backend, const char *device, uint32_t threads, struct err *err);
    /* Of the device that open would open; NULL: it has none of its own. */
    int (*memory)(const char *device, size_t *free_bytes, size_t *bytes, struct err *err);
    void (*close)(struct backend *backend);
    void *(*alloc)(struct backend *backend, size_t bytes);
    void (*free)(struct backend *backend, void *data);
    void (*write)(struct backend *backend, void *dst, const void *src, size_t bytes);
    void (*write_ahead)(struct backend *backend, void *dst, const void *src, size_t bytes);
    void (*read)(struct backend *backend, void *dst, const void *src, size_t bytes);
    /* All three or none: ops are given anew each time, and done when they return. */
    void (*pass)(struct backend *backend, const void *owner, const uint32_t *shape,
                 void (*ops)(void *context), void *context);
    bool (*pass_ended)(struct backend *backend, uint64_t pass);
    void (*pass_read)(struct backend *backend, uint64_t pass, void *dst, const void *src,
                      size_t bytes);
    void (*sync)(struct backend *backend);
    int (*weight_new)(struct backend *backend, struct backend_weight **weight,
                      const struct tensor *parts, uint32_t parts_count, int64_t columns,
                      enum dtype dtype, struct err *err);
    void (*weight_free)(struct backend *backend, struct backend_weight *weight);
    void (*linear)(struct backend *backend, const struct op_linear *op);
    void (*norm)(struct backend *backend, const struct op_norm *op);
    void (*attention)(struct backend *backend, const struct op_attention *op);
    void (*patches)(struct backend *backend, const struct op_patches *op);
    void (*vision_tokens)(struct backend *backend, const struct op_vision_tokens *op);
    void (*embed)(struct backend *backend, const struct op_embed *op);
    void (*rows)(struct backend *backend, const struct op_rows *op);
    void (*pool)(struct backend *backend, const struct op_pool *op);
    void (*unit)(struct backend *backend, const struct op_unit *op);
    void (*map)(struct backend *backend, const struct op_map *op);
};

/* What every backend's own struct begins with. */
struct backend {
    const struct backend_driver *driver;
    struct err err;         /* the first one; code 0: none */
    bool in_pass;           /* ops alone may come */
    uint64_t passes;        /* the number of the latest one */
    uint64_t replayed;      /* of them that the device was given in one call, as a CUDA graph */
    int64_t busy_ns;        /* with them */
    const char *arithmetic; /* what the bits may depend on: "portable", "avx2", "sm_90" */
    uint32_t threads;       /* of the CPU that ops use */
    uint32_t rows_good;     /* of a product, at once: with fewer it works less well; 0: 1,024 */
};

/* device: "cpu", "reference", "cuda:0". threads: of the CPU, 0: all that the process may use.
 * ERR_NOT_FOUND: no such device here. */
CHECKED int backend_open(struct backend **backend, const char *device, uint32_t threads,
                         struct err *err);
void backend_close(struct backend *backend); /* accepts NULL */
/* What the device has of memory and how much of it is free, for all who use it; any thread. Zeros:
 * a device without memory of its own. ERR_UNAVAILABLE: the device is lost to this process. */
CHECKED int backend_memory(const char *device, size_t *free_bytes, size_t *bytes, struct err *err);
/* Memory of the device, aligned, not cleared. NULL: it has no more. */
void *backend_alloc(struct backend *backend, size_t bytes);
void backend_free(struct backend *backend, void *data); /* accepts NULL */
/* Copies in the order of the ops; the host's side must stay as it is until sync. */
void backend_write(struct backend *backend, void *dst, const void *src, size_t bytes);
void backend_read(struct backend *backend, void *dst, const void *src, size_t bytes);
/* As backend_write, but it may run beside the ops given since the call of it before, which must not
 * use dst: those before that call are done by then, and what is given later finds the data. So two
 * buffers in turn let copies overlap ops. src may change when it returns. */
void backend_write_ahead(struct backend *backend, void *dst, const void *src, size_t bytes);
/* Calls ops(context), which gives ops and nothing else: no copies, no memory. The same owner and
 * shape stand for the same ops with the same operands, in places that hold, until memory of the
 * backend is freed, what they held: so a device that has seen a pass may keep its ops and give them
 * all at once, without calling ops again. owner NULL: a pass like no other. Returns its number. */
#define BACKEND_PASS_SHAPE 4
uint64_t backend_pass(struct backend *backend, const void *owner,
                      const uint32_t shape[BACKEND_PASS_SHAPE], void (*ops)(void *context),
                      void *context);
/* Has it ended? Also when there was an error. At most BACKEND_PASSES are under way: one more waits
 * for the first of them. */
#define BACKEND_PASSES 4
bool backend_pass_ended(struct backend *backend, uint64_t pass);
/* Copies what that pass has left, and waits for it and the copy alone: what was given behind it
 * runs on, and must not write to src. */
void backend_pass_read(struct backend *backend, uint64_t pass, void *dst, const void *src,
                       size_t bytes);
/* How long the device has worked on passes since backend_open, of those that are known to have
 * ended. */
int64_t backend_busy_ns(struct backend *backend);
/* The first error so far, as backend_sync tells it, without waiting. */
CHECKED int backend_error(const struct backend *backend, struct err *err);
/* Waits for all ops. The first error of any since backend_open, which stays. ERR_UNAVAILABLE: the
 * device is lost to this process; another one may find it well. ERR_LIMIT: out of memory. */
CHECKED int backend_sync(struct backend *backend, struct err *err);
/* For drivers and ops.h: keeps the first error. */
void backend_fail(struct backend *backend, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Packs parts, real tensors [N_i, K] in host memory (a rank above 2 counts as [N, all the rest]),
 * stacked along N, into one weight of dtype with columns >= K columns, those behind K zero. The
 * parts are read before it returns. ERR_LIMIT: out of memory. ERR_INVALID: the device takes no
 * weights of that type (cuda: i8). */
CHECKED int backend_weight_new(struct backend *backend, struct backend_weight **weight,
                               const struct tensor *parts, uint32_t parts_count, int64_t columns,
                               enum dtype dtype, struct err *err);
void backend_weight_free(struct backend *backend, struct backend_weight *weight); /* or NULL */

#ifdef __cplusplus
}
#endif
#endif
