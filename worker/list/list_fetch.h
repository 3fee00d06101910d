/* list_fetch.h - rows of a list in, the bodies behind their URLs out.
 *
 * Starts a shard's rows in their order and hands each to the caller when its fetch has ended, in
 * any order; a row without a URL that could be asked for is handed on at once. URLs that more than
 * one row has are asked for once (same.h). What the rows are put in is the caller's: it has items,
 * each of which is with the fetch from take until deliver.
 *
 * One thread makes it and frees it; list_fetch_run is the body of a thread of its own, the only one
 * that calls the functions of the options. list_fetch_wake and the counters are for any thread. */
#ifndef LIST_FETCH_H
#define LIST_FETCH_H

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/store/store.h"
#include "worker/list/list_slice.h"
#include "worker/list/same.h"
#include "worker/pipe/fetch.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Items to have for each transfer: those being fetched, and several times as many that wait for
 * their host's turn, a next try, or whoever works on the bodies. */
#define LIST_FETCH_ITEMS 8

enum list_end {
    LIST_END_FETCHED, /* as fetch.status says */
    LIST_END_NO_URL,  /* it has none, or one that is no URL */
    LIST_END_BAD_ROW, /* row.problem says why */
    LIST_END_CARRIED, /* it was not done in time, and is for somebody else to fetch */
};

/* One row; list_body_init makes it, and it may be used again and again. */
struct list_body {
    struct fetch_item fetch; /* first: fetch_take gives it back */
    struct buf final_url;    /* empty without a redirect */
    struct list_row row;
    uint32_t index; /* in the shard */
    uint32_t place; /* among the rows that are wanted */
    enum list_end end;
    bool shared; /* an earlier row has its URL */
    bool copied; /* its body came for another row: nothing was asked for it */
    struct same_url *same;
};

void list_body_init(struct list_body *body, int64_t body_bytes);
void list_body_deinit(struct list_body *body);

struct list_fetch_options {
    /* The rows; see list_slice.h. */
    const char *path;
    struct list_columns columns;
    struct list_cut cut;
    struct store *store;
    const bool *wanted; /* by index: whether the row is; NULL: all are */
    uint32_t rows;      /* that are wanted */

    const struct fetch_options *fetch; /* these two are only used to make it */
    const char *scratch;               /* a folder of this machine */
    /* How long after the start of the last row the others may take; then they are carried over or,
     * without carry, end as shard_timeout or as an earlier try did. */
    int64_t tail_ms;
    bool carry;
    const struct clock *clock;
    const atomic_bool *abort; /* all is for nothing: return */
    const atomic_bool
        *drain; /* NULL; start no more rows, and wait some seconds for those that run */
    /* Called by list_fetch_run's thread. */
    void *ctx;
    struct list_body *(*take)(void *ctx);            /* for the next row; NULL: no more for now */
    void (*give)(void *ctx, struct list_body *body); /* takes it back: there was no row */
    void (*deliver)(void *ctx, struct list_body *body);
    bool (*full)(void *ctx); /* no transfer should begin: there is enough to work on */
};

struct list_fetch;

/* Reads the shard's rows once, for the URLs that come more than once. Errors of list_slice_open.
 * The columns' names and the other things pointed at outlive it. */
CHECKED int list_fetch_new(struct list_fetch **fetch, const struct list_fetch_options *options,
                           struct err *err);
void list_fetch_free(struct list_fetch *fetch); /* accepts NULL */
/* Before it runs: passes over so many of the wanted rows. */
void list_fetch_skip(struct list_fetch *fetch, uint32_t rows);
/* Until all rows are delivered, or until abort or drain ends it. Items may be left with it. */
CHECKED int list_fetch_run(struct list_fetch *fetch, struct err *err);
/* Something has changed that it should look at: an item is free, abort is set. */
void list_fetch_wake(struct list_fetch *fetch);
/* Transfers that are under way, and rows that wait for their turn or a next try. */
uint32_t list_fetch_running(const struct list_fetch *fetch);
uint32_t list_fetch_waiting(const struct list_fetch *fetch);

#endif
