/* parquet_test.c - files of pyarrow and DuckDB give the rows that tests/golden/parquet.py wrote
 * down for them, and files that are broken anywhere give a sentence. */
#include "worker/parquet/parquet.h"

#include "common/base/fs.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "tests/support/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COLUMNS_MAX 32
#define PATH_BYTES  400

static void golden(char path[PATH_BYTES], const char *name)
{
    (void)snprintf(path, PATH_BYTES, "%s/golden/parquet/%s", TESTS_DIR, name);
}

static void add_value(struct buf *out, const struct parquet_value *value)
{
    uint64_t bits;
    switch (value->type) {
    case PARQUET_NULL:
        buf_byte(out, '-');
        break;
    case PARQUET_BOOL:
        buf_text(out, value->truth ? "true" : "false");
        break;
    case PARQUET_INT:
        buf_printf(out, "%" PRId64, value->integer);
        break;
    case PARQUET_UNSIGNED:
        buf_printf(out, "%" PRIu64, value->natural);
        break;
    case PARQUET_FLOAT:
    case PARQUET_DOUBLE:
        memcpy(&bits, &value->number, sizeof bits);
        buf_printf(out, "%016" PRIx64, bits);
        break;
    case PARQUET_TEXT:
        buf_printf(out, "%zu:", value->text.bytes);
        buf_add(out, value->text.data, value->text.bytes);
        break;
    }
}

/* Wants all columns that can be read. */
static uint32_t want_all(struct parquet *parquet, struct err *err, int *rc)
{
    uint32_t columns[COLUMNS_MAX], count = 0;
    for (uint32_t i = 0; i < parquet_columns(parquet) && count < COLUMNS_MAX; i++)
        if (!parquet_column(parquet, i)->fault) columns[count++] = i;
    *rc = parquet_want(parquet, columns, count, err);
    return count;
}

/* Reads a whole file as text; returns the code of the first error. */
static int read_all(struct buf *out, const char *path, uint32_t *columns, int64_t *rows,
                    struct err *err)
{
    struct parquet *parquet = NULL;
    struct parquet_value values[COLUMNS_MAX];
    bool found = true;
    buf_clear(out);
    *rows = 0;
    int rc = parquet_open(&parquet, path, err);
    if (!rc) *columns = want_all(parquet, err, &rc);
    while (!rc && found) {
        rc = parquet_next(parquet, values, &found, err);
        if (rc || !found) break;
        for (uint32_t i = 0; i < *columns; i++) {
            if (i) buf_byte(out, '|');
            add_value(out, &values[i]);
        }
        buf_byte(out, '\n');
        ++*rows;
    }
    if (!rc) EXPECT_EQ(*rows, parquet_rows(parquet));
    parquet_close(parquet);
    return rc;
}

TEST(parquet, rows_are_those_that_were_written)
{
    UNUSED_STATE;
    char path[PATH_BYTES], name[64], digest[65], found[HASH_SHA256_TEXT];
    struct buf text;
    struct err err;
    int64_t rows, want_rows;
    uint32_t columns = 0, want_columns, files = 0;
    golden(path, "expected.txt");
    FILE *expected = fopen(path, "r");
    EXPECT(expected != NULL);
    buf_init(&text, 0);
    while (fscanf(expected, "%63s %" SCNd64 " %" SCNu32 " %64s", name, &want_rows, &want_columns,
                  digest) == 4) {
        golden(path, name);
        const int rc = read_all(&text, path, &columns, &rows, &err);
        if (rc) print_message("%s\n", name);
        EXPECT_OK(rc, &err);
        EXPECT_EQ(rows, want_rows);
        EXPECT_EQ(columns, want_columns);
        hash_sha256_text(found, buf_str(&text), text.len);
        if (strcmp(found, digest) != 0) print_message("%s:\n%.3000s", name, buf_str(&text));
        EXPECT_TEXT(found, digest);
        files++;
    }
    EXPECT(files > 30);
    buf_deinit(&text);
    EXPECT_EQ(fclose(expected), 0);
}

