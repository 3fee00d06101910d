/* tar_read.c - the reader of tar.h. */
#include "common/base/check.h"
#include "common/base/mem.h"
#include "worker/pipe/tar.h"
#include "worker/pipe/tar_header.h"

#include <string.h>

#define SKIP_BYTES      16384
#define CHUNK_BYTES     65536
#define EXTRA_BYTES_MAX (64 * 1024)        /* one PAX or GNU header's text */
#define EXTRAS_MAX      8                  /* such headers before one member */
#define SIZE_MAX_MEMBER ((int64_t)1 << 50) /* far above any archive, far below overflow */

/* What PAX and GNU headers said about the next member. */
struct extra {
    char name[TAR_MEMBER_NAME_BYTES];
    bool has_name, has_size;
    int64_t size;
};

void tar_reader_init(struct tar_reader *reader, tar_read *read, void *ctx)
{
    *reader = (struct tar_reader){.read = read, .ctx = ctx};
}

/* Reads until dst is full or the archive ends. */
static int fill(struct tar_reader *reader, void *dst, size_t bytes, size_t *got, struct err *err)
{
    *got = 0;
    while (*got < bytes) {
        size_t more = 0;
        const int rc = reader->read(reader->ctx, (uint8_t *)dst + *got, bytes - *got, &more, err);
        if (rc) return rc;
        if (!more) break;
        CHECK(more <= bytes - *got);
        *got += more;
        reader->offset += (int64_t)more;
    }
    return 0;
}

static int cut_short(const struct tar_reader *reader, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "the tar is cut short at byte %lld",
                   (long long)reader->offset);
}

static int skip(struct tar_reader *reader, int64_t bytes, struct err *err)
{
    uint8_t scratch[SKIP_BYTES];
    while (bytes > 0) {
        const size_t want = bytes < SKIP_BYTES ? (size_t)bytes : SKIP_BYTES;
        size_t got;
        const int rc = fill(reader, scratch, want, &got, err);
        if (rc) return rc;
        if (got < want) return cut_short(reader, err);
        bytes -= (int64_t)want;
    }
    return 0;
}

static bool is_zero(const struct tar_header *header)
{
    const uint8_t *bytes = (const uint8_t *)header;
    for (size_t i = 0; i < sizeof *header; i++)
        if (bytes[i]) return false;
    return true;
}

/* Octal digits between spaces and zeros, or base 256 when the first bit is set. False: neither. */
static bool get_number(int64_t *value, const char *field, size_t field_bytes)
{
    const uint8_t *bytes = (const uint8_t *)field;
    uint64_t sum = 0;
    size_t i = 0;
    if (bytes[0] & 0x80) {
        if (bytes[0] != 0x80) return false; /* negative, or beyond 64 bits */
        for (i = 1; i < field_bytes; i++) {
            if (sum >> 54) return false;
            sum = sum << 8 | bytes[i];
        }
    } else {
        while (i < field_bytes && field[i] == ' ') i++;
        for (; i < field_bytes && field[i] >= '0' && field[i] <= '7'; i++)
            sum = sum << 3 | (uint64_t)(field[i] - '0');
        if (i < field_bytes && field[i] != ' ' && field[i] != 0) return false;
    }
    if (sum > (uint64_t)SIZE_MAX_MEMBER) return false;
    *value = (int64_t)sum;
    return true;
}

/* Old writers summed signed characters; both are accepted, as every tar does. */
static bool sum_matches(const struct tar_header *header)
{
    int64_t want;
    if (!get_number(&want, header->sum, sizeof header->sum)) return false;
    int64_t lower = 0; /* what signed bytes take away */
    const uint8_t *bytes = (const uint8_t *)header;
    for (size_t i = 0; i < sizeof *header; i++) {
        const bool own = i >= offsetof(struct tar_header, sum) &&
                         i < offsetof(struct tar_header, sum) + sizeof header->sum;
        if (!own && bytes[i] & 0x80) lower += 256;
    }
    const int64_t sum = tar_header_sum(header);
    return want == sum || want == sum - lower;
}

