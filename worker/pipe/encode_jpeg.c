/* encode_jpeg.c - JPEG through libjpeg into a buf.
 *
 * libjpeg reports errors by a function that must not return, so a longjmp brings us back; its
 * memory hangs on cinfo and goes with it. */
#include "common/base/check.h"
#include "worker/pipe/encode.h"

#include <setjmp.h>
#include <string.h>

/* In this order: jpeglib.h needs FILE. */
/* clang-format off */
#include <stdio.h>
#include <jpeglib.h>
/* clang-format on */

#define SIDE_MAX    65500 /* JPEG_MAX_DIMENSION */
#define CHUNK_BYTES ((size_t)16384)

struct job {
    struct jpeg_error_mgr errors;
    struct jpeg_destination_mgr target;
    struct jpeg_compress_struct cinfo;
    jmp_buf home;
    struct buf *out;
    const struct image *image;
    uint32_t quality;
    int rc;
    struct err *err;
};

__attribute__((noreturn)) static void on_error(j_common_ptr cinfo)
{
    struct job *job = cinfo->client_data;
    char text[JMSG_LENGTH_MAX];
    cinfo->err->format_message(cinfo, text);
    job->rc = err_set(job->err, ERR_LIMIT, "encode JPEG: %s", text);
    longjmp(job->home, 1);
}

static void on_message(j_common_ptr cinfo, int level)
{
    (void)cinfo;
    (void)level;
}

static void on_output(j_common_ptr cinfo)
{
    (void)cinfo; /* nothing is printed */
}

static void reserve(struct job *job)
{
    char *place = buf_reserve(job->out, CHUNK_BYTES);
    if (!place) {
        job->rc = err_set(job->err, ERR_LIMIT, "encode JPEG: no room for more than %zu bytes",
                          job->out->len);
        longjmp(job->home, 1);
    }
    job->target.next_output_byte = (JOCTET *)place;
    job->target.free_in_buffer = CHUNK_BYTES;
}

static void on_start(j_compress_ptr cinfo)
{
    reserve(cinfo->client_data);
}

static boolean on_full(j_compress_ptr cinfo)
{
    struct job *job = cinfo->client_data;
    buf_commit(job->out, CHUNK_BYTES); /* all of it, whatever free_in_buffer says */
    reserve(job);
    return TRUE;
}

static void on_end(j_compress_ptr cinfo)
{
    struct job *job = cinfo->client_data;
    buf_commit(job->out, CHUNK_BYTES - job->target.free_in_buffer);
}

static void run(struct job *job)
{
    struct jpeg_compress_struct *cinfo = &job->cinfo;
    cinfo->image_width = job->image->width;
    cinfo->image_height = job->image->height;
    cinfo->input_components = (int)job->image->channels;
    cinfo->in_color_space = job->image->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(cinfo); /* 4:2:0, ISLOW, standard tables */
    jpeg_set_quality(cinfo, (int)job->quality, TRUE);
    jpeg_start_compress(cinfo, TRUE);
    while (cinfo->next_scanline < cinfo->image_height) {
        JSAMPROW row = image_row(job->image, cinfo->next_scanline);
        (void)jpeg_write_scanlines(cinfo, &row, 1);
    }
    jpeg_finish_compress(cinfo);
}

/* The jump's landing place. It has no variables that a jump could spoil: they live in the caller.
 */
static void guard(struct job *job)
{
    if (setjmp(job->home)) return;
    jpeg_create_compress(&job->cinfo); /* keeps err and client_data */
    job->cinfo.dest = &job->target;
    run(job);
}

int encode_jpeg(struct buf *out, const struct image *image, uint32_t quality, struct err *err)
{
    CHECK(image->pixels != NULL);
    if (image->channels != 1 && image->channels != 3)
        return err_set(err, ERR_INVALID, "encode JPEG: %u channels", image->channels);
    if (image->width > SIDE_MAX || image->height > SIDE_MAX)
        return err_set(err, ERR_INVALID, "encode JPEG: %ux%u is above %d", image->width,
                       image->height, SIDE_MAX);
    if (quality < 1 || quality > 100)
        return err_set(err, ERR_INVALID, "encode JPEG: quality %u", quality);
    struct job job = {.out = out, .image = image, .quality = quality, .err = err};
    const size_t before = out->len;
    job.cinfo.err = jpeg_std_error(&job.errors);
    job.errors.error_exit = on_error;
    job.errors.emit_message = on_message;
    job.errors.output_message = on_output;
    job.target.init_destination = on_start;
    job.target.empty_output_buffer = on_full;
    job.target.term_destination = on_end;
    job.cinfo.client_data = &job;
    guard(&job);
    jpeg_destroy_compress(&job.cinfo);
    if (job.rc) {
        out->len = before;
        if (out->data) out->data[before] = 0;
    }
    return job.rc;
}
