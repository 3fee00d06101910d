/* policy_test.c - claims about who gets which task. */
#include "broker/policy.h"

#include "common/base/mem.h"
#include "tests/support/test.h"

#include <string.h>

#define NOW 1000000

/* A match under construction. */
struct table {
    struct policy *p;
    Vlmq__WorkerInfo worker[8];
    Vlmq__Needs needs[8];
    char *kinds[2], *models[1], *labels[2];
};

static struct table *table_new(void)
{
    struct table *t = mem_new(sizeof *t);
    t->p = mem_new(sizeof *t->p);
    return t;
}

static void table_free(struct table *t)
{
    mem_free(t->p);
    mem_free(t);
}

static char download[] = "download", encode[] = "encode", cpu[] = "cpu", cuda[] = "cuda",
            cuda0[] = "cuda:0", clip[] = "clip", fast[] = "fast", big[] = "big";

static struct policy_take *add_take(struct table *t, uint32_t credits, char *device)
{
    const uint32_t i = t->p->takes_count++;
    t->kinds[0] = download;
    t->kinds[1] = encode;
    vlmq__worker_info__init(&t->worker[i]);
    t->worker[i].device = device;
    t->worker[i].kinds = t->kinds;
    t->worker[i].n_kinds = 2;
    t->p->take[i] = (struct policy_take){
        .worker = &t->worker[i], .credits = credits, .idle = true, .since_ms = NOW - 10};
    return &t->p->take[i];
}

/* Each job its own owner unless told otherwise; older jobs are added first. */
static struct policy_job *add_job(struct table *t, uint32_t ready)
{
    const uint32_t i = t->p->jobs_count++;
    vlmq__needs__init(&t->needs[i]);
    t->p->owners_count = t->p->jobs_count;
    t->p->job[i] = (struct policy_job){.kind = download,
                                       .needs = &t->needs[i],
                                       .owner = i,
                                       .ready = ready,
                                       .submitted_at_ms = NOW - 1000 + i,
                                       .ready_since_ms = NOW - 10};
    return &t->p->job[i];
}

static uint32_t given(const struct table *t, uint32_t job, uint32_t take)
{
    for (uint32_t i = 0; i < t->p->grants_count; i++) {
        if (t->p->grant[i].job == job && t->p->grant[i].take == take) return t->p->grant[i].count;
    }
    return 0;
}

static uint32_t given_job(const struct table *t, uint32_t job)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < t->p->takes_count; i++) sum += given(t, job, i);
    return sum;
}

TEST(policy, nothing_ready_gives_nothing)
{
    UNUSED_STATE;
    struct table *t = table_new();
    add_take(t, 4, cpu);
    add_job(t, 0);
    policy_match(t->p, NOW);
    EXPECT_EQ(t->p->grants_count, 0);
    EXPECT_EQ(t->p->wait_ms, -1);
    table_free(t);
}

TEST(policy, never_gives_more_than_credits_or_ready_tasks)
{
    UNUSED_STATE;
    struct table *t = table_new();
    add_take(t, 3, cpu);
    add_job(t, 2);
    add_job(t, 9);
    policy_match(t->p, NOW);
    EXPECT(given_job(t, 0) <= 2);
    EXPECT_EQ(given_job(t, 0) + given_job(t, 1), 3);
    EXPECT_EQ(t->p->take[0].credits, 0);
    table_free(t);
}

TEST(policy, higher_priority_goes_first_whatever_the_age)
{
    UNUSED_STATE;
    struct table *t = table_new();
    add_take(t, 2, cpu);
    add_job(t, 5);
    add_job(t, 5)->priority = 1;
    policy_match(t->p, NOW);
    EXPECT_EQ(given_job(t, 0), 0);
    EXPECT_EQ(given_job(t, 1), 2);
    table_free(t);
}

TEST(policy, interactive_goes_before_any_batch_priority)
{
    UNUSED_STATE;
    struct table *t = table_new();
    add_take(t, 1, cpu);
    add_job(t, 1)->priority = 100;
    add_job(t, 1)->interactive = true;
    policy_match(t->p, NOW);
    EXPECT_EQ(given_job(t, 1), 1);
    EXPECT_EQ(given_job(t, 0), 0);
    table_free(t);
}

