/* address.c - see address.h. Three transports: tcp, ipc and inproc. */
#include "proto/wire/address.h"

#include "common/base/str.h"
#include "proto/wire/sock.h"

#include <arpa/inet.h>
#include <string.h>

#define HOST_BYTES 256

static bool host_is_local(const char *host, bool ipv6)
{
    if (ipv6) {
        struct in6_addr address;
        if (inet_pton(AF_INET6, host, &address) != 1) return false;
        if (IN6_IS_ADDR_V4MAPPED(&address)) return address.s6_addr[12] == 127;
        return IN6_IS_ADDR_LOOPBACK(&address);
    }
    struct in_addr address;
    if (inet_pton(AF_INET, host, &address) == 1) return ntohl(address.s_addr) >> 24 == 127;
    return str_eq(host, "localhost") || str_eq(host, "lo");
}

static int parse_port(const char *text, const char *port, bool listening, struct err *err)
{
    if (listening && str_eq(port, "*")) return 0;
    int64_t number;
    struct err why;
    if (str_to_int(&number, port, listening ? 0 : 1, 65535, "the port", &why))
        return err_set(err, ERR_INVALID, "the address %.100s has no port: tcp://HOST:PORT", text);
    return 0;
}

static int parse_tcp(struct address *address, const char *text, bool listening, struct err *err)
{
    const char *rest = text + strlen("tcp://");
    const char *colon = strrchr(rest, ':');
    const bool bracketed = rest[0] == '[';
    const char *end = bracketed ? strchr(rest, ']') : colon;
    if (!end || (bracketed && end + 1 != colon))
        return err_set(err, ERR_INVALID, "the address %.100s is not tcp://HOST:PORT", text);
    char host[HOST_BYTES] = "";
    if (bracketed) rest++;
    const size_t bytes = (size_t)(end - rest);
    if (bytes == 0 || bytes >= sizeof host)
        return err_set(err, ERR_INVALID, "the address %.100s has no host name", text);
    memcpy(host, rest, bytes);
    if (!bracketed && strchr(host, ':'))
        return err_set(err, ERR_INVALID, "put the IPv6 address of %.100s into brackets", text);
    if (!listening && str_eq(host, "*"))
        return err_set(err, ERR_INVALID, "the address %.100s names no host to connect to", text);
    address->local = host_is_local(host, bracketed);
    address->ipv6 = bracketed || str_eq(host, "*");
    return parse_port(text, colon + 1, listening, err);
}

static int parse_ipc(struct address *address, const char *text, struct err *err)
{
    const char *path = text + strlen("ipc://");
    const size_t bytes = strlen(path);
    if (bytes == 0) return err_set(err, ERR_INVALID, "the address ipc:// names no path");
    if (bytes > SOCK_IPC_PATH_BYTES)
        return err_set(err, ERR_INVALID,
                       "the socket path %.60s… has %zu bytes, and the system allows %d: use a "
                       "folder with a shorter path",
                       path, bytes, SOCK_IPC_PATH_BYTES);
    address->local = true;
    return 0;
}

int address_parse(struct address *address, const char *text, bool listening, struct err *err)
{
    *address = (struct address){0};
    if (str_has_prefix(text, "ipc://")) return parse_ipc(address, text, err);
    if (strlen(text) >= SOCK_ADDRESS_BYTES)
        return err_set(err, ERR_INVALID, "the address %.60s… is too long", text);
    if (str_has_prefix(text, "tcp://")) return parse_tcp(address, text, listening, err);
    if (str_has_prefix(text, "inproc://")) {
        address->local = true;
        return 0;
    }
    return err_set(err, ERR_INVALID, "the address %.100s is neither tcp://HOST:PORT nor ipc://PATH",
                   text);
}
