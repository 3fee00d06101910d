/* source_text.c - see source_text.h. */
#include "worker/jobs/encode/source_text.h"

#include "common/base/str.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"

void source_set_key(struct encode_sample *sample, const char *key)
{
    struct buf clean;
    buf_init(&clean, 0);
    str_utf8_clean(&clean, key, strlen(key));
    buf_clear(&sample->key);
    for (size_t i = 0; i < clean.len; i++) {
        const unsigned char byte = (unsigned char)clean.data[i];
        if (byte < 0x20 || byte == 0x7f)
            buf_text(&sample->key, REPLACEMENT);
        else
            buf_byte(&sample->key, (char)byte);
    }
    if (buf_failed(&clean)) sample->key.failed = true;
    buf_deinit(&clean);
}

void source_set_caption(struct encode_sample *sample, const char *text, size_t bytes)
{
    sample->has_caption = true;
    buf_clear(&sample->caption);
    if (bytes > CAPTION_BYTES_MAX) {
        bytes = CAPTION_BYTES_MAX; /* and not in the middle of a character */
        while (bytes && ((unsigned char)text[bytes] & 0xc0) == 0x80) bytes--;
    }
    while (bytes) {
        const char *zero = memchr(text, 0, bytes);
        const size_t piece = zero ? (size_t)(zero - text) : bytes;
        str_utf8_clean(&sample->caption, text, piece);
        if (zero) buf_text(&sample->caption, REPLACEMENT);
        text += piece + (zero ? 1 : 0);
        bytes -= piece + (zero ? 1 : 0);
    }
}

void source_set_json(struct encode_sample *sample, const char *text, size_t bytes)
{
    json_t *object = json_loadb(text, bytes, JSON_ALLOW_NUL, NULL);
    buf_clear(&sample->json);
    char *line = json_is_object(object) ? json_dumps(object, JSON_COMPACT) : NULL;
    if (line) buf_text(&sample->json, line);
    free(line);
    json_decref(object);
}

void source_fail(struct encode_sample *sample, const char *status, const char *fmt, ...)
{
    va_list args;
    sample->status = status;
    buf_clear(&sample->picture);
    va_start(args, fmt);
    (void)vsnprintf(sample->message, sizeof sample->message, fmt, args);
    va_end(args);
    /* A name may have been cut within a character. */
    sample->message[str_utf8_valid(sample->message, strlen(sample->message))] = 0;
}
