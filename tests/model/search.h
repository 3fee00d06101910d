/* search.h - all states of the model, breadth first: the nearest violation, or none. */
#ifndef TESTS_MODEL_SEARCH_H
#define TESTS_MODEL_SEARCH_H

#include "tests/model/model.h"

struct finding {
    enum property broken; /* HOLDS: none */
    uint32_t states;      /* looked at */
    uint32_t steps;       /* from the start to the violation */
};

/* Looks until a promise is broken, or at all states. NO_TRAP is looked for when all others hold.
 * trace: the way to the violation is printed. */
struct finding search(uint32_t rules, uint32_t promises, bool trace);

#endif
