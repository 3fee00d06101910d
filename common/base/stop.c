/* stop.c - the signal flags: the only state that a handler touches. */
#include "common/base/stop.h"

#include "common/base/check.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>

static atomic_int count;
static _Atomic(struct wake *) raised;

static void on_signal(int number)
{
    (void)number;
    atomic_fetch_add(&count, 1);
    struct wake *wake = atomic_load(&raised);
    if (wake) wake_raise(wake);
}

void stop_install(struct wake *wake)
{
    atomic_store(&raised, wake);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    CHECK(sigemptyset(&action.sa_mask) == 0);
    CHECK(sigaction(SIGTERM, &action, NULL) == 0);
    CHECK(sigaction(SIGINT, &action, NULL) == 0);
    action.sa_handler = SIG_IGN;
    CHECK(sigaction(SIGPIPE, &action, NULL) == 0);
}

int stop_count(void)
{
    return atomic_load(&count);
}
