/* differential_run.c - runs a script on the functions and on the model, batch by batch, and
 * compares what every call gave, and now and then everything that is kept.
 *
 * Calls of the same operation on one job share a run of the function in redis.c, and with it a
 * version and the job as it is at the end; the runner knows which by the rule of state.h, tells the
 * model, and checks that redis.c has done so. */
#include "broker/state/request.h"
#include "common/base/check.h"
#include "tests/state/differential.h"
#include "tests/state/queue_model_parts.h"
#include "tests/support/test.h"

#include <string.h>

#define START_MS INT64_C(1700000000000)

struct batch {
    uint32_t count, runs;
    const struct step *step[BATCH_MAX];
    struct state_call real[BATCH_MAX], model[BATCH_MAX];
    int32_t run[BATCH_MAX]; /* the call that began the run */
};

static struct world runner_world(const struct runner *runner)
{
    return (struct world){runner->model, &runner->leases, runner->now_ms};
}

/* --- the model's side ------------------------------------------------------------------------- */

/* The call of the same run before this one: the last that names its job, if they share. */
static int32_t batch_before(const struct batch *batch, uint32_t at)
{
    const struct state_call *call = &batch->real[at];
    if (!call->job_id) return -1;
    for (uint32_t i = at; i-- > 0;) {
        const struct state_call *before = &batch->real[i];
        if (!before->job_id || strcmp(before->job_id, call->job_id) != 0) continue;
        return request_shares(before->op, call->op) ? (int32_t)i : -1;
    }
    return -1;
}

static void keep_grants(struct runner *runner, struct generator *generator, const struct step *step,
                        const struct state_call *call)
{
    for (uint32_t i = 0; i < call->out.take.count; i++) {
        const struct state_grant *grant = &call->out.take.grant[i];
        runner->met.alone += grant->alone;
        const uint32_t known = leases_count(&runner->leases, step->slot, grant->index);
        bool new = true;
        for (uint32_t k = 0; k < known; k++) {
            const char *lease = runner->leases.task[step->slot][grant->index].lease[k];
            if (strcmp(lease, grant->lease) == 0) new = false;
        }
        if (!new) continue;
        leases_add(&runner->leases, step->slot, grant->index, grant->lease);
        if (generator) generator_given(generator, step->slot, grant->index, known);
    }
}

static void batch_add(struct batch *batch, struct runner *runner, struct generator *generator,
                      const struct step *step)
{
    const uint32_t at = batch->count++;
    struct state_call *model = &batch->model[at];
    batch->step[at] = step;
    const struct world world = runner_world(runner);
    step_call(&batch->real[at], step, &world, &runner->arena);
    *model = batch->real[at];
    const int32_t before = batch_before(batch, at);
    batch->run[at] = before >= 0 ? batch->run[before] : (int32_t)at;
    if (before >= 0) {
        queue_model_join(runner->model, model, runner->now_ms, &runner->arena);
    } else {
        queue_model_call(runner->model, model, runner->now_ms, &runner->arena);
        batch->runs++;
    }
    if (step->op == STATE_TAKE && !model->err.code) keep_grants(runner, generator, step, model);
    runner->met.shared += before >= 0;
    (model->err.code ? runner->met.refused : runner->met.good)[step->op]++;
}

/* --- comparing -------------------------------------------------------------------------------- */

static bool same(struct runner *runner, const char *redis, const char *model, const char *what,
                 const struct step *step)
{
    if (strcmp(redis, model) == 0) return true;
    if (step) step_print(step, &runner->difference);
    buf_printf(&runner->difference, "%s differs:\n", what);
    difference_print(redis, model, &runner->difference);
    return false;
}

static bool batch_same(struct runner *runner, struct batch *batch)
{
    struct buf real, model;
    buf_init(&real, 0);
    buf_init(&model, 0);
    bool good = true;
    for (uint32_t i = 0; i < batch->count && good; i++) {
        const uint32_t first = (uint32_t)batch->run[i];
        buf_clear(&real);
        buf_clear(&model);
        reply_print(&batch->real[i], &real);
        reply_print(&batch->model[i], &model);
        buf_printf(&real, "shares its run %d\n", batch->real[i].job == batch->real[first].job);
        buf_printf(&model, "shares its run %d\n", batch->model[i].job == batch->model[first].job);
        good = same(runner, buf_str(&real), buf_str(&model), "what the call gave", batch->step[i]);
    }
    buf_deinit(&real);
    buf_deinit(&model);
    return good;
}

/* All calls of a run give the job as it is after the last. */
static void batch_share(struct batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        for (uint32_t k = i + 1; k < batch->count; k++) {
            if (batch->run[k] == batch->run[i]) batch->model[i].job = batch->model[k].job;
        }
    }
}

