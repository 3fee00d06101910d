/* hello.c - who we are. A broker that has not heard a hello gives no tasks. */
#include "common/base/log.h"
#include "common/base/str.h"
#include "worker/inside.h"
#include "worker/nn/backend.h"
#include "worker/registry.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* protobuf-c has no const; packing reads only. */
static char *borrowed(const char *text)
{
    char *same;
    memcpy(&same, &text, sizeof same);
    return same;
}

static bool kind_wanted(const struct worker *w, const char *name)
{
    const struct conf_list *kinds = &w->options->kinds;
    for (uint32_t i = 0; i < kinds->count; i++)
        if (str_eq(kinds->item[i], name)) return true;
    return kinds->count == 0;
}

static void fill_kinds(struct worker *w, Vlmq__WorkerInfo *info)
{
    uint32_t count = 0;
    while (registry_at(count)) count++;
    info->kinds = arena_new(&w->scratch, (count + 1) * sizeof info->kinds[0]);
    for (uint32_t i = 0; i < count; i++)
        if (kind_wanted(w, registry_at(i)->name))
            info->kinds[info->n_kinds++] = borrowed(registry_at(i)->name);
}

static void fill_labels(struct worker *w, Vlmq__WorkerInfo *info)
{
    const struct conf_list *labels = &w->options->labels;
    info->labels = arena_new(&w->scratch, (labels->count + 1) * sizeof info->labels[0]);
    for (uint32_t i = 0; i < labels->count; i++) info->labels[i] = borrowed(labels->item[i]);
    info->n_labels = labels->count;
}

static void fill_models(struct worker *w, Vlmq__WorkerInfo *info)
{
    info->models = arena_new(&w->scratch, WARM_MAX * sizeof info->models[0]);
    info->n_models = warm_models(w->warm, &w->scratch, info->models);
}

/* The memory of the cpu "device" is the machine's. Of a device that is lost, none is free. */
static void fill_memory(const struct worker *w, Vlmq__WorkerInfo *info)
{
    size_t free_bytes, bytes;
    struct err err;
    if (!str_eq(w->options->device, "cpu")) {
        const int rc = backend_memory(w->options->device, &free_bytes, &bytes, &err);
        info->device_bytes = rc ? 0 : (int64_t)bytes;
        info->device_bytes_free = rc ? 0 : (int64_t)free_bytes;
        return;
    }
    const int64_t page = sysconf(_SC_PAGESIZE);
    const int64_t all = sysconf(_SC_PHYS_PAGES), unused = sysconf(_SC_AVPHYS_PAGES);
    if (page > 0 && all > 0) info->device_bytes = all * page;
    if (page > 0 && unused > 0) info->device_bytes_free = unused * page;
}

/* Of the time since the last look, which is not too near. */
static void fill_use(struct worker *w, Vlmq__WorkerInfo *info, int64_t now_ms)
{
    const int64_t busy_ns = atomic_load(&w->use.busy_ns), items = atomic_load(&w->use.items);
    const int64_t span_ms = now_ms - w->used.at_ms;
    if (span_ms >= USE_SPAN_MS) {
        const int64_t percent = (busy_ns - w->used.busy_ns) / 10000 / span_ms;
        w->used.busy_percent = percent > 100 ? 100 : (uint32_t)percent;
        w->used.items_per_s = (uint32_t)((items - w->used.items) * 1000 / span_ms);
        w->used.at_ms = now_ms;
        w->used.busy_ns = busy_ns;
        w->used.items = items;
    }
    info->device_busy_percent = w->used.busy_percent;
    info->device_items_per_s = w->used.items_per_s;
}

static Vlmq__WorkerInfo *info_of(struct worker *w, int64_t now_ms)
{
    Vlmq__WorkerInfo *info = arena_new(&w->scratch, sizeof *info);
    const struct slots slots = tasks_slots(w);
    vlmq__worker_info__init(info);
    info->id = w->id;
    info->host = w->host;
    info->device = borrowed(w->options->device);
    info->program = borrowed(VLMQ_VERSION);
    info->slots = w->options->slots;
    info->slots_busy = slots.batch;
    info->draining = w->draining;
    info->started_at_ms = w->started_at_ms;
    info->tasks_done = w->tasks_done;
    info->tasks_failed = w->tasks_failed;
    fill_kinds(w, info);
    fill_labels(w, info);
    fill_models(w, info);
    fill_memory(w, info);
    fill_use(w, info, now_ms);
    return info;
}

void hello_hurry(struct worker *w)
{
    w->hello_at_ms = INT64_MIN;
}

void hello_step(struct worker *w, int64_t now_ms)
{
    struct err err;
    const uint32_t models = warm_version(w->warm); /* before the names: later ones are told again */
    /* While the broker does not know us, or a hello is open, the next one is in time. */
    if (models != w->models_told && w->known && !w->hello_request) hello_hurry(w);
    if (now_ms < w->hello_at_ms) return;
    w->models_told = models;
    Vlmq__Hello hello = VLMQ__HELLO__INIT;
    link_forget(w->link, w->hello_request);
    w->hello_at_ms = now_ms + HELLO_MS;
    hello.worker = info_of(w, now_ms);
    if (worker_send(w, &w->hello_request, VLMQ__TYPE__HELLO, &hello.base, HELLO_MS,
                    ABOUT(ABOUT_HELLO, 0), &err)) {
        w->hello_request = 0;
        log_error("worker.hello", "msg=%s", log_quote(err.msg));
    }
}

static void tell_ready(struct worker *w)
{
    char line[WORKER_ID_BYTES + 16];
    log_info("worker.ready", "worker=%s broker=%s", w->id, link_broker(w->link));
    w->told_ready = true;
    if (w->options->ready_fd < 0) return;
    (void)snprintf(line, sizeof line, "ready %s\n", w->id);
    if (write(w->options->ready_fd, line, strlen(line)) < 0)
        log_warn("worker.ready", "msg=%s", log_quote("nobody reads --ready-fd"));
    (void)close(w->options->ready_fd);
}

void hello_answered(struct worker *w, const Vlmq__HelloAnswer *answer)
{
    w->hello_request = 0;
    w->known = true;
    if (!w->told_ready) tell_ready(w);
    if (answer->drain) leave_drain(w, "asked by the broker");
}

void hello_failed(struct worker *w, const struct err *err)
{
    w->hello_request = 0;
    const bool refused =
        err->code == ERR_DENIED || err->code == ERR_VERSION || err->code == ERR_INVALID;
    if (!refused) {
        log_warn("worker.waiting", "broker=%s msg=%s", link_broker(w->link), log_quote(err->msg));
        w->hello_at_ms = worker_now(w) + HELLO_MS / 10;
        return;
    }
    log_error("worker.refused", "broker=%s code=%s msg=%s", link_broker(w->link),
              err_name(err->code), log_quote(err->msg));
    /* During a rolling upgrade a worker with leases finishes its work first. */
    if (!w->tasks_count) leave_hand_back(w, WORKER_FAILED, "refused by the broker");
}
