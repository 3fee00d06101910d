/* progress.h - how far a job has got, as a line of text; pure, no clock and no terminal. */
#ifndef CLIENT_WATCH_PROGRESS_H
#define CLIENT_WATCH_PROGRESS_H

#include "common/base/buf.h"
#include "proto/schema/client.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

#define RATE_SAMPLES 32
#define RATE_SPAN_MS 15000 /* the speed is that of the newest seconds */

/* Items against time; a ring of samples. */
struct rate {
    int64_t at_ms[RATE_SAMPLES], items[RATE_SAMPLES];
    uint32_t count, next;
};
void rate_add(struct rate *rate, int64_t at_ms, int64_t items);
/* Items in a second over the newest RATE_SPAN_MS; 0 while it cannot be told. */
double rate_per_s(const struct rate *rate);

/* Time left in ms; -1: not to be told. */
int64_t progress_left_ms(int64_t total, int64_t done, double per_s);
/* What share of the job is done, 0 to 1: by items where their number is known, else by tasks;
 * -1: unknown. */
double progress_share(const Vlmq__Job *job);

struct progress_style {
    uint32_t width; /* of the terminal; 0: none, no bar is drawn */
    bool utf8;
};
/* One line: state, bar, share, items, speed, success, tasks, time left. No line's end. */
void progress_line(struct buf *out, const Vlmq__Job *job, double per_s,
                   const struct progress_style *style);
/* "fetch 64 running, 90 waiting > decode 2 running > write idle": what is in each stage and in
 * front of it, over the running tasks; before it "decode is the bottleneck: ", if most of them say
 * that this stage holds up those before it. Empty when none is known. */
void progress_stages(struct buf *out, const Vlmq__WatchUpdate *update,
                     const struct progress_style *style);

#endif
