/* options.c - defaults and ranges of a download's spec, each in one place. */
#include "worker/jobs/download/options.h"

#include "common/base/buf.h"
#include "common/base/str.h"
#include "proto/schema/jobs/download.pb-c.h"
#include "worker/list/list_input.h"
#include "worker/list/list_spec.h"
#include "worker/pipe/fetch_spec.h"

#include <inttypes.h>
#include <string.h>

#define PIXELS_MAX ((int64_t)2000 * 1000 * 1000)
#define SIDE_MAX   16384 /* of the result: far above any model's input */
/* Three times the deadline of a transfer: what is not done by then waits for its host's turn, for a
 * pause that the host asked for, or for a last try. */
#define TAIL_MS     (60 * 1000)
#define TAIL_MS_MAX (24 * 3600 * 1000)

/* Names that a sample's JSON has of its own. */
static const char *const reserved[] = {
    "url",          "caption",   "key",    "status",         "error_message",   "http_status",
    "format",       "width",     "height", "original_width", "original_height", "reduced",
    "content_type", "final_url", "bytes",  "exif",           "sha256",          "md5",
    "sha512",       "phash"};

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

struct range {
    const char *option;
    uint64_t value;
    int64_t fallback, max;
    uint32_t *dst32; /* one of the two */
    int64_t *dst64;
};

static int numbers(struct download_options *options, const Vlmq__Jobs__Download *spec,
                   struct err *err)
{
    int64_t pixels = 0;
    const struct range ranges[] = {
        {"shard-rows", spec->shard_rows, 10000, DOWNLOAD_SHARD_ROWS_MAX, &options->shard_rows, 0},
        {"image-size", spec->image_size, 448, SIDE_MAX, &options->image_size, 0},
        {"tail-timeout-ms", spec->tail_timeout_ms, TAIL_MS, TAIL_MS_MAX, 0, &options->tail_ms},
        {"pixels", spec->pixels, 100 * 1000 * 1000, PIXELS_MAX, 0, &pixels},
        {"decode-threads", spec->decode_threads, 0, DOWNLOAD_THREADS_MAX, &options->decode_threads,
         0},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        const struct range *range = &ranges[i];
        int64_t value;
        const int rc =
            number(&value, range->value, range->fallback, range->max, range->option, err);
        if (rc) return rc;
        if (range->dst32) *range->dst32 = (uint32_t)value;
        if (range->dst64) *range->dst64 = value;
    }
    options->pixels_max = (uint64_t)pixels;
    return 0;
}

static int choose_mode(struct download_options *options, const Vlmq__Jobs__Download *spec,
                       struct err *err)
{
    if ((int)spec->resize_mode < 0 || (int)spec->resize_mode >= FIT_MODES_COUNT)
        return err_set(err, ERR_INVALID, "--resize-mode has no mode number %d",
                       (int)spec->resize_mode);
    options->resize_mode = (enum fit_mode)spec->resize_mode;
    return 0;
}

static int choose_format(struct download_options *options, const Vlmq__Jobs__Download *spec,
                         struct err *err)
{
    if ((int)spec->input_format < 0 || (int)spec->input_format >= (int)LIST_FORMATS_COUNT)
        return err_set(err, ERR_INVALID, "--input-format has no format number %d",
                       (int)spec->input_format);
    options->format = (enum list_format)spec->input_format;
    if (options->format == LIST_AUTO) options->format = list_format_of_name(options->input);
    return 0;
}

static int columns(struct download_options *options, const Vlmq__Jobs__Download *spec,
                   struct err *err)
{
    const struct list_spec list = {.url_column = spec->url_column,
                                   .caption_column = spec->caption_column,
                                   .hash_column = spec->verify_hash_column,
                                   .boxes_column = spec->bbox_column,
                                   .extra = spec->extra_columns,
                                   .extra_count = spec->n_extra_columns,
                                   .reserved = reserved,
                                   .reserved_count = sizeof reserved / sizeof reserved[0]};
    return list_spec_columns(&options->columns, &list, err);
}

