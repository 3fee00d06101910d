/* attempt.c - the commit: why any crash, resend or zombie costs work at most, never an output.
 *
 *   1 private files    durable one by one (folders as a whole), invisible to readers
 *   2 their folder     durable, before the manifest can name them
 *   3 the manifest     created if absent: this is the commit; from here the task has its output
 *   4 publishing       renames private -> public; done again by anyone who finds it undone
 *   5 clearing up      private folders of all attempts of the task
 *
 * A crash before 3 leaves private files that nobody refers to; clearing up after a later commit,
 * or attempt_sweep, removes them. A crash after 3 is rolled forward from the manifest. When it is
 * not known whether 3 happened, the private files stay. Step 5 may take the files of an attempt
 * that still writes: it has lost already, and finds out at its next call (ERR_STALE) or in step 3.
 * Before a commit nobody takes the files of an attempt that may still come to step 3: only those of
 * one that has left a mark as its last act. */
#include "common/store/attempt.h"

#include "common/base/check.h"
#include "common/base/fs.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/store/driver.h"
#include "common/store/manifest.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define META_FOLDER     "_vlmq"
#define ATTEMPT_FOLDER  META_FOLDER "/attempt"
#define MANIFEST_FOLDER META_FOLDER "/manifest"
#define MANIFEST_SUFFIX ".json"
#define SCRATCH_NAME    "scratch"
#define LEFT_NAME       SCRATCH_NAME "/left" /* its attempt has ended, and will not commit */
_Static_assert(ATTEMPT_PATH_BYTES == STORE_NAME_BYTES, "callers have room for names in a store");

struct attempt {
    struct store *store;
    char task[TASK_NAME_BYTES], lease[LEASE_ID_BYTES];
    char folder[STORE_NAME_BYTES]; /* of the private files */
    struct attempt_file file[ATTEMPT_FILES_MAX];
    struct store_file *open[ATTEMPT_FILES_MAX]; /* NULL: closed */
    uint32_t files_count;
    bool scratched; /* its folder for scratch files was made */
    bool keep;      /* a manifest names, or may name, the private files */
};

/* Names of the parts. */

