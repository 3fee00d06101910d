/* meter.c - how far a pull has got. */
#include "client/model/inside.h"
#include "client/print.h"
#include "common/base/clock.h"
#include "common/base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define DRAW_MS      150
#define LINE_MS      5000
#define SAMPLE_MS    500 /* METER_SAMPLES of them: the rate is that of the last eight seconds */
#define BAR_COLUMNS  24
#define NAME_COLUMNS 40

static int64_t now_ms(void)
{
    return clock_real.mono_ms(&clock_real);
}

void meter_init(struct meter *meter, const char *model, bool quiet)
{
    *meter = (struct meter){.model = model, .quiet = quiet, .shown_at_ms = now_ms()};
}

static void sample(struct meter *meter, int64_t at_ms)
{
    if (meter->samples && at_ms - meter->sampled_at_ms < SAMPLE_MS) return;
    const uint32_t at = meter->samples++ % METER_SAMPLES;
    meter->sample[at].at_ms = meter->sampled_at_ms = at_ms;
    meter->sample[at].bytes = meter->bytes;
}

static double rate(const struct meter *meter, int64_t at_ms)
{
    const uint32_t oldest = meter->samples > METER_SAMPLES ? meter->samples % METER_SAMPLES : 0;
    const int64_t ms = at_ms - meter->sample[oldest].at_ms;
    const int64_t bytes = meter->bytes - meter->sample[oldest].bytes;
    return ms > 0 && bytes > 0 ? 1000.0 * (double)bytes / (double)ms : 0;
}

static void describe(const struct meter *meter, struct buf *out, int64_t at_ms, bool bar)
{
    char a[32], b[32];
    const double share = meter->bytes_total ? (double)meter->bytes / (double)meter->bytes_total : 0;
    const double per_s = rate(meter, at_ms);
    print_cut(out, meter->model, NAME_COLUMNS);
    buf_text(out, "  ");
    for (int i = 0; bar && i < BAR_COLUMNS; i++)
        buf_byte(out, i < (int)(share * BAR_COLUMNS) ? '#' : '-');
    buf_printf(out, "%s%3d %%  %s of %s", bar ? " " : "", (int)(share * 100),
               str_human_bytes(a, sizeof a, (double)meter->bytes),
               str_human_bytes(b, sizeof b, (double)meter->bytes_total));
    if (per_s <= 0) return;
    const int64_t left_ms = (int64_t)(1000.0 * (double)(meter->bytes_total - meter->bytes) / per_s);
    buf_printf(out, "  %s/s  %s left", str_human_bytes(a, sizeof a, per_s),
               str_human_ms(b, sizeof b, left_ms));
}

void meter_tick(void *ctx)
{
    struct meter *meter = ctx;
    struct buf out, cut;
    const int64_t at_ms = now_ms();
    if (meter->quiet || !meter->bytes_total) return;
    sample(meter, at_ms);
    const uint32_t width = print_width(STDERR_FILENO);
    if (at_ms - meter->shown_at_ms < (width ? DRAW_MS : LINE_MS)) return;
    meter->shown_at_ms = at_ms;
    buf_init(&out, 0);
    buf_init(&cut, 0);
    describe(meter, &out, at_ms, width > 0);
    if (width) {
        buf_text(&cut, "\r\033[K");
        print_cut(&cut, buf_str(&out), width - 1);
        meter->drawn = true;
    } else {
        buf_printf(&cut, "%s\n", buf_str(&out));
    }
    print_out(stderr, &cut);
    buf_deinit(&out);
    buf_deinit(&cut);
}

void meter_clear(struct meter *meter)
{
    if (meter->drawn) (void)fputs("\r\033[K", stderr);
    meter->drawn = false;
}

void meter_say(struct meter *meter, const char *fmt, ...)
{
    char text[512];
    struct buf out;
    va_list args;
    if (meter->quiet) return;
    meter_clear(meter);
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    buf_init(&out, 0);
    print_clean(&out, text);
    buf_byte(&out, '\n');
    print_out(stderr, &out);
    buf_deinit(&out);
}
