/* log.h - one line per event on stderr: logfmt, or JSON with log_set_json.
 *
 *   2026-11-22T06:38:18.123Z info lease.lost job=k3v… task=17 attempt=2 held_ms=10000 msg="…"
 *
 * The event is a constant noun.verb. fmt gives logfmt pairs with fixed keys (job task attempt
 * worker stage model dur_ms bytes code); text for people comes last as msg=%s, quoted with
 * log_quote. Each line is one write. Never per item or token. info: a person may want it
 * later; warn: someone may have to act; error: our failure. Secrets never get here. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "common/base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_set_level(enum log_level level); /* default LOG_INFO */
void log_set_json(bool json);
void log_set_program(const char *name); /* program=… on every line; a constant */
int log_level_parse(enum log_level *level, const char *text); /* 0 or -1 */

void log_line(enum log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

/* A scope belongs to one attempt; any thread may make it. Each thread that works for the attempt
 * joins it: job, task and attempt stand on its lines from then on, and the newest whole lines
 * (LOG_TAIL_BYTES_MAX) are kept for the report of a failure. Scopes do not nest: joining one
 * leaves the one before. log_scope_free ends the scope for all that joined; it must not be
 * joined after that. */
struct log_scope;
struct log_scope *log_scope_new(const char *job, uint32_t task, uint32_t attempt);
void log_scope_free(struct log_scope *scope);
void log_scope_join(struct log_scope *scope); /* NULL leaves */
/* Copies the kept lines; any thread. */
void log_scope_tail(struct log_scope *scope, struct buf *out);

/* Text as a quoted logfmt value in one of four thread-local buffers, clipped to 400 bytes. */
const char *log_quote(const char *text);

#endif
