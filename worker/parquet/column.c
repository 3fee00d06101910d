/* column.c - see column.h. A page is prepared as a whole, its values are decoded one by one. */
#include "worker/parquet/column.h"

#include "common/base/check.h"
#include "worker/parquet/bits.h"

#include <string.h>

enum { /* parquet.thrift, Encoding */
       ENCODING_PLAIN = 0,
       ENCODING_PLAIN_DICTIONARY = 2,
       ENCODING_RLE = 3,
       ENCODING_BIT_PACKED = 4,
       ENCODING_DELTA_BINARY_PACKED = 5,
       ENCODING_DELTA_LENGTH_BYTE_ARRAY = 6,
       ENCODING_DELTA_BYTE_ARRAY = 7,
       ENCODING_RLE_DICTIONARY = 8,
       ENCODING_BYTE_STREAM_SPLIT = 9,
};

void column_init(struct column *column, const struct meta_column *meta, struct page_file *file)
{
    *column = (struct column){.meta = meta, .file = file};
    buf_init(&column->text, (size_t)PARQUET_PAGE_BYTES_MAX);
}

void column_deinit(struct column *column)
{
    if (!column->file) return;
    page_memory_free(&column->page, column->file);
    page_memory_free(&column->dictionary, column->file);
    page_memory_free(&column->offsets, column->file);
    buf_deinit(&column->text);
}

static int broken(const char *what, struct err *err)
{
    return err_set(err, ERR_INVALID, "%s", what);
}

int column_begin(struct column *column, const struct meta_chunk *chunk, int64_t rows,
                 struct err *err)
{
    if (!chunk->found && !chunk->fault) return broken("a row group lacks it", err);
    if (chunk->fault) return err_set(err, ERR_INVALID, "it %s", chunk->fault);
    if (chunk->physical != (int64_t)column->meta->physical)
        return broken("a row group has it with another type", err);
    if (chunk->values != rows) return broken("a row group has another number of values", err);
    if (chunk->offset < 0 || chunk->bytes < 0 || chunk->offset > column->file->end ||
        chunk->bytes > column->file->end - chunk->offset)
        return broken("its pages stand outside the file", err);
    column->codec = chunk->codec;
    column->at = chunk->offset;
    column->end = chunk->offset + chunk->bytes;
    column->left = rows;
    column->page_left = 0;
    column->has_dictionary = false;
    return 0;
}

/* ---- dictionaries ---- */

/* Finds where each text of the dictionary stands: at its length. */
static int index_texts(struct column *column, size_t bytes, uint32_t words, struct err *err)
{
    const int rc = page_memory_fit(&column->offsets, column->file, (size_t)words * 4, err);
    size_t pos = 0;
    for (uint32_t i = 0; i < words && !rc; i++) {
        if (bytes - pos < 4) return broken("its dictionary is cut short", err);
        memcpy(column->offsets.data + (size_t)i * 4, &(uint32_t){(uint32_t)pos}, 4);
        const uint32_t text = bits_le32(column->dictionary.data + pos);
        pos += 4;
        if (text > bytes - pos) return broken("its dictionary is cut short", err);
        pos += text;
    }
    return rc;
}

static int take_dictionary(struct column *column, const struct page_header *header, struct err *err)
{
    const size_t bytes = (size_t)header->bytes, width = column->meta->width;
    if (header->encoding != ENCODING_PLAIN && header->encoding != ENCODING_PLAIN_DICTIONARY)
        return broken("its dictionary has an encoding that is not supported", err);
    if (column->has_dictionary) return broken("it has two dictionaries", err);
    if (column->meta->physical == META_BOOLEAN) return broken("booleans with a dictionary", err);
    /* Each entry has bytes, so that the number is bounded by the page. */
    if ((uint64_t)header->values > bytes / (width ? width : 4))
        return broken("its dictionary is cut short", err);
    int rc =
        page_body_read(&column->dictionary, header, column->file, column->codec, &column->at, err);
    if (!rc && !width) rc = index_texts(column, bytes, (uint32_t)header->values, err);
    column->words = (uint32_t)header->values;
    column->has_dictionary = !rc;
    return rc;
}

