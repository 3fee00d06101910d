/* index.h - finds the slot of a fixed table by a key: chains of slot numbers under hash buckets.
 *
 * The table owns keys and slots; the index holds numbers only and never allocates after
 * index_init. A walk compares keys itself:
 *   for (uint32_t s = index_first(ix, hash); s != INDEX_END; s = index_next(ix, s)) … */
#ifndef BROKER_INDEX_H
#define BROKER_INDEX_H

#include <stddef.h>
#include <stdint.h>

#define INDEX_END UINT32_MAX

struct index {
    uint32_t *bucket, *next;
    uint32_t buckets; /* a power of two */
    uint64_t seed;    /* keys come from outside: chains must not be predictable */
};

void index_init(struct index *index, uint32_t slots, uint64_t seed);
void index_deinit(struct index *index);
uint64_t index_hash(const struct index *index, const void *key, size_t bytes);
uint64_t index_hash_text(const struct index *index, const char *key);
uint32_t index_first(const struct index *index, uint64_t hash);
uint32_t index_next(const struct index *index, uint32_t slot);
void index_add(struct index *index, uint64_t hash, uint32_t slot);
/* The slot must be in the chain of hash. */
void index_remove(struct index *index, uint64_t hash, uint32_t slot);

#endif
