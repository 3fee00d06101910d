/* page_test.c - listings of tasks, events, shards, jobs and workers, page by page. */
#include "tests/state/fixture.h"

/* All indices in this state, by pages of `rows`. */
static uint32_t list_tasks(struct fixture *f, const char *job, Vlmq__TaskState state, uint32_t rows,
                           uint32_t *index, uint32_t index_max)
{
    uint32_t count = 0;
    const char *page = NULL;
    do {
        f->call = (struct state_call){.op = STATE_TASKS, .job_id = job};
        f->call.in.tasks.rows = rows;
        f->call.in.tasks.state = state;
        f->call.in.tasks.page = page;
        EXPECT_EQ(commit(f), ERR_OK);
        EXPECT(f->call.out.tasks.count <= rows);
        for (uint32_t i = 0; i < f->call.out.tasks.count; i++) {
            const Vlmq__Task *task = f->call.out.tasks.task[i];
            if (state) EXPECT_EQ(task->state, state);
            CHECK(count < index_max);
            index[count++] = task->index;
        }
        page = f->call.out.tasks.page;
    } while (*page);
    return count;
}

TEST(page, of_tasks_lists_each_state_by_number)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 50); /* tasks 1 to 50; task 0 is done */
    struct held held[20];
    EXPECT_EQ(take_as(&f, "j", held, 20, "w", false), 20);
    for (int i = 0; i < 4; i++) EXPECT_EQ(done(&f, "j", &held[i]), ERR_OK);
    for (int i = 4; i < 7; i++)
        EXPECT_EQ(fails(&f, "j", &held[i], VLMQ__BLAME__BLAME_INPUT), ERR_OK);
    for (int i = 7; i < 9; i++)
        EXPECT_EQ(fails(&f, "j", &held[i], VLMQ__BLAME__BLAME_TASK), ERR_OK);
    for (int i = 9; i < 11; i++) EXPECT_EQ(yield_as(&f, "j", &held[i], NULL), ERR_OK);
    const struct {
        Vlmq__TaskState state;
        uint32_t count, first, last;
    } expected[] = {
        {VLMQ__TASK_STATE__TASK_STATE_UNSPECIFIED, 51, 0, 50},
        {VLMQ__TASK_STATE__TASK_READY, 32, 10, 50},
        {VLMQ__TASK_STATE__TASK_LEASED, 9, 12, 20},
        {VLMQ__TASK_STATE__TASK_WAITING, 2, 8, 9},
        {VLMQ__TASK_STATE__TASK_DONE, 5, 0, 4},
        {VLMQ__TASK_STATE__TASK_DEAD, 3, 5, 7},
        {VLMQ__TASK_STATE__TASK_CANCELLED, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        for (uint32_t rows = 1; rows <= 1000; rows = rows * 3 + 4) {
            uint32_t index[64] = {0};
            const uint32_t count = list_tasks(&f, "j", expected[i].state, rows, index, 64);
            EXPECT_EQ(count, expected[i].count);
            EXPECT_EQ(index[0], expected[i].first);
            if (count) EXPECT_EQ(index[count - 1], expected[i].last);
            for (uint32_t k = 1; k < count; k++) EXPECT(index[k - 1] < index[k]);
        }
    }
    EXPECT_EQ(cancel(&f, "j", ""), ERR_OK);
    uint32_t index[64] = {0};
    EXPECT_EQ(list_tasks(&f, "j", VLMQ__TASK_STATE__TASK_CANCELLED, 7, index, 64), 34);
    EXPECT_EQ(index[0], 8);
    fixture_close(&f);
}

