/* Prefixes of job ids, suggestions of verbs, exit statuses, error classes. */
#include "client/vlmq.h"

#include "client/output/classes.h"
#include "client/verbs.h"
#include "common/base/str.h"
#include "tests/support/test.h"

#include <string.h>

TEST(match, one_id_with_the_prefix_is_found)
{
    struct vlmq_match match = {.prefix = "k3"};
    char id[JOB_ID_BYTES];
    struct err err;
    UNUSED_STATE;
    vlmq_match_add(&match, "a1");
    vlmq_match_add(&match, "k3v9");
    vlmq_match_add(&match, "k4");
    EXPECT_OK(vlmq_match_end(&match, id, &err), &err);
    EXPECT_TEXT(id, "k3v9");
}

TEST(match, several_are_refused_and_two_are_named)
{
    struct vlmq_match match = {.prefix = "k"};
    char id[JOB_ID_BYTES];
    struct err err;
    UNUSED_STATE;
    vlmq_match_add(&match, "k3v9");
    vlmq_match_add(&match, "k4xx");
    vlmq_match_add(&match, "k5yy");
    EXPECT_EQ(vlmq_match_end(&match, id, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "3 ids") != NULL);
    EXPECT(strstr(err.msg, "k3v9") != NULL);
    EXPECT(strstr(err.msg, "k4xx") != NULL);
}

TEST(match, an_exact_id_wins_over_longer_ones_in_any_order)
{
    struct err err;
    UNUSED_STATE;
    for (int turn = 0; turn < 2; turn++) {
        struct vlmq_match match = {.prefix = "job"};
        char id[JOB_ID_BYTES];
        vlmq_match_add(&match, turn ? "job" : "job-2");
        vlmq_match_add(&match, turn ? "job-2" : "job");
        vlmq_match_add(&match, "job-3");
        EXPECT_OK(vlmq_match_end(&match, id, &err), &err);
        EXPECT_TEXT(id, "job");
    }
}

TEST(match, none_is_not_found)
{
    struct vlmq_match match = {.prefix = "zz"};
    char id[JOB_ID_BYTES];
    struct err err;
    UNUSED_STATE;
    vlmq_match_add(&match, "k3v9");
    EXPECT_EQ(vlmq_match_end(&match, id, &err), ERR_NOT_FOUND);
}

TEST(verbs, a_misspelt_or_shortened_one_is_suggested)
{
    UNUSED_STATE;
    EXPECT_TEXT(verb_near("cancle"), "cancel");
    EXPECT_TEXT(verb_near("stat"), "status");
    EXPECT_TEXT(verb_near("worker"), "workers");
    EXPECT(verb_near("xyzzyx") == NULL);
    EXPECT(verb_find("run") != NULL);
    EXPECT(verb_find("ru") == NULL);
}

TEST(verbs, each_has_a_name_and_a_line_of_its_own)
{
    UNUSED_STATE;
    for (uint32_t i = 0; verb_at(i); i++) {
        EXPECT(verb_find(verb_at(i)->name) == verb_at(i));
        EXPECT(strlen(verb_at(i)->help) > 5);
        EXPECT(strlen(verb_at(i)->help) <= 66); /* --help keeps to 80 columns */
    }
}

TEST(exit, statuses_tell_what_kind_of_failure_it_was)
{
    UNUSED_STATE;
    EXPECT_EQ(exit_of(ERR_OK), 0);
    EXPECT_EQ(exit_of(ERR_INVALID), 2);
    EXPECT_EQ(exit_of(ERR_NOT_FOUND), 3);
    EXPECT_EQ(exit_of(ERR_UNAVAILABLE), 4);
    EXPECT_EQ(exit_of(ERR_CANCELLED), 5);
    EXPECT_EQ(exit_of(ERR_DENIED), 6);
    EXPECT_EQ(exit_of(ERR_TIMEOUT), 7);
    EXPECT_EQ(exit_of(ERR_INTERNAL), 1);
}

TEST(states, a_paused_job_is_called_so_only_while_it_runs)
{
    Vlmq__Job job;
    UNUSED_STATE;
    vlmq__job__init(&job);
    job.paused = true;
    job.state = VLMQ__JOB_STATE__JOB_RUNNING;
    EXPECT_TEXT(vlmq_job_state(&job), "paused");
    job.state = VLMQ__JOB_STATE__JOB_CANCELLED;
    EXPECT_TEXT(vlmq_job_state(&job), "cancelled");
    job.paused = false;
    job.state = VLMQ__JOB_STATE__JOB_CLOSING;
    EXPECT_TEXT(vlmq_job_state(&job), "closing");
    EXPECT(vlmq_job_ended(VLMQ__JOB_STATE__JOB_FAILED));
    EXPECT(!vlmq_job_ended(VLMQ__JOB_STATE__JOB_CANCELLING));
}

TEST(classes, failed_ones_come_by_frequency)
{
    char names[][24] = {"status.timeout", "status.success", "rows", "status.http_status",
                        "status.dns"};
    const int64_t values[] = {5, 90, 100, 5, 0};
    Vlmq__Counter counter[5], *counters[5];
    struct class_list list;
    Vlmq__Job job;
    UNUSED_STATE;
    vlmq__job__init(&job);
    for (int i = 0; i < 5; i++) {
        vlmq__counter__init(&counter[i]);
        counter[i].name = names[i];
        counter[i].value = values[i];
        counters[i] = &counter[i];
    }
    counter[3].value = 7;
    job.counters = counters;
    job.n_counters = 5;
    classes_of(&list, &job);
    EXPECT_EQ(list.count, 2);
    EXPECT_TEXT(list.item[0].name, "http_status");
    EXPECT_TEXT(list.item[1].name, "timeout");
    EXPECT_EQ(list.failed, 12);
    EXPECT_EQ(list.all, 102);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(match, one_id_with_the_prefix_is_found),
        RUN(match, several_are_refused_and_two_are_named),
        RUN(match, an_exact_id_wins_over_longer_ones_in_any_order),
        RUN(match, none_is_not_found),
        RUN(verbs, a_misspelt_or_shortened_one_is_suggested),
        RUN(verbs, each_has_a_name_and_a_line_of_its_own),
        RUN(exit, statuses_tell_what_kind_of_failure_it_was),
        RUN(states, a_paused_job_is_called_so_only_while_it_runs),
        RUN(classes, failed_ones_come_by_frequency),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
