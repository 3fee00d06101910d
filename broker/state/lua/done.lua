-- done.lua - an attempt has committed its output.
-- args: index, lease, digest, items, items_ok, bytes, made, offset, number of counters,
--       then (name, value) for each, then (entry, items) for each new task

local DONE_COUNTERS = 10 -- where they begin

-- The same done before?
local function done_repeated(job, index, lease, digest)
    local fin = fin_get(job, index)
    return fin and fin.lease == lease_prefix(lease) and fin.digest == string.sub(digest, 1, 16)
end

-- Would the new names still fit? A name may come twice.
local function done_counters_fit(job, args, count)
    if count == 0 then return true end
    local known, fresh, seen = counts_known(job), 0, {}
    if job.counters + count <= COUNTERS_MAX then return true end
    for i = 0, count - 1 do
        local name = args[DONE_COUNTERS + 2 * i]
        if not known[name] and not seen[name] then fresh = fresh + 1 end
        seen[name] = true
    end
    return job.counters + fresh <= COUNTERS_MAX
end

local function done_count(job, args, count)
    for i = 0, count - 1 do
        counts_add(job, args[DONE_COUNTERS + 2 * i], args[DONE_COUNTERS + 2 * i + 1])
    end
end

-- An entry of `made` is the index, and the name where it is not the task's own.
local function done_made(job, index, rec, made)
    if made == '' then return end
    local number = digits(index)
    job.made[#job.made + 1] = made == rec[R_NAME] and number or number .. ':' .. made
end

-- The task's own memory shrinks to its record in fin.
local function done_pack(job, index, rec, digest)
    fin_put(job, index, rec, digest)
    if rec[R_CURSOR] then call('HDEL', key(job, 'cursor'), digits(index)) end
    if rec[R_TAIL] then call('HDEL', key(job, 'tail'), digits(index)) end
    live_drop(job, index)
end

attempt_call('done', function(job, args, now)
    local index, lease, digest = tonumber(args[1]), args[2], args[3]
    local rec = live_held(job, index, lease)
    if not rec then
        if done_repeated(job, index, lease, digest) then return CODE.OK end
        return CODE.STALE, 'the lease is over'
    end
    local counters = tonumber(args[9])
    if not done_counters_fit(job, args, counters) then
        return CODE.INVALID, string.format('a job has at most %d counters', COUNTERS_MAX)
    end
    local tasks_at = DONE_COUNTERS + 2 * counters
    local skip, code, text = add_check(job, rec, tonumber(args[8]), (#args - tasks_at + 1) / 2)
    if not skip then return code, text end

    if job.state ~= JOB.CANCELLING then add_apply(job, rec, args, tasks_at, skip) end
    progress_set(job, rec, tonumber(args[4]), tonumber(args[5]), tonumber(args[6]))
    done_count(job, args, counters)
    done_made(job, index, rec, args[7])
    done_pack(job, index, rec, digest)
    job.leased = job.leased - 1
    job.done = job.done + 1
    if rec[R_PHASE] == PHASE.PLAN then job.plans = job.plans - 1 end
    if job.state == JOB.CLOSING then job_closed(job, now) else job_settle(job, now) end
    return CODE.OK
end, true)
