/* pool.c - see pool.h.
 *
 * A helper that wakes after the tasks are all taken does not join: nobody waits for a thread that
 * the system has not run yet. */
#include "worker/nn/cpu/pool.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/thread.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

struct helper {
    struct cpu_pool *pool;
    struct thread thread;
    uint32_t number; /* 1 and on; the caller is 0 */
};

struct cpu_pool {
    uint32_t threads;
    atomic_uint_fast64_t next; /* task that nobody has taken; may pass the number of tasks */
    pthread_mutex_t mutex;
    pthread_cond_t start, done;
    /* Under the mutex. */
    uint64_t round; /* counts the calls of run */
    bool is_open;   /* helpers may still join this round */
    bool is_closing;
    uint32_t busy; /* helpers that joined and are not done */
    uint32_t tasks;
    cpu_task *run;
    void *arg;
    struct helper helper[];
};

static void work(struct cpu_pool *pool, uint32_t tasks, cpu_task *run, void *arg, uint32_t thread)
{
    for (;;) {
        const uint64_t task = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (task >= tasks) return;
        run(arg, (uint32_t)task, thread);
    }
}

static void help(void *arg)
{
    const struct helper *helper = arg;
    struct cpu_pool *pool = helper->pool;
    uint64_t seen = 0;
    CHECK(!pthread_mutex_lock(&pool->mutex));
    for (;;) {
        while (!pool->is_closing && (pool->round == seen || !pool->is_open))
            CHECK(!pthread_cond_wait(&pool->start, &pool->mutex));
        if (pool->is_closing) break;
        seen = pool->round;
        pool->busy++;
        const uint32_t tasks = pool->tasks;
        cpu_task *run = pool->run;
        void *task_arg = pool->arg;
        CHECK(!pthread_mutex_unlock(&pool->mutex));
        work(pool, tasks, run, task_arg, helper->number);
        CHECK(!pthread_mutex_lock(&pool->mutex));
        if (!--pool->busy) CHECK(!pthread_cond_signal(&pool->done));
    }
    CHECK(!pthread_mutex_unlock(&pool->mutex));
}

int cpu_pool_open(struct cpu_pool **out, uint32_t threads, struct err *err)
{
    CHECK(threads >= 1);
    *out = NULL;
    struct cpu_pool *pool = mem_new(sizeof *pool + (threads - 1) * sizeof pool->helper[0]);
    pool->threads = threads;
    CHECK(!pthread_mutex_init(&pool->mutex, NULL));
    CHECK(!pthread_cond_init(&pool->start, NULL));
    CHECK(!pthread_cond_init(&pool->done, NULL));
    for (uint32_t i = 0; i + 1 < threads; i++) {
        struct helper *helper = &pool->helper[i];
        char name[16];
        *helper = (struct helper){.pool = pool, .number = i + 1};
        (void)snprintf(name, sizeof name, "cpu-%u", i + 1);
        const int rc = thread_start(&helper->thread, name, help, helper, err);
        if (rc) {
            cpu_pool_close(pool);
            return rc;
        }
    }
    *out = pool;
    return 0;
}

void cpu_pool_close(struct cpu_pool *pool)
{
    if (!pool) return;
    CHECK(!pthread_mutex_lock(&pool->mutex));
    pool->is_closing = true;
    CHECK(!pthread_cond_broadcast(&pool->start));
    CHECK(!pthread_mutex_unlock(&pool->mutex));
    for (uint32_t i = 0; i + 1 < pool->threads; i++) thread_join(&pool->helper[i].thread);
    CHECK(!pthread_cond_destroy(&pool->done));
    CHECK(!pthread_cond_destroy(&pool->start));
    CHECK(!pthread_mutex_destroy(&pool->mutex));
    mem_free(pool);
}

uint32_t cpu_pool_threads(const struct cpu_pool *pool)
{
    return pool->threads;
}

void cpu_pool_run(struct cpu_pool *pool, uint32_t tasks, cpu_task *run, void *arg)
{
    if (tasks <= 1 || pool->threads == 1) {
        for (uint32_t task = 0; task < tasks; task++) run(arg, task, 0);
        return;
    }
    CHECK(!pthread_mutex_lock(&pool->mutex));
    pool->round++;
    pool->is_open = true;
    pool->tasks = tasks;
    pool->run = run;
    pool->arg = arg;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    if (tasks - 1 < pool->threads - 1)
        for (uint32_t i = 1; i < tasks; i++) CHECK(!pthread_cond_signal(&pool->start));
    else
        CHECK(!pthread_cond_broadcast(&pool->start));
    CHECK(!pthread_mutex_unlock(&pool->mutex));
    work(pool, tasks, run, arg, 0);
    CHECK(!pthread_mutex_lock(&pool->mutex));
    pool->is_open = false;
    while (pool->busy) CHECK(!pthread_cond_wait(&pool->done, &pool->mutex));
    CHECK(!pthread_mutex_unlock(&pool->mutex));
}
