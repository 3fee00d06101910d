/* call_test.c - a link against brokers that answer, wait, vanish, come back and stop.
 *
 * A test broker is a socket and a thread that answers from it. Pausing joins the thread and keeps
 * the socket: its connections stand, and nobody answers. */
#include "proto/wire/call.h"

#include "common/base/chan.h"
#include "common/base/fs.h"
#include "common/base/str.h"
#include "common/base/thread.h"
#include "tests/support/test.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 30000
#define SEEN_MAX    64

enum manner {
    ANSWERS,
    ANSWERS_REPEATS,  /* drops the first sending of every request but pings */
    SAYS_UNAVAILABLE, /* as long as `patience` lasts */
    SAYS_DENIED,
    ANSWERS_OTHERWISE, /* with the answer to another request */
    ANSWERS_AS_V2,
    PUSHES_FIRST,
    IGNORES, /* all but pings */
};

struct broker {
    struct sock *sock;
    struct thread thread;
    atomic_bool stop;
    enum manner manner;
    int patience;
    uint64_t seen[SEEN_MAX]; /* request ids in order, without pings */
    uint32_t seen_count;
    uint32_t said_ms;       /* the timeout in the last of them */
    struct sock_peer asker; /* of the last of them */
};

static struct err err;
static _Atomic int64_t clock_ahead_ms;

static int64_t mono_ms(const struct clock *clock)
{
    (void)clock;
    return clock_real.mono_ms(&clock_real) + atomic_load(&clock_ahead_ms);
}

static const struct clock clock_test = {.mono_ms = mono_ms, .wall_ms = mono_ms};

static bool says(const char *text, const char *part)
{
    if (strstr(text, part)) return true;
    print_message("the sentence is: %s\n", text);
    return false;
}

/* The broker's side. */

static void reply(struct broker *broker, const struct sock_peer *peer, uint64_t id, Vlmq__Type type,
                  const ProtobufCMessage *body)
{
    struct buf out;
    buf_init(&out, 0);
    if (envelope_pack(&out, type, id, 0, body, NULL) == 0) {
        if (broker->manner == ANSWERS_AS_V2) out.data[1] = 2; /* the version's byte */
        (void)sock_send_to(broker->sock, peer, out.data, out.len);
    }
    buf_deinit(&out);
}

static void refuse(struct broker *broker, const struct sock_peer *peer, uint64_t id,
                   Vlmq__Code code, const char *text)
{
    char copy[100];
    Vlmq__Error error = VLMQ__ERROR__INIT;
    (void)str_copy(copy, sizeof copy, text);
    error.code = code;
    error.message = copy;
    reply(broker, peer, id, VLMQ__TYPE__ERROR, &error.base);
}

static bool seen_before(struct broker *broker, uint64_t id)
{
    bool before = false;
    for (uint32_t i = 0; i < broker->seen_count && i < SEEN_MAX; i++)
        before = before || broker->seen[i] == id;
    if (broker->seen_count < SEEN_MAX) broker->seen[broker->seen_count++] = id;
    return before;
}

static void answer(struct broker *broker, const struct sock_peer *peer,
                   const struct envelope *request)
{
    char program[] = "test";
    Vlmq__PingAnswer pong = VLMQ__PING_ANSWER__INIT;
    Vlmq__WorkersAnswer workers = VLMQ__WORKERS_ANSWER__INIT;
    Vlmq__ListAnswer list = VLMQ__LIST_ANSWER__INIT;
    Vlmq__Notice notice = VLMQ__NOTICE__INIT;
    const uint64_t id = request->request_id;
    pong.program = program;
    if (request->type == VLMQ__TYPE__PING) {
        reply(broker, peer, id, VLMQ__TYPE__PING_ANSWER, &pong.base);
        return;
    }
    const bool before = seen_before(broker, id);
    broker->said_ms = request->timeout_ms;
    broker->asker = *peer;
    if (broker->manner == IGNORES || (broker->manner == ANSWERS_REPEATS && !before)) return;
    if (broker->manner == SAYS_UNAVAILABLE && broker->patience-- > 0)
        refuse(broker, peer, id, VLMQ__CODE__CODE_UNAVAILABLE, "Redis sleeps");
    else if (broker->manner == SAYS_DENIED)
        refuse(broker, peer, id, VLMQ__CODE__CODE_DENIED, "not for you");
    else if (broker->manner == ANSWERS_OTHERWISE)
        reply(broker, peer, id, VLMQ__TYPE__LIST_ANSWER, &list.base);
    else {
        if (broker->manner == PUSHES_FIRST)
            reply(broker, peer, 0, VLMQ__TYPE__NOTICE, &notice.base);
        reply(broker, peer, id, VLMQ__TYPE__WORKERS_ANSWER, &workers.base);
    }
}

