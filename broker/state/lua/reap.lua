-- reap.lua - ends leases and backoffs that are due, a bounded number at a time.
-- args: the time that the caller believes in, or 0; ahead of it the clock has jumped

-- The worker vanished. Only a task that was being executed is charged for it.
local function reap_lost(job, index, rec)
    local charged = rec[R_RENEWED] or rec[R_UNSTARTED] >= UNSTARTED_MAX
    lease_end(job, index, rec, 'lost')
    if job.state == JOB.CANCELLING then return task_cancelled(job, rec) end
    local counter = charged and R_LOSSES or R_UNSTARTED
    rec[counter] = rec[counter] + 1
    rec[R_CODE] = CODE.UNAVAILABLE
    rec[R_WHY] = charged and string.format('its worker vanished %d %s, last on %s', rec[R_LOSSES],
        rec[R_LOSSES] == 1 and 'time' or 'times', rec[R_WORKER]) or
        'its worker vanished before it began: ' .. rec[R_WORKER]
    task_event(job, 'task.lost', index, rec, rec[R_WHY])
    if rec[R_LOSSES] >= LOSSES_DEAD then
        task_dead(job, index, rec)
    else
        task_ready(job, index, rec)
    end
end

-- A waiting task of a cancelled job was counted as cancelled then.
local function reap_waited(job, index, rec)
    due_drop(job, index)
    if job.state == JOB.CANCELLING then
        rec[R_STATE] = TASK.CANCELLED
        return
    end
    job.waiting = job.waiting - 1
    task_ready(job, index, rec)
end

-- Deadlines further ahead than any can be come from before the clock jumped back.
local function reap_pull_in(job, now)
    local limit = now + math.max(LEASE_TTL_MS, BACKOFF_MAX_MS) + CLOCK_SLACK_MS
    local far = call('ZRANGE', key(job, 'due'), '(' .. digits(limit), '+inf', 'BYSCORE', 'LIMIT', 0,
        REAP_MAX)
    for _, member in ipairs(far) do due_set(job, tonumber(member), now + LEASE_TTL_MS) end
    due_save(job)
end

job_function('reap', WRITES, function(job, args, now)
    if job_ended(job) then return CODE.OK end
    due_save(job)
    reap_pull_in(job, now)
    local believed = tonumber(args[1] or 0) -- a broker of before names none
    local last = believed > 0 and math.min(believed, now) or now
    local due = call('ZRANGE', key(job, 'due'), '-inf', digits(last), 'BYSCORE', 'LIMIT', 0,
        REAP_MAX)
    for _, member in ipairs(due) do
        local index = tonumber(member)
        local rec = live_get(job, index)
        if rec[R_STATE] == TASK.LEASED then
            reap_lost(job, index, rec)
        else
            reap_waited(job, index, rec)
        end
        live_put(job, index, rec)
    end
    if #due > 0 then job_settle(job, now) end
    return CODE.OK, '', #due
end)
