/* line.c - a row as a line of NNNNN.jsonl. docs/encode.md tells users the same. */
#include "common/base/str.h"
#include "worker/jobs/encode/work.h"

#include <inttypes.h>
#include <string.h>

static void add_text(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, ",\"%s\":", name);
    str_json(out, value, strlen(value));
}

static void add_real(struct buf *out, const char *name, float value)
{
    buf_printf(out, ",\"%s\":", name);
    str_json_real(out, (double)value, true);
}

static void add_labels(struct buf *out, const struct encode_row *row, const struct labels *labels)
{
    buf_text(out, ",\"labels\":[");
    for (uint32_t i = 0; i < row->labels_count; i++) {
        const struct label *label = &labels->label[row->label[i].label];
        const char *category = labels->category[label->category];
        buf_text(out, i ? ",{\"label\":" : "{\"label\":");
        str_json(out, label->name, strlen(label->name));
        add_text(out, "category", category);
        add_real(out, "confidence", row->label[i].confidence);
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
}

void encode_work_line(struct buf *out, const struct encode_row *row, const struct labels *labels)
{
    buf_printf(out, "{\"index\":%u", row->index);
    add_text(out, "key", row->key);
    add_text(out, "status", row->status);
    if (row->message[0]) add_text(out, "message", row->message);
    if (row->row >= 0) buf_printf(out, ",\"row\":%" PRId64, row->row);
    if (row->width) buf_printf(out, ",\"width\":%u,\"height\":%u", row->width, row->height);
    if (row->caption) add_text(out, "caption", row->caption);
    if (row->labels_count) add_labels(out, row, labels);
    if (row->has_placeholder) add_real(out, "placeholder", row->placeholder);
    if (row->duplicate_of >= 0) {
        buf_printf(out, ",\"duplicate_of\":%" PRId64, row->duplicate_of);
        add_real(out, "similarity", row->duplicate_similarity);
    }
    if (row->json) {
        buf_text(out, ",\"meta\":");
        buf_text(out, row->json);
    }
    buf_text(out, "}\n");
}
