/* parquet_fuzz.c - parquet files of any bytes: rows or a sentence, within the reader's limits.
 *
 * Seeds: tests/golden/parquet. */
#include "common/base/check.h"
#include "worker/parquet/parquet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COLUMNS_MAX 16
/* A few bytes may stand for a billion nulls. */
#define ROWS_MAX 20000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static volatile uint8_t seen; /* texts are read to their ends */

static void check_value(const struct parquet_value *value, const struct parquet_column *column)
{
    CHECK(value->type == column->type || (value->type == PARQUET_NULL && column->optional));
    if (value->type != PARQUET_TEXT || value->text.bytes == 0) return;
    seen = (uint8_t)value->text.data[0];
    seen = (uint8_t)value->text.data[value->text.bytes - 1];
}

static void read_rows(struct parquet *parquet)
{
    uint32_t columns[COLUMNS_MAX], count = 0;
    struct parquet_value values[COLUMNS_MAX];
    struct err err;
    bool found = true;
    for (uint32_t i = 0; i < parquet_columns(parquet) && count < COLUMNS_MAX; i++)
        if (!parquet_column(parquet, i)->fault) columns[count++] = i;
    if (parquet_want(parquet, columns, count, &err)) return;
    for (int64_t row = 0; row < ROWS_MAX; row++) {
        if (parquet_next(parquet, values, &found, &err) || !found) return;
        CHECK(row < parquet_rows(parquet));
        for (uint32_t i = 0; i < count; i++)
            check_value(&values[i], parquet_column(parquet, columns[i]));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static int fd = -1;
    char path[64];
    struct parquet *parquet = NULL;
    struct err err;
    if (fd < 0) {
        char name[] = "/tmp/parquet_fuzz.XXXXXX";
        fd = mkstemp(name);
        CHECK(fd >= 0);
        CHECK(unlink(name) == 0); /* the open file is enough */
    }
    CHECK(ftruncate(fd, 0) == 0);
    CHECK(pwrite(fd, data, bytes, 0) == (ssize_t)bytes);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (parquet_open(&parquet, path, &err)) return 0;
    read_rows(parquet);
    parquet_close(parquet);
    return 0;
}