static bool task_valid(const char *task)
{
    const size_t bytes = strlen(task);
    if (bytes == 0 || bytes >= TASK_NAME_BYTES || task[0] == '.') return false;
    return strspn(task, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
           bytes;
}

static void folder_name(char dst[STORE_NAME_BYTES], const char *task, const char *lease)
{
    (void)snprintf(dst, STORE_NAME_BYTES, ATTEMPT_FOLDER "/%s.%s", task, lease);
}

static void manifest_name(char dst[STORE_NAME_BYTES], const char *task)
{
    (void)snprintf(dst, STORE_NAME_BYTES, MANIFEST_FOLDER "/%s" MANIFEST_SUFFIX, task);
}

static void private_name(char dst[STORE_NAME_BYTES], const char *folder, const char *name)
{
    (void)snprintf(dst, STORE_NAME_BYTES, "%s/%s", folder, name);
}

static bool is_folder(const struct attempt_file *file)
{
    return str_has_suffix(file->name, "/");
}

/* As the store names it: without a folder's "/". */
static void public_name(char dst[ATTEMPT_NAME_BYTES], const struct attempt_file *file)
{
    (void)str_copy(dst, ATTEMPT_NAME_BYTES, file->name);
    if (is_folder(file)) dst[strlen(dst) - 1] = 0;
}

int attempt_manifest_read(struct store *store, const char *task, struct attempt_manifest *manifest,
                          struct err *err)
{
    char name[STORE_NAME_BYTES];
    struct buf text;
    if (!task_valid(task))
        return err_set(err, ERR_INVALID, "\"%.64s\" is no name for an output", task);
    manifest_name(name, task);
    buf_init(&text, ATTEMPT_MANIFEST_BYTES);
    int rc = store_get(store, &text, name, ATTEMPT_MANIFEST_BYTES, err);
    if (!rc) rc = manifest_decode(manifest, task, buf_str(&text), text.len, err);
    buf_deinit(&text);
    return rc;
}

/* Rolling forward. */

/* The file must stand under its public name with the size that the manifest says. */
static int check_public(struct store *store, const struct attempt_manifest *manifest,
                        const struct attempt_file *file, struct err *err)
{
    char name[ATTEMPT_NAME_BYTES];
    int64_t bytes = 0;
    public_name(name, file);
    const int rc = store_size(store, &bytes, name, err);
    if (rc && rc != ERR_NOT_FOUND) return rc;
    if (!rc && (is_folder(file) || bytes == file->bytes)) return 0;
    return err_set(err, ERR_CORRUPT,
                   "%s, committed with %lld bytes, is %s; remove " MANIFEST_FOLDER
                   "/%s" MANIFEST_SUFFIX " to have it made again",
                   file->name, (long long)file->bytes, rc ? "missing" : "of another size",
                   manifest->task);
}

/* A folder does not replace another one, as a file would. */
static int explain_taken(struct store *store, const char *from, const char *to, int rc,
                         struct err *err)
{
    struct err ignored;
    int64_t bytes;
    if (store_size(store, &bytes, from, &ignored) || store_size(store, &bytes, to, &ignored))
        return rc;
    return err_set(err, ERR_CORRUPT, "%s/ is in the way of what was committed: remove it", to);
}

static int publish_one(struct store *store, const struct attempt_manifest *manifest,
                       const struct attempt_file *file, struct err *err)
{
    char folder[STORE_NAME_BYTES], from[STORE_NAME_BYTES], to[ATTEMPT_NAME_BYTES];
    int64_t bytes = 0;
    public_name(to, file);
    folder_name(folder, manifest->task, manifest->lease);
    private_name(from, folder, to);
    int rc = store_size(store, &bytes, from, err);
    if (rc && rc != ERR_NOT_FOUND) return rc;
    if (!rc && !is_folder(file) && bytes != file->bytes)
        return err_set(err, ERR_CORRUPT, "%s has %lld bytes, the manifest says %lld", from,
                       (long long)bytes, (long long)file->bytes);
    if (!rc) rc = store_rename(store, from, to, err);
    /* Published before, or just now by another process that rolls the same manifest forward. */
    if (rc == ERR_NOT_FOUND) return check_public(store, manifest, file, err);
    return rc && is_folder(file) ? explain_taken(store, from, to, rc, err) : rc;
}

static int publish(struct store *store, const struct attempt_manifest *manifest, struct err *err)
{
    for (uint32_t i = 0; i < manifest->files_count; i++) {
        const int rc = publish_one(store, manifest, &manifest->file[i], err);
        if (rc) return rc;
    }
    return 0;
}

struct clearing {
    struct store *store;
    const char *task;
};

/* Takes "TASK.LEASE/" apart; false: it is no private folder. */
static bool private_split(const char *name, char task[TASK_NAME_BYTES], char lease[LEASE_ID_BYTES])
{
    char text[TASK_NAME_BYTES + LEASE_ID_BYTES + 2];
    if (!str_copy(text, sizeof text, name)) return false;
    text[strcspn(text, "/")] = 0;
    char *dot = strrchr(text, '.');
    if (!dot) return false;
    *dot = 0;
    return str_copy(task, TASK_NAME_BYTES, text) && task_valid(task) &&
           str_copy(lease, LEASE_ID_BYTES, dot + 1) && id_lease_valid(lease);
}

/* Removes a private folder of the task. */
static int clear_one(void *ctx, const char *name, struct err *err)
{
    const struct clearing *clearing = ctx;
    char task[TASK_NAME_BYTES], lease[LEASE_ID_BYTES], folder[STORE_NAME_BYTES];
    if (!private_split(name, task, lease) || !str_eq(task, clearing->task)) return 0;
    folder_name(folder, task, lease);
    return store_remove_tree(clearing->store, folder, err);
}

/* Steps 4 and 5 for a manifest that is there. Also makes its name durable: whoever created it may
 * not have got that far. */
static int roll_forward(struct store *store, const struct attempt_manifest *manifest,
                        struct err *err)
{
    struct clearing clearing = {.store = store, .task = manifest->task};
    int rc = store_sync(store, MANIFEST_FOLDER, err);
    if (!rc) rc = store_sync(store, META_FOLDER, err);
    if (!rc) rc = publish(store, manifest, err);
    if (!rc) rc = store_list(store, ATTEMPT_FOLDER, clear_one, &clearing, err);
    return rc;
}

/* One attempt. */

int attempt_open(struct attempt **attempt, struct store *store, const char *task, const char *lease,
                 bool *adopted, struct attempt_manifest *manifest, struct err *err)
{
    *attempt = NULL;
    *adopted = false;
    if (!id_lease_valid(lease)) return err_set(err, ERR_INVALID, "\"%.64s\" is no lease", lease);
    int rc = attempt_manifest_read(store, task, manifest, err);
    if (!rc) {
        *adopted = true;
        rc = roll_forward(store, manifest, err);
    } else if (rc == ERR_NOT_FOUND) {
        rc = 0;
    }
    if (rc) return err_wrap(err, "output of %s", task);
    struct attempt *opened = mem_new(sizeof *opened);
    opened->store = store;
    (void)str_copy(opened->task, sizeof opened->task, task);
    (void)str_copy(opened->lease, sizeof opened->lease, lease);
    folder_name(opened->folder, task, lease);
    *attempt = opened;
    return 0;
}

int attempt_check(const struct attempt *attempt, struct err *err)
{
    struct attempt_manifest manifest;
    struct err ignored;
    if (attempt_manifest_read(attempt->store, attempt->task, &manifest, &ignored)) return 0;
    return err_set(err, ERR_STALE, "another attempt has committed %s", attempt->task);
}

static int tell_vanished(const struct attempt *attempt, struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "the private files of %s have vanished", attempt->task);
}

