/* summary.c - what is left to say when a job has ended. */
#include "client/output/classes.h"
#include "client/print.h"
#include "client/watch/follow.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CLASSES_SHOWN 5

static void totals(const Vlmq__Job *job)
{
    char items[32], ok[32], bytes[24], speed[24], share[24];
    const Vlmq__Progress *p = job->progress;
    if (!p || !p->items) return;
    const int64_t from = job->started_at_ms ? job->started_at_ms : job->submitted_at_ms;
    const int64_t span = job->ended_at_ms > from ? job->ended_at_ms - from : 1;
    struct buf line;
    buf_init(&line, 0);
    buf_printf(&line, "  items    %s: %s ok (%s)", print_grouped(items, sizeof items, p->items),
               print_grouped(ok, sizeof ok, p->items_ok),
               print_share(share, sizeof share, p->items_ok, p->items));
    buf_printf(&line, ", %s/s",
               str_human_count(speed, sizeof speed, 1000.0 * (double)p->items / (double)span));
    if (p->bytes) buf_printf(&line, ", %s", str_human_bytes(bytes, sizeof bytes, (double)p->bytes));
    print_line("%s", buf_str(&line));
    buf_deinit(&line);
}

static void failures(const Vlmq__Job *job)
{
    struct class_list classes;
    struct buf line;
    classes_of(&classes, job);
    if (!classes.count) return;
    buf_init(&line, 0);
    for (uint32_t i = 0; i < classes.count && i < CLASSES_SHOWN; i++) {
        char value[32];
        buf_printf(&line, "%s%s %s", i ? ", " : "", classes.item[i].name,
                   print_grouped(value, sizeof value, classes.item[i].value));
    }
    if (classes.count > CLASSES_SHOWN)
        buf_printf(&line, ", and %" PRIu32 " more classes", classes.count - CLASSES_SHOWN);
    print_line("  failed   %s", buf_str(&line));
    buf_deinit(&line);
}

static enum exit_status outcome(const Vlmq__Job *job)
{
    if (job->state == VLMQ__JOB_STATE__JOB_DONE) return STATUS_OK;
    if (job->state == VLMQ__JOB_STATE__JOB_CANCELLED) return STATUS_CANCELLED;
    return STATUS_FAILED;
}

static void next_steps(const Vlmq__Job *job)
{
    /* Where planning failed, the same request would fail again. */
    if (job->tasks_dead && job->tasks_total > 1)
        print_line("next: vlmq errors %s, then vlmq retry %s", job->id, job->id);
    else if (job->state == VLMQ__JOB_STATE__JOB_DONE && job->output[0])
        print_line("next: vlmq results %s, vlmq errors %s", job->id, job->id);
    else if (job->state == VLMQ__JOB_STATE__JOB_FAILED)
        print_line("next: vlmq logs %s", job->id);
}

void follow_summary(struct command *cmd, const Vlmq__Job *job)
{
    char took[24];
    cmd->status = outcome(job);
    if (cmd->json) {
        struct buf out;
        buf_init(&out, 0);
        buf_text(&out, "{\"job\":");
        command_job_json(&out, job, &cmd->arena);
        buf_text(&out, ",\"tasks\":[],\"final\":true}\n");
        print_out(stdout, &out);
        buf_deinit(&out);
        return;
    }
    print_line("%s: %s %s in %s%s%s", vlmq_job_state(job), job->kind, job->id,
               str_human_ms(took, sizeof took, job->ended_at_ms - job->submitted_at_ms),
               job->reason[0] ? ": " : "", job->reason);
    totals(job);
    failures(job);
    print_line("  tasks    %" PRIu32 " done, %" PRIu32 " dead of %" PRIu32, job->tasks_done,
               job->tasks_dead, job->tasks_total);
    if (job->output[0]) {
        print_line("  output   %s", job->output);
        if (job->state == VLMQ__JOB_STATE__JOB_DONE)
            print_line("  report   vlmq report %s --open", job->id);
    }
    next_steps(job);
}

void follow_left(const char *id)
{
    (void)fprintf(stderr,
                  "\nvlmq: no longer waiting; job %s goes on\n"
                  "  watch it:  vlmq watch %s\n  end it:    vlmq cancel %s\n",
                  id, id, id);
}
