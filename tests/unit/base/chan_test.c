/* chan_test.c - order, limits, ends, and ownership under several threads. */
#include "common/base/chan.h"

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/thread.h"
#include "tests/support/test.h"

#include <poll.h>
#include <string.h>

TEST(chan, gives_back_in_order_and_refuses_when_full)
{
    UNUSED_STATE;
    int item[4];
    struct chan *chan = chan_new(3);
    EXPECT_EQ(chan_capacity(chan), 3);
    for (int round = 0; round < 5; round++) { /* the ring turns */
        for (int i = 0; i < 3; i++) EXPECT(chan_try_send(chan, &item[i]));
        EXPECT(!chan_try_send(chan, &item[3]));
        EXPECT_EQ(chan_depth(chan), 3);
        EXPECT(chan_recv(chan) == &item[0]);
        EXPECT(chan_try_recv(chan) == &item[1]);
        EXPECT(chan_recv_for(chan, 1000) == &item[2]);
        EXPECT(chan_try_recv(chan) == NULL);
        EXPECT(chan_recv_for(chan, 1) == NULL);
    }
    chan_close(chan);
    chan_free(chan);
    chan_free(NULL);
}

TEST(chan, closed_channel_refuses_sends_and_drains)
{
    UNUSED_STATE;
    int item;
    struct chan *chan = chan_new(2);
    EXPECT(chan_send(chan, &item));
    chan_close(chan);
    EXPECT(!chan_send(chan, &item));
    EXPECT(!chan_try_send(chan, &item));
    EXPECT(chan_recv(chan) == &item);
    EXPECT(chan_recv(chan) == NULL);
    EXPECT(chan_recv_for(chan, 60000) == NULL); /* does not wait for what cannot come */
    chan_close(chan);
    chan_free(chan);
}

struct waiter {
    struct chan *chan;
    atomic_int begun;
    bool sent;
    void *got;
};

static void send_one(void *arg)
{
    struct waiter *waiter = arg;
    atomic_store(&waiter->begun, 1);
    waiter->sent = chan_send(waiter->chan, waiter);
}

static void receive_one(void *arg)
{
    struct waiter *waiter = arg;
    atomic_store(&waiter->begun, 1);
    waiter->got = chan_recv(waiter->chan);
}

/* Closes the channel before or after run began to wait on it, and joins. */
static void close_on(struct waiter *waiter, void (*run)(void *arg), int round)
{
    struct err err;
    struct thread thread = {0};
    EXPECT_OK(thread_start(&thread, "waiter", run, waiter, &err), &err);
    while (!atomic_load(&waiter->begun)) clock_sleep_ms(1);
    if (round % 2) clock_sleep_ms(1);
    chan_close(waiter->chan);
    thread_join(&thread);
}

TEST(chan, closing_wakes_a_sender_that_nobody_serves)
{
    UNUSED_STATE;
    for (int round = 0; round < 50; round++) {
        struct waiter waiter = {.chan = chan_new(1), .sent = true};
        EXPECT(chan_send(waiter.chan, &waiter));
        close_on(&waiter, send_one, round);
        EXPECT(!waiter.sent);
        EXPECT(chan_recv(waiter.chan) == &waiter);
        chan_free(waiter.chan);
    }
}

TEST(chan, closing_wakes_a_receiver_of_an_empty_channel)
{
    UNUSED_STATE;
    for (int round = 0; round < 50; round++) {
        struct waiter waiter = {.chan = chan_new(1), .got = &waiter};
        close_on(&waiter, receive_one, round);
        EXPECT(waiter.got == NULL);
        chan_free(waiter.chan);
    }
}

#define SENDERS   4
#define RECEIVERS 3
#define ITEMS     2000

struct crowd {
    struct chan *chan;
    atomic_int received[SENDERS * ITEMS];
    atomic_int sent;
    int values[SENDERS * ITEMS];
};

struct member {
    struct crowd *crowd;
    int index;
};

static void send_all(void *arg)
{
    const struct member *member = arg;
    struct crowd *crowd = member->crowd;
    for (int i = 0; i < ITEMS; i++) {
        int *item = &crowd->values[member->index * ITEMS + i];
        *item = 1; /* written here, read by whoever receives: the channel orders the two */
        if (chan_send(crowd->chan, item)) atomic_fetch_add(&crowd->sent, 1);
    }
}

