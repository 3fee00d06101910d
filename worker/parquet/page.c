/* page.c - see page.h; codecs are libsnappy, zlib and libzstd, which are told how much may come. */
#include "worker/parquet/page.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "worker/parquet/parquet.h"
#include "worker/parquet/thrift.h"

#include <errno.h>
#include <snappy-c.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

/* Headers have some tens of bytes, and statistics, which may quote long texts. */
#define HEADER_BYTES     (4 * 1024)
#define HEADER_BYTES_MAX (16 * 1024 * 1024)
#define GZIP_OR_ZLIB     (15 + 32)

enum { /* parquet.thrift, CompressionCodec */
       CODEC_NONE,
       CODEC_SNAPPY,
       CODEC_GZIP,
       CODEC_LZO,
       CODEC_BROTLI,
       CODEC_LZ4,
       CODEC_ZSTD,
       CODEC_LZ4_RAW,
       CODECS_COUNT
};

int page_memory_fit(struct page_memory *memory, struct page_file *file, size_t bytes,
                    struct err *err)
{
    if (bytes == 0) bytes = 1; /* an empty page has a place too */
    if (memory->data && bytes <= memory->bytes) return 0;
    page_memory_free(memory, file);
    if (bytes > (uint64_t)file->allowance)
        return err_set(err, ERR_LIMIT,
                       "its pages need more than %lld MiB of memory: write it with smaller pages",
                       (long long)(PARQUET_BYTES_MAX >> 20));
    memory->data = mem_try(bytes);
    if (!memory->data) return err_set(err, ERR_LIMIT, "no memory for a page");
    memory->bytes = bytes;
    file->allowance -= (int64_t)bytes;
    return 0;
}

void page_memory_free(struct page_memory *memory, struct page_file *file)
{
    mem_free(memory->data);
    file->allowance += (int64_t)memory->bytes;
    *memory = (struct page_memory){0};
}

