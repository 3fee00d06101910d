/* jobs.c - the cache of active jobs and the table of their owners. */
#include "broker/jobs.h"

#include "common/base/check.h"
#include "common/base/str.h"

#include <string.h>

void jobs_init(struct jobs *jobs, uint64_t seed)
{
    *jobs = (struct jobs){0};
    jobs->job = mem_new(sizeof *jobs->job * JOBS_MAX);
    jobs->free = mem_new(sizeof *jobs->free * JOBS_MAX);
    jobs->owner = mem_new(sizeof *jobs->owner * OWNERS_MAX);
    index_init(&jobs->by_id, JOBS_MAX, seed);
    index_init(&jobs->by_owner, OWNERS_MAX, seed);
}

void jobs_deinit(struct jobs *jobs)
{
    for (uint32_t i = 0; i < jobs->high; i++) {
        if (jobs->job[i].used) jobs_drop(jobs, &jobs->job[i]);
    }
    mem_free(jobs->job);
    mem_free(jobs->free);
    mem_free(jobs->owner);
    index_deinit(&jobs->by_id);
    index_deinit(&jobs->by_owner);
    *jobs = (struct jobs){0};
}

const char *job_state_name(Vlmq__JobState state)
{
    switch ((int)state) {
    case VLMQ__JOB_STATE__JOB_HELD:
        return "held";
    case VLMQ__JOB_STATE__JOB_PLANNING:
        return "planning";
    case VLMQ__JOB_STATE__JOB_RUNNING:
        return "running";
    case VLMQ__JOB_STATE__JOB_CLOSING:
        return "closing";
    case VLMQ__JOB_STATE__JOB_DONE:
        return "done";
    case VLMQ__JOB_STATE__JOB_FAILED:
        return "failed";
    case VLMQ__JOB_STATE__JOB_CANCELLING:
        return "cancelling";
    case VLMQ__JOB_STATE__JOB_CANCELLED:
        return "cancelled";
    default:
        return "unknown";
    }
}

bool job_state_ended(Vlmq__JobState state)
{
    return state == VLMQ__JOB_STATE__JOB_DONE || state == VLMQ__JOB_STATE__JOB_FAILED ||
           state == VLMQ__JOB_STATE__JOB_CANCELLED;
}

static bool takeable(const struct job *job)
{
    return !job->paused && (job->state == VLMQ__JOB_STATE__JOB_PLANNING ||
                            job->state == VLMQ__JOB_STATE__JOB_RUNNING ||
                            job->state == VLMQ__JOB_STATE__JOB_CLOSING);
}

bool job_gives(const struct job *job)
{
    return job->tasks_ready && takeable(job);
}

bool job_may_give(const struct job *job)
{
    return (job->tasks_ready || job->tasks_expected) && takeable(job);
}

struct job *jobs_find(struct jobs *jobs, const char *id)
{
    uint32_t slot = index_first(&jobs->by_id, index_hash_text(&jobs->by_id, id));
    for (; slot != INDEX_END; slot = index_next(&jobs->by_id, slot)) {
        if (strcmp(jobs->job[slot].id, id) == 0) return &jobs->job[slot];
    }
    return NULL;
}

/* An unused owner slot. There are as many as jobs, so one without a job is always left; it
 * loses its memory of grants. */
static uint32_t owner_room(struct jobs *jobs)
{
    if (jobs->owners_high < OWNERS_MAX) return jobs->owners_high++;
    uint32_t slot = 0;
    while (jobs->owner[slot].jobs) {
        slot++;
        CHECK(slot < OWNERS_MAX);
    }
    index_remove(&jobs->by_owner, index_hash_text(&jobs->by_owner, jobs->owner[slot].name), slot);
    return slot;
}

static uint32_t owner_meet(struct jobs *jobs, const char *name)
{
    const uint64_t hash = index_hash_text(&jobs->by_owner, name);
    uint32_t slot = index_first(&jobs->by_owner, hash);
    while (slot != INDEX_END && strcmp(jobs->owner[slot].name, name) != 0) {
        slot = index_next(&jobs->by_owner, slot);
    }
    if (slot == INDEX_END) {
        slot = owner_room(jobs);
        jobs->owner[slot] = (struct owner){0};
        (void)str_copy(jobs->owner[slot].name, OWNER_BYTES, name);
        index_add(&jobs->by_owner, hash, slot);
    }
    jobs->owner[slot].jobs++;
    return slot;
}

/* A copy on the heap of what never changes. */
static Vlmq__Job *fixed_copy(const Vlmq__Job *reply)
{
    Vlmq__Job part;
    vlmq__job__init(&part);
    part.id = reply->id;
    part.kind = reply->kind;
    part.owner = reply->owner;
    part.interactive = reply->interactive;
    part.needs = reply->needs;
    part.after = reply->after;
    part.from = reply->from;
    part.submitted_at_ms = reply->submitted_at_ms;
    const size_t bytes = vlmq__job__get_packed_size(&part);
    uint8_t *packed = mem_try(bytes);
    if (!packed) return NULL;
    (void)vlmq__job__pack(&part, packed);
    Vlmq__Job *copy = vlmq__job__unpack(NULL, bytes, packed);
    mem_free(packed);
    return copy;
}

