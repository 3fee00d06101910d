/* differential_redis.c - a real Redis with the functions of the library, in which three things are
 * put by text: clock.lua before them, dump.lua after them, and other bounds or a fault in them. A
 * text that is not found ends the test, so that nothing is tested by mistake. */
#include "broker/state/library.h"
#include "common/base/check.h"
#include "common/base/fs.h"
#include "tests/state/differential.h"
#include "tests/support/test.h"

#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define OPTIONS "--appendfsync no" /* a crash of the server alone loses nothing then, either */

/* --- the text --------------------------------------------------------------------------------- */

/* Replaces the one place where the text stands. */
static void substitute(struct buf *library, const char *text, const char *instead)
{
    char *at = strstr(library->data, text);
    if (!at || strstr(at + 1, text)) print_message("not there once: %s\n", text);
    CHECK(at);
    CHECK(!strstr(at + 1, text));
    struct buf changed;
    buf_init(&changed, 0);
    buf_add(&changed, library->data, (size_t)(at - library->data));
    buf_text(&changed, instead);
    buf_text(&changed, at + strlen(text));
    buf_deinit(library);
    *library = changed;
}

static void limit(struct buf *library, const char *name, uint32_t real, uint32_t wanted)
{
    char text[64], instead[64];
    (void)snprintf(text, sizeof text, "local %s = %u ", name, real);
    (void)snprintf(instead, sizeof instead, "local %s = %u ", name, wanted);
    substitute(library, text, instead);
}

static void add_file(struct buf *library, const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, TESTS_DIR "/state/%s", name);
    FILE *file = fopen(path, "r");
    CHECK(file);
    char block[4096];
    for (size_t n; (n = fread(block, 1, sizeof block, file)) > 0;) buf_add(library, block, n);
    CHECK(fclose(file) == 0);
}

static void library_make(struct buf *library, const struct real *real)
{
    struct arena arena;
    arena_init(&arena, 0);
    const char *text = library_text(&arena);
    CHECK(text);
    const char *rest = strchr(text, '\n') + 1;
    buf_init(library, 0);
    buf_add(library, text, (size_t)(rest - text));
    add_file(library, "clock.lua");
    buf_text(library, rest);
    arena_deinit(&arena);
    const struct queue_limits is = queue_limits_real(), *wanted = &real->limits;
    limit(library, "TASKS_MAX", is.tasks, wanted->tasks);
    limit(library, "COUNTERS_MAX", is.counters, wanted->counters);
    limit(library, "REAP_MAX", is.reap, wanted->reap);
    limit(library, "RETRY_MAX", is.retry, wanted->retry);
    limit(library, "SCAN_MAX", is.scan, wanted->scan);
    limit(library, "TAILS_MAX", is.tails, wanted->tails);
    limit(library, "EVENTS_MAX", is.events, wanted->events);
    if (real->fault.text) substitute(library, real->fault.text, real->fault.instead);
    add_file(library, "dump.lua");
}

/* --- the server ------------------------------------------------------------------------------- */

static redisReply *command(struct real *real, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    redisReply *reply = redisvCommand(real->redis, fmt, args);
    va_end(args);
    CHECK(reply);
    if (reply->type == REDIS_REPLY_ERROR) print_message("Redis: %s\n", reply->str);
    CHECK(reply->type != REDIS_REPLY_ERROR);
    return reply;
}

static void connect_both(struct real *real)
{
    struct err err = {0};
    const struct state_options options = {.address = real->server.address, .timeout_ms = 20000};
    EXPECT_OK(state_open(&real->state, &options, &err), &err);
    real->redis = redisConnectUnix(real->server.socket);
    CHECK(real->redis);
    CHECK(real->redis->err == 0);
    struct buf library;
    library_make(&library, real);
    CHECK(!buf_failed(&library));
    freeReplyObject(command(real, "FUNCTION LOAD REPLACE %s", buf_str(&library)));
    buf_deinit(&library);
}

static void disconnect_both(struct real *real)
{
    state_close(real->state);
    redisFree(real->redis);
}

void real_open(struct real *real, const struct queue_limits *limits, const struct fault *fault)
{
    *real = (struct real){.limits = *limits};
    if (fault) real->fault = *fault;
    redis_server_start(&real->server, OPTIONS);
    connect_both(real);
}

void real_close(struct real *real)
{
    disconnect_both(real);
    redis_server_stop(&real->server);
}

void real_crash(struct real *real)
{
    redis_server_kill(&real->server);
    disconnect_both(real);
    redis_server_restart(&real->server, OPTIONS);
    connect_both(real);
}

void real_flush(struct real *real)
{
    freeReplyObject(command(real, "FLUSHALL"));
}

void real_clock(struct real *real, int64_t now_ms)
{
    freeReplyObject(command(real, "SET vlmq:{test}:clock %" PRId64, now_ms));
}

void real_dump(struct real *real, const char *id, struct buf *out)
{
    redisReply *reply = id ? command(real, "FCALL test_dump 1 vlmq:{%s}:job", id)
                           : command(real, "FCALL test_dump_fleet 1 vlmq:{fleet}:");
    CHECK(reply->type == REDIS_REPLY_STRING);
    buf_add(out, reply->str, reply->len);
    freeReplyObject(reply);
}
