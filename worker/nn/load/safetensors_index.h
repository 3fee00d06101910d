/* safetensors_index.h - the index of a model in several files (model.safetensors.index.json);
 * inside worker/nn/load only.
 *
 * {"metadata": {…}, "weight_map": {"tensor": "model-00001-of-00002.safetensors", …}}, as Hugging
 * Face's libraries write it. Only weight_map is looked at. */
#ifndef NN_LOAD_SAFETENSORS_INDEX_H
#define NN_LOAD_SAFETENSORS_INDEX_H

#include "common/base/mem.h"
#include "worker/nn/load/safetensors.h"

struct safetensors_place {
    const char *name; /* of the tensor */
    uint32_t shard;   /* where its file stands in shard */
};

struct safetensors_index {
    const char **shard; /* plain file names, sorted, each once */
    uint32_t shards_count;
    struct safetensors_place *place; /* by name */
    uint32_t count;
};

/* All that is kept is in the arena. Sentences do not name the index. */
CHECKED int safetensors_index_parse(struct safetensors_index *index, struct arena *arena,
                                    const char *json, size_t bytes, struct err *err);

#endif
