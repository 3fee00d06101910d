/* list_spec.h - what a job's spec says of its list, and the keys of its rows: the same for every
 * kind that reads lists. */
#ifndef LIST_SPEC_H
#define LIST_SPEC_H

#include "common/base/err.h"
#include "worker/list/list_row.h"

#include <stddef.h>
#include <stdint.h>

#define LIST_KEY_BYTES 24

/* Names of columns, as submitted; "" and NULL: none is wanted, but the URLs' is "url" by default.
 */
struct list_spec {
    const char *url_column, *caption_column, *hash_column, *boxes_column;
    char *const *extra;
    size_t extra_count;
    const char *const *reserved; /* names that no extra column may have */
    size_t reserved_count;
};

/* Sets wanted and wanted_count; the names stay the caller's. ERR_INVALID with a sentence that names
 * the option. */
CHECKED int list_spec_columns(struct list_columns *columns, const struct list_spec *spec,
                              struct err *err);

/* What a sample's key is: the shard's number and the row's in it, as img2dataset pads them. */
uint32_t list_key_digits(uint32_t shard_rows);
void list_key(char dst[LIST_KEY_BYTES], uint32_t shard, uint32_t index, uint32_t key_digits);

#endif
