/* streams_test.c - the emulated runtime's streams are as late, or as early, as a device may be, so
 * that a wait that is missing is seen; and what the CUDA driver says with them is enough. */
#include "common/base/mem.h"
#include "tests/support/cuda_emulated.h"
#include "tests/support/test.h"
#include "worker/nn/ops.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifndef HAS_ASAN
#define HAS_ASAN 0
#endif

extern const struct backend_driver backend_cuda;

#define COUNT 4 /* numbers in a buffer */

/* Two streams, a buffer of the device and one of pinned memory for each. */
struct bench {
    cudaStream_t stream[2];
    cudaEvent_t event;
    int *data, *pinned[2];
};

static void set_early(unsigned streams)
{
    char text[16];
    snprintf(text, sizeof text, "%u", streams);
    EXPECT_EQ(setenv("CUDA_EMULATED_EARLY", text, 1), 0);
}

/* Data is full of zeros, pinned memory of ones and twos. */
static struct bench bench_new(unsigned early)
{
    struct bench bench;
    set_early(early);
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(cudaStreamCreateWithFlags(&bench.stream[i], cudaStreamNonBlocking), 0);
        EXPECT_EQ(cudaHostAlloc((void **)&bench.pinned[i], COUNT * sizeof(int), 0), 0);
        for (int n = 0; n < COUNT; n++) bench.pinned[i][n] = i + 1;
    }
    EXPECT_EQ(cudaEventCreateWithFlags(&bench.event, cudaEventDisableTiming), 0);
    EXPECT_EQ(cudaMalloc((void **)&bench.data, COUNT * sizeof(int)), 0);
    memset(bench.data, 0, COUNT * sizeof(int));
    return bench;
}

static void bench_free(struct bench *bench)
{
    EXPECT_EQ(cudaFree(bench->data), 0);
    EXPECT_EQ(cudaEventDestroy(bench->event), 0);
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(cudaStreamDestroy(bench->stream[i]), 0);
        EXPECT_EQ(cudaFreeHost(bench->pinned[i]), 0);
    }
    EXPECT_EQ(cudaGetLastError(), 0);
    EXPECT_EQ(unsetenv("CUDA_EMULATED_EARLY"), 0);
}

static void to_device(const struct bench *bench, int i)
{
    EXPECT_EQ(cudaMemcpyAsync(bench->data, bench->pinned[i], COUNT * sizeof(int),
                              cudaMemcpyHostToDevice, bench->stream[i]),
              0);
}

static void to_host(const struct bench *bench, int i)
{
    EXPECT_EQ(cudaMemcpyAsync(bench->pinned[i], bench->data, COUNT * sizeof(int),
                              cudaMemcpyDeviceToHost, bench->stream[i]),
              0);
}

TEST(streams, a_copy_is_done_when_it_is_waited_for)
{
    UNUSED_STATE;
    struct bench bench = bench_new(0);
    to_device(&bench, 0);
    EXPECT_EQ(bench.data[COUNT - 1], 0);
    EXPECT_EQ(cudaStreamSynchronize(bench.stream[1]), 0);
    EXPECT_EQ(bench.data[COUNT - 1], 0);
    EXPECT_EQ(cudaStreamSynchronize(bench.stream[0]), 0);
    EXPECT_EQ(bench.data[COUNT - 1], 1);
    bench_free(&bench);
}

/* What the second stream reads of that which the first one was to bring. */
static int read_through(bool waits)
{
    struct bench bench = bench_new(0);
    to_device(&bench, 0);
    EXPECT_EQ(cudaEventRecord(bench.event, bench.stream[0]), 0);
    if (waits) EXPECT_EQ(cudaStreamWaitEvent(bench.stream[1], bench.event, 0), 0);
    to_host(&bench, 1);
    EXPECT_EQ(cudaStreamSynchronize(bench.stream[1]), 0);
    const int got = bench.pinned[1][COUNT - 1];
    bench_free(&bench);
    return got;
}

