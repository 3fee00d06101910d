/* str.h - small helpers for text from people and from files. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "common/base/buf.h"
#include "common/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copies and terminates; true when all of src fitted. */
bool str_copy(char *dst, size_t dst_bytes, const char *src);
bool str_eq(const char *a, const char *b); /* NULL equals only NULL */
bool str_has_prefix(const char *text, const char *prefix);
bool str_has_suffix(const char *text, const char *suffix);
/* Whole-string decimal integers within [min, max]; the sentence names `what`. */
CHECKED int str_to_int(int64_t *out, const char *text, int64_t min, int64_t max, const char *what,
                       struct err *err);
CHECKED int str_to_double(double *out, const char *text, double min, double max, const char *what,
                          struct err *err);
/* "512", "64k", "10M", "2GiB" (powers of 1024) to bytes. */
CHECKED int str_to_bytes(int64_t *out, const char *text, const char *what, struct err *err);
/* "250ms", "10", "10s", "5m", "2h" (bare numbers are seconds) to milliseconds. */
CHECKED int str_to_ms(int64_t *out, const char *text, const char *what, struct err *err);
/* Length of the valid UTF-8 prefix of data; equals bytes when all of it is valid
 * (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF). */
size_t str_utf8_valid(const char *data, size_t bytes);
/* Appends data with each invalid byte replaced by U+FFFD. */
void str_utf8_clean(struct buf *out, const char *data, size_t bytes);
/* Appends a JSON string with its quotes (RFC 8259); invalid UTF-8 becomes U+FFFD. */
void str_json(struct buf *out, const char *data, size_t bytes);
/* Appends a finite real number as JSON: the shortest digits that read back as the same double, or
 * float, and always with a point or an exponent. */
void str_json_real(struct buf *out, double number, bool is_float);
/* Appends text with & < > " ' escaped for HTML. */
void str_html(struct buf *out, const char *text);
void str_hex(char *dst, const uint8_t *src, size_t src_bytes);   /* 2n characters and a zero */
bool str_unhex(uint8_t *dst, size_t dst_bytes, const char *hex); /* exactly 2n digits */
/* "1.4 GB", "3.2 k", "2m05s": for people. dst holds at least 24 bytes; returns dst. */
char *str_human_bytes(char *dst, size_t dst_bytes, double bytes);
char *str_human_count(char *dst, size_t dst_bytes, double count);
char *str_human_ms(char *dst, size_t dst_bytes, int64_t ms);
/* Removes "user:password@" from a URL for logs. */
void str_url_redact(struct buf *out, const char *url);

#endif
