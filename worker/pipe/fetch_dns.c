/* fetch_dns.c - a cache of names over c-ares, which has the sockets and reads the answers.
 *
 * IPv4 and IPv6 are two questions, so that a server that never answers one of them costs RESOLVE_MS
 * and not the look-up. A name is in one of three places: among those that wait to be asked for,
 * among those that are (their questions are open), or at rest; the rest is forgotten, the longest
 * unused first, when there are too many. */
#include "worker/pipe/fetch_dns.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#include <ares.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUCKETS 4096
/* What records say about how long they hold is kept to within these. */
#define KEPT_MS_MIN ((int64_t)60 * 1000)
#define KEPT_MS_MAX ((int64_t)3600 * 1000)
#define ABSENT_MS   ((int64_t)60 * 1000)
/* For the other family, when one has answered: RFC 8305, 3. */
#define RESOLVE_MS 50
/* Asked for a second time after a second, for a third after two more, and then given up after four:
 * packets are lost, and far servers slow. */
#define TRY_MS 1000
#define TRIES  3
/* An answer has room for hundreds of addresses; a connection tries only a few. */
#define FAMILY_MAX    (FETCH_DNS_ADDRESSES_MAX / 2)
#define LOCAL         "127.0.0.1,[::1]"
#define ADDRESS_BYTES (INET6_ADDRSTRLEN + 3) /* with brackets and a comma */
#define NAME_BYTES    FETCH_HOST_BYTES

enum { V4, V6, FAMILIES };
static const int families[FAMILIES] = {AF_INET, AF_INET6};

struct entry;
struct question {
    struct entry *entry;
    bool open;
    enum fetch_status status;
    char *addresses; /* as in struct fetch_name */
    int64_t ttl_ms;
};

struct entry {
    struct fetch_name name; /* first */
    struct fetch_dns *dns;
    struct question question[FAMILIES];
    uint32_t users;
    int64_t until_ms;                           /* when it is to be looked up again */
    int64_t deadline_at_ms, first_answer_at_ms; /* of the look-up; 0: no answer yet */
    struct entry *chain;                        /* of the same bucket */
    struct entry *previous, *next;              /* of its place */
    char *text;                                 /* stands behind it */
};

struct fetch_dns {
    ares_channel channel;
    int64_t lookup_ms, now_ms;
    bool prefers_v6;
    uint32_t count, open; /* names; of those the ones with open questions */
    struct fetch_dns_socket socket[FETCH_DNS_SOCKETS_MAX];
    uint32_t sockets_count;
    struct entry waiting, asked, rest; /* heads of circular lists */
    struct entry *bucket[BUCKETS];
};

/* ---- places ---- */

static void list_init(struct entry *head)
{
    head->previous = head->next = head;
}

static void list_add(struct entry *head, struct entry *entry)
{
    entry->next = head;
    entry->previous = head->previous;
    entry->previous->next = entry;
    head->previous = entry;
}

static void list_remove(struct entry *entry)
{
    entry->next->previous = entry->previous;
    entry->previous->next = entry->next;
}

static struct entry **bucket_of(struct fetch_dns *dns, const char *text)
{
    uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */
    for (; *text; text++) hash = (hash ^ (uint8_t)*text) * 0x100000001b3;
    return &dns->bucket[(hash ^ hash >> 32) % BUCKETS];
}

static bool is_open(const struct entry *entry)
{
    return entry->question[V4].open || entry->question[V6].open;
}

static void entry_free(struct entry *entry)
{
    mem_free(entry->name.addresses);
    for (int i = 0; i < FAMILIES; i++) mem_free(entry->question[i].addresses);
    mem_free(entry);
}

static void forget(struct fetch_dns *dns, struct entry *entry)
{
    struct entry **link = bucket_of(dns, entry->text);
    for (; *link != entry; link = &(*link)->chain) CHECK(*link != NULL);
    *link = entry->chain;
    list_remove(entry);
    dns->count--;
    entry_free(entry);
}

