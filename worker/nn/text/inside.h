/* inside.h - what a tokenizer holds: filled by tokenizer_file.c, used by tokenizer.c. */
#ifndef NN_TEXT_INSIDE_H
#define NN_TEXT_INSIDE_H

#include "worker/nn/text/bpe.h"
#include "worker/nn/text/split.h"
#include "worker/nn/text/tokenizer.h"

#define STEPS_COUNT_MAX   8   /* of a normaliser */
#define RULES_COUNT_MAX   4   /* of a pre-tokenizer */
#define SPECIAL_COUNT_MAX 256 /* added tokens */
#define SPECIAL_BYTES_MAX 256

enum step { STEP_NFC, STEP_SPACES, STEP_LOWER };

/* A token that is found in the text before words are. normalised: in the text that the steps made,
 * and as they make it; otherwise in the text as it came. */
struct special {
    const char *text;
    uint32_t bytes, id;
    bool normalised;
};

struct rules {
    struct split_rule *rule[RULES_COUNT_MAX]; /* each splits the pieces of the one before */
    uint32_t count;
};

struct tokenizer {
    struct arena arena;
    struct bpe bpe;
    enum step step[STEPS_COUNT_MAX];
    uint32_t steps_count;
    struct special special[SPECIAL_COUNT_MAX];
    uint32_t specials_count;
    bool special_begins[256]; /* a special token begins with this byte */
    struct rules hf, openai;
    struct split_rule *final_sigma;
    uint32_t start_id, end_id;
    int64_t pad_id; /* of TOKENIZER_HF */
};

/* Takes the tokenizer's steps over text; what they make is appended to out. */
CHECKED int tokenizer_normalise(const struct tokenizer *tokenizer, struct buf *out,
                                const char *text, size_t bytes, struct err *err);

#endif
