-- yield.lua - an attempt hands its task back; nothing is held against anyone.
-- args: index, lease, has_cursor, cursor, reason

attempt_call('yield', function(job, args, now)
    local index, lease = tonumber(args[1]), args[2]
    local rec, other = live_held(job, index, lease)
    if not rec then
        if other and other[R_LAST] == lease and other[R_OUTCOME] == 'yield' then return CODE.OK end
        return CODE.STALE, 'the lease is over'
    end
    lease_end(job, index, rec, 'yield')
    if args[3] == '1' then cursor_put(job, index, rec, args[4]) end
    task_event(job, 'task.yielded', index, rec, args[5])
    if job.state == JOB.CANCELLING then
        task_cancelled(job, rec)
    else
        task_ready(job, index, rec)
    end
    live_put(job, index, rec)
    job_settle(job, now)
    return CODE.OK
end, true)
