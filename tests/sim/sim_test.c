/* sim_test.c - runs seeds, each in a child process; see sim.h.
 *
 *   sim_test                      seeds 1 to 500, or from VLMQ_SEED on
 *   sim_test --seeds 20000 --jobs 8
 *   sim_test --seed 42 --trace    one seed, with its whole history
 *   sim_test --same 7             the same seed twice gives the same history
 *   sim_test --canary NAME        a planted fault: fails unless it is found
 *
 * Exit status: 0 as it should be, 1 not, 2 usage. */
#include "common/base/str.h"
#include "tests/sim/net.h"
#include "tests/sim/oracle.h"
#include "tests/sim/store.h"
#include "tests/sim/world.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SEEDS_DEFAULT 500
#define JOBS_DEFAULT  2
#define JOBS_MAX_SIM  64
#define CHILD_S       120 /* of processor time; a seed takes less than one */

static const char *const canaries[] = {
    "done-without-lease", "lease-from-answer",  "commit-overwrites", "reaper-trusts-clock",
    "redis-forgets",      "done-before-commit", "leases-repeat",     "reaper-sleeps",
    "watchers-unheard",   "drain-unheard",
};

struct arguments {
    uint64_t first, count;
    uint32_t jobs;
    bool trace, one, same;
    const char *canary;
};

/* What a child tells its parent. */
struct outcome {
    uint64_t hash, lines, slices, messages;
    int64_t simulated_us;
    struct oracle_counts counts;
    uint64_t commits, lost;
};

struct child {
    pid_t pid; /* 0: free */
    uint64_t seed;
    int out; /* what it prints */
    struct outcome *outcome;
};

struct totals {
    uint64_t seeds, failed, messages;
    int64_t simulated_us;
    struct oracle_counts counts;
    uint64_t commits, lost;
    uint64_t first_failed;
};

/* ---- one seed ---- */

static void on_signal(int number)
{
    /* The history is worth more than safety here: the program ends anyway. */
    (void)signal(number, SIG_DFL);
    sim_fail("signal %d (%s)", number, strsignal(number));
}

static void run_seed(const struct arguments *a, uint64_t seed, struct outcome *outcome)
{
    sim.seed = seed;
    sim.trace = a->trace;
    if (a->canary) (void)str_copy(sim.canary, sizeof sim.canary, a->canary);
    rng_seed(&sim.rng, seed);
    rng_seed(&sim.secure, seed ^ UINT64_C(0x5eed5eed5eed5eed));
    (void)signal(SIGABRT, on_signal);
    (void)signal(SIGXCPU, on_signal);
    world_run();
    *outcome =
        (struct outcome){history_hash(), history_lines(), sim.slices,          net.messages,
                         sim.now_us,     oracle_counts,   store_world.commits, store_world.lost};
}

/* ---- children ---- */

