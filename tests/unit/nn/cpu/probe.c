/* probe.c - the probes by name. */
#include "tests/unit/nn/cpu/probe.h"

#include <string.h>

extern const struct probe probe_portable, probe_emulated, probe_emulatedbf16;
#ifdef __x86_64__
extern const struct probe probe_avx2, probe_avx512, probe_avx512bf16;
#elif defined(__aarch64__)
extern const struct probe probe_neon;
#endif

static const struct probe *const probes[] = {
    &probe_portable, &probe_emulated, &probe_emulatedbf16,
#ifdef __x86_64__
    &probe_avx2,     &probe_avx512,   &probe_avx512bf16,
#elif defined(__aarch64__)
    &probe_neon,
#endif
};

extern const struct cpu_kernels cpu_kernels_emulated, cpu_kernels_emulatedbf16;

const struct cpu_kernels *probe_kernels_at(unsigned i)
{
    bool is_usable;
    const struct cpu_kernels *set;
    for (unsigned k = 0; (set = cpu_kernels_at(k, &is_usable)); k++)
        if (is_usable && !i--) return set;
    return i == 0 ? &cpu_kernels_emulated : i == 1 ? &cpu_kernels_emulatedbf16 : NULL;
}

const struct probe *probe_named(const char *name)
{
    for (size_t i = 0; i < sizeof probes / sizeof *probes; i++)
        if (!strcmp(probes[i]->name, name)) return probes[i];
    return NULL;
}

const struct probe *probe_best(void)
{
    static const struct probe *best; /* asking the processor is slow in a virtual machine */
    const struct cpu_kernels *set;
    if (best) return best;
    for (unsigned i = 0; (set = probe_kernels_at(i)); i++)
        if (strncmp(set->name, "emulated", 8) != 0) best = probe_named(set->name);
    return best;
}
