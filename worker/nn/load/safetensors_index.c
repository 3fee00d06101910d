/* safetensors_index.c - which file has which tensor.
 *
 * The names of files come from outside and are opened: none leaves the folder of the index. */
#include "worker/nn/load/safetensors_index.h"

#include "common/base/check.h"
#include "common/base/str.h"
#include "worker/nn/load/jsonfile.h"

#include <stdlib.h>
#include <string.h>

#define FILE_NAME_BYTES 256

static const struct jsonfile_limits limits = {
    .bytes = SAFETENSORS_HEADER_BYTES_MAX,
    .depth = 8, /* of what others put beside the map */
    .values = SAFETENSORS_TENSORS_MAX + 4096,
};

static bool is_plain_name(const char *name)
{
    return name[0] && name[0] != '.' && strlen(name) < FILE_NAME_BYTES && !strchr(name, '/') &&
           str_has_suffix(name, ".safetensors");
}

static int by_text(const void *a, const void *b)
{
    const char *one = *(const char *const *)a, *two = *(const char *const *)b;
    CHECK(one != NULL);
    CHECK(two != NULL);
    return strcmp(one, two);
}

static int by_name(const void *a, const void *b)
{
    const struct safetensors_place *one = a, *two = b;
    return strcmp(one->name, two->name);
}

static int out_of_memory(struct err *err)
{
    return err_set(err, ERR_LIMIT, "out of memory for the index");
}

/* All the map's file names, one for each tensor, sorted; then each once. */
static int read_shards(struct safetensors_index *index, struct arena *arena, json_t *map,
                       struct err *err)
{
    const char *name;
    json_t *value;
    uint32_t count = 0;
    index->shard = arena_try(arena, json_object_size(map) * sizeof index->shard[0]);
    if (!index->shard) return out_of_memory(err);
    json_object_foreach(map, name, value)
    {
        const char *file = json_string_value(value);
        if (!file || !is_plain_name(file))
            return err_set(err, ERR_CORRUPT,
                           "weight_map: the file of %.80s is %.80s, which is no name of a "
                           ".safetensors file beside the index",
                           name, file ? file : "no text");
        index->shard[count++] = file;
    }
    qsort(index->shard, count, sizeof index->shard[0], by_text);
    for (uint32_t i = 0; i < count; i++) {
        if (index->shards_count && str_eq(index->shard[index->shards_count - 1], index->shard[i]))
            continue;
        index->shard[index->shards_count++] = index->shard[i];
    }
    if (index->shards_count > SAFETENSORS_SHARDS_MAX)
        return err_set(err, ERR_LIMIT, "weight_map names more than %d files",
                       SAFETENSORS_SHARDS_MAX);
    for (uint32_t i = 0; i < index->shards_count; i++) {
        index->shard[i] = arena_text(arena, index->shard[i], strlen(index->shard[i]));
        if (!index->shard[i]) return out_of_memory(err);
    }
    return 0;
}

static int read_places(struct safetensors_index *index, struct arena *arena, json_t *map,
                       struct err *err)
{
    const char *name;
    json_t *value;
    index->place = arena_try(arena, json_object_size(map) * sizeof index->place[0]);
    if (!index->place) return out_of_memory(err);
    json_object_foreach(map, name, value)
    {
        struct safetensors_place *place = &index->place[index->count++];
        const char *file = json_string_value(value);
        const char **found =
            bsearch(&file, index->shard, index->shards_count, sizeof index->shard[0], by_text);
        place->shard = (uint32_t)(found - index->shard);
        place->name = arena_text(arena, name, strlen(name));
        if (!place->name) return out_of_memory(err);
    }
    qsort(index->place, index->count, sizeof index->place[0], by_name);
    return 0;
}

int safetensors_index_parse(struct safetensors_index *index, struct arena *arena, const char *json,
                            size_t bytes, struct err *err)
{
    json_t *object = NULL;
    *index = (struct safetensors_index){0};
    int rc = jsonfile_parse(&object, json, bytes, &limits, err);
    if (rc) return rc;
    json_t *map = json_object_get(object, "weight_map");
    if (!json_is_object(map) || json_object_size(map) == 0)
        rc = err_set(err, ERR_CORRUPT,
                     "it has no weight_map; this is no index of safetensors files");
    else if (json_object_size(map) > SAFETENSORS_TENSORS_MAX)
        rc = err_set(err, ERR_LIMIT, "more than %d tensors", SAFETENSORS_TENSORS_MAX);
    if (!rc) rc = read_shards(index, arena, map, err);
    if (!rc) rc = read_places(index, arena, map, err);
    json_decref(object);
    return rc;
}
