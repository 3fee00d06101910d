-- resume.lua - undoes pause.

job_function('resume', WRITES, function(job)
    if job_ended(job) or job.paused == 0 then return CODE.OK end
    job.paused = 0
    job_event(job, 'job.resumed')
    return CODE.OK
end)
