/* base.c - clock, thread, stop, chan, wake, log and check as the simulated processes find them.
 *
 * A thread is a fiber of its process. Waking up for no reason is allowed everywhere, so whoever
 * waits looks again. */
#include "tests/sim/base.h"

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/stop.h"
#include "common/base/str.h"
#include "common/base/thread.h"
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAITING_MAX 1024

/* What the linker puts in the place of the C library's (--wrap). */
ssize_t __wrap_getrandom(void *dst, size_t bytes, unsigned flags);
pid_t __wrap_getpid(void);
int __wrap_gethostname(char *dst, size_t bytes);
_Noreturn void __wrap__exit(int status);
_Noreturn void __real__exit(int status);
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int __wrap_pthread_cond_signal(pthread_cond_t *condition);
int __wrap_pthread_cond_broadcast(pthread_cond_t *condition);

/* ---- clock ---- */

static int64_t sim_mono_ms(const struct clock *self)
{
    (void)self;
    const struct proc *proc = proc_self();
    return (proc ? proc_mono_us(proc) : sim.now_us) / 1000;
}

static int64_t sim_wall_ms(const struct clock *self)
{
    (void)self;
    const struct proc *proc = proc_self();
    return (proc ? proc->wall_base_ms : 0) + sim.now_us / 1000;
}

const struct clock clock_real = {.mono_ms = sim_mono_ms, .wall_ms = sim_wall_ms};

int64_t clock_mono_us(void)
{
    const struct proc *proc = proc_self();
    return proc ? proc_mono_us(proc) : sim.now_us;
}

void clock_sleep_ms(int64_t ms)
{
    if (ms > 0) fiber_sleep(ms * MS);
}

char *clock_text(char *dst, int64_t wall_ms)
{
    (void)snprintf(dst, CLOCK_TEXT_BYTES, "%lld", (long long)wall_ms);
    return dst;
}

/* ---- threads ---- */

int thread_start(struct thread *thread, const char *name, void (*run)(void *arg), void *arg,
                 struct err *err)
{
    CHECK(!thread->running);
    if (str_eq(name, "task") && sim_fault(0.005))
        return err_set(err, ERR_LIMIT, "start thread %s: no more threads", name);
    const struct fiber *fiber = fiber_new(proc_self(), name, run, arg);
    _Static_assert(sizeof thread->id >= sizeof fiber, "a pointer fits a thread's id");
    memcpy(&thread->id, &fiber, sizeof fiber);
    thread->running = true;
    return 0;
}

void thread_join(struct thread *thread)
{
    const struct fiber *fiber;
    if (!thread->running) return;
    memcpy(&fiber, &thread->id, sizeof fiber);
    while (!fiber_ended(fiber)) fiber_wait(-1);
    thread->running = false;
}

int thread_cpus(void)
{
    return 4;
}

/* Mutexes are real ones: nobody changes places while one is held, but to wait for a condition. */
static struct waiting {
    pthread_cond_t *condition; /* NULL: free */
    struct fiber *fiber;
} waiting[WAITING_MAX];

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
    uint32_t i = 0;
    while (i < WAITING_MAX && waiting[i].condition) i++;
    CHECK(i < WAITING_MAX);
    waiting[i] = (struct waiting){condition, fiber_self()};
    CHECK(pthread_mutex_unlock(mutex) == 0);
    fiber_wait(-1);
    waiting[i] = (struct waiting){0};
    return pthread_mutex_lock(mutex);
}

static int wake_waiting(const pthread_cond_t *condition, uint32_t max)
{
    for (uint32_t i = 0; i < WAITING_MAX && max; i++) {
        if (waiting[i].condition != condition || !fiber_waits(waiting[i].fiber)) continue;
        fiber_wake(waiting[i].fiber);
        max--;
    }
    return 0;
}

int __wrap_pthread_cond_signal(pthread_cond_t *condition)
{
    return wake_waiting(condition, 1);
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *condition)
{
    return wake_waiting(condition, UINT32_MAX);
}

void sim_threads_gone(const struct proc *proc)
{
    for (uint32_t i = 0; i < WAITING_MAX; i++)
        if (waiting[i].condition && fiber_proc(waiting[i].fiber) == proc)
            waiting[i] = (struct waiting){0};
}

/* ---- signals ---- */

void stop_install(struct wake *wake)
{
    proc_self()->stop_wake = wake;
}

int stop_count(void)
{
    return proc_self()->stop_count;
}

/* ---- channels ---- */

#define WAITERS_MAX 16

struct chan {
    void **item;
    uint32_t capacity, first, count;
    bool closed;
    struct fiber *waiter[WAITERS_MAX];
    uint32_t waiters_count;
};

struct chan *chan_new(uint32_t capacity)
{
    struct chan *chan = mem_new(sizeof *chan);
    CHECK(capacity >= 1);
    chan->capacity = capacity;
    chan->item = mem_new(capacity * sizeof *chan->item);
    return chan;
}

void chan_free(struct chan *chan)
{
    if (!chan) return;
    CHECK(chan->closed);
    mem_free(chan->item);
    mem_free(chan);
}

static void chan_changed(struct chan *chan)
{
    for (uint32_t i = 0; i < chan->waiters_count; i++) fiber_wake(chan->waiter[i]);
    chan->waiters_count = 0;
}

static void chan_wait(struct chan *chan, int64_t until_us)
{
    CHECK(chan->waiters_count < WAITERS_MAX);
    chan->waiter[chan->waiters_count++] = fiber_self();
    fiber_wait(until_us);
    for (uint32_t i = 0; i < chan->waiters_count; i++)
        if (chan->waiter[i] == fiber_self())
            chan->waiter[i--] = chan->waiter[--chan->waiters_count];
}

