/* list_spec.c - see list_spec.h. */
#include "worker/list/list_spec.h"

#include "common/base/str.h"

#include <stdio.h>

struct choice {
    struct list_columns *columns;
    const struct list_spec *spec;
};

static int add(struct choice *choice, const char *name, const char *option, struct err *err)
{
    struct list_columns *columns = choice->columns;
    const struct list_spec *spec = choice->spec;
    const bool extra = columns->wanted_count >= LIST_FIRST_EXTRA;
    if (!name[0]) return err_set(err, ERR_INVALID, "--%s has an empty name", option);
    if (columns->wanted_count == LIST_WANTED_MAX)
        return err_set(err, ERR_INVALID, "--%s names more than %d columns", option, LIST_EXTRA_MAX);
    for (size_t i = 0; extra && i < spec->reserved_count; i++)
        if (str_eq(name, spec->reserved[i]))
            return err_set(err, ERR_INVALID,
                           "--%s cannot take \"%s\": each sample has a field of that name", option,
                           name);
    for (uint32_t i = 0; i < columns->wanted_count; i++)
        if (columns->wanted[i] && str_eq(name, columns->wanted[i]))
            return err_set(err, ERR_INVALID, "--%s names the column \"%.80s\" a second time",
                           option, name);
    columns->wanted[columns->wanted_count++] = name;
    return 0;
}

static int add_optional(struct choice *choice, const char *name, const char *option,
                        struct err *err)
{
    if (name && name[0]) return add(choice, name, option, err);
    choice->columns->wanted[choice->columns->wanted_count++] = NULL;
    return 0;
}

int list_spec_columns(struct list_columns *columns, const struct list_spec *spec, struct err *err)
{
    struct choice choice = {columns, spec};
    columns->wanted_count = 0;
    int rc = add(&choice, spec->url_column[0] ? spec->url_column : "url", "url-column", err);
    if (!rc) rc = add_optional(&choice, spec->caption_column, "caption-column", err);
    if (!rc) rc = add_optional(&choice, spec->hash_column, "verify-hash-column", err);
    if (!rc) rc = add_optional(&choice, spec->boxes_column, "bbox-column", err);
    for (size_t i = 0; i < spec->extra_count && !rc; i++)
        rc = add(&choice, spec->extra[i], "extra-columns", err);
    return rc;
}

uint32_t list_key_digits(uint32_t shard_rows)
{
    uint32_t digits = 0;
    for (uint64_t power = 1; power < shard_rows; power *= 10) digits++;
    return digits;
}

void list_key(char dst[LIST_KEY_BYTES], uint32_t shard, uint32_t index, uint32_t key_digits)
{
    /* Shard and index side by side are shard * 10^digits + index, padded. */
    if (key_digits)
        (void)snprintf(dst, LIST_KEY_BYTES, "%05u%0*u", shard, (int)key_digits, index);
    else
        (void)snprintf(dst, LIST_KEY_BYTES, "%05u", shard);
}
