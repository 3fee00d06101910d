/* weights.h - brings a file's tensors into a model's struct: found by name, checked, and put on the
 * device.
 *
 * A model has a table of its weights, from which come the fields of its struct and rows of what is
 * described here: a field's place, the names of the tensors that go into it (several are stacked
 * along their first dimension) and the shape that each must have. All names and shapes are checked
 * before anything is read; the data is read once, straight from the map, and each number must be
 * finite. Tensors that no row names are left alone.
 *
 * Errors name the tensor: ERR_NOT_FOUND: it is missing; ERR_INVALID: of another shape or a type
 * that is no real number; ERR_CORRUPT: a number is infinite or none; ERR_LIMIT: out of memory. */
#ifndef NN_LOAD_WEIGHTS_H
#define NN_LOAD_WEIGHTS_H

#include "common/base/err.h"
#include "common/base/mem.h"
#include "worker/nn/backend.h"
#include "worker/nn/load/safetensors.h"

#include <stddef.h>
#include <stdint.h>

#define WEIGHT_PARTS_MAX 3
#define WEIGHT_RANK_MAX  4
#define WEIGHT_COLUMNS   16 /* a matrix of which a part has more dimensions is padded to these */

enum weight_kind {
    WEIGHT_F32,    /* a struct tensor, f32 on the device */
    WEIGHT_STORED, /* a struct tensor of the file's own type: a table of which rows are picked */
    WEIGHT_MATRIX  /* a struct backend_weight * */
};

struct weight_row {
    enum weight_kind kind;
    void *field;
    const char *name[WEIGHT_PARTS_MAX]; /* NULL behind the last */
    int64_t shape[WEIGHT_RANK_MAX];     /* of each; 0 behind the rank */
    enum dtype dtype;                   /* WEIGHT_MATRIX: of the device */
};

/* Rows in the making, each with a name that begins with prefix. */
struct weight_table {
    struct arena *arena; /* of names and rows */
    struct weight_row *row;
    uint32_t count, room;
    const char *prefix;
    enum dtype dtype;
};

/* Appends a row; what is NULL in row's kind, field, names and shape stays so. */
void weight_table_add(struct weight_table *table, const struct weight_row *row);

/* What was loaded besides the matrices: owned together. */
struct weights {
    void *memory; /* on the device: all F32, then all STORED */
    size_t bytes; /* of it and of the matrices */
};

/* Fills the fields of all rows; on an error, weights_free ends what there is. Fields of rows must
 * be zeroed before. */
CHECKED int weights_load(struct weights *weights, struct backend *backend,
                         const struct safetensors *file, const struct weight_table *table,
                         struct err *err);
/* Frees the memory, and the matrices of the table's rows. */
void weights_free(struct weights *weights, struct backend *backend,
                  const struct weight_table *table);

#endif
