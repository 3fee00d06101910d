/* options.c - defaults and ranges of an encode job's spec, each in one place. */
#include "worker/jobs/encode/options.h"

#include "common/base/limits.h"
#include "common/base/str.h"
#include "worker/jobs/encode/row.h"

#include <inttypes.h>
#include <string.h>

#define TOKENS_MAX     65536 /* of any model's grid */
#define LAYERS_MAX     1000  /* of any model */
#define BODY_BYTES_MAX ((int64_t)1024 * 1024 * 1024)
#define PIXELS_MAX     ((int64_t)2000 * 1000 * 1000)
/* TinyVLM's, of vectors before the last norm; see docs/encode.md. */
#define PLACEHOLDER_THRESHOLD 0.3
/* What decode.h knows, decoded here or not: a picture that cannot be decoded is a row that says so.
 * Where a sample has several pictures the first of these is taken. */
static const char *const image_keys[] = {"jpg", "jpeg", "png", "webp", "gif", "avif",
                                         "bmp", "heic", "jxl", "tif",  "tiff"};

static int enum_range(int value, int count, const char *option, struct err *err)
{
    if (value >= 0 && value < count) return 0;
    return err_set(err, ERR_INVALID, "--%s has no choice number %d", option, value);
}

static int choose_words(struct encode_options *options, const Vlmq__Jobs__Encode *spec,
                        struct err *err)
{
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16, DTYPE_I8};
    static const enum dtype feature_dtypes[] = {DTYPE_F16, DTYPE_BF16, DTYPE_F32};
    int rc = enum_range((int)spec->input_format, VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_IMAGES + 1,
                        "input-format", err);
    if (!rc) rc = enum_range((int)spec->dtype, 4, "dtype", err);
    if (!rc) rc = enum_range((int)spec->feature_dtype, 3, "feature-dtype", err);
    if (!rc) rc = enum_range((int)spec->placeholder_space, 2, "placeholder-space", err);
    if (!rc) rc = enum_range((int)spec->crop, 2, "crop", err);
    if (rc) return rc;
    options->input_format = spec->input_format;
    options->dtype = dtypes[spec->dtype];
    options->feature_dtype = feature_dtypes[spec->feature_dtype];
    options->placeholder_space = spec->placeholder_space;
    options->crop = spec->crop;
    options->orient = spec->orient;
    options->drop_alpha = spec->drop_alpha;
    return 0;
}

static int paths(struct encode_options *options, const Vlmq__Jobs__Encode *spec, struct err *err)
{
    options->input = spec->input;
    options->output = spec->output;
    options->model = spec->model;
    if (!spec->input[0])
        return err_set(err, ERR_INVALID,
                       "the job has no input: name a tar, a folder, a URL list, or --from JOB");
    if (!spec->output[0])
        return err_set(err, ERR_INVALID, "--output is missing: name a folder for the features");
    if (!spec->model[0])
        return err_set(err, ERR_INVALID,
                       "--model is missing: name one that vlmq model pull has fetched, or a folder "
                       "with a model's files");
    if (str_has_prefix(spec->input, "file://")) {
        options->input += strlen("file://");
        if (options->input[0] != '/')
            return err_set(err, ERR_INVALID, "%.120s names a host: only file:///path is read",
                           spec->input);
    } else if (strstr(spec->input, "://")) {
        return err_set(err, ERR_INVALID,
                       "cannot read %.120s: the input must be a path or a file:// URL",
                       spec->input);
    }
    return 0;
}

/* A number with its default for 0. */
static int number(int64_t *dst, uint64_t value, int64_t fallback, int64_t max, const char *option,
                  struct err *err)
{
    *dst = fallback;
    if (value == 0) return 0;
    if (value > (uint64_t)max)
        return err_set(err, ERR_INVALID, "--%s must be 1 to %" PRId64 ", not %" PRIu64, option, max,
                       value);
    *dst = (int64_t)value;
    return 0;
}

