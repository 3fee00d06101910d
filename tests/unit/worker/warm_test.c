/* warm_test.c - what stays loaded between tasks: who owns it, when it is freed, what is told. */
#include "worker/warm.h"

#include "common/base/thread.h"
#include "tests/support/test.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* An object that counts how often it was freed. */
struct object {
    atomic_int freed;
};

static void free_it(void *object)
{
    atomic_fetch_add(&((struct object *)object)->freed, 1);
}

/* Takers are told apart by address alone. */
static const char one, two;

#define KEEP(warm, taker, key, model, object, bytes) \
    warm_keep(warm, taker, key, model, object, bytes, free_it)

TEST(warm, what_is_kept_is_taken_once_and_by_its_key)
{
    UNUSED_STATE;
    struct warm *warm = warm_new(100, NULL);
    struct object clip = {0};
    EXPECT(warm_take(warm, &one, "clip f32") == NULL);
    KEEP(warm, &one, "clip f32", "clip", &clip, 10);
    EXPECT(warm_take(warm, &two, "clip bf16") == NULL);
    EXPECT(warm_take(warm, &two, "clip f32") == &clip);
    EXPECT(warm_take(warm, &one, "clip f32") == NULL);
    KEEP(warm, &two, "clip f32", "clip", &clip, 10);
    EXPECT(warm_take(warm, &one, "clip f32") == &clip);
    KEEP(warm, &one, "clip f32", "clip", &clip, 10);
    EXPECT_EQ(clip.freed, 0);
    warm_free(warm);
    EXPECT_EQ(clip.freed, 1);
}

TEST(warm, two_loads_of_one_key_are_both_kept)
{
    UNUSED_STATE;
    struct warm *warm = warm_new(100, NULL);
    struct object a = {0}, b = {0};
    KEEP(warm, &one, "clip", "clip", &a, 10);
    KEEP(warm, &two, "clip", "clip", &b, 10);
    void *first = warm_take(warm, &one, "clip"), *second = warm_take(warm, &two, "clip");
    EXPECT(first && second && first != second);
    warm_ended(warm, &one);
    warm_ended(warm, &two);
    warm_free(warm);
    EXPECT_EQ(a.freed + b.freed, 0); /* what was out is its takers' */
}

TEST(warm, the_least_recently_used_make_room)
{
    UNUSED_STATE;
    struct warm *warm = warm_new(100, NULL);
    struct object object[4] = {{0}};
    KEEP(warm, &one, "0", "m0", &object[0], 40);
    KEEP(warm, &one, "1", "m1", &object[1], 40);
    EXPECT(warm_take(warm, &one, "0") == &object[0]);
    KEEP(warm, &one, "0", "m0", &object[0], 40);
    KEEP(warm, &one, "2", "m2", &object[2], 40); /* 1 was used longer ago than 0 */
    EXPECT_EQ(object[1].freed, 1);
    EXPECT_EQ(object[0].freed + object[2].freed, 0);
    KEEP(warm, &one, "3", "m3", &object[3], 101); /* fits never, and costs nobody its place */
    EXPECT_EQ(object[3].freed, 1);
    EXPECT_EQ(object[0].freed + object[2].freed, 0);
    warm_free(warm);
    for (int i = 0; i < 4; i++) EXPECT_EQ(object[i].freed, 1);
}

TEST(warm, what_is_out_does_not_count_until_it_is_back)
{
    UNUSED_STATE;
    struct warm *warm = warm_new(100, NULL);
    struct object a = {0}, b = {0};
    KEEP(warm, &one, "a", "a", &a, 80);
    EXPECT(warm_take(warm, &one, "a") == &a);
    KEEP(warm, &two, "b", "b", &b, 80);
    EXPECT_EQ(a.freed + b.freed, 0);
    KEEP(warm, &one, "a", "a", &a, 80);
    EXPECT_EQ(b.freed, 1);
    EXPECT_EQ(a.freed, 0);
    warm_free(warm);
    EXPECT_EQ(a.freed, 1);
}

