/* options_picture.c - defaults and ranges of the options about pictures, and which of them exclude
 * each other. */
#include "worker/jobs/download/options_picture.h"

#include <inttypes.h>
#include <math.h>

/* What quality means in each format; WebP without loss stands after the formats. */
#define LOSSLESS ENCODE_FORMATS_COUNT
static const struct {
    uint32_t fallback, max;
    const char *meaning;
} qualities[ENCODE_FORMATS_COUNT + 1] = {
    [ENCODE_JPEG] = {95, 100, "for jpg"},
    [ENCODE_WEBP] = {95, 100, "for webp (--lossless keeps every pixel)"},
    [ENCODE_PNG] = {6, 9, "for png, where it is the compression"},
    [LOSSLESS] = {70, 100, "with --lossless, where it is the effort"}, /* libwebp's level 6 */
};

static const char *yes_no(bool value)
{
    return value ? "true" : "false";
}

static int choose_filter(struct picture_options *options, const Vlmq__Jobs__Download *spec,
                         struct err *err)
{
    static const enum resize_filter filters[] = {
        [VLMQ__JOBS__DOWNLOAD_FILTER__DOWNLOAD_FILTER_BICUBIC] = RESIZE_BICUBIC,
        [VLMQ__JOBS__DOWNLOAD_FILTER__DOWNLOAD_FILTER_LANCZOS] = RESIZE_LANCZOS,
        [VLMQ__JOBS__DOWNLOAD_FILTER__DOWNLOAD_FILTER_BILINEAR] = RESIZE_BILINEAR,
        [VLMQ__JOBS__DOWNLOAD_FILTER__DOWNLOAD_FILTER_BOX] = RESIZE_BOX,
        [VLMQ__JOBS__DOWNLOAD_FILTER__DOWNLOAD_FILTER_NEAREST] = RESIZE_NEAREST,
        [VLMQ__JOBS__DOWNLOAD_FILTER__DOWNLOAD_FILTER_AREA] = RESIZE_BOX,
    };
    const int filter = (int)spec->filter;
    if (filter < 0 || (size_t)filter >= sizeof filters / sizeof filters[0])
        return err_set(err, ERR_INVALID, "--filter has no filter number %d", filter);
    options->filter = filters[filter];
    return 0;
}

static int choose_encode(struct picture_encoding *encode, const Vlmq__Jobs__Download *spec,
                         struct err *err)
{
    const int format = (int)spec->encode_format;
    if (format < 0 || format >= ENCODE_FORMATS_COUNT)
        return err_set(err, ERR_INVALID, "--encode-format has no format number %d", format);
    if (spec->lossless && format != ENCODE_WEBP)
        return err_set(err, ERR_INVALID,
                       "--lossless is for --encode-format webp: png keeps every pixel without it, "
                       "and jpg cannot");
    const int row = spec->lossless ? (int)LOSSLESS : format;
    if (spec->quality > qualities[row].max)
        return err_set(err, ERR_INVALID, "--quality must be 1 to %u %s, not %u", qualities[row].max,
                       qualities[row].meaning, spec->quality);
    encode->format = (enum encode_format)format;
    encode->lossless = spec->lossless;
    encode->quality = spec->quality ? spec->quality : qualities[row].fallback;
    return 0;
}

/* What is stored as it came is neither looked into nor changed. */
static int check_raw(const Vlmq__Jobs__Download *spec, struct err *err)
{
    const struct {
        bool given;
        const char *option;
    } others[] = {
        {spec->image_size != 0, "image-size"},
        {spec->resize_mode != 0, "resize-mode"},
        {spec->filter != 0, "filter"},
        {spec->resize_only_if_bigger, "resize-only-if-bigger"},
        {spec->fast, "fast"},
        {spec->encode_format != 0, "encode-format"},
        {spec->quality != 0, "quality"},
        {spec->lossless, "lossless"},
        {spec->skip_reencode, "skip-reencode"},
        {spec->min_image_size != 0, "min-image-size"},
        {spec->max_image_area != 0, "max-image-area"},
        {spec->max_aspect_ratio != 0, "max-aspect-ratio"},
        {spec->background[0] != 0, "background"},
        {spec->ignore_orientation, "ignore-orientation"},
        {spec->phash, "phash"},
        {spec->bbox_column[0] != 0, "bbox-column"},
    };
    if (!spec->no_reencode) return 0;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (others[i].given)
            return err_set(err, ERR_INVALID,
                           "--no-reencode stores pictures as they came, without looking into them: "
                           "leave out --%s",
                           others[i].option);
    return 0;
}

int picture_options_init(struct picture_options *options, const Vlmq__Jobs__Download *spec,
                         struct err *err)
{
    *options = (struct picture_options){
        .only_if_bigger = spec->resize_only_if_bigger,
        .fast = spec->fast,
        .skip_reencode = spec->skip_reencode,
        .no_reencode = spec->no_reencode,
        .side_min = spec->min_image_size,
        .area_max = spec->max_image_area,
        .aspect_max = spec->max_aspect_ratio,
    };
    int rc = check_raw(spec, err);
    if (!rc) rc = choose_filter(options, spec, err);
    if (!rc) rc = choose_encode(&options->encode, spec, err);
    if (rc) return rc;
    if (spec->max_image_area > INT64_MAX) /* more than readers of JSON take */
        return err_set(err, ERR_INVALID, "--max-image-area must be at most %" PRId64, INT64_MAX);
    const double aspect = spec->max_aspect_ratio;
    if (aspect != 0 && !(isfinite(aspect) && aspect >= 1))
        return err_set(err, ERR_INVALID, "--max-aspect-ratio must be at least 1, not %g", aspect);
    return 0;
}

void picture_options_json(const struct picture_options *options, struct buf *out)
{
    const struct picture_encoding *encode = &options->encode;
    buf_printf(out, ",\"filter\":\"%s\",\"resize_only_if_bigger\":%s,\"fast\":%s",
               resize_filter_name(options->filter), yes_no(options->only_if_bigger),
               yes_no(options->fast));
    buf_printf(out, ",\"encode_format\":\"%s\",\"quality\":%u,\"lossless\":%s",
               encode_extension(encode->format), encode->quality, yes_no(encode->lossless));
    buf_printf(out, ",\"skip_reencode\":%s,\"no_reencode\":%s", yes_no(options->skip_reencode),
               yes_no(options->no_reencode));
    buf_printf(out,
               ",\"min_image_size\":%u,\"max_image_area\":%" PRIu64 ",\"max_aspect_ratio\":%.17g",
               options->side_min, options->area_max, options->aspect_max);
}
