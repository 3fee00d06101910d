/* cuda_streams.c - streams that queue, events, and graphs; see cuda_emulated.h.
 *
 * A stream is a ring of works, numbered from 0 for as long as the process lives; what an event
 * holds is how many of a stream's works must be done. So nothing has to be kept for an event that
 * is recorded anew or destroyed, or for a stream that is gone. No two streams can wait for each
 * other: a wait is for work that was put before it. */
#include "tests/support/cuda_streams.h"

#include <stdlib.h>
#include <time.h>

#define STREAMS_MAX 16   /* at a time; the default stream is one more */
#define WORKS_MAX   1024 /* in a stream: about what a device takes before a launch blocks */

/* The first `number` works of a stream. */
struct mark {
    uint32_t stream;
    uint64_t number;
};

struct entry {
    struct emulated_work work;
    struct mark mark; /* if there is nothing to run: waits for it */
};

static struct queue {
    bool is_taken, is_early;
    uint64_t put, done; /* the next one taken goes on from here, so that old marks hold */
    struct entry entry[WORKS_MAX]; /* that of number n at n % WORKS_MAX */
} queues[STREAMS_MAX + 1];

#define DEFAULT_STREAM STREAMS_MAX

/* Blocks that nothing here points to, so that one that is not destroyed is a leak. */
struct cuda_emulated_stream {
    uint32_t number;
};

/* When a stream came to an event; the event and the work that tells it share it. */
struct stamp {
    uint32_t owners;
    struct timespec at;
};

struct cuda_emulated_event {
    struct mark mark;
    bool has_time;
    struct stamp *stamp; /* of the latest record, if it has time; NULL: none */
};

/* What a graph gives again; it, what was made of it and its launches that wait share the list. */
struct works {
    size_t owners, count, room;
    struct emulated_work *work;
};

struct cuda_emulated_graph {
    struct works *works;
};

struct cuda_emulated_exec {
    struct works *works;
};

static struct {
    cudaStream_t stream; /* NULL: nothing is recorded */
    struct works *works;
    bool is_spoilt;
} recording;
static uint64_t graphs;

static struct queue *queue_of(cudaStream_t stream)
{
    struct queue *queue = &queues[stream ? stream->number : DEFAULT_STREAM];
    if (!stream) queue->is_early = true;
    return queue;
}

static struct mark all_of(const struct queue *queue)
{
    return (struct mark){(uint32_t)(queue - queues), queue->put};
}

static bool is_done(struct mark mark)
{
    return queues[mark.stream].done >= mark.number;
}

/* The next that a stream has to do; NULL: nothing, or it waits for another stream. */
static struct entry *next_of(struct queue *queue)
{
    struct entry *next = &queue->entry[queue->done % WORKS_MAX];
    if (queue->done == queue->put || (!next->work.run && !is_done(next->mark))) return NULL;
    return next;
}

/* Takes it out; what is over must not look like a pointer to LeakSanitizer. */
static struct emulated_work take(struct queue *queue)
{
    struct entry *entry = &queue->entry[queue->done++ % WORKS_MAX];
    const struct emulated_work work = entry->work;
    *entry = (struct entry){0};
    return work;
}

static void do_next(struct queue *queue)
{
    const struct emulated_work work = take(queue);
    if (!work.run) return;
    if (work.call == CUDA_EMULATED_CALLS_COUNT || emulated_does(work.call)) work.run(work.argument);
    work.drop(work.argument);
}

/* Early streams do all that waits for nobody. */
static void go_ahead(void)
{
    bool has_run;
    do {
        has_run = false;
        for (size_t i = 0; i <= STREAMS_MAX; i++) {
            struct queue *queue = &queues[i];
            for (; queue->is_early && next_of(queue); has_run = true) do_next(queue);
        }
    } while (has_run);
}

/* One work, of this stream or of one that it waits for. It has some that is not done. */
static void step(struct queue *queue)
{
    while (!next_of(queue)) queue = &queues[queue->entry[queue->done % WORKS_MAX].mark.stream];
    do_next(queue);
    go_ahead();
}

static void wait_for(struct mark mark)
{
    while (!is_done(mark)) step(&queues[mark.stream]);
}

