/* source_tar.h - how the plan tells one tar from another; the source itself is source_tar.c. */
#ifndef ENCODE_SOURCE_TAR_H
#define ENCODE_SOURCE_TAR_H

#include "common/base/err.h"
#include "worker/jobs/encode/source.h"

#include <stddef.h>
#include <stdint.h>

/* A header and the beginning of a picture: two tars that agree in them and in size are the same. */
#define SOURCE_TAR_HEAD_BYTES 4096

/* Size, and a hash of the first SOURCE_TAR_HEAD_BYTES. ERR_INVALID: no regular file. */
CHECKED int source_tar_look(const char *path, int64_t *bytes, uint64_t *hash, struct err *err);
/* That hash: the first 8 bytes of a SHA-256. */
uint64_t source_tar_hash(const void *head, size_t bytes);

#endif
