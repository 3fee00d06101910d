/* download_slice.h - the rows of a download task, read as its worker reads them. */
#ifndef TESTS_DOWNLOAD_SLICE_H
#define TESTS_DOWNLOAD_SLICE_H

#include "worker/jobs/download/options.h"
#include "worker/jobs/download/plan.h"
#include "worker/list/list_slice.h"

static inline int download_slice(struct list_slice **slice, const struct download_options *options,
                                 const Vlmq__Jobs__DownloadShard *shard, struct store *store,
                                 struct err *err)
{
    const struct list_columns columns = download_columns(options);
    const struct list_cut cut = download_cut(shard);
    return list_slice_open(slice, options->input, &columns, &cut, store, err);
}

#endif
