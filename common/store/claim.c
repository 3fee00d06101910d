/* claim.c - whose output this is: _vlmq/job.json, created once and compared ever after. */
#include "common/base/check.h"
#include "common/base/str.h"
#include "common/store/attempt.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLAIM_NAME  "_vlmq/job.json"
#define SHOWN_BYTES 48 /* of a value in a sentence */

/* "--image-size" of "image_size". */
static void option_name(char *dst, size_t dst_bytes, const char *field)
{
    (void)snprintf(dst, dst_bytes, "--%s", field);
    for (char *at = dst; *at; at++)
        if (*at == '_') *at = '-';
}

/* A value as people write it: texts without quotes, "the default" where it is not set. */
static void value_text(char dst[SHOWN_BYTES], const json_t *value)
{
    char *text = value && !json_is_string(value) ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
    const char *shown = text ? text : json_string_value(value);
    (void)snprintf(dst, SHOWN_BYTES, "%s", shown ? shown : "the default");
    free(text);
}

static bool is_compared(const char *field)
{
    return !str_eq(field, "input") && !str_eq(field, "output");
}

/* The first field that differs, or NULL. */
static const char *first_difference(json_t *made, json_t *now)
{
    const char *field;
    json_t *value;
    json_object_foreach(made, field, value)
    {
        if (is_compared(field) && !json_equal(value, json_object_get(now, field))) return field;
    }
    json_object_foreach(now, field, value)
    {
        if (is_compared(field) && !json_object_get(made, field)) return field;
    }
    return NULL;
}

static int compare_spec(json_t *made, json_t *now, const char *url, struct err *err)
{
    char option[64], before[SHOWN_BYTES], after[SHOWN_BYTES];
    const char *field = first_difference(made, now);
    if (!field) return 0;
    option_name(option, sizeof option, field);
    value_text(before, json_object_get(made, field));
    value_text(after, json_object_get(now, field));
    return err_set(err, ERR_INVALID,
                   "%.80s was made with %s %s, this job has %s; choose another --output", url,
                   option, before, after);
}

static int compare(json_t *made, json_t *now, const char *url, struct err *err)
{
    const char *kind = json_string_value(json_object_get(made, "kind"));
    const char *input = json_string_value(json_object_get(made, "input"));
    json_t *spec = json_object_get(made, "spec");
    if (!kind || !input || !json_is_object(spec))
        return err_set(err, ERR_CORRUPT, "%.80s/" CLAIM_NAME " is damaged", url);
    if (!str_eq(kind, json_string_value(json_object_get(now, "kind"))))
        return err_set(err, ERR_INVALID,
                       "%.80s holds the output of a %.40s job; choose another --output", url, kind);
    if (!str_eq(input, json_string_value(json_object_get(now, "input"))))
        return err_set(err, ERR_INVALID,
                       "%.80s was made from another input, or the input has changed since; "
                       "choose another --output",
                       url);
    return compare_spec(spec, json_object_get(now, "spec"), url, err);
}

static int compare_stored(struct store *store, json_t *now, struct err *err)
{
    struct buf text;
    json_t *made = NULL;
    json_error_t trouble;
    buf_init(&text, ATTEMPT_MANIFEST_BYTES);
    int rc = store_get(store, &text, CLAIM_NAME, ATTEMPT_MANIFEST_BYTES, err);
    if (rc) goto out;
    made = json_loadb(buf_str(&text), text.len, JSON_REJECT_DUPLICATES, &trouble);
    rc = compare(made, now, store_url(store), err);
out:
    json_decref(made);
    buf_deinit(&text);
    return rc;
}

int attempt_claim_output(struct store *store, const char *kind, const char *fingerprint,
                         const char *spec_json, struct err *err)
{
    bool created;
    json_error_t trouble;
    char *text = NULL;
    json_t *now = NULL;
    int rc;
    json_t *spec = json_loads(spec_json, JSON_REJECT_DUPLICATES, &trouble);
    CHECK(json_is_object(spec)); /* the kind wrote it */
    now = json_pack("{s:s, s:s, s:o}", "kind", kind, "input", fingerprint, "spec", spec);
    if (now) text = json_dumps(now, JSON_INDENT(2) | JSON_SORT_KEYS);
    if (!text) {
        rc = err_set(err, ERR_LIMIT, "claim %s: out of memory", store_url(store));
        goto out;
    }
    rc = store_put_new(store, CLAIM_NAME, text, strlen(text), &created, err);
    if (!rc && !created) rc = compare_stored(store, now, err);
out:
    free(text);
    json_decref(now);
    return rc;
}
