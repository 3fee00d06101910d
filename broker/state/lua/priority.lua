-- priority.lua - sets the job's priority.
-- args: priority

job_function('priority', WRITES, function(job, args)
    local priority = tonumber(args[1])
    if job_ended(job) or job.priority == priority then return CODE.OK end
    job.priority = priority
    job_event(job, 'job.priority', 'priority ' .. args[1])
    return CODE.OK
end)
