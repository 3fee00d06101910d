/* id.c - making and checking identities. */
#include "common/base/id.h"

#include "common/base/check.h"
#include "common/base/rng.h"
#include "common/base/str.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define JOB_ID_MADE 12

void id_job(char dst[JOB_ID_BYTES])
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    uint64_t bits;
    rng_secure(&bits, sizeof bits);
    for (int i = 0; i < JOB_ID_MADE; i++, bits >>= 5) dst[i] = digits[bits & 31];
    dst[JOB_ID_MADE] = 0;
}

/* Ids are checked with every message, and strspn would build a table each time. */
static bool is_digit_or(char c, char first, char last)
{
    return (c >= '0' && c <= '9') || (c >= first && c <= last);
}

bool id_job_valid(const char *text)
{
    size_t bytes = 0;
    if (!text || text[0] == '-') return false;
    while (is_digit_or(text[bytes], 'a', 'z') || text[bytes] == '-')
        if (++bytes == JOB_ID_BYTES) return false;
    return bytes >= 1 && text[bytes] == 0;
}

void id_lease(char dst[LEASE_ID_BYTES])
{
    uint8_t bits[16];
    _Static_assert(sizeof bits * 2 + 1 == LEASE_ID_BYTES, "a lease id is 128 bits in hexadecimal");
    rng_secure(bits, sizeof bits);
    str_hex(dst, bits, sizeof bits);
}

bool id_lease_valid(const char *text)
{
    if (!text) return false;
    for (size_t i = 0; i < LEASE_ID_BYTES - 1; i++)
        if (!is_digit_or(text[i], 'a', 'f')) return false;
    return text[LEASE_ID_BYTES - 1] == 0;
}

/* Host and device names become what fits a table, a key and a file name. */
static void plain(char *dst, size_t dst_bytes, const char *src)
{
    (void)str_copy(dst, dst_bytes, src);
    for (char *at = dst; *at; at++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-", *at))
            *at = '-';
    if (!dst[0]) (void)str_copy(dst, dst_bytes, "-");
}

void id_worker(char dst[WORKER_ID_BYTES], const char *device)
{
    char host[256] = "";
    char host_plain[41], device_plain[25];
    uint32_t nonce;
    if (gethostname(host, sizeof host - 1)) (void)str_copy(host, sizeof host, "localhost");
    host[strcspn(host, ".")] = 0;
    plain(host_plain, sizeof host_plain, host);
    plain(device_plain, sizeof device_plain, device ? device : "");
    rng_secure(&nonce, sizeof nonce);
    const int bytes = snprintf(dst, WORKER_ID_BYTES, "%s/%s/%d/%08x", host_plain, device_plain,
                               (int)getpid(), (uint32_t)nonce);
    CHECK(bytes > 0 && bytes < WORKER_ID_BYTES);
}

uint64_t id_request(void)
{
    uint64_t id = 0;
    while (!id) rng_secure(&id, sizeof id);
    return id;
}
