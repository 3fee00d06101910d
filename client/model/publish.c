/* publish.c - where files are kept in the making, and how a whole model gets its place.
 *
 * Beside the model's folder NAME are .lock-NAME, whose lock a pull holds; .part-NAME with what it
 * has got, each file under a name made of its path and hash, so that a pull of any revision goes on
 * with what is the same; .new-NAME, filled by renames when all is there; and .old-NAME, what NAME
 * was before. What a crash leaves of the last two is removed by the next pull; files that were
 * renamed to .new-NAME, as there are no hard links, it takes back first. */
#include "client/model/inside.h"
#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/stop.h"
#include "common/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOCK_LOOK_MS 100

/* MODELS/OWNER/.new-NAME of OWNER/NAME. */
static bool beside(char path[PATH_MAX], const char *models, const char *repo, const char *prefix)
{
    const char *slash = strchr(repo, '/');
    const int owner = slash ? (int)(slash + 1 - repo) : 0;
    const int used =
        snprintf(path, PATH_MAX, "%s/%.*s%s%s", models, owner, repo, prefix, repo + owner);
    return used > 0 && used < PATH_MAX - HUB_PATH_BYTES_MAX - 1;
}

static int take_lock(struct places *places, void (*waiting)(void *ctx), void *ctx, struct err *err)
{
    bool told = false;
    for (;;) {
        const int rc = fs_lock(&places->lock, places->lock_path, told ? LOCK_LOOK_MS : 0, err);
        if (!rc) return 0;
        places->lock = -1;
        if (rc != ERR_TIMEOUT) return rc;
        if (stop_count()) return err_set(err, ERR_CANCELLED, "interrupted");
        if (!told && waiting) waiting(ctx);
        told = true;
    }
}

int places_name(struct places *places, const char *models, const char *repo, struct err *err)
{
    places->lock = -1;
    if (!str_copy(places->models, PATH_MAX, models) || !beside(places->folder, models, repo, "") ||
        !beside(places->part, models, repo, FS_PRIVATE_PREFIX) ||
        !beside(places->made, models, repo, ".new-") ||
        !beside(places->old, models, repo, ".old-") ||
        !beside(places->lock_path, models, repo, ".lock-"))
        return err_set(err, ERR_INVALID, "the path of the models' folder is too long");
    return 0;
}

int places_open(struct places *places, void (*waiting)(void *ctx), void *ctx, struct err *err)
{
    char owner[PATH_MAX];
    (void)str_copy(owner, sizeof owner, places->lock_path);
    *strrchr(owner, '/') = 0;
    int rc = fs_mkdirs(owner, err);
    if (!rc) rc = take_lock(places, waiting, ctx, err);
    return rc;
}

void places_close(struct places *places)
{
    fs_unlock(places->lock);
    places->lock = -1;
}

static int count_name(void *ctx, const char *name, struct err *err)
{
    (void)name, (void)err;
    (*(uint32_t *)ctx)++;
    return 0;
}

int places_check(const struct places *places, struct err *err)
{
    char info[PATH_MAX];
    uint32_t names = 0;
    if (!fs_exists(places->folder)) return 0;
    if (fs_join(info, sizeof info, places->folder, MODEL_INFO_NAME) && fs_exists(info)) return 0;
    const int rc = fs_list(places->folder, count_name, &names, err);
    if (rc || !names) return rc;
    return err_set(err, ERR_INVALID,
                   "%.140s is not from `vlmq model pull`, so it is not replaced; move it away, or "
                   "use --folder",
                   places->folder);
}

int places_part(char path[PATH_MAX], const struct places *places, const struct hub_file *file,
                const char *suffix, struct err *err)
{
    char text[HUB_PATH_BYTES_MAX + HASH_SHA256_TEXT + HASH_GIT_TEXT + 8], name[HASH_SHA256_TEXT];
    const int bytes =
        snprintf(text, sizeof text, "%s\n%s\n%s", file->path, file->git, file->sha256);
    hash_sha256_text(name, text, (size_t)bytes);
    if (snprintf(path, PATH_MAX, "%s/%.32s%s", places->part, name, suffix) >= PATH_MAX)
        return err_set(err, ERR_INVALID, "the path of the models' folder is too long");
    return 0;
}