TEST(policy, batch_never_gets_interactive_credits)
{
    UNUSED_STATE;
    struct table *t = table_new();
    add_take(t, 0, cpu)->credits_interactive = 4;
    add_job(t, 3);
    add_job(t, 1)->interactive = true;
    policy_match(t->p, NOW);
    EXPECT_EQ(given_job(t, 0), 0);
    EXPECT_EQ(given_job(t, 1), 1);
    EXPECT_EQ(t->p->take[0].credits_interactive, 3);
    table_free(t);
}

TEST(policy, interactive_uses_its_own_credits_before_the_common_ones)
{
    UNUSED_STATE;
    struct table *t = table_new();
    add_take(t, 2, cpu)->credits_interactive = 1;
    add_job(t, 2)->interactive = true;
    policy_match(t->p, NOW);
    EXPECT_EQ(given_job(t, 0), 2);
    EXPECT_EQ(t->p->take[0].credits_interactive, 0);
    EXPECT_EQ(t->p->take[0].credits, 1);
    table_free(t);
}

TEST(policy, owners_share_evenly_whatever_the_number_of_their_jobs)
{
    UNUSED_STATE;
    struct table *t = table_new();
    add_take(t, 8, cpu);
    add_job(t, 100)->owner = 0;
    add_job(t, 100)->owner = 0;
    add_job(t, 100)->owner = 0;
    add_job(t, 100)->owner = 1;
    policy_match(t->p, NOW);
    EXPECT_EQ(given_job(t, 3), 4);
    table_free(t);
}

TEST(policy, an_owner_with_leased_tasks_waits_for_the_others)
{
    UNUSED_STATE;
    struct table *t = table_new();
    add_take(t, 4, cpu);
    add_job(t, 9);
    add_job(t, 9);
    t->p->owner[0].leased = 3;
    policy_match(t->p, NOW);
    EXPECT_EQ(given_job(t, 0), 1); /* 3+0 against 0+3, then one each */
    EXPECT_EQ(given_job(t, 1), 3);
    table_free(t);
}

TEST(policy, with_equal_leases_the_owner_served_less_lately_goes_first)
{
    UNUSED_STATE;
    struct table *t = table_new();
    add_take(t, 1, cpu);
    add_job(t, 9);
    add_job(t, 9);
    t->p->owner[0].recent = 2.5;
    t->p->owner[1].recent = 0.5;
    policy_match(t->p, NOW);
    EXPECT_EQ(given_job(t, 1), 1);
    table_free(t);
}

TEST(policy, the_older_job_of_an_owner_goes_first)
{
    UNUSED_STATE;
    struct table *t = table_new();
    add_take(t, 3, cpu);
    add_job(t, 9)->submitted_at_ms = NOW - 1;
    add_job(t, 2)->submitted_at_ms = NOW - 2;
    t->p->job[1].owner = 0;
    policy_match(t->p, NOW);
    EXPECT_EQ(given_job(t, 1), 2);
    EXPECT_EQ(given_job(t, 0), 1);
    table_free(t);
}

TEST(policy, a_worker_gets_only_kinds_that_it_runs)
{
    UNUSED_STATE;
    struct table *t = table_new();
    static char train[] = "train";
    add_take(t, 4, cpu);
    add_job(t, 1)->kind = train;
    add_job(t, 1)->kind = encode;
    policy_match(t->p, NOW);
    EXPECT_EQ(given_job(t, 0), 0);
    EXPECT_EQ(given_job(t, 1), 1);
    table_free(t);
}

TEST(policy, device_memory_and_labels_must_fit)
{
    UNUSED_STATE;
    struct table *t = table_new();
    struct policy_take *small = add_take(t, 1, cuda0);
    struct policy_take *large = add_take(t, 1, cuda0);
    add_take(t, 1, cpu);
    t->labels[0] = fast;
    t->labels[1] = big;
    t->worker[0].device_bytes_free = 10;
    t->worker[1].device_bytes_free = 100;
    t->worker[1].labels = t->labels;
    t->worker[1].n_labels = 2;
    add_job(t, 5);
    t->needs[0].device = cuda;
    t->needs[0].device_bytes = 50;
    t->needs[0].labels = &t->labels[1];
    t->needs[0].n_labels = 1;
    policy_match(t->p, NOW);
    EXPECT_EQ(given(t, 0, 1), 1);
    EXPECT_EQ(given_job(t, 0), 1);
    EXPECT_EQ(small->credits, 1);
    EXPECT_EQ(large->credits, 0);
    table_free(t);
}

