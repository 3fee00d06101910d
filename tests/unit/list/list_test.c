/* list_test.c - lists as people have them: quotes, line ends, marks, damage, compression. */
#include "common/base/fs.h"
#include "tests/support/test.h"
#include "worker/list/list_row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* A list file of one test, and what reading it gave. */
struct reading {
    const char *dir;
    char path[300];
    char *text; /* "url|caption|extra;…" of all rows */
    struct err err;
    int rc;
};

static void reading_init(struct reading *reading)
{
    *reading = (struct reading){.dir = test_dir_new()};
    (void)snprintf(reading->path, sizeof reading->path, "%s/list", reading->dir);
}

static void reading_deinit(struct reading *reading)
{
    free(reading->text);
    test_dir_remove(reading->dir);
}

static void write_plain(struct reading *reading, const void *data, size_t bytes)
{
    EXPECT_OK(fs_put(reading->path, data, bytes, &reading->err), &reading->err);
}

/* One gzip member per part. */
static void write_gzip(struct reading *reading, const char *const *part, size_t parts,
                       size_t cut_bytes, const char *tail)
{
    uint8_t packed[4096];
    size_t len = 0;
    for (size_t i = 0; i < parts; i++) {
        z_stream zip = {0};
        char *copy = strdup(part[i]);
        EXPECT_EQ(deflateInit2(&zip, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
        zip.next_in = (Bytef *)copy;
        zip.avail_in = (uInt)strlen(copy);
        zip.next_out = packed + len;
        zip.avail_out = (uInt)(sizeof packed - len);
        EXPECT_EQ(deflate(&zip, Z_FINISH), Z_STREAM_END);
        len = sizeof packed - zip.avail_out;
        EXPECT_EQ(deflateEnd(&zip), Z_OK);
        free(copy);
    }
    len -= cut_bytes;
    memcpy(packed + len, tail, strlen(tail));
    write_plain(reading, packed, len + strlen(tail));
}

static void add_field(struct buf *out, const struct list_row *row, uint32_t index)
{
    const char *text = list_row_field(row, index);
    if (index) buf_byte(out, '|');
    buf_text(out, text ? text : "-");
}

static int read_rows(struct reading *reading, struct list_records *records,
                     struct list_columns *columns, struct buf *out)
{
    struct list_record record;
    struct list_row row;
    bool found = true, first = true;
    int rc = 0;
    list_row_init(&row);
    while (!rc && found) {
        rc = list_records_next(records, &record, &found, &reading->err);
        if (rc || !found) break;
        const bool header = first && list_has_header(columns->format);
        if (first) rc = list_columns_init(columns, &record, &reading->err);
        first = false;
        if (rc || header) continue;
        rc = list_row_parse(&row, columns, &record, &reading->err);
        for (uint32_t i = 0; i < columns->wanted_count; i++)
            if (columns->wanted[i]) add_field(out, &row, i);
        if (row.problem) buf_printf(out, "!%d", (int)row.problem);
        if (row.url_mended) buf_text(out, "!url");
        buf_byte(out, ';');
    }
    list_row_deinit(&row);
    return rc;
}

/* Reads the file as a format with the columns url, caption (unless it is NULL) and extra. */
static void read_list(struct reading *reading, enum list_format format, const char *caption,
                      const char *extra)
{
    struct list_source *source = NULL;
    struct list_records *records = NULL;
    struct list_columns columns = {.format = format,
                                   .wanted = {"url", caption, [LIST_FIRST_EXTRA] = extra}};
    struct buf out;
    columns.wanted_count = LIST_FIRST_EXTRA + (extra ? 1 : 0);
    buf_init(&out, 0);
    reading->rc = list_source_open(&source, reading->path, &reading->err);
    if (!reading->rc)
        reading->rc = list_records_new(&records, source, format, 0, UINT64_MAX, &reading->err);
    if (!reading->rc) reading->rc = read_rows(reading, records, &columns, &out);
    list_records_free(records);
    list_source_close(source);
    list_columns_deinit(&columns);
    free(reading->text);
    reading->text = strdup(buf_str(&out));
    buf_deinit(&out);
}

struct list_case {
    enum list_format format;
    const char *list; /* without zero bytes */
    const char *rows;
};

static const struct list_case cases[] = {
    /* Line ends, empty lines, a missing last line end. */
    {LIST_CSV, "url,t\na,1\nb,2\n", "a|1;b|2;"},
    {LIST_CSV, "url,t\r\na,1\r\n\r\nb,2", "a|1;b|2;"},
    {LIST_CSV, "\n\nurl,t\n\n\na,1\n\n", "a|1;"},
    {LIST_CSV, "url,t\n", ""},
    {LIST_CSV, "url,t", ""},
    /* Quotes. */
    {LIST_CSV, "url,t\na,\"x, y\"\n", "a|x, y;"},
    {LIST_CSV, "url,t\na,\"x \"\"y\"\" z\"\n", "a|x \"y\" z;"},
    {LIST_CSV, "url,t\na,\"two\nlines\"\nb,2\n", "a|two\nlines;b|2;"},
    {LIST_CSV, "url,t\r\na,\"two\r\nlines\"\r\nb,2\r\n", "a|two\r\nlines;b|2;"},
    {LIST_CSV, "url,t\na,\"\"\nb,\"\"\"\"\n", "a|;b|\";"},
    {LIST_CSV, "url,t\na,say \"hi\"\nb,2\n", "a|say \"hi\";b|2;"},
    {LIST_CSV, "url,t\na,\"x\"y\nb,2\n", "a|xy;b|2;"},
    {LIST_CSV, "\"url\",\"t\"\n\"a\",\"1\"\n", "a|1;"},
    {LIST_CSV, "\"t\n2\",url,t\n9,a,1\n", "a|1;"},
    {LIST_CSV, "url,t\na,\"never closed\nb,2\n", "-|-!2;"},
    /* Columns: any order, missing and surplus fields, the first of two equal names. */
    {LIST_CSV, "x,t,y,url\n9,1,8,a\n", "a|1;"},
    {LIST_CSV, "url,t\na\nb,2,3,4\n,5\n", "a|-;b|2;|5;"},
    {LIST_CSV, "url,t,url\na,1,z\n", "a|1;"},
    /* A byte order mark. */
    {LIST_CSV, "\xef\xbb\xbfurl,t\na,1\n", "a|1;"},
    {LIST_CSV, "\xef\xbb\xbf\"url\",\"t\"\na,1\n", "a|1;"},
    {LIST_JSONL, "\xef\xbb\xbf{\"url\":\"a\",\"t\":\"1\"}\n", "a|1;"},
    /* Bytes that are not UTF-8. */
    {LIST_CSV, "url,t\na\xff,\xc3\x28\n", "a\xef\xbf\xbd|\xef\xbf\xbd(!url;"},
    {LIST_JSONL, "{\"url\":\"a\",\"t\":\"\xff\"}\n", "a|\xef\xbf\xbd;"},
    {LIST_JSONL, "{\"url\":\"a\xff\",\"t\":\"\"}\n", "a\xef\xbf\xbd|!url;"},
    /* Tabs. */
    {LIST_TSV, "url\tt\na\t1,2\n\tx\n", "a|1,2;|x;"},
    {LIST_TSV, "url\tt\na\t\"q \"\"r\"\"\"\nb\t\"open\nc\t3\n", "a|q \"r\";b|\"open;c|3;"},
    {LIST_TSV, "url\tt\na\t\"\"\nb\t\"\nc\t\"\"\"\"\n", "a|;b|\";c|\";"},
    /* JSON lines. */
    {LIST_JSONL, "{\"url\":\"a\",\"t\":\"1\"}\r\n\n{\"t\":\"2\",\"url\":\"b\"}", "a|1;b|2;"},
    {LIST_JSONL, "{\"url\":\"a\",\"t\":\"1\"}\nnot json\n[1]\n{\"url\":7,\"t\":null}\n",
     "a|1;-|-!3;-|-!3;-|-;"},
    {LIST_JSONL, "{\"url\":\"a\\u0000b\",\"t\":\"\\u0000\"}\n",
     "a\xef\xbf\xbd"
     "b|\xef\xbf\xbd!url;"},
    {LIST_JSONL, "{\"url\":\"\\u00e4\",\"t\":\"two\\nlines\"}\n", "\xc3\xa4|two\nlines;"},
};

TEST(list, reads_what_people_write)
{
    UNUSED_STATE;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct reading reading;
        reading_init(&reading);
        write_plain(&reading, cases[i].list, strlen(cases[i].list));
        read_list(&reading, cases[i].format, "t", NULL);
        EXPECT_OK(reading.rc, &reading.err);
        if (strcmp(reading.text, cases[i].rows) != 0)
            print_message("case %zu: %s\n", i, cases[i].list);
        EXPECT_TEXT(reading.text, cases[i].rows);
        reading_deinit(&reading);
    }
}

TEST(list, of_plain_lines_has_only_urls)
{
    UNUSED_STATE;
    struct reading reading;
    reading_init(&reading);
    static const char txt[] = "\xef\xbb\xbfhttp://a/x,y\r\n\n \"b\"\nc";
    write_plain(&reading, txt, strlen(txt));
    read_list(&reading, LIST_TXT, NULL, NULL);
    EXPECT_OK(reading.rc, &reading.err);
    EXPECT_TEXT(reading.text, "http://a/x,y; \"b\";c;");
    read_list(&reading, LIST_TXT, "t", NULL);
    EXPECT_EQ(reading.rc, ERR_INVALID);
    reading_deinit(&reading);
}

TEST(list, keeps_extra_columns_as_json)
{
    UNUSED_STATE;
    struct reading reading;
    static const char csv[] = "url,n\na,7\nb,\"x \"\"y\"\"\"\nc\n";
    static const char jsonl[] = "{\"url\":\"a\",\"n\":7}\n{\"url\":\"b\",\"n\":{\"x\":[1,null]}}\n";
    reading_init(&reading);
    write_plain(&reading, csv, strlen(csv));
    read_list(&reading, LIST_CSV, NULL, "n");
    EXPECT_TEXT(reading.text, "a|\"7\";b|\"x \\\"y\\\"\";c|-;");
    write_plain(&reading, jsonl, strlen(jsonl));
    read_list(&reading, LIST_JSONL, NULL, "n");
    EXPECT_TEXT(reading.text, "a|7;b|{\"x\":[1,null]};");
    reading_deinit(&reading);
}

TEST(list, replaces_zero_bytes)
{
    UNUSED_STATE;
    struct reading reading;
    reading_init(&reading);
    write_plain(&reading, "url,t\na\0b,x\0y\nc,d\n", 18);
    read_list(&reading, LIST_CSV, "t", NULL);
    EXPECT_OK(reading.rc, &reading.err);
    EXPECT_TEXT(reading.text, "a\xef\xbf\xbd"
                              "b|x\xef\xbf\xbdy!url;c|d;");
    read_list(&reading, LIST_CSV, NULL, "t");
    EXPECT_OK(reading.rc, &reading.err);
    EXPECT_TEXT(reading.text, "a\xef\xbf\xbd"
                              "b|\"x\xef\xbf\xbdy\"!url;c|\"d\";");
    reading_deinit(&reading);
}

TEST(list, gives_a_row_that_is_too_long_without_its_bytes)
{
    UNUSED_STATE;
    struct reading reading;
    const size_t longest = LIST_RECORD_BYTES_MAX;
    struct buf list;
    reading_init(&reading);
    buf_init(&list, 0);
    buf_text(&list, "url,t\na,");
    memset(buf_reserve(&list, longest), 'x', longest);
    buf_commit(&list, longest - 2); /* with "a," as long as may be */
    buf_text(&list, "\r\nb,");
    memset(buf_reserve(&list, longest), 'y', longest);
    buf_commit(&list, longest - 1);
    buf_text(&list, "\nc,3\n");
    EXPECT(!buf_failed(&list));
    write_plain(&reading, list.data, list.len);
    read_list(&reading, LIST_CSV, "t", NULL);
    EXPECT_OK(reading.rc, &reading.err);
    EXPECT_MEM(reading.text, "a|x", 3);
    EXPECT_EQ(strlen(reading.text), longest + 1 + strlen("-|-!1;c|3;"));
    EXPECT_TEXT(reading.text + longest + 1, "-|-!1;c|3;");
    buf_deinit(&list);
    reading_deinit(&reading);
}

TEST(list, names_the_columns_there_are)
{
    UNUSED_STATE;
    struct reading reading;
    reading_init(&reading);
    write_plain(&reading, "link,title\nx,y\n", 15);
    read_list(&reading, LIST_CSV, NULL, NULL);
    EXPECT_EQ(reading.rc, ERR_INVALID);
    EXPECT(strstr(reading.err.msg, "\"url\"") != NULL);
    EXPECT(strstr(reading.err.msg, "link, title") != NULL);
    write_plain(&reading, "{\"link\":1}\n", 11);
    read_list(&reading, LIST_JSONL, NULL, NULL);
    EXPECT_EQ(reading.rc, ERR_INVALID);
    EXPECT(strstr(reading.err.msg, "link") != NULL);
    write_plain(&reading, "url\n", 4);
    read_list(&reading, LIST_JSONL, NULL, NULL);
    EXPECT_EQ(reading.rc, ERR_INVALID);
    reading_deinit(&reading);
}

TEST(list, is_unpacked_by_its_bytes_and_member_by_member)
{
    UNUSED_STATE;
    struct reading reading;
    const char *const parts[] = {"url,t\na,", "\"1\n", "\"\nb,2\n"};
    reading_init(&reading);
    write_gzip(&reading, parts, 3, 0, "");
    read_list(&reading, LIST_CSV, "t", NULL);
    EXPECT_OK(reading.rc, &reading.err);
    EXPECT_TEXT(reading.text, "a|1\n;b|2;");
    reading_deinit(&reading);
}

TEST(list, that_is_cut_short_or_damaged_is_refused)
{
    UNUSED_STATE;
    struct reading reading;
    const char *const parts[] = {"url,t\na,1\nb,2\nc,3\nd,4\n"};
    reading_init(&reading);
    for (size_t cut = 1; cut < 30; cut++) {
        write_gzip(&reading, parts, 1, cut, "");
        read_list(&reading, LIST_CSV, "t", NULL);
        EXPECT_EQ(reading.rc, ERR_INVALID);
    }
    write_gzip(&reading, parts, 1, 0, "garbage");
    read_list(&reading, LIST_CSV, "t", NULL);
    EXPECT_EQ(reading.rc, ERR_INVALID);
    reading_deinit(&reading);
}

TEST(list, must_be_a_file)
{
    UNUSED_STATE;
    struct reading reading;
    reading_init(&reading);
    read_list(&reading, LIST_CSV, NULL, NULL);
    EXPECT_EQ(reading.rc, ERR_NOT_FOUND);
    EXPECT(strstr(reading.err.msg, reading.path) != NULL);
    EXPECT_OK(fs_mkdirs(reading.path, &reading.err), &reading.err);
    read_list(&reading, LIST_CSV, NULL, NULL);
    EXPECT_EQ(reading.rc, ERR_INVALID);
    reading_deinit(&reading);
}

/* The state machine that finds record ends and the parser that finds fields are two pieces of
 * code; rows of every combination of the characters that matter must come out of both alike. */
TEST(list, record_ends_and_fields_agree_on_quotes)
{
    UNUSED_STATE;
    static const char letters[] = "\",x\n";
    enum { LENGTH = 6 };
    struct reading reading;
    reading_init(&reading);
    for (uint32_t code = 0; code < 1u << (2 * LENGTH); code += 7) {
        char list[64] = "url,t\n";
        size_t len = strlen(list);
        for (uint32_t i = 0; i < LENGTH; i++) list[len++] = letters[code >> (2 * i) & 3];
        memcpy(list + len, "\"\nz,9\n", 7);
        struct list_source *source = NULL;
        struct list_records *records = NULL;
        struct list_columns columns = {
            .format = LIST_CSV, .wanted = {"url", "t"}, .wanted_count = 2};
        struct buf out;
        buf_init(&out, 0);
        write_plain(&reading, list, strlen(list));
        EXPECT_OK(list_source_open(&source, reading.path, &reading.err), &reading.err);
        EXPECT_OK(list_records_new(&records, source, LIST_CSV, 0, UINT64_MAX, &reading.err),
                  &reading.err);
        EXPECT_OK(read_rows(&reading, records, &columns, &out), &reading.err);
        /* A line end may only be in a field that was quoted, and then the list had a quote. */
        const bool quoted = strchr(list, '"') != strrchr(list, '"');
        EXPECT(quoted || !strchr(buf_str(&out), '\n'));
        /* The last row stands alone unless a quote was open before it. */
        EXPECT(strstr(buf_str(&out), "z|9;") || strstr(buf_str(&out), "!2;"));
        buf_deinit(&out);
        list_records_free(records);
        list_source_close(source);
        list_columns_deinit(&columns);
    }
    reading_deinit(&reading);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(list, reads_what_people_write),
        RUN(list, of_plain_lines_has_only_urls),
        RUN(list, keeps_extra_columns_as_json),
        RUN(list, replaces_zero_bytes),
        RUN(list, gives_a_row_that_is_too_long_without_its_bytes),
        RUN(list, names_the_columns_there_are),
        RUN(list, is_unpacked_by_its_bytes_and_member_by_member),
        RUN(list, that_is_cut_short_or_damaged_is_refused),
        RUN(list, must_be_a_file),
        RUN(list, record_ends_and_fields_agree_on_quotes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
