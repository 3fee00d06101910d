/* models.h - models on this machine's disk: where they are, what they are made of.
 *
 * The models' folder is $VLMQ_MODELS, else $XDG_CACHE_HOME/vlmq/models, else ~/.cache/vlmq/models.
 * A model is a folder in it, OWNER/NAME or NAME, with the files of its repository as they are there
 * and a vlmq.json that says which revision it is and what each file hashes to. Folders without a
 * vlmq.json, copied from elsewhere, are as good. What begins with a dot is no model.
 *
 * A published file is never written to again, since workers map it: a new revision is a new folder
 * that takes the place of the old one. Errors as in fs.h. No state, any thread. */
#ifndef STORE_MODELS_H
#define STORE_MODELS_H

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/mem.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#define MODEL_NAME_BYTES 200 /* OWNER/NAME, each at most 96 characters, and the terminator */
#define MODEL_INFO_NAME  "vlmq.json"
/* The largest published models have under 200 files of weights; --all takes what is beside them. */
#define MODEL_FILES_MAX 4096

/* NAME or OWNER/NAME of letters, digits and "._-", where no part begins with a dot or a dash or has
 * ".." in it or is MODEL_INFO_NAME. */
bool model_name_valid(const char *name);
/* Whether a file at the top of a repository is one that loading a model may need: its
 * configurations, its tokenizer, its weights as safetensors, whole or in shards. */
bool model_file_is_needed(const char *name);
/* "model-00002-of-00003.safetensors": 2 and 3. false: no shard. */
bool model_file_is_shard(const char *name, uint32_t *number, uint32_t *count);

/* The models' folder; it may not be there yet. ERR_INVALID: neither of the variables nor HOME is
 * set, or the path is too long. */
CHECKED int models_folder(char folder[PATH_MAX], struct err *err);
/* A model's folder by its name, or by a path, which begins with / or a dot. ERR_NOT_FOUND with a
 * sentence that says how to get it; ERR_INVALID: no name. */
CHECKED int model_find(char folder[PATH_MAX], const char *model, struct err *err);
/* The same in another folder of models. */
CHECKED int model_find_in(char folder[PATH_MAX], const char *models, const char *model,
                          struct err *err);
/* Calls visit for each model of the folder, by name. A missing folder is an empty one. */
CHECKED int models_each(const char *models,
                        int (*visit)(void *ctx, const char *name, const char *folder,
                                     struct err *err),
                        void *ctx, struct err *err);

struct model_file {
    const char *name; /* within the folder */
    int64_t bytes;
    int64_t mtime_ns; /* when sha256 was true of it */
    char sha256[HASH_SHA256_TEXT];
};

/* What vlmq.json holds. Texts are in the arena that it was read into. */
struct model_info {
    const char *repository, *revision, *endpoint; /* revision: the commit */
    int64_t pulled_at_ms;
    struct model_file *file;
    uint32_t files_count;
};

CHECKED int model_info_parse(struct model_info *info, const char *json, size_t bytes,
                             struct arena *arena, struct err *err);
/* ERR_NOT_FOUND: there is none; ERR_CORRUPT: it cannot be read. */
CHECKED int model_info_read(struct model_info *info, const char *folder, struct arena *arena,
                            struct err *err);
CHECKED int model_info_write(const struct model_info *info, const char *folder, struct err *err);

/* Size and time of a file, without its hash. */
CHECKED int model_file_look(struct model_file *file, const char *folder, const char *name,
                            struct err *err);
/* SHA-256 of the needed files' names, sizes and hashes: equal for equal models, wherever they are;
 * what is made with a model can be kept under it. Reads all bytes of a file once: after that its
 * hash is taken from vlmq.json, or from the models' folder, as long as its size and its time of
 * change are the same. */
CHECKED int model_hash(char hash[HASH_SHA256_TEXT], const char *folder, struct err *err);

#endif
