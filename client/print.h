/* print.h - what people read: tables, shares, moments, and text that is safe on a terminal.
 *
 * Text that came from the fleet may hold anything; everything that is printed for people goes
 * through print_clean, which replaces control characters, so that no title or error message can
 * steer a terminal. Tables are laid out when they are printed; on a terminal the column that may
 * shrink is cut so that a row stays on one line. */
#ifndef CLIENT_PRINT_H
#define CLIENT_PRINT_H

#include "common/base/buf.h"
#include "common/base/mem.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 13

struct table_column {
    const char *title;
    bool right;   /* numbers stand right */
    bool shrinks; /* gives way when the row does not fit; at most one */
};

struct table {
    struct arena arena;
    const struct table_column *column;
    uint32_t columns;
    const char **cell; /* rows * columns, in the arena's own growth (heap) */
    uint32_t count, cap;
};

void table_init(struct table *table, const struct table_column *column, uint32_t columns);
void table_deinit(struct table *table);
/* The next cell, row by row; cleaned. */
void table_cell(struct table *table, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
uint32_t table_rows(const struct table *table);
/* width 0: no limit. Nothing is cut in the middle of a character. */
void table_render(const struct table *table, struct buf *out, uint32_t width);
void table_print(const struct table *table); /* to stdout, as wide as it is */

/* Appends text with control characters and invalid UTF-8 replaced. */
void print_clean(struct buf *out, const char *text);
/* Columns that text takes on a terminal, where each character takes one. */
uint32_t print_columns(const char *text);
/* Appends at most columns of text, with an ellipsis where it was cut. */
void print_cut(struct buf *out, const char *text, uint32_t columns);
/* "12,345" */
char *print_grouped(char *dst, size_t dst_bytes, int64_t value);
/* "92.3 %", "-" when the whole is 0; never "100.0 %" or "0.0 %" unless it is exact. */
char *print_share(char *dst, size_t dst_bytes, int64_t part, int64_t whole);
/* "3m ago", "-" for 0 */
char *print_ago(char *dst, size_t dst_bytes, int64_t at_ms, int64_t now_ms);
/* Columns of the terminal on fd; 0: it is none. */
uint32_t print_width(int fd);
/* Writes all of out to the stream and flushes it; a closed pipe is not an error of ours. */
void print_out(FILE *stream, const struct buf *out);
/* printf to stdout with cleaned result and a newline of its own where fmt has one last. */
void print_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
