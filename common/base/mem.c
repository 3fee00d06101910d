/* mem.c - the one place that calls the allocator.
 *
 * The fault counters are the only state; they are atomic because pool threads allocate, and
 * cost one relaxed load while no test uses them.
 *
 * An arena is a list of blocks. Blocks before `current` are full, `current` is being filled,
 * blocks after it are empty leftovers from before a reset. */
#include "common/base/mem.h"

#include "common/base/check.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first block suits a job of a few options; the largest keeps a page of results in one. */
#define BLOCK_BYTES_MIN ((size_t)4096)
#define BLOCK_BYTES_MAX ((size_t)1024 * 1024)

static atomic_bool fail_on;
static _Atomic int64_t fail_after, fail_times, fail_calls;

int64_t mem_fail(int64_t after, int64_t times)
{
    atomic_store(&fail_on, false);
    int64_t calls = atomic_exchange(&fail_calls, 0);
    atomic_store(&fail_after, after);
    atomic_store(&fail_times, times);
    atomic_store(&fail_on, after >= 0);
    return calls;
}

static bool must_fail(void)
{
    if (!atomic_load_explicit(&fail_on, memory_order_relaxed)) return false;
    const int64_t call = atomic_fetch_add(&fail_calls, 1);
    const int64_t after = atomic_load(&fail_after);
    return call >= after && call - after < atomic_load(&fail_times);
}

static void die(size_t bytes)
{
    (void)fprintf(stderr, "out of memory: %zu bytes\n", bytes);
    abort();
}

void *mem_new(size_t bytes)
{
    void *block = calloc(1, bytes ? bytes : 1);
    if (!block) die(bytes);
    return block;
}

void *mem_try(size_t bytes)
{
    if (must_fail()) return NULL;
    return calloc(1, bytes ? bytes : 1);
}

void *mem_resize(void *block, size_t bytes)
{
    if (must_fail()) return NULL;
    return realloc(block, bytes ? bytes : 1);
}

void mem_free(void *block)
{
    free(block);
}

struct arena_block {
    struct arena_block *next;
    size_t used, room;
    _Alignas(max_align_t) char data[];
};

void arena_init(struct arena *arena, size_t bytes_max)
{
    *arena = (struct arena){.bytes_max = bytes_max};
}

void arena_deinit(struct arena *arena)
{
    struct arena_block *block = arena->first;
    while (block) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
    *arena = (struct arena){.bytes_max = arena->bytes_max};
}

void arena_reset(struct arena *arena)
{
    for (struct arena_block *block = arena->first; block; block = block->next) block->used = 0;
    arena->current = arena->first;
    arena->bytes = 0;
}

/* A new block after `current`, large enough for bytes. */
static struct arena_block *block_add(struct arena *arena, size_t bytes)
{
    size_t room = arena->current ? arena->current->room * 2 : BLOCK_BYTES_MIN;
    if (room > BLOCK_BYTES_MAX) room = BLOCK_BYTES_MAX;
    if (room < bytes) room = bytes;
    size_t total;
    if (__builtin_add_overflow(room, sizeof(struct arena_block), &total)) return NULL;
    struct arena_block *block = malloc(total);
    if (!block) return NULL;
    *block = (struct arena_block){.room = room};
    if (arena->current) {
        block->next = arena->current->next;
        arena->current->next = block;
    } else {
        arena->first = block;
    }
    return block;
}

static void *take(struct arena *arena, size_t bytes)
{
    const size_t align = _Alignof(max_align_t);
    if (bytes > PTRDIFF_MAX - align) return NULL;
    const size_t rounded = (bytes + align - 1) / align * align;
    size_t total;
    if (__builtin_add_overflow(arena->bytes, rounded, &total)) return NULL;
    if (arena->bytes_max && total > arena->bytes_max) return NULL;
    struct arena_block *block = arena->current;
    while (block && block->room - block->used < rounded) block = block->next;
    if (!block) block = block_add(arena, rounded);
    if (!block) return NULL;
    arena->current = block;
    void *place = block->data + block->used;
    block->used += rounded;
    arena->bytes = total;
    return memset(place, 0, rounded);
}

void *arena_try(struct arena *arena, size_t bytes)
{
    if (must_fail()) return NULL;
    return take(arena, bytes);
}

void *arena_new(struct arena *arena, size_t bytes)
{
    void *place = take(arena, bytes);
    if (!place) die(bytes);
    return place;
}

void *arena_copy(struct arena *arena, const void *data, size_t bytes)
{
    void *place = arena_try(arena, bytes);
    if (place && bytes) memcpy(place, data, bytes);
    return place;
}

char *arena_text(struct arena *arena, const char *text, size_t bytes)
{
    if (bytes == SIZE_MAX) return NULL;
    char *place = arena_try(arena, bytes + 1);
    if (place && bytes) memcpy(place, text, bytes);
    return place;
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    const int bytes = vsnprintf(NULL, 0, fmt, args);
    char *place = bytes < 0 ? NULL : arena_try(arena, (size_t)bytes + 1);
    if (place) (void)vsnprintf(place, (size_t)bytes + 1, fmt, again);
    va_end(again);
    va_end(args);
    return place;
}

void *arena_lend(void *lender, size_t bytes)
{
    struct arena_lender *from = lender;
    void *block = arena_try(from->arena, bytes);
    if (!block) from->failed = true;
    return block;
}

void arena_take_back(void *lender, void *block)
{
    (void)lender, (void)block;
}
