/* source_text.h - what all sources do with the texts that they find: keys, captions, JSON. */
#ifndef ENCODE_SOURCE_TEXT_H
#define ENCODE_SOURCE_TEXT_H

#include "worker/jobs/encode/source.h"

/* More than a book page; CLIP reads 77 tokens of it. What is longer is cut. */
#define CAPTION_BYTES_MAX ((size_t)64 * 1024)
#define JSON_BYTES_MAX    ((size_t)1024 * 1024) /* of a sample's own fields */

/* Statuses of rows whose picture a source does not give; they stand in docs/encode.md. */
#define SOURCE_NO_IMAGE      "no_image"
#define SOURCE_DUPLICATE_KEY "duplicate_key"
#define SOURCE_DAMAGED_TAR   "damaged_tar"
#define SOURCE_TOO_LARGE     "too_large_file"
#define SOURCE_MISSING       "missing_file"
#define SOURCE_CHANGED       "changed_file"
#define SOURCE_UNREADABLE    "unreadable_file"
#define SOURCE_BAD_ROW       "bad_row" /* of a URL list; its other statuses are those of fetch.h */

/* As valid UTF-8 without control characters: each becomes U+FFFD. */
void source_set_key(struct encode_sample *sample, const char *key);
/* As valid UTF-8 without zeros, cut to CAPTION_BYTES_MAX. */
void source_set_caption(struct encode_sample *sample, const char *text, size_t bytes);
/* In one line; what is no JSON object is left out. */
void source_set_json(struct encode_sample *sample, const char *text, size_t bytes);
/* Why there is no picture. */
void source_fail(struct encode_sample *sample, const char *status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
