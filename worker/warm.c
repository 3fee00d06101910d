/* warm.c - loaded objects that outlive an attempt: a small table under one lock. */
#include "worker/warm.h"

#include "common/base/check.h"
#include "common/base/str.h"
#include "worker/host.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

struct entry {
    char *key, *model;
    void *object;
    void (*free_object)(void *object);
    const void *taker; /* NULL: it is ours */
    size_t bytes;
    uint64_t used; /* larger: later */
};

struct warm {
    pthread_mutex_t lock; /* guards all below */
    struct entry entry[WARM_MAX];
    uint32_t count, version;
    uint64_t uses;
    bool closed;
    /* Constant. */
    size_t bytes_max;
    struct wake *wake;
};

/* Entries that have left the table, to be freed without the lock. */
struct dropped {
    struct entry entry[WARM_MAX + 1];
    uint32_t count;
};

static void lock(struct warm *warm)
{
    CHECK(pthread_mutex_lock(&warm->lock) == 0);
}

static void unlock(struct warm *warm)
{
    CHECK(pthread_mutex_unlock(&warm->lock) == 0);
}

static char *copy_text(const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *copy = mem_new(bytes);
    memcpy(copy, text, bytes);
    return copy;
}

struct warm *warm_new(int64_t bytes_max, struct wake *wake)
{
    struct warm *warm = mem_new(sizeof *warm);
    CHECK(pthread_mutex_init(&warm->lock, NULL) == 0);
    warm->bytes_max = bytes_max > 0 ? (size_t)bytes_max : 0;
    warm->wake = wake;
    return warm;
}

/* An object that is out is its taker's to free. */
static void free_dropped(struct dropped *dropped)
{
    for (uint32_t i = 0; i < dropped->count; i++) {
        struct entry *entry = &dropped->entry[i];
        if (!entry->taker) entry->free_object(entry->object);
        mem_free(entry->key);
        mem_free(entry->model);
    }
}

static void drop(struct warm *warm, uint32_t at, struct dropped *dropped)
{
    dropped->entry[dropped->count++] = warm->entry[at];
    warm->entry[at] = warm->entry[--warm->count];
    warm->version++;
}

void warm_free(struct warm *warm)
{
    if (!warm) return;
    warm_close(warm);
    CHECK(warm->count == 0);
    CHECK(pthread_mutex_destroy(&warm->lock) == 0);
    mem_free(warm);
}

static struct entry *find(struct warm *warm, const void *taker, const char *key)
{
    struct entry *best = NULL;
    for (uint32_t i = 0; i < warm->count; i++) {
        struct entry *entry = &warm->entry[i];
        if (entry->taker != taker || !str_eq(entry->key, key)) continue;
        if (!best || entry->used > best->used) best = entry;
    }
    return best;
}

void *warm_take(struct warm *warm, const void *taker, const char *key)
{
    if (!warm) return NULL;
    CHECK(taker != NULL);
    lock(warm);
    struct entry *entry = find(warm, NULL, key);
    void *object = NULL;
    if (entry) {
        entry->taker = taker;
        object = entry->object;
    }
    unlock(warm);
    return object;
}

/* The least recently used of those that are ours; WARM_MAX: none. */
static uint32_t oldest(const struct warm *warm)
{
    uint32_t at = WARM_MAX;
    for (uint32_t i = 0; i < warm->count; i++)
        if (!warm->entry[i].taker && (at == WARM_MAX || warm->entry[i].used < warm->entry[at].used))
            at = i;
    return at;
}

static bool is_over(const struct warm *warm)
{
    size_t sum = 0;
    for (uint32_t i = 0; i < warm->count; i++) {
        if (warm->entry[i].taker) continue;
        if (warm->entry[i].bytes > warm->bytes_max - sum) return true;
        sum += warm->entry[i].bytes;
    }
    return false;
}

/* false: nothing is kept any more, it would not fit if it were alone, or all places hold what tasks
 * have out. */
static bool put(struct warm *warm, const struct entry *made, struct dropped *dropped)
{
    if (warm->closed || made->bytes > warm->bytes_max) return false;
    if (warm->count == WARM_MAX) {
        const uint32_t at = oldest(warm);
        if (at == WARM_MAX) return false;
        drop(warm, at, dropped);
    }
    warm->entry[warm->count] = *made;
    warm->entry[warm->count++].used = ++warm->uses;
    warm->version++;
    while (is_over(warm)) drop(warm, oldest(warm), dropped);
    return true;
}

/* Puts back what taker has taken under this key; false: it has nothing of it. Its name is that of
 * the last job: if it is another one, made gets the old one in exchange. */
