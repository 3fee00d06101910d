/* models.c - names, folders and what lies in them. The hashes are in models_hash.c. */
#include "common/store/models.h"

#include "common/base/fs.h"
#include "common/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PART_BYTES_MAX 96 /* as the hub allows */

/* One part of a name: how many bytes, 0: it is none. */
static size_t part_of(const char *text)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const size_t bytes = strspn(text, good);
    if (bytes > PART_BYTES_MAX || text[0] == '.' || text[0] == '-') return 0;
    for (size_t i = 0; i + 1 < bytes; i++)
        if (text[i] == '.' && text[i + 1] == '.') return 0;
    /* The model OWNER may have such a file where OWNER/this would have its folder. */
    if (bytes == strlen(MODEL_INFO_NAME) && !memcmp(text, MODEL_INFO_NAME, bytes)) return 0;
    return bytes;
}

bool model_name_valid(const char *name)
{
    const size_t first = part_of(name);
    if (!first || !name[first]) return first > 0;
    const size_t second = name[first] == '/' ? part_of(name + first + 1) : 0;
    return second > 0 && name[first + 1 + second] == 0;
}

bool model_file_is_shard(const char *name, uint32_t *number, uint32_t *count)
{
    static const char form[] = "model-00000-of-00000.safetensors";
    uint32_t value[2] = {0, 0};
    size_t at = 0;
    for (; form[at]; at++) {
        const bool digit = name[at] >= '0' && name[at] <= '9';
        if (form[at] != '0' ? name[at] != form[at] : !digit) return false;
        uint32_t *to = &value[at > sizeof "model-00000"];
        if (form[at] == '0') *to = *to * 10 + (uint32_t)(name[at] - '0');
    }
    *number = value[0];
    *count = value[1];
    return name[at] == 0 && value[0] >= 1 && value[0] <= value[1];
}

bool model_file_is_needed(const char *name)
{
    static const char *const names[] = {
        "config.json",
        "preprocessor_config.json",
        "processor_config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "vocab.json",
        "merges.txt",
        "model.safetensors",
        "model.safetensors.index.json",
    };
    uint32_t number, count;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_eq(name, names[i])) return true;
    return model_file_is_shard(name, &number, &count);
}

int models_folder(char folder[PATH_MAX], struct err *err)
{
    const char *models = getenv("VLMQ_MODELS"), *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    int used = PATH_MAX;
    if (models && *models)
        used = snprintf(folder, PATH_MAX, "%s", models);
    else if (cache && *cache == '/')
        used = snprintf(folder, PATH_MAX, "%s/vlmq/models", cache);
    else if (home && *home)
        used = snprintf(folder, PATH_MAX, "%s/.cache/vlmq/models", home);
    else
        return err_set(err, ERR_INVALID,
                       "where are the models? Set VLMQ_MODELS to their folder; HOME is not set");
    if (used < 0 || used >= PATH_MAX)
        return err_set(err, ERR_INVALID, "the path of the models' folder is too long");
    return 0;
}

static bool is_there(const char *folder, const char *name)
{
    char path[PATH_MAX];
    return fs_join(path, sizeof path, folder, name) && fs_exists(path);
}

/* Whether a pull of it was begun and not ended. */
static bool is_partly_there(const char *models, const char *model)
{
    char name[MODEL_NAME_BYTES + 8];
    const char *slash = strchr(model, '/');
    const int owner = slash ? (int)(slash + 1 - model) : 0;
    (void)snprintf(name, sizeof name, "%.*s" FS_PRIVATE_PREFIX "%s", owner, model, model + owner);
    return is_there(models, name);
}

static int find_path(char folder[PATH_MAX], const char *path, struct err *err)
{
    struct stat info;
    if (!str_copy(folder, PATH_MAX, path))
        return err_set(err, ERR_INVALID, "the path of the model is too long: %.80s", path);
    if (stat(folder, &info))
        return err_set(err, ERR_NOT_FOUND, "there is no model's folder %.160s here: %s", path,
                       strerror(errno));
    if (!is_there(folder, "config.json"))
        return err_set(err, ERR_NOT_FOUND, "%.160s is no folder of a model: it has no config.json",
                       path);
    return 0;
}

int model_find_in(char folder[PATH_MAX], const char *models, const char *model, struct err *err)
{
    if (model[0] == '/' || model[0] == '.') return find_path(folder, model, err);
    if (!model_name_valid(model))
        return err_set(err, ERR_INVALID,
                       "'%.80s' is no model: give OWNER/NAME, or a folder as ./FOLDER", model);
    if (!fs_join(folder, PATH_MAX, models, model))
        return err_set(err, ERR_INVALID, "the path of the models' folder is too long");
    if (is_there(folder, "config.json")) return 0;
    if (is_partly_there(models, model))
        return err_set(err, ERR_NOT_FOUND,
                       "the model %s is only partly here: `vlmq model pull %s` goes on", model,
                       model);
    return err_set(err, ERR_NOT_FOUND,
                   "there is no model %s here: `vlmq model pull %s` fetches it; or give a folder",
                   model, model);
}

int model_find(char folder[PATH_MAX], const char *model, struct err *err)
{
    char models[PATH_MAX] = "";
    if (model[0] == '/' || model[0] == '.') return find_path(folder, model, err);
    const int rc = models_folder(models, err);
    return rc ? rc : model_find_in(folder, models, model, err);
}

/* ---- all of them ---- */

struct walk {
    const char *folder; /* that is looked through */
    const char *owner;  /* NULL: the folder of all */
    int (*visit)(void *ctx, const char *name, const char *folder, struct err *err);
    void *ctx;
};

static int look_at(void *ctx, const char *name, struct err *err)
{
    const struct walk *walk = ctx;
    char path[PATH_MAX], full[MODEL_NAME_BYTES];
    struct stat info;
    if (strchr(name, '/') || !model_name_valid(name)) return 0;
    if (!fs_join(path, sizeof path, walk->folder, name)) return 0;
    if (stat(path, &info) || !S_ISDIR(info.st_mode)) return 0;
    (void)snprintf(full, sizeof full, "%s%s%s", walk->owner ? walk->owner : "",
                   walk->owner ? "/" : "", name);
    if (is_there(path, "config.json")) return walk->visit(walk->ctx, full, path, err);
    if (walk->owner) return 0;
    struct walk below = *walk;
    below.folder = path;
    below.owner = name;
    return fs_list(path, look_at, &below, err); /* one level: below has an owner */
}

int models_each(const char *models,
                int (*visit)(void *ctx, const char *name, const char *folder, struct err *err),
                void *ctx, struct err *err)
{
    struct walk walk = {.folder = models, .visit = visit, .ctx = ctx};
    return fs_exists(models) ? fs_list(models, look_at, &walk, err) : 0;
}