/* Reads the text of an x or L member whole, terminated; *text is to be freed. */
static int read_text(struct tar_reader *reader, char **text, int64_t size, struct err *err)
{
    *text = NULL;
    if (size > EXTRA_BYTES_MAX)
        return err_set(err, ERR_CORRUPT, "a tar header of %lld bytes", (long long)size);
    char *block = mem_try((size_t)size + 1);
    if (!block) return err_set(err, ERR_LIMIT, "out of memory for a tar header");
    size_t got;
    int rc = fill(reader, block, (size_t)size, &got, err);
    if (!rc && got < (size_t)size) rc = cut_short(reader, err);
    if (!rc) rc = skip(reader, (int64_t)tar_padding((uint64_t)size), err);
    if (rc)
        mem_free(block);
    else
        *text = block;
    return rc;
}

static int set_name(struct extra *extra, const char *name, size_t bytes, struct err *err)
{
    if (bytes >= sizeof extra->name)
        return err_set(err, ERR_CORRUPT, "a tar member's name has %zu bytes", bytes);
    if (!bytes || memchr(name, 0, bytes))
        return err_set(err, ERR_CORRUPT, "a tar member's name is empty or has a zero in it");
    memcpy(extra->name, name, bytes);
    extra->name[bytes] = 0;
    extra->has_name = true;
    return 0;
}

/* Decimal digits only, at least one, at most SIZE_MAX_MEMBER. */
static bool get_decimal(int64_t *value, const char *text, size_t bytes)
{
    int64_t sum = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        sum = sum * 10 + (text[i] - '0');
        if (sum > SIZE_MAX_MEMBER) return false;
    }
    *value = sum;
    return bytes > 0;
}

/* One record, "LENGTH KEY=VALUE\n"; *used is its length. */
static int read_record(struct extra *extra, const char *text, size_t bytes, size_t *used,
                       struct err *err)
{
    const char *space = memchr(text, ' ', bytes);
    int64_t length = 0;
    const bool counted = space && get_decimal(&length, text, (size_t)(space - text));
    if (!counted || (uint64_t)length > bytes || text + length < space + 2 ||
        text[length - 1] != '\n')
        return err_set(err, ERR_CORRUPT, "a PAX header's record has a wrong length");
    *used = (size_t)length;
    const char *key = space + 1;
    const char *end = text + length - 1;
    const char *equals = memchr(key, '=', (size_t)(end - key));
    if (!equals) return err_set(err, ERR_CORRUPT, "a PAX header's record has no value");
    const size_t key_bytes = (size_t)(equals - key);
    const size_t value_bytes = (size_t)(end - equals - 1);
    if (key_bytes == 4 && memcmp(key, "path", 4) == 0)
        return set_name(extra, equals + 1, value_bytes, err);
    if (key_bytes != 4 || memcmp(key, "size", 4) != 0) return 0;
    if (!get_decimal(&extra->size, equals + 1, value_bytes))
        return err_set(err, ERR_CORRUPT, "a PAX header's size is no number");
    extra->has_size = true;
    return 0;
}

/* Takes in a PAX or GNU header of the given type. */
static int read_extra(struct tar_reader *reader, struct extra *extra, char type, int64_t size,
                      struct err *err)
{
    char *text;
    /* Of a whole archive: a comment, times; a name or size there could only mislead. */
    if (type == 'g') return skip(reader, size + (int64_t)tar_padding((uint64_t)size), err);
    int rc = read_text(reader, &text, size, err);
    if (rc) return rc;
    CHECK(text != NULL);
    if (type == 'L') {
        rc = set_name(extra, text, strlen(text), err);
    } else {
        size_t at = 0, used = 0;
        for (; !rc && at < (size_t)size; at += used)
            rc = read_record(extra, text + at, (size_t)size - at, &used, err);
    }
    mem_free(text);
    return rc;
}

static void plain_name(struct extra *extra, const struct tar_header *header)
{
    const size_t name = strnlen(header->name, sizeof header->name);
    size_t prefix = 0;
    if (memcmp(header->magic, "ustar", 6) == 0) /* with its zero: GNU's own has a space there */
        prefix = strnlen(header->prefix, sizeof header->prefix);
    char *at = extra->name;
    if (prefix) {
        memcpy(at, header->prefix, prefix);
        at += prefix;
        *at++ = '/';
    }
    memcpy(at, header->name, name);
    at[name] = 0;
}

