/* model.c - see model.h: the steps, each with the function of the product that it stands for. */
#include "tests/model/model.h"

#include "common/base/check.h"

#include <string.h>

struct scene {
    struct step *step;
    uint32_t count, rules;
    const struct state *from;
};

static bool rule(const struct scene *scene, enum rule which)
{
    return scene->rules & 1u << which;
}

/* A step, to be filled in; taken back by step_end if it changes nothing. */
static struct step *step_begin(struct scene *scene, enum step_kind kind, uint32_t who)
{
    CHECK(scene->count < MODEL_STEPS);
    struct step *step = &scene->step[scene->count];
    step->kind = kind;
    step->who = (uint8_t)who;
    step->fault = false;
    step->broken = HOLDS;
    step->to = *scene->from;
    return step;
}

/* A message of a lease that Redis knows neither in memory nor on disk does nothing when it arrives,
 * by the rules of DONE, FAIL and YIELD. While they stand it need not be kept. */
static void forget_messages(const struct scene *scene, struct state *to)
{
    static const enum rule which[] = {RULE_DONE_LEASE, RULE_DONE_LEASE, RULE_FAIL_LEASE,
                                      RULE_YIELD_LEASE};
    if (!rule(scene, RULE_LEASE_RANDOM)) return;
    for (uint8_t lease = 1; lease <= LEASES; lease++) {
        const uint8_t message = to->sent[lease - 1].message;
        if (to->now.lease == lease || to->synced.lease == lease || !rule(scene, which[message]))
            continue;
        to->sent[lease - 1].message = MESSAGE_NONE;
        to->sent[lease - 1].digest = 0;
    }
}

/* Files that no attempt works with and no manifest names differ in nothing any more. */
static void forget_files(struct state *to)
{
    for (uint8_t lease = 1; lease <= LEASES; lease++) {
        bool used = to->manifest == lease;
        for (uint32_t w = 0; w < WORKERS; w++) used |= to->worker[w].lease == lease;
        if (used || to->files[lease - 1] == FILES_NONE) continue;
        to->files[lease - 1] = FILES_NONE;
        to->left = 1;
    }
}

static void step_end(struct scene *scene, struct step *step)
{
    forget_messages(scene, &step->to);
    forget_files(&step->to);
    if (step->broken || memcmp(&step->to, scene->from, sizeof step->to) != 0) scene->count++;
}

/* Whether Redis may answer. */
static bool is_synced(const struct scene *scene)
{
    return !rule(scene, RULE_SYNCED_ANSWER) ||
           memcmp(&scene->from->now, &scene->from->synced, sizeof(struct redis)) == 0;
}

/* ---- the output's folder ---- */

/* common/store/attempt.c: roll_forward's clearing up, and attempt_sweep's. */
static void clear_all(const struct scene *scene, struct state *to)
{
    for (uint8_t lease = 1; lease <= LEASES; lease++) {
        const bool named = lease == to->manifest && to->published != lease;
        if (named && !rule(scene, RULE_ROLL_FORWARD)) continue; /* they are all there is of it */
        to->files[lease - 1] = FILES_NONE;
    }
    to->left = 0;
}

/* An attempt ends without clearing up. After the sweep nobody comes by any more: what is left then
 * harms nobody, and the next job over the same output removes it. No promise is made of it. */
static void leave_files(struct state *to, uint8_t lease)
{
    if ((to->swept || to->now.job == JOB_CLOSED) && lease && lease != to->manifest)
        to->files[lease - 1] = FILES_NONE;
}

/* attempt_close of one that has not committed. */
static void clear_own(const struct scene *scene, struct state *to, uint8_t lease)
{
    if (rule(scene, RULE_OWN_FILES))
        to->files[lease - 1] = FILES_NONE;
    else
        memset(to->files, FILES_NONE, sizeof to->files);
}

static void publish(struct state *to)
{
    if (!to->manifest || to->files[to->manifest - 1] != FILES_WHOLE) return; /* done before */
    to->files[to->manifest - 1] = FILES_NONE;
    to->published = to->manifest;
}

/* ---- the client ---- */

