/* safetensors_header.h - the JSON header of one file, checked; inside worker/nn/load only. */
#ifndef NN_LOAD_SAFETENSORS_HEADER_H
#define NN_LOAD_SAFETENSORS_HEADER_H

#include "common/base/mem.h"
#include "worker/nn/load/safetensors.h"

#define SAFETENSORS_METADATA "__metadata__"

struct safetensors_header {
    struct safetensors_entry *entry; /* by offset; without data, shard 0 */
    uint32_t count;
    struct safetensors_pair *metadata; /* in the file's order */
    uint32_t metadata_count;
};

/* json: the header's bytes, followed in the file by data_bytes of data that begin at data_at. All
 * that is kept is in the arena. */
CHECKED int safetensors_header_parse(struct safetensors_header *header, struct arena *arena,
                                     const char *json, size_t bytes, int64_t data_at,
                                     int64_t data_bytes, struct err *err);

#endif
