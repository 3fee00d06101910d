/* safetensors.h - reads and writes files of named tensors in the safetensors format.
 *
 * A file is the length of its header (8 bytes, little-endian), the header (JSON: for each tensor
 * dtype, shape and where its data begins and ends; texts under "__metadata__"), and the data, dense
 * and row-major, without holes. Implemented after the description of the format in the README of
 * https://github.com/huggingface/safetensors, which the library there also enforces.
 *
 * Reading: everything is checked once, at open: the lengths against the file's, types and shapes
 * against sizes, no overlaps and no holes, no name twice. The header is read into memory and not
 * looked at again. The data is mapped, not read. It may not be written to. A file whose data is not
 * aligned to its types (the library wrote such before its version 0.3) is read into memory instead.
 *
 * A file that changes under the map: reading a page that is no longer in the file is a SIGBUS,
 * which ends the process; we install no handler, for what a signal interrupts cannot be resumed. So
 * files of models must be replaced by rename, never overwritten: the map keeps the old file whole.
 * `vlmq model pull` and the writer here do so. Who cannot rely on that copies with
 * safetensors_read, which answers ERR_CORRUPT for a file cut short, and asks safetensors_unchanged
 * at the end. If a worker does die, its task is given out again, as after any crash.
 *
 * Errors name the file, and the tensor where there is one. ERR_CORRUPT: broken; get another copy.
 * ERR_INVALID: a kind of file that is not read; ERR_LIMIT: too large or no memory; ERR_NOT_FOUND
 * and the like from the file system. A reader is constant between open and close: any thread may
 * use it. */
#ifndef NN_LOAD_SAFETENSORS_H
#define NN_LOAD_SAFETENSORS_H

#include "common/base/err.h"
#include "worker/nn/tensor.h"

#include <stddef.h>
#include <stdint.h>

/* The format's own limit. */
#define SAFETENSORS_HEADER_BYTES_MAX ((size_t)100 * 1000 * 1000)
/* The largest models that are published have under 100,000, in under 200 files. */
#define SAFETENSORS_TENSORS_MAX (1 << 18)
#define SAFETENSORS_SHARDS_MAX  1024
#define SAFETENSORS_NAME_BYTES  1024 /* with the zero */

struct safetensors_entry {
    const char *name;
    struct tensor tensor; /* of a reader: its data may only be read */
    int64_t offset;       /* of the data in its file */
    uint32_t shard;       /* which file */
};

struct safetensors_pair {
    const char *key, *value;
};

struct safetensors;

/* path: a file of tensors, or an index ("….index.json") and all files that it names in its own
 * folder, or a folder with model.safetensors or model.safetensors.index.json. Of an index, its
 * weight_map decides which tensors there are; one that its file lacks is ERR_CORRUPT. */
CHECKED int safetensors_open(struct safetensors **file, const char *path, struct err *err);
void safetensors_close(struct safetensors *file); /* accepts NULL */
/* Tensors in the order in which they lie in the files. */
uint32_t safetensors_count(const struct safetensors *file);
const struct safetensors_entry *safetensors_at(const struct safetensors *file, uint32_t index);
/* NULL: there is none of that name. */
const struct safetensors_entry *safetensors_find(const struct safetensors *file, const char *name);
/* "__metadata__", of the first file that has any; NULL: no such key. */
const char *safetensors_metadata(const struct safetensors *file, const char *key);
uint32_t safetensors_metadata_count(const struct safetensors *file);
const struct safetensors_pair *safetensors_metadata_at(const struct safetensors *file,
                                                       uint32_t index);
/* Tells the kernel that all data will be read soon, from front to back; before loading a model. */
void safetensors_prefetch(const struct safetensors *file);
/* Takes the data of a tensor that is not needed soon out of the process' memory, where it counts
 * beside what was made of it. It may be read again, from the file. */
void safetensors_release(const struct safetensors *file, const struct safetensors_entry *entry);
/* Copies a tensor's bytes out of the file, not the map. */
CHECKED int safetensors_read(void *dst, const struct safetensors *file,
                             const struct safetensors_entry *entry, struct err *err);
/* ERR_CORRUPT if one of the files was changed since it was opened: what was read from the map may
 * be of both. */
CHECKED int safetensors_unchanged(const struct safetensors *file, struct err *err);

/* Writing. The header is that of the library, byte for byte: tensors by the width of their type
 * (safetensors' own order of types, widest first) and then by name, so that each is aligned to its
 * type, metadata by key, blanks up to a multiple of 8 bytes. Equal tensors and metadata give equal
 * files. */

typedef int safetensors_sink(void *ctx, const void *data, size_t bytes, struct err *err);
struct safetensors_writer;
/* Checks and sorts the entries, of which names, types and shapes are read and copied, and hands the
 * header to sink, as all the data later. ERR_INVALID: a name twice, not UTF-8, too long or
 * "__metadata__"; metadata likewise. */
CHECKED int safetensors_writer_new(struct safetensors_writer **writer,
                                   const struct safetensors_entry *entries, uint32_t count,
                                   const struct safetensors_pair *metadata, uint32_t pairs_count,
                                   safetensors_sink *sink, void *ctx, struct err *err);
void safetensors_writer_free(struct safetensors_writer *writer); /* accepts NULL */
/* The tensor whose bytes come next, with where they stand in the file, or NULL: all are there. */
const struct safetensors_entry *safetensors_writer_next(const struct safetensors_writer *writer);
/* Bytes of that tensor, all or a part. Those of several tensors at once are our bug. */
CHECKED int safetensors_writer_add(struct safetensors_writer *writer, const void *data,
                                   size_t bytes, struct err *err);
/* ERR_INTERNAL when a tensor is not complete. */
CHECKED int safetensors_writer_end(const struct safetensors_writer *writer, struct err *err);

/* Writes a file that appears whole or not at all, durable when this returns 0, and replaces one
 * that is there. fill gives the bytes of one tensor after the other with safetensors_writer_add;
 * NULL: they are the entries' own data. */
typedef int safetensors_fill(void *ctx, struct safetensors_writer *writer,
                             const struct safetensors_entry *entry, struct err *err);
CHECKED int safetensors_save(const char *path, const struct safetensors_entry *entries,
                             uint32_t count, const struct safetensors_pair *metadata,
                             uint32_t pairs_count, safetensors_fill *fill, void *ctx,
                             struct err *err);

#endif
