/* Speed, time left, and the line that shows them. */
#include "client/watch/progress.h"

#include "tests/support/test.h"

#include <stdio.h>
#include <string.h>

static Vlmq__Job job_of(Vlmq__JobState state, Vlmq__Progress *progress, int64_t items, int64_t ok,
                        int64_t total)
{
    Vlmq__Job job;
    vlmq__job__init(&job);
    vlmq__progress__init(progress);
    progress->items = items;
    progress->items_ok = ok;
    job.progress = progress;
    job.state = state;
    job.items_total = total;
    return job;
}

TEST(rate, is_not_told_from_one_sample)
{
    struct rate rate = {.count = 0};
    UNUSED_STATE;
    EXPECT(rate_per_s(&rate) == 0);
    rate_add(&rate, 1000, 10);
    EXPECT(rate_per_s(&rate) == 0);
}

TEST(rate, is_that_of_the_newest_seconds)
{
    struct rate rate = {.count = 0};
    UNUSED_STATE;
    /* A slow minute, then a fast one. */
    int64_t items = 0;
    for (int64_t at = 0; at < 60000; at += 1000) rate_add(&rate, at, items += 1);
    for (int64_t at = 60000; at < 120000; at += 1000) rate_add(&rate, at, items += 100);
    EXPECT(rate_per_s(&rate) > 99.0);
    EXPECT(rate_per_s(&rate) < 101.0);
}

TEST(rate, many_updates_in_a_second_do_not_shorten_its_span)
{
    struct rate rate = {.count = 0};
    UNUSED_STATE;
    int64_t items = 0;
    for (int64_t at = 0; at < 30000; at += 10) rate_add(&rate, at, items += 1);
    EXPECT(rate_per_s(&rate) > 95.0);
    EXPECT(rate_per_s(&rate) < 105.0);
    const uint32_t newest = (rate.next + RATE_SAMPLES - 1) % RATE_SAMPLES;
    const uint32_t oldest = rate.next % RATE_SAMPLES;
    EXPECT(rate.at_ms[newest] - rate.at_ms[oldest] > RATE_SPAN_MS / 2);
}

TEST(rate, items_that_go_backwards_are_no_speed)
{
    struct rate rate = {.count = 0};
    UNUSED_STATE;
    rate_add(&rate, 0, 500);
    rate_add(&rate, 5000, 100);
    EXPECT(rate_per_s(&rate) == 0);
}

TEST(left, needs_a_total_and_a_speed)
{
    UNUSED_STATE;
    EXPECT_EQ(progress_left_ms(0, 10, 5), -1);
    EXPECT_EQ(progress_left_ms(100, 10, 0), -1);
    EXPECT_EQ(progress_left_ms(100, 50, 10), 5000);
    EXPECT_EQ(progress_left_ms(100, 100, 10), 0);
    EXPECT_EQ(progress_left_ms(100, 120, 10), 0);
    EXPECT_EQ(progress_left_ms(INT64_MAX, 0, 0.001), -1);
}

TEST(share, is_by_items_else_by_tasks_else_unknown)
{
    Vlmq__Progress progress;
    UNUSED_STATE;
    Vlmq__Job job = job_of(VLMQ__JOB_STATE__JOB_RUNNING, &progress, 25, 20, 100);
    EXPECT(progress_share(&job) == 0.25);
    progress.items = 300;
    EXPECT(progress_share(&job) == 1.0);
    job.items_total = 0;
    job.tasks_total = 8;
    job.tasks_done = 1;
    job.tasks_dead = 1;
    EXPECT(progress_share(&job) == 0.25);
    job.tasks_total = 1;
    EXPECT(progress_share(&job) == -1);
    job.state = VLMQ__JOB_STATE__JOB_DONE;
    EXPECT(progress_share(&job) == 1.0);
}

TEST(line, without_a_terminal_it_has_no_bar)
{
    const struct progress_style style = {.width = 0};
    Vlmq__Progress progress;
    struct buf out;
    UNUSED_STATE;
    Vlmq__Job job = job_of(VLMQ__JOB_STATE__JOB_RUNNING, &progress, 1000, 900, 4000);
    job.tasks_total = 4;
    job.tasks_done = 1;
    job.tasks_leased = 1;
    buf_init(&out, 0);
    progress_line(&out, &job, 100, &style);
    EXPECT_TEXT(buf_str(&out),
                "running   25 %  1,000/4,000  100/s  90.0 % ok  1/4 tasks  30s left");
    buf_deinit(&out);
}

TEST(line, the_bar_fits_the_terminal)
{
    Vlmq__Progress progress;
    struct buf out;
    UNUSED_STATE;
    Vlmq__Job job = job_of(VLMQ__JOB_STATE__JOB_RUNNING, &progress, 2000, 2000, 4000);
    job.tasks_total = 4;
    job.tasks_leased = 1;
    for (uint32_t width = 20; width < 160; width++) {
        const struct progress_style style = {.width = width};
        buf_init(&out, 0);
        progress_line(&out, &job, 100, &style);
        EXPECT(strlen(buf_str(&out)) <= width + 2); /* the ellipsis has three bytes */
        if (width == 159) EXPECT(strstr(buf_str(&out), "###############-------") != NULL);
        buf_deinit(&out);
    }
}

