/* crew.c - a channel of work and the threads that wait at it.
 *
 * There are never fewer threads than works under way, so whatever is in the channel is begun as
 * soon as its thread has returned from the one before. */
#include "worker/crew.h"

#include "common/base/chan.h"
#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/thread.h"

struct crew {
    struct chan *work; /* of struct crew_work * */
    struct thread *thread;
    uint32_t threads, threads_max;
    uint32_t busy; /* works that the owner has not seen the end of */
};

static void serve(void *arg)
{
    struct chan *chan = arg;
    struct crew_work *work;
    while ((work = chan_recv(chan))) work->run(work->arg);
}

struct crew *crew_new(uint32_t threads_max)
{
    struct crew *crew = mem_new(sizeof *crew);
    crew->work = chan_new(threads_max);
    crew->thread = mem_new(threads_max * sizeof *crew->thread);
    crew->threads_max = threads_max;
    return crew;
}

void crew_free(struct crew *crew)
{
    if (!crew) return;
    CHECK(crew->busy == 0);
    chan_close(crew->work);
    for (uint32_t i = 0; i < crew->threads; i++) thread_join(&crew->thread[i]);
    chan_free(crew->work);
    mem_free(crew->thread);
    mem_free(crew);
}

int crew_run(struct crew *crew, struct crew_work *work, struct err *err)
{
    CHECK(crew->busy < crew->threads_max);
    if (crew->busy == crew->threads) {
        const int rc = thread_start(&crew->thread[crew->threads], "task", serve, crew->work, err);
        if (rc) return rc;
        crew->threads++;
    }
    crew->busy++;
    CHECK(chan_try_send(crew->work, work)); /* has room for every work under way */
    return 0;
}

void crew_ended(struct crew *crew)
{
    CHECK(crew->busy > 0);
    crew->busy--;
}
