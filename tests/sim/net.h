/* net.h - the network of the simulation, from outside: what the world does to it.
 *
 * A connection is ordered and loses nothing but what is under way when it breaks, as TCP; in a
 * rough world messages are also lost, doubled and overtaken one by one, which the protocol must
 * bear as well. A cut between two processes lets nothing through; both sides find out by
 * silence. */
#ifndef TESTS_SIM_NET_H
#define TESTS_SIM_NET_H

#include "tests/sim/sim.h"

struct net {
    bool rough;
    double lose, twice, late; /* of one message, in a rough world (late: in any) */
    int64_t delay_us;         /* mean */
    uint8_t cut[PROCS_MAX][PROCS_MAX];
    uint64_t messages;
};

extern struct net net;

void net_cut(const struct proc *a, const struct proc *b, bool one_way, bool cut);
bool net_is_cut(const struct proc *from, const struct proc *to);
/* Breaks one of the connections that stand, drawn by chance. */
void net_break_one(void);
/* The process is gone: its connections break. */
void net_proc_gone(struct proc *proc);
/* An address belongs to a process: "tcp://NAME:5710" to the one of that name. */

#endif
