/* library.h - the Redis functions: their text, their names, and the constants they share with C. */
#ifndef STATE_LIBRARY_H
#define STATE_LIBRARY_H

#include "common/base/mem.h"

#define LIBRARY_NAME "vlmq_1"
#define LIBRARY_CALL LIBRARY_NAME "_" /* before a function's name */

/* The library as FUNCTION LOAD takes it; NULL when the arena is full. */
const char *library_text(struct arena *arena);

#endif
