/* tokenizer.h - text to token ids and back, as CLIP does it.
 *
 * Files: a folder of a model with Hugging Face's `tokenizer.json` (model "BPE" with the suffix
 * "</w>", a normaliser of NFC, Replace \s+ by a space and Lowercase, a pre-tokenizer of Split and
 * ByteLevel), or the older pair `vocab.json` and `merges.txt`. Anything else in them that would
 * change ids is refused by name. From tokenizer.json the ids of the two special tokens are those of
 * its post-processor, and the pad id is that of its "padding"; its "truncation" and "decoder" are
 * not read: the context is the model's.
 *
 * Two styles, which differ on other than plain text:
 *
 *   TOKENIZER_HF      as the fast tokenizer of transformers: special tokens written in the text are
 *                     taken first, as they are; then what the file says, and for the pair of files
 *                     NFC, white space, lower case by character. Pads with its pad id or the end.
 *   TOKENIZER_OPENAI  as openai/CLIP: HTML references are resolved twice, white space is taken off,
 *                     lower case with the final sigma; special tokens are found in the result. Of
 *                     the file only the vocabulary and merges count. Pads with 0.
 *
 * OpenAI's first step, ftfy.fix_text (which mends mojibake and replaces curly quotes, ligatures,
 * full-width letters and control characters), is not done here: texts that it would change get the
 * ids that openai/CLIP gives when ftfy leaves them alone.
 *
 * In both styles the text becomes [start] ids [end] and padding up to the context. Letters, digits
 * and lower case are those of Unicode 14 (Debian 12's PCRE2 and utf8proc): characters newer than
 * that are no letters here. Invalid UTF-8 in a text counts as U+FFFD, each byte (str_utf8_clean).
 *
 * Sources: openai/CLIP, clip/simple_tokenizer.py and clip/clip.py; huggingface/transformers,
 * tokenization_clip.py; huggingface/tokenizers, the format of tokenizer.json. */
#ifndef NN_TEXT_TOKENIZER_H
#define NN_TEXT_TOKENIZER_H

#include "common/base/buf.h"
#include "common/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOKENIZER_FILE_BYTES_MAX (8 * 1024 * 1024) /* CLIP's have 0.5 to 4 MB */
#define TOKENIZER_TEXT_BYTES_MAX (1024 * 1024)
#define TOKENIZER_PAD_DEFAULT    (-1)

enum tokenizer_style { TOKENIZER_HF = 0, TOKENIZER_OPENAI };

struct tokenizer; /* read only once it is there: any number of threads */

/* Reads a folder: its tokenizer.json, or where there is none its pair of files. ERR_INVALID for
 * files that are none of CLIP's or that lie; ERR_LIMIT above TOKENIZER_FILE_BYTES_MAX. */
CHECKED int tokenizer_open(struct tokenizer **tokenizer, const char *folder, struct err *err);
/* The same from memory. */
CHECKED int tokenizer_read_json(struct tokenizer **tokenizer, const char *json, size_t bytes,
                                struct err *err);
CHECKED int tokenizer_read_pair(struct tokenizer **tokenizer, const char *vocab, size_t vocab_bytes,
                                const char *merges, size_t merges_bytes, struct err *err);
void tokenizer_free(struct tokenizer *tokenizer);

uint32_t tokenizer_start_id(const struct tokenizer *tokenizer);
uint32_t tokenizer_end_id(const struct tokenizer *tokenizer);
/* One more than the largest id. */
uint32_t tokenizer_ids_count(const struct tokenizer *tokenizer);

struct tokenizer_options {
    enum tokenizer_style style;
    uint32_t context; /* ids of a text with its start and end, at least 2; CLIP: 77 */
    bool truncate;    /* keep the first context - 1 ids and the end; otherwise refuse */
    int64_t pad_id;   /* TOKENIZER_PAD_DEFAULT: the style's */
};

/* Fills ids[0 .. context), of which the first *count are the text's and the rest padding: an
 * attention mask is one for those. ERR_INVALID when the text has too many tokens and may not be
 * truncated; ERR_LIMIT above TOKENIZER_TEXT_BYTES_MAX. */
CHECKED int tokenizer_encode(const struct tokenizer *tokenizer, uint32_t *ids, uint32_t *count,
                             const char *text, size_t bytes,
                             const struct tokenizer_options *options, struct err *err);

/* Appends the text of ids: valid UTF-8, a space behind each word. skip_special leaves out special
 * tokens. TOKENIZER_HF takes white space off both ends, as transformers does. ERR_INVALID for an
 * id that no token has. */
CHECKED int tokenizer_decode(const struct tokenizer *tokenizer, struct buf *out,
                             const uint32_t *ids, size_t count, enum tokenizer_style style,
                             bool skip_special, struct err *err);

#endif
