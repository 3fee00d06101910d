/* decode_jpeg.c - JPEG through libjpeg, with its errors turned into a status.
 *
 * libjpeg reports fatal errors by a function that must not return, so a longjmp brings us
 * back to decode_jpeg; everything it allocates hangs on cinfo and goes with it.
 *
 * When the bytes run out, libjpeg's memory source says so in a warning and goes on with an end
 * marker. Whether anything was missing is seen from what follows: a second warning when the entropy
 * decoder wanted more bits, or coefficients of a progressive picture that never came. Without
 * either, only the end marker was missing, and the picture is whole. */
#include "common/base/check.h"
#include "worker/pipe/decode_codec.h"

#include <limits.h>
#include <setjmp.h>
#include <string.h>

/* In this order: jpeglib.h needs FILE, jerror.h needs jpeglib.h. */
/* clang-format off */
#include <stdio.h>
#include <jpeglib.h>
#include <jerror.h>
/* clang-format on */

/* Bytes for each pixel beyond the RGB result: whole-picture coefficients of progressive files,
 * 16 bits for each of up to 4 components. libjpeg's own limit is what counts in the end. */
#define PIXEL_BYTES 3

struct job {
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    struct jpeg_decompress_struct cinfo;
    jmp_buf home;
    struct decode_info *info;
    const struct decode_options *options;
    struct image image;
    uint8_t *row; /* of a CMYK picture; libjpeg's memory */
    bool ended;   /* the bytes ran out */
    bool starved; /* after that, the decoder wanted more */
    enum decode_status status;
};

__attribute__((noreturn)) static void give_up(struct job *job, enum decode_status status)
{
    job->status = status;
    longjmp(job->home, 1);
}

static enum decode_status status_of(const struct job *job)
{
    switch (job->errors.msg_code) {
    case JERR_OUT_OF_MEMORY:
    case JERR_NO_BACKING_STORE:
        return DECODE_NO_MEMORY;
    case JERR_EMPTY_IMAGE:
        return job->ended ? DECODE_TRUNCATED : DECODE_ZERO_SIZE;
    case JERR_IMAGE_TOO_BIG:
        return DECODE_TOO_LARGE_SIDE;
    case JERR_BAD_PRECISION:
    case JERR_SOF_UNSUPPORTED:
    case JERR_ARITH_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_CCIR601_NOTIMPL:
    case JERR_COMPONENT_COUNT:
        return DECODE_UNSUPPORTED_FORMAT;
    default:
        return job->ended ? DECODE_TRUNCATED : DECODE_CORRUPT;
    }
}

static void on_error(j_common_ptr cinfo)
{
    struct job *job = cinfo->client_data;
    char text[JMSG_LENGTH_MAX];
    cinfo->err->format_message(cinfo, text);
    decode_message(job->info, "%s", text);
    give_up(job, status_of(job));
}

static void on_message(j_common_ptr cinfo, int level)
{
    struct job *job = cinfo->client_data;
    if (level >= 0) return; /* traces */
    const int code = cinfo->err->msg_code;
    if (code == JWRN_JPEG_EOF) {
        job->ended = true;
        return;
    }
    if (code == JWRN_HIT_MARKER && job->ended) job->starved = true;
    if (job->info->warnings < UINT32_MAX) job->info->warnings++;
}

static void on_output(j_common_ptr cinfo)
{
    (void)cinfo; /* nothing is printed */
}

static void on_progress(j_common_ptr cinfo)
{
    struct job *job = cinfo->client_data;
    const uint32_t scans = (uint32_t)job->cinfo.input_scan_number;
    if (scans <= job->options->scans_max) return;
    decode_message(job->info, "more than %u scans", job->options->scans_max);
    give_up(job, DECODE_TOO_MANY_SCANS);
}

/* round(a * b / 255) as Pillow computes it. */
static uint32_t scale_255(uint32_t a, uint32_t b)
{
    const uint32_t product = a * b + 128;
    return ((product >> 8) + product) >> 8;
}

/* Samples are stored inverted: 255 is no ink. */
static void cmyk_row(uint8_t *dst, const uint8_t *src, uint32_t width)
{
    for (uint32_t x = 0; x < width; x++, src += 4, dst += 3) {
        const uint32_t light = src[3];
        for (int c = 0; c < 3; c++) dst[c] = (uint8_t)(light - scale_255(255u - src[c], light));
    }
}