/* ---- what was found ---- */

static enum fetch_status status_of(int code)
{
    switch (code) {
    case ARES_SUCCESS:
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
    case ARES_EBADNAME: /* a name that no server could hold */
        return FETCH_DNS_NOT_FOUND;
    case ARES_ETIMEOUT:
        return FETCH_DNS_TIMEOUT;
    case ARES_ENOMEM:
        return FETCH_FAILED;
    default:
        return FETCH_DNS_FAILED;
    }
}

/* No answer for want of a socket says nothing about the name. */
static bool can_open_sockets(void)
{
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) (void)close(fd);
    return fd >= 0 || (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM);
}

static bool put_address(struct buf *out, int family, const void *address)
{
    char text[INET6_ADDRSTRLEN];
    if (!inet_ntop(family, address, text, sizeof text)) return false;
    if (out->len) buf_byte(out, ',');
    buf_printf(out, family == AF_INET6 ? "[%s]" : "%s", text);
    return true;
}

/* The text becomes the question's own. */
static void put_addresses(struct question *question, struct buf *text)
{
    mem_free(question->addresses);
    question->addresses = NULL;
    if (buf_failed(text)) {
        question->status = FETCH_FAILED;
        buf_deinit(text);
    } else if (text->len) {
        question->status = FETCH_OK;
        question->addresses = text->data;
    }
}

static int64_t kept_ms(const struct ares_addrinfo *info)
{
    int64_t seconds = KEPT_MS_MAX / 1000;
    for (const struct ares_addrinfo_node *node = info->nodes; node; node = node->ai_next)
        if (node->ai_ttl < seconds) seconds = node->ai_ttl;
    for (const struct ares_addrinfo_cname *name = info->cnames; name; name = name->next)
        if (name->ttl < seconds) seconds = name->ttl;
    return seconds * 1000 < KEPT_MS_MIN ? KEPT_MS_MIN : seconds * 1000;
}

static void take_nodes(struct question *question, const struct ares_addrinfo *info, int family)
{
    struct buf text;
    uint32_t count = 0;
    buf_init(&text, 0);
    question->ttl_ms = kept_ms(info);
    for (const struct ares_addrinfo_node *node = info->nodes; node && count < FAMILY_MAX;
         node = node->ai_next) {
        if (node->ai_family != family) continue;
        const struct sockaddr_in *v4 = (const void *)node->ai_addr;
        const struct sockaddr_in6 *v6 = (const void *)node->ai_addr;
        const void *address =
            family == AF_INET ? (const void *)&v4->sin_addr : (const void *)&v6->sin6_addr;
        count += put_address(&text, family, address);
    }
    put_addresses(question, &text);
}

/* The two answers as one: any address will do; else what may change outweighs what does not. */
static enum fetch_status worse(enum fetch_status a, enum fetch_status b)
{
    static const enum fetch_status order[] = {FETCH_FAILED, FETCH_DNS_TIMEOUT, FETCH_DNS_FAILED};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        if (a == order[i] || b == order[i]) return order[i];
    return FETCH_DNS_NOT_FOUND;
}

static void join_addresses(struct entry *entry, bool v6_first)
{
    struct buf text;
    buf_init(&text, 0);
    for (int i = 0; i < FAMILIES; i++) {
        const struct question *question = &entry->question[v6_first ? V6 - i : i];
        if (!question->addresses) continue;
        if (text.len) buf_byte(&text, ',');
        buf_text(&text, question->addresses);
    }
    mem_free(entry->name.addresses);
    entry->name.addresses = text.data;
    entry->name.status = FETCH_OK;
    if (!buf_failed(&text)) return;
    buf_deinit(&text);
    entry->name.addresses = NULL;
    entry->name.status = FETCH_FAILED;
}

