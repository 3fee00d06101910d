/* hostile_test.c - parquet files made by hand, byte by byte, that lie about themselves: each ends
 * in its own sentence. */
#include "common/base/buf.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "tests/support/test.h"
#include "worker/parquet/page.h"
#include "worker/parquet/parquet.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PAGES_MAX   3
#define BYTES(text) text, sizeof(text) - 1

/* A page of version 1. claimed: bytes after decompression; 0: as many as there are. */
struct made_page {
    int type; /* 0 data, 2 dictionary; -1: there is none */
    int64_t values;
    int encoding;
    const char *data;
    size_t bytes;
    int64_t claimed;
};

/* A file of one row group with one column "a". */
struct made {
    const char *want; /* rows, or part of the sentence */
    int physical, optional, codec;
    int64_t rows, values; /* values 0: as many as rows */
    struct made_page page[PAGES_MAX];
};

static void varint(struct buf *out, uint64_t value)
{
    for (; value > 127; value >>= 7) buf_byte(out, (char)((value & 127) | 128));
    buf_byte(out, (char)value);
}

/* A field's head (the step from the last id, and the type) and an integer. */
static void number(struct buf *out, int step, int type, int64_t value)
{
    buf_byte(out, (char)(step << 4 | type));
    varint(out, (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0));
}

static void begin(struct buf *out, int step, int type)
{
    buf_byte(out, (char)(step << 4 | type));
}

static void list(struct buf *out, int step, uint64_t count)
{
    begin(out, step, 9);
    buf_byte(out, (char)0xfc); /* of structures, the count follows */
    varint(out, count);
}

static void end(struct buf *out)
{
    buf_byte(out, 0);
}

static void name(struct buf *out, int step, const char *text)
{
    begin(out, step, 8);
    varint(out, strlen(text));
    buf_text(out, text);
}

static void add_page(struct buf *out, const struct made_page *page)
{
    number(out, 1, 5, page->type);
    number(out, 1, 5, page->claimed ? page->claimed : (int64_t)page->bytes);
    number(out, 1, 5, (int64_t)page->bytes);
    begin(out, page->type == 2 ? 4 : 2, 12);
    number(out, 1, 5, page->values);
    number(out, 1, 5, page->encoding);
    number(out, 1, 5, 3);
    number(out, 1, 5, 3);
    end(out);
    end(out);
    buf_add(out, page->data, page->bytes);
}

static void add_schema(struct buf *out, const struct made *made)
{
    list(out, 1, 2);
    name(out, 4, "root");
    number(out, 1, 5, 1);
    end(out);
    number(out, 1, 5, made->physical);
    number(out, 2, 5, made->optional);
    name(out, 1, "a");
    end(out);
}

static void finish(struct buf *out, size_t footer)
{
    const uint32_t bytes = (uint32_t)(out->len - footer);
    for (unsigned i = 0; i < 4; i++) buf_byte(out, (char)(bytes >> 8 * i));
    buf_text(out, "PAR1");
}

static void build(struct buf *out, const struct made *made)
{
    buf_text(out, "PAR1");
    for (size_t i = 0; i < PAGES_MAX; i++)
        if (made->page[i].data) add_page(out, &made->page[i]);
    const size_t footer = out->len;
    number(out, 1, 5, 1);
    add_schema(out, made);
    number(out, 1, 6, made->rows);
    list(out, 1, 1);
    list(out, 1, 1);
    begin(out, 3, 12); /* ColumnMetaData */
    number(out, 1, 5, made->physical);
    number(out, 3, 5, made->codec);
    number(out, 1, 6, made->values ? made->values : made->rows);
    number(out, 2, 6, (int64_t)footer - 4);
    number(out, 2, 6, 4);
    end(out);
    end(out);
    number(out, 2, 6, made->rows);
    end(out);
    end(out);
    finish(out, footer);
}