TEST(streams, a_stream_that_does_not_wait_for_another_finds_what_was)
{
    UNUSED_STATE;
    EXPECT_EQ(read_through(true), 1);
    EXPECT_EQ(read_through(false), 0);
}

/* What the first stream reads, if the second one overwrites it early. */
static int read_before(bool waits)
{
    struct bench bench = bench_new(2);
    to_host(&bench, 0);
    EXPECT_EQ(cudaEventRecord(bench.event, bench.stream[0]), 0);
    if (waits) EXPECT_EQ(cudaStreamWaitEvent(bench.stream[1], bench.event, 0), 0);
    to_device(&bench, 1);
    EXPECT_EQ(cudaStreamSynchronize(bench.stream[0]), 0);
    EXPECT_EQ(bench.data[COUNT - 1], 2); /* it went on by itself */
    const int got = bench.pinned[0][COUNT - 1];
    bench_free(&bench);
    return got;
}

TEST(streams, an_early_one_overwrites_what_it_does_not_wait_for)
{
    UNUSED_STATE;
    EXPECT_EQ(read_before(true), 0);
    EXPECT_EQ(read_before(false), 2);
}

static int write_and_change(bool waits)
{
    struct bench bench = bench_new(0);
    to_device(&bench, 0);
    EXPECT_EQ(cudaEventRecord(bench.event, bench.stream[0]), 0);
    if (waits) EXPECT_EQ(cudaEventSynchronize(bench.event), 0);
    bench.pinned[0][COUNT - 1] = 7;
    EXPECT_EQ(cudaStreamSynchronize(bench.stream[0]), 0);
    const int got = bench.data[COUNT - 1];
    bench_free(&bench);
    return got;
}

TEST(streams, pinned_memory_that_changes_too_soon_gives_wrong_data)
{
    UNUSED_STATE;
    EXPECT_EQ(write_and_change(true), 1);
    EXPECT_EQ(write_and_change(false), 7);
}

/* A kernel: adds the number when it runs. */
struct sum {
    int *to;
    int number;
};

static void add(void *argument)
{
    const struct sum *sum = argument;
    *sum->to += sum->number;
}

static void put_sum(cudaStream_t stream, int *to, int number)
{
    struct sum *sum = mem_new(sizeof *sum);
    *sum = (struct sum){to, number};
    EXPECT_EQ(cuda_emulated_launch("add", 0, 1, 1, stream), 0);
    cuda_emulated_put(stream, add, mem_free, sum);
}

TEST(streams, an_event_is_what_was_put_before_its_record)
{
    UNUSED_STATE;
    struct bench bench = bench_new(0);
    EXPECT_EQ(cudaEventSynchronize(bench.event), 0); /* of nothing yet */
    EXPECT_EQ(cudaEventQuery(bench.event), 0);
    to_device(&bench, 0);
    EXPECT_EQ(cudaEventRecord(bench.event, bench.stream[0]), 0);
    EXPECT_EQ(cudaStreamWaitEvent(bench.stream[1], bench.event, 0), 0);
    EXPECT_EQ(cudaMemsetAsync(bench.data, 0, COUNT * sizeof(int), bench.stream[0]), 0);
    EXPECT_EQ(cudaEventRecord(bench.event, bench.stream[0]), 0); /* no other for who waits */
    put_sum(bench.stream[0], bench.data, 10);
    EXPECT_EQ(cudaStreamSynchronize(bench.stream[1]), 0);
    EXPECT_EQ(bench.data[0], 1);
    EXPECT_EQ(cudaEventSynchronize(bench.event), 0);
    EXPECT_EQ(bench.data[0], 0);
    bench_free(&bench);
}

