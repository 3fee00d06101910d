/* safetensors_header.c - from the JSON of a file to a table of tensors that tile its data.
 *
 * Nothing in it is trusted: numbers are checked against the file's size before they are used. */
#include "worker/nn/load/safetensors_header.h"

#include "worker/nn/load/jsonfile.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* { name: { "shape": [ … ] } }; beside them, what newer versions of the format may add. */
static const struct jsonfile_limits limits = {
    .bytes = SAFETENSORS_HEADER_BYTES_MAX,
    .depth = 4,
    .values = SAFETENSORS_TENSORS_MAX * (TENSOR_RANK_MAX + 8),
};

static int out_of_memory(struct err *err)
{
    return err_set(err, ERR_LIMIT, "out of memory for the header");
}

static int read_shape(struct tensor *tensor, enum dtype dtype, const json_t *shape, struct err *err)
{
    int64_t dims[TENSOR_RANK_MAX];
    if (!json_is_array(shape)) return err_set(err, ERR_CORRUPT, "it has no shape");
    const size_t rank = json_array_size(shape);
    for (size_t i = 0; i < rank && i < TENSOR_RANK_MAX; i++) {
        const json_t *dim = json_array_get(shape, i);
        if (!json_is_integer(dim))
            return err_set(err, ERR_CORRUPT, "a dimension of its shape is no whole number");
        dims[i] = (int64_t)json_integer_value(dim);
    }
    return tensor_init(tensor, dtype, dims, rank > UINT32_MAX ? UINT32_MAX : (uint32_t)rank, NULL,
                       err);
}

/* begin and end count from the first byte of the data. */
static int read_offsets(struct safetensors_entry *entry, const json_t *offsets, int64_t data_bytes,
                        struct err *err)
{
    const json_t *first = json_array_get(offsets, 0), *second = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(second))
        return err_set(err, ERR_CORRUPT, "it has no two data_offsets");
    const int64_t begin = (int64_t)json_integer_value(first);
    const int64_t end = (int64_t)json_integer_value(second);
    if (begin < 0 || end < begin)
        return err_set(err, ERR_CORRUPT,
                       "its data_offsets [%" PRId64 ", %" PRId64 "] make no sense", begin, end);
    if (end > data_bytes)
        return err_set(err, ERR_CORRUPT,
                       "its data ends at byte %" PRId64 " of %" PRId64 "; the file was cut short",
                       end, data_bytes);
    if ((uint64_t)(end - begin) != tensor_bytes(&entry->tensor)) {
        char shape[TENSOR_SHAPE_BYTES];
        return err_set(err, ERR_CORRUPT, "it has %" PRId64 " bytes, but %s %.80s takes %zu",
                       end - begin, dtype_name(entry->tensor.dtype),
                       tensor_shape_text(shape, &entry->tensor), tensor_bytes(&entry->tensor));
    }
    entry->offset = begin;
    return 0;
}

static int read_entry(struct safetensors_entry *entry, const json_t *object, int64_t data_bytes,
                      struct err *err)
{
    enum dtype dtype;
    if (!json_is_object(object)) return err_set(err, ERR_CORRUPT, "it is no object");
    const char *name = json_string_value(json_object_get(object, "dtype"));
    if (!name) return err_set(err, ERR_CORRUPT, "it has no dtype");
    if (!dtype_parse(&dtype, name))
        return err_set(err, ERR_INVALID, "its dtype %.20s is not one that is read", name);
    int rc = read_shape(&entry->tensor, dtype, json_object_get(object, "shape"), err);
    if (!rc) rc = read_offsets(entry, json_object_get(object, "data_offsets"), data_bytes, err);
    return rc;
}

