/* disk.c - the thread behind disk.h. */
#include "worker/disk.h"

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/base/thread.h"
#include "common/store/store.h"
#include "worker/limits.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

struct disk {
    struct chan *outputs; /* texts, on their way to the thread */
    struct wake *wake;
    int64_t free_min, look_ms;
    atomic_bool low, ending;
    atomic_int held; /* looks for which it stays low */
    struct thread thread;
    char *newest;            /* the main thread's: what it told last */
    char *output[DISKS_MAX]; /* the thread's; newest first */
};

static char *text_copy(const char *text)
{
    char *copy = mem_new(strlen(text) + 1);
    memcpy(copy, text, strlen(text) + 1);
    return copy;
}

/* Puts output first; what it pushes out at the end is dropped. */
static void remember(struct disk *disk, char *output)
{
    uint32_t at = 0;
    while (at + 1 < DISKS_MAX && disk->output[at] && !str_eq(disk->output[at], output)) at++;
    mem_free(disk->output[at]);
    memmove(&disk->output[1], &disk->output[0], at * sizeof disk->output[0]);
    disk->output[0] = output;
}

/* An output that cannot be looked at is the business of the task that writes it. */
static bool is_low(const struct disk *disk, const char *output)
{
    struct store *store = NULL;
    struct err err;
    int64_t bytes = INT64_MAX;
    if (store_open(&store, output, false, &err)) return false;
    if (store_free_bytes(store, &bytes, &err)) bytes = INT64_MAX;
    store_close(store);
    return bytes < disk->free_min;
}

static void look(struct disk *disk)
{
    const char *full = NULL;
    for (uint32_t i = 0; i < DISKS_MAX && disk->output[i]; i++)
        if (is_low(disk, disk->output[i])) full = disk->output[i];
    const bool held = atomic_load(&disk->held) > 0;
    if (held) atomic_fetch_sub(&disk->held, 1);
    const bool low = full || held;
    if (atomic_exchange(&disk->low, low) == low) return;
    if (full)
        log_warn("disk.low", "bytes_min=%" PRId64 " msg=%s output=%s", disk->free_min,
                 log_quote("the disk is nearly full; no more tasks are taken"), log_quote(full));
    else if (!held)
        log_info("disk.fine", "msg=%s", log_quote("there is room again; tasks are taken"));
    wake_raise(disk->wake);
}

static void run(void *arg)
{
    struct disk *disk = arg;
    char *output;
    do {
        output = chan_recv_for(disk->outputs, disk->look_ms);
        if (output) remember(disk, output);
        look(disk);
    } while (output || !atomic_load(&disk->ending));
}

int disk_new(struct disk **out, struct wake *wake, int64_t free_min, int64_t look_ms,
             struct err *err)
{
    struct disk *disk = mem_new(sizeof *disk);
    disk->outputs = chan_new(DISKS_MAX);
    disk->wake = wake;
    disk->free_min = free_min;
    disk->look_ms = look_ms;
    const int rc = thread_start(&disk->thread, "disk", run, disk, err);
    if (rc)
        disk_free(disk);
    else
        *out = disk;
    return rc;
}

void disk_free(struct disk *disk)
{
    if (!disk) return;
    atomic_store(&disk->ending, true);
    chan_close(disk->outputs);
    thread_join(&disk->thread);
    chan_free(disk->outputs);
    for (uint32_t i = 0; i < DISKS_MAX; i++) mem_free(disk->output[i]);
    mem_free(disk->newest);
    mem_free(disk);
}

void disk_watch(struct disk *disk, const char *output)
{
    if (!*output || str_eq(disk->newest, output)) return;
    char *copy = text_copy(output);
    if (!chan_try_send(disk->outputs, copy)) {
        mem_free(copy); /* a later task will tell it */
        return;
    }
    mem_free(disk->newest);
    disk->newest = text_copy(output);
}

void disk_full(struct disk *disk, const char *output)
{
    atomic_store(&disk->held, DISK_FULL_LOOKS);
    if (atomic_exchange(&disk->low, true)) return;
    log_warn("disk.full", "msg=%s output=%s",
             log_quote("a task found no room; no more are taken for a while"), log_quote(output));
}

bool disk_is_low(const struct disk *disk)
{
    return atomic_load(&disk->low);
}
