/* log.c - lines on stderr, and the newest lines of each attempt.
 *
 * The level, the format and the program's name are process-wide. A scope is shared by the
 * threads that joined it: each holds a reference, so a thread that leaves late, or never
 * because it ended, cannot touch freed memory. After log_scope_free its lines carry no job. */
#include "common/base/log.h"

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A line's own text: a sentence, its pairs and one quoted value of the largest size. */
#define TEXT_BYTES_MAX 3072
/* A whole line, also where JSON spells each byte as \u00xx; one line never outgrows a tail. */
#define LINE_BYTES_MAX  4000
#define QUOTE_BYTES_MAX 400
_Static_assert(LINE_BYTES_MAX < LOG_TAIL_BYTES_MAX, "a line fits the kept tail");

static _Atomic int level_min = LOG_INFO;
static atomic_bool as_json;
static _Atomic(const char *) program;

struct log_scope {
    pthread_mutex_t lock; /* guards all below */
    uint32_t refs;
    bool ended;
    char job[JOB_ID_BYTES];
    uint32_t task, attempt;
    size_t tail_at, tail_bytes; /* where the next byte goes; how many are there */
    char tail[LOG_TAIL_BYTES_MAX];
};

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* the calling thread's scope */

void log_set_level(enum log_level level)
{
    atomic_store(&level_min, (int)level);
}

void log_set_json(bool json)
{
    atomic_store(&as_json, json);
}

void log_set_program(const char *name)
{
    atomic_store(&program, name);
}

static const char *const level_names[] = {"debug", "info", "warn", "error"};

int log_level_parse(enum log_level *level, const char *text)
{
    for (int i = 0; i <= (int)LOG_ERROR; i++) {
        if (!str_eq(text, level_names[i])) continue;
        *level = (enum log_level)i;
        return 0;
    }
    return -1;
}

static void scope_unref(void *arg)
{
    struct log_scope *scope = arg;
    CHECK(pthread_mutex_lock(&scope->lock) == 0);
    CHECK(scope->refs > 0);
    const bool last = --scope->refs == 0;
    CHECK(pthread_mutex_unlock(&scope->lock) == 0);
    if (!last) return;
    CHECK(pthread_mutex_destroy(&scope->lock) == 0);
    mem_free(scope);
}

static void key_make(void)
{
    CHECK(pthread_key_create(&key, scope_unref) == 0);
}

static struct log_scope *scope_mine(void)
{
    CHECK(pthread_once(&key_once, key_make) == 0);
    return pthread_getspecific(key);
}

void log_scope_join(struct log_scope *scope)
{
    struct log_scope *old = scope_mine();
    if (old == scope) return;
    if (scope) {
        CHECK(pthread_mutex_lock(&scope->lock) == 0);
        CHECK(!scope->ended);
        scope->refs++;
        CHECK(pthread_mutex_unlock(&scope->lock) == 0);
    }
    CHECK(pthread_setspecific(key, scope) == 0);
    if (old) scope_unref(old);
}

struct log_scope *log_scope_new(const char *job, uint32_t task, uint32_t attempt)
{
    struct log_scope *scope = mem_new(sizeof *scope);
    CHECK(pthread_mutex_init(&scope->lock, NULL) == 0);
    scope->refs = 1; /* the owner's */
    scope->task = task;
    scope->attempt = attempt;
    (void)str_copy(scope->job, sizeof scope->job, job);
    return scope;
}

void log_scope_free(struct log_scope *scope)
{
    if (!scope) return;
    if (scope_mine() == scope) log_scope_join(NULL);
    CHECK(pthread_mutex_lock(&scope->lock) == 0);
    scope->ended = true;
    CHECK(pthread_mutex_unlock(&scope->lock) == 0);
    scope_unref(scope);
}

void log_scope_tail(struct log_scope *scope, struct buf *out)
{
    if (!scope) return;
    char copy[LOG_TAIL_BYTES_MAX];
    CHECK(pthread_mutex_lock(&scope->lock) == 0);
    const size_t bytes = scope->tail_bytes;
    const size_t start = (scope->tail_at + sizeof copy - bytes) % sizeof copy;
    const size_t first = bytes < sizeof copy - start ? bytes : sizeof copy - start;
    memcpy(copy, scope->tail + start, first);
    memcpy(copy + first, scope->tail, bytes - first);
    CHECK(pthread_mutex_unlock(&scope->lock) == 0);
    size_t skip = 0;
    if (bytes == sizeof copy) { /* the oldest line may have lost its front */
        const char *end = memchr(copy, '\n', bytes);
        skip = end ? (size_t)(end - copy) + 1 : 0;
    }
    buf_add(out, copy + skip, bytes - skip);
}

