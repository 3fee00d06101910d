/* boxes_fuzz.c - any text is boxes or is refused; the boxes are blurred in a small picture, whose
 * sides the first two bytes are. Any text is a file of blocked hashes, too, or is refused. */
#include "common/base/check.h"
#include "common/base/mem.h"
#include "worker/jobs/download/blocked.h"
#include "worker/jobs/download/boxes.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void as_hashes(const uint8_t *data, size_t size)
{
    struct blocked *blocked;
    struct err err = {0};
    char hash[HASH_TEXT_MAX];
    const enum hash_kind kind = (enum hash_kind)(size % HASH_KINDS_COUNT);
    const int rc = blocked_read(&blocked, kind, (const char *)data, size, &err);
    CHECK(rc ? !blocked && err.msg[0] : blocked != NULL);
    CHECK(hash_text(hash, kind, data, size));
    if (blocked) CHECK(!blocked_has(blocked, hash)); /* no file holds its own hash */
    blocked_free(blocked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct blur_box box[BOXES_MAX];
    struct image image;
    struct err err;
    uint32_t boxes = 99;
    as_hashes(data, size);
    if (size < 2) return 0;
    char *text = mem_new(size - 1);
    memcpy(text, data + 2, size - 2);
    const bool fine = boxes_read(box, &boxes, text);
    CHECK(fine ? boxes <= BOXES_MAX : boxes == 0);
    CHECK(image_init(&image, data[0] + 1u, data[1] + 1u, 3));
    for (uint32_t y = 0; y < image.height; y++)
        for (uint32_t i = 0; i < image.width * 3; i++)
            image_row(&image, y)[i] = (uint8_t)(i * 37 + y * 11);
    CHECK(!blur_boxes(&image, box, boxes, &err));
    image_deinit(&image);
    mem_free(text);
    return 0;
}
