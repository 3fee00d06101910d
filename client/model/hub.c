/* hub.c - listings of the hub, and which of their files are fetched. */
#include "client/model/hub.h"

#include "common/base/check.h"
#include "common/base/str.h"
#include "common/store/models.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define HEX "0123456789abcdef"

void hub_listing_init(struct hub_listing *listing, struct arena *arena)
{
    *listing = (struct hub_listing){.arena = arena};
}

void hub_listing_deinit(struct hub_listing *listing)
{
    mem_free(listing->file);
    listing->file = NULL;
    listing->count = listing->cap = 0;
}

/* ---- addresses ---- */

/* Percent-encodes all but what RFC 3986 leaves unreserved, and slashes where they part a path. */
static void add_escaped(struct buf *url, const char *text, bool keep_slashes)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-._~";
    for (; *text; text++) {
        if (strchr(plain, *text) || (*text == '/' && keep_slashes))
            buf_byte(url, *text);
        else
            buf_printf(url, "%%%02X", (unsigned)(uint8_t)*text);
    }
}

static bool fits(const struct buf *url)
{
    return !buf_failed(url) && url->len < HUB_URL_BYTES_MAX;
}

bool hub_revision_url(struct buf *url, const char *endpoint, const char *repo, const char *revision)
{
    buf_printf(url, "%s/api/models/%s/revision/", endpoint, repo);
    add_escaped(url, revision, false); /* refs/pr/1 is one part */
    return fits(url);
}

bool hub_tree_url(struct buf *url, const char *endpoint, const char *repo, const char *commit)
{
    buf_printf(url, "%s/api/models/%s/tree/%s?recursive=1", endpoint, repo, commit);
    return fits(url);
}

bool hub_file_url(struct buf *url, const char *endpoint, const char *repo, const char *commit,
                  const char *path)
{
    buf_printf(url, "%s/%s/resolve/%s/", endpoint, repo, commit);
    add_escaped(url, path, true);
    return fits(url);
}

/* ---- listings ---- */

static bool is_hex(const char *text, size_t digits)
{
    return text && strlen(text) == digits && text[strspn(text, HEX)] == 0;
}

static json_t *load(const char *json, size_t bytes, struct err *err)
{
    json_error_t trouble;
    json_t *root = NULL;
    if (bytes > HUB_JSON_BYTES_MAX)
        (void)err_set(err, ERR_LIMIT, "the hub's answer has more than %zu bytes",
                      HUB_JSON_BYTES_MAX);
    else if (!(root = json_loadb(json, bytes, 0, &trouble)))
        (void)err_set(err, ERR_CORRUPT, "the hub's answer is no JSON: %.100s", trouble.text);
    return root;
}

int hub_commit_parse(char commit[HUB_COMMIT_BYTES], const char *json, size_t bytes, struct err *err)
{
    json_t *root = load(json, bytes, err);
    if (!root) return (int)err->code;
    const char *sha = json_string_value(json_object_get(root, "sha"));
    int rc = 0;
    if (!is_hex(sha, 40) && !is_hex(sha, 64))
        rc = err_set(err, ERR_CORRUPT, "the hub names no commit for the revision");
    else
        CHECK(str_copy(commit, HUB_COMMIT_BYTES, sha));
    json_decref(root);
    return rc;
}

static struct hub_file *next_file(struct hub_listing *listing)
{
    if (listing->count == listing->cap) {
        const uint32_t cap = listing->cap ? listing->cap * 2 : 64;
        struct hub_file *file = mem_resize(listing->file, cap * sizeof *file);
        if (!file) return NULL;
        listing->file = file;
        listing->cap = cap;
    }
    struct hub_file *file = &listing->file[listing->count];
    *file = (struct hub_file){.path = ""};
    return file;
}

static int64_t size_of(const json_t *object)
{
    const json_t *value = json_object_get(object, "size");
    const int64_t bytes = json_is_integer(value) ? (int64_t)json_integer_value(value) : -1;
    return bytes <= HUB_FILE_BYTES_MAX ? bytes : -1;
}

