-- tasks.lua - a page of tasks by number. Looks at a bounded number of tasks: a page may be short,
-- or empty, and still name a next one.
-- args: from, rows, state (0: any), log_tails, has_index, index

local function tasks_state(job, index, rec, fin)
    if fin then return TASK.DONE end
    local cancelled = job.state == JOB.CANCELLING or job.state == JOB.CANCELLED
    local state = rec and rec[R_STATE] or TASK.READY
    if cancelled and (state == TASK.READY or state == TASK.WAITING) then return TASK.CANCELLED end
    return state
end

local function tasks_row(job, index, rec, state, tails, cache)
    local phase, name = task_entry(job, index, cache)
    local fin = state == TASK.DONE and fin_get(job, index) or nil
    local due = (state == TASK.LEASED or state == TASK.WAITING) and
        call('ZSCORE', key(job, 'due'), digits(index)) or 0
    rec = rec or rec_new(phase, name)
    local tail = tails and rec[R_TAIL] and call('HGET', key(job, 'tail'), digits(index)) or ''
    return { index, phase, state, fin and fin.a or rec[R_ATTEMPTS], fin and fin.f or
        rec[R_FAILURES], fin and fin.l or rec[R_LOSSES], tonumber(due), rec[R_CODE], name,
        rec[R_WORKER], rec[R_WHY], rec[R_PROGRESS], tail, fin and fin.digest or '' }
end

local function tasks_one(job, index, tails, cache)
    local rec = live_get(job, index)
    local fin = not rec and index < job.next and fin_get(job, index)
    return tasks_row(job, index, rec, tasks_state(job, index, rec, fin), tails, cache)
end

-- Every task from `from` on.
local function tasks_all(job, page, from, rows)
    local last, cache = math.min(job.total, from + rows), {}
    for index = from, last - 1 do
        page[#page + 1] = tasks_one(job, index, page.tails, cache)
    end
    return last < job.total and last or nil
end

-- Tasks that are done: their records are looked through.
local function tasks_done(job, page, from, rows)
    local last = math.min(job.next, from + SCAN_MAX)
    local cache = {}
    for index = from, last - 1 do
        if #page >= rows then return index end
        if fin_get(job, index) then
            page[#page + 1] = tasks_row(job, index, nil, TASK.DONE, page.tails, cache)
        end
    end
    return last < job.next and last or nil
end

-- Tasks in another state: their live records, then those that were never taken.
local function tasks_live(job, page, from, rows, state)
    local cache = {}
    local live = call('ZRANGE', key(job, 'order'), from, '+inf', 'BYSCORE', 'LIMIT', 0,
        SCAN_MAX)
    for _, member in ipairs(live) do
        local index = tonumber(member)
        if #page >= rows then return index end
        local rec = live_get(job, index)
        if tasks_state(job, index, rec) == state then
            page[#page + 1] = tasks_row(job, index, rec, state, page.tails, cache)
        end
    end
    if #live == SCAN_MAX then return tonumber(live[#live]) + 1 end
    if tasks_state(job, job.next) ~= state then return nil end
    for index = math.max(from, job.next), job.total - 1 do
        if #page >= rows then return index end
        page[#page + 1] = tasks_row(job, index, nil, state, page.tails, cache)
    end
    return nil
end

job_function('tasks', READS, function(job, args)
    local from, rows, state = tonumber(args[1]), tonumber(args[2]), tonumber(args[3])
    local page, next_from = { tails = args[4] == '1' }, nil
    if args[5] == '1' then
        local index = tonumber(args[6])
        if index >= job.total then
            return CODE.NOT_FOUND, string.format('the job has no task %d', index)
        end
        page[1] = tasks_one(job, index, page.tails, {})
    elseif state == 0 then
        next_from = tasks_all(job, page, from, rows)
    elseif state == TASK.DONE then
        next_from = tasks_done(job, page, from, rows)
    else
        next_from = tasks_live(job, page, from, rows, state)
    end
    local token = next_from and string.format('%.0f', next_from) or ''
    page.tails = nil
    return CODE.OK, '', #page, { token, page }
end)
