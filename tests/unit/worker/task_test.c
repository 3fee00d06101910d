/* task_test.c - the probe kind in real task threads; the test is their main thread. */
#include "worker/task.h"

#include "common/base/fs.h"
#include "common/base/str.h"
#include "proto/schema/jobs/probe.pb-c.h"
#include "tests/support/test.h"
#include "worker/limits.h"
#include "worker/registry.h"

#include <stdio.h>
#include <string.h>

#define WAIT_MS 60000

struct bench {
    struct chan *said;
    struct wake wake;
    struct crew *crew;
    struct task *task;
    uint8_t spec[4200];
};

static const char lease[] = "00112233445566778899aabbccddeeff";

static Vlmq__Grant grant_of(struct bench *bench, const Vlmq__Jobs__Probe *probe, char *name,
                            Vlmq__Phase phase)
{
    static char job[] = "job1", kind[] = "probe", none[] = "";
    static char same_lease[sizeof lease];
    Vlmq__Grant grant = VLMQ__GRANT__INIT;
    memcpy(same_lease, lease, sizeof lease);
    grant.job = job;
    grant.kind = kind;
    grant.output = none;
    grant.from = none;
    grant.name = name;
    grant.lease = same_lease;
    grant.phase = phase;
    grant.attempt = 1;
    grant.index = 3;
    grant.lease_ttl_ms = LEASE_TTL_MS;
    EXPECT(vlmq__jobs__probe__get_packed_size(probe) <= sizeof bench->spec);
    grant.spec.len = vlmq__jobs__probe__pack(probe, bench->spec);
    grant.spec.data = bench->spec;
    return grant;
}

static void begin_kind(struct bench *bench, const Vlmq__Grant *grant, const struct job_kind *kind)
{
    struct err err;
    const struct task_options options = {
        .key = 1,
        .kind = kind,
        .clock = &clock_real,
        .device = "cpu",
        .cpus = 1,
        .said = bench->said,
        .wake = &bench->wake,
        .crew = bench->crew,
    };
    EXPECT_OK(task_new(&bench->task, &options, grant, &err), &err);
    EXPECT_OK(task_start(bench->task, &err), &err);
}

static void begin(struct bench *bench, const Vlmq__Grant *grant)
{
    begin_kind(bench, grant, registry_find("probe"));
}

/* The next message of the task. */
static enum host_says next(struct bench *bench)
{
    struct task *task = chan_recv_for(bench->said, WAIT_MS);
    EXPECT(task != NULL);
    EXPECT(task == bench->task);
    return task->host.says;
}

static int end(struct bench *bench)
{
    EXPECT_EQ(next(bench), HOST_SAYS_ENDED);
    task_end(bench->task);
    return bench->task->rc;
}

static int64_t counter(const struct task *task, const char *name)
{
    for (uint32_t i = 0; i < task->result.counters_count; i++)
        if (str_eq(task->result.counter[i].name, name)) return task->result.counter[i].value;
    return -1;
}

static int bench_open(void **state)
{
    static struct bench bench;
    memset(&bench, 0, sizeof bench);
    bench.said = chan_new(TASKS_MAX);
    bench.crew = crew_new(TASKS_MAX);
    *state = &bench;
    return wake_open(&bench.wake);
}

static int bench_close(void **state)
{
    struct bench *bench = *state;
    task_free(bench->task);
    crew_free(bench->crew);
    chan_close(bench->said);
    chan_free(bench->said);
    wake_close(&bench->wake);
    return 0;
}

#define BENCH struct bench *bench = *state_unused

TEST(task, work_counts_its_items_and_keeps_a_cursor)
{
    BENCH;
    char name[] = "00003";
    uint8_t cursor[CURSOR_BYTES_MAX];
    size_t cursor_bytes;
    struct job_progress progress;
    Vlmq__Jobs__Probe probe = VLMQ__JOBS__PROBE__INIT;
    probe.items = 12;
    const Vlmq__Grant grant = grant_of(bench, &probe, name, VLMQ__PHASE__PHASE_WORK);
    begin(bench, &grant);
    EXPECT_OK(end(bench), &bench->task->err);
    EXPECT_EQ(counter(bench->task, "probe.items"), 12);
    host_progress(&bench->task->host, &progress);
    EXPECT_EQ(progress.items, 12);
    EXPECT_EQ(host_cursor(&bench->task->host, cursor, &cursor_bytes), 12);
    EXPECT_EQ(cursor_bytes, 2);
    EXPECT_MEM(cursor, "12", 2);
}