TEST(warm, a_full_table_gives_up_the_oldest)
{
    UNUSED_STATE;
    struct warm *warm = warm_new(1000, NULL);
    struct object object[WARM_MAX + 1] = {{0}};
    char key[16];
    for (int i = 0; i <= WARM_MAX; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        KEEP(warm, &one, key, key, &object[i], 1);
    }
    EXPECT_EQ(object[0].freed, 1);
    for (int i = 1; i <= WARM_MAX; i++) EXPECT_EQ(object[i].freed, 0);
    for (int i = 1; i <= WARM_MAX; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        EXPECT(warm_take(warm, &one, key) == &object[i]);
    }
    KEEP(warm, &two, "more", "more", &object[0], 1); /* every place is that of something out */
    EXPECT_EQ(object[0].freed, 2);
    warm_ended(warm, &one);
    warm_free(warm);
    for (int i = 1; i <= WARM_MAX; i++) EXPECT_EQ(object[i].freed, 0);
}

TEST(warm, room_is_made_of_all_that_is_not_out)
{
    UNUSED_STATE;
    struct warm *warm = warm_new(100, NULL);
    struct object a = {0}, b = {0}, c = {0};
    EXPECT(!warm_drop(warm) && !warm_drop(NULL));
    KEEP(warm, &one, "a", "a", &a, 10);
    KEEP(warm, &one, "b", "b", &b, 10);
    KEEP(warm, &one, "c", "c", &c, 10);
    EXPECT(warm_take(warm, &two, "b") == &b);
    EXPECT(warm_drop(warm));
    EXPECT(a.freed == 1 && b.freed == 0 && c.freed == 1);
    EXPECT(!warm_drop(warm));
    KEEP(warm, &two, "b", "b", &b, 10);
    EXPECT(warm_take(warm, &one, "b") == &b); /* it keeps as before */
    KEEP(warm, &one, "b", "b", &b, 10);
    warm_free(warm);
    EXPECT_EQ(b.freed, 1);
}

TEST(warm, closed_it_keeps_nothing)
{
    UNUSED_STATE;
    struct warm *warm = warm_new(100, NULL);
    struct object a = {0}, b = {0}, c = {0};
    KEEP(warm, &one, "a", "a", &a, 1);
    KEEP(warm, &one, "b", "b", &b, 1);
    EXPECT(warm_take(warm, &one, "a") == &a);
    warm_close(warm);
    EXPECT_EQ(b.freed, 1);
    EXPECT_EQ(a.freed, 0); /* at work */
    EXPECT(warm_take(warm, &two, "b") == NULL);
    KEEP(warm, &one, "a", "a", &a, 1);
    KEEP(warm, &two, "c", "c", &c, 1);
    EXPECT_EQ(a.freed, 1);
    EXPECT_EQ(c.freed, 1);
    warm_ended(warm, &one);
    warm_free(warm);
    EXPECT_EQ(a.freed, 1);
    KEEP(NULL, &one, "c", "c", &c, 1); /* no store at all */
    EXPECT_EQ(c.freed, 2);
    EXPECT(warm_take(NULL, &one, "c") == NULL);
    warm_ended(NULL, &one);
}

TEST(warm, names_are_told_once_each_as_long_as_they_are_loaded)
{
    UNUSED_STATE;
    struct wake wake;
    struct arena arena;
    struct object a = {0}, b = {0}, c = {0};
    char *name[WARM_MAX], long_name[WARM_MODEL_BYTES_MAX + 2];
    EXPECT_EQ(wake_open(&wake), 0);
    arena_init(&arena, 0);
    struct warm *warm = warm_new(100, &wake);
    const uint32_t none = warm_version(warm);
    KEEP(warm, &one, "a", "clip", &a, 1);
    KEEP(warm, &one, "b", "clip", &b, 1);
    EXPECT(wake.raised);
    EXPECT(warm_version(warm) != none);
    EXPECT_EQ(warm_models(warm, &arena, name), 1);
    EXPECT_TEXT(name[0], "clip");
    const uint32_t version = warm_version(warm);
    wake_clear(&wake);
    EXPECT(warm_take(warm, &one, "a") == &a);
    EXPECT_EQ(warm_models(warm, &arena, name), 1); /* out, but loaded */
    KEEP(warm, &one, "a", "clip", &a, 1);
    EXPECT_EQ(warm_version(warm), version);
    EXPECT(!wake.raised);
    EXPECT(warm_take(warm, &one, "a") == &a && warm_take(warm, &one, "b") == &b);
    warm_ended(warm, &one);
    EXPECT(warm_version(warm) != version);
    EXPECT_EQ(warm_models(warm, &arena, name), 0);
    /* The broker would refuse a hello with such. */
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    KEEP(warm, &one, "a", "", &a, 1);
    KEEP(warm, &one, "b", "bell\a", &b, 1);
    KEEP(warm, &one, "c", "\xff", &c, 1);
    EXPECT_EQ(warm_models(warm, &arena, name), 0);
    KEEP(warm, &one, "d", long_name, &c, 1);
    EXPECT_EQ(warm_models(warm, &arena, name), 0);
    KEEP(warm, &one, "e", long_name + 1, &c, 1);
    EXPECT_EQ(warm_models(warm, &arena, name), 1);
    warm_free(warm);
    arena_deinit(&arena);
    wake_close(&wake);
}

