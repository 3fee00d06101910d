/* list_files.c - see list_files.h. */
#include "worker/list/list_files.h"

#include "common/base/check.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define LINES_BYTES ((size_t)64 * 1024)
/* What one row can add: JSON escapes make six bytes of one. */
#define LINES_BYTES_MAX (LINES_BYTES + (size_t)LIST_RECORD_BYTES_MAX * 8)

struct files {
    struct list_input input; /* of each file: all but its path */
    struct arena names;
    char **path;
    uint32_t count, room, next; /* files, and the one to open next */
    enum list_format format;    /* of the first file, and so of all */
    bool checked;               /* the first row has had the columns */
    /* The file that is read. */
    struct list_source *source; /* NULL: none */
    struct list_records *records;
    struct list_columns columns;
    int64_t bytes; /* as it stands in its folder */
    struct list_row row;
    struct buf lines;
    size_t given; /* bytes of lines */
};

bool list_files_named(const char *path)
{
    struct stat info;
    if (!stat(path, &info)) return S_ISDIR(info.st_mode);
    return errno == ENOENT && strpbrk(path, "*?[") != NULL;
}

/* ---- which files ---- */

static int add_path(struct files *files, char *path, struct err *err)
{
    if (!path) return err_set(err, ERR_LIMIT, "no memory for the names of the lists");
    if (files->count == LIST_FILES_MAX)
        return err_set(err, ERR_INVALID, "%.150s has more than %d lists", files->input.path,
                       LIST_FILES_MAX);
    if (files->count == files->room) {
        const uint32_t room = files->room ? files->room * 2 : 256;
        char **grown = mem_resize((void *)files->path, room * sizeof(char *));
        if (!grown) return err_set(err, ERR_LIMIT, "no memory for the names of the lists");
        files->path = grown;
        files->room = room;
    }
    files->path[files->count++] = path;
    return 0;
}

static bool is_folder(const char *path)
{
    struct stat info;
    return !stat(path, &info) && S_ISDIR(info.st_mode);
}

static int visit(void *ctx, const char *name, struct err *err)
{
    struct files *files = ctx;
    const enum list_format wanted = files->input.format, told = list_format_of_name(name);
    if (name[0] == '.' || name[0] == '_') return 0;
    if (told == LIST_AUTO ? wanted == LIST_AUTO : wanted != LIST_AUTO && told != wanted) return 0;
    char *path = arena_printf(&files->names, "%s/%s", files->input.path, name);
    if (path && is_folder(path)) return 0;
    return add_path(files, path, err);
}

static int find_in_folder(struct files *files, struct err *err)
{
    /* With the dot, a link to a folder is followed. */
    const char *folder = arena_printf(&files->names, "%s/.", files->input.path);
    if (!folder) return err_set(err, ERR_LIMIT, "no memory for the names of the lists");
    const int rc = fs_list(folder, visit, files, err);
    if (rc || files->count) return rc;
    if (files->input.format != LIST_AUTO)
        return err_set(err, ERR_NOT_FOUND, "the folder %.150s has no %s lists", files->input.path,
                       list_format_name(files->input.format));
    return err_set(err, ERR_NOT_FOUND,
                   "the folder %.120s has no file whose name tells that it is a list: use "
                   "--input-format",
                   files->input.path);
}

static int add_matches(struct files *files, const glob_t *matches, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < matches->gl_pathc && !rc; i++) {
        const char *path = matches->gl_pathv[i];
        if (is_folder(path)) continue;
        rc = add_path(files, arena_text(&files->names, path, strlen(path)), err);
    }
    return rc;
}

