/* fetch_rules.h - the robots.txt of each host: asked for before the first URL, kept for a day.
 *
 * A host's queue waits while its robots.txt is under way. That is a transfer like any other, with
 * the same guards and limits, but for a small body, five redirects, and rules of its own. */
#ifndef PIPE_FETCH_RULES_H
#define PIPE_FETCH_RULES_H

#include "worker/pipe/fetch_host.h"

/* The transfer that a host of item->at lacks, to be queued in front; NULL: it lacks none, or there
 * is no memory (*no_memory). */
struct fetch_item *fetch_rules_item(struct fetch_host *host, struct fetch_item *item,
                                    int64_t now_ms, bool *no_memory);
/* Takes what that transfer came to, and frees it. */
void fetch_rules_take(struct fetch_hosts *hosts, struct fetch_item *rules_item,
                      enum fetch_status status, int64_t now_ms);
void fetch_rules_item_free(struct fetch_item *rules_item);
/* Whether the item may go where it is; else how it ends. */
enum fetch_status fetch_rules_judge(const struct fetch_host *host, struct fetch_item *item);

#endif
