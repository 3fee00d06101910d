-- retry.lua - revives dead tasks and opens an ended job again; a job that failed because its
-- predecessor did is held again, one whose source failed looks at its source again.
-- args: has_index, index

local function retry_refused(job, one, index)
    if job.state == JOB.CANCELLING or job.state == JOB.CANCELLED then
        return CODE.INVALID,
            'the job was cancelled: submit it again, what it has committed is adopted'
    elseif job.state == JOB.CLOSING then
        return CODE.LIMIT, 'the job is closing: retry it when it has ended'
    elseif one and index >= job.total then
        return CODE.NOT_FOUND, string.format('the job has no task %d', index)
    end
end

-- Revives one dead task, if it is one. The closing task waits until the others have ended.
local function retry_one(job, index)
    local rec = live_get(job, index)
    if not rec or rec[R_STATE] ~= TASK.DEAD then return 0 end
    if index == job.close then return job.state == JOB.FAILED and 1 or 0 end
    task_revive(job, index, rec)
    return 1
end

local function retry_all(job)
    local revived, from, step = 0, 0, 1000
    while job.dead > 0 and revived < RETRY_MAX do
        local page = call('ZRANGE', key(job, 'order'), from, from + step - 1)
        if #page == 0 then break end
        for _, index in ipairs(page) do
            if revived == RETRY_MAX then break end
            revived = revived + retry_one(job, tonumber(index))
        end
        from = from + step
    end
    return revived
end

local function retry_reopen(job, now)
    job.reason = ''
    job.ended = 0
    if job.held_failed == 1 then
        job.held_failed = 0
        job.state = JOB.HELD
    else
        job.state = job.plans > 0 and JOB.PLANNING or JOB.RUNNING
    end
    job_event(job, 'job.retried')
    job_settle(job, now)
end

job_function('retry', WRITES, function(job, args, now)
    local one, index = args[1] == '1', tonumber(args[2])
    local code, text = retry_refused(job, one, index)
    if code then return code, text end
    local failed = job.state == JOB.FAILED
    local revived = one and retry_one(job, index) or not one and retry_all(job) or 0
    local reopened = failed and not one and (job.held_failed == 1 or job.source == SOURCE.FAILED)
    if reopened and job.source == SOURCE.FAILED then
        job.source, job.source_why = SOURCE.OPEN, ''
    end
    if revived > 0 and job.dead == (job.close >= 0 and 1 or 0) then job.dead_why = '' end
    if failed and (revived > 0 or reopened) then
        retry_reopen(job, now)
    elseif revived > 0 then
        job_event(job, 'job.retried')
    end
    return CODE.OK, '', revived
end)
