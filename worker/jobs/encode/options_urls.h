/* options_urls.h - the options of an encode job that are about a URL list and its transfers. */
#ifndef ENCODE_OPTIONS_URLS_H
#define ENCODE_OPTIONS_URLS_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "proto/schema/jobs/encode.pb-c.h"
#include "worker/list/list_row.h"
#include "worker/pipe/fetch.h"

#include <stdbool.h>
#include <stdint.h>

struct url_options {
    struct list_columns columns; /* that are wanted; without a format */
    struct fetch_options fetch;  /* agent set, ca_file not */
    int64_t tail_ms;     /* from the start of a shard's last row to the end of all of them */
    bool opt_out_chosen; /* other directives than the usual ones */
    const char *given;   /* such an option that was given, such as "url-column"; or NULL */
};

/* The format of a list; LIST_AUTO: the input is none. */
enum list_format list_of_input(Vlmq__Jobs__EncodeInput input);

/* ERR_INVALID with a sentence that names the option. */
CHECKED int url_options_init(struct url_options *options, struct arena *arena,
                             const Vlmq__Jobs__Encode *spec, struct err *err);
/* Those of encode_options_json: what was chosen and shapes the output. */
void url_options_json(const struct url_options *options, struct buf *out);

#endif