static int take_entry(struct hub_listing *listing, const json_t *entry, struct err *err)
{
    const json_t *path = json_object_get(entry, "path"), *lfs = json_object_get(entry, "lfs");
    const char *type = json_string_value(json_object_get(entry, "type"));
    const char *git = json_string_value(json_object_get(entry, "oid"));
    if (++listing->entries > HUB_ENTRIES_MAX)
        return err_set(err, ERR_LIMIT, "the repository has more than %d files", HUB_ENTRIES_MAX);
    if (!type || !json_is_string(path))
        return err_set(err, ERR_CORRUPT, "the hub's listing has an entry without type or path");
    if (!str_eq(type, "file")) return 0;
    struct hub_file *file = next_file(listing);
    const size_t path_bytes = json_string_length(path);
    if (file) file->path = arena_text(listing->arena, json_string_value(path), path_bytes);
    if (!file || !file->path) return err_set(err, ERR_LIMIT, "out of memory");
    if (strlen(file->path) != path_bytes)
        return err_set(err, ERR_CORRUPT, "the hub's listing has a path with a zero byte");
    const bool large = json_is_object(lfs);
    const char *sha256 = json_string_value(json_object_get(lfs, "oid"));
    file->bytes = size_of(large ? lfs : entry);
    if (large && sha256 && str_has_prefix(sha256, "sha256:")) sha256 += strlen("sha256:");
    if (file->bytes < 0 || !is_hex(git, 40) || (large && !is_hex(sha256, 64)))
        return err_set(err, ERR_CORRUPT, "the hub's listing has no size or hash of %.100s",
                       file->path);
    CHECK(str_copy(file->git, sizeof file->git, git));
    if (large) CHECK(str_copy(file->sha256, sizeof file->sha256, sha256));
    listing->count++;
    return 0;
}

int hub_tree_parse(struct hub_listing *listing, const char *json, size_t bytes, struct err *err)
{
    json_t *root = load(json, bytes, err);
    if (!root) return (int)err->code;
    int rc =
        json_is_array(root) ? 0 : err_set(err, ERR_CORRUPT, "the hub's listing is no JSON array");
    for (size_t i = 0; !rc && i < json_array_size(root); i++)
        rc = take_entry(listing, json_array_get(root, i), err);
    json_decref(root);
    return rc;
}

/* ---- the choice ---- */

bool hub_path_valid(const char *path)
{
    const size_t bytes = strlen(path);
    if (!bytes || bytes > HUB_PATH_BYTES_MAX || str_utf8_valid(path, bytes) != bytes) return false;
    if (str_eq(path, MODEL_INFO_NAME)) return false;
    for (size_t i = 0; i < bytes; i++) {
        if ((uint8_t)path[i] < 0x20 || path[i] == 0x7f || path[i] == '\\') return false;
        const bool begins = i == 0 || path[i - 1] == '/';
        if (begins && (path[i] == '.' || path[i] == '/')) return false;
    }
    return path[bytes - 1] != '/';
}

/* Weights of other kinds, most of which are programs in disguise. */
static bool is_other_weights(const char *path)
{
    static const char *const suffixes[] = {".bin",     ".pt",   ".pth",  ".ckpt", ".h5",
                                           ".msgpack", ".onnx", ".gguf", ".pkl"};
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++)
        if (str_has_suffix(path, suffixes[i])) return true;
    return false;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct hub_file *)a)->path, ((const struct hub_file *)b)->path);
}

static int find_twice(const struct hub_listing *listing, struct err *err)
{
    for (uint32_t i = 1; i < listing->count; i++)
        if (str_eq(listing->file[i].path, listing->file[i - 1].path))
            return err_set(err, ERR_CORRUPT, "the hub's listing names %.100s twice",
                           listing->file[i].path);
    return 0;
}