TEST(page, of_tasks_looks_at_a_bounded_number_and_goes_on)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    submit(&f, "j");
    const struct held plan = take(&f, "j");
    EXPECT_EQ(add(&f, "j", &plan, 0, STATE_SCAN_MAX), ERR_OK);
    EXPECT_EQ(add(&f, "j", &plan, STATE_SCAN_MAX, 10), ERR_OK);
    struct held held[64], last = {0}, near = {0};
    uint32_t count;
    while ((count = take_as(&f, "j", held, 64, "w", false)) > 0) {
        near = held[0];
        last = held[count - 1];
    }
    EXPECT_EQ(last.index, STATE_SCAN_MAX + 10);
    EXPECT_EQ(fails(&f, "j", &last, VLMQ__BLAME__BLAME_INPUT), ERR_OK);
    uint32_t index[4] = {0};
    EXPECT_EQ(list_tasks(&f, "j", VLMQ__TASK_STATE__TASK_DEAD, 10, index, 4), 1);
    EXPECT_EQ(index[0], last.index);
    EXPECT_EQ(done(&f, "j", &near), ERR_OK);
    EXPECT_EQ(list_tasks(&f, "j", VLMQ__TASK_STATE__TASK_DONE, 10, index, 4), 1);
    EXPECT_EQ(index[0], near.index);
    fixture_close(&f);
}

TEST(page, of_tasks_refuses_what_is_no_page)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 1);
    f.call = (struct state_call){.op = STATE_TASKS, .job_id = "j"};
    EXPECT_EQ(commit(&f), ERR_INVALID); /* no rows */
    f.call.in.tasks.rows = 10;
    f.call.in.tasks.page = "12x";
    EXPECT_EQ(commit(&f), ERR_INVALID);
    f.call.in.tasks.page = NULL;
    f.call.in.tasks.has_index = true;
    f.call.in.tasks.index = 2;
    EXPECT_EQ(commit(&f), ERR_NOT_FOUND);
    fixture_close(&f);
}

TEST(page, of_events_goes_on_where_the_last_one_ended)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 1);
    struct held work = take(&f, "j");
    EXPECT_EQ(fails(&f, "j", &work, VLMQ__BLAME__BLAME_INPUT), ERR_OK);
    const char *expected[] = {"job.submitted", "job.planned", "task.failed", "task.dead",
                              "job.closing"};
    const char *after = NULL;
    for (size_t i = 0; i < 5; i++) {
        f.call = (struct state_call){.op = STATE_EVENTS, .job_id = "j"};
        f.call.in.events.after = after;
        f.call.in.events.rows = 1;
        EXPECT_EQ(commit(&f), ERR_OK);
        EXPECT_EQ(f.call.out.events.count, 1);
        const Vlmq__Event *event = f.call.out.events.event[0];
        EXPECT_TEXT(event->name, expected[i]);
        EXPECT(event->at_ms > 1600000000000);
        if (i == 2) {
            EXPECT_EQ(event->task, 1);
            EXPECT_EQ(event->attempt, 1);
            EXPECT_TEXT(event->worker, "host/cpu/1/a");
            EXPECT_TEXT(event->text, "it broke");
        }
        after = f.call.out.events.after;
    }
    f.call = (struct state_call){.op = STATE_EVENTS, .job_id = "j"};
    f.call.in.events.after = after;
    f.call.in.events.rows = 10;
    EXPECT_EQ(commit(&f), ERR_OK);
    EXPECT_EQ(f.call.out.events.count, 0);
    EXPECT_TEXT(f.call.out.events.after, after);
    fixture_close(&f);
}

