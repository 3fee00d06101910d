/* decode_png.c - PNG through libpng.
 *
 * libpng is asked for 8-bit RGB or RGBA whatever the file holds, straight into the picture, which
 * also serves interlaced files. Ancillary chunks other than tRNS are skipped unread, so that no
 * compressed text or profile can swell. The header is read here first: it has a fixed place, and
 * libpng would give a zero or a giant size no name of its own. */
#include "common/base/check.h"
#include "common/base/mem.h"
#include "worker/pipe/decode_codec.h"

#include <png.h>
#include <setjmp.h>
#include <string.h>

#define SIGNATURE_BYTES 8
#define HEADER_BYTES    24 /* signature, IHDR's length and name, width, height */
#define PIXEL_BYTES     4

struct job {
    png_structp png;
    png_infop png_info;
    struct decode_info *info;
    const uint8_t *data;
    size_t bytes, at;
    struct image image;
    enum decode_status status;
};

static void on_error(png_structp png, png_const_charp message)
{
    struct job *job = png_get_error_ptr(png);
    if (!job->status) {
        job->status = DECODE_CORRUPT;
        decode_message(job->info, "%s", message);
    }
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    struct job *job = png_get_error_ptr(png);
    (void)message;
    if (job->info->warnings < UINT32_MAX) job->info->warnings++;
}

static png_voidp on_alloc(png_structp png, png_alloc_size_t bytes)
{
    void *block = mem_try(bytes);
    if (!block) {
        struct job *job = png_get_mem_ptr(png);
        job->status = DECODE_NO_MEMORY;
    }
    return block;
}

static void on_free(png_structp png, png_voidp block)
{
    (void)png;
    mem_free(block);
}

static void on_read(png_structp png, png_bytep dst, size_t bytes)
{
    struct job *job = png_get_io_ptr(png);
    if (bytes > job->bytes - job->at) {
        job->status = DECODE_TRUNCATED;
        decode_message(job->info, "the data ends too early");
        png_error(png, "truncated");
    }
    memcpy(dst, job->data + job->at, bytes);
    job->at += bytes;
}

static void ask_for_rgb(struct job *job)
{
    png_structp png = job->png;
    const bool is_gray = !(png_get_color_type(png, job->png_info) & PNG_COLOR_MASK_COLOR);
    png_set_expand(png); /* palette, fewer than 8 bits, tRNS */
    png_set_strip_16(png);
    if (is_gray) png_set_gray_to_rgb(png);
}

static void run(struct job *job)
{
    png_structp png = job->png;
    png_set_read_fn(png, job, on_read);
    png_set_user_limits(png, job->info->width, job->info->height);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(png, job->png_info);
    ask_for_rgb(job);
    const int passes = png_set_interlace_handling(png);
    png_read_update_info(png, job->png_info);
    const uint32_t channels = png_get_channels(png, job->png_info);
    CHECK(channels == 3 || channels == 4);
    CHECK(png_get_bit_depth(png, job->png_info) == 8);
    CHECK(png_get_image_width(png, job->png_info) == job->info->width);
    CHECK(png_get_image_height(png, job->png_info) == job->info->height);
    job->info->has_alpha = channels == 4;
    if (!image_init(&job->image, job->info->width, job->info->height, channels)) {
        job->status = DECODE_NO_MEMORY;
        png_error(png, "out of memory");
    }
    for (int pass = 0; pass < passes; pass++)
        for (uint32_t y = 0; y < job->image.height; y++)
            png_read_row(png, image_row(&job->image, y), NULL);
}

/* The jump's landing place. It has no variables that a jump could spoil: they live in the caller.
 */
static void guard(struct job *job)
{
    if (setjmp(png_jmpbuf(job->png))) {
        if (!job->status) job->status = DECODE_CORRUPT;
        return;
    }
    job->png_info = png_create_info_struct(job->png);
    if (!job->png_info) {
        job->status = DECODE_NO_MEMORY;
        return;
    }
    run(job);
}

static uint32_t big_endian(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static enum decode_status read_header(struct job *job, const struct decode_options *options)
{
    const uint8_t *first = job->data + SIGNATURE_BYTES;
    if (job->bytes < HEADER_BYTES) {
        decode_message(job->info, "the header ends too early");
        return DECODE_TRUNCATED;
    }
    if (memcmp(first + 4, "CgBI", 4) == 0) {
        decode_message(job->info, "Apple's variant of PNG");
        return DECODE_UNSUPPORTED_FORMAT;
    }
    if (memcmp(first + 4, "IHDR", 4) != 0) {
        decode_message(job->info, "no IHDR");
        return DECODE_CORRUPT;
    }
    return decode_admit(job->info, big_endian(first + 8), big_endian(first + 12), PIXEL_BYTES,
                        options);
}

enum decode_status decode_png(struct image *image, struct decode_info *info, const uint8_t *data,
                              size_t bytes, const struct decode_options *options)
{
    struct job job = {.info = info, .data = data, .bytes = bytes};
    enum decode_status status = read_header(&job, options);
    if (status) return status;
    job.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &job, on_error, on_warning, &job,
                                       on_alloc, on_free);
    if (!job.png) return DECODE_NO_MEMORY;
    guard(&job);
    png_destroy_read_struct(&job.png, &job.png_info, NULL);
    if (job.status)
        image_deinit(&job.image);
    else
        image_move(image, &job.image);
    return job.status;
}
