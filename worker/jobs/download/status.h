/* status.h - how a row of the list ended, as a stable name and a class.
 *
 * A row that fails to arrive has the fetch's status, one whose bytes are no picture of use the
 * decoder's; the rest is named here. The names go into rows.jsonl, the counters and the reports,
 * and never change; docs/download.md lists them. */
#ifndef DOWNLOAD_STATUS_H
#define DOWNLOAD_STATUS_H

#include "worker/pipe/decode.h"
#include "worker/pipe/fetch.h"

#include <stdint.h>

/* One number space: the fetch's, then the decoder's, then our own. */
#define STATUS_SUCCESS      0
#define STATUS_DECODE_FIRST ((uint32_t)FETCH_STATUSES_COUNT) /* + enum decode_status */
#define STATUS_OWN_FIRST    (STATUS_DECODE_FIRST + (uint32_t)DECODE_STATUS_COUNT)
#define STATUS_BAD_ROW      STATUS_OWN_FIRST /* too long, an open quote, not a JSON object */
#define STATUS_RESIZE       (STATUS_OWN_FIRST + 1)
#define STATUS_ENCODE       (STATUS_OWN_FIRST + 2)
#define STATUS_HASH         (STATUS_OWN_FIRST + 3) /* other bytes than the list promises */
#define STATUS_BOXES        (STATUS_OWN_FIRST + 4) /* what to blur cannot be read */
#define STATUS_BLOCKED      (STATUS_OWN_FIRST + 5) /* bytes that --blocked-hashes names */
#define STATUS_CARRIED      (STATUS_OWN_FIRST + 6) /* it has its end in the late shard */
#define STATUSES_COUNT      (STATUS_OWN_FIRST + 7)

/* The three classes of img2dataset, and the rows that have not ended yet. */
enum status_class { CLASS_SUCCESS, CLASS_DOWNLOAD, CLASS_RESIZE, CLASS_CARRIED, CLASSES_COUNT };

uint32_t status_of_fetch(enum fetch_status status);
uint32_t status_of_decode(enum decode_status status);
const char *status_name(uint32_t status);
enum status_class status_class(uint32_t status);
const char *status_class_name(enum status_class class); /* "failed_to_download", … */
/* A sentence that is the same for every row of this end, but for the HTTP code. */
#define STATUS_TEXT_BYTES 96
void status_text(char dst[STATUS_TEXT_BYTES], uint32_t status, int32_t http_status);

#endif