static bool put_back(struct warm *warm, const void *taker, struct entry *made,
                     struct dropped *dropped)
{
    struct entry *entry = find(warm, taker, made->key);
    if (!entry || entry->object != made->object || warm->closed) return false;
    if (!str_eq(entry->model, made->model)) {
        char *const model = entry->model;
        entry->model = made->model;
        made->model = model;
        warm->version++;
    }
    entry->taker = NULL;
    entry->bytes = made->bytes;
    entry->used = ++warm->uses;
    while (is_over(warm)) drop(warm, oldest(warm), dropped);
    return true;
}

static void tell(struct warm *warm, uint32_t before, uint32_t now)
{
    if (now != before && warm->wake) wake_raise(warm->wake);
}

void warm_keep(struct warm *warm, const void *taker, const char *key, const char *model,
               void *object, size_t bytes, void (*free_object)(void *object))
{
    struct dropped dropped = {.count = 0};
    if (!warm) {
        free_object(object);
        return;
    }
    CHECK(taker != NULL);
    struct entry made = {.key = copy_text(key),
                         .model = copy_text(model),
                         .object = object,
                         .free_object = free_object,
                         .bytes = bytes};
    lock(warm);
    const uint32_t before = warm->version;
    const bool back = put_back(warm, taker, &made, &dropped);
    const bool kept = back || put(warm, &made, &dropped);
    const uint32_t now = warm->version;
    unlock(warm);
    if (back || !kept) {
        mem_free(made.key);
        mem_free(made.model);
    }
    if (!kept) free_object(object);
    free_dropped(&dropped);
    tell(warm, before, now);
}

void warm_ended(struct warm *warm, const void *taker)
{
    struct dropped dropped = {.count = 0};
    if (!warm) return;
    lock(warm);
    const uint32_t before = warm->version;
    for (uint32_t i = warm->count; i-- > 0;)
        if (warm->entry[i].taker == taker) drop(warm, i, &dropped);
    const uint32_t now = warm->version;
    unlock(warm);
    free_dropped(&dropped);
    tell(warm, before, now);
}

static bool drop_all(struct warm *warm, bool closes)
{
    struct dropped dropped = {.count = 0};
    lock(warm);
    const uint32_t before = warm->version;
    if (closes) warm->closed = true;
    for (uint32_t i = warm->count; i-- > 0;)
        if (!warm->entry[i].taker) drop(warm, i, &dropped);
    const uint32_t now = warm->version;
    unlock(warm);
    free_dropped(&dropped);
    tell(warm, before, now);
    return dropped.count > 0;
}

bool warm_drop(struct warm *warm)
{
    return warm && drop_all(warm, false);
}

void warm_close(struct warm *warm)
{
    (void)drop_all(warm, true);
}

uint32_t warm_version(struct warm *warm)
{
    lock(warm);
    const uint32_t version = warm->version;
    unlock(warm);
    return version;
}

/* What a Hello may hold; with another the broker would refuse it, and so the worker. */
static bool can_be_told(const char *model)
{
    const size_t bytes = strlen(model);
    if (!bytes || bytes > WARM_MODEL_BYTES_MAX || str_utf8_valid(model, bytes) != bytes)
        return false;
    for (; *model; model++)
        if ((uint8_t)*model < 0x20 || (uint8_t)*model == 0x7f) return false;
    return true;
}

static bool has(char *const *name, uint32_t count, const char *text)
{
    for (uint32_t i = 0; i < count; i++)
        if (str_eq(name[i], text)) return true;
    return false;
}

uint32_t warm_models(struct warm *warm, struct arena *arena, char *name[WARM_MAX])
{
    uint32_t count = 0;
    lock(warm);
    for (uint32_t i = 0; i < warm->count; i++) {
        const char *model = warm->entry[i].model;
        if (!can_be_told(model) || has(name, count, model)) continue;
        name[count] = arena_text(arena, model, strlen(model));
        if (name[count]) count++;
    }
    unlock(warm);
    return count;
}

/* Functions for kinds: the attempt is the taker. */

void *job_warm_take(const struct job_env *env, const char *key)
{
    return warm_take(env->host->warm, env->host, key);
}

void job_warm_keep(const struct job_env *env, const char *key, const char *model, void *object,
                   size_t bytes, void (*free_object)(void *object))
{
    warm_keep(env->host->warm, env->host, key, model, object, bytes, free_object);
}

bool job_warm_drop(const struct job_env *env)
{
    return warm_drop(env->host->warm);
}
