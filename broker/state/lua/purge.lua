-- purge.lua - forgets an ended job, and answers with it as it was; a job that is not there is
-- forgotten already.

local PURGE_NAMES = {
    'job', 'payload', 'left', 'live', 'order', 'cursor', 'tail', 'again', 'alone', 'due', 'count',
    'made', 'events', 'took',
}

redis.register_function{
    function_name = LIBRARY_CALL .. 'purge',
    flags = WRITES,
    callback = function(keys)
        local now = time_ms()
        local job = job_load(keys[1])
        if not job then return { false, answer(CODE.OK) } end
        local view = job_view(job, now)
        if not job_ended(job) then
            return { view, answer(CODE.INVALID, 'the job has not ended: cancel it first') }
        end
        for chunk = 0, chunk_of(math.max(job.total, 1) - 1) do
            call('UNLINK', key(job, 'fin:' .. digits(chunk)))
        end
        for _, name in ipairs(PURGE_NAMES) do call('UNLINK', key(job, name)) end
        return { view, answer(CODE.OK) }
    end,
}
