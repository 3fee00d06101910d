/* claim.h - the files that an encode job names besides its input, and whose output it is.
 *
 * What they hold shapes the output, so the output is claimed with their hashes. Every task looks at
 * them anew: a model, a label file or a reference picture that differs from worker to worker, or
 * changes under the job, is refused with a sentence. */
#ifndef ENCODE_CLAIM_H
#define ENCODE_CLAIM_H

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/store/store.h"
#include "worker/job.h"
#include "worker/jobs/encode/options.h"

#include <limits.h>

struct encode_files {
    char model_folder[PATH_MAX];
    char model_hash[HASH_SHA256_TEXT];       /* of the contents of its files */
    char labels_hash[HASH_SHA256_TEXT];      /* labels_hash(); "": no labels are wanted */
    char cache_folder[PATH_MAX];             /* for the labels' vectors; "": nothing is kept */
    char placeholder_hash[HASH_SHA256_TEXT]; /* of the picture's bytes; "": none is wanted */
};

/* ERR_NOT_FOUND, ERR_INVALID: a sentence that names the option. Reads the model's files once. */
CHECKED int encode_files_init(struct encode_files *files, const struct encode_options *options,
                              struct err *err);
/* fingerprint: of the input. ERR_INVALID: the output is that of another job. */
CHECKED int encode_claim(struct store *output, const struct encode_options *options,
                         const struct encode_files *files,
                         const uint8_t fingerprint[HASH_SHA256_BYTES], struct err *err);
/* The closing task, which has no need of those files: their hashes are taken from the claim.
 * fingerprint: of the input, NULL where it is not known. ERR_INVALID: the output is that of another
 * job. Nothing is claimed: of an output that no task has claimed, files is empty. */
CHECKED int encode_claim_recall(struct encode_files *files, struct store *output,
                                const struct encode_options *options, const uint8_t *fingerprint,
                                struct err *err);
/* Of a job that follows another: of that one's own claim, in its output. ERR_NOT_FOUND. */
CHECKED int encode_claim_fingerprint(uint8_t fingerprint[HASH_SHA256_BYTES], struct store *input,
                                     struct err *err);
/* The spec with those hashes, as a JSON object. */
void encode_spec_json(const struct encode_options *options, const struct encode_files *files,
                      struct buf *out);

#endif
