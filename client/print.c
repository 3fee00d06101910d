/* print.c - tables and small texts for people. */
#include "client/print.h"

#include "common/base/check.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ELLIPSIS   "\xe2\x80\xa6"
#define GAP        "  "
#define SHRINK_MIN 8 /* a cut column still tells something */

void table_init(struct table *table, const struct table_column *column, uint32_t columns)
{
    CHECK(columns >= 1);
    CHECK(columns <= TABLE_COLUMNS_MAX);
    memset(table, 0, sizeof *table);
    arena_init(&table->arena, 0);
    table->column = column;
    table->columns = columns;
}

void table_deinit(struct table *table)
{
    mem_free(table->cell);
    arena_deinit(&table->arena);
    memset(table, 0, sizeof *table);
}

uint32_t table_rows(const struct table *table)
{
    return table->count / table->columns;
}

void table_cell(struct table *table, const char *fmt, ...)
{
    char small[512];
    struct buf text;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(small, sizeof small, fmt, args);
    va_end(args);
    buf_init(&text, 0);
    print_clean(&text, small);
    if (table->count == table->cap) {
        const uint32_t cap = table->cap ? table->cap * 2 : 64 * table->columns;
        const char **cell = mem_resize(table->cell, cap * sizeof *cell);
        CHECK(cell);
        table->cell = cell;
        table->cap = cap;
    }
    table->cell[table->count++] = arena_text(&table->arena, buf_str(&text), text.len);
    buf_deinit(&text);
}

void print_clean(struct buf *out, const char *text)
{
    struct buf valid;
    buf_init(&valid, 0);
    str_utf8_clean(&valid, text, strlen(text));
    const char *at = buf_str(&valid);
    for (size_t i = 0; i < valid.len; i++) {
        const uint8_t byte = (uint8_t)at[i];
        /* U+0080 to U+009F are controls as well: C2 80 to C2 9F. */
        const bool c1 = byte == 0xc2 && i + 1 < valid.len && (uint8_t)at[i + 1] < 0xa0;
        if (c1) i++;
        buf_byte(out, (char)(c1 || byte < 0x20 || byte == 0x7f ? ' ' : at[i]));
    }
    buf_deinit(&valid);
}

/* Length in bytes of the character at text, which is valid UTF-8. */
static size_t character_bytes(const char *text)
{
    size_t bytes = 1;
    while (((uint8_t)text[bytes] & 0xc0) == 0x80) bytes++;
    return bytes;
}

uint32_t print_columns(const char *text)
{
    uint32_t columns = 0;
    for (; *text; text += character_bytes(text)) columns++;
    return columns;
}

void print_cut(struct buf *out, const char *text, uint32_t columns)
{
    if (print_columns(text) <= columns) {
        buf_text(out, text);
        return;
    }
    for (uint32_t i = 1; i < columns; i++) {
        const size_t bytes = character_bytes(text);
        buf_add(out, text, bytes);
        text += bytes;
    }
    if (columns) buf_text(out, ELLIPSIS);
}

static void column_widths(const struct table *table, uint32_t *wide, uint32_t width)
{
    uint32_t sum = 0, shrinks = table->columns;
    for (uint32_t c = 0; c < table->columns; c++) {
        wide[c] = print_columns(table->column[c].title);
        for (uint32_t i = c; i < table->count; i += table->columns) {
            const uint32_t columns = print_columns(table->cell[i]);
            if (columns > wide[c]) wide[c] = columns;
        }
        sum += wide[c] + (c ? (uint32_t)strlen(GAP) : 0);
        if (table->column[c].shrinks) shrinks = c;
    }
    if (!width || sum <= width || shrinks == table->columns) return;
    const uint32_t over = sum - width;
    const uint32_t least = wide[shrinks] < SHRINK_MIN ? wide[shrinks] : SHRINK_MIN;
    wide[shrinks] = wide[shrinks] > over + least ? wide[shrinks] - over : least;
}