static int find_matches(struct files *files, struct err *err)
{
    glob_t matches = {0};
    const char *pattern = files->input.path;
    const int found = glob(pattern, GLOB_ERR, NULL, &matches); /* sorted, as in the C locale */
    int rc = 0;
    if (found == GLOB_NOSPACE)
        rc = err_set(err, ERR_LIMIT, "no memory for the names of the lists");
    else if (found == GLOB_ABORTED)
        rc = err_set(err, ERR_UNAVAILABLE, "a folder of %.150s cannot be read", pattern);
    else if (!found)
        rc = add_matches(files, &matches, err);
    globfree(&matches);
    if (!rc && !files->count) rc = err_set(err, ERR_NOT_FOUND, "no file matches %.150s", pattern);
    return rc;
}

/* ---- one file after the other ---- */

static void close_file(struct files *files)
{
    list_records_free(files->records);
    list_source_close(files->source);
    list_columns_deinit(&files->columns);
    files->records = NULL;
    files->source = NULL;
}

static int check_format(struct files *files, enum list_format format, struct err *err)
{
    if (files->format == LIST_AUTO) files->format = format;
    if (files->format == format) return 0;
    return err_set(err, ERR_INVALID, "is a list in %s, but those before it are in %s",
                   list_format_name(format), list_format_name(files->format));
}

/* What names can tell is told before anything is read. */
static int check_names(struct files *files, struct err *err)
{
    for (uint32_t i = 0; i < files->count && files->input.format == LIST_AUTO; i++) {
        const enum list_format told = list_format_of_name(files->path[i]);
        if (told != LIST_AUTO && check_format(files, told, err))
            return err_wrap(err, "%.100s", files->path[i]);
    }
    return 0;
}

/* ---- rows as lines ---- */

static bool add_fields(struct files *files)
{
    struct buf *out = &files->lines;
    const size_t start = out->len;
    buf_byte(out, '{');
    for (uint32_t i = 0; i < files->columns.wanted_count; i++) {
        const char *name = files->columns.wanted[i], *field = list_row_field(&files->row, i);
        if (!name || !field) continue;
        if (out->len > start + 1) buf_byte(out, ',');
        str_json(out, name, strlen(name));
        buf_byte(out, ':');
        if (i < LIST_FIRST_EXTRA)
            str_json(out, field, strlen(field));
        else
            buf_text(out, field); /* JSON already */
    }
    buf_text(out, "}\n");
    if (out->len - start <= LIST_RECORD_BYTES_MAX) return true;
    out->len = start;
    return false;
}

/* A row that is none becomes "null", which is none either. */
static int add_row(struct files *files, const struct list_record *record, struct err *err)
{
    const int rc = list_row_parse(&files->row, &files->columns, record, err);
    if (rc) return rc;
    if (files->row.problem || !add_fields(files)) buf_text(&files->lines, "null\n");
    return buf_failed(&files->lines) ? err_set(err, ERR_LIMIT, "no memory for a row") : 0;
}

/* ---- all of it ---- */

/* A file's columns: in its header, or in the first row of all, which is not kept waiting. Rows of
 * later files may lack some, as many writers leave nulls out; parquet has looked itself. */
static int read_columns(struct files *files, const struct list_shape *shape, struct err *err)
{
    struct list_record first = {0};
    const bool header = list_has_header(shape->rows);
    const bool first_row = shape->rows == LIST_JSONL && !files->checked && !shape->columns_known;
    bool found = true;
    int rc = 0;
    if (header || first_row) rc = list_records_next(files->records, &first, &found, err);
    if (rc || !found || (shape->rows == LIST_JSONL && !first_row)) return rc;
    rc = list_columns_init(&files->columns, &first, err);
    if (!rc && first_row) rc = add_row(files, &first, err);
    files->checked = true;
    return rc;
}

static int open_records(struct files *files, struct list_shape *shape, const char *path,
                        struct err *err)
{
    struct list_input input = files->input;
    input.path = path;
    int rc = list_input_open_file(&files->source, shape, &input, err);
    if (!rc) rc = check_format(files, shape->format, err);
    if (rc) return rc;
    files->columns = input.columns;
    files->columns.format = shape->rows;
    rc = list_records_new(&files->records, files->source, shape->rows, 0, UINT64_MAX, err);
    return rc ? rc : read_columns(files, shape, err);
}

