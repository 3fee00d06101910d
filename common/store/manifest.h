/* manifest.h - the text of a manifest; inside common/store only.
 *
 * One JSON object: version, task, lease, files [{name, bytes, sha256}], counters {name: value},
 * items, items_ok, bytes; keys sorted, no spaces. Its digest is the SHA-256 of the same text
 * without the lease. */
#ifndef STORE_MANIFEST_H
#define STORE_MANIFEST_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/store/attempt.h"

#define MANIFEST_VERSION 1

/* Appends the text, and fills manifest->digest. Files and counters stand in the order of their
 * names, whatever order they were added in (this sorts them in place). */
CHECKED int manifest_encode(struct buf *out, struct attempt_manifest *manifest, struct err *err);
/* task: the name that the manifest must carry; ERR_CORRUPT for anything that is not a manifest. */
CHECKED int manifest_decode(struct attempt_manifest *manifest, const char *task, const char *text,
                            size_t bytes, struct err *err);

#endif
