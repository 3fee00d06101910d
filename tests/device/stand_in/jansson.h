/* jansson.h - as much of jansson as worker/nn/load calls, for tests/gpu: such a machine has no
 * package of it.
 *
 * It reads the project's own files and no others; names and meaning are those of jansson's manual
 * (version 2.14). Values are freed with the object that they belong to. Numbers: whole ones that
 * fit 64 bits are integers. json_dumps gives NULL, which its caller takes for "not readable". */
#ifndef TESTS_DEVICE_JANSSON_H
#define TESTS_DEVICE_JANSSON_H

#include <stdbool.h>
#include <stddef.h>

#define JSON_COMPACT           1u
#define JSON_ENCODE_ANY        2u
#define JSON_REJECT_DUPLICATES 4u
#define JSON_DECODE_ANY        8u

typedef struct json_t json_t;
typedef long long json_int_t;
typedef struct {
    int line;
    char text[160];
} json_error_t;

enum json_error_code { json_error_unknown, json_error_out_of_memory };

json_t *json_loadb(const char *text, size_t bytes, size_t flags, json_error_t *error);
enum json_error_code json_error_code(const json_error_t *error);
void json_decref(json_t *json);
char *json_dumps(const json_t *json, size_t flags);
int json_equal(const json_t *a, const json_t *b);

/* All of them take NULL, which is of no type. */
bool json_is_object(const json_t *json);
bool json_is_array(const json_t *json);
bool json_is_string(const json_t *json);
bool json_is_integer(const json_t *json);
bool json_is_real(const json_t *json);
bool json_is_number(const json_t *json);
bool json_is_true(const json_t *json);
bool json_is_boolean(const json_t *json);
bool json_is_null(const json_t *json);

size_t json_object_size(const json_t *json);
json_t *json_object_get(const json_t *json, const char *key);
size_t json_array_size(const json_t *json);
json_t *json_array_get(const json_t *json, size_t index);
const char *json_string_value(const json_t *json);
size_t json_string_length(const json_t *json);
json_int_t json_integer_value(const json_t *json);
double json_real_value(const json_t *json);
double json_number_value(const json_t *json);

/* The member of that number; NULL: there are fewer. */
const char *json_stand_in_key(const json_t *object, size_t index);
json_t *json_stand_in_value(const json_t *object, size_t index);
#define json_object_foreach(object, key, value)                                          \
    for (size_t json_at_ = 0; ((key) = json_stand_in_key((object), json_at_)) != NULL && \
                              ((value) = json_stand_in_value((object), json_at_), true); \
         json_at_++)

#endif
