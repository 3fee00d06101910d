/* blocked.c - a sorted array of digests. */
#include "worker/jobs/download/blocked.h"

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "worker/list/list_slice.h"

#include <stdlib.h>
#include <string.h>

#define COPY_NAME   LIST_SLICE_PARENT "/blocked_hashes"
#define DIGEST_MAX  64
#define DIGITS_MAX  (2 * DIGEST_MAX)
#define DIGITS_TEXT (DIGITS_MAX + 1)

struct digest {
    uint8_t byte[DIGEST_MAX]; /* zeros behind those of the kind */
};

struct blocked {
    size_t digest_bytes; /* of the kind */
    struct digest *digest;
    size_t count;
};

static size_t bytes_of(enum hash_kind kind)
{
    static const size_t bytes[HASH_KINDS_COUNT] = {32, 16, 64};
    return bytes[kind];
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, DIGEST_MAX);
}

static bool digest_of(struct digest *digest, size_t digest_bytes, const char *text, size_t len)
{
    char digits[DIGITS_TEXT];
    if (len != 2 * digest_bytes) return false;
    memcpy(digits, text, len);
    digits[len] = 0;
    *digest = (struct digest){0};
    return str_unhex(digest->byte, digest_bytes, digits);
}

/* A word is what stands before the first blank. */
static size_t word_of(const char *line, size_t len)
{
    size_t word = 0;
    while (word < len && line[word] != ' ' && line[word] != '\t' && line[word] != '\r') word++;
    return word;
}

static int take_lines(struct blocked *blocked, enum hash_kind kind, const char *text, size_t bytes,
                      struct err *err)
{
    const char *end = text + bytes;
    for (uint32_t number = 1; text < end; number++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline ? newline : end;
        while (text < stop && (*text == ' ' || *text == '\t')) text++;
        const size_t len = (size_t)(stop - text);
        const size_t word = word_of(text, len);
        if (word && text[0] != '#' &&
            !digest_of(&blocked->digest[blocked->count++], blocked->digest_bytes, text, word))
            return err_set(err, ERR_INVALID,
                           "--blocked-hashes: line %u is no %s, which has %zu hexadecimal digits",
                           number, hash_kind_name(kind), 2 * blocked->digest_bytes);
        text += len + (newline != NULL);
    }
    qsort(blocked->digest, blocked->count, sizeof *blocked->digest, compare);
    return 0;
}

int blocked_read(struct blocked **blocked_out, enum hash_kind kind, const char *text, size_t bytes,
                 struct err *err)
{
    char any[HASH_TEXT_MAX];
    *blocked_out = NULL;
    if (!hash_text(any, kind, "", 0))
        return err_set(err, ERR_INVALID, "--blocked-hashes: this worker's libcrypto has no %s",
                       hash_kind_name(kind));
    struct blocked *blocked = mem_new(sizeof *blocked);
    blocked->digest_bytes = bytes_of(kind);
    /* Each needs its digits, but for a wrong one at the end. */
    const size_t most = bytes / (2 * blocked->digest_bytes) + 1;
    blocked->digest = mem_try(most * sizeof *blocked->digest);
    const int rc = blocked->digest ? take_lines(blocked, kind, text, bytes, err)
                                   : err_set(err, ERR_LIMIT, "no memory for the blocked hashes");
    if (rc)
        blocked_free(blocked);
    else
        *blocked_out = blocked;
    return rc;
}

void blocked_free(struct blocked *blocked)
{
    if (!blocked) return;
    mem_free(blocked->digest);
    mem_free(blocked);
}

bool blocked_has(const struct blocked *blocked, const char *hash)
{
    struct digest digest;
    return blocked->count && digest_of(&digest, blocked->digest_bytes, hash, strlen(hash)) &&
           bsearch(&digest, blocked->digest, blocked->count, sizeof digest, compare) != NULL;
}

int blocked_load(struct download_options *options, struct buf *text, struct err *err)
{
    struct blocked *blocked = NULL;
    if (!options->blocked_hashes) return 0;
    int rc = fs_read(text, options->blocked_hashes, BLOCKED_BYTES_MAX, err);
    if (!rc) rc = blocked_read(&blocked, options->hash, buf_str(text), text->len, err);
    if (!rc) hash_sha256_text(options->blocked_sha256, buf_str(text), text->len);
    blocked_free(blocked);
    return rc;
}

int blocked_keep(struct store *store, const struct download_options *options,
                 const struct buf *text, struct err *err)
{
    if (!options->blocked_hashes) return 0;
    return store_put(store, COPY_NAME, buf_str(text), text->len, err);
}

int blocked_open(struct blocked **blocked, struct store *store, struct download_options *options,
                 struct err *err)
{
    struct buf text;
    *blocked = NULL;
    if (!options->blocked_hashes) return 0;
    buf_init(&text, 0);
    int rc = store_get(store, &text, COPY_NAME, BLOCKED_BYTES_MAX, err);
    if (!rc) rc = blocked_read(blocked, options->hash, buf_str(&text), text.len, err);
    if (!rc) hash_sha256_text(options->blocked_sha256, buf_str(&text), text.len);
    buf_deinit(&text);
    return rc;
}