static void start(struct child *child, const struct arguments *a, uint64_t seed)
{
    child->seed = seed;
    child->out = memfd_create("sim", 0);
    child->outcome = mmap(NULL, sizeof *child->outcome, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (child->out < 0 || child->outcome == MAP_FAILED) {
        perror("sim_test");
        exit(1);
    }
    (void)fflush(stdout);
    child->pid = fork();
    if (child->pid < 0) {
        perror("sim_test: fork");
        exit(1);
    }
    if (child->pid) return;
    if (dup2(child->out, STDOUT_FILENO) < 0 || dup2(child->out, STDERR_FILENO) < 0) _exit(1);
    const struct rlimit limit = {CHILD_S, CHILD_S + 5};
    (void)setrlimit(RLIMIT_CPU, &limit);
    run_seed(a, seed, child->outcome);
    (void)fflush(stdout);
    _exit(0);
}

static void show_output(int fd)
{
    char text[4096];
    (void)lseek(fd, 0, SEEK_SET);
    for (;;) {
        const ssize_t bytes = read(fd, text, sizeof text);
        if (bytes <= 0) break;
        (void)fwrite(text, 1, (size_t)bytes, stdout);
    }
}

static void add(struct totals *totals, const struct outcome *o)
{
    const uint64_t *from = (const uint64_t *)&o->counts;
    uint64_t *to = (uint64_t *)&totals->counts;
    for (size_t i = 0; i < sizeof o->counts / sizeof *to; i++) to[i] += from[i];
    totals->messages += o->messages;
    totals->simulated_us += o->simulated_us;
    totals->commits += o->commits;
    totals->lost += o->lost;
}

/* Takes the end of a child; true: its seed is as it should be. */
static bool finish(struct child *child, int status, struct totals *totals, bool quiet)
{
    const bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    totals->seeds++;
    if (ok) {
        add(totals, child->outcome);
    } else {
        if (!totals->failed || child->seed < totals->first_failed)
            totals->first_failed = child->seed;
        totals->failed++;
        if (!quiet || !WIFEXITED(status) || WEXITSTATUS(status) != SIM_EXIT_FAILED) {
            show_output(child->out);
            if (!WIFEXITED(status))
                (void)printf("seed %" PRIu64 " ended by signal %d\n", child->seed,
                             WTERMSIG(status));
        }
    }
    (void)close(child->out);
    (void)munmap(child->outcome, sizeof *child->outcome);
    child->pid = 0;
    return ok;
}

static struct child *find(struct child *children, uint32_t count, pid_t pid)
{
    for (uint32_t i = 0; i < count; i++)
        if (children[i].pid == pid) return &children[i];
    return NULL;
}

/* All seeds, or up to the first failures. */
static struct totals run_all(const struct arguments *a, uint32_t failures_max, bool quiet)
{
    struct child children[JOBS_MAX_SIM] = {0};
    struct totals totals = {0};
    uint64_t next = a->first, running = 0;
    for (;;) {
        struct child *place = find(children, a->jobs, 0);
        if (place && next < a->first + a->count && totals.failed < failures_max) {
            start(place, a, next++);
            running++;
            continue;
        }
        if (!running) return totals;
        int status;
        const pid_t pid = waitpid(-1, &status, 0);
        struct child *child = pid > 0 ? find(children, a->jobs, pid) : NULL;
        if (!child) continue;
        (void)finish(child, status, &totals, quiet);
        running--;
    }
}

/* ---- what it is asked ---- */

static void summary(const struct totals *t)
{
    (void)printf(
        "%" PRIu64 " seeds, %.1f simulated hours, %" PRIu64 " messages, %" PRIu64
        " calls of Redis, %" PRIu64 " rollbacks\n%" PRIu64 " grants, %" PRIu64 " renewals, %" PRIu64
        " done, %" PRIu64 " failed, %" PRIu64 " yielded, %" PRIu64 " ended by the clock; %" PRIu64
        " commits, %" PRIu64 " that came second; %" PRIu64 " jobs ended\n",
        t->seeds, (double)t->simulated_us / 3.6e9, t->messages, t->counts.calls,
        t->counts.rollbacks, t->counts.grants, t->counts.renewals, t->counts.dones, t->counts.fails,
        t->counts.yields, t->counts.reaped, t->commits, t->lost, t->counts.ended);
}

static int run_seeds(const struct arguments *a)
{
    (void)printf("VLMQ_SEED=%" PRIu64 "\n", a->first);
    const struct totals totals = run_all(a, 3, false);
    summary(&totals);
    if (totals.failed) (void)printf("%" PRIu64 " seeds FAILED\n", totals.failed);
    return totals.failed ? 1 : 0;
}

static int run_canary(const struct arguments *a)
{
    const struct totals totals = run_all(a, 1, true);
    if (!totals.failed) {
        (void)printf("the planted fault %s was not found in %" PRIu64 " seeds\n", a->canary,
                     totals.seeds);
        return 1;
    }
    (void)printf("the planted fault %s was found by seed %" PRIu64 ", after %" PRIu64 " seeds\n",
                 a->canary, totals.first_failed, totals.seeds);
    return 0;
}

static int run_same(const struct arguments *a)
{
    struct outcome outcome[2];
    for (int i = 0; i < 2; i++) {
        struct child child = {0};
        struct totals totals = {0};
        int status;
        start(&child, a, a->first);
        if (waitpid(child.pid, &status, 0) != child.pid) return 1;
        outcome[i] = *child.outcome;
        if (!finish(&child, status, &totals, false)) return 1;
        (void)printf("seed %" PRIu64 ": %" PRIu64 " lines, hash %016" PRIx64 "\n", a->first,
                     outcome[i].lines, outcome[i].hash);
    }
    return outcome[0].hash != outcome[1].hash || outcome[0].slices != outcome[1].slices;
}

static int run_one(const struct arguments *a)
{
    struct outcome outcome = {0};
    struct totals totals = {.seeds = 1};
    run_seed(a, a->first, &outcome);
    add(&totals, &outcome);
    (void)printf("seed %" PRIu64 ": %" PRIu64 " lines, %" PRIu64 " slices, hash %016" PRIx64 "\n",
                 a->first, outcome.lines, outcome.slices, outcome.hash);
    summary(&totals);
    return 0;
}

static int usage(void)
{
    (void)fprintf(stderr, "sim_test [--seed N | --same N] [--seeds COUNT] [--jobs N] [--trace]\n"
                          "         [--canary NAME], one of:\n");
    for (size_t i = 0; i < sizeof canaries / sizeof *canaries; i++)
        (void)fprintf(stderr, "  %s\n", canaries[i]);
    return 2;
}

static bool is_canary(const char *name)
{
    for (size_t i = 0; i < sizeof canaries / sizeof *canaries; i++)
        if (str_eq(canaries[i], name)) return true;
    return false;
}

static bool parse(struct arguments *a, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (str_eq(argv[i], "--trace")) {
            a->trace = true;
            continue;
        }
        if (!value) return false;
        i++;
        const uint64_t number = strtoull(value, NULL, 10);
        if (str_eq(argv[i - 1], "--canary") && is_canary(value)) {
            a->canary = value;
        } else if (str_eq(argv[i - 1], "--seed") || str_eq(argv[i - 1], "--same")) {
            a->first = number;
            a->one = argv[i - 1][4] == 'e' && argv[i - 1][3] == 'e';
            a->same = !a->one;
        } else if (str_eq(argv[i - 1], "--seeds")) {
            a->count = number;
        } else if (str_eq(argv[i - 1], "--jobs") && number > 0 && number <= JOBS_MAX_SIM) {
            a->jobs = (uint32_t)number;
        } else {
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    struct arguments a = {.first = 1, .count = SEEDS_DEFAULT, .jobs = JOBS_DEFAULT};
    const char *seed = getenv("VLMQ_SEED");
    if (seed && *seed) a.first = strtoull(seed, NULL, 10);
    if (!parse(&a, argc, argv)) return usage();
    if (a.same) return run_same(&a);
    if (a.one) return run_one(&a);
    return a.canary ? run_canary(&a) : run_seeds(&a);
}
