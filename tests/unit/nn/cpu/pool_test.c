/* pool_test.c - every task once, on threads that are each at one task at a time; and dispatch. */
#include "worker/nn/cpu/pool.h"

#include "tests/support/test.h"
#include "worker/nn/backend.h"
#include "worker/nn/cpu/kernels.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define TASKS_MAX   1000
#define THREADS_MAX 5

struct seen {
    uint32_t times[TASKS_MAX]; /* not atomic: each task is one thread's */
    atomic_bool is_busy[THREADS_MAX];
    atomic_uint clashes;
    uint32_t threads;
};

static void task(void *arg, uint32_t number, uint32_t thread)
{
    struct seen *seen = arg;
    if (thread >= seen->threads || atomic_exchange(&seen->is_busy[thread], true))
        atomic_fetch_add(&seen->clashes, 1);
    seen->times[number]++;
    for (volatile int i = 0; i < 50; i++) (void)i;
    atomic_store(&seen->is_busy[thread], false);
}

TEST(pool, does_each_task_once)
{
    UNUSED_STATE;
    static const uint32_t counts[] = {0, 1, 2, 3, 7, 100, TASKS_MAX};
    for (uint32_t threads = 1; threads <= THREADS_MAX; threads++) {
        struct cpu_pool *pool;
        struct err err;
        EXPECT_OK(cpu_pool_open(&pool, threads, &err), &err);
        EXPECT_EQ(cpu_pool_threads(pool), threads);
        for (uint32_t round = 0; round < 140; round++) {
            const uint32_t tasks = counts[round % 7];
            static struct seen seen;
            memset(&seen, 0, sizeof seen);
            seen.threads = threads;
            cpu_pool_run(pool, tasks, task, &seen);
            for (uint32_t i = 0; i < TASKS_MAX; i++) EXPECT_EQ(seen.times[i], i < tasks);
            EXPECT_EQ(atomic_load(&seen.clashes), 0);
        }
        cpu_pool_close(pool);
    }
    cpu_pool_close(NULL);
}

static const struct cpu_kernels *dispatched(const char *wanted)
{
    const struct cpu_kernels *kernels = NULL;
    struct err err;
    EXPECT_EQ(setenv("VLMQ_CPU", wanted, 1), 0);
    EXPECT_OK(cpu_dispatch(&kernels, &err), &err);
    return kernels;
}

TEST(dispatch, takes_the_best_or_the_one_that_is_named)
{
    UNUSED_STATE;
    const struct cpu_kernels *set, *best = NULL;
    bool is_usable;
    for (unsigned i = 0; (set = cpu_kernels_at(i, &is_usable)); i++) {
        if (!is_usable) continue;
        best = set;
        EXPECT(dispatched(set->name) == set);
    }
    EXPECT(dispatched("") == best);
    EXPECT_EQ(unsetenv("VLMQ_CPU"), 0);
    struct err err;
    EXPECT_OK(cpu_dispatch(&set, &err), &err);
    EXPECT(set == best);
}

TEST(dispatch, refuses_what_is_not_there)
{
    UNUSED_STATE;
    const struct cpu_kernels *set, *kernels;
    bool is_usable;
    struct err err;
    EXPECT_EQ(setenv("VLMQ_CPU", "sse9", 1), 0);
    EXPECT_EQ(cpu_dispatch(&kernels, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "sse9") && strstr(err.msg, "portable"));
    for (unsigned i = 0; (set = cpu_kernels_at(i, &is_usable)); i++) {
        if (is_usable) continue;
        EXPECT_EQ(setenv("VLMQ_CPU", set->name, 1), 0);
        EXPECT_EQ(cpu_dispatch(&kernels, &err), ERR_INVALID);
        EXPECT(strstr(err.msg, set->name) && strstr(err.msg, "lacks"));
    }
    EXPECT_EQ(unsetenv("VLMQ_CPU"), 0);
}

TEST(backend, is_opened_by_name)
{
    UNUSED_STATE;
    struct backend *backend;
    struct err err;
    EXPECT_EQ(backend_open(&backend, "abacus", 1, &err), ERR_NOT_FOUND);
    EXPECT(strstr(err.msg, "abacus") && strstr(err.msg, "cpu"));
    EXPECT(!backend);
    EXPECT_EQ(backend_open(&backend, "cpux", 1, &err), ERR_NOT_FOUND);
    EXPECT_OK(backend_open(&backend, "cpu", 0, &err), &err);
    EXPECT(backend->threads >= 1 && backend->arithmetic);
    backend_close(backend);
    backend_close(NULL);
}

TEST(backend, keeps_its_first_error)
{
    UNUSED_STATE;
    struct backend *backend;
    struct err err;
    int data = 1, other = 2;
    EXPECT_OK(backend_open(&backend, "cpu", 1, &err), &err);
    int *memory = backend_alloc(backend, sizeof *memory);
    EXPECT(memory && (uintptr_t)memory % BACKEND_ALIGNMENT == 0);
    backend_write(backend, memory, &data, sizeof data);
    backend_read(backend, &other, memory, sizeof other);
    EXPECT_OK(backend_sync(backend, &err), &err);
    EXPECT_EQ(other, 1);
    backend_fail(backend, ERR_LIMIT, "first %d", 1);
    backend_fail(backend, ERR_CORRUPT, "second");
    data = 5;
    backend_write(backend, memory, &data, sizeof data);
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(backend_sync(backend, &err), ERR_LIMIT);
        EXPECT_TEXT(err.msg, "first 1");
    }
    EXPECT_EQ(*memory, 1);
    backend_free(backend, memory);
    backend_free(backend, NULL);
    void *large = backend_alloc(backend, (size_t)5 << 20);
    EXPECT(large);
    backend_free(backend, large);
    EXPECT(!backend_alloc(backend, SIZE_MAX / 2));
    backend_close(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(pool, does_each_task_once),
        RUN(dispatch, takes_the_best_or_the_one_that_is_named),
        RUN(dispatch, refuses_what_is_not_there),
        RUN(backend, is_opened_by_name),
        RUN(backend, keeps_its_first_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