static bool is_missing(const struct attempt *attempt, const char *folder)
{
    struct err ignored;
    int64_t bytes;
    return store_size(attempt->store, &bytes, folder, &ignored) == ERR_NOT_FOUND;
}

int attempt_explain(const struct attempt *attempt, int rc, struct err *err)
{
    char scratch[STORE_NAME_BYTES];
    if (rc != ERR_NOT_FOUND) return rc;
    const int stale = attempt_check(attempt, err);
    if (stale) return stale;
    private_name(scratch, attempt->folder, SCRATCH_NAME);
    const bool vanished = (attempt->files_count && is_missing(attempt, attempt->folder)) ||
                          (attempt->scratched && is_missing(attempt, scratch));
    return vanished ? tell_vanished(attempt, err) : rc;
}

/* The same, of a call that can have missed nothing but a private file. */
static int explain_private(const struct attempt *attempt, int rc, struct err *err)
{
    rc = attempt_explain(attempt, rc, err);
    return rc == ERR_NOT_FOUND ? tell_vanished(attempt, err) : rc;
}

static bool name_valid(const char *name)
{
    return *name && strlen(name) < ATTEMPT_NAME_BYTES && !str_eq(name, SCRATCH_NAME) &&
           !str_has_prefix(name, SCRATCH_NAME "/") && !str_has_prefix(name, META_FOLDER);
}

static int file_start(struct attempt *attempt, struct store_file **file, const char *name,
                      bool grows, struct err *err)
{
    char path[STORE_NAME_BYTES];
    *file = NULL;
    if (!name_valid(name))
        return err_set(err, ERR_INVALID, "\"%.100s\" is no name for an output file", name);
    for (uint32_t i = 0; i < attempt->files_count; i++)
        if (str_eq(attempt->file[i].name, name))
            return err_set(err, ERR_INVALID, "%s is made twice by one task", name);
    if (attempt->files_count == ATTEMPT_FILES_MAX)
        return err_set(err, ERR_LIMIT, "a task makes at most %d files", ATTEMPT_FILES_MAX);
    private_name(path, attempt->folder, name);
    const int rc = grows ? store_file_grow(attempt->store, file, path, err)
                         : store_file_open(attempt->store, file, path, err);
    if (rc) return explain_private(attempt, rc, err);
    const uint32_t i = attempt->files_count++;
    attempt->file[i] = (struct attempt_file){0};
    (void)str_copy(attempt->file[i].name, sizeof attempt->file[i].name, name);
    attempt->open[i] = *file;
    return 0;
}

