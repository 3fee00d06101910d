/* cases.h - the problems that every backend is given. */
#ifndef TESTS_NN_CASES_H
#define TESTS_NN_CASES_H

#include "tests/nn/problem.h"

struct cases {
    const char *filter; /* only those whose name has it; set by the caller */
    struct problem *problem;
    uint32_t count, room;
};

/* Small ones, of every op, shape and type; about a second's work of a processor. */
void cases_conformance(struct cases *cases);
/* Those of a layer of ViT-L/14-336 with two pictures, to be timed. */
void cases_timing(struct cases *cases);
void cases_free(struct cases *cases);

#endif
