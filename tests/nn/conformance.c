/* conformance.c - every op of a backend against the reference backend.
 *
 *   conformance [--backend NAME] [--same-as SET] [--without TYPE] [--filter TEXT]
 *               [--list | --time | --repeat COUNT | --self-test]
 *
 * For each problem (op, shape, types, inputs): the answer is close to the reference's, and its bits
 * are the same when the op runs again, on other numbers of threads, over any cut of the items, and
 * as a pass that comes a second time.
 * A row of the table: the error of the worst row of the answer (root of the mean square, and the
 * largest, both relative to the row's size), and what differs. Exit status 1: something does.
 *
 * --same-as SET: the bits must also be those that the cpu backend gives with VLMQ_CPU=SET.
 * --without i8: the backend must refuse weights of that type with ERR_INVALID.
 * --time runs the shapes of ViT-L/14-336 instead and prints rates; --repeat gives each of those
 * COUNT times to one thread's backend, and all answers must be the same bits. --self-test plants
 * faults in the backend's ops, one at a time, and expects each to be found in that op, and no
 * other. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/nn/cases.h"
#include "tests/nn/plant.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MAX 3

struct suite {
    struct backend *reference;
    struct backend *backend[THREADS_MAX]; /* with 1, 2, 3 threads */
    struct backend *twin;                 /* of --same-as, or NULL */
    const char *filter;
    const char *without; /* a type of weights, or "" */
    bool is_quiet;
};

struct error {
    double l2, max;
    bool differs_where_special; /* an infinity or NaN that is not one */
};

/* What is lost below it is not an error: where subnormal numbers begin. */
static double smallest(enum dtype dtype)
{
    return dtype == DTYPE_F16 ? 0x1p-13 : 1e-32;
}

static double size_of(const float *x, int64_t count)
{
    double square = 0;
    int64_t finite = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(x[i])) continue;
        square += (double)x[i] * x[i];
        finite++;
    }
    return finite ? sqrt(square / (double)finite) : 0;
}

static void compare_row(struct error *error, const float *expected, const float *got, int64_t count,
                        double size, double floor)
{
    double square = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(expected[i])) {
            if (isnan(expected[i]) ? !isnan(got[i]) : expected[i] != got[i])
                error->differs_where_special = true;
            continue;
        }
        const double off = fabs((double)got[i] - expected[i]);
        if (!isfinite(off)) {
            error->differs_where_special = true;
            continue;
        }
        if (off == 0) continue;
        square += off * off;
        error->max = fmax(error->max, off / fmax(fabs((double)expected[i]) + size, floor));
    }
    if (square > 0) error->l2 = fmax(error->l2, sqrt(square / (double)count) / fmax(size, floor));
}

/* Rows with few numbers are measured by the size of all. */
static struct error compare(const struct tensor *shape, const void *expected, const void *got)
{
    const int64_t count = tensor_count(shape), columns = shape->shape[shape->rank - 1];
    float *a = mem_new((size_t)count * sizeof *a), *b = mem_new((size_t)count * sizeof *b);
    struct error error = {0};
    dtype_widen(a, expected, shape->dtype, (size_t)count);
    dtype_widen(b, got, shape->dtype, (size_t)count);
    const double size = size_of(a, count);
    for (int64_t at = 0; at < count; at += columns)
        compare_row(&error, a + at, b + at, columns, columns < 16 ? size : size_of(a + at, columns),
                    smallest(shape->dtype));
    mem_free(a);
    mem_free(b);
    return error;
}

/* How an op is given: over all items in one call; over 1, 2, 3, 5, 8, … of them at a time; or as a
 * pass that comes a second time, for which some devices have a way of their own. */
enum way { WAY_WHOLE, WAY_CUT, WAY_PASS };

static void run_whole(void *context)
{
    struct run *run = context;
    run_items(run, 0, run->problem->items);
}

static void run_cut(struct run *run)
{
    const int64_t items = run->problem->items;
    int64_t at = 0, step = 1, next = 2;
    while (at < items) {
        if (step > items - at) step = items - at;
        run_items(run, at, step);
        at += step;
        const int64_t sum = step + next;
        step = next;
        next = sum;
    }
}