TEST(line, says_that_no_worker_takes_the_tasks)
{
    const struct progress_style style = {.width = 0};
    Vlmq__Progress progress;
    struct buf out;
    UNUSED_STATE;
    Vlmq__Job job = job_of(VLMQ__JOB_STATE__JOB_RUNNING, &progress, 0, 0, 0);
    job.tasks_total = job.tasks_ready = 4;
    buf_init(&out, 0);
    progress_line(&out, &job, 0, &style);
    EXPECT(strstr(buf_str(&out), "waiting for a worker") != NULL);
    buf_clear(&out);
    job.paused = true;
    progress_line(&out, &job, 0, &style);
    EXPECT(strstr(buf_str(&out), "waiting for a worker") == NULL);
    EXPECT(strstr(buf_str(&out), "paused") != NULL);
    buf_deinit(&out);
}

TEST(line, numbers_of_any_size_fit)
{
    Vlmq__Progress progress;
    const struct progress_style style = {.width = 200, .utf8 = true};
    struct buf out;
    UNUSED_STATE;
    Vlmq__Job job =
        job_of(VLMQ__JOB_STATE__JOB_RUNNING, &progress, INT64_MAX, INT64_MAX, INT64_MAX);
    buf_init(&out, 0);
    progress_line(&out, &job, 1e300, &style);
    EXPECT(strstr(buf_str(&out), "9,223,372,036,854,775,807/9,223,372,036,854,775,807") != NULL);
    job.items_total = 0;
    job.tasks_total = 2;
    job.tasks_done = UINT32_MAX;
    EXPECT(progress_share(&job) <= 1);
    progress_line(&out, &job, 0, &style);
    buf_deinit(&out);
}

/* Tasks with the same three stages. */
struct pipes {
    char name[3][16];
    Vlmq__Stage stage[3][3], *stages[3][3]; /* of each task */
    Vlmq__Progress progress[3];
    Vlmq__Task task[3], *tasks[3];
    Vlmq__WatchUpdate update;
};

static void pipes_init(struct pipes *pipes, uint32_t tasks)
{
    static const char *const names[] = {"fetch", "decode", "write\033[1m"};
    vlmq__watch_update__init(&pipes->update);
    for (uint32_t i = 0; i < tasks; i++) {
        vlmq__progress__init(&pipes->progress[i]);
        vlmq__task__init(&pipes->task[i]);
        for (uint32_t j = 0; j < 3; j++) {
            (void)snprintf(pipes->name[j], sizeof pipes->name[j], "%s", names[j]);
            vlmq__stage__init(&pipes->stage[i][j]);
            pipes->stage[i][j].name = pipes->name[j];
            pipes->stages[i][j] = &pipes->stage[i][j];
        }
        pipes->progress[i].stages = pipes->stages[i];
        pipes->progress[i].n_stages = 3;
        pipes->task[i].progress = &pipes->progress[i];
        pipes->tasks[i] = &pipes->task[i];
    }
    pipes->update.tasks = pipes->tasks;
    pipes->update.n_tasks = tasks;
}

static void expect_stages(const struct pipes *pipes, uint32_t width, const char *expected)
{
    const struct progress_style style = {.width = width};
    struct buf out;
    buf_init(&out, 0);
    progress_stages(&out, &pipes->update, &style);
    EXPECT_TEXT(buf_str(&out), expected);
    buf_deinit(&out);
}

TEST(stages, are_summed_over_the_running_tasks)
{
    struct pipes pipes;
    UNUSED_STATE;
    pipes_init(&pipes, 2);
    expect_stages(&pipes, 0, "fetch idle > decode idle > write [1m idle");
    pipes.stage[0][0].running = 60;
    pipes.stage[1][0].running = 4;
    pipes.stage[1][0].queued = 2000;
    pipes.stage[0][1].queued = 3;
    pipes.stage[0][2].finished = 999;
    pipes.stage[1][2].finished = 1;
    expect_stages(&pipes, 0,
                  "fetch 64 running, 2,000 waiting > decode 3 waiting > write [1m 1,000 done");
    pipes.progress[1].n_stages = 0;
    expect_stages(&pipes, 0, "fetch 60 running > decode 3 waiting > write [1m 999 done");
    pipes.update.n_tasks = 0;
    expect_stages(&pipes, 0, "");
}

TEST(stages, name_the_bottleneck_of_most_tasks)
{
    struct pipes pipes;
    UNUSED_STATE;
    pipes_init(&pipes, 3);
    for (uint32_t i = 0; i < 3; i++) pipes.stage[i][1].queued = 10;
    pipes.stage[0][1].full = true;
    expect_stages(&pipes, 0, "fetch idle > decode 30 waiting > write [1m idle");
    pipes.stage[1][1].full = true;
    pipes.stage[2][0].full = true;
    expect_stages(&pipes, 0,
                  "decode is the bottleneck: fetch idle > decode 30 waiting > write [1m idle");
    /* It is told first: a terminal may be narrow. */
    expect_stages(&pipes, 26, "decode is the bottleneck\xe2\x80\xa6");
    for (uint32_t i = 0; i < 3; i++) pipes.stage[i][2].full = true;
    expect_stages(&pipes, 0,
                  "write [1m is the bottleneck: fetch idle > decode 30 waiting > "
                  "write [1m idle");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(rate, is_not_told_from_one_sample),
        RUN(rate, is_that_of_the_newest_seconds),
        RUN(rate, many_updates_in_a_second_do_not_shorten_its_span),
        RUN(rate, items_that_go_backwards_are_no_speed),
        RUN(left, needs_a_total_and_a_speed),
        RUN(share, is_by_items_else_by_tasks_else_unknown),
        RUN(line, without_a_terminal_it_has_no_bar),
        RUN(line, the_bar_fits_the_terminal),
        RUN(line, says_that_no_worker_takes_the_tasks),
        RUN(line, numbers_of_any_size_fit),
        RUN(stages, are_summed_over_the_running_tasks),
        RUN(stages, name_the_bottleneck_of_most_tasks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