/* The look-up is over for those who wait; a question may be open still. */
static void settle(struct fetch_dns *dns, struct entry *entry)
{
    const struct question *v4 = &entry->question[V4], *v6 = &entry->question[V6];
    const int64_t now_ms = dns->now_ms;
    entry->name.ready = true;
    if (v4->addresses || v6->addresses) {
        int64_t ttl_ms = KEPT_MS_MAX;
        for (int i = 0; i < FAMILIES; i++)
            if (entry->question[i].addresses && entry->question[i].ttl_ms < ttl_ms)
                ttl_ms = entry->question[i].ttl_ms;
        join_addresses(entry, dns->prefers_v6);
        entry->until_ms = now_ms + ttl_ms;
        return;
    }
    mem_free(entry->name.addresses);
    entry->name.addresses = NULL;
    entry->name.status =
        worse(v4->open ? FETCH_DNS_TIMEOUT : v4->status, v6->open ? FETCH_DNS_TIMEOUT : v6->status);
    if (entry->name.status != FETCH_DNS_NOT_FOUND && !can_open_sockets())
        entry->name.status = FETCH_FAILED;
    entry->until_ms = entry->name.status == FETCH_DNS_NOT_FOUND ? now_ms + ABSENT_MS : now_ms;
}

static void to_rest(struct fetch_dns *dns, struct entry *entry)
{
    list_remove(entry);
    list_add(&dns->rest, entry);
}

/* c-ares: a question has been answered, or will not be. */
static void on_answer(void *ctx, int code, int timeouts, struct ares_addrinfo *info)
{
    struct question *question = ctx;
    struct entry *entry = question->entry;
    struct fetch_dns *dns = entry->dns;
    (void)timeouts;
    question->open = false;
    question->status = status_of(code);
    if (code == ARES_SUCCESS && info)
        take_nodes(question, info, families[question - entry->question]);
    if (info) ares_freeaddrinfo(info);
    if (is_open(entry)) {
        entry->first_answer_at_ms = dns->now_ms;
        return;
    }
    dns->open--;
    settle(dns, entry);
    to_rest(dns, entry);
}

/* ---- asking ---- */

static bool is_below(const char *text, const char *top)
{
    size_t len = strlen(text);
    const size_t top_len = strlen(top);
    if (len && text[len - 1] == '.') len--;
    return len >= top_len && strncasecmp(text + len - top_len, top, top_len) == 0 &&
           (len == top_len || text[len - top_len - 1] == '.');
}

static void take_hosts_file(struct fetch_dns *dns, struct question *question, int family)
{
    struct hostent *found = NULL;
    struct buf text;
    buf_init(&text, 0);
    question->ttl_ms = KEPT_MS_MIN;
    if (ares_gethostbyname_file(dns->channel, question->entry->text, family, &found)) return;
    for (uint32_t i = 0; i < FAMILY_MAX && found->h_addr_list[i]; i++)
        (void)put_address(&text, family, found->h_addr_list[i]);
    ares_free_hostent(found);
    put_addresses(question, &text);
}

/* What needs no server. */
static bool know(struct fetch_dns *dns, struct entry *entry)
{
    struct question *question = entry->question;
    for (int i = 0; i < FAMILIES; i++) {
        mem_free(question[i].addresses);
        question[i] = (struct question){.entry = entry, .status = FETCH_DNS_NOT_FOUND};
    }
    if (is_below(entry->text, "invalid")) return true;
    if (is_below(entry->text, "localhost")) {
        struct buf text;
        buf_init(&text, 0);
        buf_text(&text, LOCAL);
        question[V4].ttl_ms = KEPT_MS_MAX;
        put_addresses(&question[V4], &text);
        return true;
    }
    for (int i = 0; i < FAMILIES; i++) take_hosts_file(dns, &question[i], families[i]);
    return question[V4].addresses || question[V6].addresses;
}

