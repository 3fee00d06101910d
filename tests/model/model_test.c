/* model_test.c - looks at every state that one task can get into: with all rules nothing that was
 * promised breaks; without any one of them something does, and the shortest way there is printed.
 *
 * The printed table is the proof in short; docs/reliability.md says what follows from it. */
#include "common/base/buf.h"
#include "common/base/fs.h"
#include "tests/model/search.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <string.h>

/* What Redis promises when it answers before its fsync (appendfsync everysec): the output is right
 * and complete, once, and the job ends; but Redis may forget that there was a job. */
#define EVERYSEC          (RULES_ALL & ~(1u << RULE_SYNCED_ANSWER))
#define EVERYSEC_PROMISES (PROMISES_ALL & ~(1u << NO_LOST_JOB | 1u << NO_UNDONE))
#define STATES_AT_LEAST   10000

static void row(const char *what, struct finding finding)
{
    printf("%-42s %9u  %s", what, finding.states, model_properties[finding.broken]);
    if (finding.broken) printf(" (%u steps)", finding.steps);
    printf("\n");
    (void)fflush(stdout);
}

TEST(model, all_rules_together_break_no_promise)
{
    UNUSED_STATE;
    const struct finding always = search(RULES_ALL, PROMISES_ALL, true);
    row("none, appendfsync always", always);
    const struct finding everysec = search(EVERYSEC, EVERYSEC_PROMISES, true);
    row("none, appendfsync everysec, weaker promise", everysec);
    EXPECT_EQ(always.broken, HOLDS);
    EXPECT_EQ(everysec.broken, HOLDS);
    EXPECT(always.states > STATES_AT_LEAST);
    EXPECT(everysec.states > STATES_AT_LEAST);
}

static const struct {
    enum rule rule;
    uint32_t rules, promises; /* before the rule is taken away */
    enum property broken;     /* the one that must be found */
} removed[] = {
    {RULE_DONE_LEASE, RULES_ALL, PROMISES_ALL, NO_STOLEN_LEASE},
    {RULE_FAIL_LEASE, RULES_ALL, PROMISES_ALL, NO_STOLEN_LEASE},
    {RULE_YIELD_LEASE, RULES_ALL, PROMISES_ALL, NO_STOLEN_LEASE},
    {RULE_RENEW_LEASE, RULES_ALL, PROMISES_ALL, NO_REVIVED_LEASE},
    {RULE_TAKE_READY, RULES_ALL, PROMISES_ALL, NO_SECOND_LEASE},
    {RULE_LEASE_RANDOM, EVERYSEC, EVERYSEC_PROMISES, NO_SHARED_ID},
    {RULE_COMMIT_FIRST, RULES_ALL, PROMISES_ALL, NO_EMPTY_DONE},
    {RULE_CREATE_ABSENT, RULES_ALL, PROMISES_ALL, NO_REPLACED_OUTPUT},
    {RULE_ADOPT, RULES_ALL, PROMISES_ALL, NO_TRAP},
    {RULE_ROLL_FORWARD, RULES_ALL, PROMISES_ALL, NO_UNPUBLISHED},
    {RULE_OWN_FILES, RULES_ALL, PROMISES_ALL, NO_LOST_FILES},
    {RULE_KEEP_FILES, RULES_ALL, PROMISES_ALL, NO_LOST_FILES},
    {RULE_DONE_REPEAT, RULES_ALL, PROMISES_ALL, NO_DOUBLE_COUNT},
    {RULE_SUBMIT_REPEAT, RULES_ALL, PROMISES_ALL, NO_SECOND_JOB},
    {RULE_CLOSE_LAST, RULES_ALL, PROMISES_ALL, NO_EARLY_CLOSE},
    {RULE_SWEEP, RULES_ALL, PROMISES_ALL, NO_LEFT_FILES},
    {RULE_SYNCED_ANSWER, RULES_ALL, PROMISES_ALL, NO_LOST_JOB},
    {RULE_SYNCED_ANSWER, RULES_ALL, PROMISES_ALL & ~(1u << NO_LOST_JOB), NO_UNDONE},
};
#define REMOVED (sizeof removed / sizeof *removed)

TEST(model, every_rule_is_needed)
{
    UNUSED_STATE;
    struct finding finding[REMOVED];
    uint32_t tried = 0;
    for (size_t i = 0; i < REMOVED; i++) {
        const uint32_t bit = 1u << removed[i].rule;
        tried |= bit;
        printf("\nwithout \"%s\":\n", model_rules[removed[i].rule].name);
        finding[i] = search(removed[i].rules & ~bit, removed[i].promises, true);
        printf("  ==> %s\n", model_properties[finding[i].broken]);
    }
    printf("\n%-42s %9s  violation\n", "rule taken away", "states");
    for (size_t i = 0; i < REMOVED; i++) row(model_rules[removed[i].rule].name, finding[i]);
    for (size_t i = 0; i < REMOVED; i++) EXPECT_EQ(finding[i].broken, removed[i].broken);
    EXPECT_EQ(tried, RULES_ALL);
}

/* The model is of this program as long as the program has these. */
TEST(model, each_rule_stands_where_it_is_said_to)
{
    UNUSED_STATE;
    for (uint32_t i = 0; i < RULES_COUNT; i++) {
        char path[512];
        struct buf text;
        struct err err;
        buf_init(&text, 1 << 20);
        (void)snprintf(path, sizeof path, TESTS_DIR "/../%s", model_rules[i].file);
        EXPECT_OK(fs_read(&text, path, 1 << 20, &err), &err);
        if (!strstr(buf_str(&text), model_rules[i].symbol))
            print_message("%s has no %s\n", model_rules[i].file, model_rules[i].symbol);
        EXPECT(strstr(buf_str(&text), model_rules[i].symbol) != NULL);
        buf_deinit(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(model, all_rules_together_break_no_promise),
        RUN(model, every_rule_is_needed),
        RUN(model, each_rule_stands_where_it_is_said_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
