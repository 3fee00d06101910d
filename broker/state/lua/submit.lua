-- submit.lua - creates a job, or finds it.
-- args: digest of what the job is, head, spec, attempts_max, priority, paused, held, from, reason

local function submit_new(job_key, args, now)
    local job = job_new(job_key, args[2])
    local held, from = args[7] == '1', args[8] == '1'
    job.attempts_max = tonumber(args[4])
    job.priority = tonumber(args[5])
    job.paused = tonumber(args[6])
    job.submitted = now
    job.close = -1
    job.source = from and SOURCE.OPEN or SOURCE.NONE
    job.reason = args[9]
    job.state = held and JOB.HELD or from and JOB.RUNNING or JOB.PLANNING
    if not from then tasks_append(job, { string.char(PHASE.PLAN, 0) }, 1) end
    call('HSET', job_key, 'digest', args[1], 'head', args[2], 'spec', args[3])
    job_event(job, 'job.submitted')
    job_save(job)
    return job
end

redis.register_function{
    function_name = LIBRARY_CALL .. 'submit',
    flags = GROWS,
    callback = function(keys, args)
        local now = time_ms()
        local digest = call('HGET', keys[1], 'digest')
        if digest and digest ~= args[1] then
            local id = string.match(keys[1], '{(.*)}')
            return { false, answer(CODE.INVALID, 'job ' .. id .. ' exists with another spec') }
        end
        local job = digest and job_load(keys[1]) or submit_new(keys[1], args, now)
        return { job_view(job, now), answer(CODE.OK, '', digest and 0 or 1) }
    end,
}