/* Rank in a full table; larger stays. */
static int64_t class_of(const struct job *job, int64_t now_ms)
{
    if (job->tasks_leased || job->touch || job->unindex || job->show) return 2;
    const bool waits = !job_gives(job) && !job->due_at_ms;
    const bool unserved = now_ms - job->granted_at_ms > JOB_UNSERVED_MS &&
                          now_ms - job->ready_since_ms > JOB_UNSERVED_MS;
    return waits || unserved ? 0 : 1;
}

static bool worse(const struct job *a, const struct job *b, int64_t now_ms)
{
    const int64_t x = class_of(a, now_ms), y = class_of(b, now_ms);
    if (x != y) return x < y;
    if (a->fixed->interactive != b->fixed->interactive) return b->fixed->interactive;
    if (a->priority != b->priority) return a->priority < b->priority;
    return a->fixed->submitted_at_ms > b->fixed->submitted_at_ms;
}

/* Drops the worst job if the new one, with something to give, is better than it. */
static bool evict(struct jobs *jobs, const Vlmq__Job *reply, int64_t now_ms)
{
    struct job *worst = NULL;
    for (uint32_t i = 0; i < jobs->high; i++) {
        struct job *job = &jobs->job[i];
        if (!worst || worse(job, worst, now_ms)) worst = job;
    }
    CHECK(worst != NULL);
    const int64_t class = class_of(worst, now_ms);
    const bool waits = !reply->tasks_ready && !reply->tasks_leased && !reply->due_at_ms;
    if (class == 2 || (class == 1 && waits)) return false;
    if (class == 1 && (reply->priority < worst->priority ||
                       (reply->priority == worst->priority &&
                        reply->submitted_at_ms >= worst->fixed->submitted_at_ms))) {
        return false;
    }
    jobs_drop(jobs, worst);
    return true;
}

static struct job *insert(struct jobs *jobs, const Vlmq__Job *reply, int64_t now_ms)
{
    if (!jobs->free_count && jobs->high == JOBS_MAX && !evict(jobs, reply, now_ms)) return NULL;
    Vlmq__Job *fixed = fixed_copy(reply);
    if (!fixed) return NULL;
    const uint32_t slot = jobs->free_count ? jobs->free[--jobs->free_count] : jobs->high++;
    struct job *job = &jobs->job[slot];
    *job = (struct job){.used = true, .fixed = fixed, .idle_only_version = UINT64_MAX};
    (void)str_copy(job->id, sizeof job->id, reply->id);
    job->owner = owner_meet(jobs, reply->owner);
    job->granted_at_ms = now_ms;
    index_add(&jobs->by_id, index_hash_text(&jobs->by_id, job->id), slot);
    jobs->count++;
    return job;
}

/* Takes over what a reply says; what that changed. */
static struct job_change hear(struct job *job, const Vlmq__Job *reply, int64_t now_ms)
{
    struct job_change change = {.job = job};
    const bool gave = job_gives(job);
    const Vlmq__JobState before = job->state;
    change.changed = job->version != reply->version;
    job->state = reply->state;
    job->paused = reply->paused;
    job->priority = reply->priority;
    job->version = reply->version;
    job->tasks_total = reply->tasks_total;
    job->tasks_ready = reply->tasks_ready;
    job->tasks_leased = reply->tasks_leased;
    job->due_at_ms = reply->due_at_ms;
    job->heard_at_ms = now_ms;
    job->look = job->doubted = false;
    if (!job_state_ended(job->state) && job_state_ended(before)) { /* a retry revived it */
        job->unindex = false;
        job->source_seen = job->chain_ended = false;
    }
    change.readied = !gave && job_gives(job);
    if (change.readied) job->ready_since_ms = now_ms;
    change.ended = job_state_ended(job->state) && !job_state_ended(before);
    change.cancelling =
        job->state == VLMQ__JOB_STATE__JOB_CANCELLING && before != VLMQ__JOB_STATE__JOB_CANCELLING;
    return change;
}

struct job_change jobs_learn(struct jobs *jobs, const Vlmq__Job *reply, int64_t now_ms)
{
    struct job *job = jobs_find(jobs, reply->id);
    if (job && job->expected) { /* there it is; and it need not be what was expected */
        jobs_drop(jobs, job);
        job = NULL;
    }
    const bool appeared = !job;
    if (!job && !job_state_ended(reply->state)) job = insert(jobs, reply, now_ms);
    if (!job) return (struct job_change){0};
    struct job_change change = hear(job, reply, now_ms);
    change.appeared = appeared;
    return change;
}

void jobs_spec(struct jobs *jobs, struct job *job, const Vlmq__Job *reply)
{
    if (job->spec || jobs->specs_bytes + reply->spec.len > SPECS_BYTES_MAX) return;
    job->spec = mem_try(reply->spec.len + 1); /* + 1: an empty spec is known, too */
    if (!job->spec) return;
    if (reply->spec.len) memcpy(job->spec, reply->spec.data, reply->spec.len);
    job->spec_bytes = reply->spec.len;
    jobs->specs_bytes += reply->spec.len;
}

void jobs_drop(struct jobs *jobs, struct job *job)
{
    CHECK(job->used);
    const uint32_t slot = (uint32_t)(job - jobs->job);
    index_remove(&jobs->by_id, index_hash_text(&jobs->by_id, job->id), slot);
    jobs->owner[job->owner].jobs--;
    jobs->specs_bytes -= job->spec_bytes;
    mem_free(job->spec);
    vlmq__job__free_unpacked(job->fixed, NULL);
    *job = (struct job){0};
    jobs->free[jobs->free_count++] = slot;
    jobs->count--;
}
