/* place.c - the output folder of a job. */
#include "client/output/place.h"

int place_job(struct command *cmd, Vlmq__Job **job, struct err *err)
{
    char id[JOB_ID_BYTES];
    int rc = command_connect(cmd, err);
    if (!rc) rc = command_job(cmd, id, 0, err);
    return rc ? rc : vlmq_get(cmd->vlmq, job, id, &cmd->arena, err);
}

int place_open(struct store **store, const Vlmq__Job *job, struct err *err)
{
    if (!job->output[0]) return err_set(err, ERR_NOT_FOUND, "job %s has no output", job->id);
    const int rc = store_open(store, job->output, false, err);
    if (rc == ERR_NOT_FOUND)
        return err_set(err, ERR_NOT_FOUND,
                       "the output %s is not there; it may not be written yet, or this machine "
                       "may not see it",
                       job->output);
    return rc;
}
