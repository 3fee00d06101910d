/* starts.h - tells when tasks start: the probe kind with one more first instruction.
 *
 * A program that links starts.c has the registry of starts.c instead of the worker's: the same
 * kinds, but each start of a probe's function reads the monotonic clock before anything else and
 * writes one line to a pipe:
 *
 *     JOB PHASE INDEX ATTEMPT PID MICROSECONDS
 *
 * (PHASE: 0 work, 1 plan, 2 close). Lines are shorter than PIPE_BUF, so those of several threads
 * and processes do not mix. */
#ifndef BENCH_SUPPORT_STARTS_H
#define BENCH_SUPPORT_STARTS_H

/* Before the first worker is opened. -1: tell nothing. */
void starts_tell(int fd);

#endif