static void scope_keep(struct log_scope *scope, const char *line, size_t bytes)
{
    CHECK(bytes <= sizeof scope->tail);
    CHECK(pthread_mutex_lock(&scope->lock) == 0);
    size_t first = sizeof scope->tail - scope->tail_at;
    if (first > bytes) first = bytes;
    memcpy(scope->tail + scope->tail_at, line, first);
    memcpy(scope->tail, line + first, bytes - first);
    scope->tail_at = (scope->tail_at + bytes) % sizeof scope->tail;
    scope->tail_bytes += bytes;
    if (scope->tail_bytes > sizeof scope->tail) scope->tail_bytes = sizeof scope->tail;
    CHECK(pthread_mutex_unlock(&scope->lock) == 0);
}

/* What a scope says about a line; copied so that no lock is held while formatting. */
struct origin {
    bool known;
    char job[JOB_ID_BYTES];
    uint32_t task, attempt;
};

static struct origin origin_of(struct log_scope *scope)
{
    struct origin origin = {0};
    if (!scope) return origin;
    CHECK(pthread_mutex_lock(&scope->lock) == 0);
    origin.known = !scope->ended;
    (void)str_copy(origin.job, sizeof origin.job, scope->job);
    origin.task = scope->task;
    origin.attempt = scope->attempt;
    CHECK(pthread_mutex_unlock(&scope->lock) == 0);
    return origin;
}

static void line_logfmt(struct buf *out, enum log_level level, const char *event,
                        const struct origin *origin, const char *text)
{
    char at[CLOCK_TEXT_BYTES];
    const char *name = atomic_load(&program);
    buf_printf(out, "%s %s %s", clock_text(at, clock_real.wall_ms(&clock_real)), level_names[level],
               event);
    if (name) buf_printf(out, " program=%s", name);
    if (origin->known)
        buf_printf(out, " job=%s task=%" PRIu32 " attempt=%" PRIu32, origin->job, origin->task,
                   origin->attempt);
    if (*text) buf_byte(out, ' ');
    str_utf8_clean(out, text, strlen(text));
}

/* A bare value that JSON takes as a number or a word. */
static bool is_json_word(const char *value, size_t bytes)
{
    if ((bytes == 4 && !memcmp(value, "true", 4)) || (bytes == 5 && !memcmp(value, "false", 5)))
        return true;
    size_t at = bytes && value[0] == '-' ? 1 : 0;
    const size_t whole = at;
    while (at < bytes && value[at] >= '0' && value[at] <= '9') at++;
    if (at == whole || at - whole > 15) return false;
    if (value[whole] == '0' && at - whole > 1) return false;
    if (at == bytes) return true;
    if (value[at++] != '.' || at == bytes) return false;
    while (at < bytes && value[at] >= '0' && value[at] <= '9') at++;
    return at == bytes;
}

/* Undoes log_quote into out; returns the bytes of text that the quoted value took. */
static size_t unquote(struct buf *out, const char *text)
{
    size_t at = 1;
    for (; text[at] && text[at] != '"'; at++) {
        if (text[at] != '\\' || !text[at + 1]) {
            buf_byte(out, text[at]);
            continue;
        }
        at++;
        char byte = text[at];
        if (byte == 'n') byte = '\n';
        if (byte == 't') byte = '\t';
        buf_byte(out, byte);
    }
    return text[at] ? at + 1 : at;
}

/* Appends `,"key":value` for each pair of text; words without = are joined under "text". */
static void pairs_json(struct buf *out, const char *text)
{
    struct buf value, words;
    buf_init(&value, TEXT_BYTES_MAX);
    buf_init(&words, TEXT_BYTES_MAX);
    while (*(text += strspn(text, " "))) {
        const size_t key_bytes = strcspn(text, "= ");
        if (text[key_bytes] != '=') {
            if (words.len) buf_byte(&words, ' ');
            buf_add(&words, text, key_bytes);
            text += key_bytes;
            continue;
        }
        buf_byte(out, ',');
        str_json(out, text, key_bytes);
        buf_byte(out, ':');
        text += key_bytes + 1;
        if (*text == '"') {
            buf_clear(&value);
            text += unquote(&value, text);
            str_json(out, buf_str(&value), value.len);
            continue;
        }
        const size_t value_bytes = strcspn(text, " ");
        if (is_json_word(text, value_bytes))
            buf_add(out, text, value_bytes);
        else
            str_json(out, text, value_bytes);
        text += value_bytes;
    }
    if (words.len) {
        buf_text(out, ",\"text\":");
        str_json(out, buf_str(&words), words.len);
    }
    buf_deinit(&words);
    buf_deinit(&value);
}

