/* boxes.h - the boxes that a row of the list wants blurred. */
#ifndef DOWNLOAD_BOXES_H
#define DOWNLOAD_BOXES_H

#include "worker/pipe/blur.h"

#include <stdbool.h>
#include <stdint.h>

#define BOXES_MAX 256 /* a crowd; more would only burn time */

/* Reads [[x0, y0, x1, y1], …] in parts of width and height. NULL, an empty text, null and [] are no
 * boxes. false: it is something else, a box has no area, a number is outside -1 to 2 (pixels, most
 * likely), or there are too many. A picture whose boxes cannot be read must not be published. */
bool boxes_read(struct blur_box box[BOXES_MAX], uint32_t *boxes, const char *text);

#endif
