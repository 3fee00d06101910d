/* world.c - draws a fleet from the seed, lets things go wrong in it for a while, then heals it and
 * waits until all work has ended. */
#include "tests/sim/world.h"

#include "common/base/check.h"
#include "common/base/id.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "tests/sim/net.h"
#include "tests/sim/oracle.h"
#include "tests/sim/redis.h"
#include "tests/sim/store.h"
#include "worker/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a healed fleet, until all its jobs have ended. A lease may last this long when Redis' clock
 * was set back: REAP takes deadlines up to the longest backoff for possible. */
#define PATIENCE_US (900 * S)
#define SETTLE_US   (20 * S) /* brokers look through the index, and wait before they clear it */
#define DRAIN_S     "8s"

struct world world;

/* The programs' main functions, renamed by the compiler. */
int broker_main(int argc, char **argv);
int worker_main(int argc, char **argv);

/* ---- programs ---- */

/* argv lives as long as the program. */
static char **arguments(const char *const *word, int count)
{
    char **argv = mem_new((size_t)(count + 1) * sizeof *argv);
    for (int i = 0; i < count; i++) {
        argv[i] = mem_new(strlen(word[i]) + 1);
        memcpy(argv[i], word[i], strlen(word[i]) + 1);
    }
    return argv;
}

static void broker_program(void)
{
    char listen[64];
    (void)snprintf(listen, sizeof listen, "tcp://%s:5710", proc_self()->name);
    const char *const word[] = {"vlmq-broker", "--insecure", "--listen", listen};
    proc_self()->exit_status = broker_main(4, arguments(word, 4));
}

static void worker_program(void)
{
    static const char *const slots[] = {"1", "2", "3"};
    const uint32_t number = proc_self()->number;
    const char *const word[] = {"vlmq-worker",
                                "--broker",
                                world.brokers,
                                "--slots",
                                slots[number % 3],
                                "--interactive-slots",
                                number % 2 ? "1" : "0",
                                "--drain-s",
                                DRAIN_S};
    proc_self()->exit_status = worker_main(9, arguments(word, 9));
}

static void start_again(void *arg, uint64_t starts)
{
    struct proc *proc = arg;
    if (!proc->alive && proc->starts == starts) proc_start(proc);
}

static void part_ended(struct proc *proc)
{
    oracle_proc_gone(proc);
    const bool is_worker = proc->program == worker_program;
    const int status = proc->exit_status;
    if (status && !(is_worker && (status == WORKER_POISONED || status == WORKER_ABORTED)))
        sim_fail("%s ends with status %d", proc->name, status);
    if (is_worker && world.draining) return;
    sim_at(sim.now_us + 100 * MS + sim_exponential(3 * S), start_again, proc, proc->starts);
}

/* ---- jobs ---- */

const struct work *world_work(const char *job)
{
    for (uint32_t i = 0; i < world.works_count; i++)
        if (str_eq(world.work[i].id, job)) return &world.work[i];
    sim_fail("job %s is nobody's", job);
}

uint32_t work_shards(const struct work *work)
{
    return work->shards + work->parts * work->each;
}

uint32_t work_tasks(const struct work *work)
{
    return 1 + work->parts + work_shards(work);
}

static void draw_work(struct work *work, uint32_t i)
{
    char id[JOB_ID_BYTES];
    id_job(id);
    (void)str_copy(work->id, sizeof work->id, id);
    (void)snprintf(work->output, sizeof work->output, "/out/%s", id);
    work->shards = (uint32_t)sim_between(0, sim_chance(0.2) ? 40 : 12);
    if (sim_chance(0.3)) {
        work->parts = (uint32_t)sim_between(1, 3);
        work->each = (uint32_t)sim_between(0, 5);
    }
    if (sim_chance(0.1) && work->shards) work->poisoned = 1;
    work->steps = (uint32_t)sim_between(1, 4);
    work->step_ms = (uint32_t)(sim_chance(0.3) ? sim_between(2000, 8000) : sim_between(50, 1500));
    work->interactive = sim_chance(0.2);
    work->priority = (int32_t)sim_between(-3, 3);
    work->owner = (uint32_t)sim_below(2);
    work->cancel = sim_chance(0.1);
    if (i < world.clients_count || sim_chance(0.5)) return;
    const struct work *other = &world.work[i - world.clients_count]; /* of the same client */
    if (sim_chance(0.25)) { /* the same job once more, under another id: it adopts what is there */
        *work = *other;
        (void)str_copy(work->id, sizeof work->id, id);
        work->cancel = false;
    } else if (sim_chance(0.5)) {
        (void)str_copy(work->after, sizeof work->after, other->id);
    } else {
        (void)str_copy(work->from, sizeof work->from, other->id);
        work->poisoned = 0; /* its tasks come from elsewhere */
    }
}

/* ---- faults ---- */

static struct proc *any(struct proc *const *proc, uint32_t count)
{
    return proc[sim_below(count)];
}

