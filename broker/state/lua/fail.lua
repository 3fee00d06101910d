-- fail.lua - an attempt failed: the task waits and is tried again, or is dead.
-- args: index, lease, blame, code, reason, log tail, jitter in [0,1)

-- Exponential with full jitter.
local function fail_delay(failures, jitter)
    local span = math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ^ (failures - 1))
    return math.max(BACKOFF_MIN_MS, math.floor(jitter * span))
end

-- A bounded number of log tails is kept; later ones are not, until tasks with one are done.
local function fail_tail(job, index, rec, tail)
    local tails = key(job, 'tail')
    if tail == '' then
        if rec[R_TAIL] then call('HDEL', tails, digits(index)) end
        rec[R_TAIL] = false
    elseif rec[R_TAIL] or call('HLEN', tails) < TAILS_MAX then
        call('HSET', tails, digits(index), tail)
        rec[R_TAIL] = true
    end
end

local function fail_task(job, index, rec, blame, jitter, now)
    if job.state == JOB.CANCELLING then return task_cancelled(job, rec) end
    if blame == BLAME.DEVICE then return task_ready(job, index, rec) end
    rec[R_FAILURES] = rec[R_FAILURES] + 1
    if blame == BLAME.INPUT or rec[R_FAILURES] >= job.attempts_max then
        return task_dead(job, index, rec)
    end
    task_wait(job, index, rec, now + fail_delay(rec[R_FAILURES], jitter))
end

attempt_call('fail', function(job, args, now)
    local index, lease = tonumber(args[1]), args[2]
    local rec, other = live_held(job, index, lease)
    if not rec then
        if other and other[R_LAST] == lease and other[R_OUTCOME] == 'fail' then return CODE.OK end
        return CODE.STALE, 'the lease is over'
    end
    rec[R_CODE], rec[R_WHY] = tonumber(args[4]), args[5]
    lease_end(job, index, rec, 'fail')
    fail_tail(job, index, rec, args[6])
    task_event(job, 'task.failed', index, rec, rec[R_WHY])
    fail_task(job, index, rec, tonumber(args[3]), tonumber(args[7]), now)
    live_put(job, index, rec)
    job_settle(job, now)
    return CODE.OK
end, true)
