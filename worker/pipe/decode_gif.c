/* decode_gif.c - the first frame of a GIF, through giflib.
 *
 * As in Pillow, the canvas is the logical screen, grown where the frame sticks out of it. What the
 * frame leaves uncovered is transparent if it has a transparent colour, else of the first colour;
 * the background colour is ignored, as everywhere. Indices above the palette are black, a frame
 * without any palette is gray.
 *
 * The records are read one by one: nothing behind the first frame is looked at, and giflib
 * allocates nothing that the file's sizes could swell. */
#include "common/base/mem.h"
#include "worker/pipe/decode_codec.h"

#include <gif_lib.h>
#include <string.h>

/* The canvas; a frame's line is added by the caller. */
#define PIXEL_BYTES 4
#define PASSES      4

struct job {
    GifFileType *gif;
    struct decode_info *info;
    const uint8_t *data;
    size_t bytes, at;
    bool ended; /* the data did, before giflib had enough */
    int transparent;
    uint8_t colour[256][3];
    struct image image;
    uint8_t *line; /* of the frame */
};

static int on_read(GifFileType *gif, GifByteType *dst, int bytes)
{
    struct job *job = gif->UserData;
    size_t count = bytes > 0 ? (size_t)bytes : 0;
    if (count > job->bytes - job->at) {
        count = job->bytes - job->at;
        job->ended = true;
    }
    if (count) memcpy(dst, job->data + job->at, count);
    job->at += count;
    return (int)count;
}

static enum decode_status failed(struct job *job, int error)
{
    const char *text = GifErrorString(error);
    if (error == D_GIF_ERR_NOT_ENOUGH_MEM) return DECODE_NO_MEMORY;
    decode_message(job->info, "%s", text ? text : "GIF data");
    return job->ended ? DECODE_TRUNCATED : DECODE_CORRUPT;
}

/* Only the block that names the transparent colour is of interest. */
static enum decode_status read_extension(struct job *job)
{
    int function;
    GifByteType *block;
    GraphicsControlBlock control;
    if (DGifGetExtension(job->gif, &function, &block) == GIF_ERROR)
        return failed(job, job->gif->Error);
    if (function == GRAPHICS_EXT_FUNC_CODE && block &&
        DGifExtensionToGCB(block[0], block + 1, &control) == GIF_OK)
        job->transparent = control.TransparentColor;
    while (block)
        if (DGifGetExtensionNext(job->gif, &block) == GIF_ERROR)
            return failed(job, job->gif->Error);
    return DECODE_OK;
}

/* Stands behind the first frame's header when it returns DECODE_OK. */
static enum decode_status find_frame(struct job *job)
{
    for (;;) {
        GifRecordType type;
        enum decode_status status = DECODE_OK;
        if (DGifGetRecordType(job->gif, &type) == GIF_ERROR) return failed(job, job->gif->Error);
        if (type == TERMINATE_RECORD_TYPE) {
            decode_message(job->info, "a GIF without a frame");
            return DECODE_CORRUPT;
        }
        if (type == IMAGE_DESC_RECORD_TYPE) {
            if (DGifGetImageDesc(job->gif) == GIF_ERROR) return failed(job, job->gif->Error);
            return DECODE_OK;
        }
        if (type == EXTENSION_RECORD_TYPE) status = read_extension(job);
        if (status) return status;
    }
}

static void set_colours(struct job *job)
{
    const ColorMapObject *map = job->gif->Image.ColorMap;
    if (!map) map = job->gif->SColorMap;
    for (int i = 0; i < 256; i++) {
        uint8_t *colour = job->colour[i];
        const GifColorType *entry = map && i < map->ColorCount ? &map->Colors[i] : NULL;
        const uint8_t gray = map ? 0 : (uint8_t)i;
        colour[0] = entry ? entry->Red : gray;
        colour[1] = entry ? entry->Green : gray;
        colour[2] = entry ? entry->Blue : gray;
    }
}

static void put_pixel(const struct job *job, uint8_t *dst, uint8_t index)
{
    memcpy(dst, job->colour[index], 3);
    if (job->info->has_alpha) dst[3] = index == job->transparent ? 0 : 255;
}

/* What no frame covers. */
static void clear(struct job *job)
{
    const uint8_t index = job->info->has_alpha ? (uint8_t)job->transparent : 0;
    for (uint32_t y = 0; y < job->image.height; y++) {
        uint8_t *row = image_row(&job->image, y);
        for (uint32_t x = 0; x < job->image.width; x++)
            put_pixel(job, row + (size_t)x * job->image.channels, index);
    }
}

static enum decode_status read_line(struct job *job, uint32_t y)
{
    const GifImageDesc *frame = &job->gif->Image;
    if (DGifGetLine(job->gif, job->line, frame->Width) == GIF_ERROR)
        return failed(job, job->gif->Error);
    uint8_t *dst = image_row(&job->image, (uint32_t)frame->Top + y) +
                   (size_t)frame->Left * job->image.channels;
    for (int x = 0; x < frame->Width; x++, dst += job->image.channels)
        put_pixel(job, dst, job->line[x]);
    return DECODE_OK;
}

static enum decode_status read_lines(struct job *job)
{
    static const uint32_t first[PASSES] = {0, 4, 2, 1}, step[PASSES] = {8, 8, 4, 2};
    const uint32_t height = (uint32_t)job->gif->Image.Height;
    enum decode_status status = DECODE_OK;
    if (!job->gif->Image.Interlace) {
        for (uint32_t y = 0; y < height && !status; y++) status = read_line(job, y);
        return status;
    }
    for (int pass = 0; pass < PASSES; pass++)
        for (uint32_t y = first[pass]; y < height && !status; y += step[pass])
            status = read_line(job, y);
    return status;
}

static uint32_t larger(int screen, int start, int size)
{
    const int end = start + size; /* each has 16 bits */
    return (uint32_t)(end > screen ? end : screen);
}

static enum decode_status run(struct job *job, const struct decode_options *options)
{
    enum decode_status status = find_frame(job);
    if (status) return status;
    const GifFileType *gif = job->gif;
    const GifImageDesc *frame = &gif->Image;
    if (frame->Width <= 0 || frame->Height <= 0) {
        decode_message(job->info, "a frame of %d x %d pixels", frame->Width, frame->Height);
        return DECODE_ZERO_SIZE;
    }
    status = decode_admit(job->info, larger(gif->SWidth, frame->Left, frame->Width),
                          larger(gif->SHeight, frame->Top, frame->Height), PIXEL_BYTES, options);
    if (status) return status;
    job->info->has_alpha = job->transparent != NO_TRANSPARENT_COLOR;
    job->line = mem_try((size_t)frame->Width);
    if (!job->line ||
        !image_init(&job->image, job->info->width, job->info->height, job->info->has_alpha ? 4 : 3))
        return DECODE_NO_MEMORY;
    set_colours(job);
    clear(job);
    return read_lines(job);
}

enum decode_status decode_gif(struct image *image, struct decode_info *info, const uint8_t *data,
                              size_t bytes, const struct decode_options *options)
{
    struct job job = {
        .info = info, .data = data, .bytes = bytes, .transparent = NO_TRANSPARENT_COLOR};
    int error = 0;
    job.gif = DGifOpen(&job, on_read, &error);
    if (!job.gif) return failed(&job, error);
    const enum decode_status status = run(&job, options);
    (void)DGifCloseFile(job.gif, &error);
    mem_free(job.line);
    if (status)
        image_deinit(&job.image);
    else
        image_move(image, &job.image);
    return status;
}
