/* probe.c - the probes by name. */
#include "tests/unit/nn/cpu/probe.h"

#include <string.h>

extern const struct probe probe_portable;
#ifdef __x86_64__
extern const struct probe probe_avx2, probe_avx512, probe_avx512bf16;
#elif defined(__aarch64__)
extern const struct probe probe_neon;
#endif

static const struct probe *const probes[] = {
    &probe_portable,
#ifdef __x86_64__
    &probe_avx2,
    &probe_avx512,
    &probe_avx512bf16,
#elif defined(__aarch64__)
    &probe_neon,
#endif
};

const struct probe *probe_named(const char *name)
{
    for (size_t i = 0; i < sizeof probes / sizeof *probes; i++)
        if (!strcmp(probes[i]->name, name)) return probes[i];
    return NULL;
}

const struct probe *probe_best(void)
{
    const struct probe *best = NULL;
    const struct cpu_kernels *set;
    bool is_usable;
    for (unsigned i = 0; (set = cpu_kernels_at(i, &is_usable)); i++)
        if (is_usable) best = probe_named(set->name);
    return best;
}