static void heal_cut(void *arg, uint64_t pair)
{
    (void)arg;
    const uint32_t a = (uint32_t)(pair / PROCS_MAX), b = (uint32_t)(pair % PROCS_MAX);
    if (net.cut[a][b] || net.cut[b][a]) net_cut(&sim.proc[a], &sim.proc[b], false, false);
}

static void cut_some(void)
{
    struct proc *broker = any(world.broker, world.brokers_count);
    struct proc *other = sim_chance(0.3)   ? redis.proc
                         : sim_chance(0.7) ? any(world.worker, world.workers_count)
                                           : any(world.client, world.clients_count);
    const bool one_way = world.faults.one_way && sim_chance(0.5);
    if (sim_chance(0.5))
        net_cut(broker, other, one_way, true);
    else
        net_cut(other, broker, one_way, true);
    sim_at(sim.now_us + 500 * MS + sim_exponential(sim_chance(0.5) ? 4 * S : 18 * S), heal_cut,
           NULL, (uint64_t)broker->number * PROCS_MAX + other->number);
}

static void heal_redis(void *arg, uint64_t number)
{
    (void)arg;
    (void)number;
    redis_restart();
    redis.full = redis.readonly = false;
}

static void pause_some(void)
{
    const uint64_t draw = sim_below(10);
    struct proc *proc = draw < 6   ? any(world.worker, world.workers_count)
                        : draw < 9 ? any(world.broker, world.brokers_count)
                                   : any(world.client, world.clients_count);
    proc_pause(proc, sim.now_us + 100 * MS + sim_exponential(sim_chance(0.5) ? 3 * S : 14 * S));
}

/* Ahead, or back; further than a broker takes for chance. Often not once. */
static void jump(void *arg, uint64_t more)
{
    const int64_t ms = sim_between(3000, sim_chance(0.3) ? 600000 : 40000);
    (void)arg;
    if (sim.calm) return;
    redis_jump(sim_chance(0.6) ? ms : -ms);
    if (more) sim_at(sim.now_us + sim_exponential(4 * S), jump, NULL, more - 1);
}

static void unwell(bool *what, const char *why)
{
    history("redis is %s", why);
    *what = true;
    sim_at(sim.now_us + 500 * MS + sim_exponential(6 * S), heal_redis, NULL, 0);
}

static void signal_again(void *arg, uint64_t starts)
{
    struct proc *proc = arg;
    if (proc->starts == starts) proc_signal(proc);
}

/* SIGTERM, to a worker sometimes a second one. */
static void signal_some(void)
{
    struct proc *proc = sim_chance(0.8) ? any(world.worker, world.workers_count)
                                        : any(world.broker, world.brokers_count);
    proc_signal(proc);
    if (proc->program == worker_program && sim_chance(0.4))
        sim_at(sim.now_us + sim_exponential(3 * S), signal_again, proc, proc->starts);
}

static void one_fault(void)
{
    const struct faults *f = &world.faults;
    switch (sim_below(11)) {
    case 0:
        if (f->crash_worker) proc_crash(any(world.worker, world.workers_count));
        break;
    case 1:
        if (f->crash_broker) proc_crash(any(world.broker, world.brokers_count));
        break;
    case 2:
        if (f->pause) pause_some();
        break;
    case 3:
    case 4:
        if (f->cut) cut_some();
        break;
    case 5:
        if (!f->redis_down) break;
        redis_crash();
        sim_at(sim.now_us + 200 * MS + sim_exponential(6 * S), heal_redis, NULL, 0);
        break;
    case 6:
        if (f->redis_slow) redis.slow_until_us = sim.now_us + sim_exponential(5 * S);
        break;
    case 7:
        if (f->redis_jump) jump(NULL, sim_below(3));
        break;
    case 8:
        if (f->redis_full) unwell(&redis.full, "full");
        if (f->redis_readonly) unwell(&redis.readonly, "without a disk");
        break;
    case 9:
        if (f->breaks) net_break_one();
        break;
    default:
        if (f->drain) signal_some();
        if (f->disk) store_world.low = !store_world.low;
        break;
    }
}

static void faults_go_on(void *arg, uint64_t number)
{
    (void)arg;
    (void)number;
    if (sim.calm) return;
    one_fault();
    sim_at(sim.now_us + 50 * MS + sim_exponential(world.faults.every_us), faults_go_on, NULL, 0);
}

static void calm_down(void *arg, uint64_t number)
{
    (void)arg;
    (void)number;
    history("from here on nothing goes wrong");
    sim.calm = true;
    memset(net.cut, 0, sizeof net.cut);
    heal_redis(NULL, 0);
    redis.slow_until_us = 0;
    store_world.low = false;
    for (uint32_t i = 0; i < sim.procs_count; i++)
        if (sim.proc[i].paused_until_us > sim.now_us) sim.proc[i].paused_until_us = sim.now_us;
}

