/* list_jsonl.c - rows that are JSON objects.
 *
 * Extra columns keep their JSON values, numbers and nested ones too. Bytes that are not UTF-8 are
 * mended before parsing, since the parser takes none. */
#include "common/base/mem.h"
#include "common/base/str.h"
#include "worker/list/list_row.h"

#include <jansson.h>
#include <string.h>

static json_t *parse(const struct list_record *record)
{
    struct buf clean;
    buf_init(&clean, 0);
    const char *data = record->data;
    size_t bytes = record->bytes;
    if (str_utf8_valid(data, bytes) != bytes) {
        str_utf8_clean(&clean, data, bytes);
        data = buf_str(&clean);
        bytes = clean.len;
    }
    json_t *object = json_loadb(data, bytes, JSON_ALLOW_NUL, NULL);
    buf_deinit(&clean);
    if (json_is_object(object)) return object;
    json_decref(object);
    return NULL;
}

static void list_keys(struct buf *names, json_t *object)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        if (names->len > ERR_MSG_BYTES) return;
        if (names->len) buf_text(names, ", ");
        buf_text(names, key);
    }
}

int list_jsonl_columns(const struct list_columns *columns, const struct list_record *first,
                       struct err *err)
{
    json_t *object = parse(first);
    if (!object) return err_set(err, ERR_INVALID, "the list's first row is not a JSON object");
    struct buf names;
    buf_init(&names, 0);
    list_keys(&names, object);
    int rc = 0;
    for (uint32_t i = 0; i < columns->wanted_count && !rc; i++)
        if (columns->wanted[i] && !json_object_get(object, columns->wanted[i]))
            rc = list_no_column(columns->wanted[i], buf_str(&names), err);
    buf_deinit(&names);
    json_decref(object);
    return rc;
}

static bool set_value(struct list_row *row, uint32_t index, const json_t *value)
{
    const bool is_text = index < LIST_FIRST_EXTRA && json_is_string(value);
    if (is_text) list_row_set(row, index, json_string_value(value), json_string_length(value));
    if (is_text || (index < LIST_FIRST_EXTRA && index != LIST_BOXES)) return true;
    row->field[index] = (uint32_t)row->text.len + 1;
    if (json_is_real(value)) { /* jansson would print 0.3 with all its 17 digits */
        str_json_real(&row->text, json_real_value(value), false);
        buf_byte(&row->text, 0);
        return true;
    }
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    if (!text) return false;
    buf_add(&row->text, text, strlen(text) + 1);
    free(text);
    return true;
}

int list_jsonl_parse(struct list_row *row, const struct list_columns *columns,
                     const struct list_record *record, struct err *err)
{
    json_t *object = parse(record);
    if (!object) {
        row->problem = LIST_ROW_NOT_JSON;
        return 0;
    }
    bool ok = true;
    for (uint32_t i = 0; i < columns->wanted_count && ok; i++) {
        const json_t *value =
            columns->wanted[i] ? json_object_get(object, columns->wanted[i]) : NULL;
        if (value) ok = set_value(row, i, value);
    }
    json_decref(object);
    return ok ? 0 : err_set(err, ERR_LIMIT, "no memory for a row");
}