static void submit_arrives(struct scene *scene)
{
    struct step *step = step_begin(scene, STEP_SUBMIT_ARRIVE, 0);
    struct redis *redis = &step->to.now;
    if (redis->job == JOB_NONE) {
        *redis = (struct redis){.job = JOB_OPEN, .task = TASK_READY, .jobs = 1};
    } else if (!rule(scene, RULE_SUBMIT_REPEAT)) {
        redis->jobs = 2;
        step->broken = NO_SECOND_JOB;
    }
    if (step->to.client == CLIENT_SENT) step->to.client = CLIENT_HEARD;
    step_end(scene, step);
}

static void client_steps(struct scene *scene)
{
    const struct state *from = scene->from;
    if (from->client <= CLIENT_SENT) {
        struct step *step = step_begin(scene, STEP_SUBMIT_SEND, 0);
        step->to.client = CLIENT_SENT;
        step->to.submit = 1;
        step_end(scene, step);
    }
    if (from->submit) {
        submit_arrives(scene);
        struct step *step = step_begin(scene, STEP_SUBMIT_LOSE, 0);
        step->to.submit = 0;
        step_end(scene, step);
    }
    if (!is_synced(scene)) return;
    if (from->client == CLIENT_HEARD) {
        struct step *step = step_begin(scene, STEP_SUBMIT_ANSWER, 0);
        step->to.client = CLIENT_ACCEPTED;
        step_end(scene, step);
    } else if (from->client == CLIENT_ACCEPTED) {
        struct step *step = step_begin(scene, STEP_GET, 0);
        if (from->now.job == JOB_NONE) step->to.client = CLIENT_NEW;
        if (from->now.job == JOB_CLOSED) step->to.client = CLIENT_TOLD_DONE;
        step_end(scene, step);
    }
}

/* ---- the workers ---- */

static bool is_referred(const struct state *state, uint8_t lease)
{
    bool found = state->manifest == lease || state->published == lease;
    found |= state->files[lease - 1] != FILES_NONE;
    found |= state->sent[lease - 1].message != MESSAGE_NONE;
    for (uint32_t i = 0; i < LEASES; i++) found |= state->sent[i].digest == lease;
    for (uint32_t w = 0; w < WORKERS; w++)
        found |= state->worker[w].lease == lease || state->worker[w].seen == lease;
    found |= state->now.lease == lease || state->now.digest == lease;
    return found || state->synced.lease == lease || state->synced.digest == lease;
}

/* An id for a new lease; 0: there is none just now. */
static uint8_t lease_new(const struct scene *scene, struct state *to)
{
    if (!rule(scene, RULE_LEASE_RANDOM)) return to->now.issued < LEASES ? ++to->now.issued : 0;
    for (uint8_t lease = 1; lease <= LEASES; lease++)
        if (!is_referred(to, lease)) return lease;
    return 0;
}

static void worker_rests(struct state *to, uint32_t w)
{
    to->worker[w].phase = PHASE_IDLE;
    to->worker[w].lease = 0;
    to->worker[w].seen = 0;
}

static void worker_says(struct state *to, uint32_t w, enum message message)
{
    const uint8_t lease = to->worker[w].lease;
    to->sent[lease - 1].message = (uint8_t)message;
    to->sent[lease - 1].digest = message == MESSAGE_DONE ? to->worker[w].seen : 0;
}

static void take(struct scene *scene, uint32_t w)
{
    const struct redis *redis = &scene->from->now;
    const bool leased = redis->task == TASK_LEASED;
    if (redis->job != JOB_OPEN) return;
    if (redis->task != TASK_READY && (rule(scene, RULE_TAKE_READY) || !leased)) return;
    struct step *step = step_begin(scene, STEP_TAKE, w);
    const uint8_t lease = lease_new(scene, &step->to);
    if (!lease) return;
    step->broken = leased ? NO_SECOND_LEASE : HOLDS;
    step->to.now.task = TASK_LEASED;
    step->to.now.lease = lease;
    step->to.worker[w].phase = PHASE_GRANTED;
    step->to.worker[w].lease = lease;
    step_end(scene, step);
}

static void granted(struct scene *scene, uint32_t w)
{
    if (is_synced(scene)) {
        struct step *step = step_begin(scene, STEP_TAKE_ANSWER, w);
        step->to.worker[w].phase = PHASE_OPEN;
        step_end(scene, step);
    }
    struct step *step = step_begin(scene, STEP_TAKE_LOSE, w);
    step->fault = true;
    worker_rests(&step->to, w);
    step_end(scene, step);
}