/* ---- pages ---- */

/* Levels and values of the page in memory. */
static int split_page(struct column *column, const struct page_header *header, struct err *err)
{
    const uint8_t *data = column->page.data;
    size_t bytes = (size_t)header->bytes, levels = (size_t)header->definition_bytes;
    column->has_levels = column->meta->shown.optional;
    if (header->type == PAGE_DATA_V2) {
        const size_t repetition = (size_t)header->repetition_bytes;
        data += repetition;
        bytes -= repetition;
    } else if (column->has_levels) {
        if (header->level_encoding != ENCODING_RLE)
            return broken("the encoding of its nulls is not supported", err);
        levels = bytes < 4 ? 0 : bits_le32(data);
        if (bytes < 4 || levels > bytes - 4) return broken("a page's nulls are cut short", err);
        data += 4;
        bytes -= 4;
    } else {
        levels = 0;
    }
    (void)rle_init(&column->levels, data, levels, 1);
    column->data = data + levels;
    column->bytes = bytes - levels;
    return 0;
}

/* Two streams of lengths, and then the texts. */
static bool begin_texts(struct column *column, uint64_t values)
{
    struct delta end;
    const uint8_t *data = column->data;
    size_t bytes = column->bytes;
    if (column->encoding == ENCODING_DELTA_BYTE_ARRAY) {
        if (!delta_init(&column->prefixes, data, bytes)) return false;
        end = column->prefixes;
        if (end.left > values || !delta_end(&end)) return false;
        data += end.pos;
        bytes -= end.pos;
        buf_clear(&column->text);
    }
    if (!delta_init(&column->numbers, data, bytes)) return false;
    end = column->numbers;
    if (end.left > values || !delta_end(&end)) return false;
    column->pos = column->bytes - (bytes - end.pos);
    return true;
}

/* Whether values of the column's type come in the page's encoding at all. */
static bool encoding_fits(const struct column *column)
{
    const enum meta_physical type = column->meta->physical;
    switch (column->encoding) {
    case ENCODING_PLAIN:
        return true;
    case ENCODING_PLAIN_DICTIONARY:
    case ENCODING_RLE_DICTIONARY:
        return column->has_dictionary;
    case ENCODING_RLE:
        return type == META_BOOLEAN;
    case ENCODING_DELTA_BINARY_PACKED:
        return type == META_INT32 || type == META_INT64;
    case ENCODING_DELTA_LENGTH_BYTE_ARRAY:
        return type == META_BYTE_ARRAY;
    case ENCODING_DELTA_BYTE_ARRAY:
        return type == META_BYTE_ARRAY || type == META_FIXED;
    case ENCODING_BYTE_STREAM_SPLIT:
        return type != META_FIXED && column->meta->width != 0;
    default:
        return false;
    }
}

/* Makes the page's values ready, whose first byte may be missing: all may be null. */
static int begin_values(struct column *column, const struct page_header *header, struct err *err)
{
    const uint8_t *data = column->data;
    bool fine = true;
    column->encoding = header->encoding;
    column->pos = 0;
    column->count = 0;
    if (!encoding_fits(column))
        return err_set(err, ERR_INVALID,
                       "a page has the encoding %lld, which is not supported here",
                       (long long)column->encoding);
    switch (column->encoding) {
    case ENCODING_PLAIN_DICTIONARY:
    case ENCODING_RLE_DICTIONARY:
        column->pos = column->bytes != 0;
        fine = rle_init(&column->indices, data + column->pos, column->bytes - column->pos,
                        column->bytes ? data[0] : 0);
        break;
    case ENCODING_RLE:
        if (column->bytes) { /* the length of what follows */
            fine = column->bytes >= 4 && bits_le32(data) <= column->bytes - 4;
            column->pos = fine ? 4 : 0;
        }
        (void)rle_init(&column->indices, data + column->pos, column->bytes - column->pos, 1);
        break;
    case ENCODING_DELTA_BINARY_PACKED:
        column->numbers = (struct delta){0};
        fine = !column->bytes || delta_init(&column->numbers, data, column->bytes);
        break;
    case ENCODING_DELTA_LENGTH_BYTE_ARRAY:
    case ENCODING_DELTA_BYTE_ARRAY:
        column->numbers = column->prefixes = (struct delta){0};
        fine = !column->bytes || begin_texts(column, (uint64_t)header->values);
        break;
    case ENCODING_BYTE_STREAM_SPLIT:
        fine = column->bytes % column->meta->width == 0;
        break;
    default:
        break;
    }
    return fine ? 0 : broken("a page's values cannot be read", err);
}