TEST(streams, who_asks_again_gets_on)
{
    UNUSED_STATE;
    struct bench bench = bench_new(0);
    to_device(&bench, 0);
    EXPECT_EQ(cudaEventRecord(bench.event, bench.stream[0]), 0);
    EXPECT_EQ(cudaStreamWaitEvent(bench.stream[1], bench.event, 0), 0);
    EXPECT_EQ(cudaMemsetAsync(bench.data, 0, sizeof(int), bench.stream[1]), 0);
    EXPECT_EQ(cudaStreamQuery(bench.stream[1]), cudaErrorNotReady);
    EXPECT_EQ(cudaGetLastError(), cudaErrorNotReady);
    EXPECT_EQ(cudaEventQuery(bench.event), cudaSuccess);
    while (cudaStreamQuery(bench.stream[1])) (void)cudaGetLastError();
    EXPECT_EQ(bench.data[0], 0);
    bench_free(&bench);
}

TEST(streams, one_that_is_destroyed_does_what_it_has)
{
    UNUSED_STATE;
    struct bench bench = bench_new(0);
    to_device(&bench, 0);
    EXPECT_EQ(cudaEventRecord(bench.event, bench.stream[0]), 0);
    EXPECT_EQ(cudaStreamDestroy(bench.stream[0]), 0);
    EXPECT_EQ(bench.data[0], 0);
    EXPECT_EQ(cudaStreamCreateWithFlags(&bench.stream[0], cudaStreamNonBlocking), 0);
    EXPECT_EQ(cudaStreamSynchronize(bench.stream[0]), 0); /* which is another one */
    EXPECT_EQ(bench.data[0], 0);
    EXPECT_EQ(cudaStreamWaitEvent(bench.stream[0], bench.event, 0), 0);
    to_host(&bench, 0);
    EXPECT_EQ(cudaStreamSynchronize(bench.stream[0]), 0);
    EXPECT_EQ(bench.data[0], 1);
    bench_free(&bench);
}

TEST(streams, memory_is_freed_when_all_is_done)
{
    UNUSED_STATE;
    struct bench bench = bench_new(0);
    to_device(&bench, 1);
    EXPECT_EQ(cudaEventRecord(bench.event, bench.stream[1]), 0);
    EXPECT_EQ(cudaStreamWaitEvent(bench.stream[0], bench.event, 0), 0);
    to_host(&bench, 0);
    EXPECT_EQ(cudaFree(bench.data), 0);
    EXPECT_EQ(cudaEventQuery(bench.event), cudaSuccess);
    EXPECT_EQ(bench.pinned[0][0], 2);
    EXPECT_EQ(cudaFree(bench.data), cudaErrorInvalidValue);
    (void)cudaGetLastError();
    bench.data = NULL;
    bench_free(&bench);
}

TEST(streams, a_full_one_does_its_first)
{
    UNUSED_STATE;
    enum { MANY = 1500 };
    struct bench bench = bench_new(0);
    for (int i = 0; i < MANY; i++) put_sum(bench.stream[0], bench.data, 1);
    EXPECT(bench.data[0] > 0 && bench.data[0] < MANY);
    EXPECT_EQ(cudaStreamSynchronize(bench.stream[0]), 0);
    EXPECT_EQ(bench.data[0], MANY);
    bench_free(&bench);
}

TEST(streams, a_graph_waits_for_its_turn_and_outlives_its_handle)
{
    UNUSED_STATE;
    struct bench bench = bench_new(0);
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    EXPECT_EQ(cudaStreamBeginCapture(bench.stream[0], cudaStreamCaptureModeThreadLocal), 0);
    for (int i = 1; i <= 3; i++) put_sum(bench.stream[0], bench.data, i);
    to_device(&bench, 1); /* no part of it */
    EXPECT_EQ(cudaStreamEndCapture(bench.stream[0], &graph), 0);
    EXPECT_EQ(cudaGraphInstantiateWithFlags(&exec, graph, 0), 0);
    EXPECT_EQ(cudaGraphDestroy(graph), 0);
    EXPECT_EQ(cudaStreamSynchronize(bench.stream[1]), 0);
    for (int i = 0; i < 2; i++) EXPECT_EQ(cudaGraphLaunch(exec, bench.stream[0]), 0);
    EXPECT_EQ(cudaGraphExecDestroy(exec), 0);
    EXPECT_EQ(bench.data[0], 2);
    EXPECT_EQ(cudaStreamSynchronize(bench.stream[0]), 0);
    EXPECT_EQ(bench.data[0], 2 + 12);
    bench_free(&bench);
}

