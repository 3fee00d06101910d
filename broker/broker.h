/* broker.h - the broker: one thread, one turn after the other.
 *
 * A turn takes a batch of messages, plans each, commits all their state calls together, answers,
 * does what is due by itself, and says how long the caller may sleep:
 *
 *     while (!ending) front_wait(front, fds, n, broker_turn(broker));
 *
 * A turn has rounds: requests and duties that need a second step (a list is ids first, then a
 * look at each) plan it after the first commit; all that is planned in a round shares its commit.
 * Clock, chance (a seed) and network (front.h) are given, so that many brokers fit in one process
 * of a simulator. All state here is soft: Redis is the truth.
 *
 * Files: broker.c turn and commit · outbox, expect save commits' time · api*.c requests · match.c
 * tasks to takes · care.c, chain.c what is due · push.c watchers · peers, jobs, watch, index tables
 * · policy pure choice. */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include "broker/front.h"
#include "broker/jobs.h"
#include "broker/limits.h"
#include "broker/outbox.h"
#include "broker/peers.h"
#include "broker/policy.h"
#include "broker/state/state.h"
#include "broker/watch.h"
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/rng.h"
#include "proto/wire/envelope.h"

/* One request of the turn. */
struct request {
    struct sock_peer from;
    struct peer *peer;
    struct envelope envelope;
    int64_t received_at_ms;
    bool open;             /* not answered, not parked */
    uint32_t step;         /* calls of so many steps were committed */
    uint32_t first, count; /* its calls in this round */
    uint32_t rows;         /* of a listing; shrinks when an answer is too large */
    Vlmq__Job *job;        /* a purge's: as it was; in the turn's arena */
    const char **ids;      /* a listing's second step; in the turn's arena */
    const char *page;
};

/* Whose call it is, for what comes after the commit. */
enum care_tag {
    CARE_NONE = 0, /* nothing comes after it */
    CARE_FEED,
    CARE_SWEEP,
    CARE_SWEEP_LOOK,
    CARE_LOOK,
    CARE_REAP,
    CARE_UNINDEX,
    CARE_UNINDEXED,
    CARE_PURGED,
    CARE_AFTER,
    CARE_RELEASE,
    CARE_SOURCE,
    CARE_MADE,
    CARE_CHAIN,
};
struct duty {
    enum care_tag tag;
    uint32_t call;
    char job[JOB_ID_BYTES]; /* the job it is done for */
    uint32_t before;        /* REAP: leased tasks before it */
};

/* A grant to give back. */
struct give_back {
    char job[JOB_ID_BYTES], lease[LEASE_ID_BYTES];
    uint32_t index;
};

/* What match.c asked for in this round. */
struct offer {
    struct peer *peer;
    uint32_t call, get; /* TAKE, and GET of the spec (INDEX_END: cached) */
    uint32_t submit;    /* SUBMIT that makes the job (INDEX_END: it is there) */
    uint32_t asked;
};

/* A GET for watchers: of a topic, of a job for those who watch all, or a final state missed. */
enum push_kind { PUSH_TOPIC, PUSH_ALL, PUSH_MISSED };
struct push_read {
    enum push_kind kind;
    uint32_t slot;       /* of the topic, or of the watcher */
    uint32_t call, rows; /* GET, and TASKS or INDEX_END */
    char job[JOB_ID_BYTES];
};

/* What a look at a chain's source found; in the turn's arena until the next round commits it. */
struct chain_step {
    char job[JOB_ID_BYTES];
    uint32_t position, next;
    const struct state_made *made;
    bool ended, failed;
    const char *reason;
};

struct turn {
    struct arena arena;
    int64_t now_ms;
    uint32_t round, commits;
    struct request request[TURN_REQUESTS_MAX];
    uint32_t requests_count;
    bool more; /* than were taken in */
    struct state_call call[STATE_CALLS_MAX];
    uint32_t calls_count;
    struct duty duty[STATE_CALLS_MAX];
    uint32_t duties_count;
    struct offer offer[MATCH_GRANTS_MAX];
    uint32_t offers_count;
    int64_t offered_at_ms; /* just before the offers' commit */
    struct push_read push[WATCH_CALLS_MAX];
    uint32_t push_count;
    const char *follow[FEED_ROWS + SWEEP_ROWS]; /* ids to look at in the next round */
    enum care_tag follow_tag[FEED_ROWS + SWEEP_ROWS];
    uint32_t follow_count;
    struct chain_step chain[CHAINS_MAX];
    uint32_t chains_count;
    uint32_t notices_count;
    uint32_t expect[EXPECT_MAX]; /* slots of jobs */
    uint32_t expect_count;
};

