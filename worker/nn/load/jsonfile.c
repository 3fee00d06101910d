/* jsonfile.c - a first look at the text, jansson, and fields. */
#include "worker/nn/load/jsonfile.h"

#include "common/base/buf.h"
#include "common/base/fs.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Numbers up to here are whole in a double. */
#define WHOLE_MAX 9007199254740992.0

/* Counts brackets and commas outside of texts. The text may be no JSON at all: then jansson says
 * so, and has not taken more memory than for what was counted. */
static int look_over(const char *text, size_t bytes, const struct jsonfile_limits *limits,
                     struct err *err)
{
    uint32_t depth = 0, values = 0;
    bool in_text = false;
    for (size_t i = 0; i < bytes; i++) {
        const char byte = text[i];
        if (byte == '"') in_text = !in_text;
        if (in_text) {
            if (byte == '\\') i++;
            continue;
        }
        const bool opens = byte == '{' || byte == '[';
        if (opens && ++depth > limits->depth)
            return err_set(err, ERR_LIMIT,
                           "the JSON has more than %" PRIu32 " brackets in each "
                           "other; no such file has",
                           limits->depth);
        if ((byte == '}' || byte == ']') && depth) depth--;
        if ((opens || byte == ',') && ++values > limits->values)
            return err_set(err, ERR_LIMIT, "the JSON has more than %" PRIu32 " values",
                           limits->values);
    }
    return 0;
}

int jsonfile_parse(json_t **object, const char *text, size_t bytes,
                   const struct jsonfile_limits *limits, struct err *err)
{
    json_error_t trouble;
    *object = NULL;
    if (bytes > limits->bytes)
        return err_set(err, ERR_LIMIT, "the JSON has %zu bytes; at most %zu are read", bytes,
                       limits->bytes);
    int rc = look_over(text, bytes, limits, err);
    if (rc) return rc;
    json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &trouble);
    if (!root && json_error_code(&trouble) == json_error_out_of_memory)
        return err_set(err, ERR_LIMIT, "out of memory for JSON of %zu bytes", bytes);
    if (!root)
        return err_set(err, ERR_CORRUPT, "the JSON cannot be read: %.100s, at line %d",
                       trouble.text, trouble.line);
    if (!json_is_object(root)) {
        json_decref(root);
        return err_set(err, ERR_CORRUPT, "the JSON is no object");
    }
    *object = root;
    return 0;
}

int jsonfile_parse_with(jsonfile_reader *reader, void *dst, const char *text, size_t bytes,
                        const struct jsonfile_limits *limits, struct err *err)
{
    json_t *object;
    int rc = jsonfile_parse(&object, text, bytes, limits, err);
    if (!rc) rc = reader(dst, object, err);
    json_decref(object);
    return rc;
}

int jsonfile_read_with(jsonfile_reader *reader, void *dst, const char *path,
                       const struct jsonfile_limits *limits, struct err *err)
{
    struct buf text;
    buf_init(&text, 0);
    int rc = fs_read(&text, path, limits->bytes, err); /* names the path */
    if (!rc) {
        rc = jsonfile_parse_with(reader, dst, buf_str(&text), text.len, limits, err);
        if (rc) rc = err_wrap(err, "%s", path);
    }
    buf_deinit(&text);
    return rc;
}

const json_t *jsonfile_field(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_null(value) ? NULL : value;
}

int jsonfile_refuse(const json_t *value, const char *name, struct err *err, const char *wanted, ...)
{
    char sentence[120];
    va_list args;
    va_start(args, wanted);
    (void)vsnprintf(sentence, sizeof sentence, wanted, args);
    va_end(args);
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    const int rc = err_set(err, ERR_INVALID, "%s is %.40s; it must be %s", name,
                           text ? text : "not readable", sentence);
    free(text);
    return rc;
}

int jsonfile_int(int64_t *dst, const json_t *object, const char *name, int64_t min, int64_t max,
                 struct err *err)
{
    const json_t *value = jsonfile_field(object, name);
    if (!value) return 0;
    int64_t number = 0;
    bool whole = json_is_integer(value);
    if (whole) number = (int64_t)json_integer_value(value);
    if (json_is_real(value)) {
        const double real = json_real_value(value);
        whole = fabs(real) <= WHOLE_MAX && real == floor(real);
        if (whole) number = (int64_t)real;
    }
    if (!whole || number < min || number > max)
        return jsonfile_refuse(value, name, err, "a whole number from %" PRId64 " to %" PRId64, min,
                               max);
    *dst = number;
    return 0;
}

int jsonfile_real(double *dst, const json_t *object, const char *name, double min, double max,
                  struct err *err)
{
    const json_t *value = jsonfile_field(object, name);
    if (!value) return 0;
    const double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= min && number <= max))
        return jsonfile_refuse(value, name, err, "a number from %g to %g", min, max);
    *dst = number;
    return 0;
}

int jsonfile_bool(bool *dst, const json_t *object, const char *name, struct err *err)
{
    const json_t *value = jsonfile_field(object, name);
    if (!value) return 0;
    if (!json_is_boolean(value)) return jsonfile_refuse(value, name, err, "true or false");
    *dst = json_is_true(value);
    return 0;
}

int jsonfile_text(const char **dst, const json_t *object, const char *name, struct err *err)
{
    const json_t *value = jsonfile_field(object, name);
    if (!value) return 0;
    if (!json_is_string(value)) return jsonfile_refuse(value, name, err, "a text");
    *dst = json_string_value(value);
    return 0;
}

int jsonfile_object(const json_t **dst, const json_t *object, const char *name, struct err *err)
{
    const json_t *value = jsonfile_field(object, name);
    if (!value) return 0;
    if (!json_is_object(value)) return jsonfile_refuse(value, name, err, "an object");
    *dst = value;
    return 0;
}
