/* policy.c - greedy matching, one task at a time, so that shares stay fair within a turn.
 *
 * The cost is bounded by the sizes in limits.h: each pair of job and take is tested for fit at
 * most once, and each task given costs one scan of the jobs and one of the takes. */
#include "broker/policy.h"

#include "common/base/check.h"

#include <string.h>

enum fit { FIT_UNKNOWN, FIT_NO, FIT_COLD, FIT_WARM };

static bool has_text(char *const *list, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i], text) == 0) return true;
    }
    return false;
}

/* "" any; "cuda" is met by "cuda:0". */
static bool device_fits(const char *device, const char *wanted)
{
    const size_t bytes = strlen(wanted);
    if (!bytes) return true;
    return strncmp(device, wanted, bytes) == 0 && (device[bytes] == 0 || device[bytes] == ':');
}

bool policy_fits(const Vlmq__WorkerInfo *worker, const char *kind, const Vlmq__Needs *needs)
{
    if (!has_text(worker->kinds, worker->n_kinds, kind)) return false;
    if (!needs) return true;
    if (!device_fits(worker->device, needs->device)) return false;
    /* A model that is loaded already has its memory. */
    if (needs->device_bytes > worker->device_bytes_free && !policy_is_warm(worker, needs)) {
        return false;
    }
    for (size_t i = 0; i < needs->n_labels; i++) {
        if (!has_text(worker->labels, worker->n_labels, needs->labels[i])) return false;
    }
    return true;
}

bool policy_is_warm(const Vlmq__WorkerInfo *worker, const Vlmq__Needs *needs)
{
    return needs && needs->model[0] && has_text(worker->models, worker->n_models, needs->model);
}

double policy_decay(double recent, int64_t elapsed_ms)
{
    /* Halves step by step, and straight within a step: monotonous, and no need of libm. */
    for (; elapsed_ms >= RECENT_HALF_MS && recent > 1e-6; elapsed_ms -= RECENT_HALF_MS) recent /= 2;
    if (elapsed_ms <= 0) return recent;
    if (elapsed_ms > RECENT_HALF_MS) return 0;
    return recent * (1 - 0.5 * (double)elapsed_ms / RECENT_HALF_MS);
}

/* -1: a before b. */
static int order(const struct policy *p, uint32_t a, uint32_t b)
{
    const struct policy_job *x = &p->job[a], *y = &p->job[b];
    const struct policy_owner *u = &p->owner[x->owner], *v = &p->owner[y->owner];
    if (x->interactive != y->interactive) return x->interactive ? -1 : 1;
    if (x->priority != y->priority) return x->priority > y->priority ? -1 : 1;
    if (u->leased != v->leased) return u->leased < v->leased ? -1 : 1;
    if (x->owner != y->owner && u->recent != v->recent) return u->recent < v->recent ? -1 : 1;
    if (x->submitted_at_ms != y->submitted_at_ms) {
        return x->submitted_at_ms < y->submitted_at_ms ? -1 : 1;
    }
    return a < b ? -1 : 1;
}

static uint32_t best_job(const struct policy *p)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < p->jobs_count; i++) {
        if (p->out[i] || !p->job[i].ready) continue;
        if (best == UINT32_MAX || order(p, i, best) < 0) best = i;
    }
    return best;
}

static enum fit fit_of(struct policy *p, uint32_t job, uint32_t take)
{
    uint8_t *known = &p->fit[job][take];
    if (*known == FIT_UNKNOWN) {
        const struct policy_job *j = &p->job[job];
        const Vlmq__WorkerInfo *worker = p->take[take].worker;
        *known = !policy_fits(worker, j->kind, j->needs) ? FIT_NO
                 : policy_is_warm(worker, j->needs)      ? FIT_WARM
                                                         : FIT_COLD;
    }
    return (enum fit) * known;
}

static uint32_t credits_for(const struct policy_take *take, bool interactive)
{
    return take->credits + (interactive ? take->credits_interactive : 0);
}

