/* options_sample.c - the options that say how pictures are read and what is written about them.
 *
 * Those that are as they have always been stay out of the JSON of the claim, so that an output of
 * an earlier release can be gone on with. */
#include "common/base/str.h"
#include "worker/jobs/download/options.h"

#include <string.h>

static int choose_background(struct download_options *options, const char *text, struct err *err)
{
    uint8_t *colour = options->background;
    options->alpha = DECODE_ALPHA_BLEND;
    if (!strcmp(text, "drop")) options->alpha = DECODE_ALPHA_DROP;
    if (!text[0] || !strcmp(text, "white") || !strcmp(text, "drop"))
        memset(colour, 255, sizeof options->background);
    else if (!strcmp(text, "black"))
        memset(colour, 0, sizeof options->background);
    else if (text[0] != '#' || !str_unhex(colour, sizeof options->background, text + 1))
        return err_set(err, ERR_INVALID,
                       "--background must be white, black, a colour as #rrggbb, or drop, not "
                       "\"%.40s\"",
                       text);
    return 0;
}

static int choose_hash(struct download_options *options, const Vlmq__Jobs__Download *spec,
                       struct err *err)
{
    _Static_assert((int)HASH_MD5 == (int)VLMQ__JOBS__DOWNLOAD_HASH__DOWNLOAD_HASH_MD5 &&
                       (int)HASH_SHA512 == (int)VLMQ__JOBS__DOWNLOAD_HASH__DOWNLOAD_HASH_SHA512,
                   "spec and hash.h agree");
    const int kind = (int)spec->compute_hash;
    options->no_hash = kind == (int)VLMQ__JOBS__DOWNLOAD_HASH__DOWNLOAD_HASH_NONE;
    if (options->no_hash && spec->verify_hash_column[0])
        return err_set(err, ERR_INVALID,
                       "--verify-hash-column needs a hash: --compute-hash names which it is");
    if (options->no_hash && spec->blocked_hashes[0])
        return err_set(err, ERR_INVALID,
                       "--blocked-hashes needs a hash: --compute-hash names which it is");
    if (options->no_hash) return 0;
    if (kind < 0 || kind >= (int)HASH_KINDS_COUNT)
        return err_set(err, ERR_INVALID, "--compute-hash has no kind number %d", kind);
    options->hash = (enum hash_kind)kind;
    return 0;
}

int download_options_sample(struct download_options *options, const Vlmq__Jobs__Download *spec,
                            struct err *err)
{
    options->ignore_orientation = spec->ignore_orientation;
    options->no_exif = spec->no_exif;
    options->phash = spec->phash;
    options->blocked_hashes = spec->blocked_hashes[0] ? spec->blocked_hashes : NULL;
    options->files = spec->output_format == VLMQ__JOBS__DOWNLOAD_OUTPUT__DOWNLOAD_OUTPUT_FILES;
    if (!options->files && (int)spec->output_format != 0)
        return err_set(err, ERR_INVALID, "--output-format has no format number %d",
                       (int)spec->output_format);
    const int rc = choose_background(options, spec->background, err);
    return rc ? rc : choose_hash(options, spec, err);
}

static bool is_white(const uint8_t colour[3])
{
    return colour[0] == 255 && colour[1] == 255 && colour[2] == 255;
}

static void add_column(struct buf *out, const char *option, const char *name)
{
    if (!name) return;
    buf_printf(out, ",\"%s\":", option);
    str_json(out, name, strlen(name));
}

void download_options_sample_json(const struct download_options *options, struct buf *out)
{
    const uint8_t *colour = options->background;
    if (options->alpha == DECODE_ALPHA_DROP)
        buf_text(out, ",\"background\":\"drop\"");
    else if (!is_white(colour))
        buf_printf(out, ",\"background\":\"#%02x%02x%02x\"", colour[0], colour[1], colour[2]);
    if (options->ignore_orientation) buf_text(out, ",\"ignore_orientation\":true");
    if (options->no_exif) buf_text(out, ",\"exif\":false");
    if (options->no_hash || options->hash != HASH_SHA256)
        buf_printf(out, ",\"compute_hash\":\"%s\"",
                   options->no_hash ? "none" : hash_kind_name(options->hash));
    if (options->phash) buf_text(out, ",\"phash\":true");
    if (options->blocked_sha256[0])
        buf_printf(out, ",\"blocked_hashes\":\"%s\"", options->blocked_sha256);
    if (options->files) buf_text(out, ",\"output_format\":\"files\"");
    add_column(out, "verify_hash_column", options->columns.wanted[LIST_HASH]);
    add_column(out, "bbox_column", options->columns.wanted[LIST_BOXES]);
}
