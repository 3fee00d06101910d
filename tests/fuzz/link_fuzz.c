/* link_fuzz.c - a link whose brokers answer anything: each of its requests ends once, with the
 * answer to it or with a sentence, and what it sends is always what it may send. */
#include "proto/wire/call.h"
#include "tests/fuzz/fake_sock.c"

#define OPEN_MAX   32
#define EVENTS_MAX 2000
#define LONGEST_MS 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct {
    struct link *link;
    struct {
        uint64_t id;
        Vlmq__Type type;
    } open[OPEN_MAX]; /* id 0: free; ctx is the place */
    uint32_t count;
} world;

/* The i-th type that is a request. */
static Vlmq__Type request_type(uint32_t i)
{
    Vlmq__Type type;
    for (i %= message_types();; i = (i + 1) % message_types()) {
        type = message_type(i);
        if (envelope_answer_type(type) != VLMQ__TYPE__TYPE_UNSPECIFIED) return type;
    }
}

static void ask(uint32_t choice)
{
    struct err err = {0};
    struct input fields = {0};
    uint32_t slot = 0;
    while (slot < OPEN_MAX && world.open[slot].id) slot++;
    const Vlmq__Type type = request_type((uint32_t)input_take(&fake.input, 1) + choice);
    const uint32_t timeout_ms = (uint32_t)input_take(&fake.input, 2) % LONGEST_MS;
    fields.bytes = input_bytes(&fake.input, &fields.data, input_take(&fake.input, 1));
    const ProtobufCMessage *body = message_make(type, &fields, &fake.arena, text_for, NULL);
    if (slot == OPEN_MAX) return;
    const int rc = link_send(world.link, &world.open[slot].id, type, body, timeout_ms, slot, &err);
    CHECK(rc == 0 || err.msg[0]);
    if (rc) world.open[slot].id = 0;
    if (rc) return;
    CHECK(world.open[slot].id != 0);
    world.open[slot].type = type;
    world.count++;
}

static void forget(uint32_t choice)
{
    const uint32_t slot = choice % OPEN_MAX;
    link_forget(world.link, world.open[slot].id);
    if (world.open[slot].id) world.count--;
    world.open[slot].id = 0;
}

static void step(uint32_t choice)
{
    if (choice % 4 == 3)
        forget(choice / 4);
    else
        ask(choice);
}

static void hear(const struct link_event *event)
{
    if (event->kind == LINK_PUSH)
        CHECK(event->envelope.type == VLMQ__TYPE__WATCH_UPDATE ||
              event->envelope.type == VLMQ__TYPE__NOTICE);
    if (event->kind != LINK_ANSWER && event->kind != LINK_FAILED) return;
    CHECK(event->ctx < OPEN_MAX);
    CHECK(event->request_id != 0 && world.open[event->ctx].id == event->request_id);
    if (event->kind == LINK_ANSWER) {
        CHECK(event->envelope.body != NULL);
        CHECK(event->envelope.type == envelope_answer_type(world.open[event->ctx].type));
        CHECK(event->sent_at_ms >= 0 && event->sent_at_ms <= fake.now_ms);
    } else {
        CHECK(event->err.code != ERR_OK && event->err.msg[0]);
    }
    world.open[event->ctx].id = 0;
    world.count--;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct err err;
    fake_begin(data, bytes);
    memset(&world, 0, sizeof world);
    const bool many = input_take(&fake.input, 1) % 2;
    const struct link_options options = {.brokers = many ? "tcp://a:1, tcp://b:2" : "tcp://a:1",
                                         .seed = 1};
    CHECK(link_open(&world.link, &options, &err) == 0);
    fake.step = step;
    for (uint32_t i = 0; i < EVENTS_MAX && (fake.input.bytes || world.count); i++) {
        struct link_event event;
        link_next(world.link, &event, NULL, 0, fake.input.bytes ? 1000 : 60000);
        hear(&event);
    }
    CHECK(world.count == 0); /* their time is over, whatever the brokers said */
    link_close(world.link);
    fake_end();
    return 0;
}
