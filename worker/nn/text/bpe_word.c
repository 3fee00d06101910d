/* bpe_word.c - see bpe.h: byte pair encoding of one word.
 *
 * Symbols are a linked list in an array. A heap holds places whose symbol and the one behind it had
 * a merge when they were put there; what has changed since is noticed when a place is taken: its
 * rank is another one now. Each merge adds at most two places, so a word of n bytes never has more
 * than 3n of them. */
#include "common/base/check.h"
#include "worker/nn/text/bpe.h"

#define NONE       UINT32_MAX
#define PLACES_PER 3

static const struct bpe_merge *find(const struct bpe *bpe, uint32_t left, uint32_t right)
{
    uint32_t low = bpe->first[left], high = bpe->first[left + 1];
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (bpe->merge[middle].right == right) return &bpe->merge[middle];
        if (bpe->merge[middle].right < right)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* The merge of the symbol at a place with the one behind it, or NULL. */
static const struct bpe_merge *merge_at(const struct bpe *bpe, const struct bpe_work *work,
                                        uint32_t at)
{
    const struct bpe_symbol *symbol = &work->symbol[at];
    if (symbol->id == NONE || symbol->after == NONE) return NULL;
    return find(bpe, symbol->id, work->symbol[symbol->after].id);
}

static bool is_before(struct bpe_place a, struct bpe_place b)
{
    return a.rank != b.rank ? a.rank < b.rank : a.at < b.at;
}

static void push(struct bpe_work *work, struct bpe_place place)
{
    size_t at = work->heap_count++;
    CHECK(at < work->symbols_max * PLACES_PER);
    for (; at && is_before(place, work->heap[(at - 1) / 2]); at = (at - 1) / 2)
        work->heap[at] = work->heap[(at - 1) / 2];
    work->heap[at] = place;
}

static struct bpe_place pop(struct bpe_work *work)
{
    const struct bpe_place top = work->heap[0], last = work->heap[--work->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= work->heap_count) break;
        if (child + 1 < work->heap_count && is_before(work->heap[child + 1], work->heap[child]))
            child++;
        if (!is_before(work->heap[child], last)) break;
        work->heap[at] = work->heap[child];
        at = child;
    }
    work->heap[at] = last;
    return top;
}

static void consider(const struct bpe *bpe, struct bpe_work *work, uint32_t at)
{
    const struct bpe_merge *merge = at == NONE ? NULL : merge_at(bpe, work, at);
    if (merge) push(work, (struct bpe_place){.rank = merge->rank, .at = at});
}

static int make_room(struct bpe_work *work, size_t bytes, struct err *err)
{
    if (bytes > BPE_WORD_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "a word of %zu bytes; at most %d are encoded", bytes,
                       BPE_WORD_BYTES_MAX);
    if (bytes <= work->symbols_max) return 0;
    bpe_work_deinit(work);
    work->symbol = mem_try(bytes * sizeof *work->symbol);
    work->heap = mem_try(bytes * PLACES_PER * sizeof *work->heap);
    if (!work->symbol || !work->heap) {
        bpe_work_deinit(work);
        return err_set(err, ERR_LIMIT, "no memory to encode a word of %zu bytes", bytes);
    }
    work->symbols_max = bytes;
    return 0;
}

void bpe_work_deinit(struct bpe_work *work)
{
    mem_free(work->heap);
    mem_free(work->symbol);
    *work = (struct bpe_work){0};
}

/* Joins the symbol at a place with the one behind it. */
static void join(const struct bpe *bpe, struct bpe_work *work, uint32_t at, uint32_t made)
{
    struct bpe_symbol *symbol = &work->symbol[at], *gone = &work->symbol[symbol->after];
    symbol->id = made;
    symbol->after = gone->after;
    gone->id = NONE;
    if (symbol->after != NONE) work->symbol[symbol->after].before = at;
    consider(bpe, work, symbol->before);
    consider(bpe, work, at);
}

int bpe_word(const struct bpe *bpe, struct bpe_work *work, uint32_t *count, const char *word,
             size_t bytes, struct err *err)
{
    const int rc = make_room(work, bytes, err);
    if (rc) return rc;
    CHECK(bytes > 0);
    const uint32_t last = (uint32_t)bytes - 1;
    for (uint32_t i = 0; i <= last; i++)
        work->symbol[i] = (struct bpe_symbol){.id = bpe->byte_id[i == last][(unsigned char)word[i]],
                                              .before = i ? i - 1 : NONE,
                                              .after = i == last ? NONE : i + 1};
    work->heap_count = 0;
    for (uint32_t i = 0; i < last; i++) consider(bpe, work, i);
    while (work->heap_count) {
        const struct bpe_place place = pop(work);
        const struct bpe_merge *merge = merge_at(bpe, work, place.at);
        if (merge && merge->rank == place.rank) join(bpe, work, place.at, merge->made);
    }
    *count = 0;
    for (uint32_t at = 0; at != NONE; at = work->symbol[at].after)
        work->symbol[(*count)++].id = work->symbol[at].id;
    return 0;
}
