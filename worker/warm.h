/* warm.h - what tasks leave loaded for the tasks after them: models.
 *
 * An object is owned by the store or, between job_warm_take and the task's end, by that task; it
 * keeps its place and its model's name meanwhile, so that the broker knows of it. Two tasks that
 * load the same key at the same time leave two objects. What stands in the store may take bytes_max
 * in all; above that the least recently used ones are freed, by whoever put in the newest. Objects
 * that tasks have out are not counted: those tasks need them whatever the limit.
 *
 * Any thread; objects are freed with no lock held. */
#ifndef WORKER_WARM_H
#define WORKER_WARM_H

#include "common/base/chan.h"
#include "common/base/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As many names as a Hello may hold (proto/wire/codec_tables.c). */
#define WARM_MAX 64
/* Longer names are not told to the broker, which would refuse them; nor are those with control
 * characters. */
#define WARM_MODEL_BYTES_MAX 1024

struct warm;

/* wake (may be NULL) is raised when the names change. */
struct warm *warm_new(int64_t bytes_max, struct wake *wake);
void warm_free(struct warm *warm); /* frees all; nothing may be out. Accepts NULL */

/* taker: whose it is now, until warm_ended(taker). NULL: there is none. warm may be NULL: always
 * so. */
void *warm_take(struct warm *warm, const void *taker, const char *key);
/* The store owns the object, or has freed it, when this returns. warm may be NULL: freed. */
void warm_keep(struct warm *warm, const void *taker, const char *key, const char *model,
               void *object, size_t bytes, void (*free_object)(void *object));
/* What taker has not given back it has freed itself. warm may be NULL. */
void warm_ended(struct warm *warm, const void *taker);
/* Frees all that is not out. false: there was nothing. warm may be NULL. */
bool warm_drop(struct warm *warm);
/* The same, and from now on nothing is kept. */
void warm_close(struct warm *warm);

/* Changes whenever the names may have changed. */
uint32_t warm_version(struct warm *warm);
/* The models' names, each once, in the arena; at most WARM_MAX. */
uint32_t warm_models(struct warm *warm, struct arena *arena, char *name[WARM_MAX]);

#endif
