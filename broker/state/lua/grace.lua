-- grace.lua - after Redis was away: every lease gets its full length once more.

job_function('grace', WRITES, function(job, args, now)
    if job_ended(job) then return CODE.OK end
    local deadline = now + LEASE_TTL_MS
    due_save(job)
    local due = call('ZRANGE', key(job, 'due'), '-inf', digits(deadline), 'BYSCORE')
    local moved = 0
    for _, member in ipairs(due) do
        local index = tonumber(member)
        if live_get(job, index)[R_STATE] == TASK.LEASED then
            due_set(job, index, deadline)
            moved = moved + 1
        end
    end
    return CODE.OK, '', moved
end)
