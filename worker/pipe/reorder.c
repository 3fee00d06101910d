/* reorder.c - see reorder.h.
 *
 * One slot per row says where its bytes are: nowhere yet, in memory, in the scratch file, or
 * emitted. When memory is full, the farthest row in memory goes to the file, unless the new one is
 * farther still. The file grows at its end, and starts anew whenever nothing in it is needed. */
#include "worker/pipe/reorder.h"

#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/base/fs.h"
#include "common/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum where { NOT_PUT = 0, IN_MEMORY, IN_FILE, OUT };

struct slot {
    uint8_t *data;  /* in memory: the parts one after the other */
    int64_t offset; /* in the file */
    uint32_t bytes[REORDER_PARTS_MAX];
    uint8_t where;
};

struct reorder {
    struct reorder_options options;
    char *path;
    struct slot *slots;
    uint32_t next, waiting, in_file;
    uint32_t top; /* no row above it is in memory */
    size_t memory_bytes;
    int fd;
    int64_t file_end, spilled;
    struct buf scratch; /* one row on its way back from the file */
};

int reorder_new(struct reorder **reorder, const struct reorder_options *options, struct err *err)
{
    CHECK(options->emit != NULL);
    *reorder = NULL;
    struct slot *slots = mem_try((size_t)options->rows * sizeof *slots);
    if (!slots) return err_set(err, ERR_LIMIT, "out of memory for %u rows", options->rows);
    struct reorder *made = mem_new(sizeof *made);
    made->options = *options;
    made->slots = slots;
    made->fd = -1;
    if (options->scratch_path) {
        const size_t bytes = strlen(options->scratch_path) + 1;
        made->path = mem_new(bytes);
        memcpy(made->path, options->scratch_path, bytes);
    }
    made->options.scratch_path = made->path;
    *reorder = made;
    return 0;
}

void reorder_free(struct reorder *reorder)
{
    if (!reorder) return;
    for (uint32_t i = 0; i < reorder->options.rows; i++) mem_free(reorder->slots[i].data);
    if (reorder->fd >= 0) (void)close(reorder->fd);
    buf_deinit(&reorder->scratch);
    mem_free(reorder->slots);
    mem_free(reorder->path);
    mem_free(reorder);
}

static size_t slot_bytes(const struct slot *slot)
{
    size_t bytes = 0;
    for (int i = 0; i < REORDER_PARTS_MAX; i++) bytes += slot->bytes[i];
    return bytes;
}