TEST(policy, a_device_name_is_not_met_by_a_longer_word)
{
    UNUSED_STATE;
    struct table *t = table_new();
    static char cudax[] = "cudax";
    add_take(t, 1, cudax);
    add_job(t, 1);
    t->needs[0].device = cuda;
    policy_match(t->p, NOW);
    EXPECT_EQ(t->p->grants_count, 0);
    table_free(t);
}

/* A job for a model, a cold worker and, where warm is set, a warm one. */
static struct table *model_table(bool warm)
{
    struct table *t = table_new();
    add_take(t, 4, cuda0);
    if (warm) {
        add_take(t, 1, cuda0);
        t->models[0] = clip;
        t->worker[1].models = t->models;
        t->worker[1].n_models = 1;
    }
    add_job(t, 1);
    t->needs[0].model = clip;
    return t;
}

TEST(policy, a_worker_with_the_model_loaded_is_preferred)
{
    UNUSED_STATE;
    struct table *t = model_table(true);
    add_take(t, 9, cuda0); /* cold ones before and after it, with more credits */
    policy_match(t->p, NOW);
    EXPECT_EQ(given(t, 0, 1), 1);
    table_free(t);
}

TEST(policy, a_loaded_model_needs_no_more_free_memory)
{
    UNUSED_STATE;
    struct table *t = model_table(true);
    t->needs[0].device_bytes = 1000;
    policy_match(t->p, NOW);
    EXPECT_EQ(given(t, 0, 1), 1);
    table_free(t);
}

TEST(policy, a_cold_worker_waits_while_a_warm_one_is_busy)
{
    UNUSED_STATE;
    struct table *t = model_table(false);
    t->p->job[0].warm_busy = true;
    policy_match(t->p, NOW);
    EXPECT_EQ(t->p->grants_count, 0);
    EXPECT_EQ(t->p->wait_ms, WARM_WAIT_MS - 10);
    table_free(t);
}

TEST(policy, a_cold_worker_waits_no_longer_than_the_cap)
{
    UNUSED_STATE;
    struct table *t = model_table(false);
    t->p->job[0].warm_busy = true;
    t->p->job[0].ready_since_ms = NOW - WARM_WAIT_MS;
    policy_match(t->p, NOW);
    EXPECT_EQ(given(t, 0, 0), 1);
    table_free(t);
}

TEST(policy, waiting_for_a_warm_worker_leaves_the_cold_one_to_other_jobs)
{
    UNUSED_STATE;
    struct table *t = model_table(false);
    t->p->job[0].warm_busy = true;
    add_job(t, 2)->priority = -5;
    policy_match(t->p, NOW);
    EXPECT_EQ(given(t, 1, 0), 2);
    table_free(t);
}

TEST(policy, work_spreads_over_the_workers)
{
    UNUSED_STATE;
    struct table *t = table_new();
    add_take(t, 4, cpu);
    add_take(t, 4, cpu);
    add_take(t, 4, cpu);
    add_job(t, 6);
    policy_match(t->p, NOW);
    for (uint32_t i = 0; i < 3; i++) EXPECT_EQ(given(t, 0, i), 2);
    table_free(t);
}

TEST(policy, among_equals_the_take_that_waited_longest_is_served)
{
    UNUSED_STATE;
    struct table *t = table_new();
    add_take(t, 1, cpu);
    add_take(t, 1, cpu)->since_ms = NOW - 500;
    add_job(t, 1);
    policy_match(t->p, NOW);
    EXPECT_EQ(given(t, 0, 1), 1);
    table_free(t);
}

TEST(policy, tasks_that_run_alone_go_to_idle_workers_only)
{
    UNUSED_STATE;
    struct table *t = table_new();
    add_take(t, 2, cpu)->idle = false;
    add_take(t, 2, cpu);
    add_job(t, 2)->idle_only = true;
    policy_match(t->p, NOW);
    EXPECT_EQ(given(t, 0, 0), 0);
    EXPECT_EQ(given(t, 0, 1), 1); /* and is idle no more */
    table_free(t);
}