int attempt_file_open(struct attempt *attempt, struct store_file **file, const char *name,
                      struct err *err)
{
    return file_start(attempt, file, name, false, err);
}

int attempt_file_grow(struct attempt *attempt, struct store_file **file, const char *name,
                      struct err *err)
{
    return file_start(attempt, file, name, true, err);
}

/* Forgets the i-th file; the order of the others does not matter. */
static void file_forget(struct attempt *attempt, uint32_t i)
{
    const uint32_t last = --attempt->files_count;
    attempt->file[i] = attempt->file[last];
    attempt->open[i] = attempt->open[last];
    attempt->open[last] = NULL;
}

int attempt_file_close(struct attempt *attempt, struct store_file *file, struct err *err)
{
    uint8_t sha256[32];
    uint32_t i = 0;
    CHECK(file != NULL);
    while (i < attempt->files_count && attempt->open[i] != file) i++;
    CHECK(i < attempt->files_count);
    attempt->open[i] = NULL;
    const int rc = store_file_close(file, &attempt->file[i].bytes, sha256, err);
    if (rc) {
        file_forget(attempt, i);
        return explain_private(attempt, rc, err);
    }
    str_hex(attempt->file[i].sha256, sha256, sizeof sha256);
    return 0;
}

void attempt_file_drop(struct attempt *attempt, struct store_file *file)
{
    uint32_t i = 0;
    if (!file) return;
    while (i < attempt->files_count && attempt->open[i] != file) i++;
    CHECK(i < attempt->files_count);
    file_forget(attempt, i);
    store_file_drop(file);
}

void attempt_private(char dst[ATTEMPT_PATH_BYTES], const struct attempt *attempt, const char *lease,
                     const char *name, bool scratch)
{
    char folder[STORE_NAME_BYTES];
    folder_name(folder, attempt->task, lease ? lease : attempt->lease);
    (void)snprintf(dst, ATTEMPT_PATH_BYTES, "%s/%s%s", folder, scratch ? SCRATCH_NAME "/" : "",
                   name);
}

int attempt_forget(struct attempt *attempt, const char *lease, struct err *err)
{
    char folder[STORE_NAME_BYTES], mark[STORE_NAME_BYTES];
    int64_t bytes;
    CHECK(id_lease_valid(lease) && !str_eq(lease, attempt->lease));
    folder_name(folder, attempt->task, lease);
    private_name(mark, folder, LEFT_NAME);
    const int rc = store_size(attempt->store, &bytes, mark, err);
    if (rc) return rc == ERR_NOT_FOUND ? 0 : rc;
    return store_remove_tree(attempt->store, folder, err);
}

int attempt_folder_check(struct attempt *attempt, const char *name, struct err *err)
{
    struct attempt_manifest manifest;
    int64_t bytes;
    int rc = store_size(attempt->store, &bytes, name, err);
    if (rc) return rc == ERR_NOT_FOUND ? 0 : rc;
    rc = attempt_manifest_read(attempt->store, attempt->task, &manifest, err);
    if (!rc) return err_set(err, ERR_STALE, "another attempt has committed %s", attempt->task);
    if (rc != ERR_NOT_FOUND) return rc;
    return err_set(err, ERR_INVALID,
                   "%s/ is there already, but not as a finished part of this output: remove it, or "
                   "choose another output",
                   name);
}

static int unpack(struct attempt *attempt, struct attempt_file *file, const char *folder,
                  attempt_fill *fill, void *ctx, struct err *err)
{
    char from[STORE_NAME_BYTES], to[STORE_NAME_BYTES];
    char place[PATH_MAX], from_path[PATH_MAX], to_path[PATH_MAX];
    private_name(from, attempt->folder, file->name);
    private_name(to, attempt->folder, folder);
    int rc = store_local_folder(attempt->store, place, sizeof place, attempt->folder, err);
    if (!rc) rc = store_local_folder(attempt->store, to_path, sizeof to_path, to, err);
    if (!rc && !fs_join(from_path, sizeof from_path, place, file->name))
        rc = err_set(err, ERR_INVALID, "%.150s: the path is too long", place);
    if (!rc) rc = fill(ctx, &file->bytes, from_path, to_path, err);
    if (!rc) rc = store_sync_tree(attempt->store, to, err);
    if (!rc) rc = store_remove(attempt->store, from, err);
    if (!rc) (void)snprintf(file->name, sizeof file->name, "%s/", folder);
    return explain_private(attempt, rc, err);
}

