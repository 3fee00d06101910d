-- renew.lua - moves a lease's deadline; keeps its progress and its cursor.
-- args: index, lease, items, items_ok, bytes, packed progress, has_cursor, cursor

attempt_call('renew', function(job, args, now)
    local index = tonumber(args[1])
    local rec = live_held(job, index, args[2])
    if not rec then return CODE.STALE, 'the lease is over' end
    if job.state == JOB.CANCELLING then return CODE.CANCELLED, 'the job was cancelled' end
    rec[R_RENEWED], rec[R_UNSTARTED] = true, 0
    progress_set(job, rec, tonumber(args[3]), tonumber(args[4]), tonumber(args[5]))
    rec[R_PROGRESS] = args[6]
    if args[7] == '1' then cursor_put(job, index, rec, args[8]) end
    live_put(job, index, rec)
    due_set(job, index, now + LEASE_TTL_MS)
    return CODE.OK
end, true)
