/* library.c - puts the library's name into the first line of its Lua text, and the constants of the
 * C headers behind it. */
#include "broker/state/library.h"

#include "broker/state/lua_library.h"
#include "broker/state/state.h"
#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/base/limits.h"

#include <stdint.h>
#include <string.h>

static const struct {
    const char *name;
    int64_t value;
} constants[] = {
    {"LEASE_TTL_MS", LEASE_TTL_MS},           {"TASK_CHUNK", TASK_CHUNK},
    {"TASKS_MAX", TASKS_PER_JOB_MAX},         {"COUNTERS_MAX", COUNTERS_MAX},
    {"LOSSES_ALONE", STATE_LOSSES_ALONE},     {"LOSSES_DEAD", STATE_LOSSES_DEAD},
    {"UNSTARTED_MAX", STATE_UNSTARTED_MAX},   {"BACKOFF_MS", STATE_BACKOFF_MS},
    {"BACKOFF_MIN_MS", STATE_BACKOFF_MIN_MS}, {"BACKOFF_MAX_MS", STATE_BACKOFF_MAX_MS},
    {"CLOCK_SLACK_MS", STATE_CLOCK_SLACK_MS}, {"REAP_MAX", STATE_REAP_MAX},
    {"RETRY_MAX", STATE_RETRY_MAX},           {"SCAN_MAX", STATE_SCAN_MAX},
    {"TAILS_MAX", STATE_TAILS_MAX},           {"EVENTS_MAX", STATE_EVENTS_MAX},
    {"WORKER_TTL_MS", STATE_WORKER_TTL_MS},
};

const char *library_text(struct arena *arena)
{
    const char *rest = strchr(lua_library, '\n');
    CHECK(rest);
    CHECK(strncmp(lua_library, "#!lua\n", sizeof "#!lua\n" - 1) == 0);
    struct buf text;
    buf_init(&text, 0);
    buf_text(&text, "#!lua name=" LIBRARY_NAME "\nlocal LIBRARY_CALL = '" LIBRARY_CALL "' ");
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++) {
        buf_printf(&text, "local %s = %jd ", constants[i].name, (intmax_t)constants[i].value);
    }
    buf_text(&text, rest);
    const char *copy = buf_failed(&text) ? NULL : arena_text(arena, text.data, text.len);
    buf_deinit(&text);
    return copy;
}