int attempt_unpack(struct attempt *attempt, const char *name, const char *folder,
                   attempt_fill *fill, void *ctx, struct err *err)
{
    if (!name_valid(folder) || strlen(folder) + 1 >= ATTEMPT_NAME_BYTES)
        return err_set(err, ERR_INVALID, "\"%.100s\" is no name for an output folder", folder);
    for (uint32_t i = 0; i < attempt->files_count; i++)
        if (!attempt->open[i] && str_eq(attempt->file[i].name, name))
            return unpack(attempt, &attempt->file[i], folder, fill, ctx, err);
    return err_set(err, ERR_INTERNAL, "%s is no closed file of %s", name, attempt->task);
}

int attempt_scratch(struct attempt *attempt, char *path, size_t path_bytes, struct err *err)
{
    char name[STORE_NAME_BYTES];
    private_name(name, attempt->folder, SCRATCH_NAME);
    const int rc = store_local_folder(attempt->store, path, path_bytes, name, err);
    if (!rc) attempt->scratched = true;
    return rc;
}

/* Step 3 failed: does a manifest name our files? */
static void settle(struct attempt *attempt)
{
    struct attempt_manifest found;
    struct err ignored;
    const int rc = attempt_manifest_read(attempt->store, attempt->task, &found, &ignored);
    if (rc == ERR_NOT_FOUND) attempt->keep = false;
    if (!rc && !str_eq(found.lease, attempt->lease)) attempt->keep = false;
}

/* Steps 2 and 3. *found: whether there is a manifest now, ours or another's. */
static int commit_manifest(struct attempt *attempt, struct attempt_manifest *manifest,
                           bool *created, struct err *err)
{
    char name[STORE_NAME_BYTES];
    struct buf text;
    buf_init(&text, ATTEMPT_MANIFEST_BYTES);
    int rc = manifest_encode(&text, manifest, err);
    if (!rc) rc = store_sync(attempt->store, ATTEMPT_FOLDER, err);
    if (!rc) rc = store_sync(attempt->store, META_FOLDER, err);
    if (!rc) rc = store_sync(attempt->store, "", err);
    if (rc) goto out;
    manifest_name(name, attempt->task);
    attempt->keep = true; /* until it is known not to be there */
    rc = store_put_new(attempt->store, name, text.data, text.len, created, err);
    if (rc) settle(attempt);
out:
    buf_deinit(&text);
    return rc;
}

int attempt_commit(struct attempt *attempt, struct attempt_manifest *manifest, bool *adopted,
                   struct err *err)
{
    bool created = false;
    *adopted = false;
    for (uint32_t i = 0; i < attempt->files_count; i++)
        if (attempt->open[i])
            return err_set(err, ERR_INTERNAL, "commit of %s: %s is still open", attempt->task,
                           attempt->file[i].name);
    (void)str_copy(manifest->task, sizeof manifest->task, attempt->task);
    (void)str_copy(manifest->lease, sizeof manifest->lease, attempt->lease);
    memcpy(manifest->file, attempt->file, sizeof manifest->file);
    manifest->files_count = attempt->files_count;
    int rc = explain_private(attempt, commit_manifest(attempt, manifest, &created, err), err);
    if (!rc && !created) {
        rc = attempt_manifest_read(attempt->store, attempt->task, manifest, err);
        *adopted = !rc && !str_eq(manifest->lease, attempt->lease);
        if (*adopted) attempt->keep = false; /* no manifest names our files */
    }
    if (!rc) rc = roll_forward(attempt->store, manifest, err);
    if (!rc) attempt->keep = false; /* all of them are public now, or lost to the winner */
    return rc ? err_wrap(err, "commit %s", attempt->task) : 0;
}