static int read_metadata(struct safetensors_header *header, struct arena *arena, json_t *object,
                         struct err *err)
{
    const char *key;
    json_t *value;
    if (!object) return 0;
    if (!json_is_object(object))
        return err_set(err, ERR_CORRUPT, SAFETENSORS_METADATA " is no object");
    header->metadata = arena_try(arena, json_object_size(object) * sizeof header->metadata[0]);
    if (!header->metadata) return out_of_memory(err);
    json_object_foreach(object, key, value)
    {
        struct safetensors_pair *pair = &header->metadata[header->metadata_count];
        if (!json_is_string(value))
            return err_set(err, ERR_CORRUPT, SAFETENSORS_METADATA ": %.80s is no text", key);
        pair->key = arena_text(arena, key, strlen(key));
        pair->value = arena_text(arena, json_string_value(value), json_string_length(value));
        if (!pair->key || !pair->value) return out_of_memory(err);
        header->metadata_count++;
    }
    return 0;
}

static int read_entries(struct safetensors_header *header, struct arena *arena, json_t *object,
                        int64_t data_bytes, struct err *err)
{
    const char *name;
    json_t *value;
    if (json_object_size(object) > SAFETENSORS_TENSORS_MAX)
        return err_set(err, ERR_LIMIT, "more than %d tensors", SAFETENSORS_TENSORS_MAX);
    header->entry = arena_try(arena, json_object_size(object) * sizeof header->entry[0]);
    if (!header->entry) return out_of_memory(err);
    json_object_foreach(object, name, value)
    {
        struct safetensors_entry *entry = &header->entry[header->count];
        if (strcmp(name, SAFETENSORS_METADATA) == 0) continue;
        if (strlen(name) >= SAFETENSORS_NAME_BYTES)
            return err_set(err, ERR_LIMIT, "a tensor's name has more than %d bytes: %.80s",
                           SAFETENSORS_NAME_BYTES - 1, name);
        const int rc = read_entry(entry, value, data_bytes, err);
        if (rc) return err_wrap(err, "tensor %.80s", name);
        entry->name = arena_text(arena, name, strlen(name));
        if (!entry->name) return out_of_memory(err);
        header->count++;
    }
    return 0;
}

/* Tensors of no bytes stand before the one that begins where they do. */
static int by_offset(const void *a, const void *b)
{
    const struct safetensors_entry *one = a, *two = b;
    if (one->offset != two->offset) return one->offset < two->offset ? -1 : 1;
    const size_t bytes = tensor_bytes(&one->tensor), others = tensor_bytes(&two->tensor);
    if (bytes != others) return bytes < others ? -1 : 1;
    return strcmp(one->name, two->name);
}

/* Each begins where the one before ended, and the last ends with the file. */
static int check_tiles(const struct safetensors_header *header, int64_t data_bytes, struct err *err)
{
    int64_t end = 0;
    for (uint32_t i = 0; i < header->count; i++) {
        const struct safetensors_entry *entry = &header->entry[i];
        if (entry->offset < end)
            return err_set(err, ERR_CORRUPT, "tensors %.80s and %.80s overlap", entry[-1].name,
                           entry->name);
        if (entry->offset > end)
            return err_set(err, ERR_CORRUPT, "a hole of %" PRId64 " bytes before tensor %.80s",
                           entry->offset - end, entry->name);
        end = entry->offset + (int64_t)tensor_bytes(&entry->tensor);
    }
    if (end != data_bytes)
        return err_set(err, ERR_CORRUPT, "%" PRId64 " bytes behind the last tensor",
                       data_bytes - end);
    return 0;
}

int safetensors_header_parse(struct safetensors_header *header, struct arena *arena,
                             const char *json, size_t bytes, int64_t data_at, int64_t data_bytes,
                             struct err *err)
{
    json_t *object = NULL;
    *header = (struct safetensors_header){0};
    if (bytes == 0 || json[0] != '{')
        return err_set(err, ERR_CORRUPT, "no header; this is no safetensors file");
    int rc = jsonfile_parse(&object, json, bytes, &limits, err);
    if (rc) return err_wrap(err, "header");
    rc = read_metadata(header, arena, json_object_get(object, SAFETENSORS_METADATA), err);
    if (!rc) rc = read_entries(header, arena, object, data_bytes, err);
    json_decref(object);
    if (rc) return rc;
    qsort(header->entry, header->count, sizeof header->entry[0], by_offset);
    rc = check_tiles(header, data_bytes, err);
    for (uint32_t i = 0; i < header->count; i++) header->entry[i].offset += data_at;
    return rc;
}
