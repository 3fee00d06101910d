/* list_fuzz.c - lists of any bytes: the reader answers, and its rows are valid UTF-8.
 *
 * The first byte picks the format and how much is read at a time does not matter to the rows:
 * reading the same bytes as a slice gives the same count. What jansson takes for an array, json has
 * as many rows of. */
#include "common/base/check.h"
#include "common/base/str.h"
#include "worker/list/list_json.h"
#include "worker/list/list_row.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_row(const struct list_row *row, const struct list_columns *columns)
{
    for (uint32_t i = 0; i < columns->wanted_count; i++) {
        const char *text = list_row_field(row, i);
        if (text) CHECK(str_utf8_valid(text, strlen(text)) == strlen(text));
    }
}

static uint32_t read_rows(struct list_source *source, enum list_format format, uint64_t bytes)
{
    struct list_records *records = NULL;
    struct list_record record;
    struct list_row row;
    struct list_columns columns = {
        .format = format, .wanted = {"url", format == LIST_TXT ? NULL : "t"}, .wanted_count = 2};
    struct err err;
    bool found = false, usable = false;
    uint32_t count = 0;
    uint64_t end = 0;
    list_row_init(&row);
    if (list_records_new(&records, source, format, 0, bytes, &err)) goto out;
    while (!list_records_next(records, &record, &found, &err) && found) {
        CHECK(record.end > end);
        CHECK(record.bytes <= LIST_RECORD_BYTES_MAX);
        end = record.end;
        if (count++ == 0) usable = !list_columns_init(&columns, &record, &err);
        if (usable && !list_row_parse(&row, &columns, &record, &err)) check_row(&row, &columns);
    }
out:
    list_records_free(records);
    list_columns_deinit(&columns);
    list_row_deinit(&row);
    return count;
}

/* *rows of an array as a JSON parser has it; false: it is none. */
static bool parse_array(const uint8_t *data, size_t bytes, size_t *rows)
{
    json_t *array = json_loadb((const char *)data, bytes, JSON_ALLOW_NUL, NULL);
    const bool is_array = json_is_array(array);
    *rows = is_array ? json_array_size(array) : 0;
    json_decref(array);
    return is_array;
}

static void check_json(struct list_source *lines, const uint8_t *data, size_t bytes)
{
    size_t rows;
    const uint32_t count = read_rows(lines, LIST_JSONL, UINT64_MAX);
    if (parse_array(data, bytes, &rows)) CHECK(count == rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static int fd = -1;
    char path[64];
    struct list_source *source = NULL;
    struct err err;
    if (bytes < 1) return 0;
    if (fd < 0) {
        char name[] = "/tmp/list_fuzz.XXXXXX";
        fd = mkstemp(name);
        CHECK(fd >= 0);
        CHECK(unlink(name) == 0); /* the open file is enough */
    }
    CHECK(ftruncate(fd, 0) == 0);
    CHECK(pwrite(fd, data + 1, bytes - 1, 0) == (ssize_t)(bytes - 1));
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const enum list_format format = (enum list_format)(LIST_TXT + data[0] % 5);
    if (list_source_open(&source, path, &err)) return 0;
    if (format == LIST_JSON) {
        source = list_json_lines(source);
        check_json(source, data + 1, bytes - 1);
        list_source_close(source);
        return 0;
    }
    const uint32_t count = read_rows(source, format, UINT64_MAX);
    if (!list_source_is_stream(source)) {
        CHECK(list_source_seek(source, 0, &err) == 0);
        CHECK(read_rows(source, format, bytes) == count);
    }
    list_source_close(source);
    return 0;
}
