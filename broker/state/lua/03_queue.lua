-- 03_queue.lua - how tasks and jobs change state.

-- A task may be taken again: alone when it has cost workers their lives.
local function task_ready(job, index, rec)
    rec[R_STATE] = TASK.READY
    call('RPUSH', key(job, rec[R_LOSSES] >= LOSSES_ALONE and 'alone' or 'again'), digits(index))
end

-- The lease is over. What it had got through leaves the sums; the next attempt counts anew.
local function lease_end(job, index, rec, outcome)
    rec[R_LAST], rec[R_OUTCOME] = rec[R_LEASE], outcome
    rec[R_LEASE] = ''
    progress_set(job, rec, 0, 0, 0)
    rec[R_PROGRESS] = ''
    due_drop(job, index)
    job.leased = job.leased - 1
end

local function task_cancelled(job, rec)
    rec[R_STATE] = TASK.CANCELLED
    job.cancelled = job.cancelled + 1
end

local function task_wait(job, index, rec, due)
    rec[R_STATE] = TASK.WAITING
    job.waiting = job.waiting + 1
    due_set(job, index, due)
end

local function task_dead(job, index, rec)
    rec[R_STATE] = TASK.DEAD
    job.dead = job.dead + 1
    if job.dead_why == '' then job.dead_why = rec[R_WHY] end
    if rec[R_PHASE] == PHASE.PLAN then job.plans_dead = job.plans_dead + 1 end
    task_event(job, 'task.dead', index, rec, rec[R_WHY])
end

-- Undoes task_dead; failures and losses count anew.
local function task_revive(job, index, rec)
    rec[R_FAILURES], rec[R_LOSSES], rec[R_UNSTARTED] = 0, 0, 0
    job.dead = job.dead - 1
    if rec[R_PHASE] == PHASE.PLAN then job.plans_dead = job.plans_dead - 1 end
    task_ready(job, index, rec)
    live_put(job, index, rec)
end

local function job_end(job, state, name, reason, now)
    job.state = state
    job.ended = now
    job.reason = reason
    call('UNLINK', key(job, 'took'))
    job_event(job, name, reason)
end

-- All tasks have ended: the closing task is appended, or tried again if it died before a retry.
local function job_close(job)
    job.state = JOB.CLOSING
    local rec = job.close >= 0 and live_get(job, job.close)
    if rec then
        task_revive(job, job.close, rec)
    else
        job.close = job.total
        tasks_append(job, { string.char(PHASE.CLOSE, 0) }, 1)
    end
    job_event(job, 'job.closing')
end

local function deaths(job)
    return string.format('%d %s dead: %s', job.dead, job.dead == 1 and 'task is' or 'tasks are',
        job.dead_why)
end

-- The closing task is done: how the job ends.
local function job_closed(job, now)
    job.close = -1
    if job.dead > 0 then
        job_end(job, JOB.FAILED, 'job.failed', deaths(job), now)
    elseif job.source == SOURCE.FAILED then
        job_end(job, JOB.FAILED, 'job.failed', job.source_why, now)
    else
        job_end(job, JOB.DONE, 'job.done', '', now)
    end
end

local function settle_open(job, now)
    if job.plans_dead > 0 then
        if job.leased == 0 then
            job_end(job, JOB.FAILED, 'job.failed', 'planning failed: ' .. job.dead_why, now)
        end
        return
    end
    if job.plans > 0 then
        job.state = JOB.PLANNING
        return
    end
    if job.state == JOB.PLANNING then
        job.state = JOB.RUNNING
        job_event(job, 'job.planned')
    end
    local busy = job.leased + job.waiting + job_ready(job)
    if busy == 0 and job.source ~= SOURCE.OPEN then job_close(job) end
end

-- Called after every change of a task: moves the job on when its tasks say so.
local function job_settle(job, now)
    if job.state == JOB.PLANNING or job.state == JOB.RUNNING then
        settle_open(job, now)
    elseif job.state == JOB.CLOSING then
        local rec = live_get(job, job.close)
        if rec and rec[R_STATE] == TASK.DEAD then
            job_end(job, JOB.FAILED, 'job.failed', 'closing failed: ' .. rec[R_WHY], now)
        end
    elseif job.state == JOB.CANCELLING and job.leased == 0 then
        due_save(job)
        call('UNLINK', key(job, 'due'))
        job_end(job, JOB.CANCELLED, 'job.cancelled', job.reason, now)
    end
end

local function job_takeable(job)
    return job.paused == 0 and job.plans_dead == 0 and
        (job.state == JOB.PLANNING or job.state == JOB.RUNNING or job.state == JOB.CLOSING)
end

-- How many of `count` tasks from `offset` on are there already, or nil, a code and a sentence.
local function add_check(job, rec, offset, count)
    if rec[R_PHASE] == PHASE.CLOSE and count > 0 then
        return nil, CODE.INVALID, 'a closing task cannot add tasks'
    end
    if offset > rec[R_ADDED] then -- Redis has forgotten some: the attempt must not go on from them
        return nil, CODE.STALE, string.format(
            'tasks from number %d on cannot be added: only %d are there', offset, rec[R_ADDED])
    end
    local skip = math.min(count, rec[R_ADDED] - offset)
    if job.total + count - skip > TASKS_MAX then
        return nil, CODE.LIMIT, string.format('a job has at most %.0f tasks', TASKS_MAX)
    end
    return skip
end

local function add_apply(job, rec, args, at, skip)
    local entries, items = entries_read(args, at, skip)
    tasks_append(job, entries, 1)
    job.items_total = job.items_total + items
    rec[R_ADDED] = rec[R_ADDED] + #entries
end