/* Opens both questions of a name that is in no place. */
static void ask(struct fetch_dns *dns, struct entry *entry)
{
    char text[NAME_BYTES + 2];
    const struct ares_addrinfo_hints hints[FAMILIES] = {
        {.ai_family = AF_INET, .ai_flags = ARES_AI_NOSORT},
        {.ai_family = AF_INET6, .ai_flags = ARES_AI_NOSORT},
    };
    const size_t len = strlen(entry->text);
    /* A dot at the end keeps the search domains away. */
    const bool ends = !strchr(entry->text, '.') || (len && entry->text[len - 1] == '.');
    (void)snprintf(text, sizeof text, "%s%s", entry->text, ends ? "" : ".");
    list_add(&dns->asked, entry);
    dns->open++;
    entry->deadline_at_ms = dns->now_ms + dns->lookup_ms;
    entry->first_answer_at_ms = 0;
    for (int i = 0; i < FAMILIES; i++) entry->question[i].open = true;
    for (int i = 0; i < FAMILIES; i++)
        ares_getaddrinfo(dns->channel, text, NULL, &hints[i], on_answer, &entry->question[i]);
}

/* Of a name at rest. */
static void look_up(struct fetch_dns *dns, struct entry *entry)
{
    list_remove(entry);
    entry->name.ready = false;
    if (know(dns, entry)) {
        settle(dns, entry);
        list_add(&dns->rest, entry);
    } else if (dns->open < FETCH_DNS_LOOKUPS_MAX) {
        ask(dns, entry);
    } else {
        entry->deadline_at_ms = 0;
        list_add(&dns->waiting, entry);
    }
}

static void go_on(struct fetch_dns *dns)
{
    struct entry *entry, *next;
    for (entry = dns->asked.next; entry != &dns->asked; entry = next) {
        next = entry->next;
        if (entry->name.ready) continue;
        const bool found = entry->question[V4].addresses || entry->question[V6].addresses;
        if (dns->now_ms >= entry->deadline_at_ms ||
            (found && dns->now_ms >= entry->first_answer_at_ms + RESOLVE_MS))
            settle(dns, entry);
    }
    while (dns->open < FETCH_DNS_LOOKUPS_MAX && (entry = dns->waiting.next) != &dns->waiting) {
        list_remove(entry);
        ask(dns, entry);
    }
}

static struct entry *entry_new(struct fetch_dns *dns, const char *host)
{
    for (struct entry *old = dns->rest.next, *next;
         dns->count >= FETCH_DNS_NAMES_MAX && old != &dns->rest; old = next) {
        next = old->next;
        if (!old->users) forget(dns, old);
    }
    const size_t bytes = strlen(host) + 1;
    struct entry *entry = mem_try(sizeof *entry + bytes);
    if (!entry) return NULL;
    entry->text = memcpy(entry + 1, host, bytes);
    entry->dns = dns;
    struct entry **bucket = bucket_of(dns, host);
    entry->chain = *bucket;
    *bucket = entry;
    dns->count++;
    list_add(&dns->rest, entry);
    return entry;
}

/* ---- the public part ---- */

bool fetch_dns_is_name(const char *host)
{
    struct in_addr address;
    return host[0] != '[' && inet_pton(AF_INET, host, &address) != 1;
}

struct fetch_name *fetch_dns_get(struct fetch_dns *dns, const char *host, int64_t now_ms)
{
    CHECK(strlen(host) < NAME_BYTES);
    dns->now_ms = now_ms;
    struct entry *entry = *bucket_of(dns, host);
    while (entry && strcmp(entry->text, host) != 0) entry = entry->chain;
    const bool is_new = !entry;
    if (is_new) entry = entry_new(dns, host);
    if (!entry) return NULL;
    entry->users++;
    if (!is_new && (!entry->name.ready || now_ms < entry->until_ms)) {
        if (!is_open(entry) && entry->name.ready) to_rest(dns, entry); /* lately used */
    } else if (is_open(entry)) {
        /* What is on its way will do. */
        entry->name.ready = false;
        entry->deadline_at_ms = now_ms + dns->lookup_ms;
    } else {
        look_up(dns, entry);
    }
    return &entry->name;
}

