/* cuda_streams.h - what the files of the emulated CUDA runtime share; see cuda_emulated.h. */
#ifndef TESTS_SUPPORT_CUDA_STREAMS_H
#define TESTS_SUPPORT_CUDA_STREAMS_H

#include "tests/support/cuda_emulated.h"

/* Work of a stream: run, then drop; when the device is lost before its turn, only drop. */
struct emulated_work {
    enum cuda_emulated_call call; /* as which it fails; CUDA_EMULATED_CALLS_COUNT: it does not */
    void (*run)(void *argument);
    void (*drop)(void *argument); /* frees it */
    void *argument;
    const void *pinned; /* the block of host memory that it reads or writes, or NULL */
};

/* cuda_emulated.c: errors. Keeps one for cudaGetLastError, and returns it. */
cudaError_t emulated_told(cudaError_t error);
/* What a lost device gives to every call: its error, kept; or cudaSuccess. */
cudaError_t emulated_lost(void);
/* What a call of a kind gives before it does anything. */
cudaError_t emulated_begin(enum cuda_emulated_call call);
/* Whether the device does what it comes to now; else it is lost. */
bool emulated_does(enum cuda_emulated_call call);
/* For what is not emulated, or would be a fault that a device does not tell. */
_Noreturn void emulated_end(const char *sentence);
void *emulated_grown(void *data, size_t bytes); /* or ends the program */

/* cuda_streams.c: behind all that was put into the stream before. Not one that is recorded. */
void emulated_put(cudaStream_t stream, const struct emulated_work *work);
/* For calls that a recording does not survive. The first: of this stream. */
bool emulated_is_recorded(cudaStream_t stream);
cudaError_t emulated_spoil(void);
/* Waits for all streams; throws away what is in them; whether any of it needs the block. */
void emulated_streams_wait(void);
void emulated_streams_lose(void);
bool emulated_streams_need(const void *pinned);

#endif
