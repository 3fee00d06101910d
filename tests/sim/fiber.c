/* fiber.c - fibers, processes and the order of events. */
#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "tests/sim/base.h"
#include "tests/sim/net.h"
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifdef HAS_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define STACK_BYTES  ((size_t)512 * 1024)
#define GUARD_BYTES  ((size_t)4096)
#define SLICE_US_MAX 20 /* what a fiber does between two waits takes so long */
#define READY_MAX    512

enum fiber_state { FIBER_READY, FIBER_RUNNING, FIBER_WAITING, FIBER_ENDED };

struct fiber {
    struct fiber *next; /* of its process */
    struct proc *proc;
    char name[24];
    ucontext_t context;
    char *stack;
    void *fake_stack;
    void (*run)(void *arg);
    void *arg;
    enum fiber_state state;
    uint64_t wait; /* number of its last wait: an old timer finds another one */
};

struct event {
    int64_t at_us;
    uint64_t order;
    void (*fire)(void *arg, uint64_t number);
    void *arg;
    uint64_t number;
};

struct sim sim;

static struct {
    ucontext_t context; /* of the scheduler */
    void *fake_stack;
    const void *stack_bottom;
    size_t stack_bytes;
    struct fiber *ready[READY_MAX];
    uint32_t ready_count;
    struct event *heap;
    uint32_t heap_count, heap_room;
    uint64_t orders;
    char **pool; /* stacks to use again */
    uint32_t pool_count, pool_room;
} core;

/* ---- chance ---- */

uint64_t sim_below(uint64_t bound)
{
    return rng_below(&sim.rng, bound);
}

int64_t sim_between(int64_t low, int64_t high)
{
    return low + (int64_t)sim_below((uint64_t)(high - low) + 1);
}

bool sim_chance(double probability)
{
    return rng_unit(&sim.rng) < probability;
}

bool sim_fault(double probability)
{
    return sim_chance(probability) && !sim.calm && !sim.peace;
}

bool sim_canary(const char *name)
{
    return str_eq(sim.canary, name);
}

/* Without libm's logarithm, which need not give the same bits everywhere: the sum of halvings until
 * a coin falls, and a uniform rest, is close enough. */
int64_t sim_exponential(int64_t mean)
{
    int64_t halves = 0;
    while (halves < 12 && (rng_next(&sim.rng) & 1)) halves++;
    const int64_t unit = mean * 7 / 10;
    return halves * unit + (int64_t)sim_below((uint64_t)unit + 1);
}

/* ---- events ---- */

static bool before(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void sim_at(int64_t at_us, void (*fire)(void *arg, uint64_t number), void *arg, uint64_t number)
{
    if (core.heap_count == core.heap_room) {
        core.heap_room = core.heap_room ? core.heap_room * 2 : 1024;
        core.heap = realloc(core.heap, core.heap_room * sizeof *core.heap);
        CHECK(core.heap != NULL);
    }
    const struct event event = {at_us < sim.now_us ? sim.now_us : at_us, core.orders++, fire, arg,
                                number};
    uint32_t i = core.heap_count++;
    for (; i > 0 && before(&event, &core.heap[(i - 1) / 2]); i = (i - 1) / 2)
        core.heap[i] = core.heap[(i - 1) / 2];
    core.heap[i] = event;
}

static struct event event_pop(void)
{
    const struct event first = core.heap[0], last = core.heap[--core.heap_count];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= core.heap_count) break;
        if (child + 1 < core.heap_count && before(&core.heap[child + 1], &core.heap[child]))
            child++;
        if (!before(&core.heap[child], &last)) break;
        core.heap[i] = core.heap[child];
        i = child;
    }
    core.heap[i] = last;
    return first;
}

/* ---- changing places ---- */

static void to_fiber(struct fiber *fiber)
{
#ifdef HAS_ASAN
    __sanitizer_start_switch_fiber(&core.fake_stack, fiber->stack, STACK_BYTES);
#endif
    CHECK(swapcontext(&core.context, &fiber->context) == 0);
#ifdef HAS_ASAN
    __sanitizer_finish_switch_fiber(core.fake_stack, NULL, NULL);
#endif
}

