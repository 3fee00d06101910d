-- grace.lua - after Redis was away: every lease gets its full length once more, also one whose end
-- seems far because the clock has jumped back. It counts as not begun until it is renewed: whoever
-- died while nobody could be told, or holds it only because Redis has forgotten its end, is not
-- what its task did.

job_function('grace', WRITES, function(job, args, now)
    if job_ended(job) then return CODE.OK end
    local deadline = now + LEASE_TTL_MS
    due_save(job)
    local due = call('ZRANGE', key(job, 'due'), 0, -1)
    local moved = 0
    for _, member in ipairs(due) do
        local index = tonumber(member)
        local rec = live_get(job, index)
        if rec[R_STATE] == TASK.LEASED then
            due_set(job, index, deadline)
            rec[R_RENEWED] = false
            live_put(job, index, rec)
            moved = moved + 1
        end
    end
    return CODE.OK, '', moved
end)
