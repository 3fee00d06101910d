/* sample.c - what is written about a row, as JSON.
 *
 * Nothing here depends on the time, the tries or the order of arrival: the same answers of the same
 * servers give the same bytes. */
#include "common/base/str.h"
#include "worker/jobs/download/work.h"

#include <inttypes.h>
#include <string.h>

static void add_name(struct buf *out, const char *name)
{
    if (out->len && out->data[out->len - 1] != '{') buf_byte(out, ',');
    str_json(out, name, strlen(name));
    buf_byte(out, ':');
}

static void add_text(struct buf *out, const char *name, const char *value)
{
    add_name(out, name);
    if (value)
        str_json(out, value, strlen(value));
    else
        buf_text(out, "null");
}

static void add_number(struct buf *out, const char *name, int64_t value, bool known)
{
    add_name(out, name);
    if (known)
        buf_printf(out, "%" PRId64, value);
    else
        buf_text(out, "null");
}

/* The list's own fields; the extra ones are JSON already. */
static void add_row(struct buf *out, const struct sample *sample)
{
    const struct list_columns *columns = sample->columns;
    for (uint32_t i = LIST_FIRST_EXTRA; i < columns->wanted_count; i++) {
        const char *value = list_row_field(sample->row, i);
        add_name(out, columns->wanted[i]);
        buf_text(out, value ? value : "null");
    }
    if (columns->wanted[LIST_CAPTION])
        add_text(out, "caption", list_row_field(sample->row, LIST_CAPTION));
    add_text(out, "url", list_row_field(sample->row, LIST_URL_COLUMN));
    add_text(out, "key", sample->key);
}

static void add_sizes(struct buf *out, const struct outcome *outcome)
{
    add_number(out, "width", outcome->width, outcome->width > 0);
    add_number(out, "height", outcome->height, outcome->height > 0);
    add_number(out, "original_width", outcome->original_width, outcome->original_width > 0);
    add_number(out, "original_height", outcome->original_height, outcome->original_height > 0);
    if (outcome->reduced) add_number(out, "reduced", outcome->reduced, true);
}

void sample_json(const struct sample *sample, struct buf *out)
{
    buf_byte(out, '{');
    add_row(out, sample);
    add_text(out, "status", "success");
    add_text(out, "error_message", NULL);
    add_sizes(out, sample->outcome);
    if (sample->exif) add_text(out, "exif", sample->exif);
    if (sample->hash_name) add_text(out, sample->hash_name, sample->hash);
    if (sample->phash) add_text(out, "phash", sample->phash);
    buf_byte(out, '}');
}

void sample_line(const struct sample *sample, struct buf *out)
{
    const struct outcome *outcome = sample->outcome;
    char text[STATUS_TEXT_BYTES];
    status_text(text, outcome->status, outcome->http_status);
    buf_byte(out, '{');
    add_row(out, sample);
    add_text(out, "status", status_name(outcome->status));
    add_text(out, "class", status_class_name(status_class(outcome->status)));
    add_text(out, "error_message", outcome->status == STATUS_SUCCESS ? NULL : text);
    add_text(out, "final_url", sample->final_url);
    add_number(out, "http_status", outcome->http_status, outcome->http_status > 0);
    add_text(out, "content_type", sample->content_type[0] ? sample->content_type : NULL);
    add_text(out, "format", outcome->body_bytes ? decode_format_name(outcome->format) : NULL);
    add_sizes(out, outcome);
    add_number(out, "bytes", outcome->body_bytes, outcome->body_bytes > 0);
    if (sample->hash_name) add_text(out, sample->hash_name, sample->hash[0] ? sample->hash : NULL);
    if (sample->phash) add_text(out, "phash", sample->phash[0] ? sample->phash : NULL);
    buf_text(out, "}\n");
}
