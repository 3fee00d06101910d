/* labels.h - the labels of zero-shot classification: what a picture may be called, and the prompts
 * by which CLIP's text tower is asked for each.
 *
 * A label file is a JSON object (RFC 8259, UTF-8) of categories; a category is an object of labels;
 * a label's value is its description, which says what one sees:
 *
 *     {"animals": {"fox": "a red fox with a bushy tail", "owl": "an owl on a branch"},
 *      "urban": {"bridge": "a long bridge over a river"}}
 *
 * The order of the file is kept: label i is row i of whatever is computed from it. A text is not
 * empty, neither starts nor ends with a space and holds no control characters; the limits are
 * below. No category, label or description stands twice in a file, and the case of ASCII letters
 * makes no difference: of two equal descriptions the second could never win, because CLIP's
 * tokenizer ignores case.
 *
 * A template is a text with one `{}`, where the description goes. With several templates a label
 * has several prompts; their embeddings are averaged (Radford et al., "Learning Transferable Visual
 * Models From Natural Language Supervision", 2021, section 3.1.4).
 *
 * Errors are ERR_INVALID (also above a limit), ERR_LIMIT out of memory, and those of fs_read; the
 * sentence names category and label. docs/labels.md tells users the same. */
#ifndef WORKER_NN_TEXT_LABELS_H
#define WORKER_NN_TEXT_LABELS_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/mem.h"

#include <stddef.h>
#include <stdint.h>

/* As many labels as LABELS_COUNT_MAX with average texts; a JSON tree takes about 50 times its bytes
 * at the very worst, and lives while it is read only. */
#define LABELS_FILE_BYTES_MAX (8 * 1024 * 1024)
#define LABELS_CATEGORIES_MAX 1000
#define LABELS_COUNT_MAX      100000
/* Names stand in tables, legends and rows. */
#define LABELS_NAME_BYTES_MAX 100
/* More than fits CLIP's context of 77 tokens; whether a prompt fits is the tokenizer's to say. */
#define LABELS_DESCRIPTION_BYTES_MAX 500
#define LABELS_TEMPLATE_BYTES_MAX    200
#define LABELS_PROMPT_BYTES_MAX      (LABELS_TEMPLATE_BYTES_MAX + LABELS_DESCRIPTION_BYTES_MAX - 2)
/* The largest published set, that for ImageNet, has 80. */
#define LABELS_TEMPLATES_MAX 128
/* Labels times templates: hours of a text tower on a CPU. */
#define LABELS_PROMPTS_MAX      1000000
#define LABELS_TEMPLATE_DEFAULT "a photo of {}."

struct label {
    const char *name, *description;
    uint32_t category; /* index into struct labels.category */
};

/* All texts belong to the arena. */
struct labels {
    const char **category;
    struct label *label;
    const char **templates;
    uint32_t categories_count, labels_count, templates_count;
    struct arena arena;
};

/* Reads a label file, with the default template. After an error labels is empty. */
CHECKED int labels_read(struct labels *labels, const char *path, struct err *err);
/* The same from memory. */
CHECKED int labels_parse(struct labels *labels, const char *json, size_t bytes, struct err *err);
/* Replaces the templates by copies of these, at least one; after an error the old ones stay. */
CHECKED int labels_use_templates(struct labels *labels, const char *const *templates,
                                 uint32_t count, struct err *err);
/* Appends the prompt of a label, LABELS_PROMPT_BYTES_MAX at most. */
void labels_prompt(struct buf *out, const struct labels *labels, uint32_t label, uint32_t template);
/* SHA-256 in hexadecimal over names, descriptions and templates in their order: with that of the
 * model, the key under which encoded labels are cached. Categories are not in it: they change no
 * embedding. */
void labels_hash(char dst[HASH_SHA256_TEXT], const struct labels *labels);
/* Accepts a zeroed struct. */
void labels_deinit(struct labels *labels);

#endif