static int numbers(struct encode_options *options, const Vlmq__Jobs__Encode *spec, struct err *err)
{
    int64_t value[6] = {0};
    int rc = number(&value[0], spec->top_k, 1, ENCODE_TOP_K_MAX, "top-k", err);
    if (!rc) rc = number(&value[1], spec->batch, 0, ENCODE_BATCH_MAX, "batch", err);
    if (!rc)
        rc = number(&value[2], spec->shard_rows, 10000, ENCODE_SHARD_ROWS_MAX, "shard-rows", err);
    if (!rc)
        rc = number(&value[3], spec->decode_threads, 0, ENCODE_THREADS_MAX, "decode-threads", err);
    if (!rc)
        rc = number(&value[4], spec->body_bytes, 32 * 1024 * 1024, BODY_BYTES_MAX, "body-bytes",
                    err);
    if (!rc) rc = number(&value[5], spec->pixels, 100 * 1000 * 1000, PIXELS_MAX, "pixels", err);
    options->top_k = (uint32_t)value[0];
    options->batch = (uint32_t)value[1];
    options->shard_rows = (uint32_t)value[2];
    options->decode_threads = (uint32_t)value[3];
    options->body_bytes = (size_t)value[4];
    options->pixels = (uint64_t)value[5];
    return rc;
}

/* A cosine above which something counts; 0: not given. */
static int cosine(float *dst, double value, double fallback, const char *option, struct err *err)
{
    *dst = (float)fallback;
    if (value == 0) return 0;
    *dst = (float)value; /* the smallest numbers become 0 */
    if (*dst > 0 && *dst <= 1) return 0;
    return err_set(err, ERR_INVALID, "--%s must be above 0 and at most 1", option);
}

static int choose_tokens(struct encode_options *options, const Vlmq__Jobs__Encode *spec,
                         struct err *err)
{
    int64_t count = 0, state = -1;
    uint32_t side = 1;
    if (str_eq(spec->tokens, "all")) {
        options->tokens_kind = ENCODE_TOKENS_ALL;
    } else if (spec->tokens[0] && !str_eq(spec->tokens, "none")) {
        if (str_to_int(&count, spec->tokens, 0, TOKENS_MAX, "tokens", NULL))
            return err_set(err, ERR_INVALID,
                           "--tokens must be none, all or a square number, not \"%.40s\"",
                           spec->tokens);
        while ((int64_t)side * side < count) side++;
        if (count && (int64_t)side * side != count)
            return err_set(err, ERR_INVALID,
                           "--tokens %" PRId64 " is no square number: the windows stand in a "
                           "square, such as 64 = 8 x 8",
                           count);
        if (count) options->tokens_kind = ENCODE_TOKENS_WINDOWS;
        options->tokens = (uint32_t)count;
    }
    if (spec->hidden_state[0] && options->tokens_kind == ENCODE_TOKENS_NONE)
        return err_set(err, ERR_INVALID, "--hidden-state is of patch features: ask for --tokens");
    if (spec->hidden_state[0] &&
        str_to_int(&state, spec->hidden_state, -LAYERS_MAX, LAYERS_MAX, "hidden-state", NULL))
        return err_set(err, ERR_INVALID,
                       "--hidden-state must be a number such as -2, not \"%.40s\"",
                       spec->hidden_state);
    options->hidden_state = (int32_t)state;
    return 0;
}

static int choose_outputs(struct encode_options *options, const Vlmq__Jobs__Encode *spec,
                          struct err *err)
{
    options->cls = spec->cls;
    options->embedding =
        spec->embedding || (!spec->cls && options->tokens_kind == ENCODE_TOKENS_NONE);
    options->captions = spec->captions;
    options->npy = spec->npy;
    if (spec->npy && !options->embedding && !options->captions)
        return err_set(err, ERR_INVALID, "--npy writes embeddings: ask for --embedding too");
    return 0;
}

static int choose_labels(struct encode_options *options, const Vlmq__Jobs__Encode *spec,
                         struct err *err)
{
    options->labels = spec->labels[0] ? spec->labels : NULL;
    options->templates = spec->templates[0] ? spec->templates : NULL;
    if (options->labels) return 0;
    if (options->templates)
        return err_set(err, ERR_INVALID, "--templates are of labels: ask for --labels");
    if (spec->top_k) return err_set(err, ERR_INVALID, "--top-k is of labels: ask for --labels");
    return 0;
}

