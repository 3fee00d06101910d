/* redis.c - the connection to Redis; the only user of hiredis.
 *
 * After any failure of the connection nothing is known about what was under way, so it is closed,
 * and the next commit connects, checks the server and looks for the functions anew. Redis' errors
 * for a single call become that call's err. */
#include "broker/state/library.h"
#include "broker/state/reply.h"
#include "broker/state/request.h"
#include "broker/state/server.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/str.h"

#include <hiredis/hiredis.h>

#include <errno.h>
#include <string.h>

#define REPLY_DEPTH_MAX 6  /* replies of functions nest five deep */
#define GROUP_MAX       64 /* calls in one function call: bounds how long Redis is busy with it */
#define GROUP_STEP      16 /* its list grows by so many */
#define GROUPS_LOOK     16 /* groups that are looked at for one to join */

struct state {
    redisContext *redis; /* NULL: not connected */
    struct state_options options;
    char *address, *user, *password; /* own copies of the options' texts */
    char *host;                      /* of the address, or the socket's path */
    int port;                        /* 0: a unix socket */
    struct server_info server;       /* as of the last check or health */
    struct arena arena;              /* of one commit's requests */
    struct group *group;             /* what was sent and not answered yet, in the arena */
    uint32_t groups_count;
};

/* --- errors ----------------------------------------------------------------------------------- */

static void disconnect(struct state *state)
{
    if (state->redis) redisFree(state->redis);
    state->redis = NULL;
}

/* The connection is dead: says why and drops it. */
static int lost(struct state *state, struct err *err)
{
    const redisContext *redis = state->redis;
    int rc = 0;
    if (!redis) {
        rc = err_set(err, ERR_UNAVAILABLE, "no memory for a connection to Redis");
    } else if (redis->err == REDIS_ERR_IO && (errno == EAGAIN || errno == ETIMEDOUT)) {
        rc = err_set(err, ERR_TIMEOUT, "Redis at %s did not answer within %jd ms", state->address,
                     (intmax_t)state->options.timeout_ms);
    } else {
        rc = err_set(err, ERR_UNAVAILABLE, "Redis at %s: %s", state->address,
                     redis->err ? redis->errstr : "the connection is lost");
    }
    disconnect(state);
    return rc;
}

/* --- one command at a time, for connecting and health ------------------------------------------
 */

static int command(redisReply **out, struct state *state, size_t count, const char *const *arg,
                   struct err *err)
{
    size_t bytes[8];
    const char *text[8];
    CHECK(count <= sizeof bytes / sizeof *bytes);
    for (size_t i = 0; i < count; i++) {
        text[i] = arg[i];
        bytes[i] = strlen(arg[i]);
    }
    errno = 0;
    redisReply *reply = redisCommandArgv(state->redis, (int)count, text, bytes);
    if (!reply) return lost(state, err);
    if (reply->type == REDIS_REPLY_ERROR) {
        const int rc = server_error(err, reply->str, reply->len);
        freeReplyObject(reply);
        return rc;
    }
    *out = reply;
    return 0;
}

static int command_done(struct state *state, size_t count, const char *const *arg, struct err *err)
{
    redisReply *reply = NULL;
    const int rc = command(&reply, state, count, arg, err);
    if (reply) freeReplyObject(reply);
    return rc;
}

static int authenticate(struct state *state, struct err *err)
{
    if (!state->password) return 0;
    const char *with_user[] = {"AUTH", state->user ? state->user : "", state->password};
    const char *without[] = {"AUTH", state->password};
    const int rc =
        state->user ? command_done(state, 3, with_user, err) : command_done(state, 2, without, err);
    return rc ? err_wrap(err, "log in to Redis at %s", state->address) : 0;
}

static int choose_database(struct state *state, struct err *err)
{
    if (!state->options.database) return 0;
    char *number = arena_printf(&state->arena, "%u", state->options.database);
    if (!number) return err_set(err, ERR_LIMIT, "out of memory");
    const char *select[] = {"SELECT", number};
    const int rc = command_done(state, 2, select, err);
    return rc ? err_set(err, ERR_INVALID, "Redis at %s has no database %u", state->address,
                        state->options.database)
              : 0;
}

static int read_info(struct state *state, struct err *err)
{
    redisReply *reply = NULL;
    const char *info[] = {"INFO"};
    int rc = command(&reply, state, 1, info, err);
    if (rc) return rc;
    CHECK(reply != NULL);
    if (reply->type == REDIS_REPLY_STRING) {
        server_info_read(&state->server, reply->str, reply->len);
    } else {
        rc = err_set(err, ERR_CORRUPT, "Redis at %s answers INFO with no text", state->address);
    }
    freeReplyObject(reply);
    return rc;
}

