-- chain.lua - tasks for shards that the source job has made; a compare-and-set on how many of them
-- were taken before.
-- args: position, next, source_ended, source_failed, reason, then (entry, items) for each task

job_function('chain', GROWS, function(job, args, now)
    local position, next_position = tonumber(args[1]), tonumber(args[2])
    if job.source == SOURCE.NONE then return CODE.INVALID, 'the job has no source job' end
    if job_ended(job) or job.state == JOB.CANCELLING or job.source ~= SOURCE.OPEN or
        job.position ~= position then
        return CODE.OK, '', job.position
    end
    local entries, items = entries_read(args, 6, 0)
    if job.total + #entries > TASKS_MAX then
        return CODE.LIMIT, string.format('a job has at most %.0f tasks', TASKS_MAX)
    end
    tasks_append(job, entries, 1)
    job.items_total = job.items_total + items
    job.position = next_position
    if args[3] == '1' then
        job.source = args[4] == '1' and SOURCE.FAILED or SOURCE.ENDED
        job.source_why = args[5]
    end
    job_settle(job, now)
    return CODE.OK, '', job.position
end)