static void render_row(const struct table *table, struct buf *out, const uint32_t *wide,
                       const char *const *cell)
{
    for (uint32_t c = 0; c < table->columns; c++) {
        const char *text = cell ? cell[c] : table->column[c].title;
        const uint32_t columns = print_columns(text);
        const uint32_t pad = columns < wide[c] ? wide[c] - columns : 0;
        if (c) buf_text(out, GAP);
        if (table->column[c].right) buf_printf(out, "%*s", (int)pad, "");
        print_cut(out, text, wide[c]);
        if (!table->column[c].right && c + 1 < table->columns) buf_printf(out, "%*s", (int)pad, "");
    }
    while (out->len && out->data[out->len - 1] == ' ') out->len--;
    buf_byte(out, '\n');
}

void table_render(const struct table *table, struct buf *out, uint32_t width)
{
    uint32_t wide[TABLE_COLUMNS_MAX];
    CHECK(table->count % table->columns == 0);
    column_widths(table, wide, width);
    render_row(table, out, wide, NULL);
    for (uint32_t i = 0; i < table->count; i += table->columns)
        render_row(table, out, wide, table->cell + i);
}

void table_print(const struct table *table)
{
    struct buf out;
    buf_init(&out, 0);
    table_render(table, &out, print_width(STDOUT_FILENO));
    print_out(stdout, &out);
    buf_deinit(&out);
}

char *print_grouped(char *dst, size_t dst_bytes, int64_t value)
{
    char digits[24];
    size_t at = 0;
    const uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    (void)snprintf(digits, sizeof digits, "%" PRIu64, size);
    const size_t count = strlen(digits);
    CHECK(dst_bytes > count + count / 3 + 2);
    if (value < 0) dst[at++] = '-';
    for (size_t i = 0; i < count; i++) {
        if (i && (count - i) % 3 == 0) dst[at++] = ',';
        dst[at++] = digits[i];
    }
    dst[at] = 0;
    return dst;
}

char *print_share(char *dst, size_t dst_bytes, int64_t part, int64_t whole)
{
    if (whole <= 0) {
        (void)str_copy(dst, dst_bytes, "-");
        return dst;
    }
    double percent = 100.0 * (double)part / (double)whole;
    if (part < whole && percent > 99.9) percent = 99.9;
    if (part > 0 && percent < 0.1) percent = 0.1;
    (void)snprintf(dst, dst_bytes, "%.1f %%", percent);
    return dst;
}

char *print_ago(char *dst, size_t dst_bytes, int64_t at_ms, int64_t now_ms)
{
    char span[24];
    if (at_ms <= 0) {
        (void)str_copy(dst, dst_bytes, "-");
        return dst;
    }
    const int64_t s = now_ms > at_ms ? (now_ms - at_ms) / 1000 : 0;
    if (s < 60)
        (void)snprintf(span, sizeof span, "%" PRId64 "s", s);
    else if (s < 3600)
        (void)snprintf(span, sizeof span, "%" PRId64 "m", s / 60);
    else if (s < 86400)
        (void)snprintf(span, sizeof span, "%" PRId64 "h", s / 3600);
    else
        (void)snprintf(span, sizeof span, "%" PRId64 "d", s / 86400);
    (void)snprintf(dst, dst_bytes, "%s ago", span);
    return dst;
}

uint32_t print_width(int fd)
{
    struct winsize size;
    if (!isatty(fd)) return 0;
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col) return size.ws_col;
    return 80;
}

void print_out(FILE *stream, const struct buf *out)
{
    (void)fwrite(buf_str(out), 1, out->len, stream);
    (void)fflush(stream);
}

void print_line(const char *fmt, ...)
{
    char text[4096];
    struct buf out;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    buf_init(&out, 0);
    print_clean(&out, text);
    buf_byte(&out, '\n');
    print_out(stdout, &out);
    buf_deinit(&out);
}