TEST(streams, events_and_copies_end_a_recording)
{
    UNUSED_STATE;
    struct bench bench = bench_new(0);
    for (int i = 0; i < 5; i++) {
        const cudaStream_t stream = bench.stream[0];
        cudaGraph_t graph;
        EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), 0);
        put_sum(stream, bench.data, 1);
        const cudaError_t error = i == 0   ? cudaEventRecord(bench.event, stream)
                                  : i == 1 ? cudaStreamWaitEvent(stream, bench.event, 0)
                                  : i == 2 ? cudaStreamQuery(stream)
                                  : i == 3 ? cudaStreamSynchronize(stream)
                                           : cudaMemsetAsync(bench.data, 1, 1, stream);
        EXPECT_EQ(error, cudaErrorStreamCaptureUnsupported);
        EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
        (void)cudaGetLastError();
    }
    EXPECT_EQ(cudaStreamSynchronize(bench.stream[0]), 0);
    EXPECT_EQ(bench.data[0], 0);
    bench_free(&bench);
}

TEST(streams, the_device_is_lost_where_it_comes_to_the_fault)
{
    UNUSED_STATE;
    static const enum cuda_emulated_call calls[] = {CUDA_EMULATED_COPY, CUDA_EMULATED_LAUNCH};
    for (int i = 0; i < 2; i++) {
        struct bench bench = bench_new(0);
        cuda_emulated_fail(calls[i], 1, cudaErrorIllegalAddress);
        to_device(&bench, 0);
        put_sum(bench.stream[0], bench.data, 10);
        to_device(&bench, 1);
        put_sum(bench.stream[0], bench.data, 10);
        to_device(&bench, 0);
        EXPECT_EQ(cudaGetLastError(), 0);
        EXPECT_EQ(cudaStreamSynchronize(bench.stream[0]), cudaErrorIllegalAddress);
        EXPECT_EQ(cudaStreamSynchronize(bench.stream[1]), cudaErrorIllegalAddress);
        EXPECT_EQ(cudaGetLastError(), cudaErrorIllegalAddress);
        cuda_emulated_fail(calls[i], -1, cudaSuccess);
        /* Nothing is left of what was lost. */
        EXPECT_EQ(cudaStreamSynchronize(bench.stream[1]), 0);
        EXPECT_EQ(bench.data[0], calls[i] == CUDA_EMULATED_COPY ? 21 : 11);
        bench_free(&bench);
    }
}

static void free_too_soon(struct bench *bench)
{
    to_device(bench, 0);
    (void)cudaFreeHost(bench->pinned[0]);
}

static void copy_pageable(struct bench *bench)
{
    int number = 7;
    (void)cudaMemcpyAsync(bench->data, &number, sizeof number, cudaMemcpyHostToDevice,
                          bench->stream[0]);
}

static void copy_from_freed(struct bench *bench)
{
    (void)cudaFree(bench->data);
    to_host(bench, 0);
}

static void make_blocking(struct bench *bench)
{
    (void)cudaStreamCreateWithFlags(&bench->stream[0], 0);
}

/* After work with all of it, which must leave nothing that points to it. */
static void use(struct bench *bench)
{
    to_device(bench, 0);
    to_host(bench, 1);
    (void)cudaEventRecord(bench->event, bench->stream[0]);
    (void)cudaStreamWaitEvent(bench->stream[1], bench->event, 0);
    for (int i = 0; i < 2; i++) (void)cudaStreamSynchronize(bench->stream[i]);
    memset(bench, 0, sizeof *bench);
}

static void leak(struct bench *bench)
{
    void (*volatile call)(struct bench *) = use; /* not inlined: no register keeps a pointer */
    call(bench);
    exit(0);
}