static int paths(struct download_options *options, const Vlmq__Jobs__Download *spec,
                 struct err *err)
{
    options->input = spec->input;
    options->output = spec->output;
    if (!spec->input[0]) return err_set(err, ERR_INVALID, "the job has no input: name a list file");
    if (!spec->output[0])
        return err_set(err, ERR_INVALID, "--output is missing: name a folder for the shards");
    if (str_has_prefix(spec->input, "file://")) {
        options->input += strlen("file://");
        if (options->input[0] != '/')
            return err_set(err, ERR_INVALID, "%.120s names a host: only file:///path is read",
                           spec->input);
    } else if (strstr(spec->input, "://")) {
        return err_set(err, ERR_INVALID,
                       "cannot read %.120s: the list must be a path or a file:// URL", spec->input);
    }
    return 0;
}

/* The unpacked spec is in the arena, so its texts may be kept. */
static int fill(struct download_options *options, struct arena *arena,
                const Vlmq__Jobs__Download *spec, struct err *err)
{
    const struct fetch_spec fetch = FETCH_SPEC(spec);
    options->opt_out_chosen = fetch.opt_out_count || fetch.ignore_opt_out;
    int rc = paths(options, spec, err);
    if (!rc) rc = choose_format(options, spec, err);
    if (!rc) rc = columns(options, spec, err);
    if (!rc) rc = numbers(options, spec, err);
    if (!rc) rc = choose_mode(options, spec, err);
    if (!rc) rc = picture_options_init(&options->picture, spec, err);
    if (!rc) rc = download_options_sample(options, spec, err);
    return rc ? rc : fetch_options_init(&options->fetch, arena, &fetch, err);
}

int download_options_init(struct download_options *options, struct arena *arena,
                          const uint8_t *spec, size_t bytes, struct err *err)
{
    *options = (struct download_options){0};
    struct arena_lender lender = {.arena = arena};
    ProtobufCAllocator allocator = {arena_lend, arena_take_back, &lender};
    const Vlmq__Jobs__Download *message = vlmq__jobs__download__unpack(&allocator, bytes, spec);
    if (lender.failed) return err_set(err, ERR_LIMIT, "no memory for the spec");
    if (!message) return err_set(err, ERR_INVALID, "the job's spec cannot be read");
    return fill(options, arena, message, err);
}

static void add_text(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, ",\"%s\":", name);
    str_json(out, value, strlen(value));
}

void download_options_json(const struct download_options *options, struct buf *out)
{
    buf_printf(out, "{\"input_format\":\"%s\"", list_format_name(options->format));
    add_text(out, "url_column", options->columns.wanted[LIST_URL_COLUMN]);
    if (options->columns.wanted[LIST_CAPTION])
        add_text(out, "caption_column", options->columns.wanted[LIST_CAPTION]);
    buf_text(out, ",\"extra_columns\":[");
    for (uint32_t i = LIST_FIRST_EXTRA; i < options->columns.wanted_count; i++) {
        if (i > LIST_FIRST_EXTRA) buf_byte(out, ',');
        str_json(out, options->columns.wanted[i], strlen(options->columns.wanted[i]));
    }
    buf_printf(out, "],\"shard_rows\":%u,\"image_size\":%u,\"resize_mode\":\"%s\"",
               options->shard_rows, options->image_size, fit_mode_name(options->resize_mode));
    picture_options_json(&options->picture, out);
    download_options_sample_json(options, out);
    if (options->opt_out_chosen)
        add_text(out, "opt_out", options->fetch.opt_out ? options->fetch.opt_out : "");
    if (options->fetch.robots) buf_text(out, ",\"robots\":true");
    buf_byte(out, '}');
}

struct list_columns download_columns(const struct download_options *options)
{
    struct list_columns columns = options->columns;
    columns.format = options->format;
    return columns;
}