static int read_rows(struct buf *rows, const char *path, struct err *err)
{
    struct parquet *parquet = NULL;
    struct parquet_value value;
    bool found = true;
    int rc = parquet_open(&parquet, path, err);
    if (!rc) rc = parquet_want(parquet, (uint32_t[]){0}, 1, err);
    while (!rc && found) {
        rc = parquet_next(parquet, &value, &found, err);
        if (rc || !found) break;
        if (value.type == PARQUET_INT) buf_printf(rows, "%" PRId64, value.integer);
        if (value.type == PARQUET_TEXT) buf_add(rows, value.text.data, value.text.bytes);
        if (value.type == PARQUET_BOOL) buf_text(rows, value.truth ? "t" : "f");
        buf_byte(rows, ' ');
    }
    parquet_close(parquet);
    return rc;
}

/* Puts the file into a folder of the test's own and reads it; what it gave is in rows. */
static int try(struct buf *rows, const struct buf *file)
{
    const char *dir = test_dir_new();
    char path[300];
    struct err err;
    (void)snprintf(path, sizeof path, "%s/file", dir);
    EXPECT_OK(fs_put(path, file->data, file->len, &err), &err);
    const int rc = read_rows(rows, path, &err);
    if (rc) {
        buf_clear(rows);
        buf_text(rows, err.msg);
    }
    test_dir_remove(dir);
    return rc;
}

static void expect(const struct made *made)
{
    struct buf file, rows;
    buf_init(&file, 0);
    buf_init(&rows, 0);
    build(&file, made);
    const int rc = try(&rows, &file);
    const bool right =
        rc ? strstr(buf_str(&rows), made->want) != NULL : strcmp(buf_str(&rows), made->want) == 0;
    if (!right) print_message("want %s\ngot  %s\n", made->want, buf_str(&rows));
    EXPECT(right);
    buf_deinit(&file);
    buf_deinit(&rows);
}

enum { INT32 = 1, TEXT = 6, BOOLEAN = 0 };
enum { PLAIN = 0, RLE = 3, DELTA = 5, DELTA_LENGTH = 6, DELTA_TEXT = 7, WORDS = 8, SPLIT = 9 };
enum { NONE = 0, SNAPPY = 1, GZIP = 2, ZSTD = 6 };

