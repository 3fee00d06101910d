/* scratch.c - memory that an op works in, kept from one op to the next. */
#include "worker/nn/cpu/cpu.h"

void *cpu_scratch(struct cpu_backend *cpu, size_t bytes)
{
    if (bytes > cpu->scratch_bytes) {
        cpu_scratch_free(cpu);
        cpu->scratch = backend_alloc(&cpu->base, bytes);
        cpu->scratch_bytes = cpu->scratch ? bytes : 0;
    }
    if (!cpu->scratch)
        backend_fail(&cpu->base, ERR_LIMIT, "no memory for %zu bytes that an op works in", bytes);
    return cpu->scratch;
}

void cpu_scratch_free(struct cpu_backend *cpu)
{
    backend_free(&cpu->base, cpu->scratch);
    cpu->scratch = NULL;
    cpu->scratch_bytes = 0;
}