/* Whether take a is better than b for a job that fits both equally. */
static bool better_take(const struct policy_take *a, const struct policy_take *b, bool interactive)
{
    const uint32_t x = credits_for(a, interactive), y = credits_for(b, interactive);
    if (x != y) return x > y;
    return a->since_ms < b->since_ms;
}

static uint32_t best_take(struct policy *p, uint32_t job, enum fit *fit)
{
    const struct policy_job *j = &p->job[job];
    uint32_t best = UINT32_MAX;
    *fit = FIT_NO;
    for (uint32_t i = 0; i < p->takes_count; i++) {
        const struct policy_take *take = &p->take[i];
        if (!credits_for(take, j->interactive)) continue;
        if (j->idle_only && !take->idle) continue;
        const enum fit f = fit_of(p, job, i);
        if (f == FIT_NO || f < *fit) continue;
        if (f > *fit || better_take(take, &p->take[best], j->interactive)) {
            best = i;
            *fit = f;
        }
    }
    return best;
}

/* A cold worker waits while a warm one is only busy; true: not now. */
static bool waits_for_warm(struct policy *p, const struct policy_job *job, int64_t now_ms)
{
    if (!job->warm_busy) return false;
    const int64_t left = job->ready_since_ms + WARM_WAIT_MS - now_ms;
    if (left <= 0) return false;
    if (p->wait_ms < 0 || left < p->wait_ms) p->wait_ms = left;
    return true;
}

static void give(struct policy *p, uint32_t job, uint32_t take)
{
    struct policy_job *j = &p->job[job];
    struct policy_take *t = &p->take[take];
    if (j->interactive && t->credits_interactive) {
        t->credits_interactive--;
    } else {
        CHECK(t->credits > 0);
        t->credits--;
    }
    t->idle = false;
    if (j->idle_only) t->credits = t->credits_interactive = 0; /* it has the worker for itself */
    j->ready--;
    p->owner[j->owner].leased++;
    p->owner[j->owner].recent += 1;
    for (uint32_t i = p->grants_count; i-- > 0;) {
        if (p->grant[i].job == job && p->grant[i].take == take) {
            p->grant[i].count++;
            return;
        }
    }
    p->grant[p->grants_count++] = (struct policy_grant){.take = take, .job = job, .count = 1};
}

/* No worker is idle: in a busy fleet none ever would be. One that fits gets no more batch work from
 * here on, so that it becomes idle; the choice is the same every time, and at every broker. */
static void keep_free(struct policy *p, uint32_t job)
{
    struct policy_take *chosen = NULL;
    for (uint32_t i = 0; i < p->takes_count; i++) {
        struct policy_take *take = &p->take[i];
        if (take->idle || fit_of(p, job, i) == FIT_NO) continue;
        if (!chosen || strcmp(take->worker->id, chosen->worker->id) < 0) chosen = take;
    }
    if (chosen) chosen->credits = 0;
}

void policy_match(struct policy *p, int64_t now_ms)
{
    CHECK(p->jobs_count <= MATCH_JOBS_MAX);
    CHECK(p->takes_count <= MATCH_TAKES_MAX);
    p->grants_count = 0;
    p->wait_ms = -1;
    p->more = false;
    for (uint32_t i = 0; i < p->jobs_count; i++) {
        p->out[i] = false;
        memset(p->fit[i], FIT_UNKNOWN, p->takes_count);
    }
    for (uint32_t given = 0; given < MATCH_GRANTS_MAX;) {
        const uint32_t job = best_job(p);
        if (job == UINT32_MAX) return;
        enum fit fit;
        const uint32_t take = best_take(p, job, &fit);
        if (take == UINT32_MAX || (fit == FIT_COLD && waits_for_warm(p, &p->job[job], now_ms))) {
            p->out[job] = true;
            if (take == UINT32_MAX && p->job[job].idle_only) keep_free(p, job);
            continue;
        }
        give(p, job, take);
        given++;
    }
    p->more = true;
}
