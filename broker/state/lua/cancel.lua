-- cancel.lua - ends a job: what is not running is cancelled at once, whatever its number; what runs
-- is told with its next renewal, and the job is cancelled when the last attempt has let go.
-- args: reason

job_function('cancel', WRITES, function(job, args, now)
    if job_ended(job) or job.state == JOB.CANCELLING then return CODE.OK end
    job.cancelled = job.cancelled + job_ready(job) + job.waiting
    job.waiting = 0
    job.state = JOB.CANCELLING
    job.reason = args[1]
    call('UNLINK', key(job, 'again'), key(job, 'alone'))
    job_event(job, 'job.cancelling', args[1])
    job_settle(job, now)
    return CODE.OK
end)
