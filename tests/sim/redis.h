/* redis.h - the Redis of the simulation, from outside.
 *
 * It is the model of tests/state/queue_model.h behind a connection that takes time, breaks, and
 * leaves its caller in doubt. In a durable world (appendfsync always) what was answered is never
 * forgotten; in the other one a crash takes it back to the last second. */
#ifndef TESTS_SIM_REDIS_H
#define TESTS_SIM_REDIS_H

#include "tests/sim/sim.h"
#include "tests/state/queue_model.h"

struct redis {
    struct proc *proc; /* for cuts and its clock; it has no fibers */
    struct queue_model *model, *synced;
    bool up, full, readonly, forgetful;
    uint32_t life;   /* one more after each restart */
    int64_t jump_ms; /* how far its clock was set ahead */
    int64_t slow_until_us;
    double doubt; /* commits whose caller never learns what became of them */
};

extern struct redis redis;

void redis_start(struct proc *proc, bool forgetful);
int64_t redis_now_ms(void);
/* forget: back to the last second, where the world is a forgetful one. */
void redis_crash(void);
void redis_restart(void);
void redis_jump(int64_t ms);

#endif