/* attempt_open */
static void look(struct scene *scene, uint32_t w)
{
    struct step *step = step_begin(scene, STEP_LOOK, w);
    if (step->to.manifest && rule(scene, RULE_ADOPT)) {
        step->to.worker[w].phase = PHASE_COMMITTED;
        step->to.worker[w].seen = step->to.manifest;
    } else {
        step->to.worker[w].phase = PHASE_BEGIN;
    }
    step_end(scene, step);
}

/* attempt_file_open */
static void begin(struct scene *scene, uint32_t w)
{
    struct step *step = step_begin(scene, STEP_BEGIN, w);
    step->to.worker[w].phase = PHASE_WRITE;
    step->to.files[step->to.worker[w].lease - 1] = FILES_PART;
    step_end(scene, step);
}

/* attempt_file_close; files that are gone mean that another attempt has committed (ERR_STALE). */
static void write_files(struct scene *scene, uint32_t w)
{
    struct step *step = step_begin(scene, STEP_WRITE, w);
    uint8_t *files = &step->to.files[step->to.worker[w].lease - 1];
    if (*files == FILES_PART) {
        *files = FILES_WHOLE;
        step->to.worker[w].phase = PHASE_WRITTEN;
    } else {
        worker_rests(&step->to, w);
    }
    step_end(scene, step);
}

/* attempt_commit up to the manifest; another's is adopted. */
static void commit(struct scene *scene, uint32_t w)
{
    struct step *step = step_begin(scene, STEP_COMMIT, w);
    struct state *to = &step->to;
    const uint8_t lease = to->worker[w].lease;
    if (!to->manifest || !rule(scene, RULE_CREATE_ABSENT)) {
        if (to->manifest) step->broken = NO_REPLACED_OUTPUT;
        to->manifest = lease;
    }
    if (to->manifest == lease || rule(scene, RULE_ADOPT)) {
        to->worker[w].phase = PHASE_COMMITTED;
        to->worker[w].seen = to->manifest;
    } else { /* the name is taken: an error like any other */
        clear_own(scene, to, lease);
        worker_says(to, w, MESSAGE_FAIL);
        worker_rests(to, w);
    }
    step_end(scene, step);
}

/* The commit's answer is an error, whether it has happened or not. */
static void commit_doubt(struct scene *scene, uint32_t w)
{
    for (uint32_t happened = 0; happened <= 1; happened++) {
        struct step *step = step_begin(scene, STEP_COMMIT_DOUBT, w);
        step->fault = true;
        if (happened && !step->to.manifest) step->to.manifest = step->to.worker[w].lease;
        step->to.worker[w].phase = PHASE_DOUBT;
        step_end(scene, step);
    }
}

/* attempt.c: settle, then the attempt fails. */
static void settle(struct scene *scene, uint32_t w)
{
    for (uint32_t readable = 0; readable <= 1; readable++) {
        struct step *step = step_begin(scene, STEP_SETTLE, w);
        const uint8_t lease = step->to.worker[w].lease;
        const bool keep = !readable || step->to.manifest == lease;
        step->fault = !readable;
        if (!keep || !rule(scene, RULE_KEEP_FILES))
            clear_own(scene, &step->to, lease);
        else
            leave_files(&step->to, lease);
        worker_says(&step->to, w, MESSAGE_FAIL);
        worker_rests(&step->to, w);
        step_end(scene, step);
    }
}

/* The rest of attempt_commit: publish, clear up. Then DONE, which the worker repeats until it is
 * answered; nothing of what it does hangs on the answer. */
static void finish(struct scene *scene, uint32_t w)
{
    struct step *step;
    switch (scene->from->worker[w].phase) {
    case PHASE_COMMITTED:
        step = step_begin(scene, STEP_PUBLISH, w);
        if (rule(scene, RULE_ROLL_FORWARD) || step->to.worker[w].seen == step->to.worker[w].lease)
            publish(&step->to);
        step->to.worker[w].phase = PHASE_PUBLISHED;
        break;
    case PHASE_PUBLISHED:
        step = step_begin(scene, STEP_CLEAR, w);
        clear_all(scene, &step->to);
        step->to.worker[w].phase = PHASE_CLEARED;
        break;
    default:
        step = step_begin(scene, STEP_DONE_SEND, w);
        worker_says(&step->to, w, MESSAGE_DONE);
        worker_rests(&step->to, w);
        break;
    }
    step_end(scene, step);
}

