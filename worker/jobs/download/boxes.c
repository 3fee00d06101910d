/* boxes.c - see boxes.h. */
#include "worker/jobs/download/boxes.h"

#include <jansson.h>
#include <string.h>

/* Detectors give numbers a little outside of the picture. */
#define LOWEST  (-1.0)
#define HIGHEST 2.0

static bool read_box(struct blur_box *box, const json_t *list)
{
    double value[4];
    if (json_array_size(list) != 4) return false;
    for (size_t i = 0; i < 4; i++) {
        const json_t *number = json_array_get(list, i);
        value[i] = json_number_value(number);
        if (!json_is_number(number) || value[i] < LOWEST || value[i] > HIGHEST) return false;
    }
    *box = (struct blur_box){value[0], value[1], value[2], value[3]};
    return box->x0 < box->x1 && box->y0 < box->y1;
}

static bool read_list(struct blur_box box[BOXES_MAX], uint32_t *boxes, const json_t *list)
{
    const size_t count = json_array_size(list);
    if (json_is_null(list)) return true;
    if (!json_is_array(list) || count > BOXES_MAX) return false;
    for (size_t i = 0; i < count; i++)
        if (!read_box(&box[i], json_array_get(list, i))) return false;
    *boxes = (uint32_t)count;
    return true;
}

bool boxes_read(struct blur_box box[BOXES_MAX], uint32_t *boxes, const char *text)
{
    *boxes = 0;
    if (!text || !text[strspn(text, " \t\r\n")]) return true;
    json_t *list = json_loads(text, JSON_DECODE_ANY, NULL);
    const bool fine = list && read_list(box, boxes, list);
    json_decref(list);
    if (!fine) *boxes = 0;
    return fine;
}
