/* fetch_address.c - which addresses a downloader may talk to.
 *
 * The tables follow the IANA registries of special-purpose addresses. For IPv6 the rule is the
 * other way round: global unicast is 2000::/3, and the table names what is not public inside it. */
#include "worker/pipe/fetch.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

struct net4 {
    uint32_t address;
    int bits;
};

static const struct net4 special4[] = {
    {0x00000000, 8},  /* this network */
    {0x0a000000, 8},  /* private */
    {0x64400000, 10}, /* carrier-grade NAT */
    {0x7f000000, 8},  /* loopback */
    {0xa9fe0000, 16}, /* link-local: also the metadata services of clouds */
    {0xac100000, 12}, /* private */
    {0xc0000000, 24}, /* protocol assignments */
    {0xc0000200, 24}, /* documentation */
    {0xc0586300, 24}, /* 6to4 relays */
    {0xc0a80000, 16}, /* private */
    {0xc6120000, 15}, /* benchmarks */
    {0xc6336400, 24}, /* documentation */
    {0xcb007100, 24}, /* documentation */
    {0xe0000000, 4},  /* multicast */
    {0xf0000000, 4},  /* reserved and broadcast */
};

static bool public4(uint32_t address)
{
    for (size_t i = 0; i < sizeof special4 / sizeof special4[0]; i++) {
        const uint32_t mask = UINT32_MAX << (32 - special4[i].bits);
        if ((address & mask) == special4[i].address) return false;
    }
    return true;
}

struct net6 {
    uint8_t prefix[6];
    int bits; /* at most 48 */
};

static const struct net6 special6[] = {
    {{0x20, 0x01, 0x00}, 23},       /* protocol assignments, Teredo among them */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
    {{0x20, 0x02}, 16},             /* 6to4: an IPv4 address of somebody's choice */
    {{0x3f, 0xff, 0x00}, 20},       /* documentation */
};

static bool in_net6(const uint8_t *address, const uint8_t *prefix, int bits)
{
    const size_t whole = (size_t)bits / 8;
    if (memcmp(address, prefix, whole) != 0) return false;
    if (bits % 8 == 0) return true;
    const uint8_t mask = (uint8_t)(0xff << (8 - bits % 8));
    return (address[whole] & mask) == (prefix[whole] & mask);
}

static uint32_t embedded4(const uint8_t *address)
{
    return (uint32_t)address[12] << 24 | (uint32_t)address[13] << 16 | (uint32_t)address[14] << 8 |
           address[15];
}

static bool public6(const uint8_t *address)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    if (!memcmp(address, mapped, sizeof mapped) || !memcmp(address, nat64, sizeof nat64))
        return public4(embedded4(address));
    if ((address[0] & 0xe0) != 0x20) return false;
    for (size_t i = 0; i < sizeof special6 / sizeof special6[0]; i++)
        if (in_net6(address, special6[i].prefix, special6[i].bits)) return false;
    return true;
}

bool fetch_address_is_public(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)address;
        return public4(ntohl(v4->sin_addr.s_addr));
    }
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)address;
        return public6(v6->sin6_addr.s6_addr);
    }
    return false;
}
