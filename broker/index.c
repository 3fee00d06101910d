/* index.c - FNV-1a over seeded bytes, with a final mix; chains in an array. */
#include "broker/index.h"

#include "common/base/check.h"
#include "common/base/mem.h"

#include <string.h>

void index_init(struct index *index, uint32_t slots, uint64_t seed)
{
    uint32_t buckets = 16;
    while (buckets < slots) buckets *= 2;
    *index = (struct index){.buckets = buckets, .seed = seed};
    index->bucket = mem_new(sizeof *index->bucket * buckets);
    index->next = mem_new(sizeof *index->next * slots);
    for (uint32_t i = 0; i < buckets; i++) index->bucket[i] = INDEX_END;
    for (uint32_t i = 0; i < slots; i++) index->next[i] = INDEX_END;
}

void index_deinit(struct index *index)
{
    mem_free(index->bucket);
    mem_free(index->next);
    *index = (struct index){0};
}

uint64_t index_hash(const struct index *index, const void *key, size_t bytes)
{
    const uint8_t *at = key;
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ index->seed;
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    hash ^= hash >> 32;
    hash *= UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

uint64_t index_hash_text(const struct index *index, const char *key)
{
    return index_hash(index, key, strlen(key));
}

uint32_t index_first(const struct index *index, uint64_t hash)
{
    return index->bucket[hash & (index->buckets - 1)];
}

uint32_t index_next(const struct index *index, uint32_t slot)
{
    return index->next[slot];
}

void index_add(struct index *index, uint64_t hash, uint32_t slot)
{
    uint32_t *head = &index->bucket[hash & (index->buckets - 1)];
    index->next[slot] = *head;
    *head = slot;
}

void index_remove(struct index *index, uint64_t hash, uint32_t slot)
{
    uint32_t *at = &index->bucket[hash & (index->buckets - 1)];
    while (*at != slot) {
        CHECK(*at != INDEX_END);
        at = &index->next[*at];
    }
    *at = index->next[slot];
    index->next[slot] = INDEX_END;
}