/* The next header block; *found false: the archive ends here. */
static int read_header(struct tar_reader *reader, struct tar_header *header, bool *found,
                       struct err *err)
{
    *found = false;
    size_t got;
    int rc = fill(reader, header, sizeof *header, &got, err);
    if (rc) return rc;
    if (got && got < sizeof *header) return cut_short(reader, err);
    if (!got) return 0;
    if (is_zero(header)) {
        rc = fill(reader, header, sizeof *header, &got, err);
        reader->complete = !rc && got == sizeof *header && is_zero(header);
        return rc;
    }
    if (!sum_matches(header))
        return err_set(err, ERR_CORRUPT, "no tar header at byte %lld",
                       (long long)(reader->offset - TAR_BLOCK_BYTES));
    *found = true;
    return 0;
}

static bool has_no_data(char type)
{
    return type >= '1' && type <= '6'; /* links, devices, folders, pipes */
}

static bool is_regular(char type)
{
    return type == '0' || type == 0 || type == '7';
}

int tar_reader_next(struct tar_reader *reader, struct tar_member *member, bool *found,
                    struct err *err)
{
    *found = false;
    int rc = skip(reader, reader->left + reader->padding, err);
    if (rc) return rc;
    reader->left = reader->padding = 0;
    struct extra extra = {0};
    for (int extras = 0; !reader->ended;) {
        struct tar_header header;
        bool more;
        rc = read_header(reader, &header, &more, err);
        if (rc) return rc;
        if (!more) {
            reader->ended = true;
            break;
        }
        int64_t size;
        if (!get_number(&size, header.size, sizeof header.size))
            return err_set(err, ERR_CORRUPT, "a tar member's size is no number");
        if (header.type == 'x' || header.type == 'g' || header.type == 'L') {
            if (++extras > EXTRAS_MAX)
                return err_set(err, ERR_CORRUPT, "more than %d headers before a tar member",
                               EXTRAS_MAX);
            rc = read_extra(reader, &extra, header.type, size, err);
            if (rc) return rc;
            continue;
        }
        if (extra.has_size) size = extra.size;
        if (!is_regular(header.type)) {
            if (!has_no_data(header.type))
                rc = skip(reader, size + (int64_t)tar_padding((uint64_t)size), err);
            if (rc) return rc;
            extra = (struct extra){0};
            extras = 0;
            continue;
        }
        if (!extra.has_name) plain_name(&extra, &header);
        memcpy(member->name, extra.name, sizeof member->name);
        member->bytes = reader->left = size;
        member->offset = reader->offset;
        reader->padding = (int64_t)tar_padding((uint64_t)size);
        *found = true;
        return 0;
    }
    return 0;
}

int tar_reader_jump(struct tar_reader *reader, int64_t archive_bytes, struct err *err)
{
    const int64_t bytes = reader->left + reader->padding;
    if (bytes > archive_bytes - reader->offset) return cut_short(reader, err);
    reader->offset += bytes;
    reader->left = reader->padding = 0;
    return 0;
}

int tar_reader_data(struct tar_reader *reader, void *dst, size_t bytes, size_t *got,
                    struct err *err)
{
    *got = 0;
    if ((uint64_t)bytes > (uint64_t)reader->left) bytes = (size_t)reader->left;
    if (!bytes) return 0;
    const int rc = fill(reader, dst, bytes, got, err);
    if (rc) return rc;
    reader->left -= (int64_t)*got;
    return *got < bytes ? cut_short(reader, err) : 0;
}

int tar_reader_all(struct tar_reader *reader, struct buf *out, size_t bytes_max, struct err *err)
{
    if ((uint64_t)reader->left > bytes_max)
        return err_set(err, ERR_LIMIT, "a tar member of %lld bytes is above the limit of %zu",
                       (long long)reader->left, bytes_max);
    /* In pieces: a header may claim what never comes. */
    while (reader->left > 0) {
        const size_t want = reader->left < CHUNK_BYTES ? (size_t)reader->left : CHUNK_BYTES;
        char *place = buf_reserve(out, want);
        if (!place) return err_set(err, ERR_LIMIT, "out of memory for a tar member");
        size_t got;
        const int rc = tar_reader_data(reader, place, want, &got, err);
        if (rc) return rc;
        buf_commit(out, got);
    }
    return 0;
}
