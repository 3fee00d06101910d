/* labels.c - reads label files and makes prompts of them. See labels.h for the format.
 *
 * jansson refuses what is not JSON in valid UTF-8, U+0000 and a key that stands twice in one
 * object; the rest is checked here. The tree is dropped as soon as its texts are copied. */
#include "worker/nn/text/labels.h"

#include "common/base/check.h"
#include "common/base/fs.h"
#include "common/base/str.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Some editors put U+FEFF, the byte order mark, in front. */
#define MARK        "\xef\xbb\xbf"
#define MARK_BYTES  (sizeof MARK - 1)
#define PLACE       "{}"
#define PLACE_BYTES (sizeof PLACE - 1)
/* Three names, a sentence and the end of a path fit into an error. */
#define QUOTED_BYTES_MAX 40
/* For %.*s: a name from a file, cut between characters. */
#define QUOTED(text) quoted_bytes(text), (text)

static int quoted_bytes(const char *text)
{
    return (int)str_utf8_valid(text, strnlen(text, QUOTED_BYTES_MAX));
}

static int check_text(const char *text, size_t bytes_max, const char *what, struct err *err)
{
    const size_t bytes = strlen(text);
    if (bytes == 0) return err_set(err, ERR_INVALID, "%s is empty", what);
    if (bytes > bytes_max)
        return err_set(err, ERR_INVALID, "%s is longer than %zu bytes", what, bytes_max);
    if (text[0] == ' ' || text[bytes - 1] == ' ')
        return err_set(err, ERR_INVALID, "%s starts or ends with a space", what);
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return err_set(err, ERR_INVALID, "%s holds a control character such as a line break",
                           what);
    }
    return 0;
}

static int out_of_memory(struct err *err)
{
    return err_set(err, ERR_LIMIT, "no memory is left for the labels");
}

/* A copy in the arena; NULL when memory is out. */
static const char *keep(struct labels *labels, const char *text)
{
    return arena_text(&labels->arena, text, strlen(text));
}

static int parse_label(struct labels *labels, const char *name, const json_t *value,
                       struct err *err)
{
    struct label *label = &labels->label[labels->labels_count];
    int rc = check_text(name, LABELS_NAME_BYTES_MAX, "the name of the label", err);
    if (rc) return rc;
    if (!json_is_string(value))
        return err_set(err, ERR_INVALID, "the description is not a text in quotes");
    const char *description = json_string_value(value);
    rc = check_text(description, LABELS_DESCRIPTION_BYTES_MAX, "the description", err);
    if (rc) return rc;
    label->category = labels->categories_count;
    label->name = keep(labels, name);
    label->description = keep(labels, description);
    if (!label->name || !label->description) return out_of_memory(err);
    labels->labels_count++;
    return 0;
}

static int parse_category(struct labels *labels, const char *name, json_t *members, struct err *err)
{
    const char *label;
    json_t *value;
    const int rc = check_text(name, LABELS_NAME_BYTES_MAX, "the name of the category", err);
    if (rc) return err_wrap(err, "category \"%.*s\"", QUOTED(name));
    json_object_foreach(members, label, value)
    {
        if (parse_label(labels, label, value, err))
            return err_wrap(err, "category \"%.*s\", label \"%.*s\"", QUOTED(name), QUOTED(label));
    }
    labels->category[labels->categories_count] = keep(labels, name);
    if (!labels->category[labels->categories_count]) return out_of_memory(err);
    labels->categories_count++;
    return 0;
}

/* Room for all that is in the tree, after a check that it is not too much. */
static int make_room(struct labels *labels, json_t *tree, struct err *err)
{
    const size_t categories = json_object_size(tree);
    size_t count = 0;
    const char *name;
    json_t *members;
    if (categories == 0)
        return err_set(err, ERR_INVALID,
                       "there are no labels; write {\"category\": {\"label\": \"description\"}}");
    if (categories > LABELS_CATEGORIES_MAX)
        return err_set(err, ERR_INVALID, "there are %zu categories, more than %d", categories,
                       LABELS_CATEGORIES_MAX);
    json_object_foreach(tree, name, members)
    {
        if (!json_is_object(members))
            return err_set(err, ERR_INVALID,
                           "category \"%.*s\" is not an object {\"label\": \"description\"}",
                           QUOTED(name));
        if (json_object_size(members) == 0)
            return err_set(err, ERR_INVALID, "category \"%.*s\" has no labels", QUOTED(name));
        count += json_object_size(members);
    }
    if (count > LABELS_COUNT_MAX)
        return err_set(err, ERR_INVALID, "there are %zu labels, more than %d", count,
                       LABELS_COUNT_MAX);
    labels->category = arena_try(&labels->arena, categories * sizeof *labels->category);
    labels->label = arena_try(&labels->arena, count * sizeof *labels->label);
    return labels->category && labels->label ? 0 : out_of_memory(err);
}

