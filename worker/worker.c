/* worker.c - the main thread's loop. */
#include "worker/worker.h"

#include "common/base/check.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "common/base/stop.h"
#include "common/base/str.h"
#include "common/base/thread.h"
#include "worker/inside.h"
#include "worker/nn/backend.h"
#include "worker/registry.h"

#include <string.h>
#include <unistd.h>

/* Opening. */

/* A device is opened by the jobs that need it; here only to say at once what is wrong with it. */
static int check_device(const char *device, struct err *err)
{
    struct backend *backend;
    if (str_eq(device, "cpu")) return 0;
    if (!str_eq(device, "cuda") && !str_has_prefix(device, "cuda:"))
        return err_set(err, ERR_INVALID, "--device %s: there are cpu and cuda:N", device);
    const int rc = backend_open(&backend, device, 0, err);
    if (rc) return err_wrap(err, "--device %.40s", device);
    backend_close(backend);
    return 0;
}

static int check_kinds(const struct conf_list *kinds, struct err *err)
{
    for (uint32_t i = 0; i < kinds->count; i++)
        if (!registry_find(kinds->item[i]))
            return err_set(err, ERR_INVALID, "--kinds: this build has no kind \"%.60s\"",
                           kinds->item[i]);
    return 0;
}

static int check_options(const struct worker_options *options, struct err *err)
{
    int rc = check_device(options->device, err);
    if (!rc) rc = check_kinds(&options->kinds, err);
    if (!rc && options->labels.count > LABELS_MAX)
        rc = err_set(err, ERR_INVALID, "--label: at most %d labels", LABELS_MAX);
    if (!rc && options->slots > SLOTS_MAX)
        rc = err_set(err, ERR_INVALID, "--slots: at most %d", SLOTS_MAX);
    if (!rc && options->interactive_slots > SLOTS_INTERACTIVE_MAX)
        rc = err_set(err, ERR_INVALID, "--interactive-slots: at most %d", SLOTS_INTERACTIVE_MAX);
    if (!rc && options->slots + options->interactive_slots == 0)
        rc = err_set(err, ERR_INVALID, "--slots 0 --interactive-slots 0: nothing would ever run");
    return rc;
}

static void name_host(struct worker *w, const char *name)
{
    if (name)
        (void)str_copy(w->host, sizeof w->host, name);
    else if (gethostname(w->host, sizeof w->host - 1))
        (void)str_copy(w->host, sizeof w->host, "unknown");
}

int worker_open(struct worker **out, const struct worker_options *options, struct err *err)
{
    int rc = check_options(options, err);
    if (rc) return rc;
    struct worker *w = mem_new(sizeof *w);
    const struct link_options link = {.brokers = options->brokers, .key_file = options->key_file};
    const uint32_t slots = options->slots ? options->slots : 1;
    w->options = options;
    w->clock = &clock_real;
    w->cpus = (uint32_t)thread_cpus();
    w->cpus_each = w->cpus > slots ? w->cpus / slots : 1;
    w->started_at_ms = w->clock->wall_ms(w->clock);
    w->said = chan_new(TASKS_MAX);
    w->crew = crew_new(TASKS_MAX);
    w->wake.fd = -1;
    w->warm = warm_new(options->model_bytes, &w->wake);
    arena_init(&w->scratch, SCRATCH_BYTES);
    name_host(w, options->name);
    id_worker(w->id, options->device);
    if (wake_open(&w->wake)) {
        rc = err_set(err, ERR_LIMIT, "no event descriptor is left");
        goto out;
    }
    stop_install(&w->wake);
    rc = disk_new(&w->disk, &w->wake, DISK_FREE_MIN, DISK_LOOK_MS, err);
    if (!rc) rc = link_open(&w->link, &link, err);
out:
    if (rc)
        (void)worker_close(w);
    else
        *out = w;
    return rc;
}

bool worker_close(struct worker *w)
{
    for (uint32_t i = 0; i < w->tasks_count; i++)
        if (w->task[i]->state == TASK_RUNNING) return false;
    while (w->tasks_count) tasks_forget(w, w->task[0]);
    crew_free(w->crew);
    warm_free(w->warm);
    link_close(w->link);
    disk_free(w->disk);
    stop_install(NULL);
    chan_close(w->said);
    chan_free(w->said);
    wake_close(&w->wake);
    arena_deinit(&w->scratch);
    mem_free(w);
    return true;
}

/* Help for the parts. */

int64_t worker_now(const struct worker *w)
{
    return w->clock->mono_ms(w->clock);
}

int worker_send(struct worker *w, uint64_t *request, Vlmq__Type type, const ProtobufCMessage *body,
                int64_t timeout_ms, uint64_t ctx, struct err *err)
{
    CHECK(timeout_ms > 0);
    const uint32_t timeout = timeout_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)timeout_ms;
    const int rc = link_send(w->link, request, type, body, timeout, ctx, err);
    arena_reset(&w->scratch);
    return rc ? err_wrap(err, "send %s", envelope_type_name(type)) : 0;
}

char *worker_text(struct worker *w, const char *text, size_t bytes, size_t bytes_max, bool keep_end)
{
    const char *clean = envelope_text(&w->scratch, text, bytes, bytes_max, keep_end);
    char *same; /* protobuf-c has no const; packing reads only */
    memcpy(&same, &clean, sizeof same);
    return same;
}

/* A kind's miscount must not make the message invalid that renews all leases. */
static int64_t count_of(int64_t value)
{
    return value < 0 ? 0 : value;
}

