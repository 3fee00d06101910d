/* place_fuzz.c - what people and files say of places and processes: addresses of brokers and of
 * Redis, URLs of stores and names inside them, the words of a command line, pid files, and the
 * addresses that a name may resolve to. The first byte chooses. */
#define args redis_args /* a struct of that name is the client's, too */
#include "broker/state/redis.c"
#undef args
#include "client/submit/args.h"
#include "client/up/pidfile.c"
#include "common/store/store.h"
#include "proto/wire/address.h"
#include "tests/fuzz/input.h"
#include "worker/pipe/fetch.h"

#include <netinet/in.h>

#define WORDS_MAX 40

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void as_address(const char *text)
{
    for (int listening = 0; listening <= 1; listening++) {
        struct address address;
        struct err err = {0};
        const int rc = address_parse(&address, text, listening, &err);
        CHECK(rc == 0 || (rc == ERR_INVALID && err.msg[0]));
        if (!rc && !address.local) CHECK(str_has_prefix(text, "tcp://"));
    }
}

static void as_redis(const char *text)
{
    struct state *state = mem_new(sizeof *state);
    struct err err = {0};
    state->address = keep_text(text);
    const int rc = read_address(state, &err);
    CHECK(rc == 0 || err.msg[0]);
    if (!rc) CHECK(state->host && state->host[0]);
    state_close(state);
}

static void as_store(const char *root, const char *text)
{
    struct store *store = NULL;
    struct err err = {0};
    int64_t size = -1;
    const int rc = store_open(&store, text, false, &err);
    CHECK(rc == 0 || err.msg[0]);
    if (!rc) CHECK(store_url(store)[0]);
    store_close(store);
    CHECK(!store_open(&store, root, false, &err));
    /* There is nothing in it, and no name leads out of it. */
    if (*text) CHECK(store_size(store, &size, text, &err) != 0 && err.msg[0]);
    store_close(store);
}

static void as_words(char *text, size_t bytes)
{
    static const struct conf_option table[] = {
        {"json", 'j', CONF_FLAG, NULL, 0, 0, NULL, "A flag."},
        {"output", 'o', CONF_TEXT, NULL, 0, 0, NULL, "A text."},
        {NULL, 0, CONF_FLAG, NULL, 0, 0, NULL, NULL},
    };
    char verb[] = "run";
    char *argv[WORDS_MAX + 1] = {verb};
    int argc = 1;
    struct args *args = mem_new(sizeof *args);
    struct arena arena;
    struct err err = {0};
    const char *place = NULL, *again = NULL;
    arena_init(&arena, 64 << 20);
    for (size_t at = 0; at < bytes && argc < WORDS_MAX; at += strlen(text + at) + 1)
        argv[argc++] = text + at;
    const int rc = args_split(args, argc, argv, table, &arena, &err);
    CHECK(rc == 0 || (rc == ERR_INVALID && err.msg[0]) || rc == ERR_LIMIT);
    if (!rc) CHECK(args->words >= 1 && args->words <= argc && args->kind && args->spec);
    CHECK(!args_place(&place, text, &arena, &err));
    CHECK(!args_place(&again, place, &arena, &err));
    CHECK(str_eq(place, again));
    arena_deinit(&arena);
    mem_free(args);
}

static void as_pidfile(const char *data, size_t bytes)
{
    struct pidfile file = {0};
    struct buf text;
    char state;
    uint64_t start;
    buf_init(&text, 0);
    buf_add(&text, data, bytes);
    if (parse_stat(buf_str(&text), &state, &start)) CHECK(state != 0);
    if (parse(&file, &text)) {
        CHECK(file.pid >= 1 && file.host[0] && file.boot[0]);
        (void)pidfile_state(&file);
    }
    buf_deinit(&text);
}

/* An IPv4 address must not become public by being written as an IPv6 one. */
static void as_peer(struct input input)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    const uint32_t address = (uint32_t)input_take(&input, 4);
    for (uint32_t i = 0; i < 16; i++) v6.sin6_addr.s6_addr[i] = (uint8_t)input_take(&input, 1);
    v4.sin_addr.s_addr = htonl(address);
    const bool public6 = fetch_address_is_public((const void *)&v6);
    if (public6 && (v6.sin6_addr.s6_addr[0] & 0xe0) != 0x20)
        CHECK(IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) || v6.sin6_addr.s6_addr[1] == 0x64);
    memset(&v6.sin6_addr, 0, sizeof v6.sin6_addr);
    v6.sin6_addr.s6_addr[10] = v6.sin6_addr.s6_addr[11] = 0xff;
    memcpy(&v6.sin6_addr.s6_addr[12], &v4.sin_addr, 4);
    CHECK(fetch_address_is_public((const void *)&v4) == fetch_address_is_public((const void *)&v6));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static char root[32];
    if (bytes < 1) return 0;
    if (!root[0]) {
        (void)str_copy(root, sizeof root, "/tmp/place_fuzz.XXXXXX");
        CHECK(mkdtemp(root) != NULL);
    }
    struct input input = {data + 1, bytes - 1};
    char *text = mem_new(bytes);
    memcpy(text, data + 1, bytes - 1);
    if (data[0] % 6 == 0) as_address(text);
    if (data[0] % 6 == 1) as_redis(text);
    if (data[0] % 6 == 2) as_store(root, text);
    if (data[0] % 6 == 3) as_words(text, bytes - 1);
    if (data[0] % 6 == 4) as_pidfile(text, bytes - 1);
    if (data[0] % 6 == 5) as_peer(input);
    mem_free(text);
    return 0;
}
