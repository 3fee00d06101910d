/* decode.h - the bytes of a picture file become an upright 8-bit RGB image, or a reason why not.
 *
 * The format is told by magic bytes, never by name or Content-Type. Sizes are checked from the
 * header before anything sized by them is allocated. Nothing here exits, keeps global state, or
 * trusts the bytes; any number of threads at a time.
 *
 * Pixels follow Pillow, so that features made elsewhere can be compared:
 *   JPEG  accurate integer DCT, triangle chroma filter; gray is replicated; CMYK and YCCK are
 *         taken as inverted (Adobe's way, with or without its marker) and multiplied out naively.
 *         Data that ends early is `truncated`; a missing end marker alone is not. Damage inside
 *         the data that libjpeg can pass over is counted in info.warnings, not refused.
 *   PNG   every depth and colour type; 16 bits lose their low byte; gamma and ICC are ignored.
 *   WebP  lossy and lossless; animated ones are refused.
 *   GIF   the first frame on the logical screen; see decode_gif.c for what it leaves uncovered.
 *   AVIF  8, 10 and 12 bits, the first picture of a sequence. Unlike the others, pixels follow the
 *         libavif of the build: lossy colours may differ by a few levels between its versions.
 *   Alpha is blended on a background, white by default (DECODE_ALPHA_BLEND), or dropped, which
 *   shows hidden colours, as CLIP's own preprocessing does (DECODE_ALPHA_DROP).
 * The EXIF orientation (in AVIF: its own rotation) is applied unless ignore_orientation is set. */
#ifndef PIPE_DECODE_H
#define PIPE_DECODE_H

#include "worker/pipe/image.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a row's picture ended; the names are written into rows.jsonl and never change. */
enum decode_status {
    DECODE_OK = 0,
    DECODE_UNKNOWN_FORMAT,     /* no picture that we know of: an HTML page, rubbish, nothing */
    DECODE_UNSUPPORTED_FORMAT, /* recognised, but not decoded here */
    DECODE_TRUNCATED,          /* the bytes end too early */
    DECODE_CORRUPT,            /* the decoder refused them */
    DECODE_TOO_MANY_PIXELS,
    DECODE_TOO_LARGE_SIDE,
    DECODE_ZERO_SIZE,
    DECODE_TOO_MANY_SCANS, /* a progressive JPEG made to burn time */
    DECODE_NO_MEMORY,      /* out of memory, or above memory_bytes_max */
    DECODE_TOO_SMALL,      /* a side is below side_min */
    DECODE_TOO_LARGE_AREA,
    DECODE_TOO_LARGE_ASPECT,
    DECODE_STATUS_COUNT
};

enum decode_format {
    DECODE_FORMAT_UNKNOWN = 0,
    DECODE_FORMAT_JPEG,
    DECODE_FORMAT_PNG,
    DECODE_FORMAT_WEBP,
    DECODE_FORMAT_GIF,
    DECODE_FORMAT_AVIF, /* decoded where the build has libavif */
    DECODE_FORMAT_HEIC, /* from here on recognised only */
    DECODE_FORMAT_JXL,
    DECODE_FORMAT_BMP,
    DECODE_FORMAT_TIFF,
    DECODE_FORMAT_ICO,
    DECODE_FORMAT_SVG,
    DECODE_FORMAT_HTML, /* no picture at all: its status is unknown_format */
    DECODE_FORMAT_COUNT
};

enum decode_alpha { DECODE_ALPHA_BLEND = 0, DECODE_ALPHA_DROP };

struct decode_options {
    uint64_t pixels_max;     /* width x height */
    uint32_t side_max;       /* either side */
    uint32_t scans_max;      /* of a JPEG */
    size_t memory_bytes_max; /* the picture and the decoder's own tables */
    enum decode_alpha alpha;
    uint8_t background[3]; /* red, green, blue: what alpha is blended on */
    bool ignore_orientation;
    /* What a caller does not want though it could be decoded; told from the header alone. */
    uint32_t side_min; /* of the shorter side */
    uint64_t area_max; /* width x height; 0: any */
    double aspect_max; /* longer / shorter; 0: any */
    /* By how much a JPEG may be reduced while it is decoded (1, 2, 4 or 8), given its size in the
     * file; NULL: it is decoded whole. Faster, and not the same pixels: Pillow's Image.draft. */
    uint32_t (*reduction)(const void *ctx, uint32_t width, uint32_t height);
    const void *reduction_ctx;
};

#define DECODE_MESSAGE_BYTES 120

struct decode_info {
    enum decode_format format;
    uint32_t width, height; /* as the file says, before orientation; 0: not known */
    uint32_t orientation;   /* 1 to 8; 1 when the file says none */
    uint32_t warnings;      /* damage that the decoder passed over */
    uint32_t reduced;       /* 1, or 2, 4, 8: sides are width / reduced, rounded up */
    bool has_alpha;
    char message[DECODE_MESSAGE_BYTES]; /* "" or a short reason, for a person */
};

/* Limits that suit one decoding thread of a worker; change fields at will. */
struct decode_options decode_options_default(void);
/* Fills *image (3 channels), which must be empty, on DECODE_OK only; *info always. */
enum decode_status decode(struct image *image, struct decode_info *info, const uint8_t *data,
                          size_t bytes, const struct decode_options *options);
/* What the first bytes say. data may be NULL when bytes is 0. */
enum decode_format decode_sniff(const uint8_t *data, size_t bytes);
const char *decode_status_name(enum decode_status status); /* "ok", "truncated", … */
const char *decode_format_name(enum decode_format format); /* "jpeg", "unknown", … */
/* "jpg", "png", …; NULL for what is no picture. */
const char *decode_format_extension(enum decode_format format);

#endif
