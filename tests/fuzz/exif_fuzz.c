/* exif_fuzz.c - any bytes, taken as a TIFF block in each container and as a file of each format,
 * give a JSON object of bounded size. */
#include "common/base/check.h"
#include "common/base/str.h"
#include "worker/pipe/exif.h"

#include <jansson.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const void *data, size_t size, enum decode_format format)
{
    struct buf json;
    buf_init(&json, 0);
    exif_json(&json, data, size, format);
    CHECK(!buf_failed(&json) && json.len >= 2 && json.len <= EXIF_JSON_BYTES_MAX);
    CHECK(str_utf8_valid(json.data, json.len) == json.len);
    json_t *object = json_loadb(json.data, json.len, JSON_REJECT_DUPLICATES, NULL);
    CHECK(json_is_object(object));
    json_decref(object);
    buf_deinit(&json);
    const uint32_t orientation = exif_orientation(data, size, format);
    CHECK(orientation >= 1 && orientation <= 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf file;
    for (int format = 0; format < DECODE_FORMAT_COUNT; format++)
        ask(data, size, (enum decode_format)format);
    /* The block alone, so that the fuzzer need not find out about segments and their lengths. */
    buf_init(&file, 0);
    buf_text(&file, "\x89PNG\r\n\x1A\n");
    for (int shift = 24; shift >= 0; shift -= 8) buf_byte(&file, (char)(size >> shift));
    buf_text(&file, "eXIf");
    buf_add(&file, data, size);
    ask(file.data, file.len, DECODE_FORMAT_PNG);
    buf_deinit(&file);
    return 0;
}