static bool state_same(struct runner *runner, const char *id)
{
    struct buf real, model;
    char why[256] = "";
    buf_init(&real, 0);
    buf_init(&model, 0);
    real_dump(&runner->real, id, &real);
    if (id) {
        queue_model_dump(runner->model, id, &model);
    } else {
        queue_model_dump_fleet(runner->model, runner->now_ms, &model);
    }
    bool good = same(runner, buf_str(&real), buf_str(&model), id ? id : "the fleet", NULL);
    if (good && id && !queue_model_check(runner->model, id, why, sizeof why)) {
        buf_printf(&runner->difference, "%s breaks an invariant: %s\n", id, why);
        good = false;
    }
    buf_deinit(&real);
    buf_deinit(&model);
    return good;
}

static void meet(struct met *met, const struct model_job *job)
{
    if (!job) return;
    met->job[job->n.state]++;
    for (int64_t i = 0; i < job->n.total; i++) {
        met->task[job->task[i]->state]++;
        met->lost += job->task[i]->losses >= STATE_LOSSES_DEAD;
    }
}

static bool all_same(struct runner *runner)
{
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        meet(&runner->met, model_job_find(runner->model, slot_id(slot)));
        if (!state_same(runner, slot_id(slot))) return false;
    }
    return state_same(runner, NULL);
}

static bool batch_commit(struct runner *runner, struct batch *batch)
{
    struct err err = {0};
    if (!batch->count) return true;
    real_clock(&runner->real, runner->now_ms);
    if (state_commit(runner->real.state, batch->real, batch->count, &runner->arena, &err)) {
        buf_printf(&runner->difference, "the commit failed: %s\n", err.msg);
        return false;
    }
    batch_share(batch);
    return batch_same(runner, batch);
}

/* --- running ---------------------------------------------------------------------------------- */

/* Jumps and crashes, between the batches. */
static void between(struct runner *runner, const struct step *step)
{
    if (step->kind == STEP_CRASH) {
        real_crash(&runner->real);
        runner->met.crashes++;
    } else {
        runner->now_ms += step->ms;
        if (runner->now_ms < 1000) runner->now_ms = 1000;
        real_clock(&runner->real, runner->now_ms);
    }
}

/* Steps of a batch, and what ends it, from the generator or the script. */
static bool run_batch(struct runner *runner, struct generator *generator, struct script *script,
                      uint32_t end)
{
    struct batch *batch = arena_new(&runner->arena, sizeof *batch);
    const struct step *last = NULL;
    const uint32_t wanted =
        generator ? 1 + (uint32_t)rng_below(&generator->rng, BATCH_MAX) : BATCH_MAX;
    while (!last && runner->done < end && batch->count < wanted && batch->runs < BATCH_RUNS) {
        struct step *step = arena_new(&runner->arena, sizeof *step);
        if (generator) {
            const struct world world = runner_world(runner);
            generator_next(step, generator, &world);
            script_add(script, step);
        } else {
            *step = script->step[runner->done];
        }
        runner->done++;
        if (step->kind == STEP_CALL) {
            batch_add(batch, runner, generator, step);
        } else {
            last = step;
        }
    }
    const bool good = batch_commit(runner, batch);
    if (good && last) between(runner, last);
    arena_reset(&runner->arena);
    return good;
}

bool runner_run(struct runner *runner, struct generator *generator, struct script *script,
                uint32_t count)
{
    const uint32_t end = runner->done + count;
    uint32_t compared = runner->done;
    bool good = true;
    while (good && runner->done < end) {
        good = run_batch(runner, generator, script, end);
        if (good && runner->compare_every && runner->done - compared >= runner->compare_every) {
            good = all_same(runner);
            compared = runner->done;
        }
    }
    if (good) good = all_same(runner);
    if (!good) script->count = runner->done;
    return good;
}

void runner_reset(struct runner *runner)
{
    real_flush(&runner->real);
    queue_model_free(runner->model);
    runner->model = queue_model_new();
    queue_model_limit(runner->model, &runner->real.limits);
    leases_deinit(&runner->leases);
    arena_reset(&runner->arena);
    buf_clear(&runner->difference);
    runner->now_ms = START_MS;
    runner->done = 0;
    real_clock(&runner->real, runner->now_ms);
}

void runner_open(struct runner *runner, const struct queue_limits *limits,
                 const struct fault *fault)
{
    *runner = (struct runner){.compare_every = 500};
    real_open(&runner->real, limits, fault);
    arena_init(&runner->arena, 0);
    buf_init(&runner->difference, 0);
    runner_reset(runner);
}

void runner_close(struct runner *runner)
{
    queue_model_free(runner->model);
    leases_deinit(&runner->leases);
    arena_deinit(&runner->arena);
    buf_deinit(&runner->difference);
    real_close(&runner->real);
}