/* A text and the place it has in the file. */
struct entry {
    const char *text;
    uint32_t place;
};

static int by_text(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    const int order = strcasecmp(left->text, right->text);
    if (order) return order;
    return left->place < right->place ? -1 : left->place > right->place;
}

/* Whether a text stands twice; then first and second are its places. Sorts the entries. */
static bool stands_twice(uint32_t *first, uint32_t *second, struct entry *entries, uint32_t count)
{
    qsort(entries, count, sizeof *entries, by_text);
    for (uint32_t i = 1; i < count; i++) {
        *first = entries[i - 1].place;
        *second = entries[i].place;
        if (strcasecmp(entries[i - 1].text, entries[i].text) == 0) return true;
    }
    return false;
}

static int check_categories(const struct labels *labels, struct entry *entries, struct err *err)
{
    uint32_t first, second;
    for (uint32_t i = 0; i < labels->categories_count; i++)
        entries[i] = (struct entry){.text = labels->category[i], .place = i};
    if (!stands_twice(&first, &second, entries, labels->categories_count)) return 0;
    return err_set(err, ERR_INVALID, "category \"%.*s\" stands twice, the first time as \"%.*s\"",
                   QUOTED(labels->category[second]), QUOTED(labels->category[first]));
}

static int check_names(const struct labels *labels, struct entry *entries, struct err *err)
{
    uint32_t first, second;
    for (uint32_t i = 0; i < labels->labels_count; i++)
        entries[i] = (struct entry){.text = labels->label[i].name, .place = i};
    if (!stands_twice(&first, &second, entries, labels->labels_count)) return 0;
    const struct label *old = &labels->label[first], *again = &labels->label[second];
    return err_set(err, ERR_INVALID,
                   "category \"%.*s\", label \"%.*s\": category \"%.*s\" has it already",
                   QUOTED(labels->category[again->category]), QUOTED(again->name),
                   QUOTED(labels->category[old->category]));
}

static int check_descriptions(const struct labels *labels, struct entry *entries, struct err *err)
{
    uint32_t first, second;
    for (uint32_t i = 0; i < labels->labels_count; i++)
        entries[i] = (struct entry){.text = labels->label[i].description, .place = i};
    if (!stands_twice(&first, &second, entries, labels->labels_count)) return 0;
    const struct label *old = &labels->label[first], *again = &labels->label[second];
    return err_set(err, ERR_INVALID,
                   "category \"%.*s\", label \"%.*s\": the description is that of label \"%.*s\"",
                   QUOTED(labels->category[again->category]), QUOTED(again->name),
                   QUOTED(old->name));
}

static int check_unique(const struct labels *labels, struct err *err)
{
    int rc;
    /* Each category has a label, so there are no more categories than labels. */
    struct entry *entries = mem_try(labels->labels_count * sizeof *entries);
    if (!entries) return out_of_memory(err);
    rc = check_categories(labels, entries, err);
    if (!rc) rc = check_names(labels, entries, err);
    if (!rc) rc = check_descriptions(labels, entries, err);
    mem_free(entries);
    return rc;
}

static int parse_tree(struct labels *labels, json_t *tree, struct err *err)
{
    static const char *const template = LABELS_TEMPLATE_DEFAULT;
    const char *name;
    json_t *members;
    int rc = make_room(labels, tree, err);
    if (rc) return rc;
    json_object_foreach(tree, name, members)
    {
        rc = parse_category(labels, name, members, err);
        if (rc) return rc;
    }
    rc = check_unique(labels, err);
    return rc ? rc : labels_use_templates(labels, &template, 1, err);
}

static int refuse_json(const json_error_t *trouble, struct err *err)
{
    if (json_error_code(trouble) == json_error_out_of_memory) return out_of_memory(err);
    return err_set(err, ERR_INVALID, "line %d, column %d: %s", trouble->line, trouble->column,
                   trouble->text);
}

