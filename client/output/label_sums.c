/* label_sums.c - adding labels up, and putting the most frequent first. */
#include "client/output/label_sums.h"

#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/base/sum.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SUFFIX "_stats.json"
/* As worker/jobs/encode writes them at most, and the limits of a label file. */
#define STATS_BYTES_MAX ((size_t)16 * 1024 * 1024)
#define CATEGORIES_MAX  1000
#define LABELS_MAX_SUM  100000
#define NAME_BYTES_MAX  100

const struct table_column label_sums_category_columns[] = {{"CATEGORY", false, false},
                                                           {"IMAGES", true, false},
                                                           {"SHARE", true, false},
                                                           {"MOST FREQUENT LABELS", false, true}};
const struct table_column label_sums_label_columns[] = {
    {"LABEL", false, true}, {"IMAGES", true, false}, {"SHARE", true, false}};

void label_sums_init(struct label_sums *sums)
{
    *sums = (struct label_sums){.categories = json_object()};
}

void label_sums_deinit(struct label_sums *sums)
{
    json_decref(sums->categories);
    sums->categories = NULL;
}

static void add_label(struct label_sums *sums, json_t *category, const char *name,
                      const json_t *images)
{
    const int64_t more = json_integer_value(images);
    json_t *sum = json_object_get(category, name);
    if (more <= 0 || strlen(name) > NAME_BYTES_MAX) return;
    if (!sum && sums->labels_count == LABELS_MAX_SUM) return;
    if (sum)
        (void)json_integer_set(sum, sum_of(json_integer_value(sum), more));
    else if (json_object_set_new(category, name, json_integer(more)))
        return;
    sums->labels_count += !sum;
    sums->images = sum_of(sums->images, more);
}

/* The category's sums; NULL: it is left out. */
static json_t *sums_of(struct label_sums *sums, const char *category, const json_t *members)
{
    json_t *sum = json_object_get(sums->categories, category);
    if (sum || json_object_size(sums->categories) == CATEGORIES_MAX ||
        strlen(category) > NAME_BYTES_MAX || !json_object_size(members))
        return sum;
    sum = json_object();
    return json_object_set_new(sums->categories, category, sum) ? NULL : sum;
}

static void add_category(struct label_sums *sums, const char *category, json_t *members)
{
    const char *label;
    json_t *images, *sum = sums_of(sums, category, members);
    if (!sum) return;
    json_object_foreach(members, label, images)
    {
        add_label(sums, sum, label, images);
    }
}

void label_sums_add(struct label_sums *sums, const char *stats, size_t bytes)
{
    const char *category;
    json_t *members, *object = json_loadb(stats, bytes, 0, NULL);
    json_t *labels = json_object_get(object, "labels");
    sums->shards += json_is_object(labels);
    json_object_foreach(labels, category, members)
    {
        add_category(sums, category, members);
    }
    json_decref(object);
}

struct reading {
    struct label_sums *sums;
    struct store *store;
};

static int read_one(void *ctx, const char *name, struct err *err)
{
    const struct reading *reading = ctx;
    struct buf stats;
    if (!str_has_suffix(name, SUFFIX)) return 0;
    buf_init(&stats, STATS_BYTES_MAX);
    const int rc = store_get(reading->store, &stats, name, STATS_BYTES_MAX, err);
    if (!rc) label_sums_add(reading->sums, buf_str(&stats), stats.len);
    buf_deinit(&stats);
    return rc;
}

int label_sums_read(struct label_sums *sums, struct store *store, struct err *err)
{
    struct reading reading = {sums, store};
    return store_list(store, "", read_one, &reading, err);
}

/* The most frequent first; equal ones by name. */
static int by_images(const void *a, const void *b)
{
    const struct label_sum *left = a, *right = b;
    if (left->images != right->images) return left->images < right->images ? 1 : -1;
    return strcmp(left->name, right->name);
}

static int64_t images_in(json_t *labels)
{
    const char *label;
    json_t *images;
    int64_t sum = 0;
    json_object_foreach(labels, label, images)
    {
        sum = sum_of(sum, json_integer_value(images));
    }
    return sum;
}