void attempt_close(struct attempt *attempt)
{
    struct err err;
    if (!attempt) return;
    for (uint32_t i = 0; i < attempt->files_count; i++) store_file_drop(attempt->open[i]);
    /* What cannot be removed now is removed by the next commit of the task, or by the sweep. */
    if (!attempt->keep && store_remove_tree(attempt->store, attempt->folder, &err))
        log_info("attempt.left", "msg=%s", log_quote(err.msg));
    mem_free(attempt);
}

void attempt_leave(struct attempt *attempt)
{
    char mark[STORE_NAME_BYTES];
    struct err err;
    if (!attempt) return;
    for (uint32_t i = 0; i < attempt->files_count; i++) {
        store_file_leave(attempt->open[i]);
        attempt->open[i] = NULL;
    }
    private_name(mark, attempt->folder, LEFT_NAME);
    if (!attempt->keep && store_put(attempt->store, mark, "", 0, &err))
        log_info("attempt.unmarked", "msg=%s", log_quote(err.msg));
    /* The one that has committed may have been here already; the mark has made the folder anew. */
    if (!attempt->keep && attempt_check(attempt, &err) &&
        store_remove_tree(attempt->store, attempt->folder, &err))
        log_info("attempt.left", "msg=%s", log_quote(err.msg));
    mem_free(attempt);
}

/* All manifests of an output. */

struct walk {
    struct store *store;
    int (*visit)(void *ctx, const struct attempt_manifest *manifest, struct err *err);
    void *ctx;
    struct attempt_manifest *manifest;
};

static int walk_one(void *ctx, const char *name, struct err *err)
{
    struct walk *walk = ctx;
    char task[TASK_NAME_BYTES];
    if (!str_has_suffix(name, MANIFEST_SUFFIX)) return 0;
    const size_t bytes = strlen(name) - strlen(MANIFEST_SUFFIX);
    if (bytes >= sizeof task) return 0;
    memcpy(task, name, bytes);
    task[bytes] = 0;
    if (!task_valid(task)) return 0;
    const int rc = attempt_manifest_read(walk->store, task, walk->manifest, err);
    if (rc) return err_wrap(err, "output of %s", task);
    return walk->visit(walk->ctx, walk->manifest, err);
}

int attempt_each(struct store *store,
                 int (*visit)(void *ctx, const struct attempt_manifest *manifest, struct err *err),
                 void *ctx, struct err *err)
{
    struct walk walk = {.store = store, .visit = visit, .ctx = ctx};
    walk.manifest = mem_new(sizeof *walk.manifest);
    const int rc = store_list(store, MANIFEST_FOLDER, walk_one, &walk, err);
    mem_free(walk.manifest);
    return rc;
}

static int sweep_one(void *ctx, const struct attempt_manifest *manifest, struct err *err)
{
    return publish(ctx, manifest, err);
}

/* Removes a private folder whose task has its manifest: its attempt has published, or lost. Another
 * one may belong to an attempt that is alive, of a second job over the same output. */
static int sweep_folder(void *ctx, const char *name, struct err *err)
{
    struct store *store = ctx;
    char task[TASK_NAME_BYTES], lease[LEASE_ID_BYTES], path[STORE_NAME_BYTES];
    int64_t bytes;
    if (!private_split(name, task, lease)) return 0;
    manifest_name(path, task);
    const int rc = store_size(store, &bytes, path, err);
    if (rc) return rc == ERR_NOT_FOUND ? 0 : rc;
    folder_name(path, task, lease);
    return store_remove_tree(store, path, err);
}

int attempt_sweep(struct store *store, struct err *err)
{
    int rc = store_sync(store, MANIFEST_FOLDER, err);
    if (!rc) rc = attempt_each(store, sweep_one, store, err);
    if (!rc) rc = store_list(store, ATTEMPT_FOLDER, sweep_folder, store, err);
    if (!rc) rc = store_clean(store, MANIFEST_FOLDER, err);
    if (!rc) rc = store_clean(store, META_FOLDER, err);
    if (!rc) rc = store_clean(store, "", err);
    return rc ? err_wrap(err, "sweep %s", store_url(store)) : 0;
}
