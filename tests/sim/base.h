/* base.h - what the network needs of base.c. */
#ifndef TESTS_SIM_BASE_H
#define TESTS_SIM_BASE_H

#include <stdbool.h>

struct proc;

/* Its threads wait for nothing any more. */
void sim_threads_gone(const struct proc *proc);
/* Whether the wake behind this descriptor is raised. */
bool sim_fd_readable(int fd);

#endif
