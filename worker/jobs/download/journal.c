/* journal.c - records, cursors and the digest: see journal.h. */
#include "worker/jobs/download/journal.h"

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/id.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "proto/schema/jobs/download.pb-c.h"
#include "worker/jobs/download/limits.h"
#include "worker/jobs/download/options.h"

#include <string.h>

/* Counted on where records or the files come to mean something else. */
#define FORMAT 1

/* Of bytes and ms of one row: more than any has, and the sums over a shard stay in range. */
#define ROW_MAX ((int64_t)1 << 40)
_Static_assert(DOWNLOAD_SHARD_ROWS_MAX <= INT64_MAX / ROW_MAX, "a tally does not overflow");

/* X(field of the outcome, its type, the largest value): in the order of the record. */
#define OUTCOME(X)                                         \
    X(status, uint32_t, STATUSES_COUNT - 1)                \
    X(http_status, int32_t, INT32_MAX)                     \
    X(format, enum decode_format, DECODE_FORMAT_COUNT - 1) \
    X(original_width, uint32_t, UINT32_MAX)                \
    X(original_height, uint32_t, UINT32_MAX)               \
    X(width, uint32_t, UINT32_MAX)                         \
    X(height, uint32_t, UINT32_MAX)                        \
    X(warnings, uint32_t, UINT32_MAX)                      \
    X(reduced, uint32_t, UINT32_MAX)                       \
    X(resized, bool, 1)                                    \
    X(cropped, bool, 1)                                    \
    X(padded, bool, 1)                                     \
    X(blurred, bool, 1)                                    \
    X(kept, bool, 1)                                       \
    X(shared, bool, 1)                                     \
    X(named, bool, 1)                                      \
    X(body_bytes, int64_t, ROW_MAX)                        \
    X(sample_bytes, int64_t, ROW_MAX)                      \
    X(tries, int64_t, ROW_MAX)                             \
    X(fetch_ms, int64_t, ROW_MAX)

/* Behind the outcome; a part is in memory when it is read. */
#define BYTES(X)                        \
    X(samples_bytes, uint64_t, ROW_MAX) \
    X(line_bytes, uint64_t, ROW_MAX)    \
    X(times_bytes, uint64_t, ROW_MAX)

#define NAME(field, type, max) NUMBER_##field,
enum { OUTCOME(NAME) BYTES(NAME) NUMBERS_COUNT };
#undef NAME
_Static_assert(NUMBERS_COUNT <= JOURNAL_NUMBERS, "a record holds all of a row");

static uint8_t *put(uint8_t *to, uint64_t value)
{
    for (uint32_t i = 0; i < 8; i++) *to++ = (uint8_t)(value >> 8 * i);
    return to;
}

static uint64_t get(const uint8_t **from)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < 8; i++) value |= (uint64_t)(*from)[i] << 8 * i;
    *from += 8;
    return value;
}

void journal_pack(uint8_t dst[JOURNAL_BYTES], const struct journal_row *row)
{
    uint8_t *to = dst;
    memset(dst, 0, JOURNAL_BYTES);
#define PUT(field, type, max) to = put(to, (uint64_t)row->outcome.field);
    OUTCOME(PUT)
#undef PUT
#define PUT(field, type, max) to = put(to, row->field);
    BYTES(PUT)
#undef PUT
    CHECK(to <= dst + JOURNAL_BYTES);
}

bool journal_unpack(struct journal_row *row, const uint8_t src[JOURNAL_BYTES])
{
    uint64_t value;
    *row = (struct journal_row){0};
#define GET(field, type, max)                  \
    value = get(&src);                         \
    if (value > (uint64_t)(max)) return false; \
    row->outcome.field = (type)value;
    OUTCOME(GET)
#undef GET
#define GET(field, type, max)                  \
    value = get(&src);                         \
    if (value > (uint64_t)(max)) return false; \
    row->field = value;
    BYTES(GET)
#undef GET
    return true;
}

const uint8_t *journal_cursor_pack(struct arena *arena, const struct journal_cursor *cursor,
                                   size_t *bytes)
{
    struct journal_cursor copy = *cursor; /* protobuf-c's fields are not const */
    Vlmq__Jobs__DownloadCursor message = VLMQ__JOBS__DOWNLOAD_CURSOR__INIT;
    message.lease = copy.lease;
    message.before = copy.before;
    message.rows = copy.rows;
    message.start_ms = (uint64_t)copy.start_at_ms;
    message.digest = (ProtobufCBinaryData){sizeof copy.digest, copy.digest};
    *bytes = vlmq__jobs__download_cursor__get_packed_size(&message);
    uint8_t *packed = arena_try(arena, *bytes);
    if (packed) (void)vlmq__jobs__download_cursor__pack(&message, packed);
    return packed;
}

static bool fill(struct journal_cursor *cursor, const Vlmq__Jobs__DownloadCursor *message)
{
    if (!id_lease_valid(message->lease)) return false;
    if (message->before[0] && !id_lease_valid(message->before)) return false;
    if (str_eq(message->lease, message->before)) return false;
    if (message->rows == 0 || message->rows > DOWNLOAD_SHARD_ROWS_MAX) return false;
    if (message->digest.len != sizeof cursor->digest) return false;
    if (message->start_ms > INT64_MAX) return false;
    cursor->rows = message->rows;
    cursor->start_at_ms = (int64_t)message->start_ms;
    memcpy(cursor->digest, message->digest.data, sizeof cursor->digest);
    return str_copy(cursor->lease, sizeof cursor->lease, message->lease) &&
           str_copy(cursor->before, sizeof cursor->before, message->before);
}

bool journal_cursor_unpack(struct journal_cursor *cursor, const uint8_t *data, size_t bytes)
{
    struct arena arena;
    arena_init(&arena, CURSOR_BYTES_MAX * 4);
    struct arena_lender lender = {.arena = &arena};
    ProtobufCAllocator allocator = {arena_lend, arena_take_back, &lender};
    *cursor = (struct journal_cursor){0};
    const Vlmq__Jobs__DownloadCursor *message =
        vlmq__jobs__download_cursor__unpack(&allocator, bytes, data);
    const bool valid = message && fill(cursor, message);
    arena_deinit(&arena);
    return valid;
}

int journal_flush(uint8_t digest[32], struct store_file *const *file, uint32_t count,
                  struct err *err)
{
    /* What numbers and lines mean is the business of one version, and of the tables in it. */
    static const char version[] = "vlmq " VLMQ_VERSION;
    static const uint64_t format[] = {FORMAT, STATUSES_COUNT, NUMBERS_COUNT};
    uint8_t part[8 + HASH_SHA256_BYTES];
    struct hash *hash = hash_new();
    int rc = 0;
    hash_add(hash, version, sizeof version);
    for (uint32_t i = 0; i < sizeof format / sizeof *format; i++) {
        (void)put(part, format[i]);
        hash_add(hash, part, 8);
    }
    for (uint32_t i = 0; i < count && !rc; i++) {
        int64_t bytes = 0;
        rc = store_file_flush(file[i], &bytes, part + 8, err);
        (void)put(part, (uint64_t)bytes);
        if (!rc) hash_add(hash, part, sizeof part);
    }
    hash_end(hash, digest);
    hash_free(hash);
    return rc;
}
