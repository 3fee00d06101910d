/* meta.c - see meta.h; field numbers are those of parquet.thrift. */
#include "worker/parquet/meta.h"

#include <string.h>

#define DEPTH_MAX       64
#define FIXED_BYTES_MAX (1024 * 1024)

enum { /* ConvertedType */
       CONVERTED_UTF8 = 0,
       CONVERTED_DECIMAL = 5,
       CONVERTED_UINT_8 = 11,
       CONVERTED_UINT_64 = 14,
       CONVERTED_INTERVAL = 21,
};

enum { /* LogicalType, by field of the union */
       LOGICAL_DECIMAL = 5,
       LOGICAL_INTEGER = 10,
       LOGICAL_UUID = 14,
       LOGICAL_FLOAT16 = 15,
       LOGICAL_GEOMETRY = 17,
};

/* SchemaElement: a column, or a group with children. */
struct element {
    int64_t physical, width, repetition, children, converted, logical;
    bool is_unsigned, is_leaf;
    const uint8_t *name;
    size_t name_bytes;
};

static int broken(const char *what, struct err *err)
{
    return err_set(err, ERR_INVALID, "its parquet footer %s", what);
}

/* IntType: 1 bitWidth, 2 isSigned */
static bool read_unsigned(struct thrift *thrift)
{
    struct thrift_field field = {0};
    bool is_unsigned = false;
    while (thrift_next(thrift, &field)) {
        if (field.id == 2) is_unsigned = field.type == THRIFT_FALSE;
        thrift_skip(thrift, field.type);
    }
    return is_unsigned;
}

static void read_logical(struct thrift *thrift, struct element *element)
{
    struct thrift_field field = {0};
    while (thrift_next(thrift, &field)) {
        element->logical = field.id;
        if (field.id != LOGICAL_INTEGER)
            thrift_skip(thrift, field.type);
        else if (thrift_field_struct(thrift, &field))
            element->is_unsigned = read_unsigned(thrift);
    }
}

static void read_element(struct thrift *thrift, struct element *element)
{
    struct thrift_field field = {0};
    *element = (struct element){.physical = -1, .converted = -1};
    while (thrift_next(thrift, &field)) {
        switch (field.id) {
        case 1:
            element->physical = thrift_field_int(thrift, &field);
            element->is_leaf = true;
            break;
        case 2:
            element->width = thrift_field_int(thrift, &field);
            break;
        case 3:
            element->repetition = thrift_field_int(thrift, &field);
            break;
        case 4:
            element->name = thrift_field_binary(thrift, &field, &element->name_bytes);
            break;
        case 5:
            element->children = thrift_field_int(thrift, &field);
            break;
        case 6:
            element->converted = thrift_field_int(thrift, &field);
            break;
        case 10:
            if (thrift_field_struct(thrift, &field)) read_logical(thrift, element);
            break;
        default:
            thrift_skip(thrift, field.type);
        }
    }
    if (element->children) element->is_leaf = false;
    if (element->converted >= CONVERTED_UINT_8 && element->converted <= CONVERTED_UINT_64)
        element->is_unsigned = true;
}

/* Why a column of simple structure cannot be read; NULL: it can. */
static const char *fault_of(const struct element *element)
{
    if (element->physical < 0 || element->physical >= META_PHYSICAL_COUNT)
        return "has a type that this reader does not know";
    if (element->physical == META_INT96) return "is of the type INT96";
    if (element->converted == CONVERTED_DECIMAL || element->logical == LOGICAL_DECIMAL)
        return "is of the type DECIMAL";
    if (element->converted == CONVERTED_INTERVAL) return "is of the type INTERVAL";
    if (element->logical == LOGICAL_UUID) return "is of the type UUID";
    if (element->logical == LOGICAL_FLOAT16) return "is of the type FLOAT16";
    if (element->logical >= LOGICAL_GEOMETRY) return "has a type that this reader does not know";
    if (element->physical == META_FIXED && (element->width < 1 || element->width > FIXED_BYTES_MAX))
        return "has values of no possible length";
    return NULL;
}

static enum parquet_type type_of(const struct element *element)
{
    static const enum parquet_type types[META_PHYSICAL_COUNT] = {
        PARQUET_BOOL,  PARQUET_INT,    PARQUET_INT,  PARQUET_NULL,
        PARQUET_FLOAT, PARQUET_DOUBLE, PARQUET_TEXT, PARQUET_TEXT};
    if (element->is_unsigned && element->physical == META_INT64) return PARQUET_UNSIGNED;
    return types[element->physical];
}

static int add_column(struct meta *meta, const struct element *element, struct err *err)
{
    static const uint32_t widths[META_PHYSICAL_COUNT] = {0, 4, 8, 12, 4, 8, 0, 0};
    struct meta_column *column = &meta->column[meta->columns_count++];
    *column = (struct meta_column){.leaf = meta->leaves_count};
    if (element->name_bytes && memchr(element->name, 0, element->name_bytes))
        return broken("names a column with a zero byte", err);
    column->shown.name = arena_text(&meta->texts, (const char *)element->name, element->name_bytes);
    if (!column->shown.name) return err_set(err, ERR_LIMIT, "no memory for its columns");
    column->shown.optional = element->repetition == 1;
    if (!element->is_leaf || element->repetition < 0 || element->repetition > 1)
        column->shown.fault = "is nested";
    else
        column->shown.fault = fault_of(element);
    if (column->shown.fault) return 0;
    column->physical = (enum meta_physical)element->physical;
    column->width =
        column->physical == META_FIXED ? (uint32_t)element->width : widths[column->physical];
    column->is_unsigned = element->is_unsigned;
    column->shown.type = type_of(element);
    return 0;
}