static void serve(struct broker *broker)
{
    struct arena arena;
    struct sock_peer peer;
    const void *data;
    size_t bytes;
    arena_init(&arena, 0);
    while (!atomic_load(&broker->stop)) {
        struct envelope request;
        sock_poll(broker->sock, NULL, 0, 10);
        while (sock_recv(broker->sock, &peer, &data, &bytes) == 1) {
            arena_reset(&arena);
            if (envelope_open(&request, data, bytes, &arena, NULL) == 0)
                answer(broker, &peer, &request);
        }
    }
    arena_deinit(&arena);
}

static void serve_thread(void *broker)
{
    serve(broker);
}

static void broker_resume(struct broker *broker)
{
    atomic_store(&broker->stop, false);
    EXPECT_OK(thread_start(&broker->thread, "broker", serve_thread, broker, &err), &err);
}

static void broker_pause(struct broker *broker)
{
    atomic_store(&broker->stop, true);
    thread_join(&broker->thread);
}

static void broker_open(struct broker *broker, const char *address, enum manner manner,
                        const struct sock_keys *keys)
{
    *broker = (struct broker){.manner = manner};
    EXPECT_OK(sock_listen(&broker->sock, &address, 1, keys, false, &err), &err);
}

static void broker_start(struct broker *broker, enum manner manner)
{
    broker_open(broker, "tcp://127.0.0.1:*", manner, NULL);
    broker_resume(broker);
}

static void broker_close(struct broker *broker)
{
    if (broker->thread.running) broker_pause(broker);
    sock_close(broker->sock);
    broker->sock = NULL;
}

/* The link's side. */

static struct link *open_to(const char *brokers, const char *key_file)
{
    struct link *link = NULL;
    const struct link_options options = {
        .brokers = brokers, .key_file = key_file, .clock = &clock_test, .seed = 7};
    EXPECT_OK(link_open(&link, &options, &err), &err);
    return link;
}

static struct link *open_to_one(const struct broker *broker)
{
    return open_to(sock_address(broker->sock, 0), NULL);
}

static uint64_t ask(struct link *link, uint32_t timeout_ms, uint64_t ctx)
{
    uint64_t id = 0;
    Vlmq__Workers body = VLMQ__WORKERS__INIT;
    EXPECT_OK(link_send(link, &id, VLMQ__TYPE__WORKERS, &body.base, timeout_ms, ctx, &err), &err);
    EXPECT(id != 0);
    return id;
}

/* The next event that is not NOTHING. */
static enum link_event_kind next(struct link *link, struct link_event *event)
{
    const int64_t end = clock_real.mono_ms(&clock_real) + PATIENCE_MS;
    do {
        link_next(link, event, NULL, 0, 100);
    } while (event->kind == LINK_NOTHING && clock_real.mono_ms(&clock_real) < end);
    return event->kind;
}

TEST(link, brings_answers_with_their_context)
{
    UNUSED_STATE;
    struct broker broker;
    struct link_event event;
    broker_start(&broker, ANSWERS);
    struct link *link = open_to_one(&broker);
    const int64_t before = mono_ms(NULL);
    const uint64_t id = ask(link, PATIENCE_MS, 99);
    EXPECT_EQ(next(link, &event), LINK_ANSWER);
    EXPECT_EQ(event.request_id, id);
    EXPECT_EQ(event.ctx, 99);
    EXPECT_EQ(event.envelope.type, VLMQ__TYPE__WORKERS_ANSWER);
    EXPECT(event.sent_at_ms >= before && event.sent_at_ms <= mono_ms(NULL));
    EXPECT_TEXT(link_broker(link), sock_address(broker.sock, 0));
    link_close(link);
    broker_close(&broker);
    /* The envelope says less than the time that is left. */
    EXPECT(broker.said_ms > 0 && broker.said_ms <= PATIENCE_MS - LINK_MARGIN_MS);
}

