/* hosts.h - what the hosts of a list came to: rows, failures, time.
 *
 * A table of at most HOSTS_MAX hosts, in a shard and in the sum over shards. When it is full, the
 * half that matters least is forgotten: those with the fewest failed rows that did not take the
 * most time either. It is made of a shard's rows, written into its statistics (the worst and the
 * slowest HOSTS_TOLD), and read from there by the closing task. One thread's. */
#ifndef DOWNLOAD_HOSTS_H
#define DOWNLOAD_HOSTS_H

#include "common/base/buf.h"
#include "worker/jobs/download/status.h"
#include "worker/pipe/fetch_url.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define HOSTS_MAX  8192 /* a web list of 10,000 rows has about 5,000; 3 MiB when full */
#define HOSTS_TOLD 128  /* of each order, so at most twice as many lines */

struct host_sum {
    struct host_sum *chain;
    char name[FETCH_HOST_BYTES]; /* as the list says, in lower case; a port that is not the usual */
    int64_t rows, failed;
    int64_t fetched, fetch_ms; /* rows that were asked for themselves, and the ms of them all */
    int64_t status[STATUSES_COUNT]; /* of those that failed */
    bool kept;
};

struct hosts;
struct hosts *hosts_new(void);
void hosts_free(struct hosts *hosts); /* accepts NULL */
/* false: the URL names no host; dst is then undefined. */
bool hosts_name(char dst[FETCH_HOST_BYTES], const char *url);
/* Adds a row; tries 0: it was not asked for. What has no host, or no room, is passed over. */
void hosts_add(struct hosts *hosts, const char *url, uint32_t status, int64_t tries,
               int64_t fetch_ms);
/* [{"host":…,"rows":…,"failed":…,"status":…,"status_rows":…,"fetched":…,"fetch_ms":…},…]; status is
 * the most frequent end of the failed rows, or null. */
void hosts_json(const struct hosts *hosts, struct buf *out);
/* Adds what hosts_json wrote; what cannot be understood is passed over. */
void hosts_add_json(struct hosts *hosts, const json_t *list);

/* The first `max` with the most failed rows, or with the most ms per row that was asked for; hosts
 * without any are left out. Returns how many; they are good until hosts change. */
uint32_t hosts_worst(const struct hosts *hosts, const struct host_sum **into, uint32_t max);
uint32_t hosts_slowest(const struct hosts *hosts, const struct host_sum **into, uint32_t max);
/* The most frequent end of its failed rows; STATUS_SUCCESS: none failed. */
uint32_t hosts_status(const struct host_sum *host);

#endif