static int take_page(struct column *column, const struct page_header *header, struct err *err)
{
    if (header->values > column->left) return broken("its pages have too many values", err);
    int rc = page_body_read(&column->page, header, column->file, column->codec, &column->at, err);
    if (!rc) rc = split_page(column, header, err);
    if (!rc) rc = begin_values(column, header, err);
    column->left -= header->values;
    column->page_left = header->values;
    return rc;
}

/* Goes on to a page with values. */
static int next_page(struct column *column, struct err *err)
{
    int rc = 0;
    while (!rc && column->page_left == 0) {
        struct page_header header;
        if (column->at == column->end || column->left == 0)
            return broken("its pages have too few values", err);
        rc = page_header_read(&header, column->file, &column->at, column->end, err);
        if (rc) break;
        if (header.type == PAGE_DATA || header.type == PAGE_DATA_V2)
            rc = take_page(column, &header, err);
        else if (header.type == PAGE_DICTIONARY)
            rc = take_dictionary(column, &header, err);
        else
            column->at += header.compressed_bytes;
    }
    return rc;
}

/* ---- values ---- */

static void set_integer(const struct column *column, struct parquet_value *value, uint64_t bits)
{
    value->type = column->meta->shown.type;
    if (value->type == PARQUET_UNSIGNED)
        value->natural = bits;
    else if (column->meta->physical == META_INT64)
        value->integer = (int64_t)bits;
    else if (column->meta->is_unsigned)
        value->integer = (uint32_t)bits;
    else
        value->integer = (int32_t)(uint32_t)bits;
}

/* A value that stands in bytes, as PLAIN has it (a text without its length). */
static void set_plain(const struct column *column, struct parquet_value *value, const uint8_t *data,
                      size_t bytes)
{
    float single;
    uint64_t bits;
    value->type = column->meta->shown.type;
    switch (column->meta->physical) {
    case META_INT32:
        set_integer(column, value, bits_le32(data));
        break;
    case META_INT64:
        set_integer(column, value, bits_le64(data));
        break;
    case META_FLOAT:
        memcpy(&single, &(uint32_t){bits_le32(data)}, sizeof single);
        value->number = (double)single;
        break;
    case META_DOUBLE:
        bits = bits_le64(data);
        memcpy(&value->number, &bits, sizeof bits);
        break;
    case META_BYTE_ARRAY:
    case META_FIXED:
        value->text.data = (const char *)data;
        value->text.bytes = bytes;
        break;
    case META_BOOLEAN:
    case META_INT96:
    case META_PHYSICAL_COUNT:
        CHECK(false);
    }
}

static void set_truth(struct parquet_value *value, bool truth)
{
    value->type = PARQUET_BOOL;
    value->truth = truth;
}

static bool next_plain(struct column *column, struct parquet_value *value)
{
    const uint8_t *data = column->data + column->pos;
    const size_t left = column->bytes - column->pos;
    size_t bytes = column->meta->width;
    if (column->meta->physical == META_BOOLEAN) {
        if (column->count / 8 >= column->bytes) return false;
        set_truth(value, bits_get(column->data, column->count, 1) != 0);
        return true;
    }
    if (column->meta->physical == META_BYTE_ARRAY) {
        if (left < 4 || bits_le32(data) > left - 4) return false;
        bytes = bits_le32(data);
        data += 4;
        column->pos += 4;
    } else if (bytes > left) {
        return false;
    }
    column->pos += bytes;
    set_plain(column, value, data, bytes);
    return true;
}

