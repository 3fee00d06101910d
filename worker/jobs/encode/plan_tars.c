/* plan_tars.c - a tar, or a folder's tars: a task for each.
 *
 * A task has its tar's name, so that 00042.tar becomes 00042.safetensors; where one of the names
 * cannot be a task's, they are numbered in the order of their names. The tars are not read whole:
 * that they are the same is told by name, size and beginning. */
#include "common/base/fs.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "worker/jobs/encode/plan.h"
#include "worker/jobs/encode/source_tar.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define TARS_FIRST 256 /* room for so many at first; then it doubles */

struct tar_file {
    const char *name; /* in the folder; "" the input itself */
    int64_t bytes;
    uint64_t hash;
};

struct tar_files {
    struct arena texts;
    struct tar_file *file;
    uint32_t count, room;
    bool numbered; /* their names cannot be those of tasks */
};

static bool is_task_name(const char *stem, size_t bytes)
{
    if (!bytes || bytes > ENCODE_NAME_BYTES_MAX || stem[0] == '.') return false;
    for (size_t i = 0; i < bytes; i++)
        if (!((stem[i] >= 'a' && stem[i] <= 'z') || (stem[i] >= 'A' && stem[i] <= 'Z') ||
              (stem[i] >= '0' && stem[i] <= '9') || stem[i] == '_' || stem[i] == '-' ||
              stem[i] == '.'))
            return false;
    return true;
}

static size_t stem_bytes(const char *name)
{
    return strlen(name) - (str_has_suffix(name, ".tar") ? strlen(".tar") : 0);
}

static int take_tar(void *ctx, const char *name, struct err *err)
{
    struct tar_files *tars = ctx;
    if (name[0] == '.' || !str_has_suffix(name, ".tar")) return 0;
    if (tars->count == ENCODE_SHARDS_MAX)
        return err_set(err, ERR_INVALID, "the input has more than %d tars", ENCODE_SHARDS_MAX);
    if (tars->count == tars->room) {
        const uint32_t room = tars->room ? tars->room * 2 : TARS_FIRST;
        struct tar_file *grown = mem_resize(tars->file, room * sizeof *grown);
        if (!grown) return err_set(err, ERR_LIMIT, "no memory for %u tars", room);
        tars->file = grown;
        tars->room = room;
    }
    const char *copy = arena_text(&tars->texts, name, strlen(name));
    if (!copy) return err_set(err, ERR_LIMIT, "no memory for the names of the tars");
    tars->file[tars->count++] = (struct tar_file){.name = copy};
    if (!is_task_name(name, stem_bytes(name))) tars->numbered = true;
    return 0;
}

static int find_tars(struct tar_files *tars, const struct encode_options *options, struct err *err)
{
    struct stat info;
    static const char own[] = "";
    if (!stat(options->input, &info) && !S_ISDIR(info.st_mode)) {
        tars->file = mem_new(sizeof *tars->file);
        tars->file[tars->count++] = (struct tar_file){.name = own};
        const char *slash = strrchr(options->input, '/');
        const char *base = slash ? slash + 1 : options->input;
        tars->numbered = !is_task_name(base, stem_bytes(base));
        return 0;
    }
    const int rc = encode_plan_names(options, take_tar, tars, err);
    if (rc || tars->count) return rc;
    return err_set(err, ERR_INVALID, "the folder %s has no tars", options->input);
}

/* Looks at each, and hashes what it sees. */
static int look_at(struct encode_plan *plan, struct tar_files *tars, struct hash *hash,
                   struct err *err)
{
    char path[PATH_MAX], line[64];
    int rc = 0;
    for (uint32_t i = 0; i < tars->count && !rc; i++) {
        struct tar_file *file = &tars->file[i];
        const bool fits = file->name[0]
                              ? fs_join(path, sizeof path, plan->options.input, file->name)
                              : str_copy(path, sizeof path, plan->options.input);
        rc = fits ? source_tar_look(path, &file->bytes, &file->hash, err)
                  : err_set(err, ERR_INVALID, "the path of %.80s is too long", file->name);
        const int bytes =
            snprintf(line, sizeof line, " %" PRId64 " %016" PRIx64 "\n", file->bytes, file->hash);
        hash_add(hash, file->name, strlen(file->name));
        hash_add(hash, line, (size_t)bytes);
        plan->found++;
        if (!rc) rc = encode_plan_look(plan, err);
    }
    return rc;
}

static int add_tar(struct encode_plan *plan, const struct tar_files *tars, uint32_t number,
                   struct err *err)
{
    const struct tar_file *file = &tars->file[number];
    char name[TASK_NAME_BYTES];
    const char *slash = strrchr(plan->options.input, '/');
    const char *base = file->name;
    if (!base[0]) base = slash ? slash + 1 : plan->options.input;
    if (tars->numbered)
        (void)snprintf(name, sizeof name, "%05u", number);
    else
        (void)snprintf(name, sizeof name, "%.*s", (int)stem_bytes(base), base);
    Vlmq__Jobs__EncodeShard shard = VLMQ__JOBS__ENCODE_SHARD__INIT;
    char file_name[256];
    (void)str_copy(file_name, sizeof file_name, file->name); /* one part of a path: it fits */
    shard.source = VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_TAR;
    shard.file = file_name;
    shard.bytes = (uint64_t)file->bytes;
    shard.hash = file->hash;
    shard.shard = number;
    return encode_plan_add(plan, name, &shard, 0, err);
}

int encode_plan_tars(struct encode_plan *plan, struct err *err)
{
    struct tar_files tars = {0};
    struct hash *hash = hash_new();
    uint8_t digest[HASH_SHA256_BYTES];
    arena_init(&tars.texts, 0);
    int rc = find_tars(&tars, &plan->options, err);
    if (!rc) rc = look_at(plan, &tars, hash, err);
    hash_end(hash, digest);
    if (!rc) rc = encode_plan_claim(plan, digest, err);
    for (uint32_t i = 0; i < tars.count && !rc; i++) rc = add_tar(plan, &tars, i, err);
    mem_free(tars.file);
    arena_deinit(&tars.texts);
    hash_free(hash);
    return rc;
}
