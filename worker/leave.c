/* leave.c - how a worker leaves.
 *
 *   drain       no more takes; tasks go on. At half of the time those left are asked to yield
 *   hand back   leases are given up with their last cursors, threads are told to stop, and what
 *               has not answered after HAND_BACK_MS is left behind
 *   goodbye     the broker forgets the worker */
#include "common/base/log.h"
#include "common/base/stop.h"
#include "worker/inside.h"

#include <inttypes.h>

void leave_drain(struct worker *w, const char *reason)
{
    if (w->draining) return;
    const int64_t now_ms = worker_now(w);
    w->draining = true;
    w->drain_soft_at_ms = now_ms + w->options->drain_ms / 2;
    w->drain_hard_at_ms = now_ms + w->options->drain_ms;
    log_info("worker.drain", "tasks=%" PRIu32 " drain_ms=%" PRId64 " msg=%s", w->tasks_count,
             w->options->drain_ms, log_quote(reason));
    hello_hurry(w);
    /* What has not begun need not wait for the device any longer. */
    for (uint32_t i = w->tasks_count; i > 0; i--)
        if (w->task[i - 1]->state == TASK_HELD) report_yield(w, w->task[i - 1], reason);
}

void leave_hand_back(struct worker *w, enum worker_status status, const char *reason)
{
    if (w->leaving && status <= w->status) return;
    const bool again = w->leaving;
    w->draining = w->leaving = true;
    w->status = status;
    if (again) return;
    w->leave_at_ms = worker_now(w) + HAND_BACK_MS;
    log_info("worker.leave", "tasks=%" PRIu32 " msg=%s", w->tasks_count, log_quote(reason));
    for (uint32_t i = w->tasks_count; i > 0; i--) {
        struct task *task = w->task[i - 1];
        if (task->state != TASK_ENDED && !task->handed_back) report_yield(w, task, reason);
    }
    tasks_stop_all(w, JOB_STOP_LOST);
}

bool leave_step(struct worker *w, int64_t now_ms)
{
    const int signals = stop_count();
    if (signals >= 1) leave_drain(w, "told by a signal");
    if (signals >= 2) leave_hand_back(w, WORKER_ABORTED, "told by a second signal");
    if (!w->draining) return false;
    if (w->tasks_count == 0) return true;
    if (w->leaving) return now_ms >= w->leave_at_ms;
    if (now_ms >= w->drain_hard_at_ms) {
        leave_hand_back(w, WORKER_DRAINED, "the time to drain is over");
    } else if (now_ms >= w->drain_soft_at_ms && !w->asked_to_yield) {
        w->asked_to_yield = true;
        tasks_stop_all(w, JOB_STOP_DRAIN);
    }
    return false;
}

int64_t leave_next_ms(const struct worker *w)
{
    if (!w->draining) return INT64_MAX;
    if (w->leaving) return w->leave_at_ms;
    return w->asked_to_yield ? w->drain_hard_at_ms : w->drain_soft_at_ms;
}

void leave_bye(struct worker *w)
{
    struct err err;
    Vlmq__Bye bye = VLMQ__BYE__INIT;
    if (!w->known) return;
    bye.worker = w->id;
    if (worker_send(w, NULL, VLMQ__TYPE__BYE, &bye.base, BYE_MS, ABOUT(ABOUT_BYE, 0), &err))
        log_warn("worker.bye", "msg=%s", log_quote(err.msg));
}