static bool has_file(const struct hub_listing *listing, const char *path)
{
    for (uint32_t i = 0; i < listing->count; i++)
        if (str_eq(listing->file[i].path, path)) return true;
    return false;
}

/* All shards of one set; *found: how many sets there are, of which only one can be. */
static int check_shards(const struct hub_listing *listing, const char *repo, bool *found,
                        struct err *err)
{
    uint32_t number, count, of = 0, seen = 0;
    for (uint32_t i = 0; i < listing->count; i++) {
        if (!model_file_is_shard(listing->file[i].path, &number, &count)) continue;
        if (of && of != count)
            return err_set(err, ERR_INVALID,
                           "%s has shards of %" PRIu32 " and of %" PRIu32 " files", repo, of,
                           count);
        of = count;
        seen++; /* each once: see find_twice */
    }
    *found = seen > 0;
    if (seen != of)
        return err_set(err, ERR_INVALID,
                       "%s has only %" PRIu32 " of the %" PRIu32 " files of its weights", repo,
                       seen, of);
    return 0;
}

static int check_weights(const struct hub_listing *listing, const char *repo, bool *whole,
                         struct err *err)
{
    const char *other = NULL;
    bool shards = false;
    *whole = has_file(listing, "model.safetensors");
    if (!has_file(listing, "config.json"))
        return err_set(err, ERR_INVALID,
                       "%s has no config.json, so it is no model that vlmq can load", repo);
    if (*whole) return 0;
    if (has_file(listing, "model.safetensors.index.json")) {
        const int rc = check_shards(listing, repo, &shards, err);
        if (rc || shards) return rc;
    }
    for (uint32_t i = 0; i < listing->count; i++)
        if (!other && is_other_weights(listing->file[i].path)) other = listing->file[i].path;
    if (!other)
        return err_set(err, ERR_INVALID, "%s has no model.safetensors, nor any other weights",
                       repo);
    return err_set(err, ERR_INVALID,
                   "%s has its weights only as %.40s, which vlmq does not load (such files can "
                   "run code); look for a converted revision (--revision refs/pr/N) or repository",
                   repo, other);
}

/* .gitattributes and its like are left out; what would climb out of the folder is not hidden. */
static bool is_hidden(const char *path)
{
    bool hidden = false;
    for (const char *at = path; *at; at += strcspn(at, "/"), at += *at == '/') {
        const size_t bytes = strcspn(at, "/");
        if (at[0] != '.') continue;
        if (bytes == 1 || (bytes == 2 && at[1] == '.')) return false;
        hidden = true;
    }
    return hidden && path[0] != '/';
}

int hub_choose(struct hub_listing *listing, const char *repo, bool all, struct err *err)
{
    bool whole = false;
    uint32_t number, count, chosen = 0;
    if (listing->count) qsort(listing->file, listing->count, sizeof *listing->file, by_path);
    int rc = find_twice(listing, err);
    if (!rc && !all) rc = check_weights(listing, repo, &whole, err);
    if (rc) return rc;
    for (uint32_t i = 0; i < listing->count; i++) {
        struct hub_file *file = &listing->file[i];
        const bool shard = model_file_is_shard(file->path, &number, &count) ||
                           str_eq(file->path, "model.safetensors.index.json");
        file->chosen = all || (model_file_is_needed(file->path) && !(whole && shard));
        if (all && (is_hidden(file->path) || str_eq(file->path, MODEL_INFO_NAME)))
            file->chosen = false;
        if (file->chosen && !hub_path_valid(file->path))
            return err_set(err, ERR_INVALID,
                           "the hub lists a file where none may be put: '%.100s'; without --all "
                           "only what is needed is fetched",
                           file->path);
        chosen += file->chosen;
    }
    if (!chosen) return err_set(err, ERR_NOT_FOUND, "%s has no files", repo);
    if (chosen > MODEL_FILES_MAX)
        return err_set(err, ERR_LIMIT, "%s has more than %d files; without --all fewer are fetched",
                       repo, MODEL_FILES_MAX);
    return 0;
}