static int open_next(struct files *files, struct list_shape *shape, struct err *err)
{
    const char *path = files->path[files->next++];
    struct stat info;
    if (stat(path, &info)) return err_errno(err, errno, "look at the list %s", path);
    files->bytes = (int64_t)info.st_size;
    /* Even parquet has no magic where there is nothing. */
    if (S_ISREG(info.st_mode) && info.st_size == 0) return 0;
    return open_records(files, shape, path, err) ? err_wrap(err, "%.100s", path) : 0;
}

/* Rows of the file, until there are enough of them. *ended: it has no others. */
static int add_rows(struct files *files, bool *ended, struct err *err)
{
    struct list_record record;
    bool found = true;
    int rc = 0;
    while (!rc && found && files->lines.len < LINES_BYTES) {
        rc = list_records_next(files->records, &record, &found, err);
        if (!rc && found) rc = add_row(files, &record, err);
    }
    *ended = !found;
    return rc ? err_wrap(err, "%.100s", files->path[files->next - 1]) : 0;
}

static void end_file(struct files *files)
{
    uint8_t length[8];
    for (unsigned i = 0; i < 8; i++) length[i] = (uint8_t)((uint64_t)files->bytes >> 8 * i);
    hash_add(files->input.hash, length, sizeof length);
    close_file(files);
}

static int fill(struct files *files, struct err *err)
{
    struct list_shape shape;
    buf_clear(&files->lines);
    files->given = 0;
    while (files->lines.len == 0 && (files->source || files->next < files->count)) {
        bool ended = true;
        int rc = files->source ? 0 : open_next(files, &shape, err);
        if (!rc && files->source) rc = add_rows(files, &ended, err);
        if (rc) return rc;
        if (ended) end_file(files);
    }
    return 0;
}

static int read_lines(void *ctx, void *dst, size_t bytes, size_t *got, struct err *err)
{
    struct files *files = ctx;
    const int rc = files->given == files->lines.len ? fill(files, err) : 0;
    *got = 0;
    if (rc) return rc;
    const size_t left = files->lines.len - files->given;
    *got = left < bytes ? left : bytes;
    if (*got) memcpy(dst, files->lines.data + files->given, *got);
    files->given += *got;
    return 0;
}

static void close_files(void *ctx)
{
    struct files *files = ctx;
    close_file(files);
    list_row_deinit(&files->row);
    buf_deinit(&files->lines);
    arena_deinit(&files->names);
    mem_free((void *)files->path);
    mem_free(files);
}

/* The first file with bytes, so that a wrong column is told at once. */
static int open_first(struct files *files, struct list_shape *shape, struct err *err)
{
    int rc = 0;
    while (!rc && !files->source && files->next < files->count) {
        rc = open_next(files, shape, err);
        if (!rc && !files->source) end_file(files);
    }
    return rc;
}

int list_files_open(struct list_source **source, struct list_shape *shape,
                    const struct list_input *input, struct err *err)
{
    struct files *files = mem_new(sizeof *files);
    files->input = *input;
    arena_init(&files->names, 0);
    list_row_init(&files->row);
    buf_init(&files->lines, LINES_BYTES_MAX);
    int rc = is_folder(input->path) ? find_in_folder(files, err) : find_matches(files, err);
    if (!rc) rc = check_names(files, err);
    if (!rc) rc = open_first(files, shape, err);
    if (!rc && !files->source)
        rc = err_set(err, ERR_INVALID, "the lists of %.150s are all empty", input->path);
    if (rc) {
        close_files(files);
        return rc;
    }
    shape->columns_known = true;
    shape->rows = LIST_JSONL;
    files->input.path = NULL; /* it need not live on */
    *source = list_source_of_feed((struct list_feed){files, read_lines, close_files});
    if (input->look) list_source_watch(*source, input->look, input->look_ctx);
    return 0;
}
