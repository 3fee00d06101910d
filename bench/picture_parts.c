/* picture_parts.c - what the parts of making a picture cost, each alone: libjpeg-turbo's decoder,
 * the resizer, the encoder, the hash of the file; and decoding and resizing as the download kind
 * calls them, one after the other, which is what Pillow is measured against.
 *
 * Takes the JPEG files of a folder in turn, in memory. Prints one line of JSON with the CPU
 * microseconds of each part over all files. */
#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/base/conf.h"
#include "common/base/fs.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "worker/pipe/decode.h"
#include "worker/pipe/encode.h"
#include "worker/pipe/fit.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
/* jpeglib.h needs stdio.h before it. */
#include <jpeglib.h>

#define FILE_BYTES_MAX   ((size_t)64 * 1024 * 1024)
#define BLOCK_KEPT_BYTES (16 * 1024 * 1024) /* as vlmq-worker */

struct options {
    const char *folder, *mode;
    int64_t side;
};

struct parts {
    int64_t files, decode_us, resize_us, encode_us, hash_us, whole_us;
};

static int64_t cpu_us(void)
{
    struct timespec now;
    CHECK(!clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now));
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* The decoder alone: into memory that is there, with nothing else looked at. */
static void decode_alone(struct jpeg_decompress_struct *jpeg, const struct buf *file,
                         struct buf *rows)
{
    jpeg_mem_src(jpeg, (const unsigned char *)file->data, (unsigned long)file->len);
    CHECK(jpeg_read_header(jpeg, TRUE) == JPEG_HEADER_OK);
    jpeg->out_color_space = JCS_RGB;
    CHECK(jpeg_start_decompress(jpeg));
    const size_t stride = (size_t)jpeg->output_width * 3;
    buf_clear(rows);
    unsigned char *pixels = (unsigned char *)buf_reserve(rows, stride * jpeg->output_height);
    CHECK(pixels);
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW row = pixels + stride * jpeg->output_scanline;
        CHECK(jpeg_read_scanlines(jpeg, &row, 1) == 1);
    }
    CHECK(jpeg_finish_decompress(jpeg));
}

static enum fit_mode mode_of(const char *name)
{
    for (int mode = 0; mode < FIT_MODES_COUNT; mode++)
        if (!strcmp(name, fit_mode_name((enum fit_mode)mode))) return (enum fit_mode)mode;
    return FIT_MODES_COUNT;
}

static int measure(struct parts *parts, struct jpeg_decompress_struct *jpeg, const struct buf *file,
                   const struct options *o, struct err *err)
{
    const struct decode_options decoding = decode_options_default();
    const struct picture_encoding encoding = {.format = ENCODE_JPEG, .quality = 95};
    struct image image = {0}, result = {0};
    struct decode_info info;
    struct fit_plan plan;
    struct buf rows, encoded;
    uint8_t digest[HASH_SHA256_BYTES];
    buf_init(&rows, 0);
    buf_init(&encoded, 0);
    int64_t from_us = cpu_us();
    decode_alone(jpeg, file, &rows);
    parts->decode_us += cpu_us() - from_us;
    from_us = cpu_us();
    if (decode(&image, &info, (const uint8_t *)file->data, file->len, &decoding) != DECODE_OK)
        return err_set(err, ERR_CORRUPT, "a picture cannot be decoded");
    const int64_t decoded_us = cpu_us();
    int rc = fit_plan(&plan, image.width, image.height, mode_of(o->mode), (uint32_t)o->side, err);
    if (!rc) rc = fit_apply(&result, &image, &plan, err);
    const int64_t resized_us = cpu_us();
    parts->whole_us += resized_us - from_us;
    parts->resize_us += resized_us - decoded_us;
    if (!rc) rc = encode(&encoded, &result, &encoding, err);
    parts->encode_us += cpu_us() - resized_us;
    from_us = cpu_us();
    hash_sha256(digest, file->data, file->len);
    parts->hash_us += cpu_us() - from_us;
    parts->files++;
    image_deinit(&image);
    image_deinit(&result);
    buf_deinit(&rows);
    buf_deinit(&encoded);
    return rc;
}

static int run(const struct options *o, struct err *err)
{
    struct parts parts = {0};
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct buf file;
    int rc = 0;
    DIR *folder = opendir(o->folder);
    if (!folder) return err_errno(err, errno, "open %s", o->folder);
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&jpeg);
    buf_init(&file, 0);
    const struct dirent *entry;
    while (!rc && (entry = readdir(folder)) != NULL) {
        char path[1024];
        if (!strstr(entry->d_name, ".jpg")) continue;
        CHECK(fs_join(path, sizeof path, o->folder, entry->d_name));
        buf_clear(&file);
        rc = fs_read(&file, path, FILE_BYTES_MAX, err);
        if (!rc) rc = measure(&parts, &jpeg, &file, o, err);
    }
    (void)closedir(folder);
    jpeg_destroy_decompress(&jpeg);
    buf_deinit(&file);
    if (!rc && !parts.files) rc = err_set(err, ERR_NOT_FOUND, "no .jpg file in %s", o->folder);
    (void)printf("{\"files\": %" PRId64 ", \"decode_us\": %" PRId64 ", \"resize_us\": %" PRId64
                 ", \"encode_us\": %" PRId64 ", \"hash_us\": %" PRId64 ", \"whole_us\": %" PRId64
                 "}\n",
                 parts.files, parts.decode_us, parts.resize_us, parts.encode_us, parts.hash_us,
                 parts.whole_us);
    return rc;
}

int main(int argc, char **argv)
{
    struct options o = {.mode = "border", .side = 256};
    struct err err = {0};
    (void)mallopt(M_MMAP_THRESHOLD, BLOCK_KEPT_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, BLOCK_KEPT_BYTES);
    const struct conf_option table[] = {
        {"folder", 0, CONF_TEXT, &o.folder, 0, 0, "DIR", "JPEG files."},
        {"mode", 0, CONF_TEXT, &o.mode, 0, 0, "NAME", "As --resize-mode of a download."},
        {"side", 0, CONF_INT, &o.side, 1, FIT_SIDE_MAX, "N", "As --image-size."},
        {0},
    };
    struct conf conf = {.program = "bench_picture_parts", .options = table};
    int rc = conf_parse(&conf, argc, argv, &err);
    if (!rc && !o.folder) rc = err_set(&err, ERR_INVALID, "--folder is missing");
    if (!rc && mode_of(o.mode) == FIT_MODES_COUNT)
        rc = err_set(&err, ERR_INVALID, "no resize mode is called %s", o.mode);
    if (!rc) rc = run(&o, &err);
    if (rc) (void)fprintf(stderr, "bench_picture_parts: %s\n", err.msg);
    return rc ? 1 : 0;
}