/* RULE_COMMIT_FIRST taken away. */
static void done_early(struct scene *scene, uint32_t w)
{
    struct step *step = step_begin(scene, STEP_DONE_SEND, w);
    step->to.worker[w].seen = step->to.worker[w].lease;
    worker_says(&step->to, w, MESSAGE_DONE);
    step->to.worker[w].seen = 0;
    step_end(scene, step);
}

/* attempt_close: without a commit of its own, an attempt that ends of itself clears up. */
static void let_go(const struct scene *scene, struct state *to, uint32_t w)
{
    const uint8_t lease = to->worker[w].lease;
    if (to->worker[w].seen != lease) clear_own(scene, to, lease);
    worker_rests(to, w);
}

/* An attempt that fails or yields, is told that its lease is over, or finds so by its own clock. */
static void leave(struct scene *scene, uint32_t w)
{
    const uint8_t phase = scene->from->worker[w].phase;
    if (phase <= PHASE_COMMITTED && phase != PHASE_DOUBT) {
        struct step *step = step_begin(scene, STEP_FAIL_SEND, w);
        step->fault = true;
        worker_says(&step->to, w, MESSAGE_FAIL);
        let_go(scene, &step->to, w);
        step_end(scene, step);
    }
    if (phase < PHASE_DOUBT) {
        struct step *step = step_begin(scene, STEP_YIELD_SEND, w);
        step->fault = true;
        worker_says(&step->to, w, MESSAGE_YIELD);
        let_go(scene, &step->to, w);
        step_end(scene, step);
    }
    if (phase == PHASE_DOUBT) return;
    struct step *step = step_begin(scene, STEP_ABANDON, w);
    step->fault = scene->from->now.task == TASK_LEASED &&
                  scene->from->now.lease == scene->from->worker[w].lease;
    let_go(scene, &step->to, w);
    step_end(scene, step);
}

/* What is answered OK changes nothing here. */
static void renew(struct scene *scene, uint32_t w)
{
    const struct redis *redis = &scene->from->now;
    if (redis->task != TASK_LEASED || redis->lease == scene->from->worker[w].lease) return;
    if (scene->from->worker[w].phase == PHASE_DOUBT) return;
    struct step *step = step_begin(scene, STEP_RENEW, w);
    if (rule(scene, RULE_RENEW_LEASE))
        let_go(scene, &step->to, w);
    else
        step->broken = NO_REVIVED_LEASE;
    step_end(scene, step);
}

static void crash(struct scene *scene, uint32_t w)
{
    struct step *step = step_begin(scene, STEP_CRASH, w);
    step->fault = true;
    leave_files(&step->to, step->to.worker[w].lease);
    worker_rests(&step->to, w);
    step_end(scene, step);
}

static void worker_steps(struct scene *scene, uint32_t w)
{
    const uint8_t phase = scene->from->worker[w].phase;
    if (phase == PHASE_IDLE) {
        take(scene, w);
        return;
    }
    crash(scene, w);
    if (phase == PHASE_GRANTED) {
        granted(scene, w);
        return;
    }
    leave(scene, w);
    renew(scene, w);
    if (phase == PHASE_OPEN) {
        look(scene, w);
    } else if (phase == PHASE_BEGIN) {
        begin(scene, w);
    } else if (phase == PHASE_WRITE) {
        write_files(scene, w);
    } else if (phase == PHASE_WRITTEN) {
        commit(scene, w);
        commit_doubt(scene, w);
        if (!rule(scene, RULE_COMMIT_FIRST)) done_early(scene, w);
    } else if (phase == PHASE_DOUBT) {
        settle(scene, w);
    } else {
        finish(scene, w);
    }
}

/* ---- what arrives at Redis ---- */

static void done_arrives(const struct scene *scene, struct step *step, uint8_t lease)
{
    struct redis *redis = &step->to.now;
    const bool held = redis->lease == lease;
    if (redis->task == TASK_LEASED && (held || !rule(scene, RULE_DONE_LEASE))) {
        if (!held) step->broken = NO_STOLEN_LEASE;
        redis->task = TASK_DONE;
        redis->lease = lease;
        redis->digest = scene->from->sent[lease - 1].digest;
        redis->counted++;
    } else if (redis->task == TASK_DONE && held && !rule(scene, RULE_DONE_REPEAT)) {
        redis->counted++;
    }
}

