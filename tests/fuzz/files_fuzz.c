/* files_fuzz.c - folders of two lists of any bytes: what comes out are lines that are an object
 * each, or "null", whatever the files have; they go into the output as they are.
 *
 * The first byte picks the format, the second where the first file ends. */
#include "common/base/check.h"
#include "common/base/str.h"
#include "worker/list/list_files.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static char folder[40];

static void write_file(const char *name, const uint8_t *data, size_t bytes)
{
    char path[64];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *out = fopen(path, "we");
    CHECK(out != NULL);
    CHECK(fwrite(data, 1, bytes, out) == bytes);
    CHECK(fclose(out) == 0);
}

/* Lines that the files made; those of jsonl and json are re-made too. */
static void check_line(const struct list_record *line)
{
    CHECK(!line->too_long);
    CHECK(str_utf8_valid(line->data, line->bytes) == line->bytes);
    if (line->bytes == 4 && memcmp(line->data, "null", 4) == 0) return;
    json_t *object = json_loadb(line->data, line->bytes, JSON_ALLOW_NUL, NULL);
    CHECK(json_is_object(object));
    json_decref(object);
}

static void read_lines(struct list_source *source)
{
    struct list_records *records = NULL;
    struct list_record line;
    struct err err;
    bool found = false;
    if (list_records_new(&records, source, LIST_JSONL, 0, UINT64_MAX, &err)) return;
    while (!list_records_next(records, &line, &found, &err) && found) check_line(&line);
    list_records_free(records);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct list_source *source = NULL;
    struct list_shape shape;
    struct err err;
    if (bytes < 2) return 0;
    if (!folder[0]) {
        (void)str_copy(folder, sizeof folder, "/tmp/files_fuzz.XXXXXX");
        CHECK(mkdtemp(folder) != NULL);
    }
    const enum list_format format = (enum list_format)(LIST_TXT + data[0] % 6);
    const size_t cut = 2 + (data[1] < bytes - 2 ? data[1] : bytes - 2);
    write_file("a", data + 2, cut - 2);
    write_file("b", data + cut, bytes - cut);
    const struct list_input input = {
        .path = folder,
        .format = format,
        .columns = {.wanted = {"url", NULL, format == LIST_TXT ? NULL : "t"}, .wanted_count = 3},
        .hash = hash_new()};
    if (!list_files_open(&source, &shape, &input, &err)) {
        CHECK(shape.format == format);
        CHECK(shape.rows == LIST_JSONL);
        read_lines(source);
    }
    list_source_close(source);
    hash_free(input.hash);
    return 0;
}
