/* Speed, time left, and the line that shows them. */
#include "client/watch/progress.h"

#include "tests/support/test.h"

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

TEST(stages, are_summed_over_the_running_tasks)
{
    const struct progress_style style = {.width = 0};
    char fetch[] = "fetch", write[] = "write\033[1m";
    Vlmq__Stage stage[3];
    Vlmq__Stage *first[] = {&stage[0], &stage[1]}, *second[] = {&stage[2]};
    Vlmq__Progress progress[2];
    Vlmq__Task task[2], *tasks[] = {&task[0], &task[1]};
    Vlmq__WatchUpdate update;
    struct buf out;
    UNUSED_STATE;
    for (int i = 0; i < 3; i++) vlmq__stage__init(&stage[i]);
    for (int i = 0; i < 2; i++) vlmq__progress__init(&progress[i]);
    for (int i = 0; i < 2; i++) vlmq__task__init(&task[i]);
    vlmq__watch_update__init(&update);
    stage[0].name = stage[2].name = fetch;
    stage[1].name = write;
    stage[0].queued = 60;
    stage[2].queued = 4;
    stage[1].queued = 2;
    progress[0].stages = first;
    progress[0].n_stages = 2;
    progress[1].stages = second;
    progress[1].n_stages = 1;
    task[0].progress = &progress[0];
    task[1].progress = &progress[1];
    update.tasks = tasks;
    update.n_tasks = 2;
    buf_init(&out, 0);
    progress_stages(&out, &update, &style);
    EXPECT_TEXT(buf_str(&out), "fetch 64 > write [1m 2");
    buf_deinit(&out);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