int page_file_read(const struct page_file *file, void *dst, size_t bytes, int64_t at,
                   struct err *err)
{
    uint8_t *to = dst;
    while (bytes) {
        const ssize_t n = pread(file->fd, to, bytes, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return err_errno(err, errno, "read");
        if (n == 0) return err_set(err, ERR_INVALID, "it was cut short while it was read");
        to += n;
        at += n;
        bytes -= (size_t)n;
    }
    return 0;
}

static int broken(const char *what, struct err *err)
{
    return err_set(err, ERR_INVALID, "a page %s", what);
}

/* DataPageHeader, DictionaryPageHeader or DataPageHeaderV2: version 2 numbers its fields anew. */
static void read_details(struct thrift *thrift, struct page_header *header, bool v2)
{
    struct thrift_field field = {0};
    const int encoding = v2 ? 4 : 2;
    while (thrift_next(thrift, &field)) {
        if (field.id == 7 && v2) {
            header->is_compressed = field.type == THRIFT_TRUE;
            thrift_skip(thrift, field.type);
        } else if (field.id == 1) {
            header->values = thrift_field_int(thrift, &field);
        } else if (field.id == encoding) {
            header->encoding = thrift_field_int(thrift, &field);
        } else if (field.id == 3 && !v2) {
            header->level_encoding = thrift_field_int(thrift, &field);
        } else if (field.id == 5 && v2) {
            header->definition_bytes = thrift_field_int(thrift, &field);
        } else if (field.id == 6 && v2) {
            header->repetition_bytes = thrift_field_int(thrift, &field);
        } else {
            thrift_skip(thrift, field.type);
        }
    }
}

static void read_header(struct thrift *thrift, struct page_header *header)
{
    struct thrift_field field = {0};
    *header = (struct page_header){.type = -1, .is_compressed = true};
    while (thrift_next(thrift, &field)) {
        switch (field.id) {
        case 1:
            header->type = thrift_field_int(thrift, &field);
            break;
        case 2:
            header->bytes = thrift_field_int(thrift, &field);
            break;
        case 3:
            header->compressed_bytes = thrift_field_int(thrift, &field);
            break;
        case 4:
            header->has_crc = true;
            header->crc = (uint32_t)thrift_field_int(thrift, &field);
            break;
        case 5:
        case 7:
        case 8:
            if (thrift_field_struct(thrift, &field)) read_details(thrift, header, field.id == 8);
            break;
        default:
            thrift_skip(thrift, field.type);
        }
    }
}

static int check_header(const struct page_header *header, int64_t room, struct err *err)
{
    if (header->compressed_bytes < 0 || header->compressed_bytes > room)
        return broken("is longer than its column", err);
    if (header->bytes < 0) return broken("has a negative length", err);
    if (header->bytes > PARQUET_PAGE_BYTES_MAX || header->compressed_bytes > PARQUET_PAGE_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "a page has more than %lld MiB: write it with smaller pages",
                       (long long)(PARQUET_PAGE_BYTES_MAX >> 20));
    if (header->values < 0) return broken("has a negative number of values", err);
    return 0;
}

int page_header_read(struct page_header *header, struct page_file *file, int64_t *at, int64_t end,
                     struct err *err)
{
    CHECK(*at <= end);
    for (size_t want = HEADER_BYTES;; want *= 8) {
        const int64_t left = end - *at;
        const size_t bytes = (uint64_t)left < want ? (size_t)left : want;
        int rc = page_memory_fit(&file->raw, file, want, err);
        if (!rc) rc = page_file_read(file, file->raw.data, bytes, *at, err);
        if (rc) return rc;
        struct thrift thrift = {.data = file->raw.data, .bytes = bytes};
        read_header(&thrift, header);
        if (!thrift.failed) {
            *at += (int64_t)thrift.pos;
            return check_header(header, end - *at, err);
        }
        if (bytes < want || want * 8 > HEADER_BYTES_MAX)
            return broken("has a header that makes no sense", err);
    }
}

static bool inflate_all(uint8_t *dst, size_t dst_bytes, const uint8_t *src, size_t src_bytes)
{
    z_stream zip = {.next_in = (Bytef *)(uintptr_t)src, .avail_in = (uInt)src_bytes};
    if (inflateInit2(&zip, GZIP_OR_ZLIB) != Z_OK) return false;
    zip.next_out = dst;
    zip.avail_out = (uInt)dst_bytes;
    const int rc = inflate(&zip, Z_FINISH);
    const bool whole = rc == Z_STREAM_END && zip.avail_out == 0;
    (void)inflateEnd(&zip);
    return whole;
}

static bool decompress(int64_t codec, uint8_t *dst, size_t dst_bytes, const uint8_t *src,
                       size_t src_bytes)
{
    size_t got = dst_bytes;
    switch (codec) {
    case CODEC_SNAPPY:
        return snappy_uncompressed_length((const char *)src, src_bytes, &got) == SNAPPY_OK &&
               got == dst_bytes &&
               snappy_uncompress((const char *)src, src_bytes, (char *)dst, &got) == SNAPPY_OK;
    case CODEC_GZIP:
        return inflate_all(dst, dst_bytes, src, src_bytes);
    case CODEC_ZSTD:
        return ZSTD_decompress(dst, dst_bytes, src, src_bytes) == dst_bytes;
    default:
        return false;
    }
}

static int check_codec(int64_t codec, struct err *err)
{
    static const char *const names[CODECS_COUNT] = {[CODEC_LZO] = "LZO",
                                                    [CODEC_BROTLI] = "Brotli",
                                                    [CODEC_LZ4] = "LZ4",
                                                    [CODEC_LZ4_RAW] = "LZ4"};
    if (codec < 0 || codec >= CODECS_COUNT)
        return broken("is compressed in a way that this reader does not know", err);
    if (!names[codec]) return 0;
    return err_set(err, ERR_INVALID,
                   "compressed with %s, which is not supported: use snappy, gzip, zstd or none",
                   names[codec]);
}

static int check_crc(const struct page_header *header, const uint8_t *raw, struct err *err)
{
    if (!header->has_crc) return 0;
    const uLong crc = crc32(0, raw, (uInt)header->compressed_bytes);
    return crc == header->crc ? 0 : broken("is damaged: its checksum differs", err);
}

/* The bytes of levels, in a page of version 2. */
static bool levels_fit(const struct page_header *header, size_t *levels)
{
    const int64_t definition = header->definition_bytes, repetition = header->repetition_bytes;
    if (definition < 0 || repetition < 0) return false;
    if (definition > header->bytes || repetition > header->bytes) return false;
    *levels = (size_t)(definition + repetition);
    return *levels <= (size_t)header->bytes && *levels <= (size_t)header->compressed_bytes;
}

int page_body_read(struct page_memory *body, const struct page_header *header,
                   struct page_file *file, int64_t codec, int64_t *at, struct err *err)
{
    const size_t bytes = (size_t)header->bytes, raw_bytes = (size_t)header->compressed_bytes;
    const bool v2 = header->type == PAGE_DATA_V2;
    int rc = check_codec(codec, err);
    if (rc) return rc;
    size_t plain = 0;
    if (v2 && !levels_fit(header, &plain))
        return broken("has more bytes of levels than bytes", err);
    rc = page_memory_fit(&file->raw, file, raw_bytes, err);
    if (!rc) rc = page_memory_fit(body, file, bytes, err);
    if (!rc) rc = page_file_read(file, file->raw.data, raw_bytes, *at, err);
    if (!rc) rc = check_crc(header, file->raw.data, err);
    if (rc) return rc;
    CHECK(body->data != NULL);
    CHECK(file->raw.data != NULL);
    *at += header->compressed_bytes;
    const bool as_it_is = codec == CODEC_NONE || !header->is_compressed;
    if (as_it_is && bytes != raw_bytes) return broken("has another length than it says", err);
    if (as_it_is) {
        memcpy(body->data, file->raw.data, bytes);
        return 0;
    }
    memcpy(body->data, file->raw.data, plain);
    if (bytes == plain) return 0; /* no values: some writers compress nothing to nothing */
    if (decompress(codec, body->data + plain, bytes - plain, file->raw.data + plain,
                   raw_bytes - plain))
        return 0;
    return broken("cannot be decompressed", err);
}