Vlmq__Progress *worker_progress(struct worker *w, const struct job_progress *progress)
{
    Vlmq__Progress *packed = arena_new(&w->scratch, sizeof *packed);
    vlmq__progress__init(packed);
    packed->items = count_of(progress->items);
    packed->items_ok = count_of(progress->items_ok);
    packed->bytes = count_of(progress->bytes);
    packed->stages = arena_new(&w->scratch, JOB_STAGES_MAX * sizeof(void *));
    for (uint32_t i = 0; i < progress->stages_count; i++) {
        if (!progress->stage[i].name || !*progress->stage[i].name) continue;
        Vlmq__Stage *stage = arena_new(&w->scratch, sizeof *stage);
        vlmq__stage__init(stage);
        memcpy(&stage->name, &progress->stage[i].name, sizeof stage->name); /* only read */
        stage->queued = progress->stage[i].queued;
        stage->finished = count_of(progress->stage[i].finished);
        stage->running = progress->stage[i].running;
        stage->full = progress->stage[i].full;
        packed->stages[packed->n_stages++] = stage;
    }
    return packed;
}

/* The loop. */

static void on_answer(struct worker *w, const struct link_event *event, bool *bye)
{
    const uint64_t key = event->ctx & ((1ull << 56) - 1);
    switch ((enum about)(event->ctx >> 56)) {
    case ABOUT_NOTHING:
        break;
    case ABOUT_HELLO:
        hello_answered(w, (const Vlmq__HelloAnswer *)event->envelope.body);
        break;
    case ABOUT_TAKE:
        take_answered(w, event);
        break;
    case ABOUT_RENEW:
        renew_answered(w, event);
        break;
    case ABOUT_ADD:
        tasks_add_answered(w, key, (const Vlmq__AddAnswer *)event->envelope.body);
        break;
    case ABOUT_REPORT:
        report_answered(w, key);
        break;
    case ABOUT_BYE:
        *bye = true;
        break;
    }
}

static void on_failure(struct worker *w, const struct link_event *event, bool *bye)
{
    const uint64_t key = event->ctx & ((1ull << 56) - 1);
    switch ((enum about)(event->ctx >> 56)) {
    case ABOUT_NOTHING:
        log_debug("grant.unreported", "msg=%s", log_quote(event->err.msg));
        break;
    case ABOUT_HELLO:
        hello_failed(w, &event->err);
        break;
    case ABOUT_TAKE:
        take_failed(w, event);
        break;
    case ABOUT_RENEW:
        renew_failed(w, event);
        break;
    case ABOUT_ADD:
        tasks_add_failed(w, key, &event->err);
        break;
    case ABOUT_REPORT:
        report_failed(w, key, &event->err);
        break;
    case ABOUT_BYE:
        *bye = true;
        break;
    }
}

/* Takes the next event; false: there was none. */
static bool listen_once(struct worker *w, int64_t wait_ms, bool *bye)
{
    struct link_event event;
    link_next(w->link, &event, &w->wake.fd, 1, wait_ms);
    switch (event.kind) {
    case LINK_NOTHING:
        return false;
    case LINK_ANSWER:
        on_answer(w, &event, bye);
        break;
    case LINK_FAILED:
        on_failure(w, &event, bye);
        break;
    case LINK_PUSH:
        if (event.envelope.type == VLMQ__TYPE__NOTICE)
            renew_notice(w, (const Vlmq__Notice *)event.envelope.body);
        break;
    case LINK_MOVED:
        log_info("worker.moved", "broker=%s", link_broker(w->link));
        take_moved(w);
        hello_hurry(w);
        renew_all(w);
        break;
    }
    return true;
}

/* Takes the next event, and those that have come with it. bye: set when the goodbye is answered, or
 * cannot be. */
static void listen(struct worker *w, int64_t wait_ms, bool *bye)
{
    for (uint32_t i = 0; i < EVENTS_MAX && listen_once(w, i ? 0 : wait_ms, bye); i++) continue;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Ms until something is due. */
static int64_t due_in_ms(const struct worker *w, int64_t renew_in_ms)
{
    int64_t due_ms = least(w->hello_at_ms, least(take_next_ms(w), leave_next_ms(w)));
    const int64_t now_ms = worker_now(w);
    due_ms = due_ms <= now_ms ? 0 : due_ms - now_ms;
    return renew_in_ms < 0 ? due_ms : least(due_ms, renew_in_ms);
}

static void say_goodbye(struct worker *w)
{
    const int64_t end_ms = worker_now(w) + BYE_MS;
    bool bye = !w->known;
    leave_bye(w);
    while (!bye && worker_now(w) < end_ms) {
        wake_clear(&w->wake);
        tasks_said(w);
        listen(w, end_ms - worker_now(w), &bye);
    }
}

enum worker_status worker_run(struct worker *w)
{
    bool bye = false;
    log_info("worker.start", "worker=%s device=%s slots=%u interactive_slots=%u", w->id,
             w->options->device, w->options->slots, w->options->interactive_slots);
    for (;;) {
        wake_clear(&w->wake);
        tasks_said(w);
        if (leave_step(w, worker_now(w))) break;
        hello_step(w, worker_now(w));
        const int64_t renew_in_ms = renew_step(w, worker_now(w));
        report_step(w);
        take_step(w, worker_now(w));
        listen(w, due_in_ms(w, renew_in_ms), &bye);
    }
    say_goodbye(w);
    log_info("worker.end", "worker=%s status=%d", w->id, (int)w->status);
    return w->status;
}
