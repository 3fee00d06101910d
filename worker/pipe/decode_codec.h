/* decode_codec.h - between decode.c and its codecs; nobody else includes it.
 *
 * A codec reads the header, asks decode_admit, then makes the picture: 3 channels, or 4 with alpha,
 * which decode.c blends. A further format is one codec, a line in decode_sniff and one in decode.
 */
#ifndef PIPE_DECODE_CODEC_H
#define PIPE_DECODE_CODEC_H

#include "worker/pipe/decode.h"

typedef enum decode_status decode_codec(struct image *image, struct decode_info *info,
                                        const uint8_t *data, size_t bytes,
                                        const struct decode_options *options);
decode_codec decode_jpeg;
decode_codec decode_png;
decode_codec decode_webp;
decode_codec decode_gif;
decode_codec decode_avif; /* where VLMQ_AVIF is defined */

/* Notes the size in info and checks it against the limits; need_per_pixel is the bytes that the
 * picture and the decoder take for each pixel. */
enum decode_status decode_admit(struct decode_info *info, uint32_t width, uint32_t height,
                                uint64_t need_per_pixel, const struct decode_options *options);
void decode_message(struct decode_info *info, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