/* Moves one file to where it belongs, making folders on the way (--all). */
static int move_file(const struct places *places, const struct hub_file *file,
                     struct model_file *entry, struct err *err)
{
    char from[PATH_MAX], to[PATH_MAX], sum[PATH_MAX], folder[PATH_MAX];
    struct buf text;
    int rc = places_part(from, places, file, "", err);
    if (!rc) rc = places_part(sum, places, file, ".sha256", err);
    if (rc) return rc;
    if (!fs_join(to, sizeof to, places->made, file->path))
        return err_set(err, ERR_INVALID, "the path is too long: %.80s", file->path);
    (void)str_copy(folder, sizeof folder, to);
    *strrchr(folder, '/') = 0;
    rc = fs_mkdirs(folder, err);
    /* Linked, so that a failure from here on costs no file that is here; where there are no links,
     * renamed. */
    if (!rc && link(from, to) && rename(from, to)) rc = err_errno(err, errno, "rename to %s", to);
    if (!rc) rc = fs_sync_dir(folder, err);
    if (!rc) rc = model_file_look(entry, places->made, file->path, err);
    buf_init(&text, 0);
    if (!rc) rc = fs_read(&text, sum, HASH_SHA256_TEXT - 1, err);
    if (!rc && !str_copy(entry->sha256, sizeof entry->sha256, buf_str(&text)))
        rc = err_set(err, ERR_CORRUPT, "%s is no SHA-256", sum);
    buf_deinit(&text);
    return rc;
}

/* Puts made in place of folder in one step, where the file system can; else there is none for a
 * moment. What is mapped of the old one stays what it is. */
static int swap(const struct places *places, struct err *err)
{
    const char *made = places->made, *folder = places->folder;
    if (!fs_exists(folder)) {
        if (rename(made, folder)) return err_errno(err, errno, "rename to %s", folder);
        return 0;
    }
    if (!syscall(SYS_renameat2, AT_FDCWD, made, AT_FDCWD, folder, RENAME_EXCHANGE)) {
        if (rename(made, places->old)) return err_errno(err, errno, "rename to %s", places->old);
        return 0;
    }
    if (rename(folder, places->old)) return err_errno(err, errno, "rename to %s", places->old);
    if (!rename(made, folder)) return 0;
    const int cause = errno;
    (void)rename(places->old, folder);
    return err_errno(err, cause, "rename to %s", folder);
}

static int sync_parent(const struct places *places, struct err *err)
{
    char parent[PATH_MAX];
    (void)str_copy(parent, sizeof parent, places->folder);
    *strrchr(parent, '/') = 0;
    return fs_sync_dir(parent, err);
}

/* Whether the file is only in the folder that was being filled, with the listed size. */
static bool is_left(const struct places *places, const struct hub_file *file, char made[PATH_MAX],
                    char part[PATH_MAX])
{
    char whole[PATH_MAX];
    struct stat info;
    struct err ignored;
    return file->chosen && !places_part(whole, places, file, "", &ignored) && !fs_exists(whole) &&
           !places_part(part, places, file, ".part", &ignored) && !fs_exists(part) &&
           fs_join(made, PATH_MAX, places->made, file->path) && !lstat(made, &info) &&
           S_ISREG(info.st_mode) && info.st_size == file->bytes;
}

void places_recover(const struct places *places, const struct hub_listing *listing)
{
    char made[PATH_MAX], part[PATH_MAX];
    for (uint32_t i = 0; i < listing->count; i++)
        if (is_left(places, &listing->file[i], made, part)) (void)!rename(made, part);
}

static uint32_t count_chosen(const struct hub_listing *listing)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < listing->count; i++) count += listing->file[i].chosen;
    return count;
}

int places_publish(struct places *places, const struct hub_listing *listing,
                   struct model_info *info, struct arena *arena, struct err *err)
{
    info->file = arena_new(arena, (count_chosen(listing) + 1) * sizeof *info->file);
    info->files_count = 0;
    int rc = fs_remove_tree(places->made, err);
    if (!rc) rc = fs_remove_tree(places->old, err);
    if (!rc) rc = fs_mkdirs(places->made, err);
    for (uint32_t i = 0; !rc && i < listing->count; i++)
        if (listing->file[i].chosen)
            rc = move_file(places, &listing->file[i], &info->file[info->files_count++], err);
    if (!rc) rc = model_info_write(info, places->made, err);
    if (!rc) rc = swap(places, err);
    if (!rc) rc = sync_parent(places, err);
    if (rc) return rc;
    rc = fs_remove_tree(places->part, err);
    return rc ? rc : fs_remove_tree(places->old, err);
}

bool places_exist(const struct places *places)
{
    return fs_exists(places->folder) || fs_exists(places->part);
}

int places_remove(struct places *places, struct err *err)
{
    struct err foreign;
    int rc = 0;
    if (places_check(places, &foreign))
        rc =
            err_set(err, ERR_INVALID,
                    "%.140s is not from `vlmq model pull`; remove it yourself, if you want it gone",
                    places->folder);
    else if (!places_exist(places)) /* another has removed it */
        rc = err_set(err, ERR_NOT_FOUND, "it is not here");
    if (!rc) rc = fs_remove_tree(places->old, err);
    /* Out of sight first: nobody finds half of a model. */
    if (!rc && fs_exists(places->folder) && rename(places->folder, places->old))
        rc = err_errno(err, errno, "rename to %s", places->old);
    if (!rc) rc = fs_remove_tree(places->old, err);
    if (!rc) rc = fs_remove_tree(places->part, err);
    return rc ? rc : fs_remove_tree(places->made, err);
}
