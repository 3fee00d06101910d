/* crew_test.c - works that run side by side, one after another, and at the crew's end. */
#include "worker/crew.h"

#include "common/base/chan.h"
#include "common/base/mem.h"
#include "tests/support/test.h"

#include <pthread.h>

#define THREADS 4
#define WORKS   200

struct bench {
    struct crew *crew;
    struct chan *began, *go, *ended; /* of struct one * */
};

struct one {
    struct crew_work work;
    struct bench *bench;
    pthread_t thread;
};

/* Says that it runs, waits until it may end, and says that it ends. */
static void run(void *arg)
{
    struct one *one = arg;
    struct chan *ended = one->bench->ended;
    one->thread = pthread_self();
    EXPECT(chan_send(one->bench->began, one));
    EXPECT(chan_recv(one->bench->go) != NULL);
    EXPECT(chan_send(ended, one));
}

static void begin(struct bench *bench, struct one *one)
{
    struct err err;
    *one = (struct one){.work = {run, one}, .bench = bench};
    EXPECT_OK(crew_run(bench->crew, &one->work, &err), &err);
}

static void end(struct bench *bench)
{
    EXPECT(chan_recv(bench->ended) != NULL);
    crew_ended(bench->crew);
}

static void bench_open(struct bench *bench)
{
    bench->crew = crew_new(THREADS);
    bench->began = chan_new(THREADS);
    bench->go = chan_new(THREADS);
    bench->ended = chan_new(THREADS);
}

static void bench_close(struct bench *bench)
{
    crew_free(bench->crew);
    struct chan *const all[] = {bench->began, bench->go, bench->ended};
    for (int i = 0; i < 3; i++) {
        chan_close(all[i]);
        chan_free(all[i]);
    }
}

TEST(crew, works_run_side_by_side)
{
    UNUSED_STATE;
    struct bench bench;
    struct one one[THREADS];
    bench_open(&bench);
    for (int i = 0; i < THREADS; i++) begin(&bench, &one[i]);
    for (int i = 0; i < THREADS; i++) EXPECT(chan_recv(bench.began) != NULL);
    for (int i = 0; i < THREADS; i++)
        for (int k = 0; k < i; k++) EXPECT(!pthread_equal(one[i].thread, one[k].thread));
    for (int i = 0; i < THREADS; i++) EXPECT(chan_send(bench.go, &bench));
    for (int i = 0; i < THREADS; i++) end(&bench);
    bench_close(&bench);
}

TEST(crew, threads_are_kept)
{
    UNUSED_STATE;
    struct bench bench;
    struct one one;
    pthread_t first;
    bench_open(&bench);
    for (int i = 0; i < WORKS; i++) {
        begin(&bench, &one);
        EXPECT(chan_recv(bench.began) == &one);
        if (i == 0) first = one.thread;
        EXPECT(pthread_equal(one.thread, first));
        EXPECT(chan_send(bench.go, &bench));
        end(&bench);
    }
    bench_close(&bench);
}

TEST(crew, that_was_never_used_ends)
{
    UNUSED_STATE;
    crew_free(crew_new(1));
    crew_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(crew, works_run_side_by_side),
        RUN(crew, threads_are_kept),
        RUN(crew, that_was_never_used_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