/* The code of the library that is loaded, or NULL: {{..., "library_code", code}}. */
static const redisReply *loaded_code(const redisReply *list)
{
    if (list->type != REDIS_REPLY_ARRAY || list->elements != 1) return NULL;
    const redisReply *library = list->element[0];
    if (library->type != REDIS_REPLY_ARRAY) return NULL;
    for (size_t i = 0; i + 1 < library->elements; i += 2) {
        const redisReply *name = library->element[i], *value = library->element[i + 1];
        if (name->type != REDIS_REPLY_STRING || value->type != REDIS_REPLY_STRING) continue;
        if (str_eq(name->str, "library_code")) return value;
    }
    return NULL;
}

/* Loads the functions if they are missing. The version is in the library's name, so the same name
 * with another text is a repair of the same interface, and replaced. */
static int load_functions(struct state *state, struct err *err)
{
    const char *text = library_text(&state->arena);
    if (!text) return err_set(err, ERR_LIMIT, "no memory for the Redis functions");
    redisReply *list = NULL;
    static const char name[] = LIBRARY_NAME;
    const char *list_args[] = {"FUNCTION", "LIST", "LIBRARYNAME", name, "WITHCODE"};
    int rc = command(&list, state, 5, list_args, err);
    if (rc) return err_wrap(err, "look for the functions of vlmq");
    const redisReply *code = loaded_code(list);
    const bool there = code && code->len == strlen(text) && memcmp(code->str, text, code->len) == 0;
    const bool other = code && !there;
    freeReplyObject(list);
    if (there) return 0;
    const char *load_args[] = {"FUNCTION", "LOAD", "REPLACE", text};
    const char *load_new[] = {"FUNCTION", "LOAD", text};
    rc = other ? command_done(state, 4, load_args, err) : command_done(state, 3, load_new, err);
    if (rc) return err_wrap(err, "load the functions of vlmq");
    log_info("functions.loaded", "library=%s replaced=%d", LIBRARY_NAME, other ? 1 : 0);
    return 0;
}

