-- grace.lua - after Redis was away: every lease gets its full length once more.

job_function('grace', WRITES, function(job, args, now)
    if job_ended(job) then return CODE.OK end
    local deadline = now + LEASE_TTL_MS
    local due = redis.call('ZRANGE', key(job, 'due'), '-inf', deadline, 'BYSCORE')
    local moved = 0
    for _, index in ipairs(due) do
        if live_get(job, index).s == TASK.LEASED then
            redis.call('ZADD', key(job, 'due'), deadline, index)
            moved = moved + 1
        end
    end
    return CODE.OK, '', moved
end)