static bool next_word(struct column *column, struct parquet_value *value)
{
    uint32_t index, offset;
    const size_t width = column->meta->width;
    if (!rle_next(&column->indices, &index) || index >= column->words) return false;
    if (width) {
        set_plain(column, value, column->dictionary.data + index * width, width);
        return true;
    }
    memcpy(&offset, column->offsets.data + (size_t)index * 4, sizeof offset);
    const uint8_t *text = column->dictionary.data + offset;
    set_plain(column, value, text + 4, bits_le32(text));
    return true;
}

static bool next_truth(struct column *column, struct parquet_value *value)
{
    uint32_t bit;
    if (!rle_next(&column->indices, &bit)) return false;
    set_truth(value, bit != 0);
    return true;
}

/* A text behind lengths; with prefixes, what it shares with the last one is not repeated. */
static bool next_text(struct column *column, struct parquet_value *value)
{
    int64_t length, shared = 0;
    const uint8_t *data = column->data + column->pos;
    if (!delta_next(&column->numbers, &length)) return false;
    if (length < 0 || (uint64_t)length > column->bytes - column->pos) return false;
    column->pos += (size_t)length;
    if (column->encoding == ENCODING_DELTA_LENGTH_BYTE_ARRAY) {
        set_plain(column, value, data, (size_t)length);
        return true;
    }
    if (!delta_next(&column->prefixes, &shared)) return false;
    if (shared < 0 || (uint64_t)shared > column->text.len) return false;
    column->text.len = (size_t)shared;
    buf_add(&column->text, data, (size_t)length);
    if (buf_failed(&column->text)) return false;
    if (column->meta->width && column->text.len != column->meta->width) return false;
    set_plain(column, value, (const uint8_t *)buf_str(&column->text), column->text.len);
    return true;
}

static bool next_delta(struct column *column, struct parquet_value *value)
{
    int64_t integer;
    if (!delta_next(&column->numbers, &integer)) return false;
    set_integer(column, value, (uint64_t)integer);
    return true;
}

/* The first bytes of all values, then the second ones, and so on. */
static bool next_split(struct column *column, struct parquet_value *value)
{
    uint8_t bytes[8] = {0};
    const size_t width = column->meta->width, stride = column->bytes / width;
    CHECK(width <= sizeof bytes);
    if (column->count >= stride) return false;
    for (size_t i = 0; i < width; i++) bytes[i] = column->data[i * stride + column->count];
    set_plain(column, value, bytes, width);
    return true;
}

static bool next_value(struct column *column, struct parquet_value *value)
{
    switch (column->encoding) {
    case ENCODING_PLAIN:
        return next_plain(column, value);
    case ENCODING_RLE:
        return next_truth(column, value);
    case ENCODING_DELTA_BINARY_PACKED:
        return next_delta(column, value);
    case ENCODING_DELTA_LENGTH_BYTE_ARRAY:
    case ENCODING_DELTA_BYTE_ARRAY:
        return next_text(column, value);
    case ENCODING_BYTE_STREAM_SPLIT:
        return next_split(column, value);
    default:
        return next_word(column, value);
    }
}

int column_next(struct column *column, struct parquet_value *value, struct err *err)
{
    uint32_t level = 1;
    if (column->page_left == 0) {
        const int rc = next_page(column, err);
        if (rc) return rc;
    }
    column->page_left--;
    *value = (struct parquet_value){.type = PARQUET_NULL};
    if (column->has_levels && !rle_next(&column->levels, &level))
        return broken("a page's nulls are cut short", err);
    if (!level) return 0;
    if (!next_value(column, value)) return broken("a page's values are cut short or broken", err);
    column->count++;
    return 0;
}