void chan_close(struct chan *chan)
{
    chan->closed = true;
    chan_changed(chan);
}

bool chan_try_send(struct chan *chan, void *item)
{
    if (chan->closed || chan->count == chan->capacity) return false;
    chan->item[(chan->first + chan->count++) % chan->capacity] = item;
    chan_changed(chan);
    return true;
}

bool chan_send(struct chan *chan, void *item)
{
    if (sim_chance(0.5)) fiber_yield();
    while (!chan->closed && chan->count == chan->capacity) chan_wait(chan, -1);
    const bool sent = chan_try_send(chan, item);
    if (sim_chance(0.5)) fiber_yield();
    return sent;
}

void *chan_try_recv(struct chan *chan)
{
    if (!chan->count) return NULL;
    void *item = chan->item[chan->first];
    chan->first = (chan->first + 1) % chan->capacity;
    chan->count--;
    chan_changed(chan);
    return item;
}

void *chan_recv(struct chan *chan)
{
    if (sim_chance(0.5)) fiber_yield();
    while (!chan->closed && !chan->count) chan_wait(chan, -1);
    return chan_try_recv(chan);
}

void *chan_recv_for(struct chan *chan, int64_t wait_ms)
{
    const int64_t end_us = sim.now_us + (wait_ms > 0 ? wait_ms * MS : 0);
    while (!chan->closed && !chan->count && sim.now_us < end_us) chan_wait(chan, end_us);
    return chan_try_recv(chan);
}

uint32_t chan_depth(struct chan *chan)
{
    return chan->count;
}

uint32_t chan_capacity(const struct chan *chan)
{
    return chan->capacity;
}

/* ---- wakes: a descriptor is a row of a table ---- */

#define WAKES_MAX 4096
#define WAKE_FD   100000 /* far from real descriptors */

static struct {
    struct proc *proc;
    bool readable;
} wakes[WAKES_MAX];
static int wakes_count;

int wake_open(struct wake *wake)
{
    if (wakes_count == WAKES_MAX) return -1;
    wakes[wakes_count].proc = proc_self();
    wake->fd = WAKE_FD + wakes_count++;
    atomic_init(&wake->raised, false);
    return 0;
}

void wake_close(struct wake *wake)
{
    wake->fd = -1;
}

void wake_raise(struct wake *wake)
{
    if (atomic_exchange(&wake->raised, true)) return;
    const int i = wake->fd - WAKE_FD;
    CHECK(i >= 0);
    CHECK(i < wakes_count);
    wakes[i].readable = true;
    fiber_wake(wakes[i].proc->poller);
}

void wake_clear(struct wake *wake)
{
    wakes[wake->fd - WAKE_FD].readable = false;
    atomic_store(&wake->raised, false);
}

bool sim_fd_readable(int fd)
{
    const int i = fd - WAKE_FD;
    CHECK(i >= 0);
    CHECK(i < wakes_count);
    return wakes[i].readable;
}

/* ---- log: lines of the history ---- */

struct log_scope {
    uint32_t task, attempt;
};

void log_set_level(enum log_level level)
{
    (void)level;
}

void log_set_json(bool json)
{
    (void)json;
}

void log_set_program(const char *name)
{
    (void)name;
}

int log_level_parse(enum log_level *level, const char *text)
{
    *level = LOG_INFO;
    return *text ? 0 : -1;
}

void log_line(enum log_level level, const char *event, const char *fmt, ...)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    char prefix[64];
    va_list args;
    if (level == LOG_DEBUG) return;
    (void)snprintf(prefix, sizeof prefix, "%s %s ", levels[(int)level], event);
    va_start(args, fmt);
    history_args(prefix, fmt, args);
    va_end(args);
    /* Our own failures are faults to find, but for those that the simulation causes. */
    if (level == LOG_ERROR) sim_fail("%s logged an error: %s", proc_self()->name, event);
}

const char *log_quote(const char *text)
{
    static char buffers[4][420];
    static uint32_t turn;
    char *dst = buffers[turn++ % 4];
    (void)snprintf(dst, sizeof buffers[0], "\"%.400s\"", text ? text : "");
    return dst;
}

struct log_scope *log_scope_new(const char *job, uint32_t task, uint32_t attempt)
{
    struct log_scope *scope = mem_new(sizeof *scope);
    (void)job;
    scope->task = task;
    scope->attempt = attempt;
    return scope;
}

void log_scope_free(struct log_scope *scope)
{
    mem_free(scope);
}

void log_scope_join(struct log_scope *scope)
{
    (void)scope;
}

void log_scope_tail(struct log_scope *scope, struct buf *out)
{
    if (scope) buf_printf(out, "task %u attempt %u\n", scope->task, scope->attempt);
}

/* ---- the end of a program ---- */

void check_failed(const char *file, int line, const char *expression)
{
    sim_fail("%s:%d: check failed: %s", file, line, expression);
}

ssize_t __wrap_getrandom(void *dst, size_t bytes, unsigned flags)
{
    uint8_t *at = dst;
    (void)flags;
    for (size_t i = 0; i < bytes; i++) at[i] = (uint8_t)(rng_next(&sim.secure) >> 32);
    return (ssize_t)bytes;
}

pid_t __wrap_getpid(void)
{
    const struct proc *proc = proc_self();
    return proc ? (pid_t)(proc->number * 1000 + proc->starts) : 1;
}

int __wrap_gethostname(char *dst, size_t bytes)
{
    (void)snprintf(dst, bytes, "host-%u", proc_self()->number);
    return 0;
}

void __wrap__exit(int status)
{
    if (proc_self()) proc_exit(status);
    __real__exit(status);
}