TEST(link, call_unpacks_into_the_callers_arena)
{
    UNUSED_STATE;
    struct broker broker;
    struct arena arena;
    ProtobufCMessage *body = NULL;
    Vlmq__Ping ping = VLMQ__PING__INIT;
    broker_start(&broker, PUSHES_FIRST);
    struct link *link = open_to_one(&broker);
    arena_init(&arena, 0);
    EXPECT_OK(link_call(link, &body, VLMQ__TYPE__PING, &ping.base, PATIENCE_MS, &arena, &err),
              &err);
    EXPECT_TEXT(((Vlmq__PingAnswer *)body)->program, "test");
    Vlmq__Workers workers = VLMQ__WORKERS__INIT;
    EXPECT_OK(link_call(link, &body, VLMQ__TYPE__WORKERS, &workers.base, PATIENCE_MS, &arena, &err),
              &err);
    EXPECT(body->descriptor == &vlmq__workers_answer__descriptor);
    link_close(link);
    arena_deinit(&arena);
    broker_close(&broker);
}

TEST(link, passes_errors_on)
{
    UNUSED_STATE;
    struct broker broker;
    struct link_event event;
    broker_start(&broker, SAYS_DENIED);
    struct link *link = open_to_one(&broker);
    const uint64_t id = ask(link, PATIENCE_MS, 3);
    EXPECT_EQ(next(link, &event), LINK_FAILED);
    EXPECT_EQ(event.request_id, id);
    EXPECT_EQ(event.ctx, 3);
    EXPECT_EQ(event.err.code, ERR_DENIED);
    EXPECT_TEXT(event.err.msg, "not for you");
    link_close(link);
    broker_close(&broker);
}

TEST(link, fails_what_is_answered_wrongly)
{
    UNUSED_STATE;
    struct broker broker;
    struct link_event event;
    broker_start(&broker, ANSWERS_OTHERWISE);
    struct link *link = open_to_one(&broker);
    ask(link, PATIENCE_MS, 0);
    EXPECT_EQ(next(link, &event), LINK_FAILED);
    EXPECT_EQ(event.err.code, ERR_INTERNAL);
    EXPECT(says(event.err.msg, "answered WORKERS with LIST_ANSWER"));
    broker_pause(&broker);
    broker.manner = ANSWERS_AS_V2;
    broker_resume(&broker);
    ask(link, PATIENCE_MS, 0);
    EXPECT_EQ(next(link, &event), LINK_FAILED);
    EXPECT_EQ(event.err.code, ERR_VERSION);
    EXPECT(says(event.err.msg, "version 2"));
    link_close(link);
    broker_close(&broker);
}

TEST(link, repeats_while_a_broker_is_unavailable)
{
    UNUSED_STATE;
    struct broker broker;
    struct link_event event;
    broker_open(&broker, "tcp://127.0.0.1:*", SAYS_UNAVAILABLE, NULL);
    broker.patience = 3;
    broker_resume(&broker);
    struct link *link = open_to_one(&broker);
    const uint64_t id = ask(link, PATIENCE_MS, 0);
    EXPECT_EQ(next(link, &event), LINK_ANSWER);
    broker_pause(&broker);
    EXPECT_EQ(broker.seen_count, 4);
    for (int i = 0; i < 4; i++) EXPECT_EQ(broker.seen[i], id);
    /* And reports the broker's last sentence when its time is over. */
    broker.patience = 1000;
    broker_resume(&broker);
    ask(link, 700, 0);
    EXPECT_EQ(next(link, &event), LINK_FAILED);
    EXPECT_EQ(event.err.code, ERR_UNAVAILABLE);
    EXPECT_TEXT(event.err.msg, "Redis sleeps");
    link_close(link);
    broker_close(&broker);
}

TEST(link, repeats_a_request_whose_answer_was_lost)
{
    UNUSED_STATE;
    struct broker broker;
    struct link_event event;
    broker_start(&broker, ANSWERS_REPEATS);
    struct link *link = open_to_one(&broker);
    const uint64_t id = ask(link, 4 * LINK_RESEND_MS, 0);
    const int64_t sent = mono_ms(NULL);
    for (uint32_t i = 0; i < 20; i++) link_next(link, &event, NULL, 0, 20);
    EXPECT_EQ(event.kind, LINK_NOTHING);
    atomic_fetch_add(&clock_ahead_ms, LINK_RESEND_MS);
    EXPECT_EQ(next(link, &event), LINK_ANSWER);
    EXPECT_EQ(event.request_id, id);
    EXPECT(event.sent_at_ms < sent + LINK_RESEND_MS); /* the first sending counts */
    link_close(link);
    broker_close(&broker);
    EXPECT_EQ(broker.seen_count, 2);
}