static void put(struct queue *queue, const struct entry *entry)
{
    while (queue->put - queue->done == WORKS_MAX) step(queue); /* the call waits for room */
    if (emulated_lost()) {
        if (entry->work.run) entry->work.drop(entry->work.argument);
        return;
    }
    queue->entry[queue->put++ % WORKS_MAX] = *entry;
    go_ahead();
}

void emulated_put(cudaStream_t stream, const struct emulated_work *work)
{
    put(queue_of(stream), &(struct entry){.work = *work});
}

void emulated_streams_wait(void)
{
    for (size_t i = 0; i <= STREAMS_MAX; i++) wait_for(all_of(&queues[i]));
}

void emulated_streams_lose(void)
{
    for (size_t i = 0; i <= STREAMS_MAX; i++) {
        while (queues[i].done < queues[i].put) {
            const struct emulated_work work = take(&queues[i]);
            if (work.run) work.drop(work.argument);
        }
    }
}

bool emulated_streams_need(const void *pinned)
{
    for (size_t i = 0; i <= STREAMS_MAX; i++)
        for (uint64_t n = queues[i].done; n < queues[i].put; n++)
            if (queues[i].entry[n % WORKS_MAX].work.pinned == pinned) return true;
    return false;
}

bool emulated_is_recorded(cudaStream_t stream)
{
    return recording.stream && recording.stream == stream;
}

cudaError_t emulated_spoil(void)
{
    if (!recording.stream) return cudaSuccess;
    recording.is_spoilt = true;
    return emulated_told(cudaErrorStreamCaptureUnsupported);
}

void cuda_emulated_put(cudaStream_t stream, void (*run)(void *argument),
                       void (*drop)(void *argument), void *argument)
{
    const struct emulated_work work = {CUDA_EMULATED_LAUNCH, run, drop, argument, NULL};
    if (!emulated_is_recorded(stream)) {
        emulated_put(stream, &work);
        return;
    }
    struct works *works = recording.works;
    if (works->count == works->room) {
        works->room = works->room ? 2 * works->room : 64;
        works->work = emulated_grown(works->work, works->room * sizeof *works->work);
    }
    works->work[works->count++] = work;
}

uint64_t cuda_emulated_graphs(void)
{
    return graphs;
}

/* Streams and events */

/* A bit of CUDA_EMULATED_EARLY for each. */
static bool is_early(uint32_t number)
{
    const char *text = getenv("CUDA_EMULATED_EARLY");
    return text && strtoul(text, NULL, 0) >> number & 1;
}

/* One that was destroyed does what it has. */
static bool is_free(const struct queue *queue)
{
    return !queue->is_taken && queue->done == queue->put;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    uint32_t number = 0;
    *stream = NULL;
    if (emulated_lost()) return emulated_lost();
    while (number < STREAMS_MAX && !is_free(&queues[number])) number++;
    if (number == STREAMS_MAX || flags != cudaStreamNonBlocking)
        emulated_end("16 streams at most, of cudaStreamNonBlocking");
    queues[number].is_taken = true;
    queues[number].is_early = is_early(number);
    *stream = emulated_grown(NULL, sizeof **stream);
    (*stream)->number = number;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    if (!stream) return emulated_told(cudaErrorInvalidValue);
    queue_of(stream)->is_taken = false;
    free(stream);
    return emulated_lost();
}

/* Who asks again and again gets on, a work at a time. */
static cudaError_t query(struct mark mark)
{
    if (!emulated_lost() && !is_done(mark)) {
        step(&queues[mark.stream]);
        return emulated_told(cudaErrorNotReady);
    }
    return emulated_lost();
}

static cudaError_t synchronize(struct mark mark)
{
    const cudaError_t error = emulated_begin(CUDA_EMULATED_SYNC);
    if (error) return error;
    wait_for(mark);
    return emulated_lost();
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    return emulated_is_recorded(stream) ? emulated_spoil() : query(all_of(queue_of(stream)));
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    return emulated_is_recorded(stream) ? emulated_spoil() : synchronize(all_of(queue_of(stream)));
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    (void)flags;
    if (emulated_lost()) return emulated_lost();
    if (emulated_is_recorded(stream)) return emulated_spoil();
    if (!is_done(event->mark)) put(queue_of(stream), &(struct entry){.mark = event->mark});
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    *event = NULL;
    if (emulated_lost()) return emulated_lost();
    *event = emulated_grown(NULL, sizeof **event);
    **event = (struct cuda_emulated_event){.has_time = !(flags & cudaEventDisableTiming)};
    return cudaSuccess;
}

