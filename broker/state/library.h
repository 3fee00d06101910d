/* library.h - the Redis functions: their text, their names, and the constants they share with C. */
#ifndef STATE_LIBRARY_H
#define STATE_LIBRARY_H

#include "common/base/mem.h"

/* Of keys, arguments and replies; docs/state.md says when it changes. The build of the broker that
 * stands for the next release in the upgrade test sets another one. */
#ifndef LIBRARY_VERSION
#define LIBRARY_VERSION 1
#endif

#define LIBRARY_TEXT_(number) #number
#define LIBRARY_TEXT(number)  LIBRARY_TEXT_(number)
#define LIBRARY_NAME          "vlmq_" LIBRARY_TEXT(LIBRARY_VERSION)
#define LIBRARY_CALL          LIBRARY_NAME "_" /* before a function's name */

/* The library as FUNCTION LOAD takes it; NULL when the arena is full. */
const char *library_text(struct arena *arena);

#endif
