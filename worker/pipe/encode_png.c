/* encode_png.c - PNG through libpng into a buf.
 *
 * libpng reports errors by a function that must not return, so a longjmp brings us back; its
 * memory comes from mem_try and goes with png_destroy_write_struct. */
#include "common/base/check.h"
#include "common/base/mem.h"
#include "worker/pipe/encode.h"

#include <png.h>
#include <setjmp.h>
#include <string.h>

#define SIDE_MAX  65500 /* as of a JPEG; libpng itself would go further */
#define LEVEL_MAX 9

struct job {
    png_structp png;
    png_infop info;
    struct buf *out;
    const struct image *image;
    uint32_t level;
    int rc;
    struct err *err;
};

static void on_error(png_structp png, png_const_charp message)
{
    struct job *job = png_get_error_ptr(png);
    if (!job->rc) job->rc = err_set(job->err, ERR_LIMIT, "encode PNG: %s", message);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png, (void)message; /* nothing is printed */
}

static png_voidp on_alloc(png_structp png, png_alloc_size_t bytes)
{
    (void)png;
    return mem_try(bytes);
}

static void on_free(png_structp png, png_voidp block)
{
    (void)png;
    mem_free(block);
}

static void on_write(png_structp png, png_bytep data, size_t bytes)
{
    struct job *job = png_get_io_ptr(png);
    char *place = buf_reserve(job->out, bytes);
    if (!place) {
        job->rc = err_set(job->err, ERR_LIMIT, "encode PNG: no room for more than %zu bytes",
                          job->out->len);
        png_error(png, "full");
    }
    memcpy(place, data, bytes);
    buf_commit(job->out, bytes);
}

static void on_flush(png_structp png)
{
    (void)png; /* a buf needs none */
}

static void run(struct job *job)
{
    png_structp png = job->png;
    const struct image *image = job->image;
    png_set_write_fn(png, job, on_write, on_flush);
    png_set_compression_level(png, (int)job->level);
    png_set_IHDR(png, job->info, image->width, image->height, 8,
                 image->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, job->info);
    for (uint32_t y = 0; y < image->height; y++) png_write_row(png, image_row(image, y));
    png_write_end(png, NULL);
}

/* The jump's landing place. It has no variables that a jump could spoil: they live in the caller.
 */
static void guard(struct job *job)
{
    if (setjmp(png_jmpbuf(job->png))) return;
    job->info = png_create_info_struct(job->png);
    if (job->info)
        run(job);
    else
        job->rc = err_set(job->err, ERR_LIMIT, "encode PNG: out of memory");
}

static int check(const struct image *image, uint32_t level, struct err *err)
{
    CHECK(image->pixels != NULL);
    if (image->channels != 1 && image->channels != 3)
        return err_set(err, ERR_INVALID, "encode PNG: %u channels", image->channels);
    if (image->width > SIDE_MAX || image->height > SIDE_MAX)
        return err_set(err, ERR_INVALID, "encode PNG: %ux%u is above %d", image->width,
                       image->height, SIDE_MAX);
    if (level < 1 || level > LEVEL_MAX)
        return err_set(err, ERR_INVALID, "encode PNG: level %u", level);
    return 0;
}

int encode_png(struct buf *out, const struct image *image, uint32_t level, struct err *err)
{
    struct job job = {.out = out, .image = image, .level = level, .err = err};
    const size_t before = out->len;
    const int rc = check(image, level, err);
    if (rc) return rc;
    job.png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, &job, on_error, on_warning, &job,
                                        on_alloc, on_free);
    if (!job.png) return err_set(err, ERR_LIMIT, "encode PNG: out of memory");
    guard(&job);
    png_destroy_write_struct(&job.png, &job.info);
    if (job.rc) {
        out->len = before;
        if (out->data) out->data[before] = 0;
    }
    return job.rc;
}