static void line_json(struct buf *out, enum log_level level, const char *event,
                      const struct origin *origin, const char *text)
{
    char at[CLOCK_TEXT_BYTES];
    const char *name = atomic_load(&program);
    buf_printf(out, "{\"ts\":\"%s\",\"level\":\"%s\",\"event\":",
               clock_text(at, clock_real.wall_ms(&clock_real)), level_names[level]);
    str_json(out, event, strlen(event));
    if (name) {
        buf_text(out, ",\"program\":");
        str_json(out, name, strlen(name));
    }
    if (origin->known) {
        buf_text(out, ",\"job\":");
        str_json(out, origin->job, strlen(origin->job));
        buf_printf(out, ",\"task\":%" PRIu32 ",\"attempt\":%" PRIu32, origin->task,
                   origin->attempt);
    }
    const struct buf before = *out;
    pairs_json(out, text);
    if (buf_failed(out)) { /* escapes made it too long: the event is worth more than its text */
        out->len = before.len;
        out->failed = false;
        buf_text(out, ",\"clipped\":true");
    }
    buf_byte(out, '}');
}

/* A line in memory of the caller: logging must work when memory is out. */
static void emit(const char *line, size_t bytes)
{
    size_t done = 0;
    while (done < bytes) {
        const ssize_t wrote = write(STDERR_FILENO, line + done, bytes - done);
        if (wrote > 0) done += (size_t)wrote;
        if (wrote < 0 && errno != EINTR) return; /* nowhere left to say so */
    }
}

/* Line breaks and other controls would end or garble the line. */
static void flatten(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f) *text = ' ';
}

void log_line(enum log_level level, const char *event, const char *fmt, ...)
{
    if ((int)level < atomic_load(&level_min)) return;
    const int saved = errno;
    char text[TEXT_BYTES_MAX];
    va_list args;
    va_start(args, fmt);
    if (vsnprintf(text, sizeof text, fmt, args) < 0) text[0] = 0;
    va_end(args);
    flatten(text);
    struct log_scope *scope = scope_mine();
    const struct origin origin = origin_of(scope);
    char memory[LINE_BYTES_MAX + 1];
    struct buf line = {.data = memory, .cap = sizeof memory, .max = LINE_BYTES_MAX - 2};
    if (atomic_load(&as_json))
        line_json(&line, level, event, &origin, text);
    else
        line_logfmt(&line, level, event, &origin, text);
    memory[line.len++] = '\n';
    emit(memory, line.len);
    if (origin.known) scope_keep(scope, memory, line.len);
    errno = saved;
}

static size_t quote_byte(char *dst, char byte)
{
    const bool control = (unsigned char)byte < 0x20 || byte == 0x7f;
    if (byte == '"' || byte == '\\' || byte == '\n' || byte == '\t') {
        dst[0] = '\\';
        dst[1] = byte;
        if (byte == '\n') dst[1] = 'n';
        if (byte == '\t') dst[1] = 't';
        return 2;
    }
    dst[0] = byte;
    if (control) dst[0] = ' ';
    return 1;
}

const char *log_quote(const char *text)
{
    static _Thread_local char buffers[4][QUOTE_BYTES_MAX * 3 + 8];
    static _Thread_local uint32_t turn;
    char *dst = buffers[turn++ % 4];
    if (!text) text = "";
    size_t bytes = strnlen(text, QUOTE_BYTES_MAX + 1);
    const bool clipped = bytes > QUOTE_BYTES_MAX;
    size_t used = 0, at = 0;
    dst[used++] = '"';
    while (at < bytes && at < QUOTE_BYTES_MAX) {
        const size_t valid = str_utf8_valid(text + at, bytes - at < 4 ? bytes - at : 4);
        if (!valid && clipped && at + 4 > QUOTE_BYTES_MAX) break; /* cut inside a character */
        if (!valid) {
            dst[used++] = '?';
            at++;
            continue;
        }
        used += quote_byte(dst + used, text[at++]);
        while (at < bytes && ((unsigned char)text[at] & 0xc0) == 0x80) dst[used++] = text[at++];
    }
    if (clipped) {
        memcpy(dst + used, "...", 3);
        used += 3;
    }
    dst[used++] = '"';
    dst[used] = 0;
    return dst;
}
