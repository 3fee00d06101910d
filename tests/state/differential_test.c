/* differential_test.c - random operations on the Redis functions and on a model in plain C give the
 * same answers and leave the same state; and a fault planted in the functions is found, and shown
 * by a short script.
 *
 * VLMQ_SEED repeats a run from the epoch that failed, VLMQ_OPERATIONS sets its length. Where a text
 * of a planted fault is not in the functions any more, plant the same fault anew. */
#include "tests/state/differential.h"

#include "common/base/check.h"
#include "common/base/str.h"
#include "tests/support/test.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define OPERATIONS       100000
#define EPOCH            2500 /* operations on one Redis, before it is emptied */
#define FAULT_EPOCH      800  /* a fault that shows early shows in few */
#define FAULT_OPERATIONS 20000
#define FAULT_SEED       1
#define FAULT_LINES      12
#define FAULT_TRIES      6

static uint32_t operations(void)
{
    const char *text = getenv("VLMQ_OPERATIONS");
    int64_t value = OPERATIONS;
    struct err err = {0};
    if (text) EXPECT_OK(str_to_int(&value, text, 1, 1000000000, "VLMQ_OPERATIONS", &err), &err);
    return (uint32_t)value;
}

/* So low that a few hundred operations reach them. */
static struct queue_limits low_limits(void)
{
    return (struct queue_limits){
        .tasks = 350, .counters = 5, .reap = 4, .retry = 3, .scan = 12, .tails = 3, .events = 15};
}

static void show(const char *title, const struct buf *text)
{
    print_message("%s\n", title);
    for (const char *at = buf_str(text); *at;) {
        const char *end = strchr(at, '\n');
        const int len = end ? (int)(end - at) : (int)strlen(at);
        print_message("%.*s\n", len, at);
        at += len + (end ? 1 : 0);
    }
}

static void show_failure(struct runner *runner, struct script *script, uint64_t seed)
{
    struct buf text;
    buf_init(&text, 0);
    show("a difference:", &runner->difference);
    const uint32_t steps = script->count, runs = script_shrink(runner, script);
    print_message("seed %ju: %u steps shrunk to %u in %u runs:\n", (uintmax_t)seed, steps,
                  script->count, runs);
    script_print(script, &text);
    show("", &text);
    show("the difference that is left:", &runner->difference);
    buf_deinit(&text);
}

/* Epochs from a seed each until `count` operations are done; false at the first difference. */
static bool run_epochs(struct runner *runner, struct script *script, uint64_t *seed, uint32_t count,
                       uint32_t epoch, bool crashes)
{
    struct generator *generator = mem_new(sizeof *generator);
    bool good = true;
    for (uint32_t done = 0; good && done < count; done += epoch) {
        generator_init(generator, *seed, crashes);
        runner_reset(runner);
        runner->compare_every = 500;
        script->count = 0;
        good = runner_run(runner, generator, script, count - done < epoch ? count - done : epoch);
        if (good) (*seed)++;
    }
    mem_free(generator);
    return good;
}

/* Or nothing is tested. */
static void expect_met(const struct met *met)
{
    for (size_t op = 0; op <= STATE_DRAIN; op++) EXPECT(met->good[op] > 0);
    for (size_t state = 1; state < sizeof met->job / sizeof *met->job; state++) {
        EXPECT(met->job[state] > 0);
    }
    for (size_t state = 1; state < sizeof met->task / sizeof *met->task; state++) {
        EXPECT(met->task[state] > 0);
    }
    print_message("%u calls shared a run, %u tasks ran alone, %u were lost too often, %u crashes\n",
                  met->shared, met->alone, met->lost, met->crashes);
    EXPECT(met->shared > 0);
    EXPECT(met->alone > 0);
    EXPECT(met->lost > 0);
    EXPECT(met->crashes > 0);
}

static void compare(const struct queue_limits *limits, uint64_t seed, uint32_t count)
{
    struct runner *runner = mem_new(sizeof *runner);
    struct script script = {0};
    runner_open(runner, limits, NULL);
    const bool good = run_epochs(runner, &script, &seed, count, EPOCH, true);
    if (!good) show_failure(runner, &script, seed);
    if (good && count >= OPERATIONS / 2) expect_met(&runner->met);
    runner_close(runner);
    mem_free(runner);
    script_deinit(&script);
    EXPECT(good);
}