static int connect_redis(struct state *state, struct err *err)
{
    const int64_t ms = state->options.timeout_ms;
    const struct timeval limit = {.tv_sec = (time_t)(ms / 1000),
                                  .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    arena_reset(&state->arena);
    errno = 0;
    state->redis = state->port ? redisConnectWithTimeout(state->host, state->port, limit)
                               : redisConnectUnixWithTimeout(state->host, limit);
    if (!state->redis || state->redis->err) return lost(state, err);
    if (redisSetTimeout(state->redis, limit) != REDIS_OK) return lost(state, err);
    int rc = authenticate(state, err);
    if (!rc) rc = choose_database(state, err);
    if (!rc) rc = read_info(state, err);
    if (!rc) rc = server_check(&state->server, state->address, state->options.allow_volatile, err);
    if (!rc) rc = load_functions(state, err);
    if (rc) disconnect(state);
    return rc;
}

/* --- opening ---------------------------------------------------------------------------------- */

static char *keep(const char *text, size_t bytes)
{
    char *copy = mem_new(bytes + 1);
    if (bytes) memcpy(copy, text, bytes);
    return copy;
}

static char *keep_text(const char *text)
{
    return text ? keep(text, strlen(text)) : NULL;
}

/* "unix:/path", "tcp://host:port", "host:port", "[::1]:port" */
static int read_address(struct state *state, struct err *err)
{
    const char *text = state->address;
    if (str_has_prefix(text, "unix:")) {
        if (!text[5]) return err_set(err, ERR_INVALID, "Redis address %s names no socket", text);
        state->host = keep_text(text + 5);
        return 0;
    }
    if (str_has_prefix(text, "tcp://")) text += 6;
    const char *colon = strrchr(text, ':');
    int64_t port = 0;
    if (!colon || colon == text || str_to_int(&port, colon + 1, 1, 65535, "port", NULL)) {
        return err_set(err, ERR_INVALID,
                       "Redis address %s is neither unix:/path nor tcp://host:port",
                       state->address);
    }
    const bool bracketed = *text == '[' && colon[-1] == ']';
    const char *host = bracketed ? text + 1 : text;
    const size_t bytes = (size_t)(colon - host) - (bracketed ? 1 : 0);
    if (!bytes) return err_set(err, ERR_INVALID, "Redis address %s names no host", state->address);
    state->host = keep(host, bytes);
    state->port = (int)port;
    return 0;
}

int state_open(struct state **out, const struct state_options *options, struct err *err)
{
    CHECK(options->address);
    CHECK(options->timeout_ms > 0);
    struct state *state = mem_new(sizeof *state);
    arena_init(&state->arena, 0);
    state->options = *options;
    state->address = keep_text(options->address);
    state->user = keep_text(options->user);
    state->password = keep_text(options->password);
    int rc = read_address(state, err);
    if (!rc) rc = connect_redis(state, err);
    if (rc) {
        state_close(state);
        return rc;
    }
    *out = state;
    return 0;
}

void state_close(struct state *state)
{
    if (!state) return;
    disconnect(state);
    arena_deinit(&state->arena);
    mem_free(state->address);
    mem_free(state->user);
    mem_free(state->password);
    mem_free(state->host);
    mem_free(state);
}

/* --- commit ----------------------------------------------------------------------------------- */

/* A text of the reply or an array's items; false when the arena is full. */
static bool copy_reply(struct reply *out, const redisReply *reply, struct arena *arena,
                       uint32_t depth)
{
    *out = (struct reply){.type = REPLY_NIL};
    if (reply->type == REDIS_REPLY_INTEGER) {
        out->type = REPLY_INTEGER;
        out->integer = reply->integer;
    } else if (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS) {
        out->type = REPLY_TEXT;
        out->bytes = reply->len;
        out->text = arena_text(arena, reply->str, reply->len);
        return out->text;
    } else if (reply->type == REDIS_REPLY_ARRAY && depth < REPLY_DEPTH_MAX) {
        out->type = REPLY_ARRAY;
        out->item = arena_try(arena, reply->elements * sizeof *out->item);
        if (!out->item) return false;
        for (size_t i = 0; i < reply->elements; i++) {
            if (!copy_reply(&out->item[i], reply->element[i], arena, depth + 1)) return false;
        }
        out->count = reply->elements;
    }
    return true;
}

/* Calls that share one function call: on the same job, of operations that one function does, with
 * none of another between them. */
struct group {
    struct state_call **call;
    uint32_t count;
    bool sent;
};

static void take_reply(struct state *state, const struct group *group, const redisReply *reply,
                       struct arena *arena)
{
    struct reply tree;
    struct err err = {0};
    if (reply->type == REDIS_REPLY_ERROR) {
        (void)server_error(&err, reply->str, reply->len);
        if (server_lacks_functions(reply->str)) state->server.functions_lost = true;
    } else if (!copy_reply(&tree, reply, arena, 0)) {
        (void)err_set(&err, ERR_LIMIT, "the reply of Redis does not fit in memory");
    } else {
        reply_read(group->call, group->count, &tree, arena);
        return;
    }
    for (uint32_t i = 0; i < group->count; i++) group->call[i]->err = err;
}

static bool same_job(const struct state_call *a, const struct state_call *b)
{
    return a->job_id && b->job_id && strcmp(a->job_id, b->job_id) == 0;
}

/* The group that a call may join, if it is among the last ones. */
static struct group *find_group(struct group *group, uint32_t count, const struct state_call *call)
{
    const uint32_t end = count > GROUPS_LOOK ? count - GROUPS_LOOK : 0;
    for (uint32_t i = count; i > end; i--) {
        struct group *one = &group[i - 1];
        if (!same_job(one->call[0], call)) continue;
        return request_shares(one->call[0]->op, call->op) && one->count < GROUP_MAX ? one : NULL;
    }
    return NULL;
}

/* Puts every call into a group, in the order of each job's calls. NULL: out of memory. */
static struct group *make_groups(uint32_t *groups_count, struct state_call *call, uint32_t count,
                                 struct arena *arena)
{
    struct group *group = arena_try(arena, count * sizeof *group);
    *groups_count = 0;
    if (!group) return NULL;
    for (uint32_t i = 0; i < count; i++) {
        struct group *home = find_group(group, *groups_count, &call[i]);
        if (!home) {
            home = &group[(*groups_count)++];
            *home = (struct group){0};
        }
        if (home->count % GROUP_STEP == 0) {
            struct state_call **more =
                arena_try(arena, (home->count + GROUP_STEP) * sizeof(void *));
            if (!more) return NULL;
            if (home->count) memcpy(more, home->call, home->count * sizeof(void *));
            home->call = more;
        }
        home->call[home->count++] = &call[i];
    }
    return group;
}

/* Queues the group's function call, with those of its calls that can be sent; the others have
 * their err and leave the group. */
static int send_group(struct state *state, struct group *group, struct err *err)
{
    struct args args;
    struct err why = {0};
    uint32_t kept = 0;
    const int rc = request_begin(&args, group->call[0], &state->arena, &why);
    for (uint32_t i = 0; i < group->count; i++) {
        struct state_call *call = group->call[i];
        call->err = why;
        call->job = NULL;
        call->count = 0;
        call->drain = false;
        memset(&call->out, 0, sizeof call->out);
        if (!rc && !request_add(&args, call, &call->err)) group->call[kept++] = call;
    }
    group->count = kept;
    if (!kept) return 0;
    if (redisAppendCommandArgv(state->redis, (int)args.count, args.arg, args.arg_bytes)) {
        return lost(state, err);
    }
    group->sent = true;
    return 0;
}

static int receive_replies(struct state *state, const struct group *group, uint32_t count,
                           struct arena *arena, struct err *err)
{
    const int64_t end_us = clock_mono_us() + state->options.timeout_ms * 1000;
    for (uint32_t i = 0; i < count; i++) {
        if (!group[i].sent) continue;
        void *reply = NULL;
        errno = 0;
        if (redisGetReply(state->redis, &reply) != REDIS_OK) return lost(state, err);
        take_reply(state, &group[i], reply, arena);
        freeReplyObject(reply);
        if (clock_mono_us() > end_us && i + 1 < count) {
            disconnect(state);
            return err_set(err, ERR_TIMEOUT, "Redis at %s took more than %jd ms", state->address,
                           (intmax_t)state->options.timeout_ms);
        }
    }
    return 0;
}

/* Whatever is wrong with the server now, callers may try again later. */
static int reconnect(struct state *state, struct err *err)
{
    if (state->redis && !state->server.functions_lost) return 0;
    disconnect(state);
    const int rc = connect_redis(state, err);
    if (rc && rc != ERR_TIMEOUT) err->code = ERR_UNAVAILABLE;
    return rc ? (int)err->code : 0;
}

static int write_out(struct state *state, struct err *err)
{
    errno = 0;
    for (int done = 0; !done;)
        if (redisBufferWrite(state->redis, &done) != REDIS_OK) return lost(state, err);
    return 0;
}

int state_send(struct state *state, struct state_call *call, uint32_t count, struct err *err)
{
    CHECK(count <= STATE_CALLS_MAX);
    CHECK(!state->groups_count);
    if (!count) return 0;
    int rc = reconnect(state, err);
    if (rc) return rc;
    arena_reset(&state->arena);
    uint32_t groups_count = 0;
    state->group = make_groups(&groups_count, call, count, &state->arena);
    if (!state->group) return err_set(err, ERR_UNAVAILABLE, "no memory for %u calls", count);
    for (uint32_t i = 0; i < groups_count && !rc; i++)
        rc = send_group(state, &state->group[i], err);
    if (!rc) rc = write_out(state, err);
    if (!rc) state->groups_count = groups_count;
    return rc;
}

int state_receive(struct state *state, struct arena *arena, struct err *err)
{
    const uint32_t count = state->groups_count;
    state->groups_count = 0;
    return receive_replies(state, state->group, count, arena, err);
}

int state_commit(struct state *state, struct state_call *call, uint32_t count, struct arena *arena,
                 struct err *err)
{
    const int rc = state_send(state, call, count, err);
    return rc ? rc : state_receive(state, arena, err);
}

/* --- health ----------------------------------------------------------------------------------- */

static int read_time(int64_t *now_ms, struct state *state, struct err *err)
{
    redisReply *reply = NULL;
    const char *time[] = {"TIME"};
    int rc = command(&reply, state, 1, time, err);
    if (rc) return rc;
    CHECK(reply != NULL);
    int64_t seconds = 0, micros = 0;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_STRING ||
        str_to_int(&seconds, reply->element[0]->str, 0, INT64_MAX / 1000, "seconds", NULL) ||
        str_to_int(&micros, reply->element[1]->str, 0, 999999, "microseconds", NULL)) {
        rc = err_set(err, ERR_CORRUPT, "Redis at %s answers TIME with no time", state->address);
    }
    *now_ms = seconds * 1000 + micros / 1000;
    freeReplyObject(reply);
    return rc;
}

int state_health(struct state *state, struct state_health *health, struct err *err)
{
    int rc = reconnect(state, err);
    if (!rc) rc = read_info(state, err);
    *health = (struct state_health){0};
    if (!rc) rc = read_time(&health->now_ms, state, err);
    if (rc) return rc;
    health->bytes = state->server.bytes;
    health->bytes_max = state->server.bytes_max;
    health->writable = server_writable(&state->server);
    server_note(&state->server, health->note);
    return 0;
}
