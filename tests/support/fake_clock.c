/* fake_clock.c - a library to preload into a program whose wall clock a test sets.
 *
 * FAKE_CLOCK names a file of one int64_t in the machine's byte order: seconds that are added to
 * the real time from now on. The file is mapped, so a test that writes to it moves the clock at
 * once. The monotonic clock stays as it is. (libfaketime does not start under jemalloc.) */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead_s; /* NULL: not yet mapped */

/* Without it the test would show nothing, so the program must not start. */
static void refuse(const char *why)
{
    (void)fprintf(stderr, "fake_clock: %s\n", why);
    _exit(127);
}

__attribute__((constructor)) static void map_clock(void)
{
    const char *path = getenv("FAKE_CLOCK");
    if (!path) refuse("FAKE_CLOCK is not set");
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) refuse("the file of FAKE_CLOCK cannot be opened");
    void *page = mmap(NULL, sizeof *ahead_s, PROT_READ, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (page == MAP_FAILED) refuse("the file of FAKE_CLOCK cannot be mapped");
    ahead_s = page;
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    const int rc = (int)syscall(SYS_clock_gettime, clock, out);
    const int is_wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
    if (!rc && is_wall && ahead_s) out->tv_sec += *ahead_s;
    return rc;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    *out = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = (suseconds_t)(now.tv_nsec / 1000)};
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