static void draw_faults(void)
{
    struct faults *f = &world.faults;
    bool *const flag[] = {&f->crash_worker, &f->crash_broker,   &f->pause,      &f->cut,
                          &f->one_way,      &f->redis_down,     &f->redis_slow, &f->redis_jump,
                          &f->redis_full,   &f->redis_readonly, &f->breaks,     &f->drain,
                          &f->disk};
    const bool peace = sim.peace = sim_chance(0.04);
    for (size_t i = 0; i < sizeof flag / sizeof *flag; i++) *flag[i] = !peace && sim_chance(0.4);
    f->every_us = sim_between(500 * MS, 6 * S);
    if (peace) return;
    if (sim_chance(0.5)) f->fail = 0.05;
    if (sim_chance(0.3)) f->device = 0.03;
    if (sim_chance(0.3)) f->hang = 0.02;
    if (sim_chance(0.4)) f->deaf = 0.3;
    if (sim_chance(0.3)) f->crash = 0.02;
    if (sim_chance(0.4)) store_world.fail = 0.01;
    if (sim_chance(0.4)) net.late = 0.02;
    if (sim_chance(0.4)) redis.doubt = 0.005;
    net.rough = sim_chance(0.4);
    net.lose = sim_chance(0.7) ? 0.02 : 0.15;
    net.twice = 0.02;
}

/* ---- the fleet ---- */

static struct proc *part(const char *kind, uint32_t i, void (*program)(void))
{
    char name[16];
    (void)snprintf(name, sizeof name, "%s-%u", kind, i);
    struct proc *proc = proc_new(name, program);
    proc->ended = part_ended;
    return proc;
}

static void client_ended(struct proc *proc)
{
    (void)proc;
    bool left = false;
    for (uint32_t i = 0; i < world.clients_count; i++) left |= world.client[i]->alive;
    sim.over = !left;
}

static void draw_fleet(void)
{
    world.brokers_count = (uint32_t)sim_between(1, 3);
    world.workers_count = (uint32_t)sim_between(2, 6);
    world.clients_count = (uint32_t)sim_between(1, 3);
    net.delay_us = sim_chance(0.5) ? 200 : sim_between(200, 30000);
    store_world.step_us = sim_between(50, 3000);
    draw_faults();
    for (uint32_t i = 0; i < world.brokers_count; i++)
        world.broker[i] = part("broker", i, broker_program);
    for (uint32_t i = 0; i < world.workers_count; i++)
        world.worker[i] = part("worker", i, worker_program);
    for (uint32_t i = 0; i < world.clients_count; i++) {
        world.client[i] = part("client", i, client_program);
        world.client[i]->ended = client_ended;
    }
    world.redis = proc_new("redis", NULL);
    redis_start(world.redis, sim_chance(0.3) || sim_canary("redis-forgets"));
    world.works_count = world.clients_count * (uint32_t)sim_between(1, 4);
    for (uint32_t i = 0; i < world.works_count; i++) draw_work(&world.work[i], i);
    for (uint32_t i = 0; i < world.brokers_count; i++) {
        const size_t used = strlen(world.brokers);
        (void)snprintf(world.brokers + used, sizeof world.brokers - used, "%stcp://broker-%u:5710",
                       i ? "," : "", i);
    }
}

void world_client_done(void)
{
    if (--world.clients_left) return;
    history("all jobs have ended; workers are drained");
    world.draining = true;
}

bool world_workers_drained(void)
{
    if (!world.draining) return false;
    for (uint32_t i = 0; i < world.workers_count; i++)
        if (world.worker[i]->alive) return false;
    return true;
}

static void begin(void *arg, uint64_t number)
{
    (void)number;
    proc_start(arg);
}

/* No job is meant to fail or to be cancelled. */
static bool all_is_meant_well(void)
{
    for (uint32_t i = 0; i < world.works_count; i++)
        if (world.work[i].poisoned || world.work[i].cancel) return false;
    return true;
}

void world_run(void)
{
    draw_fleet();
    world.clients_left = world.clients_count;
    world.calm_at_us = sim_between(20, 150) * S;
    for (uint32_t i = 0; i < sim.procs_count; i++)
        if (sim.proc[i].program) sim_at(sim_exponential(500 * MS), begin, &sim.proc[i], 0);
    sim_at(world.calm_at_us, calm_down, NULL, 0);
    sim_at(1 * S, faults_go_on, NULL, 0);
    sim_run(world.calm_at_us + PATIENCE_US);
    if (!sim.over) {
        oracle_end(redis.model, false);
        sim_fail("%u clients still wait, %s", world.clients_left,
                 world.draining ? "workers do not leave" : "their jobs have ended");
    }
    sim.over = false;
    sim_run(sim.now_us + SETTLE_US);
    oracle_end(redis.model, true);
    if (sim.peace && all_is_meant_well() && oracle_counts.reaped + oracle_counts.fails)
        sim_fail("in peace %llu leases ran out and %llu attempts failed",
                 (unsigned long long)oracle_counts.reaped, (unsigned long long)oracle_counts.fails);
}
