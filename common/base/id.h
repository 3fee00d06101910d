/* id.h - identities: made once, compared for equality, never counted. */
#ifndef BASE_ID_H
#define BASE_ID_H

#include "common/base/limits.h"

#include <stdbool.h>
#include <stdint.h>

/* Twelve characters of base 32 (60 random bits, lower case, no look-alikes). */
void id_job(char dst[JOB_ID_BYTES]);
bool id_job_valid(const char *text); /* [a-z0-9][a-z0-9-]{0,39} */
void id_lease(char dst[LEASE_ID_BYTES]);
bool id_lease_valid(const char *text); /* 32 lower-case hexadecimal digits */
/* host/device/pid/nonce, unique per start of a worker; device may be NULL. */
void id_worker(char dst[WORKER_ID_BYTES], const char *device);
uint64_t id_request(void); /* random, never 0 */

#endif
