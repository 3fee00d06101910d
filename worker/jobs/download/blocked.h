/* blocked.h - hashes of bodies that nobody wants: placeholders, for example.
 *
 * A text file has one hash in each line, in hexadecimal, of the kind of --compute-hash; what
 * follows it behind a blank is passed over, so that the output of sha256sum will do, and so are
 * empty lines and those that begin with "#". The plan reads it, and keeps a copy in the output: all
 * tasks use the same hashes, whatever becomes of the file. */
#ifndef DOWNLOAD_BLOCKED_H
#define DOWNLOAD_BLOCKED_H

#include "common/base/buf.h"
#include "common/base/hash.h"
#include "common/store/store.h"
#include "worker/jobs/download/options.h"

#include <stdbool.h>
#include <stddef.h>

/* A quarter of a million SHA-256: as many placeholders as the web has, and some. */
#define BLOCKED_BYTES_MAX ((size_t)16 * 1024 * 1024)

struct blocked;

/* The hashes of a whole file. ERR_INVALID with a sentence that names the line. */
CHECKED int blocked_read(struct blocked **blocked, enum hash_kind kind, const char *text,
                         size_t bytes, struct err *err);
void blocked_free(struct blocked *blocked); /* accepts NULL */
/* hash: in hexadecimal. */
bool blocked_has(const struct blocked *blocked, const char *hash);

/* For a plan, before it writes anything: reads the file that the options name into text, and sets
 * the SHA-256 of it in them. Nothing where they name none. */
CHECKED int blocked_load(struct download_options *options, struct buf *text, struct err *err);
/* The copy in the output: made by the plan once the output is claimed, and opened by the others,
 * which also sets that SHA-256. *blocked NULL: the options name no file. */
CHECKED int blocked_keep(struct store *store, const struct download_options *options,
                         const struct buf *text, struct err *err);
CHECKED int blocked_open(struct blocked **blocked, struct store *store,
                         struct download_options *options, struct err *err);

#endif
