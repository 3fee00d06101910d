/* scratch.c - memory that an op works in, kept from one op to the next. */
#include "worker/nn/cpu/cpu.h"

#include <stdlib.h>

void *cpu_scratch(struct cpu_backend *cpu, size_t bytes)
{
    if (bytes <= cpu->scratch_bytes) return cpu->scratch;
    cpu_scratch_free(cpu);
    if (bytes <= SIZE_MAX - BACKEND_ALIGNMENT) {
        const size_t units = bytes / BACKEND_ALIGNMENT + 1;
        cpu->scratch = aligned_alloc(BACKEND_ALIGNMENT, units * BACKEND_ALIGNMENT);
    }
    if (cpu->scratch)
        cpu->scratch_bytes = bytes;
    else
        backend_fail(&cpu->base, ERR_LIMIT,
                     "an op needs %zu bytes to work in, and they are not"
                     " there",
                     bytes);
    return cpu->scratch;
}

void cpu_scratch_free(struct cpu_backend *cpu)
{
    free(cpu->scratch);
    cpu->scratch = NULL;
    cpu->scratch_bytes = 0;
}
