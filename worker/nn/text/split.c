/* split.c - see split.h. */
#include "worker/nn/text/split.h"

#include "common/base/buf.h"
#include "common/base/mem.h"

#include <stdint.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* CLIP's expression takes a few steps per piece. */
#define STEPS_MAX    200000
#define HEAP_KIB_MAX 4096

struct split_rule {
    pcre2_code *code;
    pcre2_match_context *limits;
    enum split_kind kind;
};

struct split_work {
    pcre2_match_data *match;
};

/* The pattern with \s and \S in PCRE2's words for White_Space. */
static void translate(struct buf *out, const char *pattern, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (pattern[i] != '\\' || i + 1 == bytes) {
            buf_byte(out, pattern[i]);
            continue;
        }
        i++;
        if (pattern[i] == 's') {
            buf_text(out, "\\p{White_Space}");
        } else if (pattern[i] == 'S') {
            buf_text(out, "\\P{White_Space}");
        } else {
            buf_byte(out, '\\');
            buf_byte(out, pattern[i]);
        }
    }
}

static int compile(struct split_rule *rule, const char *pattern, size_t bytes, bool caseless,
                   struct err *err)
{
    const uint32_t options =
        PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | (caseless ? PCRE2_CASELESS : 0);
    int failed = 0;
    PCRE2_SIZE at = 0;
    rule->code = pcre2_compile((PCRE2_SPTR)pattern, bytes, options, &failed, &at, NULL);
    if (!rule->code) {
        PCRE2_UCHAR why[120];
        (void)pcre2_get_error_message(failed, why, sizeof why);
        return err_set(err, ERR_INVALID, "the regex that splits text is not valid at byte %zu: %s",
                       (size_t)at, (const char *)why);
    }
    rule->limits = pcre2_match_context_create(NULL);
    if (!rule->limits) return err_set(err, ERR_LIMIT, "no memory for a regex");
    (void)pcre2_set_match_limit(rule->limits, STEPS_MAX);
    (void)pcre2_set_depth_limit(rule->limits, STEPS_MAX);
    (void)pcre2_set_heap_limit(rule->limits, HEAP_KIB_MAX);
    return 0;
}

int split_rule_new(struct split_rule **rule, const char *pattern, size_t bytes,
                   enum split_kind kind, bool caseless, struct err *err)
{
    struct split_rule *made = NULL;
    struct buf text;
    int rc;
    if (bytes > SPLIT_PATTERN_BYTES_MAX)
        return err_set(err, ERR_INVALID, "the regex that splits text has %zu bytes; at most %d",
                       bytes, SPLIT_PATTERN_BYTES_MAX);
    buf_init(&text, 0);
    translate(&text, pattern, bytes);
    made = mem_try(sizeof *made);
    if (!made || buf_failed(&text)) {
        rc = err_set(err, ERR_LIMIT, "no memory for a regex");
        goto out;
    }
    made->kind = kind;
    rc = compile(made, buf_str(&text), text.len, caseless, err);
    if (rc) goto out;
    *rule = made;
    made = NULL;
out:
    split_rule_free(made);
    buf_deinit(&text);
    return rc;
}

void split_rule_free(struct split_rule *rule)
{
    if (!rule) return;
    pcre2_match_context_free(rule->limits);
    pcre2_code_free(rule->code);
    mem_free(rule);
}

int split_work_new(struct split_work **work, struct err *err)
{
    struct split_work *made = mem_try(sizeof *made);
    if (made) made->match = pcre2_match_data_create(1, NULL);
    if (!made || !made->match) {
        mem_free(made);
        return err_set(err, ERR_LIMIT, "no memory to split a text");
    }
    *work = made;
    return 0;
}

void split_work_free(struct split_work *work)
{
    if (!work) return;
    pcre2_match_data_free(work->match);
    mem_free(work);
}

void split_start(struct split *split, const struct split_rule *rule, const char *text, size_t bytes)
{
    *split = (struct split){.rule = rule, .text = text, .bytes = bytes};
}

/* Finds the next match at or behind split->at; match_at is the end of the text when there is none.
 * The text was checked to be UTF-8 once: to check it for each piece takes the square of its bytes.
 */
static int find(struct split *split, struct split_work *work, struct err *err)
{
    const int found =
        pcre2_match(split->rule->code, (PCRE2_SPTR)split->text, split->bytes, split->at,
                    PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, work->match, split->rule->limits);
    split->match_at = split->match_end = split->bytes;
    if (found == PCRE2_ERROR_NOMATCH) return 0;
    if (found < 0)
        return err_set(err, ERR_INVALID,
                       "the tokenizer's regex takes too many steps on this text (PCRE2 error %d)",
                       found);
    const PCRE2_SIZE *place = pcre2_get_ovector_pointer(work->match);
    if (place[0] < split->at || place[1] <= place[0]) /* by \K or a look behind */
        return err_set(err, ERR_INVALID, "the tokenizer's regex does not move on in this text");
    split->match_at = place[0];
    split->match_end = place[1];
    return 0;
}

int split_next(struct split *split, struct split_work *work, const char **piece,
               size_t *piece_bytes, struct err *err)
{
    *piece = NULL;
    *piece_bytes = 0;
    if (split->at == split->bytes) return 0;
    if (split->match_end <= split->at) {
        const int rc = find(split, work, err);
        if (rc) return rc;
    }
    size_t start = split->match_at, end = split->match_end;
    if (split->rule->kind == SPLIT_KEEP_ALL && start > split->at) {
        end = start; /* the match waits for the next call */
        start = split->at;
    }
    split->at = end;
    if (start == end) return 0; /* the end of the text */
    *piece = split->text + start;
    *piece_bytes = end - start;
    return 0;
}
