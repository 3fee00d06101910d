/* fetch_host.h - what is known of each host (name and port) that transfers go to.
 *
 * Decides, without a clock or a socket of its own, when the next transfer to a host may begin: not
 * more at a time than the cap; not before a pause that the host asked for is over; and not to one
 * that is down. A host is down after so many transfers that failed one after another (see enum
 * fetch_contact), or answers that say it is busy, over so long a time; its transfers then fail at
 * once, until a pause is over and one of them, the probe, has found out whether it is still so.
 * Transfers that may not begin yet wait in the host's queue.
 *
 * Hosts without transfers are forgotten, the longest unused first, when there are more than
 * FETCH_HOSTS_MAX. A table and its hosts are one thread's. */
#ifndef PIPE_FETCH_HOST_H
#define PIPE_FETCH_HOST_H

#include "worker/pipe/fetch.h"
#include "worker/pipe/fetch_url.h"

#define FETCH_HOSTS_MAX         8192 /* 3 MiB */
#define FETCH_ROBOTS_MEMORY_MAX ((size_t)64 * 1024 * 1024)

/* What is known of a host's robots.txt; see fetch_rules.h. */
enum fetch_rules {
    FETCH_RULES_UNKNOWN,
    FETCH_RULES_ASKED,
    FETCH_RULES_KNOWN,
    FETCH_RULES_NONE,    /* there is no such file */
    FETCH_RULES_NOT_HAD, /* there may be one */
};

struct fetch_robots;

struct fetch_host {
    struct fetch_item *first, *last; /* the queue */
    uint32_t running;
    uint32_t failures;    /* connections that failed, or busy answers, one after another */
    bool busy;            /* the last of them was an answer */
    int64_t failed_at_ms; /* the last time */
    int64_t failing_since_ms, down_until_ms, down_pause_ms; /* until 0: not down */
    bool probed;                                            /* by the one that runs */
    int64_t paused_until_ms, nameless_until_ms;
    int64_t told_until_ms;      /* that libcurl has its addresses; see fetch_try.h */
    enum fetch_status nameless; /* what its look-up came to */
    enum fetch_rules rules;
    enum fetch_status rules_status; /* of those that could not be had */
    int64_t rules_until_ms;
    struct fetch_robots *robots; /* NULL unless known */
    /* The table's own. */
    struct fetch_host *chain;           /* of the same bucket */
    struct fetch_host *previous, *next; /* in the ring of those that have a queue, or the idle */
    char name[FETCH_HOST_BYTES];
};

struct fetch_hosts; /* the table */

struct fetch_hosts *fetch_hosts_new(const struct fetch_options *options);
void fetch_hosts_free(struct fetch_hosts *hosts);
uint32_t fetch_hosts_count(const struct fetch_hosts *hosts);
/* The host of that name, made if it is new; NULL: no memory. Good while it has a queue or something
 * running. */
struct fetch_host *fetch_hosts_get(struct fetch_hosts *hosts, const char *name);

/* Gives the host its rules (which are taken), or none, instead of those it has. Hosts without
 * transfers are forgotten when the rules of all need more than FETCH_ROBOTS_MEMORY_MAX; false:
 * without them they still do, so that the host has none. */
CHECKED bool fetch_host_robots(struct fetch_hosts *hosts, struct fetch_host *host,
                               struct fetch_robots *robots);

/* Puts an item at an end of its host's queue; the front is behind a robots.txt. */
void fetch_host_push(struct fetch_hosts *hosts, struct fetch_host *host, struct fetch_item *item,
                     bool in_front);

/* For the end: takes any item out of its queue; NULL: there is none. */
struct fetch_item *fetch_hosts_drop(struct fetch_hosts *hosts);

enum fetch_turn {
    FETCH_TURN_NONE, /* nothing may begin; *wait_ms says when something may (at most what it was) */
    FETCH_TURN_START,
    FETCH_TURN_FAIL, /* with *status */
};
/* Takes the next item whose turn has come out of its queue, from all hosts in turn. can_start:
 * there is room for a transfer; those that fail at once need none. An item that begins counts as
 * running until fetch_host_ended. */
enum fetch_turn fetch_hosts_next(struct fetch_hosts *hosts, struct fetch_item **item,
                                 enum fetch_status *status, bool can_start, int64_t now_ms,
                                 int64_t *wait_ms);

enum fetch_contact {
    FETCH_CONTACT_NONE,   /* it ended before it could be known */
    FETCH_CONTACT_MADE,   /* the host took the request, or answered */
    FETCH_CONTACT_FAILED, /* no connection, or no whole answer in time */
    FETCH_CONTACT_BUSY,   /* the host asked to be left alone */
};
void fetch_host_ended(struct fetch_hosts *hosts, struct fetch_host *host, struct fetch_item *item,
                      enum fetch_contact contact, int64_t now_ms);
/* Nothing goes to the host before then. */
void fetch_host_pause(struct fetch_host *host, int64_t until_ms);
/* Its name was looked up in vain, as often as an item may try: that is how its items end. */
void fetch_host_nameless(struct fetch_host *host, enum fetch_status status, int64_t now_ms);

#endif