TEST(task, work_goes_on_from_the_cursor)
{
    BENCH;
    char name[] = "00003";
    uint8_t cursor[] = {'9'};
    Vlmq__Jobs__Probe probe = VLMQ__JOBS__PROBE__INIT;
    probe.items = 12;
    Vlmq__Grant grant = grant_of(bench, &probe, name, VLMQ__PHASE__PHASE_WORK);
    grant.cursor.data = cursor;
    grant.cursor.len = sizeof cursor;
    begin(bench, &grant);
    EXPECT_OK(end(bench), &bench->task->err);
    EXPECT_EQ(bench->task->result.progress.stage[0].finished, 3);
    EXPECT_EQ(bench->task->result.progress.items, 12);
}

TEST(task, work_stops_when_it_is_told)
{
    BENCH;
    char name[] = "00003";
    Vlmq__Jobs__Probe probe = VLMQ__JOBS__PROBE__INIT;
    probe.task_ms = 3600 * 1000;
    const Vlmq__Grant grant = grant_of(bench, &probe, name, VLMQ__PHASE__PHASE_WORK);
    begin(bench, &grant);
    host_stop(&bench->task->host, JOB_STOP_CANCELLED);
    EXPECT_EQ(end(bench), ERR_CANCELLED);
}

TEST(task, reason_to_stop_is_never_lowered)
{
    BENCH;
    char name[] = "00003";
    Vlmq__Jobs__Probe probe = VLMQ__JOBS__PROBE__INIT;
    const Vlmq__Grant grant = grant_of(bench, &probe, name, VLMQ__PHASE__PHASE_WORK);
    begin(bench, &grant);
    host_stop(&bench->task->host, JOB_STOP_LOST);
    host_stop(&bench->task->host, JOB_STOP_DRAIN);
    EXPECT_EQ(job_stopping(&bench->task->env), JOB_STOP_LOST);
    (void)end(bench);
}

TEST(task, bad_spec_is_invalid_whatever_the_phase)
{
    BENCH;
    char name[] = "00003";
    Vlmq__Jobs__Probe probe = VLMQ__JOBS__PROBE__INIT;
    probe.items = 2000000;
    const Vlmq__Grant grant = grant_of(bench, &probe, name, VLMQ__PHASE__PHASE_WORK);
    begin(bench, &grant);
    EXPECT_EQ(end(bench), ERR_INVALID);
    EXPECT(strstr(bench->task->err.msg, "--items") != NULL);
}

/* The code and the blame that a fault ends in, on the given attempt. */
static void expect_fault(struct bench *bench, Vlmq__Jobs__ProbeFault fault, uint32_t attempt,
                         int rc, enum job_device device)
{
    char name[] = "00004";
    Vlmq__Jobs__Probe probe = VLMQ__JOBS__PROBE__INIT;
    probe.fault = fault;
    probe.fault_every = 2;
    Vlmq__Grant grant = grant_of(bench, &probe, name, VLMQ__PHASE__PHASE_WORK);
    grant.attempt = attempt;
    begin(bench, &grant);
    EXPECT_EQ(end(bench), rc);
    EXPECT_EQ(bench->task->result.device, device);
    task_free(bench->task);
    bench->task = NULL;
}