/* Threads as of tasks: take or load, use, give back; an object that two have at once would show. */
#define THREADS 4
#define ROUNDS  2000

struct load {
    struct object object; /* first: it is what is kept */
    atomic_int users;
};

struct crowd {
    struct warm *warm;
    struct load *load;
    atomic_int loads, clashes;
};

struct member {
    struct crowd *crowd;
    struct thread thread;
};

static void work(void *arg)
{
    struct member *member = arg;
    struct crowd *crowd = member->crowd;
    for (int i = 0; i < ROUNDS; i++) {
        const char *key = i % 3 ? "even" : "odd";
        struct load *load = warm_take(crowd->warm, member, key);
        if (!load) load = &crowd->load[atomic_fetch_add(&crowd->loads, 1)];
        if (atomic_fetch_add(&load->users, 1) || load->object.freed)
            atomic_fetch_add(&crowd->clashes, 1);
        atomic_fetch_sub(&load->users, 1);
        KEEP(crowd->warm, member, key, key, load, 10);
        warm_ended(crowd->warm, member);
    }
}

TEST(warm, what_is_put_back_has_the_name_of_the_last_job)
{
    UNUSED_STATE;
    struct warm *warm = warm_new(100, NULL);
    struct object clip = {0};
    struct arena arena;
    char *name[WARM_MAX];
    arena_init(&arena, 0);
    KEEP(warm, &one, "clip", "openai/clip", &clip, 10);
    EXPECT(warm_take(warm, &two, "clip") == &clip);
    uint32_t before = warm_version(warm);
    KEEP(warm, &two, "clip", "/models/clip", &clip, 10);
    EXPECT(warm_version(warm) != before);
    EXPECT_EQ(warm_models(warm, &arena, name), 1);
    EXPECT_TEXT(name[0], "/models/clip");
    EXPECT(warm_take(warm, &one, "clip") == &clip);
    before = warm_version(warm);
    KEEP(warm, &one, "clip", "/models/clip", &clip, 10);
    EXPECT_EQ(warm_version(warm), before);
    arena_deinit(&arena);
    warm_free(warm);
    EXPECT_EQ(clip.freed, 1);
}

TEST(warm, many_threads_never_share_an_object_and_none_is_lost)
{
    UNUSED_STATE;
    struct crowd crowd = {.warm = warm_new(30, NULL)};
    struct member member[THREADS] = {{0}};
    struct err err;
    crowd.load = mem_new(sizeof *crowd.load * THREADS * ROUNDS);
    for (int i = 0; i < THREADS; i++) {
        member[i].crowd = &crowd;
        EXPECT_OK(thread_start(&member[i].thread, "member", work, &member[i], &err), &err);
    }
    for (int i = 0; i < THREADS; i++) thread_join(&member[i].thread);
    warm_free(crowd.warm);
    EXPECT_EQ(crowd.clashes, 0);
    for (int i = 0; i < crowd.loads; i++) EXPECT_EQ(crowd.load[i].object.freed, 1);
    mem_free(crowd.load);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(warm, what_is_kept_is_taken_once_and_by_its_key),
        RUN(warm, two_loads_of_one_key_are_both_kept),
        RUN(warm, the_least_recently_used_make_room),
        RUN(warm, what_is_out_does_not_count_until_it_is_back),
        RUN(warm, a_full_table_gives_up_the_oldest),
        RUN(warm, room_is_made_of_all_that_is_not_out),
        RUN(warm, closed_it_keeps_nothing),
        RUN(warm, names_are_told_once_each_as_long_as_they_are_loaded),
        RUN(warm, what_is_put_back_has_the_name_of_the_last_job),
        RUN(warm, many_threads_never_share_an_object_and_none_is_lost),
    };
    return cmocka_run_group_tests_name("warm", tests, NULL, NULL);
}
