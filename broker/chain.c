/* chain.c - jobs that wait for another job (`after`), or take their tasks from one (`from`).
 *
 * Both are polled, gently: while the other job is in the table and nothing about it changes, there
 * is nothing to ask. The position in a source's list is kept in Redis; what this broker believes
 * is a guess, and CHAIN answers with the truth. */
#include "broker/care.h"
#include "common/base/str.h"

#include <string.h>

static void soon(struct broker *b)
{
    b->care.at_ms = b->turn.now_ms;
}

/* Whether the other job must be looked at now; keeps what was seen of it. */
static bool must_look(struct broker *b, struct job *job, const char *other)
{
    const struct job *source = jobs_find(&b->jobs, other);
    if (source && !job_state_ended(source->state)) {
        const bool changed = source->version != job->source_version || !job->source_seen;
        job->source_seen = true;
        job->source_version = source->version;
        return changed;
    }
    if (job->source_seen) job->check_at_ms = 0; /* it has just left the table: ended, most likely */
    job->source_seen = false;
    if (b->turn.now_ms < job->check_at_ms) return false;
    job->check_at_ms = b->turn.now_ms + CARE_RETRY_MS;
    return true;
}

static void plan_release(struct broker *b, struct job *job)
{
    struct state_call *call = care_call(b, CARE_RELEASE, STATE_RELEASE, job->id, job->id);
    call->in.release.ok = job->release == JOB_VERDICT_OK;
    call->in.release.reason = job->reason;
}

void chain_plan(struct broker *b, struct job *job)
{
    const char *after = job->fixed->after, *from = job->fixed->from;
    if (job->state == VLMQ__JOB_STATE__JOB_HELD) {
        if (job->release != JOB_VERDICT_NONE) {
            plan_release(b, job);
        } else if (after[0] && must_look(b, job, after)) {
            (void)care_call(b, CARE_AFTER, STATE_LOOK, after, job->id);
        }
        return;
    }
    const bool open =
        job->state == VLMQ__JOB_STATE__JOB_PLANNING || job->state == VLMQ__JOB_STATE__JOB_RUNNING;
    if (!from[0] || job->chain_ended || !open || !must_look(b, job, from)) return;
    (void)care_call(b, CARE_SOURCE, STATE_LOOK, from, job->id);
    struct state_call *made = care_call(b, CARE_MADE, STATE_MADE, from, job->id);
    made->in.made.position = job->chain_position;
    made->in.made.rows = CHAIN_ROWS;
}

/* ---- after ---- */

static void finish_after(struct broker *b, struct job *job, const struct state_call *call)
{
    struct err err = {0};
    const char *after = job->fixed->after;
    if (call->err.code == ERR_NOT_FOUND) {
        job->release = JOB_VERDICT_FAILED;
        (void)err_set(&err, ERR_NOT_FOUND, "job %s, which this one waited for, is gone", after);
    } else if (!call->err.code && job_state_ended(call->job->state)) {
        const bool ok = call->job->state == VLMQ__JOB_STATE__JOB_DONE;
        job->release = ok ? JOB_VERDICT_OK : JOB_VERDICT_FAILED;
        (void)err_set(&err, ERR_CANCELLED, "job %s, which this one waited for, ended as %s", after,
                      job_state_name(call->job->state));
    } else {
        return;
    }
    (void)str_copy(job->reason, sizeof job->reason, err.msg);
    soon(b);
}

static void finish_release(struct broker *b, struct job *job, const struct state_call *call)
{
    job->release = JOB_VERDICT_NONE; /* if it failed, the next look finds the same */
    job->source_seen = false;
    job->source_version = 0;
    job->check_at_ms = call->err.code ? b->turn.now_ms + CARE_RETRY_MS : 0;
    soon(b);
}

/* ---- from ---- */

static void finish_made(struct broker *b, struct job *job, const struct state_call *look,
                        const struct state_call *made)
{
    struct turn *t = &b->turn;
    if (t->chains_count == CHAINS_MAX) {
        job->source_version = 0;
        soon(b);
        return;
    }
    struct chain_step *step = &t->chain[t->chains_count];
    *step = (struct chain_step){.position = made->in.made.position, .reason = ""};
    step->next = step->position;
    (void)str_copy(step->job, sizeof step->job, job->id);
    if (look->err.code == ERR_NOT_FOUND) {
        step->ended = step->failed = true;
        step->reason =
            arena_printf(&t->arena, "job %s, the source of this one, is gone", job->fixed->from);
        t->chains_count++;
        return;
    }
    if (look->err.code || made->err.code) return;
    const Vlmq__JobState state = look->job->state;
    step->next += made->out.made.count;
    step->made = made->out.made.made;
    if (job_state_ended(state) && step->next >= made->out.made.total) {
        step->ended = true;
        step->failed = state != VLMQ__JOB_STATE__JOB_DONE;
        step->reason = arena_printf(&t->arena, "job %s, the source of this one, ended as %s",
                                    job->fixed->from, job_state_name(state));
    }
    if (step->ended || step->next > step->position) t->chains_count++;
}

void chain_follow(struct broker *b)
{
    struct turn *t = &b->turn;
    const uint32_t count = t->chains_count;
    t->chains_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct chain_step *step = &t->chain[i];
        struct state_call *call = care_call(b, CARE_CHAIN, STATE_CHAIN, step->job, step->job);
        call->in.chain.position = step->position;
        call->in.chain.next = step->next;
        call->in.chain.made = step->made;
        call->in.chain.source_ended = step->ended;
        call->in.chain.source_failed = step->failed;
        call->in.chain.reason = step->reason ? step->reason : "";
    }
}

/* call->count is the true position. A step that took nothing and left the position where it
 * believed it to be has closed the chain; any other is followed by one more look. */
static void finish_chain(struct broker *b, struct job *job, const struct state_call *call)
{
    job->source_version = 0;
    job->check_at_ms = call->err.code ? b->turn.now_ms + CARE_RETRY_MS : 0;
    if (call->err.code) return;
    job->chain_position = call->count;
    const bool empty = call->in.chain.next == call->in.chain.position;
    if (call->in.chain.source_ended && empty && call->count == call->in.chain.next) {
        job->chain_ended = true;
    } else {
        soon(b);
    }
}

void chain_finish(struct broker *b, const struct duty *duty)
{
    struct job *job = jobs_find(&b->jobs, duty->job);
    const struct state_call *call = &b->turn.call[duty->call];
    if (!job) return;
    switch ((int)duty->tag) {
    case CARE_AFTER:
        finish_after(b, job, call);
        break;
    case CARE_RELEASE:
        finish_release(b, job, call);
        break;
    case CARE_MADE:
        finish_made(b, job, call - 1, call);
        break;
    case CARE_CHAIN:
        finish_chain(b, job, call);
        break;
    default:
        break;
    }
}
