/* label_sums.h - how many images of an output have which label, from its NNNNN_stats.json files.
 *
 * Each is an object with "labels": {category: {label: images}}. Files of others, or with other
 * things in them, are passed over; sums stay within the limits of a label file. */
#ifndef CLIENT_OUTPUT_LABEL_SUMS_H
#define CLIENT_OUTPUT_LABEL_SUMS_H

#include "client/print.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/store/store.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct label_sum {
    const char *name; /* borrowed */
    int64_t images;
    json_t *labels; /* of a category, borrowed */
};

struct label_sums {
    json_t *categories; /* {category: {label: images}} */
    uint32_t labels_count, shards;
    int64_t images;
};

void label_sums_init(struct label_sums *sums);
void label_sums_deinit(struct label_sums *sums);
void label_sums_add(struct label_sums *sums, const char *stats, size_t bytes);
/* Adds the stats of every shard in the folder. */
CHECKED int label_sums_read(struct label_sums *sums, struct store *store, struct err *err);

/* Categories, each with its most frequent labels. */
void label_sums_categories(const struct label_sums *sums, struct table *table, uint32_t labels_max);
extern const struct table_column label_sums_category_columns[4];
/* The labels of a category; all of them with labels_max 0. ERR_NOT_FOUND: no image has one of it
 * (the sentence names the categories that there are). */
CHECKED int label_sums_labels(const struct label_sums *sums, struct table *table,
                              const char *category, uint32_t labels_max, struct err *err);
extern const struct table_column label_sums_label_columns[3];
/* One object: {"images", "shards", "categories": [{"name", "images", "labels": [{"name",
 * "images"}]}]}, the most frequent first. category: only this one; NULL: all. */
void label_sums_json(const struct label_sums *sums, struct buf *out, const char *category,
                     uint32_t labels_max);

#endif
