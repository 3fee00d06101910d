/* sample_index.h - which files of an archive or a shard's folder make up one sample.
 *
 * As WebDataset has it: a file's key is its name up to the first dot behind the last "/", folders
 * included; what follows the dot is its ending, compared in lower case. Files of one key are a
 * sample, wherever they stand: samples come in the order of their first files. Files without an
 * ending or a key ("README", ".hidden"), those of "__names__" and of macOS ("._name") belong to no
 * sample.
 *
 * Of each sample one picture is taken: the one whose ending stands first among the wanted ones,
 * whatever the order of the files. A file whose key and ending came before begins another sample
 * of that key, which is marked as a duplicate: nothing is dropped silently, and a key that is used
 * has one sample.
 *
 * Where a file is to be found is the caller's number. One thread. */
#ifndef ENCODE_SAMPLE_INDEX_H
#define ENCODE_SAMPLE_INDEX_H

#include "common/base/err.h"
#include "common/base/mem.h"
#include "worker/jobs/encode/options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A hundred times the usual shard; the index then has about 200 MB. */
#define SAMPLES_MAX 1000000

struct sample_file {
    int64_t place, bytes; /* bytes -1: there is none */
};

struct sample_entry {
    const char *key; /* as the archive has it: any bytes but zero */
    struct sample_file picture, caption, json;
    uint32_t picture_rank; /* of its ending; meaningless without a picture */
    bool duplicate;        /* another sample of its key came before */
    uint64_t seen;         /* endings: a bit for each image key, two for caption and json */
};

struct sample_slot; /* of the table of keys */
struct sample_index {
    const struct encode_options *options;
    struct sample_entry *entry;
    uint32_t count, room;
    struct sample_slot *slots;
    struct arena keys;
};

/* options outlives the index. */
void sample_index_init(struct sample_index *index, const struct encode_options *options);
void sample_index_deinit(struct sample_index *index);
/* A file by its name. ERR_LIMIT: out of memory, ERR_INVALID: more than SAMPLES_MAX samples. */
CHECKED int sample_index_add(struct sample_index *index, const char *name, int64_t place,
                             int64_t bytes, struct err *err);

#endif