/* The members of an object of numbers, or of objects of such, sorted; mem_free. */
static struct label_sum *sorted(json_t *object, uint32_t *count)
{
    struct label_sum *sum = mem_new((json_object_size(object) + 1) * sizeof *sum);
    const char *name;
    json_t *value;
    *count = 0;
    json_object_foreach(object, name, value)
    {
        const bool is_category = json_is_object(value);
        sum[(*count)++] =
            (struct label_sum){name, is_category ? images_in(value) : json_integer_value(value),
                               is_category ? value : NULL};
    }
    qsort(sum, *count, sizeof *sum, by_images);
    return sum;
}

static uint32_t at_most(uint32_t count, uint32_t max)
{
    return max && max < count ? max : count;
}

static void add_numbers(struct table *table, int64_t images, int64_t whole)
{
    char number[32], share[32];
    table_cell(table, "%s", print_grouped(number, sizeof number, images));
    table_cell(table, "%s", print_share(share, sizeof share, images, whole));
}

void label_sums_categories(const struct label_sums *sums, struct table *table, uint32_t labels_max)
{
    uint32_t count, labels_count;
    char number[32];
    struct buf text;
    struct label_sum *category = sorted(sums->categories, &count);
    buf_init(&text, 0);
    for (uint32_t i = 0; i < count; i++) {
        struct label_sum *label = sorted(category[i].labels, &labels_count);
        buf_clear(&text);
        for (uint32_t k = 0; k < at_most(labels_count, labels_max); k++)
            buf_printf(&text, "%s%s %s", k ? ", " : "", label[k].name,
                       print_grouped(number, sizeof number, label[k].images));
        table_cell(table, "%s", category[i].name);
        add_numbers(table, category[i].images, sums->images);
        table_cell(table, "%s", buf_str(&text));
        mem_free(label);
    }
    buf_deinit(&text);
    mem_free(category);
}

static int no_category(const struct label_sums *sums, const char *category, struct err *err)
{
    struct buf names;
    uint32_t count;
    struct label_sum *all = sorted(sums->categories, &count);
    buf_init(&names, 0);
    for (uint32_t i = 0; i < count; i++) buf_printf(&names, "%s%s", i ? ", " : "", all[i].name);
    const int rc = err_set(err, ERR_NOT_FOUND, "no image has a label of the category %.60s%s%.150s",
                           category, count ? "; there are " : "", buf_str(&names));
    buf_deinit(&names);
    mem_free(all);
    return rc;
}

int label_sums_labels(const struct label_sums *sums, struct table *table, const char *category,
                      uint32_t labels_max, struct err *err)
{
    uint32_t count;
    json_t *labels = json_object_get(sums->categories, category);
    if (!labels) return no_category(sums, category, err);
    struct label_sum *label = sorted(labels, &count);
    for (uint32_t i = 0; i < at_most(count, labels_max); i++) {
        table_cell(table, "%s", label[i].name);
        add_numbers(table, label[i].images, sums->images);
    }
    mem_free(label);
    return 0;
}

static void add_name(struct buf *out, const struct label_sum *sum, bool first)
{
    buf_text(out, first ? "{\"name\":" : ",{\"name\":");
    str_json(out, sum->name, strlen(sum->name));
    buf_printf(out, ",\"images\":%" PRId64, sum->images);
}

void label_sums_json(const struct label_sums *sums, struct buf *out, const char *category,
                     uint32_t labels_max)
{
    uint32_t count, labels_count;
    bool first = true;
    struct label_sum *all = sorted(sums->categories, &count);
    buf_printf(out, "{\"images\":%" PRId64 ",\"shards\":%u,\"categories\":[", sums->images,
               sums->shards);
    for (uint32_t i = 0; i < count; i++) {
        if (category && !str_eq(all[i].name, category)) continue;
        struct label_sum *label = sorted(all[i].labels, &labels_count);
        add_name(out, &all[i], first);
        buf_text(out, ",\"labels\":[");
        for (uint32_t k = 0; k < at_most(labels_count, labels_max); k++) {
            add_name(out, &label[k], k == 0);
            buf_byte(out, '}');
        }
        buf_text(out, "]}");
        first = false;
        mem_free(label);
    }
    buf_text(out, "]}\n");
    mem_free(all);
}
