/* fake_sock.c - see fake_sock.h; included by the targets that use it. */
#include "tests/fuzz/fake_sock.h"

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/str.h"
#include "tests/fuzz/message.c"

#include <poll.h>

#define IDLE_MS 60000 /* one sleep at the end of a script, at most */

struct sock {
    char unused;
};

struct fake fake;

/* ---- the clock ---- */

static int64_t mono_ms(const struct clock *clock)
{
    (void)clock;
    return fake.now_ms;
}

static int64_t wall_ms(const struct clock *clock)
{
    (void)clock;
    return INT64_C(1790000000000) + fake.now_ms;
}

const struct clock clock_real = {mono_ms, wall_ms};

int64_t clock_mono_us(void)
{
    return fake.now_ms * 1000;
}

void clock_sleep_ms(int64_t ms)
{
    fake.now_ms += ms;
}

char *clock_text(char *dst, int64_t wall)
{
    (void)wall;
    (void)str_copy(dst, CLOCK_TEXT_BYTES, "-");
    return dst;
}

/* ---- proto/wire/sock.h ---- */

int sock_connect(struct sock **sock, const char *address, const struct sock_keys *keys,
                 struct err *err)
{
    (void)keys;
    CHECK(address[0] != 0);
    if (str_eq(address, "bad")) return err_set(err, ERR_INVALID, "no address");
    *sock = mem_new(sizeof **sock);
    fake.state = SOCK_CONNECTING;
    fake.connections = 0;
    fake.has_frame = false;
    return 0;
}

int sock_keys_make(struct sock_keys *keys, struct err *err)
{
    (void)keys;
    return err_set(err, ERR_INTERNAL, "no script makes keys");
}

void sock_close(struct sock *sock)
{
    mem_free(sock);
}

enum sock_state sock_state(const struct sock *sock)
{
    CHECK(sock != NULL);
    return fake.state;
}

uint32_t sock_connections(const struct sock *sock)
{
    CHECK(sock != NULL);
    return fake.connections;
}

const char *sock_trouble(const struct sock *sock)
{
    CHECK(sock != NULL);
    return "cannot be reached";
}

int sock_recv(struct sock *sock, struct sock_peer *peer, const void **data, size_t *bytes)
{
    (void)peer;
    CHECK(sock != NULL);
    if (!fake.has_frame) return 0;
    fake.has_frame = false;
    *data = buf_str(&fake.frame);
    *bytes = fake.frame.len;
    return 1;
}

/* What the program says must be what it may say. */
bool sock_send(struct sock *sock, const void *data, size_t bytes)
{
    struct envelope envelope;
    struct err err;
    CHECK(sock != NULL);
    if (fake.full) return false;
    CHECK(envelope_open(&envelope, data, bytes, &fake.arena, &err) == 0);
    message_talk("asks", &envelope);
    CHECK(envelope_answer_type(envelope.type) != VLMQ__TYPE__TYPE_UNSPECIFIED);
    CHECK(envelope.request_id != 0 && envelope.timeout_ms > 0);
    const uint32_t slot = fake.asked_count++ % FAKE_ASKED;
    fake.asked[slot].id = envelope.request_id;
    fake.asked[slot].type = envelope.type;
    fake.sent++;
    return true;
}

/* The mask that the real one gives. */
static uint32_t ready(const int *fds, uint32_t fds_count)
{
    uint32_t mask = fake.has_frame;
    for (uint32_t i = 0; i < fds_count; i++) {
        struct pollfd fd = {.fd = fds[i], .events = POLLIN};
        if (poll(&fd, 1, 0) > 0) mask |= 2u << i;
    }
    return mask;
}

uint32_t sock_poll(struct sock *sock, const int *fds, uint32_t fds_count, int64_t wait_ms)
{
    CHECK(sock != NULL);
    if (wait_ms == 0 || fake_play()) return ready(fds, fds_count);
    if (fake.idle) fake.idle(0);
    const uint32_t mask = ready(fds, fds_count);
    if (!mask) fake.now_ms += wait_ms > 0 && wait_ms < IDLE_MS ? wait_ms : IDLE_MS;
    return mask;
}