TEST(link, gives_up_in_time)
{
    UNUSED_STATE;
    struct broker broker;
    struct link_event event;
    broker_start(&broker, IGNORES);
    struct link *link = open_to_one(&broker);
    ask(link, 500, 8);
    EXPECT_EQ(next(link, &event), LINK_FAILED);
    EXPECT_EQ(event.ctx, 8);
    EXPECT_EQ(event.err.code, ERR_TIMEOUT);
    EXPECT(says(event.err.msg, "did not answer WORKERS"));
    link_close(link);
    broker_close(&broker);
    link = open_to("tcp://127.0.0.1:1", NULL);
    ask(link, 300, 0);
    EXPECT_EQ(next(link, &event), LINK_FAILED);
    EXPECT_EQ(event.err.code, ERR_UNAVAILABLE);
    EXPECT(says(event.err.msg, "tcp://127.0.0.1:1 cannot be reached"));
    link_close(link);
}

TEST(link, waits_for_a_broker_that_starts_late)
{
    UNUSED_STATE;
    struct broker broker;
    struct link_event event;
    char address[SOCK_ADDRESS_BYTES];
    broker_open(&broker, "tcp://127.0.0.1:*", ANSWERS, NULL);
    EXPECT(str_copy(address, sizeof address, sock_address(broker.sock, 0)));
    broker_close(&broker);
    struct link *link = open_to(address, NULL);
    ask(link, PATIENCE_MS, 0);
    for (int i = 0; i < 10; i++) link_next(link, &event, NULL, 0, 20);
    broker_open(&broker, address, ANSWERS, NULL);
    broker_resume(&broker);
    EXPECT_EQ(next(link, &event), LINK_ANSWER); /* the first broker is no move */
    link_close(link);
    broker_close(&broker);
}

TEST(link, resends_to_a_broker_that_was_restarted)
{
    UNUSED_STATE;
    struct broker broker;
    struct link_event event;
    char address[SOCK_ADDRESS_BYTES];
    broker_start(&broker, IGNORES);
    EXPECT(str_copy(address, sizeof address, sock_address(broker.sock, 0)));
    struct link *link = open_to_one(&broker);
    const uint64_t id = ask(link, PATIENCE_MS, 0);
    for (int i = 0; i < 20; i++) link_next(link, &event, NULL, 0, 20);
    broker_close(&broker);
    EXPECT_EQ(broker.seen_count, 1);
    EXPECT_EQ(broker.seen[0], id);
    broker_open(&broker, address, ANSWERS, NULL);
    broker_resume(&broker);
    EXPECT_EQ(next(link, &event), LINK_MOVED);
    EXPECT_EQ(next(link, &event), LINK_ANSWER);
    EXPECT_EQ(event.request_id, id);
    link_close(link);
    broker_close(&broker);
    EXPECT_EQ(broker.seen[0], id);
}

/* The order of the list is the link's choice, so both cases of "the first one" are played. */
static struct link *open_to_two(const struct broker *a, const struct broker *b)
{
    char list[2 * SOCK_ADDRESS_BYTES];
    (void)snprintf(list, sizeof list, "%s, %s", sock_address(a->sock, 0), sock_address(b->sock, 0));
    return open_to(list, NULL);
}

TEST(link, leaves_a_silent_broker_and_comes_back_from_a_dead_one)
{
    UNUSED_STATE;
    struct broker two[2];
    struct link_event event;
    broker_start(&two[0], ANSWERS);
    broker_start(&two[1], ANSWERS);
    struct link *link = open_to_two(&two[0], &two[1]);
    ask(link, PATIENCE_MS, 0);
    EXPECT_EQ(next(link, &event), LINK_ANSWER);
    const int used = str_eq(link_broker(link), sock_address(two[1].sock, 0));
    broker_pause(&two[used]);
    const uint64_t id = ask(link, PATIENCE_MS, 0);
    EXPECT_EQ(next(link, &event), LINK_MOVED);
    EXPECT_TEXT(link_broker(link), sock_address(two[!used].sock, 0));
    EXPECT_EQ(next(link, &event), LINK_ANSWER);
    EXPECT_EQ(event.request_id, id);
    /* The other one dies: back to the first, which is awake again. */
    broker_resume(&two[used]);
    broker_close(&two[!used]);
    ask(link, PATIENCE_MS, 0);
    EXPECT_EQ(next(link, &event), LINK_MOVED);
    EXPECT_TEXT(link_broker(link), sock_address(two[used].sock, 0));
    EXPECT_EQ(next(link, &event), LINK_ANSWER);
    link_close(link);
    broker_close(&two[used]);
}

