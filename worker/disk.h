/* disk.h - watches whether the disks that tasks write to are nearly full.
 *
 * A thread of its own asks the file systems, so that one which hangs (a dead NFS server) holds up
 * nothing else. It alone touches the list of outputs; the others see one flag.
 *
 * A task that found no room raises the flag at once, and it stays for some looks: what the task had
 * written is removed by then, so that the disk may seem to have room for another try. */
#ifndef WORKER_DISK_H
#define WORKER_DISK_H

#include "common/base/chan.h"
#include "common/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct disk;

/* wake is raised when the flag changes. free_min: fewer free bytes are too few. */
CHECKED int disk_new(struct disk **disk, struct wake *wake, int64_t free_min, int64_t look_ms,
                     struct err *err);
void disk_free(struct disk *disk); /* ends the thread; accepts NULL */
/* An output that a task is going to write; "" is none. The newest DISKS_MAX are watched. */
void disk_watch(struct disk *disk, const char *output);
/* A task found no room on a disk that it writes to; output: where it was to write. */
void disk_full(struct disk *disk, const char *output);
bool disk_is_low(const struct disk *disk);

#endif
