-- resume.lua - undoes pause; of an ended job, too: a retry opens it again.

job_function('resume', WRITES, function(job)
    if job.paused == 0 then return CODE.OK end
    job.paused = 0
    job_event(job, 'job.resumed')
    return CODE.OK
end)
