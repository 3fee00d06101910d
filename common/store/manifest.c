/* manifest.c - manifests to JSON and back.
 *
 * What stands in a manifest was written by this program, but on a disk that others can write to:
 * every length and number is checked on the way in. */
#include "common/store/manifest.h"

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/id.h"
#include "common/base/str.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_FLAGS (JSON_COMPACT | JSON_SORT_KEYS)

static int by_file_name(const void *a, const void *b)
{
    return strcmp(((const struct attempt_file *)a)->name, ((const struct attempt_file *)b)->name);
}

static int by_counter_name(const void *a, const void *b)
{
    return strcmp(((const struct attempt_counter *)a)->name,
                  ((const struct attempt_counter *)b)->name);
}

static json_t *files_json(const struct attempt_manifest *manifest)
{
    json_t *files = json_array();
    for (uint32_t i = 0; files && i < manifest->files_count; i++) {
        const struct attempt_file *file = &manifest->file[i];
        json_t *one = json_pack("{s:s, s:I, s:s}", "name", file->name, "bytes",
                                (json_int_t)file->bytes, "sha256", file->sha256);
        if (!one || json_array_append_new(files, one)) {
            json_decref(files);
            return NULL;
        }
    }
    return files;
}

static json_t *counters_json(const struct attempt_manifest *manifest)
{
    json_t *counters = json_object();
    for (uint32_t i = 0; counters && i < manifest->counters_count; i++) {
        json_t *value = json_integer((json_int_t)manifest->counter[i].value);
        if (!value || json_object_set_new(counters, manifest->counter[i].name, value)) {
            json_decref(counters);
            return NULL;
        }
    }
    return counters;
}

static json_t *manifest_json(const struct attempt_manifest *manifest)
{
    json_t *files = files_json(manifest);
    json_t *counters = counters_json(manifest);
    /* json_pack takes files and counters also when it fails. */
    return json_pack("{s:i, s:s, s:o, s:o, s:I, s:I, s:I}", "version", MANIFEST_VERSION, "task",
                     manifest->task, "files", files, "counters", counters, "items",
                     (json_int_t)manifest->items, "items_ok", (json_int_t)manifest->items_ok,
                     "bytes", (json_int_t)manifest->bytes);
}

/* The object has no lease yet. */
static int digest_of(uint8_t digest[32], json_t *object, struct err *err)
{
    char *text = json_dumps(object, TEXT_FLAGS);
    if (!text) return err_set(err, ERR_LIMIT, "manifest: out of memory");
    hash_sha256(digest, text, strlen(text));
    free(text);
    return 0;
}

int manifest_encode(struct buf *out, struct attempt_manifest *manifest, struct err *err)
{
    CHECK(manifest->files_count <= ATTEMPT_FILES_MAX);
    CHECK(manifest->counters_count <= COUNTERS_MAX);
    qsort(manifest->file, manifest->files_count, sizeof manifest->file[0], by_file_name);
    qsort(manifest->counter, manifest->counters_count, sizeof manifest->counter[0],
          by_counter_name);
    json_t *object = manifest_json(manifest);
    if (!object) /* out of memory, or a text that is not UTF-8 */
        return err_set(err, ERR_INVALID, "manifest of %s: cannot be written as JSON",
                       manifest->task);
    char *text = NULL;
    int rc = digest_of(manifest->digest, object, err);
    if (rc) goto out;
    if (!json_object_set_new(object, "lease", json_string(manifest->lease)))
        text = json_dumps(object, TEXT_FLAGS);
    if (!text) {
        rc = err_set(err, ERR_LIMIT, "manifest: out of memory");
        goto out;
    }
    buf_text(out, text);
    buf_byte(out, '\n');
    if (buf_failed(out))
        rc = err_set(err, ERR_LIMIT, "manifest of %s is too large", manifest->task);
out:
    free(text);
    json_decref(object);
    return rc;
}

static bool text_of(char *dst, size_t dst_bytes, const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text && str_copy(dst, dst_bytes, text);
}

static bool count_of(int64_t *dst, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    *dst = (int64_t)json_integer_value(value);
    return json_is_integer(value) && *dst >= 0;
}

static bool is_sha256(const char *text)
{
    uint8_t digest[32];
    return str_unhex(digest, sizeof digest, text);
}

static bool files_of(struct attempt_manifest *manifest, const json_t *files)
{
    if (!json_is_array(files) || json_array_size(files) > ATTEMPT_FILES_MAX) return false;
    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *one = json_array_get(files, i);
        struct attempt_file *file = &manifest->file[i];
        if (!text_of(file->name, sizeof file->name, one, "name")) return false;
        if (!count_of(&file->bytes, one, "bytes")) return false;
        if (!text_of(file->sha256, sizeof file->sha256, one, "sha256")) return false;
        if (!is_sha256(file->sha256)) return false;
    }
    manifest->files_count = (uint32_t)json_array_size(files);
    return true;
}

static bool counters_of(struct attempt_manifest *manifest, json_t *counters)
{
    const char *name;
    json_t *value;
    if (!json_is_object(counters) || json_object_size(counters) > COUNTERS_MAX) return false;
    json_object_foreach(counters, name, value)
    {
        struct attempt_counter *counter = &manifest->counter[manifest->counters_count];
        if (!str_copy(counter->name, sizeof counter->name, name)) return false;
        if (!json_is_integer(value)) return false;
        counter->value = (int64_t)json_integer_value(value);
        manifest->counters_count++;
    }
    qsort(manifest->counter, manifest->counters_count, sizeof manifest->counter[0],
          by_counter_name);
    return true;
}

static bool fields_of(struct attempt_manifest *manifest, const json_t *object, const char *task)
{
    int64_t version;
    return count_of(&version, object, "version") && version == MANIFEST_VERSION &&
           text_of(manifest->task, sizeof manifest->task, object, "task") &&
           str_eq(manifest->task, task) &&
           text_of(manifest->lease, sizeof manifest->lease, object, "lease") &&
           id_lease_valid(manifest->lease) &&
           files_of(manifest, json_object_get(object, "files")) &&
           counters_of(manifest, json_object_get(object, "counters")) &&
           count_of(&manifest->items, object, "items") &&
           count_of(&manifest->items_ok, object, "items_ok") &&
           count_of(&manifest->bytes, object, "bytes");
}

int manifest_decode(struct attempt_manifest *manifest, const char *task, const char *text,
                    size_t bytes, struct err *err)
{
    json_error_t trouble;
    int rc;
    memset(manifest, 0, sizeof *manifest);
    json_t *object = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &trouble);
    if (!json_is_object(object) || !fields_of(manifest, object, task)) {
        rc = err_set(err, ERR_CORRUPT, "the manifest of %s is damaged or of another version", task);
        goto out;
    }
    (void)json_object_del(object, "lease");
    rc = digest_of(manifest->digest, object, err);
out:
    json_decref(object);
    return rc;
}