static void to_scheduler(struct fiber *fiber)
{
#ifdef HAS_ASAN
    void **keep = fiber->state == FIBER_ENDED ? NULL : &fiber->fake_stack;
    __sanitizer_start_switch_fiber(keep, core.stack_bottom, core.stack_bytes);
#endif
    CHECK(swapcontext(&fiber->context, &core.context) == 0);
#ifdef HAS_ASAN
    __sanitizer_finish_switch_fiber(fiber->fake_stack, NULL, NULL);
#endif
}

static char *stack_new(void)
{
    if (core.pool_count) {
        char *stack = core.pool[--core.pool_count];
#ifdef HAS_ASAN
        __asan_unpoison_memory_region(stack, STACK_BYTES);
#endif
        return stack;
    }
    char *stack = mmap(NULL, STACK_BYTES + GUARD_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(stack != MAP_FAILED);
    CHECK(mprotect(stack, GUARD_BYTES, PROT_NONE) == 0);
    return stack + GUARD_BYTES;
}

static void stack_free(struct fiber *fiber)
{
    if (core.pool_count == core.pool_room) {
        core.pool_room = core.pool_room ? core.pool_room * 2 : 64;
        core.pool = realloc(core.pool, core.pool_room * sizeof *core.pool);
        CHECK(core.pool != NULL);
    }
    core.pool[core.pool_count++] = fiber->stack;
    fiber->stack = NULL;
}

static void enter(void)
{
    struct fiber *fiber = sim.running;
#ifdef HAS_ASAN
    __sanitizer_finish_switch_fiber(NULL, &core.stack_bottom, &core.stack_bytes);
#endif
    fiber->run(fiber->arg);
    fiber->state = FIBER_ENDED;
    for (struct fiber *other = fiber->proc->fibers; other; other = other->next)
        fiber_wake(other); /* whoever waits for its end */
    to_scheduler(fiber);
}

static void make_ready(struct fiber *fiber)
{
    CHECK(core.ready_count < READY_MAX);
    fiber->state = FIBER_READY;
    core.ready[core.ready_count++] = fiber;
}

struct fiber *fiber_new(struct proc *proc, const char *name, void (*run)(void *arg), void *arg)
{
    struct fiber *fiber = mem_new(sizeof *fiber);
    fiber->proc = proc;
    fiber->run = run;
    fiber->arg = arg;
    (void)str_copy(fiber->name, sizeof fiber->name, name);
    fiber->stack = stack_new();
    CHECK(getcontext(&fiber->context) == 0);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&fiber->context, enter, 0);
    fiber->next = proc->fibers;
    proc->fibers = fiber;
    make_ready(fiber);
    return fiber;
}

struct fiber *fiber_self(void)
{
    return sim.running;
}

bool fiber_ended(const struct fiber *fiber)
{
    return fiber->state == FIBER_ENDED;
}

bool fiber_waits(const struct fiber *fiber)
{
    return fiber->state == FIBER_WAITING;
}

const struct proc *fiber_proc(const struct fiber *fiber)
{
    return fiber->proc;
}

void fiber_wake(struct fiber *fiber)
{
    if (fiber && fiber->state == FIBER_WAITING) make_ready(fiber);
}

void fiber_yield(void)
{
    struct fiber *fiber = sim.running;
    CHECK(fiber != NULL);
    make_ready(fiber);
    to_scheduler(fiber);
}

static void timer(void *arg, uint64_t wait)
{
    struct fiber *fiber = arg;
    if (fiber->state == FIBER_WAITING && fiber->wait == wait) make_ready(fiber);
}

void fiber_wait(int64_t until_us)
{
    struct fiber *fiber = sim.running;
    CHECK(fiber != NULL);
    fiber->wait++;
    fiber->state = FIBER_WAITING;
    if (until_us >= 0) sim_at(until_us, timer, fiber, fiber->wait);
    to_scheduler(fiber);
}

void fiber_sleep(int64_t us)
{
    const int64_t end_us = sim.now_us + us;
    while (sim.now_us < end_us) fiber_wait(end_us);
}

/* ---- processes ---- */

struct proc *proc_new(const char *name, void (*program)(void))
{
    CHECK(sim.procs_count < PROCS_MAX);
    struct proc *proc = &sim.proc[sim.procs_count];
    *proc = (struct proc){.number = sim.procs_count++, .program = program};
    (void)str_copy(proc->name, sizeof proc->name, name);
    proc->clock_base_us = sim_between(0, 1000000 * S);
    proc->clock_ppm = sim_between(-3000, 3000);
    proc->wall_base_ms = INT64_C(1790000000000) + sim_between(-60000, 60000);
    return proc;
}