void fetch_dns_release(struct fetch_dns *dns, struct fetch_name *name)
{
    struct entry *entry = (struct entry *)(void *)name;
    (void)dns;
    CHECK(entry->users > 0);
    entry->users--;
}

uint32_t fetch_dns_count(const struct fetch_dns *dns)
{
    return dns->count;
}

static void on_socket_state(void *ctx, ares_socket_t fd, int read, int write)
{
    struct fetch_dns *dns = ctx;
    uint32_t i = 0;
    while (i < dns->sockets_count && dns->socket[i].fd != fd) i++;
    if (!read && !write) {
        if (i < dns->sockets_count) dns->socket[i] = dns->socket[--dns->sockets_count];
        return;
    }
    if (i == FETCH_DNS_SOCKETS_MAX) return; /* its questions time out */
    if (i == dns->sockets_count) dns->sockets_count++;
    dns->socket[i] = (struct fetch_dns_socket){.fd = fd, .read = read != 0, .write = write != 0};
}

uint32_t fetch_dns_wait(const struct fetch_dns *dns,
                        struct fetch_dns_socket socket[FETCH_DNS_SOCKETS_MAX], int64_t now_ms,
                        int64_t *wait_ms)
{
    int64_t due_ms = now_ms + *wait_ms;
    struct timeval longest = {.tv_sec = (time_t)(*wait_ms / 1000),
                              .tv_usec = (suseconds_t)(*wait_ms % 1000 * 1000)};
    if (!dns->open) return 0;
    for (const struct entry *entry = dns->asked.next; entry != &dns->asked; entry = entry->next) {
        if (entry->name.ready) continue;
        const bool found = entry->question[V4].addresses || entry->question[V6].addresses;
        if (entry->deadline_at_ms < due_ms) due_ms = entry->deadline_at_ms;
        if (found && entry->first_answer_at_ms + RESOLVE_MS < due_ms)
            due_ms = entry->first_answer_at_ms + RESOLVE_MS;
    }
    struct timeval theirs;
    const struct timeval *wait = ares_timeout(dns->channel, &longest, &theirs);
    *wait_ms = due_ms > now_ms ? due_ms - now_ms : 0;
    const int64_t wait_their_ms = (int64_t)wait->tv_sec * 1000 + (wait->tv_usec + 999) / 1000;
    if (wait_their_ms < *wait_ms) *wait_ms = wait_their_ms;
    memcpy(socket, dns->socket, dns->sockets_count * sizeof *socket);
    return dns->sockets_count;
}

void fetch_dns_turn(struct fetch_dns *dns, const struct fetch_dns_socket *socket, uint32_t count,
                    int64_t now_ms)
{
    dns->now_ms = now_ms;
    if (!dns->open) return;
    for (uint32_t i = 0; i < count; i++)
        if (socket[i].read || socket[i].write)
            ares_process_fd(dns->channel, socket[i].read ? socket[i].fd : ARES_SOCKET_BAD,
                            socket[i].write ? socket[i].fd : ARES_SOCKET_BAD);
    ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD); /* what is due */
    go_on(dns);
}

static pthread_once_t ares_once = PTHREAD_ONCE_INIT;
static int ares_started;

static void ares_start(void)
{
    ares_started = ares_library_init(ARES_LIB_INIT_ALL);
}

/* Whether packets to the Internet of IPv6 would have a way; none is sent. */
static bool has_v6(void)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(53)};
    address.sin6_addr.s6_addr[0] = 0x20; /* 2000:: is global unicast */
    const int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    const bool ok = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    (void)close(fd);
    return ok;
}

