/* conf_help.c - what --help prints, and the nearest option to a misspelt one. */
#include "common/base/check.h"
#include "common/base/conf.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WIDTH 80
/* Help starts here at the latest; a longer option puts its help on the next line. */
#define COLUMN_MAX     30
#define NAME_BYTES_MAX 40

static const char *metavar_of(const struct conf_option *option)
{
    if (option->type == CONF_FLAG) return NULL;
    if (option->metavar) return option->metavar;
    switch (option->type) {
    case CONF_INT:
        return "N";
    case CONF_BYTES:
        return "SIZE";
    case CONF_MS:
        return "TIME";
    case CONF_LIST:
        return "LIST";
    case CONF_TEXT:
    case CONF_FLAG:
        break;
    }
    return "TEXT";
}

/* "  -o, --output DIR" */
static void left_side(char *dst, size_t dst_bytes, const struct conf_option *option)
{
    const char *metavar = metavar_of(option);
    char letter[8] = "    ";
    if (option->letter) (void)snprintf(letter, sizeof letter, "-%c, ", option->letter);
    (void)snprintf(dst, dst_bytes, "  %s--%s%s%s", letter, option->name, metavar ? " " : "",
                   metavar ? metavar : "");
}

/* The largest unit that divides value: 3600000 is "1h", not "3600s". */
static void exact(struct buf *out, int64_t value, const int64_t *unit, const char *const *name)
{
    while (*unit > 1 && (value == 0 || value % *unit)) {
        unit++;
        name++;
    }
    buf_printf(out, "%" PRId64 "%s", value / *unit, value ? *name : "");
}

/* What holds when the option is not given: after conf_load, with the file and environment. */
static void current_value(struct buf *out, const struct conf_option *option)
{
    static const int64_t ms[] = {3600000, 60000, 1000, 1};
    static const char *const ms_name[] = {"h", "m", "s", "ms"};
    static const int64_t size[] = {(int64_t)1 << 40, 1 << 30, 1 << 20, 1 << 10, 1};
    static const char *const size_name[] = {"T", "G", "M", "k", ""};
    const char *text;
    const struct conf_list *list;
    switch (option->type) {
    case CONF_FLAG:
        if (*(const bool *)option->dst) buf_printf(out, "on; --no-%s", option->name);
        break;
    case CONF_TEXT:
        text = *(const char *const *)option->dst;
        if (text && *text) buf_text(out, text);
        break;
    case CONF_INT:
        buf_printf(out, "%" PRId64, *(const int64_t *)option->dst);
        break;
    case CONF_BYTES:
        exact(out, *(const int64_t *)option->dst, size, size_name);
        break;
    case CONF_MS:
        exact(out, *(const int64_t *)option->dst, ms, ms_name);
        break;
    case CONF_LIST:
        list = option->dst;
        for (uint32_t i = 0; i < list->count; i++)
            buf_printf(out, "%s%s", i ? "," : "", list->item[i]);
        break;
    }
}

/* Appends text in lines that end before WIDTH; `at` is the column now, `indent` of the rest. */
static void wrap(struct buf *out, const char *text, size_t at, size_t indent)
{
    bool first = true;
    while (*(text += strspn(text, " "))) {
        const size_t bytes = strcspn(text, " ");
        if (!first && at + 1 + bytes >= WIDTH) {
            buf_printf(out, "\n%*s", (int)indent, "");
            at = indent;
        } else if (!first) {
            buf_byte(out, ' ');
            at++;
        }
        buf_add(out, text, bytes);
        at += bytes;
        text += bytes;
        first = false;
    }
    buf_byte(out, '\n');
}

static void option_line(struct buf *out, const char *left, const char *help, size_t column)
{
    const size_t bytes = strlen(left);
    buf_text(out, left);
    if (bytes + 2 > column)
        buf_printf(out, "\n%*s", (int)column, "");
    else
        buf_printf(out, "%*s", (int)(column - bytes), "");
    wrap(out, help, column, column);
}

static void options(struct buf *out, const struct conf *conf)
{
    char left[128];
    size_t column = 0;
    bool h_taken = false;
    for (const struct conf_option *at = conf->options; at->name; at++) {
        left_side(left, sizeof left, at);
        if (strlen(left) + 2 > column) column = strlen(left) + 2;
        h_taken = h_taken || at->letter == 'h';
    }
    if (column > COLUMN_MAX) column = COLUMN_MAX;
    if (column < sizeof "  -h, --help" + 1) column = sizeof "  -h, --help" + 1;
    for (const struct conf_option *at = conf->options; at->name; at++) {
        struct buf help, value;
        buf_init(&help, 0);
        buf_init(&value, 0);
        left_side(left, sizeof left, at);
        current_value(&value, at);
        buf_text(&help, at->help ? at->help : "");
        if (value.len) buf_printf(&help, " [%s]", value.data);
        option_line(out, left, buf_str(&help), column);
        buf_deinit(&value);
        buf_deinit(&help);
    }
    option_line(out, h_taken ? "      --help" : "  -h, --help", "Show this text.", column);
}

void conf_help(const struct conf *conf, struct buf *out)
{
    buf_printf(out, "Usage: %s%s%s\n", conf->program, conf->usage && *conf->usage ? " " : "",
               conf->usage ? conf->usage : "");
    if (conf->summary) {
        buf_byte(out, '\n');
        wrap(out, conf->summary, 0, 0);
    }
    buf_text(out, "\nOptions:\n");
    options(out, conf);
    if (conf->example) {
        buf_printf(out, "\nExample:\n  %s", conf->example);
        if (!str_has_suffix(conf->example, "\n")) buf_byte(out, '\n');
    }
}

/* Edits (insert, delete, replace) between two names, by Wagner and Fischer's table. */
static size_t distance(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    size_t row[NAME_BYTES_MAX + 1];
    CHECK(b_bytes <= NAME_BYTES_MAX);
    for (size_t j = 0; j <= b_bytes; j++) row[j] = j;
    for (size_t i = 1; i <= a_bytes; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_bytes; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[b_bytes];
}

const char *conf_near(const struct conf *conf, const char *name, size_t bytes)
{
    const char *found = NULL;
    size_t least = 3; /* more than two slips is another word */
    if (bytes < 3 || bytes > NAME_BYTES_MAX) return NULL;
    for (const struct conf_option *at = conf->options; at->name; at++) {
        const size_t at_bytes = strlen(at->name);
        if (at_bytes > NAME_BYTES_MAX) continue;
        const size_t edits = distance(name, bytes, at->name, at_bytes);
        if (edits >= least) continue;
        least = edits;
        found = at->name;
    }
    return found;
}
