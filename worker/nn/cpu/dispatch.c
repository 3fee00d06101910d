/* dispatch.c - which kernels this machine can run, by what its processor says of itself. */
#include "common/base/check.h"
#include "worker/nn/cpu/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const struct cpu_kernels cpu_kernels_portable;

static bool has_all(void)
{
    return true;
}

#ifdef __x86_64__
#include <cpuid.h>

extern const struct cpu_kernels cpu_kernels_avx2, cpu_kernels_avx512, cpu_kernels_avx512bf16;

/* The compiler's library asks CPUID, and XGETBV for what the system keeps of the registers. */
static bool has_avx2(void)
{
    unsigned a, b, c, d;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C); /* clang 14 knows no name for it */
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni");
}

static bool has_avx512bf16(void)
{
    return has_avx512() && __builtin_cpu_supports("avx512bf16");
}
#elif defined(__aarch64__)
extern const struct cpu_kernels cpu_kernels_neon;
#endif

static const struct {
    const struct cpu_kernels *kernels;
    bool (*is_usable)(void);
} sets[] = {
    {&cpu_kernels_portable, has_all},
#ifdef __x86_64__
    {&cpu_kernels_avx2, has_avx2},
    {&cpu_kernels_avx512, has_avx512},
    {&cpu_kernels_avx512bf16, has_avx512bf16},
#elif defined(__aarch64__)
    {&cpu_kernels_neon, has_all},
#endif
};
#define SETS_COUNT (sizeof sets / sizeof *sets)

const struct cpu_kernels *cpu_kernels_at(unsigned i, bool *is_usable)
{
    if (i >= SETS_COUNT) return NULL;
    if (is_usable) *is_usable = sets[i].is_usable();
    return sets[i].kernels;
}

/* "portable, avx2": all that this machine can run. */
static void names_of(char *dst, size_t dst_bytes)
{
    size_t used = 0;
    for (size_t i = 0; i < SETS_COUNT; i++) {
        if (!sets[i].is_usable()) continue;
        const int count =
            snprintf(dst + used, dst_bytes - used, "%s%s", used ? ", " : "", sets[i].kernels->name);
        CHECK(count > 0 && (size_t)count < dst_bytes - used);
        used += (size_t)count;
    }
}

int cpu_dispatch(const struct cpu_kernels **kernels, struct err *err)
{
    const char *wanted = getenv("VLMQ_CPU");
    char names[128];
    for (size_t i = SETS_COUNT; i-- > 0;) {
        if (wanted && *wanted && strcmp(wanted, sets[i].kernels->name) != 0) continue;
        if (sets[i].is_usable()) {
            *kernels = sets[i].kernels;
            return 0;
        }
        if (!wanted || !*wanted) continue;
        names_of(names, sizeof names);
        return err_set(err, ERR_INVALID,
                       "VLMQ_CPU=%s: this machine's processor lacks these instructions; it has %s",
                       wanted, names);
    }
    names_of(names, sizeof names);
    return err_set(err, ERR_INVALID,
                   "VLMQ_CPU=%.40s: there are no such instructions; this machine has %s", wanted,
                   names);
}
