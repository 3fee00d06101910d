-- get.lua - the job with its spec and counters.

job_function('get', READS, function(job)
    local spec = call('HGET', job.key, 'spec')
    return CODE.OK, '', 0, { spec, call('HGETALL', key(job, 'count')) }
end)
