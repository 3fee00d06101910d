/* buf.h - a growable byte buffer with a limit whose errors stick.
 *
 * After the first failure (limit reached or out of memory) every further append does
 * nothing and buf_failed answers true, so a writer checks once, at the end. The bytes are
 * always followed by a terminating zero that is not counted. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    char *data;           /* NULL until the first append */
    size_t len, cap, max; /* max 0: no limit */
    bool failed;
};

void buf_init(struct buf *buf, size_t max);
void buf_deinit(struct buf *buf);
void buf_clear(struct buf *buf); /* keeps the memory, forgets the failure */
void buf_add(struct buf *buf, const void *data, size_t bytes);
void buf_text(struct buf *buf, const char *text);
void buf_byte(struct buf *buf, char byte);
void buf_printf(struct buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Makes room for bytes and returns where to write them, or NULL; follow with buf_commit. */
char *buf_reserve(struct buf *buf, size_t bytes);
void buf_commit(struct buf *buf, size_t bytes);
/* Drops bytes from the front. */
void buf_consume(struct buf *buf, size_t bytes);
/* "" when nothing was appended. */
const char *buf_str(const struct buf *buf);
bool buf_failed(const struct buf *buf);

#endif