int labels_parse(struct labels *labels, const char *json, size_t bytes, struct err *err)
{
    json_error_t trouble;
    json_t *tree = NULL;
    int rc;
    memset(labels, 0, sizeof *labels);
    arena_init(&labels->arena, 0);
    if (bytes > LABELS_FILE_BYTES_MAX) {
        rc =
            err_set(err, ERR_INVALID, "the labels are larger than %d bytes", LABELS_FILE_BYTES_MAX);
        goto out;
    }
    if (bytes >= MARK_BYTES && memcmp(json, MARK, MARK_BYTES) == 0) {
        json += MARK_BYTES;
        bytes -= MARK_BYTES;
    }
    tree = json_loadb(json, bytes, JSON_REJECT_DUPLICATES, &trouble);
    rc = tree ? parse_tree(labels, tree, err) : refuse_json(&trouble, err);
out:
    json_decref(tree);
    if (rc) labels_deinit(labels);
    return rc;
}

int labels_read(struct labels *labels, const char *path, struct err *err)
{
    struct buf text;
    memset(labels, 0, sizeof *labels);
    buf_init(&text, 0);
    int rc = fs_read(&text, path, LABELS_FILE_BYTES_MAX, err);
    if (rc == ERR_LIMIT && text.len > LABELS_FILE_BYTES_MAX) rc = err->code = ERR_INVALID;
    if (!rc) {
        rc = labels_parse(labels, buf_str(&text), text.len, err);
        if (rc) (void)err_wrap(err, "%s", path);
    }
    buf_deinit(&text);
    return rc;
}

static int check_template(const char *template, struct err *err)
{
    const size_t bytes = strnlen(template, LABELS_TEMPLATE_BYTES_MAX + 1);
    const int rc = check_text(template, LABELS_TEMPLATE_BYTES_MAX, "the template", err);
    if (rc) return rc;
    if (str_utf8_valid(template, bytes) != bytes)
        return err_set(err, ERR_INVALID, "the template is not valid UTF-8");
    const char *place = strstr(template, PLACE);
    if (!place || strstr(place + PLACE_BYTES, PLACE))
        return err_set(err, ERR_INVALID, "the template needs one {} where the description goes");
    return 0;
}

int labels_use_templates(struct labels *labels, const char *const *templates, uint32_t count,
                         struct err *err)
{
    if (count == 0) return err_set(err, ERR_INVALID, "there is no template");
    if (count > LABELS_TEMPLATES_MAX)
        return err_set(err, ERR_INVALID, "there are %u templates, more than %d", count,
                       LABELS_TEMPLATES_MAX);
    if ((uint64_t)count * labels->labels_count > LABELS_PROMPTS_MAX)
        return err_set(err, ERR_INVALID,
                       "%u templates for %u labels make more than %d prompts; use fewer of either",
                       count, labels->labels_count, LABELS_PROMPTS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (check_template(templates[i], err))
            return err_wrap(err, "template \"%.*s\"", QUOTED(templates[i]));
    }
    const char **copies = arena_try(&labels->arena, count * sizeof *copies);
    if (!copies) return out_of_memory(err);
    for (uint32_t i = 0; i < count; i++) {
        copies[i] = keep(labels, templates[i]);
        if (!copies[i]) return out_of_memory(err);
    }
    labels->templates = copies;
    labels->templates_count = count;
    return 0;
}

void labels_prompt(struct buf *out, const struct labels *labels, uint32_t label, uint32_t template)
{
    CHECK(label < labels->labels_count);
    CHECK(template <labels->templates_count);
    const char *text = labels->templates[template];
    const char *place = strstr(text, PLACE);
    CHECK(place);
    buf_add(out, text, (size_t)(place - text));
    buf_text(out, labels->label[label].description);
    buf_text(out, place + PLACE_BYTES);
}

static void hash_number(struct hash *hash, uint64_t number)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(number >> (8 * i));
    hash_add(hash, bytes, sizeof bytes);
}

/* Its length goes ahead, so that no two lists of texts look the same. */
static void hash_text_of(struct hash *hash, const char *text)
{
    const size_t bytes = strlen(text);
    hash_number(hash, bytes);
    hash_add(hash, text, bytes);
}

void labels_hash(char dst[HASH_SHA256_TEXT], const struct labels *labels)
{
    uint8_t digest[HASH_SHA256_BYTES];
    struct hash *hash = hash_new();
    hash_number(hash, labels->labels_count);
    for (uint32_t i = 0; i < labels->labels_count; i++) {
        hash_text_of(hash, labels->label[i].name);
        hash_text_of(hash, labels->label[i].description);
    }
    hash_number(hash, labels->templates_count);
    for (uint32_t i = 0; i < labels->templates_count; i++) hash_text_of(hash, labels->templates[i]);
    hash_end(hash, digest);
    hash_free(hash);
    str_hex(dst, digest, sizeof digest);
}

void labels_deinit(struct labels *labels)
{
    arena_deinit(&labels->arena);
    memset(labels, 0, sizeof *labels);
}
