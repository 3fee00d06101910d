/* words.c - see model.h: what rules, properties and steps are called. */
#include "tests/model/model.h"

#include <stdio.h>

const struct rule_info model_rules[RULES_COUNT] = {
    [RULE_DONE_LEASE] = {"DONE: the lease in force", "broker/state/lua/done.lua", "live_held"},
    [RULE_FAIL_LEASE] = {"FAIL: the lease in force", "broker/state/lua/fail.lua", "live_held"},
    [RULE_YIELD_LEASE] = {"YIELD: the lease in force", "broker/state/lua/yield.lua", "live_held"},
    [RULE_RENEW_LEASE] = {"RENEW: the lease in force", "broker/state/lua/renew.lua", "live_held"},
    [RULE_TAKE_READY] = {"TAKE: only what is ready", "broker/state/lua/take.lua", "take_pop"},
    [RULE_LEASE_RANDOM] = {"lease ids by chance", "broker/match.c", "id_lease"},
    [RULE_COMMIT_FIRST] = {"DONE after the commit", "worker/jobs/download/work_write.c",
                           "attempt_commit"},
    [RULE_CREATE_ABSENT] = {"commit: create if absent", "common/store/attempt.c", "store_put_new"},
    [RULE_ADOPT] = {"adopt what is committed", "common/store/attempt.c", "attempt_open"},
    [RULE_ROLL_FORWARD] = {"publishing rolled forward", "common/store/attempt.c", "roll_forward"},
    [RULE_OWN_FILES] = {"losers remove own files only", "common/store/attempt.c", "attempt_close"},
    [RULE_KEEP_FILES] = {"doubtful commits keep files", "common/store/attempt.c", "settle"},
    [RULE_DONE_REPEAT] = {"DONE may be repeated", "broker/state/lua/done.lua", "done_repeated"},
    [RULE_SUBMIT_REPEAT] = {"SUBMIT may be repeated", "broker/state/lua/submit.lua", "digest"},
    [RULE_CLOSE_LAST] = {"closing after all is done", "broker/state/lua/03_queue.lua",
                         "settle_open"},
    [RULE_SWEEP] = {"closing sweeps", "common/store/attempt.c", "sweep_folder"},
    [RULE_SYNCED_ANSWER] = {"answers after the fsync", "docs/state.md", "appendfsync always"},
};

const char *const model_properties[PROPERTIES_COUNT] = {
    [HOLDS] = "none",
    [NO_REPLACED_OUTPUT] = "committed output was replaced",
    [NO_LOST_FILES] = "committed files were removed before they were published",
    [NO_EMPTY_DONE] = "the task is done with an output that is not the committed one",
    [NO_STOLEN_LEASE] = "a zombie ended another's attempt",
    [NO_REVIVED_LEASE] = "a lease that is over was renewed",
    [NO_SECOND_LEASE] = "a leased task was leased again",
    [NO_SHARED_ID] = "two live attempts share one lease id",
    [NO_DOUBLE_COUNT] = "one task was counted as done twice",
    [NO_SECOND_JOB] = "one submission made two jobs",
    [NO_EARLY_CLOSE] = "the job closed before its task was done",
    [NO_LOST_JOB] = "an accepted job vanished",
    [NO_UNDONE] = "a job reported done became un-done",
    [NO_UNPUBLISHED] = "the job closed and its output is not published",
    [NO_LEFT_FILES] = "private files are left at the end",
    [NO_TRAP] = "the job can never end",
};

static const char *const words[] = {
    [STEP_SUBMIT_SEND] = "the client sends SUBMIT",
    [STEP_SUBMIT_ARRIVE] = "SUBMIT arrives",
    [STEP_SUBMIT_LOSE] = "SUBMIT will not come again",
    [STEP_SUBMIT_ANSWER] = "the client hears that its job is accepted",
    [STEP_GET] = "the client asks for its job",
    [STEP_TAKE] = "takes the task",
    [STEP_TAKE_ANSWER] = "hears so",
    [STEP_TAKE_LOSE] = "does not hear so",
    [STEP_LOOK] = "looks for a manifest",
    [STEP_BEGIN] = "has found none and begins to write",
    [STEP_WRITE] = "writes its private files to the end",
    [STEP_COMMIT] = "commits",
    [STEP_COMMIT_DOUBT] = "commits and gets an error",
    [STEP_SETTLE] = "looks whether it has committed, and fails",
    [STEP_PUBLISH] = "publishes what the manifest names",
    [STEP_CLEAR] = "removes the task's private files",
    [STEP_DONE_SEND] = "sends DONE",
    [STEP_FAIL_SEND] = "sends FAIL and stops",
    [STEP_YIELD_SEND] = "sends YIELD and stops",
    [STEP_RENEW] = "sends RENEW",
    [STEP_ABANDON] = "finds its lease over and stops",
    [STEP_CRASH] = "is killed and comes back",
    [STEP_ARRIVE] = "arrives",
    [STEP_LOSE] = "will not come again",
    [STEP_REAP] = "the lease ends: the task is ready",
    [STEP_DUE] = "the backoff ends: the task is ready",
    [STEP_SWEEP] = "the closing task sweeps the output",
    [STEP_CLOSE] = "the closing task closes the job",
    [STEP_CLOSE_CRASH] = "the closing task is lost",
    [STEP_FSYNC] = "Redis writes its file to the disk",
    [STEP_FALL] = "Redis is killed and falls back to what is on the disk",
};

void model_words(char *text, uint32_t bytes, const struct state *from, const struct step *step)
{
    static const char *const messages[] = {"?", "DONE", "FAIL", "YIELD"};
    const char *told = "";
    const uint8_t who = step->who;
    if (step->kind == STEP_GET)
        told = from->now.job == JOB_CLOSED ? " and hears that it is done"
                                           : " and hears that there is none";
    if (step->kind >= STEP_ARRIVE && step->kind <= STEP_LOSE)
        (void)snprintf(text, bytes, "%s of lease %u %s", messages[from->sent[who - 1].message], who,
                       words[step->kind]);
    else if (step->kind >= STEP_TAKE && step->kind <= STEP_CRASH)
        (void)snprintf(text, bytes, "worker %c (lease %u) %s", 'A' + who,
                       from->worker[who].lease ? from->worker[who].lease
                                               : step->to.worker[who].lease,
                       words[step->kind]);
    else
        (void)snprintf(text, bytes, "%s%s", words[step->kind], told);
}
