/* source_index.h - samples out of a sample_index: what tars and shards' folders have in common. */
#ifndef ENCODE_SOURCE_INDEX_H
#define ENCODE_SOURCE_INDEX_H

#include "worker/jobs/encode/sample_index.h"
#include "worker/jobs/encode/source.h"

/* Appends a file's bytes, all of them, to out, whose limit is not below bytes. */
typedef int source_read_file(void *ctx, struct buf *out, const struct sample_file *file,
                             struct err *err);

/* Such a reader's work: that many bytes from an offset of an open file. ERR_CORRUPT: it has become
 * shorter. */
CHECKED int source_read_range(struct buf *out, int fd, const char *path, int64_t offset,
                              int64_t bytes, struct err *err);
/* Fills a sample from its entry. */
CHECKED int source_fill(struct encode_sample *sample, const struct sample_entry *entry,
                        const struct encode_options *options, source_read_file *read, void *ctx,
                        struct err *err);
/* ERR_CANCELLED when the pipe comes down or the task has to stop. */
CHECKED int source_look(const struct source_env *env, struct err *err);

#endif
