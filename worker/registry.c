/* registry.c - one line of proto/jobs.def is one kind. */
#include "worker/registry.h"

#include "common/base/str.h"

#define JOB(kind) extern const struct job_kind job_##kind;
#include "proto/jobs.def"
#undef JOB

static const struct job_kind *const kinds[] = {
#define JOB(kind) &job_##kind,
#include "proto/jobs.def"
#undef JOB
};

#define KINDS_COUNT (sizeof kinds / sizeof kinds[0])

const struct job_kind *registry_at(uint32_t i)
{
    return i < KINDS_COUNT ? kinds[i] : NULL;
}

const struct job_kind *registry_find(const char *name)
{
    for (uint32_t i = 0; i < KINDS_COUNT; i++)
        if (str_eq(kinds[i]->name, name)) return kinds[i];
    return NULL;
}
