/* differential_shrink.c - a shorter script that still shows a difference: parts of it are dropped,
 * large ones first, as long as what is left differs (Zeller and Hildebrandt, "Simplifying and
 * isolating failure-inducing input", 2002, without the complements). */
#include "common/base/check.h"
#include "tests/state/differential.h"

#include <string.h>

#define TAKE_LARGE 250

/* True if the script shows a difference; it is then cut after it. */
static bool differs(struct runner *runner, struct script *script)
{
    runner_reset(runner);
    runner->compare_every = 0;
    return !runner_run(runner, NULL, script, script->count);
}

static void script_copy(struct script *to, const struct script *from)
{
    to->count = 0;
    for (uint32_t i = 0; i < from->count; i++) script_add(to, &from->step[i]);
}

/* Tries it without the steps from `at` on; keeps that if it still differs. */
static bool try_without(struct runner *runner, struct script *script, uint32_t at, uint32_t count,
                        struct script *shorter)
{
    shorter->count = 0;
    for (uint32_t i = 0; i < script->count; i++) {
        if (i < at || i >= at + count) script_add(shorter, &script->step[i]);
    }
    if (!differs(runner, shorter)) return false;
    script_copy(script, shorter);
    return true;
}

/* Tries it without all steps of one job. */
static bool try_without_slot(struct runner *runner, struct script *script, uint32_t slot,
                             struct script *shorter)
{
    shorter->count = 0;
    for (uint32_t i = 0; i < script->count; i++) {
        const struct step *step = &script->step[i];
        if (step->kind != STEP_CALL || step->slot != slot) script_add(shorter, step);
    }
    if (shorter->count == script->count || !differs(runner, shorter)) return false;
    script_copy(script, shorter);
    return true;
}

/* From the end, where the steps are that matter. True if anything was dropped. */
static bool drop_chunks(struct runner *runner, struct script *script, uint32_t chunk,
                        struct script *shorter, uint32_t *runs)
{
    bool any = false;
    for (uint32_t at = script->count; at > 0;) {
        if (at > script->count) at = script->count;
        const uint32_t count = at < chunk ? at : chunk;
        at -= count;
        (*runs)++;
        if (try_without(runner, script, at, count, shorter)) any = true;
    }
    return any;
}

/* One take that gives many tasks may stand for many takes. */
static void try_larger_takes(struct runner *runner, struct script *script, struct script *larger)
{
    script_copy(larger, script);
    for (uint32_t i = 0; i < larger->count; i++) {
        struct step *step = &larger->step[i];
        if (step->kind == STEP_CALL && step->op == STATE_TAKE && step->count < TAKE_LARGE) {
            step->count = TAKE_LARGE;
        }
    }
    if (differs(runner, larger)) script_copy(script, larger);
}

uint32_t script_shrink(struct runner *runner, struct script *script)
{
    struct script shorter = {0};
    uint32_t runs = SLOTS + 1;
    try_larger_takes(runner, script, &shorter);
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        (void)try_without_slot(runner, script, slot, &shorter);
    }
    uint32_t chunk = script->count / 2;
    while (chunk > 0) {
        const bool any = drop_chunks(runner, script, chunk, &shorter, &runs);
        if (chunk > 1 || !any) chunk /= 2;
        if (chunk > script->count) chunk = script->count;
    }
    CHECK(differs(runner, script)); /* leaves its difference to be printed */
    script_deinit(&shorter);
    return runs;
}

void script_print(const struct script *script, struct buf *out)
{
    for (uint32_t i = 0; i < script->count; i++) step_print(&script->step[i], out);
}
