/* differential.h - the same random steps on the Redis functions and on the model, and what differs.
 *
 * A step is one call, one jump of the clock or one crash of the server. It names what it means by
 * number ("the second lease of task 5"), so that it still means something when steps before it are
 * dropped. A script is an array of steps; running it from an empty Redis always gives the same. */
#ifndef TESTS_STATE_DIFFERENTIAL_H
#define TESTS_STATE_DIFFERENTIAL_H

#include "common/base/rng.h"
#include "tests/state/queue_model.h"
#include "tests/support/redis_server.h"

#define SLOTS     6 /* jobs, submitted and purged again and again */
#define WORKERS   5
#define BATCH_MAX 32 /* calls of one commit */
#define BATCH_RUNS \
    16 /* runs of functions in one commit: so far back redis.c looks for one to join */
#define TEXT_MAX 64

enum step_kind { STEP_CALL, STEP_CLOCK, STEP_CRASH };

struct step {
    enum step_kind kind;
    enum state_op op;
    uint32_t serial; /* names the leases of a take; repeats have the same */
    uint32_t slot, worker;
    uint32_t task, lease; /* that lease of that task, counted back from the newest */
    uint32_t count;       /* tasks wanted or added, rows, counters */
    uint32_t more;        /* tasks added by a DONE */
    int32_t at;           /* offset or position, ahead of the one that is right now */
    uint32_t kind_of;     /* a text, a state, a blame: by operation */
    uint32_t chance;      /* seeds names, payloads, numbers */
    int32_t priority;     /* PRIORITY, SUBMIT */
    bool flag[4];         /* by operation */
    int64_t ms;           /* CLOCK: how far; REAP: until */
    char text[TEXT_MAX];  /* a page, a position */
};

struct script {
    struct step *step;
    uint32_t count, room;
};

void script_add(struct script *script, const struct step *step);
void script_deinit(struct script *script);

/* --- differential_step.c: what a step means ------------------------------------------------- */

/* Leases that a task was given, so that steps can name them. */
struct lease_list {
    char (*lease)[LEASE_ID_BYTES];
    uint32_t count, room;
};

struct leases {
    struct lease_list *task[SLOTS];
    uint32_t room[SLOTS];
};

void leases_add(struct leases *leases, uint32_t slot, uint32_t task, const char *lease);
uint32_t leases_count(const struct leases *leases, uint32_t slot, uint32_t task);
void leases_deinit(struct leases *leases);

const char *slot_id(uint32_t slot);
const char *worker_name(uint32_t worker);
/* What a step needs to know to mean something. */
struct world {
    const struct queue_model *model;
    const struct leases *leases;
    int64_t now_ms;
};

/* The offset (of an ADD or DONE) or position (of a CHAIN) that is right now. */
uint32_t step_base(const struct step *step, const struct world *world);
/* The call of a step; everything it points to is in the arena. */
void step_call(struct state_call *call, const struct step *step, const struct world *world,
               struct arena *arena);
/* One readable line. */
void step_print(const struct step *step, struct buf *out);
/* A task's digest is in nothing but its number and a variant. */
void step_digest(uint8_t digest[32], uint32_t slot, uint32_t task, uint32_t variant);

/* --- differential_random.c: steps by chance ------------------------------------------------- */

#define RECENT 64

struct generator {
    struct rng rng;
    uint32_t serial;
    struct recent { /* leases that steps are likely to be about */
        uint32_t slot, task, lease;
    } recent[RECENT];
    uint32_t recent_count;
    struct step submitted[SLOTS];  /* the last submission */
    uint32_t took[SLOTS][WORKERS]; /* serial of the last take */
    struct past {                  /* to be repeated, with what its numbers were counted from */
        struct step step;
        uint32_t leases, base;
    } past[256];
    uint32_t past_count;
    uint32_t reaps; /* that are likely now */
    bool crashes;
};

void generator_init(struct generator *generator, uint64_t seed, bool crashes);
/* The next step, for the model as it stands. */
void generator_next(struct step *step, struct generator *generator, const struct world *world);
/* Tells what a take gave. */
void generator_given(struct generator *generator, uint32_t slot, uint32_t task, uint32_t lease);

/* --- differential_redis.c: the functions, with a clock that the test sets --------------------- */

struct fault { /* a text of the library, and what is put in its place; NULL: none */
    const char *text, *instead;
};

struct real {
    struct redis_server server;
    struct state *state;
    struct redisContext *redis; /* beside it, for the clock and the dumps */
    struct queue_limits limits;
    struct fault fault;
};

void real_open(struct real *real, const struct queue_limits *limits, const struct fault *fault);
void real_close(struct real *real);
void real_crash(struct real *real);
void real_flush(struct real *real);
void real_clock(struct real *real, int64_t now_ms);
/* As queue_model_dump; id NULL: the fleet. */
void real_dump(struct real *real, const char *id, struct buf *out);

/* --- differential_reply.c: what a call gave, as text ------------------------------------------ */

void reply_print(const struct state_call *call, struct buf *out);
/* Lines of one that the other does not have at the same place among the others. */
void difference_print(const char *redis, const char *model, struct buf *out);

/* --- differential_run.c: a script on both ---------------------------------------------------- */

struct runner {
    struct real real;
    struct queue_model *model;
    struct leases leases;
    struct arena arena;
    int64_t now_ms;
    uint32_t done;          /* steps of the script */
    uint32_t compare_every; /* steps; 0: at the end only */
    struct buf difference;  /* empty: none so far */
    struct met {            /* how often, so that a test can tell that it tests something */
        uint32_t good[STATE_DRAIN + 1], refused[STATE_DRAIN + 1];
        uint32_t job[VLMQ__JOB_STATE__JOB_CANCELLED + 1];
        uint32_t task[VLMQ__TASK_STATE__TASK_CANCELLED + 1];
        uint32_t alone, lost, shared, crashes;
    } met;
};

void runner_open(struct runner *runner, const struct queue_limits *limits,
                 const struct fault *fault);
void runner_close(struct runner *runner);
/* From an empty Redis. */
void runner_reset(struct runner *runner);
/* Runs steps from the generator, which it appends to the script, or (NULL) those in the script.
 * True: no difference; else runner->difference says it, and the script ends with the batch that
 * showed it. */
bool runner_run(struct runner *runner, struct generator *generator, struct script *script,
                uint32_t count);

/* --- differential_shrink.c -------------------------------------------------------------------- */

/* Drops steps as long as there is a difference; runner->difference is then the one that is left.
 * Returns how many runs it took. */
uint32_t script_shrink(struct runner *runner, struct script *script);
void script_print(const struct script *script, struct buf *out);

#endif