struct care {
    int64_t at_ms, feed_at_ms, sweep_at_ms;
    uint32_t cursor; /* job slot to go on from when a round was full */
    char feed[64], sweep[128];
    bool loading; /* the first sweep: page after page without a pause */
    struct give_back yield[YIELDS_MAX];
    uint32_t yields_count;
    struct {
        char id[JOB_ID_BYTES];
        int64_t since_ms;
    } missing[MISSING_MAX];
};

struct redis_view {
    bool ready;
    int64_t retry_at_ms, backoff_ms;
    int64_t hold_until_ms; /* leases are not reaped before */
    int64_t offset_ms;     /* Redis' clock minus the monotonic one */
    int64_t opened_at_ms;  /* Redis' time when this broker first saw it, or saw it jump */
    int64_t health_at_ms;  /* next read */
    int64_t health_offset_ms;
    bool health_known, told; /* told: the loss was logged */
    struct state_health health;
    struct err why; /* of not being ready */
};

/* Since the start. */
struct metrics {
    uint64_t requests, refused, tasks_taken, tasks_done, tasks_failed, leases_lost;
};

struct broker_options {
    const struct clock *clock;
    struct front *front;        /* stays the caller's */
    struct state_options redis; /* texts stay the caller's, for the broker's life */
    uint64_t seed;
};

struct broker {
    const struct clock *clock;
    struct front *front;
    struct state_options redis_options;
    struct state *state; /* NULL until Redis was reached once */
    struct rng rng;
    char id[JOB_ID_BYTES];
    int64_t started_at_ms, used_at_ms; /* mono; the last request */
    struct redis_view redis;
    struct peers peers;
    struct jobs jobs;
    struct watches watches;
    struct care care;
    struct policy *policy;
    bool match_due;
    int64_t match_at_ms;   /* a match may find more then */
    uint32_t match_offset; /* ready jobs already tried in this pass */
    uint64_t match_round;
    uint32_t takes_offset; /* parked takes already tried, when more wait than a match sees */
    int64_t expire_at_ms;
    struct metrics metrics;
    struct buf out; /* a message while it is packed */
    struct outbox outbox;
    struct err refused; /* Redis must not be used as it is: the program should end */
    struct turn turn;
};

/* Tries Redis once. ERR_INVALID, ERR_DENIED or ERR_VERSION: it must not be used as it is. When it
 * is only away, the broker starts without and keeps trying. */
CHECKED int broker_open(struct broker **broker, const struct broker_options *options,
                        struct err *err);
void broker_close(struct broker *broker);
/* One turn; how many ms the caller may sleep. broker->refused.code: stop. */
int64_t broker_turn(struct broker *broker);
/* Answers what is parked with nothing, so that its requesters go elsewhere. */
void broker_end(struct broker *broker);

/* Between the files of the broker. */

/* How many more calls fit into this round. */
uint32_t turn_room(const struct broker *broker);
/* Appends a call; there must be room. */
struct state_call *turn_call(struct broker *broker, enum state_op op, const char *job_id);
/* Redis' time now, as far as known. */
int64_t broker_redis_now(const struct broker *broker);
/* A message to be sent, after those before it. An answer that is lost is asked for again; where it
 * gave tasks, they go back. */
void broker_post(struct broker *broker, const struct sock_peer *peer, const void *data,
                 size_t bytes);
/* The same, packed first. */
void broker_answer(struct broker *broker, const struct sock_peer *peer, Vlmq__Type type,
                   uint64_t request_id, const ProtobufCMessage *body);
/* Packs a message and sends it at once: the peer did not ask for it. False: not sent. */
bool broker_send(struct broker *broker, const struct sock_peer *peer, Vlmq__Type type,
                 uint64_t request_id, const ProtobufCMessage *body);
/* Takes over a job from a reply and does what its change asks for. own: this broker caused it, and
 * tells the others. */
void broker_learn(struct broker *broker, const Vlmq__Job *reply, bool own);
/* Tells all workers here to renew the leases of the job now; of all jobs, when there were many
 * such jobs in this turn. */
void broker_notice(struct broker *broker, const char *job);

#endif
