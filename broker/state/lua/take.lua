-- take.lua - leases tasks to a worker: a task that must run alone when the worker is idle, then
-- tasks that were tried before, then fresh ones.
-- args: count, worker, idle, then `count` lease ids

-- The next task of a list that is still ready, and its record.
local function take_pop(job, list)
    while true do
        local member = call('LPOP', key(job, list))
        if not member then return nil end
        local index = tonumber(member)
        local rec = live_get(job, index)
        if rec and rec[R_STATE] == TASK.READY then return index, rec end
    end
end

local function take_fresh(job, cache)
    if job.next >= job.total then return nil end
    local index = job.next
    job.next = index + 1
    local phase, name = task_entry(job, index, cache)
    return index, live_new(job, index, phase, name)
end

local function take_grant(job, index, rec, alone, cache)
    local phase, name, payload = task_entry(job, index, cache)
    local cursor = rec[R_CURSOR] and call('HGET', key(job, 'cursor'), digits(index)) or ''
    return { index, rec[R_ATTEMPTS], rec[R_ADDED], job.dead, phase, alone, name, rec[R_LEASE],
        payload, cursor }
end

local function take_lease(job, index, rec, worker, lease, now)
    rec[R_STATE], rec[R_LEASE], rec[R_WORKER], rec[R_RENEWED] = TASK.LEASED, lease, worker, false
    rec[R_ATTEMPTS] = rec[R_ATTEMPTS] + 1
    job.leased = job.leased + 1
    if job.started == 0 then job.started = now end
    live_put(job, index, rec)
    due_set(job, index, now + LEASE_TTL_MS)
end

-- The same take again: what it leased then and still holds. `took` keeps each worker's last take.
local function take_repeated(job, worker, args)
    local took = call('HGET', key(job, 'took'), worker)
    if not took or string.sub(took, 1, #args[4]) ~= args[4] then return nil end
    local rows, cache, at = {}, {}, 4
    for index, alone in string.gmatch(string.sub(took, #args[4] + 1), '(%d+)(a?)') do
        local rec = live_held(job, tonumber(index), args[at])
        if rec then
            rows[#rows + 1] = take_grant(job, tonumber(index), rec, alone == 'a' and 1 or 0, cache)
        end
        at = at + 1
    end
    return rows
end

local function take_next(job, idle, taken, cache)
    if idle and taken == 0 then
        local index, rec = take_pop(job, 'alone')
        if index then return index, rec, 1 end
    end
    local index, rec = take_pop(job, 'again')
    if not index then index, rec = take_fresh(job, cache) end
    return index, rec, 0
end

attempt_call('take', function(job, args, now)
    local want, worker, idle = tonumber(args[1]), args[2], args[3] == '1'
    local again = take_repeated(job, worker, args)
    if again then return CODE.OK, '', #again, again end
    if not job_takeable(job) then return CODE.OK end
    local rows, took, cache = {}, { args[4] }, {}
    for i = 1, want do
        local index, rec, alone = take_next(job, idle, #rows, cache)
        if not index then break end
        take_lease(job, index, rec, worker, args[3 + i], now)
        rows[i] = take_grant(job, index, rec, alone, cache)
        took[i + 1] = digits(index) .. (alone == 1 and 'a' or '')
        if alone == 1 then break end
    end
    if #rows > 0 then
        call('HSET', key(job, 'took'), worker, table.concat(took, ' '))
    end
    return CODE.OK, '', #rows, rows
end)