static void read_rows(struct job *job)
{
    struct jpeg_decompress_struct *cinfo = &job->cinfo;
    while (cinfo->output_scanline < cinfo->output_height) {
        uint8_t *dst = image_row(&job->image, cinfo->output_scanline);
        JSAMPROW row = job->row ? job->row : dst;
        if (jpeg_read_scanlines(cinfo, &row, 1) != 1) give_up(job, DECODE_CORRUPT);
        if (job->row) cmyk_row(dst, job->row, job->image.width);
    }
}

static bool all_coefficients_came(const struct jpeg_decompress_struct *cinfo)
{
    if (!cinfo->coef_bits) return false; /* sequential in several scans: cannot tell */
    for (int component = 0; component < cinfo->num_components; component++)
        for (int k = 0; k < DCTSIZE2; k++)
            if (cinfo->coef_bits[component][k] != 0) return false;
    return true;
}

static bool is_cut(struct job *job)
{
    if (!job->ended) return false;
    if (job->starved || job->cinfo.arith_code) return true;
    return jpeg_has_multiple_scans(&job->cinfo) && !all_coefficients_came(&job->cinfo);
}

/* Header, limits and colour space; picks what libjpeg shall give. */
static void prepare(struct job *job, const uint8_t *data, size_t bytes)
{
    struct jpeg_decompress_struct *cinfo = &job->cinfo;
    jpeg_mem_src(cinfo, data, bytes);
    (void)jpeg_read_header(cinfo, TRUE);
    enum decode_status status =
        decode_admit(job->info, cinfo->image_width, cinfo->image_height, PIXEL_BYTES, job->options);
    if (status) give_up(job, status);
    const size_t result = (size_t)cinfo->image_width * cinfo->image_height * PIXEL_BYTES;
    const size_t left = job->options->memory_bytes_max - result;
    cinfo->mem->max_memory_to_use = left < LONG_MAX ? (long)left : LONG_MAX;
    if (cinfo->num_components != 1 && cinfo->num_components != 3 && cinfo->num_components != 4) {
        decode_message(job->info, "%d components", cinfo->num_components);
        give_up(job, DECODE_UNSUPPORTED_FORMAT);
    }
    cinfo->out_color_space = cinfo->num_components == 4 ? JCS_CMYK : JCS_RGB;
    cinfo->dct_method = JDCT_ISLOW;
    cinfo->do_fancy_upsampling = TRUE;
    if (job->options->reduction)
        job->info->reduced = job->options->reduction(job->options->reduction_ctx, job->info->width,
                                                     job->info->height);
    cinfo->scale_num = 1;
    cinfo->scale_denom = job->info->reduced;
}

static void run(struct job *job, const uint8_t *data, size_t bytes)
{
    struct jpeg_decompress_struct *cinfo = &job->cinfo;
    prepare(job, data, bytes);
    (void)jpeg_start_decompress(cinfo);
    const uint32_t by = job->info->reduced;
    CHECK(cinfo->output_width == (cinfo->image_width + by - 1) / by);
    CHECK(cinfo->output_height == (cinfo->image_height + by - 1) / by);
    if (!image_init_bare(&job->image, cinfo->output_width, cinfo->output_height, 3))
        give_up(job, DECODE_NO_MEMORY);
    if (cinfo->out_color_space == JCS_CMYK)
        job->row = cinfo->mem->alloc_large((j_common_ptr)cinfo, JPOOL_IMAGE,
                                           (size_t)cinfo->output_width * 4);
    read_rows(job);
    if (!is_cut(job)) return;
    decode_message(job->info, "the data ends too early");
    give_up(job, DECODE_TRUNCATED);
}

/* The jump's landing place. It has no variables that a jump could spoil: they live in the caller.
 */
static void guard(struct job *job, const uint8_t *data, size_t bytes)
{
    if (setjmp(job->home)) return;
    jpeg_create_decompress(&job->cinfo); /* keeps err and client_data */
    job->cinfo.progress = &job->progress;
    run(job, data, bytes);
}

enum decode_status decode_jpeg(struct image *image, struct decode_info *info, const uint8_t *data,
                               size_t bytes, const struct decode_options *options)
{
    struct job job = {.info = info, .options = options};
    job.cinfo.err = jpeg_std_error(&job.errors);
    job.errors.error_exit = on_error;
    job.errors.emit_message = on_message;
    job.errors.output_message = on_output;
    job.progress.progress_monitor = on_progress;
    job.cinfo.client_data = &job;
    guard(&job, data, bytes);
    jpeg_destroy_decompress(&job.cinfo);
    if (job.status)
        image_deinit(&job.image);
    else
        image_move(image, &job.image);
    return job.status;
}
