-- pause.lua - no task is taken until resume; running attempts go on.

job_function('pause', WRITES, function(job)
    if job_ended(job) or job.paused == 1 then return CODE.OK end
    job.paused = 1
    job_event(job, 'job.paused')
    return CODE.OK
end)
