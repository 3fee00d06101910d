/* search.c - breadth first over all states, with a hash set of what was seen; then backwards from
 * the good ends, over steps that are no faults: what is not reached so is a trap. */
#include "tests/model/search.h"

#include "common/base/check.h"
#include "common/base/mem.h"

#include <stdio.h>
#include <string.h>

#define STATES_MAX  (1u << 20)
#define BUCKETS     (2 * STATES_MAX)
#define EDGES_FIRST (1u << 20)
#define NOWHERE     UINT32_MAX

struct edge {
    uint32_t from, to;
};

struct space {
    uint32_t rules;
    struct state *state; /* in the order in which they were found; one for each image */
    struct state *image;
    uint32_t *parent, *bucket;
    uint32_t count;
    struct edge *edge; /* steps that are no faults */
    uint32_t edges, edges_max;
};

static uint64_t hash(const struct state *state)
{
    const uint8_t *data = (const uint8_t *)state;
    uint64_t sum = 1469598103934665603u;
    for (size_t i = 0; i < sizeof *state; i++) sum = (sum ^ data[i]) * 1099511628211u;
    return sum ^ sum >> 29;
}

/* The state's number; a new one is added. */
static uint32_t find(struct space *space, const struct state *state, uint32_t parent)
{
    const struct state image = model_image(state, space->rules);
    uint64_t at = hash(&image) % BUCKETS;
    while (space->bucket[at]) {
        const uint32_t i = space->bucket[at] - 1;
        if (memcmp(&space->image[i], &image, sizeof image) == 0) return i;
        at = (at + 1) % BUCKETS;
    }
    CHECK(space->count < STATES_MAX);
    space->state[space->count] = *state;
    space->image[space->count] = image;
    space->parent[space->count] = parent;
    space->bucket[at] = ++space->count;
    return space->count - 1;
}

static void edge_add(struct space *space, uint32_t from, uint32_t to)
{
    if (space->edges == space->edges_max) {
        space->edges_max *= 2;
        space->edge = mem_resize(space->edge, space->edges_max * sizeof *space->edge);
        CHECK(space->edge != NULL);
    }
    space->edge[space->edges++] = (struct edge){from, to};
}

/* ---- the way to a state ---- */

/* The step that was taken from one state to the next. */
static struct step step_between(const struct state *from, const struct state *to, uint32_t rules)
{
    struct step step[MODEL_STEPS];
    const uint32_t count = model_steps(step, from, rules);
    uint32_t i = 0;
    while (i < count && memcmp(&step[i].to, to, sizeof *to) != 0) i++;
    CHECK(i < count);
    return step[i];
}

static uint32_t depth(const struct space *space, uint32_t i)
{
    uint32_t steps = 0;
    for (; space->parent[i] != NOWHERE; i = space->parent[i]) steps++;
    return steps;
}

static void print_way(const struct space *space, uint32_t last, uint32_t rules)
{
    char text[160];
    for (uint32_t left = depth(space, last), number = 1; left > 0; left--, number++) {
        uint32_t to = last;
        for (uint32_t i = 1; i < left; i++) to = space->parent[to];
        const struct state *from = &space->state[space->parent[to]];
        const struct step step = step_between(from, &space->state[to], rules);
        model_words(text, sizeof text, from, &step);
        printf("  %3u %s\n", number, text);
    }
}

static void print_last(const struct space *space, uint32_t from, const struct step *step)
{
    char text[160];
    model_words(text, sizeof text, &space->state[from], step);
    printf("  %3u %s\n", depth(space, from) + 1, text);
}

/* ---- forwards ---- */

/* All steps from one state. */
static bool expand(struct space *space, uint32_t at, uint32_t rules, uint32_t promises, bool trace,
                   struct finding *finding)
{
    struct step step[MODEL_STEPS];
    const struct state from = space->state[at];
    const uint32_t count = model_steps(step, &from, rules);
    for (uint32_t i = 0; i < count; i++) {
        enum property broken = promises & 1u << step[i].broken ? step[i].broken : HOLDS;
        if (!broken) broken = model_check(&step[i].to, promises);
        if (broken) {
            *finding = (struct finding){broken, space->count, depth(space, at) + 1};
            if (!trace) return false;
            print_way(space, at, rules);
            print_last(space, at, &step[i]);
            return false;
        }
        const uint32_t to = find(space, &step[i].to, at);
        if (!step[i].fault) edge_add(space, at, to);
    }
    return true;
}

/* ---- backwards ---- */

/* Edges by where they lead to: first[to] is the end of to's part of by_end. */
static void edges_sort(const struct space *space, uint32_t *first, uint32_t *by_end)
{
    for (uint32_t i = 0; i < space->edges; i++) first[space->edge[i].to]++;
    for (uint32_t i = 1; i <= space->count; i++) first[i] += first[i - 1];
    for (uint32_t i = 0; i < space->edges; i++)
        by_end[--first[space->edge[i].to]] = space->edge[i].from;
}

/* The first state, in the order of finding, from which no good end can be reached; or NOWHERE. */
static uint32_t find_trap(const struct space *space)
{
    uint32_t *first = mem_new((space->count + 1) * sizeof *first);
    uint32_t *by_end = mem_new((space->edges + 1) * sizeof *by_end);
    uint32_t *queue = mem_new(space->count * sizeof *queue);
    bool *good = mem_new(space->count);
    uint32_t queued = 0, trap = 0;
    edges_sort(space, first, by_end);
    for (uint32_t i = 0; i < space->count; i++)
        if (model_ended(&space->state[i])) good[queue[queued++] = i] = true;
    for (uint32_t at = 0; at < queued; at++) {
        for (uint32_t i = first[queue[at]]; i < first[queue[at] + 1]; i++) {
            if (good[by_end[i]]) continue;
            good[queue[queued++] = by_end[i]] = true;
        }
    }
    while (trap < space->count && good[trap]) trap++;
    if (trap == space->count) trap = NOWHERE;
    mem_free(first);
    mem_free(by_end);
    mem_free(queue);
    mem_free(good);
    return trap;
}

struct finding search(uint32_t rules, uint32_t promises, bool trace)
{
    const struct state start = {0};
    struct finding finding = {0};
    struct space space = {.rules = rules, .edges_max = EDGES_FIRST};
    space.state = mem_new((size_t)STATES_MAX * sizeof *space.state);
    space.image = mem_new((size_t)STATES_MAX * sizeof *space.image);
    space.parent = mem_new((size_t)STATES_MAX * sizeof *space.parent);
    space.bucket = mem_new((size_t)BUCKETS * sizeof *space.bucket);
    space.edge = mem_new(space.edges_max * sizeof *space.edge);
    (void)find(&space, &start, NOWHERE);
    uint32_t at = 0;
    while (at < space.count && expand(&space, at, rules, promises, trace, &finding)) at++;
    if (at == space.count) {
        finding = (struct finding){HOLDS, space.count, 0};
        const uint32_t trap = promises & 1u << NO_TRAP ? find_trap(&space) : NOWHERE;
        if (trap != NOWHERE) {
            finding.broken = NO_TRAP;
            finding.steps = depth(&space, trap);
            if (trace) print_way(&space, trap, rules);
        }
    }
    mem_free(space.state);
    mem_free(space.image);
    mem_free(space.parent);
    mem_free(space.bucket);
    mem_free(space.edge);
    return finding;
}
