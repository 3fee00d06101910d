/* split.h - a text in pieces, by a regular expression.
 *
 * The expression is PCRE2's over UTF-8 with Unicode classes; \s and \S are made to mean Unicode's
 * White_Space, as in the references (PCRE2's own \s takes U+180E too). Expressions come from
 * files: their length, and the steps and memory of one match, are limited. */
#ifndef NN_TEXT_SPLIT_H
#define NN_TEXT_SPLIT_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define SPLIT_PATTERN_BYTES_MAX 4096

struct split_rule; /* read only after it is made: any number of threads */
struct split_work; /* one thread at a time */

enum split_kind {
    SPLIT_KEEP_MATCHES, /* the pieces are the matches; what is between them is dropped */
    SPLIT_KEEP_ALL,     /* what is between them is a piece as well */
};

/* ERR_INVALID when the pattern is too long or no regular expression. */
CHECKED int split_rule_new(struct split_rule **rule, const char *pattern, size_t bytes,
                           enum split_kind kind, bool caseless, struct err *err);
void split_rule_free(struct split_rule *rule);
CHECKED int split_work_new(struct split_work **work, struct err *err);
void split_work_free(struct split_work *work);

/* A walk over one text; text must stay, and must be valid UTF-8. */
struct split {
    const struct split_rule *rule;
    const char *text;
    size_t bytes, at;
    size_t match_at, match_end; /* a match found beyond a piece that was between; else empty */
};

void split_start(struct split *split, const struct split_rule *rule, const char *text,
                 size_t bytes);
/* *piece: the next piece, never empty; NULL at the end. ERR_INVALID when the expression takes too
 * many steps on this text. */
CHECKED int split_next(struct split *split, struct split_work *work, const char **piece,
                       size_t *piece_bytes, struct err *err);

#endif