static void run_pass(struct run *run)
{
    backend_pass(run->backend, run, (uint32_t[BACKEND_PASS_SHAPE]){0}, run_whole, run);
}

static int answer_of(struct answer *answer, const struct problem *problem, struct backend *backend,
                     enum way way, struct err *err)
{
    struct run run;
    int rc = run_open(&run, problem, backend, err);
    if (rc) return rc;
    run_reset(&run);
    switch (way) {
    case WAY_WHOLE:
        run_whole(&run);
        break;
    case WAY_CUT:
        run_cut(&run);
        break;
    case WAY_PASS:
        run_pass(&run);
        run_reset(&run);
        run_pass(&run);
        break;
    }
    rc = run_answer(&run, answer, err);
    run_close(&run);
    return rc;
}

static bool same_bits(const struct problem *problem, const struct answer *a, const struct answer *b)
{
    for (int slot = 0; slot < SLOTS_COUNT; slot++)
        if (a->data[slot] &&
            memcmp(a->data[slot], b->data[slot], tensor_bytes(&problem->operand[slot].tensor)) != 0)
            return false;
    return true;
}

enum {
    FAULT_NUMBERS = 1,
    FAULT_REPEAT = 2,
    FAULT_BATCH = 4,
    FAULT_THREADS = 8,
    FAULT_TWIN = 16,
    FAULT_PASS = 32,
    FAULT_CALL = 64
};

static void print_row(const struct problem *problem, const struct error *error, int faults)
{
    printf("%-78s %9.2e %9.2e %s%s%s%s%s%s%s%s\n", problem->name, error->l2, error->max,
           faults ? "FAILED" : "ok", faults & FAULT_NUMBERS ? " numbers" : "",
           error->differs_where_special ? " infinities" : "",
           faults & FAULT_REPEAT ? " repeated" : "", faults & FAULT_BATCH ? " batch" : "",
           faults & FAULT_THREADS ? " threads" : "", faults & FAULT_TWIN ? " set" : "",
           faults & FAULT_PASS ? " pass" : "");
}

