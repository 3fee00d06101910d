/* worker_fuzz.c - a worker between brokers that answer anything and kinds that do anything: it runs
 * to its end, in order, and everything that it says on the way is what it may say.
 *
 * Linked from here: the wire and the clock (fake_sock.h), the crew (a task's function runs when the
 * script says so, or when the script is over), the disk, the kinds and the signals. */
#include "common/base/log.h"
#include "common/base/stop.h"
#include "tests/fuzz/fake_sock.c"
#include "worker/inside.h"
#include "worker/registry.h"
#include "worker/worker.h"

#define SLOTS 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct {
    struct crew_work *work[TASKS_MAX];
    uint32_t works, running; /* that wait here; of which the worker thinks that they run */
    uint32_t signals;
    bool disk_low;
    uint32_t grants; /* functions called */
} world;

/* ---- worker/crew.h ---- */

struct crew {
    uint32_t max;
};

struct crew *crew_new(uint32_t threads_max)
{
    struct crew *crew = mem_new(sizeof *crew);
    crew->max = threads_max;
    return crew;
}

void crew_free(struct crew *crew)
{
    if (!crew) return;
    CHECK(world.running == 0 && world.works == 0);
    mem_free(crew);
}

int crew_run(struct crew *crew, struct crew_work *work, struct err *err)
{
    CHECK(world.running < crew->max && world.works < TASKS_MAX);
    if (fake.input.bytes && input_take(&fake.input, 1) == 0xff)
        return err_set(err, ERR_LIMIT, "no thread could be started");
    world.work[world.works++] = work;
    world.running++;
    return 0;
}

void crew_ended(struct crew *crew)
{
    CHECK(crew != NULL && world.running > 0);
    world.running--;
}

static void run_one(uint32_t choice)
{
    if (!world.works) return;
    const uint32_t at = choice % world.works;
    struct crew_work *work = world.work[at];
    world.work[at] = world.work[--world.works];
    work->run(work->arg);
}

/* ---- worker/disk.h ---- */

struct disk {
    char unused;
};

int disk_new(struct disk **disk, struct wake *wake, int64_t free_min, int64_t look_ms,
             struct err *err)
{
    (void)wake, (void)free_min, (void)look_ms, (void)err;
    *disk = mem_new(sizeof **disk);
    return 0;
}

void disk_free(struct disk *disk)
{
    mem_free(disk);
}

void disk_watch(struct disk *disk, const char *output)
{
    CHECK(disk != NULL && output != NULL);
}

void disk_full(struct disk *disk, const char *output)
{
    CHECK(disk != NULL && output != NULL);
    world.disk_low = true;
}

bool disk_is_low(const struct disk *disk)
{
    CHECK(disk != NULL);
    return world.disk_low;
}

/* ---- common/base/stop.h ---- */

void stop_install(struct wake *wake)
{
    (void)wake;
}

int stop_count(void)
{
    return (int)world.signals;
}

/* ---- worker/registry.h ---- */

static int kind_check(const uint8_t *spec, size_t bytes, struct err *err)
{
    CHECK(spec != NULL && spec[bytes] == 0);
    return bytes > 8 ? err_set(err, ERR_INVALID, "the spec is too long") : 0;
}

static void fill(struct job_env *env, struct job_result *result, uint32_t choice)
{
    static const struct job_new_task task = {.name = "t", .items = 1};
    const struct job_progress progress = {
        .items = (int64_t)choice - 8, .bytes = -1, .stages_count = 1};
    job_progress_set(env, &progress);
    result->progress = progress;
    if (choice & 1) job_checkpoint(env, "cursor", choice % 7);
    if (choice & 2) job_count(result, choice & 4 ? "Not a name" : "rows", choice);
    if (choice & 8) (void)str_copy(result->made, sizeof result->made, "made");
    if (choice & 16) {
        result->tasks = &task;
        result->tasks_count = 1;
    }
    result->device = (enum job_device)(choice / 32 % 3);
}

static int kind_run(struct job_env *env, struct job_result *result, struct err *err)
{
    const uint32_t choice = (uint32_t)input_take(&fake.input, 1);
    const uint32_t code = (uint32_t)input_take(&fake.input, 1);
    CHECK(env->payload.data[env->payload.bytes] == 0 && env->cursor.data[env->cursor.bytes] == 0);
    world.grants++;
    fill(env, result, choice);
    if (job_stopping(env)) return err_set(err, ERR_CANCELLED, "stopped");
    if (code % 2) return 0;
    return err_set(err, (enum err_code)(1 + code / 2 % (ERR_INTERNAL)), "\xff no text\x01");
}

static const struct job_kind probe = {"probe", 0, true, kind_check, kind_run, kind_run, NULL};
static const struct job_kind download = {"download", JOB_NEEDS_DEVICE, false,   kind_check,
                                         kind_run,   kind_run,         kind_run};

const struct job_kind *registry_find(const char *name)
{
    if (str_eq(name, "probe")) return &probe;
    return str_eq(name, "download") ? &download : NULL;
}

const struct job_kind *registry_at(uint32_t i)
{
    return i == 0 ? &probe : i == 1 ? &download : NULL;
}

/* ---- the script ---- */

static void step(uint32_t choice)
{
    if (choice % 4 < 2)
        run_one(choice / 4);
    else if (choice % 4 == 2)
        world.disk_low = choice & 4;
    else if (choice == 63)
        world.signals++;
}

/* When the script is over: tasks end, and the worker is told to leave. */
static void idle(uint32_t choice)
{
    (void)choice;
    while (world.works) run_one(0);
    if (!world.signals) world.signals = 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct worker *worker = NULL;
    struct err err;
    const struct worker_options options = {.brokers = "tcp://a:1, tcp://b:2",
                                           .device = "cpu",
                                           .name = "host",
                                           .slots = SLOTS,
                                           .interactive_slots = 1,
                                           .drain_ms = 5000,
                                           .ready_fd = -1};
    log_set_level(LOG_ERROR);
    memset(&world, 0, sizeof world);
    fake_begin(data, bytes);
    fake.step = step;
    fake.idle = idle;
    CHECK(worker_open(&worker, &options, &err) == 0);
    const enum worker_status status = worker_run(worker);
    CHECK(status == WORKER_DRAINED || status == WORKER_FAILED || status == WORKER_POISONED ||
          status == WORKER_ABORTED);
    idle(0);
    tasks_said(worker); /* what ended too late for it */
    CHECK(worker_close(worker));
    fake_end();
    return 0;
}