static void receive_all(void *arg)
{
    const struct member *member = arg;
    struct crowd *crowd = member->crowd;
    int *item;
    for (int turn = 0;; turn++) {
        item = turn % 3 == 0 ? chan_recv_for(crowd->chan, 5) : chan_recv(crowd->chan);
        if (!item && turn % 3 == 0) continue; /* nothing in time */
        if (!item) return;
        *item += 1;
        atomic_fetch_add(&crowd->received[item - crowd->values], 1);
    }
}

static void run_crowd(struct crowd *crowd, bool close_early)
{
    struct err err;
    struct thread sender[SENDERS] = {0}, receiver[RECEIVERS] = {0};
    struct member member[SENDERS + RECEIVERS];
    crowd->chan = chan_new(5);
    for (int i = 0; i < SENDERS + RECEIVERS; i++) {
        const bool sends = i < SENDERS;
        struct thread *thread = sends ? &sender[i] : &receiver[i - SENDERS];
        member[i] = (struct member){crowd, i};
        EXPECT_OK(thread_start(thread, "crowd", sends ? send_all : receive_all, &member[i], &err),
                  &err);
    }
    if (close_early) chan_close(crowd->chan);
    for (int i = 0; i < SENDERS; i++) thread_join(&sender[i]);
    chan_close(crowd->chan);
    for (int i = 0; i < RECEIVERS; i++) thread_join(&receiver[i]);
    chan_free(crowd->chan);
}

TEST(chan, every_item_arrives_once_between_many_threads)
{
    UNUSED_STATE;
    struct crowd *crowd = mem_new(sizeof *crowd);
    run_crowd(crowd, false);
    EXPECT_EQ(crowd->sent, SENDERS * ITEMS);
    for (int i = 0; i < SENDERS * ITEMS; i++) {
        EXPECT_EQ(crowd->received[i], 1);
        EXPECT_EQ(crowd->values[i], 2);
    }
    mem_free(crowd);
}

TEST(chan, closing_wakes_all_and_loses_nothing_taken)
{
    UNUSED_STATE;
    for (int round = 0; round < 20; round++) {
        struct crowd *crowd = mem_new(sizeof *crowd);
        int received = 0;
        run_crowd(crowd, true);
        for (int i = 0; i < SENDERS * ITEMS; i++) received += crowd->received[i];
        EXPECT_EQ(received, crowd->sent);
        mem_free(crowd);
    }
}

static bool is_raised(const struct wake *wake)
{
    struct pollfd pollfd = {.fd = wake->fd, .events = POLLIN};
    return poll(&pollfd, 1, 0) == 1;
}

TEST(wake, is_raised_until_cleared)
{
    UNUSED_STATE;
    struct wake wake;
    EXPECT_EQ(wake_open(&wake), 0);
    EXPECT(!is_raised(&wake));
    wake_raise(&wake);
    wake_raise(&wake);
    EXPECT(is_raised(&wake));
    wake_clear(&wake);
    EXPECT(!is_raised(&wake));
    wake_clear(&wake);
    wake_raise(&wake);
    EXPECT(is_raised(&wake));
    wake_close(&wake);
    wake_close(&wake);
}

struct bell {
    struct wake wake;
    atomic_bool over;
};

static void ring(void *arg)
{
    struct bell *bell = arg;
    while (!atomic_load(&bell->over)) wake_raise(&bell->wake);
}

TEST(wake, never_loses_a_raise_to_a_clear_beside_it)
{
    UNUSED_STATE;
    struct err err;
    struct bell bell = {0};
    struct thread thread[2] = {0};
    EXPECT_EQ(wake_open(&bell.wake), 0);
    for (int i = 0; i < 2; i++)
        EXPECT_OK(thread_start(&thread[i], "bell", ring, &bell, &err), &err);
    for (int i = 0; i < 20000; i++) {
        struct pollfd pollfd = {.fd = bell.wake.fd, .events = POLLIN};
        EXPECT_EQ(poll(&pollfd, 1, 10000), 1); /* raised for ever and quiet: would sleep to here */
        wake_clear(&bell.wake);
    }
    atomic_store(&bell.over, true);
    for (int i = 0; i < 2; i++) thread_join(&thread[i]);
    wake_close(&bell.wake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(chan, gives_back_in_order_and_refuses_when_full),
        RUN(chan, closed_channel_refuses_sends_and_drains),
        RUN(chan, closing_wakes_a_sender_that_nobody_serves),
        RUN(chan, closing_wakes_a_receiver_of_an_empty_channel),
        RUN(chan, every_item_arrives_once_between_many_threads),
        RUN(chan, closing_wakes_all_and_loses_nothing_taken),
        RUN(wake, is_raised_until_cleared),
        RUN(wake, never_loses_a_raise_to_a_clear_beside_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
