/* world.h - the fleet of one seed: who is in it, what it works on, what goes wrong in it. */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "common/base/limits.h"
#include "tests/sim/sim.h"

#define JOBS_SIM_MAX 16

/* A job as its client means it; what the tasks do follows from it alone. */
struct work {
    char id[JOB_ID_BYTES];
    char output[64];
    char after[JOB_ID_BYTES], from[JOB_ID_BYTES];
    uint32_t shards;      /* work tasks that the planning task adds itself */
    uint32_t parts, each; /* planning tasks that it adds, and the work tasks of each of those */
    uint32_t poisoned;    /* so many of its own shards have an input that nothing can mend */
    uint32_t steps, step_ms;
    int32_t priority;
    bool interactive, cancel;
    bool purged; /* it was forgotten on purpose, and submitted again */
    uint32_t owner;
};

struct faults {
    bool crash_worker, crash_broker, pause, cut, one_way, redis_down, redis_slow, redis_jump,
        redis_full, redis_readonly, rollback, breaks, drain, disk;
    double fail, device, hang, deaf, crash; /* of an attempt, or of a step in it */
    int64_t every_us;                       /* mean time between two faults of the fleet */
};

struct world {
    struct faults faults;
    uint32_t brokers_count, workers_count, clients_count;
    struct proc *broker[4], *worker[8], *client[4], *redis;
    char brokers[256]; /* as --broker takes them */
    struct work work[JOBS_SIM_MAX];
    uint32_t works_count;
    int64_t calm_at_us, end_at_us;
    uint32_t clients_left; /* that still work */
    bool draining;         /* workers that leave are not started again */
};

extern struct world world;

/* Draws the fleet of sim.seed and runs it to its end; calls sim_fail where a rule is broken. */
void world_run(void);
const struct work *world_work(const char *job);
/* How many tasks the job has when it is done, but for its closing tasks: planning ones and work. */
uint32_t work_tasks(const struct work *work);
uint32_t work_shards(const struct work *work);

/* client.c: the program of clients. */
void client_program(void);
/* Told by a client whose jobs have all ended. After the last one workers are to be drained. */
void world_client_done(void);
bool world_workers_drained(void);

#endif