/* Its machine may be gone without a word: then the old connection stands for a quarter of an hour.
 * A new one goes by another name, so that the broker cannot mistake it for the old. */
TEST(link, connects_anew_to_a_single_silent_broker)
{
    UNUSED_STATE;
    struct broker broker;
    struct link_event event;
    broker_start(&broker, ANSWERS);
    struct link *link = open_to_one(&broker);
    ask(link, 2 * PATIENCE_MS, 0);
    EXPECT_EQ(next(link, &event), LINK_ANSWER);
    broker_pause(&broker);
    const struct sock_peer before = broker.asker;
    const uint64_t id = ask(link, 2 * PATIENCE_MS, 0);
    for (int64_t ms = 0; ms < LINK_SILENCE_MS; ms += LINK_PING_MS) {
        link_next(link, &event, NULL, 0, 20);
        EXPECT_EQ(event.kind, LINK_NOTHING);
        atomic_fetch_add(&clock_ahead_ms, LINK_PING_MS);
    }
    EXPECT_EQ(next(link, &event), LINK_MOVED);
    broker_resume(&broker);
    EXPECT_EQ(next(link, &event), LINK_ANSWER);
    EXPECT_EQ(event.request_id, id);
    ask(link, PATIENCE_MS, 0);
    EXPECT_EQ(next(link, &event), LINK_ANSWER);
    link_close(link);
    broker_pause(&broker);
    EXPECT_EQ(broker.asker.id_bytes, before.id_bytes);
    EXPECT(memcmp(broker.asker.id, before.id, before.id_bytes) != 0);
    broker_close(&broker);
}

TEST(link, notices_a_dead_broker_without_open_requests)
{
    UNUSED_STATE;
    struct broker two[2];
    struct link_event event;
    broker_start(&two[0], ANSWERS);
    broker_start(&two[1], ANSWERS);
    struct link *link = open_to_two(&two[0], &two[1]);
    ask(link, PATIENCE_MS, 0);
    EXPECT_EQ(next(link, &event), LINK_ANSWER);
    const int used = str_eq(link_broker(link), sock_address(two[1].sock, 0));
    broker_close(&two[used]);
    EXPECT_EQ(next(link, &event), LINK_MOVED);
    EXPECT_TEXT(link_broker(link), sock_address(two[!used].sock, 0));
    link_close(link);
    broker_close(&two[!used]);
}

TEST(link, passes_over_addresses_where_nobody_is)
{
    UNUSED_STATE;
    struct broker broker;
    struct link_event event;
    char list[2 * SOCK_ADDRESS_BYTES];
    broker_start(&broker, ANSWERS);
    for (int order = 0; order < 2; order++) {
        const char *real = sock_address(broker.sock, 0), *dead = "tcp://127.0.0.1:1";
        (void)snprintf(list, sizeof list, "%s %s", order ? real : dead, order ? dead : real);
        struct link *link = open_to(list, NULL);
        ask(link, PATIENCE_MS, 0);
        EXPECT_EQ(next(link, &event), LINK_ANSWER);
        link_close(link);
    }
    broker_close(&broker);
}

/* A broker in a process of its own, so that it can be stopped as a whole. */
static pid_t fork_broker(char address[SOCK_ADDRESS_BYTES])
{
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    const pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves nothing behind */
        struct broker broker = {.manner = ANSWERS};
        const char *any = "tcp://127.0.0.1:*";
        char text[SOCK_ADDRESS_BYTES] = "";
        if (sock_listen(&broker.sock, &any, 1, NULL, false, &err)) _exit(1);
        (void)str_copy(text, sizeof text, sock_address(broker.sock, 0));
        if (write(ends[1], text, sizeof text) != sizeof text) _exit(1);
        serve(&broker);
        _exit(0);
    }
    close(ends[1]);
    EXPECT_EQ(read(ends[0], address, SOCK_ADDRESS_BYTES), SOCK_ADDRESS_BYTES);
    close(ends[0]);
    return pid;
}