/* One of them, whose text is cut up. */
static bool read_server(struct ares_addr_port_node *server, char *text)
{
    char *port = text[0] == '[' ? strchr(text, ']') : strchr(text, ':');
    int64_t number = 0;
    struct err err;
    server->family = text[0] == '[' || (port && strchr(port + 1, ':')) ? AF_INET6 : AF_INET;
    if (text[0] == '[') {
        if (!port) return false;
        *port++ = 0;
        text++;
        if (!*port) port = NULL;
        if (port && *port != ':') return false;
    } else if (server->family == AF_INET6) {
        port = NULL;
    }
    if (port) {
        *port++ = 0;
        if (*port < '0' || *port > '9' || str_to_int(&number, port, 1, UINT16_MAX, "port", &err))
            return false;
    }
    server->udp_port = server->tcp_port = (int)number; /* 0: the usual one */
    return inet_pton(server->family, text, &server->addr) == 1;
}

/* channel: NULL only checks. */
static int set_servers(ares_channel channel, const char *servers, struct err *err)
{
    struct ares_addr_port_node list[FETCH_DNS_SERVERS_MAX] = {0};
    char text[64];
    uint32_t count = 0;
    for (const char *at = servers, *end; *servers; at = end + 1) {
        end = strchr(at, ',');
        const size_t len = end ? (size_t)(end - at) : strlen(at);
        if (count == FETCH_DNS_SERVERS_MAX)
            return err_set(err, ERR_INVALID, "more than %d name servers", FETCH_DNS_SERVERS_MAX);
        memcpy(text, at, len < sizeof text ? len : 0);
        text[len < sizeof text ? len : 0] = 0;
        if (!read_server(&list[count], text))
            return err_set(err, ERR_INVALID,
                           "\"%.*s\" is no address of a name server: write 192.0.2.1, "
                           "192.0.2.1:53 or [2001:db8::1]:53",
                           (int)(len < sizeof text ? len : sizeof text), at);
        if (count) list[count - 1].next = &list[count];
        count++;
        if (!end) break;
    }
    if (!count) return err_set(err, ERR_INVALID, "no name server is given");
    if (channel && ares_set_servers_ports(channel, list))
        return err_set(err, ERR_LIMIT, "no memory for name servers");
    return 0;
}

int fetch_dns_check_servers(const char *servers, struct err *err)
{
    return set_servers(NULL, servers, err);
}

int fetch_dns_new(struct fetch_dns **dns_out, const char *servers, int64_t lookup_ms,
                  struct err *err)
{
    char lookups[] = "b"; /* /etc/hosts is read here, for both families at once */
    CHECK(pthread_once(&ares_once, ares_start) == 0);
    struct fetch_dns *dns = mem_new(sizeof *dns);
    dns->lookup_ms = lookup_ms;
    dns->prefers_v6 = has_v6();
    list_init(&dns->waiting);
    list_init(&dns->asked);
    list_init(&dns->rest);
    struct ares_options options = {.timeout = TRY_MS,
                                   .tries = TRIES,
                                   .lookups = lookups,
                                   .sock_state_cb = on_socket_state,
                                   .sock_state_cb_data = dns};
    const int mask =
        ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
    int rc = 0;
    if (ares_started || ares_init_options(&dns->channel, &options, mask))
        rc = err_set(err, ERR_INTERNAL, "the resolver (c-ares) cannot start");
    if (!rc && servers) rc = set_servers(dns->channel, servers, err);
    if (rc) {
        fetch_dns_free(dns);
        return rc;
    }
    *dns_out = dns;
    return 0;
}

static void free_all(struct entry *head)
{
    for (struct entry *entry = head->next, *next; entry != head; entry = next) {
        next = entry->next;
        entry_free(entry);
    }
}

void fetch_dns_free(struct fetch_dns *dns)
{
    if (!dns) return;
    if (dns->channel) ares_destroy(dns->channel); /* ends all questions */
    free_all(&dns->waiting);
    free_all(&dns->asked);
    free_all(&dns->rest);
    mem_free(dns);
}