TEST(parquet, columns_have_names_types_and_faults)
{
    UNUSED_STATE;
    static const struct {
        const char *name, *fault;
        enum parquet_type type;
    } want[] = {
        {"first", NULL, PARQUET_INT},
        {"list", "is nested", PARQUET_NULL},
        {"struct", "is nested", PARQUET_NULL},
        {"map", "is nested", PARQUET_NULL},
        {"decimal", "is of the type DECIMAL", PARQUET_NULL},
        {"float16", "is of the type FLOAT16", PARQUET_NULL},
        {"uuid", "is of the type UUID", PARQUET_NULL},
        {"date", NULL, PARQUET_INT},
        {"time", NULL, PARQUET_INT},
        {"last", NULL, PARQUET_TEXT},
    };
    char path[PATH_BYTES];
    struct parquet *parquet = NULL;
    struct err err;
    golden(path, "types.parquet");
    EXPECT_OK(parquet_open(&parquet, path, &err), &err);
    EXPECT_EQ(parquet_columns(parquet), sizeof want / sizeof want[0]);
    for (uint32_t i = 0; i < parquet_columns(parquet); i++) {
        const struct parquet_column *column = parquet_column(parquet, i);
        EXPECT_TEXT(column->name, want[i].name);
        EXPECT(str_eq(column->fault, want[i].fault));
        EXPECT_EQ(column->type, want[i].type);
        EXPECT(column->optional);
    }
    EXPECT_EQ(parquet_want(parquet, (uint32_t[]){9, 4}, 2, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "types.parquet: column \"decimal\": is of the type DECIMAL"));
    /* Another choice, in another order; and from the first row again. */
    for (int i = 0; i < 2; i++) {
        struct parquet_value values[2];
        bool found = false;
        EXPECT_OK(parquet_want(parquet, (uint32_t[]){9, 0}, 2, &err), &err);
        EXPECT_OK(parquet_next(parquet, values, &found, &err), &err);
        EXPECT(found && values[0].type == PARQUET_TEXT && values[0].text.data[0] == 'x');
        EXPECT(values[1].type == PARQUET_INT && values[1].integer == 1);
    }
    parquet_close(parquet);
}

TEST(parquet, other_codecs_are_named)
{
    UNUSED_STATE;
    static const char *const files[][2] = {{"refused_lz4.parquet", "LZ4"},
                                           {"refused_brotli.parquet", "Brotli"}};
    for (size_t i = 0; i < 2; i++) {
        char path[PATH_BYTES];
        struct buf text;
        struct err err;
        uint32_t columns = 0;
        int64_t rows;
        buf_init(&text, 0);
        golden(path, files[i][0]);
        EXPECT_EQ(read_all(&text, path, &columns, &rows, &err), ERR_INVALID);
        EXPECT(strstr(err.msg, files[i][0]));
        EXPECT(strstr(err.msg, "column \"url\""));
        EXPECT(strstr(err.msg, files[i][1]));
        buf_deinit(&text);
    }
}

/* Puts bytes into a file and reads it. */
static int read_bytes(const char *path, const void *data, size_t bytes, struct err *err)
{
    struct buf text;
    uint32_t columns = 0;
    int64_t rows;
    FILE *file = fopen(path, "wb");
    EXPECT(file != NULL);
    EXPECT_EQ(fwrite(data, 1, bytes, file), bytes);
    EXPECT_EQ(fclose(file), 0);
    buf_init(&text, 1 << 20);
    err->msg[0] = 0;
    const int rc = read_all(&text, path, &columns, &rows, err);
    EXPECT_EQ(rc != 0, err->msg[0] != 0);
    EXPECT(rc == 0 || rc == ERR_INVALID || rc == ERR_LIMIT);
    buf_deinit(&text);
    return rc;
}

