/* thread.c - starting and joining threads, and counting processors. */
#include "common/base/thread.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

struct start {
    void (*run)(void *arg);
    void *arg;
    char name[16];
};

static void *enter(void *arg)
{
    struct start start = *(struct start *)arg;
    mem_free(arg);
    (void)prctl(PR_SET_NAME, start.name);
    start.run(start.arg);
    return NULL;
}

int thread_start(struct thread *thread, const char *name, void (*run)(void *arg), void *arg,
                 struct err *err)
{
    CHECK(!thread->running);
    struct start *start = mem_new(sizeof *start);
    start->run = run;
    start->arg = arg;
    (void)str_copy(start->name, sizeof start->name, name);
    sigset_t all, old;
    CHECK(sigfillset(&all) == 0);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, &old) == 0); /* the new thread inherits it */
    const int rc = pthread_create(&thread->id, NULL, enter, start);
    CHECK(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
    if (rc) {
        mem_free(start);
        return err_errno(err, rc, "start thread %s", name);
    }
    thread->running = true;
    return 0;
}

void thread_join(struct thread *thread)
{
    if (!thread->running) return;
    CHECK(pthread_join(thread->id, NULL) == 0);
    thread->running = false;
}

/* Counts the processors of a list such as "0-3,8". */
static int list_count(const char *list)
{
    int count = 0;
    while (*list >= '0' && *list <= '9') {
        char *end;
        const int64_t first = strtoll(list, &end, 10);
        int64_t last = first;
        if (*end == '-') last = strtoll(end + 1, &end, 10);
        if (last >= first && last - first < 65536) count += (int)(last - first + 1);
        list = *end == ',' ? end + 1 : end;
    }
    return count;
}

/* The affinity mask as the kernel prints it; 0 when it cannot be read. */
static int cpus_allowed(void)
{
    static const char key[] = "Cpus_allowed_list:";
    FILE *file = fopen("/proc/self/status", "re");
    if (!file) return 0;
    char line[4096];
    int count = 0;
    while (!count && fgets(line, sizeof line, file)) {
        if (!str_has_prefix(line, key)) continue;
        const char *list = line + sizeof key - 1;
        count = list_count(list + strspn(list, " \t"));
    }
    (void)fclose(file);
    return count;
}

/* The quota of one cgroup folder in whole processors, rounded up; 0: none. */
static int quota_of(const char *folder)
{
    char path[4352];
    (void)snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", folder);
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    char line[64];
    int count = 0;
    if (fgets(line, sizeof line, file) && line[0] >= '0' && line[0] <= '9') {
        char *end;
        const int64_t quota = strtoll(line, &end, 10);
        const int64_t period = strtoll(end, NULL, 10);
        if (quota > 0 && period > 0 && quota / period < 65536)
            count = (int)((quota + period - 1) / period);
    }
    (void)fclose(file);
    return count;
}

/* The smallest quota between this process's cgroup and the root; 0: none. */
static int cpus_quota(void)
{
    char folder[4096] = "";
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (file) {
        char line[4096];
        while (fgets(line, sizeof line, file)) {
            if (!str_has_prefix(line, "0::/")) continue;
            line[strcspn(line, "\n")] = 0;
            (void)str_copy(folder, sizeof folder, line + 3);
        }
        (void)fclose(file);
    }
    int least = 0;
    for (;;) {
        const int count = quota_of(folder);
        if (count && (!least || count < least)) least = count;
        char *slash = strrchr(folder, '/');
        if (!slash) return least;
        *slash = 0;
    }
}

int thread_cpus(void)
{
    int count = cpus_allowed();
    if (count < 1) count = (int)sysconf(_SC_NPROCESSORS_ONLN);
    const int quota = cpus_quota();
    if (quota && quota < count) count = quota;
    return count < 1 ? 1 : count;
}
