/* jansson.c - a small reader of JSON (RFC 8259) behind jansson's names; see jansson.h here. */
#include "tests/device/stand_in/jansson.h"

#include "common/base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 64

enum type { OBJECT, ARRAY, STRING, INTEGER, REAL, TRUE_, FALSE_, NULL_ };

struct json_t {
    enum type type;
    size_t count; /* of members or elements; of a text's bytes */
    size_t room;
    json_t **value;
    char **key; /* of an object's members */
    char *text;
    json_int_t integer;
    double real;
};

struct reader {
    const char *at, *end;
    int line;
    const char *fault; /* NULL: none */
};

static json_t *json_new(enum type type)
{
    json_t *json = mem_new(sizeof *json);
    json->type = type;
    return json;
}

void json_decref(json_t *json)
{
    if (!json) return;
    if (json->type != STRING)
        for (size_t i = 0; i < json->count; i++) {
            json_decref(json->value[i]);
            if (json->key) mem_free(json->key[i]);
        }
    mem_free(json->value);
    mem_free(json->key);
    mem_free(json->text);
    mem_free(json);
}

static json_t *fail(struct reader *reader, const char *fault)
{
    if (!reader->fault) reader->fault = fault;
    return NULL;
}

static void skip_blanks(struct reader *reader)
{
    for (; reader->at < reader->end; reader->at++) {
        if (*reader->at == '\n') reader->line++;
        if (!strchr(" \t\r\n", *reader->at) || !*reader->at) return;
    }
}

static bool take(struct reader *reader, char byte)
{
    skip_blanks(reader);
    if (reader->at == reader->end || *reader->at != byte) return false;
    reader->at++;
    return true;
}

static void add(json_t *parent, char *key, json_t *value)
{
    if (parent->count == parent->room) {
        const size_t room = parent->room ? parent->room * 2 : 8;
        json_t **values = mem_new(room * sizeof(json_t *));
        char **keys = mem_new(room * sizeof(char *));
        if (parent->count) {
            memcpy(values, parent->value, parent->count * sizeof(json_t *));
            memcpy(keys, parent->key, parent->count * sizeof(char *));
        }
        mem_free(parent->value);
        mem_free(parent->key);
        parent->value = values;
        parent->key = keys;
        parent->room = room;
    }
    parent->key[parent->count] = key;
    parent->value[parent->count++] = value;
}

/* The unescaped bytes of a text behind its quote. \u is taken below 128 only: our files have no
 * other. */
static char *read_text(struct reader *reader, size_t *bytes)
{
    static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *stop = reader->at;
    size_t count = 0;
    while (stop < reader->end && *stop != '"') stop += *stop == '\\' ? 2 : 1;
    if (stop > reader->end) stop = reader->end;
    char *text = mem_new((size_t)(stop - reader->at) + 1);
    while (reader->at < reader->end && *reader->at != '"') {
        char byte = *reader->at++;
        if (byte == '\\' && reader->at < reader->end) {
            const char *escape = strchr(escapes, *reader->at);
            char digits[5] = "";
            if (*reader->at == 'u' && reader->end - reader->at > 4)
                memcpy(digits, reader->at + 1, 4);
            const long code = strtol(digits, NULL, 16);
            if (*reader->at && escape) {
                byte = meant[escape - escapes];
                reader->at++;
            } else if (code > 0 && code < 128) {
                byte = (char)code;
                reader->at += 5;
            } else {
                (void)fail(reader, "an escape that is not known here");
                break;
            }
        }
        text[count++] = byte;
    }
    if (reader->at == reader->end)
        (void)fail(reader, "a text without an end");
    else
        reader->at++;
    text[count] = '\0';
    *bytes = count;
    return text;
}

static json_t *read_number(struct reader *reader)
{
    char digits[64] = "";
    const char *end = reader->at;
    while (end < reader->end && *end && strchr("+-.0123456789eE", *end)) end++;
    const size_t bytes = (size_t)(end - reader->at);
    if (!bytes || bytes >= sizeof digits) return fail(reader, "no value");
    memcpy(digits, reader->at, bytes);
    const bool whole = !strpbrk(digits, ".eE");
    char *stop;
    json_t *json = json_new(whole ? INTEGER : REAL);
    errno = 0;
    if (whole)
        json->integer = strtoll(digits, &stop, 10);
    else
        json->real = strtod(digits, &stop);
    if (*stop || errno == ERANGE) (void)fail(reader, "no number");
    reader->at = end;
    return json;
}