/* Another run of a problem must give the same bits: a fault, or 0. */
static int rerun(const struct problem *problem, const struct answer *expected,
                 struct backend *backend, enum way way, int fault)
{
    struct answer answer;
    struct err err;
    if (answer_of(&answer, problem, backend, way, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        return FAULT_CALL;
    }
    const bool same = same_bits(problem, expected, &answer);
    answer_free(&answer);
    return same ? 0 : fault;
}

/* Products of bf16 where the processor has an instruction for them. */
static bool has_own_bits(const struct problem *problem, const struct suite *suite)
{
    return problem->kind == OP_LINEAR && problem->weight_dtype == DTYPE_BF16 &&
           strstr(suite->backend[0]->arithmetic, "bf16");
}

static bool is_without(const struct suite *suite, const struct problem *problem)
{
    return problem->kind == OP_LINEAR && !strcmp(type_name(problem->weight_dtype), suite->without);
}

/* A weight of a type that the backend has not must be refused, and nothing else happen. */
static int judge_refusal(const struct suite *suite, const struct problem *problem)
{
    struct run run;
    struct err err;
    const int rc = run_open(&run, problem, suite->backend[0], &err);
    const bool refused = rc == ERR_INVALID && strstr(err.msg, dtype_name(problem->weight_dtype));
    if (!rc) run_close(&run);
    if (!suite->is_quiet) printf("%-98s %s\n", problem->name, refused ? "refused" : "FAILED");
    return refused && !backend_sync(suite->backend[0], &err) ? 0 : FAULT_CALL;
}

static int judge(struct suite *suite, const struct problem *problem)
{
    struct answer expected, answer;
    struct error worst = {0};
    struct err err;
    int faults = 0;
    if (is_without(suite, problem)) return judge_refusal(suite, problem);
    if (answer_of(&expected, problem, suite->reference, WAY_WHOLE, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        return FAULT_CALL;
    }
    if (answer_of(&answer, problem, suite->backend[0], WAY_WHOLE, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        answer_free(&expected);
        return FAULT_CALL;
    }
    for (int slot = 0; slot < SLOTS_COUNT; slot++) {
        if (!answer.data[slot]) continue;
        const struct tensor *shape = &problem->operand[slot].tensor;
        const struct error error = compare(shape, expected.data[slot], answer.data[slot]);
        /* Sums beside a norm are of one addition: the norm's own tolerance is wide enough, but
         * not where they are of a narrower type. */
        double wider = 1;
        if (slot == SLOT_SUM && shape->dtype != DTYPE_F32) wider = 8e-3 / problem->tolerance_max;
        if (!(error.l2 <= problem->tolerance_l2 * wider) ||
            !(error.max <= problem->tolerance_max * wider) || error.differs_where_special)
            faults |= FAULT_NUMBERS;
        worst.l2 = fmax(worst.l2, error.l2);
        worst.max = fmax(worst.max, error.max);
        worst.differs_where_special |= error.differs_where_special;
    }
    faults |= rerun(problem, &answer, suite->backend[0], WAY_WHOLE, FAULT_REPEAT);
    if (problem->items > 1)
        faults |= rerun(problem, &answer, suite->backend[0], WAY_CUT, FAULT_BATCH);
    if (suite->backend[0]->driver->pass)
        faults |= rerun(problem, &answer, suite->backend[0], WAY_PASS, FAULT_PASS);
    for (int i = 1; i < THREADS_MAX; i++)
        faults |= rerun(problem, &answer, suite->backend[i], WAY_WHOLE, FAULT_THREADS);
    if (suite->twin && !has_own_bits(problem, suite))
        faults |= rerun(problem, &answer, suite->twin, WAY_WHOLE, FAULT_TWIN);
    answer_free(&expected);
    answer_free(&answer);
    if (!suite->is_quiet) print_row(problem, &worst, faults);
    return faults;
}

static int suite_run(struct suite *suite)
{
    struct cases cases = {.filter = suite->filter};
    uint32_t failed = 0;
    cases_conformance(&cases);
    printf("%-78s %9s %9s\n", suite->backend[0]->arithmetic, "l2", "max");
    for (uint32_t i = 0; i < cases.count; i++)
        if (judge(suite, &cases.problem[i])) failed++;
    const uint32_t tried = cases.count;
    cases_free(&cases);
    printf("%s (%s): %u of %u problems failed\n", suite->backend[0]->driver->name,
           suite->backend[0]->arithmetic, failed, tried);
    return failed || !tried;
}

static int suite_list(const struct suite *suite)
{
    struct cases cases = {.filter = suite->filter};
    cases_conformance(&cases);
    for (uint32_t i = 0; i < cases.count; i++) printf("%s\n", cases.problem[i].name);
    cases_free(&cases);
    return 0;
}

/* What the op must at least read and write. */
static double bytes_of(const struct problem *problem)
{
    double bytes = 0;
    for (int slot = 0; slot < SLOTS_COUNT; slot++) {
        if (problem->kind == OP_EMBED && slot == SLOT_TABLE) slot = SLOT_OUT; /* as many as out */
        bytes += (double)tensor_bytes(&problem->operand[slot].tensor);
        if (problem->kind == OP_EMBED && slot == SLOT_OUT) break;
    }
    return bytes;
}

/* The best of as many runs as fit in a third of a second, at least three. */
static double seconds_of(const struct problem *problem, struct backend *backend, struct err *err)
{
    struct run run;
    double best = INFINITY, all = 0;
    if (run_open(&run, problem, backend, err)) return -1;
    run_reset(&run);
    for (int i = 0; i < 3 || all < 0.3; i++) {
        const double start = (double)clock_mono_us() * 1e-6;
        run_items(&run, 0, problem->items);
        if (backend_sync(backend, err)) best = -INFINITY;
        const double took = (double)clock_mono_us() * 1e-6 - start;
        best = fmin(best, took);
        all += took;
    }
    run_close(&run);
    return best;
}

static int suite_time(const struct suite *suite)
{
    struct cases cases = {.filter = suite->filter};
    int rc = 0;
    cases_timing(&cases);
    printf("%-72s %24s %24s\n", suite->backend[0]->arithmetic, "1 thread", "2 threads");
    for (uint32_t i = 0; i < cases.count; i++) {
        const struct problem *problem = &cases.problem[i];
        if (is_without(suite, problem)) continue;
        printf("%-72s", problem->name);
        for (int threads = 0; threads < 2; threads++) {
            struct err err;
            const double seconds = seconds_of(problem, suite->backend[threads], &err);
            if (seconds < 0) {
                printf(" %s", err.msg);
                rc = 1;
                continue;
            }
            if (problem->flops > 0)
                printf(" %8.3f ms %6.1f GFLOP/s", seconds * 1e3, problem->flops / seconds * 1e-9);
            else
                printf(" %8.3f ms %9.1f GB/s", seconds * 1e3, bytes_of(problem) / seconds * 1e-9);
        }
        printf("\n");
        fflush(stdout);
    }
    cases_free(&cases);
    return rc;
}

/* How many of `count` answers differ from the first one, every second one of a pass; -1: there is
 * none. */
static int64_t count_different(const struct problem *problem, struct backend *backend,
                               int64_t count, struct err *err)
{
    struct answer first = {0}, answer;
    struct run run;
    int64_t different = 0;
    if (run_open(&run, problem, backend, err)) return -1;
    for (int64_t i = 0; i < count && different >= 0; i++) {
        run_reset(&run);
        if (i % 2)
            run_pass(&run);
        else
            run_whole(&run);
        if (run_answer(&run, i ? &answer : &first, err)) {
            different = -1;
            break;
        }
        if (i == 0) continue;
        different += !same_bits(problem, &first, &answer);
        answer_free(&answer);
    }
    answer_free(&first);
    run_close(&run);
    return different;
}

static int suite_repeat(const struct suite *suite, int64_t count)
{
    struct cases cases = {.filter = suite->filter};
    uint32_t failed = 0;
    cases_timing(&cases);
    for (uint32_t i = 0; i < cases.count; i++) {
        const struct problem *problem = &cases.problem[i];
        struct err err;
        if (is_without(suite, problem)) continue;
        const int64_t different = count_different(problem, suite->backend[0], count, &err);
        if (different < 0) fprintf(stderr, "%s\n", err.msg);
        if (different) failed++;
        printf("%-72s %lld of %lld differ\n", problem->name, (long long)different,
               (long long)count);
        fflush(stdout);
    }
    printf("%u of %u problems failed\n", failed, cases.count);
    const bool nothing = !cases.count;
    cases_free(&cases);
    return failed || nothing;
}

/* Enough for a fault to show, and quick: each fault is looked for by many runs. */
static bool is_small(const struct problem *problem)
{
    int64_t numbers = 0;
    for (int slot = 0; slot < SLOTS_COUNT; slot++)
        if (problem->operand[slot].tensor.rank)
            numbers += tensor_count(&problem->operand[slot].tensor);
    return problem->items > 1 && numbers < 20000;
}

/* How many of the first three small problems of an op show the fault that is planted in it, and how
 * many of the other ops show any. */
static void count_found(struct suite *suite, const struct cases *cases, enum op_kind kind,
                        int fault, uint32_t *found, uint32_t *elsewhere)
{
    uint32_t tried[OPS_COUNT] = {0};
    *found = *elsewhere = 0;
    for (uint32_t i = 0; i < cases->count; i++) {
        const struct problem *problem = &cases->problem[i];
        const uint32_t enough = problem->kind == kind ? 3 : 1;
        if (!is_small(problem) || tried[problem->kind] == enough) continue;
        tried[problem->kind]++;
        const int faults = judge(suite, problem);
        if (problem->kind != kind && faults) (*elsewhere)++;
        if (problem->kind == kind && faults & fault) (*found)++;
    }
}

static int suite_self_test(struct suite *suite)
{
    static const int expected[] = {[PLANT_NUMBER] = FAULT_NUMBERS,
                                   [PLANT_REPEAT] = FAULT_REPEAT,
                                   [PLANT_BATCH] = FAULT_BATCH,
                                   [PLANT_THREADS] = FAULT_THREADS};
    static const char *const names[] = {"a wrong number", "a run that differs", "a lone item",
                                        "two threads"};
    struct cases cases = {.filter = suite->filter};
    uint32_t missed = 0, found, elsewhere;
    cases_conformance(&cases);
    suite->is_quiet = true;
    for (int kind = 0; kind < OPS_COUNT; kind++)
        for (int fault = 0; fault < PLANT_FAULTS_COUNT; fault++) {
            for (int i = 0; i < THREADS_MAX; i++)
                if (fault != PLANT_THREADS || i == 1)
                    plant(suite->backend[i], (enum op_kind)kind, (enum plant_fault)fault);
            count_found(suite, &cases, (enum op_kind)kind, expected[fault], &found, &elsewhere);
            for (int i = 0; i < THREADS_MAX; i++) plant_remove(suite->backend[i]);
            if (found && !elsewhere) continue;
            missed++;
            printf("%s, planted in %s: found in %u problems of it and %u of others\n", names[fault],
                   op_name((enum op_kind)kind), found, elsewhere);
        }
    cases_free(&cases);
    printf("%u of %d planted faults missed\n", missed, OPS_COUNT * PLANT_FAULTS_COUNT);
    return missed != 0;
}

static int usage(void)
{
    fprintf(stderr, "usage: conformance [--backend NAME] [--same-as SET] [--without TYPE]"
                    " [--filter TEXT] [--list | --time | --repeat COUNT | --self-test]\n");
    return 2;
}

static int twin_open(struct backend **twin, const char *set, struct err *err)
{
    const char *old = getenv("VLMQ_CPU");
    char kept[64];
    snprintf(kept, sizeof kept, "%s", old ? old : "");
    if (setenv("VLMQ_CPU", set, 1)) return err_errno(err, errno, "VLMQ_CPU");
    int rc = backend_open(twin, "cpu", 1, err);
    if (!rc && (old ? setenv("VLMQ_CPU", kept, 1) : unsetenv("VLMQ_CPU")))
        rc = err_errno(err, errno, "VLMQ_CPU");
    return rc;
}

static int suite_open(struct suite *suite, const char *device, const char *twin, struct err *err)
{
    int rc = backend_open(&suite->reference, "reference", 0, err);
    if (!rc && twin) rc = twin_open(&suite->twin, twin, err);
    for (uint32_t i = 0; !rc && i < THREADS_MAX; i++)
        rc = backend_open(&suite->backend[i], device, i + 1, err);
    return rc;
}

static void suite_close(struct suite *suite)
{
    backend_close(suite->reference);
    backend_close(suite->twin);
    for (int i = 0; i < THREADS_MAX; i++) backend_close(suite->backend[i]);
}

int main(int argc, char **argv)
{
    struct suite suite = {.filter = "", .without = ""};
    const char *device = "cpu", *twin = NULL, *what = "";
    int64_t repeats = 0;
    struct err err;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--backend") && i + 1 < argc)
            device = argv[++i];
        else if (!strcmp(argv[i], "--same-as") && i + 1 < argc)
            twin = argv[++i];
        else if (!strcmp(argv[i], "--without") && i + 1 < argc)
            suite.without = argv[++i];
        else if (!strcmp(argv[i], "--filter") && i + 1 < argc)
            suite.filter = argv[++i];
        else if (!*what && !strcmp(argv[i], "--repeat") && i + 1 < argc) {
            what = argv[i];
            repeats = strtoll(argv[++i], NULL, 10);
            if (repeats < 2) return usage();
        } else if (!*what && (!strcmp(argv[i], "--list") || !strcmp(argv[i], "--time") ||
                              !strcmp(argv[i], "--self-test")))
            what = argv[i];
        else
            return usage();
    }
    int rc = suite_open(&suite, device, twin, &err);
    if (rc)
        fprintf(stderr, "conformance: %s\n", err.msg);
    else if (!strcmp(what, "--list"))
        rc = suite_list(&suite);
    else if (!strcmp(what, "--time"))
        rc = suite_time(&suite);
    else if (!strcmp(what, "--repeat"))
        rc = suite_repeat(&suite, repeats);
    else
        rc = *what ? suite_self_test(&suite) : suite_run(&suite);
    suite_close(&suite);
    return rc != 0;
}
