-- release.lua - the job that this one waits for has ended.
-- args: ok, reason

job_function('release', WRITES, function(job, args, now)
    if job.state ~= JOB.HELD then return CODE.OK end
    if args[1] == '1' then
        job.state = job.plans > 0 and JOB.PLANNING or JOB.RUNNING
        job.reason = ''
        job_event(job, 'job.released')
        job_settle(job, now)
    else
        job.held_failed = 1
        job_end(job, JOB.FAILED, 'job.failed', args[2], now)
    end
    return CODE.OK
end)