static json_t *read_word(struct reader *reader)
{
    static const struct {
        const char *text;
        enum type type;
    } words[] = {{"true", TRUE_}, {"false", FALSE_}, {"null", NULL_}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const size_t bytes = strlen(words[i].text);
        if ((size_t)(reader->end - reader->at) < bytes ||
            memcmp(reader->at, words[i].text, bytes) != 0)
            continue;
        reader->at += bytes;
        return json_new(words[i].type);
    }
    return read_number(reader);
}

static json_t *read_value(struct reader *reader, int depth);

/* Members or elements, behind the bracket. */
static void read_all(struct reader *reader, json_t *parent, char closing, int depth)
{
    if (take(reader, closing)) return;
    do {
        char *key = NULL;
        size_t bytes;
        if (parent->type == OBJECT) {
            if (!take(reader, '"')) (void)fail(reader, "no name");
            if (!reader->fault) key = read_text(reader, &bytes);
            if (!reader->fault && json_object_get(parent, key)) (void)fail(reader, "a name twice");
            if (!reader->fault && !take(reader, ':')) (void)fail(reader, "no colon");
        }
        json_t *value = reader->fault ? NULL : read_value(reader, depth + 1);
        add(parent, key, value);
    } while (!reader->fault && take(reader, ','));
    if (!reader->fault && !take(reader, closing)) (void)fail(reader, "no closing bracket");
}

/* Depth is bounded. NOLINTNEXTLINE(misc-no-recursion) */
static json_t *read_value(struct reader *reader, int depth)
{
    if (depth > DEPTH_MAX) return fail(reader, "too deep");
    if (take(reader, '"')) {
        json_t *text = json_new(STRING);
        text->text = read_text(reader, &text->count);
        return text;
    }
    const bool is_object = take(reader, '{');
    if (!is_object && !take(reader, '[')) return read_word(reader);
    json_t *parent = json_new(is_object ? OBJECT : ARRAY);
    read_all(reader, parent, is_object ? '}' : ']', depth);
    return parent;
}

json_t *json_loadb(const char *text, size_t bytes, size_t flags, json_error_t *error)
{
    struct reader reader = {.at = text, .end = text + bytes, .line = 1};
    json_t *json = read_value(&reader, 0);
    (void)flags;
    skip_blanks(&reader);
    if (reader.at != reader.end) (void)fail(&reader, "more behind the value");
    if (!reader.fault) return json;
    error->line = reader.line;
    (void)snprintf(error->text, sizeof error->text, "%s", reader.fault);
    json_decref(json);
    return NULL;
}

enum json_error_code json_error_code(const json_error_t *error)
{
    (void)error;
    return json_error_unknown; /* mem_new ends the program */
}

char *json_dumps(const json_t *json, size_t flags)
{
    (void)json;
    (void)flags;
    return NULL;
}

/* Of numbers and words. */
int json_equal(const json_t *a, const json_t *b)
{
    return a && b && a->type == b->type && a->type >= INTEGER && a->integer == b->integer &&
           a->real == b->real;
}

#define IS(name, type_)                       \
    bool json_is_##name(const json_t *json)   \
    {                                         \
        return json && json->type == (type_); \
    }
IS(object, OBJECT)
IS(array, ARRAY)
IS(string, STRING)
IS(integer, INTEGER)
IS(real, REAL)
IS(true, TRUE_)
IS(null, NULL_)

bool json_is_number(const json_t *json)
{
    return json_is_integer(json) || json_is_real(json);
}

bool json_is_boolean(const json_t *json)
{
    return json && (json->type == TRUE_ || json->type == FALSE_);
}

size_t json_object_size(const json_t *json)
{
    return json_is_object(json) ? json->count : 0;
}

size_t json_array_size(const json_t *json)
{
    return json_is_array(json) ? json->count : 0;
}

json_t *json_object_get(const json_t *json, const char *key)
{
    for (size_t i = 0; i < json_object_size(json); i++)
        if (json->key[i] && strcmp(json->key[i], key) == 0) return json->value[i];
    return NULL;
}

json_t *json_array_get(const json_t *json, size_t index)
{
    return index < json_array_size(json) ? json->value[index] : NULL;
}

const char *json_string_value(const json_t *json)
{
    return json_is_string(json) ? json->text : NULL;
}

size_t json_string_length(const json_t *json)
{
    return json_is_string(json) ? json->count : 0;
}

json_int_t json_integer_value(const json_t *json)
{
    return json_is_integer(json) ? json->integer : 0;
}

double json_real_value(const json_t *json)
{
    return json_is_real(json) ? json->real : 0;
}

double json_number_value(const json_t *json)
{
    return json_is_integer(json) ? (double)json->integer : json_real_value(json);
}

const char *json_stand_in_key(const json_t *object, size_t index)
{
    return index < json_object_size(object) ? object->key[index] : NULL;
}

json_t *json_stand_in_value(const json_t *object, size_t index)
{
    return object->value[index];
}
