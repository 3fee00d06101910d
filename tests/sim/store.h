/* store.h - the store of the simulation, from outside.
 *
 * One store in memory is shared by all workers and outlives them. Every step of it takes time, so
 * that a worker can crash between any two; a step may fail before or after its effect. It watches
 * by itself over what must never happen: a manifest that is replaced or removed, a published file
 * whose content changes. */
#ifndef TESTS_SIM_STORE_H
#define TESTS_SIM_STORE_H

#include "tests/sim/sim.h"

struct store_world {
    double fail;      /* of one step */
    int64_t step_us;  /* mean time of a step */
    bool low;         /* the disk is nearly full */
    uint64_t commits; /* manifests that were created */
    uint64_t lost;    /* attempts to create one that was there */
};

extern struct store_world store_world;

/* The manifest of a task under an output, as text; NULL: there is none. */
const char *store_manifest(const char *output, const char *task);
/* How many objects are under a folder whose names begin so: "/out/x/_vlmq/attempt/". */
uint32_t store_count(const char *prefix);

#endif