static int choose_filters(struct encode_options *options, const Vlmq__Jobs__Encode *spec,
                          struct err *err)
{
    options->placeholder = spec->placeholder[0] ? spec->placeholder : NULL;
    if (!options->placeholder && spec->placeholder_threshold != 0)
        return err_set(err, ERR_INVALID,
                       "--placeholder-threshold needs a picture to compare with: --placeholder");
    if (options->placeholder && spec->placeholder_threshold == 0 &&
        spec->placeholder_space == VLMQ__JOBS__ENCODE_SPACE__ENCODE_SPACE_EMBEDDING)
        return err_set(err, ERR_INVALID,
                       "--placeholder-space embedding needs a --placeholder-threshold of its own: "
                       "the default is for cls");
    int rc = cosine(&options->placeholder_threshold, spec->placeholder_threshold,
                    PLACEHOLDER_THRESHOLD, "placeholder-threshold", err);
    if (!rc)
        rc = cosine(&options->near_duplicates, spec->near_duplicates, 0, "near-duplicates", err);
    return rc;
}

/* In lower case: endings are compared so. */
static int ending(const char **dst, const char *text, struct arena *arena, const char *option,
                  struct err *err)
{
    const size_t bytes = strlen(text);
    char *lower = arena_text(arena, text, bytes);
    if (!lower) return err_set(err, ERR_LIMIT, "no memory for the spec");
    if (!bytes || bytes > ENCODE_KEY_BYTES_MAX || text[0] == '.' || strchr(text, '/'))
        return err_set(err, ERR_INVALID,
                       "--%s takes endings without their dot, such as jpg, not "
                       "\"%.40s\"",
                       option, text);
    for (char *c = lower; *c; c++)
        if (*c >= 'A' && *c <= 'Z') *c = (char)(*c - 'A' + 'a');
    *dst = lower;
    return 0;
}

static int choose_endings(struct encode_options *options, struct arena *arena,
                          const Vlmq__Jobs__Encode *spec, struct err *err)
{
    const size_t count = spec->n_image_keys;
    if (count > ENCODE_IMAGE_KEYS_MAX)
        return err_set(err, ERR_INVALID, "--image-keys takes at most %d", ENCODE_IMAGE_KEYS_MAX);
    int rc = ending(&options->caption_key, spec->caption_key[0] ? spec->caption_key : "txt", arena,
                    "caption-key", err);
    for (size_t i = 0; i < count && !rc; i++)
        rc = ending(&options->image_key[i], spec->image_keys[i], arena, "image-keys", err);
    options->image_keys_count = (uint32_t)count;
    for (size_t i = 0; !count && i < sizeof image_keys / sizeof image_keys[0]; i++)
        options->image_key[options->image_keys_count++] = image_keys[i];
    for (uint32_t i = 0; i < options->image_keys_count && !rc; i++)
        if (str_eq(options->image_key[i], options->caption_key) ||
            str_eq(options->image_key[i], "json"))
            rc = err_set(err, ERR_INVALID, "--image-keys has %s, which is no picture's ending",
                         options->image_key[i]);
    return rc;
}

int encode_options_init(struct encode_options *options, struct arena *arena, const uint8_t *spec,
                        size_t bytes, struct err *err)
{
    *options = (struct encode_options){0};
    struct arena_lender lender = {.arena = arena};
    ProtobufCAllocator allocator = {arena_lend, arena_take_back, &lender};
    const Vlmq__Jobs__Encode *message =
        bytes <= SPEC_BYTES_MAX ? vlmq__jobs__encode__unpack(&allocator, bytes, spec) : NULL;
    if (lender.failed) return err_set(err, ERR_LIMIT, "no memory for the spec");
    if (!message) return err_set(err, ERR_INVALID, "the job's spec cannot be read");
    int rc = paths(options, message, err);
    if (!rc) rc = choose_words(options, message, err);
    if (!rc) rc = numbers(options, message, err);
    if (!rc) rc = choose_tokens(options, message, err);
    if (!rc) rc = choose_outputs(options, message, err);
    if (!rc) rc = choose_labels(options, message, err);
    if (!rc) rc = choose_filters(options, message, err);
    if (!rc) rc = choose_endings(options, arena, message, err);
    if (!rc) rc = url_options_init(&options->urls, arena, message, err);
    return rc;
}