/* ---- the script ---- */

static const char *text_for(void *ctx, const char *field, enum codec_form form, uint32_t choice)
{
    static const char *const lease[] = {"00112233445566778899aabbccddeeff",
                                        "10112233445566778899aabbccddeeff",
                                        "20112233445566778899aabbccddeeff"};
    static const char *const kind[] = {"probe", "download", "nosuch"};
    static const char *const counter[] = {"status.success", "status.timeout", "http.404"};
    (void)ctx, (void)field;
    if (form == CODEC_LEASE) return lease[choice % 3];
    if (form == CODEC_COUNTER) return counter[choice % 3];
    return form == CODEC_KIND ? kind[choice % 3] : NULL;
}

static void frame_built(Vlmq__Type type, uint64_t id)
{
    struct err err;
    struct input fields = {0};
    fields.bytes = input_bytes(&fake.input, &fields.data, input_take(&fake.input, 1));
    const ProtobufCMessage *body = message_make(type, &fields, &fake.arena, text_for, NULL);
    if (type == VLMQ__TYPE__WATCH_UPDATE || type == VLMQ__TYPE__NOTICE) id = 0;
    buf_clear(&fake.frame);
    if (!envelope_pack(&fake.frame, type, id, 0, body, &err)) fake.has_frame = true;
}

/* One of the newest requests, or none that there is. */
static uint32_t asked_slot(uint32_t choice)
{
    const uint32_t count = fake.asked_count < FAKE_ASKED ? fake.asked_count : FAKE_ASKED;
    return count ? (fake.asked_count - 1 - choice % count) % FAKE_ASKED : FAKE_ASKED;
}

static void frame_raw(void)
{
    const uint8_t *data;
    const size_t bytes = input_bytes(&fake.input, &data, input_take(&fake.input, 1));
    buf_clear(&fake.frame);
    buf_add(&fake.frame, data, bytes);
    fake.has_frame = true;
}

static void connection(uint32_t choice)
{
    if (choice % 4 == 0) fake.state = SOCK_LOST;
    if (choice % 4 == 1) fake.full = !fake.full;
    if (choice % 4 < 2) return;
    fake.state = SOCK_UP;
    fake.connections++;
}

/* choice: for the newest request the right answer, another one, or an error. */
static void frame_answer(uint32_t step, uint32_t choice)
{
    const uint32_t slot = asked_slot(choice);
    const uint64_t id = slot < FAKE_ASKED ? fake.asked[slot].id : 77;
    Vlmq__Type type =
        slot < FAKE_ASKED ? envelope_answer_type(fake.asked[slot].type) : VLMQ__TYPE__ERROR;
    if (step == 1) type = VLMQ__TYPE__ERROR;
    if (step == 2) type = message_type((uint32_t)input_take(&fake.input, 1) % message_types());
    frame_built(type, id);
}

bool fake_play(void)
{
    if (!fake.input.bytes) return false;
    arena_reset(&fake.arena);
    const uint32_t step = (uint32_t)input_take(&fake.input, 1), choice = step / 16;
    switch (step % 16) {
    case 0:
        fake.now_ms += (int64_t)input_take(&fake.input, 1);
        break;
    case 1:
        fake.now_ms += (int64_t)input_take(&fake.input, 1) * 100;
        break;
    case 2:
        connection(choice);
        break;
    case 3:
        frame_raw();
        break;
    case 4:
        frame_answer(1, choice);
        break;
    case 5:
        frame_answer(2, choice);
        break;
    case 6:
    case 7:
    case 8:
    case 9:
        if (fake.step) fake.step(step % 16 - 6 + choice * 4);
        break;
    default:
        frame_answer(0, choice);
        break;
    }
    return true;
}

void fake_begin(const uint8_t *data, size_t bytes)
{
    message_chance();
    memset(&fake, 0, sizeof fake);
    fake.input = (struct input){data, bytes};
    fake.now_ms = 1000;
    arena_init(&fake.arena, 0);
    buf_init(&fake.frame, 0);
}

void fake_end(void)
{
    arena_deinit(&fake.arena);
    buf_deinit(&fake.frame);
}