static void back_arrives(const struct scene *scene, struct step *step, uint8_t lease)
{
    struct redis *redis = &step->to.now;
    const bool failed = scene->from->sent[lease - 1].message == MESSAGE_FAIL;
    if (redis->task != TASK_LEASED) return;
    if (redis->lease != lease) {
        if (rule(scene, failed ? RULE_FAIL_LEASE : RULE_YIELD_LEASE)) return;
        step->broken = NO_STOLEN_LEASE;
    }
    redis->task = failed ? TASK_WAITING : TASK_READY;
    redis->lease = 0;
}

static void message_steps(struct scene *scene, uint8_t lease)
{
    const uint8_t message = scene->from->sent[lease - 1].message;
    if (message == MESSAGE_NONE) return;
    if (scene->from->now.job != JOB_NONE) {
        struct step *step = step_begin(scene, STEP_ARRIVE, lease);
        if (message == MESSAGE_DONE)
            done_arrives(scene, step, lease);
        else
            back_arrives(scene, step, lease);
        step_end(scene, step);
    }
    struct step *step = step_begin(scene, STEP_LOSE, lease);
    step->to.sent[lease - 1].message = MESSAGE_NONE;
    step->to.sent[lease - 1].digest = 0;
    step_end(scene, step);
}

/* ---- what Redis does by itself, and the closing task ---- */

static void redis_steps(struct scene *scene)
{
    const struct state *from = scene->from;
    if (from->now.task == TASK_LEASED || from->now.task == TASK_WAITING) {
        const bool leased = from->now.task == TASK_LEASED;
        struct step *step = step_begin(scene, leased ? STEP_REAP : STEP_DUE, 0);
        step->to.now.task = TASK_READY;
        step->to.now.lease = 0;
        step_end(scene, step);
    }
    struct step *step = step_begin(scene, STEP_FSYNC, 0);
    step->to.synced = step->to.now;
    step_end(scene, step);
    if (from->fallen || memcmp(&from->now, &from->synced, sizeof from->now) == 0) return;
    step = step_begin(scene, STEP_FALL, 0);
    step->fault = true;
    step->to.fallen = 1;
    step->to.now = step->to.synced;
    if (step->to.client == CLIENT_HEARD) step->to.client = CLIENT_SENT;
    for (uint32_t w = 0; w < WORKERS; w++)
        if (step->to.worker[w].phase == PHASE_GRANTED) worker_rests(&step->to, w);
    step_end(scene, step);
}

/* Closing is a task too; of its own leases and crashes it is enough that it may begin again. */
static void close_steps(struct scene *scene)
{
    const struct state *from = scene->from;
    const bool may =
        from->now.job == JOB_OPEN && (from->now.task == TASK_DONE || !rule(scene, RULE_CLOSE_LAST));
    if (!from->swept) {
        if (!may) return;
        struct step *step = step_begin(scene, STEP_SWEEP, 0);
        if (rule(scene, RULE_ROLL_FORWARD)) publish(&step->to);
        if (rule(scene, RULE_SWEEP) && step->to.manifest) clear_all(scene, &step->to);
        step->to.swept = 1;
        step_end(scene, step);
        return;
    }
    struct step *step = step_begin(scene, STEP_CLOSE, 0);
    if (may) step->to.now.job = JOB_CLOSED;
    step->to.swept = 0;
    step_end(scene, step);
    step = step_begin(scene, STEP_CLOSE_CRASH, 0);
    step->fault = true;
    step->to.swept = 0;
    step_end(scene, step);
}

uint32_t model_steps(struct step step[MODEL_STEPS], const struct state *from, uint32_t rules)
{
    struct scene scene = {.step = step, .rules = rules, .from = from};
    client_steps(&scene);
    for (uint32_t w = 0; w < WORKERS; w++) worker_steps(&scene, w);
    for (uint8_t lease = 1; lease <= LEASES; lease++) message_steps(&scene, lease);
    redis_steps(&scene);
    close_steps(&scene);
    return scene.count;
}