/* The tree stands in the footer depth first; only what is right below the root is kept. */
static int read_schema(struct meta *meta, struct thrift *thrift, uint32_t count, struct err *err)
{
    int64_t left[DEPTH_MAX]; /* children to come, of the root and its line */
    struct element element;
    uint32_t depth = 1;
    if (count == 0) return broken("has no schema", err);
    if (count > PARQUET_COLUMNS_MAX + 1)
        return err_set(err, ERR_LIMIT, "it has more than %d columns", PARQUET_COLUMNS_MAX);
    meta->column = arena_try(&meta->texts, count * sizeof *meta->column);
    if (!meta->column) return err_set(err, ERR_LIMIT, "no memory for its columns");
    read_element(thrift, &element);
    left[0] = element.children;
    for (uint32_t i = 1; i < count; i++) {
        while (depth && left[depth - 1] <= 0) depth--;
        read_element(thrift, &element);
        if (thrift->failed || depth == 0 || depth == DEPTH_MAX)
            return broken("has a schema that makes no sense", err);
        left[depth - 1]--;
        const int rc = depth == 1 ? add_column(meta, &element, err) : 0;
        if (rc) return rc;
        if (element.is_leaf)
            meta->leaves_count++;
        else
            left[depth++] = element.children;
    }
    return 0;
}

/* Passes over the row groups; their rows must be the file's. */
static int check_groups(struct meta *meta, struct thrift *thrift, struct err *err)
{
    int64_t sum = 0;
    meta->groups = *thrift;
    for (uint32_t i = 0; i < meta->groups_count; i++) {
        int64_t rows;
        const int rc = meta_group(meta, thrift, NULL, NULL, &rows, err);
        if (rc) return rc;
        if (__builtin_add_overflow(sum, rows, &sum)) return broken("has too many rows", err);
    }
    meta->rows = sum;
    return 0;
}

int meta_init(struct meta *meta, const uint8_t *data, size_t bytes, struct err *err)
{
    struct thrift thrift = {.data = data, .bytes = bytes};
    struct thrift_field field = {0};
    int64_t rows = -1;
    int rc = 0;
    *meta = (struct meta){0};
    arena_init(&meta->texts, 0);
    while (!rc && thrift_next(&thrift, &field)) {
        if (field.id == 2 && !meta->column) {
            const uint32_t count = thrift_field_list(&thrift, &field, THRIFT_STRUCT);
            rc = read_schema(meta, &thrift, count, err);
        } else if (field.id == 3) {
            rows = thrift_field_int(&thrift, &field);
        } else if (field.id == 4 && !meta->groups_count) {
            meta->groups_count = thrift_field_list(&thrift, &field, THRIFT_STRUCT);
            rc = check_groups(meta, &thrift, err);
        } else {
            thrift_skip(&thrift, field.type);
        }
    }
    if (rc) return rc;
    if (thrift.failed || !meta->column) return broken("cannot be read", err);
    return rows == meta->rows ? 0 : broken("counts other rows than its row groups", err);
}

void meta_deinit(struct meta *meta)
{
    arena_deinit(&meta->texts);
    *meta = (struct meta){0};
}

/* ColumnMetaData */
static void read_column_meta(struct thrift *thrift, struct meta_chunk *chunk)
{
    struct thrift_field field = {0};
    int64_t data = 0, dictionary = 0;
    while (thrift_next(thrift, &field)) {
        switch (field.id) {
        case 1:
            chunk->physical = thrift_field_int(thrift, &field);
            break;
        case 4:
            chunk->codec = thrift_field_int(thrift, &field);
            break;
        case 5:
            chunk->values = thrift_field_int(thrift, &field);
            break;
        case 7:
            chunk->bytes = thrift_field_int(thrift, &field);
            break;
        case 9:
            data = thrift_field_int(thrift, &field);
            break;
        case 11:
            dictionary = thrift_field_int(thrift, &field);
            break;
        default:
            thrift_skip(thrift, field.type);
        }
    }
    /* Some writers put 0 where there is no dictionary. */
    chunk->offset = dictionary > 0 && dictionary < data ? dictionary : data;
    chunk->found = true;
}

/* ColumnChunk */
static void read_chunk(struct thrift *thrift, struct meta_chunk *chunk)
{
    struct thrift_field field = {0};
    size_t bytes;
    *chunk = (struct meta_chunk){0};
    while (thrift_next(thrift, &field)) {
        if (field.id == 1) {
            (void)thrift_field_binary(thrift, &field, &bytes);
            if (bytes) chunk->fault = "stands in another file";
        } else if (field.id == 3) {
            if (thrift_field_struct(thrift, &field)) read_column_meta(thrift, chunk);
        } else {
            if (field.id == 8) chunk->fault = "is encrypted";
            thrift_skip(thrift, field.type);
        }
    }
}

int meta_group(const struct meta *meta, struct thrift *at, const uint32_t *slot,
               struct meta_chunk *chunk, int64_t *rows, struct err *err)
{
    struct thrift_field field = {0};
    *rows = -1;
    while (thrift_next(at, &field)) {
        if (field.id == 1 && slot) {
            const uint32_t count = thrift_field_list(at, &field, THRIFT_STRUCT);
            for (uint32_t i = 0; i < count && !at->failed; i++) {
                const uint32_t place = i < meta->leaves_count ? slot[i] : 0;
                if (place)
                    read_chunk(at, &chunk[place - 1]);
                else
                    thrift_skip(at, THRIFT_STRUCT);
            }
        } else if (field.id == 3) {
            *rows = thrift_field_int(at, &field);
        } else {
            thrift_skip(at, field.type);
        }
    }
    if (at->failed || *rows < 0) return broken("has a row group that makes no sense", err);
    return 0;
}