TEST(task, faults_end_as_they_say)
{
    BENCH;
    expect_fault(bench, VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_NONE, 1, 0, JOB_DEVICE_FINE);
    expect_fault(bench, VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_RETRY, 1, ERR_UNAVAILABLE,
                 JOB_DEVICE_FINE);
    expect_fault(bench, VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_RETRY, 2, 0, JOB_DEVICE_FINE);
    expect_fault(bench, VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_ALWAYS, 2, ERR_UNAVAILABLE,
                 JOB_DEVICE_FINE);
    expect_fault(bench, VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_INPUT, 1, ERR_INVALID,
                 JOB_DEVICE_FINE);
    expect_fault(bench, VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_DEVICE, 1, ERR_UNAVAILABLE,
                 JOB_DEVICE_FAILED);
    expect_fault(bench, VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_DEVICE, 2, 0, JOB_DEVICE_FINE);
    expect_fault(bench, VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_FULL, 1, ERR_FULL, JOB_DEVICE_FINE);
    expect_fault(bench, VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_FULL, 2, 0, JOB_DEVICE_FINE);
}

TEST(task, fault_shows_in_every_nth_task_only)
{
    BENCH;
    char name[] = "00005";
    Vlmq__Jobs__Probe probe = VLMQ__JOBS__PROBE__INIT;
    probe.fault = VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_ALWAYS;
    probe.fault_every = 2;
    const Vlmq__Grant grant = grant_of(bench, &probe, name, VLMQ__PHASE__PHASE_WORK);
    begin(bench, &grant);
    EXPECT_OK(end(bench), &bench->task->err);
}

TEST(task, plan_adds_in_messages_that_follow_each_other_and_the_last_with_its_report)
{
    BENCH;
    char name[] = "";
    Vlmq__Jobs__Probe probe = VLMQ__JOBS__PROBE__INIT;
    probe.tasks = 2500;
    probe.items = 7;
    Vlmq__Grant grant = grant_of(bench, &probe, name, VLMQ__PHASE__PHASE_PLAN);
    grant.added = 400; /* by an attempt before this one */
    begin(bench, &grant);
    uint32_t added = 400;
    while (next(bench) == HOST_SAYS_ADD) {
        const Vlmq__Add *add = bench->task->host.add;
        char expected[16];
        EXPECT_EQ(add->offset, added);
        EXPECT(add->n_tasks > 0 && add->n_tasks <= TASKS_PER_ADD_MAX);
        EXPECT_TEXT(add->attempt->lease, lease);
        (void)snprintf(expected, sizeof expected, "%05u", added);
        EXPECT_TEXT(add->tasks[0]->name, expected);
        EXPECT_EQ(add->tasks[0]->items, 7);
        EXPECT_EQ(add->tasks[0]->phase, VLMQ__PHASE__PHASE_WORK);
        added += (uint32_t)add->n_tasks;
        host_answer(&bench->task->host, 0, added, NULL);
    }
    task_end(bench->task);
    EXPECT_OK(bench->task->rc, &bench->task->err);
    EXPECT_EQ(added, 2400);
    EXPECT_EQ(bench->task->host.added, 2400);
    EXPECT_EQ(bench->task->result.tasks_count, 100);
    EXPECT_TEXT(bench->task->result.tasks[0].name, "02400");
    EXPECT_TEXT(bench->task->result.tasks[99].name, "02499");
}

TEST(task, failed_add_ends_the_plan_with_its_code)
{
    BENCH;
    char name[] = "";
    struct err why;
    Vlmq__Jobs__Probe probe = VLMQ__JOBS__PROBE__INIT;
    probe.tasks = 1001;
    const Vlmq__Grant grant = grant_of(bench, &probe, name, VLMQ__PHASE__PHASE_PLAN);
    begin(bench, &grant);
    EXPECT_EQ(next(bench), HOST_SAYS_ADD);
    EXPECT_EQ(bench->task->host.add->n_tasks, 1000);
    host_answer(&bench->task->host, err_set(&why, ERR_STALE, "not yours"), 0, &why);
    EXPECT_EQ(end(bench), ERR_STALE);
    EXPECT_TEXT(bench->task->err.msg, "not yours");
}

