-- add.lua - a running task adds tasks to its job.
-- args: index, lease, offset, then (entry, items) for each task

attempt_call('add', function(job, args, now)
    local index, lease, offset = tonumber(args[1]), args[2], tonumber(args[3])
    local rec = live_held(job, index, lease)
    if not rec then return CODE.STALE, 'the lease is over' end
    if job.state == JOB.CANCELLING then return CODE.CANCELLED, 'the job was cancelled' end
    local skip, code, text = add_check(job, rec, offset, (#args - 3) / 2)
    if not skip then return code, text end
    add_apply(job, rec, args, 4, skip)
    live_put(job, index, rec)
    job_settle(job, now)
    return CODE.OK, '', rec[R_ADDED]
end, true)