TEST(page, of_made_shards_is_in_order_of_commit)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 3);
    struct held held[3];
    EXPECT_EQ(take_as(&f, "j", held, 3, "w", false), 3);
    EXPECT_EQ(done_as(&f, "j", &held[2], &(struct ending){.made = "00002"}), ERR_OK);
    EXPECT_EQ(done_as(&f, "j", &held[1], &(struct ending){0}), ERR_OK);
    EXPECT_EQ(done_as(&f, "j", &held[0], &(struct ending){.made = "another"}), ERR_OK);
    EXPECT_EQ(done_as(&f, "j", &held[0], &(struct ending){.made = "another"}), ERR_OK);
    f.call = (struct state_call){.op = STATE_MADE, .job_id = "j"};
    f.call.in.made.rows = 10;
    EXPECT_EQ(commit(&f), ERR_OK);
    EXPECT_EQ(f.call.out.made.total, 2);
    EXPECT_EQ(f.call.out.made.count, 2);
    EXPECT_TEXT(f.call.out.made.made[0].name, "00002");
    EXPECT_EQ(f.call.out.made.made[0].index, 3);
    EXPECT_EQ(f.call.out.made.made[0].digest[15], 4);
    EXPECT_TEXT(f.call.out.made.made[1].name, "another");
    f.call.in.made.position = 1;
    EXPECT_EQ(commit(&f), ERR_OK);
    EXPECT_EQ(f.call.out.made.total, 2);
    EXPECT_EQ(f.call.out.made.count, 1);
    fixture_close(&f);
}

static void index_job(struct fixture *f, const char *id)
{
    EXPECT_EQ(call_op(f, STATE_INDEX, id), ERR_OK);
}

static uint32_t list_jobs(struct fixture *f, enum state_op op, uint32_t rows)
{
    uint32_t count = 0;
    const char *page = "";
    do {
        f->call = (struct state_call){.op = op};
        f->call.in.list.page = page;
        f->call.in.list.rows = rows;
        EXPECT_EQ(commit(f), ERR_OK);
        count += f->call.out.ids.count;
        page = f->call.out.ids.page;
    } while (*page);
    return count;
}

TEST(page, of_jobs_lists_all_and_active_ones)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    EXPECT_EQ(list_jobs(&f, STATE_LIST, 10), 0);
    for (int i = 0; i < 25; i++) {
        index_job(&f, arena_printf(&f.arena, "job-%02d", i));
        index_job(&f, arena_printf(&f.arena, "job-%02d", i));
    }
    for (uint32_t rows = 1; rows < 40; rows += 6) {
        EXPECT_EQ(list_jobs(&f, STATE_LIST, rows), 25);
        EXPECT_EQ(list_jobs(&f, STATE_ACTIVE, rows), 25);
    }
    f.call = (struct state_call){.op = STATE_UNINDEX, .job_id = "job-03"};
    EXPECT_EQ(commit(&f), ERR_OK);
    EXPECT_EQ(list_jobs(&f, STATE_LIST, 10), 25);
    EXPECT_EQ(list_jobs(&f, STATE_ACTIVE, 10), 24);
    f.call = (struct state_call){.op = STATE_UNINDEX, .job_id = "job-04"};
    f.call.in.unindex.purged = true;
    EXPECT_EQ(commit(&f), ERR_OK);
    EXPECT_EQ(list_jobs(&f, STATE_LIST, 10), 24);
    f.call = (struct state_call){.op = STATE_LIST};
    f.call.in.list.page = "nonsense";
    f.call.in.list.rows = 5;
    EXPECT_EQ(commit(&f), ERR_INVALID);
    fixture_close(&f);
}

TEST(page, of_the_feed_tells_what_was_touched_since)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    f.call = (struct state_call){.op = STATE_FEED};
    f.call.in.feed.rows = 10;
    EXPECT_EQ(commit(&f), ERR_OK);
    const char *position = f.call.out.ids.page;
    EXPECT_EQ(f.call.out.ids.count, 0);
    EXPECT_EQ(call_op(&f, STATE_TOUCH, "a"), ERR_OK);
    EXPECT_EQ(call_op(&f, STATE_TOUCH, "b"), ERR_OK);
    f.call = (struct state_call){.op = STATE_FEED};
    f.call.in.feed.rows = 10;
    f.call.in.feed.after = position;
    EXPECT_EQ(commit(&f), ERR_OK);
    EXPECT_EQ(f.call.out.ids.count, 2);
    EXPECT_TEXT(f.call.out.ids.id[0], "a");
    EXPECT_TEXT(f.call.out.ids.id[1], "b");
    EXPECT_EQ(f.call.count, 0);
    f.call.in.feed.after = f.call.out.ids.page;
    EXPECT_EQ(commit(&f), ERR_OK);
    EXPECT_EQ(f.call.out.ids.count, 0);
    fixture_close(&f);
}

