/* model.h - one job of one task as a small machine of states, small enough to look at all of them.
 *
 * Two workers, a client, Redis with what it has in memory and what it has on disk, the output's
 * folder, and the messages on their way. The steps are the rules of the queue (docs/state.md,
 * docs/protocol.md section 8, common/store/attempt.c) and what may go wrong: a lease ends at any
 * time, which is any pause and any clock; a worker dies between any two steps and comes back; a
 * message comes late, twice or not at all; Redis falls back once to its last fsync.
 *
 * There is no clock: what may happen later may happen now. So a late answer is a worker that pauses
 * before its next step, and a repeated request is one that is delivered twice.
 *
 * Not in it: sums and progress, backoff's length, dead tasks (attempts are not counted here, so a
 * task is tried for ever), cancelling, chains. tests/state plays those on the real functions. */
#ifndef TESTS_MODEL_MODEL_H
#define TESTS_MODEL_MODEL_H

#include <stdbool.h>
#include <stdint.h>

/* Each rule can be taken away; model_rules says in which function of the product it lives. */
enum rule {
    RULE_DONE_LEASE,    /* DONE counts only from the holder of the lease */
    RULE_FAIL_LEASE,    /* so FAIL, */
    RULE_YIELD_LEASE,   /* YIELD */
    RULE_RENEW_LEASE,   /* and RENEW */
    RULE_TAKE_READY,    /* TAKE leases what is ready, nothing else */
    RULE_LEASE_RANDOM,  /* a lease's id is chance; else a counter that Redis keeps */
    RULE_COMMIT_FIRST,  /* DONE is said after the commit */
    RULE_CREATE_ABSENT, /* the manifest is created only if it is absent */
    RULE_ADOPT,         /* who finds a manifest adopts it */
    RULE_ROLL_FORWARD,  /* who finds publishing undone does it */
    RULE_OWN_FILES,     /* before publishing, an attempt removes no files but its own */
    RULE_KEEP_FILES,    /* and not those either while a manifest may name them */
    RULE_DONE_REPEAT,   /* a repeated DONE is recognised */
    RULE_SUBMIT_REPEAT, /* and a repeated SUBMIT: the client made the job's id */
    RULE_CLOSE_LAST,    /* the job closes after its task is done, never before */
    RULE_SWEEP,         /* and its closing task removes what crashed attempts have left */
    RULE_SYNCED_ANSWER, /* Redis answers after its fsync: appendfsync always; else everysec */
    RULES_COUNT
};

struct rule_info {
    const char *name;          /* what the rule says */
    const char *file, *symbol; /* where the product keeps it */
};
extern const struct rule_info model_rules[RULES_COUNT];

/* What must hold; in the order in which the tests name them. */
enum property {
    HOLDS,
    NO_REPLACED_OUTPUT, /* the committed manifest never changes */
    NO_LOST_FILES,      /* the files that a manifest names are private and whole, or published */
    NO_EMPTY_DONE,      /* the task is done only with the output that is committed */
    NO_STOLEN_LEASE,    /* an attempt is ended by itself or by the reaper */
    NO_REVIVED_LEASE,   /* RENEW is answered OK only to the lease in force */
    NO_SECOND_LEASE,    /* a leased task is not leased again */
    NO_SHARED_ID,       /* two attempts that live have two ids */
    NO_DOUBLE_COUNT,    /* the task is counted as done once */
    NO_SECOND_JOB,      /* one submission is one job */
    NO_EARLY_CLOSE,     /* a closed job's task is done */
    NO_LOST_JOB,        /* an accepted job stays */
    NO_UNDONE,          /* a job that was reported done stays done */
    NO_UNPUBLISHED,     /* a closed job's output stands under its public name */
    NO_LEFT_FILES,      /* and when all have come to rest, no private files are left */
    NO_TRAP,            /* from everywhere the job can still end */
    PROPERTIES_COUNT
};
extern const char *const model_properties[PROPERTIES_COUNT]; /* what has happened if not */

#define RULES_ALL    ((1u << RULES_COUNT) - 1)
#define LEASES       4 /* ids 1 to 4; one that nothing refers to any more is used again */
#define WORKERS      2
#define MODEL_STEPS  64 /* more than any state has */
#define PROMISES_ALL ((1u << PROPERTIES_COUNT) - 1)

