/* check.c - see model.h: what must hold in a state, and which states are the same. */
#include "tests/model/model.h"

#include <string.h>

struct naming {
    uint8_t name[LEASES + 1]; /* of a lease in the image; 0: none yet */
    uint8_t count;
};

static uint8_t named(struct naming *naming, uint8_t lease)
{
    if (lease && !naming->name[lease]) naming->name[lease] = ++naming->count;
    return naming->name[lease];
}

/* What tells leases apart that nothing but their files and messages is left of. */
static uint32_t rank(const struct state *state, const struct naming *naming, uint8_t lease)
{
    return state->files[lease - 1] * 64u + state->sent[lease - 1].message * 16u +
           naming->name[state->sent[lease - 1].digest];
}

static void name_rest(struct naming *naming, const struct state *state)
{
    while (naming->count < LEASES) {
        uint8_t best = 0;
        for (uint8_t lease = 1; lease <= LEASES; lease++)
            if (!naming->name[lease] &&
                (!best || rank(state, naming, lease) > rank(state, naming, best)))
                best = lease;
        (void)named(naming, best);
    }
}

/* With the workers in their order, or the other way round. */
static struct state image_of(const struct state *state, bool turned)
{
    struct naming naming = {0};
    struct state image = *state;
    image.now.lease = named(&naming, state->now.lease);
    image.now.digest = named(&naming, state->now.digest);
    image.synced.lease = named(&naming, state->synced.lease);
    image.synced.digest = named(&naming, state->synced.digest);
    image.manifest = named(&naming, state->manifest);
    image.published = named(&naming, state->published);
    for (uint32_t w = 0; w < WORKERS; w++) {
        const uint32_t of = turned ? WORKERS - 1 - w : w;
        image.worker[w].phase = state->worker[of].phase;
        image.worker[w].lease = named(&naming, state->worker[of].lease);
        image.worker[w].seen = named(&naming, state->worker[of].seen);
    }
    name_rest(&naming, state);
    for (uint8_t lease = 1; lease <= LEASES; lease++) {
        const uint32_t to = naming.name[lease] - 1u;
        image.files[to] = state->files[lease - 1];
        image.sent[to].message = state->sent[lease - 1].message;
        image.sent[to].digest = naming.name[state->sent[lease - 1].digest];
    }
    return image;
}

struct state model_image(const struct state *state, uint32_t rules)
{
    if (!(rules & 1u << RULE_LEASE_RANDOM)) return *state; /* there the ids have an order */
    const struct state one = image_of(state, false), other = image_of(state, true);
    return memcmp(&one, &other, sizeof one) < 0 ? one : other;
}

/* ---- properties ---- */

static bool files_lost(const struct state *state)
{
    return state->manifest && state->published != state->manifest &&
           state->files[state->manifest - 1] != FILES_WHOLE;
}

static bool at_rest(const struct state *state)
{
    for (uint32_t w = 0; w < WORKERS; w++)
        if (state->worker[w].phase != PHASE_IDLE) return false;
    return state->now.job == JOB_CLOSED;
}

static bool files_left(const struct state *state)
{
    for (uint32_t i = 0; i < LEASES; i++)
        if (state->files[i] != FILES_NONE) return true;
    return state->left;
}

static bool id_shared(const struct state *state)
{
    return state->worker[0].phase > PHASE_GRANTED && state->worker[1].phase > PHASE_GRANTED &&
           state->worker[0].lease == state->worker[1].lease;
}

enum property model_check(const struct state *state, uint32_t promises)
{
    const struct redis *redis = &state->now;
    const bool closed = redis->job == JOB_CLOSED, done = redis->task == TASK_DONE;
    bool broken[PROPERTIES_COUNT] = {false};
    broken[NO_LOST_FILES] = files_lost(state);
    broken[NO_EMPTY_DONE] = done && (!state->manifest || redis->digest != state->manifest);
    broken[NO_SHARED_ID] = id_shared(state);
    broken[NO_DOUBLE_COUNT] = redis->counted > 1;
    broken[NO_EARLY_CLOSE] = closed && !done;
    broken[NO_LOST_JOB] = state->client >= CLIENT_ACCEPTED && redis->job == JOB_NONE;
    broken[NO_UNDONE] = state->client == CLIENT_TOLD_DONE && redis->job == JOB_OPEN;
    broken[NO_UNPUBLISHED] = closed && state->published != state->manifest;
    broken[NO_LEFT_FILES] = at_rest(state) && files_left(state);
    for (uint32_t i = 0; i < PROPERTIES_COUNT; i++)
        if (broken[i] && promises & 1u << i) return (enum property)i;
    return HOLDS;
}

bool model_ended(const struct state *state)
{
    return state->client == CLIENT_TOLD_DONE && state->manifest &&
           state->published == state->manifest;
}
