/* progress.c - how far a job has got, as text. */
#include "client/watch/progress.h"

#include "client/print.h"
#include "client/vlmq.h"
#include "common/base/str.h"
#include "common/base/sum.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BAR_COLUMNS_MAX 30
#define BAR_COLUMNS_MIN 8
#define STAGES_MAX      8
#define LEFT_MS_MAX     ((double)1000 * 86400 * 99)

void rate_add(struct rate *rate, int64_t at_ms, int64_t items)
{
    if (rate->count) {
        /* Many updates in a short time become one sample, so that the ring spans its time. */
        const uint32_t newest = (rate->next + RATE_SAMPLES - 1) % RATE_SAMPLES;
        const uint32_t before = (rate->next + RATE_SAMPLES - 2) % RATE_SAMPLES;
        if (rate->count > 1 && at_ms - rate->at_ms[before] < RATE_SPAN_MS / (RATE_SAMPLES - 2)) {
            rate->at_ms[newest] = at_ms;
            rate->items[newest] = items;
            return;
        }
    }
    rate->at_ms[rate->next] = at_ms;
    rate->items[rate->next] = items;
    rate->next = (rate->next + 1) % RATE_SAMPLES;
    if (rate->count < RATE_SAMPLES) rate->count++;
}

double rate_per_s(const struct rate *rate)
{
    if (rate->count < 2) return 0;
    const uint32_t newest = (rate->next + RATE_SAMPLES - 1) % RATE_SAMPLES;
    uint32_t oldest = newest;
    for (uint32_t i = 1; i < rate->count; i++) {
        const uint32_t at = (newest + RATE_SAMPLES - i) % RATE_SAMPLES;
        oldest = at;
        if (rate->at_ms[newest] - rate->at_ms[at] >= RATE_SPAN_MS) break;
    }
    const int64_t span = rate->at_ms[newest] - rate->at_ms[oldest];
    const int64_t items = rate->items[newest] - rate->items[oldest];
    if (span <= 0 || items <= 0) return 0;
    return 1000.0 * (double)items / (double)span;
}

int64_t progress_left_ms(int64_t total, int64_t done, double per_s)
{
    if (total <= 0 || per_s <= 0) return -1;
    if (done >= total) return 0;
    const double left = 1000.0 * (double)(total - done) / per_s;
    return left > LEFT_MS_MAX ? -1 : (int64_t)left;
}

double progress_share(const Vlmq__Job *job)
{
    const int64_t items = job->progress ? job->progress->items : 0;
    if (job->state == VLMQ__JOB_STATE__JOB_DONE) return 1;
    if (job->items_total > 0) {
        const double share = (double)items / (double)job->items_total;
        return share > 1 ? 1 : share;
    }
    /* The planning task alone says nothing about how much there is. */
    if (job->tasks_total < 2) return -1;
    const uint32_t ended = job->tasks_done + job->tasks_dead + job->tasks_cancelled;
    const double share = (double)ended / (double)job->tasks_total;
    return share > 1 ? 1 : share;
}

static void bar(struct buf *out, double share, uint32_t columns, bool utf8)
{
    static const char *const eighths[] = {"",
                                          "\xe2\x96\x8f",
                                          "\xe2\x96\x8e",
                                          "\xe2\x96\x8d",
                                          "\xe2\x96\x8c",
                                          "\xe2\x96\x8b",
                                          "\xe2\x96\x8a",
                                          "\xe2\x96\x89"};
    const uint32_t filled = (uint32_t)(share * columns * 8 + 1e-9);
    const uint32_t whole = filled / 8, part = utf8 ? filled % 8 : 0;
    for (uint32_t i = 0; i < whole; i++) buf_text(out, utf8 ? "\xe2\x96\x88" : "#");
    buf_text(out, eighths[part]);
    for (uint32_t i = whole + (part > 0); i < columns; i++)
        buf_text(out, utf8 ? "\xe2\x96\x91" : "-");
}

/* Everything behind the bar, without the time left. */
static void facts(struct buf *out, const Vlmq__Job *job, double per_s)
{
    char a[32], b[32];
    const int64_t items = job->progress ? job->progress->items : 0;
    const int64_t ok = job->progress ? job->progress->items_ok : 0;
    if (job->items_total > 0)
        buf_printf(out, "%s/%s", print_grouped(a, sizeof a, items),
                   print_grouped(b, sizeof b, job->items_total));
    else if (items)
        buf_printf(out, "%s", print_grouped(a, sizeof a, items));
    if (items || job->items_total > 0) buf_text(out, "  ");
    if (per_s > 0) buf_printf(out, "%s/s  ", str_human_count(a, sizeof a, per_s));
    if (items) buf_printf(out, "%s ok  ", print_share(a, sizeof a, ok, items));
    const uint32_t ended = job->tasks_done + job->tasks_dead + job->tasks_cancelled;
    buf_printf(out, "%" PRIu32 "/%" PRIu32 " tasks", ended, job->tasks_total);
    if (job->tasks_dead) buf_printf(out, "  %" PRIu32 " dead", job->tasks_dead);
    if (job->tasks_waiting) buf_printf(out, "  %" PRIu32 " to retry", job->tasks_waiting);
    const bool idle = !job->tasks_leased && job->tasks_ready && !job->paused;
    if (idle && !vlmq_job_ended(job->state)) buf_text(out, "  waiting for a worker");
}