TEST(functions, do_what_the_model_does)
{
    UNUSED_STATE;
    const struct queue_limits limits = queue_limits_real();
    compare(&limits, test_seed(), operations() / 2);
}

TEST(functions, do_what_the_model_does_at_their_limits)
{
    UNUSED_STATE;
    const struct queue_limits limits = low_limits();
    compare(&limits, test_seed(), operations() / 2);
}

/* --- planted faults --------------------------------------------------------------------------- */

/* The script shows the fault and nothing else: the functions as they are run it well. */
static void expect_caused(struct script *script)
{
    struct runner *runner = mem_new(sizeof *runner);
    const struct queue_limits limits = low_limits();
    runner_open(runner, &limits, NULL);
    EXPECT(runner_run(runner, NULL, script, script->count));
    runner_close(runner);
    mem_free(runner);
}

/* Shrinking ends where no step alone can be dropped, which need not be short: it is tried from some
 * more places where the fault shows. */
static uint32_t find(struct script *script, const struct fault *fault, uint64_t *seed)
{
    struct runner *runner = mem_new(sizeof *runner);
    const struct queue_limits limits = low_limits();
    runner_open(runner, &limits, fault);
    const bool found = !run_epochs(runner, script, seed, FAULT_OPERATIONS, FAULT_EPOCH, false);
    if (!found) print_message("not found: %s\n", fault->text);
    EXPECT(found);
    const uint32_t steps = script->count, runs = script_shrink(runner, script);
    print_message("%s: %u steps shrunk to %u in %u runs\n", fault->text, steps, script->count,
                  runs);
    EXPECT(runner->difference.len > 0);
    runner_close(runner);
    mem_free(runner);
    (*seed)++;
    return script->count;
}

static void expect_found(const struct fault *fault)
{
    struct script script = {0};
    uint64_t seed = FAULT_SEED;
    uint32_t tries = 1;
    while (find(&script, fault, &seed) > FAULT_LINES && tries < FAULT_TRIES) tries++;
    if (script.count > FAULT_LINES) {
        struct buf text;
        buf_init(&text, 0);
        script_print(&script, &text);
        show("too long:", &text);
        buf_deinit(&text);
    }
    EXPECT(script.count <= FAULT_LINES);
    expect_caused(&script);
    script_deinit(&script);
}

#define FAULT(name, from, to)                        \
    TEST(fault, name)                                \
    {                                                \
        UNUSED_STATE;                                \
        expect_found(&(struct fault){(from), (to)}); \
    }

FAULT(failures_are_not_counted, "rec[R_FAILURES] = rec[R_FAILURES] + 1", "")
FAULT(a_killer_runs_beside_others, "rec[R_LOSSES] >= LOSSES_ALONE and 'alone' or 'again'",
      "'again'")
FAULT(a_repeated_add_adds_again, "math.min(count, rec[R_ADDED] - offset)", "0")
FAULT(progress_outlives_its_lease, "progress_set(job, rec, 0, 0, 0)", "")
FAULT(a_chain_takes_shards_twice, "job.position ~= position", "false")
FAULT(a_repeated_fail_is_refused, "other[R_OUTCOME] == 'fail'", "false")
FAULT(a_cancelled_job_adds_tasks, "if job.state ~= JOB.CANCELLING then add_apply(", "do add_apply(")
FAULT(a_repeat_in_the_same_run_is_refused, "fins and fins[inside] or call(", "call(")
FAULT(what_is_due_later_is_ended, "believed > 0 and math.min(believed, now) or now", "now")

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        RUN(functions, do_what_the_model_does),
        RUN(functions, do_what_the_model_does_at_their_limits),
        RUN(fault, failures_are_not_counted),
        RUN(fault, a_killer_runs_beside_others),
        RUN(fault, a_repeated_add_adds_again),
        RUN(fault, progress_outlives_its_lease),
        RUN(fault, a_chain_takes_shards_twice),
        RUN(fault, a_repeated_fail_is_refused),
        RUN(fault, a_cancelled_job_adds_tasks),
        RUN(fault, a_repeat_in_the_same_run_is_refused),
        RUN(fault, what_is_due_later_is_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
