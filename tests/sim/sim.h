/* sim.h - the core of the simulation: chance, time, processes and their fibers.
 *
 * One thread runs everything. A process is one of the real programs (or a client, or the world
 * itself); its threads are fibers with a stack each, and they change places only where the real
 * thread could be made to wait: at the network, at Redis, at the store, at a channel, asleep. Which
 * of the ready ones goes on, how long everything takes and what goes wrong is drawn from one seed,
 * so that a seed is one history and gives the same one whenever it is run.
 *
 * What replaces what (linked in its place; everything else is the programs' own code):
 *   base.c    clock, thread, chan, wake, stop, log, check; and getrandom, getpid, _exit by --wrap
 *   sock.c    proto/wire/sock.h: the network
 *   state.c   broker/state/state.h: Redis, over the model of tests/state/queue_model.h
 *   store.c   the driver of common/store: one store that all workers share
 *   kind.c    worker/registry.h: the kind of job that they run
 * What drives and judges: world.c (fleet and faults), client.c, oracle.c.
 *
 * There is one simulation in a program, so its state is global: what the real code calls has no
 * argument to carry it. Memory of a process that crashed is not freed; each seed runs in a child
 * process of its own. */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "common/base/chan.h"
#include "common/base/rng.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MS INT64_C(1000) /* times of the simulation are in microseconds */
#define S  (1000 * MS)

#define PROCS_MAX 24

struct fiber;

struct proc {
    char name[16];
    uint32_t number;
    bool alive;
    uint32_t starts;       /* how often it was started: one more is another incarnation */
    void (*program)(void); /* its main; returns when it ends by itself */
    struct fiber *fibers;
    struct fiber *poller; /* waits in sock_poll */
    int64_t paused_until_us;
    uint32_t pauses;
    int64_t clock_base_us; /* its monotonic clock when the simulation begins */
    int64_t clock_ppm;     /* how much too fast it runs */
    int64_t wall_base_ms;
    int stop_count;
    struct wake *stop_wake;
    int exit_status;
    void (*ended)(struct proc *proc); /* told when it has ended or crashed */
};

struct sim {
    uint64_t seed;
    bool trace;
    int64_t now_us;
    struct rng rng;    /* what happens */
    struct rng secure; /* what getrandom gives */
    struct fiber *running;
    struct proc proc[PROCS_MAX];
    uint32_t procs_count;
    bool over;
    bool calm;  /* no more faults */
    bool peace; /* none at all */
    uint64_t slices;
    char canary[32]; /* the planted fault, or "" */
};

extern struct sim sim;

/* Chance. */
uint64_t sim_below(uint64_t bound);             /* [0, bound) */
int64_t sim_between(int64_t low, int64_t high); /* both included */
bool sim_chance(double probability);
int64_t sim_exponential(int64_t mean);
bool sim_fault(double probability); /* never when the world is calm */
bool sim_canary(const char *name);

/* Events: fire(arg, number) at a time; those of one time in the order of their making. */
void sim_at(int64_t at_us, void (*fire)(void *arg, uint64_t number), void *arg, uint64_t number);
/* Runs until sim.over, or the time. */
void sim_run(int64_t until_us);

/* Processes. */
struct proc *proc_new(const char *name, void (*program)(void));
void proc_start(struct proc *proc);
/* It is gone at once, with everything in its memory. Does not return where it is one's own. */
void proc_crash(struct proc *proc);
void proc_pause(struct proc *proc, int64_t until_us); /* SIGSTOP, and SIGCONT then */
void proc_signal(struct proc *proc);                  /* SIGTERM */
struct proc *proc_self(void);                         /* whose fiber runs; NULL: none */
int64_t proc_mono_us(const struct proc *proc);

/* Fibers. */
struct fiber *fiber_new(struct proc *proc, const char *name, void (*run)(void *arg), void *arg);
struct fiber *fiber_self(void);
bool fiber_ended(const struct fiber *fiber);
bool fiber_waits(const struct fiber *fiber);
const struct proc *fiber_proc(const struct fiber *fiber);
void fiber_yield(void);
/* Until woken or, if until_us >= 0, that time; may return for no reason. */
void fiber_wait(int64_t until_us);
void fiber_sleep(int64_t us);
void fiber_wake(struct fiber *fiber);
/* Ends the process of the running fiber in order: its main has returned. */
_Noreturn void proc_exit(int status);

/* The history: a hash of all lines, and the last ones for whoever has to understand a failure. */
void history(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void history_args(const char *prefix, const char *fmt, va_list args)
    __attribute__((format(printf, 2, 0)));
uint64_t history_hash(void);
uint64_t history_lines(void);
/* A rule is broken: prints why, the seed and the last lines, and ends the program. */
_Noreturn void sim_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same lines on stdout. */
void history_print(void);

#define SIM_EXIT_FAILED 3

#endif
