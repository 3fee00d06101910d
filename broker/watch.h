/* watch.h - who is told what about which job, and when.
 *
 * A topic is one watched job; watchers of the same job share its reads. Watchers of all jobs share
 * one place, and a small list of final states that they still have to get. This module keeps the
 * tables and decides; broker/push.c reads Redis and sends. An update goes out when its content
 * differs from the last one that the watcher got, at most every WATCH_SPACING_MS; a final state
 * goes out at once, and is offered until the send succeeds or the watch's lease (POLL_TTL_MS) is
 * over. */
#ifndef BROKER_WATCH_H
#define BROKER_WATCH_H

#include "broker/limits.h"
#include "proto/schema/common.pb-c.h"
#include "proto/wire/sock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WATCH_ALL UINT32_MAX

struct topic {
    bool used;
    char job[JOB_ID_BYTES];
    uint32_t watchers;
    uint64_t version_read;          /* of the last GET */
    int64_t read_at_ms, rows_at_ms; /* last GET, last page of leased tasks */
    int64_t next_read_at_ms;
    void *rows; /* packed WatchUpdate with nothing but the tasks; heap */
    size_t rows_bytes;
    uint64_t rows_print; /* fingerprint of rows */
};

struct watcher {
    bool used;
    struct sock_peer peer;
    uint32_t topic; /* or WATCH_ALL */
    int64_t until_ms, next_at_ms;
    uint64_t sent;                /* fingerprint of the last update it got; 0: none */
    char (*missed)[JOB_ID_BYTES]; /* WATCH_ALL: final states not delivered yet; heap */
    uint32_t missed_count;
};

struct watches {
    struct watcher *watcher; /* WATCHES_MAX */
    struct topic *topic;     /* WATCHES_MAX */
    uint32_t watchers_high, topics_high;
    uint32_t watchers_count, topics_count, all_count;
};

void watches_init(struct watches *watches);
void watches_deinit(struct watches *watches);
/* Adds or prolongs a watch; job "" is all. NULL: the table is full. *fresh: it was not there. */
struct watcher *watch_add(struct watches *watches, const struct sock_peer *peer, const char *job,
                          int64_t now_ms, bool *fresh);
void watch_remove(struct watches *watches, struct watcher *watcher);
/* Removes watches whose lease is over, one a call; NULL: no more. The result's peer is valid until
 * the next call on the table. */
struct watcher *watch_expired(struct watches *watches, uint32_t *at, int64_t now_ms);
/* The job has ended, and will soon be no longer among those whose versions are heard: who watches
 * it gets its final state at once. */
void watch_ended(struct watches *watches, const char *job);
/* Whether the topic should be read now, given the job's version as last heard (0: unknown). */
bool watch_wants(const struct topic *topic, uint64_t version, int64_t now_ms);
/* Whether this content goes to the watcher now. */
bool watch_due(const struct watcher *watcher, uint64_t fingerprint, int64_t now_ms);
/* A send was tried. True: the watcher has what it came for, remove it. */
bool watch_sent(struct watcher *watcher, uint64_t fingerprint, bool sent, bool final,
                int64_t now_ms);
/* Notes a final state that a watcher of all jobs could not be sent. False: too many. */
bool watch_miss(struct watcher *watcher, const char *job);
/* A number that differs when what a person sees of the job differs; odd, so never 0. */
uint64_t watch_fingerprint(const Vlmq__Job *job);
/* The same of packed bytes; even, so that both may be joined with ^. */
uint64_t watch_print(const void *data, size_t bytes);
/* The earliest moment at which something may have to be done; INT64_MAX: nothing to do. */
int64_t watch_next(const struct watches *watches, int64_t now_ms);

#endif