TEST(task, second_attempt_adopts_the_file_of_the_first)
{
    BENCH;
    char name[] = "00003", path[4096];
    struct buf text;
    struct err err;
    struct job_result first;
    const char *dir = test_dir_new();
    Vlmq__Jobs__Probe probe = VLMQ__JOBS__PROBE__INIT;
    probe.items = 2;
    memcpy(&probe.output, &dir, sizeof probe.output);
    Vlmq__Grant grant = grant_of(bench, &probe, name, VLMQ__PHASE__PHASE_WORK);
    begin(bench, &grant);
    EXPECT_OK(end(bench), &bench->task->err);
    first = bench->task->result;
    EXPECT_TEXT(first.made, "00003");
    task_free(bench->task);
    char other_lease[] = "ffeeddccbbaa99887766554433221100";
    grant.lease = other_lease;
    grant.attempt = 2;
    begin(bench, &grant);
    EXPECT_OK(end(bench), &bench->task->err);
    EXPECT_MEM(bench->task->result.digest, first.digest, sizeof first.digest);
    EXPECT_EQ(counter(bench->task, "probe.items"), 2);
    EXPECT_EQ(bench->task->result.progress.stage[0].finished, 0); /* nothing was counted again */
    EXPECT(fs_join(path, sizeof path, dir, "00003.txt"));
    buf_init(&text, 0);
    EXPECT_OK(fs_read(&text, path, 100, &err), &err);
    EXPECT_TEXT(buf_str(&text), "probe 00003 counted 2 items\n");
    buf_deinit(&text);
    test_dir_remove(dir);
}

TEST(task, close_sums_up_what_was_made)
{
    BENCH;
    char one[] = "00000", two[] = "00001", none[] = "", path[4096];
    char *const names[] = {one, two};
    struct buf text;
    struct err err;
    const char *dir = test_dir_new();
    Vlmq__Jobs__Probe probe = VLMQ__JOBS__PROBE__INIT;
    probe.items = 4;
    memcpy(&probe.output, &dir, sizeof probe.output);
    for (int i = 0; i < 2; i++) {
        const Vlmq__Grant grant = grant_of(bench, &probe, names[i], VLMQ__PHASE__PHASE_WORK);
        begin(bench, &grant);
        EXPECT_OK(end(bench), &bench->task->err);
        task_free(bench->task);
    }
    Vlmq__Grant grant = grant_of(bench, &probe, none, VLMQ__PHASE__PHASE_CLOSE);
    grant.tasks_dead = 1;
    begin(bench, &grant);
    EXPECT_OK(end(bench), &bench->task->err);
    EXPECT(fs_join(path, sizeof path, dir, "manifest.json"));
    buf_init(&text, 0);
    EXPECT_OK(fs_read(&text, path, 1000, &err), &err);
    EXPECT_TEXT(buf_str(&text), "{\"kind\":\"probe\",\"tasks\":2,\"items\":8,\"tasks_dead\":1}\n");
    buf_deinit(&text);
    test_dir_remove(dir);
}

/* A kind of this test: leaves more new tasks in its result than one message holds. */
#define LARGE_TASKS 1000

static int large_check(const uint8_t *spec, size_t bytes, struct err *err)
{
    (void)spec, (void)bytes, (void)err;
    return 0;
}

static int large_work(struct job_env *env, struct job_result *result, struct err *err)
{
    struct job_new_task *tasks = arena_new(env->arena, LARGE_TASKS * sizeof *tasks);
    static const uint8_t payload[PAYLOAD_BYTES_MAX];
    (void)err;
    for (uint32_t i = 0; i < LARGE_TASKS; i++)
        tasks[i] = (struct job_new_task){
            .name = arena_printf(env->arena, "%u", i),
            .payload = {payload, sizeof payload},
        };
    result->tasks = tasks;
    result->tasks_count = LARGE_TASKS;
    return 0;
}

static const struct job_kind large = {
    .name = "large", .check = large_check, .work = large_work, .plan = large_work};