static void end_process(pid_t pid)
{
    EXPECT_EQ(kill(pid, SIGKILL), 0);
    EXPECT_EQ(waitpid(pid, NULL, 0), pid);
}

TEST(link, leaves_a_stopped_process_and_a_killed_one)
{
    UNUSED_STATE;
    struct link_event event;
    char address[2][SOCK_ADDRESS_BYTES], list[2 * SOCK_ADDRESS_BYTES];
    pid_t pid[2];
    for (int i = 0; i < 2; i++) pid[i] = fork_broker(address[i]);
    (void)snprintf(list, sizeof list, "%s,%s", address[0], address[1]);
    struct link *link = open_to(list, NULL);
    ask(link, PATIENCE_MS, 0);
    EXPECT_EQ(next(link, &event), LINK_ANSWER);
    const int used = str_eq(link_broker(link), address[1]);
    EXPECT_EQ(kill(pid[used], SIGSTOP), 0);
    ask(link, PATIENCE_MS, 0);
    EXPECT_EQ(next(link, &event), LINK_MOVED);
    EXPECT_EQ(next(link, &event), LINK_ANSWER);
    EXPECT_TEXT(link_broker(link), address[!used]);
    EXPECT_EQ(kill(pid[used], SIGCONT), 0);
    end_process(pid[!used]);
    ask(link, PATIENCE_MS, 0);
    EXPECT_EQ(next(link, &event), LINK_MOVED);
    EXPECT_EQ(next(link, &event), LINK_ANSWER);
    EXPECT_TEXT(link_broker(link), address[used]);
    link_close(link);
    end_process(pid[used]);
}

TEST(link, brings_pushed_messages)
{
    UNUSED_STATE;
    struct broker broker;
    struct link_event event;
    broker_start(&broker, PUSHES_FIRST);
    struct link *link = open_to_one(&broker);
    ask(link, PATIENCE_MS, 0);
    EXPECT_EQ(next(link, &event), LINK_PUSH);
    EXPECT_EQ(event.envelope.type, VLMQ__TYPE__NOTICE);
    EXPECT_EQ(event.request_id, 0);
    EXPECT_EQ(next(link, &event), LINK_ANSWER);
    link_close(link);
    broker_close(&broker);
}

TEST(link, forgets_requests_and_bounds_them)
{
    UNUSED_STATE;
    struct broker broker;
    struct link_event event;
    Vlmq__Workers body = VLMQ__WORKERS__INIT;
    uint64_t id[LINK_REQUESTS_MAX], more;
    broker_open(&broker, "tcp://127.0.0.1:*", ANSWERS, NULL);
    struct link *link = open_to_one(&broker);
    for (uint32_t i = 0; i < LINK_REQUESTS_MAX; i++) id[i] = ask(link, PATIENCE_MS, i);
    EXPECT_EQ(link_send(link, &more, VLMQ__TYPE__WORKERS, &body.base, 1, 0, &err), ERR_LIMIT);
    for (uint32_t i = 1; i < LINK_REQUESTS_MAX; i++) link_forget(link, id[i]);
    link_forget(link, id[1]);
    link_forget(link, 0);
    broker_resume(&broker);
    EXPECT_EQ(next(link, &event), LINK_ANSWER);
    EXPECT_EQ(event.request_id, id[0]);
    for (int i = 0; i < 10; i++) {
        link_next(link, &event, NULL, 0, 10);
        EXPECT_EQ(event.kind, LINK_NOTHING);
    }
    link_close(link);
    broker_close(&broker);
}

TEST(link, refuses_to_send_what_no_broker_would_take)
{
    UNUSED_STATE;
    char id[] = "NO";
    Vlmq__Get get = VLMQ__GET__INIT;
    struct link_event event;
    struct link *link = open_to("tcp://127.0.0.1:1", NULL);
    get.job = id;
    EXPECT_EQ(link_send(link, NULL, VLMQ__TYPE__GET, &get.base, 100, 0, &err), ERR_INVALID);
    EXPECT(says(err.msg, "GET: job is no job id"));
    link_next(link, &event, NULL, 0, 200);
    EXPECT_EQ(event.kind, LINK_NOTHING);
    link_close(link);
}