TEST(policy, a_worker_is_kept_free_for_tasks_that_run_alone)
{
    UNUSED_STATE;
    static char first[] = "a/cpu/1/x", second[] = "b/cpu/1/x";
    struct table *t = table_new();
    add_take(t, 2, cpu)->idle = false;
    add_take(t, 2, cpu)->idle = false;
    t->worker[0].id = second;
    t->worker[1].id = first;
    add_job(t, 1)->idle_only = true;
    add_job(t, 8);
    policy_match(t->p, NOW);
    EXPECT_EQ(given_job(t, 0), 0);
    EXPECT_EQ(given(t, 1, 0), 2);
    EXPECT_EQ(given(t, 1, 1), 0);
    table_free(t);
}

TEST(policy, a_task_that_runs_alone_has_the_worker_for_itself)
{
    UNUSED_STATE;
    struct table *t = table_new();
    add_take(t, 2, cpu);
    add_job(t, 1)->idle_only = true;
    add_job(t, 8);
    policy_match(t->p, NOW);
    EXPECT_EQ(given(t, 0, 0), 1);
    EXPECT_EQ(given(t, 1, 0), 0);
    table_free(t);
}

TEST(policy, says_so_when_the_limit_of_grants_ends_it)
{
    UNUSED_STATE;
    struct table *t = table_new();
    for (uint32_t i = 0; i < 5; i++) add_take(t, 100, cpu);
    add_job(t, 1000);
    policy_match(t->p, NOW);
    EXPECT_EQ(given_job(t, 0), MATCH_GRANTS_MAX);
    EXPECT(t->p->more);
    table_free(t);
}

TEST(policy, memory_of_grants_halves_with_its_half_life)
{
    UNUSED_STATE;
    EXPECT(policy_decay(8, 0) == 8);
    EXPECT(policy_decay(8, RECENT_HALF_MS) == 4);
    EXPECT(policy_decay(8, 3 * (int64_t)RECENT_HALF_MS) == 1);
    EXPECT(policy_decay(8, RECENT_HALF_MS / 2) == 6);
    EXPECT(policy_decay(8, INT64_MAX) < 1e-3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(policy, nothing_ready_gives_nothing),
        RUN(policy, never_gives_more_than_credits_or_ready_tasks),
        RUN(policy, higher_priority_goes_first_whatever_the_age),
        RUN(policy, interactive_goes_before_any_batch_priority),
        RUN(policy, batch_never_gets_interactive_credits),
        RUN(policy, interactive_uses_its_own_credits_before_the_common_ones),
        RUN(policy, owners_share_evenly_whatever_the_number_of_their_jobs),
        RUN(policy, an_owner_with_leased_tasks_waits_for_the_others),
        RUN(policy, with_equal_leases_the_owner_served_less_lately_goes_first),
        RUN(policy, the_older_job_of_an_owner_goes_first),
        RUN(policy, a_worker_gets_only_kinds_that_it_runs),
        RUN(policy, device_memory_and_labels_must_fit),
        RUN(policy, a_device_name_is_not_met_by_a_longer_word),
        RUN(policy, a_worker_with_the_model_loaded_is_preferred),
        RUN(policy, a_loaded_model_needs_no_more_free_memory),
        RUN(policy, a_cold_worker_waits_while_a_warm_one_is_busy),
        RUN(policy, a_cold_worker_waits_no_longer_than_the_cap),
        RUN(policy, waiting_for_a_warm_worker_leaves_the_cold_one_to_other_jobs),
        RUN(policy, work_spreads_over_the_workers),
        RUN(policy, among_equals_the_take_that_waited_longest_is_served),
        RUN(policy, tasks_that_run_alone_go_to_idle_workers_only),
        RUN(policy, a_worker_is_kept_free_for_tasks_that_run_alone),
        RUN(policy, a_task_that_runs_alone_has_the_worker_for_itself),
        RUN(policy, says_so_when_the_limit_of_grants_ends_it),
        RUN(policy, memory_of_grants_halves_with_its_half_life),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