TEST(task, result_that_is_too_large_for_one_message_is_added_in_parts)
{
    BENCH;
    char name[] = "x";
    Vlmq__Jobs__Probe probe = VLMQ__JOBS__PROBE__INIT;
    const Vlmq__Grant grant = grant_of(bench, &probe, name, VLMQ__PHASE__PHASE_WORK);
    begin_kind(bench, &grant, &large);
    uint32_t added = 0;
    while (next(bench) == HOST_SAYS_ADD) {
        const Vlmq__Add *add = bench->task->host.add;
        EXPECT_EQ(add->offset, added);
        EXPECT(vlmq__add__get_packed_size(add) <= ADD_BYTES_MAX);
        added += (uint32_t)add->n_tasks;
        host_answer(&bench->task->host, 0, added, NULL);
    }
    task_end(bench->task);
    EXPECT_OK(bench->task->rc, &bench->task->err);
    EXPECT(added > 0);
    EXPECT(bench->task->result.tasks_count > 0);
    EXPECT_EQ(added + bench->task->result.tasks_count, LARGE_TASKS);
}

/* A kind of this test: its files are gone at the first call, or at all of them. */
static uint32_t stale_calls, stale_times;

static int stale_work(struct job_env *env, struct job_result *result, struct err *err)
{
    (void)env;
    EXPECT_EQ(result->counters_count, 0);
    job_count(result, "calls", ++stale_calls);
    return stale_calls <= stale_times ? err_set(err, ERR_STALE, "another has committed") : 0;
}

static const struct job_kind stale = {.name = "stale", .check = large_check, .work = stale_work};

TEST(task, work_that_another_attempt_has_committed_is_called_again_once)
{
    BENCH;
    char name[] = "x";
    Vlmq__Jobs__Probe probe = VLMQ__JOBS__PROBE__INIT;
    const Vlmq__Grant grant = grant_of(bench, &probe, name, VLMQ__PHASE__PHASE_WORK);
    stale_calls = 0;
    stale_times = 1;
    begin_kind(bench, &grant, &stale);
    EXPECT_OK(end(bench), &bench->task->err);
    EXPECT_EQ(counter(bench->task, "calls"), 2);
    task_free(bench->task);
    stale_calls = 0;
    stale_times = 9;
    begin_kind(bench, &grant, &stale);
    EXPECT_EQ(end(bench), ERR_STALE);
    EXPECT_EQ(stale_calls, 2);
}

TEST(task, kind_without_a_closing_function_closes_well)
{
    BENCH;
    char name[] = "";
    Vlmq__Jobs__Probe probe = VLMQ__JOBS__PROBE__INIT;
    const Vlmq__Grant grant = grant_of(bench, &probe, name, VLMQ__PHASE__PHASE_CLOSE);
    begin_kind(bench, &grant, &large);
    EXPECT_OK(end(bench), &bench->task->err);
}

TEST(registry, kinds_have_names_of_their_own_and_all_that_they_need)
{
    UNUSED_STATE;
    EXPECT(registry_at(0) != NULL);
    EXPECT(registry_find("no-such-kind") == NULL);
    for (uint32_t i = 0; registry_at(i); i++) {
        const struct job_kind *kind = registry_at(i);
        EXPECT(registry_find(kind->name) == kind);
        EXPECT(kind->check && kind->plan && kind->work);
    }
}

#define RUN_BENCH(claim) cmocka_unit_test_setup_teardown(task__##claim, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN_BENCH(work_counts_its_items_and_keeps_a_cursor),
        RUN_BENCH(work_goes_on_from_the_cursor),
        RUN_BENCH(work_stops_when_it_is_told),
        RUN_BENCH(reason_to_stop_is_never_lowered),
        RUN_BENCH(bad_spec_is_invalid_whatever_the_phase),
        RUN_BENCH(faults_end_as_they_say),
        RUN_BENCH(fault_shows_in_every_nth_task_only),
        RUN_BENCH(plan_adds_in_messages_that_follow_each_other_and_the_last_with_its_report),
        RUN_BENCH(failed_add_ends_the_plan_with_its_code),
        RUN_BENCH(second_attempt_adopts_the_file_of_the_first),
        RUN_BENCH(close_sums_up_what_was_made),
        RUN_BENCH(result_that_is_too_large_for_one_message_is_added_in_parts),
        RUN_BENCH(work_that_another_attempt_has_committed_is_called_again_once),
        RUN_BENCH(kind_without_a_closing_function_closes_well),
        RUN(registry, kinds_have_names_of_their_own_and_all_that_they_need),
    };
    return cmocka_run_group_tests_name("task", tests, NULL, NULL);
}
