/* tar_index.h - the index of a WebDataset tar that NVIDIA DALI reads, in its text format v1.2.
 *
 * The first line is "v1.2 SAMPLES"; then each sample has a line with four words for each member:
 * extension (what follows the first point of the name), offset of the data in the tar, bytes, name.
 * It is what DALI's tool wds2idx makes of the tar. Kept in memory until it is written, about 45
 * bytes for a member. */
#ifndef PIPE_TAR_INDEX_H
#define PIPE_TAR_INDEX_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "worker/pipe/tar.h"

#include <stddef.h>
#include <stdint.h>

struct tar_index {
    struct buf lines;
    int64_t offset; /* of the next sample's first header */
    uint32_t samples;
};

void tar_index_init(struct tar_index *index);
void tar_index_deinit(struct tar_index *index);
/* The members of the next sample, whole, as they are written to the tar. ERR_CORRUPT or ERR_INVALID
 * if that is not what the bytes are, or a name has a blank in it or no extension. */
CHECKED int tar_index_add(struct tar_index *index, const void *members, size_t bytes,
                          struct err *err);
CHECKED int tar_index_write(const struct tar_index *index, tar_write *write, void *ctx,
                            struct err *err);

#endif
