/* status.c - names and sentences of the ends of rows. */
#include "worker/jobs/download/status.h"

#include "common/base/check.h"
#include "common/base/str.h"

#include <stdio.h>

static const char *const own_names[] = {"bad_row",       "resize_failed", "encode_failed",
                                        "hash_mismatch", "bad_boxes",     "blocked",
                                        "carried_over"};
static const char *const own_texts[] = {
    "the row of the list cannot be read",
    "the picture cannot be resized",
    "the result cannot be encoded",
    "the bytes have another hash than the list says",
    "the boxes to blur cannot be read",
    "the bytes are among the blocked ones",
    "not done in time: the late shard has it",
};

static const char *const decode_texts[DECODE_STATUS_COUNT] = {
    [DECODE_UNKNOWN_FORMAT] = "the bytes are no picture",
    [DECODE_UNSUPPORTED_FORMAT] = "a picture of a format that is not decoded",
    [DECODE_TRUNCATED] = "the picture is cut short",
    [DECODE_CORRUPT] = "the picture is damaged",
    [DECODE_TOO_MANY_PIXELS] = "the picture has more pixels than the limit",
    [DECODE_TOO_LARGE_SIDE] = "a side of the picture is longer than the limit",
    [DECODE_ZERO_SIZE] = "the picture has no pixels",
    [DECODE_TOO_MANY_SCANS] = "the picture has more scans than the limit",
    [DECODE_NO_MEMORY] = "the picture needs more memory than the limit",
    [DECODE_TOO_SMALL] = "a side of the picture is below --min-image-size",
    [DECODE_TOO_LARGE_AREA] = "the picture has more pixels than --max-image-area",
    [DECODE_TOO_LARGE_ASPECT] = "the picture is longer and thinner than --max-aspect-ratio",
};

uint32_t status_of_fetch(enum fetch_status status)
{
    return (uint32_t)status;
}

uint32_t status_of_decode(enum decode_status status)
{
    return status == DECODE_OK ? STATUS_SUCCESS : STATUS_DECODE_FIRST + (uint32_t)status;
}

const char *status_name(uint32_t status)
{
    CHECK(status < STATUSES_COUNT);
    if (status >= STATUS_OWN_FIRST) return own_names[status - STATUS_OWN_FIRST];
    if (status < STATUS_DECODE_FIRST) return fetch_status_name((enum fetch_status)status);
    return decode_status_name((enum decode_status)(status - STATUS_DECODE_FIRST));
}

enum status_class status_class(uint32_t status)
{
    if (status == STATUS_SUCCESS) return CLASS_SUCCESS;
    if (status == STATUS_CARRIED) return CLASS_CARRIED;
    const bool download = status < STATUS_DECODE_FIRST || status == STATUS_BAD_ROW ||
                          status == STATUS_HASH || status == STATUS_BLOCKED;
    return download ? CLASS_DOWNLOAD : CLASS_RESIZE;
}

const char *status_class_name(enum status_class class)
{
    static const char *const names[CLASSES_COUNT] = {"success", "failed_to_download",
                                                     "failed_to_resize", "carried_over"};
    CHECK(class < CLASSES_COUNT);
    return names[class];
}

void status_text(char dst[STATUS_TEXT_BYTES], uint32_t status, int32_t http_status)
{
    const char *text;
    CHECK(status < STATUSES_COUNT);
    if (status >= STATUS_OWN_FIRST)
        text = own_texts[status - STATUS_OWN_FIRST];
    else if (status >= STATUS_DECODE_FIRST)
        text = decode_texts[status - STATUS_DECODE_FIRST];
    else
        text = fetch_status_text((enum fetch_status)status);
    if (status == (uint32_t)FETCH_HTTP_STATUS)
        (void)snprintf(dst, STATUS_TEXT_BYTES, "%s %d", text, http_status);
    else
        (void)str_copy(dst, STATUS_TEXT_BYTES, text ? text : "");
}
