/* plant.h - faults in a backend's ops, for the suite's test of itself. */
#ifndef TESTS_NN_PLANT_H
#define TESTS_NN_PLANT_H

#include "tests/nn/problem.h"

enum plant_fault {
    PLANT_NUMBER,  /* one number is off by a twentieth, and in the others one by its last bit: */
    PLANT_REPEAT,  /* each second time */
    PLANT_BATCH,   /* where an item is alone */
    PLANT_THREADS, /* always: for the backend that has another number of threads */
    PLANT_FAULTS_COUNT
};

/* From now on ops of this kind have this fault on the backend. One fault at a time in the process,
 * on backends of one driver. */
void plant(struct backend *backend, enum op_kind kind, enum plant_fault fault);
void plant_remove(struct backend *backend); /* also where nothing is planted */

#endif