/* What a process that does so says before it fails; until the next call. */
static const char *said_of(void (*fault)(struct bench *bench))
{
    static char said[65536];
    size_t used = 0;
    int ends[2], status;
    memset(said, 0, sizeof said);
    fflush(NULL);
    EXPECT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        struct bench bench = bench_new(0);
        (void)signal(SIGABRT, SIG_DFL);
        fault(&bench);
        _exit(0);
    }
    EXPECT(child > 0);
    close(ends[1]);
    for (ssize_t got = 1; got > 0 && used < sizeof said - 1; used += (size_t)(got > 0 ? got : 0))
        got = read(ends[0], said + used, sizeof said - 1 - used);
    close(ends[0]);
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
    return said;
}

TEST(streams, what_no_device_would_bear_ends_the_program)
{
    UNUSED_STATE;
    EXPECT(strstr(said_of(free_too_soon), "cudaFreeHost of memory that a copy still needs"));
    EXPECT(strstr(said_of(copy_pageable), "a copy's host memory is not of cudaHostAlloc"));
    EXPECT(strstr(said_of(copy_from_freed), "a copy's device memory is not of cudaMalloc"));
    EXPECT(strstr(said_of(make_blocking), "of cudaStreamNonBlocking"));
}

TEST(streams, what_is_not_given_back_is_a_leak)
{
    UNUSED_STATE;
    if (!HAS_ASAN) return;
    const char *said = said_of(leak);
    EXPECT(strstr(said, "cudaStreamCreateWithFlags"));
    EXPECT(strstr(said, "cudaEventCreateWithFlags"));
    EXPECT(strstr(said, "cudaHostAlloc"));
    EXPECT(strstr(said, "cudaMalloc"));
}

TEST(streams, a_copy_that_leaves_its_memory_is_refused)
{
    UNUSED_STATE;
    struct bench bench = bench_new(0);
    const size_t row = sizeof(int);
    EXPECT_EQ(cudaMemcpyAsync(bench.data + 1, bench.pinned[0], COUNT * row, cudaMemcpyHostToDevice,
                              bench.stream[0]),
              cudaErrorInvalidValue);
    EXPECT_EQ(cudaMemcpy2DAsync(bench.data, 2 * row, bench.pinned[0], row, row, COUNT / 2 + 1,
                                cudaMemcpyHostToDevice, bench.stream[0]),
              cudaErrorInvalidValue);
    EXPECT_EQ(cudaMemsetAsync(bench.data, 1, COUNT * row + 1, bench.stream[0]),
              cudaErrorInvalidValue);
    (void)cudaGetLastError();
    EXPECT_EQ(cudaMemcpy2DAsync(bench.data, 2 * row, bench.pinned[0], row, row, COUNT / 2,
                                cudaMemcpyHostToDevice, bench.stream[0]),
              0);
    EXPECT_EQ(cudaStreamSynchronize(bench.stream[0]), 0);
    for (int i = 0; i < COUNT; i++) EXPECT_EQ(bench.data[i], i % 2 ? 0 : 1);
    bench_free(&bench);
}

/* The driver, with each of its streams late and early. */

#define DRIVER_STREAMS 3 /* at most */
#define SIDE           2 /* of a matrix */
#define NUMBERS        ((size_t)SIDE * SIDE)

static struct backend *backend_new(unsigned early)
{
    struct backend *backend = NULL;
    struct err err;
    set_early(early);
    EXPECT_OK(backend_cuda.open(&backend, "cuda:0", 0, &err), &err);
    return backend;
}

static struct tensor matrix(float *data)
{
    return tensor_over(data, DTYPE_F32, (int64_t[]){SIDE, SIDE}, 2);
}

static void copy_on_device(struct backend *backend, float *to, float *from)
{
    op_map(backend, &(struct op_map){matrix(from), matrix(to), ACTIVATION_NONE});
}

