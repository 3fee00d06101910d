/* cuda.h - what the files of the cuda driver share.
 *
 * Ops go into one stream. What comes from host memory is copied to pinned memory at once (slots,
 * used in turn), what goes there lands in it first and is handed over when its slot is needed again
 * or at sync. What is written ahead has slots and a stream of its own, for which ops wait; so has
 * what is read of a pass, which waits for that pass. Scratch
 * memory grows to the largest that an op needed. Passes that come again are graphs. */
#ifndef NN_CUDA_CUDA_H
#define NN_CUDA_CUDA_H

#include "worker/nn/backend.h"
#include "worker/nn/cuda/matmul.h"
#include "worker/nn/cuda/runtime.h"

#define CUDA_SLOTS      4
#define CUDA_SLOT_BYTES ((size_t)4 << 20)

/* Pinned memory; free when its event has come. */
struct cuda_slot {
    void *data;
    cudaEvent_t event;
    void *to; /* host memory that waits for `bytes` of data, or NULL */
    size_t bytes;
};

struct cuda_slots {
    struct cuda_slot slot[CUDA_SLOTS];
    uint32_t next;
};

struct cuda_scratch {
    void *data;
    size_t bytes;
};

#define CUDA_GRAPHS 32

/* A pass that was seen, and what became of it. */
struct cuda_graph {
    const void *owner;
    uint32_t shape[BACKEND_PASS_SHAPE];
    uint64_t used;        /* the number of the pass that did so last; 0: none */
    cudaGraphExec_t exec; /* NULL: there is none */
    bool is_refused;      /* nor can there be */
};

/* Where the latest passes stand in the stream: number n in place n % BACKEND_PASSES. */
struct cuda_pass {
    cudaEvent_t from, to;
};

struct cuda_backend {
    struct backend base;
    int device;
    char arithmetic[64];
    cudaStream_t stream;
    struct matmul *matmul;
    struct cuda_slots slots;
    cudaStream_t ahead_stream;
    cudaEvent_t ahead_event; /* the ops that came before the latest write ahead are done */
    struct cuda_slots ahead_slots;
    cudaStream_t read_stream;
    struct cuda_slots read_slots;
    struct cuda_pass pass[BACKEND_PASSES];
    uint64_t passes_timed;                /* the latest one whose time is in base.busy_ns */
    struct cuda_scratch x, product, bias; /* of linear */
    struct cuda_graph graph[CUDA_GRAPHS];
    bool has_graphs, is_recording;
    const char *latest; /* what was asked of the device last */
};

struct cuda_weight {
    struct backend_weight base;
    void *data;
};

/* Begins a call: its device is the thread's. false: it is in error. */
bool cuda_enter(struct cuda_backend *cuda, const char *what);
/* Keeps the first error; true: there is one. */
bool cuda_failed(struct cuda_backend *cuda, cudaError_t error);
/* Keeps what a library says of its failure, or the device's loss that is behind it. */
void cuda_library_failed(struct cuda_backend *cuda, const struct err *err);
/* As the driver has them. */
void *cuda_alloc(struct backend *backend, size_t bytes);
void cuda_free(struct backend *backend, void *data);
/* At least so many bytes, aligned to 256; what was there is lost. NULL: an error was kept. */
void *cuda_scratch(struct cuda_backend *cuda, struct cuda_scratch *scratch, size_t bytes);

/* copies.c */
CHECKED int cuda_copies_open(struct cuda_backend *cuda, struct err *err);
void cuda_copies_close(struct cuda_backend *cuda);
/* The source may change when they return. */
void cuda_write(struct cuda_backend *cuda, void *dst, const void *src, size_t bytes);
void cuda_write_ahead(struct cuda_backend *cuda, void *dst, const void *src, size_t bytes);
void cuda_read(struct cuda_backend *cuda, void *dst, const void *src, size_t bytes);
/* Behind an event, NULL: at once; on a stream of its own. The data is there when it returns. */
void cuda_read_behind(struct cuda_backend *cuda, cudaEvent_t event, void *dst, const void *src,
                      size_t bytes);
/* The stream is done: what waits is handed over. */
void cuda_hand_over(struct cuda_backend *cuda);

/* pass.c */
CHECKED int cuda_passes_open(struct cuda_backend *cuda, struct err *err);
void cuda_passes_close(struct cuda_backend *cuda);
void cuda_pass(struct backend *backend, const void *owner, const uint32_t *shape,
               void (*ops)(void *context), void *context);
bool cuda_pass_ended(struct backend *backend, uint64_t pass);
void cuda_pass_read(struct backend *backend, uint64_t pass, void *dst, const void *src,
                    size_t bytes);
/* The stream is done: so are they all. */
void cuda_passes_ended(struct cuda_backend *cuda);

/* graph.c */
bool cuda_graphs_are_on(void);
void cuda_graph_run(struct cuda_backend *cuda, const void *owner, const uint32_t *shape,
                    void (*ops)(void *context), void *context);
/* Memory is about to be freed. */
void cuda_graphs_forget(struct cuda_backend *cuda);

/* linear.c */
int cuda_weight_new(struct backend *backend, struct backend_weight **weight,
                    const struct tensor *parts, uint32_t parts_count, int64_t columns,
                    enum dtype dtype, struct err *err);
void cuda_weight_free(struct backend *backend, struct backend_weight *weight);
void cuda_linear(struct backend *backend, const struct op_linear *op);

#endif
