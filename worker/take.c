/* take.c - asking for tasks.
 *
 * One take is parked at the broker, with a credit for each free slot. It is replaced only when it
 * would miss something: slots of a class for which it has no credit, or a task that must run alone
 * when the worker has become idle. (More credits of a class that it has already are not worth a
 * message: its answer frees us to ask for the rest.) The answer to a replaced take may still be on
 * its way; its grants are as good as any, while there is room, and are handed back at once when
 * there is none. */
#include "common/base/check.h"
#include "common/base/log.h"
#include "worker/inside.h"

static struct take wanted(const struct worker *w)
{
    struct take take = {0};
    const struct slots busy = tasks_slots(w);
    if (!w->known || w->draining || w->leaving || busy.alone || disk_is_low(w->disk)) return take;
    const uint32_t room = TASKS_MAX - w->tasks_count;
    take.credits = w->options->slots - busy.batch;
    take.credits_interactive = w->options->interactive_slots - busy.interactive;
    if (take.credits > room) take.credits = room;
    if (take.credits_interactive > room - take.credits)
        take.credits_interactive = room - take.credits;
    take.idle = busy.batch + busy.interactive == 0;
    return take;
}

/* Keeps listening for the answer to a take that another one replaces. */
static void set_aside(struct takes *takes, struct link *link, int64_t now_ms)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < TAKES_OLD_MAX; i++) {
        if (!takes->old[i].request) {
            at = i;
            break;
        }
        if (takes->old[i].forget_at_ms < takes->old[at].forget_at_ms) at = i;
    }
    link_forget(link, takes->old[at].request);
    takes->old[at].request = takes->now.request;
    takes->old[at].forget_at_ms = now_ms + TAKE_OLD_MS;
    takes->now = (struct take){0};
}

static void forget_old(struct worker *w, int64_t now_ms)
{
    for (uint32_t i = 0; i < TAKES_OLD_MAX; i++) {
        if (!w->takes.old[i].request || w->takes.old[i].forget_at_ms > now_ms) continue;
        link_forget(w->link, w->takes.old[i].request);
        w->takes.old[i].request = 0;
    }
}

/* Whether the parked take would miss something that the wanted one would bring. */
static bool misses(const struct takes *takes, const struct take *take, int64_t now_ms)
{
    const struct take *now = &takes->now;
    if (take->credits && !now->credits) return true;
    if (take->credits_interactive && !now->credits_interactive) return true;
    return take->idle && !now->idle && now_ms >= takes->idle_since_ms + TAKE_IDLE_MS;
}

void take_step(struct worker *w, int64_t now_ms)
{
    struct takes *takes = &w->takes;
    struct err err;
    forget_old(w, now_ms);
    struct take take = wanted(w);
    if (!take.idle)
        takes->idle_since_ms = 0;
    else if (!takes->idle_since_ms)
        takes->idle_since_ms = now_ms;
    if (!take.credits && !take.credits_interactive) return;
    if (now_ms < takes->not_before_ms) return;
    if (takes->now.request) {
        if (!misses(takes, &take, now_ms)) return;
        set_aside(takes, w->link, now_ms);
    }
    Vlmq__Take message = VLMQ__TAKE__INIT;
    message.worker = w->id;
    message.credits = take.credits;
    message.credits_interactive = take.credits_interactive;
    message.idle = take.idle;
    if (worker_send(w, &take.request, VLMQ__TYPE__TAKE, &message.base, TAKE_TIMEOUT_MS,
                    ABOUT(ABOUT_TAKE, 0), &err)) {
        log_warn("take.unsent", "msg=%s", log_quote(err.msg));
        takes->not_before_ms = now_ms + TAKE_PAUSE_MS;
        return;
    }
    takes->now = take;
}

int64_t take_next_ms(const struct worker *w)
{
    int64_t next_ms = INT64_MAX;
    for (uint32_t i = 0; i < TAKES_OLD_MAX; i++)
        if (w->takes.old[i].request && w->takes.old[i].forget_at_ms < next_ms)
            next_ms = w->takes.old[i].forget_at_ms;
    if (w->takes.now.request && !w->takes.now.idle && w->takes.idle_since_ms &&
        w->takes.idle_since_ms + TAKE_IDLE_MS < next_ms)
        next_ms = w->takes.idle_since_ms + TAKE_IDLE_MS;
    if (!w->takes.now.request && w->takes.not_before_ms < next_ms) {
        const struct take take = wanted(w);
        if (take.credits || take.credits_interactive) next_ms = w->takes.not_before_ms;
    }
    return next_ms;
}

/* The request is answered; true: it was the parked one. */
static bool closed(struct takes *takes, uint64_t request)
{
    if (takes->now.request == request) {
        takes->now = (struct take){0};
        return true;
    }
    for (uint32_t i = 0; i < TAKES_OLD_MAX; i++)
        if (takes->old[i].request == request) takes->old[i].request = 0;
    return false;
}

void take_answered(struct worker *w, const struct link_event *event)
{
    const Vlmq__TakeAnswer *answer = (const Vlmq__TakeAnswer *)event->envelope.body;
    const bool current = closed(&w->takes, event->request_id);
    const int64_t now_ms = worker_now(w);
    /* The broker cannot have waited longer than we have; a wrong number must not lengthen leases.
     */
    int64_t counts_from_ms = event->sent_at_ms + (int64_t)answer->waited_ms;
    if (counts_from_ms > now_ms) counts_from_ms = event->sent_at_ms;
    for (size_t i = 0; i < answer->n_grants; i++) tasks_grant(w, answer->grants[i], counts_from_ms);
    if (current && !answer->n_grants) w->takes.not_before_ms = now_ms + TAKE_PAUSE_MS;
}

void take_failed(struct worker *w, const struct link_event *event)
{
    if (!closed(&w->takes, event->request_id)) return;
    w->takes.not_before_ms = worker_now(w) + TAKE_PAUSE_MS;
    if (event->err.code == ERR_NOT_FOUND) { /* a broker that does not know us */
        w->known = false;
        hello_hurry(w);
    } else if (event->err.code != ERR_TIMEOUT && event->err.code != ERR_UNAVAILABLE) {
        log_warn("take.refused", "code=%s msg=%s", err_name(event->err.code),
                 log_quote(event->err.msg));
        w->takes.not_before_ms += HELLO_MS / 10;
        hello_hurry(w);
    }
}

void take_moved(struct worker *w)
{
    /* The link sends open requests to the new broker in no certain order; one that is sent after
     * them is the last, and so the one that counts there. */
    if (w->takes.now.request) set_aside(&w->takes, w->link, worker_now(w));
    w->known = false;
}