enum job_state { JOB_NONE, JOB_OPEN, JOB_CLOSED };
enum task_state { TASK_READY, TASK_LEASED, TASK_WAITING, TASK_DONE };
enum client_state { CLIENT_NEW, CLIENT_SENT, CLIENT_HEARD, CLIENT_ACCEPTED, CLIENT_TOLD_DONE };
enum message { MESSAGE_NONE, MESSAGE_DONE, MESSAGE_FAIL, MESSAGE_YIELD };
enum files { FILES_NONE, FILES_PART, FILES_WHOLE };
enum phase {
    PHASE_IDLE,
    PHASE_GRANTED,   /* leased in Redis; the answer is not out yet */
    PHASE_OPEN,      /* will look for a manifest */
    PHASE_BEGIN,     /* has found none; will make a private folder */
    PHASE_WRITE,     /* writes its private files */
    PHASE_WRITTEN,   /* has written them */
    PHASE_DOUBT,     /* the commit came back with an error: it may have happened or not */
    PHASE_COMMITTED, /* knows the manifest; will publish */
    PHASE_PUBLISHED, /* will clear up */
    PHASE_CLEARED,   /* will say DONE */
};

/* What Redis knows. All bytes, without gaps: states are compared and hashed as bytes. */
struct redis {
    uint8_t job, task;
    uint8_t lease;   /* in force, or of the attempt that was done */
    uint8_t digest;  /* of the done task: whose files */
    uint8_t counted; /* how often the task was counted as done, at most 2 */
    uint8_t jobs;    /* made of the one submission, at most 2 */
    uint8_t issued;  /* the counter of RULE_LEASE_RANDOM taken away */
};

struct state {
    struct redis now, synced;
    struct {
        uint8_t phase, lease;
        uint8_t seen; /* whose files the manifest names that it goes by */
    } worker[WORKERS];
    uint8_t client, submit; /* submit: a SUBMIT is on its way */
    struct {
        uint8_t message, digest; /* on its way; stays there, so it may come again */
    } sent[LEASES];
    uint8_t manifest, published; /* whose files; 0: none */
    uint8_t files[LEASES];       /* private ones of each attempt */
    uint8_t left;                /* private ones of attempts that are no more: some */
    uint8_t swept;               /* the closing task has swept and will close */
    uint8_t fallen;              /* Redis has lost its memory once */
};

enum step_kind {
    STEP_SUBMIT_SEND,
    STEP_SUBMIT_ARRIVE,
    STEP_SUBMIT_LOSE,
    STEP_SUBMIT_ANSWER,
    STEP_GET,
    STEP_TAKE,
    STEP_TAKE_ANSWER,
    STEP_TAKE_LOSE,
    STEP_LOOK,
    STEP_BEGIN,
    STEP_WRITE,
    STEP_COMMIT,
    STEP_COMMIT_DOUBT,
    STEP_SETTLE,
    STEP_PUBLISH,
    STEP_CLEAR,
    STEP_DONE_SEND,
    STEP_FAIL_SEND,
    STEP_YIELD_SEND,
    STEP_RENEW,
    STEP_ABANDON,
    STEP_CRASH,
    STEP_ARRIVE,
    STEP_LOSE,
    STEP_REAP,
    STEP_DUE,
    STEP_SWEEP,
    STEP_CLOSE,
    STEP_CLOSE_CRASH,
    STEP_FSYNC,
    STEP_FALL,
};

struct step {
    enum step_kind kind;
    uint8_t who;          /* the worker, or the lease whose message arrives */
    bool fault;           /* does not help the job to its end */
    enum property broken; /* by taking it */
    struct state to;
};

/* Writes the steps that may be taken from a state; returns how many. */
uint32_t model_steps(struct step step[MODEL_STEPS], const struct state *from, uint32_t rules);
/* The same state under other names: the workers are alike and so are the ids of leases, so that two
 * states with the same image have the same future. */
struct state model_image(const struct state *state, uint32_t rules);
/* The first property of the promises that the state itself breaks. */
enum property model_check(const struct state *state, uint32_t promises);
/* The client knows of the end, and the output is published. */
bool model_ended(const struct state *state);
/* The step in words. */
void model_words(char *text, uint32_t bytes, const struct state *from, const struct step *step);

#endif