static void fill(float *numbers, float value)
{
    for (size_t i = 0; i < NUMBERS; i++) numbers[i] = value;
}

/* As a model is fed: what the next pass takes is written ahead while this one is under way, into
 * two buffers in turn. */
static void expect_in_turn(unsigned early)
{
    enum { PASSES = 11 };
    struct backend *backend = backend_new(early);
    float numbers[NUMBERS], got[PASSES][NUMBERS], *in[2];
    struct err err;
    for (int i = 0; i < 2; i++) in[i] = backend_alloc(backend, sizeof numbers);
    float *out = backend_alloc(backend, sizeof numbers);
    fill(numbers, 0);
    backend_write_ahead(backend, in[0], numbers, sizeof numbers);
    for (int pass = 0; pass < PASSES; pass++) {
        copy_on_device(backend, out, in[pass % 2]);
        fill(numbers, (float)pass + 1);
        backend_write_ahead(backend, in[(pass + 1) % 2], numbers, sizeof numbers);
        backend_read(backend, got[pass], out, sizeof numbers);
    }
    EXPECT_OK(backend_sync(backend, &err), &err);
    for (int pass = 0; pass < PASSES; pass++)
        for (size_t i = 0; i < NUMBERS; i++) EXPECT(got[pass][i] == (float)pass);
    for (int i = 0; i < 2; i++) backend_free(backend, in[i]);
    backend_free(backend, out);
    backend_close(backend);
}

TEST(driver, what_is_written_ahead_is_there_in_time_and_not_before)
{
    UNUSED_STATE;
    for (unsigned early = 0; early < 1u << DRIVER_STREAMS; early++) expect_in_turn(early);
}

/* Else it would be of no use. */
TEST(driver, a_write_ahead_does_not_wait_for_the_ops_under_way)
{
    UNUSED_STATE;
    struct backend *backend = backend_new(2); /* that of writes ahead */
    float numbers[NUMBERS], got[NUMBERS], *in[2];
    struct err err;
    for (int i = 0; i < 2; i++) in[i] = backend_alloc(backend, sizeof numbers);
    for (int i = 0; i < 2; i++) {
        fill(numbers, (float)i + 5);
        backend_write_ahead(backend, in[i], numbers, sizeof numbers);
        copy_on_device(backend, in[i], in[i]);
        EXPECT(in[i][NUMBERS - 1] == (float)i + 5); /* the device's memory, which is the host's */
    }
    backend_read(backend, got, in[1], sizeof got);
    EXPECT_OK(backend_sync(backend, &err), &err);
    EXPECT(got[0] == 6);
    for (int i = 0; i < 2; i++) backend_free(backend, in[i]);
    backend_close(backend);
}

/* Each into the place of the one before, so that they must be handed over in order, whichever slot
 * is the first; and more of them than there are slots. */
TEST(driver, what_is_read_later_is_what_stays)
{
    UNUSED_STATE;
    for (unsigned early = 0; early < 1u << DRIVER_STREAMS; early++) {
        struct backend *backend = backend_new(early);
        uint32_t *data = backend_alloc(backend, sizeof *data), got = 0;
        struct err err;
        for (uint32_t reads = 1; reads <= 11; reads++) {
            for (uint32_t i = 1; i <= reads; i++) {
                const uint32_t number = 100 * reads + i;
                backend_write(backend, data, &number, sizeof number);
                for (int twice = 0; twice < 2; twice++)
                    backend_read(backend, &got, data, sizeof got);
            }
            EXPECT_OK(backend_sync(backend, &err), &err);
            EXPECT_EQ(got, 101 * reads);
        }
        backend_free(backend, data);
        backend_close(backend);
    }
}

