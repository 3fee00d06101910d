/* options_picture.h - the options of a download job that say which pictures are wanted, how they
 * are resized, and as what they are stored. */
#ifndef DOWNLOAD_OPTIONS_PICTURE_H
#define DOWNLOAD_OPTIONS_PICTURE_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "proto/schema/jobs/download.pb-c.h"
#include "worker/pipe/encode.h"
#include "worker/pipe/resize.h"

#include <stdbool.h>
#include <stdint.h>

struct picture_options {
    enum resize_filter filter;
    bool only_if_bigger, fast;
    struct picture_encoding encode;
    bool skip_reencode, no_reencode;
    uint32_t side_min; /* of the shorter side; 0: any */
    uint64_t area_max; /* 0: any */
    double aspect_max; /* longer / shorter; 0: any */
};

/* ERR_INVALID with a sentence that names the option. */
CHECKED int picture_options_init(struct picture_options *options, const Vlmq__Jobs__Download *spec,
                                 struct err *err);
/* Appends members of a JSON object, each after a comma. */
void picture_options_json(const struct picture_options *options, struct buf *out);

#endif
