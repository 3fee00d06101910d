/* fetch_dns.h - the addresses of host names, found without a thread and without waiting.
 *
 * c-ares asks the name servers and reads what they answer; its sockets are waited for by the
 * caller, with those of the transfers. A name is looked up once for all who want it, is kept as
 * long as its records say (within bounds), and its absence too. Names that no server is asked for:
 * those of /etc/hosts, localhost and all below it, and those below invalid, which are never there
 * (RFC 6761). A name without a dot is completed by the machine's search domains, others are not.
 *
 * At most FETCH_DNS_LOOKUPS_MAX names are asked for at a time; the others wait, and their time
 * begins with their turn. A resolver and its names are one thread's. */
#ifndef PIPE_FETCH_DNS_H
#define PIPE_FETCH_DNS_H

#include "worker/pipe/fetch.h"

#define FETCH_DNS_LOOKUPS_MAX 128 /* two questions each; forwarders drop what is much above */
#define FETCH_DNS_SOCKETS_MAX 64
#define FETCH_DNS_SERVERS_MAX 8
/* Kept besides those in use, 0.3 KiB each. */
#define FETCH_DNS_NAMES_MAX 16384
/* For each name, as many of IPv4 as of IPv6. */
#define FETCH_DNS_ADDRESSES_MAX 16

struct fetch_dns; /* the resolver */

/* One name. After it is ready, status tells whether there are addresses. */
struct fetch_name {
    bool ready;
    /* FETCH_OK, FETCH_DNS_NOT_FOUND, FETCH_DNS_FAILED, FETCH_DNS_TIMEOUT, or FETCH_FAILED: this
     * machine has no sockets or no memory left. */
    enum fetch_status status;
    char *addresses; /* as CURLOPT_RESOLVE takes them: "192.0.2.1,[2001:db8::1]"; else NULL */
};

struct fetch_dns_socket {
    int fd;
    bool read, write; /* what it waits for; for fetch_dns_turn: what it is ready for */
};

/* Reads the machine's configuration. servers: HOST[:PORT] by commas, addresses instead of the
 * machine's servers; NULL: those. lookup_ms: the longest that a look-up takes. */
CHECKED int fetch_dns_new(struct fetch_dns **dns, const char *servers, int64_t lookup_ms,
                          struct err *err);
void fetch_dns_free(struct fetch_dns *dns); /* and all names */
/* Whether that is a list of servers that fetch_dns_new takes; the sentence names the wrong one. */
CHECKED int fetch_dns_check_servers(const char *servers, struct err *err);
/* Whether host, as it stands in a URL, is a name and not an address. */
bool fetch_dns_is_name(const char *host);
/* The name, whose look-up begins unless it is known; NULL: no memory. It stays where it is until
 * fetch_dns_release. */
struct fetch_name *fetch_dns_get(struct fetch_dns *dns, const char *host, int64_t now_ms);
void fetch_dns_release(struct fetch_dns *dns, struct fetch_name *name);
/* Which sockets to wait for (returns how many), and at most how long. */
uint32_t fetch_dns_wait(const struct fetch_dns *dns,
                        struct fetch_dns_socket socket[FETCH_DNS_SOCKETS_MAX], int64_t now_ms,
                        int64_t *wait_ms);
/* Goes on with what those sockets are ready for and what is due. */
void fetch_dns_turn(struct fetch_dns *dns, const struct fetch_dns_socket *socket, uint32_t count,
                    int64_t now_ms);
/* How many names are kept, for tests. */
uint32_t fetch_dns_count(const struct fetch_dns *dns);

#endif