TEST(hostile, pages_are_read_as_they_are)
{
    UNUSED_STATE;
    static const struct made cases[] = {
        {"1 -2 ", INT32, 0, 0, 2, 0, {{0, 2, PLAIN, BYTES("\1\0\0\0\xfe\xff\xff\xff"), 0}}},
        {"7  ", INT32, 1, 0, 2, 0, {{0, 2, PLAIN, BYTES("\2\0\0\0\3\1\7\0\0\0"), 0}}},
        {"x  yz ",
         TEXT,
         0,
         0,
         3,
         0,
         {{2, 3, PLAIN, BYTES("\1\0\0\0x\0\0\0\0\2\0\0\0yz"), 0},
          {0, 0, PLAIN, BYTES(""), 0},
          {0, 3, WORDS, BYTES("\2\3\x24\0"), 0}}},
        {"t t f ", BOOLEAN, 0, 0, 3, 0, {{0, 3, PLAIN, BYTES("\3"), 0}}},
        {"5 5 5 ", INT32, 0, 0, 3, 0, {{0, 3, DELTA, BYTES("\x80\1\4\3\x0a\0\0\0\0\0"), 0}}},
        {"258 ", INT32, 0, 0, 1, 0, {{0, 1, SPLIT, BYTES("\2\1\0\0"), 0}}},
        /* Prefixes 0 and 2, lengths 2 and 1: both lists have one difference, of no bits. */
        {"ab abc ",
         TEXT,
         0,
         0,
         2,
         0,
         {{0, 2, DELTA_TEXT, BYTES("\x80\1\4\2\0\4\0\0\0\0\x80\1\4\2\4\1\0\0\0\0abc"), 0}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) expect(&cases[i]);
}

TEST(hostile, pages_that_lie_are_refused)
{
    UNUSED_STATE;
    static const char one[] = "\1\0\0\0";
    static const struct made cases[] = {
        {"more than 128 MiB", INT32, 0, SNAPPY, 1, 0, {{0, 1, PLAIN, BYTES("x"), 200 << 20}}},
        {"negative length", INT32, 0, SNAPPY, 1, 0, {{0, 1, PLAIN, BYTES("x"), -5}}},
        {"negative number of values", INT32, 0, 0, 1, 0, {{0, -1, PLAIN, one, 4, 0}}},
        {"cannot be decompressed", INT32, 0, SNAPPY, 1, 0, {{0, 1, PLAIN, BYTES("xyz"), 4}}},
        {"cannot be decompressed", INT32, 0, GZIP, 1, 0, {{0, 1, PLAIN, BYTES("xyz"), 4}}},
        {"cannot be decompressed", INT32, 0, ZSTD, 1, 0, {{0, 1, PLAIN, BYTES("xyz"), 4}}},
        {"another length", INT32, 0, NONE, 1, 0, {{0, 1, PLAIN, one, 4, 8}}},
        {"LZO", INT32, 0, 3, 1, 0, {{0, 1, PLAIN, one, 4, 0}}},
        {"does not know", INT32, 0, 99, 1, 0, {{0, 1, PLAIN, one, 4, 0}}},
        {"too few values", INT32, 0, 0, 2, 0, {{0, 1, PLAIN, one, 4, 0}}},
        {"too many values", INT32, 0, 0, 1, 0, {{0, 2, PLAIN, one, 4, 0}}},
        {"another number of values", INT32, 0, 0, 1, 2, {{0, 1, PLAIN, one, 4, 0}}},
        {"cut short or broken", INT32, 0, 0, 1, 0, {{0, 1, PLAIN, one, 3, 0}}},
        {"cut short or broken", TEXT, 0, 0, 1, 0, {{0, 1, PLAIN, BYTES("\3\0\0\0xy"), 0}}},
        {"cut short or broken", TEXT, 0, 0, 1, 0, {{0, 1, PLAIN, BYTES("\xff\xff\xff\xff"), 0}}},
        {"cut short or broken", BOOLEAN, 0, 0, 9, 0, {{0, 9, PLAIN, BYTES("\1"), 0}}},
        {"nulls are cut short", INT32, 1, 0, 1, 0, {{0, 1, PLAIN, BYTES("\2\0\0"), 0}}},
        {"nulls are cut short", INT32, 1, 0, 1, 0, {{0, 1, PLAIN, BYTES("\x7f\0\0\0\2\1"), 0}}},
        {"nulls are cut short", INT32, 1, 0, 2, 0, {{0, 2, PLAIN, BYTES("\2\0\0\0\2\0"), 0}}},
        {"nulls are cut short", INT32, 1, 0, 1, 0, {{0, 1, PLAIN, BYTES("\2\0\0\0\2\5"), 0}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) expect(&cases[i]);
}

TEST(hostile, encodings_that_lie_are_refused)
{
    UNUSED_STATE;
    static const char one[] = "\1\0\0\0";
    static const struct made cases[] = {
        {"encoding 77", INT32, 0, 0, 1, 0, {{0, 1, 77, one, 4, 0}}},
        {"encoding 8", INT32, 0, 0, 1, 0, {{0, 1, WORDS, BYTES("\1\2\0"), 0}}},
        {"encoding 5", TEXT, 0, 0, 1, 0, {{0, 1, DELTA, BYTES("\x80\1\4\1\0"), 0}}},
        {"encoding 9", TEXT, 0, 0, 1, 0, {{0, 1, SPLIT, one, 4, 0}}},
        {"cannot be read", INT32, 0, 0, 1, 0, {{0, 1, SPLIT, one, 3, 0}}},
        {"cannot be read", INT32, 0, 0, 1, 0, {{0, 1, DELTA, BYTES("\0\1\1\0"), 0}}},
        {"cannot be read", INT32, 0, 0, 1, 0, {{0, 1, DELTA, BYTES("\x80\1\7\1\0"), 0}}},
        {"cut short or broken", INT32, 0, 0, 2, 0, {{0, 2, DELTA, BYTES("\x80\1\4\1\0"), 0}}},
        {"cut short or broken",
         INT32,
         0,
         0,
         2,
         0,
         {{0, 2, DELTA, BYTES("\x80\1\4\2\0\0\x41\0\0\0"), 0}}},
        {"cannot be read",
         TEXT,
         0,
         0,
         1,
         0,
         {{0, 1, DELTA_LENGTH, BYTES("\x80\1\4\xff\xff\xff\xff\x7f\0"), 0}}},
        {"cut short or broken",
         TEXT,
         0,
         0,
         1,
         0,
         {{0, 1, DELTA_LENGTH, BYTES("\x80\1\4\1\x08xyz"), 0}}},
        {"cut short or broken",
         TEXT,
         0,
         0,
         1,
         0,
         {{0, 1, DELTA_LENGTH, BYTES("\x80\1\4\1\1xyz"), 0}}},
        {"cut short or broken",
         TEXT,
         0,
         0,
         1,
         0,
         {{0, 1, DELTA_TEXT, BYTES("\x80\1\4\1\2\x80\1\4\1\2x"), 0}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) expect(&cases[i]);
}

TEST(hostile, dictionaries_that_lie_are_refused)
{
    UNUSED_STATE;
    static const char one[] = "\1\0\0\0";
    static const struct made cases[] = {
        {"cut short or broken",
         INT32,
         0,
         0,
         1,
         0,
         {{2, 1, PLAIN, one, 4, 0}, {0, 1, WORDS, BYTES("\1\2\1"), 0}}},
        {"values cannot be read",
         INT32,
         0,
         0,
         1,
         0,
         {{2, 1, PLAIN, one, 4, 0}, {0, 1, WORDS, BYTES("\x21\2\0\0\0\0\0"), 0}}},
        {"cut short or broken",
         INT32,
         0,
         0,
         1,
         0,
         {{2, 1, PLAIN, one, 4, 0}, {0, 1, WORDS, BYTES(""), 0}}},
        {"dictionary is cut short", INT32, 0, 0, 1, 0, {{2, 2, PLAIN, one, 4, 0}}},
        {"dictionary is cut short", INT32, 0, 0, 1, 0, {{2, 1LL << 40, PLAIN, one, 4, 0}}},
        {"dictionary is cut short", TEXT, 0, 0, 1, 0, {{2, 1, PLAIN, BYTES("\2\0\0\0x"), 0}}},
        {"dictionary is cut short", TEXT, 0, 0, 1, 0, {{2, 2, PLAIN, BYTES("\4\0\0\0abcd"), 0}}},
        {"dictionary has an encoding", INT32, 0, 0, 1, 0, {{2, 1, DELTA, one, 4, 0}}},
        {"booleans", BOOLEAN, 0, 0, 1, 0, {{2, 1, PLAIN, one, 4, 0}}},
        {"two dictionaries",
         INT32,
         0,
         0,
         1,
         0,
         {{2, 1, PLAIN, one, 4, 0}, {2, 1, PLAIN, one, 4, 0}}},
        {"too few values", INT32, 0, 0, 1, 0, {{2, 1, PLAIN, one, 4, 0}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) expect(&cases[i]);
}

/* Builds a footer, says how it ends, and forgets it. */
static void expect_footer(struct buf *file, const char *sentence)
{
    struct buf rows;
    finish(file, 4);
    buf_init(&rows, 0);
    EXPECT(try(&rows, file) != 0);
    if (!strstr(buf_str(&rows), sentence)) print_message("got %s\n", buf_str(&rows));
    EXPECT(strstr(buf_str(&rows), sentence));
    buf_deinit(&rows);
    buf_clear(file);
    buf_text(file, "PAR1");
}

TEST(hostile, footers_that_lie_are_refused)
{
    UNUSED_STATE;
    struct buf file;
    buf_init(&file, 0);
    buf_text(&file, "PAR1");
    expect_footer(&file, "cannot be read");
    end(&file);
    expect_footer(&file, "cannot be read");
    /* More columns than there may be, one byte each. */
    list(&file, 2, PARQUET_COLUMNS_MAX + 2);
    for (int i = 0; i < PARQUET_COLUMNS_MAX + 2; i++) end(&file);
    end(&file);
    expect_footer(&file, "more than 16384 columns");
    /* More than there are bytes. */
    list(&file, 2, UINT32_MAX);
    expect_footer(&file, "has no schema");
    list(&file, 2, 0);
    expect_footer(&file, "has no schema");
    /* Groups in groups, and a column that nothing announced. */
    list(&file, 2, 100);
    for (int i = 0; i < 100; i++) {
        name(&file, 4, "g");
        number(&file, 1, 5, 1);
        end(&file);
    }
    expect_footer(&file, "makes no sense");
    list(&file, 2, 2);
    for (int i = 0; i < 2; i++) {
        name(&file, 4, "g");
        end(&file);
    }
    expect_footer(&file, "makes no sense");
    /* A name with a zero byte. */
    list(&file, 2, 2);
    name(&file, 4, "root");
    number(&file, 1, 5, 1);
    end(&file);
    number(&file, 1, 5, INT32);
    begin(&file, 3, 8);
    varint(&file, 3);
    buf_add(&file, "a\0b", 3);
    end(&file);
    expect_footer(&file, "zero byte");
    /* Structures in structures, where nobody looks. */
    for (int i = 0; i < 1000; i++) begin(&file, 9, 12);
    expect_footer(&file, "cannot be read");
    /* Row groups with no or with too many rows. */
    const struct made made = {.physical = INT32};
    begin(&file, 1, 2);
    add_schema(&file, &made);
    list(&file, 2, 1);
    end(&file);
    expect_footer(&file, "row group that makes no sense");
    begin(&file, 1, 2);
    add_schema(&file, &made);
    list(&file, 2, 2);
    for (int i = 0; i < 2; i++) {
        number(&file, 3, 6, INT64_MAX);
        end(&file);
    }
    expect_footer(&file, "too many rows");
    begin(&file, 1, 2);
    add_schema(&file, &made);
    number(&file, 1, 6, 5);
    end(&file);
    expect_footer(&file, "other rows than its row groups");
    buf_deinit(&file);
}

/* All columns of a file share what their pages may take. */
TEST(hostile, pages_have_an_allowance)
{
    UNUSED_STATE;
    struct page_file file = {.fd = -1, .allowance = 1000};
    struct page_memory first = {0}, second = {0};
    struct err err;
    EXPECT_OK(page_memory_fit(&first, &file, 600, &err), &err);
    EXPECT_OK(page_memory_fit(&second, &file, 400, &err), &err);
    EXPECT_EQ(page_memory_fit(&second, &file, 401, &err), ERR_LIMIT);
    EXPECT(strstr(err.msg, "512 MiB"));
    page_memory_free(&first, &file);
    EXPECT_OK(page_memory_fit(&second, &file, 1000, &err), &err);
    EXPECT_OK(page_memory_fit(&second, &file, 10, &err), &err);
    EXPECT_EQ(file.allowance, 0);
    page_memory_free(&second, &file);
    EXPECT_EQ(file.allowance, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(hostile, pages_are_read_as_they_are),
        RUN(hostile, pages_that_lie_are_refused),
        RUN(hostile, encodings_that_lie_are_refused),
        RUN(hostile, dictionaries_that_lie_are_refused),
        RUN(hostile, footers_that_lie_are_refused),
        RUN(hostile, pages_have_an_allowance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
