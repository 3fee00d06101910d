/* classes.c - the classes of failed items. */
#include "client/output/classes.h"

#include "common/base/str.h"
#include "common/base/sum.h"

#include <stdlib.h>
#include <string.h>

#define STATUS_PREFIX  "status."
#define STATUS_SUCCESS "status.success"

static int by_value(const void *a, const void *b)
{
    const struct class_count *left = a, *right = b;
    if (left->value != right->value) return left->value < right->value ? 1 : -1;
    return strcmp(left->name, right->name);
}

void classes_of(struct class_list *list, const Vlmq__Job *job)
{
    memset(list, 0, sizeof *list);
    for (size_t i = 0; i < job->n_counters; i++) {
        const Vlmq__Counter *counter = job->counters[i];
        if (!str_has_prefix(counter->name, STATUS_PREFIX)) continue;
        list->all = sum_of(list->all, counter->value);
        if (str_eq(counter->name, STATUS_SUCCESS) || list->count == COUNTERS_MAX) continue;
        if (counter->value <= 0) continue;
        list->failed = sum_of(list->failed, counter->value);
        list->item[list->count++] =
            (struct class_count){counter->name + sizeof STATUS_PREFIX - 1, counter->value};
    }
    qsort(list->item, list->count, sizeof list->item[0], by_value);
}
