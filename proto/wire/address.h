/* address.h - what an address of a socket says, before ZeroMQ sees it.
 *
 * ZeroMQ's own answer to a bad address is an errno; here a person gets a sentence. */
#ifndef WIRE_ADDRESS_H
#define WIRE_ADDRESS_H

#include "common/base/err.h"

#include <stdbool.h>

struct address {
    bool local; /* cannot be reached from other machines */
    bool ipv6;  /* needs an IPv6 socket */
};

/* listening: a port * and a host * are allowed. ERR_INVALID says what is wrong with the text. */
CHECKED int address_parse(struct address *address, const char *text, bool listening,
                          struct err *err);

#endif