TEST(page, of_the_feed_says_when_it_was_trimmed_past_the_reader)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    EXPECT_EQ(call_op(&f, STATE_TOUCH, "a"), ERR_OK);
    f.call = (struct state_call){.op = STATE_FEED};
    f.call.in.feed.rows = 10;
    EXPECT_EQ(commit(&f), ERR_OK);
    const char *position = f.call.out.ids.page;
    free(redis_server_cli(&f.server,
                          "EVAL \"for i=1,%d do redis.call('XADD',KEYS[1],'*','j','b') end "
                          "redis.call('XTRIM',KEYS[1],'MAXLEN',%d)\" 1 'vlmq:{fleet}:feed'",
                          STATE_EVENTS_MAX + 5, STATE_EVENTS_MAX));
    f.call = (struct state_call){.op = STATE_FEED};
    f.call.in.feed.rows = 10;
    f.call.in.feed.after = position;
    EXPECT_EQ(commit(&f), ERR_OK);
    EXPECT_EQ(f.call.count, 1);
    fixture_close(&f);
}

static void hello(struct fixture *f, const char *id)
{
    Vlmq__WorkerInfo info = VLMQ__WORKER_INFO__INIT;
    info.id = arena_text(&f->arena, id, strlen(id));
    info.slots = 3;
    f->call = (struct state_call){.op = STATE_HELLO};
    f->call.in.worker.info = &info;
    EXPECT_EQ(commit(f), ERR_OK);
}

TEST(page, of_workers_shows_who_is_there_and_drains)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    hello(&f, "a");
    EXPECT(!f.call.drain);
    hello(&f, "b");
    f.call = (struct state_call){.op = STATE_DRAIN};
    f.call.in.worker.id = "nobody";
    EXPECT_EQ(commit(&f), ERR_NOT_FOUND);
    f.call.in.worker.id = "b";
    EXPECT_EQ(commit(&f), ERR_OK);
    hello(&f, "b");
    EXPECT(f.call.drain);
    EXPECT_EQ(call_op(&f, STATE_WORKERS, NULL), ERR_OK);
    EXPECT_EQ(f.call.out.workers.count, 2);
    EXPECT_TEXT(f.call.out.workers.worker[0]->id, "a");
    EXPECT_EQ(f.call.out.workers.worker[0]->slots, 3);
    EXPECT(f.call.out.workers.worker[0]->seen_at_ms > 0);
    EXPECT(!f.call.out.workers.worker[0]->draining);
    EXPECT(f.call.out.workers.worker[1]->draining);
    f.call = (struct state_call){.op = STATE_BYE};
    f.call.in.worker.id = "b";
    EXPECT_EQ(commit(&f), ERR_OK);
    free(redis_server_cli(&f.server, "ZADD 'vlmq:{fleet}:workers' 1 a")); /* silent for long */
    EXPECT_EQ(call_op(&f, STATE_WORKERS, NULL), ERR_OK);
    EXPECT_EQ(f.call.out.workers.count, 0);
    hello(&f, "b"); /* a new life: not drained */
    EXPECT(!f.call.drain);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(page, of_tasks_lists_each_state_by_number),
        RUN(page, of_tasks_looks_at_a_bounded_number_and_goes_on),
        RUN(page, of_tasks_refuses_what_is_no_page),
        RUN(page, of_events_goes_on_where_the_last_one_ended),
        RUN(page, of_made_shards_is_in_order_of_commit),
        RUN(page, of_jobs_lists_all_and_active_ones),
        RUN(page, of_the_feed_tells_what_was_touched_since),
        RUN(page, of_the_feed_says_when_it_was_trimmed_past_the_reader),
        RUN(page, of_workers_shows_who_is_there_and_drains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
