/* fleet.h - the local fleet: a Redis, a broker and a worker for each device, in one folder.
 *
 * The folder (./.vlmq unless told otherwise) holds everything: redis.conf and Redis' data, the
 * sockets redis.sock and broker.sock, PART.pid and PART.log for each part, and `lock`, which
 * whoever starts or stops parts holds. The parts run on their own, with the folder as their
 * working directory; nothing of this program stays behind. A part that is gone is found by its
 * pid file and started again by fleet_ensure. Users may add redis.local.conf, broker.conf and
 * worker.conf, which the parts read. */
#ifndef CLIENT_UP_FLEET_H
#define CLIENT_UP_FLEET_H

#include "client/up/pidfile.h"
#include "common/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLEET_DIR           ".vlmq"
#define FLEET_ADDRESS_BYTES 160
#define FLEET_PARTS_MAX     18 /* Redis, broker, and a worker for each of 16 devices */
#define FLEET_NAME_BYTES    32

struct fleet;

enum part_kind { PART_REDIS, PART_BROKER, PART_WORKER };

struct part {
    enum part_kind kind;
    char name[FLEET_NAME_BYTES]; /* "redis", "broker", "worker-cpu", "worker-cuda-0" */
    bool known;                  /* it has a pid file */
    struct pidfile pid;
    enum pidfile_state state;
    bool started; /* by this call of fleet_ensure */
};

/* What `vlmq up` may ask for beyond the usual: workers of these devices. */
struct fleet_wish {
    const char *const *device;
    uint32_t devices;
    int64_t slots;                     /* of workers that are started now; 0: their own choice */
    struct part part[FLEET_PARTS_MAX]; /* out: how it stands */
    uint32_t parts;
};

/* create: makes the folder. ERR_NOT_FOUND: there is none. */
CHECKED int fleet_open(struct fleet **fleet, const char *dir, bool create, struct err *err);
void fleet_close(struct fleet *fleet); /* accepts NULL; stops nothing */
const char *fleet_dir(const struct fleet *fleet);
/* DIR/name; valid as long as dst. */
const char *fleet_path(const struct fleet *fleet, char *dst, size_t dst_bytes, const char *name);

/* The parts as their files tell, Redis and broker first. Returns how many. */
uint32_t fleet_parts(const struct fleet *fleet, struct part part[FLEET_PARTS_MAX]);
/* Starts what is missing and waits until it is ready. Cheap when nothing is. wish may be NULL. */
CHECKED int fleet_ensure(struct fleet *fleet, struct fleet_wish *wish, struct err *err);
/* ERR_UNAVAILABLE unless Redis and the broker run. */
CHECKED int fleet_check(const struct fleet *fleet, struct err *err);

struct fleet_stop {
    int64_t drain_ms; /* how long workers may take to finish or hand back their tasks */
    bool forget;      /* forget parts that were started on another machine */
    void (*tell)(void *ctx, const char *part, const char *what); /* may be NULL */
    void *ctx;
    uint32_t stopped; /* out */
};
/* Stops all parts, workers first, and removes what they left; nothing to stop is fine. */
CHECKED int fleet_stop(struct fleet *fleet, struct fleet_stop *stop, struct err *err);

/* The broker's address for this process: short, however long the folder's path is. Valid while
 * the fleet is open. */
void fleet_broker_address(const struct fleet *fleet, char dst[FLEET_ADDRESS_BYTES]);
/* Whether Redis answers; version (may be NULL) gets its version. */
bool fleet_redis_ping(const struct fleet *fleet, char *version, size_t version_bytes);

/* The path of one of our programs: from $VLMQ_BIN, beside this one, or by PATH. */
CHECKED int fleet_program(char *dst, size_t dst_bytes, const char *name, struct err *err);

#endif
