-- 01_job.lua - the job: its hash is loaded once, changed as a table, and saved once.

local JOB_VERSION = 7 -- the place of version
-- Texts that change. dead_why: the first death. `head` never does: the packed vlmq.Job.
local JOB_TEXTS = { 'reason', 'dead_why', 'source_why' }

local function key(job, name)
    return job.prefix .. name
end

-- The numbers are one packed array in the field `n`, in the order of numbers_list. Both are written
-- out because every call pays for them: a table that grows name by name costs three times as much.
-- total counts all tasks; ready is what the other sums leave of it. next: tasks from here on were
-- never taken. plans, plans_dead: planning tasks that are not done, and dead ones among them.
-- close: the closing task that is not done yet, or -1. position: entries taken from the source
-- job. held_failed: 1 if RELEASE failed it. The tables at the end are what 02_task.lua has read and
-- not yet written.
local function job_table(job_key, n, head, reason, dead_why, source_why)
    return {
        key = job_key, prefix = string.sub(job_key, 1, -4), head = head, was = n,
        reason = reason or '', dead_why = dead_why or '', source_why = source_why or '',
        state = n[1] or 0, paused = n[2] or 0, priority = n[3] or 0, submitted = n[4] or 0,
        started = n[5] or 0, ended = n[6] or 0, version = n[7] or 0, total = n[8] or 0,
        next = n[9] or 0, leased = n[10] or 0, waiting = n[11] or 0, done = n[12] or 0,
        dead = n[13] or 0, cancelled = n[14] or 0, items_total = n[15] or 0, items = n[16] or 0,
        items_ok = n[17] or 0, bytes = n[18] or 0, plans = n[19] or 0, plans_dead = n[20] or 0,
        close = n[21] or 0, source = n[22] or 0, position = n[23] or 0,
        attempts_max = n[24] or 0, held_failed = n[25] or 0,
        recs = {}, changed = {}, fresh = {}, due = {}, fins = {}, left = {}, made = {},
        counts = {}, known = {},
    }
end

local function numbers_list(job)
    return {
        job.state, job.paused, job.priority, job.submitted, job.started, job.ended, job.version,
        job.total, job.next, job.leased, job.waiting, job.done, job.dead, job.cancelled,
        job.items_total, job.items, job.items_ok, job.bytes, job.plans, job.plans_dead, job.close,
        job.source, job.position, job.attempts_max, job.held_failed,
    }
end

local function job_new(job_key, head)
    return job_table(job_key, {}, head)
end

local function job_load(job_key)
    local values = call('HMGET', job_key, 'n', 'head', unpack(JOB_TEXTS))
    if not values[1] then return nil end
    local was = cmsgpack.unpack(values[1])
    local job = job_table(job_key, was, values[2], values[3], values[4], values[5])
    for i = 1, #JOB_TEXTS do was[JOB_TEXTS[i]] = job[JOB_TEXTS[i]] end
    return job
end

-- Writes what changed, and a new version with it.
local function job_save(job)
    local was, numbers, texts, changed = job.was, numbers_list(job), {}, false
    for i = 1, #numbers do
        if numbers[i] ~= was[i] then
            changed = true
            break
        end
    end
    for i = 1, #JOB_TEXTS do
        local name = JOB_TEXTS[i]
        if job[name] ~= was[name] then
            changed = true
            texts[#texts + 1] = name
            texts[#texts + 1] = job[name]
        end
    end
    if not changed then return end
    job.version = job.version + 1
    numbers[JOB_VERSION] = job.version
    call('HSET', job.key, 'n', cmsgpack.pack(numbers), unpack(texts))
end

local function job_ready(job)
    return job.total - job.leased - job.waiting - job.done - job.dead - job.cancelled
end

local function job_ended(job)
    return job.state == JOB.DONE or job.state == JOB.FAILED or job.state == JOB.CANCELLED
end

local function job_due(job)
    if job_ended(job) or (job.leased == 0 and job.waiting == 0) then return 0 end
    local first = call('ZRANGE', key(job, 'due'), 0, 0, 'WITHSCORES')
    return tonumber(first[2] or 0)
end

-- The job in a reply; reply.c reads it in this order.
local function job_view(job, now)
    return {
        job.head, job.reason, job.state, job.paused, job.priority, job.submitted, job.started,
        job.ended, now, job.version, job.total, job_ready(job), job.leased, job.waiting, job.done,
        job.dead, job.cancelled, job.items_total, job.items, job.items_ok, job.bytes, job_due(job),
    }
end

local function job_event(job, name, text)
    call('XADD', key(job, 'events'), 'MAXLEN', '~', EVENTS_MAX, '*', 'n', name, 'x',
        text or '')
end

local function task_event(job, name, index, rec, text)
    call('XADD', key(job, 'events'), 'MAXLEN', '~', EVENTS_MAX, '*', 'n', name, 'x',
        text or '', 't', digits(index), 'a', digits(rec[R_ATTEMPTS]), 'w', rec[R_WORKER])
end
