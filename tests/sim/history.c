/* history.c - what happened: every line goes into a hash, the last ones are kept. */
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES_KEPT 160
#define LINE_BYTES 240

static struct {
    char line[LINES_KEPT][LINE_BYTES];
    uint64_t count;
    uint64_t hash;
} kept = {.hash = UINT64_C(0xcbf29ce484222325)};

void history_args(const char *prefix, const char *fmt, va_list args)
{
    char *line = kept.line[kept.count++ % LINES_KEPT];
    const struct proc *proc = proc_self();
    int used = snprintf(line, LINE_BYTES, "%11.6f %-9s %s", (double)sim.now_us / 1e6,
                        proc ? proc->name : "-", prefix);
    if (used > 0 && used < LINE_BYTES - 1)
        (void)vsnprintf(line + used, LINE_BYTES - (size_t)used, fmt, args);
    for (const char *at = line; *at; at++)
        kept.hash = (kept.hash ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
    if (sim.trace) (void)printf("%s\n", line);
}

void history(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    history_args("", fmt, args);
    va_end(args);
}

uint64_t history_hash(void)
{
    return kept.hash;
}

uint64_t history_lines(void)
{
    return kept.count;
}

void history_print(void)
{
    const uint64_t first = kept.count > LINES_KEPT ? kept.count - LINES_KEPT : 0;
    for (uint64_t i = first; i < kept.count; i++) (void)printf("  %s\n", kept.line[i % LINES_KEPT]);
}

void sim_fail(const char *fmt, ...)
{
    va_list args;
    if (!sim.trace) history_print();
    (void)printf("seed %" PRIu64 " at %.6f s: ", sim.seed, (double)sim.now_us / 1e6);
    va_start(args, fmt);
    (void)vprintf(fmt, args);
    va_end(args);
    (void)printf("\n  again, with everything: sim_test --seed %" PRIu64 "%s%s --trace\n", sim.seed,
                 sim.canary[0] ? " --canary " : "", sim.canary);
    (void)fflush(stdout);
    _Exit(SIM_EXIT_FAILED); /* _exit ends a simulated process */
}
