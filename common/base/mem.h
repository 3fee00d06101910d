/* mem.h - allocation with two policies, and arenas.
 *
 * mem_new dies when memory is out: small control structures. mem_try returns NULL: sizes
 * that come from data; the caller answers ERR_LIMIT. Both return zeroed memory. mem_free
 * accepts NULL. mem_fail lets tests make allocations fail.
 *
 * An arena is memory with one end of life: a job's, or a broker turn's. Blocks are kept by
 * arena_reset and freed by arena_deinit. One thread at a time. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *mem_new(size_t bytes);
void *mem_try(size_t bytes);
/* Grows or shrinks as realloc; new bytes are not zeroed. NULL on failure, old block intact. */
void *mem_resize(void *block, size_t bytes);
void mem_free(void *block);
/* Tests: let `after` mem_try/mem_resize/arena_try calls pass, then fail `times` of them.
 * after < 0 turns it off. Returns how many such calls came since it was last set; more than
 * its `after` means that one of them failed. */
int64_t mem_fail(int64_t after, int64_t times);

struct arena_block;
struct arena {
    struct arena_block *first, *current;
    size_t bytes, bytes_max; /* bytes_max 0: no limit */
};

void arena_init(struct arena *arena, size_t bytes_max);
void arena_deinit(struct arena *arena);
void arena_reset(struct arena *arena);
/* Zeroed and aligned for any type. NULL above bytes_max or out of memory. */
void *arena_try(struct arena *arena, size_t bytes);
/* Dies instead of NULL: bounded small things. */
void *arena_new(struct arena *arena, size_t bytes);
/* A terminated copy; NULL as arena_try. text may be NULL when bytes is 0. */
char *arena_text(struct arena *arena, const char *text, size_t bytes);
void *arena_copy(struct arena *arena, const void *data, size_t bytes);
char *arena_printf(struct arena *arena, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* An arena for a library that takes its memory through two functions and a pointer, which is that
 * of the lender. What it gives back stays in the arena. */
struct arena_lender {
    struct arena *arena;
    bool failed; /* memory was out: if the library failed too, it is not for what it was given */
};
void *arena_lend(void *lender, size_t bytes);
void arena_take_back(void *lender, void *block);

#endif
