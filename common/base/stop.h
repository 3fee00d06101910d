/* stop.h - SIGTERM and SIGINT as a number that a loop reads.
 *
 * The first signal asks for an orderly end, the second for an abort. The handler only counts
 * and raises a wake-up. SIGPIPE is ignored. */
#ifndef BASE_STOP_H
#define BASE_STOP_H

#include "common/base/chan.h"

void stop_install(struct wake *wake); /* raised at each signal; NULL: none */
int stop_count(void);                 /* signals so far */

#endif
