/* list_json.c - see list_json.h; a state machine over bytes. */
#include "worker/list/list_json.h"

#include "common/base/mem.h"

#include <string.h>

#define CHUNK_BYTES (32 * 1024)

enum array_state {
    ARRAY_START,        /* before the bracket */
    ARRAY_FIRST,        /* behind the bracket: an element or the end */
    ARRAY_ELEMENT,      /* behind a comma: an element */
    ARRAY_IN_SCALAR,    /* a number, true, false or null */
    ARRAY_IN_CONTAINER, /* an object or array, at some depth */
    ARRAY_IN_TEXT,
    ARRAY_IN_ESCAPE, /* behind a backslash */
    ARRAY_BETWEEN,   /* behind an element: a comma or the end */
    ARRAY_END,
};

struct array {
    struct list_source *source;
    enum array_state state;
    uint64_t depth; /* of containers that are open in the element */
    uint64_t offset;
    uint8_t chunk[CHUNK_BYTES];
    size_t pos, len;
};

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* What begins an element. */
static enum array_state begin(struct array *array, uint8_t c)
{
    array->depth = c == '{' || c == '[';
    if (array->depth) return ARRAY_IN_CONTAINER;
    return c == '"' ? ARRAY_IN_TEXT : ARRAY_IN_SCALAR;
}

static enum array_state in_container(struct array *array, uint8_t c)
{
    if (c == '"') return ARRAY_IN_TEXT;
    if (c == '{' || c == '[') array->depth++;
    if (c == '}' || c == ']') array->depth--;
    return array->depth ? ARRAY_IN_CONTAINER : ARRAY_BETWEEN;
}

/* The state behind one byte. *keep: the byte belongs to an element; *ends: that is complete, with
 * this byte or, if it is not kept, before it. false: no JSON array goes on like this. */
static bool step(struct array *array, uint8_t c, bool *keep, bool *ends)
{
    const enum array_state state = array->state;
    *keep = *ends = false;
    switch (state) {
    case ARRAY_START:
        if (c == '[') array->state = ARRAY_FIRST;
        return c == '[' || is_space(c);
    case ARRAY_FIRST:
    case ARRAY_ELEMENT:
        if (is_space(c)) return true;
        if (c == ']' && state == ARRAY_FIRST) {
            array->state = ARRAY_END;
            return true;
        }
        *keep = true;
        array->state = begin(array, c);
        return c != ',' && c != ']' && c != '}' && c != ':';
    case ARRAY_IN_SCALAR:
        *keep = !is_space(c) && c != ',' && c != ']';
        if (*keep) return true;
        *ends = true;
        array->state = c == ',' ? ARRAY_ELEMENT : c == ']' ? ARRAY_END : ARRAY_BETWEEN;
        return true;
    case ARRAY_IN_CONTAINER:
        *keep = true;
        array->state = in_container(array, c);
        break;
    case ARRAY_IN_TEXT:
        *keep = true;
        if (c == '\\') array->state = ARRAY_IN_ESCAPE;
        if (c == '"') array->state = array->depth ? ARRAY_IN_CONTAINER : ARRAY_BETWEEN;
        break;
    case ARRAY_IN_ESCAPE:
        *keep = true;
        array->state = ARRAY_IN_TEXT;
        break;
    case ARRAY_BETWEEN:
        if (c == ',') array->state = ARRAY_ELEMENT;
        if (c == ']') array->state = ARRAY_END;
        return c == ',' || c == ']' || is_space(c);
    case ARRAY_END:
        return is_space(c);
    }
    *ends = array->state == ARRAY_BETWEEN;
    return true;
}

static int fill(struct array *array, struct err *err)
{
    array->pos = 0;
    const int rc = list_source_read(array->source, array->chunk, CHUNK_BYTES, &array->len, err);
    if (rc || array->len || array->state == ARRAY_END) return rc;
    if (array->state == ARRAY_START)
        return err_set(err, ERR_INVALID, "the list is empty: a json list is one array of objects");
    return err_set(err, ERR_INVALID, "the list is cut short: its JSON array does not end");
}

static int skip_mark(struct array *array, struct err *err)
{
    if (array->offset || array->len < 3 || memcmp(array->chunk, "\xef\xbb\xbf", 3) != 0) return 0;
    array->pos = 3;
    array->offset = 3;
    return array->len == 3 ? fill(array, err) : 0;
}

/* Each byte makes at most two: itself, or a line end, or both. */
static int read_lines(void *ctx, void *dst, size_t bytes, size_t *got, struct err *err)
{
    struct array *array = ctx;
    uint8_t *to = dst;
    *got = 0;
    while (*got == 0) {
        int rc = array->pos == array->len ? fill(array, err) : 0;
        if (!rc) rc = skip_mark(array, err);
        if (rc) return rc;
        if (array->len == 0) return 0;
        while (array->pos < array->len && bytes - *got >= 2) {
            bool keep, ends;
            const uint8_t c = array->chunk[array->pos++];
            if (!step(array, c, &keep, &ends))
                return err_set(err, ERR_INVALID,
                               "the list is not one JSON array of objects: see its byte %llu",
                               (unsigned long long)array->offset);
            array->offset++;
            if (keep) to[(*got)++] = c == '\n' || c == '\r' ? ' ' : c;
            if (ends) to[(*got)++] = '\n';
        }
    }
    return 0;
}

static void close_array(void *ctx)
{
    struct array *array = ctx;
    list_source_close(array->source);
    mem_free(array);
}

struct list_source *list_json_lines(struct list_source *source)
{
    struct array *array = mem_new(sizeof *array);
    array->source = source;
    return list_source_of_feed((struct list_feed){array, read_lines, close_array});
}