TEST(parquet, files_that_are_none_are_refused)
{
    UNUSED_STATE;
    static const struct {
        const char *data;
        size_t bytes;
        const char *sentence;
    } cases[] = {
        {"", 0, "too short"},
        {"PAR1PAR1", 8, "too short"},
        {"url\nhttp://a/\n", 14, "does not begin with PAR1"},
        {"PAR1 and no end", 15, "cut short"},
        {"PAR1\0\0\0\0PAR1", 12, "its parquet footer"},
        {"PAR1\1\0\0\0PAR1", 12, "longer than the file"},
        {"PAR1\xff\xff\xff\xffPAR1", 12, "longer than the file"},
        {"PAR1\0\x01\0\0\0PAR1", 13, "its parquet footer"},
        {"PARE\0\0\0\0PARE", 12, "encrypted"},
    };
    const char *dir = test_dir_new();
    char path[PATH_BYTES];
    struct err err;
    (void)snprintf(path, sizeof path, "%s/list.parquet", dir);
    struct parquet *parquet = NULL;
    EXPECT_EQ(parquet_open(&parquet, path, &err), ERR_NOT_FOUND);
    EXPECT_EQ(parquet_open(&parquet, dir, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "folder"));
    EXPECT(parquet == NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        EXPECT_EQ(read_bytes(path, cases[i].data, cases[i].bytes, &err), ERR_INVALID);
        if (!strstr(err.msg, cases[i].sentence)) print_message("%s\n", err.msg);
        EXPECT(strstr(err.msg, cases[i].sentence) && strstr(err.msg, path));
    }
    EXPECT(parquet_magic("PAR1x", 5) && !parquet_magic("PAR", 3) && !parquet_magic("PAR2", 4));
    test_dir_remove(dir);
}

/* Every byte of a small file set to a few values, and the file cut at every length: rows or a
 * sentence, and nothing read outside (the tests run under sanitizers). */
static void damage(const char *name, const char *path)
{
    static const uint8_t values[] = {0x00, 0x7f, 0xff};
    char source[PATH_BYTES];
    struct buf file;
    struct err err;
    size_t refused = 0;
    golden(source, name);
    buf_init(&file, 0);
    EXPECT_OK(fs_read(&file, source, 1 << 20, &err), &err);
    for (size_t at = 0; at < file.len; at++) {
        const char before = file.data[at];
        for (size_t i = 0; i < sizeof values; i++) {
            file.data[at] = (char)values[i];
            refused += read_bytes(path, file.data, file.len, &err) != 0;
        }
        file.data[at] = before;
        EXPECT(read_bytes(path, file.data, at, &err) != 0);
    }
    EXPECT(refused > file.len / 2);
    buf_deinit(&file);
}

TEST(parquet, damaged_files_give_rows_or_a_sentence)
{
    UNUSED_STATE;
    static const char *const files[] = {"nulls_v1.parquet", "nulls_v2.parquet", "int96.parquet",
                                        "refused_lz4.parquet", "types.parquet"};
    const char *dir = test_dir_new();
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/list.parquet", dir);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) damage(files[i], path);
    test_dir_remove(dir);
}

/* A page's bytes change behind its checksum. */
TEST(parquet, checksums_are_checked)
{
    UNUSED_STATE;
    char path[PATH_BYTES];
    const char *dir = test_dir_new();
    struct buf file;
    struct err err;
    buf_init(&file, 0);
    golden(path, "pages_v1.parquet");
    EXPECT_OK(fs_read(&file, path, 1 << 20, &err), &err);
    const char *text = memchr(file.data + 60, '/', file.len - 60); /* in a URL */
    EXPECT(text != NULL);
    file.data[text - file.data] = '!';
    (void)snprintf(path, sizeof path, "%s/list.parquet", dir);
    EXPECT_EQ(read_bytes(path, file.data, file.len, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "checksum"));
    buf_deinit(&file);
    test_dir_remove(dir);
}

TEST(parquet, out_of_memory_is_a_sentence)
{
    UNUSED_STATE;
    char path[PATH_BYTES];
    struct buf text;
    struct err err;
    uint32_t columns = 0;
    int64_t rows, failed = 0;
    golden(path, "snappy_v1_dictionary.parquet");
    buf_init(&text, 0);
    for (int64_t after = 0; after < 400; after++) {
        /* The test's own text is a small part of it. */
        buf_deinit(&text);
        buf_init(&text, 0);
        (void)mem_fail(after, 1);
        const int rc = read_all(&text, path, &columns, &rows, &err);
        const bool hit = mem_fail(-1, 0) > after;
        EXPECT(rc == 0 || (hit && rc == ERR_LIMIT));
        failed += rc == ERR_LIMIT;
        if (!hit) break;
        EXPECT(after < 399);
    }
    EXPECT(failed > 5);
    buf_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(parquet, rows_are_those_that_were_written),
        RUN(parquet, columns_have_names_types_and_faults),
        RUN(parquet, other_codecs_are_named),
        RUN(parquet, files_that_are_none_are_refused),
        RUN(parquet, damaged_files_give_rows_or_a_sentence),
        RUN(parquet, checksums_are_checked),
        RUN(parquet, out_of_memory_is_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
