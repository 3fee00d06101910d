/* buf.c - see buf.h. Growth doubles, so appending n bytes costs O(n) copies. */
#include "common/base/buf.h"

#include "common/base/check.h"
#include "common/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CAP_MIN ((size_t)64)

void buf_init(struct buf *buf, size_t max)
{
    *buf = (struct buf){.max = max};
}

void buf_deinit(struct buf *buf)
{
    mem_free(buf->data);
    *buf = (struct buf){.max = buf->max};
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
    buf->failed = false;
    if (buf->data) buf->data[0] = 0;
}

/* Room for bytes more and the terminator. */
static bool grow(struct buf *buf, size_t bytes)
{
    if (buf->failed) return false;
    size_t len, need;
    if (__builtin_add_overflow(buf->len, bytes, &len) || (buf->max && len > buf->max) ||
        __builtin_add_overflow(len, (size_t)1, &need)) {
        buf->failed = true;
        return false;
    }
    if (need <= buf->cap) return true;
    size_t cap = buf->cap > SIZE_MAX / 2 ? need : buf->cap * 2;
    if (cap < CAP_MIN) cap = CAP_MIN;
    if (cap < need) cap = need;
    if (buf->max && cap > buf->max + 1) cap = buf->max + 1;
    char *data = mem_resize(buf->data, cap);
    if (!data) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->data[buf->len] = 0; /* for a buf_reserve that nothing follows */
    buf->cap = cap;
    return true;
}

void buf_add(struct buf *buf, const void *data, size_t bytes)
{
    if (!grow(buf, bytes)) return;
    if (bytes) memcpy(buf->data + buf->len, data, bytes);
    buf->len += bytes;
    buf->data[buf->len] = 0;
}

void buf_text(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void buf_byte(struct buf *buf, char byte)
{
    buf_add(buf, &byte, 1);
}

void buf_printf(struct buf *buf, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    const int bytes = vsnprintf(NULL, 0, fmt, args);
    if (bytes < 0) {
        buf->failed = true;
    } else if (grow(buf, (size_t)bytes)) {
        (void)vsnprintf(buf->data + buf->len, (size_t)bytes + 1, fmt, again);
        buf->len += (size_t)bytes;
    }
    va_end(again);
    va_end(args);
}

char *buf_reserve(struct buf *buf, size_t bytes)
{
    return grow(buf, bytes) ? buf->data + buf->len : NULL;
}

void buf_commit(struct buf *buf, size_t bytes)
{
    CHECK(buf->len + bytes < buf->cap);
    buf->len += bytes;
    buf->data[buf->len] = 0;
}

void buf_consume(struct buf *buf, size_t bytes)
{
    CHECK(bytes <= buf->len);
    if (!bytes) return;
    memmove(buf->data, buf->data + bytes, buf->len - bytes);
    buf->len -= bytes;
    buf->data[buf->len] = 0;
}

const char *buf_str(const struct buf *buf)
{
    return buf->data ? buf->data : "";
}

bool buf_failed(const struct buf *buf)
{
    return buf->failed;
}