bool encode_wants_tokens(const struct encode_options *options)
{
    return options->tokens_kind != ENCODE_TOKENS_NONE;
}

bool encode_wants_cls(const struct encode_options *options)
{
    return options->cls || (options->placeholder && options->placeholder_space ==
                                                        VLMQ__JOBS__ENCODE_SPACE__ENCODE_SPACE_CLS);
}

bool encode_wants_embedding(const struct encode_options *options)
{
    return options->embedding || options->labels || options->near_duplicates > 0 ||
           (options->placeholder &&
            options->placeholder_space == VLMQ__JOBS__ENCODE_SPACE__ENCODE_SPACE_EMBEDDING);
}

static void add_real(struct buf *out, const char *name, float value)
{
    buf_printf(out, ",\"%s\":", name);
    str_json_real(out, (double)value, true);
}

static void add_text(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, ",\"%s\":", name);
    str_json(out, value, strlen(value));
}

/* dtype_name, as an option's word. */
static void add_dtype(struct buf *out, const char *name, enum dtype dtype)
{
    char word[16];
    (void)str_copy(word, sizeof word, dtype_name(dtype));
    for (char *c = word; *c; c++)
        if (*c >= 'A' && *c <= 'Z') *c = (char)(*c - 'A' + 'a');
    add_text(out, name, word);
}

static void add_endings(const struct encode_options *options, struct buf *out)
{
    buf_text(out, ",\"image_keys\":[");
    for (uint32_t i = 0; i < options->image_keys_count; i++) {
        if (i) buf_byte(out, ',');
        str_json(out, options->image_key[i], strlen(options->image_key[i]));
    }
    buf_byte(out, ']');
    add_text(out, "caption_key", options->caption_key);
}

void encode_options_json(const struct encode_options *options, struct buf *out)
{
    buf_printf(out, "{\"shard_rows\":%u", options->shard_rows);
    add_dtype(out, "dtype", options->dtype);
    add_dtype(out, "feature_dtype", options->feature_dtype);
    if (options->tokens_kind == ENCODE_TOKENS_ALL) add_text(out, "tokens", "all");
    if (options->tokens_kind == ENCODE_TOKENS_WINDOWS)
        buf_printf(out, ",\"tokens\":%u", options->tokens);
    if (encode_wants_tokens(options))
        buf_printf(out, ",\"hidden_state\":%d", (int)options->hidden_state);
    buf_printf(out, ",\"cls\":%s,\"embedding\":%s,\"captions\":%s,\"npy\":%s",
               options->cls ? "true" : "false", options->embedding ? "true" : "false",
               options->captions ? "true" : "false", options->npy ? "true" : "false");
    if (options->labels) buf_printf(out, ",\"top_k\":%u", options->top_k);
    if (options->placeholder) {
        const bool embedding =
            options->placeholder_space == VLMQ__JOBS__ENCODE_SPACE__ENCODE_SPACE_EMBEDDING;
        add_text(out, "placeholder_space", embedding ? "embedding" : "cls");
        add_real(out, "placeholder_threshold", options->placeholder_threshold);
    }
    if (options->near_duplicates > 0) add_real(out, "near_duplicates", options->near_duplicates);
    add_text(out, "crop",
             options->crop == VLMQ__JOBS__ENCODE_CROP__ENCODE_CROP_OPENAI ? "openai" : "hf");
    if (options->orient) buf_text(out, ",\"orient\":true");
    if (options->drop_alpha) buf_text(out, ",\"drop_alpha\":true");
    add_endings(options, out);
    buf_printf(out, ",\"body_bytes\":%zu,\"pixels\":%" PRIu64, options->body_bytes,
               options->pixels);
    url_options_json(&options->urls, out);
}