void progress_line(struct buf *out, const Vlmq__Job *job, double per_s,
                   const struct progress_style *style)
{
    struct buf before, after, line;
    char left[24];
    const double share = progress_share(job);
    buf_init(&before, 0);
    buf_init(&after, 0);
    buf_init(&line, 0);
    buf_printf(&before, "%-8s ", vlmq_job_state(job));
    facts(&after, job, per_s);
    const int64_t items = job->progress ? job->progress->items : 0;
    const int64_t left_ms =
        vlmq_job_ended(job->state) ? -1 : progress_left_ms(job->items_total, items, per_s);
    /* An estimate has no fractions. */
    if (left_ms > 0 && left_ms < 60000)
        buf_printf(&after, "  %" PRId64 "s left", (left_ms + 999) / 1000);
    else if (left_ms > 0)
        buf_printf(&after, "  %s left", str_human_ms(left, sizeof left, left_ms));
    buf_text(&line, buf_str(&before));
    if (style->width && share >= 0) {
        const uint32_t taken = print_columns(buf_str(&before)) + print_columns(buf_str(&after)) + 8;
        uint32_t columns = style->width > taken ? style->width - taken : 0;
        if (columns > BAR_COLUMNS_MAX) columns = BAR_COLUMNS_MAX;
        if (columns >= BAR_COLUMNS_MIN) {
            bar(&line, share, columns, style->utf8);
            buf_byte(&line, ' ');
        }
    }
    if (share >= 0) buf_printf(&line, "%3d %%  ", (int)(share * 100));
    buf_text(&line, buf_str(&after));
    if (style->width)
        print_cut(out, buf_str(&line), style->width - 1);
    else
        buf_text(out, buf_str(&line));
    buf_deinit(&before);
    buf_deinit(&after);
    buf_deinit(&line);
}

/* A stage over the tasks that have it. */
struct stage_sum {
    const char *name;
    uint64_t queued, running;
    int64_t finished;
    uint32_t tasks, full;
};

static uint32_t sum_stages(struct stage_sum sum[STAGES_MAX], const Vlmq__WatchUpdate *update)
{
    uint32_t count = 0;
    for (size_t i = 0; i < update->n_tasks; i++) {
        const Vlmq__Progress *progress = update->tasks[i]->progress;
        for (size_t j = 0; progress && j < progress->n_stages; j++) {
            const Vlmq__Stage *stage = progress->stages[j];
            uint32_t at = 0;
            while (at < count && !str_eq(sum[at].name, stage->name)) at++;
            if (at == STAGES_MAX) continue;
            if (at == count) sum[count++] = (struct stage_sum){.name = stage->name};
            sum[at].queued += stage->queued;
            sum[at].running += stage->running;
            sum[at].finished = sum_of(sum[at].finished, stage->finished);
            sum[at].tasks++;
            sum[at].full += stage->full != 0;
        }
    }
    return count;
}

/* The stage that most of the tasks wait for; NULL: none. */
static const char *bottleneck(const struct stage_sum *sum, uint32_t count)
{
    const struct stage_sum *worst = NULL;
    for (uint32_t i = 0; i < count; i++)
        if (sum[i].full * 2 > sum[i].tasks && (!worst || sum[i].full > worst->full))
            worst = &sum[i];
    return worst ? worst->name : NULL;
}

static void add_stage(struct buf *out, const struct stage_sum *sum)
{
    char number[32];
    buf_text(out, sum->name);
    if (sum->running)
        buf_printf(out, " %s running", print_grouped(number, sizeof number, (int64_t)sum->running));
    if (sum->queued)
        buf_printf(out, "%s %s waiting", sum->running ? "," : "",
                   print_grouped(number, sizeof number, (int64_t)sum->queued));
    if (sum->running || sum->queued) return;
    if (sum->finished)
        buf_printf(out, " %s done", print_grouped(number, sizeof number, sum->finished));
    else
        buf_text(out, " idle");
}

void progress_stages(struct buf *out, const Vlmq__WatchUpdate *update,
                     const struct progress_style *style)
{
    struct stage_sum sum[STAGES_MAX];
    const uint32_t count = sum_stages(sum, update);
    struct buf line, clean;
    if (!count) return;
    buf_init(&line, 0);
    buf_init(&clean, 0);
    const char *slowest = bottleneck(sum, count);
    /* First, where a narrow terminal does not cut it off. */
    if (slowest) buf_printf(&line, "%s is the bottleneck: ", slowest);
    for (uint32_t i = 0; i < count; i++) {
        if (i) buf_text(&line, style->utf8 ? " \xe2\x96\xb8 " : " > ");
        add_stage(&line, &sum[i]);
    }
    print_clean(&clean, buf_str(&line));
    if (style->width)
        print_cut(out, buf_str(&clean), style->width - 1);
    else
        buf_text(out, buf_str(&clean));
    buf_deinit(&line);
    buf_deinit(&clean);
}