/* Of both kinds, many more than there are slots, and nobody waits before the end. */
TEST(driver, sources_may_change_when_a_write_returns)
{
    UNUSED_STATE;
    enum { WRITES = 23 };
    for (unsigned early = 0; early < 1u << DRIVER_STREAMS; early++) {
        struct backend *backend = backend_new(early);
        uint32_t *data = backend_alloc(backend, 2 * WRITES * sizeof *data), got[2 * WRITES];
        struct err err;
        for (uint32_t i = 0; i < WRITES; i++) {
            uint32_t number = i;
            backend_write(backend, &data[i], &number, sizeof number);
            number = WRITES + i;
            backend_write_ahead(backend, &data[number], &number, sizeof number);
        }
        backend_read(backend, got, data, sizeof got);
        EXPECT_OK(backend_sync(backend, &err), &err);
        for (uint32_t i = 0; i < 2 * WRITES; i++) EXPECT_EQ(got[i], i);
        backend_free(backend, data);
        backend_close(backend);
    }
}

/* Of what was read, the slots must not keep where it went. */
TEST(driver, what_was_handed_over_is_left_alone)
{
    UNUSED_STATE;
    for (unsigned early = 0; early < 1u << DRIVER_STREAMS; early++) {
        struct backend *backend = backend_new(early);
        uint32_t *data = backend_alloc(backend, sizeof *data), got[5], number = 7;
        struct err err;
        backend_write(backend, data, &number, sizeof number);
        for (uint32_t i = 0; i < 5; i++) backend_read(backend, &got[i], data, sizeof *data);
        EXPECT_OK(backend_sync(backend, &err), &err);
        for (uint32_t i = 0; i < 5; i++) EXPECT_EQ(got[i], 7);
        for (number = 8; number < 20; number++)
            backend_write(backend, data, &number, sizeof number);
        EXPECT_OK(backend_sync(backend, &err), &err);
        for (uint32_t i = 0; i < 5; i++) EXPECT_EQ(got[i], 7);
        backend_free(backend, data);
        backend_close(backend);
    }
}

/* Pinned memory is freed there. */
TEST(driver, closing_waits_for_what_is_under_way)
{
    UNUSED_STATE;
    for (unsigned early = 0; early < 1u << DRIVER_STREAMS; early++)
        for (int is_ahead = 0; is_ahead < 2; is_ahead++) {
            struct backend *backend = backend_new(early);
            uint32_t *data = backend_alloc(backend, sizeof *data), number = 7;
            if (is_ahead)
                backend_write_ahead(backend, data, &number, sizeof number);
            else
                backend_write(backend, data, &number, sizeof number);
            backend_close(backend);
            EXPECT_EQ(*data, 7);
            EXPECT_EQ(cudaFree(data), cudaSuccess); /* as backend_free would have waited too */
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(streams, a_copy_is_done_when_it_is_waited_for),
        RUN(streams, a_stream_that_does_not_wait_for_another_finds_what_was),
        RUN(streams, an_early_one_overwrites_what_it_does_not_wait_for),
        RUN(streams, pinned_memory_that_changes_too_soon_gives_wrong_data),
        RUN(streams, an_event_is_what_was_put_before_its_record),
        RUN(streams, who_asks_again_gets_on),
        RUN(streams, one_that_is_destroyed_does_what_it_has),
        RUN(streams, memory_is_freed_when_all_is_done),
        RUN(streams, a_full_one_does_its_first),
        RUN(streams, a_graph_waits_for_its_turn_and_outlives_its_handle),
        RUN(streams, events_and_copies_end_a_recording),
        RUN(streams, the_device_is_lost_where_it_comes_to_the_fault),
        RUN(streams, what_no_device_would_bear_ends_the_program),
        RUN(streams, what_is_not_given_back_is_a_leak),
        RUN(streams, a_copy_that_leaves_its_memory_is_refused),
        RUN(driver, what_is_written_ahead_is_there_in_time_and_not_before),
        RUN(driver, a_write_ahead_does_not_wait_for_the_ops_under_way),
        RUN(driver, what_is_read_later_is_what_stays),
        RUN(driver, sources_may_change_when_a_write_returns),
        RUN(driver, what_was_handed_over_is_left_alone),
        RUN(driver, closing_waits_for_what_is_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