static void stamp_now(void *argument)
{
    struct stamp *stamp = argument;
    if (clock_gettime(CLOCK_MONOTONIC, &stamp->at)) emulated_end("there is no clock");
}

static void stamp_drop(void *argument)
{
    struct stamp *stamp = argument;
    if (stamp && !--stamp->owners) free(stamp);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    stamp_drop(event->stamp);
    free(event);
    return emulated_lost();
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    if (emulated_lost()) return emulated_lost();
    if (emulated_is_recorded(stream)) return emulated_spoil();
    if (event->has_time) {
        stamp_drop(event->stamp);
        event->stamp = emulated_grown(NULL, sizeof *event->stamp);
        *event->stamp = (struct stamp){.owners = 2};
        emulated_put(stream, &(struct emulated_work){CUDA_EMULATED_CALLS_COUNT, stamp_now,
                                                     stamp_drop, event->stamp, NULL});
    }
    event->mark = all_of(queue_of(stream));
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    *ms = 0;
    if (emulated_lost()) return emulated_lost();
    if (!start->stamp || !end->stamp) return emulated_told(cudaErrorInvalidValue);
    if (!is_done(start->mark) || !is_done(end->mark)) return emulated_told(cudaErrorNotReady);
    *ms = (float)(end->stamp->at.tv_sec - start->stamp->at.tv_sec) * 1e3F +
          (float)(end->stamp->at.tv_nsec - start->stamp->at.tv_nsec) * 1e-6F;
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    return query(event->mark);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    return synchronize(event->mark);
}

/* Graphs */

static void disown(void *argument)
{
    struct works *works = argument;
    if (--works->owners) return;
    for (size_t i = 0; i < works->count; i++) works->work[i].drop(works->work[i].argument);
    free(works->work);
    free(works);
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    (void)mode;
    if (emulated_lost()) return emulated_lost();
    if (!stream || recording.stream) return emulated_told(cudaErrorStreamCaptureUnsupported);
    recording.stream = stream;
    recording.is_spoilt = false;
    recording.works = emulated_grown(NULL, sizeof *recording.works);
    *recording.works = (struct works){.owners = 1};
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    struct works *works = recording.works;
    *graph = NULL;
    if (!emulated_is_recorded(stream)) return emulated_told(cudaErrorInvalidValue);
    recording.stream = NULL;
    if (recording.is_spoilt || emulated_lost()) {
        disown(works);
        return emulated_lost() ? emulated_lost() : emulated_told(cudaErrorStreamCaptureInvalidated);
    }
    *graph = emulated_grown(NULL, sizeof **graph);
    (*graph)->works = works;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *exec, cudaGraph_t graph,
                                          unsigned long long flags)
{
    const cudaError_t error = emulated_begin(CUDA_EMULATED_GRAPH);
    (void)flags;
    *exec = NULL;
    if (error) return error;
    *exec = emulated_grown(NULL, sizeof **exec);
    (*exec)->works = graph->works;
    graph->works->owners++;
    return cudaSuccess;
}

static void run_graph(void *argument)
{
    const struct works *works = argument;
    for (size_t i = 0; i < works->count && emulated_does(works->work[i].call); i++)
        works->work[i].run(works->work[i].argument);
}

/* A kernel that is refused is the whole launch's error. */
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    if (emulated_lost()) return emulated_lost();
    if (emulated_is_recorded(stream)) return emulated_spoil();
    graphs++;
    for (size_t i = 0; i < exec->works->count; i++) {
        const cudaError_t error = emulated_begin(exec->works->work[i].call);
        if (error) return error;
    }
    exec->works->owners++;
    emulated_put(stream, &(struct emulated_work){CUDA_EMULATED_CALLS_COUNT, run_graph, disown,
                                                 exec->works, NULL});
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    disown(graph->works);
    free(graph);
    return emulated_lost();
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    disown(exec->works);
    free(exec);
    return emulated_lost();
}
