/* patience.c - see patience.h. */
#include "client/patience.h"

#include "client/print.h"
#include "common/base/buf.h"
#include "common/base/stop.h"

#include <stdio.h>

static void say(const struct patience *patience, const char *text, const char *more)
{
    struct buf out;
    if (patience->quiet) return;
    buf_init(&out, 0);
    buf_text(&out, "vlmq: ");
    print_clean(&out, text);
    buf_text(&out, more);
    print_out(stderr, &out);
    buf_deinit(&out);
}

void patience_begin(struct patience *patience, bool quiet, int64_t now_ms)
{
    *patience = (struct patience){.begun = true, .quiet = quiet, .heard_at_ms = now_ms};
}

void patience_heard(struct patience *patience, int64_t now_ms)
{
    if (patience->away) say(patience, "the fleet answers again", "\n");
    patience->away = false;
    patience->heard_at_ms = now_ms;
}

bool patience_waits(struct patience *patience, const struct err *err, int64_t now_ms)
{
    if (err->code != ERR_UNAVAILABLE && err->code != ERR_TIMEOUT) return false;
    if (!patience->begun || stop_count()) return false;
    if (now_ms - patience->heard_at_ms >= PATIENCE_MS) return false;
    if (!patience->away) say(patience, err->msg, "; asking again, Ctrl-C ends the asking\n");
    patience->away = true;
    return true;
}