TEST(link, tells_which_fd_is_readable)
{
    UNUSED_STATE;
    struct wake wake;
    struct link_event event;
    EXPECT_EQ(wake_open(&wake), 0);
    struct link *link = open_to("tcp://127.0.0.1:1", NULL);
    const int fds[] = {-1, wake.fd};
    link_next(link, &event, fds, 2, 50);
    EXPECT_EQ(event.kind, LINK_NOTHING);
    EXPECT_EQ(event.fds, 0);
    wake_raise(&wake);
    link_next(link, &event, fds, 2, PATIENCE_MS);
    EXPECT_EQ(event.kind, LINK_NOTHING);
    EXPECT_EQ(event.fds, 2);
    link_close(link);
    wake_close(&wake);
}

TEST(link, explains_bad_options)
{
    UNUSED_STATE;
    struct link *link;
    struct link_options options = {.brokers = " , "};
    EXPECT_EQ(link_open(&link, &options, &err), ERR_INVALID);
    options.brokers = "tcp://127.0.0.1:1,nonsense";
    EXPECT_EQ(link_open(&link, &options, &err), ERR_INVALID);
    EXPECT(says(err.msg, "nonsense"));
    options.brokers = "tcp://127.0.0.1:1";
    options.key_file = "/nonexistent/key";
    EXPECT_EQ(link_open(&link, &options, &err), ERR_NOT_FOUND);
}

TEST(link, speaks_encrypted_with_a_key_file_and_says_when_refused)
{
    UNUSED_STATE;
    struct broker broker;
    struct link_event event;
    struct sock_keys server, client;
    struct sock_allow allow = {.role = SOCK_ROLE_CLIENT};
    char path[512], text[512];
    const char *dir = test_dir_new();
    EXPECT_OK(sock_keys_make(&server, &err), &err);
    EXPECT_OK(sock_keys_make(&client, &err), &err);
    EXPECT(str_copy(allow.key, sizeof allow.key, client.public_key));
    server.allow = &allow;
    server.allow_count = 1;
    EXPECT(fs_join(path, sizeof path, dir, "client.key"));
    const int bytes = snprintf(text, sizeof text, "public = %s\nsecret = %s\nserver = %s\n",
                               client.public_key, client.secret_key, server.public_key);
    mode_t old = umask(077);
    EXPECT_OK(fs_put(path, text, (size_t)bytes, &err), &err);
    umask(old);
    broker_open(&broker, "tcp://127.0.0.1:*", ANSWERS, &server);
    broker_resume(&broker);
    struct link *link = open_to(sock_address(broker.sock, 0), path);
    ask(link, PATIENCE_MS, 0);
    EXPECT_EQ(next(link, &event), LINK_ANSWER);
    link_close(link);
    broker_pause(&broker);
    server.allow_count = 0;
    sock_allow_replace(broker.sock, &server);
    broker_resume(&broker);
    link = open_to(sock_address(broker.sock, 0), path);
    ask(link, 1000, 0);
    EXPECT_EQ(next(link, &event), LINK_FAILED);
    EXPECT_EQ(event.err.code, ERR_UNAVAILABLE);
    EXPECT(says(event.err.msg, "refuses this key"));
    link_close(link);
    broker_close(&broker);
    test_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(link, leaves_a_stopped_process_and_a_killed_one),
        RUN(link, brings_answers_with_their_context),
        RUN(link, call_unpacks_into_the_callers_arena),
        RUN(link, passes_errors_on),
        RUN(link, fails_what_is_answered_wrongly),
        RUN(link, repeats_while_a_broker_is_unavailable),
        RUN(link, repeats_a_request_whose_answer_was_lost),
        RUN(link, gives_up_in_time),
        RUN(link, waits_for_a_broker_that_starts_late),
        RUN(link, resends_to_a_broker_that_was_restarted),
        RUN(link, leaves_a_silent_broker_and_comes_back_from_a_dead_one),
        RUN(link, connects_anew_to_a_single_silent_broker),
        RUN(link, notices_a_dead_broker_without_open_requests),
        RUN(link, passes_over_addresses_where_nobody_is),
        RUN(link, brings_pushed_messages),
        RUN(link, forgets_requests_and_bounds_them),
        RUN(link, refuses_to_send_what_no_broker_would_take),
        RUN(link, tells_which_fd_is_readable),
        RUN(link, explains_bad_options),
        RUN(link, speaks_encrypted_with_a_key_file_and_says_when_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
