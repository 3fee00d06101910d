-- 01_job.lua - the job's hash: loaded once, changed as a table, saved once.

-- The numbers are one packed array in the field `n`, in this order.
-- total counts all tasks; ready is what the other sums leave of it. next: tasks from here on were
-- never taken. plans, plans_dead: planning tasks that are not done, and dead ones among them.
-- close: the closing task that is not done yet, or -1. position: entries taken from the source
-- job. held_failed: 1 if RELEASE failed it.
local JOB_NUMBERS = {
    'state', 'paused', 'priority', 'submitted', 'started', 'ended', 'version', 'total', 'next',
    'leased', 'waiting', 'done', 'dead', 'cancelled', 'items_total', 'items', 'items_ok', 'bytes',
    'plans', 'plans_dead', 'close', 'source', 'position', 'attempts_max', 'held_failed',
}
local JOB_VERSION = 7 -- the place of version
-- Texts that change. dead_why: the first death. `head` never does: the packed vlmq.Job.
local JOB_TEXTS = { 'reason', 'dead_why', 'source_why' }

local function key(job, name)
    return job.prefix .. name
end

local function job_new(job_key, head)
    local job = { key = job_key, prefix = string.sub(job_key, 1, -4), was = {}, head = head }
    for i = 1, #JOB_NUMBERS do job[JOB_NUMBERS[i]] = 0 end
    for i = 1, #JOB_TEXTS do job[JOB_TEXTS[i]] = '' end
    return job
end

local function job_load(job_key)
    local values = redis.call('HMGET', job_key, 'n', 'head', unpack(JOB_TEXTS))
    if not values[1] then return nil end
    local was = cmsgpack.unpack(values[1])
    local job = { key = job_key, prefix = string.sub(job_key, 1, -4), was = was, head = values[2] }
    for i = 1, #JOB_NUMBERS do job[JOB_NUMBERS[i]] = was[i] or 0 end
    for i = 1, #JOB_TEXTS do
        local name = JOB_TEXTS[i]
        job[name] = values[2 + i] or ''
        was[name] = job[name]
    end
    return job
end

-- Writes what changed, and a new version with it.
local function job_save(job)
    local was, numbers, texts, changed = job.was, {}, {}, false
    for i = 1, #JOB_NUMBERS do
        numbers[i] = job[JOB_NUMBERS[i]]
        if numbers[i] ~= was[i] then changed = true end
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
    redis.call('HSET', job.key, 'n', cmsgpack.pack(numbers), unpack(texts))
end

local function job_ready(job)
    return job.total - job.leased - job.waiting - job.done - job.dead - job.cancelled
end

local function job_ended(job)
    return job.state == JOB.DONE or job.state == JOB.FAILED or job.state == JOB.CANCELLED
end

local function job_due(job)
    if job_ended(job) or (job.leased == 0 and job.waiting == 0) then return 0 end
    local first = redis.call('ZRANGE', key(job, 'due'), 0, 0, 'WITHSCORES')
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
    redis.call('XADD', key(job, 'events'), 'MAXLEN', '~', EVENTS_MAX, '*', 'n', name, 'x',
        text or '')
end

local function task_event(job, name, index, rec, text)
    redis.call('XADD', key(job, 'events'), 'MAXLEN', '~', EVENTS_MAX, '*', 'n', name, 'x',
        text or '', 't', index, 'a', rec.a, 'w', rec.w)
end

-- A function on one job that exists: body(job, args, now) checks, then writes, and returns code,
-- text, count, rows. It changes the fields of job only when it returns OK.
local function job_function(name, flags, body)
    redis.register_function{
        function_name = 'vlmq_1_' .. name,
        flags = flags,
        callback = function(keys, args)
            local now = time_ms()
            local job = job_load(keys[1])
            if not job then
                return { CODE.NOT_FOUND, 'no such job', false, 0, {} }
            end
            local code, text, count, rows = body(job, args, now)
            job_save(job)
            return { code, text or '', job_view(job, now), count or 0, rows or {} }
        end,
    }
end
