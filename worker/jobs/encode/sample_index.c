/* sample_index.c - see sample_index.h. */
#include "worker/jobs/encode/sample_index.h"

#include "common/base/hash.h"
#include "common/base/str.h"

#include <string.h>

/* Keys are strangers' words: nobody can choose many that meet in this. */
static unsigned key_hash(const void *key, size_t bytes)
{
    uint8_t digest[HASH_SHA256_BYTES];
    unsigned value;
    hash_sha256(digest, key, bytes);
    memcpy(&value, digest, sizeof value);
    return value;
}
#define HASH_FUNCTION(key, bytes, value) ((value) = key_hash(key, bytes))
#include <uthash.h>

#define ENTRIES_FIRST 1024 /* room for so many at first; then it doubles */
#define SEEN_CAPTION  ENCODE_IMAGE_KEYS_MAX
#define SEEN_JSON     (ENCODE_IMAGE_KEYS_MAX + 1)
#define ENDING_NONE   UINT32_MAX

_Static_assert(SEEN_JSON < 64, "every ending has a bit");

/* The newest sample of a key. */
struct sample_slot {
    const char *key;
    uint32_t entry;
    UT_hash_handle hh;
};

void sample_index_init(struct sample_index *index, const struct encode_options *options)
{
    *index = (struct sample_index){.options = options};
    arena_init(&index->keys, 0);
}

void sample_index_deinit(struct sample_index *index)
{
    HASH_CLEAR(hh, index->slots); /* they are the arena's */
    mem_free(index->entry);
    arena_deinit(&index->keys);
    *index = (struct sample_index){0};
}

/* Bytes of the key; 0: the file is of no sample. *ending is what follows the dot. */
static size_t split(const char *name, const char **ending)
{
    const char *slash = strrchr(name, '/');
    const char *base = slash ? slash + 1 : name;
    const char *dot = strchr(base, '.');
    if (!dot || dot == base || !dot[1]) return 0;
    const size_t bytes = (size_t)(dot - base);
    if (bytes >= 4 && !memcmp(base, "__", 2) && !memcmp(dot - 2, "__", 2)) return 0;
    *ending = dot + 1;
    return (size_t)(dot - name);
}

static bool is_ending(const char *text, const char *lower)
{
    size_t i = 0;
    for (; text[i] && lower[i]; i++) {
        const char c = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] - 'A' + 'a' : text[i]);
        if (c != lower[i]) return false;
    }
    return text[i] == lower[i];
}

/* The ending's bit in sample_entry.seen, or ENDING_NONE. */
static uint32_t rank(const struct encode_options *options, const char *ending)
{
    if (is_ending(ending, options->caption_key)) return SEEN_CAPTION;
    if (is_ending(ending, "json")) return SEEN_JSON;
    for (uint32_t i = 0; i < options->image_keys_count; i++)
        if (is_ending(ending, options->image_key[i])) return i;
    return ENDING_NONE;
}

static int grow(struct sample_index *index, struct err *err)
{
    if (index->count < index->room) return 0;
    if (index->count == SAMPLES_MAX)
        return err_set(err, ERR_INVALID, "more than %d samples in one shard: split it",
                       SAMPLES_MAX);
    const uint32_t room = index->room ? index->room * 2 : ENTRIES_FIRST;
    struct sample_entry *grown = mem_resize(index->entry, room * sizeof *grown);
    if (!grown) return err_set(err, ERR_LIMIT, "no memory for %u samples", room);
    index->entry = grown;
    index->room = room;
    return 0;
}

/* A new sample; slot NULL: the first one of its key. */
static int begin(struct sample_index *index, struct sample_slot **slot, const char *name,
                 size_t key_bytes, struct err *err)
{
    const bool duplicate = *slot != NULL;
    const int rc = grow(index, err);
    if (rc) return rc;
    if (!duplicate) {
        struct sample_slot *fresh = arena_try(&index->keys, sizeof *fresh);
        char *key = arena_text(&index->keys, name, key_bytes);
        if (!fresh || !key) return err_set(err, ERR_LIMIT, "no memory for the samples' keys");
        fresh->key = key;
        *slot = fresh;
        HASH_ADD_KEYPTR(hh, index->slots, fresh->key, key_bytes, fresh);
    }
    (*slot)->entry = index->count;
    index->entry[index->count++] = (struct sample_entry){.key = (*slot)->key,
                                                         .picture = {0, -1},
                                                         .caption = {0, -1},
                                                         .json = {0, -1},
                                                         .duplicate = duplicate};
    return 0;
}

static void take(struct sample_entry *entry, uint32_t ending, struct sample_file file)
{
    entry->seen |= UINT64_C(1) << ending;
    if (ending == SEEN_CAPTION) {
        entry->caption = file;
    } else if (ending == SEEN_JSON) {
        entry->json = file;
    } else if (entry->picture.bytes < 0 || ending < entry->picture_rank) {
        entry->picture = file;
        entry->picture_rank = ending;
    }
}

int sample_index_add(struct sample_index *index, const char *name, int64_t place, int64_t bytes,
                     struct err *err)
{
    const char *ending = NULL;
    const size_t key_bytes = split(name, &ending);
    if (!key_bytes) return 0;
    const uint32_t found = rank(index->options, ending);
    struct sample_slot *slot = NULL;
    HASH_FIND(hh, index->slots, name, key_bytes, slot);
    const bool again = slot && found != ENDING_NONE &&
                       (index->entry[slot->entry].seen & UINT64_C(1) << found) != 0;
    const int rc = !slot || again ? begin(index, &slot, name, key_bytes, err) : 0;
    if (!rc && slot && found != ENDING_NONE)
        take(&index->entry[slot->entry], found, (struct sample_file){place, bytes});
    return rc;
}