static int file_open(struct reorder *reorder, struct err *err)
{
    if (reorder->fd >= 0) return 0;
    if (!reorder->path)
        return err_set(err, ERR_LIMIT, "more than %zu bytes wait for their turn",
                       reorder->options.memory_bytes_max);
    reorder->fd = open(reorder->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (reorder->fd < 0) return err_errno(err, errno, "open %s", reorder->path);
    if (unlink(reorder->path)) return err_errno(err, errno, "remove %s", reorder->path);
    return 0;
}

static int file_read(struct reorder *reorder, uint8_t *dst, int64_t offset, size_t bytes,
                     struct err *err)
{
    while (bytes) {
        const ssize_t got = pread(reorder->fd, dst, bytes, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_errno(err, errno, "read %s", reorder->path);
        if (got == 0) return err_set(err, ERR_CORRUPT, "%s lost its end", reorder->path);
        dst += got;
        offset += got;
        bytes -= (size_t)got;
    }
    return 0;
}

/* Before bytes are appended. */
static int file_prepare(struct reorder *reorder, struct err *err)
{
    const int rc = file_open(reorder, err);
    if (rc || reorder->in_file) return rc;
    reorder->file_end = 0;
    if (ftruncate(reorder->fd, 0)) return err_errno(err, errno, "empty %s", reorder->path);
    if (lseek(reorder->fd, 0, SEEK_SET) < 0)
        return err_errno(err, errno, "rewind %s", reorder->path);
    return 0;
}

static void file_note(struct reorder *reorder, struct slot *slot, size_t bytes)
{
    slot->offset = reorder->file_end;
    slot->where = IN_FILE;
    reorder->file_end += (int64_t)bytes;
    reorder->in_file++;
    reorder->spilled++;
}

/* Moves a row from memory to the file. */
static int spill(struct reorder *reorder, struct slot *slot, struct err *err)
{
    const size_t bytes = slot_bytes(slot);
    int rc = file_prepare(reorder, err);
    if (!rc) rc = fs_write_all(reorder->fd, slot->data, bytes, reorder->path, err);
    if (rc) return rc;
    mem_free(slot->data);
    slot->data = NULL;
    reorder->memory_bytes -= bytes;
    file_note(reorder, slot, bytes);
    return 0;
}

/* The caller's bytes go to the file, past memory. */
static int spill_parts(struct reorder *reorder, struct slot *slot, const struct reorder_part *part,
                       struct err *err)
{
    int rc = file_prepare(reorder, err);
    for (int i = 0; !rc && i < REORDER_PARTS_MAX; i++)
        if (part[i].bytes)
            rc = fs_write_all(reorder->fd, part[i].data, part[i].bytes, reorder->path, err);
    if (!rc) file_note(reorder, slot, slot_bytes(slot));
    return rc;
}

/* The farthest row in memory, or NULL. */
static struct slot *farthest(struct reorder *reorder)
{
    while (reorder->top > reorder->next && reorder->slots[reorder->top].where != IN_MEMORY)
        reorder->top--;
    struct slot *slot = &reorder->slots[reorder->top];
    return slot->where == IN_MEMORY ? slot : NULL;
}

static int keep(struct reorder *reorder, uint32_t index, const struct reorder_part *part,
                struct err *err)
{
    struct slot *slot = &reorder->slots[index];
    const size_t bytes = slot_bytes(slot);
    const size_t limit = reorder->options.memory_bytes_max;
    while (bytes <= limit && reorder->memory_bytes > limit - bytes) {
        struct slot *far = farthest(reorder);
        if (!far || far < slot) break;
        const int rc = spill(reorder, far, err);
        if (rc) return rc;
    }
    if (bytes > limit || reorder->memory_bytes > limit - bytes)
        return spill_parts(reorder, slot, part, err);
    uint8_t *copy = mem_try(bytes);
    if (!copy) return spill_parts(reorder, slot, part, err);
    slot->data = copy;
    slot->where = IN_MEMORY;
    for (int i = 0; i < REORDER_PARTS_MAX; i++) {
        if (part[i].bytes) memcpy(copy, part[i].data, part[i].bytes);
        copy += part[i].bytes;
    }
    reorder->memory_bytes += bytes;
    if (index > reorder->top) reorder->top = index;
    return 0;
}

/* The bytes of a waiting row, from wherever they are. */
static int fetch(struct reorder *reorder, const struct slot *slot, const uint8_t **data,
                 struct err *err)
{
    *data = slot->data;
    if (slot->where == IN_MEMORY) return 0;
    const size_t bytes = slot_bytes(slot);
    buf_clear(&reorder->scratch);
    char *place = buf_reserve(&reorder->scratch, bytes);
    if (!place) return err_set(err, ERR_LIMIT, "out of memory for a row of %zu bytes", bytes);
    *data = (const uint8_t *)place;
    return file_read(reorder, (uint8_t *)place, slot->offset, bytes, err);
}

static int emit_waiting(struct reorder *reorder, struct err *err)
{
    struct slot *slot = &reorder->slots[reorder->next];
    const uint8_t *data;
    int rc = fetch(reorder, slot, &data, err);
    if (rc) return rc;
    struct reorder_part part[REORDER_PARTS_MAX];
    for (int i = 0; i < REORDER_PARTS_MAX; i++) {
        part[i] = (struct reorder_part){data, slot->bytes[i]};
        data += slot->bytes[i];
    }
    rc = reorder->options.emit(reorder->options.ctx, reorder->next, part, err);
    if (rc) return rc;
    if (slot->where == IN_FILE)
        reorder->in_file--;
    else
        reorder->memory_bytes -= slot_bytes(slot);
    mem_free(slot->data);
    slot->data = NULL;
    slot->where = OUT;
    reorder->waiting--;
    reorder->next++;
    return 0;
}

static int emit_now(struct reorder *reorder, const struct reorder_part *part, struct err *err)
{
    int rc = reorder->options.emit(reorder->options.ctx, reorder->next, part, err);
    if (rc) return rc;
    reorder->slots[reorder->next].where = OUT;
    reorder->next++;
    while (!rc && reorder->next < reorder->options.rows &&
           reorder->slots[reorder->next].where != NOT_PUT)
        rc = emit_waiting(reorder, err);
    return rc;
}

int reorder_put(struct reorder *reorder, uint32_t index, const struct reorder_part *part,
                uint32_t parts_count, struct err *err)
{
    CHECK(parts_count <= REORDER_PARTS_MAX);
    if (index >= reorder->options.rows)
        return err_set(err, ERR_INVALID, "row %u of %u", index, reorder->options.rows);
    struct slot *slot = &reorder->slots[index];
    if (slot->where != NOT_PUT) return err_set(err, ERR_INVALID, "row %u came twice", index);
    struct reorder_part all[REORDER_PARTS_MAX] = {0};
    for (uint32_t i = 0; i < parts_count; i++) {
        if (part[i].bytes > UINT32_MAX)
            return err_set(err, ERR_LIMIT, "row %u has a part of %zu bytes", index, part[i].bytes);
        all[i] = part[i];
        slot->bytes[i] = (uint32_t)part[i].bytes;
    }
    if (index == reorder->next && !reorder->options.pull) return emit_now(reorder, all, err);
    const int rc = keep(reorder, index, all, err);
    if (!rc) reorder->waiting++;
    return rc;
}

bool reorder_ready(const struct reorder *reorder)
{
    return reorder->next < reorder->options.rows && reorder->slots[reorder->next].where != NOT_PUT;
}

int reorder_pull(struct reorder *reorder, bool *found, struct err *err)
{
    CHECK(reorder->options.pull);
    *found = reorder_ready(reorder);
    return *found ? emit_waiting(reorder, err) : 0;
}

uint32_t reorder_next(const struct reorder *reorder)
{
    return reorder->next;
}

uint32_t reorder_waiting(const struct reorder *reorder)
{
    return reorder->waiting;
}

int64_t reorder_spilled(const struct reorder *reorder)
{
    return reorder->spilled;
}

size_t reorder_memory_bytes(const struct reorder *reorder)
{
    return reorder->memory_bytes;
}

int64_t reorder_file_bytes(const struct reorder *reorder)
{
    return reorder->in_file ? reorder->file_end : 0;
}