struct proc *proc_self(void)
{
    return sim.running ? sim.running->proc : NULL;
}

int64_t proc_mono_us(const struct proc *proc)
{
    return proc->clock_base_us + sim.now_us + sim.now_us / 1000 * proc->clock_ppm / 1000;
}

static void program_run(void *arg)
{
    struct proc *proc = arg;
    proc->program();
    proc_exit(proc->exit_status);
}

void proc_start(struct proc *proc)
{
    CHECK(!proc->alive);
    proc->alive = true;
    proc->starts++;
    proc->stop_count = 0;
    proc->stop_wake = NULL;
    proc->poller = NULL;
    proc->fibers = NULL;
    proc->exit_status = 0;
    (void)fiber_new(proc, "main", program_run, proc);
}

/* All its fibers end where they stand; the running one's stack is freed by the scheduler. */
static void proc_drop(struct proc *proc)
{
    for (struct fiber *fiber = proc->fibers; fiber; fiber = fiber->next) {
        if (fiber->state == FIBER_ENDED) continue;
        for (uint32_t i = 0; i < core.ready_count; i++)
            if (core.ready[i] == fiber) core.ready[i--] = core.ready[--core.ready_count];
        fiber->state = FIBER_ENDED;
        if (fiber != sim.running) stack_free(fiber);
    }
    sim_threads_gone(proc);
    proc->alive = false;
    proc->fibers = NULL;
    proc->stop_wake = NULL;
    net_proc_gone(proc);
    if (proc->ended) proc->ended(proc);
}

static void leave_if_own(const struct proc *proc)
{
    if (sim.running && sim.running->proc == proc) to_scheduler(sim.running);
}

void proc_crash(struct proc *proc)
{
    if (!proc->alive) return;
    history("crash of %s", proc->name);
    proc_drop(proc);
    leave_if_own(proc);
}

void proc_exit(int status)
{
    struct proc *proc = proc_self();
    CHECK(proc != NULL);
    history("end of %s with status %d", proc->name, status);
    proc->exit_status = status;
    proc_drop(proc);
    leave_if_own(proc);
    abort();
}

static void nothing(void *arg, uint64_t number)
{
    (void)arg;
    (void)number;
}

void proc_pause(struct proc *proc, int64_t until_us)
{
    if (!proc->alive || proc->paused_until_us >= until_us) return;
    history("pause of %s for %.3f s", proc->name, (double)(until_us - sim.now_us) / 1e6);
    proc->paused_until_us = until_us;
    proc->pauses++;
    sim_at(until_us, nothing, NULL, 0);
}

void proc_signal(struct proc *proc)
{
    if (!proc->alive) return;
    history("signal to %s", proc->name);
    proc->stop_count++;
    if (proc->stop_wake) wake_raise(proc->stop_wake);
}

/* ---- the loop ---- */

/* One of the fibers that can go on, or NULL. */
static struct fiber *choose(void)
{
    uint32_t able = 0;
    for (uint32_t i = 0; i < core.ready_count; i++)
        able += core.ready[i]->proc->paused_until_us <= sim.now_us;
    if (!able) return NULL;
    uint64_t skip = sim_below(able);
    uint32_t i = 0;
    while (core.ready[i]->proc->paused_until_us > sim.now_us || skip--) i++;
    struct fiber *fiber = core.ready[i];
    core.ready[i] = core.ready[--core.ready_count];
    return fiber;
}

static void slice(struct fiber *fiber)
{
    sim.slices++;
    sim.running = fiber;
    fiber->state = FIBER_RUNNING;
    to_fiber(fiber);
    sim.running = NULL;
    if (fiber->state == FIBER_ENDED) stack_free(fiber);
    sim.now_us += 1 + (int64_t)sim_below(SLICE_US_MAX);
}

void sim_run(int64_t until_us)
{
    while (!sim.over && sim.now_us < until_us) {
        while (core.heap_count && core.heap[0].at_us <= sim.now_us) {
            const struct event event = event_pop();
            event.fire(event.arg, event.number);
        }
        struct fiber *fiber = choose();
        if (fiber) {
            slice(fiber);
            continue;
        }
        if (!core.heap_count) return;
        sim.now_us = core.heap[0].at_us;
    }
}
