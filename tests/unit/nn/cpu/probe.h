/* probe.h - the operations of simd.h and math.h as functions over arrays, of each instruction set.
 *
 * probe_set.c is compiled once for each set, as the kernels are. */
#ifndef TESTS_NN_CPU_PROBE_H
#define TESTS_NN_CPU_PROBE_H

#include "worker/nn/backend.h"
#include "worker/nn/cpu/kernels.h"

#include <stddef.h>
#include <stdint.h>

/* Over 16 numbers; of the integer ones, as bits. Those that take fewer ignore the rest. */
struct probe_op {
    const char *name;
    void (*run)(float *out, const float *a, const float *b, const float *c);
};

struct probe {
    const char *name;
    const struct probe_op *ops; /* ends with a NULL name */
    void (*read_write)(void *out, enum dtype to, const void *in, enum dtype from, size_t count);
    void (*activate)(float *out, const float *in, size_t count, enum activation activation);
};

/* The kernels of this machine, portable ones first, then those of AVX-512 in plain C ("emulated",
 * and "emulatedbf16" with its product of bf16). NULL behind the last. */
const struct cpu_kernels *probe_kernels_at(unsigned i);
/* The probe of a set, by its name; NULL: none. */
const struct probe *probe_named(const char *name);
/* Of the best set that this machine has. */
const struct probe *probe_best(void);

#endif
